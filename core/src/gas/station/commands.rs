//! What operators and engineers ask for.

use super::{Instant, Station};
use crate::gas::alarm::Alarm;
use crate::gas::command::{AlarmKey, Command, Refusal};
use crate::gas::event::{AlarmChange, EventKind};
use crate::gas::index::{CellIndex, OutputIndex};
use crate::gas::plan::Function;
use crate::gas::status::{Mode, OverlayKind};
use crate::limits::{INHIBIT_MAX, LAMP_TEST_MAX, SHELVE_MAX, SHELVE_MIN};
use crate::power::{BatteryTest, Check, SupplyState};
use crate::time::Duration;

/// From this stage on an alarm cannot be shelved. Source: `monitor.md` 3.2.
const UNSHELVABLE_STAGE: u8 = 3;
const DAY_S: u64 = 86_400;

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize, const N: usize>
    Station<C, Z, S, O, B, N>
{
    pub(super) fn command(&mut self, now: Instant, command: Command) -> Result<(), Refusal> {
        match command {
            Command::Acknowledge(key) => self.acknowledge(now, key)?,
            Command::AcknowledgeAll => self.acknowledge_all(now),
            Command::Reset(key) => self.reset(now, key)?,
            Command::Shelve { key, span } => self.shelve(now, key, span)?,
            Command::Unshelve(key) => self.unshelve(now, key)?,
            Command::Inhibit { cell, span } => self.inhibit(now, cell, span)?,
            Command::BumpTest {
                cell,
                target,
                direction,
                span,
            } => self.bump_test(now, cell, target, direction, span)?,
            Command::OutOfService(cell) => {
                self.mask(now, cell, OverlayKind::OutOfService, None)?;
            }
            Command::ReturnToService(cell) => {
                self.known_cell(cell)?;
                let mask = self.cells[cell.at()]
                    .mask
                    .take()
                    .ok_or(Refusal::InService)?;
                self.bump_aborted(now, cell);
                self.unmasked(now, cell, mask.kind);
            }
            Command::ConfirmCalibration(cell) => {
                self.known_cell(cell)?;
                let before = self.cells[cell.at()].warnings;
                if !self.cells[cell.at()].confirm_calibration() {
                    return Err(Refusal::NothingToConfirm);
                }
                self.tell(now, EventKind::CalibrationConfirmed { cell });
                self.tell_warnings(now, cell, before);
            }
            Command::Silence => self.silence(now),
            Command::OneButton => self.one_button(now),
            Command::LampTest(span) => {
                if span.is_zero() || span > LAMP_TEST_MAX {
                    return Err(Refusal::Span);
                }
                self.lamp_test_until = Some(now + span);
            }
            Command::SetOutput { output, mode, span } => {
                self.set_output(now, output, mode, span)?;
            }
            Command::ServiceDone => {
                self.runtime.service_done(now);
                self.tell(now, EventKind::ServiceDone);
                self.day_at = self.runtime.deadline(now, &self.plan.service);
            }
            Command::CheckDone(check) => self.check_done(now, check)?,
            Command::BatteryTest => self.battery_test(now)?,
        }
        Ok(())
    }

    pub(super) fn inhibit(
        &mut self,
        now: Instant,
        cell: CellIndex,
        span: Duration,
    ) -> Result<(), Refusal> {
        if !(Duration::from_secs(1)..=INHIBIT_MAX).contains(&span) {
            return Err(Refusal::Span);
        }
        self.known_cell(cell)?;
        let mask = self.cells[cell.at()].mask;
        if mask.is_some_and(|mask| mask.kind == OverlayKind::OutOfService) {
            return Err(Refusal::OutOfService);
        }
        self.mask(now, cell, OverlayKind::Inhibited, Some(now + span))
    }

    fn known_cell(&self, cell: CellIndex) -> Result<(), Refusal> {
        if cell.at() < self.plan.cells.len() {
            Ok(())
        } else {
            Err(Refusal::Unknown)
        }
    }

    pub(super) fn alarm_mut(&mut self, key: AlarmKey) -> Option<&mut Alarm> {
        self.alarm_of(key)?;
        Some(match key {
            AlarmKey::SetPoint(set_point) => &mut self.alarms[set_point.at()],
            AlarmKey::Cell(cell) => &mut self.cell_alarms[cell.at()],
            AlarmKey::Bus(bus) => &mut self.bus_alarms[bus.at()],
            AlarmKey::Output(output) => &mut self.output_alarms[output.at()],
            AlarmKey::Power => &mut self.power_alarm,
        })
    }

    fn tell_change(&mut self, now: Instant, key: AlarmKey, change: AlarmChange) {
        match key {
            AlarmKey::SetPoint(set_point) => self.tell_alarm(now, set_point, change),
            _ => self.tell_fault(now, key, Some(change)),
        }
    }

    fn acknowledge(&mut self, now: Instant, key: AlarmKey) -> Result<(), Refusal> {
        let alarm = self.alarm_mut(key).ok_or(Refusal::Unknown)?;
        if let Some(change) = alarm.acknowledge(now)? {
            self.tell_change(now, key, change);
        }
        Ok(())
    }

    fn acknowledge_all(&mut self, now: Instant) {
        for key in self.alarm_keys() {
            // `Normal` has nothing to acknowledge; that is no refusal here.
            let _ = self.acknowledge(now, key);
        }
    }

    fn reset(&mut self, now: Instant, key: AlarmKey) -> Result<(), Refusal> {
        let alarm = self.alarm_mut(key).ok_or(Refusal::Unknown)?;
        let change = alarm.reset(now)?;
        self.tell_change(now, key, change);
        Ok(())
    }

    fn one_button(&mut self, now: Instant) {
        let unacknowledged = |station: &Self, key| {
            station
                .alarm_of(key)
                .is_some_and(|alarm| alarm.state.is_unacknowledged())
        };
        if self.alarm_keys().any(|key| unacknowledged(self, key)) {
            self.acknowledge_all(now);
        } else {
            for key in self.alarm_keys() {
                // Only what is latched and over gives way.
                let _ = self.reset(now, key);
            }
        }
    }

    fn silence(&mut self, now: Instant) {
        let mut silenced = false;
        for key in self.alarm_keys() {
            silenced |= self.alarm_mut(key).is_some_and(|alarm| alarm.silence(now));
        }
        if silenced {
            self.tell(now, EventKind::HornSilenced);
        }
    }

    fn shelve(&mut self, now: Instant, key: AlarmKey, span: Duration) -> Result<(), Refusal> {
        self.alarm_of(key).ok_or(Refusal::Unknown)?;
        let AlarmKey::SetPoint(set_point) = key else {
            return Err(Refusal::NotShelvable);
        };
        if self.plan.set_points[set_point.at()].stage >= UNSHELVABLE_STAGE {
            return Err(Refusal::NotShelvable);
        }
        if !(SHELVE_MIN..=SHELVE_MAX).contains(&span) {
            return Err(Refusal::Span);
        }
        self.alarms[set_point.at()].shelved_until = Some(now + span);
        self.tell(now, EventKind::Shelved { key, on: true });
        Ok(())
    }

    fn unshelve(&mut self, now: Instant, key: AlarmKey) -> Result<(), Refusal> {
        let alarm = self.alarm_mut(key).ok_or(Refusal::Unknown)?;
        alarm.shelved_until.take().ok_or(Refusal::NotShelved)?;
        self.tell(now, EventKind::Shelved { key, on: false });
        Ok(())
    }

    fn mask(
        &mut self,
        now: Instant,
        cell: CellIndex,
        kind: OverlayKind,
        until: Option<Instant>,
    ) -> Result<(), Refusal> {
        self.known_cell(cell)?;
        self.cells[cell.at()].set_mask(kind, until);
        // From here on its readings may be span gas: no vote, no sample.
        self.cells[cell.at()].history.cut(now, &self.windows);
        self.freeze(cell);
        self.tell(
            now,
            EventKind::Masked {
                cell,
                kind,
                on: true,
            },
        );
        Ok(())
    }

    fn set_output(
        &mut self,
        now: Instant,
        output: OutputIndex,
        mode: Mode,
        span: Option<Duration>,
    ) -> Result<(), Refusal> {
        let plan = self.plan.outputs.get(output.at()).ok_or(Refusal::Unknown)?;
        // A healthy signal by hand would hide a fault.
        if mode == Mode::On && matches!(plan.function, Function::Healthy | Function::Power) {
            return Err(Refusal::NotOverridable);
        }
        let state = &mut self.outputs[output.at()];
        let changed = state.mode != mode;
        state.mode = mode;
        state.mode_until = span.filter(|_| mode != Mode::Auto).map(|span| now + span);
        if changed {
            self.tell(now, EventKind::OutputMode { output, mode });
        }
        Ok(())
    }

    fn check_done(&mut self, now: Instant, check: Check) -> Result<(), Refusal> {
        self.plan.service.checks[check as usize].ok_or(Refusal::Unknown)?;
        self.runtime.check_done(now, check);
        self.day_at = self.runtime.deadline(now, &self.plan.service);
        self.tell(now, EventKind::CheckDone(check));
        Ok(())
    }

    fn battery_test(&mut self, now: Instant) -> Result<(), Refusal> {
        let alarmed = self.alarms.iter().any(|alarm| alarm.state.is_on());
        let supply = self.supply.as_mut().ok_or(Refusal::NoBattery)?;
        if !matches!(
            supply.state(),
            SupplyState::Mains | SupplyState::BatteryFault
        ) {
            return Err(Refusal::NoMains);
        }
        if alarmed {
            return Err(Refusal::AlarmActive);
        }
        if supply.test_until().is_none() {
            supply.start_test(now);
            self.battery_test_at_s = self.runtime.operating_s(now);
            self.tell(now, EventKind::BatteryTest(BatteryTest::Started));
        }
        Ok(())
    }

    /// Starts the periodic test; while an alarm stands or mains is away it waits for a better moment.
    pub(super) fn start_due_battery_test(&mut self, now: Instant) {
        let Some(days) = self
            .plan
            .supply
            .as_ref()
            .and_then(|plan| plan.test_every_days)
        else {
            return;
        };
        let due_s = self.battery_test_at_s + u64::from(days) * DAY_S;
        if self.runtime.operating_s(now) >= due_s && self.battery_test(now).is_ok() {
            self.dirty = true;
        }
    }
}
