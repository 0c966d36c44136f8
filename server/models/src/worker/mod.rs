//! Workers: processes that run Python plugins.
//!
//! Each serves one call at a time over a socket pair on its standard input and output ([`frame`]), is kept
//! warm, and is ended with its whole process group: by SIGTERM, and by SIGKILL when that is ignored. A worker
//! that is gone is seen at the end of the stream, so a call never waits for a dead one.

pub mod frame;
pub mod host;

use std::{
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use leitstand_kit::CancellationToken;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use self::frame::{Decoder, Frame};
use crate::{
    error::{CallError, Kind},
    plugin::{Catalogue, Outcome, Role, Traits, Work},
};

/// The Python side, written to the state directory at the start.
pub(crate) const SCRIPT: &str = include_str!("worker.py");
/// Calls of one worker. Reasoning: whatever a plugin leaks is given back now and then.
const CALLS_MAX: u32 = 1000;
/// Time for starting Python and importing all plugins. Reasoning: scikit-learn on a Pi from an SD card.
const START_TIME: Duration = Duration::from_secs(120);
/// Wait after the first failed start, doubled up to the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// How workers are started.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// This program, which limits the worker before it becomes one (`plugin-host`); `None` starts it directly.
    pub(crate) host: Option<PathBuf>,
    /// Python and its options.
    pub(crate) command: Vec<String>,
    /// Where [`SCRIPT`] lies.
    pub(crate) script: PathBuf,
    /// Modules with plugins, and where they are found.
    pub(crate) modules: Vec<String>,
    pub(crate) path: Vec<String>,
    pub(crate) directory: PathBuf,
    pub(crate) memory_mib: u64,
    pub(crate) cpu_s: u64,
    pub(crate) sigterm_timeout: Duration,
}

/// All workers of a site.
pub(crate) struct Pool {
    spec: Spec,
    idle: Mutex<Vec<Worker>>,
    failures: Mutex<(u32, Option<Instant>)>,
}

struct Worker {
    child: Child,
    stream: UnixStream,
    decoder: Decoder,
    calls: u32,
}

