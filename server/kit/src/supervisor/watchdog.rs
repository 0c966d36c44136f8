//! The thread that notices silence.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

use tokio::sync::watch;

use super::Hook;
use crate::Health;

/// How often it looks. Reasoning: deadlines of loops are some 100 ms and more; a look costs microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A service under watch, shared between its keeper and the thread.
pub(super) struct Watched {
    pub(super) name: &'static str,
    pub(super) hook: Hook,
    /// Off before the first start, while it pauses, and once it is being stopped.
    armed: AtomicBool,
    late: watch::Sender<Option<String>>,
}

impl Watched {
    pub(super) fn new(name: &'static str, hook: Hook) -> Arc<Self> {
        Arc::new(Self {
            name,
            hook,
            armed: AtomicBool::new(false),
            late: watch::Sender::new(None),
        })
    }

    pub(super) fn arm(&self) {
        self.late.send_replace(None);
        self.armed.store(true, Ordering::Release);
    }

    pub(super) fn disarm(&self) {
        self.armed.store(false, Ordering::Release);
    }

    /// Returns when a critical loop is late, with the reason.
    pub(super) async fn late(&self) -> String {
        let mut follow = self.late.subscribe();
        match follow
            .wait_for(Option::is_some)
            .await
            .map(|late| late.clone())
        {
            Ok(Some(reason)) => reason,
            // The sender lives in `self`.
            _ => std::future::pending().await,
        }
    }

    fn look(&self, health: &Health) {
        if !self.armed.load(Ordering::Acquire) || self.late.borrow().is_some() {
            return;
        }
        if let Some(reason) = health.late(self.name) {
            self.hook.call();
            self.late.send_replace(Some(reason));
        }
    }
}

pub(super) struct Watchdog {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(super) fn start(health: &Health, watched: Vec<Arc<Watched>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().name("watchdog".into()).spawn({
            let (stop, health) = (Arc::clone(&stop), health.clone());
            move || {
                while !stop.load(Ordering::Acquire) {
                    watched.iter().for_each(|w| w.look(&health));
                    thread::park_timeout(LOOK_EVERY);
                }
            }
        });
        if let Err(error) = &thread {
            tracing::error!(%error, "no watchdog thread: late loops are not noticed");
        }
        Self {
            stop,
            thread: thread.ok(),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            Thread::unpark(thread.thread());
            let _ = thread.join();
        }
    }
}
