//! An instance from its start to its end.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use leitstand_kit::{Context, Exit, ServiceError};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, JoinSet},
};

use super::{Admin, ModuleRecord, Refusal, Shared};
use crate::{
    SERVICE,
    car::{CarHandle, CarTask, INPUTS_MAX, Note, offers},
    config::{Builtin, CarSettings, Isolation, ModuleSettings, Origin},
    hub::{Ask, Hub},
    module::{
        Example, Transparent,
        backlog::Backlog,
        host::{HostArgs, News, Process},
        inline::Inline,
        lane::{Admission, Counts, Lane, Opened},
        runner::{self, OffersOf, Runner, lock},
    },
    mqtt::{
        Endpoint, Publish, Tls,
        broker::{self, Broker},
        client::Client,
        rights::Rights,
    },
    name::CarName,
    session::Policy,
    wire::host,
};

/// How long a module may take for its start.
const MODULES_WITHIN: Duration = Duration::from_secs(10);
/// How long lanes may take to finish what waits, at the end.
const LANES_WITHIN: Duration = Duration::from_millis(1500);
/// How long the embedded broker has for its last messages.
const DELIVERED_WITHIN: Duration = Duration::from_millis(500);
/// Cars at a time. Reasoning: the goal is 1000.
const CARS_MAX: usize = 5000;
/// The link must turn at least this often.
const LINK_DEADLINE: Duration = Duration::from_secs(10);

/// A module of this instance.
struct Module {
    settings: ModuleSettings,
    runner: Arc<dyn Runner>,
    offers: OffersOf,
    counts: Arc<Counts>,
    suspects: Arc<tokio::sync::Mutex<()>>,
}

/// A car's tasks.
struct Tasks {
    handle: CarHandle,
    ended: oneshot::Receiver<()>,
    lanes: JoinSet<()>,
}

/// Everything that runs.
pub(super) struct Running {
    shared: Arc<Shared>,
    broker: Option<Broker>,
    broker_counts: Arc<broker::Counts>,
    rights: Rights,
    publisher: Arc<dyn Publish>,
    modules: Vec<Module>,
    cars: BTreeMap<CarName, Tasks>,
    asks: mpsc::Sender<Ask>,
    hub: JoinHandle<()>,
    presence: crate::presence::Presence,
    dir: PathBuf,
}

impl Running {
    pub(super) async fn start(shared: &Arc<Shared>, cx: &Context) -> Result<Self, ServiceError> {
        let modules = modules(shared, &cx.paths.config_dir)?;
        strict(shared, await_modules(&modules).await)?;
        let rights = Rights::default();
        let broker_counts = Arc::new(broker::Counts::default());
        let (broker, endpoint) = broker(shared, cx, &rights, &broker_counts).await?;
        let client = Client::new(endpoint.clone());
        let publisher = client.publisher();
        let (asks, asked) = mpsc::channel(64);
        let hub = Hub {
            link: Box::new(client),
            asks: asked,
            shared: shared.clone(),
            heartbeat: cx.health.watch(SERVICE, "link", LINK_DEADLINE),
            cars: BTreeMap::new(),
            was_up: None,
        };
        let presence = crate::presence::Presence::new(shared.settings.presence, endpoint);
        let mut running = Self {
            shared: shared.clone(),
            broker,
            broker_counts,
            rights,
            publisher,
            modules,
            cars: BTreeMap::new(),
            asks,
            hub: tokio::spawn(hub.run()),
            presence,
            dir: cx.paths.state.join("fleet"),
        };
        for car in &shared.settings.cars {
            running.add(car).await;
        }
        if let Err(error) = running.opened().await {
            running.stop().await;
            return Err(error);
        }
        Ok(running)
    }

    /// Every module has a context for every car, or the start is refused.
    async fn opened(&self) -> Result<(), ServiceError> {
        for car in self.cars.values() {
            for (id, lane) in car.handle.lanes.iter() {
                let mut opened = lane.opened();
                let opened = opened.wait_for(|opened| *opened != Opened::NotYet);
                let opened = tokio::time::timeout(MODULES_WITHIN, opened).await;
                let refused = matches!(opened, Ok(Ok(ref opened)) if **opened == Opened::Refused);
                if refused {
                    let why = format!(
                        "module {id}: `init` of the library answered NULL for {}",
                        car.handle.name
                    );
                    strict(&self.shared, Some((*id, why)))?;
                }
            }
        }
        Ok(())
    }

