//! The gas service end to end: real binary, real serial code, sensors on a line that the test holds.

use crate::garage::Garage;
use leitstand_hal_mock::fault::Fault;
use leitstand_tests::wait::until;
use leitstand_tests::{Server, leitstand};
use serde_json::{Value, json};

const SNAPSHOT: &str = "/api/v1/gas/snapshot";

fn snapshot_until(server: &Server, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    server.wait_for(what, SNAPSHOT, |s| wanted(s).then(|| s.clone()))
}

fn state<'a>(snapshot: &'a Value, alarm: &str) -> &'a str {
    let points = snapshot["set_points"].as_array().unwrap();
    let point = points.iter().find(|p| p["alarm"] == alarm).expect(alarm);
    point["state"].as_str().unwrap()
}

fn ready(server: &Server) {
    snapshot_until(server, "every cell was polled", |s| {
        s["status"]["healthy_signal"] == true
    });
}

fn post(server: &Server, path: &str) -> (u16, Value) {
    let reply = server.post(&format!("/api/v1/gas{path}"), &json!({}));
    (reply.status, reply.json())
}

/// Kinds of the journal's entries about an alarm, oldest first.
fn journal(server: &Server, alarm: &str) -> Vec<String> {
    let page = server
        .get("/api/v1/events?service=gas&limit=1000&order=oldest")
        .json();
    let items = page["items"].as_array().unwrap();
    let of_alarm = items.iter().filter(|e| e["data"]["alarm"] == alarm);
    of_alarm
        .map(|e| e["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_alarm_from_the_gas_to_the_relay_and_back() {
    let garage = Garage::new(2);
    let server = Server::run(&garage.config(""));
    ready(&server);
    until("the healthy relay", || {
        (garage.relays() == [true, false, false, false]).then_some(())
    });
    assert_eq!(
        post(&server, "/alarms/zone1.ap3/ack").0,
        409,
        "nothing to acknowledge"
    );
    assert_eq!(post(&server, "/alarms/zone1.ap9/ack").0, 404);

    garage.co(1, 45.0);
    snapshot_until(&server, "AP1", |s| {
        state(s, "zone1.ap1") == "active_unack" && s["status"]["level"] == "ap1"
    });
    until("the fan", || {
        (garage.relays() == [true, true, false, false]).then_some(())
    });
    // AP2 is an average over 10 s: it comes on the way.
    garage.co(1, 80.0);
    snapshot_until(&server, "AP2", |s| state(s, "zone1.ap2") == "active_unack");
    garage.co(1, 200.0);
    let snapshot = snapshot_until(&server, "AP3", |s| {
        s["status"]["level"] == "ap3" && s["status"]["horn"]["on"] == true
    });
    assert_eq!(
        snapshot["alarms"][0]["id"], "zone1.ap3",
        "the most urgent first: {}",
        snapshot["alarms"]
    );
    assert_eq!(snapshot["zones"][1]["level"], "normal");
    until("the horn", || {
        (garage.relays() == [true, true, true, true]).then_some(())
    });

    let (status, problem) = post(&server, "/alarms/zone1.ap3/reset");
    assert_eq!(
        (status, problem["code"].as_str()),
        (409, Some("still_active")),
        "{problem}"
    );
    let (status, alarm) = post(&server, "/alarms/zone1.ap3/ack");
    assert_eq!(
        (status, alarm["state"].as_str()),
        (200, Some("active_ack")),
        "{alarm}"
    );
    assert_eq!(post(&server, "/alarms/ack-all").0, 200);
    // Acknowledged: the horn is quiet, the fans go on.
    until("the horn is quiet", || {
        (garage.relays() == [true, true, true, false]).then_some(())
    });

    garage.co(1, 0.0);
    let latched = snapshot_until(&server, "latched", |s| {
        state(s, "zone1.ap3") == "latched_ack"
    });
    assert_eq!(
        latched["zones"][0]["level"], "ap3",
        "a latched alarm is still an alarm"
    );
    let (status, alarm) = post(&server, "/alarms/zone1.ap3/reset");
    assert_eq!(
        (status, alarm["state"].as_str()),
        (200, Some("normal")),
        "{alarm}"
    );
    snapshot_until(&server, "all clear", |s| s["status"]["level"] == "normal");
    until("only the healthy relay", || {
        (garage.relays() == [true, false, false, false]).then_some(())
    });
    let expected = [
        "AlarmRaised",
        "AlarmAcknowledged",
        "AlarmLatched",
        "AlarmCleared",
    ];
    assert_eq!(journal(&server, "zone1.ap3"), expected);
}

#[test]
fn a_lost_bus_keeps_the_alarm_and_drops_the_healthy_signal() {
    let garage = Garage::new(1);
    let server = Server::run(&garage.config(""));
    ready(&server);
    garage.co(1, 160.0);
    snapshot_until(&server, "AP3", |s| state(s, "zone1.ap3") == "active_unack");
    garage.line().plug(false);
    let lost = snapshot_until(&server, "the zone is lost", |s| {
        s["zones"][0]["health"] == "lost"
    });
    assert_eq!(
        lost["zones"][0]["level"], "ap3",
        "a fault never hides an alarm"
    );
    assert_eq!(lost["status"]["healthy_signal"], false);
    assert_eq!(lost["cells"][0]["value"], Value::Null);
    assert_eq!(lost["cells"][0]["last_value"], 160.0);
    assert_eq!(lost["buses"][0]["state"], "closed");

    garage.co(1, 5.0);
    garage.line().plug(true);
    let back = snapshot_until(&server, "good again", |s| s["zones"][0]["health"] == "good");
    let latched = snapshot_until(&server, "latched", |s| {
        state(s, "zone1.ap3") == "latched_unack"
    });
    assert!(back["seq"].as_u64() <= latched["seq"].as_u64());
}

#[test]
fn reads_answer_while_the_bus_times_out() {
    let garage = Garage::new(1);
    let server = Server::run(&garage.config("timeout_ms = 2000\nretries = 5"));
    ready(&server);
    for address in [1, 34] {
        garage.fault(address, Fault::Silence, true);
    }
    // Every try ends in a timeout of 2 s from now on, and a poll of a device in 12 s of them. A read that waited for
    // the bus would see the timeouts of its device go up.
    let fault = snapshot_until(&server, "silence is a fault", |s| {
        s["cells"][0]["quality"] == "fault"
    });
    assert_eq!(fault["cells"][0]["fault"], "silence");
    let polls = |snapshot: &Value| -> u64 {
        let devices = snapshot["buses"][0]["devices"].as_array().unwrap();
        devices.iter().map(|d| d["timeout"].as_u64().unwrap()).sum()
    };
    let before = polls(&server.get(SNAPSHOT).json());
    for path in [
        "/snapshot",
        "/zones/zone1",
        "/cells/co_1",
        "/cells/co_1/history?window=60&step=1",
        "/status",
    ] {
        assert_eq!(
            server.get(&format!("/api/v1/gas{path}")).status,
            200,
            "{path}"
        );
    }
    let after = polls(&server.get(SNAPSHOT).json());
    assert!(
        after - before < 5,
        "five reads took {} timeouts",
        after - before
    );
}

#[test]
fn the_paths_of_the_original_server_answer_in_its_shapes() {
    let garage = Garage::new(2);
    let server = Server::run(&garage.config(""));
    garage.co(2, 45.0);
    ready(&server);
    let all = server.get("/api/").json();
    assert_eq!(all["service_interval"], 365);
    assert_eq!(all["sensors"].as_array().unwrap().len(), 2);
    let sensors = server.get("/api/sensors/").json();
    assert_eq!(sensors[1]["id"], 1);
    snapshot_until(&server, "45 ppm", |s| {
        s["cells"][1]["value"].as_f64() > Some(44.0)
    });
    let cell = server.get("/api/sensor/1/messzelle/0").json();
    assert_eq!(
        server.get("/api/sensor/1/messzellen").json()[0]["messzelle_type"],
        cell["messzelle_type"]
    );
    let value = cell["value"][0].as_f64().unwrap();
    assert!((44.0..46.0).contains(&value), "{cell}");
    assert!(
        cell["value"][1]["secs_since_epoch"].as_u64() > Some(1_600_000_000),
        "{cell}"
    );
    for absent in [
        "/api/sensor/2",
        "/api/sensor/0/messzelle/1",
        "/api/sensor/x",
        "/api/sensor/2/messzellen",
    ] {
        assert_eq!(server.get(absent).status, 404, "{absent}");
    }
}

#[test]
fn service_interval_and_measurements_survive_ten_restarts() {
    for interval in [180, 200, 730] {
        let garage = Garage::new(1);
        let config = garage.config("").replace(
            "production = true",
            &format!("production = true\nservice_interval_days = {interval}"),
        );
        let mut server = Server::run(&config);
        garage.co(1, 45.0);
        ready(&server);
        snapshot_until(&server, "AP1", |s| state(s, "zone1.ap1") == "active_unack");
        for boot in 2..=11 {
            assert!(server.stop().success());
            server.restart();
            let snapshot = server.wait_for("a snapshot", SNAPSHOT, |s| Some(s.clone()));
            assert_eq!(snapshot["service"]["interval_days"], interval);
            assert_eq!(snapshot["service"]["boot_count"], boot);
            assert_eq!(state(&snapshot, "zone1.ap1"), "active_unack");
        }
    }
}

#[test]
fn runtime_information_of_the_service_in_pieces_is_exit_3() {
    let garage = Garage::new(1);
    let mut server = Server::run(&garage.config(""));
    ready(&server);
    assert!(server.stop().success());
    server.restart();
    ready(&server);
    assert!(server.stop().success());
    let state_dir = server.state_dir();
    let cut = |name: &str| {
        let path = state_dir.join(name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 3]).unwrap();
    };
    cut("gas.status");
    server.restart();
    ready(&server);
    let entry = |e: &Value| e["kind"] == "RuntimeInformationRecovered";
    let page = server.get("/api/v1/events?service=gas&limit=1000").json();
    assert!(
        page["items"].as_array().unwrap().iter().any(entry),
        "{page}"
    );
    assert!(server.stop().success());
    cut("gas.status");
    cut("gas.status.1");
    let (config, state) = (server.dir().join("leitstand.toml"), state_dir.clone());
    let args = [
        "run",
        "--config",
        &config.display().to_string(),
        "--state",
        &state.display().to_string(),
        "--bind",
        "127.0.0.1:0",
    ]
    .map(str::to_owned);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = leitstand(&args);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("gas.status"), "{told}");
}

