//! Containers that are not there: for tests, and for looking at the pages where nothing may be started.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use leitstand_kit::{BoxFuture, CancellationToken};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex},
    sync::oneshot,
};

use super::{
    Attach, Backend, BackendError, Control, Exit, Files, Guest, Probe, Session, Size, Spec, Stats,
};
use crate::id::ContainerId;

/// The backend. Clones share their containers.
#[derive(Clone, Default)]
pub struct Mock(Arc<Shared>);

#[derive(Default)]
struct Shared {
    running: Mutex<BTreeMap<ContainerId, Arc<MockGuest>>>,
    /// Left behind by a former life; for tests of reconciling.
    orphans: Mutex<BTreeSet<ContainerId>>,
    fail: Mutex<Option<&'static str>>,
    creates: Mutex<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mock {
    /// Lets the next step of this name fail: `create`, `ready`, `attach`, `destroy`.
    pub fn fail_next(&self, step: &'static str) {
        *lock(&self.0.fail) = Some(step);
    }

    /// Puts a left-over there.
    pub fn leave_orphan(&self, id: ContainerId) {
        lock(&self.0.orphans).insert(id);
    }

    /// How often a container was asked for.
    #[must_use]
    pub fn creates(&self) -> u64 {
        *lock(&self.0.creates)
    }

    /// Containers that run.
    #[must_use]
    pub fn running(&self) -> usize {
        lock(&self.0.running).len()
    }

    /// The container ends by itself.
    pub fn power_off(&self, id: ContainerId) {
        if let Some(guest) = lock(&self.0.running).get(&id) {
            guest.over.cancel();
        }
    }

    fn failing(&self, step: &'static str) -> Result<(), BackendError> {
        let mut fail = lock(&self.0.fail);
        if *fail == Some(step) {
            *fail = None;
            return Err(BackendError::new(step, "told to fail"));
        }
        Ok(())
    }
}

impl Backend for Mock {
    fn kind(&self) -> &'static str {
        "mock"
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, BackendError>> {
        let notes = vec!["containers are not real".to_owned()];
        Box::pin(std::future::ready(Ok(Probe {
            limits: "none".into(),
            notes,
        })))
    }

    fn create(&self, spec: Spec) -> BoxFuture<'_, Result<Arc<dyn Guest>, BackendError>> {
        Box::pin(async move {
            *lock(&self.0.creates) += 1;
            self.failing("create")?;
            let guest = Arc::new(MockGuest {
                mock: self.clone(),
                id: spec.id,
                username: spec.username,
                over: CancellationToken::new(),
                paused: AtomicBool::new(false),
            });
            lock(&self.0.running).insert(spec.id, guest.clone());
            Ok(guest as Arc<dyn Guest>)
        })
    }

    fn list_ours(&self) -> BoxFuture<'_, Result<Vec<ContainerId>, BackendError>> {
        let mut all: Vec<_> = lock(&self.0.running).keys().copied().collect();
        all.extend(lock(&self.0.orphans).iter());
        Box::pin(std::future::ready(Ok(all)))
    }

    fn adopt(&self, id: ContainerId) -> BoxFuture<'_, Option<Arc<dyn Guest>>> {
        let guest = lock(&self.0.running).get(&id).cloned();
        Box::pin(std::future::ready(guest.map(|g| g as Arc<dyn Guest>)))
    }

    fn sweep(&self, id: ContainerId) -> BoxFuture<'_, Result<(), BackendError>> {
        lock(&self.0.orphans).remove(&id);
        let guest = lock(&self.0.running).remove(&id);
        if let Some(guest) = guest {
            guest.over.cancel();
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

struct MockGuest {
    mock: Mock,
    id: ContainerId,
    username: String,
    over: CancellationToken,
    paused: AtomicBool,
}

impl Guest for MockGuest {
    fn wait_ready(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(std::future::ready(self.mock.failing("ready")))
    }

    fn attach(&self, attach: Attach) -> BoxFuture<'_, Result<Session, BackendError>> {
        Box::pin(async move {
            self.mock.failing("attach")?;
            if self.over.is_cancelled() {
                return Err(BackendError::new("attach", "the container has ended"));
            }
            let (input, theirs_in) = duplex(4096);
            let (theirs_out, output) = duplex(4096);
            let (done, exit) = oneshot::channel();
            let (user, over) = (self.username.clone(), self.over.clone());
            tokio::spawn(async move {
                let shell = shell(
                    attach.command,
                    &user,
                    BufReader::new(theirs_in),
                    theirs_out,
                    &over,
                );
                tokio::select! {
                    code = shell => drop(done.send(Exit::Code(code))),
                    () = over.cancelled() => {}
                }
            });
            Ok(Session {
                input: Box::new(input),
                output: Box::new(output),
                errors: None,
                exit,
                control: Arc::new(Nothing),
            })
        })
    }

    fn files(&self) -> Option<Arc<dyn Files>> {
        None
    }

    fn stats(&self) -> Stats {
        Stats {
            memory_bytes: Some(0),
            cpu_us: Some(0),
            pids: Some(1),
        }
    }

    fn pause(&self, paused: bool) -> BoxFuture<'_, Result<(), BackendError>> {
        self.paused.store(paused, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(())))
    }

    fn destroy(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(async move {
            let failed = self.mock.failing("destroy");
            self.over.cancel();
            lock(&self.mock.0.running).remove(&self.id);
            failed
        })
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        Box::pin(self.over.clone().cancelled_owned())
    }
}

struct Nothing;

impl Control for Nothing {
    fn resize(&self, _: Size) {}
    fn signal(&self, _: i32) {}
}

/// Knows `id -un`, `echo`, `exit`, `poweroff`.
async fn shell(
    command: Option<String>,
    user: &str,
    mut input: impl AsyncBufReadExt + Unpin,
    mut output: impl AsyncWriteExt + Unpin,
    over: &CancellationToken,
) -> i32 {
    let once = command.is_some();
    let mut line = command.unwrap_or_default();
    loop {
        if !once {
            line.clear();
            if output.write_all(b"$ ").await.is_err()
                || input.read_line(&mut line).await.unwrap_or(0) == 0
            {
                return 0;
            }
        }
        let words = line.trim();
        let (answer, status) = match words.split_once(' ').unwrap_or((words, "")) {
            ("id", "-un") => (format!("{user}\n"), 0),
            ("echo", rest) => (format!("{rest}\n"), 0),
            ("exit", code) => return code.parse().unwrap_or(0),
            ("poweroff", _) => {
                over.cancel();
                return 0;
            }
            _ => (format!("{words}: not found\n"), 127),
        };
        if output.write_all(answer.as_bytes()).await.is_err() || once {
            return status;
        }
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn mock_keeps_to_the_contract() {
        crate::backend::contract::keeps_to(&super::Mock::default()).await;
    }
}
