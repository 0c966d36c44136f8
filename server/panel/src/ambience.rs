//! # How loud and how bright, at this moment
//!
//! People set levels; opening hours, idleness and mute lower them, and an effect lets the lit button breathe. A
//! machine without a calendar: the shell tells it the local time, so that a week passes in a test in no time.
//!
//! Terms: *set* what people chose. *Effective* what screens and boards are told. *Closed* outside the opening hours.
//! *Idle* nothing has played for a while.
//!
//! Nothing here ever raises a level above what was set.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use leitstand_core::{machine::Machine, time::Instant};

use crate::schedule::{Effect, LocalTime, Schedule};

/// What people set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Volume of the site, percent.
    pub volume: u8,
    /// Brightness of the LEDs, percent.
    pub brightness: u8,
    /// No sound anywhere, whatever the volume.
    pub muted: bool,
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody set the levels.
    Levels(Levels),
    /// Somebody set the schedule.
    Schedule(Arc<Schedule>),
    /// What the clock on the wall says; to be told at least every minute.
    Local(LocalTime),
    /// Whether something plays.
    Busy(bool),
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell every screen.
    Volume(u8),
    /// Tell every board.
    Brightness(u8),
}

/// Half a blink.
const BLINK: Duration = Duration::from_millis(500);
/// One step of a pulse. Reasoning: ten a second look smooth behind a frosted cap, and cost a board nothing.
const STEP: Duration = Duration::from_millis(100);
/// Steps of a pulse from bright to dim; as many lead back.
const STEPS: u32 = 10;
/// Brightness at the dim end of a pulse, in percent of the bright one.
const DIM_END: u32 = 20;

/// The machine.
#[derive(Debug)]
pub struct Ambience {
    levels: Levels,
    schedule: Arc<Schedule>,
    local: Option<LocalTime>,
    activity: Activity,
    told: (u8, u8),
    /// When the levels were last looked at.
    looked: Instant,
    outputs: VecDeque<Output>,
}

/// Whether something plays, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Busy { since: Instant },
    Idle { since: Instant },
}

impl Ambience {
    /// Nothing plays, no time is known. The first effective levels are those given.
    #[must_use]
    pub fn new(levels: Levels, schedule: Arc<Schedule>) -> Self {
        Self {
            levels,
            schedule,
            local: None,
            activity: Activity::Idle {
                since: Instant::ZERO,
            },
            told: (
                if levels.muted { 0 } else { levels.volume },
                levels.brightness,
            ),
            looked: Instant::ZERO,
            outputs: VecDeque::new(),
        }
    }

    /// What people set.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.levels
    }

    /// The schedule in force.
    #[must_use]
    pub fn schedule(&self) -> &Arc<Schedule> {
        &self.schedule
    }

    /// Effective volume and brightness, percent.
    #[must_use]
    pub fn effective(&self) -> (u8, u8) {
        self.told
    }

    /// Whether it is within the opening hours. As long as no time is known it is: silence by mistake is worse.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.local.is_none_or(|local| self.schedule.is_open(local))
    }

    fn volume(&self) -> u8 {
        match (self.levels.muted, self.is_open()) {
            (true, _) => 0,
            (false, true) => self.levels.volume,
            (false, false) => self.levels.volume.min(self.schedule.closed.volume),
        }
    }

    fn brightness(&self, now: Instant) -> u8 {
        let mut level = self.levels.brightness;
        if !self.is_open() {
            level = level.min(self.schedule.closed.brightness);
        }
        match self.activity {
            Activity::Busy { since } => shaped(level, self.schedule.effect, now - since),
            Activity::Idle { .. } => match self.dim_at() {
                Some((at, dimmed)) if at <= now => level.min(dimmed),
                _ => level,
            },
        }
    }

    /// When idleness dims, and to what.
    fn dim_at(&self) -> Option<(Instant, u8)> {
        let Activity::Idle { since } = self.activity else {
            return None;
        };
        let dim = self.schedule.dim?;
        let after = Duration::from_secs(dim.after_s.into());
        Some((since + after, dim.brightness))
    }

    fn tell(&mut self, now: Instant) {
        self.looked = now;
        let wanted = (self.volume(), self.brightness(now));
        let told = std::mem::replace(&mut self.told, wanted);
        if told.0 != wanted.0 {
            self.outputs.push_back(Output::Volume(wanted.0));
        }
        if told.1 != wanted.1 {
            self.outputs.push_back(Output::Brightness(wanted.1));
        }
    }
}

/// `level` as the effect has it, so long after it began.
fn shaped(level: u8, effect: Effect, elapsed: Duration) -> u8 {
    let count = |step: Duration| (elapsed.as_millis() / step.as_millis()) as u32;
    match effect {
        Effect::Steady => level,
        Effect::Blink if count(BLINK).is_multiple_of(2) => level,
        Effect::Blink => 0,
        Effect::Pulse => {
            let place = count(STEP) % (2 * STEPS);
            let from_bright = place.min(2 * STEPS - place);
            let percent = 100 - (100 - DIM_END) * from_bright / STEPS;
            // At most `level`, which fits.
            (u32::from(level) * percent / 100) as u8
        }
    }
}

impl Machine for Ambience {
    type Input<'a> = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Levels(levels) => {
                self.levels = Levels {
                    volume: levels.volume.min(100),
                    brightness: levels.brightness.min(100),
                    ..levels
                };
            }
            Input::Schedule(schedule) => self.schedule = schedule,
            Input::Local(local) => self.local = Some(local),
            Input::Busy(true) => self.activity = Activity::Busy { since: now },
            Input::Busy(false) if matches!(self.activity, Activity::Busy { .. }) => {
                self.activity = Activity::Idle { since: now };
            }
            Input::Busy(false) => {}
        }
        self.tell(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.tell(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.activity {
            Activity::Idle { .. } => {
                let at = self.dim_at().map(|(at, _)| at);
                at.filter(|at| *at > self.looked)
            }
            Activity::Busy { since } => {
                let step = match self.schedule.effect {
                    Effect::Steady => return None,
                    Effect::Blink => BLINK,
                    Effect::Pulse => STEP,
                };
                // Counted from the beginning, so that late turns do not add up.
                let done = (self.looked - since).as_millis() / step.as_millis();
                let next = u32::try_from(done).map_or(u32::MAX, |done| done.saturating_add(1));
                Some(since + step.saturating_mul(next))
            }
        }
    }
}

#[cfg(test)]
#[path = "ambience_tests.rs"]
mod tests;
