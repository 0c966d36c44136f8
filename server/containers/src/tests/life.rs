//! Cases 6, 21, 24, 25, 27 and 28 of `specs/containers.md` 11, and what surrounds them.

use super::*;
use crate::{
    engine::{NotCreated, Wish},
    facts::Kind,
    id::ContainerId,
};

#[tokio::test(flavor = "multi_thread")]
async fn golden_c6_fifty_at_once_for_one_place() {
    let lab = Lab::new("max_running = 1").await;
    let all = (0..50).map(|_| lab.engine.create(Wish::default()));
    let results = futures_util::future::join_all(all).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    assert_eq!(
        results
            .iter()
            .filter(|r| matches!(r, Err(NotCreated::Refused(_))))
            .count(),
        49
    );
    assert_eq!(lab.engine.available(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c21_a_client_that_vanishes_leaves_nothing() {
    let lab = Lab::new("max_running = 1").await;
    let address = lab.address;
    let gone = tokio::task::spawn_blocking(move || {
        let mut client = connect(address, Framing::W3).unwrap();
        client
            .send(br#"{"verb": "CREATE", "parameters": {}}"#)
            .unwrap();
        // Dropped without reading the answer.
    });
    gone.await.unwrap();
    until(|| lab.engine.statistics().created == 1 && lab.engine.available() == 1).await;
    assert_eq!(lab.mock.running(), 0);
    assert!(lab.engine.ledger().rows().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c24_a_guest_that_ends_by_itself() {
    let lab = Lab::new("").await;
    let made = lab.engine.create(Wish::default()).await.unwrap();
    let mut seen = lab.engine.facts().observe();
    lab.mock.power_off(made.id);
    until(|| lab.engine.get(made.id).is_none() && lab.engine.statistics().destroyed == 1).await;
    let mut causes = Vec::new();
    while let Ok(fact) = seen.try_recv() {
        causes.push((fact.kind, fact.cause as u8));
    }
    assert_eq!(
        causes,
        [(Kind::ForwarderStopped, 21), (Kind::ContainerStopped, 21)]
    );
    let late = json!({"container_uuid": made.id.to_string(), "client_token": made.client_token});
    assert_eq!(
        lab.ask("DESTROY", late).await["message"],
        "Bad authentication"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c25_a_backend_that_fails_at_each_step() {
    let lab = Lab::new("max_running = 1").await;
    for (n, step) in (1..).zip(["create", "ready"]) {
        lab.mock.fail_next(step);
        assert_eq!(
            lab.ask("CREATE", json!({})).await["message"],
            "Internal error",
            "{step}"
        );
        assert_eq!(
            (lab.mock.running(), lab.engine.available()),
            (0, 1),
            "{step}"
        );
        assert!(
            lab.engine.ledger().rows().await.unwrap().is_empty(),
            "{step}"
        );
        assert_eq!(lab.engine.statistics().recorded_runtime_errors, n, "{step}");
    }
    assert_eq!(
        lab.kinds()
            .await
            .iter()
            .filter(|k| *k == "RuntimeFailed")
            .count(),
        2
    );
    assert_eq!(lab.ask("CREATE", json!({})).await["message"], "OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c27_what_a_former_life_left_is_removed() {
    let first = Lab::new("").await;
    let made = first.engine.create(Wish::default()).await.unwrap();
    let unknown = ContainerId::random();
    first.mock.leave_orphan(unknown);
    let (mock, dir) = (first.mock.clone(), first.dir.clone());
    assert_eq!(mock.running(), 1);
    // The first is still there, as a killed process's children and rows would be.
    let second = Lab::again("", Clock::real(), mock.clone(), dir).await;
    assert_eq!(mock.running(), 0);
    assert!(second.engine.ledger().rows().await.unwrap().is_empty());
    let backend: &dyn crate::backend::Backend = &mock;
    assert_eq!(backend.list_ours().await.unwrap(), []);
    assert!(!second.engine.owns(made.id, &made.client_token));
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c28_time_over_extended_and_idle() {
    let (clock, hand) = Clock::manual();
    let lab = Lab::with_clock("ttl_s = 100\nidle_stop_s = 1000", clock).await;
    let short = lab.engine.create(Wish::default()).await.unwrap().id;
    let long = lab.engine.create(Wish::default()).await.unwrap().id;
    hand.advance(Duration::from_secs(90));
    assert_eq!(
        lab.engine.extend(long, Duration::from_secs(5000)).await,
        Some(Duration::from_secs(5000))
    );
    hand.advance(Duration::from_secs(10));
    until(|| lab.engine.get(short).is_none()).await;
    assert!(lab.engine.get(long).is_some());
    // Used until now: idleness begins when the last session ends.
    let in_use = lab.engine.get(long).unwrap().activity.begin();
    hand.advance(Duration::from_secs(2000));
    drop(in_use);
    hand.advance(Duration::from_secs(999));
    assert!(lab.engine.get(long).is_some());
    hand.advance(Duration::from_secs(2));
    until(|| lab.engine.get(long).is_none()).await;
    until(|| lab.engine.statistics().destroyed == 2).await;
    assert_eq!(
        lab.kinds()
            .await
            .iter()
            .filter(|k| *k == "ContainerStopped")
            .count(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gives_the_same_container() {
    let lab = Lab::new("").await;
    let wish = |key: &str| Wish {
        idempotency_key: Some(key.into()),
        ..Wish::default()
    };
    let first = lab.engine.create(wish("a")).await.unwrap();
    let again = lab.engine.create(wish("a")).await.unwrap();
    assert_eq!((first.id, &first.password), (again.id, &again.password));
    assert_ne!(lab.engine.create(wish("b")).await.unwrap().id, first.id);
    assert_eq!(lab.mock.running(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_and_leaves_nothing() {
    let lab = Lab::new("max_running = 1").await;
    let jobs = crate::job::Jobs::new(lab.engine.clone());
    let done = jobs
        .run(crate::job::Job {
            command: "echo hello".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!((done.output.as_str(), done.status), ("hello\n", Some(0)));
    assert_eq!((lab.mock.running(), lab.engine.available()), (0, 1));
}

/// Issue 7, acceptance 4: no growth over ten thousand lives.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_lives_leave_nothing() {
    let lab = Lab::new("max_running = 8").await;
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let life = async || {
        let id = lab.engine.create(Wish::default()).await.unwrap().id;
        assert!(
            lab.engine
                .destroy(id, crate::engine::Why::Operator, None)
                .await
        );
    };
    for _ in 0..100 {
        life().await;
    }
    let before = descriptors();
    for _ in 0..1238 {
        futures_util::future::join_all((0..8).map(|_| life())).await;
    }
    // Sockets of cut ports are closed by their tasks, soon. Other tests of this process open some, too.
    until(|| descriptors() <= before + 64).await;
    assert_eq!((lab.mock.running(), lab.engine.available()), (0, 8));
    assert_eq!(lab.engine.statistics().destroyed, 100 + 1238 * 8);
    assert!(lab.engine.ledger().rows().await.unwrap().is_empty());
}
