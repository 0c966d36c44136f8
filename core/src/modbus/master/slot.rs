//! What the master remembers of one device.

use super::report::{Counters, DeviceState, Failure};
use crate::time::{Duration, Instant};

/// Failed polls in a row after which a device is taken for dead.
pub const MISSES_MAX: u8 = 3;
/// A dead device is asked this often while others live.
pub const PROBE_EVERY: Duration = Duration::from_secs(10);
/// The same while none lives: there is nobody to disturb, and a cable that was put back is seen soon.
pub const PROBE_EVERY_ALONE: Duration = Duration::from_secs(1);
/// After a failed probe no other is made for this many times its duration, while others live: probes take at
/// most 5 % of the bus, however many devices are dead.
pub const PROBE_REST: u32 = 19;
/// Least and spare time of a probe's wait, beyond three times the slowest answer seen.
const PROBE_WAIT_MIN: Duration = Duration::from_millis(50);

/// One device at run time.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    pub(super) state: DeviceState,
    /// The state that the owner was told.
    pub(super) told: DeviceState,
    pub(super) counters: Counters,
    /// When its next poll, or the rest of the one under way, may start.
    pub(super) due: Instant,
    /// When the poll under way started; `None` between polls.
    pub(super) started: Option<Instant>,
    /// Next exchange of the poll under way.
    pub(super) step: u8,
    /// Failed tries of that exchange.
    pub(super) attempt: u8,
    /// Failed polls in a row.
    pub(super) misses: u8,
    /// Tries that were never answered, since the last good answer: as many answers may still come.
    pub(super) owed: u8,
    /// Until then only the same exchange may be repeated, so that a late answer meets no other question.
    pub(super) late_until: Instant,
    /// Longest time from the end of a request to the start of its answer, since it was last dead.
    pub(super) slowest: Option<Duration>,
    /// The image that is wanted, and what the device confirmed last.
    pub(super) image: Option<u16>,
    pub(super) written: Option<u16>,
    /// The wanted image changed since it was sent last.
    pub(super) image_urgent: bool,
    /// The last urgent write failed: the next one waits for the poll, which has retries and reports.
    pub(super) image_waits: bool,
    /// Polled since the present cycle began.
    pub(super) in_cycle: bool,
}

impl Slot {
    /// A fresh chance, when the port was opened. Counters and the wanted image stay.
    pub(super) fn reset(&mut self, now: Instant) {
        *self = Self {
            told: self.told,
            counters: self.counters,
            image: self.image,
            image_urgent: self.image.is_some(),
            due: now,
            late_until: now,
            ..Self::default()
        };
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state == DeviceState::Probe
    }

    /// When its next exchange may start. A repeated try need not wait for late answers: they fit.
    pub(super) fn ready_at(&self) -> Instant {
        if self.attempt > 0 {
            self.due
        } else {
            self.due.max(self.late_until)
        }
    }

    /// How long to wait for an answer, where `timeout` is the configured time.
    pub(super) fn wait(&self, timeout: Duration) -> Duration {
        match self.slowest {
            Some(slowest) if self.is_dead() => {
                (slowest * 3 + PROBE_WAIT_MIN).clamp(PROBE_WAIT_MIN, timeout)
            }
            _ => timeout,
        }
    }

    /// The poll under way is over.
    pub(super) fn end_poll(&mut self, now: Instant, period: Duration) {
        let started = self.started.take().unwrap_or(now);
        self.due = (started + period).max(now);
        self.step = 0;
        self.attempt = 0;
        self.image_waits = false;
        self.in_cycle = true;
    }

    pub(super) fn count(&mut self, failure: Failure) {
        let counter = match failure {
            Failure::Timeout => &mut self.counters.timeout,
            Failure::Crc => &mut self.counters.crc,
            Failure::Exception(_) => &mut self.counters.exception,
            Failure::Length => &mut self.counters.length,
        };
        *counter = counter.wrapping_add(1);
    }
}
