//! The gateway behind the walls of its systemd unit.
//!
//! No systemd runs where tests run, so bubblewrap builds the same walls from the unit's own lines: the file
//! system, the user without privileges. What it cannot build is named in docs/hardware.md: the device and
//! system-call filters.

use crate::garage::Garage;
use leitstand_tests::{binary, peer, wait};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const UNIT: &str = include_str!("../../server/deploy/leitstand.service");
/// Nobody's number on every Linux.
const NOBODY: &str = "65534";

fn values(key: &str) -> impl Iterator<Item = &'static str> {
    UNIT.lines()
        .filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
        .flat_map(str::split_whitespace)
}

fn is_set(key: &str, value: &str) -> bool {
    values(key).eq([value])
}

/// Arguments of bubblewrap that do what the unit says, and refuse a unit that says less.
fn walls(state: &Path) -> Vec<String> {
    for (key, value) in [
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("NoNewPrivileges", "yes"),
        ("StateDirectory", "leitstand"),
        ("User", "leitstand"),
    ] {
        assert!(is_set(key, value), "{key}={value} is gone from the unit");
    }
    let mut args: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| args.extend(words.iter().map(ToString::to_string));
    add(&["--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev"]);
    for hidden in ["/home", "/root", "/run/user", "/tmp", "/var/tmp"] {
        if Path::new(hidden).is_dir() {
            add(&["--tmpfs", hidden]);
        }
    }
    for path in values("ReadWritePaths") {
        let path = path.trim_start_matches('-');
        if Path::new(path).is_dir() {
            add(&["--bind", path, path]);
        }
    }
    let state = state.to_str().unwrap();
    add(&["--tmpfs", "/var/lib", "--bind", state, "/var/lib/leitstand"]);
    args
}

/// `command` behind the walls, as a user without privileges.
fn enclosed(bwrap: &Path, walls: &[String], readable: &[&Path], command: &[&str]) -> Command {
    let mut it = Command::new(bwrap);
    it.args(walls);
    for path in readable {
        it.arg("--ro-bind").args([path, path]);
    }
    it.args(["--die-with-parent", "--cap-add", "ALL", "--"])
        .args([
            "setpriv",
            "--reuid",
            NOBODY,
            "--regid",
            NOBODY,
            "--clear-groups",
        ])
        .args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"])
        .args(command)
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    it
}

/// Bubblewrap with the gateway as its child, both gone at the end of the test.
struct Enclosure(Child);

impl Enclosure {
    /// The gateway itself: bubblewrap passes no signals on.
    fn gateway(&self) -> Option<Pid> {
        let parent = format!("PPid:\t{}\n", self.0.id());
        std::fs::read_dir("/proc").unwrap().find_map(|entry| {
            let entry = entry.ok()?;
            let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            status.contains(&parent).then(|| Pid::from_raw(pid))?
        })
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        if let Some(gateway) = self.gateway() {
            let _ = kill_process(gateway, Signal::KILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn open_to_all(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_units_file_accesses_suffice_for_a_site() {
    let what = "the sandbox of the unit";
    let (Some(bwrap), Some(_)) = (peer::find(what, &["bwrap"]), peer::find(what, &["setpriv"]))
    else {
        return;
    };
    if !rustix::process::geteuid().is_root() {
        return peer::skip(what, "only root may become another user");
    }
    let dir = tempfile::tempdir().unwrap();
    open_to_all(dir.path(), 0o755);
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::os::unix::fs::chown(&state, Some(65_534), Some(65_534)).unwrap();
    let walls = walls(&state);
    // The walls stand: what the unit does not name cannot be written, not even by a mistake of the test.
    for place in ["/etc", "/usr/bin", "/var", "/opt"] {
        let file = format!("{place}/leitstand-must-not");
        let touched = enclosed(&bwrap, &walls, &[], &["touch", &file])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(!touched.success(), "{file} could be written");
    }

    let garage = Garage::new(2);
    let config = dir.path().join("leitstand.toml");
    std::fs::write(&config, garage.config("")).unwrap();
    let line = garage.device();
    open_to_all(line.parent().unwrap(), 0o755);
    open_to_all(&line.canonicalize().unwrap(), 0o666);
    let program = dir.path().join("leitstand");
    std::fs::copy(binary(), &program).unwrap();
    let socket: PathBuf = dir.path().join("notify");
    let listener = UnixDatagram::bind(&socket).unwrap();
    open_to_all(&socket, 0o777);
    listener.set_read_timeout(Some(wait::PATIENCE)).unwrap();

    let command = [
        program.to_str().unwrap(),
        "run",
        "--bind",
        "127.0.0.1:0",
        "--config",
        config.to_str().unwrap(),
    ];
    let readable = [dir.path(), line.parent().unwrap()];
    let mut server = Enclosure(
        enclosed(&bwrap, &walls, &readable, &command)
            .env("NOTIFY_SOCKET", &socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    // Told only after every sensor was read: the line could be opened and locked.
    let mut buffer = [0; 512];
    loop {
        let n = listener.recv(&mut buffer).expect("READY=1");
        if String::from_utf8_lossy(&buffer[..n]).contains("READY=1") {
            break;
        }
    }
    kill_process(server.gateway().unwrap(), Signal::TERM).unwrap();
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
    for file in ["gas.status", "status"] {
        assert!(state.join(file).exists(), "{file} was not written");
    }
}
