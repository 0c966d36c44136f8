//! One step of the whole site: inputs to output images and events.
//!
//! Owner's loop: `step` (or [`Machine::handle`]) for every input, [`Machine::poll_output`] to the end, and
//! `step(now, Input::Tick)` (or [`Machine::handle_timeout`]) at [`Machine::poll_timeout`]. At one instant feed
//! the inputs first, the tick last: `step` with an input runs only the deadlines **before** `now`.

mod bump;
mod commands;
mod persist;
mod refresh;
mod status;
mod take_over;

pub use take_over::Moves;

use super::alarm::Alarm;
use super::cell::{Cell, Change};
use super::command::{AlarmKey, Input, Refusal};
use super::event::{Event, EventKind};
use super::index::{CellIndex, CellSet, OutputIndex, SetPointIndex, ZoneIndex};
use super::mean::Windows;
use super::output::Output;
use super::plan::{Plan, Quantity};
use super::reading::{Reading, Warning};
use super::set_point::Votes;
use super::status::{OverlayKind, Specials};
use super::zone::Zone;
use crate::limits::{BUCKET_MS, EVENTS_MAX};
use crate::machine::Machine;
use crate::power::runtime::Runtime;
use crate::power::supply::{News, Supply, SupplyNews};
use crate::power::{ServiceState, SupplyReading};
use crate::time::{Duration, Instant};

/// Everything of a site that decides. No allocation, no clock, no IO.
#[derive(Debug)]
pub struct Station<
    const C: usize,
    const Z: usize,
    const S: usize,
    const O: usize,
    const B: usize,
    const N: usize,
