//! What must hold, worked out anew and as plainly as possible from what was fed: no bucket, no cached sum, no
//! wake-up, only the rules of the specification.
//!
//! Checked after every instant: fault of each cell; contribution and vote of each direct set point; active is
//! what the votes say; the healthy signal; every alarm event is a legal transition by a legal cause. Checked about
//! every minute: averages against their definition and bounds, average set points against them, level, outputs.

use crate::site::{SimPlan, SimStation};
use leitstand_core::gas::plan::*;
use leitstand_core::gas::status::Lamp;
use leitstand_core::gas::*;
use leitstand_core::time::Instant;
use std::collections::VecDeque;

const SILENCE_MS: u64 = 10_000;
const FOREVER: u64 = u64::MAX;

/// A poll as the model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poll {
    Good(i32),
    Failed,
    Reported,
}

#[derive(Clone, Debug)]
struct CellModel {
    started: bool,
    fault: bool,
    fails: u8,
    good: u8,
    /// Last good poll, or the start.
    heard: u64,
    warm_at: u64,
    /// The end of the warm-up was seen.
    warmed: bool,
    masked_until: Option<u64>,
    last: Option<i32>,
    /// Start and end of the hold, and value, of each sample of the last hour.
    samples: VecDeque<(u64, u64, i32)>,
}

#[derive(Clone, Debug)]
struct SetPointModel {
    over: u64,
    /// Per cell: since when the delay runs.
    since: [Option<u64>; 8],
    state: AlarmState,
}

/// What an operator did at this instant, for the causes of events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cause {
    pub(crate) ack: bool,
    pub(crate) reset: bool,
}

pub(crate) struct Model {
    plan: SimPlan,
    now: u64,
    cells: Vec<CellModel>,
    set_points: Vec<SetPointModel>,
    bus_up: bool,
    pub(crate) raised: u64,
    pub(crate) faults: u64,
}

impl Model {
    pub(crate) fn new(plan: &SimPlan) -> Self {
        let cells = plan.cells.iter().map(|cell| CellModel {
            started: false,
            fault: false,
            fails: 0,
            good: 0,
            heard: 0,
            warm_at: cell.warmup.as_millis() as u64,
            warmed: false,
            masked_until: None,
            last: None,
            samples: VecDeque::new(),
        });
        let quiet = SetPointModel {
            over: 0,
            since: [None; 8],
            state: AlarmState::Normal,
        };
        Self {
            plan: plan.clone(),
            now: 0,
            cells: cells.collect(),
            set_points: plan.set_points.iter().map(|_| quiet.clone()).collect(),
            bus_up: true,
            raised: 0,
            faults: 0,
        }
    }

    /// The process was restarted on what it had saved: cells start anew, contributions stay.
    pub(crate) fn restarted(&mut self, now: u64) {
        for (cell, plan) in self.cells.iter_mut().zip(&self.plan.cells) {
            cell.started = false;
            cell.fault = false;
            (cell.fails, cell.good) = (0, 0);
            cell.heard = now;
            cell.last = None;
            cell.warm_at = now + plan.warmup.as_millis() as u64;
            cell.warmed = false;
            // The sample under way ends with the process.
            if let Some(sample) = cell.samples.back_mut() {
                sample.1 = sample.1.min(now);
            }
        }
        for (set_point, plan) in self.set_points.iter_mut().zip(&self.plan.set_points) {
            set_point.since = [None; 8];
            let short = set_point.over.count_ones() < u32::from(plan.vote_k);
            if set_point.state.is_active() && short {
                set_point.over = plan.cells.0;
            }
        }
        self.bus_up = true;
    }

    /// The averages start anew.
    pub(crate) fn forget_samples(&mut self) {
        for cell in &mut self.cells {
            cell.samples.clear();
        }
    }

    pub(crate) fn bus(&mut self, up: bool) {
        self.bus_up = up;
    }

    pub(crate) fn mask(&mut self, cell: usize, until: Option<u64>) {
        self.cells[cell].masked_until = Some(until.unwrap_or(FOREVER));
        let now = self.now;
        if let Some(sample) = self.cells[cell].samples.back_mut() {
            sample.1 = sample.1.min(now);
        }
        self.freeze(cell);
    }

    pub(crate) fn unmask(&mut self, cell: usize) {
        self.cells[cell].masked_until = None;
        self.evaluate_last(cell);
    }

    pub(crate) fn is_masked(&self, cell: usize) -> bool {
        self.cells[cell].masked_until.is_some()
    }