impl Pool {
    pub(crate) fn new(spec: Spec) -> Self {
        Self {
            spec,
            idle: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    /// Starts a worker, keeps it warm, and adds its plugins.
    pub(crate) async fn discover(&self, catalogue: &mut Catalogue) -> Result<(), CallError> {
        let (worker, manifest) = self.start().await?;
        for entry in manifest.as_array().into_iter().flatten() {
            let text = |key| entry.get(key).and_then(Value::as_str).unwrap_or_default();
            let roles = [
                Role::DataAccess,
                Role::Instantiate,
                Role::Fit,
                Role::Predict,
            ];
            let pure = entry.get("pure") == Some(&Value::Bool(true));
            if let Some(role) = roles.into_iter().find(|role| role.name() == text("kind"))
                && !catalogue.add(role, text("key"), Traits { pure })
            {
                tracing::warn!(
                    kind = text("kind"),
                    key = text("key"),
                    "this plugin exists already; the first stays"
                );
            }
        }
        self.keep(worker);
        Ok(())
    }

    /// Runs one call to its end. When this returns, nothing of the call runs any more.
    pub(crate) async fn run(
        &self,
        work: Work,
        progress: &(dyn Fn(Value) + Send + Sync),
        stop: &CancellationToken,
    ) -> Result<Outcome, CallError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut worker = match idle {
            Some(worker) => worker,
            None => {
                tokio::select! {
                    started = self.start() => started?.0,
                    () = stop.cancelled() => return Err(CallError::new(Kind::Cancelled, "cancelled")),
                }
            }
        };
        let answer = tokio::select! {
            answer = worker.call(&work, progress) => answer,
            () = stop.cancelled() => {
                worker.end(self.spec.sigterm_timeout).await;
                return Err(CallError::new(Kind::Cancelled, "cancelled"));
            }
        };
        match answer {
            Ok(result) => {
                self.keep(worker);
                result
            }
            Err(()) => {
                let how = worker.end(Duration::ZERO).await;
                Err(CallError::new(
                    Kind::WorkerLost,
                    format!("the worker ended: {how}"),
                ))
            }
        }
    }

    fn keep(&self, mut worker: Worker) {
        worker.calls += 1;
        if worker.calls < CALLS_MAX {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(worker);
        }
    }

    /// Ends all idle workers.
    pub(crate) fn clear(&self) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    async fn start(&self) -> Result<(Worker, Value), CallError> {
        let failures = || self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let (count, Some(until)) = *failures()
            && until > Instant::now()
        {
            let message =
                format!("workers do not start ({count} times); the next try is in a moment");
            return Err(CallError::new(Kind::Unavailable, message));
        }
        let started = self.try_start().await;
        let mut failed = failures();
        match &started {
            Ok(_) => *failed = (0, None),
            Err(error) => {
                tracing::warn!(%error, "a worker did not start");
                let span = BACK_OFF
                    .0
                    .saturating_mul(1 << failed.0.min(8))
                    .min(BACK_OFF.1);
                *failed = (failed.0 + 1, Some(Instant::now() + span));
            }
        }
        started
    }

    async fn try_start(&self) -> Result<(Worker, Value), CallError> {
        let lost = |what: String| CallError::new(Kind::WorkerLost, what);
        let mut worker =
            Worker::spawn(&self.spec).map_err(|e| lost(format!("starting a worker: {e}")))?;
        let hello =
            json!({"t": "hello", "v": 1, "plugins": self.spec.modules, "path": self.spec.path});
        let greeted = async {
            worker
                .stream
                .write_all(&Frame::new(hello).encode())
                .await
                .ok()?;
            worker.read().await
        };
        let frame = tokio::time::timeout(START_TIME, greeted)
            .await
            .ok()
            .flatten();
        match frame {
            Some(frame) if frame.kind() == "ready" => {
                let manifest = frame.header.get("manifest").cloned().unwrap_or_default();
                Ok((worker, manifest))
            }
            Some(frame) => {
                let text = |key| {
                    frame
                        .header
                        .get(key)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                };
                Err(CallError::new(
                    Kind::Plugin,
                    format!("loading plugins: {}", text("message")),
                ))
            }
            None => {
                let how = worker.end(Duration::ZERO).await;
                Err(lost(format!("the worker ended before it was ready: {how}")))
            }
        }
    }
}

impl Worker {
    fn spawn(spec: &Spec) -> std::io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = match &spec.host {
            Some(host) => {
                let mut command = Command::new(host);
                command.arg("plugin-host");
                command.args([
                    "--memory-mib",
                    &spec.memory_mib.to_string(),
                    "--cpu-s",
                    &spec.cpu_s.to_string(),
                    "--",
                ]);
                command.args(&spec.command);
                command
            }
            None => {
                let mut command =
                    Command::new(spec.command.first().map_or("python3", String::as_str));
                command.args(spec.command.get(1..).unwrap_or_default());
                command
            }
        };
        command
            .arg(&spec.script)
            .current_dir(&spec.directory)
            .env_clear()
            .process_group(0);
        // What an interpreter needs to find its own; nothing that belongs to the gateway.
        for name in ["PATH", "HOME", "LANG", "LC_ALL", "VIRTUAL_ENV"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs.try_clone()?)));
        command
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stderr(Stdio::inherit());
        let child = command.spawn()?;
        // The command holds the worker's ends; dropped, so that its death ends the stream.
        drop(command);
        Ok(Self {
            child,
            stream: UnixStream::from_std(ours)?,
            decoder: Decoder::default(),
            calls: 0,
        })
    }

    /// The next frame; `None` when there will be none.
    async fn read(&mut self) -> Option<Frame> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "a worker does not speak the protocol");
                    return None;
                }
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.decoder.feed(&buffer[..n]),
            }
        }
    }

    /// One call. The outer error: the worker is lost.
    async fn call(
        &mut self,
        work: &Work,
        progress: &(dyn Fn(Value) + Send + Sync),
    ) -> Result<Result<Outcome, CallError>, ()> {
        let instance = work
            .instance
            .as_ref()
            .map(|i| json!({"id": i.id, "version": i.version}));
        let header = json!({
            "t": "call", "id": self.calls, "op": work.role.name(), "key": work.key, "instance": instance,
            "args": work.args, "kwargs": work.kwargs,
        });
        let blob = work
            .instance
            .as_ref()
            .map_or_else(Vec::new, |instance| instance.bytes.to_vec());
        let frame = Frame { header, blob };
        self.stream.write_all(&frame.encode()).await.map_err(drop)?;
        loop {
            let mut frame = self.read().await.ok_or(())?;
            match frame.kind() {
                "progress" => progress(frame.header["value"].take()),
                "result" => {
                    let instance = (frame.header.get("instance") == Some(&Value::Bool(true)))
                        .then(|| frame.blob.into());
                    return Ok(Ok(Outcome {
                        value: frame.header["value"].take(),
                        instance,
                    }));
                }
                "error" => {
                    let text = |key| {
                        frame
                            .header
                            .get(key)
                            .and_then(Value::as_str)
                            .unwrap_or_default()
                    };
                    tracing::info!(
                        key = work.key,
                        traceback = text("traceback"),
                        "a plugin raised an error"
                    );
                    return Ok(Err(CallError::new(Kind::Plugin, text("message"))));
                }
                _ => {}
            }
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Ends the process and all it started: SIGTERM, and after `patience` SIGKILL. How it ended.
    async fn end(mut self, patience: Duration) -> String {
        if !patience.is_zero() {
            self.signal(Signal::TERM);
            let over = async { while self.read().await.is_some() {} };
            let _ = tokio::time::timeout(patience, over).await;
        }
        self.reap()
    }

    fn reap(&mut self) -> String {
        // A process that closed its end is about to exit by itself; its own status says more than our signal.
        for _ in 0..20 {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.signal(Signal::KILL); // whatever it left behind in its group
                return status.to_string();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.signal(Signal::KILL);
        self.child
            .wait()
            .map_or_else(|e| e.to_string(), |status| status.to_string())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
