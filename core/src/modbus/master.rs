//! # Bus master
//! Owns a bus: asks each device in turn, takes only what answers the question, and says how it is going.
//! Entry: [`Master`], a [`Machine`].
//!
//! ```text
//!            Opened                 due, line silent for t3.5
//!   Closed ---------> Idle -------------------------------------> Asking
//!      ^               ^                                             |
//!      |               |   answer | exception | bad answer | time    |
//!      +- Closed ------+---------------------------------------------+
//! ```
//!
//! Order of work: changed images, one-off writes, then the poll that fell due first. A failed try is repeated
//! at the place of its poll in that order, so a relay never waits for the retries of a sensor.
//!
//! What is never taken for an answer: another slave's frame, another function's, one of another length, an own
//! request heard again, anything with a wrong checksum. An RTU answer does not say which registers it holds, so
//! after a try without an answer the device is asked nothing else until a late one can no longer come
//! ([`Bus::timeout`] after the repeated try succeeded); the other devices are served meanwhile.
//!
//! A device that failed three polls in a row is asked once every 10 s, with one short try; see
//! [`slot`] for the numbers and the bound of 5 %.

pub mod config;
mod receiver;
pub mod report;
mod slot;

pub use config::{Bus, ConfigError, Device, DeviceIndex, Image};
pub use report::{Counters, DATA_MAX, Data, DeviceState, Failure, Input, Output, Strays, Write};
pub use slot::{MISSES_MAX, PROBE_EVERY, PROBE_EVERY_ALONE, PROBE_REST};

use super::frame::{Coils, FRAME_MAX, Request, exception};
use super::line::surely;
use crate::limits::{BUS_DEVICES_MAX, BUS_OUTPUTS_MAX, BUS_WRITES_MAX};
use crate::machine::Machine;
use crate::time::{Duration, Instant};
use config::request_of;
use heapless::{Deque, Vec};
use receiver::{Expected, Receiver, Verdict};
use slot::Slot;

/// The bus time over which the efficiency is averaged.
const EFFICIENCY_OVER: Duration = Duration::from_secs(60);

/// The owner of one bus.
#[derive(Debug)]
pub struct Master {
    bus: Bus,
    slots: Vec<Slot, BUS_DEVICES_MAX>,
    writes: Deque<Queued, BUS_WRITES_MAX>,
    receiver: Receiver,
    line: LineState,
    outputs: Deque<Output, BUS_OUTPUTS_MAX>,
    /// The bus repeats what is sent; see [`Expected::new`].
    echoing: bool,
    /// No probe before, so that dead devices stay within their share.
    probe_from: Instant,
    /// The last byte on the line that is known of, sent or received.
    last_byte: Instant,
    cycle_started: Option<Instant>,
    cycle: Option<Duration>,
    spent: Duration,
    useful: Duration,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // one a master, and without alloc there is no box
enum LineState {
    Closed,
    Idle {
        /// The line has been wanted since then; bounds the wait for silence on a babbling line.
        wanted: Option<Instant>,
    },
    Asking(Exchange),
}

/// One try under way.
#[derive(Debug)]
struct Exchange {
    work: Work,
    expected: Expected,
    started: Instant,
    /// End of the request's last character.
    sent: Instant,
    /// Without a byte until then there is no answer.
    deadline: Instant,
    /// Whatever is being received then is no answer.
    give_up: Instant,
    /// Characters of request and answer.
    characters: usize,
    /// The image as sent, where one was.
    image: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// The next step of a device's poll.
    Poll(DeviceIndex),
    /// A changed image, ahead of the poll.
    Image(DeviceIndex),
    /// The one-off write at the front of the queue.
    Write(DeviceIndex),
}

impl Work {
    const fn device(self) -> DeviceIndex {
        match self {
            Self::Poll(device) | Self::Image(device) | Self::Write(device) => device,
        }
    }
}

/// What a step of a poll does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Image,
    Read(u8),
}

#[derive(Clone, Copy, Debug)]
struct Queued {
    device: DeviceIndex,
    token: u32,
    write: Write,
    attempt: u8,
}

