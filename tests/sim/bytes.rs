//! The same over bytes: bus master, a 9600 baud line with combi sensors and a relay module, every fault a line
//! can have, and the plug pulled now and then. Beside the model of what was read, the far ends are compared: gas
//! at a sensor that has been well for a minute is an alarm, and a relay module's contact follows its output.

use crate::Tally;
use crate::rng::Rng;
use crate::site::{Pair, SimPlan, milli};
use leitstand_core::gas::plan::*;
use leitstand_core::gas::{
    BusIndex, CellIndex, CellSet, OutputIndex, Reading, SetPointIndex, ZoneIndex, ra_gas,
};
use leitstand_core::machine::Machine;
use leitstand_core::modbus::frame::Table;
use leitstand_core::modbus::line::Line;
use leitstand_core::modbus::master::{Bus, Device, DeviceIndex, Failure, Image, Input, Output};
use leitstand_core::modbus::plan::{Plan as ReadPlan, Read};
use leitstand_core::modbus::{Address, Master};
use leitstand_core::time::{Duration, Instant};
use leitstand_hal_mock::fault::Fault;
use leitstand_hal_mock::mr_do4::MrDo4;
use leitstand_hal_mock::ra_gas::RaGas;
use leitstand_hal_mock::rs485::{Device as Slave, Rs485};

const HOUR_MS: u64 = 3_600_000;
const MODULE: u8 = 34;
const PERIOD: Duration = Duration::from_secs(2);
/// Without a fault for so long, the far ends must agree. Reasoning: 10 s between probes, three good polls, two more.
const WELL_MS: u64 = 60_000;

/// Per sensor: cell 2n = NO2, cell 2n + 1 = CO.
fn site(sensors: u8) -> SimPlan {
    let mut plan = SimPlan::new();
    plan.buses = 1;
    plan.boards.push(BoardKind::MrDo4).unwrap();
    for _ in 0..sensors {
        for range in [30, 300] {
            let mut cell = CellPlan::new(milli(0), milli(range));
            cell.bus = Some(BusIndex(0));
            cell.kind = range as u8;
            cell.cycle = PERIOD;
            plan.cells.push(cell).unwrap();
        }
    }
    let all = CellSet::of((0..2 * sensors).map(CellIndex));
    plan.zones
        .push(ZonePlan {
            cells: all,
            loss_stage: 1,
        })
        .unwrap();
    let channel =
        |offset: u8| CellSet::of((0..sensors).map(|sensor| CellIndex(2 * sensor + offset)));
    let limits = [
        (1, channel(1), Quantity::Average(300), 30, 5),
        (3, channel(1), Quantity::Direct, 150, 10),
        (3, channel(0), Quantity::Direct, 15, 2),
    ];
    for (pin, (stage, cells, quantity, on, hysteresis)) in (1..).zip(limits) {
        let output = OutputIndex(plan.outputs.len() as u8);
        let relay = OutputPlan::new(OutputKind::Relay, pin);
        plan.outputs
            .push(OutputPlan {
                board: Some(leitstand_core::gas::BoardIndex(0)),
                ..relay
            })
            .unwrap();
        let set_point = SetPointPlan {
            zone: ZoneIndex(0),
            stage,
            cells,
            quantity,
            direction: Direction::Rising,
            on: milli(on),
            hysteresis: milli(hysteresis),
            on_delay: Duration::ZERO,
            off_delay: Duration::ZERO,
            latching: stage == 3,
            allow_non_latching: false,
            vote_k: 1,
            actions: [Action {
                output,
                mode: ActionMode::Follow,
            }]
            .into_iter()
            .collect(),
        };
        plan.set_points.push(set_point).unwrap();
    }
    plan
}

fn bus(sensors: u8) -> Bus {
    let registers = Read {
        table: Table::Holding,
        start: 0,
        count: 30,
    };
    let coils = Read {
        table: Table::Coils,
        start: 0,
        count: 8,
    };
    let mut bus = Bus::new(Line::RA_GAS);
    for sensor in 1..=sensors {
        let plan = ReadPlan::new(&[registers], 0).unwrap();
        let address = Address::new(sensor).unwrap();
        bus.devices
            .push(Device {
                address,
                plan,
                image: None,
                period: PERIOD,
            })
            .unwrap();
    }
    let plan = ReadPlan::new(&[coils], 0).unwrap();
    let image = Some(Image { start: 0, count: 4 });
    let address = Address::new(MODULE).unwrap();
    bus.devices
        .push(Device {
            address,
            plan,
            image,
            period: PERIOD,
        })
        .unwrap();
    bus
}

/// What is around a device, and since when nothing has been wrong with it.
struct World {
    ppm: [f64; 2],
    ppm_until: u64,
    high_since: [Option<u64>; 2],
    fault: Option<Fault>,
    fault_until: u64,
    well_since: u64,
}

