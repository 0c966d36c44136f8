//! A small stand-alone gas node: the station of `leitstand-core` with a Modbus line and nothing else.
//!
//! ```text
//! line bytes -> Master -> readings -> Station -> relay image -> Master -> line bytes
//! ```
//!
//! One combi sensor (two cells) and one relay module on one line. The same station that runs a garage on a Pi,
//! with smaller tables; it needs about 80 kB, most of it half an hour of averages.

use leitstand_core::gas::plan::{
    Action, ActionMode, BoardKind, CellPlan, Direction, OutputKind, OutputPlan, Quantity,
    SetPointPlan, ZonePlan,
};
use leitstand_core::gas::{
    BoardIndex, BusIndex, CellIndex, CellSet, Command, Event, Input, NodePlan, NodeStation,
    OutputIndex, PollFailure, Reading, Refusal, ZoneIndex, ra_gas,
};
use leitstand_core::machine::Machine;
use leitstand_core::modbus::frame::{Address, Table};
use leitstand_core::modbus::line::Line;
use leitstand_core::modbus::master::{
    self, Bus, ConfigError, Data, Device, DeviceIndex, Failure, Image, Master, Output,
};
use leitstand_core::modbus::plan::{Plan, PlanError, Read};
use leitstand_core::time::{Duration, Instant};
use leitstand_core::units::Concentration;

use crate::link::Link;

/// Addresses on the line.
pub const SENSOR: u8 = 1;
/// The relay module's.
pub const RELAYS: u8 = 2;
/// The cells.
pub const NO2: CellIndex = CellIndex(0);
/// Carbon monoxide.
pub const CO: CellIndex = CellIndex(1);

const BUS: BusIndex = BusIndex(0);
const BOARD: BoardIndex = BoardIndex(0);
const SENSOR_DEVICE: DeviceIndex = DeviceIndex(0);
const RELAY_DEVICE: DeviceIndex = DeviceIndex(1);
/// Relays in use, and the flags that tell which of them a hand switched, from coil 4 on.
const RELAY_COUNT: u8 = 2;
const HAND_FLAGS: u16 = 4;
/// Bytes of a whole answer.
const READ_MAX: usize = 256;

/// Why a node does not start. A mistake of this file, found by its tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeError {
    /// What is read from a device.
    Reads(PlanError),
    /// The line.
    Line(ConfigError),
    /// An address outside 1..=247.
    Address,
}

/// A running node.
pub struct Node<L> {
    link: L,
    master: Master,
    station: NodeStation,
    /// The relay image that the module was last told.
    image: u16,
    /// Bytes of a request that the line has not taken yet.
    sending: heapless::Vec<u8, READ_MAX>,
}

impl<L: Link> Node<L> {
    /// A node that starts at `now`: latching alarms at 6 ppm NO2 (relay 1) and 60 ppm CO (relay 2).
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn new(now: Instant, link: L) -> Result<Self, NodeError> {
        let mut master = Master::new(bus()?).map_err(NodeError::Line)?;
        master.handle(now, master::Input::Opened);
        let mut node = Self {
            link,
            master,
            station: NodeStation::new(&plan(), now),
            image: 0,
            sending: heapless::Vec::new(),
        };
        node.feed(now, Input::Bus { bus: BUS, up: true });
        let bits = node.image;
        node.tell_image(now, bits);
        node.drain(now);
        Ok(node)
    }

    /// Does what is due at `now`, hands every fact to `tell`, and returns when to come back; earlier is
    /// harmless, and bytes that come in are a reason.
    pub fn step(&mut self, now: Instant, mut tell: impl FnMut(Event)) -> Instant {
        self.listen(now);
        self.master.handle_timeout(now);
        self.drain(now);
        // Last: at one instant inputs go before deadlines.
        self.feed(now, Input::Tick);
        while let Some(event) = self.station.poll_output() {
            tell(event);
        }
        let image = self.station.image(BOARD, true) as u16;
        if image != self.image {
            self.tell_image(now, image);
            self.drain(now);
        }
        self.speak();
        let next = |machine: Option<Instant>| machine.unwrap_or(now + Duration::from_secs(1));
        next(self.master.poll_timeout())
            .min(next(self.station.poll_timeout()))
            .max(now + Duration::from_millis(1))
    }

    /// Somebody uses the node's button: acknowledges, and resets what is latched.
    ///
    /// # Errors
    /// There is nothing to acknowledge or reset.
    pub fn press(&mut self, now: Instant) -> Result<(), Refusal> {
        self.station.step(now, Input::Command(Command::OneButton))
    }

    /// The relay image: bit 0 is relay 1.
    #[must_use]
    pub const fn image(&self) -> u16 {
        self.image
    }

    /// The station, for its status.
    #[must_use]
    pub const fn station(&self) -> &NodeStation {
        &self.station
    }

    fn listen(&mut self, now: Instant) {
        let mut bytes = heapless::Vec::<u8, READ_MAX>::new();
        while !bytes.is_full()
            && let Some(byte) = self.link.poll_read()
        {
            // Never fails: it is not full.
            let _ = bytes.push(byte);
        }
        if !bytes.is_empty() {
            self.master.handle(now, master::Input::Received(&bytes));
            self.drain(now);
        }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.master.poll_output() {
            match output {
                Output::DiscardInput => self.discard(now),
                Output::Transmit(frame) => {
                    // Never truncated: one request at a time, and the master waits for its answer.
                    self.sending.clear();
                    let _ = self.sending.extend_from_slice(&frame);
                }
                Output::Answer { device, data, .. } if device == SENSOR_DEVICE => {
                    self.measured(now, &data);
                }
                Output::Answer { data, .. } => self.reported(now, &data),
                Output::Failure { device, kind } if device == SENSOR_DEVICE => {
                    let failed = Reading::Failed(failure(kind));
                    self.read(now, NO2, failed);
                    self.read(now, CO, failed);
                }
                Output::Failure { .. } => self.relays_silent(now),
                Output::Busy { .. } | Output::Written { .. } | Output::State { .. } => {}
            }
        }
        self.speak();
    }

