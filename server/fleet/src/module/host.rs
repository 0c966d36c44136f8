//! The module host: `leitstand module-host`, a process for one library.
//!
//! The gateway's side ([`Process`]) starts it, gives it requests, restarts it with a back-off when it ends. The host's
//! side ([`main`]) sets limits for itself, loads the library, and serves frames on its standard input and output until
//! its input ends. It also ends when the gateway does, however that ends.

mod limits;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use leitstand_kit::BoxFuture;
use tokio::sync::{oneshot, watch};

use super::{
    contexts::Contexts,
    frame,
    library::Library,
    runner::{CarNumber, Done, Gone, OffersOf, Runner, lock},
};
use crate::wire::host::{Hello, Reply, Request, reply, request::What};

/// Pauses before a host is started again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// A run of this length was a good one: the pause starts anew.
const GOOD_RUN: Duration = Duration::from_secs(30);
/// Requests that wait for the host's input. Reasoning: one a car, at 1000 cars, and room.
const REQUESTS_MAX: usize = 4096;
/// How long a host may take for the end of its contexts.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// What a host is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostArgs {
    /// The library.
    pub lib: PathBuf,
    /// Number of the module.
    pub module: i32,
    /// MiB.
    pub memory_mib: u32,
    /// Percent of one core.
    pub cpu_percent: u32,
}

impl HostArgs {
    /// As words of a command line, after `module-host`.
    #[must_use]
    pub fn words(&self) -> Vec<std::ffi::OsString> {
        let mut words: Vec<std::ffi::OsString> = vec![self.lib.clone().into()];
        for number in [
            self.module.to_string(),
            self.memory_mib.to_string(),
            self.cpu_percent.to_string(),
        ] {
            words.push(number.into());
        }
        words
    }

    /// Back from the command line.
    #[must_use]
    pub fn parse(words: &[std::ffi::OsString]) -> Option<Self> {
        let [lib, module, memory, cpu] = words else {
            return None;
        };
        let number = |word: &std::ffi::OsString| word.to_str()?.parse().ok();
        Some(Self {
            lib: lib.into(),
            module: module.to_str()?.parse().ok()?,
            memory_mib: number(memory)?,
            cpu_percent: number(cpu)?,
        })
    }
}

/// What happens in a module beside the answers to calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A run began.
    Started { run: u64 },
    /// A run ended, or did not begin.
    Ended { why: String, again_in: Duration },
    /// The library cannot be used.
    Unusable(String),
    /// Waiting for commands of a car: 0 again, or a failure.
    Waiting { car: CarNumber, code: i32 },
    /// More commands at once than are taken.
    Cut { car: CarNumber },
}

type Tell = Arc<dyn Fn(News) + Send + Sync>;
type Pending = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Done>>>>;

/// A module library in a process of its own.
pub(crate) struct Process(Arc<Shared>);

struct Shared {
    program: PathBuf,
    args: HostArgs,
    offers: OffersOf,
    tell: Tell,
    run: watch::Sender<Option<u64>>,
    requests: Mutex<Option<mpsc::SyncSender<Request>>>,
    pending: Pending,
    next_call: AtomicU64,
    stopping: AtomicBool,
    child: Mutex<Option<u32>>,
    ended: watch::Sender<bool>,
    refused: watch::Sender<Option<String>>,
}

impl Process {
    /// Starts the host and keeps it running, from a thread of its own.
    pub(crate) fn start(
        program: PathBuf,
        args: HostArgs,
        offers: OffersOf,
        tell: Tell,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            program,
            args,
            offers,
            tell,
            run: watch::Sender::new(None),
            requests: Mutex::default(),
            pending: Arc::default(),
            next_call: AtomicU64::new(1),
            stopping: AtomicBool::new(false),
            child: Mutex::default(),
            ended: watch::Sender::new(false),
            refused: watch::Sender::new(None),
        });
        let keeper = shared.clone();
        std::thread::Builder::new()
            .name(format!("module {}", shared.args.module))
            .spawn(move || {
                keeper.keep();
                keeper.ended.send_replace(true);
            })?;
        Ok(Self(shared))
    }
}

