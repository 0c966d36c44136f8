//! The service: long-lived handles behind the routes, and the instance that runs the engine on them.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use leitstand_core::{machine::Machine as _, time::Instant};
use leitstand_kit::{
    BoxFuture, CancellationToken, Context, Exit, NewEvent, Service, ServiceError, Severity,
    metrics::{Counter, Gauge, Histogram},
};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    SERVICE, api,
    backend::{Backend, Version, sqlite::Database},
    builtin::{self, Builtin},
    config::{BackendKind, Settings},
    engine::{Answer, CallId, Engine, Input, Output, Request, State, TaskId},
    error::{CallError, Kind},
    plugin::{Catalogue, Outcome, Role, Work},
    repl,
    series::{Recorder, SeriesSource},
    typed,
    watch::{WatchState, Watches},
    worker::{self, Pool, Spec},
};

/// Messages that wait for the engine. Reasoning: its own limits refuse long before; this only smooths bursts.
const MESSAGES_MAX: usize = 1024;
/// How often the page gets a new state at most.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);
/// The loop must turn at least this often.
const DEADLINE: Duration = Duration::from_secs(10);
/// Upper bounds of the durations under `/metrics`, in seconds.
const SECONDS: &[f64] = &[0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 60.0];

enum Message {
    Call {
        id: CallId,
        user: String,
        request: Request,
        answer: oneshot::Sender<Result<Answer, CallError>>,
    },
    Engine(Input),
    Model(u64, oneshot::Sender<Option<(String, Arc<[u8]>)>>),
}

/// The model manager. Build it once, hand [`instance`](Self::instance)s to the supervisor.
#[derive(Clone)]
pub struct Models(Arc<Shared>);

struct Shared {
    settings: Settings,
    cx: Context,
    backend: Arc<Backend>,
    recorder: Arc<Recorder>,
    builtin: Arc<Builtin>,
    workers: Option<Arc<Pool>>,
    inputs: mpsc::Sender<Message>,
    receiver: tokio::sync::Mutex<mpsc::Receiver<Message>>,
    state: watch::Sender<Arc<State>>,
    catalogue: Mutex<Catalogue>,
    aliases: Mutex<BTreeMap<String, u64>>,
    watches: Mutex<Watches>,
    next_call: AtomicU64,
    /// Where the repls listen, in the order of the configuration.
    repl_at: Mutex<Vec<SocketAddr>>,
    metrics: Metrics,
}

struct Metrics {
    models: Gauge,
    running: Gauge,
    calls: BTreeMap<&'static str, Histogram>,
    failed: BTreeMap<&'static str, Counter>,
    stored: Counter,
    refused: Counter,
}