> {
    plan: Plan<C, Z, S, O, B>,
    windows: Windows,
    /// Positions in `windows` of what each set point averages over.
    window_of: [[u8; 2]; S],
    /// Set points that compare the current value of a cell, one bit each.
    direct_of: [u64; C],
    /// Set points that compare something over time of a cell.
    average_of: [u64; C],
    now: Instant,
    /// No deadline is earlier. A lower bound: readings move deadlines away without touching it.
    wake: Instant,
    /// Something changed since the last refresh.
    dirty: bool,
    cells: [Cell<N>; C],
    votes: [Votes<C>; S],
    alarms: [Alarm; S],
    cell_alarms: [Alarm; C],
    bus_alarms: [Alarm; B],
    output_alarms: [Alarm; O],
    power_alarm: Alarm,
    /// `None` until the shell said something.
    bus_up: [Option<bool>; B],
    zones: [Zone; Z],
    outputs: [Output; O],
    /// Set points whose outputs are on, one bit each.
    driven: u64,
    /// The next refresh starts no pulse.
    pulses_held: bool,
    /// Cells that are inhibited or out of service.
    masked: CellSet,
    supply: Option<Supply>,
    runtime: Runtime,
    /// Operating seconds at the start of the last battery test.
    battery_test_at_s: u64,
    /// When the next day of an interval begins.
    day_at: Instant,
    service_state: ServiceState,
    check_states: [ServiceState; 3],
    special: Specials,
    healthy: bool,
    horn: bool,
    lamp_test_until: Option<Instant>,
    self_test_ok: bool,
    events: heapless::Deque<Event, EVENTS_MAX>,
    events_lost: u32,
}

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize, const N: usize>
    Station<C, Z, S, O, B, N>
{
    /// A station that starts at `now`: power-on is its t = 0. The plan must be free of
    /// [mistakes](Plan::check). Follow with [`load`](Self::load) where something was saved.
    #[must_use]
    pub fn new(plan: &Plan<C, Z, S, O, B>, now: Instant) -> Self {
        const {
            assert!(
                C <= 64 && S <= 64,
                "cells and set points are kept in 64-bit sets"
            );
            assert!(Z <= 64 && O <= 255 && B <= 255 && N >= 12);
        }
        let mut plan = plan.clone();
        if let Some(healthy) = plan.healthy_output() {
            plan.outputs[healthy.at()].function = super::plan::Function::Healthy;
        }
        let mut windows = Windows::default();
        for (buckets, &seconds) in windows.iter_mut().zip(&plan.windows) {
            *buckets = ((u64::from(seconds) * 1000 / BUCKET_MS) as u16).min(N as u16);
        }
        let mut window_of = [[0; 2]; S];
        let (mut direct_of, mut average_of) = ([0; C], [0; C]);
        for (at, set_point) in plan.set_points.iter().enumerate() {
            let position = |seconds| plan.windows.iter().position(|&window| window == seconds);
            for (kept, window) in window_of[at].iter_mut().zip(set_point.quantity.windows()) {
                *kept = position(window).unwrap_or(0) as u8;
            }
            let table = match set_point.quantity {
                Quantity::Direct => &mut direct_of,
                Quantity::Average(_) | Quantity::Rate(_) | Quantity::Exposure(_) => &mut average_of,
            };
            for cell in set_point.cells.iter().filter(|cell| cell.at() < C) {
                table[cell.at()] |= 1 << at;
            }
        }
        let cells = core::array::from_fn(|at| match plan.cells.get(at) {
            Some(cell) => Cell::new(now, cell.warmup, cell.commissioned),
            None => Cell::new(now, Duration::ZERO, None),
        });
        let supply = plan.supply.is_some().then(|| Supply::new(now));
        Self {
            windows,
            window_of,
            direct_of,
            average_of,
            now,
            wake: now,
            dirty: true,
            cells,
            votes: core::array::from_fn(|_| Votes::new()),
            alarms: [Alarm::default(); S],
            cell_alarms: [Alarm::default(); C],
            bus_alarms: [Alarm::default(); B],
            output_alarms: [Alarm::default(); O],
            power_alarm: Alarm::default(),
            bus_up: [None; B],
            zones: [Zone::default(); Z],
            outputs: [Output::new(now); O],
            driven: 0,
            pulses_held: false,
            masked: CellSet::EMPTY,
            supply,
            runtime: Runtime::new(now),
            battery_test_at_s: 0,
            day_at: now,
            service_state: ServiceState::Ok,
            check_states: [ServiceState::Ok; 3],
            special: Specials::default(),
            healthy: false,
            horn: false,
            lamp_test_until: None,
            self_test_ok: true,
            events: heapless::Deque::new(),
            events_lost: 0,
            plan,
        }
    }

    /// The plan it runs, with the healthy signal resolved.
    #[must_use]
    pub const fn plan(&self) -> &Plan<C, Z, S, O, B> {
        &self.plan
    }

    /// The instant of the last step.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// One input at `now`; deadlines before `now` are run first, each at its own instant, deadlines at `now`
    /// only by [`Input::Tick`]. A `now` that went back counts as the last one.
    /// Drain [`Machine::poll_output`] after it.
    ///
    /// # Errors
    /// A refused command, or [`Refusal::Unknown`] for an index that is not in the plan; nothing changed. The
    /// shell answers 409 with [`Refusal::code`].
    pub fn step(&mut self, now: Instant, input: Input) -> Result<(), Refusal> {
        let now = now.max(self.now);
        self.run_deadlines(now, input == Input::Tick);
        self.now = now;
        let result = self.take(now, input);
        if self.dirty {
            self.refresh(now);
        }
        result
    }

    fn take(&mut self, now: Instant, input: Input) -> Result<(), Refusal> {
        match input {
            Input::Tick => {}
            Input::Reading { cell, reading } => {
                if cell.at() >= self.plan.cells.len() {
                    return Err(Refusal::Unknown);
                }
                self.reading(now, cell, reading);
            }
            Input::Bus { bus, up } => {
                let known = bus.at() < usize::from(self.plan.buses).min(B);
                let was = known
                    .then(|| self.bus_up[bus.at()])
                    .ok_or(Refusal::Unknown)?;
                if was != Some(up) {
                    self.bus_up[bus.at()] = Some(up);
                    self.dirty = true;
                    if was.is_some() || !up {
                        self.tell(now, EventKind::Bus { bus, up });
                    }
                }
            }
            Input::OutputReport {
                output,
                agrees,
                hand,
            } => {
                if output.at() >= self.plan.outputs.len() {
                    return Err(Refusal::Unknown);
                }
                self.outputs[output.at()].report(agrees, hand);
                self.dirty = true;
            }
            Input::Supply(reading) => self.supply_reading(now, reading),
            Input::Calendar(days) => {
                self.dirty |= self.runtime.calendar_days != days;
                self.runtime.calendar_days = days;
            }
            Input::SelfTest(ok) => {
                self.dirty |= self.self_test_ok != ok;
                self.self_test_ok = ok;
            }
            Input::Command(command) => {
                self.command(now, command)?;
                self.dirty = true;
                self.wake = self.wake.min(self.next_deadline(now));
            }
        }
        Ok(())
    }

    fn reading(&mut self, now: Instant, cell: CellIndex, reading: Reading) {
        let at = cell.at();
        let was_starting = self.cells[at].is_starting();
        let warnings = self.cells[at].warnings;
        let plan = &self.plan.cells[at];
        let change = self.cells[at].reading(now, plan, reading, &self.windows);
        self.bump_reading(now, cell, reading);
        self.dirty |= was_starting != self.cells[at].is_starting();
        if self.cells[at].warnings != warnings {
            self.tell_warnings(now, cell, warnings);
        }
        self.cell_changed(now, cell, change);
        if !matches!(reading, Reading::Failed(_)) {
            self.evaluate(now, cell, self.direct_of[at] | self.average_of[at]);
        }
        if let Some(due) = self.cells[at].deadline(now, &self.plan.cells[at]) {
            self.arm(due);
        }
        if !self.cells[at].history.is_idle() {
            self.arm(next_boundary(now));
        }
    }

    /// Tells of a fault or a recovery. A faulty cell's contributions are frozen from here on.
    fn cell_changed(&mut self, now: Instant, cell: CellIndex, change: Change) {
        match change {
            Change::Nothing => return,
            Change::Fault(fault) => {
                self.freeze(cell);
                self.tell(now, EventKind::CellFault { cell, fault });
            }
            Change::Healthy => self.tell(now, EventKind::CellHealthy { cell }),
        }
        self.dirty = true;
    }

    fn freeze(&mut self, cell: CellIndex) {
        for set_point in bits(self.direct_of[cell.at()] | self.average_of[cell.at()]) {
            self.votes[set_point.at()].freeze(cell);
        }
    }

    /// Weighs a cell's quantity in the set points given. A cell that cannot vote changes nothing.
    fn evaluate(&mut self, now: Instant, cell: CellIndex, set_points: u64) {
        let seen = &self.cells[cell.at()];
        if !seen.votes(now) {
            return;
        }
        let may_clear = !seen.warnings.has(Warning::OverRange);
        for set_point in bits(set_points) {
            let Some(value) = self.quantity(now, set_point, cell) else {
                self.votes[set_point.at()].freeze(cell);
                continue;
            };
            let plan = &self.plan.set_points[set_point.at()];
            let votes = &mut self.votes[set_point.at()];
            self.dirty |= votes.evaluate(now, plan, cell, value, may_clear);
            if let Some(due) = votes.deadline(plan) {
                self.arm(due);
            }
        }
    }

    fn tell_warnings(&mut self, now: Instant, cell: CellIndex, before: super::Warnings) {
        let after = self.cells[cell.at()].warnings;
        for warning in Warning::ALL {
            let on = after.has(warning);
            if on != before.has(warning) {
                self.tell(now, EventKind::Warning { cell, warning, on });
            }
        }
    }

    fn supply_reading(&mut self, now: Instant, reading: SupplyReading) {
        if let (Some(supply), Some(plan)) = (&mut self.supply, &self.plan.supply) {
            let news = supply.reading(now, plan, reading);
            if let Some(due) = supply.deadline(now) {
                self.arm(due);
            }
            self.tell_supply(now, &news);
        }
    }

    fn tell_supply(&mut self, now: Instant, news: &News) {
        for item in news {
            self.dirty = true;
            match *item {
                SupplyNews::State(state) => self.tell(now, EventKind::Supply { state }),
                SupplyNews::ShutdownAdvised => self.tell(now, EventKind::ShutdownAdvised),
                SupplyNews::Test(test) => self.tell(now, EventKind::BatteryTest(test)),
            }
        }
    }

    fn run_deadlines(&mut self, until: Instant, inclusive: bool) {
        while self.wake < until || (inclusive && self.wake == until) {
            let at = self.wake;
            self.now = at;
            self.timeout(at);
            if self.dirty {
                self.refresh(at);
            }
            // Strictly later, or this loop would not end; a deadline that did not move has been run.
            self.wake = self.next_deadline(at).max(at + Duration::from_millis(1));
        }
    }

    /// Everything that falls due at `now`.
    fn timeout(&mut self, now: Instant) {
        for cell in self.cell_indices() {
            let at = cell.at();
            let (mask, warnings) = (self.cells[at].mask, self.cells[at].warnings);
            let change = self.cells[at].timeout(now, &self.plan.cells[at], &self.windows);
            self.tell_warnings(now, cell, warnings);
            self.cell_changed(now, cell, change);
            self.bump_timeout(now, cell);
            if let (Some(mask), None) = (mask, self.cells[at].mask) {
                self.unmasked(now, cell, mask.kind);
            }
            if self.cells[at].warm_at() == now {
                self.dirty = true;
                self.evaluate(now, cell, self.direct_of[at] | self.average_of[at]);
            }
            if now.as_millis().is_multiple_of(BUCKET_MS) {
                self.cells[at].history.advance(now, &self.windows);
                self.evaluate(now, cell, self.average_of[at]);
            }
        }
        for set_point in self.set_point_indices() {
            let plan = &self.plan.set_points[set_point.at()];
            self.dirty |= self.votes[set_point.at()].timeout(now, plan);
        }
        self.alarm_timeouts(now);
        self.output_timeouts(now);
        if let (Some(supply), Some(plan)) = (&mut self.supply, &self.plan.supply) {
            let news = supply.timeout(now, plan);
            self.tell_supply(now, &news);
        }
        self.start_due_battery_test(now);
        if self.lamp_test_until.is_some_and(|until| until <= now) {
            self.lamp_test_until = None;
            self.dirty = true;
        }
        // A new day may make the service due; the refresh looks.
        self.dirty |= self.day_at <= now;
        self.day_at = self.runtime.deadline(now, &self.plan.service);
    }

    fn alarm_timeouts(&mut self, now: Instant) {
        let recurs = self.plan.horn_recurs;
        for set_point in self.set_point_indices() {
            let alarm = &mut self.alarms[set_point.at()];
            if alarm.recurs_at(recurs).is_some_and(|at| at <= now) {
                alarm.silenced = None;
                self.dirty = true;
            }
            if alarm.shelved_until.is_some_and(|until| until <= now) {
                alarm.shelved_until = None;
                self.dirty = true;
                let key = AlarmKey::SetPoint(set_point);
                self.tell(now, EventKind::Shelved { key, on: false });
            }
        }
    }

    fn output_timeouts(&mut self, now: Instant) {
        for output in self.output_indices() {
            let at = output.at();
            self.dirty |= self.outputs[at].deadline().is_some_and(|due| due <= now);
            if self.outputs[at].timeout(now) {
                let mode = self.outputs[at].mode;
                self.tell(now, EventKind::OutputMode { output, mode });
            }
        }
    }

    /// A cell votes again; what stands now is raised now.
    fn unmasked(&mut self, now: Instant, cell: CellIndex, kind: OverlayKind) {
        self.dirty = true;
        self.tell(
            now,
            EventKind::Masked {
                cell,
                kind,
                on: false,
            },
        );
        self.evaluate(
            now,
            cell,
            self.direct_of[cell.at()] | self.average_of[cell.at()],
        );
    }

    /// The earliest deadline after `now` (or at it, when it has not been run yet).
    fn next_deadline(&self, now: Instant) -> Instant {
        let mut next = self.day_at;
        let mut consider = |due: Option<Instant>| {
            if let Some(due) = due {
                next = next.min(due);
            }
        };
        let mut busy = false;
        for (cell, plan) in self.cells.iter().zip(&self.plan.cells) {
            consider(cell.deadline(now, plan));
            busy |= !cell.history.is_idle();
        }
        consider(busy.then(|| next_boundary(now)));
        for (set_point, votes) in self.plan.set_points.iter().zip(&self.votes) {
            consider(votes.deadline(set_point));
        }
        for alarm in &self.alarms {
            consider(alarm.shelved_until);
            consider(alarm.recurs_at(self.plan.horn_recurs));
        }
        for output in self.outputs.iter().take(self.plan.outputs.len()) {
            consider(output.deadline());
        }
        consider(self.supply.as_ref().and_then(|supply| supply.deadline(now)));
        consider(self.lamp_test_until);
        next
    }

    fn arm(&mut self, due: Instant) {
        self.wake = self.wake.min(due);
    }

    fn tell(&mut self, at: Instant, kind: EventKind) {
        // Once one is lost, all until the next drain are, so that the order of what is told stays true.
        if self.events_lost > 0 || self.events.push_back(Event { at, kind }).is_err() {
            self.events_lost = self.events_lost.saturating_add(1);
        }
    }

    fn cell_indices(&self) -> impl Iterator<Item = CellIndex> + use<C, Z, S, O, B, N> {
        (0..self.plan.cells.len() as u8).map(CellIndex)
    }

    fn zone_indices(&self) -> impl Iterator<Item = ZoneIndex> + use<C, Z, S, O, B, N> {
        (0..self.plan.zones.len() as u8).map(ZoneIndex)
    }

    fn set_point_indices(&self) -> impl Iterator<Item = SetPointIndex> + use<C, Z, S, O, B, N> {
        (0..self.plan.set_points.len() as u8).map(SetPointIndex)
    }

    fn output_indices(&self) -> impl Iterator<Item = OutputIndex> + use<C, Z, S, O, B, N> {
        (0..self.plan.outputs.len() as u8).map(OutputIndex)
    }
}

