#![allow(clippy::unwrap_used)]
//! Time lines: `at input | at input`, and what everybody is told. `1>` is screen 1, `all>` every screen, `led` a
//! board, `journal` the entries.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use leitstand_core::panel::{
    ButtonId,
    link::{BoardFault, ButtonEvent, OfflineCause, Protocol},
};
use leitstand_kit::config::{Diagnostics, Document, Path};

use super::*;

fn settings(section: &str) -> Settings {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct File {
        panel: crate::PanelConfig,
    }
    let board = "[[panel.boards]]\nname = 'wall'\nport = '/dev/ttyACM0'\n";
    let text = format!("[panel]\n{section}\n{board}");
    let document = Document::parse(&text, "test.toml");
    let (file, _) = document.check::<File>();
    let mut diags = Diagnostics::new(&document);
    crate::config::check(&file.unwrap().panel, &Path::root().key("panel"), &mut diags).unwrap()
}

fn wall(event: BoardEvent) -> Input {
    Input::Board(BoardIndex(0), event)
}

fn press(id: u8) -> Input {
    wall(BoardEvent::Press(ButtonEvent {
        id: ButtonId::new(id).unwrap(),
        seq: None,
        board_ms: None,
    }))
}

fn online(buttons: Option<u8>) -> Input {
    wall(BoardEvent::Online(BoardInfo {
        protocol: Protocol::V2,
        buttons,
        boot_id: Some(1),
        firmware: Some([1, 2, 3]),
    }))
}

fn said(client: u64, json: &str) -> Input {
    Input::Said(ClientId(client), FromClient::parse(json, 10).unwrap())
}

fn join(client: u64) -> Input {
    Input::Join(ClientId(client))
}

fn tell(text: &mut String, at: f64, output: &Output) {
    let mut line = |what: String| {
        let what = what.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        writeln!(text, "{at} {what}").unwrap();
    };
    match output {
        Output::Broadcast(frames) => line(format!("all> {}", frames.join(" "))),
        Output::Send(id, frames) => {
            for frame in frames {
                line(format!("{}> {frame}", id.0));
            }
        }
        Output::Led(board, command) => line(format!("led {} {command:?}", board.0)),
        Output::Brightness(percent) => line(format!("brightness {percent}")),
        Output::Record(event) => line(format!("journal {} {}", event.kind, event.text)),
        Output::Started(seq, ms) => line(format!("started #{seq} after {ms} ms")),
        // Counted by the statistics, whose tests they are.
        Output::Played(_) | Output::Ended(_) | Output::Changed(_) => {}
    }
}

/// Runs a script in virtual time, deadlines included, up to `end` seconds.
fn run(settings: &Settings, script: Vec<(f64, Input)>, end: f64) -> (String, Room) {
    let ms = |s: f64| Instant::from_millis((s * 1000.0) as u64);
    let mut room = Room::new(settings, 0);
    let mut text = String::new();
    let mut script = script.into_iter().peekable();
    loop {
        let next = script.peek().map(|(at, _)| ms(*at));
        let due = room.poll_timeout();
        let (now, input) = match (next, due) {
            (Some(next), due) if due.is_none_or(|due| next <= due) => {
                (next, script.next().map(|(_, input)| input))
            }
            (_, Some(due)) => (due, None),
            _ => break,
        };
        if now > ms(end) {
            break;
        }
        match input {
            Some(input) => room.handle(now, input),
            None => room.handle_timeout(now),
        }
        while let Some(output) = room.poll_output() {
            tell(&mut text, now.as_millis() as f64 / 1000.0, &output);
        }
    }
    (text, room)
}

fn check(script: Vec<(f64, Input)>, expected: Expect) {
    let (text, _) = run(&settings(""), script, 3600.0);
    expected.assert_eq(&text);
}

