//! Monotonic time to decide with, wall time to stamp with.
//!
//! A Pi has no clock battery: its wall clock jumps at the first time sync. So nothing decides by it, and
//! each stamp says whether it could be trusted.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub use leitstand_core::time::Instant;
use tokio::sync::watch;

/// How long an answer about the time sync is good for.
const SYNC_PROBE_EVERY: Duration = Duration::from_secs(10);
/// How often an OS thread looks at a clock that stands still.
const MANUAL_POLL: Duration = Duration::from_millis(1);

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
pub struct Clock(Arc<Inner>);

enum Inner {
    Real {
        start: std::time::Instant,
        speed: f64,
        sync: SyncProbe,
    },
    Manual {
        now_ms: watch::Sender<u64>,
        wall: Mutex<Wall>,
    },
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn real() -> Self {
        Self::scaled(1.0)
    }

    /// The machine's clock, `speed` times as fast (for demonstrations); 0.1 to 1000, anything else is cut to that.
    /// Only [`now`](Self::now) is scaled: the wall clock and heartbeats stay real.
    #[must_use]
    pub fn scaled(speed: f64) -> Self {
        Self(Arc::new(Inner::Real {
            start: std::time::Instant::now(),
            speed: if speed.is_finite() {
                speed.clamp(0.1, 1000.0)
            } else {
                1.0
            },
            sync: SyncProbe::of_system(),
        }))
    }

    /// A clock that stands still until [`ManualClock::advance`]. Its wall clock starts at
    /// 2026-01-01T00:00:00Z, synced.
    #[must_use]
    pub fn manual() -> (Self, ManualClock) {
        let clock = Self(Arc::new(Inner::Manual {
            now_ms: watch::Sender::new(0),
            wall: Mutex::new(Wall {
                unix_ms: 1_767_225_600_000,
                synced: true,
            }),
        }));
        (clock.clone(), ManualClock(clock))
    }

    /// Milliseconds since the process started, times the speed.
    #[must_use]
    pub fn now(&self) -> Instant {
        match &*self.0 {
            Inner::Real { start, speed, .. } => {
                let ms = start.elapsed().as_secs_f64() * 1000.0 * speed;
                Instant::from_millis(ms as u64)
            }
            Inner::Manual { now_ms, .. } => Instant::from_millis(*now_ms.borrow()),
        }
    }

