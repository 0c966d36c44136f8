//! The service with simulated cells and a fake bus, on a real clock and real files.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::configuration::memory::InMemory;
use crate::seam::Wake;
use crate::view::Snapshot;
use leitstand_core::gas::status::Mode;
use leitstand_core::gas::{CellIndex, Command, Input, OutputIndex, Reading};
use leitstand_core::hal::{BatteryGauge, MainsSense};
use leitstand_core::units::Concentration;
use leitstand_kit::CancellationToken;
use leitstand_kit::auth::{Caller, Role, Via};
use leitstand_kit::events::Filter;
use std::path::Path;

/// Two cells without a bus of their own: the tests feed them. Stage 1 does not latch, stage 3 does.
const SITE: &str = r#"
[gas]
production = false
[[gas.sensors]]
id = "sim"
kind = "simulated"
profile = "constant"
[[gas.cells]]
id = "a"
sensor = "sim"
gas = "co"
unit = "ppm"
range_hi = 300
warmup_s = 0
[[gas.zones]]
id = "z"
cells = ["a"]
[[gas.zones.setpoints]]
id = "low"
stage = 1
on = 30.0
hysteresis = 5.0
actions = [{ output = "fan" }]
[[gas.zones.setpoints]]
id = "high"
stage = 3
on = 150.0
hysteresis = 10.0
actions = [{ output = "horn" }]
[[gas.outputs]]
id = "fan"
kind = "relay"
pin = 2
[[gas.outputs]]
id = "horn"
kind = "horn"
pin = 4
[[gas.outputs]]
id = "fault"
kind = "relay"
pin = 1
normally = "energised"
"#;

fn site(text: &str) -> Arc<GasSite> {
    let (site, diags) = crate::config::check_text(text, "test.toml");
    site.unwrap_or_else(|| panic!("{}", diags.report(false)))
}

fn anna() -> Caller {
    Caller {
        name: "anna".into(),
        role: Role::Engineer,
        via: Via::Session,
    }
}

/// A running service; dropped without a farewell unless stopped.
struct Running {
    hub: Arc<Hub>,
    front: Front,
    cx: Context,
    task: tokio::task::JoinHandle<Result<(), ServiceError>>,
}

impl Running {
    fn start(dir: &Path, text: &str) -> Self {
        let cx = Context::for_tests(dir).with_stop(CancellationToken::new());
        let setup = Setup {
            site: site(text),
            port: Arc::new(|_| None),
            register: Arc::new(|_| None),
            mains: None,
            battery: None,
            shutdown: Arc::new(|_| ()),
            configuration: InMemory::new(text, false),
        };
        let gas = build(setup, &cx).unwrap();
        Self {
            hub: gas.hub(),
            front: gas.front.clone(),
            task: tokio::spawn(run(gas.front, cx.clone())),
            cx,
        }
    }

    /// Feeds the value until told otherwise; the simulated sensor says 0 once a second, so a test that needs a
    /// condition to stand does not rely on time.
    fn feed(&self, value: i32) {
        let reading = Reading::Value(Concentration::from_milli(value * 1000));
        let cell = CellIndex(0);
        self.hub
            .inbox
            .send(self.cx.clock.now(), Input::Reading { cell, reading });
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.hub.snapshot.subscribe();
        let wait = snapshots.wait_for(|s| s.as_deref().is_some_and(&wanted));
        let found = tokio::time::timeout(Duration::from_secs(20), wait).await;
        found
            .unwrap_or_else(|_| panic!("waited in vain: {what}"))
            .unwrap()
            .clone()
            .unwrap()
    }

    async fn order(&self, what: Command) -> Result<(), u16> {
        self.hub
            .order(what, &anna(), Some("test".into()), None)
            .await
            .map_err(|p| p.status)
    }

    fn state(&self, alarm: &str) -> &'static str {
        let snapshot = self.hub.latest().unwrap();
        snapshot
            .set_points
            .iter()
            .find(|s| s.alarm == alarm)
            .unwrap()
            .state
    }

    async fn stop(self) -> Result<(), ServiceError> {
        self.cx.stop.cancel();
        self.task.await.unwrap()
    }
}

