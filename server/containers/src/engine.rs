//! All containers of the gateway: admission, journal, backend, SSH, life time, reconciling.
//!
//! ```text
//!  permit ► journal `starting` ► backend ► ready ► port ► journal `running` ► answer ─ not delivered ► destroy
//!                    └──────── any failure: undone in reverse order ────────┘
//!  watchdog: ended by itself | time over | idle | operator | stop ► journal `stopping` ► undo ► row gone ► permit back
//! ```
//!
//! A row is written before its side effect, and removed after the last trace is gone: what a crash leaves is found.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use leitstand_core::time::Instant;
use leitstand_kit::{
    CancellationToken, Context,
    metrics::{Counter, Gauge, Histogram},
};
use russh::keys::PublicKey;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    admission::{Limits, Owner, Permit, Places, Refusal},
    backend::{Backend, BackendError, Guest, Probe, Spec},
    config::Settings,
    facts::{Cause, Fact, Facts, Kind, Verdict},
    id::{ContainerId, SecretHash, new_client_token, new_password, new_username, random},
    ledger::{Ledger, Row},
    profile::{Digests, Profile},
    ssh::{Account, Activity, Endpoint},
    wire::response::Response,
};

/// From the permit to the answer.
const CREATE_WITHIN: Duration = Duration::from_secs(120);
/// The watchdog looks this often at idleness and changed deadlines.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a CREATE asks for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Access token it came with.
    pub owner: Owner,
    /// The client's address.
    pub peer: Option<IpAddr>,
    /// Profile by name.
    pub profile: Option<String>,
    /// Backend by kind: only the configured one is there.
    pub backend: Option<String>,
    /// Life.
    pub ttl: Option<Duration>,
    /// A key that may log in.
    pub ssh_public_key: Option<String>,
    /// The same key gives the same container.
    pub idempotency_key: Option<String>,
}

/// What a client gets for it; the secrets are nowhere else.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its name.
    pub id: ContainerId,
    /// Proves ownership.
    pub client_token: String,
    /// Digest of the image.
    pub digest: String,
    /// SSH account.
    pub username: String,
    /// SSH password.
    pub password: String,
    /// SSH port on this machine.
    pub port: u16,
    /// `SHA256:...` of the host key.
    pub fingerprint: String,
    /// Kind of the backend.
    pub backend: &'static str,
    /// Profile.
    pub profile: String,
    /// Life.
    pub ttl: Duration,
    /// How limits are enforced.
    pub limits: String,
}

impl Created {
    /// `data` of the answer: the six fields of the original and ours.
    #[must_use]
    pub fn data(&self) -> Value {
        json!({
            "container_uuid": self.id.to_string(),
            "client_token": self.client_token,
            "container_iso_sha256": self.digest,
            "container_username": self.username,
            "container_password": self.password,
            "container_listen_port": self.port,
            "ssh_host_key": self.fingerprint,
            "backend": self.backend,
            "profile": self.profile,
            "ttl_seconds": self.ttl.as_secs(),
            "limits": self.limits,
        })
    }
}

/// Why there is no container.
#[derive(Debug)]
pub enum NotCreated {
    /// No place.
    Refused(Refusal),
    /// Not on this machine or not with these wishes.
    Unavailable(String),
    /// A wish that makes no sense.
    Malformed(&'static str),
    /// A handler closed the client.
    Closed,
    /// A handler answered.
    Responded(Response),
    /// A step failed; everything is undone.
    Failed(String),
}

/// Why a container ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// DESTROY with the right pair.
    Client,
    /// From the page, the API or the command line.
    Operator,
    /// Its time is over.
    Expired,
    /// Nobody used it.
    Idle,
    /// It ended by itself.
    Ended,
    /// The service stops.
    Stopping,
    /// Its CREATE could not be answered.
    Undelivered,
}

impl Why {
    /// For events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "destroyed by its client",
            Self::Operator => "ended by an operator",
            Self::Expired => "its time was over",
            Self::Idle => "nobody used it",
            Self::Ended => "ended by itself",
            Self::Stopping => "the service stopped",
            Self::Undelivered => "its answer could not be delivered",
        }
    }

    const fn cause(self) -> Cause {
        match self {
            Self::Client => Cause::Normal,
            Self::Expired | Self::Idle | Self::Ended => Cause::Automatic,
            Self::Operator | Self::Stopping => Cause::Deferred,
            Self::Undelivered => Cause::Error,
        }
    }
}

