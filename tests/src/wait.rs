//! Waiting for conditions, never for time.

use std::time::{Duration, Instant};

/// How long a condition may take before the program is called broken. Reasoning: the slowest thing waited
/// for takes 2 s on a quiet machine; thirty times that survives a machine with every core taken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until `condition` gives a value.
///
/// # Panics
/// When [`PATIENCE`] is over: the message says what was waited for.
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, condition)
}

/// As [`until`], with a limit of its own.
///
/// # Panics
/// When `limit` is over.
pub fn until_within<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
