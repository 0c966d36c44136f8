//! The trait that a service implements, and what it is given.

use std::{
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    Clock, Events, Frames, Health, Metrics, NewEvent, Severity, Store, auth::access::Caller,
    events::Pending, history::Recorder,
};

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
    /// Takes readings to be kept.
    pub history: Recorder,
}

impl Context {
    /// Opens everything below `paths.state`. A database that cannot be opened degrades to memory and shows in
    /// the health; it is not an error. Blocks; call it before the runtime is busy.
    ///
    /// # Errors
    /// The state directory cannot be created or is not writable: exit 3.
    pub fn open(
        paths: Paths,
        site: Site,
        clock: Clock,
        stop: CancellationToken,
    ) -> Result<Self, ServiceError> {
        let refuse = |source: io::Error| {
            let message = format!(
                "the state directory {} cannot be written",
                paths.state.display()
            );
            ServiceError::fatal(Exit::RuntimeInformation, message).because(source)
        };
        fs::create_dir_all(&paths.state).map_err(refuse)?;
        let probe = paths.state.join(".writable");
        fs::write(&probe, b"")
            .and_then(|()| fs::remove_file(&probe))
            .map_err(refuse)?;

        let health = Health::new(clock.clone());
        let metrics = Metrics::default();
        let store = Store::open(&paths.state, &health);
        let events = Events::open(&store, &clock, &metrics);
        let report = health.report();
        let trouble = report
            .services
            .iter()
            .find(|s| s.name == "store")
            .and_then(|s| s.note.clone());
        if let Some(trouble) = trouble {
            drop(
                events.record(
                    NewEvent::new("store", "DatabaseDegraded")
                        .severity(Severity::Fault)
                        .text(trouble),
                ),
            );
        }
        let history = Recorder::open(&store, &metrics);
        Ok(Self {
            clock,
            events,
            store,
            health,
            metrics,
            stop,
            paths,
            site: Arc::new(site),
            frames: Frames::default(),
            history,
        })
    }

    /// A context with a real clock on a directory that the test owns.
    ///
    /// # Panics
    /// When the directory cannot be written.
    #[must_use]
    pub fn for_tests(dir: &Path) -> Self {
        Self::for_tests_with(dir, Clock::real())
    }

    /// The same with a clock that only the test moves.
    ///
    /// # Panics
    /// When the directory cannot be written.
    #[must_use]
    pub fn for_tests_with(dir: &Path, clock: Clock) -> Self {
        let paths = Paths {
            state: dir.to_owned(),
            config_dir: dir.to_owned(),
        };
        let site = Site {
            name: "Test".into(),
            language: "en".into(),
            simulated: true,
        };
        match Self::open(paths, site, clock, CancellationToken::new()) {
            Ok(cx) => cx,
            Err(error) => panic!("{error}: {:?}", error.source()),
        }
    }

    /// The same handles with another stop token.
    #[must_use]
    pub fn with_stop(&self, stop: CancellationToken) -> Self {
        Self {
            stop,
            ..self.clone()
        }
    }

    /// Records who changed what (kind `Audited`): `actor` is the caller, `data` is
    /// `{"what", "via", "role", "before", "after"}`. `what` is a verb phrase such as `"output.set horn_1"`.
    pub fn audit(
        &self,
        service: &'static str,
        caller: &Caller,
        what: &str,
        before: Value,
        after: Value,
    ) -> Pending {
        self.events.record(
            NewEvent::new(service, "Audited")
                .text(what)
                .actor(&caller.name)
                .data(json!({
                    "what": what, "via": caller.via, "role": caller.role, "before": before, "after": after,
                })),
        )
    }
}

impl Paths {
    /// Claims the state directory for this process until the answer is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// Another gateway runs on it (exit 3), or the directory cannot be written.
    pub fn lock(&self) -> Result<StateLock, ServiceError> {
        let path = self.state.join("lock");
        let refuse = |message: String| ServiceError::fatal(Exit::RuntimeInformation, message);
        let name = path.display();
        let file = fs::create_dir_all(&self.state)
            .and_then(|()| fs::File::create(&path))
            .map_err(|e| refuse(format!("{name} cannot be created")).because(e))?;
        match file.try_lock() {
            Ok(()) => Ok(StateLock(file)),
            Err(fs::TryLockError::WouldBlock) => Err(refuse(format!(
                "another gateway runs on {}",
                self.state.display()
            ))),
            Err(fs::TryLockError::Error(e)) => {
                Err(refuse(format!("{name} cannot be locked")).because(e))
            }
        }
    }
}

/// The state directory is ours while this lives.
#[derive(Debug)]
pub struct StateLock(#[expect(dead_code, reason = "held for its lock")] fs::File);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_write_is_audited_with_who_what_before_and_after() {
        let dir = tempfile::tempdir().unwrap();
        let cx = Context::for_tests(dir.path());
        let caller = Caller {
            name: "erika".into(),
            role: crate::auth::Role::Engineer,
            via: crate::auth::Via::Token,
        };
        cx.audit(
            "gas",
            &caller,
            "output.set horn",
            json!("auto"),
            json!("off"),
        )
        .await
        .unwrap();
        let page = cx
            .events
            .query(crate::events::Filter::default())
            .await
            .unwrap();
        let entry = &page.items[0];
        assert_eq!(
            (entry.service.as_str(), entry.kind.as_str()),
            ("gas", "Audited")
        );
        assert_eq!(entry.actor.as_deref(), Some("erika"));
        let expected = json!({
            "what": "output.set horn", "via": "token", "role": "engineer", "before": "auto", "after": "off",
        });
        assert_eq!(entry.data, expected);
    }

    #[tokio::test]
    async fn a_damaged_database_is_journaled_in_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join(crate::store::FILE_NAME),
            "no database at all ".repeat(300),
        )
        .unwrap();
        let cx = Context::for_tests(dir.path());
        cx.events.flush().await;
        let page = cx
            .events
            .query(crate::events::Filter::default())
            .await
            .unwrap();
        assert_eq!(page.items[0].kind, "DatabaseDegraded");
        assert!(
            page.items[0].text.contains("leitstand.db.bad"),
            "{}",
            page.items[0].text
        );
    }

    #[test]
    fn two_gateways_cannot_share_a_state_directory() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths {
            state: dir.path().join("new"),
            config_dir: dir.path().to_owned(),
        };
        let lock = paths.lock().unwrap();
        assert_eq!(
            paths.lock().unwrap_err().exit(),
            Some(Exit::RuntimeInformation)
        );
        drop(lock);
        paths.lock().unwrap();
    }

    #[test]
    fn a_state_directory_that_is_a_file_is_refused_with_exit_3() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("file");
        fs::write(&state, "").unwrap();
        let paths = Paths {
            state,
            config_dir: dir.path().to_owned(),
        };
        let site = Site {
            name: String::new(),
            language: "en".into(),
            simulated: false,
        };
        let error = Context::open(paths, site, Clock::real(), CancellationToken::new())
            .err()
            .unwrap();
        assert_eq!(error.exit(), Some(Exit::RuntimeInformation));
    }
}
