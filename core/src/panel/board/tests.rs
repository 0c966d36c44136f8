//! The device side: golden cases 8.3, and what the specification asks of a board beyond them.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::panel::PanelSize;
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec as StdVec;

#[path = "tests/settings.rs"]
mod settings;

const SCAN_MS: u64 = 5;

/// A board on a bench: buttons to press, a cable that is read at once unless told otherwise.
struct Bench {
    board: Board,
    now: Instant,
    pressed: ButtonSet,
    /// What came over the cable and was not looked at yet.
    told: StdVec<u8>,
    /// Nobody reads the cable.
    jammed: bool,
}

fn id(number: u8) -> ButtonId {
    ButtonId::new(number).unwrap()
}

impl Bench {
    fn with(config: Config) -> Self {
        let board = Board::new(Instant::ZERO, config);
        Self {
            board,
            now: Instant::ZERO,
            pressed: ButtonSet::EMPTY,
            told: StdVec::new(),
            jammed: false,
        }
    }

    fn config(buttons: u8) -> Config {
        let wiring = Wiring::new(PanelSize::new(buttons).unwrap());
        Config {
            announce_after: Duration::ZERO,
            ..Config::new(wiring, 7)
        }
    }

    /// Started, its greeting read.
    fn new(buttons: u8) -> Self {
        let mut bench = Self::with(Self::config(buttons));
        bench.wait(SCAN_MS);
        bench.told.clear();
        bench
    }

    fn wait(&mut self, ms: u64) {
        for _ in 0..ms / SCAN_MS {
            let chips = self.board.config.wiring.size().chips();
            let mut normal = std::vec![0xff; chips];
            for id in self.pressed {
                normal[id.index() / 8] &= !(0x80 >> (id.index() % 8));
            }
            self.board.scan(self.now, Some(&normal));
            self.read();
            self.now += Duration::from_millis(SCAN_MS);
        }
    }

