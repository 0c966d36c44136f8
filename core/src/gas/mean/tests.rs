#![allow(clippy::unwrap_used)]
//! Scripts: `time:value` a sample, `from..to/step:value` many, `@time` look at the average.

use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::format;
use std::string::String;
use std::vec::Vec;

const WINDOWS: Windows = [12, 60, 180, 360, 720, 0, 0, 0];
const MINUTES_15: usize = 2;
const HOLD: Duration = Duration::from_secs(15);

fn show(average: Average) -> String {
    let mean = average.mean.map_or("none".into(), |mean| {
        format!("{}", f64::from(mean.as_milli()) / 1000.0)
    });
    let known = if average.known { "" } else { " unknown" };
    let partial = if average.partial { " partial" } else { "" };
    format!(
        "{mean} covered {}{partial}{known}",
        average.covered.as_secs_f64()
    )
}

fn check(script: &str, expect: Expect) {
    let mut history = History::<720>::new();
    let mut log = String::new();
    let seconds = |text: &str| Instant::from_millis((text.parse::<f64>().unwrap() * 1000.0) as u64);
    for word in script.split_whitespace() {
        if let Some(when) = word.strip_prefix('@') {
            history.advance(seconds(when), &WINDOWS);
            let average = history.average(seconds(when), MINUTES_15, &WINDOWS);
            log.push_str(&format!("{when} {}\n", show(average)));
            continue;
        }
        let (when, value) = word.split_once(':').unwrap();
        let value = Concentration::from_milli((value.parse::<f64>().unwrap() * 1000.0) as i32);
        let times: Vec<u64> = match when.split_once("..") {
            None => [seconds(when).as_millis()].into(),
            Some((from, rest)) => {
                let (to, step) = rest.split_once('/').unwrap();
                let step = seconds(step).as_millis() as usize;
                (seconds(from).as_millis()..=seconds(to).as_millis())
                    .step_by(step)
                    .collect()
            }
        };
        for at in times {
            history.sample(Instant::from_millis(at), value, HOLD, &WINDOWS);
        }
    }
    expect.assert_eq(&log);
}

#[test]
fn golden_constant() {
    check(
        "0..895/5:10 @900",
        expect![[r#"
        900 10 covered 900
    "#]],
    );
}

#[test]
fn golden_half_and_half() {
    check(
        "0..445/5:0 450..895/5:60 @900",
        expect![[r#"
        900 30 covered 900
    "#]],
    );
}

#[test]
fn golden_too_little_is_unknown() {
    check(
        "0:10 10:20 15:40 @20",
        expect![[r#"
        20 20 covered 20 partial unknown
    "#]],
    );
}

#[test]
fn golden_gap_is_partial() {
    check(
        "0..295/5:20 600..895/5:80 @900",
        expect![[r#"
        900 49.508 covered 610 partial
    "#]],
    );
}

#[test]
fn golden_silence_runs_out_of_the_window() {
    check(
        "0..55/5:50 @80 @955 @971",
        expect![[r#"
        80 50 covered 70 partial
        955 50 covered 15 partial unknown
        971 none covered 0 partial unknown
    "#]],
    );
}

#[test]
fn golden_negative_values_count_as_zero() {
    check(
        "0..445/5:-2.083 450..895/5:30 @900",
        expect![[r#"
        900 15 covered 900
    "#]],
    );
}

#[test]
fn the_mean_is_rounded_half_up() {
    // 30 s of 0.001 and 30 s of 0: exactly half a thousandth.
    check(
        "0:0.001 15:0.001 30:0 45:0 @60",
        expect![[r#"
        60 0.001 covered 60 partial
    "#]],
    );
}

#[test]
fn the_running_bucket_counts() {
    check(
        "0..60/5:10 62:70 @64",
        expect![[r#"
        64 11.875 covered 64 partial
    "#]],
    );
}

#[test]
fn an_hour_of_silence_leaves_nothing_behind() {
    check(
        "0..900/5:99 @5000 9000..9055/5:1 @9060 100000:5 @100060",
        expect![[r#"
            5000 none covered 0 partial unknown
            9060 1 covered 60 partial
            100060 5 covered 15 partial unknown
        "#]],
    );
}

#[test]
fn a_window_of_ten_seconds_is_known_after_eight() {
    let windows: Windows = [2, 0, 0, 0, 0, 0, 0, 0];
    let mut history = History::<12>::new();
    history.sample(Instant::ZERO, Concentration::from_milli(7), HOLD, &windows);
    for (seconds, known) in [(7, false), (8, true)] {
        let now = Instant::from_secs(seconds);
        history.advance(now, &windows);
        assert_eq!(
            history.average(now, 0, &windows).known,
            known,
            "{seconds} s"
        );
    }
}

/// The definition of `monitor.md` 2.4 and `decisions.md` 8, computed the long way.
fn by_definition(samples: &[(u64, i32)], now: u64, window_ms: u64) -> (i128, u64) {
    let from = (now.div_ceil(BUCKET_MS) * BUCKET_MS).saturating_sub(window_ms);
    let mut sum = (0_i128, 0_u64);
    for (at, &(start, value)) in samples.iter().enumerate() {
        let next = samples.get(at + 1).map_or(now, |next| next.0);
        let end = next.min(start + HOLD.as_millis() as u64).min(now);
        let span = end.saturating_sub(start.max(from));
        sum.0 += i128::from(value.max(0)) * i128::from(span);
        sum.1 += span;
    }
    sum
}

proptest! {
    #[test]
    fn every_window_equals_its_definition(
        steps in proptest::collection::vec((1_u64..40_000, -50_000_i32..400_000), 1..400),
        look in 0_u64..60_000,
    ) {
        let mut history = History::<720>::new();
        let mut samples = Vec::new();
        let mut now = 0;
        for (step, value) in steps {
            now += step;
            history.sample(Instant::from_millis(now), Concentration::from_milli(value), HOLD, &WINDOWS);
            samples.push((now, value));
        }
        now += look;
        // A look may lag by one bucket; the owner sees to it that it never lags by more.
        let lag = Instant::from_millis(now.saturating_sub(1).max(now - now % 5_000));
        history.advance(lag.min(Instant::from_millis(now)), &WINDOWS);
        for (at, buckets) in WINDOWS.into_iter().enumerate().take(5) {
            let average = history.average(Instant::from_millis(now), at, &WINDOWS);
            let window_ms = u64::from(buckets) * BUCKET_MS;
            let (sum, covered) = by_definition(&samples, now, window_ms);
            prop_assert_eq!(average.covered, Duration::from_millis(covered));
            let mean = (covered > 0).then(|| {
                let covered = i128::from(covered);
                Concentration::from_milli((2 * sum + covered).div_euclid(2 * covered) as i32)
            });
            prop_assert_eq!(average.mean, mean);
            // Never outside what went in.
            if let Some(mean) = mean {
                let (lo, hi) = samples.iter().fold((i32::MAX, 0), |(lo, hi), &(_, value)| {
                    (lo.min(value.max(0)), hi.max(value))
                });
                prop_assert!((lo..=hi).contains(&mean.as_milli()));
            }
        }
    }
}
