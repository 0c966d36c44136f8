//! A seeded site: plan, gas, faults, operators, restarts; fed with readings directly.

use crate::Tally;
use crate::model::{Cause, Model, Poll};
use crate::rng::Rng;
use leitstand_core::gas::plan::*;
use leitstand_core::gas::status::Mode;
use leitstand_core::gas::*;
use leitstand_core::machine::Machine;
use leitstand_core::time::{Duration, Instant};
use leitstand_core::units::Concentration;

pub(crate) type SimPlan = Plan<8, 2, 16, 24, 2>;
pub(crate) type SimStation = Station<8, 2, 16, 24, 2, 720>;

const HOUR_MS: u64 = 3_600_000;
/// At multiples of a bucket, as the station does.
const VOTES_EVERY_MS: u64 = 60_000;
/// Now here, now there in a bucket.
const AVERAGES_EVERY_MS: u64 = 61_300;

/// A plan: two to six CO cells in one or two zones, averages and direct set points, votes and delays.
pub(crate) fn plan(rng: &mut Rng) -> SimPlan {
    let mut plan = SimPlan::new();
    plan.buses = 1;
    let cells = rng.within(2, 6) as u8;
    let cycle = Duration::from_secs(rng.pick(&[1, 2, 5, 5, 5]));
    for _ in 0..cells {
        let mut cell = CellPlan::new(milli(0), milli(300));
        cell.bus = Some(BusIndex(0));
        cell.cycle = cycle;
        cell.warmup = Duration::from_secs(rng.pick(&[0, 0, 0, 30]));
        plan.cells.push(cell).unwrap();
    }
    let split = if rng.chance(40) { cells / 2 } else { cells };
    for range in [0..split, split..cells] {
        if !range.is_empty() {
            let cells = CellSet::of(range.map(CellIndex));
            let loss_stage = rng.below(3) as u8;
            plan.zones.push(ZonePlan { cells, loss_stage }).unwrap();
        }
    }
    for zone in 0..plan.zones.len() as u8 {
        let window = rng.pick(&[60, 300, 900]);
        add(
            &mut plan,
            zone,
            1,
            Quantity::Average(window),
            30,
            5,
            false,
            rng,
        );
        add(
            &mut plan,
            zone,
            2,
            Quantity::Average(window),
            60,
            10,
            false,
            rng,
        );
        add(&mut plan, zone, 3, Quantity::Direct, 150, 10, true, rng);
        add(
            &mut plan,
            zone,
            2,
            Quantity::Direct,
            100,
            20,
            rng.chance(50),
            rng,
        );
    }
    plan
}

#[allow(clippy::too_many_arguments)] // one line a set point is what makes the plan above readable
fn add(
    plan: &mut SimPlan,
    zone: u8,
    stage: u8,
    quantity: Quantity,
    on: i32,
    hysteresis: i32,
    latching: bool,
    rng: &mut Rng,
) {
    let cells = plan.zones[usize::from(zone)].cells;
    let relay = OutputIndex(plan.outputs.len() as u8);
    plan.outputs
        .push(OutputPlan::new(OutputKind::Relay, relay.0 + 1))
        .unwrap();
    let action = Action {
        output: relay,
        mode: ActionMode::Follow,
    };
    let delays = stage == 2 && quantity == Quantity::Direct;
    let delay = |rng: &mut Rng| Duration::from_secs(if delays { rng.pick(&[0, 7, 20]) } else { 0 });
    let vote_k = if rng.chance(30) {
        cells.len().min(2)
    } else {
        1
    };
    let set_point = SetPointPlan {
        zone: ZoneIndex(zone),
        stage,
        cells,
        quantity,
        direction: Direction::Rising,
        on: milli(on),
        hysteresis: milli(hysteresis),
        on_delay: delay(rng),
        off_delay: delay(rng),
        latching,
        allow_non_latching: false,
        vote_k,
        actions: [action].into_iter().collect(),
    };
    plan.set_points.push(set_point).unwrap();
}

pub(crate) fn milli(whole: i32) -> Concentration {
    Concentration::from_milli(whole * 1000)
}

/// The air and the wire of one cell.
struct Cell {
    next_poll: u64,
    /// Thousandths of a ppm, and until when.
    plateau: i32,
    plateau_until: u64,
    trouble: Trouble,
    trouble_until: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Failing(PollFailure),
    Silent,
    Reported(FaultCode),
    /// Every other poll fails.
    Flaky,
}

impl Cell {
    fn new(rng: &mut Rng) -> Self {
        Self {
            next_poll: rng.below(1_000),
            plateau: 0,
            plateau_until: 0,
            trouble: Trouble::None,
            trouble_until: rng.within(1, 3600) * 1000,
        }
    }

