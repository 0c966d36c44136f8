#![allow(clippy::unwrap_used)]
use std::{path::Path, sync::mpsc, time::Duration};

use expect_test::expect;
use serde_json::json;

use super::*;
use crate::{Clock, Health, Metrics, Store, clock::ManualClock, health::Level, store};

struct Bench {
    events: Events,
    store: Store,
    health: Health,
    hand: ManualClock,
}

fn bench(dir: &Path, retain: u64) -> Bench {
    let (clock, hand) = Clock::manual();
    let health = Health::new(clock.clone());
    let store = Store::open(dir, &health);
    let events = Events::open_with(&store, &clock, &Metrics::default(), retain);
    Bench {
        events,
        store,
        health,
        hand,
    }
}

fn raised(text: &str) -> NewEvent {
    NewEvent::new("gas", "AlarmRaised")
        .severity(Severity::Alarm)
        .text(text)
}

fn record_all(events: &Events, count: usize) {
    let pending: Vec<_> = (0..count)
        .map(|n| events.record(raised(&format!("entry {n}"))))
        .collect();
    for pending in pending {
        pending.wait_blocking().unwrap();
    }
}

fn seqs(page: &EventPage) -> Vec<u64> {
    page.items.iter().map(|entry| entry.seq).collect()
}

/// Holds the writer thread until the answer is dropped.
fn hold(store: &Store) -> mpsc::Sender<()> {
    let (release, gate) = mpsc::channel::<()>();
    let (started, running) = mpsc::channel::<()>();
    store
        .submit(Box::new(move |_| {
            started.send(()).unwrap();
            let _ = gate.recv();
        }))
        .unwrap();
    running.recv().unwrap();
    release
}

#[test]
fn the_numbers_have_no_gap_and_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for (run, expected) in [(1..=5), (6..=10)].into_iter().enumerate() {
        let bench = bench(dir.path(), RETAIN);
        record_all(&bench.events, 5);
        assert_eq!(bench.events.last_seq(), *expected.end());
        let page = bench.events.query_blocking(&Filter {
            since: Some(run as u64 * 5),
            oldest_first: true,
            ..Filter::default()
        });
        assert_eq!(seqs(&page.unwrap()), expected.collect::<Vec<_>>());
    }
    assert_eq!(verify(&dir.path().join(store::FILE_NAME)).unwrap(), 10);
}

