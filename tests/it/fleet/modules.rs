//! Module libraries: a C module compiled by the test, every function of the interface, every guard.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use leitstand_hal_mock::vehicle::wire::{CONNECTING, DISCONNECT, RUNNING};
use leitstand_tests::{server::leitstand, wait};
use tempfile::TempDir;

use super::rig::{self, Broker, Site, calls, device};

/// A folder with the compiled module and a place for its log.
struct Lab {
    _dir: TempDir,
    lib: PathBuf,
    log: PathBuf,
}

impl Lab {
    fn new() -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let lib = rig::module(dir.path(), &[])?;
        let log = dir.path().join("log");
        Some(Self {
            _dir: dir,
            lib,
            log,
        })
    }

    fn section(&self, id: u32, lib: &Path, fault: &str, more: &str) -> String {
        format!(
            "[[fleet.modules]]\nid = {id}\nlib = \"{}\"\ntimeout_ms = 100\n\
             config = {{ log = \"{}\", fault = \"{fault}\" }}\n{more}\n",
            lib.display(),
            self.log.display()
        )
    }

    fn wait_log(&self, car: &str, what: &str, test: impl Fn(&[String]) -> bool) -> Vec<String> {
        wait::until(what, || {
            let calls = calls(&self.log, car);
            test(&calls).then_some(calls)
        })
    }
}

#[test]
fn a1_a_library_sees_the_whole_session_in_order() {
    let Some(lab) = Lab::new() else { return };
    let mut site = Site::start(
        Broker::Embedded,
        &["car_a"],
        &lab.section(1000, &lab.lib, "", ""),
    );
    let car = site.car("car_a");
    let button = device(1000, "test");
    car.sequence("s1", std::slice::from_ref(&button));
    car.status("s1", RUNNING, 1, &button, "one");
    car.expect_response(1);
    car.raw(leitstand_hal_mock::vehicle::wire::status(
        "s1",
        RUNNING,
        2,
        &button,
        b"two",
        Some(b"Default error"),
    ));
    car.expect_response(2);
    car.status("s1", RUNNING, 3, &button, "cmd:light");
    // The response never waits for the module; the command follows when it has one.
    car.expect_response(3);
    assert_eq!(car.command(), (1, "light".into()));
    car.answer("s1", 0, 1);
    lab.wait_log("car_a", "the command is acknowledged", |calls| {
        calls.iter().any(|c| c == "ack test light")
    });
    car.status("s1", DISCONNECT, 4, &button, "bye");
    car.expect_response(4);
    car.expect_hint();
    site.server.stop();
    let calls = calls(&lab.log, "car_a");
    assert_eq!(
        calls,
        [
            "init",
            "connected test test1",
            "status test first",
            "status test one",
            "status test two",
            "error test Default error",
            "status test cmd:light",
            "ack test light",
            "status test bye",
            "disconnected test 0",
            "destroy outstanding=0 given=3",
        ]
    );
}

#[test]
fn a11_types_and_refusals_of_a_library() {
    let Some(lab) = Lab::new() else { return };
    let site = Site::start(
        Broker::Embedded,
        &["car_a"],
        &lab.section(1000, &lab.lib, "", ""),
    );
    let car = site.car("car_a");
    let button = device(1000, "test");
    let mut odd = device(1000, "odd");
    odd.device_type = 9;
    let unwanted = device(1000, "unwanted");
    car.sequence("s1", &[button.clone(), odd.clone(), unwanted.clone()]);
    let view = site.wait_car("car_a", "both are refused", |v| {
        let devices = v["devices"].as_array().unwrap();
        devices.iter().filter(|d| d["state"] == "refused").count() == 2 && v["state"] == "running"
    });
    assert_eq!(view["no_supported_device"], false);
    for (n, device) in (3..).zip([&odd, &unwanted, &button]) {
        car.status("s1", RUNNING, n, device, "later");
        car.expect_response(n);
    }
    let calls = lab.wait_log("car_a", "the good one is told", |calls| {
        calls.iter().any(|c| c == "status test later")
    });
    assert!(!calls.iter().any(|c| c.contains("odd")), "{calls:?}");
    assert!(
        !calls.iter().any(|c| c.starts_with("status unwanted")),
        "{calls:?}"
    );
}

