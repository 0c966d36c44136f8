//! Starts services in order, restarts what fails, stops in reverse.

use std::time::Duration;

use utoipa_axum::router::OpenApiRouter;

use crate::{Context, Service, ServiceError};

/// How a failed service comes back.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    /// First pause; doubles with each failure in a row.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
    /// So many failures ...
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

/// A service and how to treat it.
pub struct Plan {
    make: Box<dyn FnMut() -> Box<dyn Service> + Send>,
    on_failure: Box<dyn FnMut() + Send>,
    restart: Restart,
    stop_within: Duration,
}

impl Plan {
    /// `make` builds an instance that attaches to the handles behind the routes.
    pub fn new(make: impl FnMut() -> Box<dyn Service> + Send + 'static) -> Self {
        Self {
            make: Box::new(make),
            on_failure: Box::new(|| {}),
            restart: Restart::default(),
            stop_within: Duration::from_secs(4),
        }
    }

    /// Called at once when the service failed or a critical loop is late, before anything else (gas: outputs to
    /// the safe state). Must not block; a panic in it is caught and logged.
    #[must_use]
    pub fn on_failure(mut self, hook: impl FnMut() + Send + 'static) -> Self {
        self.on_failure = Box::new(hook);
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
}

/// Owns the services of the process.
pub struct Supervisor {
    cx: Context,
    plans: Vec<Plan>,
}

impl Supervisor {
    /// No services yet. `cx.stop` stops everything.
    #[must_use]
    pub fn new(cx: Context) -> Self {
        Self {
            cx,
            plans: Vec::new(),
        }
    }

    /// Adds a service; they start in this order and stop in reverse. Answers its routes, asked of the first
    /// instance, which is kept for the first run.
    pub fn add(&mut self, plan: Plan) -> OpenApiRouter {
        self.plans.push(plan);
        todo!()
    }

    /// Runs until `cx.stop` fires and all services have stopped, or one fails for good.
    ///
    /// # Errors
    /// The error of a service that no restart cures; its [`exit`](ServiceError::exit) is the exit code.
    pub async fn run(self) -> Result<(), ServiceError> {
        let _ = self.cx;
        for p in self.plans {
            let _ = (p.make, p.on_failure, p.restart, p.stop_within);
        }
        todo!()
    }
}