fn key(running: &Running, alarm: &str) -> leitstand_core::gas::AlarmKey {
    running.hub.site.alarm(alarm).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_latched_alarm_outlives_a_restart_with_its_acknowledgement() {
    let dir = tempfile::tempdir().unwrap();
    let first = Running::start(dir.path(), SITE);
    first
        .until("the first poll", |s| s.status.healthy_signal)
        .await;
    first.feed(151);
    first.until("AP3", |s| s.status.level == "ap3").await;
    // The simulated sensor says 0 within a second.
    first
        .until("latched", |s| s.set_points[1].state == "latched_unack")
        .await;
    let high = key(&first, "z.high");
    assert_eq!(
        first.order(Command::Reset(high)).await,
        Err(409),
        "reset before acknowledge"
    );
    assert_eq!(first.order(Command::Acknowledge(high)).await, Ok(()));
    let low = key(&first, "z.low");
    assert_eq!(first.order(Command::Acknowledge(low)).await, Ok(()));
    assert_eq!(
        first.order(Command::Acknowledge(low)).await,
        Err(409),
        "nothing to acknowledge"
    );
    assert_eq!(first.state("z.high"), "latched_ack");
    let filter = Filter {
        kind: Some("Audited".into()),
        ..Filter::default()
    };
    let audited = first.cx.events.query(filter).await.unwrap().items;
    let entry = audited.last().unwrap();
    assert_eq!(entry.text, "alarm.acknowledge z.high");
    assert_eq!(entry.actor.as_deref(), Some("anna"));
    assert_eq!(entry.data["before"]["state"], "latched_unack");
    assert_eq!(entry.data["after"]["state"], "latched_ack");
    first.stop().await.unwrap();

    let second = Running::start(dir.path(), SITE);
    let snapshot = second.until("a snapshot", |_| true).await;
    assert_eq!(snapshot.set_points[1].state, "latched_ack");
    assert_eq!(snapshot.service.boot_count, 2);
    assert!(!snapshot.status.horn.on);
    assert_eq!(
        second.order(Command::Reset(key(&second, "z.high"))).await,
        Ok(())
    );
    assert_eq!(second.state("z.high"), "normal");
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_journal_knows_is_applied_on_top_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let first = Running::start(dir.path(), SITE);
    first
        .until("the first poll", |s| s.status.healthy_signal)
        .await;
    first.stop().await.unwrap();
    let old = std::fs::read(dir.path().join(FILE)).unwrap();

    let second = Running::start(dir.path(), SITE);
    second
        .until("the first poll", |s| s.status.healthy_signal)
        .await;
    second.feed(151);
    second
        .until("latched", |s| s.set_points[1].state == "latched_unack")
        .await;
    assert_eq!(
        second
            .order(Command::Acknowledge(key(&second, "z.high")))
            .await,
        Ok(())
    );
    second.stop().await.unwrap();

    // As after a power cut between the commit and the write of the file.
    std::fs::write(dir.path().join(FILE), old).unwrap();
    let third = Running::start(dir.path(), SITE);
    let snapshot = third.until("a snapshot", |_| true).await;
    assert_eq!(snapshot.set_points[1].state, "latched_ack");
    third.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_defect_in_the_evaluation_drops_all_outputs_and_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), SITE);
    running
        .until("the first poll", |s| s.status.healthy_signal)
        .await;
    let images = running.hub.images.clone();
    running.hub.inbox.push(Wake::Panic).unwrap();
    let error = running.task.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("asked to"), "{error}");
    assert!(error.exit().is_none(), "a restart may cure it");
    for board in 0..running.hub.site.boards.len() {
        assert_eq!(
            images.get(leitstand_core::gas::BoardIndex(
                u8::try_from(board).unwrap()
            )),
            0
        );
    }
    // The supervisor starts another instance on the same handles.
    let hub = Arc::clone(&running.hub);
    let again = Running {
        task: tokio::spawn(run(running.front.clone(), running.cx.clone())),
        front: running.front,
        hub,
        cx: running.cx.clone(),
    };
    let seq = again.hub.latest().unwrap().unix_ms;
    again
        .until("a new snapshot", |s| {
            s.unix_ms > seq && s.status.healthy_signal
        })
        .await;
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_configuration_keeps_what_still_has_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let first = Running::start(dir.path(), SITE);
    first
        .until("the first poll", |s| s.status.healthy_signal)
        .await;
    first.feed(151);
    first
        .until("latched", |s| s.set_points[1].state == "latched_unack")
        .await;
    let output = OutputIndex(0);
    let forced = Command::SetOutput {
        output,
        mode: Mode::On,
        span: None,
    };
    assert_eq!(first.order(forced).await, Ok(()));
    first.stop().await.unwrap();

    // One more cell and output in front of the others: every position moves.
    let text = SITE
        .replace("[[gas.cells]]\nid = \"a\"", "[[gas.cells]]\nid = \"new\"\nsensor = \"sim\"\nchannel = 2\ngas = \"co\"\nunit = \"ppm\"\nrange_hi = 300\nwarmup_s = 0\n[[gas.cells]]\nid = \"a\"")
        .replace("[[gas.outputs]]\nid = \"fan\"", "[[gas.outputs]]\nid = \"sign\"\nkind = \"relay\"\npin = 9\nfunction = \"service_due\"\n[[gas.outputs]]\nid = \"fan\"")
        .replace("cells = [\"a\"]", "cells = [\"new\", \"a\"]");
    let second = Running::start(dir.path(), &text);
    let snapshot = second.until("a snapshot", |_| true).await;
    assert_eq!(second.state("z.high"), "latched_unack");
    let modes: Vec<_> = snapshot
        .outputs
        .iter()
        .map(|o| (o.id.as_str(), o.mode))
        .collect();
    assert_eq!(
        modes,
        [
            ("sign", "auto"),
            ("fan", "on"),
            ("horn", "auto"),
            ("fault", "auto")
        ]
    );
    assert_eq!(
        snapshot.outputs[1].hand.as_ref().map(|h| h.by.as_str()),
        Some("anna")
    );
    assert_eq!(snapshot.service.boot_count, 2);
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_files_start_from_the_generation_before_or_refuse() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let running = Running::start(dir.path(), SITE);
        running.until("a snapshot", |_| true).await;
        running.stop().await.unwrap();
    }
    let newest = dir.path().join(FILE);
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let running = Running::start(dir.path(), SITE);
    running.until("a snapshot", |_| true).await;
    running.cx.events.flush().await;
    let filter = Filter {
        kind: Some("RuntimeInformationRecovered".into()),
        ..Filter::default()
    };
    assert_eq!(
        running.cx.events.query(filter).await.unwrap().items.len(),
        1
    );
    running.stop().await.unwrap();

    for name in [FILE.to_owned(), format!("{FILE}.1")] {
        std::fs::write(dir.path().join(name), b"junk").unwrap();
    }
    let cx = Context::for_tests(dir.path());
    let setup = Setup {
        site: site(SITE),
        port: Arc::new(|_| None),
        register: Arc::new(|_| None),
        mains: None,
        battery: None,
        shutdown: Arc::new(|_| ()),
        configuration: InMemory::new(SITE, false),
    };
    assert!(matches!(
        build(setup, &cx),
        Err(BuildError::RuntimeInformation(_))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_cannot_be_stored_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), SITE);
    running
        .until("the first poll", |s| s.status.healthy_signal)
        .await;
    // A directory in the place of the file: the rename fails whoever runs this.
    let path = dir.path().join(FILE);
    let _ = std::fs::remove_file(&path);
    std::fs::create_dir_all(path.join("in the way")).unwrap();
    let problem = running
        .hub
        .order(Command::Silence, &anna(), None, None)
        .await
        .unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (503, "not_stored"));
    running.stop().await.unwrap();
}

