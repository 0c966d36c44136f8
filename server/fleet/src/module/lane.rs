//! Between one car and one module: calls in order, one at a time.
//!
//! A call that takes longer than its deadline is counted, and its lane alone waits for it; one that does not return at
//! all ends the run of the module. A new run gets the context, the devices that are connected, and the call that was
//! under way once more. A call that ended two runs is given up: it would end every other one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, mpsc, watch};

use super::{
    backlog::Backlog,
    runner::{CarNumber, Done, Gone, Runner, lock},
};
use crate::{
    session::{Call, Key, Refused},
    wire::{
        Device,
        host::{self, Left, Open, Payload, request::What},
    },
};

/// A call that takes longer is counted.
pub(crate) const CALL_WITHIN: Duration = Duration::from_secs(2);
/// A call that takes longer ends the run of its module.
const HUNG_AFTER: Duration = Duration::from_secs(30);
/// Pause before a context that could not be opened is tried again.
const REOPEN_AFTER: Duration = Duration::from_secs(5);

/// What a lane counts.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) calls: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) given_up: AtomicU64,
    pub(crate) micros: AtomicU64,
    pub(crate) last_code: AtomicI32,
}

/// Whether a module is there for a car.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// Not asked yet.
    NotYet,
    /// It has a context.
    Yes,
    /// It refused: `init` answered NULL.
    Refused,
}

/// A module's answer about a device.
pub(crate) struct Admission {
    pub(crate) key: Key,
    pub(crate) answer: Result<(), Refused>,
}

/// The car's side of a lane. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lane(Arc<Shared>);

struct Shared {
    car: CarNumber,
    open: Open,
    runner: Arc<dyn Runner>,
    backlog: Mutex<Backlog>,
    /// The call under way.
    current: Mutex<Option<What>>,
    wake: Notify,
    closing: AtomicBool,
    opened: watch::Sender<Opened>,
    counts: Arc<Counts>,
    /// Held while a call is made that may have ended a run. One for all lanes of a module.
    suspects: Arc<tokio::sync::Mutex<()>>,
}

impl Lane {
    pub(crate) fn new(
        car: CarNumber,
        open: Open,
        runner: Arc<dyn Runner>,
        backlog: Backlog,
        counts: Arc<Counts>,
        suspects: Arc<tokio::sync::Mutex<()>>,
    ) -> Self {
        Self(Arc::new(Shared {
            car,
            open,
            runner,
            backlog: Mutex::new(backlog),
            current: Mutex::default(),
            wake: Notify::new(),
            closing: AtomicBool::new(false),
            opened: watch::Sender::new(Opened::NotYet),
            counts,
            suspects,
        }))
    }

    /// Puts a call behind the others. Never waits.
    pub(crate) fn push(&self, call: Call) {
        lock(&self.0.backlog).push(what(call));
        self.0.wake.notify_one();
    }

    /// Whether the module has a context for the car.
    pub(crate) fn opened(&self) -> watch::Receiver<Opened> {
        self.0.opened.subscribe()
    }

    /// Calls that wait, and calls that were given up for want of room.
    pub(crate) fn backlog(&self) -> (usize, u64) {
        let backlog = lock(&self.0.backlog);
        (backlog.len(), backlog.lost)
    }

    /// What is waiting is still done, then the context is closed and [`run`](Self::run) ends.
    pub(crate) fn close(&self) {
        self.0.closing.store(true, Ordering::Relaxed);
        self.0.wake.notify_one();
    }

    /// Keeps what could not be done for the next process.
    pub(crate) fn keep(&self) {
        let current = lock(&self.0.current).take();
        lock(&self.0.backlog).keep(current);
    }

    /// Makes the calls, until it is closed.
    pub(crate) async fn run(self, admissions: mpsc::Sender<Admission>) {
        let shared = &*self.0;
        let mut end = LaneEnd {
            shared,
            admissions,
            run: None,
            connected: BTreeMap::new(),
            refused: BTreeSet::new(),
        };
        // The context is opened at once, so that a module that does not start is known before the first vehicle.
        end.ready().await;
        loop {
            let next = lock(&shared.backlog).pop();
            match next {
                Some(what) => end.take(what).await,
                None if shared.closing.load(Ordering::Relaxed) => break,
                None => {
                    let mut run = shared.runner.run();
                    run.mark_unchanged();
                    tokio::select! {
                        () = shared.wake.notified() => {}
                        // A new run is prepared before the next call needs it.
                        _ = run.changed() => end.ready().await,
                    }
                }
            }
        }
        if end.run.is_some() && end.run == *shared.runner.run().borrow() {
            let close = shared.runner.invoke(shared.car, What::Close(true));
            let _ = tokio::time::timeout(CALL_WITHIN, close).await;
        }
    }
}

/// The working end of a lane.
struct LaneEnd<'a> {
    shared: &'a Shared,
    admissions: mpsc::Sender<Admission>,
    /// The run that has our context.
    run: Option<u64>,
    connected: BTreeMap<Key, Device>,
    refused: BTreeSet<Key>,
}

