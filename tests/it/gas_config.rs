//! `leitstand check` on a good configuration with one mistake at a time: the line, the key, the kind of mistake,
//! and what was probably meant.

use leitstand_tests::leitstand;
use serde_json::Value;

const GARAGE: &str = include_str!("../data/garage.toml");

/// One mistake: what is replaced (its first occurrence) and by what, and what must be reported. The line is that
/// of the last line of the replacement, or of the first occurrence of `line_of` in the text with the mistake.
struct Mistake {
    from: &'static str,
    to: &'static str,
    key: &'static str,
    code: &'static str,
    suggestion: Option<&'static str>,
    line_of: Option<&'static str>,
}

const fn mistake(
    from: &'static str,
    to: &'static str,
    key: &'static str,
    code: &'static str,
) -> Mistake {
    Mistake {
        from,
        to,
        key,
        code,
        suggestion: None,
        line_of: None,
    }
}

impl Mistake {
    /// It shows elsewhere: at the table that lacks a key, or at the other end of a contradiction.
    const fn at(mut self, line_of: &'static str) -> Self {
        self.line_of = Some(line_of);
        self
    }
}

const fn misspelt(
    from: &'static str,
    to: &'static str,
    key: &'static str,
    code: &'static str,
    meant: &'static str,
) -> Mistake {
    Mistake {
        from,
        to,
        key,
        code,
        suggestion: Some(meant),
        line_of: None,
    }
}

const BUS: &str = "[[gas.sensors]]\nid = \"level1\"";

