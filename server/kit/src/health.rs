//! Heartbeats: each loop says that it turns; silence past its deadline is a fault.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::Clock;

/// State of a loop, a service or the gateway. The order is from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Good,
    /// Works with a loss that somebody should look at.
    Degraded,
    /// Late, dead or given up.
    Failed,
}

/// One loop in the report.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LoopReport {
    /// Name within the service.
    pub name: String,
    /// Its state.
    pub health: Level,
    /// Since its last beat.
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
#[derive(Clone, Debug, Serialize, ToSchema)]
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
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Report {
    /// The worst of all.
    pub health: Level,
    /// By service.
    pub services: Vec<ServiceReport>,
}

/// The registry of all loops. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    clock: Clock,
}

impl Health {
    /// An empty registry.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }

    /// Registers a **critical** loop: silence for longer than `deadline` fails the service and restarts it.
    #[must_use]
    pub fn critical(&self, service: &'static str, name: &str, deadline: Duration) -> Heartbeat {
        let _ = (&self.clock, service, name, deadline);
        todo!()
    }

    /// Registers a loop whose silence is only shown (a bus that is unplugged, say).
    #[must_use]
    pub fn watch(&self, service: &'static str, name: &str, deadline: Duration) -> Heartbeat {
        let _ = (service, name, deadline);
        todo!()
    }

    /// The state of everything now.
    #[must_use]
    pub fn report(&self) -> Report {
        todo!()
    }
}

/// Held by a loop, on any thread. Dropping it without [`finish`](Self::finish) counts as the loop's death.
pub struct Heartbeat {
    _private: (),
}

impl Heartbeat {
    /// The loop turned. Wait-free.
    pub fn beat(&self) {
        todo!()
    }

    /// The loop turns but something is wrong; shown until [`clear`](Self::clear).
    pub fn degrade(&self, note: impl Into<String>) {
        let _ = note.into();
        todo!()
    }

    /// Takes [`degrade`](Self::degrade) back.
    pub fn clear(&self) {
        todo!()
    }

    /// The loop ended on purpose and leaves the report.
    pub fn finish(self) {
        todo!()
    }
}
