//! Heartbeats: each loop says that it turns; silence past its deadline is a fault.
//!
//! A [`Heartbeat`] is held by the loop it stands for, on any thread. Three things make a loop fail: it is
//! silent for longer than its deadline, its heartbeat was dropped (the thread died or returned), or it was
//! given up. The clock here is never scaled: a demonstration at a hundred times real time is as patient.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use utoipa::ToSchema;

use crate::Clock;

/// State of a loop, a service or the gateway. The order is from good to bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    #[default]
    Good,
    /// Works with a loss that somebody should look at.
    Degraded,
    /// Late, dead or given up.
    Failed,
}

/// One loop in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LoopReport {
    /// Name within the service.
    pub name: String,
    /// Its state.
    pub health: Level,
    /// How often it turned; 0 = it has not started yet.
    pub beats: u64,
    /// Since its last beat, or since it was registered.
    pub age_ms: u64,
    /// Longest allowed silence.
    pub deadline_ms: u64,
    /// Whether its silence makes the service fail.
    pub critical: bool,
    /// Why it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One service in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ServiceReport {
    /// Its name.
    pub name: String,
    /// The worst of its loops and of its own state.
    pub health: Level,
    /// Restarts since the process started.
    pub restarts: u32,
    /// Why the service itself is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Its loops in the order of registration.
    pub loops: Vec<LoopReport>,
}

/// What `/healthz` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Report {
    /// The worst of all.
    pub health: Level,
    /// By service, in the order of their first appearance.
    pub services: Vec<ServiceReport>,
}

/// The registry of all loops. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    clock: Clock,
    services: Arc<Mutex<Vec<Service>>>,
}

struct Service {
    name: &'static str,
    level: Level,
    note: Option<String>,
    restarts: u32,
    loops: Vec<Arc<Beat>>,
}

/// One loop, shared between the registry and its [`Heartbeat`].
struct Beat {
    name: String,
    deadline: Duration,
    critical: bool,
    last_ms: AtomicU64,
    beats: AtomicU64,
    dropped: AtomicBool,
    note: Mutex<Option<String>>,
}

