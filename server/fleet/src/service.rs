//! The service: long-lived handles behind the routes, and the instance that runs on them.
//!
//! An instance has the broker (unless it is somebody else's), one task for the link to it, one a car, one a car and
//! module, and whatever each module runs in. A vehicle's message goes link, car, module; nothing of it waits for a
//! module, a disk or another car.

mod start;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use leitstand_kit::{BoxFuture, Context, NewEvent, Service, ServiceError, Severity};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    SERVICE, api,
    car::CarHandle,
    config::Settings,
    metrics::FleetMetrics,
    module::{Ids, Transparent, host::News, lane, runner::lock},
    name::CarName,
    record::{CommandRecord, Commands, Moment, Stage},
    session::{Command, CommandId},
    view::FleetView,
};

/// The fleet: build it once, hand [`instance`](Self::instance)s to the supervisor.
#[derive(Clone)]
pub struct Fleet(pub(crate) Arc<Shared>);

/// What routes and instances share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) cx: Context,
    /// The program that module hosts are started from: this one.
    pub(crate) program: PathBuf,
    pub(crate) metrics: FleetMetrics,
    pub(crate) ids: Ids,
    pub(crate) commands: Mutex<Commands>,
    /// The cars of the running instance.
    pub(crate) cars: RwLock<BTreeMap<CarName, CarHandle>>,
    pub(crate) modules: Mutex<Vec<ModuleRecord>>,
    pub(crate) broker: Mutex<BrokerRecord>,
    pub(crate) asks: mpsc::Sender<Admin>,
    asked: tokio::sync::Mutex<mpsc::Receiver<Admin>>,
    pub(crate) next_car: AtomicU32,
}

/// A module, for views.
pub(crate) struct ModuleRecord {
    pub(crate) id: i32,
    pub(crate) origin: String,
    pub(crate) up: bool,
    pub(crate) runs: u64,
    pub(crate) note: Option<String>,
    pub(crate) counts: Arc<lane::Counts>,
    pub(crate) transparent: Option<Transparent>,
    pub(crate) time_to_live: Option<Duration>,
    /// Cars that have it; `None` = all.
    pub(crate) cars: Option<Vec<CarName>>,
    /// What the metrics were told last: calls, failed, late, lost.
    pub(crate) told: [u64; 4],
}

/// The broker, for views.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrokerRecord {
    pub(crate) up: bool,
    pub(crate) address: String,
    pub(crate) reason: Option<String>,
    pub(crate) turned_away: u64,
    pub(crate) forbidden: u64,
}

/// What an operator asks of the running instance.
pub(crate) enum Admin {
    /// Add a car.
    Add(CarName, oneshot::Sender<Result<(), Refusal>>),
    /// Take one out.
    Remove(CarName, oneshot::Sender<Result<(), Refusal>>),
    /// End its session and take its settings anew.
    Reload(CarName, oneshot::Sender<Result<(), Refusal>>),
}

/// Why it is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Exists,
    Unknown,
    NoModule,
    TooMany,
}

impl Fleet {
    /// Prepares the service. `program` is this program's file, for module hosts. Nothing is opened yet.
    #[must_use]
    pub fn new(cx: &Context, settings: Settings, program: PathBuf) -> Self {
        let (asks, asked) = mpsc::channel(16);
        Self(Arc::new(Shared {
            metrics: FleetMetrics::new(&cx.metrics),
            settings,
            cx: cx.clone(),
            program,
            ids: Ids::default(),
            commands: Mutex::default(),
            cars: RwLock::default(),
            modules: Mutex::default(),
            broker: Mutex::default(),
            asks,
            asked: tokio::sync::Mutex::new(asked),
            next_car: AtomicU32::new(1),
        }))
    }

