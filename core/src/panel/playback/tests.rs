//! Scripts and transcripts: `<second> <input> | ...`, run from deadline to deadline.
#![allow(clippy::unwrap_used)]

use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::format;
use std::string::String;

fn ten_buttons() -> Config {
    let board = Board {
        buttons: PanelSize::new(10).unwrap(),
        id_offset: 0,
    };
    Config {
        media: MediaId::new(10).unwrap(),
        retrigger: Retrigger::Restart,
        may_end: MayEnd::First,
        boards: [board].into_iter().collect(),
    }
}

/// Board 0 has media 1..=10, board 1 has media 11..=20.
fn two_boards() -> Config {
    let mut config = ten_buttons();
    config.media = MediaId::new(20).unwrap();
    config
        .boards
        .push(Board {
            id_offset: 10,
            ..config.boards[0]
        })
        .unwrap();
    config
}

fn input(words: &str) -> Input {
    let mut words = words.split(' ');
    let word = words.next().unwrap();
    let rest: std::vec::Vec<&str> = words.collect();
    let number = |index: usize| rest[index].parse::<u16>().unwrap();
    let client = |index: usize| ClientId(rest[index].parse().unwrap());
    let seq = |index: usize| {
        rest.get(index)
            .map(|text| text.strip_prefix('#').unwrap().parse().unwrap())
    };
    match word {
        "press" => Input::Press(
            BoardIndex(rest.get(1).map_or(0, |board| board.parse().unwrap())),
            ButtonId::new(number(0) as u8).unwrap(),
        ),
        "play" => Input::Play(number(0)),
        "stop" => Input::Stop,
        "gone" => Input::ClientGone(client(0)),
        "ended" => Input::Ended {
            client: client(0),
            id: number(1),
            seq: seq(2),
        },
        "error" => Input::Error {
            client: client(0),
            id: number(1),
            seq: seq(2),
        },
        "length" => Input::Duration(
            MediaId::new(number(0)).unwrap(),
            Duration::from_secs(number(1).into()),
        ),
        "client" => {
            let flags = &rest[1..];
            let client_is = Client {
                locked: flags.contains(&"locked"),
                ready: !flags.contains(&"unready"),
                role: match flags.last() {
                    Some(&"primary") => Role::Primary,
                    Some(&"mirror") => Role::Mirror,
                    Some(&"image") => Role::ImageOnly,
                    _ => Role::Plain,
                },
            };
            Input::Client(client(0), client_is)
        }
        _ => panic!("unknown input {word}"),
    }
}

fn tell(output: Output) -> String {
    match output {
        Output::Stop => "stop".into(),
        Output::Play(playing) => format!("play {} #{}", playing.id.get(), playing.seq),
        Output::Led(BoardIndex(board), command) => {
            let led = match command {
                LedCommand::Pressed(id) => format!("pressed {}", id.get()),
                LedCommand::Set(id) => format!("set {}", id.get()),
                LedCommand::Clear { only_if: None } => "clear".into(),
                LedCommand::Clear { only_if: Some(id) } => format!("clear if {}", id.get()),
            };
            if board == 0 {
                format!("led {led}")
            } else {
                format!("led@{board} {led}")
            }
        }
        Output::Over(playing, why) => format!("over {} {why:?}", playing.id.get()),
    }
}

/// Runs on to `end` s after the last input.
fn run(config: Config, script: &str, end: u64) -> (String, Playback) {
    let mut playback = Playback::new(config, 0);
    let mut told = String::new();
    let mut inputs = script
        .split('|')
        .map(|step| {
            let (at, words) = step.trim().split_once(' ').unwrap();
            ((at.parse::<f64>().unwrap() * 1000.0).round() as u64, words)
        })
        .peekable();
    let mut now = Instant::ZERO;
    loop {
        let mut line: std::vec::Vec<String> = std::iter::from_fn(|| playback.poll_output())
            .map(tell)
            .collect();
        if !line.is_empty() {
            line.insert(0, format!("{}", now.as_millis() as f64 / 1000.0));
            told += &(line.join(" | ") + "\n");
        }
        let next_input = inputs.peek().map(|(at, _)| Instant::from_millis(*at));
        let deadline = playback
            .poll_timeout()
            .filter(|at| *at <= Instant::from_secs(end));
        match (next_input, deadline) {
            (Some(at), deadline) if deadline.is_none_or(|deadline| at <= deadline) => {
                now = at;
                playback.handle(now, input(inputs.next().unwrap().1));
            }
            (_, Some(deadline)) => {
                now = now.max(deadline);
                playback.handle_timeout(now);
            }
            (_, None) => return (told, playback),
        }
    }
}