#[test]
fn g_ws_1_and_2_a_press_reaches_everybody_and_the_first_end_counts() {
    let (text, room) = run(
        &settings(""),
        vec![
            (0.0, join(1)),
            (0.0, join(2)),
            (1.0, press(3)),
            (5.0, said(1, r#"{"type":"ended","id":3}"#)),
            (5.1, said(2, r#"{"type":"ended","id":3}"#)),
        ],
        3600.0,
    );
    expect![[r#"
        0 1> {"type":"hello","server":"leitstand","version":"VERSION","panels":[{"name":"wall","online":false,"buttons":10}],"current":null,"media_rev":"","num_media":10,"volume":100,"now_ms":0}
        0 2> {"type":"hello","server":"leitstand","version":"VERSION","panels":[{"name":"wall","online":false,"buttons":10}],"current":null,"media_rev":"","num_media":10,"volume":100,"now_ms":0}
        1 all> {"type":"stop"} {"type":"play","id":3,"seq":1,"panel":"wall","volume":100,"position_ms":0,"at_ms":1080}
        1 led 0 Pressed(ButtonId(3))
        5 journal PlaybackEnded Button 3 played to its end
        5 led 0 Clear { only_if: Some(ButtonId(3)) }
    "#]].assert_eq(&text);
    assert!(room.snapshot().playing.is_none());
    assert_eq!(room.snapshot().ignored.stale, 1);
}

#[test]
fn g_ws_5_a_late_joiner_gets_hello_and_the_running_play() {
    check(
        vec![(0.0, press(6)), (4.0, join(1)), (5.0, Input::Stop)],
        expect![[r#"
            0 all> {"type":"stop"} {"type":"play","id":6,"seq":1,"panel":"wall","volume":100,"position_ms":0,"at_ms":0}
            0 led 0 Pressed(ButtonId(6))
            4 1> {"type":"hello","server":"leitstand","version":"VERSION","panels":[{"name":"wall","online":false,"buttons":10}],"current":{"id":6,"seq":1,"position_ms":4000},"media_rev":"","num_media":10,"volume":100,"now_ms":4000}
            4 1> {"type":"play","id":6,"seq":1,"panel":"wall","volume":100,"position_ms":4000,"at_ms":0}
            5 all> {"type":"stop"}
            5 journal PlaybackEnded Button 6 was stopped
            5 led 0 Clear { only_if: None }
        "#]],
    );
}

#[test]
fn g_ws_6_nobody_listens() {
    check(
        vec![
            (0.0, join(1)),
            (
                0.0,
                said(1, r#"{"type":"hello","screen":"foyer","locked":true}"#),
            ),
            (1.0, press(2)),
        ],
        expect![[r#"
            0 1> {"type":"hello","server":"leitstand","version":"VERSION","panels":[{"name":"wall","online":false,"buttons":10}],"current":null,"media_rev":"","num_media":10,"volume":100,"now_ms":0}
            0 1> {"type":"screen","role":"auto","volume":100,"muted":false}
            1 all> {"type":"stop"} {"type":"play","id":2,"seq":1,"panel":"wall","volume":100,"position_ms":0,"at_ms":1000}
            1 led 0 Pressed(ButtonId(2))
            11 journal PlaybackEnded Button 2 had no screen with sound
            11 led 0 Clear { only_if: Some(ButtonId(2)) }
        "#]],
    );
}

#[test]
fn g_ws_7_an_error_counts_after_two_seconds() {
    check(
        vec![
            (0.0, join(1)),
            (1.0, press(2)),
            (
                1.2,
                said(1, r#"{"type":"error","id":2,"seq":1,"reason":"404"}"#),
            ),
        ],
        expect![[r#"
            0 1> {"type":"hello","server":"leitstand","version":"VERSION","panels":[{"name":"wall","online":false,"buttons":10}],"current":null,"media_rev":"","num_media":10,"volume":100,"now_ms":0}
            1 all> {"type":"stop"} {"type":"play","id":2,"seq":1,"panel":"wall","volume":100,"position_ms":0,"at_ms":1000}
            1 led 0 Pressed(ButtonId(2))
            3.2 journal PlaybackEnded Button 2 could not be played
            3.2 led 0 Clear { only_if: Some(ButtonId(2)) }
        "#]],
    );
}

#[test]
fn g_rx_10_three_presses_in_one_read() {
    check(
        vec![
            (0.0, join(1)),
            (1.0, press(1)),
            (1.0, press(2)),
            (1.0, press(3)),
            (2.0, Input::Stop),
        ],
        expect![[r#"
            0 1> {"type":"hello","server":"leitstand","version":"VERSION","panels":[{"name":"wall","online":false,"buttons":10}],"current":null,"media_rev":"","num_media":10,"volume":100,"now_ms":0}
            1 all> {"type":"stop"} {"type":"play","id":1,"seq":1,"panel":"wall","volume":100,"position_ms":0,"at_ms":1000}
            1 led 0 Pressed(ButtonId(1))
            1 all> {"type":"stop"} {"type":"play","id":2,"seq":2,"panel":"wall","volume":100,"position_ms":0,"at_ms":1000}
            1 journal PlaybackEnded Button 1 made way for another
            1 led 0 Pressed(ButtonId(2))
            1 all> {"type":"stop"} {"type":"play","id":3,"seq":3,"panel":"wall","volume":100,"position_ms":0,"at_ms":1000}
            1 led 0 Pressed(ButtonId(3))
            2 all> {"type":"stop"}
            2 led 0 Clear { only_if: None }
        "#]],
    );
}

#[test]
fn the_journal_counts_what_it_leaves_out() {
    let script: Vec<(f64, Input)> = (0..100)
        .map(|i| (f64::from(i) * 0.1, press(1 + u8::try_from(i % 10).unwrap())))
        .chain([(20.0, Input::Stop)])
        .collect();
    let settings = settings("");
    let mut room_events = Vec::new();
    let mut room = Room::new(&settings, 0);
    room.handle(Instant::ZERO, join(1));
    for (at, input) in script {
        let at: f64 = at;
        while room.poll_output().is_some() {}
        room.handle(Instant::from_millis((at * 1000.0) as u64), input);
        while let Some(output) = room.poll_output() {
            if let Output::Record(event) = output {
                room_events.push(event);
            }
        }
    }
    let left_out: u64 = room_events
        .iter()
        .map(|e| e.data["left_out"].as_u64().unwrap())
        .sum();
    assert_eq!(room_events.len(), 6, "{room_events:?}");
    assert_eq!(
        room_events.len() as u64 + left_out,
        100,
        "every play is accounted for"
    );
}

#[test]
fn boards_come_restart_complain_and_go() {
    check(
        vec![
            (0.0, join(1)),
            (1.0, online(Some(10))),
            (2.0, wall(BoardEvent::Restarted)),
            (2.1, online(Some(10))),
            (3.0, wall(BoardEvent::Lost(2))),
            (
                4.0,
                wall(BoardEvent::Fault(BoardFault::Stuck(
                    ButtonId::new(7).unwrap(),
                ))),
            ),
            (5.0, wall(BoardEvent::Offline(OfflineCause::Silent))),
            (6.0, online(Some(16))),
        ],
        expect![[r#"
            0 1> {"type":"hello","server":"leitstand","version":"VERSION","panels":[{"name":"wall","online":false,"buttons":10}],"current":null,"media_rev":"","num_media":10,"volume":100,"now_ms":0}
            1 journal PanelOnline Panel wall is online
            1 all> {"type":"panel","name":"wall","online":true}
            2 journal PanelRestarted Panel wall restarted
            3 journal ButtonEventsLost 2 button events of panel wall were lost
            4 journal ButtonStuck Button 7 of panel wall is stuck
            5 journal PanelOffline Panel wall is offline (silent)
            5 all> {"type":"panel","name":"wall","online":false}
            6 journal PanelMismatched Panel wall has 16 buttons, 10 are configured
            6 journal PanelOnline Panel wall is online
            6 all> {"type":"panel","name":"wall","online":true}
        "#]],
    );
}

#[test]
fn volume_of_the_site_and_of_the_button_multiply() {
    let dir = tempfile::tempdir().unwrap();
    crate::test_media::write(dir.path(), 2);
    std::fs::write(
        dir.path().join("manifest.toml"),
        "[[item]]\nid = 2\nvolume = 50\ntitle = 'Two'\ncaption = 'Words'\nlanguage = 'en'\n",
    )
    .unwrap();
    let media = Arc::new(Media::scan(dir.path(), 2));
    let hash = |file: &Option<crate::media::File>| file.as_ref().unwrap().hash.clone();
    let two = media.item(2).unwrap();
    let (image, audio) = (two.images[0].hash.clone(), hash(&two.audio));
    let (text, _) = run(
        &settings("buttons = 2"),
        vec![
            (0.0, Input::Media(media)),
            (1.0, Input::Volume(60)),
            (2.0, Input::Volume(200)),
            (2.0, Input::Volume(60)),
            (3.0, press(2)),
            (3.5, Input::Stop),
        ],
        3600.0,
    );
    let text = text.replace(&image, "IMAGE").replace(&audio, "AUDIO");
    expect![[r#"
        1 all> {"type":"volume","value":60}
        2 all> {"type":"volume","value":100}
        2 all> {"type":"volume","value":60}
        3 all> {"type":"stop"} {"type":"play","id":2,"seq":1,"panel":"wall","image":"/media/002.svg?v=IMAGE","audio":"/media/002.wav?v=AUDIO","title":"Two","caption":"Words","language":"en","volume":30,"duration_ms":1020,"position_ms":0,"at_ms":3000}
        3 led 0 Pressed(ButtonId(2))
        3.5 all> {"type":"stop"}
        3.5 journal PlaybackEnded Button 2 was stopped
        3.5 led 0 Clear { only_if: None }
    "#]].assert_eq(&text);
}

#[test]
fn the_watchdog_knows_the_length_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    crate::test_media::write(dir.path(), 1);
    let media = Arc::new(Media::scan(dir.path(), 1));
    let length = media.item(1).unwrap().duration_ms().unwrap() as f64 / 1000.0;
    let (text, _) = run(
        &settings("buttons = 1"),
        vec![(0.0, Input::Media(media)), (0.0, join(1)), (1.0, press(1))],
        3600.0,
    );
    let end = format!(
        "{} journal PlaybackEnded Button 1 never reported its end",
        1.0 + length + 3.0
    );
    assert!(text.contains(&end), "{text}");
}

#[test]
fn a_browser_tells_the_length_that_the_headers_do_not() {
    check(
        vec![
            (0.0, join(1)),
            (1.0, press(4)),
            (
                1.1,
                said(1, r#"{"type":"media_info","id":4,"duration_ms":5000}"#),
            ),
        ],
        expect![[r#"
            0 1> {"type":"hello","server":"leitstand","version":"VERSION","panels":[{"name":"wall","online":false,"buttons":10}],"current":null,"media_rev":"","num_media":10,"volume":100,"now_ms":0}
            1 all> {"type":"stop"} {"type":"play","id":4,"seq":1,"panel":"wall","volume":100,"position_ms":0,"at_ms":1000}
            1 led 0 Pressed(ButtonId(4))
            9 journal PlaybackEnded Button 4 never reported its end
            9 led 0 Clear { only_if: Some(ButtonId(4)) }
        "#]],
    );
}

#[test]
fn only_the_primary_screen_ends_and_hello_may_come_twice() {
    let (text, room) = run(
        &settings("may_end = 'foyer'"),
        vec![
            (0.0, join(1)),
            (0.0, join(2)),
            (
                0.1,
                said(1, r#"{"type":"hello","screen":"foyer","locked":true}"#),
            ),
            (
                0.2,
                said(1, r#"{"type":"ready","preloaded":10,"total":10}"#),
            ),
            (0.3, said(1, r#"{"type":"hello","screen":"foyer"}"#)),
            (1.0, press(3)),
            (
                1.05,
                said(1, r#"{"type":"started","id":3,"seq":1,"latency_ms":41}"#),
            ),
            (
                1.06,
                said(2, r#"{"type":"started","id":3,"seq":7,"latency_ms":41}"#),
            ),
            (2.0, said(2, r#"{"type":"ended","id":3,"seq":1}"#)),
            (3.0, said(1, r#"{"type":"ended","id":3,"seq":1}"#)),
        ],
        3600.0,
    );
    let tail: Vec<&str> = text
        .lines()
        .skip_while(|l| !l.contains("\"stop\""))
        .collect();
    expect![[r#"
        1 all> {"type":"stop"} {"type":"play","id":3,"seq":1,"panel":"wall","volume":100,"position_ms":0,"at_ms":1080}
        1 led 0 Pressed(ButtonId(3))
        1.05 started #1 after 41 ms
        3 journal PlaybackEnded Button 3 played to its end
        3 led 0 Clear { only_if: Some(ButtonId(3)) }"#]].assert_eq(&tail.join("\n"));
    let screens = room.snapshot().screens.clone();
    assert!(screens[0].ready && !screens[0].locked && screens[0].preloaded == (10, 10));
}

#[test]
fn changed_media_are_announced_and_leave_the_running_play_alone() {
    let dir = tempfile::tempdir().unwrap();
    crate::test_media::write(dir.path(), 3);
    let before = Arc::new(Media::scan(dir.path(), 3));
    std::fs::remove_file(dir.path().join("002.wav")).unwrap();
    let after = Arc::new(Media::scan(dir.path(), 3));
    let rev = after.rev().to_owned();
    let (text, room) = run(
        &settings("buttons = 3"),
        vec![
            (0.0, Input::Media(before)),
            (1.0, Input::Play(2)),
            (2.0, Input::Media(after)),
        ],
        2.5,
    );
    let text: Vec<_> = text.lines().filter(|l| l.starts_with("2 ")).collect();
    expect![[r#"
        2 all> {"type":"media_changed","id":2,"rev":"REV"}
        2 journal MediaChanged The content of 1 of 3 buttons changed; media: 2 of 3 complete; 002.mp3 is missing"#]].assert_eq(&text.join("\n").replace(&rev, "REV"));
    assert!(room.snapshot().playing.is_some());
}

#[test]
fn two_boards_share_the_numbers_by_their_offsets() {
    let desk =
        "[[panel.boards]]\nname = 'desk'\nport = '/dev/ttyACM1'\nid_offset = 10\nbuttons = 4\n";
    let settings = settings(desk);
    // The helper adds "wall" behind it, with the numbers 1 to 10.
    let names: Vec<_> = settings.boards.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["desk", "wall"]);
    let Input::Board(_, press_3) = press(3) else {
        panic!("no press");
    };
    let (text, _) = run(
        &settings,
        vec![
            (0.0, Input::Board(BoardIndex(0), press_3)),
            (1.0, Input::Play(14)),
            (2.0, Input::Board(BoardIndex(1), press_3)),
            (3.0, Input::Play(15)),
            (4.0, Input::Stop),
        ],
        3600.0,
    );
    expect![[r#"
        0 all> {"type":"stop"} {"type":"play","id":13,"seq":1,"panel":"desk","volume":100,"position_ms":0,"at_ms":0}
        0 led 0 Pressed(ButtonId(3))
        1 all> {"type":"stop"} {"type":"play","id":14,"seq":2,"panel":"desk","volume":100,"position_ms":0,"at_ms":1000}
        1 journal PlaybackEnded Button 13 made way for another
        1 led 0 Set(ButtonId(4))
        2 all> {"type":"stop"} {"type":"play","id":3,"seq":3,"panel":"wall","volume":100,"position_ms":0,"at_ms":2000}
        2 led 0 Clear { only_if: Some(ButtonId(4)) }
        2 led 1 Pressed(ButtonId(3))
        4 all> {"type":"stop"}
        4 journal PlaybackEnded Button 3 was stopped
        4 led 0 Clear { only_if: None }
        4 led 1 Clear { only_if: None }
    "#]].assert_eq(&text);
}