impl Metrics {
    fn new(cx: &Context) -> Self {
        let m = &cx.metrics;
        let call = |name| {
            let help = "Duration of calls, from acceptance to answer";
            (
                name,
                m.histogram(
                    "leitstand_models_call_seconds",
                    help,
                    SECONDS,
                    &[("call", name)],
                ),
            )
        };
        let failed = |kind: Kind| {
            let help = "Calls that failed, by kind";
            (
                kind.name(),
                m.counter(
                    "leitstand_models_failed_total",
                    help,
                    &[("kind", kind.name())],
                ),
            )
        };
        Self {
            models: m.gauge("leitstand_models_models", "Models that are kept", &[]),
            running: m.gauge("leitstand_models_running", "Plugin calls that run now", &[]),
            calls: ["create", "fit", "predict", "other"]
                .into_iter()
                .map(call)
                .collect(),
            failed: Kind::ALL.into_iter().map(failed).collect(),
            stored: m.counter(
                "leitstand_models_stored_total",
                "Writes to the backend",
                &[],
            ),
            refused: m.counter(
                "leitstand_models_logins_refused_total",
                "Refused logins",
                &[],
            ),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Models {
    /// Opens the backend and prepares everything else. `host`: this program, which limits Python workers.
    ///
    /// # Errors
    /// The backend cannot be opened (exit 3).
    pub fn open(
        cx: &Context,
        settings: Settings,
        series: Arc<dyn SeriesSource>,
        host: Option<PathBuf>,
    ) -> Result<Self, ServiceError> {
        let refuse = |what: &str| ServiceError::fatal(Exit::RuntimeInformation, what.to_owned());
        let backend = match settings.backend.kind {
            BackendKind::Dummy => Backend::Dummy(AtomicU64::new(0)),
            BackendKind::Sqlite => {
                let path = cx.paths.state.join(&settings.backend.path);
                Backend::Sqlite(
                    Database::open(&path)
                        .map_err(|e| refuse("opening the model database").because(e))?,
                )
            }
        };
        let aliases = backend
            .aliases()
            .map_err(|e| refuse("reading the model database").because(e))?;
        let recorder = Arc::new(Recorder::new(series));
        let builtin = Builtin {
            series: recorder.clone(),
            files: cx.paths.config_dir.clone(),
        };
        let workers = (!settings.plugins.python.is_empty())
            .then(|| Arc::new(Pool::new(worker_spec(cx, &settings, host))));
        let (inputs, receiver) = mpsc::channel(MESSAGES_MAX);
        let watches = Watches::new(&settings.watches);
        Ok(Self(Arc::new(Shared {
            metrics: Metrics::new(cx),
            cx: cx.clone(),
            backend: Arc::new(backend),
            recorder,
            builtin: Arc::new(builtin),
            workers,
            inputs,
            receiver: tokio::sync::Mutex::new(receiver),
            state: watch::Sender::new(Arc::default()),
            catalogue: Mutex::default(),
            aliases: Mutex::new(aliases.into_iter().collect()),
            watches: Mutex::new(watches),
            next_call: AtomicU64::new(1),
            repl_at: Mutex::default(),
            settings,
        })))
    }

    /// One run of the service.
    #[must_use]
    pub fn instance(&self) -> Box<dyn Service> {
        Box::new(Instance(self.clone()))
    }

    /// Asks the engine. Dropping the future does not cancel the call.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&self, user: &str, request: Request) -> Result<Answer, CallError> {
        self.call_as(self.new_call(), user, request).await
    }

    /// A number for [`call_as`](Self::call_as), by which the call can be cancelled ([`Request::CancelCall`]).
    #[must_use]
    pub fn new_call(&self) -> CallId {
        CallId(self.0.next_call.fetch_add(1, Ordering::Relaxed))
    }

    /// As [`call`](Self::call), with a number of the caller's.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_as(
        &self,
        id: CallId,
        user: &str,
        request: Request,
    ) -> Result<Answer, CallError> {
        let began = std::time::Instant::now();
        let name = match &request {
            Request::Create { .. } => "create",
            Request::Fit { .. } => "fit",
            Request::Predict { .. } => "predict",
            _ => "other",
        };
        let result = self.ask(id, user, request).await;
        if let Some(histogram) = self.0.metrics.calls.get(name) {
            histogram.observe(began.elapsed().as_secs_f64());
        }
        if let Err(error) = &result
            && let Some(counter) = self.0.metrics.failed.get(error.kind.name())
        {
            counter.inc();
        }
        result
    }

    async fn ask(&self, id: CallId, user: &str, request: Request) -> Result<Answer, CallError> {
        match &request {
            Request::Create { arguments, .. }
            | Request::Fit { arguments, .. }
            | Request::Predict { arguments, .. } => {
                arguments.args.iter().try_for_each(typed::check)?;
                arguments.kwargs.values().try_for_each(typed::check)?;
            }
            Request::Add { model_type, bytes }
            | Request::Update {
                model_type, bytes, ..
            } => {
                builtin::check_bytes(model_type, bytes)?;
            }
            Request::Remove { .. } | Request::Cancel { .. } | Request::CancelCall(_) => {}
        }
        let stopping = |_| CallError::new(Kind::Unavailable, "the model service is stopping");
        let (answer, answered) = oneshot::channel();
        let message = Message::Call {
            id,
            user: user.to_owned(),
            request,
            answer,
        };
        self.0
            .inputs
            .send(message)
            .await
            .map_err(|_| stopping(()))?;
        answered.await.map_err(|_| stopping(()))?
    }

    /// The document, and every later one.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Arc<State>> {
        self.0.state.subscribe()
    }

    /// Type and bytes of a model.
    pub async fn model(&self, id: u64) -> Option<(String, Arc<[u8]>)> {
        let (answer, answered) = oneshot::channel();
        self.0.inputs.send(Message::Model(id, answer)).await.ok()?;
        answered.await.ok()?
    }

