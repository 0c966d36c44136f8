//! An RS-485 line with its devices, without IO and without a clock.
//!
//! Feed it what the master sends, take from it what the devices answer: each byte has the time at which its
//! last bit would be on the wire. `tests/sim` drives it on a virtual clock, [`crate::bus`] on a
//! pseudo-terminal.

use crate::fault::{Fault, Faults};
use crate::mr_do4::MrDo4;
use crate::ra_gas::RaGas;
use leitstand_core::modbus::Address;
use leitstand_core::modbus::crc;
use leitstand_core::modbus::frame::{Answer, Frame, Request, exception};
use leitstand_core::modbus::line::Line;
use std::collections::VecDeque;

/// Microseconds of whatever clock the caller has; never goes back.
pub type Micros = u64;

/// From the end of a request to the start of the answer, beside the silence of 3.5 characters. Reasoning: a
/// small microcontroller needs a few milliseconds.
const TURNAROUND_US: Micros = 3_000;
/// How much later a late answer comes. Reasoning: beyond the master's patience of 300 ms.
const LATE_US: Micros = 350_000;
/// A beginning of a request is forgotten after this silence. Reasoning: far more than 3.5 characters, because
/// a busy host may pause within one write.
const FORGET_US: Micros = 50_000;
/// Entries of the record that are kept; the oldest go first. Reasoning: ten minutes of a busy 9600 baud line.
const RECORD_MAX: usize = 20_000;

/// Something with an address.
#[derive(Clone, Debug)]
pub enum Device {
    /// A CO/NO2 combi sensor.
    RaGas(RaGas),
    /// A module with four relays.
    MrDo4(MrDo4),
}

impl Device {
    /// Its address.
    #[must_use]
    pub const fn address(&self) -> Address {
        match self {
            Self::RaGas(sensor) => sensor.address(),
            Self::MrDo4(module) => module.address(),
        }
    }

    /// Faults that are on.
    #[must_use]
    pub const fn faults(&self) -> Faults {
        match self {
            Self::RaGas(sensor) => sensor.faults,
            Self::MrDo4(module) => module.faults,
        }
    }

    /// Begins or ends a fault.
    pub fn fault(&mut self, fault: Fault, on: bool) {
        match self {
            Self::RaGas(sensor) => sensor.fault(fault, on),
            Self::MrDo4(module) => module.faults.set(fault, on),
        }
    }

    fn answer(&mut self, request: Request<'_>) -> Frame {
        match self {
            Self::RaGas(sensor) => sensor.answer(request),
            Self::MrDo4(module) => module.answer(request),
        }
    }
}

/// Who sent a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The gateway.
    Master,
    /// The device with this address.
    Slave(Address),
}

/// One frame as it was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who sent it.
    pub sender: Sender,
    /// First bit of the first byte.
    pub start_us: Micros,
    /// Last bit of the last byte.
    pub end_us: Micros,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The line.
#[derive(Debug)]
pub struct Rs485 {
    line: Line,
    devices: Vec<Device>,
    heard: Vec<u8>,
    heard_us: Micros,
    /// When what the master has sent so far is on the wire completely.
    sent_until_us: Micros,
    /// On their way to the master, in time order.
    due: VecDeque<(Micros, u8)>,
    record: VecDeque<Record>,
}

impl Rs485 {
    /// A line with these devices.
    #[must_use]
    pub fn new(line: Line, devices: Vec<Device>) -> Self {
        Self {
            line,
            devices,
            heard: Vec::new(),
            heard_us: 0,
            sent_until_us: 0,
            due: VecDeque::new(),
            record: VecDeque::new(),
        }
    }

    /// The device with this address.
    pub fn device(&mut self, address: u8) -> Option<&mut Device> {
        self.devices
            .iter_mut()
            .find(|d| d.address().get() == address)
    }

    /// All devices.
    pub fn devices_mut(&mut self) -> impl Iterator<Item = &mut Device> {
        self.devices.iter_mut()
    }

