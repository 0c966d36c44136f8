//! One cell: what its readings mean, whether they can be trusted, and since when.
//!
//! ```text
//!   Starting --good--> Healthy --5 failed polls, 10 s silence, reported, live check--> Fault
//!      |                  ^                                                             |
//!      +------ as Healthy to Fault          3 good polls with no failed one among them -+
//! ```
//! Beside the state runs the warm-up: from power-on, and again from each recovery. A cell *votes* while it is
//! healthy, warm, and neither inhibited nor out of service; otherwise its contributions are frozen.

use super::analog::{self, Loop};
use super::bump::Bump;
use super::mean::{History, Windows};
use super::plan::CellPlan;
use super::ra_gas::{Calibration, Channel};
use super::reading::{FaultCode, Reading, Warning, Warnings};
use super::status::{CellStatus, Overlay, OverlayKind, Quality};
use crate::limits::{
    FAILED_POLLS_MAX, GOOD_POLLS_TO_RECOVER, HELD_SPAN, HOLD_MIN, SILENCE_MAX, STALE_CYCLES,
    STUCK_SPAN,
};
use crate::time::{Duration, Instant};
use crate::units::Concentration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Neither a good poll nor a fault yet.
    Starting,
    /// Its last readings can be trusted.
    Healthy,
    /// Not trusted. `good` polls in a row so far.
    Fault { code: FaultCode, good: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    at: Instant,
    /// Not below 0.
    value: Concentration,
    raw: Concentration,
}

/// What changed for the station to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    Fault(FaultCode),
    Healthy,
}

/// A reading, understood.
enum Meaning {
    Value {
        raw: Concentration,
        warnings: Warnings,
        counts: Option<i32>,
    },
    /// A loop current that becomes a fault when it stays.
    Suspect(FaultCode),
    Fault(FaultCode),
    Failed(FaultCode),
}

#[derive(Debug)]
pub(super) struct Cell<const N: usize> {
    state: State,
    last: Option<Last>,
    pub(super) history: History<N>,
    pub(super) warnings: Warnings,
    pub(super) mask: Option<Overlay>,
    pub(super) commissioned: Option<Calibration>,
    /// What the device said last, also when that is no valid reading.
    channel: Option<(Instant, Channel)>,
    pub(super) bump: Option<Bump>,
    /// Readings before this do not count.
    warm_at: Instant,
    /// Failed polls in a row.
    failed: u8,
    /// When silence becomes a fault, while not faulty.
    silent_at: Instant,
    /// Since when the loop current is bad, and how.
    suspect: Option<(Instant, FaultCode)>,
    /// Last raw number of the converter, and since when it stands still.
    stuck: Option<(i32, Instant)>,
}

impl<const N: usize> Cell<N> {
    pub(super) fn new(now: Instant, warmup: Duration, commissioned: Option<Calibration>) -> Self {
        Self {
            state: State::Starting,
            last: None,
            history: History::new(),
            warnings: Warnings::default(),
            mask: None,
            commissioned,
            channel: None,
            bump: None,
            warm_at: now + warmup,
            failed: 0,
            silent_at: now + SILENCE_MAX,
            suspect: None,
            stuck: None,
        }
    }

    pub(super) const fn fault(&self) -> Option<FaultCode> {
        match self.state {
            State::Fault { code, .. } => Some(code),
            State::Starting | State::Healthy => None,
        }
    }

    pub(super) fn is_starting(&self) -> bool {
        self.state == State::Starting
    }

    pub(super) const fn warm_at(&self) -> Instant {
        self.warm_at
    }

    pub(super) fn is_warming(&self, now: Instant) -> bool {
        now < self.warm_at
    }

    /// Whether set points listen to it. Not before its first good poll.
    pub(super) fn votes(&self, now: Instant) -> bool {
        self.state == State::Healthy && !self.is_warming(now) && self.mask.is_none()
    }

    /// Whether nothing can be expected of its vote: unlike [`votes`](Self::votes), a cell that just starts is
    /// not blind.
    pub(super) fn is_blind(&self, now: Instant) -> bool {
        self.fault().is_some() || self.is_warming(now) || self.mask.is_some()
    }

    /// The current value of a cell that is not faulty.
    pub(super) fn value(&self) -> Option<Concentration> {
        match self.state {
            State::Fault { .. } => None,
            State::Starting | State::Healthy => self.last.map(|last| last.value),
        }
    }

