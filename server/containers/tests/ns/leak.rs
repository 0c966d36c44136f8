//! Nothing is left, whatever dies when.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use leitstand_containers::{
    backend::Backend as _,
    engine::{Why, Wish},
};

use crate::{
    lab::{backend, ci, start, until},
    login::engine,
};

/// What could grow: descriptors, mounts, network namespaces, helper processes.
#[derive(Debug, PartialEq, Eq)]
struct Counted {
    descriptors: usize,
    mounts: usize,
    networks: usize,
    helpers: usize,
}

fn count() -> Counted {
    let mut networks = BTreeSet::new();
    let mut helpers = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let own = std::env::current_exe().unwrap().display().to_string();
        let ours =
            line.starts_with(own.as_bytes()) || line.starts_with(b"leitstand\0container-init");
        if ours && line.windows(14).any(|w| w == b"container-init") {
            helpers += 1;
            networks.extend(fs::read_link(entry.path().join("ns/net")));
        }
    }
    Counted {
        descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
        mounts: fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .lines()
            .count(),
        networks: networks.len(),
        helpers,
    }
}

/// 500 in CI, fewer on a developer's machine: each is a fork bomb's worth of kernel work.
pub(crate) async fn many_lives_leave_nothing() {
    let lives = if ci() { 500 } else { 60 };
    let backend = backend();
    let life = async || {
        let guest = start(&backend).await;
        guest.destroy().await.unwrap();
    };
    life().await;
    // Threads for waiting are made as needed and kept; the first life has made them.
    let before = count();
    for _ in 0..lives / 4 {
        futures_util::future::join_all((0..4).map(|_| life())).await;
    }
    until("all is as before", || {
        let now = count();
        now.descriptors <= before.descriptors
            && now.mounts == before.mounts
            && now.helpers <= before.helpers
    })
    .await;
    assert_eq!(backend.list_ours().await.unwrap(), []);
}

/// `gateway DIR`: three containers and a coming and going, until it is killed.
pub(crate) fn gateway(dir: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let engine = engine(Path::new(dir)).await;
        for _ in 0..3 {
            engine.create(Wish::default()).await.unwrap();
        }
        fs::write(Path::new(dir).join("running"), "").unwrap();
        loop {
            if let Ok(created) = engine.create(Wish::default()).await {
                engine.destroy(created.id, Why::Operator, None).await;
            }
        }
    })
}

pub(crate) async fn golden_c27_killed_at_random_moments() {
    let rounds: u64 = if ci() { 100 } else { 8 };
    for round in 0..rounds {
        let dir = tempfile::tempdir().unwrap();
        let mut gateway = Command::new(std::env::current_exe().unwrap())
            .arg("gateway")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Every other round it dies while it starts, somewhere.
        if round % 2 == 0 {
            until("three containers run", || {
                dir.path().join("running").exists()
            })
            .await;
        }
        let moment = round.wrapping_mul(2_654_435_761) % 400;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        gateway.kill().unwrap();
        gateway.wait().unwrap();
        let tag = format!("t{:07x}", gateway.id());
        let theirs = leitstand_containers::ns::Namespaces::new(
            std::env::current_exe().unwrap(),
            &tag,
            "/".into(),
        );
        // By themselves: their life line has ended. What is left are folders without processes.
        for id in theirs.list_ours().await.unwrap() {
            theirs.sweep(id).await.unwrap();
        }
        assert_eq!(theirs.list_ours().await.unwrap(), [], "round {round}");
        // And by the journal, at the next start.
        let next = engine(dir.path()).await;
        assert!(
            next.ledger().rows().await.unwrap().is_empty(),
            "round {round}"
        );
        assert_eq!(next.available(), 8);
    }
}
