//! Another configuration while relays are on: what stands keeps standing, and every mistake is named.

use crate::garage::Garage;
use leitstand_tests::http::Reply;
use leitstand_tests::wait::until;
use leitstand_tests::{Server, leitstand};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SNAPSHOT: &str = "/api/v1/gas/snapshot";
const CONFIG: &str = "/api/v1/gas/config";

/// The server, held by an admin: on loopback everybody is an engineer only.
fn start(garage: &Garage) -> Server {
    let mut server = Server::run(&garage.config(""));
    let state = server.state_dir().display().to_string();
    let args = ["token", "new", "--name", "me", "--role", "admin", "--state"];
    let out = leitstand(&[&args[..], &[state.as_str()]].concat());
    let token = String::from_utf8(out.stdout).unwrap().trim().to_owned();
    server.use_token(Some(token));
    server.wait_for("every cell was polled", SNAPSHOT, |s| {
        (s["status"]["healthy_signal"] == true).then_some(())
    });
    server
}

fn current(server: &Server) -> (String, Value) {
    let reply = server.get(CONFIG);
    (reply.header("etag").unwrap().to_owned(), reply.ok())
}

fn put(server: &Server, tag: Option<&str>, text: &str) -> Reply {
    let body = json!({"text": text, "reason": "test"}).to_string();
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(tag.map(|tag| ("If-Match", tag)));
    server.request("PUT", CONFIG, &headers, Some(body.as_bytes()))
}

fn point(snapshot: &Value, alarm: &str) -> Value {
    let points = snapshot["set_points"].as_array().unwrap();
    points.iter().find(|p| p["alarm"] == alarm).unwrap().clone()
}

#[test]
fn a_limit_changes_and_nothing_else_moves() {
    let garage = Arc::new(Garage::new(2));
    let mut server = start(&garage);
    garage.co(1, 200.0);
    server.wait_for("AP2 and AP3 of zone 1", SNAPSHOT, |s| {
        (point(s, "zone1.ap3")["state"] == "active_unack"
            && point(s, "zone1.ap2")["state"] == "active_unack")
            .then_some(())
    });
    let _ = server.post("/api/v1/gas/alarms/ack-all", &json!({})).ok();
    garage.co(1, 0.0);
    garage.co(2, 25.0);
    server.wait_for("latched, and the second cell at 25", SNAPSHOT, |s| {
        (point(s, "zone1.ap3")["state"] == "latched_ack"
            && point(s, "zone1.ap2")["state"] == "normal"
            && s["cells"][1]["value"].as_f64().is_some_and(|v| v > 24.0))
        .then_some(())
    });
    until("fan off, fault relay on", || {
        (garage.relays() == [true, true, true, false]).then_some(())
    });

    // From here on somebody looks at the relays all the time: none may drop, not even for a moment.
    let over = Arc::new(AtomicBool::new(false));
    let watcher = std::thread::spawn({
        let (garage, over) = (Arc::clone(&garage), Arc::clone(&over));
        move || {
            let mut dropped = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let relays = garage.relays();
                if !(relays[0] && relays[1] && relays[2]) {
                    dropped.push(relays);
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            dropped
        }
    });
    let (tag, before) = current(&server);
    assert_eq!(before["version"], 1);
    let text = before["text"].as_str().unwrap();
    // AP1 of zone 2: 30 to 24.
    let at = text.find("id = \"zone2\"").unwrap();
    let lower = text[at..].replacen("on = 30.0", "on = 24.0", 1);
    let lower = format!("{}{lower}", &text[..at]);
    let replaced = put(&server, Some(&tag), &lower).ok();
    assert_eq!(replaced["version"], 2, "{replaced}");
    assert_eq!(
        (&replaced["applied"], &replaced["restart"]),
        (&json!(true), &json!([]))
    );
    let snapshot = server.wait_for("the new limit alarms", SNAPSHOT, |s| {
        (point(s, "zone2.ap1")["state"] == "active_unack").then(|| s.clone())
    });
    assert_eq!(snapshot["status"]["config_version"], 2);
    assert_eq!(point(&snapshot, "zone2.ap1")["on"], 24.0);
    assert_eq!(point(&snapshot, "zone1.ap3")["state"], "latched_ack");
    // 10 s averages were known and stay known.
    let average = &point(&snapshot, "zone1.ap2")["value"];
    assert!(average.is_number(), "{average}");
    until("a scan of the bus after it", || {
        let s = server.get(SNAPSHOT).ok();
        (s["buses"][0]["devices"][0]["good"].as_u64()? > 2).then_some(())
    });
    over.store(true, Ordering::Relaxed);
    assert_eq!(watcher.join().unwrap(), Vec::<[bool; 4]>::new());

    let journal = server.get("/api/v1/events?service=gas&limit=1000").ok();
    let kinds: Vec<_> = journal["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["kind"].as_str().unwrap().to_owned())
        .take_while(|kind| kind != "ConfigurationChanged")
        .collect();
    for spurious in [
        "BusLost",
        "CellFault",
        "HealthySignalChanged",
        "AlarmCleared",
    ] {
        assert!(!kinds.iter().any(|k| k == spurious), "{kinds:?}");
    }
    // What somebody else wrote is not overwritten.
    assert_eq!(
        put(&server, Some(&tag), text).problem(412),
        "precondition_failed"
    );
    let versions = server.get("/api/v1/gas/config/versions").ok();
    assert_eq!(versions["items"][0]["by"], "me", "{versions}");
    let first = server.get("/api/v1/gas/config/versions/1").ok();
    assert_eq!(first["text"], text);

    server.kill_9();
    server.restart();
    let snapshot = server.wait_for("after a power cut", SNAPSHOT, |s| {
        (s["status"]["healthy_signal"] == true).then(|| s.clone())
    });
    assert_eq!(point(&snapshot, "zone2.ap1")["on"], 24.0);
    assert_eq!(point(&snapshot, "zone1.ap3")["state"], "latched_ack");
}

#[test]
fn mistakes_are_named_and_nothing_changes() {
    let garage = Garage::new(1);
    let server = start(&garage);
    let (tag, before) = current(&server);
    let text = before["text"].as_str().unwrap();
    assert_eq!(
        put(&server, None, text).problem(428),
        "precondition_required"
    );
    let wrong = text.replacen("hysteresis = 5.0", "hysteresis = 50.0\nlaching = true", 1);
    let reply = put(&server, Some(&tag), &wrong);
    let problem = reply.json();
    assert_eq!(
        (reply.status, &problem["code"]),
        (422, &json!("bad_configuration"))
    );
    let codes: Vec<_> = problem["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["code"].as_str().unwrap())
        .collect();
    assert!(codes.contains(&"unknown_key"), "{codes:?}");
    assert_eq!(
        put(&server, Some(&tag), "site = \"nothing else\"\n").problem(422),
        "gas_missing"
    );
    let huge = format!("{text}# {}", "x".repeat(600 * 1024));
    assert_eq!(put(&server, Some(&tag), &huge).status, 413);
    let (same, _) = current(&server);
    assert_eq!(same, tag);
    // A comment is a new version, and the service goes on undisturbed.
    let noted = format!("# checked\n{text}");
    let replaced = put(&server, Some(&tag), &noted).ok();
    assert_eq!(replaced["version"], 2);
    // Another section is kept for the next start.
    let (tag, _) = current(&server);
    let renamed = noted.replacen("Test garage", "Other garage", 1);
    let replaced = put(&server, Some(&tag), &renamed).ok();
    assert_eq!(replaced["restart"], json!(["site"]));
}