/// A container that runs.
pub struct Container {
    /// Its name.
    pub id: ContainerId,
    /// Access token it was made with.
    pub owner: Owner,
    /// Profile by name.
    pub profile: String,
    /// SSH account.
    pub username: String,
    /// SSH port.
    pub port: u16,
    /// Host key.
    pub fingerprint: String,
    /// Wall time.
    pub created_ms: i64,
    /// Memory it may use.
    pub memory_limit: u64,
    /// Who uses it.
    pub activity: Arc<Activity>,
    /// What runs it.
    pub guest: Arc<dyn Guest>,
    token: SecretHash,
    endpoint: Endpoint,
    expires: Mutex<Instant>,
    paused: AtomicBool,
    idempotency: Option<(Owner, String, Created)>,
    gone: CancellationToken,
    _permit: Permit,
}

impl Container {
    /// When its time is over.
    #[must_use]
    pub fn expires(&self) -> Instant {
        *lock(&self.expires)
    }

    /// Whether it is paused.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Fires when it is being ended: terminals close.
    #[must_use]
    pub fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }
}

/// A guest that waits for somebody to ask for it.
struct Warm {
    id: ContainerId,
    username: String,
    guest: Arc<dyn Guest>,
}

/// The statistics of the seed, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Whether requests are served.
    pub is_running: bool,
    /// Errors since the start.
    pub recorded_runtime_errors: u64,
    /// Seconds; 0 when stopped.
    pub uptime_s: u64,
    /// Free places.
    pub available_containers: u32,
    /// Containers created since the start.
    pub created: u64,
    /// Containers ended since the start.
    pub destroyed: u64,
}

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

    fn fire(
        &self,
        kind: Kind,
        cause: Cause,
        wish: &Wish,
        id: ContainerId,
    ) -> Result<(), NotCreated> {
        let mut fact = Fact::new(kind, cause);
        fact.peer = wish.peer;
        fact.container = Some(id);
        match self.0.facts.fire(fact) {
            Verdict::Continue => Ok(()),
            Verdict::Close => Err(NotCreated::Closed),
            Verdict::Respond(response) => Err(NotCreated::Responded(response)),
        }
    }

    /// Starts a container. Runs to its end even when the caller goes away: a half-built one would be nobody's.
    ///
    /// # Errors
    /// Why not; nothing is left then.
    pub async fn create(&self, wish: Wish) -> Result<Created, NotCreated> {
        let engine = self.clone();
        let work = tokio::spawn(async move { engine.admit_and_create(wish).await });
        match work.await {
            Ok(result) => result,
            Err(error) => {
                self.failed(None, None, &format!("creating a container: {error}"));
                Err(NotCreated::Failed("a defect".into()))
            }
        }
    }

    async fn admit_and_create(&self, wish: Wish) -> Result<Created, NotCreated> {
        if let Some(key) = &wish.idempotency_key
            && let Some(answer) = self.repeated(wish.owner, key)
        {
            return Ok(answer);
        }
        let settings = &self.0.settings;
        let profile = match &wish.profile {
            None => settings.profiles.get(settings.default_profile),
            Some(name) => settings.profiles.iter().find(|p| p.name == *name),
        };
        let profile = profile
            .ok_or_else(|| NotCreated::Unavailable("no profile has this name".into()))?
            .clone();
        if wish
            .backend
            .as_deref()
            .is_some_and(|kind| kind != self.0.backend.kind())
        {
            return Err(NotCreated::Unavailable(
                "this backend is not configured".into(),
            ));
        }
        let key = match wish.ssh_public_key.as_deref().map(PublicKey::from_openssh) {
            None => None,
            Some(Ok(key)) => Some(key),
            Some(Err(_)) => {
                return Err(NotCreated::Malformed(
                    "ssh_public_key: no OpenSSH public key",
                ));
            }
        };
        self.probe().map_err(NotCreated::Unavailable)?;
        let permit = self
            .0
            .places
            .admit(self.0.cx.clock.now(), wish.owner)
            .map_err(NotCreated::Refused)?;
        self.0.metrics.available.set(f64::from(self.available()));

        let (digests, base) = (self.clone(), self.0.cx.paths.config_dir.clone());
        let of = profile.clone();
        let digest = tokio::task::spawn_blocking(move || digests.0.digests.of(&of, &base)).await;
        let digest = digest
            .map_err(|e| NotCreated::Failed(e.to_string()))
            .and_then(|d| {
                d.map_err(|e| {
                    NotCreated::Unavailable(format!("the image of the profile cannot be read: {e}"))
                })
            })?;

        let began = std::time::Instant::now();
        let (id, username, warm) = match self.take_warm(&profile) {
            Some(warm) => (warm.id, warm.username, Some(warm.guest)),
            None => (ContainerId::random(), new_username(), None),
        };
        let mut building = Building {
            engine: self,
            id,
            guest: warm,
            journaled: false,
        };
        let built = tokio::time::timeout(
            CREATE_WITHIN,
            self.build(&mut building, &wish, profile, username, digest, key, permit),
        )
        .await;
        match built {
            Ok(Ok(created)) => {
                self.0.metrics.created.inc();
                self.0
                    .metrics
                    .start_seconds
                    .observe(began.elapsed().as_secs_f64());
                Ok(created)
            }
            Ok(Err(error)) => {
                building.undo().await;
                if let NotCreated::Failed(reason) = &error {
                    self.failed(Some(id), wish.peer, reason);
                }
                Err(error)
            }
            Err(_) => {
                building.undo().await;
                self.failed(Some(id), wish.peer, "starting took too long");
                Err(NotCreated::Failed("too late".into()))
            }
        }
    }

    fn repeated(&self, owner: Owner, key: &str) -> Option<Created> {
        let all = lock(&self.0.containers);
        all.values().find_map(|c| match &c.idempotency {
            Some((o, k, answer)) if *o == owner && k == key => Some(answer.clone()),
            _ => None,
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one caller; the steps of specs/containers.md 3.1 in order"
    )]
    async fn build(
        &self,
        building: &mut Building<'_>,
        wish: &Wish,
        profile: Profile,
        username: String,
        digest: String,
        key: Option<PublicKey>,
        permit: Permit,
    ) -> Result<Created, NotCreated> {
        let failed = |step: &'static str| {
            move |e: &dyn std::fmt::Display| NotCreated::Failed(format!("{step}: {e}"))
        };
        let id = building.id;
        let settings = &self.0.settings;
        let ttl = wish
            .ttl
            .unwrap_or(settings.ttl)
            .min(settings.ttl_max)
            .max(Duration::from_secs(1));
        let client_token = new_client_token();
        let password = new_password();
        let wall = self.0.cx.clock.wall().unix_ms;
        let expires_ms = wall + ttl.as_millis() as i64;
        let row = Row {
            id,
            state: "starting".into(),
            backend: self.0.backend.kind().into(),
            profile: profile.name.clone(),
            owner: wish.owner,
            token: SecretHash::of(&client_token),
            port: 0,
            created_ms: wall,
            expires_ms,
        };
        if building.guest.is_some() {
            // A warm one has its row from the pool.
            self.0
                .ledger
                .end(id)
                .await
                .map_err(|e| failed("journal")(&e))?;
        }
        self.0
            .ledger
            .begin(row)
            .await
            .map_err(|e| failed("journal")(&e))?;
        building.journaled = true;
        self.fire(Kind::ContainerCreated, Cause::Normal, wish, id)?;

        let guest = match &building.guest {
            Some(warm) => warm.clone(),
            None => {
                let root = profile.root(&self.0.cx.paths.config_dir);
                let spec = Spec {
                    id,
                    username: username.clone(),
                    profile: profile.clone(),
                    root,
                };
                let guest = self.0.backend.create(spec).await.map_err(not_created)?;
                building.guest = Some(guest.clone());
                guest.wait_ready().await.map_err(not_created)?;
                guest
            }
        };
        self.fire(Kind::ContainerStarted, Cause::Normal, wish, id)?;
        // The original configures its guest over a shell; ours is configured as it is made. Embedders see the same.
        for step in [
            Kind::EndpointShellCreated,
            Kind::EndpointShellOpened,
            Kind::EndpointShellClosed,
            Kind::ForwarderCreated,
        ] {
            self.fire(step, Cause::Normal, wish, id)?;
        }
        let (listener, port) = self.listen().await.map_err(|e| failed("port")(&e))?;
        let activity = Activity::new(&self.0.cx.clock);
        let account = Account {
            username: username.clone(),
            password: SecretHash::of(&password),
            key,
        };
        let endpoint = Endpoint::start(listener, guest.clone(), account, activity.clone());
        self.fire(Kind::ForwarderStarted, Cause::Normal, wish, id)?;
        self.0
            .ledger
            .update(id, "running", port, expires_ms)
            .await
            .map_err(|e| failed("journal")(&e))?;

        let created = Created {
            id,
            client_token,
            digest,
            username: username.clone(),
            password,
            port,
            fingerprint: endpoint.fingerprint().to_owned(),
            backend: self.0.backend.kind(),
            profile: profile.name.clone(),
            ttl,
            limits: self.probe().map(|p| p.limits).unwrap_or_default(),
        };
        let container = Arc::new(Container {
            id,
            owner: wish.owner,
            profile: profile.name,
            username,
            port,
            fingerprint: created.fingerprint.clone(),
            created_ms: wall,
            memory_limit: profile.memory_bytes,
            activity,
            guest,
            token: SecretHash::of(&created.client_token),
            endpoint,
            expires: Mutex::new(self.0.cx.clock.now() + ttl),
            paused: AtomicBool::new(false),
            idempotency: wish
                .idempotency_key
                .clone()
                .map(|key| (wish.owner, key, created.clone())),
            gone: CancellationToken::new(),
            _permit: permit,
        });
        lock(&self.0.containers).insert(id, container.clone());
        self.0
            .metrics
            .running
            .set(lock(&self.0.containers).len() as f64);
        // From here on the container is its own; there is nothing to undo.
        building.guest = None;
        building.journaled = false;
        tokio::spawn(self.clone().watch(container));
        Ok(created)
    }

    /// The next free port of the range, bound. Bound first and told then: nobody can take it in between.
    async fn listen(&self) -> std::io::Result<(TcpListener, u16)> {
        let (first, last) = (*self.0.settings.ports.start(), *self.0.settings.ports.end());
        let count = u64::from(last - first) + 1;
        let mut trouble = std::io::Error::other("no port is free");
        for _ in 0..count {
            let n = self.0.next_port.fetch_add(1, Ordering::Relaxed) % count;
            match TcpListener::bind((self.0.settings.bind.ip(), first + n as u16)).await {
                Ok(listener) => {
                    let port = listener.local_addr()?.port();
                    return Ok((listener, port));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => trouble = error,
                Err(error) => return Err(error),
            }
        }
        Err(trouble)
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

    fn take_warm(&self, profile: &Profile) -> Option<Warm> {
        let settings = &self.0.settings;
        let default = settings.profiles.get(settings.default_profile);
        if default != Some(profile) {
            return None;
        }
        lock(&self.0.warm).pop_front()
    }

    /// Keeps the pool filled; ends with the service.
    pub(crate) async fn keep_warm(&self) {
        let settings = &self.0.settings;
        let Some(profile) = settings.profiles.get(settings.default_profile) else {
            return;
        };
        loop {
            let missing = (settings.warm_pool as usize).saturating_sub(lock(&self.0.warm).len());
            if missing > 0 && self.probe().is_ok() {
                match self.warm_up(profile).await {
                    Ok(warm) => lock(&self.0.warm).push_back(warm),
                    Err(error) => self.failed(None, None, &format!("filling the pool: {error}")),
                }
            }
            if missing <= 1 {
                tokio::time::sleep(LOOK_EVERY / 4).await;
            }
        }
    }

    async fn warm_up(&self, profile: &Profile) -> Result<Warm, BackendError> {
        let (id, username) = (ContainerId::random(), new_username());
        let wall = self.0.cx.clock.wall().unix_ms;
        let row = Row {
            id,
            state: "warm".into(),
            backend: self.0.backend.kind().into(),
            profile: profile.name.clone(),
            owner: None,
            token: SecretHash::of(&new_client_token()),
            port: 0,
            created_ms: wall,
            expires_ms: 0,
        };
        self.0
            .ledger
            .begin(row)
            .await
            .map_err(|e| BackendError::new("journal", e))?;
        let mut building = Building {
            engine: self,
            id,
            guest: None,
            journaled: true,
        };
        let root = profile.root(&self.0.cx.paths.config_dir);
        let spec = Spec {
            id,
            username: username.clone(),
            profile: profile.clone(),
            root,
        };
        let started = async {
            let guest = self.0.backend.create(spec).await?;
            building.guest = Some(guest.clone());
            guest.wait_ready().await?;
            Ok(guest)
        };
        match started.await {
            Ok(guest) => Ok(Warm {
                id,
                username,
                guest,
            }),
            Err(error) => {
                building.undo().await;
                Err(error)
            }
        }
    }

    /// Where relative paths of the configuration start.
    #[must_use]
    pub fn config_dir(&self) -> PathBuf {
        self.0.cx.paths.config_dir.clone()
    }
}

fn not_created(error: BackendError) -> NotCreated {
    if error.unavailable {
        NotCreated::Unavailable(error.to_string())
    } else {
        NotCreated::Failed(error.to_string())
    }
}

/// What was built so far, to be undone in reverse order.
struct Building<'a> {
    engine: &'a Engine,
    id: ContainerId,
    guest: Option<Arc<dyn Guest>>,
    journaled: bool,
}

impl Building<'_> {
    async fn undo(self) {
        let mut clean = true;
        if let Some(guest) = self.guest
            && let Err(error) = guest.destroy().await
        {
            tracing::warn!(%error, "undoing a container");
            clean = self.engine.0.backend.sweep(self.id).await.is_ok();
        }
        if self.journaled && clean {
            let _ = self.engine.0.ledger.end(self.id).await;
        }
        self.engine
            .0
            .metrics
            .available
            .set(f64::from(self.engine.available()));
    }
}