impl Master {
    /// A master of a closed port; [`Input::Opened`] starts it.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(bus: Bus) -> Result<Self, ConfigError> {
        bus.check()?;
        let slots = bus.devices.iter().map(|_| Slot::default()).collect();
        Ok(Self {
            bus,
            slots,
            writes: Deque::new(),
            receiver: Receiver::default(),
            line: LineState::Closed,
            outputs: Deque::new(),
            echoing: false,
            probe_from: Instant::ZERO,
            last_byte: Instant::ZERO,
            cycle_started: None,
            cycle: None,
            spent: Duration::ZERO,
            useful: Duration::ZERO,
        })
    }

    /// The configuration, with the times that follow from it ([`Bus::worst_age`]).
    #[must_use]
    pub const fn bus(&self) -> &Bus {
        &self.bus
    }

    /// How a device is doing.
    #[must_use]
    pub fn state(&self, device: DeviceIndex) -> DeviceState {
        self.slots
            .get(device.at())
            .map_or(DeviceState::Waiting, |slot| slot.state)
    }

    /// The image that a device confirmed last, since the port was opened.
    #[must_use]
    pub fn written(&self, device: DeviceIndex) -> Option<u16> {
        self.slots.get(device.at())?.written
    }

    /// What happened with a device; all zero for one that does not exist.
    #[must_use]
    pub fn counters(&self, device: DeviceIndex) -> Counters {
        self.slots
            .get(device.at())
            .map_or_else(Counters::default, |slot| slot.counters)
    }

    /// The sum over all devices.
    #[must_use]
    pub fn totals(&self) -> Counters {
        let add = |sum: Counters, slot: &Slot| sum.plus(&slot.counters);
        self.slots.iter().fold(Counters::default(), add)
    }

    /// What was received and not taken.
    #[must_use]
    pub const fn strays(&self) -> Strays {
        self.receiver.strays
    }

    /// How long the last whole cycle took, from its first request to the end of the poll that made every living
    /// device polled. `None` before the first.
    #[must_use]
    pub const fn cycle(&self) -> Option<Duration> {
        self.cycle
    }

    /// Share of the bus time in use, gaps and waits included, that brought good answers, in thousandths, over
    /// about the last minute in use. 1000 while nothing was sent.
    #[must_use]
    pub fn efficiency_permille(&self) -> u16 {
        match self.spent.as_millis() {
            0 => 1000,
            spent => (self.useful.as_millis() * 1000 / spent).min(1000) as u16,
        }
    }

    fn opened(&mut self, now: Instant) {
        self.receiver.clear();
        for slot in &mut self.slots {
            slot.reset(now);
        }
        self.line = LineState::Idle { wanted: None };
        self.last_byte = now;
        self.probe_from = now;
        self.cycle_started = None;
    }

    fn closed(&mut self, now: Instant) {
        if let LineState::Asking(exchange) = core::mem::replace(&mut self.line, LineState::Closed)
            && let Work::Poll(device) = exchange.work
        {
            let kind = Failure::Timeout;
            self.slots[device.at()].count(kind);
            self.output(Output::Failure { device, kind });
        }
        self.receiver.clear();
        for slot in &mut self.slots {
            slot.reset(now);
        }
        while let Some(queued) = self.writes.pop_front() {
            self.written_once(queued, Err(Failure::Timeout));
        }
    }

    fn received(&mut self, now: Instant, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.last_byte = now.max(self.last_byte);
        match &mut self.line {
            LineState::Closed => {}
            LineState::Idle { .. } => self.receiver.stray(bytes),
            LineState::Asking(exchange) => {
                let verdict = self.receiver.received(bytes, &mut exchange.expected);
                self.judged(now, verdict);
            }
        }
        // A late sign of life: the short wait of a probe was too short for this device.
        if let Some(slave) = self.receiver.foreign_slave.take() {
            let devices = self.bus.devices.iter().zip(&mut self.slots);
            for (_, slot) in devices.filter(|(device, _)| device.address.get() == slave) {
                if slot.is_dead() {
                    slot.slowest = None;
                    slot.due = slot.due.min(now);
                }
            }
        }
    }

    fn queue_write(&mut self, device: DeviceIndex, token: u32, write: Write) {
        let queued = Queued {
            device,
            token,
            write,
            attempt: 0,
        };
        let known = device.at() < self.slots.len();
        let open = !matches!(self.line, LineState::Closed);
        if !known || !open || self.writes.push_back(queued).is_err() {
            self.written_once(queued, Err(Failure::Timeout));
        }
    }

    fn set_image(&mut self, device: DeviceIndex, bits: u16) {
        let Some(image) = self.bus.devices.get(device.at()).and_then(|d| d.image) else {
            return;
        };
        let bits = bits & (u32::MAX >> (32 - u32::from(image.count))) as u16;
        let slot = &mut self.slots[device.at()];
        if slot.image != Some(bits) {
            slot.image = Some(bits);
            slot.image_urgent = true;
        }
    }

    /// What a poll of `device` does at its `step`.
    fn step(&self, device: DeviceIndex, step: u8) -> Option<Step> {
        let images = u8::from(self.slots[device.at()].image.is_some());
        match step.checked_sub(images) {
            None => Some(Step::Image),
            Some(read) => {
                let reads = self.bus.devices[device.at()].plan.reads();
                (usize::from(read) < reads.len()).then_some(Step::Read(read))
            }
        }
    }

    /// The next piece of work and when it may start, silence on the line apart.
    fn next_work(&self) -> Option<(Instant, Work)> {
        let indexed = || (0..).map(DeviceIndex).zip(&self.slots);
        let urgent = |slot: &Slot| slot.image_urgent && !slot.image_waits && !slot.is_dead();
        let urgent = indexed().find(|(_, slot)| urgent(slot));
        if let Some((device, _)) = urgent {
            return Some((Instant::ZERO, Work::Image(device)));
        }
        if let Some(queued) = self.writes.front() {
            return Some((Instant::ZERO, Work::Write(queued.device)));
        }
        let ready = |(device, slot): (DeviceIndex, &Slot)| {
            self.step(device, 0)?;
            let ready = if slot.is_dead() && slot.started.is_none() {
                slot.ready_at().max(self.probe_from)
            } else {
                slot.ready_at()
            };
            Some((ready, slot.due, device))
        };
        let (ready, _, device) = indexed().filter_map(ready).min()?;
        Some((ready, Work::Poll(device)))
    }

    /// The earliest instant at which the line has been silent long enough.
    fn silent_at(&self) -> Instant {
        self.last_byte + self.bus.gap()
    }

    /// How long a babbling line is waited for before the poll that needs it fails.
    fn patience(&self) -> Duration {
        self.bus.timeout + self.bus.line.span(FRAME_MAX)
    }

    /// Sends the next request if one is due and the line is silent.
    fn start(&mut self, now: Instant) {
        let LineState::Idle { wanted } = &mut self.line else {
            return;
        };
        let wanted = *wanted;
        let Some((ready, work)) = self.next_work().filter(|(ready, _)| *ready <= now) else {
            return;
        };
        if now < self.silent_at() {
            let since = wanted.unwrap_or(now.max(ready));
            self.line = LineState::Idle {
                wanted: Some(since),
            };
            if now >= since + self.patience() {
                self.line = LineState::Idle { wanted: Some(now) };
                self.begin_poll(now, work);
                self.try_failed(now, work, Failure::Length);
            }
            return;
        }
        self.begin_poll(now, work);
        self.ask(now, work);
    }

    fn begin_poll(&mut self, now: Instant, work: Work) {
        if let Work::Poll(device) = work {
            let slot = &mut self.slots[device.at()];
            slot.started.get_or_insert(now);
            self.cycle_started.get_or_insert(now);
        }
    }

    fn ask(&mut self, now: Instant, work: Work) {
        let device = work.device();
        let image = self.slots[device.at()].image.unwrap_or_default();
        let bits = image.to_le_bytes();
        let step = match work {
            Work::Poll(_) => self.step(device, self.slots[device.at()].step),
            Work::Image(_) => Some(Step::Image),
            Work::Write(_) => None,
        };
        let config = &self.bus.devices[device.at()];
        let request = match (step, config.image, self.writes.front()) {
            (Some(Step::Read(read)), ..) => request_of(&config.plan.reads()[usize::from(read)]),
            (Some(Step::Image), Some(block), _) => {
                let count = u16::from(block.count);
                let packed = &bits[..usize::from(count.div_ceil(8))];
                // The length fits by construction; an empty view would be refused by the device.
                let coils = Coils::new(packed, count).unwrap_or_default();
                Request::WriteCoils {
                    start: block.start,
                    coils,
                }
            }
            (_, _, Some(queued)) => queued.write.request(),
            // Work is only made of steps and writes that exist.
            _ => return,
        };
        let frame = request.write(config.address);
        let answer = request.answer_length();
        let slot = &mut self.slots[device.at()];
        if step == Some(Step::Image) {
            slot.image_urgent = false;
        }
        let sent = now + self.bus.line.span(frame.len());
        let wait = surely(slot.wait(self.bus.timeout) + self.bus.lateness);
        self.receiver.clear();
        self.line = LineState::Asking(Exchange {
            work,
            expected: Expected::new(&request, frame.clone(), self.echoing),
            started: now.max(self.last_byte),
            sent,
            deadline: sent + wait,
            give_up: sent + wait + self.bus.line.span(FRAME_MAX) + self.bus.frame_end(),
            characters: frame.len() + answer,
            image,
        });
        self.last_byte = sent;
        self.output(Output::DiscardInput);
        self.output(Output::Transmit(frame));
    }

    /// Acts on what the receiver found.
    fn judged(&mut self, now: Instant, verdict: Verdict) {
        match verdict {
            Verdict::Open => {}
            Verdict::Answer(frame) => self.answered(now, &frame),
            Verdict::Exception(code) => self.refused(now, code),
            Verdict::Bad(kind) => self.fail_exchange(now, kind),
        }
    }

    /// Takes the exchange off the line and books its time.
    fn end_exchange(&mut self, now: Instant, good: bool) -> Option<Exchange> {
        let idle = LineState::Idle { wanted: None };
        let LineState::Asking(exchange) = core::mem::replace(&mut self.line, idle) else {
            return None;
        };
        let busy = now - exchange.started + self.bus.gap();
        self.spent += busy;
        if good {
            // Turnaround of a device that answers at once belongs to a good exchange, waiting does not.
            let least = self.bus.gap() + self.bus.line.span(exchange.characters);
            self.useful += (least + self.bus.gap()).min(busy);
        }
        if self.spent > EFFICIENCY_OVER {
            self.spent /= 2;
            self.useful /= 2;
        }
        Some(exchange)
    }

    fn answered(&mut self, now: Instant, frame: &[u8]) {
        let Some(exchange) = self.end_exchange(now, true) else {
            return;
        };
        self.echoing = self.receiver.echoed;
        let work = exchange.work;
        let device = work.device();
        let late = self.bus.timeout;
        let taken = self.bus.line.span(frame.len());
        let slot = &mut self.slots[device.at()];
        slot.counters.good = slot.counters.good.wrapping_add(1);
        let waited = (now - exchange.sent).saturating_sub(taken);
        slot.slowest = Some(slot.slowest.unwrap_or_default().max(waited));
        if core::mem::take(&mut slot.owed) > 0 {
            slot.late_until = now + late;
        }
        self.revived(now, device);
        match work {
            Work::Write(_) => {
                if let Some(queued) = self.writes.pop_front() {
                    if queued.attempt > 0 {
                        self.recovered(device);
                    }
                    self.written_once(queued, Ok(()));
                }
            }
            Work::Image(_) => self.image_written(device, &exchange),
            Work::Poll(_) => {
                if self.slots[device.at()].attempt > 0 {
                    self.recovered(device);
                }
                match self.step(device, self.slots[device.at()].step) {
                    Some(Step::Image) => self.image_written(device, &exchange),
                    Some(Step::Read(read)) => self.read(device, read, frame),
                    None => {}
                }
                self.next_step(now, device);
            }
        }
    }

    fn read(&mut self, device: DeviceIndex, read: u8, frame: &[u8]) {
        let table = self.bus.devices[device.at()].plan.reads()[usize::from(read)].table;
        let data = frame.get(3..frame.len().saturating_sub(2));
        let data = Data {
            table,
            bytes: data.unwrap_or_default().iter().copied().collect(),
        };
        self.output(Output::Answer { device, read, data });
    }

    /// The bits that were sent are confirmed; newer ones are urgent already.
    fn image_written(&mut self, device: DeviceIndex, exchange: &Exchange) {
        let slot = &mut self.slots[device.at()];
        slot.written = Some(exchange.image);
    }

    fn next_step(&mut self, now: Instant, device: DeviceIndex) {
        let next = self.slots[device.at()].step + 1;
        if self.step(device, next).is_some() {
            let slot = &mut self.slots[device.at()];
            slot.step = next;
            slot.attempt = 0;
        } else {
            let slot = &mut self.slots[device.at()];
            slot.misses = 0;
            slot.state = DeviceState::Good;
            self.end_poll(now, device);
        }
    }

    fn refused(&mut self, now: Instant, code: u8) {
        let Some(exchange) = self.end_exchange(now, true) else {
            return;
        };
        let device = exchange.work.device();
        let kind = Failure::Exception(code);
        let busy = code == exception::BUSY;
        self.slots[device.at()].count(kind);
        self.revived(now, device);
        let slot = &mut self.slots[device.at()];
        slot.counters.busy = slot.counters.busy.wrapping_add(u32::from(busy));
        match exchange.work {
            Work::Write(_) => {
                if let Some(queued) = self.writes.pop_front() {
                    self.written_once(queued, Err(kind));
                }
            }
            // The poll writes the image again and reports.
            Work::Image(_) => {}
            Work::Poll(_) if busy => {
                slot.misses = 0;
                slot.state = DeviceState::Busy;
                self.output(Output::Busy { device });
                self.end_poll(now, device);
            }
            Work::Poll(_) => {
                // It refuses, so it lives: it costs no timeouts and is never probed for this.
                slot.misses = 0;
                slot.state = DeviceState::Retrying;
                self.output(Output::Failure { device, kind });
                self.end_poll(now, device);
            }
        }
    }

    fn fail_exchange(&mut self, now: Instant, kind: Failure) {
        let Some(exchange) = self.end_exchange(now, false) else {
            return;
        };
        let device = exchange.work.device();
        if kind == Failure::Timeout {
            let slot = &mut self.slots[device.at()];
            slot.owed = slot.owed.saturating_add(1);
        }
        let dead = self.slots[device.at()].is_dead();
        if dead && self.slots.iter().any(|slot| slot.state.is_alive()) {
            let cost = now - exchange.started + self.bus.gap();
            self.probe_from = now + cost * PROBE_REST;
        }
        self.try_failed(now, exchange.work, kind);
    }

    /// A try brought nothing: repeat it, or give up.
    fn try_failed(&mut self, now: Instant, work: Work, kind: Failure) {
        let device = work.device();
        let retries = self.bus.retries;
        let slot = &mut self.slots[device.at()];
        slot.count(kind);
        match work {
            Work::Write(_) => {
                if let Some(queued) = self.writes.front_mut()
                    && queued.attempt < retries
                {
                    queued.attempt += 1;
                } else if let Some(queued) = self.writes.pop_front() {
                    self.written_once(queued, Err(kind));
                }
            }
            Work::Image(_) => {
                slot.image_urgent = true;
                slot.image_waits = true;
                slot.due = slot.due.min(now);
            }
            Work::Poll(_) if !slot.is_dead() && slot.attempt < retries => slot.attempt += 1,
            Work::Poll(_) => {
                slot.misses = slot.misses.saturating_add(1).min(MISSES_MAX);
                slot.state = if slot.misses < MISSES_MAX {
                    DeviceState::Retrying
                } else {
                    DeviceState::Probe
                };
                if core::mem::take(&mut slot.owed) > 0 {
                    slot.late_until = now + self.bus.timeout;
                }
                self.output(Output::Failure { device, kind });
                self.end_poll(now, device);
            }
        }
    }

    /// A sign of life from a device that was dead: it and all other dead ones get their turn at once, because
    /// a cable or a supply has often more than one behind it.
    fn revived(&mut self, now: Instant, device: DeviceIndex) {
        if self.slots[device.at()].is_dead() {
            self.recovered(device);
            self.slots[device.at()].state = DeviceState::Retrying;
            for slot in self.slots.iter_mut().filter(|slot| slot.is_dead()) {
                slot.due = slot.due.min(now);
            }
        }
    }

    fn recovered(&mut self, device: DeviceIndex) {
        let counters = &mut self.slots[device.at()].counters;
        counters.recovered = counters.recovered.wrapping_add(1);
    }

    fn end_poll(&mut self, now: Instant, device: DeviceIndex) {
        let alone = !self.slots.iter().any(|slot| slot.state.is_alive());
        let period = self.bus.devices[device.at()].period;
        let period = match (self.slots[device.at()].is_dead(), alone) {
            (false, _) => period,
            (true, false) => period.max(PROBE_EVERY),
            (true, true) => period.max(PROBE_EVERY_ALONE),
        };
        self.slots[device.at()].end_poll(now, period);
        let polled = |(device, slot): (DeviceIndex, &Slot)| {
            slot.in_cycle || slot.is_dead() || self.step(device, 0).is_none()
        };
        if (0..).map(DeviceIndex).zip(&self.slots).all(polled) {
            self.cycle = self.cycle_started.take().map(|started| now - started);
            for slot in &mut self.slots {
                slot.in_cycle = false;
            }
        }
    }

    fn written_once(&mut self, queued: Queued, result: Result<(), Failure>) {
        let Queued { device, token, .. } = queued;
        self.output(Output::Written {
            device,
            token,
            result,
        });
    }

    /// The bound follows from draining after every input; see [`BUS_OUTPUTS_MAX`].
    fn output(&mut self, output: Output) {
        let full = self.outputs.push_back(output).is_err();
        debug_assert!(!full, "drain poll_output after every input");
    }
}

