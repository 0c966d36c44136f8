//! # The bus thread
//! One OS thread a bus: opens the port, lets [`Master`] poll, turns registers into readings, keeps relay modules
//! at their image. Entry: [`spawn`].
//!
//! It never waits for anyone: readings go to a bounded inbox, images are read from atomics, a lost port is
//! opened again with growing pauses. What goes over the line and when is the master's business
//! ([`leitstand_core::modbus::master`]), what a register means the [`decode`] module's.

pub(crate) mod decode;
mod jobs;
pub(crate) mod pump;

use crate::seam::{BusLink, BusReport, BusSpec, DeviceState, OpenPort, Parity};
use decode::Decoder;
use jobs::Jobs;
use leitstand_core::gas::{BoardIndex, Input};
use leitstand_core::hal::{PortError, SerialPort};
use leitstand_core::machine::Machine;
use leitstand_core::modbus::line;
use leitstand_core::modbus::master::{
    self, Bus, ConfigError, DeviceIndex, Failure, Master, Output,
};
use pump::Pump;
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a look at the images and at the stop flag may be put off. Reasoning: a tenth of the 200 ms that a
/// relay may take to follow a reading.
const LOOK: Duration = Duration::from_millis(20);
/// Pauses between attempts to open the port: the first, and the longest. Reasoning: a replugged adapter is back
/// within two seconds, and a missing one costs nothing.
const REOPEN_FIRST: Duration = Duration::from_millis(100);
const REOPEN_MAX: Duration = Duration::from_secs(2);
/// The report is renewed this often, beside every change of the port.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// The state of the port is told again this often, in case the inbox was full.
const RETELL_EVERY: Duration = Duration::from_secs(5);
/// Time for the last write of the images at the end.
const FAREWELL: Duration = Duration::from_millis(700);

/// Why a bus cannot be made. The configuration check reports it; nothing is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// More devices than one bus carries.
    #[error("more devices than one bus carries")]
    TooManyDevices,
    /// An address outside 1..=247, at this position.
    #[error("device {0}: a slave address is 1 to 247")]
    Address(usize),
    /// A register layout that no read can carry, at this position.
    #[error("device {0}: its registers cannot be read")]
    Registers(usize),
    /// Rates, times, or an address used twice.
    #[error("bus settings: {0:?}")]
    Settings(ConfigError),
}

/// The bus that `spec` describes, with the worst age of each device.
///
/// # Errors
/// What is wrong with it.
pub fn plan(spec: &BusSpec) -> Result<Bus, SpecError> {
    build(spec).map(|(bus, _)| bus)
}

fn build(spec: &BusSpec) -> Result<(Bus, Vec<Decoder>), SpecError> {
    let line = line::Line {
        baud: spec.baud,
        parity: match spec.parity {
            Parity::None => line::Parity::None,
            Parity::Even => line::Parity::Even,
            Parity::Odd => line::Parity::Odd,
        },
    };
    let mut bus = Bus {
        timeout: spec.timeout,
        retries: spec.retries,
        ..Bus::new(line)
    };
    let mut decoders = Vec::new();
    for (at, device) in spec.devices.iter().enumerate() {
        let (config, decoder) = decode::device(device, spec.scan).map_err(|wrong| match wrong {
            decode::Wrong::Address => SpecError::Address(at),
            decode::Wrong::Registers => SpecError::Registers(at),
        })?;
        bus.devices
            .push(config)
            .map_err(|_| SpecError::TooManyDevices)?;
        decoders.push(decoder);
    }
    bus.check().map_err(SpecError::Settings)?;
    Ok((bus, decoders))
}

/// Starts the thread of one bus. It ends when `link.stop` is set, within a second.
///
/// # Errors
/// `InvalidInput` with a [`SpecError`] inside, or the system has no thread left.
pub fn spawn(spec: BusSpec, open: OpenPort, link: BusLink) -> io::Result<JoinHandle<()>> {
    let invalid = |error: SpecError| io::Error::new(io::ErrorKind::InvalidInput, error);
    let (bus, decoders) = build(&spec).map_err(invalid)?;
    let master = Master::new(bus).map_err(|error| invalid(SpecError::Settings(error)))?;
    // The kernel shows 15 bytes of a thread's name.
    let name: String = format!("bus-{}", spec.id).chars().take(15).collect();
    let runner = Runner {
        boards: decoders
            .iter()
            .enumerate()
            .filter_map(|(at, decoder)| Some((DeviceIndex(at as u8), decoder.board()?)))
            .collect(),
        jobs: Jobs::new(link.errands.clone(), spec.devices.len()),
        spec,
        link,
        decoders,
        master,
        orphaned: false,
        reported: None,
        told: None,
        up: None,
    };
    std::thread::Builder::new()
        .name(name)
        .spawn(move || runner.run(open))
}