    /// Time since the process started that no `speed` scales; for heartbeats and time-outs of real peers.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        match &*self.0 {
            Inner::Real { start, .. } => start.elapsed(),
            Inner::Manual { now_ms, .. } => Duration::from_millis(*now_ms.borrow()),
        }
    }

    /// The wall clock with its `synced` flag.
    #[must_use]
    pub fn wall(&self) -> Wall {
        match &*self.0 {
            Inner::Real { start, sync, .. } => Wall {
                unix_ms: unix_ms(SystemTime::now()),
                synced: sync.ask(start.elapsed()),
            },
            Inner::Manual { wall, .. } => *wall.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Returns at `deadline`, never before it; never at all for `None`.
    pub async fn sleep_until(&self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else {
            return std::future::pending().await;
        };
        match &*self.0 {
            Inner::Real { .. } => loop {
                // Floating point may wake a fraction early: look again rather than answer early.
                match self.real_left(deadline) {
                    Duration::ZERO => return,
                    left => tokio::time::sleep(left).await,
                }
            },
            Inner::Manual { now_ms, .. } => {
                let mut follow = now_ms.subscribe();
                // The sender lives in `self`, so it cannot be closed here.
                let _ = follow.wait_for(|now| *now >= deadline.as_millis()).await;
            }
        }
    }

    /// For OS threads: how long to wait in real time (`recv_timeout`) until `deadline`, at most `cap`. On a
    /// manual clock a millisecond, so that a thread looks again soon.
    #[must_use]
    pub fn real_wait(&self, deadline: Option<Instant>, cap: Duration) -> Duration {
        let left = deadline.map_or(cap, |deadline| self.real_left(deadline));
        match &*self.0 {
            Inner::Real { .. } => left.min(cap),
            Inner::Manual { .. } => left.min(cap).min(MANUAL_POLL),
        }
    }

    /// Real time until `deadline`; zero only when [`now`](Self::now) has reached it.
    fn real_left(&self, deadline: Instant) -> Duration {
        let now = self.now();
        if now >= deadline {
            return Duration::ZERO;
        }
        match &*self.0 {
            Inner::Real { start, speed, .. } => {
                let at = Duration::from_secs_f64(deadline.as_millis() as f64 / 1000.0 / speed);
                at.saturating_sub(start.elapsed())
                    .max(Duration::from_micros(100))
            }
            Inner::Manual { .. } => deadline - now,
        }
    }
}

/// Moves a [`Clock::manual`].
#[derive(Clone)]
pub struct ManualClock(Clock);

impl ManualClock {
    /// Moves the monotonic and the wall clock forward and wakes sleepers.
    pub fn advance(&self, span: Duration) {
        if let Inner::Manual { now_ms, wall } = &*self.0.0 {
            let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            wall.lock().unwrap_or_else(PoisonError::into_inner).unix_ms +=
                i64::try_from(ms).unwrap_or(i64::MAX);
            now_ms.send_modify(|now| *now += ms);
        }
    }

    /// Steps only the wall clock, as a time sync does.
    pub fn set_wall(&self, stamp: Wall) {
        if let Inner::Manual { wall, .. } = &*self.0.0 {
            *wall.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
        }
    }
}

fn unix_ms(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(span) => i64::try_from(span.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

/// Whether the wall clock was set, asked of the files that systems keep about it.
///
/// systemd-timesyncd creates `synchronized` at its first sync; where it runs, that file alone decides. Elsewhere
/// the kernel's `hctosys` says that the clock was set from a battery-backed one at boot.
struct SyncProbe {
    timesync_dir: PathBuf,
    rtc: PathBuf,
    asked_ms: AtomicU64,
    synced: AtomicBool,
}

impl SyncProbe {
    fn of_system() -> Self {
        Self::new("/run/systemd/timesync", "/sys/class/rtc/rtc0/hctosys")
    }

    fn new(timesync_dir: impl Into<PathBuf>, rtc: impl Into<PathBuf>) -> Self {
        let probe = Self {
            timesync_dir: timesync_dir.into(),
            rtc: rtc.into(),
            asked_ms: AtomicU64::new(0),
            synced: AtomicBool::new(false),
        };
        probe.synced.store(probe.look(), Ordering::Relaxed);
        probe
    }

    fn ask(&self, uptime: Duration) -> bool {
        let now = uptime.as_millis() as u64;
        let asked = self.asked_ms.load(Ordering::Relaxed);
        if now.saturating_sub(asked) >= SYNC_PROBE_EVERY.as_millis() as u64 {
            self.asked_ms.store(now, Ordering::Relaxed);
            self.synced.store(self.look(), Ordering::Relaxed);
        }
        self.synced.load(Ordering::Relaxed)
    }

    fn look(&self) -> bool {
        if self.timesync_dir.is_dir() {
            return self.timesync_dir.join("synchronized").exists();
        }
        std::fs::read_to_string(&self.rtc).is_ok_and(|text| text.trim() == "1")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_sleep_on_the_real_clock_is_never_short() {
        for speed in [1.0, 7.3, 100.0] {
            let clock = Clock::scaled(speed);
            for _ in 0..5 {
                let deadline = clock.now() + Duration::from_millis(3);
                clock.sleep_until(Some(deadline)).await;
                assert!(clock.now() >= deadline);
            }
        }
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers_when_it_is_moved() {
        let (clock, hand) = Clock::manual();
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until(Some(Instant::from_secs(10))).await;
                clock.now()
            }
        });
        hand.advance(Duration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        hand.advance(Duration::from_secs(1));
        assert_eq!(sleeper.await.unwrap(), Instant::from_secs(10));
    }

    #[test]
    fn a_step_of_the_wall_clock_does_not_move_the_monotonic_one() {
        let (clock, hand) = Clock::manual();
        hand.set_wall(Wall {
            unix_ms: 0,
            synced: false,
        });
        assert_eq!(clock.now(), Instant::ZERO);
        assert_eq!(
            clock.wall(),
            Wall {
                unix_ms: 0,
                synced: false
            }
        );
    }

    #[test]
    fn the_wait_of_a_thread_is_capped_and_ends_at_the_deadline() {
        let clock = Clock::scaled(10.0);
        let cap = Duration::from_millis(50);
        assert_eq!(clock.real_wait(None, cap), cap);
        assert_eq!(clock.real_wait(Some(Instant::ZERO), cap), Duration::ZERO);
        let in_100_ms = clock.now() + Duration::from_millis(100);
        assert!(clock.real_wait(Some(in_100_ms), cap) <= Duration::from_millis(11));
    }

    #[test]
    fn the_clock_is_synced_only_when_a_source_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (timesync, rtc) = (dir.path().join("timesync"), dir.path().join("hctosys"));
        let probe = SyncProbe::new(&timesync, &rtc);
        assert!(!probe.look(), "nothing known");
        std::fs::write(&rtc, "1\n").unwrap();
        assert!(probe.look(), "set from a battery-backed clock");
        std::fs::create_dir(&timesync).unwrap();
        assert!(!probe.look(), "timesyncd runs and has not synced yet");
        std::fs::write(timesync.join("synchronized"), "").unwrap();
        assert!(probe.look());
        assert!(
            !probe.ask(Duration::from_secs(1)),
            "the old answer is kept for 10 s"
        );
        assert!(probe.ask(Duration::from_secs(10)));
    }
}