    fn discard(&mut self, now: Instant) {
        let count = core::iter::from_fn(|| self.link.poll_read())
            .take(READ_MAX)
            .count();
        self.master.handle(now, master::Input::Discarded(count));
    }

    fn measured(&mut self, now: Instant, data: &Data) {
        let words = data.words();
        let mut registers = [0; ra_gas::REGISTERS];
        for (at, register) in registers.iter_mut().enumerate() {
            *register = words.get(at).unwrap_or(0);
        }
        let readings = match ra_gas::decode(&registers, SENSOR) {
            Ok(channels) => channels.map(Reading::RaGas),
            Err(fault) => [Reading::Reported(fault); 2],
        };
        self.read(now, NO2, readings[0]);
        self.read(now, CO, readings[1]);
    }

    /// The module tells where its contacts stand; a relay that does not follow is a fault.
    fn reported(&mut self, now: Instant, data: &Data) {
        for relay in 0..RELAY_COUNT {
            let wanted = self.image & 1 << relay != 0;
            let at = u16::from(relay);
            let report = Input::OutputReport {
                output: OutputIndex(relay),
                agrees: data.coil(at) == Some(wanted),
                hand: data.coil(HAND_FLAGS + at) == Some(true),
            };
            self.feed(now, report);
        }
    }

    fn relays_silent(&mut self, now: Instant) {
        for relay in 0..RELAY_COUNT {
            let output = OutputIndex(relay);
            self.feed(
                now,
                Input::OutputReport {
                    output,
                    agrees: false,
                    hand: false,
                },
            );
        }
    }

    fn read(&mut self, now: Instant, cell: CellIndex, reading: Reading) {
        self.feed(now, Input::Reading { cell, reading });
    }

    /// Only commands and unknown indexes are refused; these are neither.
    fn feed(&mut self, now: Instant, input: Input) {
        let fed = self.station.step(now, input);
        debug_assert!(fed.is_ok(), "{fed:?}");
    }

    fn tell_image(&mut self, now: Instant, bits: u16) {
        self.image = bits;
        let device = RELAY_DEVICE;
        self.master
            .handle(now, master::Input::Image { device, bits });
    }

    fn speak(&mut self) {
        let taken = self.link.try_write(&self.sending);
        self.sending.drain(..taken.min(self.sending.len()));
    }
}

const fn failure(kind: Failure) -> PollFailure {
    match kind {
        Failure::Timeout => PollFailure::Timeout,
        Failure::Crc => PollFailure::Crc,
        Failure::Exception(code) => PollFailure::Exception(code),
        Failure::Length => PollFailure::Length,
    }
}

fn bus() -> Result<Bus, NodeError> {
    let read = |table, count| Read {
        table,
        start: 0,
        count,
    };
    let device = |address, read, image| {
        Ok(Device {
            address: Address::new(address).ok_or(NodeError::Address)?,
            plan: Plan::new(&[read], 0).map_err(NodeError::Reads)?,
            image,
            period: Duration::from_secs(1),
        })
    };
    let relays = Image {
        start: 0,
        count: RELAY_COUNT,
    };
    let sensor = device(SENSOR, read(Table::Holding, ra_gas::REGISTERS as u16), None)?;
    let module = device(RELAYS, read(Table::Coils, 8), Some(relays))?;
    let mut bus = Bus::new(Line::RA_GAS);
    bus.devices.extend([sensor, module]);
    Ok(bus)
}

/// The node as configured: two cells, one zone, a latching alarm and a relay for each gas.
#[must_use]
pub fn plan() -> NodePlan {
    let ppm = |value: i32| Concentration::from_milli(value * 1000);
    let mut plan = NodePlan::new();
    plan.buses = 1;
    for (kind, range) in [(0, 30), (1, 300)] {
        let cell = CellPlan {
            bus: Some(BUS),
            kind,
            ..CellPlan::new(ppm(0), ppm(range))
        };
        // Two of eight.
        let _ = plan.cells.push(cell);
    }
    let _ = plan.zones.push(ZonePlan {
        cells: CellSet::of([NO2, CO]),
        loss_stage: 0,
    });
    let _ = plan.boards.push(BoardKind::MrDo4);
    for (at, cell, limit, hysteresis) in [(0, NO2, 6, 1), (1, CO, 60, 5)] {
        let _ = plan.outputs.push(OutputPlan {
            board: Some(BOARD),
            ..OutputPlan::new(OutputKind::Relay, at + 1)
        });
        let _ = plan.set_points.push(SetPointPlan {
            zone: ZoneIndex(0),
            stage: 1,
            cells: CellSet::of([cell]),
            quantity: Quantity::Direct,
            direction: Direction::Rising,
            on: ppm(limit),
            hysteresis: ppm(hysteresis),
            on_delay: Duration::ZERO,
            off_delay: Duration::ZERO,
            latching: true,
            allow_non_latching: false,
            vote_k: 1,
            actions: [Action {
                output: OutputIndex(at),
                mode: ActionMode::Follow,
            }]
            .into_iter()
            .collect(),
        });
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ESP32-C3 leaves 300 kB; the station may take half of it.
    #[test]
    fn the_station_fits_into_a_microcontroller() {
        let bytes = size_of::<NodeStation>();
        assert!(bytes < 150_000, "{bytes}");
    }

    #[test]
    fn the_plan_has_no_mistakes() {
        plan().check(|mistake| panic!("{mistake:?}"));
    }
}