    /// Every model type that can be created.
    #[must_use]
    pub fn types(&self) -> Vec<String> {
        let catalogue = lock(&self.0.catalogue);
        let creates = catalogue
            .iter()
            .filter(|(role, ..)| *role == Role::Instantiate);
        creates.map(|(_, key, _)| key.to_owned()).collect()
    }

    /// A model by number or alias.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<u64> {
        let id = name
            .parse()
            .ok()
            .or_else(|| lock(&self.0.aliases).get(name).copied())?;
        self.0.state.borrow().models.contains_key(&id).then_some(id)
    }

    /// All aliases.
    #[must_use]
    pub fn aliases(&self) -> BTreeMap<String, u64> {
        lock(&self.0.aliases).clone()
    }

    /// Gives a model another name (`None` takes the name away).
    ///
    /// # Errors
    /// The backend refused.
    pub async fn set_alias(&self, alias: &str, id: Option<u64>) -> Result<(), CallError> {
        let (backend, name) = (self.0.backend.clone(), alias.to_owned());
        blocking(move || backend.set_alias(&name, id)).await?;
        match id {
            Some(id) => lock(&self.0.aliases).insert(alias.to_owned(), id),
            None => lock(&self.0.aliases).remove(alias),
        };
        Ok(())
    }

    /// Kept versions, newest first.
    ///
    /// # Errors
    /// The backend refused.
    pub async fn versions(&self, id: u64) -> Result<Vec<Version>, CallError> {
        let backend = self.0.backend.clone();
        blocking(move || backend.versions(id)).await
    }

    /// The bytes of a kept version.
    ///
    /// # Errors
    /// The backend refused.
    pub async fn version(&self, id: u64, version: u64) -> Result<Option<Arc<[u8]>>, CallError> {
        let backend = self.0.backend.clone();
        blocking(move || backend.version(id, version)).await
    }

    /// What the watches say.
    #[must_use]
    pub fn watches(&self) -> Vec<WatchState> {
        lock(&self.0.watches).states()
    }

    /// Where the repls listen, once the service runs.
    #[must_use]
    pub fn repl_addresses(&self) -> Vec<SocketAddr> {
        lock(&self.0.repl_at).clone()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0.cx
    }

    pub(crate) fn now(&self) -> Instant {
        self.0.cx.clock.now()
    }

    pub(crate) fn tell_refused(&self, user: &str, peer: SocketAddr) {
        self.0.metrics.refused.inc();
        let event = NewEvent::new(SERVICE, "LoginRefused").severity(Severity::Warning);
        let text = format!("{peer} could not log in as {user:?}");
        drop(
            self.0.cx.events.record(
                event
                    .text(text)
                    .data(json!({"user": user, "peer": peer.ip().to_string()})),
            ),
        );
    }

    /// Runs one plugin call, wherever its plugin lives.
    async fn run_work(
        &self,
        work: Work,
        progress: &(dyn Fn(serde_json::Value) + Send + Sync),
        stop: CancellationToken,
    ) -> Result<Outcome, CallError> {
        let mut outcome =
            if self.0.settings.plugins.builtin && builtin::serves(work.role, &work.key) {
                let builtin = self.0.builtin.clone();
                let run = move || builtin.run(work, &|| stop.is_cancelled());
                let panicked = |_| CallError::new(Kind::Plugin, "the plugin panicked");
                tokio::task::spawn_blocking(run).await.map_err(panicked)??
            } else if let Some(workers) = &self.0.workers {
                workers.run(work, progress, &stop).await?
            } else {
                return Err(CallError::new(Kind::NotFound, work.role.missing(&work.key)));
            };
        outcome.value = typed::settle(outcome.value, self.0.settings.null_instead)?;
        Ok(outcome)
    }

    /// Everything that a page shows, as JSON.
    fn frame(&self) -> String {
        let state = self.0.state.borrow().clone();
        let mut frame = serde_json::to_value(&*state).unwrap_or_default();
        frame["watches"] = serde_json::to_value(self.watches()).unwrap_or_default();
        frame["aliases"] = json!(self.aliases());
        frame.to_string()
    }
}

