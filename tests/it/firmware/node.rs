//! The gas node on the host and as RISC-V code: the same devices on the same line, the same facts.
//!
//! The line is the model of `leitstand-hal-mock`: sensor and relay module answer byte by byte, each at its time.

use super::qemu::{self, Board, Cable};
use leitstand_core::modbus::Address;
use leitstand_core::modbus::line::Line;
use leitstand_core::time::Instant;
use leitstand_firmware::link::Link;
use leitstand_firmware::node::{Node, RELAYS, SENSOR};
use leitstand_hal_mock::fault::Fault;
use leitstand_hal_mock::mr_do4::MrDo4;
use leitstand_hal_mock::ra_gas::RaGas;
use leitstand_hal_mock::rs485::{Device, Rs485};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// What a step of a node brought.
struct Step {
    events: Vec<String>,
    sent: Vec<u8>,
    image: u16,
    next_ms: u64,
}

trait AnyNode {
    /// Runs the node at this instant, with what came over the line until then.
    fn at(&mut self, ms: u64, received: &[u8]) -> Step;
    /// Presses its button.
    fn button(&mut self) -> Vec<String>;
}

#[derive(Clone, Default)]
struct Wire {
    to_node: Rc<RefCell<VecDeque<u8>>>,
    from_node: Rc<RefCell<Vec<u8>>>,
}

impl Link for Wire {
    fn poll_read(&mut self) -> Option<u8> {
        self.to_node.borrow_mut().pop_front()
    }

    fn try_write(&mut self, bytes: &[u8]) -> usize {
        self.from_node.borrow_mut().extend(bytes);
        bytes.len()
    }
}

struct OnHost {
    node: Node<Wire>,
    wire: Wire,
    now: Instant,
}

impl OnHost {
    fn start() -> Self {
        let wire = Wire::default();
        Self {
            node: Node::new(Instant::ZERO, wire.clone()).unwrap(),
            wire,
            now: Instant::ZERO,
        }
    }
}

impl AnyNode for OnHost {
    fn at(&mut self, ms: u64, received: &[u8]) -> Step {
        self.now = Instant::from_millis(ms);
        self.wire.to_node.borrow_mut().extend(received);
        let mut events = Vec::new();
        let next = self
            .node
            .step(self.now, |event| events.push(format!("{event:?}")));
        Step {
            events,
            sent: self.wire.from_node.take(),
            image: self.node.image(),
            next_ms: next.as_millis(),
        }
    }

    fn button(&mut self) -> Vec<String> {
        vec![format!("{:?}", self.node.press(self.now))]
    }
}

struct Emulated(Board);

impl Emulated {
    fn ask(&mut self, command: &str) -> (Vec<String>, Vec<u64>) {
        let mut events = Vec::new();
        self.0.send(command);
        loop {
            let line = self.0.bench_line();
            match line.strip_prefix("event ") {
                Some(event) => events.push(event.to_owned()),
                None => {
                    let numbers = line
                        .strip_prefix("ok ")
                        .unwrap_or_else(|| panic!("{line:?}"));
                    let numbers = numbers.split(' ').map(|number| number.parse().unwrap());
                    return (events, numbers.collect());
                }
            }
        }
    }
}

impl AnyNode for Emulated {
    fn at(&mut self, ms: u64, received: &[u8]) -> Step {
        self.0.put(received);
        let (events, numbers) = self.ask(&format!("at {ms} {}", received.len()));
        Step {
            events,
            sent: self.0.hear(numbers[2] as usize),
            image: numbers[0] as u16,
            next_ms: numbers[1],
        }
    }

    fn button(&mut self) -> Vec<String> {
        self.ask("button").0
    }
}

/// What happened, as text: facts, changes of the image and of the contacts.
struct Story {
    node: Box<dyn AnyNode>,
    line: Rs485,
    now_us: u64,
    due_ms: u64,
    image: u16,
    relays: [bool; 4],
    told: Vec<String>,
    bytes: usize,
}

