//! What pages and the API see.

use leitstand_core::time::Instant;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::{Container, Engine};

/// A container that runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ContainerView {
    /// Its name.
    pub uuid: String,
    /// `running` or `paused`.
    pub state: &'static str,
    /// Number of the access token it was made with.
    pub owner: Option<i64>,
    /// Profile.
    pub profile: String,
    /// SSH account.
    pub username: String,
    /// SSH port.
    pub port: u16,
    /// `SHA256:...` of its host key.
    pub ssh_host_key: String,
    /// Wall time of its start, milliseconds since 1970.
    pub created_ms: i64,
    /// Seconds until it ends by itself.
    pub left_s: u64,
    /// Open SSH sessions and terminals.
    pub sessions: usize,
    /// Bytes it uses, where that is known.
    pub memory_bytes: Option<u64>,
    /// Bytes it may use.
    pub memory_limit_bytes: u64,
    /// Processor time it has used, microseconds, where that is known.
    pub cpu_us: Option<u64>,
    /// Processes and threads, where that is known.
    pub pids: Option<u64>,
}

impl ContainerView {
    /// Of `container` at `now`.
    #[must_use]
    pub fn new(container: &Container, now: Instant) -> Self {
        let stats = container.guest.stats();
        Self {
            uuid: container.id.to_string(),
            state: if container.paused() {
                "paused"
            } else {
                "running"
            },
            owner: container.owner,
            profile: container.profile.clone(),
            username: container.username.clone(),
            port: container.port,
            ssh_host_key: container.fingerprint.clone(),
            created_ms: container.created_ms,
            left_s: (container.expires() - now).as_secs(),
            sessions: container.activity.sessions(),
            memory_bytes: stats.memory_bytes,
            memory_limit_bytes: container.memory_limit,
            cpu_us: stats.cpu_us,
            pids: stats.pids,
        }
    }
}

/// The whole service, as live pages follow it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StateView {
    /// Kind of the backend.
    pub backend: &'static str,
    /// Why nothing can be started; `null` when it can.
    pub unavailable: Option<String>,
    /// How limits are enforced.
    pub limits: String,
    /// What is weaker than it should be.
    pub notes: Vec<String>,
    /// Profiles to choose from, the default first.
    pub profiles: Vec<String>,
    /// Places.
    pub max_running: u32,
    /// Free places.
    pub available: u32,
    /// Address of the classic protocol.
    pub bind: String,
    /// SHA-256 of the server's public key.
    pub fingerprint: Option<String>,
    /// Containers, oldest first.
    pub items: Vec<ContainerView>,
    /// What the last sandboxed job printed, where one ran.
    pub job: Option<JobView>,
}

/// A sandboxed job that ran.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JobView {
    /// What was run.
    pub command: String,
    /// What it printed.
    pub output: String,
    /// Its exit status; `null` when it was ended.
    pub status: Option<i32>,
    /// From the request to its end.
    pub took_ms: u64,
}

impl StateView {
    /// Of the engine now.
    #[must_use]
    pub fn new(
        engine: &Engine,
        bind: String,
        fingerprint: Option<String>,
        job: Option<JobView>,
    ) -> Self {
        let settings = engine.settings();
        let now = engine.context().clock.now();
        let (unavailable, probe) = match engine.probe() {
            Ok(probe) => (None, probe),
            Err(reason) => (Some(reason), crate::backend::Probe::default()),
        };
        let mut profiles: Vec<String> = settings.profiles.iter().map(|p| p.name.clone()).collect();
        profiles.swap(0, settings.default_profile);
        Self {
            backend: engine.backend_kind(),
            unavailable,
            limits: probe.limits,
            notes: probe.notes,
            profiles,
            max_running: settings.max_running,
            available: engine.available(),
            bind,
            fingerprint,
            items: engine
                .list()
                .iter()
                .map(|c| ContainerView::new(c, now))
                .collect(),
            job,
        }
    }
}