impl Health {
    /// An empty registry.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            services: Arc::default(),
        }
    }

    /// Registers a **critical** loop: silence for longer than `deadline` fails the service and restarts it.
    /// A loop of the same name is replaced.
    #[must_use]
    pub fn critical(&self, service: &'static str, name: &str, deadline: Duration) -> Heartbeat {
        self.register(service, name, deadline, true)
    }

    /// Registers a loop whose silence is only shown (a bus that is unplugged, say).
    #[must_use]
    pub fn watch(&self, service: &'static str, name: &str, deadline: Duration) -> Heartbeat {
        self.register(service, name, deadline, false)
    }

    /// Sets the state of a service as a whole, beside its loops. `Good` takes the note back.
    pub fn set(&self, service: &'static str, level: Level, note: Option<&str>) {
        let mut services = self.lock();
        let service = entry(&mut services, service);
        service.level = level;
        service.note = note.map(str::to_owned);
    }

    /// The state of everything now.
    #[must_use]
    pub fn report(&self) -> Report {
        let now = self.clock.uptime();
        let services: Vec<_> = self.lock().iter().map(|s| s.report(now)).collect();
        let health = services.iter().map(|s| s.health).max().unwrap_or_default();
        Report { health, services }
    }

    /// Whether every critical loop has turned at least once and none is late (then systemd is told `READY`).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let report = self.report();
        let mut critical = report
            .services
            .iter()
            .flat_map(|s| &s.loops)
            .filter(|l| l.critical);
        critical.all(|l| l.beats > 0 && l.health != Level::Failed)
    }

    /// A service starts anew: the loops of the former instance leave.
    pub(crate) fn begin(&self, service: &'static str, restarts: u32) {
        let mut services = self.lock();
        let service = entry(&mut services, service);
        service.loops.clear();
        service.restarts = restarts;
        service.level = Level::Good;
        service.note = None;
    }

    /// The first critical loop of `service` that is late or dead, in words.
    pub(crate) fn late(&self, service: &str) -> Option<String> {
        let now = self.clock.uptime();
        let services = self.lock();
        let service = services.iter().find(|s| s.name == service)?;
        let mut critical = service.loops.iter().filter(|beat| beat.critical);
        critical.find_map(|beat| {
            let silence = beat.silence(now);
            if beat.dropped.load(Ordering::Acquire) {
                Some(format!("loop {} ended", beat.name))
            } else if silence > beat.deadline {
                Some(format!(
                    "loop {} is silent for {} ms",
                    beat.name,
                    silence.as_millis()
                ))
            } else {
                None
            }
        })
    }

    fn register(
        &self,
        service: &'static str,
        name: &str,
        deadline: Duration,
        critical: bool,
    ) -> Heartbeat {
        let beat = Arc::new(Beat {
            name: name.to_owned(),
            deadline,
            critical,
            last_ms: AtomicU64::new(self.clock.uptime().as_millis() as u64),
            beats: AtomicU64::new(0),
            dropped: AtomicBool::new(false),
            note: Mutex::new(None),
        });
        let mut services = self.lock();
        let loops = &mut entry(&mut services, service).loops;
        match loops.iter_mut().find(|old| old.name == name) {
            Some(old) => *old = Arc::clone(&beat),
            None => loops.push(Arc::clone(&beat)),
        }
        Heartbeat {
            health: self.clone(),
            service,
            beat,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Service>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry<'a>(services: &'a mut Vec<Service>, name: &'static str) -> &'a mut Service {
    let index = services
        .iter()
        .position(|s| s.name == name)
        .unwrap_or_else(|| {
            services.push(Service {
                name,
                level: Level::Good,
                note: None,
                restarts: 0,
                loops: Vec::new(),
            });
            services.len() - 1
        });
    &mut services[index]
}

impl Service {
    fn report(&self, now: Duration) -> ServiceReport {
        let loops: Vec<_> = self.loops.iter().map(|beat| beat.report(now)).collect();
        let worst = loops
            .iter()
            // A loop that is only watched cannot make the service worse than degraded.
            .map(|l| {
                if l.critical {
                    l.health
                } else {
                    l.health.min(Level::Degraded)
                }
            })
            .max()
            .unwrap_or_default();
        ServiceReport {
            name: self.name.to_owned(),
            health: worst.max(self.level),
            restarts: self.restarts,
            note: self.note.clone(),
            loops,
        }
    }
}

impl Beat {
    fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Acquire)))
    }

    fn report(&self, now: Duration) -> LoopReport {
        let silence = self.silence(now);
        let note = self
            .note
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (health, note) = if self.dropped.load(Ordering::Acquire) {
            (Level::Failed, Some("the loop ended".into()))
        } else if silence > self.deadline {
            (Level::Failed, Some(note.unwrap_or_else(|| "silent".into())))
        } else if note.is_some() {
            (Level::Degraded, note)
        } else {
            (Level::Good, None)
        };
        LoopReport {
            name: self.name.clone(),
            health,
            beats: self.beats.load(Ordering::Acquire),
            age_ms: silence.as_millis() as u64,
            deadline_ms: self.deadline.as_millis() as u64,
            critical: self.critical,
            note,
        }
    }
}

/// Held by a loop, on any thread. Dropping it without [`finish`](Self::finish) counts as the loop's death.
pub struct Heartbeat {
    health: Health,
    service: &'static str,
    beat: Arc<Beat>,
}

impl Heartbeat {
    /// The loop turned. Two atomic operations; no lock.
    pub fn beat(&self) {
        let now = self.health.clock.uptime().as_millis() as u64;
        self.beat.last_ms.store(now, Ordering::Release);
        self.beat.beats.fetch_add(1, Ordering::Release);
    }

    /// The loop turns but something is wrong; shown until [`clear`](Self::clear).
    pub fn degrade(&self, note: impl Into<String>) {
        *self
            .beat
            .note
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(note.into());
    }

