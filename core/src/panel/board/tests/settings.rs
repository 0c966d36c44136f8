//! What a board keeps, and what it tells of a broken chain.

use super::*;
use crate::panel::name::BoardName;

/// Settings: what SAVE keeps, who is answered when, and that a board without storage refuses.
#[test]
fn settings_are_said_again_kept_on_save_and_answered_in_order() {
    let config = Config {
        keeps_settings: true,
        ..Bench::config(10)
    };
    let mut bench = Bench::with(config);
    bench.wait(SCAN_MS);
    bench.told.clear();
    assert_eq!(bench.ask("NAME hall-west\n"), "OK\n");
    assert_eq!(bench.ask("VERSION\n"), "FW hall-west v0.1.0\n");
    assert_eq!(bench.ask("BUTTONS 42\n"), "OK\n");
    assert_eq!(bench.ask("LEDSET 11\n"), "ERROR INVALID_ID\n", "still 10");
    assert_eq!(bench.ask("DEBOUNCE STABLE 50\n"), "OK\n");
    assert_eq!(bench.ask("BRIGHT 80\n"), "OK\n");
    assert_eq!(bench.board.wants_save(), None);
    assert_eq!(bench.ask("SAVE\n"), "", "answered when it is done");
    let kept = bench.board.wants_save().unwrap();
    assert_eq!(
        (kept.name.as_str(), kept.buttons.get(), kept.brightness),
        ("hall-west", 42, 80)
    );
    assert_eq!(kept.debounce, bench.board.debounce());
    bench.board.saved(true);
    bench.read();
    assert_eq!(bench.told(), "OK\n");
    bench.ask("SAVE\n");
    bench.board.saved(false);
    bench.read();
    assert_eq!(bench.told(), "ERROR BUSY\n");
    assert_eq!(Bench::new(10).ask("SAVE\n"), "ERROR UNKNOWN_CMD\n");
}

#[test]
fn settings_out_of_bounds_are_refused_and_change_nothing() {
    let mut bench = Bench::new(10);
    let before = bench.board.settings();
    for (line, answer) in [
        ("NAME\n", "ERROR MISSING_ID\n"),
        ("NAME two words\n", "ERROR LIMIT\n"),
        ("NAME aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", "ERROR LIMIT\n"),
        ("BUTTONS 0\n", "ERROR LIMIT\n"),
        ("BUTTONS 101\n", "ERROR LIMIT\n"),
        ("BUTTONS x\n", "ERROR INVALID_ID\n"),
        ("DEBOUNCE EAGER\n", "ERROR MISSING_ID\n"),
        ("DEBOUNCE QUICK 30\n", "ERROR INVALID_ID\n"),
        ("DEBOUNCE EAGER 9\n", "ERROR LIMIT\n"),
        ("DEBOUNCE EAGER 101\n", "ERROR LIMIT\n"),
        ("DEBOUNCE EAGER 3x\n", "ERROR INVALID_ID\n"),
    ] {
        assert_eq!(bench.ask(line), answer, "{line:?}");
    }
    assert_eq!(bench.board.settings(), before);
}

#[test]
fn settings_over_v2() {
    let config = Config {
        keeps_settings: true,
        ..Bench::config(10)
    };
    let mut bench = Bench::with(config);
    bench.wait(SCAN_MS);
    bench.told.clear();
    bench.enter_v2();
    let name = BoardName::new("x").unwrap();
    bench.frame(frame::FromHost::Name { tag: 1, name });
    bench.frame(frame::FromHost::Buttons { tag: 2, count: 100 });
    bench.frame(frame::FromHost::Buttons { tag: 3, count: 0 });
    bench.frame(frame::FromHost::Save { tag: 4 });
    assert_eq!(
        bench
            .board
            .wants_save()
            .map(|kept| (kept.name, kept.buttons.get())),
        Some((name, 100))
    );
    bench.board.saved(true);
    bench.read();
    let (ack, nak) = (|tag| frame::FromDevice::Ack { tag }, frame::nak::LIMIT);
    assert_eq!(
        bench.frames(),
        [
            ack(1),
            ack(2),
            frame::FromDevice::Nak { tag: 3, code: nak },
            ack(4)
        ]
    );
}

/// A broken chain is told once it lasts, again to a host that comes later, and is over with the first good scan.
#[test]
fn a_chain_that_cannot_be_read_is_a_fault() {
    let mut bench = Bench::v2(10);
    let faults = |bench: &mut Bench| {
        bench.read();
        let is_fault =
            |frame: &frame::FromDevice| matches!(frame, frame::FromDevice::Fault { code: 3, .. });
        bench.frames().into_iter().filter(is_fault).count()
    };
    (0..19).for_each(|_| bench.board.chain_failed(0));
    bench.wait(SCAN_MS);
    assert_eq!(faults(&mut bench), 0, "a glitch");
    (0..300).for_each(|_| bench.board.chain_failed(0));
    assert_eq!(faults(&mut bench), 1);
    bench.board.scan(bench.now + V2_GONE, None);
    bench.now += V2_GONE;
    bench.enter_v2();
    assert_eq!(faults(&mut bench), 1, "told to the next host");
}