    fn live(&mut self, now: u64, rng: &mut Rng) -> Option<Reading> {
        if now >= self.plateau_until {
            self.plateau_until = now + rng.within(5, 900) * 1000;
            self.plateau = match rng.below(10) {
                0..=5 => rng.within(0, 8_000) as i32 - 2_000,
                6 => rng.within(20_000, 80_000) as i32,
                7 => rng.pick(&[25, 30, 50, 60, 80, 100, 140, 150]) * 1000,
                8 => rng.within(90_000, 200_000) as i32,
                _ => rng.within(250_000, 330_000) as i32,
            };
        }
        if now >= self.trouble_until {
            let trouble = self.trouble == Trouble::None;
            self.trouble_until = now
                + 1000
                    * if trouble {
                        rng.within(2, 240)
                    } else {
                        rng.within(60, 3600)
                    };
            self.trouble = match (trouble, rng.below(5)) {
                (false, _) => Trouble::None,
                (_, 0) => Trouble::Failing(rng.pick(&[PollFailure::Timeout, PollFailure::Crc])),
                (_, 1) => Trouble::Failing(PollFailure::Exception(4)),
                (_, 2) => Trouble::Silent,
                (_, 3) => Trouble::Reported(rng.pick(&[FaultCode::AdcRail, FaultCode::Other(7)])),
                _ => Trouble::Flaky,
            };
        }
        let noise = if rng.chance(30) {
            rng.within(0, 6_000) as i32 - 3_000
        } else {
            0
        };
        let good = Reading::Value(Concentration::from_milli(
            (self.plateau + noise).max(-8_000),
        ));
        match self.trouble {
            Trouble::None => Some(good),
            Trouble::Failing(failure) => Some(Reading::Failed(failure)),
            Trouble::Silent => None,
            Trouble::Reported(code) => Some(Reading::Reported(code)),
            Trouble::Flaky if rng.chance(50) => Some(good),
            Trouble::Flaky => Some(Reading::Failed(PollFailure::Length)),
        }
    }
}

/// A station with its model, stepped together.
pub(crate) struct Pair {
    pub(crate) station: Box<SimStation>,
    pub(crate) model: Model,
    pub(crate) tally: Tally,
}

impl Pair {
    pub(crate) fn new(plan: &SimPlan) -> Self {
        Self {
            station: Box::new(SimStation::new(plan, Instant::ZERO)),
            model: Model::new(plan),
            tally: Tally::default(),
        }
    }

    pub(crate) fn reading(&mut self, now: u64, cell: usize, reading: Reading) {
        self.tally.readings += 1;
        self.model.pass(now, false);
        let input = Input::Reading {
            cell: CellIndex(cell as u8),
            reading,
        };
        self.station.step(Instant::from_millis(now), input).unwrap();
        self.drain(Cause::default());
        let range = &self.station.plan().cells[cell];
        let drifted = range.range_lo.as_milli()
            - (range.range_hi.as_milli() - range.range_lo.as_milli()) / 10;
        let poll = match reading {
            Reading::Value(value) => Poll::Good(value.as_milli()),
            Reading::RaGas(channel) => {
                channel
                    .convert()
                    .map_or(Poll::Reported, |raw| match raw.as_milli() {
                        raw if raw < drifted => Poll::Reported,
                        raw => Poll::Good(raw),
                    })
            }
            Reading::Failed(_) => Poll::Failed,
            Reading::Reported(_) | Reading::Current(_) => Poll::Reported,
        };
        self.model.poll(cell, poll);
    }

    pub(crate) fn bus(&mut self, now: u64, up: bool) {
        self.model.pass(now, false);
        let input = Input::Bus {
            bus: BusIndex(0),
            up,
        };
        self.station.step(Instant::from_millis(now), input).unwrap();
        self.model.bus(up);
        self.drain(Cause::default());
    }

    /// Ends an instant: deadlines at it, then everything that must hold.
    pub(crate) fn tick(&mut self, now: u64) {
        self.station.handle_timeout(Instant::from_millis(now));
        self.drain(Cause::default());
        self.model.pass(now, true);
        self.model.check(&self.station);
        if now.is_multiple_of(VOTES_EVERY_MS) {
            self.model.check_slowly(&self.station);
        }
        if now.is_multiple_of(AVERAGES_EVERY_MS) {
            self.model.check_averages(&self.station);
        }
    }

    /// The next instant at which something is checked that nothing else leads to.
    pub(crate) fn next_check(&self) -> u64 {
        let last = self.model.at().as_millis();
        let next = |every: u64| (last / every + 1) * every;
        next(VOTES_EVERY_MS).min(next(AVERAGES_EVERY_MS))
    }

    fn drain(&mut self, cause: Cause) {
        while let Some(event) = self.station.poll_output() {
            self.model.event(event, cause);
        }
    }