#[test]
fn engineers_take_outputs_in_hand_and_the_site_says_so() {
    let garage = Garage::new(1);
    let server = Server::run(&garage.config(""));
    ready(&server);
    let put = |body: Value| server.put("/api/v1/gas/outputs/fan", &body);
    assert_eq!(put(json!({"mode": "on"})).status, 422, "a reason is needed");
    assert_eq!(
        put(json!({"mode": "on", "reason": "try the fan", "minutes": 10})).status,
        200
    );
    until("the fan", || (garage.relays()[1]).then_some(()));
    let snapshot = server.get(SNAPSHOT).json();
    assert_eq!(snapshot["outputs"][1]["mode"], "on");
    assert_eq!(snapshot["outputs"][1]["hand"]["reason"], "try the fan");
    assert!(
        snapshot["status"]["special"]
            .as_array()
            .unwrap()
            .contains(&json!("override")),
        "{}",
        snapshot["status"]
    );
    assert_eq!(put(json!({"mode": "auto"})).status, 200);
    until("the fan stops", || (!garage.relays()[1]).then_some(()));
    let healthy = server.put(
        "/api/v1/gas/outputs/fault",
        &json!({"mode": "on", "reason": "hide it"}),
    );
    assert_eq!(healthy.status, 409, "the healthy signal cannot be forced");
    let validated = server.post(
        "/api/v1/gas/config/validate",
        &json!({"text": "[gas]\nproduction = 3\n"}),
    );
    assert_eq!(validated.status, 403, "a local engineer is no admin");
}