struct Wire {
    line: Rs485,
    master: Master,
    open: bool,
    image: u16,
    sensors: u8,
}

impl Wire {
    /// Lets the master do what it wants now; returns what became of polls.
    fn drain(&mut self, now: u64, polls: &mut Vec<(usize, [Reading; 2])>) {
        while let Some(output) = self.master.poll_output() {
            match output {
                Output::DiscardInput => self.line.take(now * 1000, &mut Vec::new()),
                Output::Transmit(frame) => self.line.feed(now * 1000, &frame),
                Output::Answer { device, data, .. } if device.0 < self.sensors => {
                    let mut registers = [0; ra_gas::REGISTERS];
                    for (register, word) in registers.iter_mut().zip(data.words().iter()) {
                        *register = word;
                    }
                    let readings = match ra_gas::decode(&registers, device.0 + 1) {
                        Ok(channels) => channels.map(Reading::RaGas),
                        Err(code) => [Reading::Reported(code); 2],
                    };
                    polls.push((device.at(), readings));
                }
                Output::Failure { device, kind } if device.0 < self.sensors => {
                    let failure = match kind {
                        Failure::Timeout => leitstand_core::gas::PollFailure::Timeout,
                        Failure::Crc => leitstand_core::gas::PollFailure::Crc,
                        Failure::Exception(code) => {
                            leitstand_core::gas::PollFailure::Exception(code)
                        }
                        Failure::Length => leitstand_core::gas::PollFailure::Length,
                    };
                    polls.push((device.at(), [Reading::Failed(failure); 2]));
                }
                Output::Answer { .. }
                | Output::Failure { .. }
                | Output::Busy { .. }
                | Output::Written { .. }
                | Output::State { .. } => {}
            }
        }
    }

    fn handle(&mut self, now: u64, input: Input<'_>, polls: &mut Vec<(usize, [Reading; 2])>) {
        self.master.handle(Instant::from_millis(now), input);
        self.drain(now, polls);
    }

    /// When something happens on the wire, with the latency of a USB adapter.
    fn next(&self, rng: &mut Rng) -> u64 {
        let bytes = self
            .line
            .next_due()
            .map(|us| us.div_ceil(1000) + rng.below(16));
        let master = self.master.poll_timeout().map(Instant::as_millis);
        bytes.unwrap_or(u64::MAX).min(master.unwrap_or(u64::MAX))
    }
}

/// Lives one seed.
pub(crate) fn live(seed: u64, hours: u64) -> Tally {
    let mut rng = Rng::new(seed ^ 0xB17E5);
    let sensors = rng.within(1, 3) as u8;
    let plan = site(sensors);
    plan.check(|mistake| panic!("{mistake:?}"));
    let mut pair = Pair::new(&plan);
    let address = |at: u8| Address::new(at).unwrap();
    let mut slaves: Vec<Slave> = (1..=sensors)
        .map(|at| Slave::RaGas(RaGas::new(address(at))))
        .collect();
    slaves.push(Slave::MrDo4(MrDo4::new(address(MODULE))));
    let mut wire = Wire {
        line: Rs485::new(Line::RA_GAS, slaves),
        master: Master::new(bus(sensors)).unwrap(),
        open: true,
        image: 0,
        sensors,
    };
    let mut worlds: Vec<World> = (0..=sensors)
        .map(|_| World {
            ppm: [0.0; 2],
            ppm_until: 0,
            high_since: [None; 2],
            fault: None,
            fault_until: rng.within(60, 600) * 1000,
            well_since: 0,
        })
        .collect();
    let mut polls = Vec::new();
    wire.handle(0, Input::Opened, &mut polls);
    let mut plug = rng.within(600, 7200) * 1000;
    let mut next_command = rng.within(60, 600) * 1000;
    let mut relays_since = [0; 3];
    loop {
        let wake = pair
            .station
            .poll_timeout()
            .map_or(u64::MAX, Instant::as_millis);
        let check = pair.next_check();
        let changes = worlds
            .iter()
            .map(|world| world.ppm_until.min(world.fault_until))
            .min()
            .unwrap();
        let before = pair.model.at().as_millis();
        let now = wire
            .next(&mut rng)
            .min(wake)
            .min(check)
            .min(changes)
            .min(plug)
            .min(next_command)
            .max(before);
        if now >= hours * HOUR_MS {
            break;
        }
        for (at, world) in worlds.iter_mut().enumerate() {
            change(world, at as u8 + 1, now, &mut wire, &mut rng);
        }
        if plug <= now {
            wire.open = !wire.open;
            plug = now
                + if wire.open {
                    rng.within(600, 7200) * 1000
                } else {
                    rng.within(1, 60) * 1000
                };
            if !wire.open {
                wire.line.clear();
            }
            let input = if wire.open {
                Input::Opened
            } else {
                Input::Closed
            };
            wire.handle(now, input, &mut polls);
            pair.bus(now, wire.open);
            for world in &mut worlds {
                world.well_since = now;
            }
        }
        let mut bytes = Vec::new();
        wire.line.take(now * 1000, &mut bytes);
        if !bytes.is_empty() && wire.open {
            wire.handle(now, Input::Received(&bytes), &mut polls);
        }
        wire.master.handle_timeout(Instant::from_millis(now));
        wire.drain(now, &mut polls);
        for (sensor, readings) in polls.drain(..) {
            for (channel, reading) in readings.into_iter().enumerate() {
                pair.reading(now, 2 * sensor + channel, reading);
            }
        }
        if next_command <= now {
            next_command = now + rng.within(10, 900) * 1000;
            pair.command(now, &mut rng);
        }
        pair.tick(now);
        let image = pair.station.image(leitstand_core::gas::BoardIndex(0), true) as u16;
        if image != wire.image {
            for (relay, since) in relays_since.iter_mut().enumerate() {
                if (image ^ wire.image) & 1 << relay != 0 {
                    *since = now;
                }
            }
            wire.image = image;
            let device = DeviceIndex(sensors);
            wire.handle(
                now,
                Input::Image {
                    device,
                    bits: image,
                },
                &mut polls,
            );
        }
        compare_far_ends(now, &pair, &mut wire, &worlds, relays_since);
    }
    pair.tally.hours = hours;
    pair.tally.raised = pair.model.raised;
    pair.tally.faults = pair.model.faults;
    pair.tally
}

