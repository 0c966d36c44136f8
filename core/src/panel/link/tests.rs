//! The host's end against scripted bytes: golden cases 8.4 and the host's half of 8.5 and 8.6. Against the
//! real board application see `panel::tests`.
#![allow(clippy::unwrap_used)]

#[path = "tests/v2.rs"]
mod v2;

use super::*;
use crate::panel::frame::{FromDevice, FromHost};
use expect_test::{Expect, expect};
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec as StdVec;

fn id(number: u8) -> ButtonId {
    ButtonId::new(number).unwrap()
}

/// How the scripted board answers commands.
#[derive(Clone, Copy, PartialEq)]
enum Answers {
    /// As all boards of the original do: no HELLO.
    Text,
    /// Not at all.
    None,
}

struct Rig {
    link: HostLink,
    now: Instant,
    answers: Answers,
    /// What was sent (`>`) and told, heartbeats left out.
    log: String,
    presses: StdVec<u8>,
    lines: String,
}

impl Rig {
    fn new(config: Config) -> Self {
        Self {
            link: HostLink::new(config),
            now: Instant::ZERO,
            answers: Answers::Text,
            log: String::new(),
            presses: vec![],
            lines: String::new(),
        }
    }

    /// A text board of ten buttons, online, LED dark, nothing logged.
    fn online() -> Self {
        Self::online_with(Config::default())
    }

    fn online_with(config: Config) -> Self {
        let mut rig = Self::new(config);
        rig.input(Input::Opened);
        rig.bytes(b"READY\nFW selection-panel v2.5.1\n");
        rig.wait(1000);
        assert_eq!(
            rig.link.online().map(|info| info.protocol),
            Some(Protocol::Text)
        );
        rig.log.clear();
        rig
    }

    /// Online with v2, as boot 7.
    fn online_v2() -> Self {
        let mut rig = Self::new(Config::default());
        rig.answers = Answers::None;
        rig.input(Input::Opened);
        rig.bytes(b"READY\nFW leitstand-panel v0.1.0\nOK\nHELLO 2 10 10 0007 00000007\n");
        assert_eq!(
            rig.link.online().map(|info| info.protocol),
            Some(Protocol::V2)
        );
        rig.log.clear();
        rig
    }

    fn input(&mut self, input: Input<'_>) {
        self.link.handle(self.now, input);
        self.drain();
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.input(Input::Bytes(bytes));
    }