    /// One thing that operators and engineers do.
    pub(crate) fn command(&mut self, now: u64, rng: &mut Rng) {
        self.tally.commands += 1;
        self.model.pass(now, false);
        let at = Instant::from_millis(now);
        // Deadlines before the command are not its doing.
        let _ = self
            .station
            .step(at, Input::Command(Command::Acknowledge(AlarmKey::Power)));
        self.drain(Cause::default());
        let plan = self.station.plan();
        let key = AlarmKey::SetPoint(SetPointIndex(rng.below(plan.set_points.len() as u64) as u8));
        let cell = rng.below(plan.cells.len() as u64) as u8;
        let output = OutputIndex(rng.below(plan.outputs.len() as u64) as u8);
        let span = Duration::from_secs(rng.within(300, 1200));
        let command = match rng.below(16) {
            0..=2 => Command::Acknowledge(key),
            3 => Command::Acknowledge(AlarmKey::Cell(CellIndex(cell))),
            4 | 5 => Command::AcknowledgeAll,
            6..=8 => Command::Reset(key),
            9 => Command::Silence,
            10 => Command::OneButton,
            11 => Command::Shelve { key, span },
            12 => Command::Inhibit {
                cell: CellIndex(cell),
                span,
            },
            13 => Command::OutOfService(CellIndex(cell)),
            14 => Command::LampTest(Duration::from_secs(5)),
            _ => Command::SetOutput {
                output,
                mode: Mode::Auto,
                span: None,
            },
        };
        let active = |station: &SimStation| {
            let keys = station.alarm_keys();
            let states = keys.map(|key| station.alarm(key).unwrap().state.is_active());
            states.collect::<Vec<_>>()
        };
        let before = active(&self.station);
        let result = self.station.step(at, Input::Command(command));
        let is = |wanted: fn(&Command) -> bool| wanted(&command);
        let cause = Cause {
            ack: is(|c| {
                matches!(
                    c,
                    Command::Acknowledge(_) | Command::AcknowledgeAll | Command::OneButton
                )
            }),
            reset: is(|c| matches!(c, Command::Reset(_) | Command::OneButton)),
        };
        if cause.ack || command == Command::Silence {
            assert_eq!(
                before,
                active(&self.station),
                "{command:?} cleared an active alarm at {now}"
            );
        }
        match (command, result) {
            (Command::Inhibit { cell, span }, Ok(())) => {
                self.model
                    .mask(cell.at(), Some(now + span.as_millis() as u64));
            }
            (Command::OutOfService(cell), Ok(())) => self.model.mask(cell.at(), None),
            _ => {}
        }
        self.drain(cause);
        if let Command::OutOfService(cell) = command {
            // Half of them come back at once, so that not everything ends out of service.
            if rng.chance(50) || self.model.is_masked(0) {
                self.station
                    .step(at, Input::Command(Command::ReturnToService(cell)))
                    .unwrap();
                self.model.unmask(cell.at());
                self.drain(Cause::default());
            }
        }
    }

    /// The process is killed and started again at once.
    pub(crate) fn restart(&mut self, now: u64) {
        self.tally.restarts += 1;
        let mut buffer = [0; 16 * 1024];
        let length = self.station.save(&mut buffer).unwrap();
        let plan = self.station.plan().clone();
        let at = Instant::from_millis(now);
        let mut again = Box::new(SimStation::new(&plan, at));
        again.load(&buffer[..length], None).unwrap();
        for key in self.station.alarm_keys() {
            let (old, new) = (self.station.alarm(key).unwrap(), again.alarm(key).unwrap());
            assert_eq!(old.state, new.state, "{key:?} at {now}");
        }
        self.station = again;
        self.model.restarted(now);
        self.model.forget_samples();
    }
}

/// Lives one seed.
pub(crate) fn live(seed: u64, hours: u64) -> Tally {
    let mut rng = Rng::new(seed);
    let plan = plan(&mut rng);
    plan.check(|mistake| panic!("{mistake:?}"));
    let mut pair = Pair::new(&plan);
    let mut cells: Vec<Cell> = plan.cells.iter().map(|_| Cell::new(&mut rng)).collect();
    let cycle = plan.cells[0].cycle.as_millis() as u64;
    let end = hours * HOUR_MS;
    let mut next_command = rng.within(10, 600) * 1000;
    let mut next_restart = rng.within(1, 10) * HOUR_MS + 1;
    let mut bus = (true, rng.within(1, 8) * HOUR_MS);
    loop {
        let polls = cells.iter().map(|cell| cell.next_poll);
        let inputs = polls.chain([next_command, next_restart, bus.1]);
        let wake = pair
            .station
            .poll_timeout()
            .map_or(u64::MAX, Instant::as_millis);
        let now = inputs.chain([wake, pair.next_check()]).min().unwrap();
        if now >= end {
            break;
        }
        for (at, cell) in cells.iter_mut().enumerate() {
            if cell.next_poll <= now {
                cell.next_poll = now + cycle + if rng.chance(10) { rng.below(200) } else { 0 };
                if let Some(reading) = cell.live(now, &mut rng) {
                    pair.reading(now, at, reading);
                }
            }
        }
        if bus.1 <= now {
            bus = (
                !bus.0,
                now + if bus.0 {
                    30_000
                } else {
                    rng.within(1, 8) * HOUR_MS
                },
            );
            pair.bus(now, bus.0);
        }
        if next_command <= now {
            next_command = now + rng.within(1, 400) * 1000;
            pair.command(now, &mut rng);
        }
        pair.tick(now);
        if next_restart <= now {
            next_restart = now + rng.within(1, 20) * HOUR_MS;
            pair.restart(now);
            pair.tick(now);
        }
    }
    pair.tally.hours = hours;
    pair.tally.raised = pair.model.raised;
    pair.tally.faults = pair.model.faults;
    pair.tally
}
