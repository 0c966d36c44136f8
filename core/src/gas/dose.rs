//! Exposure over a working day: how much gas times how long, in coarse buckets.
//!
//! Unlike an average it divides by the whole shift, measured or not: what was not breathed adds nothing, and the
//! first hour of a shift does not count as eight. How much was covered is told beside it.

use crate::limits::{DOSE_BUCKET_MS, DOSE_BUCKETS, SHIFT_MS};

/// The last 8 hours of one cell.
#[derive(Debug)]
pub(super) struct Dose {
    /// Thousandths times ms.
    weighted: [i64; DOSE_BUCKETS],
    covered: [u32; DOSE_BUCKETS],
    /// Number of the newest bucket. Numbers start at [`DOSE_BUCKETS`] at the station's t = 0, so that what was
    /// saved before a restart has room below.
    newest: u64,
}

impl Dose {
    pub(super) const fn new() -> Self {
        Self {
            weighted: [0; DOSE_BUCKETS],
            covered: [0; DOSE_BUCKETS],
            newest: DOSE_BUCKETS as u64,
        }
    }

    /// Adds what a sample covers from `from_ms` on, all of it in one bucket.
    pub(super) fn add(&mut self, from_ms: u64, weighted: i64, span_ms: u64) {
        let number = number(from_ms);
        while self.newest < number {
            // A silence longer than the shift empties everything; more turns of the ring would not change it.
            self.newest = (self.newest + 1).max(number.saturating_sub(DOSE_BUCKETS as u64));
            let at = slot(self.newest);
            (self.weighted[at], self.covered[at]) = (0, 0);
        }
        let at = slot(number);
        self.weighted[at] += weighted;
        self.covered[at] += span_ms as u32;
    }

    /// Weighted sum and covered ms of the 8 hours that end at `now_ms`, to the bucket.
    pub(super) fn sum(&self, now_ms: u64) -> (i64, u64) {
        let oldest = (number(now_ms) + 1).saturating_sub(DOSE_BUCKETS as u64);
        (oldest..=self.newest).fold((0, 0), |(weighted, covered), number| {
            let at = slot(number);
            (
                weighted + self.weighted[at],
                covered + u64::from(self.covered[at]),
            )
        })
    }

    /// The bucket `age` buckets before the one that runs at `now_ms`.
    pub(super) fn bucket(&self, now_ms: u64, age: usize) -> (i64, u32) {
        let number = number(now_ms).saturating_sub(age as u64);
        let held = number <= self.newest && number + DOSE_BUCKETS as u64 > self.newest;
        if !held {
            return (0, 0);
        }
        (self.weighted[slot(number)], self.covered[slot(number)])
    }

    /// Puts back a bucket `age` buckets before the one that runs at `now_ms`, which must be empty so far.
    pub(super) fn restore(&mut self, now_ms: u64, age: usize, (weighted, covered): (i64, u32)) {
        if age >= DOSE_BUCKETS || u64::from(covered) > DOSE_BUCKET_MS {
            return;
        }
        self.add(now_ms, 0, 0);
        let at = slot(number(now_ms) - age as u64);
        self.weighted[at] += weighted;
        self.covered[at] += covered;
    }
}

const fn number(ms: u64) -> u64 {
    ms / DOSE_BUCKET_MS + DOSE_BUCKETS as u64
}

const fn slot(number: u64) -> usize {
    (number % DOSE_BUCKETS as u64) as usize
}

const _: () = assert!(SHIFT_MS == DOSE_BUCKET_MS * DOSE_BUCKETS as u64);

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    /// `value` thousandths from `from` to `to`, in steps of 5 s.
    fn breathe(dose: &mut Dose, from: u64, to: u64, value: i64) {
        for at in (from..to).step_by(5_000) {
            dose.add(at, value * 5_000, 5_000);
        }
    }

    #[test]
    fn a_shift_is_divided_by_eight_hours_whatever_was_measured() {
        let mut dose = Dose::new();
        breathe(&mut dose, 0, 2 * HOUR, 40_000);
        let (weighted, covered) = dose.sum(2 * HOUR);
        assert_eq!((weighted / SHIFT_MS as i64, covered), (10_000, 2 * HOUR));
        breathe(&mut dose, 2 * HOUR, 8 * HOUR, 0);
        assert_eq!(dose.sum(8 * HOUR - 1).0 / SHIFT_MS as i64, 10_000);
        // The first hour has left.
        assert_eq!(dose.sum(9 * HOUR - 1).0 / SHIFT_MS as i64, 5_000);
        assert_eq!(dose.sum(20 * HOUR), (0, 0));
    }

    #[test]
    fn a_long_silence_leaves_nothing_behind() {
        let mut dose = Dose::new();
        breathe(&mut dose, 0, 8 * HOUR, 40_000);
        dose.add(1_000 * HOUR, 5_000, 5_000);
        assert_eq!(dose.sum(1_000 * HOUR + 1), (5_000, 5_000));
    }

    #[test]
    fn buckets_go_to_bytes_and_back() {
        let mut dose = Dose::new();
        breathe(&mut dose, 0, 3 * HOUR, 7);
        let now = 3 * HOUR + 1;
        let mut again = Dose::new();
        for age in 0..DOSE_BUCKETS {
            again.restore(0, age, dose.bucket(now, age));
        }
        assert_eq!(again.sum(0), dose.sum(now));
        again.restore(0, DOSE_BUCKETS, (1, 1));
        assert_eq!(again.sum(0), dose.sum(now), "too old");
    }
}