#[track_caller]
fn check_with(config: Config, script: &str, expected: Expect) {
    expected.assert_eq(&run(config, script, 10_000).0);
}

#[track_caller]
fn check(script: &str, expected: Expect) {
    check_with(ten_buttons(), script, expected);
}

#[test]
fn g_ws_1_a_press_stops_then_plays() {
    check(
        "0 client 1 | 0 client 2 | 1 press 3 | 2 ended 1 3",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        2 | over 3 Ended | led clear if 3
    "#]],
    );
}

#[test]
fn g_ws_2_the_second_end_changes_nothing() {
    let script = "0 client 1 | 0 client 2 | 1 press 3 | 5 ended 1 3 | 5.1 ended 2 3";
    check(
        script,
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        5 | over 3 Ended | led clear if 3
    "#]],
    );
    let (_, playback) = run(ten_buttons(), script, 100);
    assert_eq!((playback.playing(), playback.ignored().stale), (None, 1));
}

#[test]
fn g_ws_3_ends_out_of_range_change_nothing() {
    let script = "0 client 1 | 1 press 3 | 2 ended 1 0 | 2 ended 1 101 | 2 ended 1 4 | 3 ended 1 3";
    check(
        script,
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        3 | over 3 Ended | led clear if 3
    "#]],
    );
    assert_eq!(run(ten_buttons(), script, 100).1.ignored().stale, 3);
}