impl LaneEnd<'_> {
    /// Waits until there is a run with our context and devices.
    async fn ready(&mut self) {
        let mut runs = self.shared.runner.run();
        loop {
            let Ok(run) = runs.wait_for(Option::is_some).await.map(|run| *run) else {
                return std::future::pending().await;
            };
            if self.run == run {
                return;
            }
            if self.prepare().await {
                self.run = run;
                return;
            }
            if self.shared.closing.load(Ordering::Relaxed) {
                return;
            }
            tokio::time::sleep(REOPEN_AFTER).await;
        }
    }

    async fn prepare(&mut self) -> bool {
        let open = What::Open(self.shared.open.clone());
        match self.invoke(open).await {
            Ok(done) if done.code == 0 => self.shared.opened.send_replace(Opened::Yes),
            Ok(_) => {
                self.shared.opened.send_replace(Opened::Refused);
                return false;
            }
            Err(Gone) => return false,
        };
        for device in self.connected.values().cloned().collect::<Vec<_>>() {
            let connected = What::Connected(host::Device {
                device: Some(device),
            });
            if self.invoke(connected).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Makes a call that is in its turn, unless its device is refused.
    async fn take(&mut self, what: What) {
        let device = match &what {
            What::Status(m) | What::Error(m) => m.device.clone(),
            What::Disconnected(m) => m.device.clone(),
            _ => None,
        };
        if let Some(device) = device {
            let key = Key::of(&device);
            if self.refused.contains(&key) {
                return;
            }
            if !self.connected.contains_key(&key) {
                if matches!(what, What::Disconnected(_)) {
                    return;
                }
                // Kept by an earlier process, whose sessions are over.
                let device = Some(device);
                self.make(What::Connected(host::Device { device })).await;
            }
        }
        *lock(&self.shared.current) = Some(what.clone());
        self.make(what).await;
        *lock(&self.shared.current) = None;
    }

    async fn make(&mut self, what: What) {
        let suspects = self.shared.suspects.clone();
        let mut alone = None;
        for attempt in 0..2 {
            self.ready().await;
            if self.run.is_none() {
                break;
            }
            if attempt > 0 {
                // Several calls were under way when the run ended, and one of them ended it. Each is made alone now,
                // so that the next end falls upon the right one.
                alone = Some(suspects.lock().await);
                self.ready().await;
                self.shared.counts.repeated.fetch_add(1, Ordering::Relaxed);
            }
            if let Ok(done) = self.invoke(what.clone()).await {
                drop(alone);
                return self.settle(what, done).await;
            }
            let mut runs = self.shared.runner.run();
            let _ = runs.wait_for(|run| *run != self.run).await;
        }
        drop(alone);
        self.shared.counts.given_up.fetch_add(1, Ordering::Relaxed);
        // A device whose connection cannot even be told has no module.
        if let What::Connected(_) = what {
            let done = Done {
                code: super::NOT_OK,
                supported: true,
                micros: 0,
            };
            self.settle(what, done).await;
        }
    }

    async fn invoke(&mut self, what: What) -> Result<Done, Gone> {
        let counts = &self.shared.counts;
        counts.calls.fetch_add(1, Ordering::Relaxed);
        let mut call = self.shared.runner.invoke(self.shared.car, what);
        let done = match tokio::time::timeout(CALL_WITHIN, &mut call).await {
            Ok(done) => done,
            Err(_) => {
                counts.late.fetch_add(1, Ordering::Relaxed);
                match tokio::time::timeout(HUNG_AFTER, call).await {
                    Ok(done) => done,
                    Err(_) => {
                        self.shared.runner.kill("a call did not return");
                        Err(Gone)
                    }
                }
            }
        };
        if let Ok(done) = &done {
            counts
                .micros
                .fetch_add(done.micros.into(), Ordering::Relaxed);
            if done.code != 0 {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                counts.last_code.store(done.code, Ordering::Relaxed);
            }
        }
        done
    }

    async fn settle(&mut self, what: What, done: Done) {
        match what {
            What::Connected(m) => {
                let device = m.device.unwrap_or_default();
                let key = Key::of(&device);
                let answer = match done {
                    Done {
                        supported: false, ..
                    } => Err(Refused::NoSuchType),
                    Done { code: 0, .. } => Ok(()),
                    Done { code, .. } => Err(Refused::Code(code)),
                };
                if answer.is_ok() {
                    self.refused.remove(&key);
                    self.connected.insert(key.clone(), device);
                } else {
                    self.connected.remove(&key);
                    self.refused.insert(key.clone());
                }
                let _ = self.admissions.send(Admission { key, answer }).await;
            }
            What::Disconnected(m) => {
                self.connected
                    .remove(&Key::of(&m.device.unwrap_or_default()));
            }
            What::Status(_) | What::Error(_) => {}
            What::Open(_) | What::Close(_) | What::Acknowledged(_) => {}
        }
    }
}

/// A call as it travels and as it is kept. Priorities are settled in the vehicle; modules are given 0.
fn what(call: Call) -> What {
    let plain = |device: Device| {
        Some(Device {
            priority: 0,
            ..device
        })
    };
    let payload = |device, data| Payload {
        device: plain(device),
        data,
    };
    match call {
        Call::Connected(device) => What::Connected(host::Device {
            device: plain(device),
        }),
        Call::Status(device, data) => What::Status(payload(device, data)),
        Call::Error(device, data) => What::Error(payload(device, data)),
        Call::Disconnected(device, why) => What::Disconnected(Left {
            device: plain(device),
            why: why as i32,
        }),
        Call::Acknowledged(command) => What::Acknowledged(payload(command.device, command.data)),
    }
}
