//! The virtual board in virtual time. Over a real pseudo-terminal: `tests/it/panel_wire.rs`.
#![allow(clippy::unwrap_used)]

use super::*;

fn id(number: u8) -> ButtonId {
    ButtonId::new(number).unwrap()
}

struct Bench {
    board: VirtualBoard,
    now: Instant,
    told: String,
}

impl Bench {
    fn new(buttons: u8, kind: Kind) -> Self {
        let options = Options {
            kind,
            ..Options::new(PanelSize::new(buttons).unwrap())
        };
        let board = VirtualBoard::new(Instant::ZERO, options);
        let mut bench = Self {
            board,
            now: Instant::ZERO,
            told: String::new(),
        };
        bench.wait(200);
        bench
    }

    fn wait(&mut self, ms: u64) {
        for _ in 0..ms / 5 {
            self.board.scan(self.now);
            self.read();
            self.now += SCAN;
        }
    }

    fn read(&mut self) {
        let told = &mut self.told;
        self.board.transmit(|bytes| {
            told.push_str(std::str::from_utf8(bytes).unwrap());
            bytes.len()
        });
    }

    fn ask(&mut self, line: &str) -> String {
        self.board.receive(self.now, line.as_bytes());
        self.read();
        self.told()
    }

    fn told(&mut self) -> String {
        std::mem::take(&mut self.told)
    }

    fn lit(&self) -> Vec<u8> {
        self.board.lit().iter().map(ButtonId::get).collect()
    }
}

#[test]
fn a_hundred_buttons_through_thirteen_chips() {
    let mut bench = Bench::new(100, Kind::Leitstand);
    assert_eq!(bench.told(), "READY\nFW leitstand-panel v0.1.0\n");
    for number in 1..=100 {
        bench.board.tap(id(number));
        bench.wait(15);
        assert_eq!(bench.told(), format!("PRESS {number:03}\n"));
        assert_eq!(bench.lit(), [number]);
        bench.wait(100);
        assert_eq!(bench.told(), format!("RELEASE {number:03}\n"));
    }
}

#[test]
fn taps_keep_their_order() {
    let mut bench = Bench::new(10, Kind::Leitstand);
    bench.told();
    let taps = [3, 3, 9, 2, 2, 10, 1, 3];
    taps.iter().for_each(|number| bench.board.tap(id(*number)));
    while !bench.board.is_idle() {
        bench.wait(5);
    }
    let presses: Vec<u8> = bench
        .told()
        .lines()
        .filter_map(|line| line.strip_prefix("PRESS ")?.parse().ok())
        .collect();
    assert_eq!(presses, taps);
}

#[test]
fn a_reboot_is_dark_and_says_ready() {
    let mut bench = Bench::new(10, Kind::Leitstand);
    bench.board.tap(id(4));
    bench.wait(200);
    assert_eq!(bench.lit(), [4]);
    bench.told();
    bench.board.reboot(bench.now);
    assert_eq!(bench.lit(), []);
    bench.wait(200);
    assert_eq!(bench.told(), "READY\nFW leitstand-panel v0.1.0\n");
    assert!(
        bench.ask("HELLO 2\n").ends_with(" 00000002\n"),
        "another boot id"
    );
}

#[test]
fn a_silent_board_neither_hears_nor_speaks() {
    let mut bench = Bench::new(10, Kind::Leitstand);
    bench.told();
    bench.board.silence(true);
    assert_eq!(bench.ask("LEDSET 3\nPING\n"), "");
    bench.board.silence(false);
    bench.wait(5);
    assert_eq!(
        (bench.lit(), bench.ask("PING\n")),
        (vec![], "PONG\n".into())
    );
}

#[test]
fn a_lost_byte_is_lost_once() {
    let mut bench = Bench::new(10, Kind::Leitstand);
    bench.told();
    bench.board.lose_bytes(1);
    assert_eq!(bench.ask("PING\nPING\n"), "ONG\nPONG\n");
}

#[test]
fn generations_of_the_original() {
    for (generation, ready, version, hello, press, lit) in [
        (
            Generation::A,
            "Selection Panel starting\nREADY\nFW SelectionPanel v2.3.1\n",
            "FW SelectionPanel v2.3.1\n",
            "ERROR unknown command\n",
            "PRESS 003\nPRESS 003\n",
            &[][..],
        ),
        (
            Generation::B,
            "Selection Panel starting\r\nREADY\r\nFW SelectionPanel v2.4.2\r\n",
            "FW SelectionPanel v2.4.2\r\nOK\r\n",
            "ERROR UNKNOWN_CMD\r\n",
            "PRESS 003\r\nPRESS 003\r\n",
            &[3],
        ),
        (
            Generation::C,
            "READY\nFW selection-panel v2.5.1\n",
            "FW selection-panel v2.5.1\n",
            "ERROR UNKNOWN_CMD\n",
            "PRESS 003\n",
            &[3],
        ),
    ] {
        let mut bench = Bench::new(10, Kind::Original(generation));
        assert_eq!(bench.told(), ready, "{generation:?}");
        assert_eq!(bench.ask("VERSION\n"), version, "{generation:?}");
        assert_eq!(bench.ask("HELLO 2\n"), hello, "{generation:?}");
        bench.board.tap(id(3));
        bench.board.tap(id(3));
        bench.wait(500);
        assert_eq!(bench.told(), press, "{generation:?}");
        assert_eq!(bench.lit(), lit, "{generation:?}");
    }
}