/// Gas and faults of one device.
fn change(world: &mut World, address: u8, now: u64, wire: &mut Wire, rng: &mut Rng) {
    let is_sensor = address <= wire.sensors;
    let address = if is_sensor { address } else { MODULE };
    let device = wire.line.device(address).unwrap();
    if world.fault_until <= now {
        match world.fault.take() {
            Some(fault) => {
                device.fault(fault, false);
                world.well_since = now;
                world.fault_until = now + rng.within(120, 1800) * 1000;
            }
            None => {
                let fault = rng.pick(&Fault::ALL);
                if is_sensor || !fault.is_of_a_sensor() {
                    device.fault(fault, true);
                    world.fault = Some(fault);
                }
                world.fault_until = now + rng.within(5, 180) * 1000;
            }
        }
    }
    if world.ppm_until <= now {
        world.ppm_until = now + rng.within(5, 600) * 1000;
        let calm = rng.chance(60);
        let up_to = |rng: &mut Rng, most: u64| rng.below(most * 10) as f64 / 10.0;
        world.ppm = if calm {
            [up_to(rng, 2), up_to(rng, 10)]
        } else {
            [up_to(rng, 30), up_to(rng, 320)]
        };
    }
    if let Slave::RaGas(sensor) = device {
        sensor.set_ppm(world.ppm[0], world.ppm[1]);
        // A count is 0.42 ppm CO, 0.06 ppm NO2: half of one may be lost.
        for (since, high) in world
            .high_since
            .iter_mut()
            .zip([world.ppm[0] >= 15.1, world.ppm[1] >= 150.3])
        {
            *since = if high { since.or(Some(now)) } else { None };
        }
    }
}

fn compare_far_ends(
    now: u64,
    pair: &Pair,
    wire: &mut Wire,
    worlds: &[World],
    relays_since: [u64; 3],
) {
    let well =
        |world: &World| wire.open && world.fault.is_none() && now >= world.well_since + WELL_MS;
    for (sensor, world) in worlds.iter().take(usize::from(wire.sensors)).enumerate() {
        for (channel, set_point) in [(0, 2), (1, 1)] {
            // Two polls at 2 s, up to three tries each, beside two other devices.
            let long_enough = world.high_since[channel].is_some_and(|since| now >= since + 15_000);
            if well(world) && long_enough && !pair.model.is_masked(2 * sensor + channel) {
                let alarm = pair.station.set_point(SetPointIndex(set_point)).alarm;
                assert!(
                    alarm.state.is_active(),
                    "gas {:?} at sensor {sensor} and no alarm at {now}",
                    world.ppm
                );
            }
        }
    }
    let module_well = worlds.last().is_some_and(well);
    if module_well && let Some(Slave::MrDo4(module)) = wire.line.device(MODULE) {
        for (relay, since) in relays_since.into_iter().enumerate() {
            if now >= since + 15_000 {
                let wanted = wire.image & 1 << relay != 0;
                assert_eq!(module.relays()[relay], wanted, "relay {relay} at {now}");
            }
        }
    }
}
