//! Monotonic time to decide with, wall time to stamp with.

use std::time::Duration;

pub use leitstand_core::time::Instant;

/// A wall-clock stamp. Never used to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    /// Milliseconds since 1970-01-01 UTC.
    pub unix_ms: i64,
    /// Whether the system's clock was set from a trustworthy source since boot.
    pub synced: bool,
}

/// The process's clock. Cheap to clone. `now` starts at zero with the process and never goes back.
#[derive(Clone)]
pub struct Clock {
    _private: (),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn real() -> Self {
        todo!()
    }

    /// The machine's clock, `speed` times as fast (for demonstrations). 1.0 is real time; 0.1 to 1000.
    #[must_use]
    pub fn scaled(speed: f64) -> Self {
        let _ = speed;
        todo!()
    }

    /// A clock that stands still until [`ManualClock::advance`].
    #[must_use]
    pub fn manual() -> (Self, ManualClock) {
        todo!()
    }

    /// Milliseconds since the process started.
    #[must_use]
    pub fn now(&self) -> Instant {
        todo!()
    }

    /// The wall clock with its `synced` flag.
    #[must_use]
    pub fn wall(&self) -> Wall {
        todo!()
    }

    /// Returns at `deadline`; never for `None`.
    pub async fn sleep_until(&self, deadline: Option<Instant>) {
        let _ = deadline;
        todo!()
    }

    /// For OS threads: how long to wait in real time (`recv_timeout`) until `deadline`, at most `cap`. On a
    /// manual clock a millisecond, so that a thread looks again soon.
    #[must_use]
    pub fn real_wait(&self, deadline: Option<Instant>, cap: Duration) -> Duration {
        let _ = (deadline, cap);
        todo!()
    }
}

/// Moves a [`Clock::manual`].
#[derive(Clone)]
pub struct ManualClock {
    _private: (),
}

impl ManualClock {
    /// Moves the monotonic and the wall clock forward and wakes sleepers.
    pub fn advance(&self, span: Duration) {
        let _ = span;
        todo!()
    }

    /// Steps only the wall clock, as a time sync does.
    pub fn set_wall(&self, wall: Wall) {
        let _ = wall;
        todo!()
    }
}