    pub(crate) fn poll(&mut self, cell: usize, poll: Poll) {
        let now = self.now;
        let plan = &self.plan.cells[cell];
        let model = &mut self.cells[cell];
        match poll {
            Poll::Failed => {
                model.fails = model.fails.saturating_add(1);
                model.good = 0;
                if !model.fault && model.fails >= 5 {
                    self.fault(cell);
                }
            }
            Poll::Reported => {
                model.good = 0;
                if let Some(sample) = model.samples.back_mut() {
                    sample.1 = sample.1.min(now);
                }
                if !model.fault {
                    self.fault(cell);
                }
            }
            Poll::Good(value) => {
                model.started = true;
                model.fails = 0;
                model.heard = now;
                model.last = Some(value);
                if model.fault {
                    model.good += 1;
                    if model.good == 3 {
                        model.fault = false;
                        let warm_at = now + plan.warmup.as_millis() as u64;
                        model.warmed &= model.warm_at >= warm_at;
                        model.warm_at = model.warm_at.max(warm_at);
                    }
                }
                if now >= model.warm_at && model.masked_until.is_none() {
                    let hold = (3 * plan.cycle.as_millis() as u64).max(15_000);
                    if let Some(sample) = model.samples.back_mut() {
                        sample.1 = sample.1.min(now);
                    }
                    model.samples.push_back((now, now + hold, value.max(0)));
                    while model
                        .samples
                        .front()
                        .is_some_and(|first| first.1 + 3_700_000 < now)
                    {
                        model.samples.pop_front();
                    }
                }
                self.evaluate_last(cell);
            }
        }
    }

    fn fault(&mut self, cell: usize) {
        self.faults += 1;
        let model = &mut self.cells[cell];
        (model.fault, model.started, model.good) = (true, true, 0);
        self.freeze(cell);
    }

    fn freeze(&mut self, cell: usize) {
        for set_point in &mut self.set_points {
            set_point.since[cell] = None;
        }
    }

    fn votes(&self, cell: usize) -> bool {
        let model = &self.cells[cell];
        model.started && !model.fault && self.now >= model.warm_at && model.masked_until.is_none()
    }

    fn evaluate_last(&mut self, cell: usize) {
        if !self.votes(cell) {
            return;
        }
        let Some(value) = self.cells[cell].last.map(|value| value.max(0)) else {
            return;
        };
        let over_range = self.cells[cell].last.unwrap() > self.plan.cells[cell].range_hi.as_milli();
        for (model, plan) in self.set_points.iter_mut().zip(&self.plan.set_points) {
            if plan.quantity != Quantity::Direct || !plan.cells.contains(CellIndex(cell as u8)) {
                continue;
            }
            let over = model.over & 1 << cell != 0;
            let turns = if over {
                value < plan.on.as_milli() - plan.hysteresis.as_milli() && !over_range
            } else {
                value >= plan.on.as_milli()
            };
            if turns {
                model.since[cell].get_or_insert(self.now);
            } else {
                model.since[cell] = None;
            }
        }
        self.turn(cell);
    }

    /// Contributions whose delay is over.
    fn turn(&mut self, cell: usize) {
        for (model, plan) in self.set_points.iter_mut().zip(&self.plan.set_points) {
            let over = model.over & 1 << cell != 0;
            let delay = if over { plan.off_delay } else { plan.on_delay };
            if model.since[cell].is_some_and(|since| since + delay.as_millis() as u64 <= self.now) {
                model.since[cell] = None;
                model.over ^= 1 << cell;
            }
        }
    }

    /// The earliest instant at which something changes by itself.
    fn deadline(&self) -> u64 {
        let mut next = FOREVER;
        for (at, cell) in self.cells.iter().enumerate() {
            if !cell.fault {
                next = next.min(cell.heard + SILENCE_MS);
            }
            if !cell.warmed {
                next = next.min(cell.warm_at);
            }
            next = next.min(cell.masked_until.unwrap_or(FOREVER));
            for (model, plan) in self.set_points.iter().zip(&self.plan.set_points) {
                if let Some(since) = model.since[at] {
                    let over = model.over & 1 << at != 0;
                    let delay = if over { plan.off_delay } else { plan.on_delay };
                    next = next.min(since + delay.as_millis() as u64);
                }
            }
        }
        next
    }