#[rustfmt::skip]
const MISTAKES: &[Mistake] = &[
    // Keys that do not exist, one in every table, with what was meant.
    misspelt("site = ", "sitte = ", "sitte", "unknown_key", "site"),
    misspelt("language = ", "langauge = ", "langauge", "unknown_key", "language"),
    misspelt("[api]\nbind", "[api]\nbnid", "api.bnid", "unknown_key", "bind"),
    misspelt("service_interval_days", "service_intervall_days", "gas.service_intervall_days", "unknown_key", "service_interval_days"),
    misspelt("production = ", "prodcution = ", "gas.prodcution", "unknown_key", "production"),
    misspelt("baud = ", "buad = ", "gas.buses[0].buad", "unknown_key", "baud"),
    misspelt("timeout_ms = ", "timeout = ", "gas.buses[0].timeout", "unknown_key", "timeout_ms"),
    misspelt("address = 2", "adress = 2", "gas.sensors[1].adress", "unknown_key", "address"),
    misspelt("range_hi = 300", "range_high = 300", "gas.cells[0].range_high", "unknown_key", "range_hi"),
    misspelt("warmup_s = 0", "warm_up_s = 0", "gas.cells[0].warm_up_s", "unknown_key", "warmup_s"),
    misspelt("loss_action", "loss_actoin", "gas.zones[0].loss_actoin", "unknown_key", "loss_action"),
    misspelt("  hysteresis = 5.0", "  hysterisis = 5.0", "gas.zones[0].setpoints[0].hysterisis", "unknown_key", "hysteresis"),
    misspelt("on_delay_s = 0", "ondelay_s = 0", "gas.zones[0].setpoints[0].ondelay_s", "unknown_key", "on_delay_s"),
    misspelt("latching = true", "latchign = true", "gas.zones[0].setpoints[2].latchign", "unknown_key", "latching"),
    misspelt("{ output = \"fan_low\", mode", "{ output = \"fan_low\", mod", "gas.zones[0].setpoints[0].actions[0].mod", "unknown_key", "mode"),
    misspelt("normally = ", "normaly = ", "gas.outputs[0].normaly", "unknown_key", "normally"),
    misspelt("capacity_ah", "capacty_ah", "power.capacty_ah", "unknown_key", "capacity_ah"),
    misspelt("[power]", "[powr]", "powr", "unknown_key", "power"),
    // Words that do not exist.
    misspelt("language = \"en\"", "language = \"eng\"", "language", "unknown_value", "en"),
    misspelt("parity = \"none\"", "parity = \"non\"", "gas.buses[0].parity", "unknown_value", "none"),
    misspelt("kind = \"ra_gas_co_no2\"", "kind = \"ragas_co_no2\"", "gas.sensors[0].kind", "unknown_value", "ra_gas_co_no2"),
    mistake("gas = \"co\"", "gas = \"xenon\"", "gas.cells[0].gas", "unknown_value"),
    misspelt("unit = \"ppm\"", "unit = \"pmm\"", "gas.cells[0].unit", "unknown_value", "ppm"),
    misspelt("quantity = \"average\"", "quantity = \"avarage\"", "gas.zones[0].setpoints[0].quantity", "unknown_value", "average"),
    misspelt("direction = \"rising\"", "direction = \"raising\"", "gas.zones[0].setpoints[0].direction", "unknown_value", "rising"),
    misspelt("loss_action = \"ap1\"", "loss_action = \"ap-1\"", "gas.zones[0].loss_action", "unknown_value", "ap1"),
    misspelt("mode = \"flash\"", "mode = \"flahs\"", "gas.zones[0].setpoints[2].actions[1].mode", "unknown_value", "flash"),
    misspelt("kind = \"horn\"", "kind = \"hron\"", "gas.outputs[3].kind", "unknown_value", "horn"),
    misspelt("normally = \"energised\"", "normally = \"energized\"", "gas.outputs[0].normally", "unknown_value", "energised"),
    misspelt("chemistry = \"agm\"", "chemistry = \"amg\"", "power.chemistry", "unknown_value", "agm"),
    // Wrong types.
    mistake("baud = 9600", "baud = \"9600\"", "gas.buses[0].baud", "wrong_type"),
    mistake("production = false", "production = \"no\"", "gas.production", "wrong_type"),
    mistake("on = 30.0", "on = \"thirty\"", "gas.zones[0].setpoints[0].on", "wrong_type"),
    mistake("cells = [\"co_1\", \"co_2\", \"no2_1\"]", "cells = \"co_1\"", "gas.zones[0].cells", "wrong_type"),
    mistake("pin = 2", "pin = 2.5", "gas.outputs[1].pin", "wrong_type"),
    mistake("range_hi = 300", "range_hi = true", "gas.cells[0].range_hi", "wrong_type"),
    // Out of bounds.
    mistake("timeout_ms = 300", "timeout_ms = 30", "gas.buses[0].timeout_ms", "out_of_range"),
    mistake("retries = 2", "retries = 50", "gas.buses[0].retries", "out_of_range"),
    mistake("scan_s = 1", "scan_s = 0", "gas.buses[0].scan_s", "out_of_range"),
    mistake("address = 2", "address = 248", "gas.sensors[1].address", "out_of_range"),
    mistake("address = 2", "address = 0", "gas.sensors[1].address", "out_of_range"),
    mistake("warmup_s = 0", "warmup_s = 3001", "gas.cells[0].warmup_s", "out_of_range"),
    mistake("stage = 2", "stage = 5", "gas.zones[0].setpoints[1].stage", "out_of_range"),
    mistake("window_s = 900", "window_s = 5", "gas.zones[0].setpoints[0].window_s", "out_of_range"),
    mistake("on_delay_s = 0", "on_delay_s = -1", "gas.zones[0].setpoints[0].on_delay_s", "out_of_range"),
    mistake("pin = 3", "pin = 21", "gas.outputs[2].pin", "out_of_range"),
    mistake("pin = 3", "pin = 0", "gas.outputs[2].pin", "out_of_range"),
    mistake("min_soc_percent = 20", "min_soc_percent = 101", "power.min_soc_percent", "out_of_range"),
    mistake("service_interval_days = 365", "service_interval_days = 5000", "gas.service_interval_days", "out_of_range"),
    // Missing.
    mistake("site = \"Tiefgarage Nord\"", "", "site", "missing_key").at("# A two-level"),
    mistake("device = \"/dev/ttyUSB0\"\n", "", "gas.buses[0].device", "missing_key").at("[[gas.buses]]"),
    mistake("bus = \"rs485\"\n", "", "gas.sensors[0].bus", "missing_key").at("[[gas.sensors]]"),
    mistake("address = 1\n", "", "gas.sensors[0].address", "missing_key").at("[[gas.sensors]]"),
    mistake("gas = \"co\"\n", "", "gas.cells[0].gas", "missing_key").at("[[gas.cells]]"),
    mistake("  stage = 1\n", "", "gas.zones[0].setpoints[0].stage", "missing_key").at("[[gas.zones.setpoints]]"),
    // References.
    misspelt("bus = \"rs485\"", "bus = \"rs458\"", "gas.sensors[0].bus", "unknown_reference", "rs485"),
    misspelt("sensor = \"level1\"", "sensor = \"levle1\"", "gas.cells[0].sensor", "unknown_reference", "level1"),
    misspelt("cells = [\"co_1\", \"co_2\", \"no2_1\"]", "cells = [\"co_1\", \"co_2\", \"no_2_1\"]", "gas.zones[0].cells[2]", "unknown_reference", "no2_1"),
    misspelt("cells = [\"co_1\", \"co_2\"]", "cells = [\"co_1\", \"co2\"]", "gas.zones[0].setpoints[0].cells[1]", "unknown_reference", "co_2"),
    misspelt("output = \"fan_low\"", "output = \"fan_lwo\"", "gas.zones[0].setpoints[0].actions[0].output", "unknown_reference", "fan_low"),
    misspelt("pin = 5", "pin = 5\nboard = \"leds\"", "gas.outputs[4].board", "unknown_reference", ""),
    // Ids.
    mistake("id = \"co_2\"", "id = \"co_1\"", "gas.cells[1].id", "duplicate_id"),
    mistake("id = \"level2\"", "id = \"level1\"", "gas.sensors[1].id", "duplicate_id"),
    mistake("id = \"co_ap2\"", "id = \"co_ap1\"", "gas.zones[0].setpoints[1].id", "duplicate_id"),
    mistake("id = \"fan_high\"", "id = \"fan_low\"", "gas.outputs[2].id", "duplicate_id"),
    mistake("id = \"horn\"", "id = \"power\"", "gas.outputs[3].id", "duplicate_id"),
    mistake("id = \"garage\"", "id = \"Garage 1\"", "gas.zones[0].id", "bad_id"),
    mistake("id = \"rs485\"", "id = \"\"", "gas.buses[0].id", "bad_id"),
    // What does not go together.
    mistake("address = 2", "address = 1", "gas.sensors[1].address", "address_twice"),
    mistake("baud = 9600", "baud = 9601", "gas.buses[0].baud", "bad_baud"),
    mistake("unit = \"ppm\"", "unit = \"percent_lel\"", "gas.cells[0].unit", "unit_not_of_gas"),
    mistake("channel = 2", "channel = 1", "gas.cells[0].gas", "gas_not_of_channel").at("gas = \"co\""),
    mistake("channel = 2", "channel = 3", "gas.cells[0].channel", "no_such_channel"),
    mistake("sensor = \"level2\"", "sensor = \"level1\"", "gas.cells[1].channel", "channel_twice").at("channel = 2\ngas = \"co\"\nunit = \"ppm\"\nrange_lo = 0\nrange_hi = 300\nwarmup_s = 0\n\n"),
    mistake("range_lo = 0", "range_lo = 400", "gas.cells[0].range_hi", "bad_range").at("range_hi = 300"),
    mistake("window_s = 900", "window_s = 901", "gas.zones[0].setpoints[0].window_s", "bad_window"),
    mistake("quantity = \"average\"\n  window_s = 900", "quantity = \"rate\"\n  window_s = 90", "gas.zones[0].setpoints[1].window_s", "bad_window"),
    mistake("quantity = \"average\"\n  window_s = 900", "quantity = \"exposure\"\n  window_s = 3600", "gas.zones[0].setpoints[1].window_s", "bad_window"),
    mistake("hysteresis = 5.0", "hysteresis = -1.0", "gas.zones[0].setpoints[0].hysteresis", "bad_hysteresis"),
    mistake("hysteresis = 5.0", "hysteresis = 30.0", "gas.zones[0].setpoints[0].hysteresis", "bad_hysteresis"),
    mistake("on = 150.0", "on = 301.0", "gas.zones[0].setpoints[2].on", "out_of_range"),
    mistake("on = 60.0", "on = 29.0", "gas.zones[0].setpoints[1].on", "stage_order"),
    mistake("latching = true", "latching = false", "gas.zones[0].setpoints[2].latching", "not_latching"),
    mistake("vote_k = 1", "vote_k = 3", "gas.zones[0].setpoints[0].vote_k", "bad_vote"),
    mistake("cells = [\"co_1\", \"co_2\"]", "cells = [\"co_1\", \"no2_1\"]", "gas.zones[0].setpoints[0].cells", "mixed_gases"),
    mistake("cells = [\"co_1\", \"co_2\"]", "cells = [\"co_1\", \"co_1\"]", "gas.zones[0].setpoints[0].cells[1]", "cell_twice"),
    mistake("cells = [\"co_1\", \"co_2\", \"no2_1\"]", "cells = [\"co_1\", \"co_2\"]", "gas.zones[0].setpoints[3].cells[0]", "cell_not_in_zone").at("cells = [\"no2_1\"]"),
    mistake("cells = [\"co_1\", \"co_2\", \"no2_1\"]", "cells = []", "gas.zones[0].cells", "no_cells"),
    mistake("pin = 3", "pin = 2", "gas.outputs[2].pin", "pin_twice"),
    mistake("mode = \"follow\" }, { output = \"led_ap1\"", "mode = \"follow\", pulse_s = 3 }, { output = \"led_ap1\"", "gas.zones[0].setpoints[0].actions[0].pulse_s", "key_not_allowed"),
    mistake("{ output = \"led_ap1\", mode", "{ output = \"fan_low\", mode", "gas.zones[0].setpoints[0].actions[1].output", "output_twice"),
    mistake("pin = 7", "pin = 7\nfunction = \"stage\"", "gas.outputs[6].zone", "missing_key").at("[[gas.outputs]]\nid = \"led_ap3\""),
    mistake("pin = 7", "pin = 7\nzone = \"garage\"", "gas.outputs[6].zone", "key_not_allowed"),
    mistake("cells = 6", "cells = 5", "power.cells", "cells_of_chemistry"),
    mistake("load_ma = 450", "load_ma = 450\ntable = [[12.0, 50], [11.0, 60]]", "power.table", "bad_charge_table"),
    mistake(BUS, "[[gas.buses]]\nid = \"second\"\ndevice = \"/dev/ttyUSB0\"\n[[gas.sensors]]\nid = \"level1\"", "gas.buses[1].device", "device_twice").at("device = \"/dev/ttyUSB0\"\n[[gas.sensors]]"),
    mistake("address = 2", "address = 2\nprofile = \"constant\"", "gas.sensors[1].profile", "key_not_allowed"),
    mistake("warmup_s = 0", "warmup_s = 0\ncurve = [[4, 0], [20, 300]]", "gas.cells[0].curve", "key_not_allowed"),
    mistake("production = false", "production = true", "gas.outputs[0]", "not_wired").at("[[gas.outputs]]"),
    mistake("id = \"rs485\"\ndevice", "id = \"rs485\"\n= device", "gas.buses[0].", "syntax"),
];

