#![allow(clippy::unwrap_used)]
use super::*;
use crate::schedule::{Closed, Dim, Hours, ScheduleConfig};
use expect_test::{Expect, expect};

const SET: Levels = Levels {
    volume: 80,
    brightness: 50,
    muted: false,
};

fn schedule(effect: Effect) -> Arc<Schedule> {
    let config = ScheduleConfig {
        hours: Some(Hours {
            mon: vec!["09:00-17:00".into()],
            ..Hours::default()
        }),
        closed: Closed {
            volume: 10,
            brightness: 5,
        },
        dim: Some(Dim {
            after_s: 60,
            brightness: 20,
        }),
        effect,
    };
    Arc::new(config.check().unwrap())
}

fn monday(hour: u16) -> Input {
    Input::Local(LocalTime {
        weekday: 0,
        minute: hour * 60,
    })
}

/// Inputs at seconds; runs on to `end`. One line for every change.
fn check(effect: Effect, script: Vec<(f64, Input)>, end: f64, expected: Expect) {
    let at = |s: f64| Instant::from_millis((s * 1000.0).round() as u64);
    let mut ambience = Ambience::new(SET, schedule(effect));
    let mut told = String::new();
    let mut script = script.into_iter().peekable();
    let mut now;
    loop {
        let input = script.peek().map_or(at(end), |(s, _)| at(*s));
        match ambience.poll_timeout().filter(|deadline| *deadline < input) {
            Some(deadline) => {
                now = deadline;
                ambience.handle_timeout(now);
            }
            None => {
                now = input;
                let Some((_, input)) = script.next() else {
                    break;
                };
                ambience.handle(now, input);
            }
        }
        while let Some(output) = ambience.poll_output() {
            told += &format!("{} {output:?}\n", now.as_millis() as f64 / 1000.0);
        }
    }
    expected.assert_eq(&told);
}

#[test]
fn a_day_at_the_museum() {
    let louder = Levels {
        volume: 90,
        brightness: 60,
        muted: false,
    };
    check(
        Effect::Steady,
        vec![
            (1.0, monday(8)),
            (2.0, monday(9)),
            (10.0, Input::Busy(true)),
            (30.0, Input::Levels(louder)),
            (40.0, Input::Busy(false)),
            (70.0, Input::Busy(true)),
            (80.0, Input::Busy(false)),
            (150.0, Input::Busy(true)),
            (
                151.0,
                Input::Levels(Levels {
                    muted: true,
                    ..louder
                }),
            ),
            (152.0, Input::Levels(louder)),
            (160.0, monday(17)),
        ],
        1000.0,
        expect![[r#"
            1 Volume(10)
            1 Brightness(5)
            2 Volume(80)
            2 Brightness(50)
            30 Volume(90)
            30 Brightness(60)
            140 Brightness(20)
            150 Brightness(60)
            151 Volume(0)
            152 Volume(90)
            160 Volume(10)
            160 Brightness(5)
        "#]],
    );
}

#[test]
fn the_lit_button_blinks_from_the_press_on_and_stops_with_it() {
    check(
        Effect::Blink,
        vec![
            (1.0, Input::Busy(true)),
            (2.7, Input::Busy(false)),
            (2.8, Input::Busy(true)),
            (2.9, Input::Busy(false)),
        ],
        10.0,
        expect![[r#"
            1.5 Brightness(0)
            2 Brightness(50)
            2.5 Brightness(0)
            2.7 Brightness(50)
        "#]],
    );
}

#[test]
fn a_pulse_takes_two_seconds_and_comes_back_to_what_is_set() {
    check(
        Effect::Pulse,
        vec![(1.0, Input::Busy(true)), (3.2, Input::Busy(false))],
        10.0,
        expect![[r#"
            1.1 Brightness(46)
            1.2 Brightness(42)
            1.3 Brightness(38)
            1.4 Brightness(34)
            1.5 Brightness(30)
            1.6 Brightness(26)
            1.7 Brightness(22)
            1.8 Brightness(18)
            1.9 Brightness(14)
            2 Brightness(10)
            2.1 Brightness(14)
            2.2 Brightness(18)
            2.3 Brightness(22)
            2.4 Brightness(26)
            2.5 Brightness(30)
            2.6 Brightness(34)
            2.7 Brightness(38)
            2.8 Brightness(42)
            2.9 Brightness(46)
            3 Brightness(50)
            3.1 Brightness(46)
            3.2 Brightness(50)
        "#]],
    );
}

#[test]
fn nothing_ever_raises_a_level() {
    let quiet = Levels {
        volume: 3,
        brightness: 2,
        muted: false,
    };
    let mut ambience = Ambience::new(quiet, schedule(Effect::Pulse));
    ambience.handle(Instant::ZERO, monday(3));
    assert_eq!(ambience.effective(), (3, 2));
    assert!(!ambience.is_open());
    ambience.handle(Instant::ZERO, Input::Busy(true));
    for tenth in 0..100 {
        ambience.handle_timeout(Instant::from_millis(tenth * 100));
        assert!(ambience.effective().1 <= 2);
    }
}