#[test]
fn an_entry_carries_both_times_the_run_and_the_actor() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), RETAIN);
    bench.hand.advance(Duration::from_millis(1234));
    let event = NewEvent::new("gas", "AlarmAcknowledged")
        .data(json!({"zone": "level1"}))
        .actor("erika");
    bench.events.record(event).wait_blocking().unwrap();
    let page = bench.events.query_blocking(&Filter::default()).unwrap();
    let mut entry = (*page.items[0]).clone();
    assert_eq!(entry.boot, bench.events.boot());
    assert_eq!(entry.hash.len(), 64);
    (entry.boot, entry.hash) = ("run".into(), "hash".into());
    expect![[r#"{"seq":1,"boot":"run","mono_ms":1234,"unix_ms":1767225601234,"synced":true,"service":"gas","kind":"AlarmAcknowledged","severity":"info","text":"","actor":"erika","data":{"zone":"level1"},"hash":"hash"}"#]]
        .assert_eq(&serde_json::to_string(&entry).unwrap());
}

#[test]
fn the_canonical_form_is_as_documented() {
    let entry = Stored {
        seq: 1,
        boot: "b".into(),
        mono_ms: 2,
        unix_ms: -3,
        synced: true,
        service: "gas".into(),
        kind: "K".into(),
        severity: Severity::Fault,
        text: "ä:1\n".into(),
        actor: None,
        data: serde_json::Value::Null,
        hash: String::new(),
    };
    let mut form = vec![0_u8; 32];
    form.extend("1:1\n1:b\n1:2\n2:-3\n1:1\n3:gas\n1:K\n5:fault\n5:ä:1\n\n-:\n4:null\n".bytes());
    let expected: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(form).into();
    assert_eq!(chain::hash(&chain::ORIGIN, &entry, "null"), expected);
}

#[test]
fn an_edited_a_removed_and_an_added_entry_are_found() {
    let tampering = [
        (
            "UPDATE journal SET text = 'all is well' WHERE seq = 3",
            3,
            "was edited, or an entry before it was",
        ),
        (
            "UPDATE journal SET actor = '' WHERE seq = 3",
            3,
            "was edited, or an entry before it was",
        ),
        (
            "UPDATE journal SET unix_ms = unix_ms + 1 WHERE seq = 1",
            1,
            "was edited, or an entry before it was",
        ),
        (
            "UPDATE journal SET severity = 0 WHERE seq = 5",
            5,
            "was edited, or an entry before it was",
        ),
        ("DELETE FROM journal WHERE seq = 3", 3, "is missing"),
        ("DELETE FROM journal WHERE seq = 1", 1, "is missing"),
        (
            "DELETE FROM journal WHERE seq = 5",
            5,
            "is missing at the end",
        ),
        ("DELETE FROM journal", 1, "is missing at the end"),
        (
            "INSERT INTO journal SELECT 6, boot, mono_ms, unix_ms, synced, service, kind, severity, text, actor, data, hash FROM journal WHERE seq = 5",
            6,
            "was edited, or an entry before it was",
        ),
        (
            "UPDATE journal_marks SET seq = 4 WHERE name = 'head'",
            5,
            "was added after the journal was written",
        ),
    ];
    for (sql, seq, reason) in tampering {
        let dir = tempfile::tempdir().unwrap();
        let bench = bench(dir.path(), RETAIN);
        record_all(&bench.events, 5);
        bench
            .store
            .execute_blocking(|db| db.execute_batch(sql))
            .unwrap();
        match verify(&dir.path().join(store::FILE_NAME)) {
            Err(VerifyError::Chain(bad)) => assert_eq!(bad, FirstBad { seq, reason }, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn old_entries_are_pruned_and_the_rest_still_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), 10);
    for _ in 0..7 {
        record_all(&bench.events, 5);
    }
    let page = bench
        .events
        .query_blocking(&Filter {
            oldest_first: true,
            ..Filter::default()
        })
        .unwrap();
    assert_eq!(seqs(&page), (26..=35).collect::<Vec<_>>());
    let file = dir.path().join(store::FILE_NAME);
    assert_eq!(verify(&file).unwrap(), 10);
    bench
        .store
        .execute_blocking(|db| db.execute_batch("DELETE FROM journal WHERE seq = 26"))
        .unwrap();
    assert!(
        matches!(
            verify(&file),
            Err(VerifyError::Chain(FirstBad { seq: 26, .. }))
        ),
        "the anchor guards the oldest"
    );
}

#[test]
fn all_that_waits_is_committed_together() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), RETAIN);
    // The head is moved once a transaction.
    bench
        .store
        .execute_blocking(|db| {
            db.execute_batch(
                "CREATE TABLE test_commits (x INTEGER);
                 CREATE TRIGGER test_commit AFTER INSERT ON journal_marks
                 BEGIN INSERT INTO test_commits VALUES (1); END",
            )
        })
        .unwrap();
    let release = hold(&bench.store);
    let pending: Vec<_> = (0..200).map(|_| bench.events.record(raised("x"))).collect();
    drop(release);
    for pending in pending {
        assert!(pending.wait_blocking().unwrap().durable);
    }
    let commits = bench.store.read_blocking(|db| {
        db.query_row("SELECT count(*) FROM test_commits", [], |row| {
            row.get::<_, i64>(0)
        })
    });
    assert_eq!(commits.unwrap(), 1);
}

