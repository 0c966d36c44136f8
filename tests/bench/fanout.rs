//! What it costs to tell 100 browsers of a press, and how long the last one waits, beside a small aiohttp server
//! and beside what the machine itself takes for it.
//!
//! Run: `cargo build --release && cargo bench -p leitstand-tests --bench fanout`
//!
//! The gateway is the real binary; the board is a pseudo-terminal that this program writes to; the browsers are
//! 100 sockets that one thread reads. The CPU time is that of the server's process alone, all threads, user and
//! system. The peer is `fanout_peer.py` in a virtual environment below `target/`, made with pip at the first
//! run; without Python or pip its line says so.

#![allow(clippy::print_stdout)]

use leitstand_hal_mock::pty::Pty;
use leitstand_panel::fanout::{ClientId, Fanout, Frames, Outbox, Transport};
use leitstand_tests::{peer, server::binary, wait};
use rustix::event::epoll;
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CLIENTS: usize = 100;
/// Presses before the measurement, so that caches, buffers and the interpreter are warm.
const WARM_UP: usize = 100;
/// Measured presses. Reasoning: 300,000 deliveries, over a second of CPU time, which is counted in ticks of 10 ms.
const PRESSES: usize = 1500;
/// From press to press. Reasoning: far below what either server can do, so that neither queues.
const EVERY: Duration = Duration::from_millis(8);
/// The frames of a press: a stop and a play.
const FRAMES: usize = 2;
/// The goal of the project.
const GOAL_US: f64 = 4.5;

fn main() -> Result<()> {
    println!("telling {CLIENTS} clients of a press: a stop and a play each\n");
    let floor = floor()?;
    let alone = fan_out_alone()?;
    let gateway = gateway()?;
    let peer = aiohttp().unwrap_or_else(|e| {
        peer::skip("aiohttp beside the gateway", &e.to_string());
        None
    });

    println!("CPU a delivery, microseconds");
    println!(
        "  the gateway, whole process      {:6.2}   goal {GOAL_US}",
        gateway.cpu_us
    );
    match &peer {
        Some(p) => println!("  aiohttp, whole process          {:6.2}", p.cpu_us),
        None => println!("  aiohttp                         skipped"),
    }
    println!("  the fan-out alone, one frame    {alone:6.2}");
    println!("  floor: one send(2) of one frame {:6.2}", floor.send_us);
    println!(
        "  the gateway hands stop and play over in one write, so it may lie below the floor of one frame"
    );

    println!("\npress on the pty to the last of {CLIENTS} clients, milliseconds");
    print_latency("the gateway", &gateway.latency);
    if let Some(p) = &peer {
        print_latency("aiohttp", &p.latency);
    }
    print_latency("floor: 100 sends, one reader", &floor.latency);
    Ok(())
}

fn print_latency(what: &str, sorted: &[Duration]) {
    let ms = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted
            .get(rank)
            .map_or(f64::NAN, |d| d.as_secs_f64() * 1000.0)
    };
    println!(
        "  {what:30}  p50 {:6.3}   p99 {:6.3}   max {:6.3}",
        ms(50),
        ms(99),
        ms(100)
    );
}

/// What a server took.
struct Measured {
    cpu_us: f64,
    /// Sorted.
    latency: Vec<Duration>,
}

// --- the clients ------------------------------------------------------------------------------------------------

/// Sockets that one thread reads. Tells when all of them got the play of a round.
struct Clients {
    rounds: Receiver<Instant>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    frames: Arc<AtomicUsize>,
}

struct Client {
    socket: TcpStream,
    unread: Vec<u8>,
    plays: usize,
}