    fn read(&mut self) {
        if self.jammed {
            // One message is on its way and stays there.
            self.board.outgoing();
            return;
        }
        loop {
            let bytes = self.board.outgoing();
            if bytes.is_empty() {
                break;
            }
            // As a USB endpoint does: a few bytes at a time.
            let count = bytes.len().min(5);
            self.told.extend_from_slice(&bytes[..count]);
            self.board.sent(count);
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.board.receive(self.now, bytes);
        self.read();
    }

    fn told(&mut self) -> String {
        String::from_utf8(core::mem::take(&mut self.told)).unwrap()
    }

    /// What is answered to `line`.
    fn ask(&mut self, line: &str) -> String {
        self.say(line.as_bytes());
        self.told()
    }

    fn press(&mut self, number: u8) {
        self.pressed.insert(id(number));
        self.wait(20);
    }

    fn release(&mut self, number: u8) {
        self.pressed.remove(id(number));
        self.wait(50);
    }

    fn lit(&self) -> StdVec<u8> {
        self.board.lit(self.now).iter().map(ButtonId::get).collect()
    }

    fn frame(&mut self, message: frame::FromHost) {
        self.say(&frame::encode(&message));
    }

    fn frames(&mut self) -> StdVec<frame::FromDevice> {
        let told = core::mem::take(&mut self.told);
        let pieces = told
            .split(|byte| *byte == 0)
            .filter(|piece| !piece.is_empty());
        pieces
            .map(|piece| frame::decode(&mut piece.to_vec()).unwrap())
            .collect()
    }

    fn v2(buttons: u8) -> Self {
        let mut bench = Self::new(buttons);
        bench.enter_v2();
        bench
    }

    /// The answer to the offer is text, all behind it are frames.
    fn enter_v2(&mut self) {
        self.say(b"HELLO 2\n");
        assert!(
            self.told.starts_with(b"HELLO 2 "),
            "{}",
            self.told.escape_ascii()
        );
        let end = self.told.iter().position(|byte| *byte == b'\n').unwrap();
        self.told.drain(..=end);
    }
}

#[test]
fn g_tx_1_boot() {
    let config = Config {
        announce_after: Duration::from_millis(1600),
        ..Bench::config(10)
    };
    let mut bench = Bench::with(config);
    bench.wait(1600);
    assert_eq!(bench.ask("PING\n"), "", "not listening yet");
    bench.wait(5000);
    assert_eq!(bench.told(), "READY\nFW leitstand-panel v0.1.0\n");
}

#[test]
fn a_press_during_the_start_comes_after_ready() {
    let config = Config {
        announce_after: Duration::from_millis(1600),
        ..Bench::config(10)
    };
    let mut bench = Bench::with(config);
    bench.wait(100);
    bench.press(3);
    assert_eq!((bench.told(), bench.lit()), (String::new(), std::vec![3]));
    bench.wait(1600);
    assert_eq!(
        bench.told(),
        "READY\nFW leitstand-panel v0.1.0\nPRESS 003\n"
    );
}

#[test]
fn g_tx_2_ping() {
    let mut bench = Bench::new(10);
    assert_eq!(bench.ask("PING\n"), "PONG\n");
    assert_eq!(bench.ask("PING\r\n"), "PONG\n");
    assert_eq!(bench.ask("\n\r\n"), "");
}

#[test]
fn g_tx_3_case_and_trailing_blanks() {
    let mut bench = Bench::new(10);
    assert_eq!(bench.ask("ping\n"), "ERROR UNKNOWN_CMD\n");
    assert_eq!(bench.ask("PING \n"), "PONG\n");
}

#[test]
fn g_tx_4_ledset() {
    for line in ["LEDSET 005\n", "LEDSET 5\n"] {
        let mut bench = Bench::new(10);
        assert_eq!(bench.ask(line), "OK\n");
        assert_eq!(bench.lit(), [5]);
    }
}

#[test]
fn g_tx_5_to_7_wrong_arguments_change_nothing() {
    let mut bench = Bench::new(10);
    bench.ask("LEDSET 5\n");
    for line in ["LEDSET 0\n", "LEDSET 11\n", "LEDSET x\n", "LEDSET 5abc\n"] {
        assert_eq!(bench.ask(line), "ERROR INVALID_ID\n", "{line:?}");
    }
    assert_eq!(bench.ask("LEDSET\n"), "ERROR MISSING_ID\n");
    assert_eq!(bench.lit(), [5]);
}

#[test]
fn g_tx_8_additive_leds() {
    let mut bench = Bench::new(10);
    bench.ask("LEDSET 5\n");
    assert_eq!(bench.ask("LEDON 1\nLEDON 2\nLEDOFF 5\n"), "OK\nOK\nOK\n");
    assert_eq!(bench.lit(), [1, 2]);
    assert_eq!(bench.ask("LEDCLR\n"), "OK\n");
    assert_eq!(bench.lit(), []);
}

#[test]
fn g_tx_9_status() {
    let mut bench = Bench::new(10);
    bench.board.set_heap(1234);
    bench.ask("LEDSET 5\n");
    assert_eq!(
        bench.ask("STATUS\n"),
        "CURLED 5\nBTNS 10\nLEDS 10\nHEAP 1234\nMODE PROTOTYPE\nOK\n"
    );
    assert!(Bench::new(11).ask("STATUS\n").contains("MODE PRODUCTION\n"));
}

#[test]
fn g_tx_10_a_long_line_is_answered_once() {
    let mut bench = Bench::new(10);
    let filler = "A".repeat(64);
    assert_eq!(bench.ask(&(filler + "LEDALL\n")), "ERROR LINE_TOO_LONG\n");
    assert_eq!(bench.lit(), []);
    assert_eq!(bench.ask(&("A".repeat(63) + "\n")), "ERROR UNKNOWN_CMD\n");
    assert_eq!(bench.board.counters().cmd_drop, 1);
}

#[test]
fn g_tx_11_press_and_release() {
    let mut bench = Bench::new(10);
    bench.jammed = true;
    bench.press(3);
    assert_eq!(bench.lit(), [3], "lit before the line leaves");
    bench.jammed = false;
    bench.release(3);
    assert_eq!(bench.told(), "PRESS 003\nRELEASE 003\n");
    assert_eq!(bench.lit(), [3], "the selection latches");
}

#[test]
fn g_tx_12_the_selected_button_is_not_dead() {
    let mut bench = Bench::new(10);
    for _ in 0..2 {
        bench.press(3);
        bench.release(3);
        assert_eq!(bench.told(), "PRESS 003\nRELEASE 003\n");
    }
}

#[test]
fn g_tx_13_two_in_one_scan() {
    let mut bench = Bench::new(10);
    bench.pressed = [id(9), id(2)].into_iter().collect();
    bench.wait(20);
    assert_eq!(bench.told(), "PRESS 002\nPRESS 009\n");
    assert_eq!(bench.lit(), [9]);
}

#[test]
fn g_tx_14_one_held_while_another_is_pressed() {
    let mut bench = Bench::new(10);
    bench.press(1);
    bench.press(2);
    bench.release(1);
    bench.release(2);
    assert_eq!(
        bench.told(),
        "PRESS 001\nPRESS 002\nRELEASE 001\nRELEASE 002\n"
    );
    assert_eq!(bench.lit(), [2]);
}

#[test]
fn g_tx_15_an_led_set_by_the_host_does_not_swallow_the_press() {
    let mut bench = Bench::new(10);
    bench.ask("LEDSET 004\n");
    bench.press(4);
    assert_eq!(bench.told(), "PRESS 004\n");
}

#[test]
fn g_in_12_spare_positions_give_no_event() {
    let mut bench = Bench::new(10);
    for _ in 0..20 {
        bench.board.scan(bench.now, Some(&[0xff, 0xc0]));
        bench.now += Duration::from_millis(SCAN_MS);
    }
    bench.read();
    assert_eq!(bench.told(), "");
}

#[test]
fn a_hundred_buttons_each_light_their_own_led() {
    let mut bench = Bench::new(100);
    for number in 1..=100 {
        bench.press(number);
        bench.release(number);
        assert_eq!(
            bench.told(),
            std::format!("PRESS {number:03}\nRELEASE {number:03}\n")
        );
        assert_eq!(bench.lit(), [number]);
        let bytes = bench.board.led_bytes(bench.now);
        let sent = 12 - (usize::from(number) - 1) / 8;
        assert_eq!(bytes[sent], 1 << ((number - 1) % 8));
    }
}

#[test]
fn version_help_brightness_and_counters() {
    let mut bench = Bench::new(10);
    assert_eq!(bench.ask("VERSION\n"), "FW leitstand-panel v0.1.0\n");
    assert_eq!(bench.ask("HELP\n").lines().count(), 2);
    assert_eq!(bench.ask("BRIGHT 080\n"), "OK\n");
    assert_eq!(bench.board.brightness(), 80);
    assert_eq!(bench.ask("BRIGHT 101\n"), "ERROR LIMIT\n");
    assert_eq!(bench.ask("HELLO 3\n"), "ERROR LIMIT\n");
    bench.ask(&("A".repeat(70) + "\n"));
    assert_eq!(bench.ask("QRESET\n"), "OK\n");
    assert_eq!(bench.board.counters(), Counters::default());
}

#[test]
fn the_running_light_shows_one_after_the_other_until_a_press() {
    let mut bench = Bench::new(10);
    bench.ask("LEDSET 2\n");
    assert_eq!(bench.ask("TEST\n"), "OK\n");
    let mut seen = StdVec::new();
    for _ in 0..11 {
        seen.extend(bench.lit());
        bench.wait(150);
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1]);
    assert_eq!(bench.ask("STOP\n"), "OK\n");
    assert_eq!(bench.lit(), [2], "back to the selection");
    bench.ask("TEST\n");
    bench.press(7);
    assert_eq!(bench.lit(), [7]);
    bench.wait(3000);
    assert_eq!(bench.lit(), [7]);
}