impl Machine for Master {
    type Input<'a> = Input<'a>;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Opened => self.opened(now),
            Input::Closed => self.closed(now),
            Input::Received(bytes) => self.received(now, bytes),
            Input::Discarded(count) => self.receiver.discarded(count),
            Input::Write {
                device,
                token,
                write,
            } => self.queue_write(device, token, write),
            Input::Image { device, bits } => self.set_image(device, bits),
        }
        self.start(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let LineState::Asking(exchange) = &self.line {
            let silent = now >= self.last_byte + self.bus.frame_end();
            if self.receiver.is_collecting() && silent {
                let verdict = self.receiver.silence(&exchange.expected);
                self.judged(now, verdict);
            }
        }
        if let LineState::Asking(exchange) = &self.line {
            let over = now >= exchange.deadline && !self.receiver.is_collecting();
            if over {
                let kind = self.receiver.reason();
                self.fail_exchange(now, kind);
            } else if now >= exchange.give_up {
                self.fail_exchange(now, Failure::Length);
            }
        }
        self.start(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        let (at, slot) = (0..)
            .zip(&mut self.slots)
            .find(|(_, slot)| slot.told != slot.state)?;
        slot.told = slot.state;
        Some(Output::State {
            device: DeviceIndex(at),
            state: slot.state,
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.line {
            LineState::Closed => None,
            LineState::Asking(exchange) if self.receiver.is_collecting() => {
                Some((self.last_byte + self.bus.frame_end()).min(exchange.give_up))
            }
            LineState::Asking(exchange) => Some(exchange.deadline),
            LineState::Idle { .. } => {
                let (ready, _) = self.next_work()?;
                Some(ready.max(self.silent_at()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
