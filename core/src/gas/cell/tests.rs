//! The fault life cycle of one cell, through the station.
#![allow(clippy::unwrap_used)]

use crate::gas::analog::Bands;
use crate::gas::plan::CellPlan;
use crate::gas::ra_gas::{Calibration, Channel};
use crate::gas::station::bench::*;
use crate::gas::status::Quality;
use crate::gas::{CellIndex, Command, Input, Reading};
use crate::time::{Duration, Instant};
use expect_test::{Expect, expect};
use std::format;

fn one() -> TestPlan {
    zone_of(1)
}

fn with(change: fn(&mut CellPlan)) -> TestPlan {
    let mut plan = zone_of(1);
    change(&mut plan.cells[0]);
    plan
}

#[test]
fn golden_five_failed_polls() {
    check(
        &one(),
        "1 a x | 2 a x | 3 a x | 4 a x | 4.5 a 7 | 5..8/1 a x | 9 a crc | 10 a 7 | 11 a 7 | 12 a 7",
        expect![[r#"
            9 a fault crc
            9 zone 0 lost
            9 healthy off
            12 a healthy
            12 zone 0 good
            12 healthy on
        "#]],
    );
}

#[test]
fn golden_recovery_needs_three_good_polls_in_a_row() {
    check(
        &one(),
        "1..5/1 a x | 6 a 7 | 7 a 7 | 8 a x | 9 a 7 | 10 a 7 | 11 a 7",
        expect![[r#"
            5 a fault timeout
            5 zone 0 lost
            5 healthy off
            11 a healthy
            11 zone 0 good
            11 healthy on
        "#]],
    );
}

#[test]
fn golden_silence_on_a_slow_cycle() {
    // Polls every 4 s: at 10 s only two have failed.
    check(
        &one(),
        "4 a x | 8 a x | 12 a x",
        expect![[r#"
        10 a fault silence
        10 zone 0 lost
        10 healthy off
    "#]],
    );
}

#[test]
fn a_good_poll_exactly_at_ten_seconds_prevents_silence() {
    check(
        &one(),
        "10 a 5 | 20 tick",
        expect![[r#"
        20 a fault silence
        20 zone 0 lost
        20 healthy off
    "#]],
    );
}

#[test]
fn a_reported_fault_is_one_at_once_and_the_better_reason() {
    check(
        &one(),
        "1 a !adc_rail | 2 a 5 | 3 a !zero_drift | 4 a 5 | 5 a 5 | 6 a 5 | 7..11/1 a x | 12 a !adc_rail | 13..18/1 a x",
        expect![[r#"
            1 a fault adc_rail
            1 zone 0 lost
            1 healthy off
            3 a fault zero_drift
            6 a healthy
            6 zone 0 good
            6 healthy on
            11 a fault timeout
            11 zone 0 lost
            11 healthy off
            12 a fault adc_rail
        "#]],
    );
}

#[test]
fn every_code_of_a_failed_poll() {
    for code in ["x", "crc", "busy", "short"] {
        let mut bench = Bench::new(&one());
        bench.play(&format!("1..5/1 a {code}"));
        let fault = bench.station.cell(CellIndex(0)).fault;
        let expected = match code {
            "x" => "timeout",
            "busy" => "exception",
            "short" => "length",
            _ => "crc",
        };
        assert_eq!(fault.and_then(|fault| fault.as_str()), Some(expected));
    }
}

#[test]
fn golden_wire_break_is_held_for_five_seconds() {
    check(
        &one(),
        "1 a 12mA | 2..6/1 a 3.5mA | 7 a 3.5mA",
        expect![[r#"
            2 a +held
            7 a -held
            7 a fault wire_break
            7 zone 0 lost
            7 healthy off
        "#]],
    );
    // Without another poll the deadline itself ends the hold.
    check(
        &one(),
        "1 a 12mA | 2 a 3.5mA | 6.9 tick | 7 tick",
        expect![[r#"
            2 a +held
            7 a -held
            7 a fault wire_break
            7 zone 0 lost
            7 healthy off
        "#]],
    );
    let mut bench = Bench::new(&one());
    bench.play("1 a 12mA | 2..6/1 a 3.5mA");
    let held = bench.station.cell(CellIndex(0));
    assert_eq!((held.value, held.fault), (Some(milli(150.0)), None));
}

#[test]
fn golden_short_circuit() {
    check(
        &one(),
        "1 a 12mA | 2..7/1 a 21.5mA",
        expect![[r#"
        2 a +held
        7 a -held
        7 a fault short_circuit
        7 zone 0 lost
        7 healthy off
    "#]],
    );
}

#[test]
fn a_short_dip_of_the_current_is_forgotten() {
    check(
        &one(),
        "1 a 12mA | 2 a 3mA | 6 a 12mA | 7 a 3mA | 11 a 12mA | 12 tick",
        expect![[r#"
            2 a +held
            6 a -held
            7 a +held
            11 a -held
        "#]],
    );
}

#[test]
fn legacy_bands_are_chosen_by_the_plan() {
    check(
        &with(|cell| cell.bands = Bands::Legacy),
        "1 a 3.5mA | 8 a 3.5mA",
        expect![[""]],
    );
}

#[test]
fn drift_below_zero_warns_then_faults() {
    check(
        &one(),
        "1 a -9 | 2 a -9.1 | 3 a -30 | 4 a -30.1",
        expect![[r#"
            2 a +zero_drift
            4 a fault zero_drift
            4 zone 0 lost
            4 healthy off
        "#]],
    );
}

#[test]
fn warm_up_shows_values_and_counts_none() {
    let plan = with(|cell| cell.warmup = Duration::from_secs(120));
    let mut bench = Bench::cold(&plan);
    bench.play("0..119/1 a 40");
    let cell = bench.station.cell(CellIndex(0));
    assert_eq!(
        (cell.value, cell.quality),
        (Some(milli(40.0)), Quality::WarmUp)
    );
    assert_eq!(bench.station.average(CellIndex(0), 60).unwrap().mean, None);
    bench.play("120..125/1 a 40");
    assert_eq!(
        bench.station.average(CellIndex(0), 60).unwrap().covered,
        Duration::from_secs(5)
    );
    expect![[r#"
        0 +warm_up
        0 healthy on
        120 -warm_up
    "#]]
    .assert_eq(&bench.log);
}

#[test]
fn an_alarm_that_stands_at_the_end_of_warm_up_is_raised_there() {
    let mut plan = with(|cell| cell.warmup = Duration::from_secs(120));
    let mut ap1 = set_point(&plan, 1, 30.0, 5.0);
    plan.set_points.push(ap1.clone()).unwrap();
    let mut bench = Bench::cold(&plan);
    bench.play("0..119.5/0.5 a 40 | 120 tick");
    expect![[r#"
        0 +warm_up
        0 healthy on
        120 ap1 ActiveUnack 40
        120 zone 0 ap1
        120 horn on
        120 -warm_up
    "#]]
    .assert_eq(&bench.log);

    // With a delay: counted from there.
    ap1.on_delay = Duration::from_secs(10);
    plan.set_points[0] = ap1;
    let mut bench = Bench::cold(&plan);
    bench.play("0..119.5/0.5 a 40");
    bench.log.clear();
    bench.play("120..131/1 a 40");
    expect![[r#"
        120 -warm_up
        130 ap1 ActiveUnack 40
        130 zone 0 ap1
        130 horn on
    "#]]
    .assert_eq(&bench.log);
}

#[test]
fn recovery_warms_up_again() {
    let plan = with(|cell| cell.warmup = Duration::from_secs(60));
    check(
        &plan,
        "60 tick | 61 a 5 | 62..66/1 a x | 67..69/1 a 5 | 75..130/5 a 5",
        expect![[r#"
            10 a fault silence
            10 zone 0 lost
            10 healthy off
            60 -warm_up
            69 a healthy
            69 zone 0 good
            69 +warm_up
            69 healthy on
            129 -warm_up
        "#]],
    );
}

fn ra_gas(adc: u16, span: u16) -> Reading {
    let calibration = Calibration {
        adc_zero: 112,
        adc_span: span,
        ppm_zero: 0,
        ppm_span: 270,
    };
    Reading::RaGas(Channel {
        adc,
        range_min: 0,
        range_max: 300,
        calibration,
        config: 1,
    })
}

fn transcript(plan: &TestPlan, readings: &[(u64, Reading)], expect: Expect) -> Bench {
    let mut bench = Bench::new(plan);
    for &(seconds, reading) in readings {
        bench.feed(Instant::from_secs(seconds), CellIndex(0), reading);
    }
    expect.assert_eq(&bench.log);
    bench
}

#[test]
fn a_changed_calibration_warns_until_confirmed() {
    let readings = [
        (1, ra_gas(200, 760)),
        (2, ra_gas(200, 700)),
        (3, ra_gas(201, 700)),
    ];
    let mut bench = transcript(
        &one(),
        &readings,
        expect![[r#"
        2 a +calibration_changed
    "#]],
    );
    let confirm = Input::Command(Command::ConfirmCalibration(CellIndex(0)));
    bench.station.step(Instant::from_secs(4), confirm).unwrap();
    assert!(
        bench.station.step(Instant::from_secs(4), confirm).is_err(),
        "nothing left to confirm"
    );
    bench.feed(Instant::from_secs(5), CellIndex(0), ra_gas(202, 700));
    assert!(bench.station.cell(CellIndex(0)).warnings.is_empty());
}

#[test]
fn a_converter_that_stands_still_for_a_day_is_suspect() {
    let day = |adc: u16| (0..=24 * 900).map(move |n| (n * 4, ra_gas(adc, 760)));
    let readings: std::vec::Vec<_> = day(200).chain([(86_401, ra_gas(201, 760))]).collect();
    transcript(
        &one(),
        &readings,
        expect![[r#"
        86400 a +stuck_suspect
        86401 a -stuck_suspect
    "#]],
    );
    let unwatched = with(|cell| cell.stuck_check = false);
    let readings: std::vec::Vec<_> = day(200).collect();
    transcript(&unwatched, &readings, expect![[""]]);
}

#[test]
fn a_rail_is_never_a_concentration() {
    transcript(
        &one(),
        &[(1, ra_gas(472, 760)), (2, ra_gas(0, 760))],
        expect![[r#"
            2 a fault adc_rail
            2 zone 0 lost
            2 healthy off
        "#]],
    );
}

#[test]
fn an_old_value_is_stale_before_it_is_a_fault() {
    let mut bench = Bench::new(&one());
    bench.play("1 a 5 | 4 tick");
    assert_eq!(bench.station.cell(CellIndex(0)).quality, Quality::Good);
    bench.play("4.1 tick");
    assert_eq!(bench.station.cell(CellIndex(0)).quality, Quality::Stale);
    bench.play("11 tick");
    let cell = bench.station.cell(CellIndex(0));
    assert_eq!(
        (cell.quality, cell.value, cell.last_value),
        (Quality::Fault, None, Some(milli(5.0)))
    );
    assert_eq!(cell.age, Some(Duration::from_secs(10)));
}

#[test]
fn a_failure_does_not_cut_the_hold_but_a_reported_fault_does() {
    let covered = |script: &str| {
        let mut bench = Bench::new(&one());
        bench.play(script);
        bench
            .station
            .average(CellIndex(0), 60)
            .unwrap()
            .covered
            .as_secs()
    };
    assert_eq!(
        covered("0..10/1 a 5 | 11..15/1 a x | 30 tick"),
        25,
        "10 s and 15 s of hold"
    );
    assert_eq!(covered("0..10/1 a 5 | 11 a !adc_rail | 30 tick"), 11);
}
