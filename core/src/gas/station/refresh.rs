//! From contributions and faults to alarms, zones, horn, outputs and special states.
//!
//! Everything here is a function of state, never of the input that led to it; it runs after every input and
//! deadline that changed something.

use super::{Instant, Station};
use crate::gas::alarm::Alarm;
use crate::gas::command::AlarmKey;
use crate::gas::event::{AlarmChange, EventKind};
use crate::gas::index::{CellIndex, CellSet, OutputIndex, SetPointIndex, ZoneIndex};
use crate::gas::plan::{ActionMode, Direction, EXPOSURE_LONG_S, Function, OutputKind, Quantity};
use crate::gas::set_point::votes_needed;
use crate::gas::status::{Health, Lamp, Level, Overlay, OverlayKind, Special, Specials};
use crate::gas::zone;
use crate::power::{BatteryTest, Check, ServiceState, SupplyState};
use crate::units::Concentration;

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize, const N: usize>
    Station<C, Z, S, O, B, N>
{
    pub(super) fn refresh(&mut self, now: Instant) {
        self.dirty = false;
        self.masked = self.masked_now();
        self.refresh_fault_alarms(now);
        self.refresh_health(now);
        let raised = self.refresh_set_points(now);
        if raised
            && self
                .supply
                .as_mut()
                .is_some_and(|supply| supply.abort_test())
        {
            self.tell(now, EventKind::BatteryTest(BatteryTest::Aborted));
        }
        self.refresh_levels(now);
        self.refresh_horn(now);
        self.refresh_service(now);
        self.refresh_special(now);
        self.refresh_outputs(now);
    }

    /// Cells that cannot vote, whatever the reason.
    pub(super) fn blind(&self, now: Instant) -> CellSet {
        CellSet::of(
            self.cell_indices()
                .filter(|cell| self.cells[cell.at()].is_blind(now)),
        )
    }

    fn faulty(&self) -> CellSet {
        CellSet::of(
            self.cell_indices()
                .filter(|cell| self.cells[cell.at()].fault().is_some()),
        )
    }

    fn masked_now(&self) -> CellSet {
        CellSet::of(
            self.cell_indices()
                .filter(|cell| self.cells[cell.at()].mask.is_some()),
        )
    }

    /// The overlay of a set point's alarm: shelved, or nothing but cells that are inhibited or out of service
    /// stands behind it.
    pub(super) fn overlay(&self, set_point: SetPointIndex) -> Option<Overlay> {
        if let Some(until) = self.alarms[set_point.at()].shelved_until {
            return Some(Overlay {
                kind: OverlayKind::Shelved,
                until: Some(until),
            });
        }
        let plan = &self.plan.set_points[set_point.at()];
        let masked = plan.cells.and(self.masked);
        if masked.is_empty() {
            return None;
        }
        let over = self.votes[set_point.at()].over;
        let seeing = over.without(masked).len();
        let needed = votes_needed(plan.vote_k, over, self.blind(self.now).and(plan.cells));
        let by_masked_alone = !over.and(masked).is_empty() && seeing < needed;
        if masked != plan.cells && !by_masked_alone {
            return None;
        }
        // Of several the one that lasts longest: out of service before inhibited.
        masked
            .iter()
            .filter_map(|cell| self.cells[cell.at()].mask)
            .max_by_key(|mask| (mask.kind == OverlayKind::OutOfService, mask.until))
    }

    /// The quantity of a set point for one cell, when it may be trusted.
    pub(super) fn quantity(
        &self,
        now: Instant,
        set_point: SetPointIndex,
        cell: CellIndex,
    ) -> Option<Concentration> {
        let seen = &self.cells[cell.at()];
        match self.plan.set_points[set_point.at()].quantity {
            Quantity::Direct => seen.value(),
            over_time => {
                let [at, half] = self.window_of[set_point.at()].map(usize::from);
                let (history, windows) = (&seen.history, &self.windows);
                match over_time {
                    Quantity::Rate(_) => history.rate(now, at, half, windows),
                    Quantity::Exposure(EXPOSURE_LONG_S) => history.exposure(now, None, windows),
                    Quantity::Exposure(_) => history.exposure(now, Some(at), windows),
                    Quantity::Average(_) | Quantity::Direct => {
                        history.average(now, at, windows).value()
                    }
                }
            }
        }
    }

    /// The extreme of a set point's quantity over the cells that vote.
    pub(super) fn extreme(&self, now: Instant, set_point: SetPointIndex) -> Option<Concentration> {
        let plan = &self.plan.set_points[set_point.at()];
        let values = plan
            .cells
            .iter()
            .filter(|cell| self.cells[cell.at()].votes(now))
            .filter_map(|cell| self.quantity(now, set_point, cell));
        match plan.direction {
            Direction::Rising => values.max(),
            Direction::Falling => values.min(),
        }
    }

    fn refresh_fault_alarms(&mut self, now: Instant) {
        for cell in self.cell_indices() {
            let seen = &self.cells[cell.at()];
            // A cell that just starts says nothing about the fault it may have had before a restart.
            if !seen.is_starting() {
                let fault = seen.fault().is_some();
                let change = self.cell_alarms[cell.at()].condition(now, fault, false);
                self.tell_fault(now, AlarmKey::Cell(cell), change);
            }
        }
        for at in 0..usize::from(self.plan.buses).min(B) {
            if let Some(up) = self.bus_up[at] {
                let change = self.bus_alarms[at].condition(now, !up, false);
                self.tell_fault(now, AlarmKey::Bus(crate::gas::BusIndex(at as u8)), change);
            }
        }
        for output in self.output_indices() {
            if self.outputs[output.at()].reported {
                let fault = self.outputs[output.at()].is_faulty();
                let change = self.output_alarms[output.at()].condition(now, fault, false);
                if change.is_some() {
                    self.tell(now, EventKind::OutputFault { output, fault });
                }
                self.tell_fault(now, AlarmKey::Output(output), change);
            }
        }
        if let (Some(supply), Some(plan)) = (&self.supply, &self.plan.supply)
            && supply.state() != SupplyState::NotWired
        {
            let fault = supply.is_fault(plan);
            let change = self.power_alarm.condition(now, fault, false);
            self.tell_fault(now, AlarmKey::Power, change);
        }
    }

    pub(super) fn tell_fault(&mut self, now: Instant, key: AlarmKey, change: Option<AlarmChange>) {
        if let (Some(change), Some(alarm)) = (change, self.alarm_of(key)) {
            let state = alarm.state;
            self.tell(
                now,
                EventKind::Alarm {
                    key,
                    change,
                    state,
                    value: None,
                },
            );
        }
    }

    fn refresh_health(&mut self, now: Instant) {
        let faulty = self.faulty();
        for zone in self.zone_indices() {
            let cells = self.plan.zones[zone.at()].cells;
            let health = zone::health(cells, faulty);
            if self.zones[zone.at()].health != health {
                self.zones[zone.at()].health = health;
                self.tell(now, EventKind::ZoneHealth { zone, health });
            }
            self.zones[zone.at()].loss_sounds = cells
                .iter()
                .any(|cell| self.cell_alarms[cell.at()].sounds());
        }
    }

    /// Returns whether an alarm was raised.
    fn refresh_set_points(&mut self, now: Instant) -> bool {
        let blind = self.blind(now);
        let mut raised = false;
        for set_point in self.set_point_indices() {
            let plan = &self.plan.set_points[set_point.at()];
            let over = self.votes[set_point.at()].over;
            let needed = votes_needed(plan.vote_k, over, blind.and(plan.cells));
            let stands = over.len() >= needed;
            let latching = plan.latching;
            let change = self.alarms[set_point.at()].condition(now, stands, latching);
            if let Some(change) = change {
                raised |= change == AlarmChange::Raised;
                self.tell_alarm(now, set_point, change);
            }
        }
        raised
    }

    pub(super) fn tell_alarm(
        &mut self,
        now: Instant,
        set_point: SetPointIndex,
        change: AlarmChange,
    ) {
        let key = AlarmKey::SetPoint(set_point);
        let state = self.alarms[set_point.at()].state;
        let value = self.extreme(now, set_point);
        self.tell(
            now,
            EventKind::Alarm {
                key,
                change,
                state,
                value,
            },
        );
    }

    fn refresh_levels(&mut self, now: Instant) {
        let mut levels = [0_u8; Z];
        for zone in &mut self.zones {
            (zone.driving, zone.sounding) = (0, 0);
        }
        for set_point in self.set_point_indices() {
            let suppressed = self.overlay(set_point).is_some();
            let plan = &self.plan.set_points[set_point.at()];
            let alarm = &self.alarms[set_point.at()];
            if !alarm.state.is_on() {
                continue;
            }
            let at = plan.zone.at();
            levels[at] = levels[at].max(plan.stage);
            if !suppressed {
                let zone = &mut self.zones[at];
                zone.driving = zone.driving.max(plan.stage);
                if alarm.sounds() {
                    zone.sounding = zone.sounding.max(plan.stage);
                }
            }
        }
        for zone in self.zone_indices() {
            let level = Level(levels[zone.at()]);
            if self.zones[zone.at()].level != level {
                self.zones[zone.at()].level = level;
                self.tell(now, EventKind::ZoneLevel { zone, level });
            }
        }
    }

    fn refresh_horn(&mut self, now: Instant) {
        let on = self.set_point_indices().any(|set_point| {
            self.alarms[set_point.at()].sounds() && self.overlay(set_point).is_none()
        });
        if on != self.horn {
            self.horn = on;
            self.tell(now, EventKind::Horn { on });
        }
    }

    fn refresh_service(&mut self, now: Instant) {
        let state = self.runtime.service(now, &self.plan.service).state;
        if state != self.service_state {
            self.service_state = state;
            self.tell(now, EventKind::Service { state });
        }
        for check in Check::ALL {
            let status = self.runtime.check(now, &self.plan.service, check);
            let state = status.map_or(ServiceState::Ok, |status| status.state);
            if state != self.check_states[check as usize] {
                self.check_states[check as usize] = state;
                self.tell(now, EventKind::CheckState { check, state });
            }
        }
    }

    fn refresh_special(&mut self, now: Instant) {
        let special = self.special_now(now);
        for kind in Special::ALL {
            let on = special.has(kind);
            if on != self.special.has(kind) {
                self.special.set(kind, on);
                self.tell(now, EventKind::Special { special: kind, on });
            }
        }
        let healthy = !special.has(Special::Starting) && !self.has_fault();
        if healthy != self.healthy {
            self.healthy = healthy;
            self.tell(now, EventKind::HealthySignal { on: healthy });
        }
    }

    fn special_now(&self, now: Instant) -> Specials {
        let mut special = Specials::default();
        let cells = || self.cell_indices().map(|cell| &self.cells[cell.at()]);
        let masked = |kind| cells().any(|cell| cell.mask.is_some_and(|mask| mask.kind == kind));
        let outputs = || {
            self.output_indices()
                .map(|output| &self.outputs[output.at()])
        };
        let mut set = |kind, on| special.set(kind, on);
        set(Special::Starting, cells().any(|cell| cell.is_starting()));
        set(Special::WarmUp, cells().any(|cell| cell.is_warming(now)));
        set(Special::Inhibit, masked(OverlayKind::Inhibited));
        set(Special::OutOfService, masked(OverlayKind::OutOfService));
        set(
            Special::Shelved,
            self.alarms
                .iter()
                .any(|alarm| alarm.shelved_until.is_some()),
        );
        set(
            Special::Override,
            outputs().any(|out| out.mode != crate::gas::status::Mode::Auto),
        );
        set(Special::HandMode, outputs().any(|out| out.hand));
        set(Special::LampTest, self.lamp_test_until.is_some());
        let testing = self
            .supply
            .as_ref()
            .is_some_and(|supply| supply.test_until().is_some());
        set(Special::BatteryTest, testing);
        set(Special::SelfTest, !self.self_test_ok);
        special
    }

    /// Any fault anywhere: the healthy signal drops.
    pub(super) fn has_fault(&self) -> bool {
        let supply = self.supply.as_ref().zip(self.plan.supply.as_ref());
        !self.faulty().is_empty()
            || self.bus_up.contains(&Some(false))
            || self.outputs.iter().any(|output| output.is_faulty())
            || supply.is_some_and(|(supply, plan)| supply.is_fault(plan))
            || !self.self_test_ok
    }

    /// Set points whose outputs are on, one bit each.
    pub(super) fn driven_now(&self) -> u64 {
        self.set_point_indices()
            .filter(|at| self.drives(*at))
            .fold(0, |all, at| all | 1 << at.0)
    }

    pub(super) fn drives(&self, set_point: SetPointIndex) -> bool {
        let plan = &self.plan.set_points[set_point.at()];
        let suppressed = self.overlay(set_point).is_some();
        let zone = &self.zones[plan.zone.at()];
        let zone_plan = &self.plan.zones[plan.zone.at()];
        zone.drives(zone_plan, plan, &self.alarms[set_point.at()], suppressed)
    }

    fn refresh_outputs(&mut self, now: Instant) {
        let driven = self.driven_now();
        // What a restart restored was pulsed when it came.
        let held = core::mem::take(&mut self.pulses_held);
        let newly = if held { 0 } else { driven & !self.driven };
        self.driven = driven;
        let mut lit = [Lamp::Off; O];
        let mut sounding = [false; O];
        let mut beeping = [false; O];
        for set_point in self.set_point_indices() {
            let plan = &self.plan.set_points[set_point.at()];
            let alarm = &self.alarms[set_point.at()];
            let suppressed = self.overlay(set_point).is_some();
            let on = driven & 1 << set_point.0 != 0;
            let zone = &self.zones[plan.zone.at()];
            let zone_plan = &self.plan.zones[plan.zone.at()];
            let sounds = zone.sounds(zone_plan, plan, alarm, suppressed);
            for action in &plan.actions {
                let at = action.output.at();
                if let ActionMode::Pulse(span) = action.mode {
                    beeping[at] |= sounds;
                    if newly & 1 << set_point.0 != 0 {
                        self.outputs[at].pulse(now + span);
                    }
                    continue;
                }
                sounding[at] |= sounds;
                let want = match (on, action.mode) {
                    (true, ActionMode::Flash) => Lamp::Flash,
                    (true, _) => Lamp::On,
                    (false, _) if returned(alarm) && !suppressed => Lamp::Flash,
                    (false, _) => Lamp::Off,
                };
                let led = self.plan.outputs[at].kind == OutputKind::Led;
                lit[at] = brighter(lit[at], if led { want } else { solid(on) });
            }
        }
        for output in self.output_indices() {
            let at = output.at();
            let pulsing = self.outputs[at].is_pulsing(now);
            let kind = self.plan.outputs[at].kind;
            let by_action = match kind {
                OutputKind::Horn => solid(sounding[at] || (beeping[at] && pulsing)),
                OutputKind::Relay | OutputKind::Led => brighter(lit[at], solid(pulsing)),
            };
            let want = brighter(by_action, self.by_function(output));
            if self.outputs[at].drive(now, &self.plan.outputs[at], want) {
                let (on, lamp) = (self.outputs[at].on, self.outputs[at].lamp);
                self.tell(now, EventKind::Output { output, on, lamp });
            }
            if let Some(due) = self.outputs[at].deadline() {
                self.arm(due);
            }
        }
    }

    fn by_function(&self, output: OutputIndex) -> Lamp {
        match self.plan.outputs[output.at()].function {
            Function::Actions => Lamp::Off,
            Function::Healthy => solid(self.healthy),
            Function::Fault => solid(self.has_fault()),
            Function::Power => Lamp::On,
            Function::ServiceDue => solid(self.service_state == ServiceState::Due),
            Function::Stage { zone, stage } => self.by_stage(output, zone, stage),
        }
    }

    fn by_stage(&self, output: OutputIndex, zone: ZoneIndex, stage: u8) -> Lamp {
        let state = &self.zones[zone.at()];
        if stage <= state.driving || state.loss_drives(&self.plan.zones[zone.at()], stage) {
            return Lamp::On;
        }
        let led = self.plan.outputs[output.at()].kind == OutputKind::Led;
        let flashes = self.set_point_indices().any(|set_point| {
            let plan = &self.plan.set_points[set_point.at()];
            (plan.zone, plan.stage) == (zone, stage)
                && returned(&self.alarms[set_point.at()])
                && self.overlay(set_point).is_none()
        });
        if led && flashes {
            Lamp::Flash
        } else {
            Lamp::Off
        }
    }

    /// Which health is worst anywhere.
    pub(super) fn site_health(&self) -> Health {
        let zones = self.zone_indices().map(|zone| self.zones[zone.at()].health);
        let worst = zones.max().unwrap_or(Health::Good);
        if self.has_fault() {
            worst.max(Health::Degraded)
        } else {
            worst
        }
    }
}

fn returned(alarm: &Alarm) -> bool {
    alarm.state == crate::gas::AlarmState::RtnUnack
}

const fn solid(on: bool) -> Lamp {
    if on { Lamp::On } else { Lamp::Off }
}

/// Lit beats flashing: that gas is present says more than that someone has yet to say so.
const fn brighter(a: Lamp, b: Lamp) -> Lamp {
    match (a, b) {
        (Lamp::On, _) | (_, Lamp::On) => Lamp::On,
        (Lamp::Flash, _) | (_, Lamp::Flash) => Lamp::Flash,
        (Lamp::Off, Lamp::Off) => Lamp::Off,
    }
}