    pub(super) fn reading(
        &mut self,
        now: Instant,
        plan: &CellPlan,
        reading: Reading,
        windows: &Windows,
    ) -> Change {
        if let Reading::RaGas(channel) = reading {
            self.channel = Some((now, channel));
        }
        match self.understand(plan, reading) {
            Meaning::Value {
                raw,
                warnings,
                counts,
            } => self.good(now, plan, raw, warnings, counts, windows),
            Meaning::Suspect(code) => {
                // The bus answered: neither silent nor failed, and the last good value is held.
                self.failed = 0;
                self.silent_at = now + SILENCE_MAX;
                if let State::Fault { good, .. } = &mut self.state {
                    *good = 0;
                    return Change::Nothing;
                }
                let since = self.suspect.map_or(now, |(since, _)| since);
                self.suspect = Some((since, code));
                self.warnings.set(Warning::Held, true);
                self.suspect_timeout(now, windows)
            }
            Meaning::Fault(code) => self.enter_fault(now, code, true, windows),
            Meaning::Failed(code) => {
                self.failed = self.failed.saturating_add(1);
                match &mut self.state {
                    State::Fault { good, .. } => {
                        *good = 0;
                        Change::Nothing
                    }
                    State::Starting | State::Healthy if self.failed >= FAILED_POLLS_MAX => {
                        self.enter_fault(now, code, false, windows)
                    }
                    State::Starting | State::Healthy => Change::Nothing,
                }
            }
        }
    }

    /// Runs what falls due at `now`.
    pub(super) fn timeout(&mut self, now: Instant, plan: &CellPlan, windows: &Windows) -> Change {
        if self
            .mask
            .is_some_and(|mask| mask.until.is_some_and(|until| until <= now))
        {
            self.mask = None;
        }
        if self.stuck_at(plan).is_some_and(|at| at <= now) {
            self.warnings.set(Warning::StuckSuspect, true);
        }
        if self.fault().is_none() && self.silent_at <= now {
            return self.enter_fault(now, FaultCode::Silence, false, windows);
        }
        self.suspect_timeout(now, windows)
    }