struct Runner {
    spec: BusSpec,
    link: BusLink,
    decoders: Vec<Decoder>,
    boards: Vec<(DeviceIndex, BoardIndex)>,
    master: Master,
    jobs: Jobs,
    /// Nobody listens any more.
    orphaned: bool,
    reported: Option<Instant>,
    /// When the state of the port was told last, and which.
    told: Option<Instant>,
    up: Option<bool>,
}

impl Runner {
    fn run(mut self, mut open: OpenPort) {
        let mut pump = Pump::new();
        let mut pause = REOPEN_FIRST;
        let mut complained = None;
        while !self.is_over() {
            match open() {
                Ok(port) => {
                    complained = None;
                    let opened = Instant::now();
                    tracing::info!(bus = %self.spec.id, device = %self.spec.device, "port open");
                    self.link.heartbeat.clear();
                    let lost = self.serve(&mut pump, port);
                    if let Some(error) = lost {
                        tracing::warn!(bus = %self.spec.id, device = %self.spec.device, ?error, "port lost");
                    }
                    // A port that opens and is lost at once must not be opened in a tight loop.
                    if opened.elapsed() > REOPEN_MAX {
                        pause = REOPEN_FIRST;
                    }
                    self.pause(pause);
                    pause = (pause * 2).min(REOPEN_MAX);
                }
                Err(error) => {
                    if complained != Some(error) {
                        complained = Some(error);
                        tracing::warn!(bus = %self.spec.id, device = %self.spec.device, ?error, "port not opened");
                        let note = format!("{}: {}", self.spec.device, in_words(error));
                        self.link.heartbeat.degrade(note);
                    }
                    self.jobs.give_up();
                    self.port_is(false);
                    self.pause(pause);
                    pause = (pause * 2).min(REOPEN_MAX);
                }
            }
        }
        self.link.heartbeat.finish();
    }

    fn is_over(&self) -> bool {
        self.orphaned || self.link.stop.load(Ordering::Relaxed)
    }

    /// Polls until the port is lost or all is over.
    fn serve(&mut self, pump: &mut Pump, mut port: Box<dyn SerialPort>) -> Option<PortError> {
        self.master.handle(pump.now(), master::Input::Opened);
        self.port_is(true);
        let mut farewell = None;
        let lost = loop {
            if self.is_over() {
                let end = *farewell.get_or_insert_with(|| Instant::now() + FAREWELL);
                if self.images_stand() || Instant::now() >= end {
                    break None;
                }
            }
            if let Err(error) = self.turn(pump, port.as_mut()) {
                self.link
                    .heartbeat
                    .degrade(format!("{}: {}", self.spec.device, in_words(error)));
                break Some(error);
            }
            self.link.heartbeat.beat();
            self.retell();
            self.report(false);
        };
        self.master.handle(pump.now(), master::Input::Closed);
        while let Some(output) = self.master.poll_output() {
            self.take(output);
        }
        self.jobs.give_up();
        self.port_is(false);
        lost
    }

    /// One turn of the loop: images, what is due, what comes in.
    fn turn(&mut self, pump: &mut Pump, port: &mut dyn SerialPort) -> Result<(), PortError> {
        for at in 0..self.boards.len() {
            let (device, board) = self.boards[at];
            let bits = self.link.images.get(board) as u16;
            self.master
                .handle(pump.now(), master::Input::Image { device, bits });
            self.settle(pump, port)?;
        }
        self.jobs.turn();
        pump.wait(&mut self.master, port, LOOK)?;
        self.settle(pump, port)
    }

    fn settle(&mut self, pump: &mut Pump, port: &mut dyn SerialPort) -> Result<(), PortError> {
        while let Some(output) = pump.next(&mut self.master, port)? {
            if let Some(write) = self.take(output) {
                self.master.handle(pump.now(), write);
            }
        }
        Ok(())
    }

    /// Whether every relay module confirmed its present image.
    fn images_stand(&self) -> bool {
        self.boards.iter().all(|(device, board)| {
            let bits = self.link.images.get(*board) as u16 & 0xF;
            self.master.written(*device) == Some(bits)
        })
    }

