//! The life of one service: run, fail, pause, run again.

use crate::words::with_causes;
use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Plan, watchdog::Watched};
use crate::{Context, Exit, NewEvent, Service, ServiceError, Severity, health::Level};

pub(super) struct Keeper {
    plan: Plan,
    /// The instance that was asked for the routes.
    first: Option<Box<dyn Service>>,
    watched: Arc<Watched>,
}

impl Keeper {
    pub(super) fn new(plan: Plan, first: Box<dyn Service>) -> Self {
        let watched = Watched::new(first.name(), plan.on_failure.clone());
        Self {
            plan,
            first: Some(first),
            watched,
        }
    }

    pub(super) fn watched(&self) -> Arc<Watched> {
        Arc::clone(&self.watched)
    }

    /// Keeps the service running until `stop`; an error ends the process.
    pub(super) async fn keep(
        mut self,
        cx: Context,
        stop: CancellationToken,
    ) -> Result<(), ServiceError> {
        let name = self.watched.name;
        let restart = self.plan.restart;
        let restarts_total = cx.metrics.counter(
            "leitstand_service_restarts_total",
            "Restarts after a failure.",
            &[("service", name)],
        );
        let mut failures = VecDeque::new();
        let mut pause = restart.first;
        let mut restarts = 0;
        loop {
            cx.health.begin(name, restarts);
            let started = cx.clock.uptime();
            let Some(error) = self.run_once(&cx, &stop).await else {
                drop(
                    cx.events
                        .record(NewEvent::new(name, "ServiceStopped").text("stopped")),
                );
                return Ok(());
            };
            self.watched.disarm();
            self.watched.hook.call();

            let now = cx.clock.uptime();
            failures.push_back(now);
            failures.retain(|at| now.saturating_sub(*at) <= restart.window);
            let exhausted = failures.len() as u32 > restart.budget;
            if now.saturating_sub(started) > restart.longest {
                pause = restart.first;
            }
            self.tell(&cx, &error, restarts, pause);
            if error.exit().is_some() {
                return Err(error);
            }
            if exhausted {
                return self.give_up(&cx, error);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return Ok(()),
            }
            pause = (pause * 2).min(restart.longest);
            restarts += 1;
            restarts_total.inc();
        }
    }

    /// `None`: it stopped because it was asked to.
    async fn run_once(&mut self, cx: &Context, stop: &CancellationToken) -> Option<ServiceError> {
        let name = self.watched.name;
        let service = match self.first.take() {
            Some(first) => first,
            None => match catch_unwind(AssertUnwindSafe(|| (self.plan.make)())) {
                Ok(service) => service,
                Err(panic) => return Some(panicked(panic)),
            },
        };
        let instance_stop = stop.child_token();
        let instance_cx = cx.with_stop(instance_stop.clone());
        drop(
            cx.events
                .record(NewEvent::new(name, "ServiceStarted").text("started")),
        );
        self.watched.arm();
        let mut task = tokio::spawn(async move { service.run(instance_cx).await });
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                self.watched.disarm();
                match within(self.plan.stop_within, &mut task).await {
                    Some(Ok(Ok(()))) => {}
                    Some(ended) => tracing::warn!("{name} failed while it stopped: {}", why(ended)),
                    None => {
                        let text = format!("did not stop within {} ms", self.plan.stop_within.as_millis());
                        drop(cx.events.record(NewEvent::new(name, "ServiceStopLate").severity(Severity::Warning).text(text)));
                    }
                }
                None
            }
            ended = &mut task => Some(why(ended)),
            reason = self.watched.late() => {
                instance_stop.cancel();
                let _ = within(self.plan.stop_within, &mut task).await;
                Some(ServiceError::retry(reason))
            }
        }
    }

    fn tell(&self, cx: &Context, error: &ServiceError, restarts: u32, pause: Duration) {
        let name = self.watched.name;
        let text = with_causes(error);
        tracing::error!("{name} failed: {text}");
        cx.health.set(name, Level::Failed, Some(&text));
        let data = json!({ "restarts": restarts, "pause_ms": pause.as_millis() as u64 });
        drop(
            cx.events.record(
                NewEvent::new(name, "ServiceFailed")
                    .severity(Severity::Fault)
                    .text(text)
                    .data(data),
            ),
        );
    }

    fn give_up(&self, cx: &Context, error: ServiceError) -> Result<(), ServiceError> {
        let name = self.watched.name;
        let text = format!("given up: {error}");
        cx.health.set(name, Level::Failed, Some(&text));
        drop(
            cx.events.record(
                NewEvent::new(name, "ServiceGivenUp")
                    .severity(Severity::Fault)
                    .text(text),
            ),
        );
        if self.plan.essential {
            let message = format!("{name} failed too often");
            return Err(ServiceError::fatal(Exit::Internal, message).because(error));
        }
        Ok(())
    }
}

/// Waits for the end; at the deadline the task is dropped and the answer is `None`.
async fn within<T>(span: Duration, task: &mut JoinHandle<T>) -> Option<Result<T, JoinError>> {
    match tokio::time::timeout(span, &mut *task).await {
        Ok(ended) => Some(ended),
        Err(_) => {
            task.abort();
            None
        }
    }
}

fn why(ended: Result<Result<(), ServiceError>, JoinError>) -> ServiceError {
    match ended {
        Ok(Ok(())) => ServiceError::retry("ended without being asked to"),
        Ok(Err(error)) => error,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => panicked(panic),
            Err(error) => ServiceError::retry("was aborted").because(error),
        },
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> ServiceError {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".into());
    ServiceError::retry(format!("panicked: {text}"))
}