impl Shared {
    /// Starts it again and again.
    fn keep(&self) {
        let mut pause = BACK_OFF.0;
        for run in 1.. {
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            let started = Instant::now();
            let why = match self.once(run) {
                Ok(why) => why,
                Err(error) => error.to_string(),
            };
            self.run.send_replace(None);
            *lock(&self.requests) = None;
            lock(&self.pending).clear();
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            if started.elapsed() > GOOD_RUN {
                pause = BACK_OFF.0;
            }
            (self.tell)(News::Ended {
                why,
                again_in: pause,
            });
            let until = Instant::now() + pause;
            while Instant::now() < until && !self.stopping.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
            }
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    /// One run, from start to end.
    fn once(&self, run: u64) -> std::io::Result<String> {
        let mut child = Command::new(&self.program)
            .arg("module-host")
            .args(self.args.words())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        *lock(&self.child) = Some(child.id());
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Ok("it has no pipes".into());
        };
        let (requests, inbox) = mpsc::sync_channel(REQUESTS_MAX);
        let writer = std::thread::Builder::new()
            .name(format!("to module {}", self.args.module))
            .spawn(move || write_all(stdin, &inbox))?;
        let mut requests = Some(requests);
        let mut stdout = BufReader::new(stdout);
        let mut refused = None;
        let broken = loop {
            match frame::read::<Reply>(&mut stdout) {
                Ok(Some(reply)) => match reply.what {
                    Some(reply::What::Hello(Hello { .. })) => {
                        *lock(&self.requests) = requests.take();
                        self.run.send_replace(Some(run));
                        (self.tell)(News::Started { run });
                    }
                    Some(reply::What::Failed(why)) => {
                        self.refused.send_replace(Some(why.clone()));
                        (self.tell)(News::Unusable(why.clone()));
                        refused = Some(why);
                    }
                    Some(what) => self.reply(what),
                    None => {}
                },
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        drop(requests.take());
        // First of all: who is told `Gone` must not take this run for a living one.
        self.run.send_replace(None);
        *lock(&self.requests) = None;
        lock(&self.pending).clear();
        if broken.is_some() {
            let _ = child.kill();
        }
        let status = self.reap(&mut child);
        let _ = writer.join();
        Ok(refused.or(broken).unwrap_or(status))
    }

    /// Waits for the end of a host that closed its output.
    fn reap(&self, child: &mut Child) -> String {
        let until = Instant::now() + STOP_WITHIN;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
                Ok(None) => {
                    let _ = child.kill();
                    break child.wait();
                }
                Err(error) => break Err(error),
            }
        };
        *lock(&self.child) = None;
        match status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    fn reply(&self, what: reply::What) {
        match what {
            reply::What::Done(done) => {
                if let Some(waiting) = lock(&self.pending).remove(&done.call) {
                    let _ = waiting.send(Done {
                        code: done.code,
                        supported: done.supported,
                        micros: done.micros,
                    });
                }
            }
            reply::What::Command(command) => {
                let offers = lock(&self.offers).get(&command.car).cloned();
                if let Some((_, offers)) = offers {
                    offers.offer(command.device.unwrap_or_default(), command.data);
                }
            }
            reply::What::Waiting(waiting) => {
                let (car, code) = (waiting.car, waiting.code);
                (self.tell)(if waiting.cut > 0 {
                    News::Cut { car }
                } else {
                    News::Waiting { car, code }
                });
            }
            reply::What::Hello(_) | reply::What::Failed(_) => {}
        }
    }
}

fn write_all(mut stdin: std::process::ChildStdin, inbox: &mpsc::Receiver<Request>) {
    while let Ok(request) = inbox.recv() {
        let mut bytes = Vec::with_capacity(256);
        frame::write_to(&mut bytes, &request);
        // What came meanwhile goes with it.
        while let Some(more) = (bytes.len() < 64 * 1024)
            .then(|| inbox.try_recv().ok())
            .flatten()
        {
            frame::write_to(&mut bytes, &more);
        }
        if stdin.write_all(&bytes).is_err() {
            return;
        }
    }
}

impl Runner for Process {
    fn run(&self) -> watch::Receiver<Option<u64>> {
        self.0.run.subscribe()
    }