impl Clients {
    fn start(sockets: Vec<TcpStream>) -> Result<Self> {
        let (done, rounds) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let frames = Arc::new(AtomicUsize::new(0));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&frames));
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut clients = Vec::new();
        for (i, socket) in sockets.into_iter().enumerate() {
            socket.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(i as u64);
            epoll::add(&poll, &socket, data, epoll::EventFlags::IN)?;
            clients.push(Client {
                socket,
                unread: Vec::new(),
                plays: 0,
            });
        }
        let thread = std::thread::spawn(move || {
            read_all(&poll, &mut clients, &stopped, &counted, &done).expect("reading as a client");
        });
        Ok(Self {
            rounds,
            stop,
            thread: Some(thread),
            frames,
        })
    }

    /// Waits until every client got one more play; answers when the last did.
    fn round(&self) -> Result<Instant> {
        Ok(self.rounds.recv_timeout(Duration::from_secs(10))?)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_all(
    poll: &impl std::os::fd::AsFd,
    clients: &mut [Client],
    stop: &AtomicBool,
    frames: &AtomicUsize,
    done: &Sender<Instant>,
) -> Result<()> {
    let mut events = Vec::with_capacity(CLIENTS);
    let mut buffer = [0; 4096];
    // How many clients have reached each round; only the open one matters.
    let (mut round, mut reached) = (1, 0);
    while !stop.load(Ordering::Relaxed) {
        events.clear();
        let patience = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        let room = rustix::buffer::spare_capacity(&mut events);
        epoll::wait(poll, room, Some(&patience))?;
        for event in &events {
            let Some(client) = clients.get_mut(event.data.u64() as usize) else {
                continue;
            };
            match client.socket.read(&mut buffer) {
                Ok(0) => return Err("the server hung up".into()),
                Ok(n) => client.unread.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => continue,
                Err(e) => return Err(e.into()),
            }
            let before = client.plays;
            client.parse(frames)?;
            if before < round && client.plays >= round {
                reached += 1;
            }
        }
        while reached == clients.len() {
            if done.send(Instant::now()).is_err() {
                return Ok(());
            }
            round += 1;
            reached = clients.iter().filter(|c| c.plays >= round).count();
        }
    }
    Ok(())
}

impl Client {
    /// Counts complete frames and answers pings.
    fn parse(&mut self, frames: &AtomicUsize) -> Result<()> {
        let mut rest = self.unread.as_slice();
        while let [first, length, ..] = *rest {
            let (header, length) = match length {
                126 if rest.len() >= 4 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
                126 => break,
                127.. => return Err("a frame of a kind that no server here sends".into()),
                short => (2, usize::from(short)),
            };
            let Some(payload) = rest.get(header..header + length) else {
                break;
            };
            match first {
                0x81 => {
                    frames.fetch_add(1, Ordering::Relaxed);
                    // Found near the start in both servers' texts.
                    let head = payload.get(..24).unwrap_or(payload);
                    self.plays += usize::from(head.windows(6).any(|w| w == b"\"play\""));
                }
                0x89 => self.socket.write_all(&[0x8a, 0x80, 0, 0, 0, 0])?,
                _ => return Err(format!("frame {first:#x}").into()),
            }
            rest = &rest[header + length..];
        }
        let read = self.unread.len() - rest.len();
        self.unread.drain(..read);
        Ok(())
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    write!(
        socket,
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        answer.extend(byte);
    }
    let answer = String::from_utf8_lossy(&answer);
    if !answer.starts_with("HTTP/1.1 101") {
        return Err(answer.into_owned().into());
    }
    Ok(socket)
}

// --- servers ----------------------------------------------------------------------------------------------------

/// A server as a child process.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let address = loop {
            let line = lines
                .next()
                .ok_or("the server ended before it listened")??;
            if let Some((_, rest)) = line.split_once("http://") {
                let end = rest.find(|c: char| c == '/' || c.is_whitespace());
                break rest[..end.unwrap_or(rest.len())].parse()?;
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address })
    }

    /// CPU time of the process so far, all threads.
    fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in brackets may hold anything; user and system time are the 12th and 13th field after it.
        let (_, rest) = stat.rsplit_once(") ").ok_or("an odd stat file")?;
        let ticks = rest.split(' ').skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<std::result::Result<u64, _>>()?;
        // A hundred a second in this file on every Linux, whatever the kernel's own tick (`man 5 proc`).
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Presses, and what they cost.
    fn measure(&self, board: &Pty, ready: impl Fn() -> bool) -> Result<Measured> {
        let sockets = (0..CLIENTS).map(|_| connect(self.address));
        let clients = Clients::start(sockets.collect::<Result<_>>()?)?;
        wait::until("the server knows its board", || ready().then_some(()));
        let press = |n: usize| -> Result<Duration> {
            let begun = Instant::now();
            board.write(format!("PRESS {:03}\n", n % 10 + 1).as_bytes())?;
            let took = clients.round()?.duration_since(begun);
            std::thread::sleep(EVERY.saturating_sub(begun.elapsed()));
            Ok(took)
        };
        for n in 0..WARM_UP {
            press(n)?;
        }
        let (cpu, frames) = (self.cpu()?, clients.frames.load(Ordering::Relaxed));
        let mut latency = (0..PRESSES).map(press).collect::<Result<Vec<_>>>()?;
        let (cpu, frames) = (
            self.cpu()? - cpu,
            clients.frames.load(Ordering::Relaxed) - frames,
        );
        let expected = PRESSES * CLIENTS * FRAMES;
        // The last frames of the warm-up may be counted late; one lost or doubled frame a press would show.
        if frames.abs_diff(expected) > CLIENTS * FRAMES {
            return Err(format!("{frames} frames arrived, {expected} were expected").into());
        }
        latency.sort_unstable();
        Ok(Measured {
            cpu_us: cpu.as_secs_f64() * 1e6 / expected as f64,
            latency,
        })
    }
}

