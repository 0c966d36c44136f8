//! One emulated board: its cable, and the bench on which the test holds buttons and looks at LEDs.

use leitstand_tests::{peer, wait};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for one answer. Reasoning: QEMU needs milliseconds; a machine with every core taken by others a
/// thousand times as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// QEMU and one of the firmware's programs, if both are there.
pub(super) fn find(program: &str) -> Option<Machine> {
    let qemu = peer::find("emulated firmware", &["qemu-system-riscv32"])?;
    let folder = std::env::var_os("LEITSTAND_FIRMWARE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/firmware"),
        PathBuf::from,
    );
    let elf = folder.join(program);
    if elf.is_file() {
        Some(Machine { qemu, elf })
    } else {
        let why = format!("{} is not there; `.ci/firmware` builds it", elf.display());
        peer::skip("emulated firmware", &why);
        None
    }
}

/// What is needed to start.
#[derive(Clone)]
pub(super) struct Machine {
    qemu: PathBuf,
    elf: PathBuf,
}

/// How the cable leaves the machine.
pub(super) enum Cable {
    /// A socket, read and written by the test.
    Socket,
    /// A pseudo-terminal, for the gateway.
    Pty,
}

impl Machine {
    /// Starts it. `more` are further arguments for QEMU.
    pub(super) fn start(&self, cable: &Cable, more: &[&str]) -> Board {
        let folder = tempfile::tempdir().unwrap();
        let listen = |name: &str| {
            let path = folder.path().join(name);
            (UnixListener::bind(&path).unwrap(), path)
        };
        let (bench, bench_path) = listen("bench");
        let (serial, serial_path) = listen("cable");
        let cable_argument = match cable {
            Cable::Socket => format!("socket,id=cable,path={}", serial_path.display()),
            Cable::Pty => "pty,id=cable".into(),
        };
        let bench_argument = format!("socket,id=bench,path={}", bench_path.display());
        let mut child = Command::new(&self.qemu)
            .args([
                "-machine", "virt", "-m", "8M", "-display", "none", "-monitor", "none",
            ])
            // Not as a kernel: with a second flash QEMU would leave that to a firmware that is not there.
            .arg("-bios")
            .arg(&self.elf)
            .args(["-chardev", &cable_argument, "-serial", "chardev:cable"])
            .args([
                "-chardev",
                &bench_argument,
                "-device",
                "pci-serial,chardev=bench,addr=1",
            ])
            .args(more)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let bench = accept(&bench, &mut child);
        let (cable, pty) = match cable {
            Cable::Socket => (Some(accept(&serial, &mut child)), None),
            Cable::Pty => (None, Some(pty_of(&mut child))),
        };
        Board {
            child,
            bench: BufReader::new(bench),
            cable,
            pty,
            said: 0,
            read: 0,
            _folder: folder,
        }
    }
}

