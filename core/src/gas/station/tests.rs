//! Golden cases of `monitor.md` 10 that need the whole station.
#![allow(clippy::unwrap_used)]

use super::bench::*;
use crate::gas::plan::*;
use crate::gas::*;
use crate::time::Duration;
use expect_test::expect;
use std::format;
use std::string::String;

/// Golden "Latching", first half: on 30, hysteresis 5, a relay, a lamp, a horn.
pub(super) fn plain() -> TestPlan {
    let mut plan = zone_of(1);
    let mut ap1 = set_point(&plan, 1, 30.0, 5.0);
    for kind in [OutputKind::Relay, OutputKind::Led, OutputKind::Horn] {
        switches(&mut plan, &mut ap1, kind, ActionMode::Follow);
    }
    plan.set_points.push(ap1).unwrap();
    plan
}

#[test]
fn golden_plain_alarm_acknowledged() {
    check(
        &plain(),
        "1 a 31 | 2 ack | 3 a 20",
        expect![[r#"
        1 ap1 ActiveUnack 31
        1 zone 0 ap1
        1 horn on
        1 out0 on
        1 out1 on
        1 out2 on
        2 ap1 ActiveAck 31
        2 horn off
        2 out2 off
        3 ap1 Normal 20
        3 zone 0 normal
        3 out0 off
        3 out1 off
    "#]],
    );
}

#[test]
fn golden_plain_alarm_returns_before_the_acknowledge() {
    check(
        &plain(),
        "1 a 31 | 2 a 20 | 3 ack",
        expect![[r#"
        1 ap1 ActiveUnack 31
        1 zone 0 ap1
        1 horn on
        1 out0 on
        1 out1 on
        1 out2 on
        2 ap1 RtnUnack 20
        2 zone 0 normal
        2 out0 off
        2 out1 flash
        3 ap1 Normal 20
        3 horn off
        3 out1 off
        3 out2 off
    "#]],
    );
}

/// Golden "Latching", second half: on 150, hysteresis 10.
pub(super) fn latched() -> TestPlan {
    let mut plan = zone_of(1);
    let mut ap3 = latching(set_point(&plan, 3, 150.0, 10.0));
    for kind in [OutputKind::Relay, OutputKind::Horn] {
        switches(&mut plan, &mut ap3, kind, ActionMode::Follow);
    }
    plan.set_points.push(ap3).unwrap();
    plan
}

#[test]
fn golden_latched_alarm_ends_only_by_reset() {
    check(
        &latched(),
        "1 a 151 | 2 a 10 | 3 reset ap3 | 4 ack | 5 reset ap3 | 6 ack ap3",
        expect![[r#"
            1 ap3 ActiveUnack 151
            1 zone 0 ap3
            1 horn on
            1 out0 on
            1 out1 on
            2 ap3 LatchedUnack 10
            3 refused not_acknowledged
            4 ap3 LatchedAck 10
            4 horn off
            4 out1 off
            5 ap3 Normal 10
            5 zone 0 normal
            5 out0 off
            6 refused not_raised
        "#]],
    );
}

#[test]
fn golden_refire_of_a_latched_alarm_sounds_again() {
    check(
        &latched(),
        "1 a 151 | 2 ack | 3 a 10 | 4 a 151 | 5 reset ap3",
        expect![[r#"
            1 ap3 ActiveUnack 151
            1 zone 0 ap3
            1 horn on
            1 out0 on
            1 out1 on
            2 ap3 ActiveAck 151
            2 horn off
            2 out1 off
            3 ap3 LatchedAck 10
            4 ap3 ActiveUnack 151
            4 horn on
            4 out1 on
            5 refused still_active
        "#]],
    );
}

#[test]
fn golden_restart_in_latched_ack() {
    let mut bench = Bench::new(&latched());
    bench.play("1 a 151 | 2 ack | 3 a 10");
    let mut buffer = [0; 8192];
    let length = bench.station.save(&mut buffer).unwrap();
    let mut again = Bench::cold(&latched());
    again.station.load(&buffer[..length], None).unwrap();
    again.play("0 tick | 1 a 10 | 2 reset ap3");
    expect![[r#"
        0 zone 0 ap3
        0 +starting
        0 out0 on
        1 -starting
        1 healthy on
        2 ap3 Normal 10
        2 zone 0 normal
        2 out0 off
    "#]]
    .assert_eq(&again.log);
    assert_eq!(again.station.runtime().boot_count, 2);
}

#[test]
fn golden_threshold_and_hysteresis() {
    let mut plan = zone_of(1);
    plan.set_points
        .push(set_point(&plan, 1, 30.0, 5.0))
        .unwrap();
    check(
        &plan,
        "0 ack | 1 a 29.99 | 2 a 30 | 3 ack | 4 a 26 | 5 a 25 | 6 a 24.99 | 7 a 30",
        expect![[r#"
            2 ap1 ActiveUnack 30
            2 zone 0 ap1
            2 horn on
            3 ap1 ActiveAck 30
            3 horn off
            6 ap1 Normal 24.99
            6 zone 0 normal
            7 ap1 ActiveUnack 30
            7 zone 0 ap1
            7 horn on
        "#]],
    );
}

#[test]
fn golden_on_delay_is_restarted_by_one_sample() {
    let mut plan = zone_of(1);
    let mut ap3 = latching(set_point(&plan, 3, 150.0, 10.0));
    ap3.on_delay = Duration::from_secs(60);
    plan.set_points.push(ap3).unwrap();
    check(
        &plan,
        "1..60/1 a 150 | 60.999 tick | 61 a 150",
        expect![[r#"
            61 ap3 ActiveUnack 150
            61 zone 0 ap3
            61 horn on
        "#]],
    );
    check(
        &plan,
        "1..30/1 a 150 | 31 a 149 | 32..91/1 a 150 | 92 tick",
        expect![[r#"
            92 ap3 ActiveUnack 150
            92 zone 0 ap3
            92 horn on
        "#]],
    );
    // At the very end of the delay a reading goes before the deadline.
    check(&plan, "1..60/1 a 150 | 61 a 149 | 62 a 149", expect![[""]]);
}

#[test]
fn off_delay_is_cancelled_by_the_hysteresis_band() {
    let mut plan = zone_of(1);
    let mut ap1 = set_point(&plan, 1, 30.0, 5.0);
    ap1.off_delay = Duration::from_secs(20);
    plan.set_points.push(ap1).unwrap();
    check(
        &plan,
        "1 a 31 | 2 ack | 3 a 20 | 10 a 26 | 11 a 20 | 20 a 20 | 30 a 20 | 31 a 20",
        expect![[r#"
            1 ap1 ActiveUnack 31
            1 zone 0 ap1
            1 horn on
            2 ap1 ActiveAck 31
            2 horn off
            31 ap1 Normal 20
            31 zone 0 normal
        "#]],
    );
}

#[test]
fn golden_falling_oxygen() {
    let mut plan = zone_of(1);
    plan.cells[0].range_hi = milli(25.0);
    let mut ap1 = set_point(&plan, 1, 19.0, 1.0);
    ap1.direction = Direction::Falling;
    plan.set_points.push(ap1).unwrap();
    let mut bench = Bench::cold(&plan);
    bench.play("1 a 19.1 | 2 a 19 | 3 ack | 4 a 20 | 5 a 20.01");
    expect![[r#"
        0 +starting
        1 -starting
        1 healthy on
        2 ap1 ActiveUnack 19
        2 zone 0 ap1
        2 horn on
        3 ap1 ActiveAck 19
        3 horn off
        5 ap1 Normal 20.01
        5 zone 0 normal
    "#]]
    .assert_eq(&bench.log);
}

#[test]
fn over_range_never_clears_an_alarm() {
    let mut plan = zone_of(1);
    plan.cells[0].range_hi = milli(25.0);
    let mut ap1 = set_point(&plan, 1, 19.0, 1.0);
    ap1.direction = Direction::Falling;
    plan.set_points.push(ap1).unwrap();
    let mut bench = Bench::cold(&plan);
    bench.play("1 a 18 | 2 a 26 | 3 a 25");
    expect![[r#"
        0 +starting
        1 ap1 ActiveUnack 18
        1 zone 0 ap1
        1 horn on
        1 -starting
        1 healthy on
        2 a +over_range
        3 a -over_range
        3 ap1 RtnUnack 25
        3 zone 0 normal
    "#]]
    .assert_eq(&bench.log);
}

/// Golden "Step response": CO, 15-minute means at 30 and 60, direct at 150.
pub(super) fn garage() -> TestPlan {
    let mut plan = zone_of(1);
    let ap1 = averaged(set_point(&plan, 1, 30.0, 3.0), 900);
    let ap2 = averaged(set_point(&plan, 2, 60.0, 3.0), 900);
    let ap3 = latching(set_point(&plan, 3, 150.0, 10.0));
    plan.set_points.extend([ap1, ap2, ap3]);
    plan
}

/// The step happens at 1000 s; only the alarms are shown.
fn step_response(before: u32, after: u32, expect: expect_test::Expect) {
    let mut bench = Bench::new(&garage());
    bench.play(&format!("0..995/5 a {before} | 1000..2000/5 a {after}"));
    let lines = bench
        .log
        .lines()
        .filter(|line| line.contains("ap") && !line.contains("zone"));
    let late = lines.filter(|line| {
        line.split('.')
            .next()
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap()
            >= 1000
    });
    expect.assert_eq(&late.map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn golden_step_response() {
    step_response(
        0,
        150,
        expect![[r#"
        1000 ap3 ActiveUnack 150
        1180 ap1 ActiveUnack 30
        1360 ap2 ActiveUnack 60
    "#]],
    );
    step_response(
        0,
        60,
        expect![[r#"
        1450 ap1 ActiveUnack 30
        1900 ap2 ActiveUnack 60
    "#]],
    );
    step_response(
        60,
        0,
        expect![[r#"
        1050 ap2 RtnUnack 56.667
        1500 ap1 RtnUnack 26.667
    "#]],
    );
    step_response(
        36,
        0,
        expect![[r#"
        1230 ap1 RtnUnack 26.8
    "#]],
    );
}

/// Golden "Cascade image": the original boards, two zones of two cells.
pub(super) fn boards() -> TestPlan {
    let mut plan = zone_of(4);
    plan.zones[0].cells = CellSet::of([0, 1].map(CellIndex));
    plan.zones
        .push(ZonePlan {
            cells: CellSet::of([2, 3].map(CellIndex)),
            loss_stage: 1,
        })
        .unwrap();
    for zone in 0..2 {
        for (stage, on) in [(1, 30.0), (2, 60.0), (3, 150.0)] {
            let mut set_point = set_point(&plan, stage, on, 5.0);
            set_point.zone = ZoneIndex(zone);
            set_point.cells = plan.zones[usize::from(zone)].cells;
            plan.set_points.push(set_point).unwrap();
        }
    }
    plan.add_led_board().unwrap();
    plan.add_relay_board().unwrap();
    plan
}

fn images(plan: &TestPlan, script: &str) -> (u64, u64) {
    let mut bench = Bench::new(plan);
    bench.play(script);
    (
        bench.station.image(BoardIndex(0), true),
        bench.station.image(BoardIndex(1), true),
    )
}

#[test]
fn golden_cascade_image() {
    assert_eq!(
        images(&boards(), "1 a 61"),
        (0x31, 0x07),
        "zone 0 AP2, healthy"
    );
    let mut due = boards();
    due.service.interval_days = 0;
    assert_eq!(
        images(&due, "1 c 151"),
        (0x705, 0xE1),
        "zone 1 AP3 and service due, healthy"
    );
    assert_eq!(
        images(&boards(), "1 a !adc_rail"),
        (0x03, 0x00),
        "fault only"
    );
    assert_eq!(images(&boards(), "1 tick"), (0x01, 0x01), "healthy");
}

#[test]
fn golden_a_relay_beyond_the_board_is_a_mistake() {
    let mut plan = boards();
    plan.zones
        .push(ZonePlan {
            cells: CellSet::of([CellIndex(0)]),
            loss_stage: 1,
        })
        .unwrap();
    let relay = OutputPlan {
        function: Function::Stage {
            zone: ZoneIndex(2),
            stage: 1,
        },
        board: Some(BoardIndex(1)),
        ..OutputPlan::new(OutputKind::Relay, 10)
    };
    plan.outputs.push(relay).unwrap();
    let mut mistakes = std::vec::Vec::new();
    plan.check(|mistake| mistakes.push(mistake));
    assert_eq!(
        mistakes,
        [PlanError::NoSuchPin(OutputIndex(
            plan.outputs.len() as u8 - 1
        ))]
    );
}

/// Golden "Voting and fault": AP1 on 30, three cells, `k` of them.
fn voting(vote_k: u8, readings: &str) -> String {
    let mut plan = zone_of(3);
    let mut ap1 = set_point(&plan, 1, 30.0, 5.0);
    ap1.vote_k = vote_k;
    switches(&mut plan, &mut ap1, OutputKind::Relay, ActionMode::Follow);
    plan.set_points.push(ap1).unwrap();
    plan.add_relay_board().unwrap();
    let mut bench = Bench::new(&plan);
    let names = ["a", "b", "c"];
    for (name, reading) in names.iter().zip(readings.split('/')) {
        let reading = if reading == "fault" {
            "!adc_rail"
        } else {
            reading
        };
        bench.play(&format!("1 {name} {reading}"));
    }
    let status = bench.station.set_point(SetPointIndex(0));
    let relay = bench.station.output(OutputIndex(0)).on;
    let healthy = bench.station.site().healthy_signal;
    format!(
        "{} k={} fan={relay} healthy={healthy}",
        bench.zone(),
        status.k_eff
    )
}

#[test]
fn golden_voting() {
    expect!["ap1 k=1 fan=true healthy=true"].assert_eq(&voting(1, "10/31/10"));
    expect!["normal k=2 fan=false healthy=true"].assert_eq(&voting(2, "10/31/10"));
    expect!["ap1 k=2 fan=true healthy=true"].assert_eq(&voting(2, "31/31/10"));
    expect!["ap1 degraded k=1 fan=true healthy=false"].assert_eq(&voting(2, "fault/31/10"));
    expect!["normal degraded k=1 fan=false healthy=false"].assert_eq(&voting(2, "fault/10/10"));
    expect!["normal degraded k=1 fan=false healthy=false"].assert_eq(&voting(2, "fault/fault/10"));
    expect!["normal lost k=1 fan=true healthy=false"].assert_eq(&voting(2, "fault/fault/fault"));
}

#[test]
fn golden_bus_loss_in_alarm_and_back() {
    check(
        &latched(),
        "1 a 150 | 2..6/1 a x | 7 ack | 8 a 5 | 9 a 5 | 10 a 5",
        expect![[r#"
            1 ap3 ActiveUnack 150
            1 zone 0 ap3
            1 horn on
            1 out0 on
            1 out1 on
            6 a fault timeout
            6 zone 0 lost
            6 healthy off
            7 ap3 ActiveAck -
            7 horn off
            7 out1 off
            10 a healthy
            10 zone 0 good
            10 ap3 LatchedAck 5
            10 healthy on
        "#]],
    );
}

#[test]
fn a_frozen_contribution_holds_until_the_average_is_known() {
    let mut plan = zone_of(1);
    plan.set_points
        .push(averaged(set_point(&plan, 1, 30.0, 5.0), 60))
        .unwrap();
    // In alarm by the minute's mean, silent until the window is empty, then back at 0: known 48 s later.
    check(
        &plan,
        "0..100/5 a 40 | 200 tick | 201..260/1 a 0",
        expect![[r#"
            50 ap1 ActiveUnack 40
            50 zone 0 ap1
            50 horn on
            110 a fault silence
            110 zone 0 lost
            110 healthy off
            203 a healthy
            203 zone 0 good
            203 healthy on
            249 ap1 RtnUnack 0
            249 zone 0 normal
        "#]],
    );
}

#[test]
fn golden_two_sensors_the_highest_stage_wins() {
    let mut plan = zone_of(2);
    for (stage, on) in [(1, 30.0), (2, 60.0), (3, 150.0)] {
        plan.set_points
            .push(set_point(&plan, stage, on, 5.0))
            .unwrap();
    }
    let level = |script: &str| {
        let mut bench = Bench::new(&plan);
        bench.play(script);
        bench.zone()
    };
    assert_eq!(level("1 a 31 | 2 b 151"), "ap3");
    assert_eq!(level("1 a 151 | 2 b 31"), "ap3");
    assert_eq!(level("1 a 31 b 151 | 2 b 61"), "ap2");
}

#[test]
fn the_vote_is_taken_anew_when_a_cell_returns() {
    let mut plan = zone_of(3);
    let mut ap1 = set_point(&plan, 1, 30.0, 5.0);
    ap1.vote_k = 2;
    plan.set_points.push(ap1).unwrap();
    check(
        &plan,
        "1 a !adc_rail | 2 b 31 | 3 a 10 | 4 a 10 | 5 a 10",
        expect![[r#"
            1 a fault adc_rail
            1 zone 0 degraded
            1 healthy off
            2 ap1 ActiveUnack 31
            2 zone 0 ap1
            2 horn on
            5 a healthy
            5 zone 0 good
            5 ap1 RtnUnack 31
            5 zone 0 normal
            5 healthy on
        "#]],
    );
}

#[test]
fn a_higher_stage_switches_the_outputs_of_lower_ones_whatever_their_gas() {
    let mut plan = zone_of(2);
    plan.cells[1].kind = 1;
    let mut carbon_monoxide = set_point(&plan, 1, 30.0, 5.0);
    carbon_monoxide.cells = CellSet::of([CellIndex(0)]);
    let mut nitrogen_dioxide = latching(set_point(&plan, 3, 150.0, 10.0));
    nitrogen_dioxide.cells = CellSet::of([CellIndex(1)]);
    switches(
        &mut plan,
        &mut carbon_monoxide,
        OutputKind::Relay,
        ActionMode::Follow,
    );
    switches(
        &mut plan,
        &mut nitrogen_dioxide,
        OutputKind::Relay,
        ActionMode::Follow,
    );
    plan.set_points.extend([carbon_monoxide, nitrogen_dioxide]);
    check(
        &plan,
        "1 b 151 | 2 b 10 | 3 ack | 4 reset ap3",
        expect![[r#"
            1 ap3 ActiveUnack 151
            1 zone 0 ap3
            1 horn on
            1 out0 on
            1 out1 on
            2 ap3 LatchedUnack 10
            3 ap3 LatchedAck 10
            3 horn off
            4 ap3 Normal 10
            4 zone 0 normal
            4 out0 off
            4 out1 off
        "#]],
    );
}
