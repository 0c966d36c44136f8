#![allow(clippy::unwrap_used)]

use super::{ImportError, xmz};
use expect_test::expect;

const GARAGE: &str = r#"
service_interval = 365
color = "blue"

[[sensors]]
id = 1
sensor_type = "RA-GAS GmbH CO/ NO₂ Kombisensor mit Modbus Interface"

  [[sensors.messzellen]]
  messzelle_type = "RA-GAS GmbH NO₂"
  zones = ["Tiefgarage Nord"]

  [[sensors.messzellen]]
  messzelle_type = "RA-GAS GmbH CO"

[[outputs]]
name = "Relais"
output_type = "Metz Connect MR-DO4"
pins = 4
modbus_address = 34
"#;

#[test]
fn a_combi_sensor_and_a_relay_module_become_ours() {
    expect![[r#"
        # Converted from an xMZ configuration. Read it, complete it, then run `leitstand check`.
        # Not taken over, no place here: color
        site = "xMZ"
        language = "de"

        [gas]
        service_interval_days = 365

        [[gas.buses]]
        id = "rs485"
        device = "/dev/ttyS1" # the original hardware; on a Pi for example /dev/ttyUSB0
        baud = 9600
        parity = "none"

        [[gas.sensors]]
        id = "sensor_1"
        kind = "ra_gas_co_no2"
        bus = "rs485"
        address = 1 # assumed: the original does not store it

        [[gas.cells]]
        id = "sensor_1_no2"
        sensor = "sensor_1"
        channel = 1
        gas = "no2"
        unit = "ppm"
        range_lo = 0
        range_hi = 30

        [[gas.cells]]
        id = "sensor_1_co"
        sensor = "sensor_1"
        channel = 2
        gas = "co"
        unit = "ppm"
        range_lo = 0
        range_hi = 300

        [[gas.zones]]
        id = "site"
        cells = ["sensor_1_co"]
        # No set points here: those of the preset "garage" apply to CO and NO2.

        [[gas.zones]]
        id = "tiefgarage_nord"
        cells = ["sensor_1_no2"]
        # No set points here: those of the preset "garage" apply to CO and NO2.

        # Relais
        [[gas.boards]]
        id = "board_1"
        kind = "mr_do4"
        bus = "rs485"
        address = 34
    "#]]
    .assert_eq(&xmz(GARAGE).unwrap());
}

#[test]
fn both_misspellings_of_the_analog_module_are_known() {
    for sensor_type in [
        "Metz Connect CI4 Modul",
        "Metz Connect DI4",
        "MetzConnectCI4",
    ] {
        let text = format!(
            "[[sensors]]\nsensor_type = {sensor_type:?}\n[[sensors.messzellen]]\n\
             messzelle_type = \"Analog 4-20mA Sensor an Metz Connect DI4\"\n"
        );
        let ours = xmz(&text).unwrap();
        assert!(
            ours.contains("profile = \"mr_ci4\""),
            "{sensor_type}: {ours}"
        );
    }
}

#[test]
fn a_mistake_names_its_line() {
    let line = |text: &str| match xmz(text) {
        Err(ImportError::At { line, problem }) => format!("{line}: {problem}"),
        Err(other) => other.to_string(),
        Ok(ours) => ours,
    };
    expect![[r#"2: unknown sensor_type "Geiger"; known are the RA-GAS CO/NO2 combi sensor, Metz Connect CI4 (also spelt DI4) and TestSensor"#]]
        .assert_eq(&line("[[sensors]]\nsensor_type = \"Geiger\"\n"));
    expect!["1: service_interval must be 0 to 3650 days"].assert_eq(&line("service_interval = -1"));
    expect!["3: this board has 9 outputs, not 12"].assert_eq(&line(
        "[[outputs]]\noutput_type = \"xMZ-Mod-Touch-Bodenplatine v1.0.0\"\npins = 12\n",
    ));
    assert!(line("service_interval = \"soon\"").contains("line 1"));
    assert!(line("[[sensors]]\nid = 1\n").contains("sensor_type"));
    assert!(line("= =").contains("line 1"));
}

#[test]
fn a_name_with_a_line_break_stays_in_its_comment() {
    let text = "[[outputs]]\nname = \"a\\n[gas]\"\noutput_type = \"Metz Connect MR-DO4\"\n";
    let ours = xmz(text).unwrap();
    assert!(ours.contains("# a [gas]"), "{ours}");
}

#[test]
fn a_huge_file_is_refused_unread() {
    let text = " ".repeat(super::FILE_BYTES_MAX + 1);
    assert!(matches!(xmz(&text), Err(ImportError::TooLarge)));
}
