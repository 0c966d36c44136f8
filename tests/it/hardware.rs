//! Hardware that is not there, or not ours: the gateway runs, and says what is wrong and what to do.

use leitstand_tests::{Server, leitstand};
use serde_json::Value;

/// A relay board and a mains contact on a chip that no machine has, a battery monitor on no bus.
const SITE: &str = r#"
site = "Bare"
[gas]
production = false
[[gas.boards]]
id = "relays"
kind = "relay9"
chip = "no-such-chip"
oe = 1
ds = 2
clock = 3
latch = 4
[[gas.outputs]]
id = "fault"
kind = "relay"
pin = 1
normally = "energised"
[[gas.sensors]]
id = "sim"
kind = "simulated"
profile = "constant"
[[gas.cells]]
id = "co"
sensor = "sim"
gas = "co"
unit = "ppm"
range_hi = 300
warmup_s = 0
[[gas.zones]]
id = "z"
cells = ["co"]
[power]
capacity_ah = 7
[power.mains]
chip = "no-such-chip"
line = 9
[power.gauge]
kind = "ina226"
bus = "/dev/i2c-no-such-bus"
"#;

#[test]
fn a_board_that_is_not_there_is_a_fault_with_its_reason_and_the_site_runs() {
    let server = Server::run(SITE);
    let snapshot = server.wait_for("the fault of the output", "/api/v1/gas/snapshot", |s| {
        (s["outputs"][0]["fault"] == true).then(|| s.clone())
    });
    assert_eq!(snapshot["outputs"][0]["wired"], true);
    let health = server.wait_for("the reason", "/healthz", |h| {
        let text = h.to_string();
        text.contains("no GPIO chip is called `no-such-chip`")
            .then_some(text)
    });
    assert!(health.contains("this machine has"), "{health}");
    let printed = server.printed();
    assert!(printed.contains("dtparam=i2c_arm=on"), "{printed}");
}

fn findings(text: &str) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("leitstand.toml");
    std::fs::write(&file, text).unwrap();
    let output = leitstand(&["check", file.to_str().unwrap(), "--json"]);
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let word = |d: &Value, key: &str| d[key].as_str().unwrap().to_owned();
    found
        .iter()
        .filter(|d| d["severity"] == "error")
        .map(|d| (word(d, "code"), word(d, "key")))
        .collect()
}

#[test]
fn a_line_has_one_user_and_a_board_all_its_lines() {
    assert_eq!(findings(SITE), []);
    let one = |text: &str, code: &str, key: &str| {
        assert_eq!(findings(text), [(code.to_owned(), key.to_owned())]);
    };
    let board = "gas.boards[0]";
    one(
        &SITE.replace("latch = 4", "latch = 2"),
        "line_twice",
        &format!("{board}.ds"),
    );
    one(
        &SITE.replace("line = 9", "line = 3"),
        "line_twice",
        "power.mains.line",
    );
    one(
        &SITE.replace("latch = 4\n", ""),
        "missing_key",
        &format!("{board}.latch"),
    );
    one(
        &SITE.replacen("chip = \"no-such-chip\"\n", "", 1),
        "missing_key",
        &format!("{board}.chip"),
    );
    let spi = SITE.replace("ds = 2\nclock = 3", "spi = \"/dev/spidev0.0\"");
    assert_eq!(findings(&spi), []);
    let both = SITE.replace("ds = 2", "ds = 2\nspi = \"/dev/spidev0.0\"");
    assert!(!findings(&both).is_empty(), "lines and SPI at once");
}

#[test]
fn a_scan_without_a_device_lists_what_is_plugged_in() {
    let output = leitstand(&["scan"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for section in [
        "Serial lines:",
        "GPIO chips, by label:",
        "I2C buses:",
        "SPI devices:",
    ] {
        assert!(text.contains(section), "{text}");
    }
    let output = leitstand(&["scan", "--baud", "9600"]);
    assert_eq!(output.status.code(), Some(2), "a rate needs a device");
}