#[test]
fn all_leds_obey_the_current_cap_group_after_group() {
    let mut bench = Bench::new(10);
    assert_eq!(bench.ask("LEDALL\n"), "OK\n");
    assert_eq!(bench.lit().len(), 10);
    let mut bench = Bench::new(100);
    bench.ask("LEDALL\n");
    let mut seen = StdVec::new();
    for _ in 0..7 {
        let lit = bench.lit();
        assert!((1..=16).contains(&lit.len()));
        seen.extend(lit);
        bench.wait(150);
    }
    assert_eq!(seen, (1..=100).collect::<StdVec<u8>>());
    assert_eq!(bench.lit()[0], 1, "and again");
}

#[test]
fn a_button_held_at_boot_is_stuck_and_the_others_work() {
    let mut bench = Bench::with(Bench::config(10));
    bench.pressed.insert(id(1));
    bench.press(5);
    assert_eq!(
        bench.told(),
        "READY\nFW leitstand-panel v0.1.0\n",
        "5 was held from the first scan too"
    );
    bench.press(6);
    assert_eq!(bench.told(), "PRESS 006\n");
    assert_eq!(
        bench
            .board
            .stuck()
            .iter()
            .map(ButtonId::get)
            .collect::<StdVec<_>>(),
        [1, 5]
    );
    bench.enter_v2();
    bench.told.clear();
    bench.frame(frame::FromHost::StatusReq);
    let frames = bench.frames();
    assert!(
        matches!(
            frames[..],
            [frame::FromDevice::Status {
                stuck: 2,
                selected: 6,
                ..
            }]
        ),
        "{frames:?}"
    );
}

