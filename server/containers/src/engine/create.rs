//! From a wish to a container, or to nothing at all.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use leitstand_kit::CancellationToken;
use russh::keys::PublicKey;
use tokio::net::TcpListener;

use super::{Container, Created, Engine, NotCreated, Wish, lock};
use crate::{
    admission::{Owner, Permit},
    backend::{BackendError, Guest, Spec},
    facts::{Cause, Fact, Kind, Verdict},
    id::{ContainerId, SecretHash, new_client_token, new_password, new_username},
    ledger::Row,
    profile::Profile,
    ssh::{Account, Activity, Endpoint},
};

/// From the permit to the answer.
const CREATE_WITHIN: Duration = Duration::from_secs(120);

impl Engine {
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
}

fn not_created(error: BackendError) -> NotCreated {
    if error.unavailable {
        NotCreated::Unavailable(error.to_string())
    } else {
        NotCreated::Failed(error.to_string())
    }
}

/// What was built so far, to be undone in reverse order.
pub(super) struct Building<'a> {
    pub(super) engine: &'a Engine,
    pub(super) id: ContainerId,
    pub(super) guest: Option<Arc<dyn Guest>>,
    pub(super) journaled: bool,
}

impl Building<'_> {
    pub(super) async fn undo(self) {
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
