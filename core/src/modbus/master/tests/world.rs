//! A line whose far end is a function from requests to delayed bytes.

use super::super::super::frame::{Address, Answer, Table};
use super::super::super::line::Line;
use super::super::super::plan::{Plan, Read};
use super::super::*;
use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec::Vec;

/// What the far end does with a request: bytes, each piece so many ms after the request's last character.
pub(super) type Far = Box<dyn FnMut(&[u8]) -> Vec<(u64, Vec<u8>)>>;

pub(super) struct World {
    pub(super) master: Master,
    pub(super) now: Instant,
    far: Far,
    on_line: Vec<(Instant, Vec<u8>)>,
    /// Every request with the instant it started.
    pub(super) sent: Vec<(Instant, Vec<u8>)>,
    pub(super) answers: Vec<(Instant, u8, u8, Vec<u8>)>,
    pub(super) log: String,
}

pub(super) fn ms(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

pub(super) fn span(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    words.join(" ")
}

pub(super) fn holding(start: u16, count: u16) -> Read {
    Read {
        table: Table::Holding,
        start,
        count,
    }
}

/// Reads `reads` once a second.
pub(super) fn device(address: u8, reads: &[Read]) -> Device {
    Device {
        address: Address::new(address).unwrap(),
        plan: Plan::new(reads, 0).unwrap(),
        image: None,
        period: span(1000),
    }
}

pub(super) fn bus(devices: &[Device]) -> Bus {
    Bus {
        devices: devices.iter().cloned().collect(),
        ..Bus::new(Line::RA_GAS)
    }
}

/// The answer of `slave` to a read of holding registers: each holds slave * 256 + its number.
pub(super) fn honest(request: &[u8]) -> Vec<u8> {
    let [slave, 3, high, low, _, count, ..] = *request else {
        return Vec::new();
    };
    let start = u16::from_be_bytes([high, low]);
    let words = (start..).take(usize::from(count));
    let data: Vec<u8> = words.flat_map(|at| [slave, at as u8]).collect();
    let answer = Answer::Read {
        table: Table::Holding,
        data: &data,
    };
    answer.write(Address::new(slave).unwrap()).to_vec()
}

/// Time on the line of so many bytes at 9600 baud, rounded up.
pub(super) fn taken(bytes: &[u8]) -> u64 {
    Line::RA_GAS.span(bytes.len()).as_micros().div_ceil(1000) as u64
}

/// `bytes` in pieces, the first byte `delay` ms after the request, at the pace of the line.
pub(super) fn paced(delay: u64, bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut pieces = Vec::new();
    for (n, piece) in bytes.chunks(8).enumerate() {
        let sent = n * 8 + if n == 0 { 1 } else { piece.len() };
        let at = |sent: usize| delay + taken(&bytes[..sent]);
        if n == 0 {
            pieces.push((delay, piece[..1].to_vec()));
            pieces.push((at(piece.len()), piece[1..].to_vec()));
        } else {
            pieces.push((at(sent), piece.to_vec()));
        }
    }
    pieces
}

/// `bytes` complete after 10 ms of thinking and their time on the line.
pub(super) fn at_once(bytes: Vec<u8>) -> Vec<(u64, Vec<u8>)> {
    std::vec![(10 + taken(&bytes), bytes)]
}

impl World {
    pub(super) fn new(bus: Bus, far: impl FnMut(&[u8]) -> Vec<(u64, Vec<u8>)> + 'static) -> Self {
        let mut world = Self {
            master: Master::new(bus).unwrap(),
            now: Instant::ZERO,
            far: Box::new(far),
            on_line: Vec::new(),
            sent: Vec::new(),
            answers: Vec::new(),
            log: String::new(),
        };
        world.handle(Input::Opened);
        world
    }

    pub(super) fn handle(&mut self, input: Input<'_>) {
        self.master.handle(self.now, input);
        self.drain();
    }

    fn say(&mut self, line: &str) {
        self.log += &format!("{} {line}\n", self.now.as_millis());
    }

    fn drain(&mut self) {
        while let Some(output) = self.master.poll_output() {
            match output {
                Output::DiscardInput => {}
                Output::Transmit(frame) => {
                    self.say(&format!("> {}", hex(&frame)));
                    self.sent.push((self.now, frame.to_vec()));
                    let end = self.now + Line::RA_GAS.span(frame.len());
                    for (delay, bytes) in (self.far)(&frame) {
                        self.on_line.push((end + span(delay), bytes));
                    }
                    self.on_line.sort_by_key(|(at, _)| *at);
                }
                Output::Answer { device, read, data } => {
                    self.say(&format!("answer {}.{read}", device.0));
                    let bytes = data.bytes().to_vec();
                    self.answers.push((self.now, device.0, read, bytes));
                }
                other => self.say(&format!("{other:?}")),
            }
        }
    }

    /// Runs from event to event up to and including `end`.
    pub(super) fn run_to(&mut self, end: u64) {
        let end = ms(end);
        loop {
            let line = self.on_line.first().map(|(at, _)| *at);
            let timeout = self.master.poll_timeout().map(|at| at.max(self.now));
            let Some(next) = line
                .into_iter()
                .chain(timeout)
                .min()
                .filter(|at| *at <= end)
            else {
                break;
            };
            self.now = next.max(self.now);
            if line == Some(next) {
                let (_, bytes) = self.on_line.remove(0);
                self.handle(Input::Received(&bytes));
            } else {
                self.master.handle_timeout(self.now);
                self.drain();
            }
        }
        self.now = end;
    }

    pub(super) fn counters(&self, device: u8) -> Counters {
        self.master.counters(DeviceIndex(device))
    }

    pub(super) fn state(&self, device: u8) -> DeviceState {
        self.master.state(DeviceIndex(device))
    }

    pub(super) fn answers_of(&self, device: u8) -> usize {
        self.answers
            .iter()
            .filter(|answer| answer.1 == device)
            .count()
    }
}
