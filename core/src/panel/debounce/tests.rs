//! Golden traces of the panel specification 8.1, and properties.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::panel::ButtonId;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::string::String;

const SCAN_MS: u64 = 5;

fn settings(mode: Mode) -> Config {
    Config::new(
        mode,
        Duration::from_millis(30),
        Duration::from_millis(SCAN_MS),
    )
    .unwrap()
}

/// Runs traces of one character per scan, one trace a button from 1 on; tells `P15 R115`, for further
/// buttons `2P15`.
fn run_from(start_ms: u64, mode: Mode, traces: &[&str]) -> String {
    let mut debouncer = Debouncer::new(settings(mode));
    let mut told = String::new();
    for scan in 0..traces.iter().map(|trace| trace.len()).max().unwrap() {
        let t_ms = scan as u64 * SCAN_MS;
        let raw = (1..)
            .zip(traces)
            .filter(|(_, trace)| trace.as_bytes().get(scan) == Some(&b'1'));
        let raw = raw
            .map(|(number, _)| ButtonId::new(number).unwrap())
            .collect();
        let changes = debouncer.scan(Instant::from_millis(start_ms + t_ms), raw);
        for (letter, ids) in [('R', changes.released), ('P', changes.pressed)] {
            for id in ids {
                let blank = if told.is_empty() { "" } else { " " };
                let number = if traces.len() == 1 {
                    String::new()
                } else {
                    std::format!("{}", id.get())
                };
                write!(told, "{blank}{number}{letter}{t_ms}").unwrap();
            }
        }
    }
    told
}

fn run(mode: Mode, trace: &str) -> String {
    run_from(0, mode, &[trace])
}

#[track_caller]
fn check(trace: &str, stable: &str, eager: &str) {
    assert_eq!(run(Mode::Stable, trace), stable, "stable");
    assert_eq!(run(Mode::Eager, trace), eager, "eager");
}

#[test]
fn g_db_1_clean() {
    check("0011111111111111100000000000000", "P40 R115", "P15 R115");
}

#[test]
fn g_db_2_bounce_in() {
    check("010111111111111111", "P45", "P20");
}

#[test]
fn g_db_3_tap_of_25_ms() {
    check("0111110000000000000", "", "P10 R60");
}

#[test]
fn g_db_4_six_samples() {
    check("01111110000000000000", "", "P10 R65");
}

#[test]
fn g_db_5_seven_samples() {
    check("011111110000000000000", "P35 R70", "P10 R70");
}

#[test]
fn g_db_6_spike() {
    check("0100000000", "", "");
}

#[test]
fn g_db_7_chatter() {
    check("0110011001100110011001100", "", "P10");
}

#[test]
fn g_db_8_one_dropout() {
    check("01111111111101111111111111110", "P35", "P10");
}

#[test]
fn g_db_9_bounce_out() {
    check("0111111111110101000000000000", "P35 R110", "P10 R110");
}

#[test]
fn g_db_10_held_at_boot() {
    // The original reports P30 R90 for the held button; here only the true press counts.
    check("1111111111110000000000111111111", "P140", "P115");
}

#[test]
fn g_db_11_clock_wraps() {
    let trace = "0011111111111111100000000000000";
    assert_eq!(run_from(0xffff_fff0, Mode::Stable, &[trace]), "P40 R115");
    assert_eq!(run_from(0xffff_fff0, Mode::Eager, &[trace]), "P15 R115");
}

#[test]
fn g_db_12_buttons_do_not_influence_each_other() {
    let clean = "0011111111111111100000000000000";
    let bouncy = "0111111111110101000000000000";
    assert_eq!(
        run_from(0, Mode::Eager, &[clean, bouncy]),
        "2P10 1P15 2R110 1R115"
    );
    assert_eq!(
        run_from(0, Mode::Stable, &[clean, bouncy]),
        "2P35 1P40 2R110 1R115"
    );
}

#[test]
fn a_held_button_is_listed_until_it_is_let_go() {
    let one = ButtonSet::one(ButtonId::new(1).unwrap());
    let mut debouncer = Debouncer::new(settings(Mode::Eager));
    assert_eq!(debouncer.scan(Instant::ZERO, one).stuck, one);
    assert_eq!(debouncer.stuck(), one);
    for t_ms in [5, 10, 34] {
        debouncer.scan(Instant::from_millis(t_ms), ButtonSet::EMPTY);
        assert_eq!(debouncer.stuck(), one, "at {t_ms} ms");
    }
    debouncer.scan(Instant::from_millis(35), ButtonSet::EMPTY);
    assert_eq!(debouncer.stuck(), ButtonSet::EMPTY);
}

