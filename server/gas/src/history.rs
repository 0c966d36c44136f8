//! The last hour of every cell, one value a second, written by the evaluation thread and read by anybody without
//! a lock.

use crate::view::HistoryPoint;
use leitstand_core::units::Concentration;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// Seconds kept. Reasoning: the longest averaging window.
pub(crate) const SECONDS: usize = 3600;
/// No value in that second. No concentration comes near it.
const NONE: i32 = i32::MIN;

/// A ring a cell.
pub(crate) struct History {
    /// Seconds written since the start; the newest is at `written - 1`.
    written: AtomicU64,
    rings: Vec<Vec<AtomicI32>>,
}

impl History {
    pub(crate) fn new(cells: usize) -> Self {
        let ring = || (0..SECONDS).map(|_| AtomicI32::new(NONE)).collect();
        Self {
            written: AtomicU64::new(0),
            rings: (0..cells).map(|_| ring()).collect(),
        }
    }

    /// The second that just ended; one value a cell. Only the evaluation thread calls this.
    pub(crate) fn push(&self, values: impl Iterator<Item = Option<Concentration>>) {
        let written = self.written.load(Ordering::Relaxed);
        let at = (written % SECONDS as u64) as usize;
        for (ring, value) in self.rings.iter().zip(values) {
            ring[at].store(
                value.map_or(NONE, Concentration::as_milli),
                Ordering::Relaxed,
            );
        }
        self.written.store(written + 1, Ordering::Release);
    }

    /// Goes on with the seconds of another site; by position here, the position of the same cell there.
    pub(crate) fn inherit(&self, before: &Self, places: &[Option<u8>]) {
        for (ring, place) in self.rings.iter().zip(places) {
            let Some(was) = place.and_then(|at| before.rings.get(usize::from(at))) else {
                continue;
            };
            for (slot, value) in ring.iter().zip(was) {
                slot.store(value.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        let written = before.written.load(Ordering::Acquire);
        self.written.store(written, Ordering::Release);
    }

    /// The last `window` seconds in steps of `step` seconds, oldest first: the highest value of each step.
    ///
    /// A reader that is overtaken by the writer sees at most the oldest second replaced by the newest.
    pub(crate) fn read(&self, cell: usize, window: u32, step: u32) -> Vec<HistoryPoint> {
        let written = self.written.load(Ordering::Acquire);
        let step = step.max(1);
        let steps = (window.min(SECONDS as u32) / step).max(1);
        (0..steps)
            .rev()
            .map(|n| {
                let ages = u64::from(n * step)..u64::from((n + 1) * step);
                let highest = ages
                    .filter_map(|age| written.checked_sub(age + 1))
                    .filter(|second| written - second <= SECONDS as u64)
                    .map(|second| {
                        self.rings[cell][(second % SECONDS as u64) as usize].load(Ordering::Relaxed)
                    })
                    .max();
                HistoryPoint {
                    age_s: n * step,
                    value: highest
                        .filter(|v| *v != NONE)
                        .map(|v| f64::from(v) / 1000.0),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(seconds: impl IntoIterator<Item = Option<i32>>) -> History {
        let history = History::new(1);
        for value in seconds {
            history.push([value.map(Concentration::from_milli)].into_iter());
        }
        history
    }

    #[test]
    fn a_step_shows_its_highest_value_and_a_gap_is_null() {
        let history = with([Some(1000), Some(9000), None, None, Some(2000)]);
        let points = history.read(0, 6, 2);
        let values: Vec<_> = points.iter().map(|p| (p.age_s, p.value)).collect();
        assert_eq!(values, [(4, Some(1.0)), (2, Some(9.0)), (0, Some(2.0))]);
        let gap = with([Some(1000), None, None]).read(0, 2, 1);
        assert!(gap.iter().all(|p| p.value.is_none()), "{gap:?}");
    }

    #[test]
    fn only_the_last_hour_is_kept() {
        let history = with((0..4000).map(Some));
        let points = history.read(0, 100_000, 1);
        assert_eq!(points.len(), SECONDS);
        assert_eq!(points[0].value, Some(0.4));
        assert_eq!(points[SECONDS - 1].value, Some(3.999));
    }
}