fn bits(mut set: u64) -> impl Iterator<Item = SetPointIndex> {
    core::iter::from_fn(move || {
        (set != 0).then(|| {
            let at = set.trailing_zeros() as u8;
            set &= set - 1;
            SetPointIndex(at)
        })
    })
}

/// The next multiple of a bucket after `now`.
const fn next_boundary(now: Instant) -> Instant {
    Instant::from_millis((now.as_millis() / BUCKET_MS + 1) * BUCKET_MS)
}

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize, const N: usize>
    Machine for Station<C, Z, S, O, B, N>
{
    type Input<'a> = Input;
    type Output = Event;

    /// [`Station::step`] for owners that need no answer; a refusal is dropped.
    fn handle(&mut self, now: Instant, input: Input) {
        let _ = self.step(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        let _ = self.step(now, Input::Tick);
    }

    fn poll_output(&mut self) -> Option<Event> {
        self.events.pop_front().or_else(|| {
            let lost = core::mem::take(&mut self.events_lost);
            let kind = EventKind::EventsLost(lost);
            (lost > 0).then_some(Event { at: self.now, kind })
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.wake)
    }
}

#[cfg(test)]
pub(in crate::gas) mod bench;
#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod operating;
#[cfg(test)]
mod over_time;
#[cfg(test)]
mod tests;