/// A battery that is nearly empty, without mains.
struct Empty;

impl MainsSense for Empty {
    fn mains_ok(&mut self) -> Result<bool, leitstand_core::hal::PortError> {
        Ok(false)
    }
}

impl BatteryGauge for Empty {
    fn voltage(
        &mut self,
    ) -> Result<leitstand_core::units::MilliVolt, leitstand_core::hal::PortError> {
        Ok(leitstand_core::units::MilliVolt(10_500))
    }

    fn current(
        &mut self,
    ) -> Result<Option<leitstand_core::units::MicroAmp>, leitstand_core::hal::PortError> {
        Ok(None)
    }
}

/// `monitor.md` 4: critical for 10 s, and 30 s later an orderly shutdown with everything stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_an_empty_battery_asks_for_an_orderly_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let mut cx = Context::for_tests(dir.path()).with_stop(CancellationToken::new());
    // 42 s in a second and a half.
    cx.clock = leitstand_kit::Clock::scaled(30.0);
    let text = format!(
        "{SITE}[power]\ncapacity_ah = 7.2\nshutdown_command = [\"/sbin/poweroff\", \"-h\"]\n"
    );
    let (asked, wait) = std::sync::mpsc::channel();
    let setup = Setup {
        site: site(&text),
        port: Arc::new(|_| None),
        register: Arc::new(|_| None),
        mains: Some(Box::new(Empty)),
        battery: Some(Box::new(Empty)),
        shutdown: Arc::new(move |command| asked.send(command.to_vec()).unwrap()),
        configuration: InMemory::new(&text, false),
    };
    let gas = build(setup, &cx).unwrap();
    let hub = gas.hub();
    let task = tokio::spawn(run(gas.front, cx.clone()));
    let patience = Duration::from_secs(20);
    let command = tokio::task::spawn_blocking(move || wait.recv_timeout(patience));
    let command = command.await.unwrap().unwrap();
    assert_eq!(command, ["/sbin/poweroff", "-h"]);
    let snapshot = hub.latest().unwrap();
    assert_eq!(snapshot.power.state, "battery_critical");
    assert!(!snapshot.status.healthy_signal, "the fault relay dropped");
    cx.stop.cancel();
    task.await.unwrap().unwrap();
    let filter = Filter {
        kind: Some("ShutdownAdvised".into()),
        ..Filter::default()
    };
    assert_eq!(cx.events.query(filter).await.unwrap().items.len(), 1);
    assert!(persist::load(dir.path()).unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_self_test_is_a_special_state_until_it_is_cured() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), SITE);
    let sound = running
        .until("the test at the start", |s| {
            s.self_test.is_some() && s.status.healthy_signal
        })
        .await;
    let found = sound.self_test.as_ref().unwrap();
    let checks: Vec<_> = found.checks.iter().map(|c| c.check).collect();
    assert_eq!(checks, ["program", "memory", "disk", "clock", "parameters"]);
    assert!(found.ok, "{found:?}");
    let report = |wrong: Option<&str>| {
        let check = crate::view::CheckResult::new("disk", wrong.map(str::to_owned));
        running.hub.inbox.push(Wake::SelfTest(vec![check])).unwrap();
    };
    report(Some("3 MiB are free"));
    let failed = running
        .until("the special state", |s| {
            s.status.special.contains(&"self_test")
        })
        .await;
    assert!(!failed.status.healthy_signal);
    report(None);
    running
        .until("cured", |s| {
            s.status.special.is_empty() && s.status.healthy_signal
        })
        .await;
    running.stop().await.unwrap();
}

/// `monitor.md` 10, start: three intervals that broke the original, and measurements, over ten restarts each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_intervals_and_measurements_survive_ten_restarts() {
    for days in [180, 200, 730] {
        let dir = tempfile::tempdir().unwrap();
        let text = SITE
            .replacen(
                "[gas]",
                &format!("[gas]\nservice_interval_days = {days}"),
                1,
            )
            .replace(
                "profile = \"constant\"",
                "profile = \"constant\"\nlow = 21.0",
            );
        for start in 1..=10 {
            let running = Running::start(dir.path(), &text);
            // The window of five minutes: each restart moves what was measured by at most a bucket.
            let covered = |s: &Snapshot| s.cells[0].averages[1].covered_s;
            let snapshot = running
                .until("a measurement", |s| s.cells[0].value == Some(21.0))
                .await;
            assert_eq!(snapshot.service.interval_days, days);
            assert_eq!(snapshot.service.boot_count, start);
            if start == 1 {
                running
                    .until("a second of measurements", |s| covered(s) >= 1.0)
                    .await;
            } else {
                assert!(covered(&snapshot) >= 1.0, "{days} d, start {start}");
            }
            running.stop().await.unwrap();
        }
    }
}
