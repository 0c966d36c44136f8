//! Time-weighted averages with sample hold, in fixed point.
//!
//! A sample counts from its instant until the next one, at most for its hold time. What it adds is kept in
//! buckets of 5 s that start at multiples of 5 s; a window is a whole number of buckets, the running one
//! included. Each window keeps its running sum, so that neither a sample nor an average walks the ring.

use super::dose::Dose;
use super::status::Average;
use crate::limits::{BUCKET_MS, KNOWN_MS, SHIFT_MS};
use crate::time::{Duration, Instant};
use crate::units::Concentration;

use super::plan::WINDOWS_MAX;

/// The windows of a site as bucket counts, unused ones 0.
pub(super) type Windows = [u16; WINDOWS_MAX];

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    /// Thousandths, not negative.
    value: i64,
    /// Accounted for up to here, ms.
    from: u64,
    /// Counts at most up to here, ms.
    until: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    /// Thousandths times ms.
    weighted: i64,
    covered_ms: u32,
}

/// The history of one cell: `N` buckets of 10 bytes and the sums of all windows.
#[derive(Debug)]
pub(super) struct History<const N: usize> {
    weighted: [i64; N],
    covered: [u16; N],
    /// Number of the first bucket in the future. The running one is `end - 1`; at its very end it still is the
    /// running one. Numbers start at `N` at [`Instant::ZERO`], so that what was saved before a restart has
    /// room below it.
    end: u64,
    sample: Sample,
    sums: [Sum; WINDOWS_MAX],
    /// Every bucket of the ring is empty.
    blank: bool,
    pub(super) dose: Dose,
}

impl<const N: usize> History<N> {
    pub(super) const fn new() -> Self {
        Self {
            weighted: [0; N],
            covered: [0; N],
            end: N as u64,
            sample: Sample {
                value: 0,
                from: 0,
                until: 0,
            },
            sums: [Sum {
                weighted: 0,
                covered_ms: 0,
            }; WINDOWS_MAX],
            blank: true,
            dose: Dose::new(),
        }
    }

    /// Takes a sample that counts from `now` on, at most for `hold`. Negative values count as 0.
    pub(super) fn sample(
        &mut self,
        now: Instant,
        value: Concentration,
        hold: Duration,
        windows: &Windows,
    ) {
        self.advance(now, windows);
        let from = now.as_millis();
        let value = i64::from(value.clamped_at_zero().as_milli());
        self.sample = Sample {
            value,
            from,
            until: (now + hold).as_millis(),
        };
    }

    /// Ends the hold of the last sample: it is no longer trusted.
    pub(super) fn cut(&mut self, now: Instant, windows: &Windows) {
        self.advance(now, windows);
        self.sample.until = self.sample.from;
    }

    /// Nothing will change without a new sample.
    pub(super) fn is_idle(&self) -> bool {
        self.sample.from >= self.sample.until && self.sums.iter().all(|sum| sum.covered_ms == 0)
    }

    /// Accounts for the time up to `now`. `windows` must be the same on every call.
    pub(super) fn advance(&mut self, now: Instant, windows: &Windows) {
        let now = now.as_millis();
        let last = now.div_ceil(BUCKET_MS) + N as u64;
        loop {
            let edge = (self.end - N as u64) * BUCKET_MS;
            self.account(now.min(edge), windows);
            if last <= self.end {
                return;
            }
            if self.is_idle() {
                self.skip_to(last);
                return;
            }
            self.open_next(windows);
        }
    }

    /// The average over the window at position `at` of `windows`, as of `now`: not before the last sample, and
    /// at most one bucket after the running one unless [idle](Self::is_idle).
    pub(super) fn average(&self, now: Instant, at: usize, windows: &Windows) -> Average {
        let window_ms = u64::from(windows[at]) * BUCKET_MS;
        let (weighted, covered_ms) = self.sum(now, at, windows);
        let enough_ms = window_ms * 4 / 5;
        Average {
            mean: mean(weighted, covered_ms),
            covered: Duration::from_millis(covered_ms),
            partial: covered_ms < enough_ms,
            known: covered_ms > 0 && covered_ms >= enough_ms.min(KNOWN_MS),
        }
    }

    /// Change per minute between the two halves of the window at position `at`, whose half stands at `half`.
    /// `None` until 80 % of each half are covered: what was not measured has no slope.
    pub(super) fn rate(
        &self,
        now: Instant,
        at: usize,
        half: usize,
        windows: &Windows,
    ) -> Option<Concentration> {
        let half_ms = u64::from(windows[half]) * BUCKET_MS;
        let (whole, newer) = (self.sum(now, at, windows), self.sum(now, half, windows));
        let older = (whole.0 - newer.0, whole.1.saturating_sub(newer.1));
        if newer.1.min(older.1) < half_ms * 4 / 5 {
            return None;
        }
        let (newer, older) = (mean(newer.0, newer.1)?, mean(older.0, older.1)?);
        let change = i64::from(newer.as_milli()) - i64::from(older.as_milli());
        let per_minute = crate::units::div_round(change * 60_000, i64::try_from(half_ms).ok()?);
        i32::try_from(per_minute)
            .ok()
            .map(Concentration::from_milli)
    }

    /// Exposure over the window at position `at`, or over a shift without one. `None` while nothing is covered.
    pub(super) fn exposure(
        &self,
        now: Instant,
        at: Option<usize>,
        windows: &Windows,
    ) -> Option<Concentration> {
        let ((weighted, covered_ms), span_ms) = match at {
            Some(at) => (
                self.sum(now, at, windows),
                u64::from(windows[at]) * BUCKET_MS,
            ),
            None => {
                let ms = now.as_millis();
                let ahead = ms.min(self.sample.until).saturating_sub(self.sample.from);
                let (weighted, covered) = self.dose.sum(ms);
                let weighted = weighted + self.sample.value * ahead as i64;
                ((weighted, covered + ahead), SHIFT_MS)
            }
        };
        (covered_ms > 0).then(|| mean(weighted, span_ms)).flatten()
    }

