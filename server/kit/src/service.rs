//! The trait that a service implements, and what it is given.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

pub use futures_util::future::BoxFuture;

use crate::{Clock, Events, Frames, Health, Metrics, Store, auth::access::Caller, events::Pending};

/// One part of the gateway.
pub trait Service: Send {
    /// URL prefix, log span, section of the configuration, name in events and health. Lower case.
    fn name(&self) -> &'static str;

    /// The routes with their full paths (`/api/v1/<name>/...`). Asked once, of the first instance only: they
    /// must hold long-lived handles (`Arc`, `watch`, `mpsc`) that later instances attach to.
    fn routes(&self) -> OpenApiRouter;

    /// Runs until `cx.stop` fires, then returns `Ok`. An early `Ok` counts as a failure and is restarted.
    fn run(self: Box<Self>, cx: Context) -> BoxFuture<'static, Result<(), ServiceError>>;
}

/// Exit codes of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 1: a defect of the program.
    Internal = 1,
    /// 2: the configuration.
    Configuration = 2,
    /// 3: the runtime information; both generations are unreadable.
    RuntimeInformation = 3,
    /// 4: a bus or board is missing.
    Hardware = 4,
    /// 5: somebody else listens at the address.
    AddressInUse = 5,
}

/// Why a service ended.
#[derive(Debug)]
pub struct ServiceError {
    message: String,
    fatal: Option<Exit>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ServiceError {
    /// A failure that a restart may cure.
    pub fn retry(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            fatal: None,
            source: None,
        }
    }

    /// A failure that no restart cures: the whole process stops with `exit`.
    pub fn fatal(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            fatal: Some(exit),
            source: None,
        }
    }

    /// Adds the cause below.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The exit code when no restart helps.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        self.fatal
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ServiceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

/// Where a service reads and writes.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The state directory; everything the gateway writes is below it.
    pub state: PathBuf,
    /// The folder of the configuration file; relative paths that are read start here.
    pub config_dir: PathBuf,
}

/// What the site is called, for pages and events.
#[derive(Clone, Debug)]
pub struct Site {
    /// Display name.
    pub name: String,
    /// `en` or `de`.
    pub language: String,
    /// True when the far side is simulated; every page then says so.
    pub simulated: bool,
}

/// All handles that a service gets. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Monotonic and wall time.
    pub clock: Clock,
    /// The journal.
    pub events: Events,
    /// The database.
    pub store: Store,
    /// Heartbeats of loops.
    pub health: Health,
    /// Counters and gauges.
    pub metrics: Metrics,
    /// Fires when this instance shall stop: at shutdown, and before a restart.
    pub stop: CancellationToken,
    /// State directory and configuration folder.
    pub paths: Paths,
    /// Name, language, simulated.
    pub site: Arc<Site>,
    /// Latest states for live pages.
    pub frames: Frames,
}

impl Context {
    /// Opens everything below `paths.state`. A database that cannot be opened degrades to memory and shows in
    /// the health; it is not an error.
    ///
    /// # Errors
    /// The state directory cannot be created or written: exit 3.
    pub fn open(
        paths: Paths,
        site: Site,
        clock: Clock,
        stop: CancellationToken,
    ) -> Result<Self, ServiceError> {
        let _ = (paths, site, clock, stop);
        todo!()
    }

    /// A context with a real clock on a directory that the test owns.
    ///
    /// # Panics
    /// When the directory cannot be written.
    #[must_use]
    pub fn for_tests(dir: &Path) -> Self {
        let _ = dir;
        todo!()
    }

    /// The same with a clock that only the test moves.
    #[must_use]
    pub fn for_tests_with(dir: &Path, clock: Clock) -> Self {
        let _ = (dir, clock);
        todo!()
    }

    /// Records who changed what (kind `Audited`). `what` is a verb phrase such as `"output.set horn_1"`.
    pub fn audit(
        &self,
        service: &'static str,
        caller: &Caller,
        what: &str,
        before: Value,
        after: Value,
    ) -> Pending {
        let _ = (service, caller, what, before, after);
        todo!()
    }
}