#[test]
fn g_ws_6_nobody_listens() {
    check(
        "0 press 2",
        expect![[r#"
        0 | stop | play 2 #1 | led pressed 2
        10 | over 2 NoListener | led clear if 2
    "#]],
    );
    check(
        "0 client 1 locked | 0 press 2",
        expect![[r#"
        0 | stop | play 2 #1 | led pressed 2
        10 | over 2 NoListener | led clear if 2
    "#]],
    );
}

#[test]
fn the_listeners_are_counted_anew_at_every_change() {
    // Unlocked at 9, locked again at 20, unlocked at 29, gone at 40: ten seconds from there.
    let script =
        "0 client 1 locked | 0 press 2 | 9 client 1 | 20 client 1 locked | 29 client 1 | 40 gone 1";
    check(
        script,
        expect![[r#"
        0 | stop | play 2 #1 | led pressed 2
        50 | over 2 NoListener | led clear if 2
    "#]],
    );
}

#[test]
fn g_ws_7_the_error_of_a_client_counts_after_two_seconds() {
    check(
        "0 client 1 | 1 press 2 | 1.5 error 1 2 #1",
        expect![[r#"
        1 | stop | play 2 #1 | led pressed 2
        3.5 | over 2 Failed | led clear if 2
    "#]],
    );
    check(
        "0 client 1 | 1 press 2 | 1.5 error 1 2 #1 | 2 press 4 | 2.5 ended 1 4",
        expect![[r#"
        1 | stop | play 2 #1 | led pressed 2
        2 | over 2 Preempted | stop | play 4 #2 | led pressed 4
        2.5 | over 4 Ended | led clear if 4
    "#]],
    );
}

#[test]
fn g_ws_8_a_play_from_the_api_lights_the_led() {
    let script = "0 client 1 | 1 play 5 | 2 play 11 | 2 play 0 | 3 ended 1 5";
    check(
        script,
        expect![[r#"
        1 | stop | play 5 #1 | led set 5
        3 | over 5 Ended | led clear if 5
    "#]],
    );
    assert_eq!(run(ten_buttons(), script, 100).1.ignored().out_of_range, 2);
}

#[test]
fn g_ws_9_stop_clears_whatever_is_lit() {
    check(
        "0 client 1 | 1 press 5 | 2 stop | 3 stop",
        expect![[r#"
        1 | stop | play 5 #1 | led pressed 5
        2 | over 5 Stopped | stop | led clear
        3 | stop | led clear
    "#]],
    );
}

#[test]
fn g_race_1_an_old_end_does_not_end_the_new_play() {
    check(
        "0 client 1 | 1 press 1 | 2 press 2 | 3 ended 1 1 | 4 ended 1 2",
        expect![[r#"
        1 | stop | play 1 #1 | led pressed 1
        2 | over 1 Preempted | stop | play 2 #2 | led pressed 2
        4 | over 2 Ended | led clear if 2
    "#]],
    );
}

#[test]
fn g_race_2_press_after_the_end() {
    check(
        "0 client 1 | 1 press 1 | 2 ended 1 1 | 2.01 press 2 | 3 ended 1 2",
        expect![[r#"
        1 | stop | play 1 #1 | led pressed 1
        2 | over 1 Ended | led clear if 1
        2.01 | stop | play 2 #2 | led pressed 2
        3 | over 2 Ended | led clear if 2
    "#]],
    );
}

#[test]
fn g_race_3_the_number_of_the_play_tells_two_plays_of_one_medium_apart() {
    check(
        "0 client 1 | 1 press 1 | 2 press 2 | 3 press 1 | 4 ended 1 1 #1 | 5 ended 1 1 #3",
        expect![[r#"
        1 | stop | play 1 #1 | led pressed 1
        2 | over 1 Preempted | stop | play 2 #2 | led pressed 2
        3 | over 2 Preempted | stop | play 1 #3 | led pressed 1
        5 | over 1 Ended | led clear if 1
    "#]],
    );
    // Without a number the first end of medium 1 ends it: the limit of old clients.
    check(
        "0 client 1 | 1 press 1 | 2 press 2 | 3 press 1 | 4 ended 1 1",
        expect![[r#"
        1 | stop | play 1 #1 | led pressed 1
        2 | over 1 Preempted | stop | play 2 #2 | led pressed 2
        3 | over 2 Preempted | stop | play 1 #3 | led pressed 1
        4 | over 1 Ended | led clear if 1
    "#]],
    );
}

#[test]
fn g_rx_10_three_presses_at_once() {
    check(
        "0 client 1 | 1 press 1 | 1 press 2 | 1 press 3 | 2 ended 1 3",
        expect![[r#"
        1 | stop | play 1 #1 | led pressed 1
        1 | over 1 Preempted | stop | play 2 #2 | led pressed 2
        1 | over 2 Preempted | stop | play 3 #3 | led pressed 3
        2 | over 3 Ended | led clear if 3
    "#]],
    );
}

#[test]
fn retrigger_restarts_ignores_or_stops() {
    let script = "0 client 1 | 1 press 3 | 2 press 3 | 9 ended 1 3";
    check(
        script,
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        2 | over 3 Preempted | stop | play 3 #2 | led pressed 3
        9 | over 3 Ended | led clear if 3
    "#]],
    );
    let ignore = Config {
        retrigger: Retrigger::Ignore,
        ..ten_buttons()
    };
    check_with(
        ignore.clone(),
        script,
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        2 | led pressed 3
        9 | over 3 Ended | led clear if 3
    "#]],
    );
    assert_eq!(run(ignore, script, 100).1.ignored().retriggers, 1);
    let stop = Config {
        retrigger: Retrigger::Stop,
        ..ten_buttons()
    };
    check_with(
        stop,
        script,
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        2 | over 3 Stopped | stop | led clear
    "#]],
    );
}

#[test]
fn the_watchdog_follows_the_length() {
    check(
        "0 client 1 | 1 press 3",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        601 | over 3 Overdue | led clear if 3
    "#]],
    );
    check(
        "0 client 1 | 1 press 3 | 1 length 4 7 | 2 length 3 30",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        34 | over 3 Overdue | led clear if 3
    "#]],
    );
    // The length belongs to one play only.
    check(
        "0 client 1 | 1 press 3 | 1 length 3 30 | 10 press 4",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        10 | over 3 Preempted | stop | play 4 #2 | led pressed 4
        610 | over 4 Overdue | led clear if 4
    "#]],
    );
}

#[test]
fn an_end_at_the_deadline_comes_first() {
    check(
        "0 client 1 | 1 press 3 | 1 length 3 30 | 34 ended 1 3",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        34 | over 3 Ended | led clear if 3
    "#]],
    );
}

#[test]
fn all_ready_clients_must_end() {
    let all = || Config {
        may_end: MayEnd::All,
        ..ten_buttons()
    };
    check_with(
        all(),
        "0 client 1 | 0 client 2 | 0 client 3 locked | 0 client 4 unready | 1 press 3 | 5 ended 1 3 | 6 ended 4 3 | 7 ended 2 3",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        7 | over 3 Ended | led clear if 3
    "#]],
    );
    // The last one to wait for goes, or locks.
    check_with(
        all(),
        "0 client 1 | 0 client 2 | 1 press 3 | 5 ended 1 3 | 6 gone 2",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        6 | over 3 Ended | led clear if 3
    "#]],
    );
    // One cannot play: its error stands for its end.
    check_with(
        all(),
        "0 client 1 | 0 client 2 | 1 press 3 | 2 error 2 3 | 5 ended 1 3",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        5 | over 3 Ended | led clear if 3
    "#]],
    );
    check_with(
        all(),
        "0 client 1 | 0 client 2 | 1 press 3 | 5 ended 1 3 | 6 error 2 3",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        8 | over 3 Failed | led clear if 3
    "#]],
    );
    // An end does not carry over to the next play.
    check_with(
        all(),
        "0 client 1 | 0 client 2 | 1 press 3 | 5 ended 1 3 | 6 press 3 | 7 ended 2 3 | 8 ended 1 3",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        6 | over 3 Preempted | stop | play 3 #2 | led pressed 3
        8 | over 3 Ended | led clear if 3
    "#]],
    );
}

#[test]
fn only_the_primary_screen_ends() {
    let primary = Config {
        may_end: MayEnd::Primary,
        ..ten_buttons()
    };
    let script =
        "0 client 1 | 0 client 2 primary | 1 press 3 | 5 ended 1 3 | 5 error 1 3 | 9 ended 2 3";
    check_with(
        primary.clone(),
        script,
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        9 | over 3 Ended | led clear if 3
    "#]],
    );
    assert_eq!(run(primary, script, 100).1.ignored().stale, 2);
}

#[test]
fn the_highest_role_decides_and_a_lower_one_only_where_it_is_alone() {
    // The mirror and the picture are heard only when nobody above them is there.
    check_with(
        ten_buttons(),
        "0 client 1 image | 0 client 2 mirror | 0 client 3 primary | 1 press 3 | 4 ended 2 3 | 5 ended 1 3 | \
         6 ended 3 3 | 10 client 3 locked primary | 11 press 4 | 12 ended 1 4 | 13 ended 2 4 | 20 gone 2 | \
         20 gone 3 | 21 press 5 | 23 ended 1 5",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        6 | over 3 Ended | led clear if 3
        11 | stop | play 4 #2 | led pressed 4
        13 | over 4 Ended | led clear if 4
        21 | stop | play 5 #3 | led pressed 5
        23 | over 5 Ended | led clear if 5
    "#]],
    );
    // Two primaries under `all`: the mirror is not waited for.
    check_with(
        Config {
            may_end: MayEnd::All,
            ..ten_buttons()
        },
        "0 client 1 mirror | 0 client 2 primary | 0 client 3 primary | 1 press 3 | 4 ended 2 3 | 5 ended 3 3",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        5 | over 3 Ended | led clear if 3
    "#]],
    );
}

#[test]
fn each_board_shows_its_own_numbers() {
    check_with(
        two_boards(),
        "0 client 1 | 1 press 3 | 2 press 4 1 | 3 play 15 | 4 play 10 | 5 ended 1 10 | 6 stop",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3
        2 | over 3 Preempted | stop | play 14 #2 | led clear if 3 | led@1 pressed 4
        3 | over 14 Preempted | stop | play 15 #3 | led@1 set 5
        4 | over 15 Preempted | stop | play 10 #4 | led set 10 | led@1 clear if 5
        5 | over 10 Ended | led clear if 10
        6 | stop | led clear | led@1 clear
    "#]],
    );
}

#[test]
fn two_boards_may_show_the_same_media() {
    let mut config = two_boards();
    config.boards[1].id_offset = 0;
    check_with(
        config,
        "0 client 1 | 1 press 3 | 2 press 4 1 | 3 ended 1 4",
        expect![[r#"
        1 | stop | play 3 #1 | led pressed 3 | led@1 set 3
        2 | over 3 Preempted | stop | play 4 #2 | led set 4 | led@1 pressed 4
        3 | over 4 Ended | led clear if 4 | led@1 clear if 4
    "#]],
    );
}

#[test]
fn a_press_without_medium_gives_the_led_back() {
    let config = Config {
        media: MediaId::new(5).unwrap(),
        ..ten_buttons()
    };
    let script = "0 client 1 | 1 press 7 | 2 press 3 | 3 press 7 | 4 ended 1 3 | 5 press 1 3";
    check_with(
        config.clone(),
        script,
        expect![[r#"
        1 | led clear if 7
        2 | stop | play 3 #1 | led pressed 3
        3 | led set 3
        4 | over 3 Ended | led clear if 3
        5 | led@3 clear if 1
    "#]],
    );
    assert_eq!(run(config, script, 100).1.ignored().out_of_range, 3);
}

#[test]
fn clients_have_an_end() {
    let mut playback = Playback::new(ten_buttons(), 41);
    for client in 0..PANEL_CLIENTS_MAX as u64 + 5 {
        playback.handle(
            Instant::ZERO,
            Input::Client(ClientId(client), Client::default()),
        );
    }
    assert_eq!(
        (playback.clients(), playback.ignored().clients),
        (PANEL_CLIENTS_MAX, 5)
    );
    playback.handle(Instant::ZERO, Input::Play(1));
    assert_eq!(playback.playing().unwrap().seq, 42);
}

#[test]
fn twenty_presses_in_any_second() {
    let mut limit = RateLimit::default();
    let admitted = (0..200)
        .filter(|tick| limit.admit(Instant::from_millis(tick * 10)))
        .count();
    assert_eq!(admitted, 40, "two seconds at a hundred a second");
    assert!(limit.admit(Instant::from_secs(9)));
}

fn any_input() -> impl Strategy<Value = Input> {
    let client = || (0u64..4).prop_map(ClientId);
    let id = || 0u16..13;
    let seq = || proptest::option::of(1u32..20);
    prop_oneof![
        (0u8..3, 1u8..13)
            .prop_map(|(board, id)| Input::Press(BoardIndex(board), ButtonId::new(id).unwrap())),
        id().prop_map(Input::Play),
        Just(Input::Stop),
        (client(), any::<[bool; 2]>(), 0usize..4).prop_map(|(id, [locked, ready], role)| {
            let roles = [Role::ImageOnly, Role::Mirror, Role::Plain, Role::Primary];
            let role = roles[role];
            Input::Client(
                id,
                Client {
                    locked,
                    ready,
                    role,
                },
            )
        }),
        client().prop_map(Input::ClientGone),
        (client(), id(), seq()).prop_map(|(client, id, seq)| Input::Ended { client, id, seq }),
        (client(), id(), seq()).prop_map(|(client, id, seq)| Input::Error { client, id, seq }),
        (1u16..13, 0u64..30_000).prop_map(|(id, ms)| Input::Duration(
            MediaId::new(id).unwrap(),
            Duration::from_millis(ms)
        )),
    ]
}

proptest! {
    /// Whatever comes: every stop precedes its play, every play is over exactly once and ends by itself, and
    /// the LEDs told last are what plays.
    #[test]
    fn a_play_always_ends_and_the_leds_follow(
        steps in proptest::collection::vec((0u64..20_000, any_input()), 0..80),
        policy in 0usize..3,
        retrigger in 0usize..3,
    ) {
        let mut config = two_boards();
        config.may_end = [MayEnd::First, MayEnd::All, MayEnd::Primary][policy];
        config.retrigger = [Retrigger::Restart, Retrigger::Ignore, Retrigger::Stop][retrigger];
        let boards = config.boards.clone();
        let mut playback = Playback::new(config, 0);
        let mut now = Instant::ZERO;
        let mut running: Option<Playing> = None;
        let mut leds = [None; 2];
        for (pause, input) in steps.into_iter().chain([(700_000, Input::Play(0))]) {
            let until = now + Duration::from_millis(pause);
            let mut rounds = 0;
            loop {
                let deadline = playback.poll_timeout().filter(|deadline| *deadline < until);
                match deadline {
                    Some(deadline) => { now = now.max(deadline); playback.handle_timeout(now); }
                    None => { now = until; playback.handle(now, input); }
                }
                let mut stopped = false;
                while let Some(output) = playback.poll_output() {
                    match output {
                        Output::Stop => stopped = true,
                        Output::Play(playing) => {
                            prop_assert!(stopped && running.is_none());
                            running = Some(playing);
                        }
                        Output::Over(playing, _) => prop_assert_eq!(running.take(), Some(playing)),
                        Output::Led(BoardIndex(board), command) => {
                            if let Some(led) = leds.get_mut(usize::from(board)) {
                                *led = match command {
                                    LedCommand::Pressed(id) | LedCommand::Set(id) => Some(id),
                                    LedCommand::Clear { .. } => None,
                                };
                            }
                        }
                    }
                }
                prop_assert_eq!(playback.playing(), running);
                for (board, led) in boards.iter().zip(leds) {
                    prop_assert_eq!(led, running.and_then(|playing| board.button(playing.id)));
                }
                rounds += 1;
                prop_assert!(rounds < 100, "a deadline that does not pass");
                if deadline.is_none() { break; }
            }
        }
        prop_assert_eq!(running, None, "a play outlived its watchdog");
    }
}
