//! Cases 8.3.

use super::{Start, everywhere, hold, lit, on, text};

#[test]
fn golden_8_3_text_g_tx_1_boot() {
    everywhere(|rig| {
        rig.power_on(Start {
            announce_ms: 1600,
            ..on(10)
        });
        assert_eq!(hold(rig, &[], 320), "", "1.6 s");
        assert_eq!(hold(rig, &[], 1), "READY\nFW leitstand-panel v0.1.0\n");
        assert_eq!(hold(rig, &[], 400), "");
    });
}

#[test]
fn golden_8_3_text_g_tx_2_to_10_exchanges() {
    let long = "A".repeat(64) + "LEDALL\n";
    let limit = "A".repeat(63) + "\n";
    let cases: [(&str, &str, &str, &[u8]); 20] = [
        ("G-TX-2", "PING\n", "PONG\n", &[]),
        ("G-TX-2", "PING\r\n", "PONG\n", &[]),
        ("G-TX-2", "\n\r\n", "", &[]),
        ("G-TX-3", "ping\n", "ERROR UNKNOWN_CMD\n", &[]),
        ("G-TX-3", "PING \n", "PONG\n", &[]),
        ("G-TX-4", "LEDSET 005\n", "OK\n", &[5]),
        ("G-TX-4", "LEDSET 5\n", "OK\n", &[5]),
        ("G-TX-5", "LEDSET 0\n", "ERROR INVALID_ID\n", &[5]),
        ("G-TX-5", "LEDSET 11\n", "ERROR INVALID_ID\n", &[5]),
        ("G-TX-5", "LEDSET x\n", "ERROR INVALID_ID\n", &[5]),
        ("G-TX-6", "LEDSET 5abc\n", "ERROR INVALID_ID\n", &[5]),
        ("G-TX-7", "LEDSET\n", "ERROR MISSING_ID\n", &[5]),
        (
            "G-TX-8",
            "LEDON 1\nLEDON 2\nLEDOFF 5\n",
            "OK\nOK\nOK\n",
            &[1, 2],
        ),
        ("G-TX-8", "LEDCLR\n", "OK\n", &[]),
        ("G-TX-9", "LEDSET 5\n", "OK\n", &[5]),
        (
            "G-TX-9",
            "STATUS\n",
            "CURLED 5\nBTNS 10\nLEDS 10\nHEAP 0\nMODE PROTOTYPE\nOK\n",
            &[5],
        ),
        ("G-TX-10", "LEDCLR\n", "OK\n", &[]),
        ("G-TX-10", &long, "ERROR LINE_TOO_LONG\n", &[]),
        ("G-TX-10", &limit, "ERROR UNKNOWN_CMD\n", &[]),
        ("G-TX-10", "PING\n", "PONG\n", &[]),
    ];
    everywhere(|rig| {
        rig.power_on(on(10));
        rig.scan(&[]);
        for (name, line, answer, leds) in cases {
            assert_eq!(text(rig.say(line.as_bytes())), answer, "{name} {line:?}");
            assert_eq!(hold(rig, &[], 1), "");
            assert_eq!(lit(rig), leds, "{name} {line:?}");
        }
    });
}

#[test]
fn golden_8_3_text_g_tx_11_to_15_buttons() {
    everywhere(|rig| {
        rig.power_on(on(10));
        rig.scan(&[]);
        assert_eq!(hold(rig, &[3], 4), "PRESS 003\n", "G-TX-11");
        assert_eq!(lit(rig), [3]);
        assert_eq!(hold(rig, &[], 8), "RELEASE 003\n", "G-TX-11");
        assert_eq!(hold(rig, &[3], 4), "PRESS 003\n", "G-TX-12");
        hold(rig, &[], 8);
        assert_eq!(hold(rig, &[2, 9], 4), "PRESS 002\nPRESS 009\n", "G-TX-13");
        assert_eq!(lit(rig), [9], "G-TX-13");
        hold(rig, &[], 8);
        assert_eq!(hold(rig, &[1], 4), "PRESS 001\n", "G-TX-14");
        assert_eq!(hold(rig, &[1, 2], 4), "PRESS 002\n", "G-TX-14");
        assert_eq!(hold(rig, &[], 8), "RELEASE 001\nRELEASE 002\n", "G-TX-14");
        assert_eq!(lit(rig), [2], "G-TX-14");
        assert_eq!(text(rig.say(b"LEDSET 004\n")), "OK\n", "G-TX-15");
        assert_eq!(hold(rig, &[4], 4), "PRESS 004\n", "G-TX-15");
    });
}
