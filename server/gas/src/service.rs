//! Start, stop and supervision of the threads.

use crate::configuration::Configuration;
use crate::facts::SERVICE;
use crate::front::Front;
use crate::hub::{Hub, Platform};
use crate::metrics::Meters;
use crate::persist::{self, FILE, StateError, Writer};
use crate::register::{self, FindRegister, OpenRegister, RegisterLink, WiringFault};
use crate::seam::{BusLink, FindPort, OpenPort, Shutdown, Wake};
use crate::self_test::{self, SelfTest};
use crate::site::GasSite;
use crate::supply::{self, Wired};
use crate::task::{Evaluation, StartError};
use crate::{api, bus, records};
use leitstand_core::hal::{BatteryGauge, MainsSense};
use leitstand_kit::supervisor::Plan;
use leitstand_kit::{BoxFuture, CancellationToken, Context, Exit, Service, ServiceError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;

/// Longest silence of the evaluation thread. Reasoning: it turns at least every 200 ms; ten turns missed is dead.
const EVALUATE_DEADLINE: Duration = Duration::from_secs(2);
/// Longest silence of the thread that writes the runtime information.
const PERSIST_DEADLINE: Duration = Duration::from_secs(15);
/// Longest silence of the thread that reads the supply.
const SUPPLY_DEADLINE: Duration = Duration::from_secs(5);
/// Longest silence of the thread of an output board. Reasoning: it turns every 20 ms, and a write takes 1 ms.
const BOARD_DEADLINE: Duration = Duration::from_secs(2);
/// Longest silence of the self-test. Reasoning: it hashes the program image from a slow card.
const SELF_TEST_DEADLINE: Duration = Duration::from_secs(60);
/// How often the threads are looked after.
const LOOK_AFTER: Duration = Duration::from_millis(500);

/// What the service is built from.
pub struct Setup {
    /// The checked configuration.
    pub site: Arc<GasSite>,
    /// Finds the line of a bus. A bus without one stays closed and is a fault.
    pub port: FindPort,
    /// Finds a shift-register board. One without stays dark and is a fault of its outputs.
    pub register: FindRegister,
    /// Mains, where wired.
    pub mains: Option<Box<dyn MainsSense>>,
    /// Battery, where wired.
    pub battery: Option<Box<dyn BatteryGauge>>,
    /// Asked for once the battery is nearly empty: the gateway stops in order and runs this command, if any.
    pub shutdown: Shutdown,
    /// Where the configuration in force is kept.
    pub configuration: Arc<dyn Configuration>,
}

/// Why the service cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// `gas.status` cannot be used: exit 3.
    #[error("reading the runtime information of the gas service")]
    RuntimeInformation(#[from] StateError),
    /// The database refuses its tables.
    #[error("preparing the tables of the gas service")]
    Store(#[from] leitstand_kit::store::StoreError),
}

/// The built service, not yet running.
pub struct Gas {
    front: Front,
}

/// Reads what survived and makes the handles.
///
/// # Errors
/// [`BuildError::RuntimeInformation`]: a person must decide.
pub fn build(setup: Setup, cx: &Context) -> Result<Gas, BuildError> {
    let restored = persist::load(&cx.paths.state)?;
    records::prepare(&cx.store)?;
    let wired = Wired {
        mains: setup.mains,
        battery: setup.battery,
    };
    let platform = Platform {
        port: setup.port,
        register: setup.register,
        wired: Arc::new(Mutex::new(wired)),
        shutdown: setup.shutdown,
    };
    let hub = Hub::new(
        cx.clone(),
        setup.site,
        setup.configuration,
        platform,
        Some(restored),
    );
    Ok(Gas {
        front: Front::new(Arc::new(hub)),
    })
}

impl Gas {
    /// For the supervisor. When the service fails, all outputs drop before anything else happens.
    #[must_use]
    pub fn into_plan(self) -> Plan {
        let (front, failed) = (self.front.clone(), self.front);
        Plan::new(move || {
            Box::new(GasService {
                front: front.clone(),
            })
        })
        .on_failure(move || failed.hub().images.all_off())
        .essential()
    }

    #[cfg(test)]
    fn hub(&self) -> Arc<Hub> {
        self.front.hub()
    }
}

/// One instance.
struct GasService {
    front: Front,
}

impl Service for GasService {
    fn name(&self) -> &'static str {
        SERVICE
    }

    fn routes(&self) -> OpenApiRouter {
        api::routes(self.front.clone())
    }

    fn run(self: Box<Self>, cx: Context) -> BoxFuture<'static, Result<(), ServiceError>> {
        Box::pin(run(self.front, cx))
    }
}

/// How the evaluation thread ended.
type Ended = Result<(), ServiceError>;