    /// All devices.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter()
    }

    /// What was on the wire, oldest first.
    pub fn record(&self) -> impl Iterator<Item = &Record> {
        self.record.iter()
    }

    /// The cable is pulled: what is under way is lost.
    pub fn clear(&mut self) {
        self.heard.clear();
        self.due.clear();
    }

    /// The master's bytes, handed over at `now_us`. They take their time on the wire from then on.
    pub fn feed(&mut self, now_us: Micros, bytes: &[u8]) {
        if now_us.saturating_sub(self.heard_us) > FORGET_US {
            self.heard.clear();
        }
        self.heard_us = now_us;
        self.sent_until_us = self.sent_until_us.max(now_us) + self.line.micros(bytes.len() as u32);
        self.heard.extend_from_slice(bytes);
        loop {
            let Some(length) = Request::length(&self.heard) else {
                // Only silence can end an unknown frame; more bytes than any frame has are noise.
                if self.heard.len() > leitstand_core::modbus::frame::FRAME_MAX {
                    self.heard.clear();
                }
                return;
            };
            if self.heard.len() < length {
                return;
            }
            let request: Vec<u8> = self.heard.drain(..length).collect();
            self.exchange(&request);
        }
    }

    fn exchange(&mut self, bytes: &[u8]) {
        let end = self.sent_until_us;
        let start = end.saturating_sub(self.line.micros(bytes.len() as u32));
        self.note(Sender::Master, start, end, bytes);
        let Ok((address, request)) = Request::parse(bytes) else {
            return;
        };
        let Some(device) = self.devices.iter_mut().find(|d| d.address() == address) else {
            return;
        };
        let faults = device.faults();
        if faults.has(Fault::Silence) {
            return;
        }
        let mut answer: Vec<u8> = if faults.has(Fault::Busy) {
            Answer::Exception {
                function: request.function(),
                code: exception::BUSY,
            }
            .write(address)
            .to_vec()
        } else {
            device.answer(request).to_vec()
        };
        if faults.has(Fault::WrongSlave) {
            answer[0] = answer[0] % 247 + 1;
            let body = answer.len() - 2;
            let sum = crc::of(&answer[..body]).to_le_bytes();
            answer[body..].copy_from_slice(&sum);
        }
        if faults.has(Fault::WrongCrc)
            && let Some(last) = answer.last_mut()
        {
            *last ^= 0x10;
        }
        if faults.has(Fault::HalfFrame) {
            answer.truncate(answer.len() / 2);
        }
        if faults.has(Fault::LostByte) {
            answer.remove(answer.len() / 2);
        }
        if faults.has(Fault::Echo) {
            self.send(start, bytes);
        }
        let late = if faults.has(Fault::Late) { LATE_US } else { 0 };
        let begin = end + self.line.micros(4) + TURNAROUND_US + late;
        self.note(
            Sender::Slave(address),
            begin,
            begin + self.line.micros(answer.len() as u32),
            &answer,
        );
        self.send(begin, &answer);
    }

    /// Puts bytes on the wire towards the master, each at its time. What two devices send at once is mixed, as
    /// it would be.
    fn send(&mut self, start_us: Micros, bytes: &[u8]) {
        for (n, byte) in bytes.iter().enumerate() {
            let at = start_us + self.line.micros(n as u32 + 1);
            let place = self.due.partition_point(|(t, _)| *t <= at);
            self.due.insert(place, (at, *byte));
        }
    }

    /// Moves the bytes whose time has come to `out`.
    pub fn take(&mut self, now_us: Micros, out: &mut Vec<u8>) {
        while let Some((at, byte)) = self.due.front().copied() {
            if at > now_us {
                break;
            }
            self.due.pop_front();
            out.push(byte);
        }
    }

    /// When the next byte is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Micros> {
        self.due.front().map(|(at, _)| *at)
    }

    fn note(&mut self, sender: Sender, start_us: Micros, end_us: Micros, bytes: &[u8]) {
        if self.record.len() == RECORD_MAX {
            self.record.pop_front();
        }
        self.record.push_back(Record {
            sender,
            start_us,
            end_us,
            bytes: bytes.to_vec(),
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const READ: [u8; 8] = [0x01, 0x03, 0x00, 0x00, 0x00, 0x1E, 0xC5, 0xC2];

    fn line() -> Rs485 {
        let sensor = RaGas::new(Address::new(1).unwrap());
        Rs485::new(Line::RA_GAS, vec![Device::RaGas(sensor)])
    }

    fn answer(line: &mut Rs485) -> Vec<u8> {
        line.feed(0, &READ);
        let mut out = Vec::new();
        line.take(u64::MAX, &mut out);
        out
    }

    fn with(fault: Fault) -> Rs485 {
        let mut line = line();
        line.device(1).unwrap().fault(fault, true);
        line
    }

    #[test]
    fn bytes_come_one_by_one_after_request_silence_and_turnaround() {
        let mut line = line();
        line.feed(0, &READ);
        // 8 characters of 1042 us, 4 of silence, turnaround, one character.
        let first = line.next_due().unwrap();
        assert_eq!(first, 8_334 + 4_167 + 3_000 + 1_042);
        let mut out = Vec::new();
        line.take(first, &mut out);
        assert_eq!(out, [1]);
        line.take(first + 10 * 1_042, &mut out);
        assert_eq!(out.len(), 11);
    }

    #[test]
    fn each_fault_does_what_its_name_says() {
        let whole = answer(&mut line());
        assert!(whole.len() == 65 && crc::is_good(&whole));
        assert_eq!(answer(&mut with(Fault::Silence)), []);
        assert!(!crc::is_good(&answer(&mut with(Fault::WrongCrc))));
        let wrong = answer(&mut with(Fault::WrongSlave));
        assert!(wrong[0] == 2 && crc::is_good(&wrong));
        assert_eq!(answer(&mut with(Fault::Busy))[1..3], [0x83, 6]);
        assert_eq!(answer(&mut with(Fault::HalfFrame)), whole[..32]);
        assert_eq!(answer(&mut with(Fault::LostByte)).len(), 64);
        let echoed = answer(&mut with(Fault::Echo));
        assert_eq!((&echoed[..8], &echoed[8..]), (&READ[..], &whole[..]));
        let mut late = with(Fault::Late);
        late.feed(0, &READ);
        assert!(late.next_due().unwrap() > 350_000);
    }

    #[test]
    fn noise_and_requests_for_others_are_met_with_silence() {
        let mut line = line();
        line.feed(0, &[0xFF; 600]);
        line.feed(100_000, &[0x02, 0x03, 0x00, 0x00, 0x00, 0x1E, 0xC5, 0xF1]);
        assert_eq!(line.next_due(), None);
        // After a pause it listens again.
        line.feed(200_000, &READ[..3]);
        line.feed(300_000, &READ);
        assert!(line.next_due().is_some());
    }
}