    /// Takes [`degrade`](Self::degrade) back.
    pub fn clear(&self) {
        *self
            .beat
            .note
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The loop ended on purpose and leaves the report.
    pub fn finish(self) {
        let mut services = self.health.lock();
        if let Some(service) = services.iter_mut().find(|s| s.name == self.service) {
            service.loops.retain(|beat| !Arc::ptr_eq(beat, &self.beat));
        }
        // The drop that follows marks a beat that nobody can see any more.
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.beat.dropped.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn level_of(health: &Health, service: &str) -> Level {
        let report = health.report();
        report
            .services
            .iter()
            .find(|s| s.name == service)
            .unwrap()
            .health
    }

    #[test]
    fn a_loop_that_is_silent_past_its_deadline_has_failed() {
        let (clock, hand) = Clock::manual();
        let health = Health::new(clock);
        let heart = health.critical("gas", "evaluate", SECOND);
        hand.advance(SECOND);
        assert_eq!(
            level_of(&health, "gas"),
            Level::Good,
            "exactly at the deadline it is in time"
        );
        hand.advance(Duration::from_millis(1));
        assert_eq!(level_of(&health, "gas"), Level::Failed);
        assert_eq!(
            health.late("gas").as_deref(),
            Some("loop evaluate is silent for 1001 ms")
        );
        heart.beat();
        assert_eq!(level_of(&health, "gas"), Level::Good);
        assert_eq!(health.late("gas"), None);
    }

    #[test]
    fn it_is_ready_when_every_critical_loop_has_turned() {
        let health = Health::new(Clock::manual().0);
        let (one, two) = (
            health.critical("gas", "poll", SECOND),
            health.critical("gas", "evaluate", SECOND),
        );
        let _shown = health.watch("gas", "bus", SECOND);
        one.beat();
        assert!(!health.is_ready());
        two.beat();
        assert!(health.is_ready());
        assert_eq!(health.report().services[0].loops[2].beats, 0);
    }

    #[test]
    fn a_thread_that_dies_is_seen_at_once() {
        let health = Health::new(Clock::manual().0);
        let heart = health.critical("gas", "evaluate", SECOND);
        let thread = std::thread::spawn(move || {
            heart.beat();
            panic!("a defect");
        });
        assert!(thread.join().is_err());
        assert_eq!(health.late("gas").as_deref(), Some("loop evaluate ended"));
        assert_eq!(health.report().health, Level::Failed);
    }

    #[test]
    fn a_loop_that_finishes_leaves_the_report() {
        let health = Health::new(Clock::manual().0);
        health.critical("gas", "evaluate", SECOND).finish();
        assert_eq!(health.late("gas"), None);
        assert!(health.report().services[0].loops.is_empty());
    }

    #[test]
    fn a_watched_loop_degrades_its_service_but_never_fails_it() {
        let (clock, hand) = Clock::manual();
        let health = Health::new(clock);
        let heart = health.watch("gas", "bus rs485", SECOND);
        heart.degrade("the device is unplugged");
        assert_eq!(level_of(&health, "gas"), Level::Degraded);
        heart.clear();
        assert_eq!(level_of(&health, "gas"), Level::Good);
        hand.advance(2 * SECOND);
        assert_eq!(level_of(&health, "gas"), Level::Degraded);
        assert_eq!(health.report().services[0].loops[0].health, Level::Failed);
        assert_eq!(health.late("gas"), None);
    }

    #[test]
    fn the_state_of_a_service_stands_beside_its_loops() {
        let health = Health::new(Clock::manual().0);
        let _heart = health.critical("gas", "evaluate", SECOND);
        health.set("gas", Level::Degraded, Some("no database"));
        assert_eq!(
            health.report().services[0].note.as_deref(),
            Some("no database")
        );
        assert_eq!(health.report().health, Level::Degraded);
        health.set("gas", Level::Good, None);
        assert_eq!(health.report().health, Level::Good);
    }
}
