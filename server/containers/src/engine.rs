//! All containers of the gateway: admission, journal, backend, SSH, life time, reconciling.
//!
//! ```text
//!  permit ► journal `starting` ► backend ► ready ► port ► journal `running` ► answer ─ not delivered ► destroy
//!                    └──────── any failure: undone in reverse order ────────┘
//!  watchdog: ended by itself | time over | idle | operator | stop ► journal `stopping` ► undo ► row gone ► permit back
//! ```
//!
//! A row is written before its side effect, and removed after the last trace is gone: what a crash leaves is found.

mod container;
mod create;
mod warm;

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use leitstand_core::time::Instant;
use leitstand_kit::{
    Context,
    metrics::{Counter, Gauge, Histogram},
};
use serde_json::json;

use crate::{
    admission::{Limits, Owner, Places},
    backend::{Backend, BackendError, Probe},
    config::Settings,
    facts::{Cause, Fact, Facts, Kind},
    id::{ContainerId, SecretHash, random},
    ledger::Ledger,
    profile::Digests,
    wire::response::Response,
};

pub use container::{Container, Created, NotCreated, Statistics, Why, Wish};
use warm::Warm;

/// The watchdog looks this often at idleness and changed deadlines.
const LOOK_EVERY: Duration = Duration::from_secs(1);

