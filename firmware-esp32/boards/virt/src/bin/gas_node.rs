//! The gas node: two cells and two relays on the machine's serial port, as Modbus.
//!
//! Without a bench it runs by its own clock. With one, the test moves the clock: `at <ms> <count>` takes so many
//! bytes from the line and runs the node at that instant, `button` presses its button. Facts come as lines
//! `event ...`; every command ends with `ok <relay image> <next deadline in ms> <bytes sent so far>`.
#![no_std]
#![no_main]

use core::cell::{Cell, RefCell};
use core::fmt::Write as _;

use heapless::Deque;
use leitstand_board_virt::bench::Bench;
use leitstand_board_virt::clock;
use leitstand_board_virt::uart::Uart;
use leitstand_core::gas::Event;
use leitstand_core::time::{Duration, Instant};
use leitstand_firmware::link::Link;
use leitstand_firmware::node::{Node, NodeError};

#[riscv_rt::entry]
fn main() -> ! {
    let line = Uart::first();
    match Bench::find() {
        Some(bench) => by_hand(bench, line),
        None => alone(line),
    }
}

fn started<L: Link>(node: Result<Node<L>, NodeError>) -> Node<L> {
    match node {
        Ok(node) => node,
        Err(mistake) => panic!("the node does not start: {mistake:?}"),
    }
}

fn alone(line: Uart) -> ! {
    let mut node = started(Node::new(clock::now(), line));
    loop {
        node.step(clock::now(), |_| {});
        // Bytes may come before the next deadline, and t3.5 at 9600 baud is 4 ms.
        clock::sleep_until(clock::now() + Duration::from_millis(1));
    }
}

/// Bytes reach the node when the test says so, all at one instant, however they trickle into the machine.
struct Staged<'a> {
    uart: Uart,
    came: &'a RefCell<Deque<u8, 512>>,
    told: &'a Cell<usize>,
}

impl Link for Staged<'_> {
    fn poll_read(&mut self) -> Option<u8> {
        self.came.borrow_mut().pop_front()
    }

    fn try_write(&mut self, bytes: &[u8]) -> usize {
        self.uart.write_all(bytes);
        self.told.set(self.told.get() + bytes.len());
        bytes.len()
    }
}

fn by_hand(mut bench: Bench, mut uart: Uart) -> ! {
    let (came, told) = (RefCell::new(Deque::new()), Cell::new(0));
    let line = Staged {
        uart,
        came: &came,
        told: &told,
    };
    let mut node = started(Node::new(Instant::ZERO, line));
    let mut now = Instant::ZERO;
    let _ = writeln!(bench, "boot");
    loop {
        let Some(line) = bench.line() else {
            clock::sleep_until(clock::now() + Duration::from_millis(1));
            continue;
        };
        let line = core::str::from_utf8(&line).unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let word = words.next();
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let mut next = now;
        match word {
            Some("at") => {
                now = Instant::from_millis(number());
                receive(&mut uart, &came, number() as usize);
                let tell = |event: Event| {
                    let _ = writeln!(bench, "event {event:?}");
                };
                next = node.step(now, tell);
            }
            Some("button") => {
                let pressed = node.press(now);
                let _ = writeln!(bench, "event {pressed:?}");
            }
            _ => {
                let _ = writeln!(bench, "event what");
            }
        }
        let (image, told, next) = (node.image(), told.get(), next.as_millis());
        let _ = writeln!(bench, "ok {image} {next} {told}");
    }
}

fn receive(uart: &mut Uart, came: &RefCell<Deque<u8, 512>>, count: usize) {
    let mut missing = count;
    while missing > 0 {
        if let Some(byte) = uart.poll_read() {
            missing -= 1;
            // A test that sends more than an answer at once is wrong, and sees it.
            let _ = came.borrow_mut().push_back(byte);
        }
    }
}