#[test]
fn a17_a_crash_in_a_call_loses_nothing_of_others_and_is_made_good() {
    let Some(lab) = Lab::new() else { return };
    let other = rig::module(lab.lib.parent().unwrap(), &["-DNUMBER=7"]).unwrap();
    let modules = lab.section(1000, &lab.lib, "abort_once", "") + &lab.section(7, &other, "", "");
    let site = Site::start(Broker::Embedded, &["car_a", "car_b"], &modules);
    let (a, b) = (site.car("car_a"), site.car("car_b"));
    let (button, drive) = (device(1000, "test"), device(7, "drive"));
    a.sequence("s1", std::slice::from_ref(&button));
    b.sequence("s1", &[button.clone(), drive.clone()]);
    a.status("s1", RUNNING, 1, &button, "boom");
    a.expect_response(1);
    for n in 2..30 {
        a.status("s1", RUNNING, n, &button, &format!("a{n}"));
        a.expect_response(n);
        b.status("s1", RUNNING, 2 * n - 2, &button, &format!("b{n}"));
        b.expect_response(2 * n - 2);
        b.status("s1", RUNNING, 2 * n - 1, &drive, &format!("d{n}"));
        b.expect_response(2 * n - 1);
    }
    let a_calls = lab.wait_log("car_a", "car_a's last status", |calls| {
        calls.iter().any(|c| c == "status test a29")
    });
    let b_calls = lab.wait_log("car_b", "car_b's last status", |calls| {
        calls.iter().any(|c| c == "status test b29")
            && calls.iter().any(|c| c == "status drive d29")
    });
    // After the crash: a new context, the device once more, the call that was under way once more, then the rest.
    let boom = a_calls
        .iter()
        .position(|c| c == "status test boom")
        .unwrap();
    assert_eq!(&a_calls[boom - 2..boom], ["init", "connected test test1"]);
    for n in 2..30 {
        let once = |calls: &[String], call: String| {
            assert_eq!(
                calls.iter().filter(|c| **c == call).count(),
                1,
                "{call}: {calls:?}"
            );
        };
        once(&a_calls, format!("status test a{n}"));
        once(&b_calls, format!("status drive d{n}"));
        assert!(
            b_calls.contains(&format!("status test b{n}")),
            "b{n}: {b_calls:?}"
        );
    }
    let modules = site.server.get("/api/v1/fleet/modules").ok();
    assert_eq!(modules["items"][0]["runs"], 2, "{modules}");
    assert_eq!(modules["items"][1]["runs"], 1, "{modules}");
}

#[test]
fn a17_a_status_that_always_crashes_is_given_up() {
    let Some(lab) = Lab::new() else { return };
    let site = Site::start(
        Broker::Embedded,
        &["car_a"],
        &lab.section(1000, &lab.lib, "abort", ""),
    );
    let car = site.car("car_a");
    let button = device(1000, "test");
    car.sequence("s1", std::slice::from_ref(&button));
    car.status("s1", RUNNING, 1, &button, "boom");
    car.expect_response(1);
    car.status("s1", RUNNING, 2, &button, "after");
    car.expect_response(2);
    lab.wait_log("car_a", "what came after it", |calls| {
        calls.iter().any(|c| c == "status test after")
    });
    let modules = site.server.get("/api/v1/fleet/modules").ok();
    assert_eq!(modules["items"][0]["given_up"], 1);
    assert_eq!(modules["items"][0]["repeated"], 1);
}

#[test]
fn a18_a_library_that_misbehaves_floods_nothing() {
    let Some(lab) = Lab::new() else { return };
    for fault in ["wait11", "endless_pop"] {
        let site = Site::start(
            Broker::Embedded,
            &["car_a"],
            &lab.section(1000, &lab.lib, fault, ""),
        );
        let car = site.car("car_a");
        let button = device(1000, "test");
        car.sequence("s1", std::slice::from_ref(&button));
        let before = site.server.printed().lines().count();
        let mut counter = 1;
        let until = std::time::Instant::now() + Duration::from_secs(5);
        let mut answered = 0;
        car.status("s1", RUNNING, counter, &button, "alive");
        while std::time::Instant::now() < until {
            use leitstand_hal_mock::vehicle::wire::FromServer;
            match car.message() {
                FromServer::Command { counter, .. } => car.answer("s1", 0, counter),
                FromServer::StatusResponse { counter: got, .. } => {
                    assert_eq!(got, counter);
                    answered += 1;
                    counter += 1;
                    std::thread::sleep(Duration::from_millis(20));
                    car.status("s1", RUNNING, counter, &button, "alive");
                }
                other @ FromServer::ConnectResponse { .. } => panic!("{other:?}"),
            }
        }
        let lines = site.server.printed().lines().count() - before;
        assert!(lines < 20, "{fault}: {lines} lines");
        assert!(answered > 10, "{fault}: {answered} answers in 5 s");
        let view = site.wait_car("car_a", "the session is the first", |v| v["sessions"] == 1);
        assert_eq!(view["state"], "running", "{fault}");
    }
}