    fn refused(&self) -> BoxFuture<'_, String> {
        let mut refused = self.0.refused.subscribe();
        Box::pin(async move {
            let why = refused.wait_for(Option::is_some).await;
            let why = why.ok().and_then(|why| why.clone());
            match why {
                Some(why) => why,
                None => std::future::pending().await,
            }
        })
    }

    fn invoke(&self, car: CarNumber, what: What) -> BoxFuture<'_, Result<Done, Gone>> {
        let call = self.0.next_call.fetch_add(1, Ordering::Relaxed);
        let (answer, waiting) = oneshot::channel();
        let request = Request {
            call,
            car,
            what: Some(what),
        };
        let sent = {
            let requests = lock(&self.0.requests);
            let sent = requests.as_ref().map(|requests| {
                lock(&self.0.pending).insert(call, answer);
                requests.try_send(request)
            });
            matches!(sent, Some(Ok(())))
        };
        if !sent {
            lock(&self.0.pending).remove(&call);
        }
        Box::pin(async move {
            if !sent {
                return Err(Gone);
            }
            waiting.await.map_err(|_| Gone)
        })
    }

    fn kill(&self, why: &str) {
        let child = *lock(&self.0.child);
        if let Some(pid) = child
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw)
        {
            tracing::warn!(module = self.0.args.module, why, "ending a module host");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.0.stopping.store(true, Ordering::Relaxed);
        // The end of its input is the host's sign to go.
        *lock(&self.0.requests) = None;
        let mut ended = self.0.ended.subscribe();
        Box::pin(async move {
            let wait = ended.wait_for(|ended| *ended);
            if tokio::time::timeout(STOP_WITHIN, wait).await.is_err() {
                self.kill("it did not end in time");
            }
        })
    }
}

/// The host's side. Never returns an error: what went wrong is told by a frame, or by the end.
///
/// Call it before any thread is started.
#[must_use]
pub fn main(args: &HostArgs) -> std::process::ExitCode {
    match limits::own_pipes() {
        Ok((input, output)) => serve(args, input, output),
        Err(error) => {
            tracing::error!(%error, "a module host without its pipes");
            std::process::ExitCode::FAILURE
        }
    }
}

fn serve(args: &HostArgs, input: File, output: File) -> std::process::ExitCode {
    let output = Arc::new(Mutex::new(output));
    let send = move |reply: Reply| {
        // The gateway is gone: the end of the input follows.
        let _ = frame::write(&mut *lock(&output), &reply);
    };
    let refuse = |why: String| {
        send(Reply {
            what: Some(reply::What::Failed(why)),
        });
        std::process::ExitCode::from(2)
    };
    if let Err(error) = limits::set(args) {
        return refuse(format!("limits of the process cannot be set: {error}"));
    }
    let library = match Library::load(&args.lib, args.module) {
        Ok(library) => Box::leak(Box::new(library)),
        Err(why) => return refuse(why.to_string()),
    };
    send(Reply {
        what: Some(reply::What::Hello(Hello {
            module: args.module,
        })),
    });
    let mut contexts = Contexts::new(library, send);
    let mut input = BufReader::new(input);
    while let Ok(Some(request)) = frame::read::<Request>(&mut input) {
        contexts.handle(request);
    }
    drop(contexts);
    std::process::ExitCode::SUCCESS
}