    /// One run of the service, for the supervisor.
    #[must_use]
    pub fn instance(&self) -> Box<dyn Service> {
        Box::new(Instance(self.0.clone()))
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Moment {
        Moment {
            at: self.cx.clock.now(),
            wall: self.cx.clock.wall(),
        }
    }

    pub(crate) fn car(&self, name: &CarName) -> Option<CarHandle> {
        let cars = self
            .cars
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        cars.get(name).cloned()
    }

    pub(crate) fn all_cars(&self) -> Vec<CarHandle> {
        let cars = self
            .cars
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        cars.values().cloned().collect()
    }

    fn number(&self) -> u32 {
        self.next_car.fetch_add(1, Ordering::Relaxed)
    }

    /// A command exists from now on.
    pub(crate) fn queued(&self, car: &str, command: &Command, by: Option<String>) {
        let now = self.now();
        let new = lock(&self.commands).insert(
            command.id,
            CommandRecord {
                car: car.to_owned(),
                module: command.module,
                device: command.device.clone(),
                data: command.data.clone(),
                stage: Stage::Queued,
                queued: now,
                changed: now,
                by,
            },
        );
        if new {
            self.metrics.command(Stage::Queued);
        }
    }

    /// A command reached a stage.
    pub(crate) fn stage(&self, id: CommandId, stage: Stage) {
        self.metrics.command(stage);
        let now = self.now();
        let record = lock(&self.commands).set(id, stage, now).cloned();
        let Some(record) = record else { return };
        // A module may send one a second for years; the journal has those of people, and those that failed.
        let failed = matches!(
            stage,
            Stage::Refused(_) | Stage::Unanswered | Stage::Expired
        );
        if record.by.is_none() && !failed {
            return;
        }
        let kind = match stage {
            Stage::Queued => "CommandQueued",
            Stage::Sent(_) => "CommandSent",
            Stage::Acked => "CommandAcknowledged",
            Stage::Refused(_) => "CommandRefused",
            Stage::Unanswered => "CommandUnanswered",
            Stage::Expired => "CommandExpired",
            Stage::Dropped(_) => "CommandDropped",
        };
        let severity = if failed {
            Severity::Warning
        } else {
            Severity::Info
        };
        let text = format!("Command {} for {}: {}", id.0, record.car, stage.name());
        let reason = match stage {
            Stage::Refused(why) => Some(format!("{why:?}")),
            Stage::Dropped(why) => Some(why.name().to_owned()),
            _ => None,
        };
        drop(self.cx.events.record(NewEvent::new(SERVICE, kind).severity(severity).text(text).data(
            json!({ "car": record.car, "command": id.0, "module": record.module, "reason": reason, "by": record.by }),
        )));
    }

    pub(crate) fn set_broker(&self, up: bool, reason: &str) {
        let mut broker = lock(&self.broker);
        broker.up = up;
        broker.reason = (!up).then(|| reason.to_owned());
    }

    /// Something happened in a module.
    pub(crate) fn news(&self, module: i32, news: &News) {
        let event = |kind, severity, text: String| {
            tracing::info!(module, %text, "module");
            drop(
                self.cx.events.record(
                    NewEvent::new(SERVICE, kind)
                        .severity(severity)
                        .text(text.clone())
                        .data(json!({ "module": module })),
                ),
            );
        };
        let set = |up: bool, note: Option<String>, started: bool| {
            for record in lock(&self.modules).iter_mut().filter(|m| m.id == module) {
                record.up = up;
                record.note.clone_from(&note);
                record.runs += u64::from(started);
            }
        };
        match news {
            News::Started { run } => {
                set(true, None, true);
                if *run > 1 {
                    event(
                        "ModuleRestarted",
                        Severity::Info,
                        format!("Module {module} runs again"),
                    );
                }
            }
            News::Ended { why, again_in } => {
                set(false, Some(why.clone()), false);
                event(
                    "ModuleEnded",
                    Severity::Warning,
                    format!(
                        "Module {module} ended ({why}); again in {} ms",
                        again_in.as_millis()
                    ),
                );
            }
            News::Unusable(why) => set(false, Some(why.clone()), false),
            News::Waiting { car, code: 0 } => {
                set(true, None, false);
                tracing::info!(module, car, "the module gives commands again");
            }
            News::Waiting { car, code } => {
                set(
                    true,
                    Some(format!("wait_for_command answers {code}")),
                    false,
                );
                event(
                    "ModuleCommandsFailed",
                    Severity::Warning,
                    format!("Module {module} answers {code} when asked for commands of car {car}"),
                );
            }
            News::Cut { car } => {
                tracing::debug!(module, car, "no end of commands; the rest waits");
            }
        }
    }

    /// Once a second: series that are looked at rather than counted, commands that waited too long.
    fn tick(&self) {
        let now = self.now();
        for car in self.all_cars() {
            let metrics = self.metrics.car(&car.name.to_string());
            let record = lock(&car.record);
            metrics.phase.set(f64::from(record.phase as u8));
            metrics
                .commands
                .set((record.commands.0 + record.commands.1) as f64);
            metrics.missing.set(record.held.1 as f64);
            if let Some(last) = record.last_message {
                metrics.age.set(now.at.since(last.at).as_secs_f64());
            }
        }
        let backlogs: Vec<_> = self
            .all_cars()
            .iter()
            .flat_map(|car| {
                car.lanes
                    .iter()
                    .map(|(id, lane)| (*id, lane.backlog()))
                    .collect::<Vec<_>>()
            })
            .collect();
        let mut expired = Vec::new();
        for module in lock(&self.modules).iter_mut() {
            let metrics = self.metrics.module(&module.id.to_string());
            let load = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
            let mine = || backlogs.iter().filter(|(id, _)| *id == module.id);
            let lost =
                load(&module.counts.given_up) + mine().map(|(_, (_, lost))| lost).sum::<u64>();
            let now = [
                load(&module.counts.calls),
                load(&module.counts.failed),
                load(&module.counts.late),
                lost,
            ];
            let counters = [
                &metrics.calls,
                &metrics.failed,
                &metrics.late,
                &metrics.lost,
            ];
            for ((counter, now), told) in counters.into_iter().zip(now).zip(module.told) {
                counter.add(now.saturating_sub(told));
            }
            metrics.up.set(f64::from(u8::from(module.up)));
            metrics
                .seconds
                .set(load(&module.counts.micros) as f64 / 1e6);
            metrics
                .backlog
                .set(mine().map(|(_, (waiting, _))| *waiting as f64).sum());
            module.told = now;
            for desk in module.transparent.iter().flat_map(Transparent::desks) {
                expired.extend(desk.expire(self.cx.clock.now()));
            }
        }
        for id in expired {
            self.stage(id, Stage::Expired);
        }
    }

    fn publish(&self) {
        if let Ok(json) = serde_json::to_string(&FleetView::new(self)) {
            self.cx.frames.publish(SERVICE, json);
        }
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
        Box::pin(async move {
            let shared = self.0;
            let mut asked = shared.asked.lock().await;
            let mut running = start::Running::start(&shared, &cx).await?;
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut publish = tokio::time::interval(Duration::from_millis(500));
            publish.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let outcome = loop {
                tokio::select! {
                    () = cx.stop.cancelled() => break Ok(()),
                    ask = asked.recv() => match ask {
                        Some(ask) => running.ask(ask).await,
                        None => break Ok(()),
                    },
                    ended = running.watch() => break Err(ended),
                    _ = tick.tick() => shared.tick(),
                    _ = publish.tick() => {
                        running.count().await;
                        shared.publish();
                    }
                }
            };
            running.stop().await;
            shared.publish();
            outcome
        })
    }
}