    /// Weighted sum and covered ms of a window, as of `now`.
    fn sum(&self, now: Instant, at: usize, windows: &Windows) -> (i64, u64) {
        let mut covered_ms = u64::from(self.sums[at].covered_ms);
        let mut weighted = self.sums[at].weighted;
        if number::<N>(now) >= self.end && covered_ms > 0 {
            // Since the last call the next bucket began, and the oldest left the window.
            let oldest = slot::<N>(self.end - u64::from(windows[at]));
            covered_ms -= u64::from(self.covered[oldest]);
            weighted -= self.weighted[oldest];
        }
        let ahead = now
            .as_millis()
            .min(self.sample.until)
            .saturating_sub(self.sample.from);
        (
            weighted + self.sample.value * ahead as i64,
            covered_ms + ahead,
        )
    }

    /// Weighted sum and covered ms, as of `now`, of the bucket `age` buckets before the one that runs at `now`.
    pub(super) fn bucket(&self, now: Instant, age: usize) -> (i64, u16) {
        let Some(number) = number::<N>(now).checked_sub(age as u64) else {
            return (0, 0);
        };
        let stored = number < self.end && number + N as u64 >= self.end;
        let (weighted, covered) = if stored {
            let at = slot::<N>(number);
            (self.weighted[at], self.covered[at])
        } else {
            (0, 0)
        };
        let end = (number + 1).saturating_sub(N as u64) * BUCKET_MS;
        let until = now.as_millis().min(self.sample.until).min(end);
        let from = self.sample.from.max(end.saturating_sub(BUCKET_MS));
        let ahead = until.saturating_sub(from);
        (
            weighted + self.sample.value * ahead as i64,
            covered + ahead as u16,
        )
    }

    /// Puts back a bucket `age` buckets before the running one, which must be empty so far.
    pub(super) fn restore(&mut self, age: usize, bucket: (i64, u16), windows: &Windows) {
        let (weighted, covered) = bucket;
        if age >= N || covered == 0 || u64::from(covered) > BUCKET_MS {
            return;
        }
        let at = slot::<N>(self.end - 1 - age as u64);
        self.weighted[at] = weighted;
        self.covered[at] = covered;
        self.blank = false;
        for (sum, &buckets) in self.sums.iter_mut().zip(windows) {
            if age < usize::from(buckets) {
                sum.weighted += weighted;
                sum.covered_ms += u32::from(covered);
            }
        }
    }

    /// Sums up anew what the buckets hold, over other windows.
    pub(super) fn rewindow(&mut self, windows: &Windows) {
        for (sum, &buckets) in self.sums.iter_mut().zip(windows) {
            *sum = Sum::default();
            for age in 1..=u64::from(buckets).min(N as u64) {
                let at = slot::<N>(self.end - age);
                sum.weighted += self.weighted[at];
                sum.covered_ms += u32::from(self.covered[at]);
            }
        }
    }

    /// Puts what the sample covers up to `to` into the running bucket.
    fn account(&mut self, to: u64, windows: &Windows) {
        let until = to.min(self.sample.until);
        let span = until.saturating_sub(self.sample.from);
        if span == 0 {
            return;
        }
        let at = slot::<N>(self.end - 1);
        let weighted = self.sample.value * span as i64;
        self.weighted[at] += weighted;
        self.covered[at] += span as u16;
        self.blank = false;
        self.dose.add(self.sample.from, weighted, span);
        for (sum, &buckets) in self.sums.iter_mut().zip(windows) {
            if buckets > 0 {
                sum.weighted += weighted;
                sum.covered_ms += span as u32;
            }
        }
        self.sample.from = until;
    }

    /// The next bucket becomes the running one; the oldest of each window leaves it.
    fn open_next(&mut self, windows: &Windows) {
        for (sum, &buckets) in self.sums.iter_mut().zip(windows) {
            let Some(oldest) = self.end.checked_sub(u64::from(buckets)) else {
                continue;
            };
            if buckets > 0 {
                let at = slot::<N>(oldest);
                sum.weighted -= self.weighted[at];
                sum.covered_ms -= u32::from(self.covered[at]);
            }
        }
        let at = slot::<N>(self.end);
        self.weighted[at] = 0;
        self.covered[at] = 0;
        self.end += 1;
    }

    fn skip_to(&mut self, end: u64) {
        if !self.blank {
            self.weighted.fill(0);
            self.covered.fill(0);
            self.blank = true;
        }
        self.end = end;
    }
}

/// The number of the bucket that runs at `now`.
const fn number<const N: usize>(now: Instant) -> u64 {
    now.as_millis().div_ceil(BUCKET_MS) + N as u64 - 1
}

const fn slot<const N: usize>(number: u64) -> usize {
    (number % N as u64) as usize
}

/// Rounded half up. `None` without cover: an empty window has no mean.
#[inline]
fn mean(weighted: i64, covered_ms: u64) -> Option<Concentration> {
    let covered = i64::try_from(covered_ms)
        .ok()
        .filter(|&covered| covered > 0)?;
    let rounded = (2 * weighted + covered).div_euclid(2 * covered);
    i32::try_from(rounded).ok().map(Concentration::from_milli)
}

#[cfg(test)]
mod tests;
