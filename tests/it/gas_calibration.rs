//! Gas at the sensor: zero and span over the real line, and bump tests.

use crate::garage::Garage;
use leitstand_hal_mock::fault::Fault;
use leitstand_tests::Server;
use serde_json::{Value, json};

const SNAPSHOT: &str = "/api/v1/gas/snapshot";
const CALIBRATE: &str = "/api/v1/gas/cells/co_1/calibrate";

fn cell_until(server: &Server, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    server.wait_for(what, SNAPSHOT, |s| {
        wanted(&s["cells"][0]).then(|| s["cells"][0].clone())
    })
}

fn garage() -> (Garage, Server) {
    let garage = Garage::new(1);
    let server = Server::run(&garage.config(""));
    server.wait_for("every cell was polled", SNAPSHOT, |s| {
        (s["status"]["healthy_signal"] == true).then_some(())
    });
    (garage, server)
}

fn span(ppm: f64) -> Value {
    json!({"point": "span", "ppm": ppm, "reason": "yearly"})
}

fn records(server: &Server) -> Value {
    server.get("/api/v1/gas/cells/co_1/records").ok()
}

#[test]
fn a_span_point_is_shown_confirmed_written_read_back_and_kept() {
    let (garage, server) = garage();
    garage.co(1, 265.0);
    // The gas is on before anybody said so: that is an alarm. From the first request on it is a calibration.
    cell_until(&server, "the span gas", |c| c["calibration"]["adc"] == 748);
    let shown = server.post(CALIBRATE, &span(270.0)).ok();
    assert_eq!(shown["step"], "confirm", "{shown}");
    assert_eq!(
        shown["changes"],
        json!([{"register": 25, "from": 760, "to": 748}])
    );
    assert_eq!(shown["as_found"], 265.0);
    let cell = cell_until(&server, "inhibited", |c| c["inhibited"] == true);
    assert_eq!(
        cell["calibration"]["adc_span"], 760,
        "nothing was written yet"
    );
    let mut word = span(270.0);
    word["confirm"] = shown["confirm"].clone();
    let done = server.post(CALIBRATE, &word).ok();
    assert_eq!(done["step"], "done", "{done}");
    assert_eq!(done["record"]["kind"], "CellCalibrated");
    let data = &done["record"]["data"];
    assert_eq!(data["before"]["adc_span"], 760);
    assert_eq!(data["after"]["adc_span"], 748);

    let cell = cell_until(&server, "the new line", |c| c["value"] == 270.0);
    assert_eq!(cell["warnings"], json!([]), "confirmed with it");
    assert_eq!(cell["overlay"]["kind"], "inhibited", "the gas is still on");
    let kept = records(&server);
    assert_eq!(kept["items"][0]["seq"], done["record"]["seq"]);
    assert_eq!(kept["items"][0]["by"], "local");
    assert_eq!(kept["drift"]["span"][0]["deviation"], -5.0);
    // The same word twice is not a second calibration.
    assert_eq!(server.post(CALIBRATE, &word).problem(409), "offer_expired");
    assert_eq!(records(&server)["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_was_not_shown_is_not_written() {
    let (garage, server) = garage();
    let shown = server
        .post(
            CALIBRATE,
            &json!({"point": "zero", "ppm": 0, "reason": "x"}),
        )
        .problem(409);
    assert_eq!(shown, "nothing_to_write");
    let not_whole = server.post(CALIBRATE, &span(12.5)).problem(422);
    assert_eq!(not_whole, "not_whole_ppm");
    assert_eq!(
        server.post(CALIBRATE, &span(301.0)).problem(422),
        "gas_out_of_range"
    );
    assert_eq!(
        server.post(CALIBRATE, &span(200.0)).problem(409),
        "points_too_close",
        "in clean air"
    );

    garage.co(1, 265.0);
    cell_until(&server, "the span gas", |c| c["calibration"]["adc"] == 748);
    let shown = server.post(CALIBRATE, &span(270.0)).ok();
    let mut other = span(250.0);
    other["confirm"] = shown["confirm"].clone();
    assert_eq!(server.post(CALIBRATE, &other).problem(409), "offer_expired");

    let shown = server.post(CALIBRATE, &span(270.0)).ok();
    garage.co(1, 240.0);
    cell_until(&server, "other gas", |c| c["calibration"]["adc"] == 688);
    let mut word = span(270.0);
    word["confirm"] = shown["confirm"].clone();
    assert_eq!(server.post(CALIBRATE, &word).problem(409), "reading_moved");

    let shown = server.post(CALIBRATE, &span(270.0)).ok();
    garage.fault(1, Fault::Silence, true);
    word["confirm"] = shown["confirm"].clone();
    let code = server.post(CALIBRATE, &word).problem(409);
    assert!(
        ["not_written", "no_reading"].contains(&code.as_str()),
        "{code}"
    );
    garage.fault(1, Fault::Silence, false);
    let cell = cell_until(&server, "it answers again", |c| c["quality"] == "good");
    assert_eq!(cell["calibration"]["adc_span"], 760);
}

#[test]
fn a_bump_test_waits_for_gas_without_an_alarm_and_is_kept() {
    let (garage, server) = garage();
    let path = "/api/v1/gas/cells/co_1/bump-test";
    let started = server
        .post(path, &json!({"minutes": 5, "reason": "monthly"}))
        .ok();
    assert_eq!(started["overlay"]["kind"], "inhibited");
    assert_eq!(
        started["bump"]["target"], 30.0,
        "the lowest limit unless another is named"
    );
    garage.co(1, 200.0);
    cell_until(&server, "it saw the gas", |c| {
        c["bump"] == Value::Null && c["value"] == 200.0
    });
    let kept = server.wait_for("the record", "/api/v1/gas/cells/co_1/records", |r| {
        r["items"].get(0).cloned()
    });
    assert_eq!(kept["kind"], "BumpTestPassed");
    assert_eq!(kept["by"], "local");
    assert_eq!(kept["data"]["reason"], "monthly");
    assert_eq!(server.get(SNAPSHOT).ok()["status"]["level"], "normal");
    garage.co(1, 0.0);
    cell_until(&server, "clean air", |c| c["value"] == 0.0);
    let back = "/api/v1/gas/cells/co_1/return";
    let returned = server.post(back, &json!({"reason": "done"})).ok();
    assert_eq!(returned["inhibited"], false);
    let refused = |body: Value| server.post(path, &body).problem(422);
    assert_eq!(
        refused(json!({"minutes": 0, "reason": "x"})),
        "span_out_of_range"
    );
    assert_eq!(
        refused(json!({"minutes": 5, "target": 400, "reason": "x"})),
        "gas_out_of_range"
    );
    assert_eq!(refused(json!({"minutes": 5, "reason": " "})), "bad_text");
}
