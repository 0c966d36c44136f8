//! Limits on how fast gas rises and on how much was breathed.
#![allow(clippy::unwrap_used)]

use super::bench::*;
use crate::gas::plan::*;
use crate::gas::*;
use crate::time::{Duration, Instant};
use expect_test::expect;

fn limit(on: f64, hysteresis: f64, quantity: Quantity) -> TestPlan {
    let mut plan = zone_of(1);
    let mut point = set_point(&plan, 1, on, hysteresis);
    point.quantity = quantity;
    for window in quantity.windows().chain([30]) {
        if !plan.windows.contains(&window) {
            plan.windows.push(window).unwrap();
        }
    }
    plan.set_points.push(point).unwrap();
    plan
}

/// A reading every 5 s; `ppm` by second.
fn play(bench: &mut Bench, seconds: core::ops::Range<u64>, ppm: impl Fn(u64) -> f64) {
    for second in seconds.step_by(5) {
        let now = Instant::from_secs(second);
        bench.feed(now, CellIndex(0), Reading::Value(milli(ppm(second))));
        bench.run_to(now);
    }
}

#[test]
fn a_steady_rise_is_its_slope_and_a_step_passes() {
    // 10 ppm a minute is a rise of 10 between halves a minute apart, exactly.
    let mut bench = Bench::new(&limit(10.0, 2.0, Quantity::Rate(120)));
    play(&mut bench, 0..300, |s| s as f64 / 6.0);
    let rate = |bench: &Bench| {
        bench
            .station
            .set_point_input(SetPointIndex(0), CellIndex(0))
    };
    assert_eq!(rate(&bench), Some(milli(10.0)));
    // From then on it stands still: the slope fades within the window, below the limit less its hysteresis first.
    play(&mut bench, 300..500, |_| 50.0);
    assert_eq!(rate(&bench), Some(milli(0.0)));
    expect![[r#"
        120 ap1 ActiveUnack 10
        120 zone 0 ap1
        120 horn on
        345 ap1 RtnUnack 7.5
        345 zone 0 normal
    "#]]
    .assert_eq(&bench.log);
}

#[test]
fn a_high_value_that_stands_still_is_no_rise() {
    let mut bench = Bench::new(&limit(10.0, 2.0, Quantity::Rate(60)));
    play(&mut bench, 0..30, |_| 200.0);
    play(&mut bench, 30..600, |_| 200.0);
    assert_eq!(bench.zone(), "normal", "{}", bench.log);
}

#[test]
fn oxygen_that_falls_fast_is_a_negative_rate() {
    let mut plan = limit(-2.0, 0.5, Quantity::Rate(60));
    plan.set_points[0].direction = Direction::Falling;
    let mut bench = Bench::new(&plan);
    play(&mut bench, 0..120, |_| 20.9);
    assert_eq!(bench.zone(), "normal");
    play(&mut bench, 120..180, |s| 20.9 - (s - 120) as f64 / 20.0);
    assert_eq!(bench.zone(), "ap1");
}

#[test]
fn a_gap_has_no_slope() {
    let mut bench = Bench::new(&limit(10.0, 2.0, Quantity::Rate(60)));
    play(&mut bench, 0..60, |_| 0.0);
    bench.play("60..100/5 a x");
    play(&mut bench, 105..115, |_| 100.0);
    let rate = bench
        .station
        .set_point_input(SetPointIndex(0), CellIndex(0));
    assert_eq!(rate, None);
}

#[test]
fn short_exposure_divides_by_the_whole_quarter_of_an_hour() {
    // 60 ppm for 450 s are 30 over 900 s, although an average of what was measured says 60 at once.
    let mut bench = Bench::new(&limit(30.0, 3.0, Quantity::Exposure(EXPOSURE_SHORT_S)));
    bench.log.clear();
    play(&mut bench, 5..600, |_| 60.0);
    let raised = bench.log.lines().next().unwrap();
    assert_eq!(raised, "455 ap1 ActiveUnack 30");
}

#[test]
fn long_exposure_survives_hours_and_a_restart() {
    let plan = limit(20.0, 1.0, Quantity::Exposure(EXPOSURE_LONG_S));
    let mut bench = Bench::new(&plan);
    play(&mut bench, 0..3 * 3600, |_| 40.0);
    assert_eq!(bench.zone(), "normal", "3 h of 40 are 15 over 8 h");
    let mut buffer = [0; 16_384];
    let length = bench.station.save(&mut buffer).unwrap();
    let mut again = Bench::cold(&plan);
    let off = Duration::from_secs(600);
    again.station.load(&buffer[..length], Some(off)).unwrap();
    play(&mut again, 0..3 * 3600, |_| 40.0);
    let raised = again.log.lines().find(|l| l.contains("ap1")).unwrap();
    // The save was made 5 s before the end of the third hour.
    assert_eq!(raised, "3605 ap1 ActiveUnack 20");
}

#[test]
fn a_file_from_before_exposures_is_understood() {
    let plan = limit(20.0, 1.0, Quantity::Average(300));
    let mut bench = Bench::new(&plan);
    play(&mut bench, 0..300, |_| 40.0);
    let mut buffer = [0; 16_384];
    let length = bench.station.save(&mut buffer).unwrap();
    // One cell: its doses are the tail, a count and one bucket.
    let bucket = bench.station.cells[0].history.dose.bucket(295_000, 0);
    let tail = 1 + postcard::to_slice(&bucket, &mut [0; 32]).unwrap().len();
    buffer[0] = 1;
    let mut again = Bench::cold(&plan);
    again.station.load(&buffer[..length - tail], None).unwrap();
    assert_eq!(again.station.memory(), {
        let mut memory = bench.station.memory();
        memory.runtime.boot_count += 1;
        memory
    });
}

#[test]
fn plans_with_limits_that_cannot_be_are_refused() {
    let mistakes = |plan: &TestPlan| {
        let mut found = std::vec::Vec::new();
        plan.check(|mistake| found.push(mistake));
        found
    };
    let only = SetPointIndex(0);
    assert_eq!(mistakes(&limit(10.0, 2.0, Quantity::Rate(120))), []);
    let mut odd = limit(10.0, 2.0, Quantity::Rate(120));
    odd.set_points[0].quantity = Quantity::Rate(150);
    assert_eq!(mistakes(&odd), [PlanError::UnknownWindow(only)]);
    let still = limit(0.0, 0.0, Quantity::Rate(60));
    assert!(mistakes(&still).contains(&PlanError::OutOfRange(only)));
    let steep = limit(301.0, 0.0, Quantity::Rate(60));
    assert_eq!(mistakes(&steep), [PlanError::OutOfRange(only)]);
    let hour = limit(10.0, 0.0, Quantity::Exposure(3600));
    assert_eq!(mistakes(&hour), [PlanError::UnknownWindow(only)]);
}