#[test]
fn a_full_queue_is_counted_and_journaled() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), RETAIN);
    let release = hold(&bench.store);
    let kept: Vec<_> = (0..QUEUE_MAX)
        .map(|_| bench.events.record(raised("x")))
        .collect();
    for _ in 0..3 {
        assert_eq!(
            bench.events.record(raised("too much")).wait_blocking(),
            Err(Lost)
        );
    }
    assert_eq!(bench.events.lost(), 3);
    drop(release);
    for pending in kept {
        pending.wait_blocking().unwrap();
    }
    record_all(&bench.events, 1);
    let page = bench
        .events
        .query_blocking(&Filter {
            kind: Some("EventsLost".into()),
            ..Filter::default()
        })
        .unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.items[0].data, json!({"count": 3}));
    assert_eq!(page.items[0].severity, Severity::Fault);
    verify(&dir.path().join(store::FILE_NAME)).unwrap();
}

#[tokio::test]
async fn subscribers_hear_of_an_entry_only_when_it_is_in_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), RETAIN);
    let mut news = bench.events.subscribe();
    for n in 1..=20 {
        drop(bench.events.record(raised("x")));
        let entry = news.recv().await.unwrap();
        assert_eq!(entry.seq, n);
        let stored = bench
            .store
            .read(|db| {
                db.query_row("SELECT max(seq) FROM journal", [], |row| {
                    row.get::<_, i64>(0)
                })
            })
            .await
            .unwrap();
        assert_eq!(stored as u64, n);
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_written_degrades_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), RETAIN);
    bench.events.record(raised("before")).await.unwrap();
    let read_only = |on: bool| {
        bench
            .store
            .execute(move |db| db.pragma_update(None, "query_only", on))
    };
    read_only(true).await.unwrap();
    let mut news = bench.events.subscribe();
    let receipt = bench.events.record(raised("in memory")).await.unwrap();
    assert_eq!(
        receipt,
        Receipt {
            seq: 2,
            durable: false
        }
    );
    assert_eq!(
        news.recv().await.unwrap().seq,
        2,
        "an alarm is shown even so"
    );
    assert_eq!(bench.health.report().health, Level::Degraded);
    let page = bench.events.query(Filter::default()).await.unwrap();
    assert_eq!(seqs(&page), [2, 1], "entries in memory are listed");

    read_only(false).await.unwrap();
    let receipt = bench.events.record(raised("after")).await.unwrap();
    assert_eq!(
        receipt,
        Receipt {
            seq: 3,
            durable: true
        }
    );
    assert_eq!(bench.health.report().health, Level::Good);
    assert_eq!(verify(&dir.path().join(store::FILE_NAME)).unwrap(), 3);
    let page = bench.events.query(Filter::default()).await.unwrap();
    let texts: Vec<_> = page.items.iter().map(|e| e.text.as_str()).collect();
    assert_eq!(texts, ["after", "in memory", "before"]);
}

#[tokio::test]
async fn a_backlog_is_written_without_waiting_for_the_next_event() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), RETAIN);
    let read_only = |on: bool| {
        bench
            .store
            .execute(move |db| db.pragma_update(None, "query_only", on))
    };
    read_only(true).await.unwrap();
    assert!(
        !bench
            .events
            .record(raised("in memory"))
            .await
            .unwrap()
            .durable
    );
    read_only(false).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), async {
        while bench.health.report().health != Level::Good {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(verify(&dir.path().join(store::FILE_NAME)).unwrap(), 1);
}

#[tokio::test]
async fn without_any_file_the_journal_lives_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(store::FILE_NAME)).unwrap();
    let bench = bench(dir.path(), RETAIN);
    bench.events.record(raised("x")).await.unwrap();
    assert_eq!(
        seqs(&bench.events.query(Filter::default()).await.unwrap()),
        [1]
    );
    assert_eq!(bench.health.report().health, Level::Degraded);
}

