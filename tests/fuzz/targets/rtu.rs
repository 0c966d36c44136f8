//! A bus master and arbitrary bytes at arbitrary times.
//!
//! It must never panic or spin, never send into the silence between frames, never take for an answer what is
//! none, and poll everyone again once the line is honest.

use leitstand_core::machine::Machine;
use leitstand_core::modbus::frame::{Answer, Request, Table};
use leitstand_core::modbus::line::Line;
use leitstand_core::modbus::master::{
    Bus, Device, DeviceIndex, DeviceState, Image, Input, Master, Output, Write,
};
use leitstand_core::modbus::plan::{Plan, Read};
use leitstand_core::modbus::{Address, crc};
use leitstand_core::time::{Duration, Instant};

/// Steps of the script that are carried out.
const STEPS_MAX: usize = 200;
/// Deadlines at one instant. Reasoning: every device may fail at once.
const SPINS_MAX: usize = 100;
/// Honest time at the end: a probe comes every 10 s, and three dead ones take turns.
const HONEST_MS: u64 = 60_000;

/// Runs one script.
pub(crate) fn run(data: &[u8]) {
    let mut world = World::new(data.first().copied().unwrap_or(0));
    let mut script = data.iter().copied().skip(1);
    for _ in 0..STEPS_MAX {
        if !world.step(&mut script) {
            break;
        }
    }
    world.be_honest();
}

struct World {
    master: Master,
    now: u64,
    /// The last request and all before it, newest last, while the port is open.
    asked: Vec<Vec<u8>>,
    /// Bytes since the last request.
    heard: Vec<u8>,
    /// When the line last carried a byte, as far as the master can know.
    busy_until: u64,
    relays: u8,
    open: bool,
    /// Devices of which an answer was taken since the line is honest.
    seen: [bool; 3],
}

fn device(address: u8, reads: &[Read], image: Option<Image>) -> Device {
    Device {
        address: Address::new(address).expect("a constant in range"),
        plan: Plan::new(reads, 0).expect("constants that fit"),
        image,
        period: Duration::from_secs(1),
    }
}

fn read(table: Table, start: u16, count: u16) -> Read {
    Read {
        table,
        start,
        count,
    }
}

impl World {
    fn new(settings: u8) -> Self {
        let devices = [
            device(1, &[read(Table::Holding, 0, 4)], None),
            // Two reads of one shape: only time can tell their answers apart.
            device(
                2,
                &[read(Table::Input, 0, 2), read(Table::Input, 100, 2)],
                None,
            ),
            device(
                34,
                &[read(Table::Coils, 0, 8)],
                Some(Image { start: 0, count: 4 }),
            ),
        ];
        let bus = Bus {
            retries: settings & 3,
            lateness: Duration::from_millis(u64::from(settings >> 2 & 31)),
            devices: devices.into_iter().collect(),
            ..Bus::new(Line::RA_GAS)
        };
        let mut world = Self {
            master: Master::new(bus).expect("a legal bus"),
            now: 0,
            asked: Vec::new(),
            heard: Vec::new(),
            busy_until: 0,
            relays: 0,
            open: true,
            seen: [false; 3],
        };
        world.handle(Input::Opened);
        world
    }

    /// One step of the script. False = the script is over.
    fn step(&mut self, script: &mut impl Iterator<Item = u8>) -> bool {
        let (Some(what), Some(how)) = (script.next(), script.next()) else {
            return false;
        };
        match what % 10 {
            0 => self.run_to(self.now + u64::from(how)),
            1 => self.run_to(self.now + u64::from(how) * 16),
            2 => {
                let bytes: Vec<u8> = script.take(usize::from(how)).collect();
                self.hear(&bytes);
            }
            // The right answer, whole.
            3 => self.answer(0, |_| ()),
            // A late answer to an earlier question.
            4 => self.answer(usize::from(how % 8), |_| ()),
            // The right answer with one bit flipped, cut, or with a byte too many.
            5 => self.answer(0, |bytes| {
                let bit = usize::from(how) % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }),
            6 => self.answer(0, |bytes| {
                bytes.truncate(usize::from(how) % (bytes.len() + 1))
            }),
            7 => self.answer(0, |bytes| {
                bytes.insert(usize::from(how) % (bytes.len() + 1), how)
            }),
            // An echo, a frame sealed over arbitrary bytes, an exception.
            8 => match how % 3 {
                0 => {
                    let echo = self.asked.last().cloned().unwrap_or_default();
                    self.hear(&echo);
                }
                1 => {
                    let mut bytes: Vec<u8> = script.take(usize::from(how)).collect();
                    bytes.extend(crc::of(&bytes).to_le_bytes());
                    self.hear(&bytes);
                }
                _ => self.answer(0, |bytes| {
                    bytes.truncate(2);
                    bytes[1] |= 0x80;
                    bytes.push(how % 8);
                    bytes.extend(crc::of(bytes).to_le_bytes());
                }),
            },
            _ => match how % 4 {
                0 => {
                    self.handle(Input::Closed);
                    self.open = false;
                }
                1 => {
                    self.open = true;
                    self.busy_until = self.now;
                    self.handle(Input::Opened);
                }
                2 => self.handle(Input::Image {
                    device: DeviceIndex(2),
                    bits: u16::from(how),
                }),
                _ => self.handle(Input::Write {
                    device: DeviceIndex(how % 4),
                    token: u32::from(how),
                    write: Write::Register {
                        register: 3,
                        value: u16::from(how),
                    },
                }),
            },
        }
        true
    }

