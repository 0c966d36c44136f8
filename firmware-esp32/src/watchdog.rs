//! What resets the board when the loop stands still.

/// A running watchdog. Source of its time: panel specification 6, 2 s.
pub trait Watchdog {
    /// Called once in every step of the loop, and nowhere else: what feeds it elsewhere hides a hang.
    fn feed(&mut self);
}

/// For boards without one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWatchdog;

impl Watchdog for NoWatchdog {
    fn feed(&mut self) {}
}