/// QEMU connects to us, so there is nothing to poll for.
fn accept(listener: &UnixListener, child: &mut Child) -> UnixStream {
    listener.set_nonblocking(true).unwrap();
    let stream = wait::until("QEMU connects", || {
        if let Some(status) = child.try_wait().unwrap() {
            panic!("QEMU ended with {status}");
        }
        match listener.accept() {
            Ok((stream, _)) => Some(stream),
            Err(e) if e.kind() == ErrorKind::WouldBlock => None,
            Err(e) => panic!("{e}"),
        }
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// `char device redirected to /dev/pts/3 (label cable)`.
fn pty_of(child: &mut Child) -> PathBuf {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().expect("QEMU tells the terminal").unwrap();
    let path = line.split(' ').find(|word| word.starts_with("/dev/"));
    PathBuf::from(path.unwrap_or_else(|| panic!("no terminal in {line:?}")))
}

/// A running machine. Killed when dropped.
pub(super) struct Board {
    child: Child,
    bench: BufReader<UnixStream>,
    cable: Option<UnixStream>,
    pty: Option<PathBuf>,
    /// Bytes sent to and read from the firmware since its start.
    said: usize,
    read: usize,
    _folder: TempDir,
}

impl Board {
    /// The terminal of the cable.
    pub(super) fn pty(&self) -> &Path {
        self.pty.as_deref().expect("started with Cable::Pty")
    }

    /// Waits until the machine has started, and starts the application.
    pub(super) fn go(&mut self, how: &str) {
        assert_eq!(self.bench_line(), "boot");
        (self.said, self.read) = (0, 0);
        assert_eq!(self.ask(&format!("go {how}")).0, "ok");
    }

    /// Says a line on the bench.
    pub(super) fn send(&mut self, line: &str) {
        writeln!(self.bench.get_mut(), "{line}").unwrap();
    }

    /// The next line from the bench, without its end.
    pub(super) fn bench_line(&mut self) -> String {
        let mut line = String::new();
        self.bench
            .read_line(&mut line)
            .expect("a line from the bench");
        line.trim_end().to_owned()
    }

    /// Puts bytes on the cable.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.cable.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Says a line on the bench and returns the answer and the bytes the firmware had sent over the cable.
    pub(super) fn ask(&mut self, line: &str) -> (String, usize) {
        writeln!(self.bench.get_mut(), "{line}").unwrap();
        let mut answer = String::new();
        self.bench
            .read_line(&mut answer)
            .unwrap_or_else(|e| panic!("no answer to {line:?}: {e}"));
        match answer.trim_end().rsplit_once(' ') {
            Some((text, told)) if !text.starts_with("panic") => (
                text.to_owned(),
                told.parse()
                    .unwrap_or_else(|_| panic!("{line:?}: {answer:?}")),
            ),
            _ => panic!("{line:?} was answered by {answer:?}"),
        }
    }

    /// As [`ask`](Self::ask), for commands that cannot fail.
    pub(super) fn tell(&mut self, line: &str) {
        assert_eq!(self.ask(line).0, "ok", "{line:?}");
    }

    /// The LEDs that shine, from 1.
    pub(super) fn lit(&mut self) -> Vec<u8> {
        let (answer, _) = self.ask("leds");
        let fields: Vec<&str> = answer.split(' ').collect();
        let latched = u128::from_str_radix(fields[0], 16).unwrap();
        let enabled = fields[1] != "255";
        (1..=100)
            .filter(|id| enabled && latched >> (id - 1) & 1 != 0)
            .collect()
    }

    /// A command that the firmware does not survive; returns all that was said on the bench until the end.
    pub(super) fn last_words(&mut self, line: &str) -> String {
        writeln!(self.bench.get_mut(), "{line}").unwrap();
        let mut words = String::new();
        self.bench.read_to_string(&mut words).unwrap();
        words
    }

    /// QEMU's exit code.
    pub(super) fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Ends it as a pulled plug does.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts the machine anew, as its watchdog would.
    pub(super) fn reset(&mut self) {
        writeln!(self.bench.get_mut(), "reset").unwrap();
    }

    /// Says bytes over the cable and returns what is answered to them.
    pub(super) fn say(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.cable.as_mut().unwrap().write_all(bytes).unwrap();
        self.said += bytes.len();
        let (answer, told) = self.ask(&format!("heard {}", self.said));
        assert_eq!(answer, "ok");
        self.hear(told)
    }

    /// Reads the cable until so many bytes came since the start.
    pub(super) fn hear(&mut self, told: usize) -> Vec<u8> {
        let mut bytes = vec![0; told - self.read];
        self.cable.as_mut().unwrap().read_exact(&mut bytes).unwrap();
        self.read = told;
        bytes
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Machine {
    /// Runs a program that prints on the serial port and ends by itself; what it printed.
    pub(super) fn run(&self, more: &[&str]) -> String {
        let output = Command::new(&self.qemu)
            .args([
                "-machine", "virt", "-m", "8M", "-display", "none", "-monitor", "none",
            ])
            .args(["-serial", "stdio", "-bios"])
            .arg(&self.elf)
            .args(more)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {printed}", output.status);
        printed
    }
}