struct Metrics {
    running: Gauge,
    available: Gauge,
    created: Counter,
    destroyed: Counter,
    errors: Counter,
    start_seconds: Histogram,
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    cx: Context,
    settings: Settings,
    backend: Arc<dyn Backend>,
    facts: Facts,
    ledger: Ledger,
    places: Places,
    digests: Digests,
    containers: Mutex<HashMap<ContainerId, Arc<Container>>>,
    warm: Mutex<VecDeque<Warm>>,
    probe: RwLock<Result<Probe, String>>,
    started: Mutex<Option<Instant>>,
    next_port: AtomicU64,
    metrics: Metrics,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Prepares everything; starts nothing. Blocks for the tables.
    ///
    /// # Errors
    /// The database refused.
    pub fn new(
        cx: &Context,
        settings: Settings,
        backend: Arc<dyn Backend>,
    ) -> Result<Self, leitstand_kit::store::StoreError> {
        let m = &cx.metrics;
        let metrics = Metrics {
            running: m.gauge("leitstand_containers_running", "Containers that run", &[]),
            available: m.gauge("leitstand_containers_available", "Free places", &[]),
            created: m.counter(
                "leitstand_containers_created_total",
                "Containers created",
                &[],
            ),
            destroyed: m.counter(
                "leitstand_containers_destroyed_total",
                "Containers ended",
                &[],
            ),
            errors: m.counter(
                "leitstand_containers_runtime_errors_total",
                "Failures of the service",
                &[],
            ),
            start_seconds: m.histogram(
                "leitstand_containers_start_seconds",
                "From the permit to the open SSH port",
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0],
                &[],
            ),
        };
        let limits = Limits {
            places: settings.max_running,
            per_owner: settings.quota_per_token,
            starts_per_minute: settings.starts_per_minute,
        };
        metrics.available.set(f64::from(limits.places));
        Ok(Self(Arc::new(Inner {
            facts: Facts::new(cx),
            ledger: Ledger::open(&cx.store)?,
            places: Places::new(limits),
            digests: Digests::default(),
            containers: Mutex::default(),
            warm: Mutex::default(),
            probe: RwLock::new(Err("not looked at yet".into())),
            started: Mutex::new(None),
            // Somewhere in the range: after a restart clients do not meet somebody else's port at once.
            next_port: AtomicU64::new(u64::from(u16::from_be_bytes(random()))),
            metrics,
            cx: cx.clone(),
            settings,
            backend,
        })))
    }

    /// Settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Handlers and observers.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// What is on disk.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// The gateway's handles.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.0.cx
    }

    /// Kind of the backend.
    #[must_use]
    pub fn backend_kind(&self) -> &'static str {
        self.0.backend.kind()
    }

    /// What the backend can do here, or why nothing.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn probe(&self) -> Result<Probe, String> {
        self.0
            .probe
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Looks at the backend, then brings the journal and the backend together.
    pub async fn start(&self) -> Result<(), String> {
        let found = self.0.backend.probe().await.map_err(|e| e.to_string());
        *self.0.probe.write().unwrap_or_else(PoisonError::into_inner) = found;
        self.reconcile().await?;
        *lock(&self.0.started) = Some(self.0.cx.clock.now());
        Ok(())
    }

    /// Ends what a former life left: everything journaled, and everything that the backend knows of as ours.
    async fn reconcile(&self) -> Result<(), String> {
        let rows = self.0.ledger.rows().await.map_err(|e| e.to_string())?;
        let mut ids: Vec<ContainerId> = rows.iter().map(|row| row.id).collect();
        match self.0.backend.list_ours().await {
            Ok(ours) => ids.extend(ours),
            Err(error) => tracing::warn!(%error, "listing containers of a former life"),
        }
        ids.sort_unstable();
        ids.dedup();
        let alive: Vec<ContainerId> = lock(&self.0.containers).keys().copied().collect();
        for id in ids.into_iter().filter(|id| !alive.contains(id)) {
            if let Err(error) = self.0.backend.sweep(id).await {
                self.failed(
                    Some(id),
                    None,
                    &format!("removing a container of a former life: {error}"),
                );
                continue;
            }
            self.0.ledger.end(id).await.map_err(|e| e.to_string())?;
            let mut fact = Fact::new(Kind::ContainerStopped, Cause::Automatic);
            fact.container = Some(id);
            fact.data = json!({"reason": "left by a former life of the gateway"});
            drop(self.0.facts.fire(fact));
        }
        Ok(())
    }

    /// Ends everything, for the stop of the service.
    pub async fn stop(&self) {
        *lock(&self.0.started) = None;
        let all: Vec<ContainerId> = lock(&self.0.containers).keys().copied().collect();
        let ends = all
            .into_iter()
            .map(|id| self.destroy(id, Why::Stopping, None));
        futures_util::future::join_all(ends).await;
        let warm: Vec<Warm> = lock(&self.0.warm).drain(..).collect();
        for warm in warm {
            let _ = warm.guest.destroy().await;
            let _ = self.0.ledger.end(warm.id).await;
        }
    }

    /// Whether a token permits use; its number.
    ///
    /// # Errors
    /// The answer for the client.
    pub async fn authorize(&self, access_token: Option<&str>) -> Result<Owner, Response> {
        if !self.0.settings.access_tokens {
            return Ok(None);
        }
        let Some(token) = access_token else {
            return Err(Response::token_required());
        };
        match self.0.ledger.token(token).await {
            Ok(Some(id)) => Ok(Some(id)),
            Ok(None) => Err(Response::token_invalid()),
            Err(error) => {
                self.failed(None, None, &format!("looking up an access token: {error}"));
                Err(Response::internal())
            }
        }
    }

    /// Containers that run, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Container>> {
        let mut all: Vec<_> = lock(&self.0.containers).values().cloned().collect();
        all.sort_by_key(|c| (c.created_ms, c.id));
        all
    }

    /// One that runs.
    #[must_use]
    pub fn get(&self, id: ContainerId) -> Option<Arc<Container>> {
        lock(&self.0.containers).get(&id).cloned()
    }

    /// Whether the pair is right. Takes the same time for an unknown container as for a wrong token.
    #[must_use]
    pub fn owns(&self, id: ContainerId, client_token: &str) -> bool {
        let presented = SecretHash::of(client_token);
        // Nothing hashes to zero bytes in practice, and the comparison is made all the same.
        let nobody = SecretHash::from_hex(&"0".repeat(64));
        let expected = self.get(id).map(|c| c.token).or(nobody);
        expected == Some(presented)
    }

    /// Free places.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.0.places.available()
    }

    /// The statistics.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let started = *lock(&self.0.started);
        Statistics {
            is_running: started.is_some(),
            recorded_runtime_errors: self.0.metrics.errors.get(),
            uptime_s: started.map_or(0, |at| (self.0.cx.clock.now() - at).as_secs()),
            available_containers: self.available(),
            created: self.0.metrics.created.get(),
            destroyed: self.0.metrics.destroyed.get(),
        }
    }

    /// Counts and journals a failure.
    pub(crate) fn failed(
        &self,
        container: Option<ContainerId>,
        peer: Option<IpAddr>,
        reason: &str,
    ) {
        tracing::warn!("{reason}");
        self.0.metrics.errors.inc();
        let mut fact = Fact::new(Kind::RuntimeFailed, Cause::Error);
        fact.container = container;
        fact.peer = peer;
        fact.data = json!({"reason": reason});
        drop(self.0.facts.fire(fact));
    }

    /// Waits for the end of a container's life.
    async fn watch(self, container: Arc<Container>) {
        let ended = container.guest.ended();
        tokio::pin!(ended);
        let why = loop {
            let now = self.0.cx.clock.now();
            let expires = container.expires();
            if now >= expires {
                break Why::Expired;
            }
            let idle_stop = self.0.settings.idle_stop;
            if !idle_stop.is_zero()
                && let Some(since) = container.activity.idle_since()
                && now - since >= idle_stop
            {
                break Why::Idle;
            }
            tokio::select! {
                () = &mut ended => break Why::Ended,
                () = container.gone.cancelled() => return,
                () = self.0.cx.clock.sleep_until(Some(expires.min(now + LOOK_EVERY))) => {}
            }
        };
        let id = container.id;
        drop(container);
        self.destroy(id, why, None).await;
    }

    /// Ends a container; false when somebody else has or there is none.
    pub async fn destroy(&self, id: ContainerId, why: Why, peer: Option<IpAddr>) -> bool {
        // Whoever takes it out of the map ends it.
        let Some(container) = lock(&self.0.containers).remove(&id) else {
            return false;
        };
        // To its end even when the caller goes away.
        let engine = self.clone();
        let work = tokio::spawn(async move { engine.take_down(container, why, peer).await });
        if let Err(error) = work.await {
            self.failed(Some(id), peer, &format!("ending a container: {error}"));
        }
        true
    }

    async fn take_down(&self, container: Arc<Container>, why: Why, peer: Option<IpAddr>) {
        let id = container.id;
        let fact = |kind| {
            let mut fact = Fact::new(kind, why.cause());
            fact.container = Some(id);
            fact.peer = peer;
            fact.data = json!({"reason": why.as_str()});
            drop(self.0.facts.fire(fact));
        };
        container.gone.cancel();
        container.endpoint.cut();
        if let Err(error) = self
            .0
            .ledger
            .update(id, "stopping", container.port, 0)
            .await
        {
            tracing::warn!(%error, "journaling the end of a container");
        }
        // The original's order: a guest that left takes its relay first.
        if why == Why::Ended {
            fact(Kind::ForwarderStopped);
        }
        let ended = container.guest.destroy().await;
        match ended {
            Ok(()) => {
                if let Err(error) = self.0.ledger.end(id).await {
                    self.failed(Some(id), peer, &format!("journal: {error}"));
                }
            }
            // The row stays: the next start tries again.
            Err(error) => self.failed(Some(id), peer, &format!("ending a container: {error}")),
        }
        fact(Kind::ContainerStopped);
        if why != Why::Ended {
            fact(Kind::ForwarderStopped);
        }
        self.0.metrics.destroyed.inc();
        self.0
            .metrics
            .running
            .set(lock(&self.0.containers).len() as f64);
        drop(container);
        self.0.metrics.available.set(f64::from(self.available()));
    }

    /// Moves the end of a container to `ttl` from now; the new end. `None` when there is none.
    pub async fn extend(&self, id: ContainerId, ttl: Duration) -> Option<Duration> {
        let container = self.get(id)?;
        let ttl = ttl.min(self.0.settings.ttl_max);
        *lock(&container.expires) = self.0.cx.clock.now() + ttl;
        let expires_ms = self.0.cx.clock.wall().unix_ms + ttl.as_millis() as i64;
        if let Err(error) = self
            .0
            .ledger
            .update(id, "running", container.port, expires_ms)
            .await
        {
            tracing::warn!(%error, "journaling an extension");
        }
        Some(ttl)
    }

    /// Stops a container in its tracks, or lets it go on. `None` when there is none.
    pub async fn pause(&self, id: ContainerId, paused: bool) -> Option<Result<(), BackendError>> {
        let container = self.get(id)?;
        let done = container.guest.pause(paused).await;
        if done.is_ok() {
            container.paused.store(paused, Ordering::Release);
        }
        Some(done)
    }

    /// Where relative paths of the configuration start.
    #[must_use]
    pub fn config_dir(&self) -> PathBuf {
        self.0.cx.paths.config_dir.clone()
    }
}