async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, crate::backend::BackendError> + Send + 'static,
) -> Result<T, CallError> {
    let failed = |text: String| CallError::new(Kind::Storage, text);
    let done = tokio::task::spawn_blocking(job)
        .await
        .map_err(|e| failed(e.to_string()))?;
    done.map_err(|e| failed(e.to_string()))
}

fn worker_spec(cx: &Context, settings: &Settings, host: Option<PathBuf>) -> Spec {
    let plugins = &settings.plugins;
    let folder = |path: &String| cx.paths.config_dir.join(path).display().to_string();
    Spec {
        host,
        command: plugins.python_command.clone(),
        script: cx.paths.state.join("plugin_worker.py"),
        modules: plugins.python.clone(),
        path: plugins.python_path.iter().map(folder).collect(),
        directory: cx.paths.config_dir.clone(),
        memory_mib: plugins.worker_memory_mib,
        cpu_s: plugins.worker_cpu_s,
        sigterm_timeout: settings.sigterm_timeout,
    }
}

/// One run.
struct Instance(Models);

impl Service for Instance {
    fn name(&self) -> &'static str {
        SERVICE
    }

    fn routes(&self) -> OpenApiRouter {
        api::routes(&self.0)
    }

    fn run(self: Box<Self>, cx: Context) -> BoxFuture<'static, Result<(), ServiceError>> {
        Box::pin(async move { Run::start(self.0, cx).await?.turn().await })
    }
}

/// The engine and what surrounds it while it runs.
struct Run {
    models: Models,
    cx: Context,
    engine: Engine,
    answers: BTreeMap<CallId, oneshot::Sender<Result<Answer, CallError>>>,
    stops: BTreeMap<TaskId, CancellationToken>,
    /// Dropped, and so ended, with this.
    tasks: tokio::task::JoinSet<()>,
}

impl Run {
    async fn start(models: Models, cx: Context) -> Result<Self, ServiceError> {
        let shared = &models.0;
        let mut catalogue = Catalogue::default();
        if shared.settings.plugins.builtin {
            builtin::register(&mut catalogue);
        }
        if let Some(workers) = &shared.workers {
            let script = cx.paths.state.join("plugin_worker.py");
            std::fs::write(&script, worker::SCRIPT).map_err(|e| {
                ServiceError::retry(format!("writing {}", script.display())).because(e)
            })?;
            // Built-in models work without Python; what needs it says why it does not.
            if let Err(error) = workers.discover(&mut catalogue).await {
                let event = NewEvent::new(SERVICE, "PluginsFailed").severity(Severity::Fault);
                drop(cx.events.record(event.text(error.message)));
            }
        }
        *lock(&shared.catalogue) = catalogue.clone();
        let backend = shared.backend.clone();
        let stored = blocking(move || backend.load()).await;
        let stored =
            stored.map_err(|e| ServiceError::retry("reading the model database").because(e))?;
        let wall = cx.clock.wall().unix_ms;
        let zero = wall - i64::try_from(cx.clock.now().as_millis()).unwrap_or(0);
        let engine = Engine::new(shared.settings.limits.clone(), zero, stored, catalogue);
        shared.state.send_replace(Arc::new(engine.state().clone()));
        let mut tasks = tokio::task::JoinSet::new();
        lock(&shared.repl_at).clear();
        for settings in &shared.settings.repl {
            let listener = TcpListener::bind(settings.bind).await.map_err(|e| {
                ServiceError::fatal(
                    Exit::AddressInUse,
                    format!("listening on {}", settings.bind),
                )
                .because(e)
            })?;
            if let Ok(at) = listener.local_addr() {
                lock(&shared.repl_at).push(at);
                // Like the HTTP port: whoever asked for port 0 must learn which it became.
                let _ = writeln!(std::io::stdout(), "Models repl on ws://{at}/");
                let event =
                    NewEvent::new(SERVICE, "ReplOpened").text(format!("the repl listens on {at}"));
                drop(
                    cx.events
                        .record(event.data(json!({"address": at.to_string()}))),
                );
            }
            tasks.spawn(repl::server::serve(
                models.clone(),
                settings.clone(),
                listener,
            ));
        }
        tasks.spawn(crate::watch::run(models.clone(), cx.clone()));
        tasks.spawn(publish(models.clone()));
        Ok(Self {
            models,
            cx,
            engine,
            answers: BTreeMap::new(),
            stops: BTreeMap::new(),
            tasks,
        })
    }

