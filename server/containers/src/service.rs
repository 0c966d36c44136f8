//! The service: long-lived handles behind the routes, and the instance that runs on them.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use leitstand_kit::{
    BoxFuture, Context, Exit, Service, ServiceError, health::Level, supervisor::Plan,
};
use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    SERVICE, api,
    backend::{Backend, mock::Mock},
    config::{BackendChoice, Settings},
    engine::Engine,
    facts::{Cause, Fact, Kind},
    job::{Job, Jobs},
    tcp::Door,
    verbs::Verbs,
    view::{JobView, StateView},
    wire::crypto::OwnKey,
};

/// How often the state is published.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// The main loop turns at least this often.
const LOOP_DEADLINE: Duration = Duration::from_secs(10);
/// From SIGTERM to the end of the last container.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// The service: build it once, hand [`instance`](Self::instance)s to the supervisor.
#[derive(Clone)]
pub struct Containers(Arc<Shared>);

/// What routes and instances share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) verbs: Verbs,
    bound: Mutex<Option<SocketAddr>>,
    fingerprint: Mutex<Option<String>>,
    pub(crate) job: Mutex<Option<JobView>>,
    show_job: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn view(&self) -> StateView {
        let bind = lock(&self.bound)
            .unwrap_or(self.engine.settings().bind)
            .to_string();
        StateView::new(
            &self.engine,
            bind,
            lock(&self.fingerprint).clone(),
            lock(&self.job).clone(),
        )
    }
}

impl Containers {
    /// Prepares the service. `helper` is the program that is started as `helper container-init`: this one.
    ///
    /// # Errors
    /// The database refused.
    pub fn new(cx: &Context, settings: Settings, helper: PathBuf) -> Result<Self, ServiceError> {
        let backend: Arc<dyn Backend> = match settings.backend {
            BackendChoice::Mock => Arc::new(Mock::default()),
            BackendChoice::Ns => {
                // A word of this state directory: gateways on one machine must not take each other's containers.
                let state = cx
                    .paths
                    .state
                    .canonicalize()
                    .unwrap_or_else(|_| cx.paths.state.clone());
                let tag = crate::id::SecretHash::of(&state.display().to_string()).hex();
                Arc::new(crate::ns::Namespaces::new(
                    helper,
                    &tag[..8],
                    cx.paths.config_dir.clone(),
                ))
            }
        };
        Self::with_backend(cx, settings, backend)
    }

    /// The same with a backend of the caller's.
    ///
    /// # Errors
    /// The database refused.
    pub fn with_backend(
        cx: &Context,
        settings: Settings,
        backend: Arc<dyn Backend>,
    ) -> Result<Self, ServiceError> {
        let engine = Engine::new(cx, settings, backend)
            .map_err(|e| ServiceError::retry("the tables of the containers service").because(e))?;
        let shared = Shared {
            verbs: Verbs::new(engine.clone()),
            engine,
            bound: Mutex::default(),
            fingerprint: Mutex::default(),
            job: Mutex::default(),
            show_job: AtomicBool::new(false),
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Runs a small sandboxed job at each start and shows its output on the page: for a demonstration.
    pub fn show_job(&self) {
        self.0.show_job.store(true, Ordering::Relaxed);
    }

    /// Sandboxed jobs, for other services.
    #[must_use]
    pub fn jobs(&self) -> Jobs {
        Jobs::new(self.0.engine.clone())
    }

    /// For the supervisor. A stop gives containers time to end.
    #[must_use]
    pub fn into_plan(self) -> Plan {
        Plan::new(move || self.instance()).stop_within(STOP_WITHIN)
    }

    /// One run of the service.
    #[must_use]
    pub fn instance(&self) -> Box<dyn Service> {
        Box::new(Instance(self.0.clone()))
    }

    /// Verbs, for embedders.
    #[must_use]
    pub fn verbs(&self) -> &Verbs {
        &self.0.verbs
    }

    /// Where the classic protocol is served, once it is.
    #[must_use]
    pub fn bound(&self) -> Option<SocketAddr> {
        *lock(&self.0.bound)
    }
}

struct Instance(Arc<Shared>);

impl Service for Instance {
    fn name(&self) -> &'static str {
        SERVICE
    }

    fn routes(&self) -> OpenApiRouter {
        api::routes(self.0.clone())
    }

    fn run(self: Box<Self>, cx: Context) -> BoxFuture<'static, Result<(), ServiceError>> {
        Box::pin(run(self.0, cx))
    }
}

async fn run(shared: Arc<Shared>, cx: Context) -> Result<(), ServiceError> {
    let engine = &shared.engine;
    let settings = engine.settings();
    let listener = TcpListener::bind(settings.bind).await.map_err(|e| {
        let message = format!("containers: listening at {}", settings.bind);
        match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                ServiceError::fatal(Exit::AddressInUse, message).because(e)
            }
            _ => ServiceError::retry(message).because(e),
        }
    })?;
    *lock(&shared.bound) = listener.local_addr().ok();
    let (path, bits) = (cx.paths.state.join("containers-rsa.pem"), settings.rsa_bits);
    let key = tokio::task::spawn_blocking(move || OwnKey::load_or_generate(&path, bits)).await;
    let key = key
        .map_err(|e| ServiceError::retry("making the RSA key").because(e))?
        .map_err(|e| ServiceError::retry("the RSA key of the classic protocol").because(e))?;
    *lock(&shared.fingerprint) = Some(key.fingerprint());

    engine.start().await.map_err(ServiceError::retry)?;
    match engine.probe() {
        Ok(probe) if probe.notes.is_empty() => cx.health.set(SERVICE, Level::Good, None),
        Ok(probe) => tracing::info!("containers: {}", probe.notes.join("; ")),
        Err(reason) => cx.health.set(
            SERVICE,
            Level::Degraded,
            Some(&format!("no containers here: {reason}")),
        ),
    }
    drop(
        engine
            .facts()
            .fire(Fact::new(Kind::ServerStarted, Cause::Normal)),
    );

    let web = match &settings.web {
        Some(web) => {
            Some(crate::web::Web::bind(shared.verbs.clone(), web, &cx.paths.config_dir).await?)
        }
        None => None,
    };
    let served = async {
        match web {
            Some(web) => web.serve().await,
            None => std::future::pending().await,
        }
    };
    let door = Door::new(shared.verbs.clone(), Arc::new(key));
    let heartbeat = cx.health.critical(SERVICE, "state", LOOP_DEADLINE);
    let publish = async {
        loop {
            heartbeat.beat();
            if let Ok(json) = serde_json::to_string(&shared.view()) {
                cx.frames.publish(SERVICE, json);
            }
            tokio::time::sleep(PUBLISH_EVERY).await;
        }
    };
    let job = async {
        if shared.show_job.load(Ordering::Relaxed) {
            let job = Job {
                command: "uname -sm; id -un; ls /".into(),
                ..Job::default()
            };
            match Jobs::new(engine.clone()).run(job).await {
                Ok(done) => *lock(&shared.job) = Some(done),
                Err(error) => tracing::info!("containers: the demonstration's job: {error}"),
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        () = cx.stop.cancelled() => {}
        () = job => {}
        () = door.serve(&listener) => {}
        () = served => {}
        () = engine.keep_warm() => {}
        () = publish => {}
    }
    drop(listener);
    engine.stop().await;
    drop(
        engine
            .facts()
            .fire(Fact::new(Kind::ServerStopped, Cause::Normal)),
    );
    heartbeat.finish();
    Ok(())
}