#[test]
fn stuck_buttons_are_told_in_v2() {
    let mut bench = Bench::with(Bench::config(10));
    bench.pressed.insert(id(3));
    bench.wait(10);
    bench.told.clear();
    bench.enter_v2();
    assert_eq!(
        bench.frames(),
        [frame::FromDevice::Fault {
            code: frame::fault::STUCK,
            arg: 3
        }]
    );
    bench.pressed.insert(id(4));
    for _ in 0..125 {
        bench.frame(frame::FromHost::Ping { nonce: 0 });
        bench.wait(1000);
    }
    let stuck: StdVec<_> = bench
        .frames()
        .into_iter()
        .filter(|message| matches!(message, frame::FromDevice::Fault { .. }))
        .collect();
    assert_eq!(
        stuck,
        [frame::FromDevice::Fault {
            code: frame::fault::STUCK,
            arg: 4
        }]
    );
}

#[test]
fn without_a_host_a_lit_led_goes_dark_after_thirty_seconds() {
    let mut bench = Bench::new(10);
    bench.ask("PING\n");
    bench.press(3);
    bench.wait(2975);
    assert!(!bench.board.is_alone());
    bench.wait(10);
    assert!(bench.board.is_alone());
    assert_eq!(bench.lit(), [3]);
    bench.wait(10_000);
    bench.press(4);
    bench.wait(29_970);
    assert_eq!(bench.lit(), [4]);
    bench.wait(50);
    assert_eq!(bench.lit(), []);
    // Any byte ends it.
    bench.say(b"\n");
    assert!(!bench.board.is_alone());
}

#[test]
fn a_host_that_never_pings_is_not_missed() {
    let mut bench = Bench::new(10);
    bench.ask("VERSION\n");
    bench.press(3);
    bench.wait(120_000);
    assert!(!bench.board.is_alone());
    assert_eq!(bench.lit(), [3]);
}

