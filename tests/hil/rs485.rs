//! # Two RS-485 adapters
//! Wiring: A to A, B to B, 120 Ω across both ends, grounds joined. `LEITSTAND_HIL_RS485` is `DEVICE,DEVICE`.
//! One of them may be the UART of a Pi whose transceiver is turned by RTS.

use super::rig;
use leitstand_core::hal::SerialPort as _;
use leitstand_core::modbus::line::{Line, Parity};
use leitstand_hal_linux::rs485::{Direction, turn};
use leitstand_hal_linux::serial::Port;
use std::path::Path;
use std::time::{Duration, Instant};

fn open(device: &str, line: Line) -> Port {
    let port = Port::open(Path::new(device), line).unwrap();
    println!("{device}: {:?}", turn(&port, Direction::LowOnSend).unwrap());
    port
}

fn hear(port: &mut Port, count: usize) -> Vec<u8> {
    let end = Instant::now() + Duration::from_secs(2);
    let mut heard = Vec::new();
    let mut buffer = [0; 512];
    while heard.len() < count && Instant::now() < end {
        let n = port.read(&mut buffer, Duration::from_millis(50)).unwrap();
        heard.extend(&buffer[..n]);
    }
    heard
}

#[test]
fn question_and_answer_cross_unchanged_and_without_an_echo() {
    let Some(rig) = rig("LEITSTAND_HIL_RS485", "RS-485 pair") else {
        return;
    };
    let (a, b) = rig.split_once(',').unwrap();
    let all: Vec<u8> = (0..=255).collect();
    for (baud, parity) in [
        (9_600, Parity::None),
        (19_200, Parity::Even),
        (115_200, Parity::None),
    ] {
        let line = Line { baud, parity };
        let (mut a, mut b) = (open(a, line), open(b, line));
        for _ in 0..10 {
            a.write(&all).unwrap();
            assert_eq!(hear(&mut b, all.len()), all, "{baud}: the question");
            // At once: who turns around too late garbles the first character.
            b.write(&all).unwrap();
            assert_eq!(hear(&mut a, all.len()), all, "{baud}: the answer");
        }
        assert_eq!(hear(&mut a, 1), [], "{baud}: an echo");
    }
}
