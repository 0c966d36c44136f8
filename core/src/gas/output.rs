//! One output: what the logic wants, its minimum times, and who has it in hand.

use super::plan::{Function, OutputPlan};
use super::status::{Lamp, Mode, OutputStatus};
use crate::limits::OUTPUT_MISMATCHES_MAX;
use crate::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// What the logic and the minimum times say.
    auto: bool,
    /// Since when `auto` is on.
    auto_on_at: Instant,
    /// When it may go off, while the reason has ended.
    off_at: Option<Instant>,
    pulse_until: Option<Instant>,
    pub(super) mode: Mode,
    pub(super) mode_until: Option<Instant>,
    /// Whether the named function is active.
    pub(super) on: bool,
    pub(super) lamp: Lamp,
    since: Instant,
    mismatches: u8,
    /// A report came.
    pub(super) reported: bool,
    pub(super) hand: bool,
}

impl Output {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            auto: false,
            auto_on_at: now,
            off_at: None,
            pulse_until: None,
            mode: Mode::Auto,
            mode_until: None,
            on: false,
            lamp: Lamp::Off,
            since: now,
            mismatches: 0,
            reported: false,
            hand: false,
        }
    }

    pub(super) fn pulse(&mut self, until: Instant) {
        self.pulse_until = Some(self.pulse_until.map_or(until, |running| running.max(until)));
    }

    pub(super) fn is_pulsing(&self, now: Instant) -> bool {
        self.pulse_until.is_some_and(|until| now < until)
    }

    /// Follows what the logic wants now. Returns whether `on` or the lamp changed.
    pub(super) fn drive(&mut self, now: Instant, plan: &OutputPlan, want: Lamp) -> bool {
        if want != Lamp::Off {
            if !self.auto {
                self.auto_on_at = now;
            }
            self.auto = true;
            self.off_at = None;
        } else if self.auto {
            let earliest = (self.auto_on_at + plan.min_on).max(now + plan.run_on);
            let off_at = *self.off_at.get_or_insert(earliest);
            if off_at <= now {
                self.auto = false;
                self.off_at = None;
            }
        }
        let lamp = match (self.mode, want) {
            (Mode::On, _) => Lamp::On,
            (Mode::Off, _) => Lamp::Off,
            // Its reason ended, its minimum time has not.
            (Mode::Auto, Lamp::Off) if self.auto => Lamp::On,
            (Mode::Auto, want) => want,
        };
        let on = lamp != Lamp::Off;
        let changed = (on, lamp) != (self.on, self.lamp);
        if on != self.on {
            self.since = now;
        }
        (self.on, self.lamp) = (on, lamp);
        changed
    }

    /// Ends what is over. Returns whether the mode went back to auto.
    pub(super) fn timeout(&mut self, now: Instant) -> bool {
        if self.pulse_until.is_some_and(|until| until <= now) {
            self.pulse_until = None;
        }
        let ended = self.mode_until.is_some_and(|until| until <= now);
        if ended {
            (self.mode, self.mode_until) = (Mode::Auto, None);
        }
        ended
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.off_at, self.pulse_until, self.mode_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes a read-back.
    pub(super) fn report(&mut self, agrees: bool, hand: bool) {
        self.reported = true;
        self.hand = hand;
        self.mismatches = if agrees {
            0
        } else {
            self.mismatches.saturating_add(1)
        };
    }

    pub(super) const fn is_faulty(&self) -> bool {
        self.mismatches >= OUTPUT_MISMATCHES_MAX
    }

    /// Whether coil or lamp has current, with flashing lamps in the phase `lit`.
    pub(super) fn is_energised(&self, plan: &OutputPlan, lit: bool, lamp_test: bool) -> bool {
        let active = match self.lamp {
            _ if lamp_test => true,
            Lamp::Off => false,
            Lamp::On => true,
            Lamp::Flash => lit,
        };
        // The healthy signal is the one function that is named for its good state: active = energised.
        active != (plan.normally_energised && plan.function != Function::Healthy)
    }

    pub(super) fn status(&self, plan: &OutputPlan, lamp_test: bool) -> OutputStatus {
        OutputStatus {
            on: self.on,
            energised: self.is_energised(plan, true, lamp_test),
            lamp: if lamp_test { Lamp::On } else { self.lamp },
            mode: self.mode,
            mode_until: self.mode_until,
            since: self.since,
            fault: self.is_faulty(),
            hand: self.hand,
        }
    }
}
