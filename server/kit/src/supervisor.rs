//! Starts services in order, restarts what fails, stops in reverse.
//!
//! ```text
//!            ┌────────────── pause, doubling ◄─────────────┐
//!            ▼                                             │
//!  start ► running ── ended, panicked, late ► hook ► event ┤
//!            │                                             │ budget spent, or no restart helps
//!            │ stop                                        ▼
//!            ▼                                       given up (an essential one ends the process)
//!         stopped (in time, or dropped at its deadline)
//! ```
//!
//! Lateness is judged by an OS thread of its own that also calls the `on_failure` hook, so that outputs reach the
//! safe state even when the async runtime is stuck.

mod keeper;
mod watchdog;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::{Context, Service, ServiceError};
use keeper::Keeper;
use watchdog::Watchdog;

/// How a failed service comes back.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    /// First pause; doubles with each failure in a row.
    pub first: Duration,
    /// Longest pause. A run longer than this counts as a recovery: the pause starts anew.
    pub longest: Duration,
    /// More failures than this ...
    pub budget: u32,
    /// ... within this window, and the service is given up: health `failed`, event, no more restarts.
    pub window: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(250),
            longest: Duration::from_secs(30),
            budget: 10,
            window: Duration::from_secs(600),
        }
    }
}

/// Calls the hook of a service; a panic in it is caught. Shared with the watchdog's thread.
#[derive(Clone)]
struct Hook(Arc<Mutex<Box<dyn FnMut() + Send>>>);

impl Hook {
    fn call(&self) {
        let mut hook = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if catch_unwind(AssertUnwindSafe(&mut *hook)).is_err() {
            tracing::error!("an on_failure hook panicked");
        }
    }
}

/// A service and how to treat it.
pub struct Plan {
    make: Box<dyn FnMut() -> Box<dyn Service> + Send>,
    on_failure: Hook,
    restart: Restart,
    stop_within: Duration,
    essential: bool,
}

impl Plan {
    /// `make` builds an instance that attaches to the handles behind the routes.
    pub fn new(make: impl FnMut() -> Box<dyn Service> + Send + 'static) -> Self {
        Self {
            make: Box::new(make),
            on_failure: Hook(Arc::new(Mutex::new(Box::new(|| {})))),
            restart: Restart::default(),
            stop_within: Duration::from_secs(4),
            essential: false,
        }
    }

    /// Called at once when the service failed or a critical loop is late, before anything else (gas: outputs to
    /// the safe state). May be called from any thread, and twice for one failure; must not block.
    #[must_use]
    pub fn on_failure(mut self, hook: impl FnMut() + Send + 'static) -> Self {
        self.on_failure = Hook(Arc::new(Mutex::new(Box::new(hook))));
        self
    }

    /// Other back-off and budget.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How long a stop may take before the task is dropped; 4 s unless told.
    #[must_use]
    pub fn stop_within(mut self, span: Duration) -> Self {
        self.stop_within = span;
        self
    }

    /// When the service is given up, the process ends with exit 1, so that whoever started it starts it afresh.
    #[must_use]
    pub fn essential(mut self) -> Self {
        self.essential = true;
        self
    }
}

/// Owns the services of the process.
pub struct Supervisor {
    cx: Context,
    keepers: Vec<Keeper>,
}

impl Supervisor {
    /// No services yet. `cx.stop` stops everything.
    #[must_use]
    pub fn new(cx: Context) -> Self {
        Self {
            cx,
            keepers: Vec::new(),
        }
    }

    /// Adds a service; they start in this order and stop in reverse. Answers its routes, asked of the first
    /// instance, which is kept for the first run.
    pub fn add(&mut self, mut plan: Plan) -> OpenApiRouter {
        let first = (plan.make)();
        let routes = first.routes();
        self.keepers.push(Keeper::new(plan, first));
        routes
    }

    /// Runs until `cx.stop` fires and all services have stopped, or one fails for good.
    ///
    /// # Errors
    /// The error of a service that no restart cures; its [`exit`](ServiceError::exit) is the exit code.
    pub async fn run(self) -> Result<(), ServiceError> {
        let watched = self.keepers.iter().map(Keeper::watched).collect();
        let watchdog = Watchdog::start(&self.cx.health, watched);
        let (failed, mut failures) = mpsc::channel(self.keepers.len().max(1));
        let mut running = Vec::new();
        for keeper in self.keepers {
            let stop = CancellationToken::new();
            let task = tokio::spawn({
                let (cx, stop, failed) = (self.cx.clone(), stop.clone(), failed.clone());
                async move {
                    if let Err(error) = keeper.keep(cx, stop).await {
                        let _ = failed.send(error).await;
                    }
                }
            });
            running.push((task, stop));
        }
        drop(failed);

        // When every service was given up, pages and the journal stay until somebody stops the process.
        let first = tokio::select! {
            () = self.cx.stop.cancelled() => None,
            Some(error) = failures.recv() => Some(error),
        };
        // One after the other, the last first; each is bounded by its own deadline.
        for (task, stop) in running.into_iter().rev() {
            stop.cancel();
            if let Err(error) = task.await {
                tracing::error!(%error, "the supervisor of a service failed");
            }
        }
        drop(watchdog);
        match first.or_else(|| failures.try_recv().ok()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
