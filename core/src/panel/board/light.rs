//! Which LEDs are lit at this instant.

use crate::panel::{ButtonId, ButtonSet, PanelSize};
use crate::time::{Duration, Instant};

/// How long one LED of the running light, and one group under the current cap, stays lit.
pub(super) const STEP: Duration = Duration::from_millis(150);

#[derive(Debug)]
pub(super) struct Light {
    size: PanelSize,
    /// Most LEDs that may be lit at once.
    lit_max: usize,
    /// Wanted; shown group after group when there are too many.
    lit: ButtonSet,
    since: Instant,
    selected: Option<ButtonId>,
    /// Since when the running light runs.
    test: Option<Instant>,
}

impl Light {
    pub(super) fn new(size: PanelSize, lit_max: u8) -> Self {
        let lit_max = usize::from(lit_max).max(1);
        Self {
            size,
            lit_max,
            lit: ButtonSet::EMPTY,
            since: Instant::ZERO,
            selected: None,
            test: None,
        }
    }

    pub(super) fn set_lit_max(&mut self, lit_max: u8) {
        self.lit_max = usize::from(lit_max).max(1);
    }

    pub(super) fn selected(&self) -> Option<ButtonId> {
        self.selected
    }

    pub(super) fn is_dark(&self) -> bool {
        self.lit.is_empty() && self.selected.is_none()
    }

    /// One-hot: only `id`.
    pub(super) fn select(&mut self, now: Instant, id: ButtonId) {
        self.selected = Some(id);
        self.set(now, ButtonSet::one(id));
    }

    pub(super) fn clear(&mut self, now: Instant) {
        self.selected = None;
        self.set(now, ButtonSet::EMPTY);
    }

    pub(super) fn on(&mut self, now: Instant, id: ButtonId) {
        self.set(now, self.lit.union(ButtonSet::one(id)));
    }

    pub(super) fn off(&mut self, now: Instant, id: ButtonId) {
        self.selected = self.selected.filter(|selected| *selected != id);
        self.set(now, self.lit.difference(ButtonSet::one(id)));
    }

    pub(super) fn all_on(&mut self, now: Instant) {
        self.set(now, self.size.all());
    }

    pub(super) fn test(&mut self, now: Instant, on: bool) {
        self.test = on.then_some(now);
    }

    /// Any change ends the running light.
    fn set(&mut self, now: Instant, lit: ButtonSet) {
        self.lit = lit;
        self.since = now;
        self.test = None;
    }

    pub(super) fn shown(&self, now: Instant) -> ButtonSet {
        if let Some(since) = self.test {
            let step = steps(now - since) % usize::from(self.size.get());
            return self
                .size
                .all()
                .iter()
                .nth(step)
                .map_or(ButtonSet::EMPTY, ButtonSet::one);
        }
        let groups = self.lit.len().div_ceil(self.lit_max);
        if groups <= 1 {
            return self.lit;
        }
        let group = steps(now - self.since) % groups;
        self.lit
            .iter()
            .skip(group * self.lit_max)
            .take(self.lit_max)
            .collect()
    }
}

fn steps(span: Duration) -> usize {
    (span.as_millis() / STEP.as_millis()) as usize
}