    async fn turn(mut self) -> Result<(), ServiceError> {
        let heartbeat = self.cx.health.watch(SERVICE, "engine", DEADLINE);
        let shared = self.models.0.clone();
        let mut receiver = shared.receiver.lock().await;
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        loop {
            while let Some(output) = self.engine.poll_output() {
                self.emit(output);
            }
            tokio::select! {
                biased;
                () = self.cx.stop.cancelled() => break,
                Some(message) = receiver.recv() => self.take(message),
                () = self.cx.clock.sleep_until(self.engine.poll_timeout()) => {
                    self.engine.handle_timeout(self.cx.clock.now());
                }
                _ = beat.tick() => heartbeat.beat(),
                Some(_) = self.tasks.join_next() => {}
            }
        }
        // Running plugins are stopped with their tasks; what is being stored is finished by its thread.
        self.tasks.shutdown().await;
        if let Some(workers) = &shared.workers {
            workers.clear();
        }
        heartbeat.finish();
        Ok(())
    }

    fn take(&mut self, message: Message) {
        let now = self.cx.clock.now();
        match message {
            Message::Call {
                id,
                user,
                request,
                answer,
            } => {
                self.answers.insert(id, answer);
                self.engine.handle(now, Input::Call { id, user, request });
            }
            Message::Engine(input) => {
                if let Input::Ended(task, _) = &input {
                    self.stops.remove(task);
                    self.models.0.metrics.running.set(self.stops.len() as f64);
                }
                self.engine.handle(now, input);
            }
            Message::Model(id, answer) => {
                let model = self
                    .engine
                    .model(id)
                    .map(|(kind, bytes)| (kind.to_owned(), bytes.clone()));
                let _ = answer.send(model);
            }
        }
    }

    fn emit(&mut self, output: Output) {
        let shared = self.models.0.clone();
        match output {
            Output::Run(task, work) => {
                let stop = CancellationToken::new();
                self.stops.insert(task, stop.clone());
                shared.metrics.running.set(self.stops.len() as f64);
                let models = self.models.clone();
                self.tasks.spawn(async move {
                    let progress = |value| {
                        // Progress may be lost when the engine is busy; results are not.
                        let _ = shared
                            .inputs
                            .try_send(Message::Engine(Input::Progress(task, value)));
                    };
                    let result = models.run_work(work, &progress, stop).await;
                    let _ = shared
                        .inputs
                        .send(Message::Engine(Input::Ended(task, result)))
                        .await;
                });
            }
            Output::Stop(task) => {
                if let Some(stop) = self.stops.get(&task) {
                    stop.cancel();
                }
            }
            Output::Store(ticket, store) => {
                shared.metrics.stored.inc();
                let unix_ms = self.cx.clock.wall().unix_ms;
                let backend = shared.backend.clone();
                // Not among the tasks: a write that began is finished, also at a stop.
                tokio::spawn(async move {
                    let done =
                        tokio::task::spawn_blocking(move || backend.apply(&store, unix_ms)).await;
                    let result = match done {
                        Ok(result) => result.map_err(|e| e.to_string()),
                        Err(error) => Err(error.to_string()),
                    };
                    let _ = shared
                        .inputs
                        .send(Message::Engine(Input::Stored(ticket, result)))
                        .await;
                });
            }
            Output::Answer(call, result) => {
                if let Some(answer) = self.answers.remove(&call) {
                    let _ = answer.send(result);
                }
            }
            Output::Publish(state) => {
                shared.metrics.models.set(state.models.len() as f64);
                shared.state.send_replace(state);
            }
        }
    }
}

/// Sends the state to the pages, at a human pace.
async fn publish(models: Models) {
    let mut state = models.follow();
    let mut watched = tokio::time::interval(Duration::from_secs(1));
    loop {
        let frame = models.frame();
        models.0.cx.frames.publish(SERVICE, frame);
        tokio::time::sleep(PUBLISH_EVERY).await;
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            _ = watched.tick() => {}
        }
    }
}

impl Models {
    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        &self.0.recorder
    }

    pub(crate) fn with_watches<T>(&self, change: impl FnOnce(&mut Watches) -> T) -> T {
        change(&mut lock(&self.0.watches))
    }
}