#[test]
fn nobody_reads_and_no_press_is_lost() {
    let mut bench = Bench::new(10);
    bench.jammed = true;
    for _ in 0..40 {
        bench.ask("STATUS\n");
    }
    for number in (1..=10).cycle().take(50) {
        bench.press(number);
        bench.release(number);
    }
    bench.jammed = false;
    bench.read();
    let told = bench.told();
    assert_eq!(told.matches("PRESS ").count(), 50);
    // The message on its way when the cable jammed is whole.
    assert!(told.starts_with("CURLED 0\n"), "{told}");
    assert!(
        told.lines()
            .all(|line| FromDevice::parse(line.as_bytes()).is_ok())
    );
}

#[test]
fn dropped_events_are_a_fault_and_a_gap() {
    let mut bench = Bench::v2(10);
    bench.jammed = true;
    for _ in 0..80 {
        bench.press(1);
        bench.release(1);
        bench.frame(frame::FromHost::Ping { nonce: 0 });
    }
    // 80 presses and releases; one is on its way, 64 wait: the last presses are kept.
    assert_eq!(bench.board.counters().ev_drop, 160 - 65);
    bench.jammed = false;
    bench.read();
    let seqs: StdVec<u16> = bench
        .frames()
        .iter()
        .filter_map(|message| match message {
            frame::FromDevice::Press { seq, .. } => Some(*seq),
            _ => None,
        })
        .collect();
    assert_eq!((seqs.len(), seqs.last()), (65, Some(&159)));
    bench.wait(10);
    assert_eq!(
        bench.frames(),
        [frame::FromDevice::Fault {
            code: frame::fault::EVENTS_DROPPED,
            arg: 95
        }]
    );
}

#[test]
fn hello_switches_both_directions_after_its_line() {
    let mut bench = Bench::new(10);
    bench.say(b"HELLO 2\n");
    assert!(bench.board.speaks_v2());
    assert_eq!(bench.told(), "HELLO 2 10 10 002f 00000007\n");
    bench.press(3);
    bench.release(3);
    let frames = bench.frames();
    assert!(
        matches!(
            frames[..],
            [
                frame::FromDevice::Press { seq: 1, id: 3, .. },
                frame::FromDevice::Release { seq: 2, id: 3, .. }
            ]
        ),
        "{frames:?}"
    );
}

#[test]
fn button_events_are_numbered_since_the_start() {
    let mut bench = Bench::new(10);
    bench.press(3);
    bench.release(3);
    bench.told.clear();
    bench.enter_v2();
    bench.press(4);
    assert!(matches!(
        bench.frames()[..],
        [frame::FromDevice::Press { seq: 3, id: 4, .. }]
    ));
}

