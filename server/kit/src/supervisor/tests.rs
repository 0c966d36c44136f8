#![allow(clippy::unwrap_used)]
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use super::*;
use crate::{BoxFuture, Exit, events::Filter, health::Level};

/// What an instance does, by its number from 0.
type Script =
    Arc<dyn Fn(u32, Context) -> BoxFuture<'static, Result<(), ServiceError>> + Send + Sync>;

struct Scripted {
    name: &'static str,
    number: u32,
    script: Script,
}

impl Service for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }
    fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::new()
    }
    fn run(self: Box<Self>, cx: Context) -> BoxFuture<'static, Result<(), ServiceError>> {
        (self.script)(self.number, cx)
    }
}

fn plan<F>(name: &'static str, script: impl Fn(u32, Context) -> F + Send + Sync + 'static) -> Plan
where
    F: Future<Output = Result<(), ServiceError>> + Send + 'static,
{
    let script: Script = Arc::new(move |number, cx| Box::pin(script(number, cx)));
    let mut next = 0;
    Plan::new(move || {
        let number = next;
        next += 1;
        Box::new(Scripted {
            name,
            number,
            script: script.clone(),
        })
    })
    .restart(Restart {
        first: Duration::from_millis(1),
        ..Restart::default()
    })
}

/// A service that runs until it is stopped.
async fn quiet(cx: Context) -> Result<(), ServiceError> {
    cx.stop.cancelled().await;
    Ok(())
}

async fn kinds(cx: &Context) -> Vec<String> {
    cx.events.flush().await;
    let filter = Filter {
        oldest_first: true,
        ..Filter::default()
    };
    let page = cx.events.query(filter).await.unwrap();
    page.items
        .iter()
        .map(|e| format!("{} {} {}", e.service, e.kind, e.text))
        .collect()
}

fn context() -> (tempfile::TempDir, Context) {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::for_tests(dir.path());
    (dir, cx)
}

async fn run(cx: &Context, plans: Vec<Plan>) -> Result<(), ServiceError> {
    let mut supervisor = Supervisor::new(cx.clone());
    for plan in plans {
        let _ = supervisor.add(plan);
    }
    tokio::time::timeout(Duration::from_secs(20), supervisor.run())
        .await
        .expect("the supervisor ends")
}

#[tokio::test]
async fn services_stop_one_by_one_in_reverse_order() {
    let (_dir, cx) = context();
    let order = Arc::new(Mutex::new(Vec::new()));
    let plans = ["gas", "panel", "fleet"].map(|name| {
        let order = order.clone();
        plan(name, move |_, cx| {
            let order = order.clone();
            async move {
                cx.stop.cancelled().await;
                // The one after it in the list must be gone by now, the one before still be there.
                tokio::task::yield_now().await;
                order.lock().unwrap().push(name);
                Ok(())
            }
        })
    });
    cx.stop.cancel();
    run(&cx, plans.into()).await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["fleet", "panel", "gas"]);
}