impl Story {
    fn new(node: Box<dyn AnyNode>) -> Self {
        let address = |number| Address::new(number).unwrap();
        let devices = vec![
            Device::RaGas(RaGas::new(address(SENSOR))),
            Device::MrDo4(MrDo4::new(address(RELAYS))),
        ];
        Self {
            node,
            line: Rs485::new(Line::RA_GAS, devices),
            now_us: 0,
            due_ms: 0,
            image: 0,
            relays: [false; 4],
            told: Vec::new(),
            bytes: 0,
        }
    }

    fn gas(&mut self, no2: f64, co: f64) {
        match self.line.device(SENSOR) {
            Some(Device::RaGas(sensor)) => sensor.set_ppm(no2, co),
            _ => panic!("no sensor"),
        }
    }

    fn button(&mut self) {
        let answer = self.node.button();
        self.told
            .extend(answer.into_iter().map(|answer| format!("button: {answer}")));
    }

    /// Until this second: from deadline to deadline, of the node or of the line.
    fn until(&mut self, second: u64) {
        let end_us = second * 1_000_000;
        while self.now_us < end_us {
            let line_us = self.line.next_due().unwrap_or(u64::MAX);
            // The node sees whole milliseconds.
            let line_us = line_us.div_ceil(1000).saturating_mul(1000);
            self.now_us = line_us.min(self.due_ms * 1000).max(self.now_us).min(end_us);
            let mut received = Vec::new();
            self.line.take(self.now_us, &mut received);
            self.bytes += received.len();
            let step = self.node.at(self.now_us / 1000, &received);
            self.told.extend(step.events);
            self.line.feed(self.now_us, &step.sent);
            if step.image != self.image {
                self.image = step.image;
                self.told.push(format!(
                    "{} ms: image {:02b}",
                    self.now_us / 1000,
                    self.image
                ));
            }
            if let Some(Device::MrDo4(module)) = self.line.device(RELAYS)
                && module.relays() != self.relays
            {
                self.relays = module.relays();
                self.told.push(format!(
                    "{} ms: contacts {:?}",
                    self.now_us / 1000,
                    self.relays
                ));
            }
            self.due_ms = step.next_ms.max(self.now_us / 1000 + 1);
        }
    }
}

/// Clean air; CO; clean air again (latched); the button twice; NO2; a dead sensor, and its return.
fn tell(node: Box<dyn AnyNode>) -> Vec<String> {
    let mut story = Story::new(node);
    story.gas(0.0, 0.0);
    story.until(5);
    story.gas(0.0, 100.0);
    story.until(8);
    assert_eq!(
        (story.image, story.relays[..2].to_vec()),
        (0b10, vec![false, true]),
        "CO"
    );
    story.gas(0.0, 0.0);
    story.until(12);
    assert_eq!(story.image, 0b10, "latched");
    story.button();
    story.until(13);
    story.button();
    story.until(15);
    assert_eq!(
        (story.image, story.relays[..2].to_vec()),
        (0, vec![false, false]),
        "reset"
    );
    story.gas(9.0, 0.0);
    story.until(18);
    assert_eq!(story.image, 0b01, "NO2");
    story
        .line
        .device(SENSOR)
        .unwrap()
        .fault(Fault::Silence, true);
    story.until(40);
    assert_eq!(story.image, 0b01, "a dead sensor ends no alarm");
    story
        .line
        .device(SENSOR)
        .unwrap()
        .fault(Fault::Silence, false);
    story.until(60);
    story.told.push(format!("{} bytes received", story.bytes));
    story.told
}

/// Issue 3, line 4.
#[test]
fn golden_the_gas_node_raises_and_latches_on_the_host_and_on_risc_v_alike() {
    let host = tell(Box::new(OnHost::start()));
    let text = host.join("\n");
    for wanted in [
        "change: Raised",
        "change: Latched",
        "CellFault",
        "CellHealthy",
        "contacts [true",
    ] {
        assert!(text.contains(wanted), "{wanted} not in\n{text}");
    }
    let Some(machine) = qemu::find("gas_node") else {
        return;
    };
    let mut board = machine.start(&Cable::Socket, &[]);
    assert_eq!(board.bench_line(), "boot");
    let emulated = tell(Box::new(Emulated(board)));
    assert_eq!(emulated, host);
}
