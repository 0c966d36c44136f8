//! Cases 8.1.

use super::{Rig, Start, everywhere, text};

/// Runs traces of one character a scan, one trace a button from 1 on; tells `P15 R115`, for further buttons
/// `2P15`.
fn run(rig: &mut dyn Rig, start: Start, traces: &[&str]) -> String {
    rig.power_on(start);
    let mut told = Vec::new();
    for scan in 0..traces.iter().map(|trace| trace.len()).max().unwrap() {
        let held: Vec<u8> = (1..)
            .zip(traces)
            .filter(|(_, trace)| trace.as_bytes().get(scan) == Some(&b'1'))
            .map(|(id, _)| id)
            .collect();
        for line in text(rig.scan(&held)).lines() {
            let (word, id) = line.split_once(' ').unwrap_or((line, ""));
            let letter = match word {
                "PRESS" => 'P',
                "RELEASE" => 'R',
                "READY" | "FW" => continue,
                _ => panic!("{line:?}"),
            };
            let id = id.trim_start_matches('0');
            let id = if traces.len() == 1 { "" } else { id };
            told.push(format!("{id}{letter}{}", scan * 5));
        }
    }
    told.join(" ")
}

#[test]
fn golden_8_1_debounce() {
    let cases = [
        (
            "G-DB-1",
            "0011111111111111100000000000000",
            "P40 R115",
            "P15 R115",
        ),
        ("G-DB-2", "010111111111111111", "P45", "P20"),
        ("G-DB-3", "0111110000000000000", "", "P10 R60"),
        ("G-DB-4", "01111110000000000000", "", "P10 R65"),
        ("G-DB-5", "011111110000000000000", "P35 R70", "P10 R70"),
        ("G-DB-6", "0100000000", "", ""),
        ("G-DB-7", "0110011001100110011001100", "", "P10"),
        ("G-DB-8", "01111111111101111111111111110", "P35", "P10"),
        (
            "G-DB-9",
            "0111111111110101000000000000",
            "P35 R110",
            "P10 R110",
        ),
        ("G-DB-10", "1111111111110000000000111111111", "P140", "P115"),
    ];
    everywhere(|rig| {
        for (name, trace, stable, eager) in cases {
            for (is_stable, expected) in [(true, stable), (false, eager)] {
                let start = Start {
                    stable: is_stable,
                    ..Start::default()
                };
                assert_eq!(
                    run(rig, start, &[trace]),
                    expected,
                    "{name} stable: {is_stable}"
                );
            }
        }
    });
}

#[test]
fn golden_8_1_debounce_g_db_11_the_clock_wraps() {
    everywhere(|rig| {
        for (stable, expected) in [(true, "P40 R115"), (false, "P15 R115")] {
            let start = Start {
                stable,
                clock_ms: 0xffff_fff0,
                ..Start::default()
            };
            assert_eq!(
                run(rig, start, &["0011111111111111100000000000000"]),
                expected
            );
        }
    });
}

#[test]
fn golden_8_1_debounce_g_db_12_two_buttons() {
    let traces = [
        "0011111111111111100000000000000",
        "0111111111110101000000000000",
    ];
    everywhere(|rig| {
        for (stable, expected) in [
            (false, "2P10 1P15 2R110 1R115"),
            (true, "2P35 1P40 2R110 1R115"),
        ] {
            let start = Start {
                stable,
                ..Start::default()
            };
            assert_eq!(run(rig, start, &traces), expected);
        }
    });
}