    /// Hears the answer to the request `back` questions ago, after `spoil`.
    fn answer(&mut self, back: usize, spoil: impl FnOnce(&mut Vec<u8>)) {
        let index = self.asked.len().checked_sub(back + 1);
        let Some(request) = index.and_then(|index| self.asked.get(index)).cloned() else {
            return;
        };
        let mut bytes = honest(&request, self.relays);
        spoil(&mut bytes);
        self.hear(&bytes);
    }

    fn hear(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.heard.extend_from_slice(bytes);
        self.busy_until = self.busy_until.max(self.now);
        self.handle(Input::Received(bytes));
    }

    fn handle(&mut self, input: Input<'_>) {
        self.master.handle(Instant::from_millis(self.now), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.master.poll_output() {
            match output {
                Output::Transmit(frame) => self.sent(&frame),
                Output::Answer { device, read, data } => self.taken(device, read, data.bytes()),
                _ => {}
            }
        }
    }

    fn sent(&mut self, frame: &[u8]) {
        assert!(self.open, "a request on a closed port");
        // 3.5 characters at 9600 baud are 3.65 ms; the clock's own millisecond comes on top.
        assert!(
            self.now >= self.busy_until + 5,
            "no silence before a request"
        );
        self.busy_until = self.now + (frame.len() as u64 * 10_000).div_ceil(9_600);
        self.heard.clear();
        self.asked.push(frame.to_vec());
        if let Ok((_, Request::WriteCoils { coils, .. })) = Request::parse(frame) {
            self.relays = coils
                .iter()
                .enumerate()
                .map(|(n, on)| u8::from(on) << n)
                .sum();
        }
    }

    /// What was taken must answer the last question and have been heard since, whole and with its checksum.
    fn taken(&mut self, device: DeviceIndex, read: u8, data: &[u8]) {
        self.seen[device.at()] = true;
        let asked = self.asked.last().expect("an answer without a question");
        let (address, request) = Request::parse(asked).expect("a legal request");
        let config = &self.master.bus().devices[device.at()];
        assert_eq!(config.address, address, "an answer for another's");
        let planned = config.plan.reads()[usize::from(read)];
        let Request::Read {
            table,
            start,
            count,
        } = request
        else {
            panic!("an answer to {request:?}");
        };
        assert_eq!(
            (table, start, count),
            (planned.table, planned.start, planned.count)
        );
        assert_eq!(data.len(), table.data_bytes(count));
        let frame = Answer::Read { table, data }.write(address);
        let heard = self
            .heard
            .windows(frame.len())
            .any(|window| window == frame.as_slice());
        assert!(heard, "an answer that nobody gave");
    }

    fn run_to(&mut self, end: u64) {
        let mut spins = 0;
        while let Some(at) = self.master.poll_timeout() {
            let at = at.as_millis().max(self.now);
            if at > end {
                break;
            }
            spins = if at == self.now { spins + 1 } else { 0 };
            assert!(spins < SPINS_MAX, "deadlines without end at {at} ms");
            self.now = at;
            self.master.handle_timeout(Instant::from_millis(at));
            self.drain();
        }
        self.now = end;
    }

    /// From now on everybody answers; after a while everybody must be polled again, with their own data.
    fn be_honest(&mut self) {
        if !self.open {
            self.open = true;
            self.busy_until = self.now;
            self.handle(Input::Opened);
        }
        self.seen = [false; 3];
        let end = self.now + HONEST_MS;
        let mut answered = self.asked.len().saturating_sub(1);
        while self.now < end && !self.is_well() {
            let next = self.master.poll_timeout().map_or(end, |at| at.as_millis());
            // Answers come 20 ms after the question.
            self.run_to(next.clamp(self.now + 1, self.now + 30));
            if self.asked.len() > answered {
                answered = self.asked.len();
                self.run_to(self.now + 20);
                self.answer(0, |_| ());
            }
        }
        assert!(self.is_well(), "answered since: {:?}", self.seen);
    }

    /// Everybody was polled since the line is honest.
    fn is_well(&self) -> bool {
        let good = |device| self.master.state(DeviceIndex(device)) == DeviceState::Good;
        self.seen == [true; 3] && (0..3).all(good)
    }
}

/// What the slave answers: registers hold the slave's address and their number.
fn honest(request: &[u8], relays: u8) -> Vec<u8> {
    let Ok((address, request)) = Request::parse(request) else {
        return vec![0];
    };
    let words: Vec<u8>;
    let answer = match request {
        Request::Read {
            table: table @ (Table::Holding | Table::Input),
            start,
            count,
        } => {
            let numbers = (start..).take(usize::from(count));
            words = numbers.flat_map(|at| [address.get(), at as u8]).collect();
            Answer::Read {
                table,
                data: &words,
            }
        }
        Request::Read { table, .. } => Answer::Read {
            table,
            data: &[relays],
        },
        Request::WriteCoil { coil, on } => Answer::WriteCoil { coil, on },
        Request::WriteRegister { register, value } => Answer::WriteRegister { register, value },
        Request::Diagnostic { sub, data } => Answer::Diagnostic { sub, data },
        Request::WriteCoils { start, coils } => Answer::WriteCoils {
            start,
            count: coils.len(),
        },
        Request::WriteRegisters { start, values } => Answer::WriteRegisters {
            start,
            count: values.len() as u16,
        },
    };
    answer.write(address).to_vec()
}
