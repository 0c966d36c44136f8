//! What the program costs while nothing happens: start time, memory, size of the binary, beside their goals.
//!
//! Run: `cargo build --release && cargo bench -p leitstand-tests --bench footprint`

#![allow(clippy::print_stdout)]

use leitstand_tests::server::binary;
use leitstand_tests::{http, wait};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts of each kind. The median is printed.
const STARTS: usize = 9;
/// How long a process is left alone before its memory is read: buffers and caches have their size by then.
const SETTLE: Duration = Duration::from_secs(10);

struct Running {
    child: Child,
    addr: SocketAddr,
    /// From the start of the process to the line with its address.
    listening: Duration,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(args: &[&str]) -> Running {
    let begun = Instant::now();
    let mut child = Command::new(binary())
        .args(args)
        .env("LEITSTAND_LOG", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starting leitstand");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let addr = loop {
        let line = lines
            .next()
            .expect("an address before the end")
            .expect("text");
        if let Some((_, rest)) = line.split_once("http://") {
            let end = rest
                .find(|c: char| c == '/' || c.is_whitespace())
                .unwrap_or(rest.len());
            break rest[..end].parse().expect("an address");
        }
    };
    let listening = begun.elapsed();
    // The rest of what it prints must not block it.
    std::thread::spawn(move || lines.for_each(drop));
    Running {
        child,
        addr,
        listening,
    }
}

fn first_answer(running: &Running, begun: Instant) -> Duration {
    wait::until("the first answer", || {
        http::request(running.addr, "GET", "/api/v1/site", &[], None)
            .ok()
            .filter(|r| r.status == 200)
    });
    begun.elapsed()
}

fn memory_kib(pid: u32, field: &str) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status of the process");
    let line = status
        .lines()
        .find(|l| l.starts_with(field))
        .expect("a known field");
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number of kB")
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

fn measure(name: &str, args: impl Fn(&Path) -> Vec<String>) {
    let (mut listening, mut answering) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let dir = tempfile::tempdir().expect("a directory");
        let args = args(dir.path());
        let begun = Instant::now();
        let running = start(&args.iter().map(String::as_str).collect::<Vec<_>>());
        answering.push(first_answer(&running, begun));
        listening.push(running.listening);
    }
    let dir = tempfile::tempdir().expect("a directory");
    let args = args(dir.path());
    let running = start(&args.iter().map(String::as_str).collect::<Vec<_>>());
    std::thread::sleep(SETTLE);
    let pid = running.child.id();
    let rss = memory_kib(pid, "VmRSS:") as f64 / 1024.0;
    let own = memory_kib(pid, "RssAnon:") as f64 / 1024.0;
    let threads = memory_kib(pid, "Threads:");
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    println!(
        "{name:<28} listening after {:>6.1} ms, first answer {:>6.1} ms   goal 100 ms",
        ms(median(listening)),
        ms(median(answering))
    );
    println!(
        "{name:<28} RSS {rss:>6.1} MiB (own {own:.1}, {threads} threads)          goal 25 MiB"
    );
}

fn main() {
    let size = std::fs::metadata(binary()).expect("the binary").len() as f64 / (1024.0 * 1024.0);
    println!(
        "{:<28} {size:>6.1} MiB                                goal 12 MiB",
        "binary"
    );
    measure("demo, idle", |dir| {
        vec![
            "demo".into(),
            "--bind".into(),
            "127.0.0.1:0".into(),
            "--state".into(),
            dir.join("s").display().to_string(),
        ]
    });
    let garage = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/deploy/garage.toml");
    measure("run, garage configuration", |dir| {
        [
            "run",
            "--bind",
            "127.0.0.1:0",
            "--config",
            garage,
            "--state",
        ]
        .iter()
        .map(ToString::to_string)
        .chain([dir.join("s").display().to_string()])
        .collect()
    });
}
