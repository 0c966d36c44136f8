#![allow(clippy::unwrap_used)]
use std::{
    io::{Seek, SeekFrom, Write},
    sync::mpsc,
};

use super::*;
use crate::Clock;

fn open(dir: &Path) -> (Store, Health) {
    let health = Health::new(Clock::manual().0);
    (Store::open(dir, &health), health)
}

fn note(health: &Health) -> Option<String> {
    health.report().services[0].note.clone()
}

const STEPS: &[&str] = &[
    "CREATE TABLE test_a (x INTEGER)",
    "INSERT INTO test_a VALUES (1)",
];

fn count(store: &Store) -> i64 {
    store
        .read_blocking(|db| db.query_row("SELECT count(*) FROM test_a", [], |row| row.get(0)))
        .unwrap()
}

#[test]
fn nobody_but_the_owner_reads_the_database() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.migrate("test", STEPS).unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{:?}",
            file.path()
        );
    }
}

#[test]
fn a_migration_step_runs_once() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (store, health) = open(dir.path());
        store.migrate("test", STEPS).unwrap();
        assert_eq!(count(&store), 1);
        assert_eq!(note(&health), None);
    }
}

#[test]
fn a_failed_step_leaves_the_earlier_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    const BROKEN: &[&str] = &[
        "CREATE TABLE test_a (x INTEGER)",
        "INSERT INTO test_a VALUES (1); NONSENSE",
    ];
    assert!(matches!(
        store.migrate("test", BROKEN),
        Err(StoreError::Sqlite(_))
    ));
    assert_eq!(count(&store), 0, "half a step is rolled back");
}

#[test]
fn each_commit_is_synced_to_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let pragma = |name: &'static str| {
        store
            .execute_blocking(move |db| {
                db.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            })
            .unwrap()
    };
    assert_eq!(pragma("journal_mode"), "wal".to_string().into());
    assert_eq!(pragma("synchronous"), 2_i64.into());
}

#[test]
fn a_job_that_panics_or_forgets_to_commit_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.migrate("test", STEPS).unwrap();
    let panicked = store.execute_blocking(|db| -> Result<(), _> {
        db.execute_batch("BEGIN; DELETE FROM test_a")?;
        panic!("a defect");
    });
    assert!(matches!(panicked, Err(StoreError::Panicked)));
    store
        .execute_blocking(|db| db.execute_batch("BEGIN; DELETE FROM test_a"))
        .unwrap();
    assert_eq!(count(&store), 1);
}

#[test]
fn a_full_queue_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (release, gate) = mpsc::channel::<()>();
    let (started, running) = mpsc::channel::<()>();
    store
        .submit(Box::new(move |_| {
            started.send(()).unwrap();
            let _ = gate.recv();
        }))
        .unwrap();
    running.recv().unwrap();
    for _ in 0..QUEUE_MAX {
        store
            .0
            .writer
            .submit(Box::new(|_| {}), Some(QUEUE_MAX))
            .unwrap();
    }
    assert!(matches!(
        store.execute_blocking(|_| Ok(())),
        Err(StoreError::Busy(QUEUE_MAX))
    ));
    release.send(()).unwrap();
    assert_eq!(store.path(), Some(dir.path().join(FILE_NAME)));
}

#[test]
fn a_file_that_is_no_database_is_kept_aside_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    for bad in ["leitstand.db.bad", "leitstand.db.bad.1"] {
        std::fs::write(
            dir.path().join(FILE_NAME),
            "not a database, but long enough to look at".repeat(40),
        )
        .unwrap();
        let (store, health) = open(dir.path());
        store.migrate("test", STEPS).unwrap();
        assert_eq!(count(&store), 1);
        assert!(dir.path().join(bad).exists());
        assert!(note(&health).unwrap().contains(bad));
        assert_eq!(health.report().health, Level::Degraded);
    }
}

#[test]
fn a_damage_met_later_is_looked_at_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, _) = open(dir.path());
        store.migrate("test", STEPS).unwrap();
        store
            .execute_blocking(|db| {
                db.execute_batch(
                    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 5000)
                     INSERT INTO test_a SELECT x FROM n",
                )?;
                db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            })
            .unwrap();
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join(FILE_NAME))
        .unwrap();
    file.seek(SeekFrom::Start(4 * 4096)).unwrap();
    file.write_all(&[0xa5; 8192]).unwrap();
    drop(file);
    {
        let (store, health) = open(dir.path());
        assert_eq!(
            note(&health),
            None,
            "the first look is cheap and does not see it"
        );
        let all = store.read_blocking(|db| {
            db.query_row("SELECT sum(x) FROM test_a", [], |row| row.get::<_, i64>(0))
        });
        assert!(all.is_err());
        assert!(note(&health).unwrap().contains("damaged"));
    }
    let (store, health) = open(dir.path());
    store.migrate("test", STEPS).unwrap();
    assert_eq!(count(&store), 1);
    assert!(note(&health).unwrap().contains("leitstand.db.bad"));
}

#[tokio::test]
async fn without_a_usable_directory_it_lives_in_memory_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    // A directory where the file should be: neither openable nor a damage that a new file cures.
    std::fs::create_dir(dir.path().join(FILE_NAME)).unwrap();
    let (store, health) = open(dir.path());
    assert_eq!(store.path(), None);
    store.migrate("test", STEPS).unwrap();
    assert_eq!(
        store
            .read(|db| db.query_row("SELECT x FROM test_a", [], |row| row.get::<_, i64>(0)))
            .await
            .unwrap(),
        1
    );
    assert!(note(&health).unwrap().contains("in memory only"));
}

#[tokio::test]
async fn readers_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store
        .execute(|db| db.execute_batch("CREATE TABLE test_a (x INTEGER)"))
        .await
        .unwrap();
    let write = store
        .read(|db| db.execute_batch("INSERT INTO test_a VALUES (1)"))
        .await;
    assert!(matches!(write, Err(StoreError::Sqlite(_))));
}
