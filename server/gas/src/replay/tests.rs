#![allow(clippy::unwrap_used)]

use super::{At, Names, ReplayError, Style, readings::thousandths, replay};
use expect_test::{Expect, expect};
use leitstand_core::gas::plan::{
    Action, ActionMode, CellPlan, Direction, Function, OutputKind, OutputPlan, Quantity,
    SetPointPlan, ZonePlan,
};
use leitstand_core::gas::{
    AlarmKey, CellIndex, CellSet, Command, OutputIndex, SetPointIndex, SitePlan, ZoneIndex,
};
use leitstand_core::time::{Duration, Instant};
use leitstand_core::units::Concentration;

fn ppm(value: i32) -> Concentration {
    Concentration::from_milli(value * 1000)
}

/// Two CO cells and one NO2 cell, a latching direct alarm and an average one, a horn and a fan.
struct Garage {
    plan: SitePlan,
    names: Names<'static>,
}

impl Garage {
    fn new() -> Self {
        let mut plan = SitePlan::new();
        plan.windows.clear();
        plan.windows.push(900).unwrap();
        let mut healthy = OutputPlan::new(OutputKind::Relay, 1);
        healthy.function = Function::Healthy;
        for output in [
            healthy,
            OutputPlan::new(OutputKind::Relay, 2),
            OutputPlan::new(OutputKind::Horn, 3),
        ] {
            plan.outputs.push(output).unwrap();
        }
        for hi in [300, 300, 30] {
            let cell = CellPlan::new(ppm(0), ppm(hi));
            plan.cells.push(cell).unwrap();
        }
        plan.cells[2].kind = 1;
        let all = CellSet::of((0..3).map(CellIndex));
        plan.zones
            .push(ZonePlan {
                cells: all,
                loss_stage: 1,
            })
            .unwrap();
        let set_point = |stage, quantity, on, hysteresis, output| SetPointPlan {
            zone: ZoneIndex(0),
            stage,
            cells: CellSet::of([CellIndex(0), CellIndex(1)]),
            quantity,
            direction: Direction::Rising,
            on: ppm(on),
            hysteresis: ppm(hysteresis),
            on_delay: Duration::ZERO,
            off_delay: Duration::ZERO,
            latching: stage == 3,
            allow_non_latching: false,
            vote_k: 1,
            actions: [Action {
                output: OutputIndex(output),
                mode: ActionMode::Follow,
            }]
            .into_iter()
            .collect(),
        };
        let ap1 = set_point(1, Quantity::Average(900), 30, 5, 1);
        let ap3 = set_point(3, Quantity::Direct, 150, 10, 2);
        plan.set_points.push(ap1).unwrap();
        plan.set_points.push(ap3).unwrap();
        Self {
            plan,
            names: Names {
                cells: vec!["co_1", "co_2", "no2_1"],
                zones: vec!["garage"],
                set_points: vec!["co_ap1", "co_ap3"],
                outputs: vec!["fault", "fan", "horn"],
            },
        }
    }

    fn run(&self, csv: &str, commands: &[At], until_s: Option<u64>, style: Style) -> String {
        let mut out = Vec::new();
        let until = until_s.map(Instant::from_secs);
        let result = replay(
            &self.plan,
            &self.names,
            csv.as_bytes(),
            commands,
            until,
            style,
            &mut out,
        );
        let mut text = String::from_utf8(out).unwrap();
        if let Err(error) = result {
            text.push_str(&format!("error: {error}\n"));
        }
        // The time is right-aligned; expected texts start at the margin.
        text.lines()
            .map(|line| format!("{}\n", line.trim_start()))
            .collect()
    }

    fn alarm(&self, id: &str) -> AlarmKey {
        let at = self.names.set_points.iter().position(|name| *name == id);
        AlarmKey::SetPoint(SetPointIndex(at.unwrap() as u8))
    }

