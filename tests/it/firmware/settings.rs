//! Settings said over the cable survive a reset of the emulated board, and the end of QEMU.

use super::qemu::{self, Board, Cable, Machine};
use leitstand_core::panel::frame::{self, FromDevice, FromHost};
use leitstand_core::panel::name::BoardName;
use std::path::Path;

/// QEMU wants a flash of exactly this size; the file is sparse.
const FLASH: u64 = 32 << 20;

fn start(machine: &Machine, flash: &Path) -> Board {
    let drive = format!("if=pflash,unit=1,format=raw,file={}", flash.display());
    let mut board = machine.start(&Cable::Socket, &["-drive", &drive]);
    board.go("by-hand 0 announce 0 buttons 10");
    scan(&mut board);
    board
}

fn scan(board: &mut Board) -> String {
    let (_, told) = board.ask("scan 1");
    String::from_utf8(board.hear(told)).unwrap()
}

fn say(board: &mut Board, line: &str) -> String {
    String::from_utf8(board.say(format!("{line}\n").as_bytes())).unwrap()
}

fn reset(board: &mut Board) -> String {
    board.reset();
    board.go("by-hand 0 announce 0 buttons 10");
    scan(board)
}

#[test]
fn settings_survive_a_reset_and_the_end_of_the_machine() {
    let Some(machine) = qemu::find("panel") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let flash = folder.path().join("flash");
    std::fs::File::create(&flash)
        .unwrap()
        .set_len(FLASH)
        .unwrap();

    let mut board = start(&machine, &flash);
    for line in [
        "NAME hall-west",
        "BUTTONS 42",
        "DEBOUNCE STABLE 50",
        "BRIGHT 80",
    ] {
        assert_eq!(say(&mut board, line), "OK\n", "{line}");
    }
    assert!(
        reset(&mut board).contains("FW leitstand-panel "),
        "not kept without SAVE"
    );
    for line in [
        "NAME hall-west",
        "BUTTONS 42",
        "DEBOUNCE STABLE 50",
        "BRIGHT 80",
    ] {
        say(&mut board, line);
    }
    assert_eq!(
        say(&mut board, "SAVE\nPING"),
        "OK\nPONG\n",
        "answered in order"
    );
    assert_eq!(reset(&mut board), "READY\nFW hall-west v0.1.0\n");
    assert!(say(&mut board, "STATUS").contains("BTNS 42\nLEDS 42\n"));
    assert_eq!(say(&mut board, "LEDSET 42"), "OK\n");
    scan(&mut board);
    assert_eq!(
        board.ask("leds").0.split(' ').nth(1),
        Some("51"),
        "80 % of full, active low"
    );
    // 50 ms without a change, not the second sample: the window is the kept one.
    board.tell("hold 7");
    let told: Vec<String> = (0..11).map(|_| scan(&mut board)).collect();
    assert_eq!(told[..10].concat(), "");
    assert_eq!(told[10], "PRESS 007\n");

    drop(board);
    let mut board = start(&machine, &flash);
    assert_eq!(say(&mut board, "VERSION"), "FW hall-west v0.1.0\n");

    // In v2, and as the second record: the newer one counts.
    say(&mut board, "HELLO 2");
    let name = BoardName::new("hall-east").unwrap();
    for message in [FromHost::Name { tag: 1, name }, FromHost::Save { tag: 2 }] {
        let mut answer = board.say(&frame::encode(&message));
        assert_eq!(answer.pop(), Some(0));
        let answer = frame::decode::<FromDevice>(&mut answer);
        assert!(matches!(answer, Ok(FromDevice::Ack { .. })), "{answer:?}");
    }
    assert_eq!(reset(&mut board), "READY\nFW hall-east v0.1.0\n");
}
