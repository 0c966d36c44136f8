//! The acceptance cases of `specs/fleet.md` section 10 that are the machine's alone, named after the case. Those
//! that need sockets, processes or files run in `tests/it/fleet*.rs`.

use expect_test::expect;

use super::*;

#[test]
fn a1_the_whole_life_of_a_session() {
    let button = device(1000, "test");
    let mut bench = Bench::new();
    bench.sequence("s1", std::slice::from_ref(&button), 0);
    bench.wait(0.5);
    for n in 1..=3 {
        bench.status(n, &button);
    }
    bench.status_of(
        "s1",
        DeviceState::Running,
        4,
        &button,
        Some("Default error"),
    );
    bench.status_of("s1", DeviceState::Disconnect, 5, &button, None);
    expect![[r#"
        0 module: connected 1000/0/test test1
        0 > connectResponse s1 OK
        0 > statusResponse #0
        0 module: status 1000/0/test test1 "d0"
        0 > command #0 1000/0/test ""
        0.5 module: status 1000/0/test test1 "d1"
        0.5 > statusResponse #1
        0.5 module: status 1000/0/test test1 "d2"
        0.5 > statusResponse #2
        0.5 module: status 1000/0/test test1 "d3"
        0.5 > statusResponse #3
        0.5 module: status 1000/0/test test1 "d4"
        0.5 module: error 1000/0/test test1 "Default error"
        0.5 > statusResponse #4
        0.5 module: status 1000/0/test test1 "d5"
        0.5 > statusResponse #5
        0.5 module: disconnected 1000/0/test test1 0
        0.5 > hint
    "#]]
    .assert_eq(&effects(&bench.log));
    assert_eq!(bench.phase(), Phase::AwaitConnect);
}

#[test]
fn a3_a_status_right_after_the_last_response_is_answered_at_once() {
    let button = device(1000, "test");
    for _ in 0..200 {
        let mut bench = Bench::running(std::slice::from_ref(&button));
        bench.status(1, &button);
        assert!(bench.log.contains("> statusResponse #1"), "{}", bench.log);
    }
}

#[test]
fn a3_a_status_before_the_last_response_is_kept() {
    let button = device(1000, "test");
    let mut bench = Bench::new();
    bench.connect("s1", std::slice::from_ref(&button));
    bench.status_of("s1", DeviceState::Connecting, 0, &button, None);
    bench.status(1, &button);
    assert!(!bench.take_log().contains("statusResponse #1"));
    bench.answer("s1", 0, Answer::Ok);
    assert!(bench.log.contains("> statusResponse #1"), "{}", bench.log);
}

#[test]
fn a4_another_session_is_ignored_and_does_not_keep_this_one_alive() {
    let button = device(1000, "test");
    let mut bench = Bench::new();
    bench.connect("s1", std::slice::from_ref(&button));
    bench.status_of("other", DeviceState::Connecting, 0, &button, None);
    bench.status_of("s1", DeviceState::Connecting, 0, &button, None);
    bench.answer("other", 0, Answer::Ok);
    bench.answer("s1", 0, Answer::Ok);
    bench.take_log();
    bench.wait(4.0);
    bench.status_of("other", DeviceState::Running, 1, &button, None);
    bench.answer("other", 0, Answer::Ok);
    bench.wait(2.0);
    expect![[r#"
        4 fact: ignored wrong_session
        4 fact: ignored wrong_session
        6 > hint
        6 module: disconnected 1000/0/test test1 1
        6 fact: ended Silent
    "#]]
    .assert_eq(&bench.log);
}

#[test]
fn a5_a_gap_is_held_and_answered_in_order() {
    let button = device(1000, "test");
    let mut bench = Bench::running(std::slice::from_ref(&button));
    for n in [1, 3, 2] {
        bench.status(n, &button);
    }
    expect![[r#"
        0 module: status 1000/0/test test1 "d1"
        0 > statusResponse #1
        0 module: status 1000/0/test test1 "d2"
        0 > statusResponse #2
        0 module: status 1000/0/test test1 "d3"
        0 > statusResponse #3
    "#]]
    .assert_eq(&effects(&bench.log));
}

#[test]
fn a6_a_gap_right_after_the_sequence_is_seen() {
    let button = device(1000, "test");
    let mut bench = Bench::running(std::slice::from_ref(&button));
    bench.status(3, &button);
    bench.status(2, &button);
    assert_eq!(effects(&bench.take_log()), "");
    bench.status(1, &button);
    let order: Vec<_> = bench.log.lines().filter(|l| l.contains('>')).collect();
    assert_eq!(
        order,
        [
            "0 > statusResponse #1",
            "0 > statusResponse #2",
            "0 > statusResponse #3"
        ]
    );

    let first_seen = Policy {
        baseline: Baseline::FirstSeen,
        ..policy()
    };
    let mut bench = Bench::with(first_seen, 0);
    bench.sequence("s1", std::slice::from_ref(&button), 0);
    bench.take_log();
    for n in [3, 2, 1] {
        bench.status(n, &button);
    }
    let order: Vec<_> = bench.log.lines().filter(|l| l.contains('>')).collect();
    assert_eq!(order, ["0 > statusResponse #3"], "as the original does it");
}

#[test]
fn a7_a_gap_that_stays_ends_the_session() {
    let button = device(1000, "test");
    let mut bench = Bench::running(std::slice::from_ref(&button));
    bench.status(1, &button);
    bench.wait(1.0);
    bench.status(6, &button);
    bench.take_log();
    bench.wait(10.0);
    expect![[r#"
        4 > hint
        4 module: disconnected 1000/0/test test1 1
        4 fact: ended StatusMissing(2)
    "#]]
    .assert_eq(&bench.log);
}

#[test]
fn a8_a_repeated_status_is_answered_once() {
    let button = device(1000, "test");
    let mut bench = Bench::running(std::slice::from_ref(&button));
    bench.status(1, &button);
    bench.status(1, &button);
    assert_eq!(bench.log.matches("statusResponse").count(), 1);
}

#[test]
fn a9_each_silence_has_its_end_and_a_connect_is_welcome_at_once() {
    let button = device(1000, "test");
    let ends = |prepare: &dyn Fn(&mut Bench)| {
        let mut bench = Bench::new();
        prepare(&mut bench);
        bench.take_log();
        bench.wait(60.0);
        let end = bench.log.lines().find(|l| l.contains("ended"));
        let end = end.unwrap_or("never").to_owned();
        bench.connect("again", std::slice::from_ref(&button));
        assert!(bench.log.contains("connectResponse again OK"));
        end
    };
    // No timer runs while a Connect is awaited (`decisions.md` 42).
    assert_eq!(ends(&|_| {}), "never");
    let connect = |b: &mut Bench| b.connect("s1", std::slice::from_ref(&button));
    assert_eq!(ends(&connect), "3 fact: ended NoFirstStatus");
    assert_eq!(
        ends(&|b| {
            connect(b);
            b.status_of("s1", DeviceState::Connecting, 0, &button, None);
        }),
        "3 fact: ended NoFirstResponse"
    );
    assert_eq!(
        ends(&|b| {
            b.sequence("s1", std::slice::from_ref(&button), 0);
            b.offer(1000, &button, "x");
        }),
        "3 fact: ended CommandUnanswered(1)"
    );
    assert_eq!(
        ends(&|b| b.sequence("s1", std::slice::from_ref(&button), 0)),
        "6 fact: ended Silent"
    );
}

#[test]
fn a10_a_device_of_an_unknown_module_does_not_keep_the_vehicle_out() {
    let devices = [device(1000, "test"), device(2, "io")];
    let mut bench = Bench::new();
    bench.sequence("s1", &devices, 0);
    expect![[r#"
        0 module: connected 1000/0/test test1
        0 > connectResponse s1 OK
        0 > statusResponse #0
        0 > statusResponse #1
        0 module: status 1000/0/test test1 "d0"
        0 > command #0 1000/0/test ""
        0 > command #1 2/0/io ""
    "#]]
    .assert_eq(&effects(&bench.log));
    assert_eq!(bench.phase(), Phase::Running);
    assert!(!bench.log.contains("NoSupportedDevice"));
}

#[test]
fn when_no_module_wants_any_device_the_session_stays_and_somebody_is_told() {
    let mut bench = Bench::new();
    bench.sequence("s1", &[device(2, "io")], 0);
    assert_eq!(bench.phase(), Phase::Running);
    assert!(bench.log.contains("NoSupportedDevice"), "{}", bench.log);
}

#[test]
fn a11_a_type_that_the_module_does_not_know_is_answered_and_not_forwarded() {
    let button = device(1000, "test");
    let mut odd = device(1000, "odd");
    odd.device_type = 9;
    let mut bench = Bench::running(std::slice::from_ref(&button));
    bench.status_of("s1", DeviceState::Connecting, 1, &odd, None);
    bench.feed(Input::Admitted(&Key::of(&odd), Err(Refused::NoSuchType)));
    bench.take_log();
    bench.status(2, &odd);
    expect![[r#"
        0 fact: status
        0 fact: ignored not_forwarded
        0 > statusResponse #2
    "#]]
    .assert_eq(&bench.log);
}

#[test]
fn a12_another_name_is_the_same_device() {
    let button = device(1000, "test");
    let renamed = Device {
        device_name: "newest".into(),
        priority: 5,
        ..button.clone()
    };
    let mut bench = Bench::running(std::slice::from_ref(&button));
    bench.status_of("s1", DeviceState::Connecting, 1, &renamed, None);
    bench.status_of("s1", DeviceState::Disconnect, 2, &renamed, None);
    expect![[r#"
        0 module: status 1000/0/test newest "d1"
        0 > statusResponse #1
        0 module: status 1000/0/test newest "d2"
        0 > statusResponse #2
        0 module: disconnected 1000/0/test newest 0
        0 > hint
    "#]]
    .assert_eq(&effects(&bench.log));
}

#[test]
fn a14_a_connect_while_running() {
    let button = device(1000, "test");
    let mut bench = Bench::running(std::slice::from_ref(&button));
    bench.connect("s1", std::slice::from_ref(&button));
    bench.connect("s2", std::slice::from_ref(&button));
    expect![[r#"
        0 > connectResponse s1 ALREADY_LOGGED
        0 module: disconnected 1000/0/test test1 1
        0 module: connected 1000/0/test test1
        0 > connectResponse s2 OK
    "#]]
    .assert_eq(&effects(&bench.log));
    bench.take_log();
    // A Connect in the middle of a sequence: the same is answered once more, another one takes over.
    bench.connect("s2", std::slice::from_ref(&button));
    bench.connect("s2", std::slice::from_ref(&button));
    assert_eq!(bench.log.matches("connectResponse s2 OK").count(), 1);
    bench.connect("s3", std::slice::from_ref(&button));
    bench.status_of("s3", DeviceState::Connecting, 7, &button, None);
    bench.take_log();
    bench.connect("s3", std::slice::from_ref(&button));
    assert!(bench.log.contains("connectResponse s3 OK"), "{}", bench.log);
}

#[test]
fn a15_answers_to_commands() {
    let (button, lamp) = (device(1000, "test"), device(1000, "lamp"));
    let mut bench = Bench::running(&[button.clone(), lamp.clone()]);
    for text in ["one", "two", "three", "four"] {
        bench.offer(1000, &button, text);
    }
    bench.take_log();
    bench.answer("s1", 3, Answer::Ok);
    bench.answer("s1", 2, Answer::Ok);
    bench.answer("s1", 99, Answer::Ok);
    bench.answer("s1", 4, Answer::DeviceNotSupported);
    bench.answer("s1", 5, Answer::DeviceNotConnected);
    expect![[r#"
        0 module: ack 1000/0/test test1 "one"
        0 fact: acked 1
        0 module: ack 1000/0/test test1 "two"
        0 fact: acked 2
        0 fact: ignored unknown_command
        0 fact: refused 3 DeviceNotSupported
        0 module: disconnected 1000/0/test test1 0
        0 fact: disconnected 1000/0/test
        0 fact: refused 4 DeviceNotConnected
    "#]]
    .assert_eq(&bench.log);
    assert_eq!(bench.phase(), Phase::Running, "the lamp is still there");
    bench.offer(1000, &lamp, "last");
    bench.answer("s1", 6, Answer::DeviceNotConnected);
    assert_eq!(bench.phase(), Phase::AwaitConnect, "ended at once");
}

#[test]
fn a16_command_numbers_go_on_over_sessions_and_over_the_wrap() {
    let button = device(1000, "test");
    let mut bench = Bench::with(policy(), u32::MAX - 1);
    bench.sequence("s1", std::slice::from_ref(&button), 0);
    bench.offer(1000, &button, "x");
    bench.sequence("s2", std::slice::from_ref(&button), 0);
    bench.offer(1000, &button, "y");
    let numbers: Vec<_> = bench
        .log
        .lines()
        .filter_map(|l| l.split_once("> command #")?.1.split(' ').next())
        .collect();
    assert_eq!(numbers, ["4294967294", "4294967295", "0", "1"]);
}

#[test]
fn a23_what_is_no_message_is_counted_and_nothing_else() {
    let button = device(1000, "test");
    let mut bench = Bench::running(std::slice::from_ref(&button));
    bench.raw(b"\xffgarbage", false);
    bench.raw(b"", false);
    bench.raw(&vec![0x0a; wire::PAYLOAD_BYTES_MAX], false);
    bench.raw(&vec![0; wire::PAYLOAD_BYTES_MAX + 1], false);
    bench.raw(b"\x0a\x04\x0a\x02s9", true);
    expect![[r#"
        0 fact: ignored undecodable
        0 fact: ignored empty
        0 fact: ignored undecodable
        0 fact: ignored too_long
        0 fact: ignored retained
    "#]]
    .assert_eq(&bench.log);
    bench.status(1, &button);
    assert!(bench.log.contains("statusResponse #1"));
}

#[test]
fn a_hostile_connect_has_no_effect() {
    let button = device(1000, "test");
    let mut bench = Bench::new();
    bench.connect("", std::slice::from_ref(&button));
    bench.connect(&"x".repeat(257), std::slice::from_ref(&button));
    bench.connect("s1", &[]);
    let many: Vec<_> = (0..300).map(|n| device(1000, &n.to_string())).collect();
    bench.connect("s1", &many);
    bench.send(external_client::Message::Connect(Connect {
        session_id: "s1".into(),
        company: "other".into(),
        devices: vec![button],
        ..Connect::default()
    }));
    expect![[r#"
        0 fact: ignored no_session_id
        0 fact: ignored long_session_id
        0 fact: ignored no_devices
        0 fact: ignored too_many_devices
        0 fact: ignored foreign_connect
    "#]]
    .assert_eq(&bench.log);
    assert_eq!(bench.phase(), Phase::AwaitConnect);
}

#[test]
fn a_first_status_that_is_running_ends_the_session() {
    let button = device(1000, "test");
    let mut bench = Bench::new();
    bench.connect("s1", std::slice::from_ref(&button));
    bench.take_log();
    bench.status(0, &button);
    assert_eq!(
        effects(&bench.log),
        "0 > hint\n0 module: disconnected 1000/0/test test1 1\n"
    );
}

#[test]
fn every_status_in_normal_communication_is_answered_whatever_its_state() {
    let (button, stranger) = (device(1000, "test"), device(1000, "stranger"));
    let mut bench = Bench::running(std::slice::from_ref(&button));
    bench.status(1, &stranger);
    bench.status_of("s1", DeviceState::Error, 2, &button, Some("broken"));
    bench.status_of("s1", DeviceState::Error, 3, &stranger, None);
    bench.status_of("s1", DeviceState::Disconnect, 4, &stranger, None);
    bench.status_of("s1", DeviceState::Connecting, 5, &stranger, None);
    expect![[r#"
        0 > statusResponse #1
        0 module: status 1000/0/test test1 "d2"
        0 module: error 1000/0/test test1 "broken"
        0 > statusResponse #2
        0 > statusResponse #3
        0 > statusResponse #4
        0 module: connected 1000/0/stranger stranger1
        0 module: status 1000/0/stranger stranger1 "d5"
        0 > statusResponse #5
    "#]]
    .assert_eq(&effects(&bench.log));
}

#[test]
fn a_command_waits_for_its_device_or_expires() {
    let (button, lamp) = (device(1000, "test"), device(1000, "lamp"));
    let mut bench = Bench::running(std::slice::from_ref(&button));
    bench.offer(1000, &lamp, "later");
    bench.offer_for(1000, &lamp, "never", Some(Duration::from_secs(2)));
    bench.offer(2, &button, "foreign");
    bench.wait(2.0);
    bench.status_of("s1", DeviceState::Connecting, 1, &lamp, None);
    let log = bench.take_log();
    assert!(log.contains("0 fact: dropped 3 WrongModule"), "{log}");
    assert!(log.contains("2 fact: expired 2"), "{log}");
    assert!(
        log.contains("2 > command #1 1000/0/lamp \"later\""),
        "{log}"
    );
}

#[test]
fn what_was_offered_before_the_first_device_is_stale_what_comes_after_is_the_first_command() {
    let button = device(1000, "test");
    let mut bench = Bench::new();
    bench.offer(1000, &button, "stale");
    bench.connect("s1", std::slice::from_ref(&button));
    assert!(bench.log.contains("fact: dropped 1 Stale"), "{}", bench.log);
    bench.offer(1000, &button, "first");
    bench.offer(1000, &button, "second");
    bench.take_log();
    bench.status_of("s1", DeviceState::Connecting, 0, &button, None);
    bench.answer("s1", 0, Answer::Ok);
    expect![[r#"
        0 > statusResponse #0
        0 module: status 1000/0/test test1 "d0"
        0 > command #0 1000/0/test "first"
        0 module: ack 1000/0/test test1 "first"
        0 > command #1 1000/0/test "second"
    "#]]
    .assert_eq(&effects(&bench.log));
}

#[test]
fn twenty_commands_are_under_way_and_a_hundred_wait() {
    let button = device(1000, "test");
    let mut bench = Bench::running(std::slice::from_ref(&button));
    for _ in 0..UNDER_WAY_MAX + WAITING_MAX + 1 {
        bench.offer(1000, &button, "x");
    }
    assert_eq!(bench.car.snapshot().commands, (WAITING_MAX, UNDER_WAY_MAX));
    assert!(
        bench.log.contains("dropped 21 PushedOut"),
        "the oldest that waits"
    );
    bench.answer("s1", 1, Answer::Ok);
    assert_eq!(
        bench.car.snapshot().commands,
        (WAITING_MAX - 1, UNDER_WAY_MAX)
    );
}

#[test]
fn the_end_of_the_broker_ends_the_session_without_a_hint() {
    let button = device(1000, "test");
    let mut bench = Bench::running(std::slice::from_ref(&button));
    bench.offer(1000, &button, "x");
    bench.take_log();
    bench.feed(Input::Offline);
    bench.status(1, &button);
    bench.feed(Input::Online);
    bench.feed(Input::Stop);
    expect![[r#"
        0 fact: unanswered 1
        0 module: disconnected 1000/0/test test1 1
        0 fact: ended BrokerLost
    "#]]
    .assert_eq(&bench.log);
    assert_eq!(bench.phase(), Phase::Stopped);
}

#[test]
fn a21_a_stop_gives_the_hint_and_tells_the_modules() {
    let button = device(1000, "test");
    let mut bench = Bench::running(std::slice::from_ref(&button));
    bench.feed(Input::Stop);
    assert_eq!(
        effects(&bench.log),
        "0 > hint\n0 module: disconnected 1000/0/test test1 1\n"
    );
}