    fn frame(&mut self, message: FromDevice) {
        self.bytes(&frame::encode(&message));
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(deadline) = self
            .link
            .poll_timeout()
            .filter(|deadline| *deadline <= until)
        {
            self.now = self.now.max(deadline);
            self.link.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    fn drain(&mut self) {
        let mut answers = StdVec::new();
        while let Some(output) = self.link.poll_output() {
            match output {
                Output::Send(bytes) => self.sent(&bytes, &mut answers),
                Output::Event(event) => {
                    if let BoardEvent::Press(press) = event {
                        self.presses.push(press.id.get());
                    }
                    self.log += &format!("{}\n", tell(event));
                }
                Output::Reopen => self.log += "reopen\n",
            }
        }
        if self.answers == Answers::Text && !answers.is_empty() {
            self.link.handle(self.now, Input::Bytes(&answers));
            self.drain();
        }
    }

    fn sent(&mut self, bytes: &[u8], answers: &mut StdVec<u8>) {
        for piece in bytes.split(|byte| *byte == 0) {
            match frame::decode::<FromHost>(&mut piece.to_vec()) {
                Ok(FromHost::Ping { nonce }) => answers.extend(frame::encode(&FromDevice::Pong {
                    nonce,
                    uptime_ms: 0,
                })),
                Ok(message) => self.log += &format!("> {message:?}\n"),
                Err(_) => self.lines += &piece.escape_ascii().to_string().replace("\\n", "\n"),
            }
        }
        while let Some((line, rest)) = self.lines.clone().split_once('\n') {
            self.lines = rest.into();
            match line {
                "" => {}
                "PING" => answers.extend(b"PONG\n"),
                _ => {
                    self.log += &format!("> {line}\n");
                    let known = ["LED", "BRIGHT", "TEST", "STOP", "QRESET"]
                        .iter()
                        .any(|word| line.starts_with(word));
                    answers.extend(if known {
                        &b"OK\n"[..]
                    } else {
                        b"ERROR UNKNOWN_CMD\n"
                    });
                }
            }
        }
    }

    #[track_caller]
    fn told(&mut self, expected: Expect) {
        expected.assert_eq(&core::mem::take(&mut self.log));
    }
}

fn tell(event: BoardEvent) -> String {
    match event {
        BoardEvent::Online(info) => format!("online {:?}", info.protocol),
        BoardEvent::Press(press) => format!("press {}", press.id.get()),
        BoardEvent::Release(release) => format!("release {}", release.id.get()),
        other => format!("{other:?}"),
    }
}

/// Only what plays: the presses.
#[track_caller]
fn check_presses(script: &[(&[u8], u64)], expected: &[u8]) -> LinkStats {
    let mut rig = Rig::online();
    for (bytes, pause) in script {
        rig.bytes(bytes);
        rig.wait(*pause);
    }
    assert_eq!(rig.presses, expected);
    rig.link.stats()
}

#[test]
fn g_rx_1_a_press_in_range() {
    let mut rig = Rig::online_with(Config {
        buttons: PanelSize::MAX,
        ..Config::default()
    });
    rig.bytes(b"PRESS 042\n");
    assert_eq!(rig.presses, [42]);
    let stats = check_presses(&[(b"PRESS 042\n", 0)], &[]);
    assert_eq!(stats.rx_out_of_range, 1);
}

#[test]
fn g_rx_2_crlf() {
    check_presses(&[(b"PRESS 002\r\n", 0)], &[2]);
}

#[test]
fn g_rx_3_and_4_a_line_in_two_pieces() {
    check_presses(&[(b"PRE", 150), (b"SS 004\n", 0)], &[4]);
    check_presses(&[(b"PRESS 01", 150), (b"0\n", 0)], &[10]);
}

#[test]
fn g_rx_5_and_6_what_is_no_press() {
    let stats = check_presses(
        &[
            (b"7\n", 0),
            (b"PRESS +8\n", 0),
            (b"press 005\n", 0),
            (b"PRESS 005 extra\n", 0),
            (b"PRESS 0000009\n", 0),
        ],
        &[],
    );
    assert_eq!(stats.rx_unknown, 5);
}

#[test]
fn g_rx_7_noise_before_a_line_spoils_it() {
    let stats = check_presses(&[(b"\xff\xfePRESS 004\n", 0)], &[]);
    assert_eq!(stats.rx_unknown, 1);
}

#[test]
fn g_rx_8_status_in_the_words_of_older_boards() {
    check_presses(
        &[(
            b"STATUS active=5 leds=0x10\nLEDS 0000100000\nBTNS 1111111111\nCURLED 5\n",
            0,
        )],
        &[],
    );
}

#[test]
fn g_rx_9_half_a_line_does_not_hide_ready() {
    let mut rig = Rig::online();
    rig.input(Input::Led(LedCommand::Set(id(4))));
    rig.log.clear();
    rig.bytes(b"PRE");
    rig.wait(1500);
    rig.bytes(b"READY\n");
    rig.told(expect![[r#"
        Restarted
        > LEDSET 004
        > HELLO 2
        online Text
    "#]]);
    assert_eq!(rig.link.stats().rx_partial, 1);
}

#[test]
fn g_rx_10_three_presses_in_one_read() {
    check_presses(&[(b"PRESS 001\nPRESS 002\nPRESS 003\n", 0)], &[1, 2, 3]);
}

#[test]
fn g_rx_11_a_press_between_a_clear_and_its_answer() {
    let mut rig = Rig::online();
    rig.bytes(b"PRESS 003\n");
    rig.input(Input::Led(LedCommand::Pressed(id(3))));
    rig.wait(1000);
    rig.answers = Answers::None;
    rig.input(Input::Led(LedCommand::Clear {
        only_if: Some(id(3)),
    }));
    rig.bytes(b"PRESS 007\nOK\n");
    rig.input(Input::Led(LedCommand::Pressed(id(7))));
    rig.told(expect![[r#"
        press 3
        > LEDCLR
        press 7
        > LEDSET 007
    "#]]);
    rig.bytes(b"OK\n");
    assert_eq!((rig.link.open.len(), rig.link.stats().rx_unasked), (0, 0));
}

#[test]
fn p8_the_consequence_of_a_crossing_press_may_come_late() {
    let mut rig = Rig::online();
    rig.input(Input::Led(LedCommand::Clear { only_if: None }));
    rig.wait(199);
    rig.bytes(b"PRESS 007\n");
    rig.wait(500);
    rig.input(Input::Led(LedCommand::Pressed(id(7))));
    rig.told(expect![[r#"
        > LEDCLR
        press 7
        > LEDSET 007
    "#]]);
    // Without a clear on the way the board's own LED is enough.
    rig.wait(1000);
    rig.bytes(b"PRESS 008\n");
    rig.input(Input::Led(LedCommand::Pressed(id(8))));
    rig.told(expect![[r#"
        press 8
    "#]]);
}

#[test]
fn p8_an_unanswered_set_may_cross_too_and_an_answered_one_ends_it() {
    let mut rig = Rig::online();
    rig.answers = Answers::None;
    rig.input(Input::Led(LedCommand::Set(id(5))));
    rig.bytes(b"PRESS 007\n");
    rig.input(Input::Led(LedCommand::Pressed(id(7))));
    rig.bytes(b"OK\nOK\nPRESS 008\n");
    rig.input(Input::Led(LedCommand::Pressed(id(8))));
    rig.told(expect![[r#"
        > LEDSET 005
        press 7
        > LEDSET 007
        press 8
    "#]]);
}

/// The LED of the second press stayed dark, and on v2 the LED of the first was never cleared.
#[test]
fn p8_a_late_consequence_of_an_earlier_press_crosses_the_newer_one() {
    let mut rig = Rig::online();
    rig.input(Input::Led(LedCommand::Clear { only_if: None }));
    rig.bytes(b"PRESS 002\nPRESS 009\n");
    rig.input(Input::Led(LedCommand::Pressed(id(2))));
    // Answered before the consequence of 9 comes back.
    rig.wait(300);
    assert!(rig.link.open.is_empty());
    rig.input(Input::Led(LedCommand::Pressed(id(9))));
    rig.told(expect![[r#"
        > LEDCLR
        press 2
        press 9
        > LEDSET 002
        > LEDSET 009
    "#]]);
}

/// The same with a play from elsewhere between a press and its consequence.
#[test]
fn p8_a_play_from_elsewhere_crosses_a_press_that_is_told_already() {
    let mut rig = Rig::online();
    rig.wait(1000);
    rig.bytes(b"PRESS 004\n");
    rig.input(Input::Led(LedCommand::Set(id(5))));
    rig.wait(300);
    rig.input(Input::Led(LedCommand::Pressed(id(4))));
    rig.told(expect![[r#"
        press 4
        > LEDSET 005
        > LEDSET 004
    "#]]);
}

#[test]
fn p8_an_unanswered_clear_counts_as_crossing() {
    let mut rig = Rig::online();
    rig.answers = Answers::None;
    rig.input(Input::Led(LedCommand::Clear { only_if: None }));
    // Long after both attempts ran out; bytes keep the link alive.
    for _ in 0..5 {
        rig.wait(500);
        rig.bytes(b"QFREE 1\n");
    }
    rig.bytes(b"PRESS 007\n");
    rig.input(Input::Led(LedCommand::Pressed(id(7))));
    rig.told(expect![[r#"
        > LEDCLR
        > LEDCLR
        press 7
        > LEDSET 007
    "#]]);
}

#[test]
fn boards_of_generation_a_get_an_led_command_for_each_press() {
    let mut rig = Rig::online_with(Config {
        lights_itself: false,
        ..Config::default()
    });
    rig.bytes(b"PRESS 003\n");
    rig.input(Input::Led(LedCommand::Pressed(id(3))));
    rig.told(expect![[r#"
        press 3
        > LEDSET 003
    "#]]);
}

#[test]
fn an_led_command_is_said_twice_and_again_at_the_next_pong() {
    let mut rig = Rig::online();
    rig.answers = Answers::None;
    rig.input(Input::Led(LedCommand::Set(id(5))));
    rig.wait(900);
    assert_eq!(rig.link.stats().timeouts, 2);
    rig.bytes(b"PONG\n");
    rig.told(expect![[r#"
        > LEDSET 005
        > LEDSET 005
        > LEDSET 005
    "#]]);
}

#[test]
fn a_retry_says_what_is_wanted_now() {
    let mut rig = Rig::online();
    rig.answers = Answers::None;
    rig.input(Input::Led(LedCommand::Clear { only_if: None }));
    rig.wait(100);
    rig.bytes(b"PRESS 002\n");
    rig.input(Input::Led(LedCommand::Pressed(id(2))));
    rig.wait(200);
    // The clear ran out; repeating it would darken what plays.
    rig.told(expect![[r#"
        > LEDCLR
        press 2
        > LEDSET 002
        > LEDSET 002
    "#]]);
}

#[test]
fn at_most_four_commands_are_open_and_the_newest_led_wins() {
    let mut rig = Rig::online();
    rig.answers = Answers::None;
    for number in 1..=9 {
        rig.input(Input::Command(Command::LedOn(id(number))));
    }
    for number in 1..=9 {
        rig.input(Input::Led(LedCommand::Set(id(number))));
    }
    rig.bytes(b"OK\n");
    rig.told(expect![[r#"
        > LEDON 001
        > LEDON 002
        > LEDON 003
        > LEDON 004
        Done(LedOn(ButtonId(1)))
        > LEDSET 009
    "#]]);
}

#[test]
fn service_commands_have_an_end() {
    let mut rig = Rig::new(Config::default());
    rig.input(Input::Command(Command::AllOn));
    rig.told(expect![[r#"
        Failed(AllOn, Offline)
    "#]]);
    let mut rig = Rig::online();
    rig.answers = Answers::None;
    for _ in 0..PANEL_OPEN_MAX + PANEL_COMMANDS_MAX + 1 {
        rig.input(Input::Command(Command::AllOn));
    }
    assert!(rig.log.ends_with("Failed(AllOn, Busy)\n"));
    rig.input(Input::Closed);
    assert_eq!(
        rig.log.matches("Failed(AllOn, Offline)").count(),
        PANEL_OPEN_MAX + PANEL_COMMANDS_MAX
    );
}

#[test]
fn status_in_text() {
    let mut rig = Rig::online();
    rig.answers = Answers::None;
    rig.input(Input::Command(Command::Status));
    rig.bytes(b"CURLED 5\nBTNS 10\nPRESS 001\nLEDS 10\nHEAP 1234\nMODE PROTOTYPE\nOK\n");
    rig.told(expect![[r#"
        > STATUS
        press 1
        Status(BoardStatus { selected: Some(ButtonId(5)), scan_hz: None, heap: 1234, ev_drop: None, cmd_drop: None, crc_err: None, stuck: None })
        Done(Status)
    "#]]);
}

#[test]
fn a_server_that_starts_late_asks_for_the_version() {
    let mut rig = Rig::new(Config::default());
    rig.input(Input::Opened);
    rig.wait(10);
    rig.answers = Answers::None;
    // 2.4 answers FW and OK, 2.5 only FW: neither may be taken for the answer to something else.
    rig.bytes(b"FW selection-panel v2.4.3\nOK\n");
    rig.input(Input::Led(LedCommand::Set(id(1))));
    rig.told(expect![[r#"
        > LEDCLR
        > HELLO 2
        online Text
        > VERSION
        > LEDSET 001
    "#]]);
    assert_eq!(
        rig.link.open.len(),
        1,
        "the LED still waits for its own answer"
    );
}

#[test]
fn g_rx_12_unplug_and_replug() {
    let mut rig = Rig::online();
    rig.bytes(b"PRESS 004\n");
    rig.input(Input::Led(LedCommand::Pressed(id(4))));
    rig.input(Input::Closed);
    rig.wait(2000);
    rig.input(Input::Opened);
    rig.told(expect![[r#"
        press 4
        Offline(Closed)
        > LEDSET 004
        > HELLO 2
        online Text
        > VERSION
    "#]]);
}

#[test]
fn g_race_5_the_end_comes_while_unplugged() {
    let mut rig = Rig::online();
    rig.bytes(b"PRESS 004\n");
    rig.input(Input::Led(LedCommand::Pressed(id(4))));
    rig.input(Input::Closed);
    rig.input(Input::Led(LedCommand::Clear {
        only_if: Some(id(4)),
    }));
    rig.wait(1000);
    rig.log.clear();
    rig.input(Input::Opened);
    assert!(rig.log.starts_with("> LEDCLR\n"), "{}", rig.log);
}

#[test]
fn three_seconds_of_silence_are_offline() {
    let mut rig = Rig::online();
    rig.answers = Answers::None;
    rig.wait(2999);
    assert!(rig.link.online().is_some());
    rig.wait(1);
    rig.told(expect![[r#"
        Offline(Silent)
        reopen
    "#]]);
    assert_eq!(rig.link.poll_timeout(), None);
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut rig = Rig::online();
    rig.answers = Answers::None;
    for _ in 0..10 {
        rig.wait(2500);
        rig.bytes(b"\n");
    }
    rig.told(expect![""]);
}

#[test]
fn a_board_that_never_answers_is_tried_again() {
    let mut rig = Rig::new(Config::default());
    rig.answers = Answers::None;
    rig.input(Input::Opened);
    rig.wait(9999);
    assert!(!rig.log.contains("reopen"));
    rig.wait(1);
    assert!(rig.log.ends_with("reopen\n"));
    assert!(!rig.log.contains("Offline"), "it never was online");
}

#[test]
fn no_heartbeat_while_an_answer_is_outstanding() {
    let mut rig = Rig::online();
    rig.answers = Answers::None;
    rig.wait(990);
    let nonce = rig.link.nonce;
    rig.input(Input::Led(LedCommand::Set(id(1))));
    rig.wait(300);
    assert_eq!(
        rig.link.nonce, nonce,
        "the LED command waits for its answer"
    );
    rig.bytes(b"OK\n");
    rig.wait(0);
    assert_eq!(rig.link.nonce, nonce + 1, "due long since");
}

#[test]
fn the_round_trip_is_measured() {
    let mut rig = Rig::online();
    rig.answers = Answers::None;
    rig.wait(1000);
    rig.wait(7);
    rig.bytes(b"PONG\n");
    let stats = rig.link.stats();
    assert!(
        stats.rtt.is_some_and(|rtt| rtt >= Duration::from_millis(7)),
        "{stats:?}"
    );
    assert_eq!(stats.last_rx, Some(rig.now));
}

#[test]
fn a_full_read_of_presses_loses_nothing() {
    let mut rig = Rig::online();
    let read = b"PRESS 1\n".repeat(crate::limits::PANEL_READ_MAX / 8);
    rig.bytes(&read);
    assert_eq!((rig.presses.len(), rig.link.stats().ev_lost), (128, 0));
    // Far more than a reader may hand over: counted, not silent.
    rig.presses.clear();
    rig.bytes(&b"PRESS 1\n".repeat(1000));
    let stats = rig.link.stats();
    assert_eq!(rig.presses.len() as u32 + stats.ev_lost, 1000);
    assert!(stats.ev_lost > 0 && rig.log.contains("Lost("));
}