    /// Lets time pass: all deadlines before `now`, and with `inclusive` those at it.
    pub(crate) fn pass(&mut self, now: u64, inclusive: bool) {
        loop {
            let due = self.deadline();
            if due > now || (due == now && !inclusive) {
                self.now = now;
                return;
            }
            self.now = self.now.max(due);
            for cell in 0..self.cells.len() {
                if !self.cells[cell].fault && self.cells[cell].heard + SILENCE_MS <= self.now {
                    self.fault(cell);
                }
                if self.cells[cell]
                    .masked_until
                    .is_some_and(|until| until <= self.now)
                {
                    self.unmask(cell);
                }
                if !self.cells[cell].warmed && self.cells[cell].warm_at <= self.now {
                    self.cells[cell].warmed = true;
                    self.evaluate_last(cell);
                }
                self.turn(cell);
            }
        }
    }

    /// An event of the station: must be a legal step of the state table, by a legal cause.
    pub(crate) fn event(&mut self, event: Event, cause: Cause) {
        let EventKind::Alarm {
            key: AlarmKey::SetPoint(at),
            change,
            state,
            ..
        } = event.kind
        else {
            assert!(
                !matches!(event.kind, EventKind::EventsLost(_)),
                "events lost"
            );
            return;
        };
        use AlarmState::{ActiveAck, ActiveUnack, LatchedAck, LatchedUnack, Normal, RtnUnack};
        use event::AlarmChange::{Acknowledged, Cleared, Latched, Raised, Returned};
        let latching = self.plan.set_points[at.at()].latching;
        let before = self.set_points[at.at()].state;
        let legal = match (before, change, state) {
            (Normal | RtnUnack | LatchedUnack | LatchedAck, Raised, ActiveUnack) => true,
            (ActiveUnack, Acknowledged, ActiveAck)
            | (RtnUnack, Acknowledged, Normal)
            | (LatchedUnack, Acknowledged, LatchedAck) => cause.ack,
            (ActiveUnack, Returned, RtnUnack) | (ActiveAck, Cleared, Normal) => !latching,
            (ActiveUnack, Latched, LatchedUnack) | (ActiveAck, Latched, LatchedAck) => latching,
            (LatchedAck, Cleared, Normal) => cause.reset && latching,
            _ => false,
        };
        assert!(
            legal,
            "{before:?} -{change:?}-> {state:?} of {at:?} at {:?}, {cause:?}",
            event.at
        );
        self.raised += u64::from(change == Raised);
        self.set_points[at.at()].state = state;
    }

    /// What must hold at every instant, once all inputs and deadlines at it are through.
    pub(crate) fn check(&self, station: &SimStation) {
        let mut blind = 0_u64;
        for (at, model) in self.cells.iter().enumerate() {
            let cell = station.cell(CellIndex(at as u8));
            assert_eq!(
                cell.fault.is_some(),
                model.fault,
                "fault of cell {at} at {}",
                self.now
            );
            assert_eq!(
                cell.value.is_some(),
                model.last.is_some() && !model.fault,
                "cell {at}"
            );
            if model.fault || self.now < model.warm_at || model.masked_until.is_some() {
                blind |= 1 << at;
            }
        }
        let started = self.cells.iter().all(|cell| cell.started);
        let fault = self.cells.iter().any(|cell| cell.fault) || !self.bus_up;
        let healthy = station.healthy_signal();
        assert_eq!(healthy, started && !fault, "healthy signal at {}", self.now);

        for (at, (model, plan)) in self
            .set_points
            .iter()
            .zip(&self.plan.set_points)
            .enumerate()
        {
            let index = SetPointIndex(at as u8);
            let state = station.alarm_state(AlarmKey::SetPoint(index)).unwrap();
            assert_eq!(state, model.state, "every change is told");
            let over = station.contributions(index).0;
            if plan.quantity == Quantity::Direct {
                assert_eq!(over, model.over, "votes of set point {at} at {}", self.now);
            }
            let waits_not = (blind & plan.cells.0 & !over).count_ones() as u8;
            let needed = plan.vote_k.saturating_sub(waits_not).max(1);
            let stands = over.count_ones() as u8 >= needed;
            assert_eq!(state.is_active(), stands, "set point {at} at {}", self.now);
        }
    }

    /// Averages of all windows against their definition, at whatever instant.
    pub(crate) fn check_averages(&self, station: &SimStation) {
        for cell in (0..self.cells.len() as u8).map(CellIndex) {
            for &seconds in &self.plan.windows {
                let (mean, covered) = self.average(cell.at(), u64::from(seconds) * 1000);
                let average = station.average(cell, seconds).unwrap();
                let shown = average.mean.map(|mean| mean.as_milli());
                let context = (cell, seconds, self.now);
                assert_eq!(
                    average.covered.as_millis() as u64,
                    covered,
                    "cover {context:?}"
                );
                assert_eq!(shown, mean, "mean {context:?}");
            }
        }
    }

