//! What a round of the firmware costs, and that its arithmetic is the host's.

use super::qemu::{self, Cable};
use leitstand_core::panel::frame::{self, FromHost};

/// Instructions that 1 ms has at 160 MHz, if each took one cycle.
const PER_MS: u64 = 160_000;
/// Cycles an instruction, with a margin for flash misses, branches and loads. An estimate, measured on no chip.
const CYCLES: u64 = 2;
/// The chips' own time for 13 and 13, at 500 kHz and 1 MHz. Source: panel specification 2.3.
const TRANSFER_US: u64 = 208 + 104;

/// Issue 3, line 5: scan, debounce and LED update of 100 buttons.
#[test]
fn a_round_for_a_hundred_buttons_fits_into_a_millisecond() {
    let Some(machine) = qemu::find("cost") else {
        return;
    };
    // The instruction counter is the clock: the same numbers on every machine, however busy.
    let printed = machine.run(&["-icount", "shift=0"]);
    eprintln!("instructions a round, 100 buttons:\n{printed}");
    let mut cases = 0;
    for line in printed.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let most: u64 = words[6].parse().unwrap_or_else(|_| panic!("{line:?}"));
        let us = most * CYCLES * 1000 / PER_MS + TRANSFER_US;
        // A hundred in one scan is beyond any hand: 64 messages are written in that round.
        if words[2] != "a-hundred-at-once" {
            assert!(us < 1000, "{line}: about {us} us");
        }
        assert!(most > 1000, "{line}: not counted");
        cases += 1;
    }
    assert_eq!(cases, 20);
}

/// All that a panel does once, a hundred buttons, both protocols, flash: measured, not added up from frames.
#[test]
fn the_stack_stays_within_its_budget() {
    /// An ESP32-C3 leaves 300 kB to it.
    const BUDGET: usize = 32 << 10;
    let Some(machine) = qemu::find("panel") else {
        return;
    };
    let mut board = machine.start(&Cable::Socket, &[]);
    board.go("by-hand 0 announce 0 buttons 100");
    board.tell("scan 1");
    board.say(b"STATUS\nHELP\nNAME x\nLEDALL\nSAVE\nTEST\n");
    board.tell("scan 400");
    board.say(b"HELLO 2\n");
    // Sixteen at a time: what nobody reads yet must fit into the socket.
    for first in (1..=85).step_by(16) {
        let ids: Vec<String> = (first..first + 16).map(|id| id.to_string()).collect();
        board.tell(&format!("hold {}", ids.join(" ")));
        for _ in 0..10 {
            let (_, told) = board.ask("scan 1");
            board.hear(told);
        }
    }
    board.say(&frame::encode(&FromHost::StatusReq));
    board.say(&frame::encode(&FromHost::Save { tag: 1 }));
    let deepest: usize = board
        .ask("stack")
        .0
        .split(" ")
        .next()
        .unwrap()
        .parse()
        .unwrap();
    eprintln!("deepest stack of the panel: {deepest} bytes");
    assert!((1024..BUDGET).contains(&deepest), "{deepest}");
}

/// Models case N3 and issue 6, line 6: the same bits on another machine, through an exported model too.
#[test]
fn golden_n3_models_give_the_same_bits_on_risc_v() {
    let mut host = String::new();
    leitstand_firmware::models::trace(&mut host).unwrap();
    assert!(host.lines().count() > 9 * 300);
    assert!(!host.contains("refuse"));
    let Some(machine) = qemu::find("models") else {
        return;
    };
    let emulated = machine.run(&[]);
    for (ours, theirs) in host.lines().zip(emulated.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(host.lines().count(), emulated.lines().count());
}