/// Answers the gateway as a text board does, so that it stays online.
fn answer(board: &Pty, stop: &AtomicBool, online: &AtomicBool) {
    let mut line = Vec::new();
    let mut buffer = [0; 256];
    while !stop.load(Ordering::Relaxed) {
        let n = board
            .read(&mut buffer, Duration::from_millis(50))
            .unwrap_or(0);
        for byte in &buffer[..n] {
            if *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            let reply: &[u8] = match line.as_slice() {
                b"" => b"",
                b"PING" => {
                    online.store(true, Ordering::Relaxed);
                    b"PONG\n"
                }
                hello if hello.starts_with(b"HELLO") => b"ERROR UNKNOWN_CMD\n",
                _ => b"OK\n",
            };
            line.clear();
            let _ = board.write(reply);
        }
    }
}

fn gateway() -> Result<Measured> {
    let dir = tempfile::tempdir()?;
    let board = Arc::new(Pty::open()?);
    let config = dir.path().join("leitstand.toml");
    std::fs::write(
        &config,
        format!(
            "site = 'Bench'\n[panel]\nbuttons = 10\nmedia_dir = 'media'\n[[panel.boards]]\nname = 'bench'\n\
             port = '{}'\nprotocol = 'text'\n",
            board.path().display()
        ),
    )?;
    let (stop, online) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (far, far_stop, far_online) = (Arc::clone(&board), Arc::clone(&stop), Arc::clone(&online));
    let thread = std::thread::spawn(move || answer(&far, &far_stop, &far_online));
    let server = Server::start(
        Command::new(binary())
            .args(["run", "--bind", "127.0.0.1:0", "--config"])
            .arg(&config)
            .arg("--state")
            .arg(dir.path().join("state"))
            .env("LEITSTAND_LOG", "off"),
    )?;
    let measured = server.measure(&board, || online.load(Ordering::Relaxed));
    stop.store(true, Ordering::Relaxed);
    let _ = thread.join();
    measured
}

fn aiohttp() -> Result<Option<Measured>> {
    let what = "aiohttp beside the gateway";
    let Some(python) = peer::find(what, &["python3"]) else {
        return Ok(None);
    };
    let python = environment(&python)?;
    let board = Pty::open()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/fanout_peer.py");
    let server = Server::start(Command::new(python).arg(script).arg(board.path()))?;
    server.measure(&board, || true).map(Some)
}