async fn run(front: Front, cx: Context) -> Result<(), ServiceError> {
    // Entries of an instance before this one must be readable before its alarms are restored.
    cx.events.flush().await;
    let follower = CancellationToken::new();
    let records = tokio::spawn(records::follow(cx.clone(), follower.clone()));
    // A site that was proposed when the instance before this one failed is in force now.
    let mut hub = front.follow();
    let result = loop {
        match run_site(&front, &hub, &cx).await {
            Ok(End::Stopped) => break Ok(()),
            Ok(End::Succeeded) => {
                if let Some(next) = front.proposed().borrow().as_ref() {
                    next.inherit(&hub);
                }
                hub = front.follow();
                tracing::info!(
                    version = hub.config_version,
                    "another configuration is in force"
                );
            }
            Err(error) => break Err(error),
        }
    };
    follower.cancel();
    let _ = records.await;
    result
}

/// Why the threads of a site ended well.
enum End {
    /// The gateway stops.
    Stopped,
    /// Another site was proposed; what this one knows waits in its hub.
    Succeeded,
}

/// Runs the threads of one site until the gateway stops, something fails, or another site is proposed.
async fn run_site(front: &Front, hub: &Arc<Hub>, cx: &Context) -> Result<End, ServiceError> {
    let stop = Arc::new(AtomicBool::new(false));
    let stop_outputs = Arc::new(AtomicBool::new(false));
    let heartbeat = cx.health.watch(SERVICE, "persist", PERSIST_DEADLINE);
    let writer = Writer::start(cx.paths.state.join(FILE), hub.written.clone(), heartbeat)
        .map_err(no_thread)?;
    let (ready, is_ready) = oneshot::channel();
    let (mut ended, evaluation) = spawn_evaluation(hub, cx, &writer, &stop, ready)?;
    let mut threads = Vec::new();
    // Relays are written from the restored state on: a latched one must not drop for a moment at a restart. An
    // evaluation that ends before it is ready is reported by `look_after`.
    let started = match is_ready.await {
        Ok(()) => spawn_others(hub, cx, &stop, &stop_outputs, &mut threads),
        Err(_) => Ok(()),
    };
    let result = match started {
        Ok(()) => look_after(front, hub, cx, &mut ended, &threads).await,
        Err(error) => Err(error),
    };
    let succeeded = matches!(result, Ok(End::Succeeded));
    hub.is_succeeded.store(succeeded, Ordering::Release);
    // The evaluation first: it decides what the relays show at the end, and the bus threads write that.
    stop.store(true, Ordering::Release);
    let _ = hub.inbox.push(Wake::Look);
    let images = hub.images.clone();
    let failed = result.is_err();
    let joined = tokio::task::spawn_blocking(move || {
        let clean = evaluation.join().is_ok();
        if failed || !clean {
            images.all_off();
        }
        // Only now is the last image there.
        stop_outputs.store(true, Ordering::Release);
        for thread in threads {
            thread.thread().unpark();
            let _ = thread.join();
        }
        writer.finish();
    });
    if joined.await.is_err() {
        hub.images.all_off();
    }
    result
}

/// Publishes snapshots until something ends.
async fn look_after(
    front: &Front,
    hub: &Hub,
    cx: &Context,
    ended: &mut oneshot::Receiver<Ended>,
    threads: &[JoinHandle<()>],
) -> Result<End, ServiceError> {
    let mut snapshots = hub.snapshot.subscribe();
    let mut proposed = front.proposed();
    let mut meters = Meters::new(cx, hub);
    let mut rounds = tokio::time::interval(LOOK_AFTER);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = cx.stop.cancelled() => return Ok(End::Stopped),
            end = &mut *ended => {
                let gone = || Err(ServiceError::retry("the evaluation thread vanished"));
                return end.unwrap_or_else(|_| gone()).map(|()| End::Stopped);
            }
            _ = proposed.wait_for(Option::is_some) => return Ok(End::Succeeded),
            changed = snapshots.changed() => {
                if changed.is_err() {
                    return Err(ServiceError::retry("nobody makes snapshots any more"));
                }
                let snapshot = snapshots.borrow_and_update().clone();
                if let Some(snapshot) = snapshot {
                    meters.show(&snapshot, &hub.inbox);
                    match serde_json::to_string(&*snapshot) {
                        Ok(json) => cx.frames.publish(SERVICE, json),
                        Err(error) => tracing::error!(%error, "a snapshot has no JSON"),
                    }
                }
            }
            _ = rounds.tick() => {
                if threads.iter().any(JoinHandle::is_finished) {
                    return Err(ServiceError::retry("a bus, board or supply thread ended"));
                }
            }
        }
    }
}

fn no_thread(error: std::io::Error) -> ServiceError {
    ServiceError::retry("starting a thread").because(error)
}

