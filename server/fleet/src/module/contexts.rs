//! The working side of a module library: a context a car, two threads each.
//!
//! One thread makes the calls in order, the other waits for commands beside it, as every module in the field expects;
//! with `strict` it waits in short slices under the same lock. Runs in a module host, or inline.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    NOT_OK, TIMEOUT_OCCURRED,
    library::{Library, LibraryContext},
    runner::{leave, lock},
};
use crate::wire::host::{self, Reply, Request, Waiting, reply, request::What};

/// Commands taken at one wake-up. Reasoning: a `pop_command` that never ends must not either.
const POPS_MAX: u32 = 64;
/// Pauses after `wait_for_command` failed.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Pause after so many at once.
const CUT_PAUSE: Duration = Duration::from_millis(50);
/// Slice of waiting under the lock.
const STRICT_SLICE_MS: u32 = 50;

type Send = Arc<dyn Fn(reply::What) + std::marker::Send + Sync>;
type Context = Arc<LibraryContext<'static>>;

/// All contexts of one library.
pub(crate) struct Contexts {
    library: &'static Library,
    send: Send,
    cars: BTreeMap<u32, Car>,
}

struct Car {
    calls: Option<mpsc::Sender<(u64, What)>>,
    thread: Option<JoinHandle<()>>,
}

impl Contexts {
    /// Replies go to `send`, from any thread.
    pub(crate) fn new(
        library: &'static Library,
        send: impl Fn(Reply) + std::marker::Send + Sync + 'static,
    ) -> Self {
        Self {
            library,
            send: Arc::new(move |what| send(Reply { what: Some(what) })),
            cars: BTreeMap::new(),
        }
    }

    /// Takes a request. Never waits for the library.
    pub(crate) fn handle(&mut self, request: Request) {
        let Some(what) = request.what else {
            return;
        };
        let car = self.cars.entry(request.car).or_insert_with(|| {
            let (calls, inbox) = mpsc::channel();
            let (library, send, number) = (self.library, self.send.clone(), request.car);
            let thread = std::thread::Builder::new()
                .name(format!("car {number}"))
                .spawn(move || serve(library, number, &inbox, &send));
            Car {
                calls: Some(calls),
                thread: thread.ok(),
            }
        });
        if let Some(calls) = &car.calls {
            let _ = calls.send((request.call, what));
        }
    }
}

