//! Monotonic time as an argument.
//!
//! Most Pis have no battery-backed clock, so the wall clock jumps at the first time sync. Nothing in
//! this crate may care: it sees only [`Instant`], and spans are [`Duration`].

use core::ops::{Add, AddAssign, Sub};
pub use core::time::Duration;

/// Milliseconds since this device started. Never the wall clock; never goes back.
///
/// 64 bits of milliseconds last 584 million years, so no code needs to think about wrapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the device.
    pub const ZERO: Self = Self(0);

    /// The instant `ms` milliseconds after the start.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// The instant `s` seconds after the start.
    #[must_use]
    pub const fn from_secs(s: u64) -> Self {
        Self(s * 1000)
    }

    /// Milliseconds since the start.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The span from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    /// Saturates. A fraction of a millisecond is rounded **up**, so a deadline is never early.
    fn add(self, span: Duration) -> Self {
        let ms = span.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(u64::try_from(ms).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub for Instant {
    type Output = Duration;
    /// Same as [`Instant::since`]: saturates at zero.
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early() {
        let soon = Instant::from_millis(10) + Duration::from_micros(3_646);
        assert_eq!(soon, Instant::from_millis(14));
    }

    #[test]
    fn a_span_into_the_past_is_zero() {
        assert_eq!(Instant::ZERO - Instant::from_secs(1), Duration::ZERO);
    }
}