fn check(text: &str) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("leitstand.toml");
    std::fs::write(&file, text).unwrap();
    let output = leitstand(&["check", &file.display().to_string(), "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!("{e}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let found = found.as_array().unwrap().clone();
    let errors = found.iter().any(|d| d["severity"] == "error");
    assert_eq!(
        output.status.code(),
        Some(if errors { 2 } else { 0 }),
        "{found:#?}"
    );
    found
}

#[test]
fn the_sample_has_no_mistake() {
    assert_eq!(check(GARAGE), Vec::<Value>::new());
}

#[test]
fn every_mistake_is_found_where_it_is() {
    assert!(MISTAKES.len() >= 60, "{} are not enough", MISTAKES.len());
    let mut wrong = Vec::new();
    for m in MISTAKES {
        let at = GARAGE
            .find(m.from)
            .unwrap_or_else(|| panic!("{:?} is not in the sample", m.from));
        let text = format!("{}{}{}", &GARAGE[..at], m.to, &GARAGE[at + m.from.len()..]);
        let found = check(&text);
        let hit = found
            .iter()
            .find(|d| d["key"] == m.key && d["code"] == m.code);
        let Some(hit) = hit else {
            let missed = format!("{:?}: no {} at {} in {found:#?}", m.to, m.code, m.key);
            wrong.push(missed);
            continue;
        };
        let here = match m.line_of {
            Some(needle) => text.find(needle).expect(needle),
            None => at + m.to.len(),
        };
        let line = 1 + text[..here].matches('\n').count();
        if hit["line"] != line {
            wrong.push(format!("{:?}: line {line} expected: {hit}", m.to));
        }
        match m.suggestion {
            Some("") | None => {}
            Some(meant) if hit["suggestion"] == meant => {}
            Some(meant) => wrong.push(format!("{:?}: meant {meant}: {hit}", m.to)),
        }
        let obvious = matches!(m.code, "syntax" | "missing_key");
        if hit["allowed"].is_null() && hit["suggestion"].is_null() && !obvious {
            wrong.push(format!(
                "{:?}: nothing says what would be right: {hit}",
                m.to
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A value of the wrong type is one mistake: nothing is said about the default that stands in for it, whatever the
/// key. Where the number was only quoted, what was meant is taken and nothing else can be wrong.
#[test]
fn a_wrong_type_is_one_mistake_at_every_key_of_the_sample() {
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (at, line) in GARAGE.lines().enumerate() {
        let Some((key, value)) = line.split_once(" = ") else {
            continue;
        };
        let bare = value.split(" #").next().unwrap().trim();
        let other = match bare.parse::<f64>() {
            Ok(_) => format!("\"{bare}\""),
            Err(_) => "1979-05-27".to_owned(),
        };
        if key.starts_with('#') || bare.starts_with('{') {
            continue;
        }
        tried += 1;
        let mut lines: Vec<_> = GARAGE.lines().map(str::to_owned).collect();
        lines[at] = format!("{key} = {other}");
        let found = check(&lines.join("\n"));
        let [only] = found.as_slice() else {
            wrong.push(format!("{}: {found:#?}", lines[at]));
            continue;
        };
        if only["line"] != at + 1 || only["code"] != "wrong_type" {
            wrong.push(format!("{}: {only}", lines[at]));
        }
    }
    assert!(tried >= 60, "only {tried} values were tried");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The sample with boards: relays on a shift register of nine, lamps on one of twenty, and one bus module.
fn with_boards(relay_pin: u8) -> String {
    let boards = "[[gas.boards]]\nid = \"relays\"\nkind = \"relay9\"\nchip = \"pinctrl-rp1\"\noe = 1\nds = 2\nclock = 3\nlatch = 4\n\
        [[gas.boards]]\nid = \"lamps\"\nkind = \"led20\"\nchip = \"pinctrl-rp1\"\noe = 5\nds = 6\nclock = 7\nlatch = 8\n\
        [[gas.boards]]\nid = \"module\"\nkind = \"mr_do4\"\nbus = \"rs485\"\naddress = 34\n";
    GARAGE
        .replacen("[[gas.outputs]]", &format!("{boards}[[gas.outputs]]"), 1)
        .replace("pin = 3", &format!("pin = {relay_pin}"))
}

fn errors(text: &str) -> Vec<(String, String, i64)> {
    let line = |d: &Value| d["line"].as_i64().unwrap();
    let text_of = |d: &Value, key: &str| d[key].as_str().unwrap().to_owned();
    check(text)
        .iter()
        .filter(|d| d["severity"] == "error")
        .map(|d| (text_of(d, "code"), text_of(d, "key"), line(d)))
        .collect()
}

fn line_of(text: &str, needle: &str) -> i64 {
    let at = text.find(needle).expect(needle);
    i64::try_from(1 + text[..at].matches('\n').count()).unwrap()
}

#[test]
fn relay_10_does_not_exist_on_the_board_of_nine() {
    assert_eq!(errors(&with_boards(9)), []);
    let text = with_boards(10);
    let expected = (
        "no_such_pin".into(),
        "gas.outputs[2].pin".into(),
        line_of(&text, "pin = 10"),
    );
    assert_eq!(errors(&text), [expected]);
    let text = with_boards(3).replace("pin = 3", "pin = 5\nboard = \"module\"");
    let expected = (
        "no_such_pin".into(),
        "gas.outputs[2].pin".into(),
        line_of(&text, "pin = 5\nboard"),
    );
    assert_eq!(errors(&text), [expected]);
}

#[test]
fn boards_take_what_fits_once() {
    let text = with_boards(2);
    let expected = (
        "pin_twice".into(),
        "gas.outputs[2].pin".into(),
        line_of(&text, "pin = 2\n\n[[gas.outputs]]\nid = \"horn\""),
    );
    assert_eq!(errors(&text), [expected]);
    let text = with_boards(3).replace("pin = 3", "pin = 3\nboard = \"lamps\"");
    let expected = (
        "board_of_other_kind".into(),
        "gas.outputs[2].board".into(),
        line_of(&text, "board = \"lamps\""),
    );
    assert_eq!(errors(&text), [expected]);
    let text = with_boards(3).replace("bus = \"rs485\"\naddress = 34", "bus = \"rs485\"");
    let expected = (
        "missing_key".into(),
        "gas.boards[2].address".into(),
        line_of(&text, "[[gas.boards]]\nid = \"module\""),
    );
    assert_eq!(errors(&text), [expected]);
    let text = with_boards(3).replace("address = 34", "address = 2");
    let taken = errors(&text);
    assert_eq!(taken[0].0, "address_twice", "{taken:?}");
}

#[test]
fn the_healthy_signal_belongs_to_nobody_else() {
    let text = GARAGE
        .replace("normally = \"energised\"", "function = \"healthy\"")
        .replacen("output = \"horn\"", "output = \"fault\"", 1);
    let found = errors(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].0.as_str(), found[0].2),
        ("healthy_in_use", line_of(&text, "output = \"fault\""))
    );
}

#[test]
fn production_refuses_what_is_made_up() {
    let text = GARAGE
        .replace("production = false", "production = true")
        .replacen("kind = \"ra_gas_co_no2\"              # ra_gas_co_no2 | analog | simulated\nbus = \"rs485\"\naddress = 1", "kind = \"simulated\"\nprofile = \"constant\"", 1);
    let found = errors(&text);
    let simulated = found.iter().find(|e| e.0 == "simulated_in_production");
    assert_eq!(
        simulated.map(|e| (e.1.as_str(), e.2)),
        Some((
            "gas.sensors[0].kind",
            line_of(&text, "kind = \"simulated\"")
        ))
    );
    let virtual_ones = found.iter().filter(|e| e.0 == "not_wired").count();
    assert_eq!(virtual_ones, 7, "every output without a board: {found:?}");
}

#[test]
fn stage_3_may_be_excused_from_latching_in_so_many_words() {
    let text = GARAGE.replacen(
        "latching = true",
        "latching = false\n  allow_non_latching_ap3 = true",
        1,
    );
    assert_eq!(errors(&text), []);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = GARAGE
        .replace("baud = 9600", "buad = 9600")
        .replacen("sensor = \"level1\"", "sensor = \"levle1\"", 1)
        .replace("on = 150.0", "on = 301.0")
        .replace("pin = 7", "pin = 6");
    let codes: Vec<String> = errors(&text).into_iter().map(|e| e.0).collect();
    assert_eq!(
        codes,
        [
            "unknown_key",
            "unknown_reference",
            "out_of_range",
            "pin_twice"
        ]
    );
}
