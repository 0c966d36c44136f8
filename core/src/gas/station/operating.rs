//! What operators, outputs and restarts do: silence, one button, overlays, hand control, loss, memory.
#![allow(clippy::unwrap_used)]

use super::bench::*;
use super::tests::{boards, garage, latched, plain};
use crate::gas::memory::MemoryError;
use crate::gas::plan::*;
use crate::gas::*;
use crate::power::{Check, Chemistry, ServiceState, SupplyPlan, SupplyReading, SupplyState};
use crate::time::{Duration, Instant};
use crate::units::{MilliVolt, PerMille};
use expect_test::expect;

#[test]
fn silence_stops_only_the_horn_and_a_higher_stage_sounds_again() {
    let mut plan = zone_of(1);
    let mut ap1 = set_point(&plan, 1, 30.0, 5.0);
    let mut ap2 = set_point(&plan, 2, 60.0, 5.0);
    switches(&mut plan, &mut ap1, OutputKind::Horn, ActionMode::Follow);
    ap2.actions
        .push(Action {
            output: OutputIndex(0),
            mode: ActionMode::Follow,
        })
        .unwrap();
    switches(&mut plan, &mut ap1, OutputKind::Relay, ActionMode::Follow);
    plan.set_points.extend([ap1, ap2]);
    check(
        &plan,
        "1 a 31 | 2 silence | 3 a 61 | 4 silence | 5 silence | 6 a 10",
        expect![[r#"
            1 ap1 ActiveUnack 31
            1 zone 0 ap1
            1 horn on
            1 out0 on
            1 out1 on
            2 HornSilenced
            2 horn off
            2 out0 off
            3 ap2 ActiveUnack 61
            3 zone 0 ap2
            3 horn on
            3 out0 on
            4 HornSilenced
            4 horn off
            4 out0 off
            6 ap1 RtnUnack 10
            6 ap2 RtnUnack 10
            6 zone 0 normal
            6 out1 off
        "#]],
    );
}

#[test]
fn a_silenced_horn_comes_back_while_nobody_acknowledges() {
    let mut plan = plain();
    plan.horn_recurs = Some(Duration::from_secs(300));
    check(
        &plan,
        "1 a 31 | 2 silence | 3..301/2 a 31 | 302 a 31 | 303 ack",
        expect![[r#"
            1 ap1 ActiveUnack 31
            1 zone 0 ap1
            1 horn on
            1 out0 on
            1 out1 on
            1 out2 on
            2 HornSilenced
            2 horn off
            2 out2 off
            302 horn on
            302 out2 on
            303 ap1 ActiveAck 31
            303 horn off
            303 out2 off
        "#]],
    );
}

#[test]
fn one_button_acknowledges_then_resets() {
    check(
        &latched(),
        "1 a 151 | 2 button | 3 button | 4 a 10 | 5 button | 6 button",
        expect![[r#"
            1 ap3 ActiveUnack 151
            1 zone 0 ap3
            1 horn on
            1 out0 on
            1 out1 on
            2 ap3 ActiveAck 151
            2 horn off
            2 out1 off
            4 ap3 LatchedAck 10
            5 ap3 Normal 10
            5 zone 0 normal
            5 out0 off
        "#]],
    );
    check(
        &latched(),
        "1 a 151 | 2 a 10 | 3 button | 4 button",
        expect![[r#"
            1 ap3 ActiveUnack 151
            1 zone 0 ap3
            1 horn on
            1 out0 on
            1 out1 on
            2 ap3 LatchedUnack 10
            3 ap3 LatchedAck 10
            3 horn off
            3 out1 off
            4 ap3 Normal 10
            4 zone 0 normal
            4 out0 off
        "#]],
    );
}

#[test]
fn a_shelved_alarm_is_evaluated_but_drives_nothing() {
    check(
        &plain(),
        "1 shelve ap1 300 | 2 a 31 | 250 a 31 | 260 a 31 | 270..310/9 a 31",
        expect![[r#"
            1 Shelved { key: SetPoint(SetPointIndex(0)), on: true }
            1 +shelved
            2 ap1 ActiveUnack 31
            2 zone 0 ap1
            12 a fault silence
            12 zone 0 lost
            12 healthy off
            12 out0 on
            12 out1 on
            12 out2 on
            270 a healthy
            270 zone 0 good
            270 healthy on
            270 out0 off
            270 out1 off
            270 out2 off
            301 Shelved { key: SetPoint(SetPointIndex(0)), on: false }
            301 horn on
            301 -shelved
            301 out0 on
            301 out1 on
            301 out2 on
        "#]],
    );
    check(
        &plain(),
        "1 a 31 | 2 shelve ap1 10 | 3 shelve ap1 400 | 4 a 32 | 5 unshelve ap1 | 6 unshelve ap1",
        expect![[r#"
            1 ap1 ActiveUnack 31
            1 zone 0 ap1
            1 horn on
            1 out0 on
            1 out1 on
            1 out2 on
            2 refused span_out_of_range
            3 Shelved { key: SetPoint(SetPointIndex(0)), on: true }
            3 horn off
            3 +shelved
            3 out0 off
            3 out1 off
            3 out2 off
            5 Shelved { key: SetPoint(SetPointIndex(0)), on: false }
            5 horn on
            5 -shelved
            5 out0 on
            5 out1 on
            5 out2 on
            6 refused not_shelved
        "#]],
    );
    check(
        &latched(),
        "1 shelve ap3 300",
        expect![[r#"
        1 refused not_shelvable
    "#]],
    );
}

#[test]
fn an_inhibited_cell_casts_no_vote_and_gives_no_samples() {
    check(
        &plain(),
        "1 inhibit a 60 | 2..60/2 a 200 | 61 tick",
        expect![[r#"
            1 a inhibited on
            1 +inhibit
            61 a inhibited off
            61 ap1 ActiveUnack 200
            61 zone 0 ap1
            61 horn on
            61 -inhibit
            61 out0 on
            61 out1 on
            61 out2 on
        "#]],
    );
    let mut bench = Bench::new(&plain());
    bench.play("1 inhibit a 60 | 2..60/2 a 200");
    assert_eq!(
        bench.station.average(CellIndex(0), 60).unwrap().covered,
        Duration::from_secs(1)
    );
}

#[test]
fn out_of_service_suppresses_what_stands_only_on_that_cell() {
    let mut plan = zone_of(2);
    let mut ap1 = set_point(&plan, 1, 30.0, 5.0);
    switches(&mut plan, &mut ap1, OutputKind::Relay, ActionMode::Follow);
    plan.set_points.push(ap1).unwrap();
    check(
        &plan,
        "1 a 31 | 2 out a | 3 b 31 | 4 b 10 a 10 | 5 return a",
        expect![[r#"
            1 ap1 ActiveUnack 31
            1 zone 0 ap1
            1 horn on
            1 out0 on
            2 a out_of_service on
            2 horn off
            2 +out_of_service
            2 out0 off
            3 horn on
            3 out0 on
            4 horn off
            4 out0 off
            5 a out_of_service off
            5 ap1 RtnUnack 10
            5 zone 0 normal
            5 horn on
            5 -out_of_service
        "#]],
    );
}

#[test]
fn a_latched_alarm_is_not_hidden_by_another_cell_out_of_service() {
    let mut plan = zone_of(2);
    let mut ap3 = latching(set_point(&plan, 3, 150.0, 5.0));
    switches(&mut plan, &mut ap3, OutputKind::Relay, ActionMode::Follow);
    plan.set_points.push(ap3).unwrap();
    check(
        &plan,
        "1 a 151 | 2 a 10 | 3 out b",
        expect![[r#"
        1 ap3 ActiveUnack 151
        1 zone 0 ap3
        1 horn on
        1 out0 on
        2 ap3 LatchedUnack 10
        3 b out_of_service on
        3 +out_of_service
    "#]],
    );
}

#[test]
fn loss_drives_the_outputs_and_leaves_the_level_alone() {
    check(
        &plain(),
        "1 a !adc_rail | 2 ack",
        expect![[r#"
        1 a fault adc_rail
        1 zone 0 lost
        1 healthy off
        1 out0 on
        1 out1 on
        1 out2 on
        2 out2 off
    "#]],
    );
    let mut none = plain();
    none.zones[0].loss_stage = 0;
    check(
        &none,
        "1 a !adc_rail",
        expect![[r#"
        1 a fault adc_rail
        1 zone 0 lost
        1 healthy off
    "#]],
    );
}

#[test]
fn minimum_times_and_pulses() {
    let mut plan = zone_of(1);
    let mut ap1 = set_point(&plan, 1, 30.0, 5.0);
    switches(&mut plan, &mut ap1, OutputKind::Relay, ActionMode::Follow);
    switches(&mut plan, &mut ap1, OutputKind::Relay, ActionMode::Follow);
    switches(
        &mut plan,
        &mut ap1,
        OutputKind::Relay,
        ActionMode::Pulse(Duration::from_secs(2)),
    );
    switches(&mut plan, &mut ap1, OutputKind::Led, ActionMode::Flash);
    plan.outputs[0].min_on = Duration::from_secs(60);
    plan.outputs[1].run_on = Duration::from_secs(30);
    plan.set_points.push(ap1).unwrap();
    check(
        &plan,
        "1 a 31 | 2 ack | 9 a 10 | 18 a 10 | 27 a 10 | 36 a 10 | 39 tick | 45 a 10 | 54 a 10 | 61 tick",
        expect![[r#"
            1 ap1 ActiveUnack 31
            1 zone 0 ap1
            1 horn on
            1 out0 on
            1 out1 on
            1 out2 on
            1 out3 flash
            2 ap1 ActiveAck 31
            2 horn off
            3 out2 off
            9 ap1 Normal 10
            9 zone 0 normal
            9 out3 off
            39 out1 off
            61 out0 off
        "#]],
    );
}

#[test]
fn hand_control_is_a_special_state_and_ends() {
    let mut plan = plain();
    plan.add_relay_board().unwrap();
    check(
        &plan,
        "1 out0 on 5 | 6 tick | 7 a 31 | 8 out0 off | 9 out0 auto | 9 out3 on | 9 out3 off",
        expect![[r#"
            1 OutputMode { output: OutputIndex(0), mode: On }
            1 +override
            1 out0 on
            6 OutputMode { output: OutputIndex(0), mode: Auto }
            6 -override
            6 out0 off
            7 ap1 ActiveUnack 31
            7 zone 0 ap1
            7 horn on
            7 out0 on
            7 out1 on
            7 out2 on
            7 out4 on
            8 OutputMode { output: OutputIndex(0), mode: Off }
            8 +override
            8 out0 off
            9 OutputMode { output: OutputIndex(0), mode: Auto }
            9 -override
            9 out0 on
            9 refused not_overridable
            9 OutputMode { output: OutputIndex(3), mode: Off }
            9 +override
            9 out3 off
        "#]],
    );
}

#[test]
fn a_relay_that_does_not_follow_is_a_fault() {
    check(
        &plain(),
        "1 out0 differs | 2 out0 differs | 3 out0 agrees | 4..6/1 out0 differs | 7 out0 hand",
        expect![[r#"
            6 OutputFault { output: OutputIndex(0), fault: true }
            6 healthy off
            7 OutputFault { output: OutputIndex(0), fault: false }
            7 +hand_mode
            7 healthy on
        "#]],
    );
}

#[test]
fn a_lamp_test_lights_lamps_and_moves_no_relay() {
    let mut bench = Bench::new(&boards());
    bench.play("1 lamps 5");
    let now = (
        bench.station.image(BoardIndex(0), false),
        bench.station.image(BoardIndex(1), false),
    );
    assert_eq!(now, (0x777, 0x01), "every lamp that is wired");
    bench.play("6 tick | 7 lamps 11");
    assert_eq!(bench.station.image(BoardIndex(0), true), 0x01);
    expect![[r#"
        1 +lamp_test
        6 -lamp_test
        7 refused span_out_of_range
    "#]]
    .assert_eq(&bench.log);
}

#[test]
fn a_lost_bus_is_a_fault_at_once_and_says_nothing_about_gas() {
    check(
        &plain(),
        "1 a 31 | 2 bus0 down | 3 bus0 up",
        expect![[r#"
        1 ap1 ActiveUnack 31
        1 zone 0 ap1
        1 horn on
        1 out0 on
        1 out1 on
        1 out2 on
        2 Bus { bus: BusIndex(0), up: false }
        2 healthy off
        3 Bus { bus: BusIndex(0), up: true }
        3 healthy on
    "#]],
    );
}

#[test]
fn starting_lasts_until_every_cell_spoke_or_failed() {
    let mut plan = zone_of(2);
    plan.outputs
        .push(OutputPlan {
            normally_energised: true,
            ..OutputPlan::new(OutputKind::Relay, 1)
        })
        .unwrap();
    let mut bench = Bench::cold(&plan);
    bench.play("0 tick | 1 a 5 | 5 a 5 | 9 a 5 | 10 tick | 11 a 5");
    expect![[r#"
        0 +starting
        10 b fault silence
        10 zone 0 degraded
        10 -starting
    "#]]
    .assert_eq(&bench.log);
    assert_eq!(
        plan.healthy_output(),
        Some(OutputIndex(0)),
        "normally energised, named by no set point"
    );
}

#[test]
fn averages_and_contributions_survive_a_restart() {
    let plan = garage();
    let mut bench = Bench::new(&plan);
    bench.play("0..900/5 a 40 | 901 ack");
    let mut buffer = [0; 8192];
    let length = bench.station.save(&mut buffer).unwrap();

    let mut again = Bench::cold(&plan);
    again
        .station
        .load(&buffer[..length], Some(Duration::from_secs(20)))
        .unwrap();
    again.play("0 a 40");
    let average = again.station.average(CellIndex(0), 900).unwrap();
    assert_eq!(
        (average.value(), average.covered.as_secs()),
        (Some(milli(40.0)), 876)
    );

    let mut unknown = Bench::cold(&plan);
    unknown.station.load(&buffer[..length], None).unwrap();
    unknown.play("0..30/5 a 0");
    assert_eq!(
        unknown.station.average(CellIndex(0), 900).unwrap().value(),
        None
    );
    assert_eq!(unknown.zone(), "ap1", "frozen until the average is known");
    unknown.play("35..60/5 a 0");
    assert_eq!(unknown.zone(), "normal");
}

#[test]
fn a_damaged_memory_changes_nothing() {
    let mut bench = Bench::new(&latched());
    bench.play("1 a 151");
    let mut buffer = [0; 8192];
    let length = bench.station.save(&mut buffer).unwrap();
    for cut in 0..length {
        let mut again = Bench::cold(&latched());
        assert!(
            again.station.load(&buffer[..cut], None).is_err(),
            "{cut} bytes"
        );
        assert_eq!(
            again.station.memory(),
            Bench::cold(&latched()).station.memory(),
            "{cut}"
        );
    }
    assert_eq!(
        Bench::cold(&zone_of(1))
            .station
            .load(&buffer[..length], None),
        Err(MemoryError::OtherSite)
    );
    buffer[0] = 99;
    assert_eq!(
        Bench::cold(&latched())
            .station
            .load(&buffer[..length], None),
        Err(MemoryError::Version(99))
    );
    assert_eq!(bench.station.save(&mut [0; 16]), Err(MemoryError::NoSpace));
}

#[test]
fn the_journal_wins_over_an_older_file() {
    let mut bench = Bench::cold(&latched());
    bench
        .station
        .restore_alarm(bench.key("ap3"), AlarmState::ActiveAck)
        .unwrap();
    bench.play("0 tick | 1 a 149 | 2 a 10");
    expect![[r#"
        0 zone 0 ap3
        0 +starting
        0 out0 on
        1 -starting
        1 healthy on
        2 ap3 LatchedAck 10
    "#]]
    .assert_eq(&bench.log);
}

#[test]
fn lost_events_are_counted_not_hidden() {
    let mut bench = Bench::new(&plain());
    for second in 1..400 {
        let value = milli(if second % 2 == 0 { 0.0 } else { 31.0 });
        let reading = Reading::Value(value);
        let input = Input::Reading {
            cell: CellIndex(0),
            reading,
        };
        bench
            .station
            .step(Instant::from_secs(second), input)
            .unwrap();
    }
    bench.drain();
    let last = bench.log.lines().last().unwrap();
    assert!(last.contains("EventsLost"), "{last}");
}

#[test]
fn out_of_service_is_not_ended_by_an_inhibition() {
    check(
        &plain(),
        "1 out a | 2 inhibit a 60 | 3 return a | 4 return a",
        expect![[r#"
            1 a out_of_service on
            1 +out_of_service
            2 refused out_of_service
            3 a out_of_service off
            3 -out_of_service
            4 refused in_service
        "#]],
    );
}

fn with_battery() -> TestPlan {
    let mut plan = plain();
    plan.supply = Some(SupplyPlan {
        chemistry: Chemistry::Agm,
        cells: 6,
        capacity_mah: 7_200,
        r_internal_mohm: 0,
        min_soc: PerMille(200),
        load_ma: 450,
        mains_fault: true,
        table: None,
        test_every_days: None,
    });
    plan
}

fn supply(bench: &mut Bench, seconds: u64, mains: bool) {
    let reading = SupplyReading {
        mains: Some(mains),
        battery: Some(MilliVolt(12_600)),
        ..SupplyReading::default()
    };
    let now = Instant::from_secs(seconds);
    bench.station.step(now, Input::Supply(reading)).unwrap();
    bench.run_to(now);
}

#[test]
fn mains_failing_is_a_fault_and_no_gas_alarm() {
    let mut bench = Bench::new(&with_battery());
    bench.terse = false;
    supply(&mut bench, 1, true);
    supply(&mut bench, 2, false);
    bench.play("4 tick | 5 ack power");
    let power = bench.station.power();
    assert_eq!(
        (power.state, power.soc),
        (SupplyState::OnBattery, Some(PerMille(750)))
    );
    supply(&mut bench, 6, true);
    bench.play("9 a 0 | 16 tick");
    expect![[r#"
        1 Supply { state: Mains }
        4 Supply { state: OnBattery }
        4 Power ActiveUnack
        4 healthy off
        5 Power ActiveAck
        16 Supply { state: Mains }
        16 Power Normal
        16 healthy on
    "#]]
    .assert_eq(&bench.log);
}

#[test]
fn a_battery_test_waits_for_calm_and_ends_at_an_alarm() {
    let mut bench = Bench::new(&with_battery());
    let test = Input::Command(Command::BatteryTest);
    assert_eq!(
        bench.station.step(Instant::ZERO, test),
        Err(Refusal::NoMains)
    );
    supply(&mut bench, 1, true);
    bench.play("2 a 31");
    assert_eq!(
        bench.station.step(Instant::from_secs(3), test),
        Err(Refusal::AlarmActive)
    );
    bench.play("4 a 10 | 5 ack");
    bench.log.clear();
    bench.station.step(Instant::from_secs(6), test).unwrap();
    bench.play("7 a 31");
    expect![[r#"
        6 BatteryTest(Started)
        6 +battery_test
        7 ap1 ActiveUnack 31
        7 BatteryTest(Aborted)
        7 zone 0 ap1
        7 horn on
        7 -battery_test
        7 out0 on
        7 out1 on
        7 out2 on
    "#]]
    .assert_eq(&bench.log);
    assert_eq!(
        Bench::new(&plain()).station.step(Instant::ZERO, test),
        Err(Refusal::NoBattery)
    );
}

#[test]
fn a_service_falls_due_at_its_day_and_a_check_of_its_own() {
    let mut plan = plain();
    plan.service.interval_days = 31;
    plan.service.checks[Check::Visual as usize] = Some(1);
    let mut bench = Bench::new(&plan);
    let mut seen = std::vec::Vec::new();
    for day in 0..=31_u64 {
        bench.run_to(Instant::from_secs(day * 86_400));
        let state = bench.station.runtime();
        seen.push((state.service.state, state.service.days_left));
    }
    assert_eq!(seen[0], (ServiceState::Ok, 31));
    assert_eq!(
        (seen[1], seen[31]),
        ((ServiceState::Soon, 30), (ServiceState::Due, 0))
    );
    let told = bench
        .log
        .lines()
        .filter(|line| line.contains("Service") || line.contains("Check"));
    let told: std::string::String = told.map(|line| std::format!("{line}\n")).collect();
    bench.play("2678400 service");
    expect![[r#"
        86400 Service { state: Soon }
        86400 CheckState { check: Visual, state: Due }
        2678400 Service { state: Due }
    "#]]
    .assert_eq(&told);
    assert_eq!(bench.station.runtime().service.days_left, 31);
}

#[test]
fn a_zone_shows_its_most_dangerous_value() {
    let mut plan = zone_of(3);
    plan.cells[2].kind = 1;
    plan.cells[2].range_hi = milli(30.0);
    let mut bench = Bench::new(&plan);
    let mut shown = |script: &str| {
        bench.play(script);
        bench.station.zone(ZoneIndex(0)).shown.unwrap()
    };
    assert_eq!(shown("1 a 10 b 12 c 0.5"), (CellIndex(1), milli(12.0)));
    assert_eq!(
        shown("2 c 6"),
        (CellIndex(2), milli(6.0)),
        "a fifth of its range"
    );
    assert_eq!(
        shown("3 b !adc_rail c !adc_rail"),
        (CellIndex(0), milli(10.0)),
        "healthy ones only"
    );
}
