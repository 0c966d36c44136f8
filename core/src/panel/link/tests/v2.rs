//! Agreeing on v2, speaking it, and losing it.

use super::*;

#[test]
fn g_bin_2_an_error_keeps_text() {
    let mut rig = Rig::new(Config::default());
    rig.input(Input::Opened);
    rig.told(expect![[r#"
        > LEDCLR
        > HELLO 2
        online Text
        > VERSION
    "#]]);
    rig.wait(20_000);
    rig.told(expect![""]);
}

#[test]
fn silence_on_the_offer_keeps_text() {
    let mut rig = Rig::new(Config::default());
    rig.answers = Answers::None;
    rig.input(Input::Opened);
    rig.bytes(b"PONG\n");
    rig.wait(299);
    assert_eq!(rig.link.online(), None);
    rig.wait(1);
    assert_eq!(
        rig.link.online().map(|info| info.protocol),
        Some(Protocol::Text)
    );
    // The answer came too late, but from here on the board speaks v2.
    rig.bytes(b"HELLO 2 10 10 0007 00000001\n");
    assert_eq!(
        rig.link.online().map(|info| info.protocol),
        Some(Protocol::V2)
    );
}

#[test]
fn text_only_never_offers() {
    let mut rig = Rig::new(Config {
        protocol: Offer::TextOnly,
        ..Config::default()
    });
    rig.input(Input::Opened);
    rig.bytes(b"READY\n");
    rig.wait(5000);
    assert!(!rig.log.contains("HELLO"), "{}", rig.log);
}

#[test]
fn v2_is_settled_by_one_line() {
    let mut rig = Rig::new(Config::default());
    rig.answers = Answers::None;
    rig.input(Input::Led(LedCommand::Set(id(3))));
    rig.input(Input::Debounce(debounce::Config::default()));
    rig.input(Input::Brightness(40));
    rig.input(Input::Opened);
    rig.bytes(b"READY\nFW leitstand-panel v0.1.0\n");
    rig.bytes(b"OK\nHELLO 2 10 10 0007 deadbeef\n");
    rig.told(expect![[r#"
        > LEDSET 003
        > HELLO 2
        online V2
        > Bright { tag: 3, percent: 40 }
        > Debounce { tag: 4, stable: false, window_ms: 30 }
    "#]]);
    assert_eq!(rig.link.online().unwrap().firmware, Some([0, 1, 0]));
}

#[test]
fn g_bin_3_a_gap_in_the_numbers_is_a_loss() {
    let mut rig = Rig::online_v2();
    for seq in [1, 2, 4] {
        rig.frame(FromDevice::Press {
            seq,
            id: 1,
            t_ms: 0,
        });
    }
    rig.told(expect![[r#"
        press 1
        press 1
        Lost(1)
        press 1
    "#]]);
    assert_eq!(rig.link.stats().ev_lost, 1);
}

#[test]
fn numbers_wrap() {
    let mut rig = Rig::online_v2();
    rig.link.next_seq = Some(u16::MAX);
    rig.frame(FromDevice::Press {
        seq: u16::MAX,
        id: 1,
        t_ms: 0,
    });
    rig.frame(FromDevice::Release {
        seq: 0,
        id: 1,
        t_ms: 0,
    });
    assert_eq!(rig.link.stats().ev_lost, 0);
}

#[test]
fn a_loss_while_unplugged_is_seen_too() {
    let mut rig = Rig::online_v2();
    rig.frame(FromDevice::Press {
        seq: 1,
        id: 1,
        t_ms: 0,
    });
    rig.input(Input::Closed);
    rig.input(Input::Opened);
    rig.bytes(b"PONG\nOK\nHELLO 2 10 10 0007 00000007\n");
    rig.frame(FromDevice::Press {
        seq: 5,
        id: 2,
        t_ms: 0,
    });
    assert_eq!(rig.link.stats().ev_lost, 3);
    // Another start begins anew.
    rig.input(Input::Closed);
    rig.input(Input::Opened);
    rig.bytes(b"PONG\nOK\nHELLO 2 10 10 0007 00000008\n");
    rig.frame(FromDevice::Press {
        seq: 90,
        id: 2,
        t_ms: 0,
    });
    assert_eq!(rig.link.stats().ev_lost, 3);
}

#[test]
fn g_bin_4_ready_in_clear_text_negotiates_again() {
    for garbage in [&b""[..], b"\x08\x01\x01\x2a"] {
        let mut rig = Rig::online_v2();
        rig.input(Input::Led(LedCommand::Set(id(4))));
        rig.bytes(garbage);
        rig.bytes(b"READY\nFW leitstand-panel v0.1.0\n");
        rig.bytes(b"OK\nHELLO 2 10 10 0007 00000008\n");
        rig.frame(FromDevice::Press {
            seq: 1,
            id: 2,
            t_ms: 0,
        });
        rig.told(expect![[r#"
            > LedSet { tag: 3, id: 4 }
            Restarted
            > LEDSET 004
            > HELLO 2
            online V2
            press 2
        "#]]);
    }
}

#[test]
fn five_bad_frames_in_a_row_negotiate_again() {
    let mut rig = Rig::online_v2();
    for _ in 0..4 {
        rig.bytes(b"\x02\x01\0");
    }
    rig.frame(FromDevice::Press {
        seq: 1,
        id: 2,
        t_ms: 0,
    });
    for _ in 0..4 {
        rig.bytes(b"\x02\x01\0");
    }
    assert!(
        matches!(rig.link.state, State::Online(Protocol::V2)),
        "a good frame in between"
    );
    rig.bytes(b"\x02\x01\0");
    assert!(matches!(rig.link.state, State::Seeking { .. }));
    assert!(rig.link.online().is_some(), "not offline yet");
    rig.bytes(b"PONG\nOK\nHELLO 2 10 10 0007 00000007\n");
    assert!(matches!(rig.link.state, State::Online(Protocol::V2)));
    assert_eq!(rig.link.stats().rx_bad_frames, 9);
}

#[test]
fn a_press_in_clear_text_shows_that_the_board_gave_v2_up() {
    let mut rig = Rig::online_v2();
    rig.frame(FromDevice::Press {
        seq: 1,
        id: 1,
        t_ms: 0,
    });
    rig.bytes(b"PRESS 002\n");
    rig.bytes(b"PONG\nOK\nHELLO 2 10 10 0007 00000007\n");
    // The text press was number 2.
    rig.frame(FromDevice::Press {
        seq: 3,
        id: 3,
        t_ms: 0,
    });
    assert_eq!((rig.presses, rig.link.stats().ev_lost), (vec![1, 2, 3], 0));
}

#[test]
fn a_board_left_in_v2_by_another_gateway_is_found() {
    let mut rig = Rig::new(Config::default());
    rig.answers = Answers::None;
    rig.input(Input::Opened);
    rig.wait(250);
    rig.told(expect![[r#"
        > Hello { proto: 2 }
    "#]]);
    let hello = FromDevice::Hello {
        proto: 2,
        fw: [0, 1, 0],
        buttons: 10,
        leds: 10,
        caps: 7,
        boot_id: 7,
    };
    rig.frame(hello);
    rig.told(expect![[r#"
        online V2
        > LedClr { tag: 1, only_if: 0 }
    "#]]);
    assert_eq!(rig.link.firmware(), "v0.1.0");
}

#[test]
fn v2_answers_are_matched_by_tag() {
    let mut rig = Rig::online_v2();
    rig.input(Input::Command(Command::AllOn));
    rig.input(Input::Command(Command::Test(true)));
    rig.input(Input::Command(Command::Status));
    rig.frame(FromDevice::Nak {
        tag: 4,
        code: frame::nak::BUSY,
    });
    rig.frame(FromDevice::Ack { tag: 3 });
    rig.frame(FromDevice::Ack { tag: 99 });
    rig.frame(FromDevice::Status {
        selected: 0,
        scan_hz: 200,
        heap: 1,
        ev_drop: 2,
        cmd_drop: 3,
        crc_err: 4,
        stuck: 5,
    });
    rig.frame(FromDevice::Fault { code: 1, arg: 9 });
    rig.told(expect![[r#"
        > LedAll { tag: 3 }
        > Test { tag: 4, on: true }
        > StatusReq
        Failed(Test(true), Busy)
        Done(AllOn)
        Status(BoardStatus { selected: None, scan_hz: Some(200), heap: 1, ev_drop: Some(2), cmd_drop: Some(3), crc_err: Some(4), stuck: Some(5) })
        Done(Status)
        Fault(Stuck(ButtonId(9)))
    "#]]);
    assert_eq!(rig.link.stats().rx_unasked, 1);
    assert!(rig.link.stuck().contains(id(9)));
}

#[test]
fn v2_clears_only_what_ended() {
    let mut rig = Rig::online_v2();
    rig.frame(FromDevice::Press {
        seq: 1,
        id: 1,
        t_ms: 0,
    });
    rig.input(Input::Led(LedCommand::Pressed(id(1))));
    rig.wait(300);
    rig.input(Input::Led(LedCommand::Clear {
        only_if: Some(id(1)),
    }));
    // The retry keeps the condition.
    rig.wait(260);
    rig.told(expect![[r#"
        press 1
        > LedSet { tag: 3, id: 1 }
        > LedSet { tag: 4, id: 1 }
        > LedClr { tag: 5, only_if: 1 }
        > LedClr { tag: 6, only_if: 1 }
    "#]]);
}

#[test]
fn the_time_to_an_acknowledged_led_is_measured() {
    let mut rig = Rig::online_v2();
    let before = rig.link.stats().led_acks;
    rig.answers = Answers::None;
    rig.input(Input::Led(LedCommand::Set(id(3))));
    rig.wait(7);
    let tag = rig.link.tag;
    rig.frame(FromDevice::Ack { tag });
    let stats = rig.link.stats();
    assert_eq!(stats.led_ack, Some(Duration::from_millis(7)));
    assert_eq!(stats.led_acks, before + 1);
    // A refusal lit nothing, and neither does the answer to another command.
    rig.input(Input::Led(LedCommand::Set(id(4))));
    let tag = rig.link.tag;
    rig.frame(FromDevice::Nak { tag, code: 1 });
    assert_eq!(rig.link.stats().led_acks, before + 1);
}

/// The spec's prototype: ten buttons at these positions of two chips, one LED allowed at a time.
#[test]
fn a_mis_wired_board_is_told_its_wiring_after_every_start() {
    let table = [15, 12, 13, 11, 10, 9, 8, 14, 7, 4];
    let size = crate::panel::PanelSize::new(10).unwrap();
    let mut rig = Rig::new(Config {
        lit_max: Some(1),
        positions: Some(ButtonPositions::new(size, &table).unwrap()),
        ..Config::default()
    });
    rig.answers = Answers::None;
    rig.input(Input::Opened);
    for _ in 0..2 {
        rig.bytes(b"READY\nFW leitstand-panel v0.1.0\n");
        rig.log.clear();
        rig.bytes(b"OK\nHELLO 2 10 10 002f 00000007\n");
        assert!(rig.log.contains("LitMax { tag: "), "{}", rig.log);
        let positions = "first: 1, count: 10, positions: [15, 12, 13, 11, 10, 9, 8, 14, 7, 4, 0";
        assert!(rig.log.contains(positions), "{}", rig.log);
    }
    // A board that does not know the words hears none of them.
    rig.bytes(b"READY\nFW leitstand-panel v0.1.0\n");
    rig.log.clear();
    rig.bytes(b"OK\nHELLO 2 10 10 000f 00000007\n");
    assert!(
        !rig.log.contains("Positions") && !rig.log.contains("LitMax"),
        "{}",
        rig.log
    );
}