#[test]
fn filters_narrow_and_pages_continue() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), RETAIN);
    for n in 1..=6 {
        let mut event = NewEvent::new(if n % 2 == 0 { "gas" } else { "panel" }, "Something")
            .text(format!("100% of {n}_x"));
        event.severity = if n > 4 {
            Severity::Fault
        } else {
            Severity::Info
        };
        bench.events.record(event).wait_blocking().unwrap();
    }
    let query = |filter: Filter| {
        let page = bench.events.query_blocking(&filter).unwrap();
        // What is in memory and what is in the database must be filtered alike.
        let all = bench
            .events
            .query_blocking(&Filter::default())
            .unwrap()
            .items;
        assert_eq!(all.iter().filter(|e| filter.matches(e)).count(), {
            bench
                .events
                .query_blocking(&Filter {
                    limit: None,
                    ..filter
                })
                .unwrap()
                .items
                .len()
        });
        (seqs(&page), page.next)
    };
    let none = Filter::default;
    assert_eq!(query(none()), (vec![6, 5, 4, 3, 2, 1], None));
    assert_eq!(
        query(Filter {
            service: Some("gas".into()),
            ..none()
        }),
        (vec![6, 4, 2], None)
    );
    assert_eq!(
        query(Filter {
            severity: Some(Severity::Warning),
            ..none()
        }),
        (vec![6, 5], None)
    );
    assert_eq!(
        query(Filter {
            kind: Some("Else".into()),
            ..none()
        }),
        (vec![], None)
    );
    assert_eq!(
        query(Filter {
            text: Some("OF 3".into()),
            ..none()
        }),
        (vec![3], None)
    );
    assert_eq!(
        query(Filter {
            text: Some("0% of 4_X".into()),
            ..none()
        }),
        (vec![4], None)
    );
    assert_eq!(
        query(Filter {
            text: Some("0_".into()),
            ..none()
        }),
        (vec![], None),
        "no wildcards"
    );
    assert_eq!(
        query(Filter {
            text: Some("' OR 1".into()),
            ..none()
        }),
        (vec![], None)
    );
    assert_eq!(
        query(Filter {
            since: Some(2),
            until: Some(4),
            ..none()
        }),
        (vec![4, 3], None)
    );
    assert_eq!(
        query(Filter {
            limit: Some(2),
            ..none()
        }),
        (vec![6, 5], Some(4))
    );
    assert_eq!(
        query(Filter {
            limit: Some(2),
            until: Some(4),
            ..none()
        }),
        (vec![4, 3], Some(2))
    );
    assert_eq!(
        query(Filter {
            limit: Some(2),
            since: Some(1),
            oldest_first: true,
            ..none()
        }),
        (vec![2, 3], Some(3))
    );
    assert_eq!(
        query(Filter {
            since: Some(u64::MAX),
            ..none()
        }),
        (vec![], None)
    );
}

#[test]
fn long_texts_and_data_are_cut_and_marked() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), RETAIN);
    let event = raised(&"ä".repeat(400))
        .data(json!({"blob": "x".repeat(10_000)}))
        .actor("a".repeat(500));
    bench.events.record(event).wait_blocking().unwrap();
    let entry = bench
        .events
        .query_blocking(&Filter::default())
        .unwrap()
        .items[0]
        .clone();
    assert!(
        entry.text.len() <= TEXT_BYTES_MAX && entry.text.ends_with("ä…"),
        "{}",
        entry.text
    );
    assert_eq!(entry.data, json!({"truncated": 10_011}));
    assert!(entry.actor.as_ref().unwrap().len() <= ACTOR_BYTES_MAX);
}

#[test]
fn two_processes_on_one_journal_keep_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, tool) = (bench(dir.path(), RETAIN), bench(dir.path(), RETAIN));
    for _ in 0..5 {
        record_all(&gateway.events, 2);
        record_all(&tool.events, 1);
    }
    assert_eq!(verify(&dir.path().join(store::FILE_NAME)).unwrap(), 15);
}

#[test]
fn recording_goes_on_while_a_batch_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), RETAIN);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let events = bench.events.clone();
            std::thread::spawn(move || record_all(&events, 300))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(bench.events.last_seq(), 1200);
    assert_eq!(verify(&dir.path().join(store::FILE_NAME)).unwrap(), 1200);
}

#[tokio::test]
async fn a_flush_returns_when_all_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), RETAIN);
    for _ in 0..1000 {
        drop(bench.events.record(raised("x")));
    }
    bench.events.flush().await;
    assert_eq!(verify(&dir.path().join(store::FILE_NAME)).unwrap(), 1000);
}
