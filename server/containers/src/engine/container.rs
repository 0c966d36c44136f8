//! What is asked for, what is given for it, what runs, and why it ends.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use leitstand_core::time::Instant;
use leitstand_kit::CancellationToken;
use serde_json::{Value, json};

use super::lock;
use crate::{
    admission::{Owner, Permit, Refusal},
    backend::Guest,
    facts::Cause,
    id::{ContainerId, SecretHash},
    ssh::{Activity, Endpoint},
    wire::response::Response,
};

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

    pub(super) const fn cause(self) -> Cause {
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
    pub(super) token: SecretHash,
    pub(super) endpoint: Endpoint,
    pub(super) expires: Mutex<Instant>,
    pub(super) paused: AtomicBool,
    pub(super) idempotency: Option<(Owner, String, Created)>,
    pub(super) gone: CancellationToken,
    pub(super) _permit: Permit,
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