    /// The earliest instant at which something changes by itself.
    pub(super) fn deadline(&self, now: Instant, plan: &CellPlan) -> Option<Instant> {
        let silence = self.fault().is_none().then_some(self.silent_at);
        let suspect = self.suspect.map(|(since, _)| since + HELD_SPAN);
        let warm = (now < self.warm_at).then_some(self.warm_at);
        let mask = self.mask.and_then(|mask| mask.until);
        let bump = self.bump.map(|bump| bump.until);
        [silence, suspect, warm, mask, bump, self.stuck_at(plan)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes the present calibration of the device as right. Returns whether it differed.
    pub(super) fn confirm_calibration(&mut self) -> bool {
        let differed = self.warnings.has(Warning::CalibrationChanged);
        if differed {
            self.commissioned = self.channel.map(|(_, channel)| channel.calibration);
            self.warnings.set(Warning::CalibrationChanged, false);
        }
        differed
    }

    pub(super) fn status(&self, now: Instant, plan: &CellPlan) -> CellStatus {
        let age = self.last.map(|last| now - last.at);
        let quality = match self.state {
            State::Fault { .. } => Quality::Fault,
            State::Starting => Quality::Starting,
            State::Healthy if self.is_warming(now) => Quality::WarmUp,
            State::Healthy if age.is_some_and(|age| age > plan.cycle * STALE_CYCLES) => {
                Quality::Stale
            }
            State::Healthy => Quality::Good,
        };
        CellStatus {
            value: self.value(),
            last_value: self.last.map(|last| last.value),
            raw: self.last.map(|last| last.raw),
            age,
            quality,
            fault: self.fault(),
            warnings: self.warnings,
            mask: self.mask,
        }
    }

    /// The value that came at `now`, of a cell that is not faulty.
    pub(super) fn last_good_at(&self, now: Instant) -> Option<Concentration> {
        let last = self.last.filter(|last| last.at == now)?;
        self.fault().is_none().then_some(last.value)
    }

    /// What the device said last of this channel, and when; only RA-GAS sensors tell.
    pub(super) const fn channel(&self) -> Option<(Instant, Channel)> {
        self.channel
    }

    pub(super) fn set_mask(&mut self, kind: OverlayKind, until: Option<Instant>) {
        self.mask = Some(Overlay { kind, until });
    }

    fn understand(&mut self, plan: &CellPlan, reading: Reading) -> Meaning {
        match reading {
            Reading::Value(raw) => judge(plan, raw, Warnings::default(), None),
            Reading::RaGas(channel) => match channel.convert() {
                Ok(raw) => {
                    let calibration = channel.calibration;
                    let commissioned = *self.commissioned.get_or_insert(calibration);
                    let mut warnings = Warnings::default();
                    warnings.set(Warning::CalibrationChanged, commissioned != calibration);
                    judge(plan, raw, warnings, Some(i32::from(channel.adc)))
                }
                Err(code) => Meaning::Fault(code),
            },
            Reading::Current(current) => match analog::judge(plan.bands, &plan.curve, current) {
                Loop::Value { value, warnings } => judge(plan, value, warnings, Some(current.0)),
                Loop::Bad(code) => Meaning::Suspect(code),
            },
            Reading::Reported(code) => Meaning::Fault(code),
            Reading::Failed(failure) => Meaning::Failed(failure.fault()),
        }
    }

    fn good(
        &mut self,
        now: Instant,
        plan: &CellPlan,
        raw: Concentration,
        mut warnings: Warnings,
        counts: Option<i32>,
        windows: &Windows,
    ) -> Change {
        let value = raw.clamped_at_zero();
        self.last = Some(Last {
            at: now,
            value,
            raw,
        });
        self.failed = 0;
        self.silent_at = now + SILENCE_MAX;
        self.suspect = None;
        match (counts, self.stuck) {
            (Some(counts), Some((stands, since))) if counts == stands => {
                let stuck = plan.stuck_check && since + STUCK_SPAN <= now;
                warnings.set(Warning::StuckSuspect, stuck);
            }
            (Some(counts), _) => self.stuck = Some((counts, now)),
            (None, _) => self.stuck = None,
        }
        self.warnings = warnings;

        let mut change = Change::Nothing;
        match &mut self.state {
            State::Starting => self.state = State::Healthy,
            State::Healthy => {}
            State::Fault { good, .. } => {
                *good += 1;
                if *good >= GOOD_POLLS_TO_RECOVER {
                    self.state = State::Healthy;
                    self.warm_at = self.warm_at.max(now + plan.warmup);
                    change = Change::Healthy;
                }
            }
        }
        if !self.is_warming(now) && self.mask.is_none() {
            self.history.sample(
                now,
                value,
                (plan.cycle * STALE_CYCLES).max(HOLD_MIN),
                windows,
            );
        }
        change
    }

    /// `reported`: by the sensor or a live check, so that the last value is no longer trusted either.
    fn enter_fault(
        &mut self,
        now: Instant,
        code: FaultCode,
        reported: bool,
        windows: &Windows,
    ) -> Change {
        if reported {
            self.history.cut(now, windows);
        }
        self.suspect = None;
        self.stuck = None;
        self.warnings.set(Warning::Held, false);
        let before = self.fault();
        match (before, reported) {
            // Already faulty: what the sensor says itself is the better reason.
            (Some(before), false) => {
                self.state = State::Fault {
                    code: before,
                    good: 0,
                }
            }
            _ => self.state = State::Fault { code, good: 0 },
        }
        if self.fault() == before {
            Change::Nothing
        } else {
            Change::Fault(code)
        }
    }

    fn suspect_timeout(&mut self, now: Instant, windows: &Windows) -> Change {
        match self.suspect {
            Some((since, code)) if since + HELD_SPAN <= now => {
                self.enter_fault(now, code, true, windows)
            }
            _ => Change::Nothing,
        }
    }

    fn stuck_at(&self, plan: &CellPlan) -> Option<Instant> {
        let (_, since) = self.stuck?;
        let watched = plan.stuck_check && !self.warnings.has(Warning::StuckSuspect);
        watched.then_some(since + STUCK_SPAN)
    }
}

/// Checks of a value that do not depend on where it came from.
fn judge(
    plan: &CellPlan,
    raw: Concentration,
    mut warnings: Warnings,
    counts: Option<i32>,
) -> Meaning {
    let (lo, hi) = (
        i64::from(plan.range_lo.as_milli()),
        i64::from(plan.range_hi.as_milli()),
    );
    let (raw_milli, range) = (i64::from(raw.as_milli()), hi - lo);
    let below = lo - raw_milli;
    if below * 10 > range {
        return Meaning::Fault(FaultCode::ZeroDrift);
    }
    if below * 100 > range * 3 {
        warnings.set(Warning::ZeroDrift, true);
    }
    if raw_milli > hi {
        warnings.set(Warning::OverRange, true);
    }
    Meaning::Value {
        raw,
        warnings,
        counts,
    }
}

#[cfg(test)]
mod tests;
