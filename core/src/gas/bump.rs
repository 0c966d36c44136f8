//! A bump test: gas is let onto a cell for a moment, and the cell must see it within a window.

use super::event::BumpChange;
use super::plan::Direction;
use crate::time::{Duration, Instant};
use crate::units::Concentration;

/// A test under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bump {
    /// Passed when a reading is at or beyond this.
    pub target: Concentration,
    /// Beyond = above for rising; below for falling (nitrogen on an oxygen cell).
    pub direction: Direction,
    /// When it began.
    pub started: Instant,
    /// The end of the window.
    pub until: Instant,
    /// The extreme reading so far; `None` before the first.
    pub peak: Option<Concentration>,
}

impl Bump {
    pub(super) const fn new(
        now: Instant,
        target: Concentration,
        direction: Direction,
        until: Instant,
    ) -> Self {
        Self {
            target,
            direction,
            started: now,
            until,
            peak: None,
        }
    }

    /// A good reading. Returns whether the target is reached.
    pub(super) fn reading(&mut self, value: Concentration) -> bool {
        let (farther, reached) = match self.direction {
            Direction::Rising => (
                self.peak.is_none_or(|peak| value > peak),
                value >= self.target,
            ),
            Direction::Falling => (
                self.peak.is_none_or(|peak| value < peak),
                value <= self.target,
            ),
        };
        if farther {
            self.peak = Some(value);
        }
        reached
    }

    pub(super) fn result(&self, now: Instant, change: BumpChange) -> BumpResult {
        BumpResult {
            change,
            target: self.target,
            peak: self.peak,
            after: now.since(self.started),
        }
    }
}

/// How a test stands or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BumpResult {
    /// What happened to it.
    pub change: BumpChange,
    /// What had to be reached.
    pub target: Concentration,
    /// The extreme reading.
    pub peak: Option<Concentration>,
    /// Time since its start.
    pub after: Duration,
}
