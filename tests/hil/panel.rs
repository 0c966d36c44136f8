//! # A button board on a cable
//! Wiring: the board of docs/hardware.md on USB, buttons untouched. `LEITSTAND_HIL` is its device file.

use super::rig;
use leitstand_core::hal::SerialPort as _;
use leitstand_core::modbus::line::Line;
use leitstand_hal_linux::serial::Port;
use std::path::Path;
use std::time::{Duration, Instant};

/// Reasoning: a board answers within 20 ms; one that was reset needs 2 s until it is back.
const ANSWER: Duration = Duration::from_secs(1);
const BOOT: Duration = Duration::from_secs(4);

fn open(device: &str) -> Port {
    let line = Line {
        baud: 115_200,
        ..Line::RA_GAS
    };
    Port::open(Path::new(device), line).unwrap()
}

/// All that comes within `time`, or until `wanted` is in it.
fn hear(port: &mut Port, wanted: &str, time: Duration) -> String {
    let end = Instant::now() + time;
    let mut heard = String::new();
    let mut buffer = [0; 256];
    while Instant::now() < end && !heard.contains(wanted) {
        let n = port.read(&mut buffer, Duration::from_millis(50)).unwrap();
        heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
    heard
}

#[test]
fn opening_the_port_does_not_reset_the_board() {
    let Some(device) = rig("LEITSTAND_HIL", "button board") else {
        return;
    };
    // It may just have been plugged in.
    let mut port = open(&device);
    let _ = hear(&mut port, "READY", BOOT);
    for _ in 0..3 {
        drop(port);
        port = open(&device);
        let heard = hear(&mut port, "READY", BOOT);
        assert!(!heard.contains("READY"), "DTR or RTS reset it: {heard:?}");
    }
}

#[test]
fn a_thousand_pings_have_a_thousand_answers() {
    let Some(device) = rig("LEITSTAND_HIL", "button board") else {
        return;
    };
    let mut port = open(&device);
    let _ = hear(&mut port, "READY", BOOT);
    let mut worst = Duration::ZERO;
    for n in 0..1000 {
        let asked = Instant::now();
        port.write(b"PING\n").unwrap();
        let heard = hear(&mut port, "PONG", ANSWER);
        assert!(heard.contains("PONG"), "ping {n}: {heard:?}");
        worst = worst.max(asked.elapsed());
    }
    println!("longest answer: {worst:?}");
}