    async fn add(&mut self, car: &CarSettings) {
        let password = car.password_file.as_ref().and_then(|file| {
            let read = first_line(&self.shared.cx.paths.config_dir.join(file));
            read.inspect_err(|error| tracing::warn!(%error, "a password cannot be read"))
                .ok()
        });
        self.rights.allow(car.name.clone(), password);
        let (inputs, inbox) = mpsc::channel(INPUTS_MAX);
        let number = self.shared.number();
        let mut lanes = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let (admissions, mut admitted) = mpsc::channel::<Admission>(64);
        for module in &self.modules {
            let mine = module.settings.cars.as_ref();
            if !mine.is_none_or(|cars| cars.contains(&car.name)) {
                continue;
            }
            let id = module.settings.id;
            let weak = inputs.downgrade();
            let offers = offers(
                &self.shared,
                &car.name,
                id,
                module.settings.time_to_live,
                weak,
            );
            lock(&module.offers).insert(number, (car.name.clone(), offers));
            let spool = format!("{}.{}.{id}.spool", car.name.company(), car.name.name());
            let backlog = Backlog::new(self.dir.join(spool), self.shared.settings.spool);
            let open = open(&car.name, &module.settings);
            let counts = module.counts.clone();
            let lane = Lane::new(
                number,
                open,
                module.runner.clone(),
                backlog,
                counts,
                module.suspects.clone(),
            );
            tasks.spawn(lane.clone().run(admissions.clone()));
            lanes.insert(id, lane);
        }
        drop(admissions);
        let handle = CarHandle {
            name: car.name.clone(),
            number,
            inputs: inputs.clone(),
            record: Arc::default(),
            lanes: Arc::new(lanes),
        };
        tasks.spawn({
            let inputs = inputs.downgrade();
            async move {
                while let Some(admission) = admitted.recv().await {
                    let Some(inputs) = inputs.upgrade() else {
                        return;
                    };
                    let _ = inputs.send(Note::Admission(admission)).await;
                }
            }
        });
        let (done, ended) = oneshot::channel();
        let task = CarTask {
            handle: handle.clone(),
            inputs: inbox,
            policy: policy(&self.shared, &car.name),
            first_command: 0,
            publisher: self.publisher.clone(),
            shared: self.shared.clone(),
            done: Some(done),
        };
        tokio::spawn(task.run());
        self.write().insert(car.name.clone(), handle.clone());
        self.presence.add(&car.name);
        let _ = self.asks.send(Ask::Add(handle.clone())).await;
        let tasks = Tasks {
            handle,
            ended,
            lanes: tasks,
        };
        self.cars.insert(car.name.clone(), tasks);
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<CarName, CarHandle>> {
        let cars = self.shared.cars.write();
        cars.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) async fn ask(&mut self, ask: Admin) {
        match ask {
            Admin::Add(name, answer) => {
                let served = self.shared.settings.modules_of(&name).next().is_some();
                let result = if self.cars.contains_key(&name) {
                    Err(Refusal::Exists)
                } else if !served {
                    Err(Refusal::NoModule)
                } else if self.cars.len() >= CARS_MAX {
                    Err(Refusal::TooMany)
                } else {
                    let password_file = None;
                    self.add(&CarSettings {
                        name,
                        password_file,
                    })
                    .await;
                    Ok(())
                };
                let _ = answer.send(result);
            }
            Admin::Remove(name, answer) => {
                let removed = self.cars.remove(&name);
                let result = removed.as_ref().map(|_| ()).ok_or(Refusal::Unknown);
                if let Some(tasks) = removed {
                    self.write().remove(&name);
                    self.rights.forget(&name);
                    self.presence.remove(&name);
                    let _ = self.asks.send(Ask::Remove(tasks.handle.clone())).await;
                    let modules: Vec<_> = self.modules.iter().map(|m| m.offers.clone()).collect();
                    // Its end may take seconds; nobody else waits for it.
                    tokio::spawn(async move {
                        let number = tasks.handle.number;
                        end(tasks).await;
                        for offers in modules {
                            lock(&offers).remove(&number);
                        }
                    });
                }
                let _ = answer.send(result);
            }
            Admin::Reload(name, answer) => {
                let result = match self.cars.get(&name) {
                    None => Err(Refusal::Unknown),
                    Some(car) => {
                        let policy = policy(&self.shared, &name);
                        let _ = car.handle.inputs.send(Note::Policy(policy)).await;
                        let _ = car.handle.inputs.send(Note::Restart).await;
                        Ok(())
                    }
                };
                let _ = answer.send(result);
            }
        }
    }

    /// Ends when something ended that should not.
    pub(super) async fn watch(&mut self) -> ServiceError {
        let ended = (&mut self.hub).await;
        let error = ServiceError::retry("the link to the broker ended");
        match ended {
            Ok(()) => error,
            Err(cause) => error.because(cause),
        }
    }

    /// Takes over what the broker counts.
    pub(super) async fn count(&self) {
        let mut record = lock(&self.shared.broker);
        record.turned_away = self.broker_counts.turned_away.load(Ordering::Relaxed);
        record.forbidden = self.broker_counts.forbidden.load(Ordering::Relaxed);
    }

    pub(super) async fn stop(mut self) {
        let cars = std::mem::take(&mut self.cars);
        for car in cars.values() {
            let _ = car.handle.inputs.try_send(Note::Stop);
        }
        // All at once: each waits for its own hint and its own modules.
        let mut ends = JoinSet::new();
        for car in cars.into_values() {
            ends.spawn(end(car));
        }
        while ends.join_next().await.is_some() {}
        self.write().clear();
        self.presence.stop().await;
        for module in &self.modules {
            module.runner.stop().await;
        }
        drop(self.asks);
        if tokio::time::timeout(Duration::from_millis(200), &mut self.hub)
            .await
            .is_err()
        {
            self.hub.abort();
        }
        if let Some(broker) = self.broker {
            // What it acknowledged to us, hints and presence, is still on its way to the vehicles.
            tokio::time::sleep(DELIVERED_WITHIN).await;
            broker.stop().await;
        }
    }
}

/// Ends one car: its session, its lanes, and keeps on disk what could not be told to a module.
async fn end(mut car: Tasks) {
    let _ = car.handle.inputs.send(Note::Stop).await;
    let _ = (&mut car.ended).await;
    let finish = async { while car.lanes.join_next().await.is_some() {} };
    if tokio::time::timeout(LANES_WITHIN, finish).await.is_err() {
        car.lanes.shutdown().await;
        for lane in car.handle.lanes.values() {
            lane.keep();
        }
    }
}

fn policy(shared: &Shared, car: &CarName) -> Policy {
    let settings = &shared.settings;
    Policy {
        timeout: settings.timeout,
        inactivity: settings.inactivity,
        send_invalid_command: settings.send_invalid_command,
        baseline: settings.baseline,
        modules: settings.modules_of(car).map(|m| m.id).collect(),
        company: car.company().to_owned(),
        name: car.name().to_owned(),
    }
}

fn open(car: &CarName, module: &ModuleSettings) -> host::Open {
    let pair = |key: &str, value: &str| host::Pair {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let mut config = vec![
        pair("company_name", car.company()),
        pair("car_name", car.name()),
    ];
    config.extend(module.config.iter().map(|(key, value)| pair(key, value)));
    host::Open {
        config,
        wait_ms: u32::try_from(module.wait.as_millis()).unwrap_or(1000),
        strict: module.strict_context,
    }
}

/// Starts all modules; none is waited for.
fn modules(shared: &Arc<Shared>, config_dir: &Path) -> Result<Vec<Module>, ServiceError> {
    let mut modules = Vec::new();
    lock(&shared.modules).clear();
    for settings in &shared.settings.modules {
        let offers = OffersOf::default();
        let counts = Arc::new(Counts::default());
        let id = settings.id;
        let mut transparent = None;
        let origin = match &settings.origin {
            Origin::Library(lib) => lib.clone(),
            Origin::Builtin(Builtin::Example) => "example (built in)".into(),
            Origin::Builtin(Builtin::Transparent) => "transparent (built in)".into(),
        };
        let runner: Arc<dyn Runner> = match &settings.origin {
            Origin::Builtin(Builtin::Example) => {
                Arc::new(runner::Builtin::new(Box::new(Example), offers.clone()))
            }
            Origin::Builtin(Builtin::Transparent) => {
                let module = Transparent::default();
                transparent = Some(module.clone());
                Arc::new(runner::Builtin::new(Box::new(module), offers.clone()))
            }
            Origin::Library(lib) => {
                let lib = config_dir.join(lib);
                match shared.settings.isolation {
                    Isolation::Process => Arc::new(process(shared, settings, lib, &offers)?),
                    Isolation::Inline => match Inline::load(&lib, id, offers.clone()) {
                        Ok(inline) => Arc::new(inline),
                        Err(why) => {
                            strict(shared, Some((id, format!("module {id}: {why}"))))?;
                            continue;
                        }
                    },
                }
            }
        };
        let up = runner.run().borrow().is_some();
        lock(&shared.modules).push(ModuleRecord {
            id,
            origin,
            up,
            runs: u64::from(up),
            note: None,
            counts: counts.clone(),
            transparent,
            time_to_live: settings.time_to_live,
            cars: settings.cars.clone(),
            told: [0; 4],
        });
        modules.push(Module {
            settings: settings.clone(),
            runner,
            offers,
            counts,
            suspects: Arc::default(),
        });
    }
    Ok(modules)
}

fn process(
    shared: &Arc<Shared>,
    settings: &ModuleSettings,
    lib: PathBuf,
    offers: &OffersOf,
) -> Result<Process, ServiceError> {
    let id = settings.id;
    let args = HostArgs {
        lib,
        module: id,
        memory_mib: settings.memory_mib,
        cpu_percent: settings.cpu_percent,
    };
    let weak = Arc::downgrade(shared);
    let tell = move |news: News| {
        if let Some(shared) = weak.upgrade() {
            shared.news(id, &news);
        }
    };
    let program = shared.program.clone();
    Process::start(program, args, offers.clone(), Arc::new(tell))
        .map_err(|e| ServiceError::retry("starting a module's thread").because(e))
}

/// Waits until each module runs. Answers one that does not, and why.
async fn await_modules(modules: &[Module]) -> Option<(i32, String)> {
    for module in modules {
        let mut run = module.runner.run();
        let up = run.wait_for(Option::is_some);
        let refused = module.runner.refused();
        let why = tokio::select! {
            up = tokio::time::timeout(MODULES_WITHIN, up) => match up {
                Ok(Ok(_)) => None,
                _ => Some("it did not start in time".to_owned()),
            },
            why = refused => Some(why),
        };
        if let Some(why) = why {
            return Some((
                module.settings.id,
                format!("module {}: {why}", module.settings.id),
            ));
        }
    }
    None
}

/// A module that is not there refuses the start, unless the others shall run without it.
fn strict(shared: &Shared, failed: Option<(i32, String)>) -> Result<(), ServiceError> {
    match failed {
        Some((_, why)) if shared.settings.strict_start => {
            Err(ServiceError::fatal(Exit::Configuration, why))
        }
        Some((_, why)) => {
            tracing::warn!(%why, "starting without a module");
            Ok(())
        }
        None => Ok(()),
    }
}

/// The broker, if it is ours, and where our client connects.
async fn broker(
    shared: &Shared,
    cx: &Context,
    rights: &Rights,
    counts: &Arc<broker::Counts>,
) -> Result<(Option<Broker>, Endpoint), ServiceError> {
    let settings = &shared.settings.broker;
    let path = |file: &String| cx.paths.config_dir.join(file);
    let identity = settings.cert.as_ref().zip(settings.key.as_ref());
    let identity = identity.map(|(cert, key)| (path(cert), path(key)));
    let here = format!("{}:{}", settings.host, settings.port);
    let (broker, endpoint) = if settings.embedded {
        let ip: IpAddr = settings.host.parse().map_err(|e| {
            ServiceError::fatal(Exit::Configuration, "the broker's address").because(e)
        })?;
        let ca = settings.ca.as_ref().map(path);
        let options = broker::Options {
            address: SocketAddr::new(ip, settings.port),
            tls: identity.map(|(cert, key)| (cert, key, ca)),
        };
        let broker = Broker::start(&options, rights.clone(), counts.clone())
            .await
            .map_err(|why| {
                let exit = if why.contains("in use") {
                    Exit::AddressInUse
                } else {
                    Exit::Configuration
                };
                ServiceError::fatal(exit, format!("the MQTT broker at {here}: {why}"))
            })?;
        let endpoint = broker.inside();
        (Some(broker), endpoint)
    } else {
        let mut endpoint = Endpoint::plain(&settings.host, settings.port, &client_id());
        endpoint.tls = settings.ca.as_ref().map(|ca| Tls {
            ca: path(ca),
            identity,
        });
        if let (Some(user), Some(file)) = (&settings.username, &settings.password_file) {
            let password = first_line(&path(file)).map_err(|e| {
                ServiceError::fatal(Exit::Configuration, "the broker's password").because(e)
            })?;
            endpoint.login = Some((user.clone(), password));
        }
        (None, endpoint)
    };
    let address = broker.as_ref().map_or(here, |b| b.address().to_string());
    tracing::info!(%address, embedded = broker.is_some(), "MQTT");
    lock(&shared.broker).address = address;
    Ok((broker, endpoint))
}

/// Twenty random letters, new in each process.
fn client_id() -> String {
    let mut random = [0; 20];
    let _ = getrandom::fill(&mut random);
    random.iter().map(|b| char::from(b'a' + b % 26)).collect()
}

fn first_line(path: &Path) -> std::io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
