//! The demo as a visitor meets it, and the handles that tests use to make things happen.

use leitstand_tests::{Server, wait};
use serde_json::{Value, json};

const SNAPSHOT: &str = "/api/v1/gas/snapshot";

fn by_id<'a>(list: &'a Value, id: &str) -> &'a Value {
    let all = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    all.iter()
        .find(|v| v["id"] == id)
        .unwrap_or_else(|| panic!("no `{id}` in {list}"))
}

fn quality(snapshot: &Value, cell: &str) -> String {
    by_id(&snapshot["cells"], cell)["quality"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn it_says_where_to_look_how_to_stop_and_that_it_is_simulated() {
    let start = std::time::Instant::now();
    let mut server = Server::demo();
    // Printed for people; a number of a busy test machine is nothing to assert.
    eprintln!(
        "demo: address printed after {} ms",
        start.elapsed().as_millis()
    );
    let text = server.printed();
    for part in [
        "leitstand: ",
        "http://127.0.0.1:",
        "simulated",
        "Ctrl+C",
        "leitstand.toml",
        "Not a type-approved",
    ] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    let site = server.get("/api/v1/site").ok();
    assert_eq!(site["simulated"], true);
    assert_eq!(site["version"], env!("CARGO_PKG_VERSION"));
    assert!(
        site["notice"]
            .as_str()
            .unwrap()
            .contains("Not a type-approved")
    );
    server.wait_for("the gas service says it too", SNAPSHOT, |s| {
        (s["simulated"] == true).then_some(())
    });
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn every_cell_is_read_over_the_simulated_line() {
    let server = Server::demo();
    server.wait_for("all cells are good", SNAPSHOT, |s| {
        let cells = s["cells"].as_array()?;
        (cells.len() == 8 && cells.iter().all(|c| c["quality"] == "good")).then_some(())
    });
    let bus = server.get(SNAPSHOT).ok()["buses"][0].clone();
    let good: u64 = bus["devices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["good"].as_u64().unwrap())
        .sum();
    assert!(good >= 4, "{bus}");
}

#[test]
fn a_value_given_by_hand_reaches_the_page_and_raises_the_alarm() {
    let server = Server::demo();
    let mut stream = server.stream("/api/v1/stream", None);
    let _ = server
        .post("/api/v1/sim/cell", &json!({"cell": "co_2", "value": 200.0}))
        .ok();
    stream.find("AP3 is raised", |e| {
        (e.kind == "entry"
            && e.data["kind"] == "AlarmRaised"
            && e.data["data"]["setpoint"] == "upper_co_ap3")
            .then_some(())
    });
    server.wait_for("200 ppm are shown", SNAPSHOT, |s| {
        // The sensor's analog-digital converter has steps of 0.4 ppm.
        (by_id(&s["cells"], "co_2")["value"].as_f64()? - 200.0)
            .abs()
            .lt(&1.0)
            .then_some(())
    });
    let _ = server
        .post("/api/v1/sim/cell", &json!({"cell": "co_2", "value": null}))
        .ok();
    server.wait_for("the scenario has the cell again", SNAPSHOT, |s| {
        by_id(&s["cells"], "co_2")["value"]
            .as_f64()?
            .lt(&150.0)
            .then_some(())
    });
    let bad = server.post("/api/v1/sim/cell", &json!({"cell": "co_99", "value": 1}));
    let _ = bad.problem(404);
}

#[test]
fn a_silent_sensor_is_a_fault_and_comes_back() {
    let server = Server::demo();
    server.wait_for("the sensor is good", SNAPSHOT, |s| {
        (quality(s, "co_2") == "good").then_some(())
    });
    let fault = |on: bool| json!({"target": "level2", "kind": "silence", "on": on});
    let _ = server.post("/api/v1/sim/fault", &fault(true)).ok();
    server.wait_for("the fault is seen", SNAPSHOT, |s| {
        (quality(s, "co_2") == "fault").then_some(())
    });
    server.wait_for("others are good", SNAPSHOT, |s| {
        (quality(s, "co_1") == "good").then_some(())
    });
    let _ = server.post("/api/v1/sim/fault", &fault(false)).ok();
    server.wait_for("it is healthy again", SNAPSHOT, |s| {
        (quality(s, "co_2") == "good").then_some(())
    });
}

#[test]
fn mains_fails_over_to_battery_and_back() {
    let server = Server::demo();
    let state = |s: &Value| s["power"]["state"].as_str().unwrap_or_default().to_owned();
    server.wait_for("on mains", SNAPSHOT, |s| {
        (state(s) == "mains").then_some(())
    });
    let _ = server.post("/api/v1/sim/mains", &json!({"ok": false})).ok();
    server.wait_for("on battery", SNAPSHOT, |s| {
        (state(s) == "on_battery").then_some(())
    });
    let _ = server.post("/api/v1/sim/mains", &json!({"ok": true})).ok();
    server.wait_for("on mains again", SNAPSHOT, |s| {
        (state(s) == "mains").then_some(())
    });
}

#[test]
fn a_press_on_the_board_plays_and_a_pulled_cable_is_seen() {
    let server = Server::demo();
    let online = |s: &Value| s["panels"][0]["online"].as_bool();
    server.wait_for("the board is online", "/status", |s| {
        online(s)?.then_some(())
    });
    let _ = server.post("/api/v1/sim/press", &json!({"button": 5})).ok();
    server.wait_for("button 5 plays", "/status", |s| {
        (s["current_button"] == 5).then_some(())
    });
    let _ = server
        .post("/api/v1/sim/board", &json!({"action": "unplug"}))
        .ok();
    server.wait_for("the board is offline", "/status", |s| {
        (!online(s)?).then_some(())
    });
    let _ = server
        .post("/api/v1/sim/board", &json!({"action": "replug"}))
        .ok();
    server.wait_for("the board is back", "/status", |s| online(s)?.then_some(()));
    let _ = server
        .post("/api/v1/sim/press", &json!({"button": 11}))
        .problem(422);
}

#[test]
fn a_stop_leaves_nothing_behind() {
    let mut server = Server::demo_without_state();
    server.wait_for("it runs", SNAPSHOT, |s| s["cells"].is_array().then_some(()));
    let temp = server.dir().join("tmp");
    let used: Vec<_> = std::fs::read_dir(&temp).unwrap().collect();
    assert_eq!(
        used.len(),
        1,
        "the demo keeps everything in one directory: {used:?}"
    );
    assert_eq!(server.stop().code(), Some(0));
    let left: Vec<_> = std::fs::read_dir(&temp).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn its_configuration_passes_the_check_and_runs_again() {
    let mut server = Server::demo();
    let config = server.state_dir().join("leitstand.toml");
    wait::until("the configuration is written", || {
        config.is_file().then_some(())
    });
    let output = leitstand_tests::leitstand(&["check", &config.display().to_string(), "--json"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(server.stop().code(), Some(0));
    server.restart();
    let _ = server.get("/api/v1/site").ok();
}