fn spawn_evaluation(
    hub: &Arc<Hub>,
    cx: &Context,
    writer: &Writer,
    stop: &Arc<AtomicBool>,
    ready: oneshot::Sender<()>,
) -> Result<(oneshot::Receiver<Ended>, JoinHandle<()>), ServiceError> {
    let (sender, ended) = oneshot::channel();
    let desk = writer.desk();
    let heartbeat = cx.health.critical(SERVICE, "evaluate", EVALUATE_DEADLINE);
    let (hub, cx, stop) = (Arc::clone(hub), cx.clone(), Arc::clone(stop));
    let thread = std::thread::Builder::new()
        .name("gas-evaluate".into())
        .spawn(move || {
            let images = hub.images.clone();
            let turn = AssertUnwindSafe(|| {
                let wakes = match hub.wakes.try_lock() {
                    Ok(wakes) => wakes,
                    Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
                    Err(TryLockError::WouldBlock) => {
                        return Err(ServiceError::retry(
                            "the evaluation thread before this one hangs",
                        ));
                    }
                };
                let started = Evaluation::start(Arc::clone(&hub), cx, desk, heartbeat);
                let mut evaluation = started.map_err(|error| match error {
                    StartError::State(_) => {
                        ServiceError::fatal(Exit::RuntimeInformation, "restoring alarms")
                            .because(error)
                    }
                    StartError::Journal(_) => {
                        ServiceError::retry("restoring alarms").because(error)
                    }
                })?;
                evaluation.run(&wakes, &stop, ready);
                evaluation.finish();
                Ok(())
            });
            let result = catch_unwind(turn).unwrap_or_else(|panic| {
                // Before anything else, on this very thread.
                images.all_off();
                let what = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                Err(ServiceError::retry(format!(
                    "the evaluation has a defect: {what}"
                )))
            });
            let _ = sender.send(result);
        })
        .map_err(no_thread)?;
    Ok((ended, thread))
}

/// Threads of buses, boards and the supply.
fn spawn_others(
    hub: &Arc<Hub>,
    cx: &Context,
    stop: &Arc<AtomicBool>,
    stop_outputs: &Arc<AtomicBool>,
    threads: &mut Vec<JoinHandle<()>>,
) -> Result<(), ServiceError> {
    let handles = hub.ports.iter().zip(&hub.reports).zip(&hub.errands);
    for (spec, ((port, report), errands)) in hub.site.buses.iter().zip(handles) {
        let open: OpenPort = match port {
            Some(port) => {
                let port = Arc::clone(port);
                Box::new(move || port.lock().unwrap_or_else(PoisonError::into_inner)())
            }
            None => Box::new(|| Err(leitstand_core::hal::PortError::NotFound)),
        };
        // Three scans missed, or an answer that takes its whole time on every try.
        let deadline =
            spec.scan * 3 + spec.timeout * (u32::from(spec.retries) + 1) + Duration::from_secs(5);
        let link = BusLink {
            inbox: hub.inbox.clone(),
            images: hub.images.clone(),
            report: Arc::clone(report),
            errands: errands.clone(),
            clock: cx.clock.clone(),
            heartbeat: cx
                .health
                .watch(SERVICE, &format!("bus {}", spec.id), deadline),
            stop: Arc::clone(stop_outputs),
        };
        threads.push(bus::spawn(spec.clone(), open, link).map_err(no_thread)?);
    }
    for (board, open) in hub.site.boards.iter().zip(&hub.registers) {
        let Some(spec) = board.register.clone() else {
            continue;
        };
        let open: OpenRegister = match open {
            Some(open) => {
                let open = Arc::clone(open);
                Box::new(move || open.lock().unwrap_or_else(PoisonError::into_inner)())
            }
            None => Box::new(|| Err(WiringFault("nothing drives this board here".into()))),
        };
        let link = RegisterLink {
            inbox: hub.inbox.clone(),
            images: hub.images.clone(),
            clock: cx.clock.clone(),
            heartbeat: cx
                .health
                .watch(SERVICE, &format!("board {}", spec.id), BOARD_DEADLINE),
            stop: Arc::clone(stop_outputs),
        };
        threads.push(register::spawn(spec, open, link).map_err(no_thread)?);
    }
    let heartbeat = cx.health.watch(SERVICE, "self-test", SELF_TEST_DEADLINE);
    let test = SelfTest::new(&cx.paths.state, cx.clock.clone());
    let (inbox, ends) = (hub.inbox.clone(), Arc::clone(stop));
    threads.push(self_test::spawn(test, inbox, heartbeat, ends).map_err(no_thread)?);
    if hub.site.power {
        let heartbeat = cx.health.watch(SERVICE, "supply", SUPPLY_DEADLINE);
        let wired = Arc::clone(&hub.platform.wired);
        let thread = supply::spawn(
            wired,
            hub.inbox.clone(),
            cx.clock.clone(),
            heartbeat,
            Arc::clone(stop),
        );
        threads.push(thread.map_err(no_thread)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