#[test]
fn a18_a_call_that_blocks_holds_up_its_own_car_only() {
    let Some(lab) = Lab::new() else { return };
    let site = Site::start(
        Broker::Embedded,
        &["car_a", "car_b"],
        &lab.section(1000, &lab.lib, "block", ""),
    );
    let (a, b) = (site.car("car_a"), site.car("car_b"));
    let button = device(1000, "test");
    a.sequence("s1", std::slice::from_ref(&button));
    b.sequence("s1", std::slice::from_ref(&button));
    a.status("s1", RUNNING, 1, &button, "boom");
    a.expect_response(1);
    b.status("s1", RUNNING, 1, &button, "free");
    b.expect_response(1);
    lab.wait_log("car_b", "the other car's module", |calls| {
        calls.iter().any(|c| c == "status test free")
    });
    a.status("s1", RUNNING, 2, &button, "behind");
    a.expect_response(2);
    assert!(
        !calls(&lab.log, "car_a")
            .iter()
            .any(|c| c == "status test boom"),
        "it blocks"
    );
    site.server
        .wait_for("the late call is counted", "/api/v1/fleet/modules", |v| {
            (v["items"][0]["late"] == 1).then_some(())
        });
}

#[test]
fn a19_a_library_that_cannot_be_used_refuses_the_start() {
    let Some(lab) = Lab::new() else { return };
    let dir = lab.lib.parent().unwrap();
    let gateway_half = dir.join("half.so");
    let source = dir.join("half.c");
    std::fs::write(
        &source,
        "int get_module_number(void){return 1000;}\nint is_device_type_supported(unsigned t){return 0;}\n\
         int generate_command(void){return 0;}\nint send_status_condition(void){return 0;}\n",
    )
    .unwrap();
    let missing = dir.join("missing.c");
    std::fs::write(
        &missing,
        "int get_module_number(void){return 1000;}\nint forward_status(void){return 0;}\n",
    )
    .unwrap();
    let compile = |from: &Path, to: &Path| {
        let done = std::process::Command::new("gcc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(to)
            .arg(from)
            .status();
        assert!(done.unwrap().success());
    };
    compile(&source, &gateway_half);
    let missing_symbol = dir.join("missing.so");
    compile(&missing, &missing_symbol);
    let other = rig::module(dir, &["-DNUMBER=7"]).unwrap();
    let nowhere = dir.join("nowhere.so");
    for (lib, fault, word) in [
        (&lab.lib, "init", "NULL"),
        (&other, "", "is module 7"),
        (&gateway_half, "", "gateway half"),
        (&missing_symbol, "", "no function"),
        (&nowhere, "", "cannot be loaded"),
    ] {
        let text = rig::config(
            &Broker::Embedded,
            &["car_a"],
            &lab.section(1000, lib, fault, ""),
        );
        let file = dir.join("site.toml");
        std::fs::write(&file, &text).unwrap();
        let state = dir.join(format!("state-{word}"));
        let output = leitstand(&[
            "run",
            "--bind",
            "127.0.0.1:0",
            "--config",
            &file.display().to_string(),
            "--state",
            &state.display().to_string(),
        ]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{word}: {said}");
        assert!(
            said.contains(word) && said.contains("1000"),
            "{word}: {said}"
        );
    }
}

#[test]
fn a21_a_stop_disconnects_and_destroys() {
    let Some(lab) = Lab::new() else { return };
    let mut site = Site::start(
        Broker::Embedded,
        &["car_a"],
        &lab.section(1000, &lab.lib, "", "strict_context = true"),
    );
    let car = site.car("car_a");
    car.sequence("s1", &[device(1000, "test")]);
    site.server.signal(rustix::process::Signal::TERM);
    car.expect_hint();
    assert_eq!(site.server.wait_exit().code(), Some(0));
    let calls = calls(&lab.log, "car_a");
    let end = &calls[calls.len() - 2..];
    assert_eq!(end[0], "disconnected test 1");
    assert!(end[1].starts_with("destroy outstanding=0"), "{calls:?}");
}

#[test]
fn a26_every_output_buffer_is_given_back_over_10_000_commands() {
    let Some(lab) = Lab::new() else { return };
    let mut site = Site::start(
        Broker::Embedded,
        &["car_a"],
        &lab.section(1000, &lab.lib, "", ""),
    );
    let car = site.car("car_a");
    let button = device(1000, "test");
    car.sequence("s1", std::slice::from_ref(&button));
    // Far more than the queue of 100 takes: what is pushed out was popped all the same.
    car.status("s1", RUNNING, 1, &button, "cmd:x*10000");
    car.expect_response(1);
    drop(std::thread::spawn(move || {
        // A vehicle that takes what it gets.
        while let (_, rig::Arrived::Message(message)) = car.next() {
            if let leitstand_hal_mock::vehicle::wire::FromServer::Command { counter, .. } = message
            {
                car.answer("s1", 0, counter);
            }
        }
    }));
    wait::until("all are taken", || {
        let metrics = site.server.get("/metrics").text();
        let queued = "leitstand_fleet_commands_total{stage=\"queued\"} 10000";
        metrics.contains(queued).then_some(())
    });
    site.server.stop();
    let calls = calls(&lab.log, "car_a");
    assert!(
        calls
            .last()
            .unwrap()
            .starts_with("destroy outstanding=0 given=30000"),
        "{calls:?}"
    );
}

#[test]
fn statuses_wait_on_disk_while_a_module_is_down() {
    let Some(lab) = Lab::new() else { return };
    let site = Site::start(
        Broker::Embedded,
        &["car_a"],
        &lab.section(1000, &lab.lib, "", ""),
    );
    let car = site.car("car_a");
    let button = device(1000, "test");
    car.hello("s1", std::slice::from_ref(&button));
    car.expect_connected();
    car.status("s1", CONNECTING, 0, &button, "first");
    car.expect_response(0);
    let (n, _) = car.command();
    car.answer("s1", 0, n);
    lab.wait_log("car_a", "the first status", |calls| {
        calls.iter().any(|c| c == "status test first")
    });
    // The library is gone from the disk: the host that is killed now cannot come back.
    let aside = lab.lib.with_extension("aside");
    std::fs::rename(&lab.lib, &aside).unwrap();
    let host = child_of(site.server.pid());
    rustix::process::kill_process(host, rustix::process::Signal::KILL).unwrap();
    for n in 1..=300 {
        car.status("s1", RUNNING, n, &button, &format!("n{n}"));
        car.expect_response(n);
    }
    let spool = site.server.state_dir().join("fleet/acme.car_a.1000.spool");
    wait::until("they are on disk", || {
        spool.metadata().ok().filter(|m| m.len() > 4_000)
    });
    std::fs::rename(&aside, &lab.lib).unwrap();
    let calls = lab.wait_log("car_a", "all of them", |calls| {
        calls.iter().any(|c| c == "status test n300")
    });
    let got: Vec<_> = calls
        .iter()
        .filter(|c| c.starts_with("status test n"))
        .cloned()
        .collect();
    let all: Vec<_> = (1..=300).map(|n| format!("status test n{n}")).collect();
    assert_eq!(got, all, "in order, none lost, none twice");
}

/// The module host of a gateway.
fn child_of(pid: u32) -> rustix::process::Pid {
    let path = format!("/proc/{pid}/task/");
    wait::until("the module host", || {
        std::fs::read_dir(&path).ok()?.flatten().find_map(|task| {
            let children = std::fs::read_to_string(task.path().join("children")).ok()?;
            let child: i32 = children.split_whitespace().next()?.parse().ok()?;
            rustix::process::Pid::from_raw(child)
        })
    })
}
