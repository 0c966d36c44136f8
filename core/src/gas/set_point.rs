//! Contributions and the vote: which cells stand over the limit of one set point.

use super::index::{CellIndex, CellSet};
use super::plan::{Direction, SetPointPlan};
use crate::time::Instant;
use crate::units::Concentration;

/// The contributions of all cells to one set point.
#[derive(Debug)]
pub(super) struct Votes<const C: usize> {
    /// Whose contribution stands. A cell that cannot vote keeps its bit.
    pub(super) over: CellSet,
    /// Whose delay runs: towards standing, or towards ending.
    pending: CellSet,
    /// Since when, for those in `pending`.
    since: [Instant; C],
}

impl<const C: usize> Votes<C> {
    pub(super) const fn new() -> Self {
        Self {
            over: CellSet::EMPTY,
            pending: CellSet::EMPTY,
            since: [Instant::ZERO; C],
        }
    }

    /// A voting cell has a known quantity. `may_clear` is false for over-range readings, which never clear.
    /// Returns whether the contribution changed.
    pub(super) fn evaluate(
        &mut self,
        now: Instant,
        plan: &SetPointPlan,
        cell: CellIndex,
        value: Concentration,
        may_clear: bool,
    ) -> bool {
        let over = self.over.contains(cell);
        let turns = if over {
            may_clear && is_clear(plan, value)
        } else {
            is_at_or_beyond(plan, value)
        };
        if !turns {
            self.pending.remove(cell);
            return false;
        }
        if !self.pending.contains(cell) {
            self.pending.insert(cell);
            self.since[cell.at()] = now;
        }
        self.turn_if_due(now, plan, cell)
    }

    /// The cell cannot vote: its contribution stays, its delay is cancelled.
    pub(super) fn freeze(&mut self, cell: CellIndex) {
        self.pending.remove(cell);
    }

    /// Takes over the contribution of a cell that had another position in `old`, and its delay where it still
    /// means the same.
    pub(super) fn inherit(&mut self, cell: CellIndex, old: &Self, was: CellIndex, delays: bool) {
        if was.at() >= C {
            return;
        }
        self.over.set(cell, old.over.contains(was));
        if delays && old.pending.contains(was) {
            self.pending.insert(cell);
            self.since[cell.at()] = old.since[was.at()];
        }
    }

    /// Ends delays that are over. Returns whether a contribution changed.
    pub(super) fn timeout(&mut self, now: Instant, plan: &SetPointPlan) -> bool {
        let mut changed = false;
        for cell in self.pending.iter() {
            changed |= self.turn_if_due(now, plan, cell);
        }
        changed
    }

    /// When the next delay ends.
    pub(super) fn deadline(&self, plan: &SetPointPlan) -> Option<Instant> {
        self.pending.iter().map(|cell| self.due(plan, cell)).min()
    }

    fn due(&self, plan: &SetPointPlan, cell: CellIndex) -> Instant {
        let delay = if self.over.contains(cell) {
            plan.off_delay
        } else {
            plan.on_delay
        };
        self.since[cell.at()] + delay
    }

    fn turn_if_due(&mut self, now: Instant, plan: &SetPointPlan, cell: CellIndex) -> bool {
        let due = self.due(plan, cell) <= now;
        if due {
            self.pending.remove(cell);
            self.over.set(cell, !self.over.contains(cell));
        }
        due
    }
}

/// Votes needed: cells that cannot vote and did not stand are not waited for.
#[inline]
pub(super) fn votes_needed(vote_k: u8, over: CellSet, blind: CellSet) -> u8 {
    vote_k.saturating_sub(blind.without(over).len()).max(1)
}

#[inline]
fn is_at_or_beyond(plan: &SetPointPlan, value: Concentration) -> bool {
    match plan.direction {
        Direction::Rising => value >= plan.on,
        Direction::Falling => value <= plan.on,
    }
}

#[inline]
fn is_clear(plan: &SetPointPlan, value: Concentration) -> bool {
    let (value, on) = (i64::from(value.as_milli()), i64::from(plan.on.as_milli()));
    let hysteresis = i64::from(plan.hysteresis.as_milli());
    match plan.direction {
        Direction::Rising => value < on - hysteresis,
        Direction::Falling => value > on + hysteresis,
    }
}