    /// Passes on what came. Answers what a person's errand asks of the master next.
    fn take(&mut self, output: Output) -> Option<master::Input<'static>> {
        let at = self.link.clock.now();
        let inbox = &self.link.inbox;
        let mut heard = true;
        let mut next = None;
        let send = |input: Input| heard &= inbox.send(at, input);
        match output {
            Output::Answer { device, read, data } => {
                let written = self.master.written(device);
                self.decoders[device.at()].answer(read, &data, written, send);
                // After the reading is on its way: who is told "done" then finds the new calibration.
                let registers: Vec<u16> = data.words().iter().collect();
                next = self.jobs.read(device, &registers);
            }
            Output::Failure { device, kind } => self.decoders[device.at()].failure(kind, send),
            // A busy device keeps its last value; its age says how old that is.
            Output::Busy { .. } => {}
            Output::Written { token, result, .. } => next = self.jobs.written(token, result),
            Output::State { device, state } => {
                let sensor = &self.spec.devices[device.at()].id;
                tracing::debug!(bus = %self.spec.id, %sensor, ?state, "device");
            }
            // The pump does these itself; after the port was closed there is no one to send to.
            Output::DiscardInput | Output::Transmit(_) => {}
        }
        self.orphaned |= !heard;
        next
    }

    fn port_is(&mut self, up: bool) {
        if self.up != Some(up) {
            self.up = Some(up);
            self.told = None;
            self.report(true);
        }
        self.retell();
        self.link.heartbeat.beat();
    }

    fn retell(&mut self) {
        let Some(up) = self.up else { return };
        if self.told.is_none_or(|told| told.elapsed() >= RETELL_EVERY) {
            self.told = Some(Instant::now());
            let bus = self.spec.index;
            let input = Input::Bus { bus, up };
            self.orphaned |= !self.link.inbox.send(self.link.clock.now(), input);
        }
    }

    /// Sleeps in pieces, so that an end is noticed.
    fn pause(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        while !self.is_over() && Instant::now() < end {
            std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
            self.link.heartbeat.beat();
        }
    }

    fn report(&mut self, now: bool) {
        if !now && self.reported.is_some_and(|at| at.elapsed() < REPORT_EVERY) {
            return;
        }
        self.reported = Some(Instant::now());
        let report = self.look();
        *self
            .link
            .report
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = report;
    }

    fn look(&self) -> BusReport {
        let mut report = BusReport::for_devices(self.decoders.len());
        report.open = self.up == Some(true);
        report.cycle_ms = self
            .master
            .cycle()
            .map_or(0, |cycle| cycle.as_millis() as u32);
        report.efficiency = f32::from(self.master.efficiency_permille()) / 1000.0;
        for (at, device) in report.devices.iter_mut().enumerate() {
            let index = DeviceIndex(at as u8);
            let counters = self.master.counters(index);
            device.state = match self.master.state(index) {
                master::DeviceState::Good => DeviceState::Good,
                master::DeviceState::Retrying => DeviceState::Retrying,
                master::DeviceState::Busy => DeviceState::Busy,
                master::DeviceState::Waiting | master::DeviceState::Probe => DeviceState::Probe,
            };
            device.good = counters.good.into();
            device.timeout = counters.timeout.into();
            device.crc = counters.crc.into();
            device.exception = counters.exception.into();
            device.length = counters.length.into();
            device.recovered = counters.recovered.into();
            let worst = self.master.bus().worst_age(index);
            device.worst_age_ms = worst.as_millis().try_into().unwrap_or(u32::MAX);
            device.firmware = self.decoders[at].firmware();
        }
        report
    }
}

/// For people who look at the health of the loop.
fn in_words(error: PortError) -> String {
    match error {
        PortError::Gone => "unplugged".into(),
        PortError::NotFound => "not there".into(),
        PortError::Busy => "another program holds it".into(),
        PortError::Denied => {
            "no permission; the user must be in the device's group (dialout)".into()
        }
        PortError::Io(number) => io::Error::from_raw_os_error(number).to_string(),
    }
}

/// The station's word for a failed poll.
pub(crate) const fn failure(kind: Failure) -> leitstand_core::gas::PollFailure {
    use leitstand_core::gas::PollFailure;
    match kind {
        Failure::Timeout => PollFailure::Timeout,
        Failure::Crc => PollFailure::Crc,
        Failure::Exception(code) => PollFailure::Exception(code),
        Failure::Length => PollFailure::Length,
    }
}

#[cfg(test)]
mod tests;