    /// What hangs on averages, and outputs. At a multiple of 5 s, when the station weighs them too.
    pub(crate) fn check_slowly(&self, station: &SimStation) {
        assert!(self.now.is_multiple_of(5_000));
        for (at, plan) in self.plan.set_points.iter().enumerate() {
            let Quantity::Average(seconds) = plan.quantity else {
                continue;
            };
            let over = station.set_point(SetPointIndex(at as u8)).over.0;
            for cell in plan.cells.iter() {
                let (mean, covered) = self.average(cell.at(), u64::from(seconds) * 1000);
                let known = covered > 0 && covered >= (u64::from(seconds) * 800).min(60_000);
                let (Some(mean), true, true) = (mean, known, self.votes(cell.at())) else {
                    continue;
                };
                let stands = over & 1 << cell.0 != 0;
                assert!(
                    mean < plan.on.as_milli() || stands,
                    "mean {mean} and no vote at {}",
                    self.now
                );
                let clear = mean < plan.on.as_milli() - plan.hysteresis.as_milli();
                let over_range = station.cell(cell).warnings.has(Warning::OverRange);
                assert!(
                    !clear || over_range || !stands,
                    "mean {mean} and a vote at {}",
                    self.now
                );
            }
        }
        self.check_outputs(station);
    }

    /// The mean by its definition, rounded half up, and the covered ms; bounded by what went in.
    fn average(&self, cell: usize, window: u64) -> (Option<i32>, u64) {
        let from = (self.now.div_ceil(5_000) * 5_000).saturating_sub(window);
        let (mut sum, mut covered, mut lo, mut hi) = (0_i64, 0_u64, i32::MAX, i32::MIN);
        for &(start, end, value) in &self.cells[cell].samples {
            let span = end.min(self.now).saturating_sub(start.max(from));
            if span > 0 {
                sum += i64::from(value) * span as i64;
                covered += span;
                (lo, hi) = (lo.min(value), hi.max(value));
            }
        }
        if covered == 0 {
            return (None, 0);
        }
        let mean = (2 * sum + covered as i64).div_euclid(2 * covered as i64) as i32;
        assert!((lo..=hi).contains(&mean), "{mean} not within {lo}..={hi}");
        (Some(mean), covered)
    }

    /// Relays follow the states of the alarms, cascade and loss; the horn what is unacknowledged and unsilenced.
    fn check_outputs(&self, station: &SimStation) {
        for (at, zone) in self.plan.zones.iter().enumerate() {
            let own = || {
                self.plan
                    .set_points
                    .iter()
                    .enumerate()
                    .filter(move |(_, p)| p.zone.at() == at)
            };
            let status = |sp: usize| station.set_point(SetPointIndex(sp as u8));
            let level = own()
                .filter(|(sp, _)| self.set_points[*sp].state.is_on())
                .map(|(_, p)| p.stage);
            let shown = station.zone(ZoneIndex(at as u8));
            assert_eq!(
                shown.level.0,
                level.max().unwrap_or(0),
                "level at {}",
                self.now
            );
            let lost = zone.cells.iter().all(|cell| self.cells[cell.at()].fault);
            let driving = own()
                .filter(|(sp, _)| {
                    self.set_points[*sp].state.is_on() && status(*sp).alarm.overlay.is_none()
                })
                .map(|(_, p)| p.stage)
                .max()
                .unwrap_or(0);
            for (sp, plan) in own() {
                let suppressed = status(sp).alarm.overlay.is_some();
                let on = (self.set_points[sp].state.is_on() && !suppressed)
                    || plan.stage < driving
                    || (lost && plan.stage <= zone.loss_stage);
                for action in &plan.actions {
                    let output = station.output(action.output);
                    let kind = self.plan.outputs[action.output.at()].kind;
                    if kind == OutputKind::Relay {
                        assert_eq!(output.on, on, "relay of set point {sp} at {}", self.now);
                        assert_eq!(output.lamp == Lamp::On, on);
                    }
                }
            }
        }
        let sounds = |alarm: &status::AlarmStatus| {
            alarm.state.is_unacknowledged() && !alarm.silenced && alarm.overlay.is_none()
        };
        let any = (0..self.set_points.len())
            .any(|sp| sounds(&station.set_point(SetPointIndex(sp as u8)).alarm));
        assert_eq!(station.site().horn.on, any, "horn at {}", self.now);
    }

    pub(crate) fn at(&self) -> Instant {
        Instant::from_millis(self.now)
    }
}