    fn ack(&self, at_s: u64, id: &str) -> At {
        At {
            at: Instant::from_secs(at_s),
            command: Command::Acknowledge(self.alarm(id)),
        }
    }

    fn reset(&self, at_s: u64, id: &str) -> At {
        At {
            at: Instant::from_secs(at_s),
            command: Command::Reset(self.alarm(id)),
        }
    }
}

const READINGS: &str = include_str!("../../../../tests/data/garage-readings.csv");

fn check(text: &str, expected: Expect) {
    expected.assert_eq(text);
}

/// By hand: 160 at 10 s is over 150, 149 at 15 s is within the hysteresis of 10, 139.9 at 20 s is below it. The
/// average of co_1 is (10 s of 0, 5 s of 160, 5 s of 149) / 20 s = 77.25 and stays unknown below 60 s.
#[test]
fn the_sample_recording_raises_and_latches() {
    check(
        &Garage::new().run(READINGS, &[], None, Style::Json),
        expect![[r#"
            {"t_s":0,"event":"OutputChanged","output":"fault","on":true}
            {"t_s":10,"event":"AlarmRaised","zone":"garage","setpoint":"co_ap3","stage":3,"state":"ActiveUnack","value":160}
            {"t_s":10,"event":"ZoneLevelChanged","zone":"garage","level":"ap3"}
            {"t_s":10,"event":"OutputChanged","output":"fan","on":true}
            {"t_s":10,"event":"OutputChanged","output":"horn","on":true}
            {"t_s":20,"event":"AlarmLatched","zone":"garage","setpoint":"co_ap3","stage":3,"state":"LatchedUnack","value":139.9}
            {"t_s":20,"event":"Summary","zones":{"garage":{"level":"ap3","health":"good"}},"alarms":{"co_ap1":"Normal","co_ap3":"LatchedUnack"},"outputs":{"fan":true,"fault":true,"horn":true},"averages":{"co_1/900":{"value":null,"covered_s":20,"partial":true},"co_2/900":{"value":null,"covered_s":20,"partial":true},"no2_1/900":{"value":null,"covered_s":20,"partial":true}}}
        "#]],
    );
}

#[test]
fn an_operator_acknowledges_and_resets() {
    let garage = Garage::new();
    let commands = [
        garage.reset(12, "co_ap3"),
        garage.ack(12, "co_ap3"),
        garage.reset(25, "co_ap3"),
    ];
    check(
        &garage.run(READINGS, &commands, Some(26), Style::Text),
        expect![[r#"
            0 s  OutputChanged     fault on
            10 s  AlarmRaised       garage.co_ap3 (AP3) is ActiveUnack at 160
            10 s  ZoneLevelChanged  garage ap3
            10 s  OutputChanged     fan on
            10 s  OutputChanged     horn on
            12 s  CommandRefused    reset co_ap3: still_active
            12 s  AlarmAcknowledged garage.co_ap3 (AP3) is ActiveAck at 160
            12 s  OutputChanged     horn off
            20 s  AlarmLatched      garage.co_ap3 (AP3) is LatchedAck at 139.9
            25 s  AlarmCleared      garage.co_ap3 (AP3) is Normal at 139.9
            25 s  ZoneLevelChanged  garage normal
            25 s  OutputChanged     fan off
            25 s  CellFault         no2_1 silence
            25 s  ZoneHealthChanged garage degraded
            25 s  OutputChanged     fault off
            26 s  Summary           garage normal, degraded;
        "#]],
    );
}

#[test]
fn silence_after_the_last_row_is_seen_only_with_until() {
    let garage = Garage::new();
    let csv = "t_s,cell,value\n0,co_1,0\n0,co_2,0\n0,no2_1,0\n";
    check(
        &garage.run(csv, &[], Some(11), Style::Text),
        expect![[r#"
            0 s  OutputChanged     fault on
            10 s  CellFault         co_1 silence
            10 s  CellFault         co_2 silence
            10 s  CellFault         no2_1 silence
            10 s  ZoneHealthChanged garage lost
            10 s  OutputChanged     fault off
            10 s  OutputChanged     fan on
            11 s  Summary           garage normal, lost;
        "#]],
    );
}

#[test]
fn a_hostile_recording_names_its_line() {
    let garage = Garage::new();
    let run = |rows: &str| garage.run(&format!("t_s,cell,value\n{rows}"), &[], None, Style::Text);
    let last = |text: String| text.lines().last().unwrap().to_owned();
    let long = "9".repeat(300);
    let answers: Vec<String> = [
        "0,co_9,1\n",
        "5,co_1,1\n4,co_1,1\n",
        "0,co_1\n",
        "0,co_1,1,2\n",
        "nan,co_1,1\n",
        "-1,co_1,1\n",
        "0,co_1,1e3\n",
        "0,co_1,99999999\n",
        "0,co_1,fault:\n",
        long.as_str(),
    ]
    .into_iter()
    .map(|rows| last(run(rows)))
    .collect();
    check(
        &answers.join("\n"),
        expect![[r#"
        error: line 2 of the recording: no cell "co_9" in the configuration
        error: line 3 of the recording: the time goes back; rows must be in the order of time
        error: line 2 of the recording: a row has three fields, t_s,cell,value
        error: line 2 of the recording: a row has three fields, t_s,cell,value
        error: line 2 of the recording: "nan" is not a time in seconds, such as 12.5
        error: line 2 of the recording: "-1" is not a time in seconds, such as 12.5
        error: line 2 of the recording: "1e3" is no value; allowed are a decimal number within ±2147483, nothing (a failed poll), or fault:<code>
        error: line 2 of the recording: "99999999" is no value; allowed are a decimal number within ±2147483, nothing (a failed poll), or fault:<code>
        error: line 2 of the recording: a fault code has 1 to 64 characters
        error: line 2 of the recording: the line is longer than 256 bytes"#]],
    );
    check(
        &garage.run("time,cell\n", &[], None, Style::Text),
        expect![[r#"
        error: line 1 of the recording: the first line must be the header t_s,cell,value
    "#]],
    );
    check(
        &garage.run("", &[], None, Style::Text),
        expect![[r#"
        error: line 1 of the recording: the first line must be the header t_s,cell,value
    "#]],
    );
}

#[test]
fn a_fault_of_the_sensor_keeps_its_own_text() {
    let garage = Garage::new();
    let csv =
        "t_s,cell,value\r\n0,co_1,0\r\n\r\n5,co_1,fault:lamp_out\r\n5,co_2,fault:adc_rail\r\n";
    let text = garage.run(csv, &[], None, Style::Json);
    assert!(
        text.contains(r#""cell":"co_1","fault":"lamp_out""#),
        "{text}"
    );
    assert!(
        text.contains(r#""cell":"co_2","fault":"adc_rail""#),
        "{text}"
    );
}

#[test]
fn a_closed_pipe_ends_the_replay_with_an_error() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let garage = Garage::new();
    let result = replay(
        &garage.plan,
        &garage.names,
        READINGS.as_bytes(),
        &[],
        None,
        Style::Json,
        Closed,
    );
    assert!(matches!(result, Err(ReplayError::Write(_))));
}

#[test]
fn decimals_are_exact() {
    for (text, milli) in [
        ("139.9", Some(139_900)),
        ("-2.083", Some(-2_083)),
        ("+5", Some(5_000)),
        (".5", Some(500)),
        ("7.", Some(7_000)),
        ("0.0005", Some(1)),
        ("-0.0005", Some(-1)),
        ("0.00049", Some(0)),
        (".", None),
        ("", None),
        ("-", None),
        ("1 0", None),
        ("0x10", None),
        ("9999999999999999", None),
    ] {
        assert_eq!(thousandths(text.as_bytes()), milli, "{text}");
    }
}