impl Drop for Contexts {
    /// Destroys all contexts, if the library lets it.
    fn drop(&mut self) {
        for car in self.cars.values_mut() {
            car.calls = None;
        }
        let until = Instant::now() + Duration::from_secs(2);
        for car in self.cars.values_mut() {
            while car.thread.as_ref().is_some_and(|t| !t.is_finished()) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// An open context and the thread that waits for its commands.
struct Open {
    context: Context,
    lock: Arc<Mutex<()>>,
    ended: Arc<AtomicBool>,
    waiter: Option<JoinHandle<()>>,
}

impl Open {
    fn close(mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.join();
        }
        drop(self.context);
    }
}

fn serve(library: &'static Library, car: u32, inbox: &mpsc::Receiver<(u64, What)>, send: &Send) {
    let mut open: Option<Open> = None;
    while let Ok((call, what)) = inbox.recv() {
        let started = Instant::now();
        let mut supported = true;
        let code = match what {
            What::Open(config) => {
                if let Some(old) = open.take() {
                    old.close();
                }
                match begin(library, car, &config, send) {
                    Some(new) => {
                        open = Some(new);
                        0
                    }
                    None => NOT_OK,
                }
            }
            What::Close(_) => {
                if let Some(old) = open.take() {
                    old.close();
                }
                0
            }
            what => match &open {
                None => super::CONTEXT_INCORRECT,
                Some(open) => {
                    let _one_at_a_time = lock(&open.lock);
                    make(library, &open.context, what, &mut supported)
                }
            },
        };
        send(reply::What::Done(host::Done {
            call,
            code,
            supported,
            micros: u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX),
        }));
    }
    if let Some(open) = open {
        open.close();
    }
}

fn make(library: &Library, context: &Context, what: What, supported: &mut bool) -> i32 {
    match what {
        What::Connected(m) => {
            let device = m.device.unwrap_or_default();
            *supported = library.supports(device.device_type);
            if *supported {
                context.connected(&device)
            } else {
                0
            }
        }
        What::Status(m) => context.status(&m.device.unwrap_or_default(), &m.data),
        What::Error(m) => context.error(&m.device.unwrap_or_default(), &m.data),
        What::Disconnected(m) => context.disconnected(&m.device.unwrap_or_default(), leave(m.why)),
        What::Acknowledged(m) => context.acknowledged(&m.device.unwrap_or_default(), &m.data),
        What::Open(_) | What::Close(_) => 0,
    }
}

fn begin(library: &'static Library, car: u32, open: &host::Open, send: &Send) -> Option<Open> {
    let config: Vec<_> = open
        .config
        .iter()
        .map(|pair| (pair.key.clone(), pair.value.clone()))
        .collect();
    let context: Context = Arc::new(library.init(&config).ok()?);
    let calls = Arc::new(Mutex::new(()));
    let ended = Arc::new(AtomicBool::new(false));
    let waiter = Waiter {
        car,
        context: context.clone(),
        calls: calls.clone(),
        ended: ended.clone(),
        wait_ms: open.wait_ms.max(1),
        strict: open.strict,
        send: send.clone(),
    };
    let thread = std::thread::Builder::new()
        .name(format!("wait {car}"))
        .spawn(move || waiter.run());
    Some(Open {
        context,
        lock: calls,
        ended,
        waiter: thread.ok(),
    })
}

/// Waits for commands of one car.
struct Waiter {
    car: u32,
    context: Context,
    calls: Arc<Mutex<()>>,
    ended: Arc<AtomicBool>,
    wait_ms: u32,
    strict: bool,
    send: Send,
}

impl Waiter {
    fn run(self) {
        let mut pause = BACK_OFF.0;
        let mut told = (0, false);
        while !self.ended.load(Ordering::Relaxed) {
            let code = self.wait();
            let (good, cut) = match code {
                0 => (true, self.take()),
                TIMEOUT_OCCURRED => (true, false),
                _ => (false, false),
            };
            let state = (if good { 0 } else { code }, cut);
            if state != told {
                told = state;
                (self.send)(reply::What::Waiting(Waiting {
                    car: self.car,
                    code: state.0,
                    cut: u32::from(cut),
                }));
            }
            if cut {
                self.sleep(CUT_PAUSE);
            } else if good {
                pause = BACK_OFF.0;
            } else {
                self.sleep(pause);
                pause = (pause * 2).min(BACK_OFF.1);
            }
        }
    }

    fn wait(&self) -> i32 {
        if !self.strict {
            return self.context.wait(self.wait_ms);
        }
        let mut left = self.wait_ms;
        loop {
            let slice = left.min(STRICT_SLICE_MS);
            let code = {
                let _one_at_a_time = lock(&self.calls);
                self.context.wait(slice)
            };
            left -= slice;
            if code != TIMEOUT_OCCURRED || left == 0 || self.ended.load(Ordering::Relaxed) {
                return code;
            }
            // Lets a call that waits for the lock go first.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Takes the commands that are there; true when there was no end to them.
    fn take(&self) -> bool {
        for _ in 0..POPS_MAX {
            let popped = {
                let _one_at_a_time = lock(&self.calls);
                self.context.pop()
            };
            let Ok((device, data, left)) = popped else {
                return false;
            };
            (self.send)(reply::What::Command(host::Command {
                car: self.car,
                device: Some(device),
                data,
            }));
            if left == 0 {
                return false;
            }
        }
        true
    }

    fn sleep(&self, span: Duration) {
        let until = Instant::now() + span;
        while Instant::now() < until && !self.ended.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20).min(span));
        }
    }
}