#[test]
fn a_button_is_stuck_after_two_minutes_and_told_once() {
    let two = ButtonSet::one(ButtonId::new(2).unwrap());
    let mut debouncer = Debouncer::new(settings(Mode::Eager));
    debouncer.scan(Instant::ZERO, ButtonSet::EMPTY);
    let mut told = 0;
    for scan in 1..=30_000 {
        let changes = debouncer.scan(Instant::from_millis(scan * SCAN_MS), two);
        if !changes.stuck.is_empty() {
            told += 1;
            assert_eq!(
                scan * SCAN_MS,
                10 + 120_000 + SCAN_MS,
                "more than 120 s after the press at 10 ms"
            );
        }
    }
    assert_eq!((told, debouncer.stuck()), (1, two));
    for scan in 30_001..=30_007 {
        debouncer.scan(Instant::from_millis(scan * SCAN_MS), ButtonSet::EMPTY);
    }
    assert_eq!(debouncer.stuck(), ButtonSet::EMPTY);
}

#[test]
fn settings_have_bounds() {
    let ms = Duration::from_millis;
    assert_eq!(
        Config::new(Mode::Eager, ms(30), ms(0)),
        Err(ConfigError::Scan)
    );
    assert_eq!(
        Config::new(Mode::Eager, ms(60), ms(21)),
        Err(ConfigError::Scan)
    );
    assert_eq!(
        Config::new(Mode::Eager, ms(4), ms(1)),
        Err(ConfigError::Window)
    );
    assert_eq!(
        Config::new(Mode::Eager, ms(101), ms(5)),
        Err(ConfigError::Window)
    );
    assert_eq!(
        Config::new(Mode::Eager, ms(30), ms(16)),
        Err(ConfigError::Window)
    );
    assert_eq!(settings(Mode::Stable).window(), ms(30));
}

proptest! {
    #[test]
    fn press_and_release_alternate(
        traces in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 1..300), 1..8),
        jitter in proptest::collection::vec(1u64..12, 300),
        stable: bool,
    ) {
        let mode = if stable { Mode::Stable } else { Mode::Eager };
        let mut debouncer = Debouncer::new(settings(mode));
        let (mut down, mut t_ms) = (ButtonSet::EMPTY, 0);
        for (scan, step) in jitter.iter().enumerate() {
            t_ms += step;
            let raw: ButtonSet = (1..).zip(&traces)
                .filter(|(_, trace)| trace.get(scan).copied().unwrap_or(false))
                .map(|(number, _)| ButtonId::new(number).unwrap()).collect();
            let changes = debouncer.scan(Instant::from_millis(t_ms), raw);
            prop_assert_eq!(changes.released.difference(down), ButtonSet::EMPTY, "released what was up");
            prop_assert_eq!(changes.pressed.intersection(down), ButtonSet::EMPTY, "pressed what was down");
            prop_assert_eq!(changes.pressed.difference(raw), ButtonSet::EMPTY, "pressed without contact");
            prop_assert_eq!(changes.released.intersection(raw), ButtonSet::EMPTY, "released with contact");
            down = down.difference(changes.released).union(changes.pressed);
            prop_assert_eq!(down, debouncer.pressed());
        }
    }

    #[test]
    fn a_button_decides_alone(
        trace in proptest::collection::vec(any::<bool>(), 1..200),
        other in proptest::collection::vec(any::<bool>(), 200),
    ) {
        let text = |bits: &[bool]| bits.iter().map(|bit| if *bit { '1' } else { '0' }).collect::<String>();
        let (trace, other) = (text(&trace), text(&other[..trace.len()]));
        for mode in [Mode::Eager, Mode::Stable] {
            let alone = run(mode, &trace);
            let both = run_from(0, mode, &[&trace, &other]);
            let of_first: std::vec::Vec<_> = both.split(' ').filter_map(|word| word.strip_prefix('1')).collect();
            prop_assert_eq!(alone, of_first.join(" "));
        }
    }
}
