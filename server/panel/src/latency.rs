//! The latencies of the last plays, for `/status`.

use serde::Serialize;
use utoipa::ToSchema;

/// Plays that the percentiles look back on. Reasoning: a busy hour; more would hide a fresh problem.
const KEPT: usize = 256;

/// The newest values of one leg, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Leg {
    values: Vec<u32>,
    next: usize,
}

impl Leg {
    /// Adds a value; the oldest goes when there are too many.
    pub fn add(&mut self, us: u32) {
        if self.values.len() < KEPT {
            self.values.push(us);
        } else if let Some(slot) = self.values.get_mut(self.next) {
            *slot = us;
        }
        self.next = (self.next + 1) % KEPT;
    }

    /// Median and 95th percentile; `None` while nothing was measured.
    #[must_use]
    pub fn percentiles(&self) -> Option<Percentiles> {
        let mut sorted = self.values.clone();
        sorted.sort_unstable();
        // Nearest rank: the smallest value that at least so many percent do not exceed.
        let rank = |percent: usize| {
            let index = (sorted.len() * percent).div_ceil(100).checked_sub(1)?;
            sorted.get(index).map(|us| f64::from(*us) / 1000.0)
        };
        Some(Percentiles {
            p50: rank(50)?,
            p95: rank(95)?,
            samples: sorted.len(),
        })
    }
}

/// Of the last plays, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// How many plays these stand on, up to 256.
    pub samples: usize,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn percentiles_of_the_newest_values() {
        let mut leg = Leg::default();
        assert_eq!(leg.percentiles(), None);
        leg.add(7000);
        let one = leg.percentiles().unwrap();
        assert_eq!((one.p50, one.p95, one.samples), (7.0, 7.0, 1));
        for us in (1..=100).rev() {
            leg.add(us * 1000);
        }
        let many = leg.percentiles().unwrap();
        assert_eq!((many.p50, many.p95, many.samples), (50.0, 95.0, 101));
        for _ in 0..KEPT {
            leg.add(2000);
        }
        let newest = leg.percentiles().unwrap();
        assert_eq!((newest.p50, newest.p95, newest.samples), (2.0, 2.0, KEPT));
    }
}