/// The interpreter of a virtual environment with aiohttp, made at the first run.
fn environment(python: &Path) -> Result<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-venv");
    let inside = dir.join("bin/python");
    let works = || {
        let probe = Command::new(&inside)
            .args(["-c", "import aiohttp"])
            .stderr(Stdio::null())
            .status();
        probe.is_ok_and(|s| s.success())
    };
    if !works() {
        let made = Command::new(python)
            .args(["-m", "venv"])
            .arg(&dir)
            .status()?;
        if !made.success() {
            return Err("no virtual environment could be made".into());
        }
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "aiohttp",
        ];
        if !Command::new(&inside).args(pip).status()?.success() || !works() {
            return Err("pip could not install aiohttp".into());
        }
    }
    Ok(inside)
}

// --- the floor, and the fan-out alone ---------------------------------------------------------------------------

/// What the machine takes, whoever writes the server.
struct Floor {
    send_us: f64,
    latency: Vec<Duration>,
}

const PLAY: &str = r#"{"type":"play","id":5,"seq":1234,"panel":"bench","image":"/media/005.jpg?v=0123456789abcdef","audio":"/media/005.mp3?v=0123456789abcdef","volume":100,"duration_ms":4321,"position_ms":0}"#;

fn thread_cpu() -> Duration {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Connected pairs: ours and theirs.
fn pairs() -> Result<(Vec<TcpStream>, Vec<TcpStream>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut pairs = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        let theirs = TcpStream::connect(address)?;
        let (ours, _) = listener.accept()?;
        ours.set_nodelay(true)?;
        ours.set_nonblocking(true)?;
        pairs.0.push(ours);
        pairs.1.push(theirs);
    }
    Ok(pairs)
}

/// Runs rounds of `send` to all clients; answers the CPU time of this thread and the latencies.
fn rounds(
    clients: &Clients,
    mut send: impl FnMut() -> Result<()>,
) -> Result<(Duration, Vec<Duration>)> {
    let mut cpu = Duration::ZERO;
    let mut latency = Vec::new();
    for n in 0..WARM_UP + PRESSES {
        let begun = Instant::now();
        let before = thread_cpu();
        send()?;
        let took = thread_cpu() - before;
        let done = clients.round()?.duration_since(begun);
        if n >= WARM_UP {
            cpu += took;
            latency.push(done);
        }
        std::thread::sleep((EVERY / 4).saturating_sub(begun.elapsed()));
    }
    latency.sort_unstable();
    Ok((cpu, latency))
}

fn floor() -> Result<Floor> {
    let (mut ours, theirs) = pairs()?;
    let clients = Clients::start(theirs)?;
    let frame = Frames::text([PLAY]);
    let (cpu, latency) = rounds(&clients, || {
        for socket in &mut ours {
            socket.write_all(frame.as_bytes())?;
        }
        Ok(())
    })?;
    Ok(Floor {
        send_us: cpu.as_secs_f64() * 1e6 / (PRESSES * CLIENTS) as f64,
        latency,
    })
}

/// CPU time of the publishing thread a delivery, encoding included, one frame a write.
fn fan_out_alone() -> Result<f64> {
    let (ours, theirs) = pairs()?;
    let clients = Clients::start(theirs)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _entered = runtime.enter();
    let mut fanout = Fanout::default();
    for (id, socket) in (0..).zip(ours) {
        let transport = Transport::tcp(tokio::net::TcpStream::from_std(socket)?)?;
        fanout.join(ClientId(id), Outbox::new(transport));
    }
    // Sockets are writable once the driver has looked at them.
    runtime.block_on(tokio::time::sleep(Duration::from_millis(20)));
    let mut dropped = Vec::new();
    let (cpu, _) = rounds(&clients, || {
        let reached = fanout.publish(&Frames::text([PLAY]), &mut dropped);
        if reached != CLIENTS {
            return Err(format!("{dropped:?}").into());
        }
        Ok(())
    })?;
    // Before the sockets close: their end is not part of the measurement.
    drop(clients);
    Ok(cpu.as_secs_f64() * 1e6 / (PRESSES * CLIENTS) as f64)
}