#[test]
fn v2_commands_are_carried_out_and_acknowledged() {
    use frame::{FromDevice as D, FromHost as H};
    let mut bench = Bench::v2(10);
    bench.frame(H::LedSet { tag: 1, id: 5 });
    assert_eq!(
        (bench.frames(), bench.lit()),
        (std::vec![D::Ack { tag: 1 }], std::vec![5])
    );
    bench.frame(H::LedClr { tag: 2, only_if: 4 });
    assert_eq!(
        (bench.frames(), bench.lit()),
        (std::vec![D::Ack { tag: 2 }], std::vec![5])
    );
    bench.frame(H::LedClr { tag: 3, only_if: 5 });
    assert_eq!(
        (bench.frames(), bench.lit()),
        (std::vec![D::Ack { tag: 3 }], std::vec![])
    );
    for (command, answer) in [
        (
            H::LedSet { tag: 4, id: 0 },
            D::Nak {
                tag: 4,
                code: frame::nak::INVALID_ID,
            },
        ),
        (
            H::LedSet { tag: 5, id: 11 },
            D::Nak {
                tag: 5,
                code: frame::nak::INVALID_ID,
            },
        ),
        (
            H::LedClr {
                tag: 6,
                only_if: 11,
            },
            D::Nak {
                tag: 6,
                code: frame::nak::INVALID_ID,
            },
        ),
        (
            H::Bright {
                tag: 7,
                percent: 101,
            },
            D::Nak {
                tag: 7,
                code: frame::nak::LIMIT,
            },
        ),
        (
            H::Bright {
                tag: 8,
                percent: 30,
            },
            D::Ack { tag: 8 },
        ),
        (
            H::Debounce {
                tag: 9,
                stable: true,
                window_ms: 4,
            },
            D::Nak {
                tag: 9,
                code: frame::nak::LIMIT,
            },
        ),
        (
            H::Debounce {
                tag: 10,
                stable: true,
                window_ms: 50,
            },
            D::Ack { tag: 10 },
        ),
        (H::LedOn { tag: 11, id: 1 }, D::Ack { tag: 11 }),
        (H::LedOff { tag: 12, id: 1 }, D::Ack { tag: 12 }),
        (H::CountersReset { tag: 13 }, D::Ack { tag: 13 }),
        (H::Test { tag: 14, on: true }, D::Ack { tag: 14 }),
        (H::LedAll { tag: 15 }, D::Ack { tag: 15 }),
    ] {
        bench.frame(command);
        assert_eq!(bench.frames(), [answer], "{command:?}");
    }
    assert_eq!(bench.board.brightness(), 30);
    assert_eq!(bench.board.debounce().mode(), debounce::Mode::Stable);
    assert_eq!(bench.lit().len(), 10);
    bench.frame(H::Hello { proto: 2 });
    assert!(matches!(
        bench.frames()[..],
        [D::Hello {
            proto: 2,
            fw: [0, 1, 0],
            buttons: 10,
            boot_id: 7,
            ..
        }]
    ));
    bench.wait(2000);
    bench.frame(H::StatusReq);
    assert!(matches!(
        bench.frames()[..],
        [D::Status {
            scan_hz: 200,
            stuck: 0,
            ..
        }]
    ));
}

#[test]
fn without_a_valid_frame_v2_is_given_up() {
    let mut bench = Bench::v2(10);
    for _ in 0..5 {
        bench.wait(2000);
        bench.frame(frame::FromHost::Ping { nonce: 1 });
    }
    assert!(bench.board.speaks_v2());
    bench.told.clear();
    bench.wait(1500);
    bench.say(b"\x02\x01\0garbage\0");
    bench.wait(1505);
    assert!(!bench.board.speaks_v2());
    assert_eq!(bench.board.counters().crc_err, 2);
    assert_eq!(bench.ask("PING\n"), "PONG\n");
}

#[test]
fn a_board_has_a_known_size() {
    assert!(size_of::<Board>() < 4096, "{} bytes", size_of::<Board>());
}

proptest! {
    /// Whatever comes over the cable: no button moves, no more than one LED or what LEDALL allows is lit, and
    /// what goes out is whole.
    #[test]
    fn arbitrary_bytes_press_nothing(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..20)) {
        let mut bench = Bench::new(100);
        for piece in pieces {
            bench.say(&piece);
            bench.wait(5);
            prop_assert!(bench.lit().len() <= 16);
        }
        prop_assert_eq!(bench.board.seq, 0);
        let told = core::mem::take(&mut bench.told);
        if !bench.board.speaks_v2() {
            for line in told.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                prop_assert!(FromDevice::parse(line).is_ok());
            }
        }
    }

    /// The original server takes a line of digits for a press.
    #[test]
    fn no_line_is_digits_only(words in proptest::collection::vec(0usize..20, 0..30), argument in 0u16..300) {
        let commands = ["PING", "VERSION", "HELP", "STATUS", "LEDSET", "LEDON", "LEDOFF", "LEDCLR", "LEDALL", "TEST",
            "STOP", "QRESET", "BRIGHT", "HELLO", "7", "", "A B C", "LEDSET x", "\u{1}", "PRESS 1"];
        let mut bench = Bench::new(10);
        for word in words {
            bench.say(std::format!("{}\n{} {argument}\n", commands[word], commands[word]).as_bytes());
            if bench.board.speaks_v2() {
                break;
            }
        }
        for line in bench.told().lines() {
            prop_assert!(!line.bytes().all(|byte| byte.is_ascii_digit()), "{line}");
        }
    }
}