#[tokio::test]
async fn a_panic_is_a_failure_and_the_hook_runs_before_the_restart() {
    let (_dir, cx) = context();
    let log = Arc::new(Mutex::new(Vec::new()));
    let plan = plan("gas", {
        let log = log.clone();
        move |number, cx| {
            log.lock().unwrap().push(format!("run {number}"));
            async move {
                match number {
                    0 => panic!("a defect in {number}"),
                    1 => Err(ServiceError::retry("no bus").because("unplugged")),
                    2 => Ok(()),
                    _ => quiet(cx).await,
                }
            }
        }
    })
    .on_failure({
        let log = log.clone();
        move || {
            log.lock().unwrap().push("safe".into());
            panic!("a hook that panics takes nobody along");
        }
    });
    let stopper = cx.clone();
    let supervised = tokio::spawn(async move { run(&stopper, vec![plan]).await });
    tokio::time::timeout(Duration::from_secs(10), async {
        while cx.health.report().services.iter().all(|s| s.restarts < 3) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .unwrap();
    cx.stop.cancel();
    supervised.await.unwrap().unwrap();
    assert_eq!(
        *log.lock().unwrap(),
        ["run 0", "safe", "run 1", "safe", "run 2", "safe", "run 3"]
    );
    let kinds = kinds(&cx).await;
    assert!(
        kinds.contains(&"gas ServiceFailed panicked: a defect in 0".into()),
        "{kinds:?}"
    );
    assert!(
        kinds.contains(&"gas ServiceFailed no bus: unplugged".into()),
        "{kinds:?}"
    );
    assert!(
        kinds.contains(&"gas ServiceFailed ended without being asked to".into()),
        "{kinds:?}"
    );
    assert!(
        cx.metrics
            .render()
            .contains("leitstand_service_restarts_total{service=\"gas\"} 3\n")
    );
}

#[tokio::test]
async fn a_failing_service_takes_nobody_along() {
    let (_dir, cx) = context();
    let good_runs = Arc::new(AtomicU32::new(0));
    let good = plan("good", {
        let good_runs = good_runs.clone();
        move |_, cx| {
            good_runs.fetch_add(1, Ordering::Relaxed);
            quiet(cx)
        }
    });
    let bad = plan("bad", |number, cx| async move {
        if number == 3 {
            cx.events
                .record(crate::NewEvent::new("bad", "Recovered"))
                .await
                .unwrap();
            return quiet(cx).await;
        }
        panic!("again")
    });
    let mut news = cx.events.subscribe();
    let task = tokio::spawn({
        let cx = cx.clone();
        async move { run(&cx, vec![good, bad]).await }
    });
    while news.recv().await.unwrap().kind != "Recovered" {}
    assert_eq!(good_runs.load(Ordering::Relaxed), 1);
    cx.stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_spent_budget_gives_up_and_only_an_essential_service_ends_the_process() {
    for essential in [false, true] {
        let (_dir, cx) = context();
        let runs = Arc::new(AtomicU32::new(0));
        let mut plan = plan("bad", {
            let runs = runs.clone();
            move |_, _| {
                runs.fetch_add(1, Ordering::Relaxed);
                async { Err(ServiceError::retry("no use")) }
            }
        })
        .restart(Restart {
            first: Duration::from_millis(1),
            budget: 3,
            ..Restart::default()
        });
        if essential {
            plan = plan.essential();
        }
        let mut news = cx.events.subscribe();
        let task = tokio::spawn({
            let cx = cx.clone();
            async move { run(&cx, vec![plan]).await }
        });
        while news.recv().await.unwrap().kind != "ServiceGivenUp" {}
        assert_eq!(
            runs.load(Ordering::Relaxed),
            4,
            "the first run and three restarts"
        );
        assert_eq!(cx.health.report().health, Level::Failed);
        if essential {
            assert_eq!(
                task.await.unwrap().unwrap_err().exit(),
                Some(Exit::Internal)
            );
        } else {
            cx.stop.cancel();
            task.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn an_error_that_no_restart_cures_stops_the_others_and_keeps_its_exit_code() {
    let (_dir, cx) = context();
    let stopped = Arc::new(AtomicU32::new(0));
    let good = plan("good", {
        let stopped = stopped.clone();
        move |_, cx| {
            let stopped = stopped.clone();
            async move {
                cx.stop.cancelled().await;
                stopped.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    });
    let bad = plan("bad", |_, _| async {
        Err(ServiceError::fatal(Exit::Hardware, "no bus"))
    });
    let error = run(&cx, vec![good, bad]).await.unwrap_err();
    assert_eq!(error.exit(), Some(Exit::Hardware));
    assert_eq!(stopped.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_service_that_does_not_stop_is_dropped_at_its_deadline() {
    let (_dir, cx) = context();
    let deaf = plan("deaf", |_, _| std::future::pending()).stop_within(Duration::from_millis(30));
    cx.stop.cancel();
    let start = Instant::now();
    run(&cx, vec![deaf]).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(
        kinds(&cx)
            .await
            .contains(&"deaf ServiceStopLate did not stop within 30 ms".into())
    );
}

#[tokio::test]
async fn a_late_critical_loop_fails_its_service() {
    let (_dir, cx) = context();
    let hooks = Arc::new(AtomicU32::new(0));
    let plan = plan("gas", |number, cx| async move {
        let heart = cx
            .health
            .critical("gas", "evaluate", Duration::from_millis(40));
        if number == 0 {
            // Turns once and hangs.
            heart.beat();
            cx.stop.cancelled().await;
        } else {
            let mut tick = tokio::time::interval(Duration::from_millis(5));
            while !cx.stop.is_cancelled() {
                tick.tick().await;
                heart.beat();
            }
        }
        heart.finish();
        Ok(())
    })
    .on_failure({
        let hooks = hooks.clone();
        move || {
            hooks.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut news = cx.events.subscribe();
    let task = tokio::spawn({
        let cx = cx.clone();
        async move { run(&cx, vec![plan]).await }
    });
    let failed = loop {
        let entry = news.recv().await.unwrap();
        if entry.kind == "ServiceFailed" {
            break entry;
        }
    };
    assert!(
        failed.text.starts_with("loop evaluate is silent for"),
        "{}",
        failed.text
    );
    assert!(hooks.load(Ordering::Relaxed) >= 1);
    while news.recv().await.unwrap().kind != "ServiceStarted" {}
    cx.stop.cancel();
    task.await.unwrap().unwrap();
}

/// The runtime has one thread and the service blocks it until the outputs are safe: only a thread of its own can
/// bring them there.
#[test]
fn the_hook_runs_even_when_the_async_runtime_is_stuck() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (_dir, cx) = context();
    let (safe, is_safe) = std::sync::mpsc::channel();
    let is_safe = Mutex::new(is_safe);
    let stop = cx.stop.clone();
    let seen = Arc::new(AtomicU32::new(0));
    let plan = plan("gas", {
        let seen = seen.clone();
        move |_, cx| {
            let heart = cx
                .health
                .critical("gas", "evaluate", Duration::from_millis(20));
            if is_safe
                .lock()
                .unwrap()
                .recv_timeout(Duration::from_secs(10))
                .is_ok()
            {
                seen.fetch_add(1, Ordering::Relaxed);
            }
            heart.finish();
            stop.cancel();
            quiet(cx)
        }
    })
    .on_failure(move || {
        let _ = safe.send(());
    });
    runtime.block_on(run(&cx, vec![plan])).unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}
