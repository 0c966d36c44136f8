//! The shift-register boards of the core, edge by edge.
#![allow(clippy::unwrap_used)]

use super::*;
use leitstand_core::shift::{
    BitBang, Chain as _, Register, RegisterError, SpiChain, SpiChainError, shift,
};

type Board = Register<BitBang<Line, Line, Line>, Line>;

fn chain(bench: &Bench) -> BitBang<Line, Line, Line> {
    BitBang {
        data: bench.line("ds"),
        clock: bench.line("clock"),
        latch: bench.line("latch"),
    }
}

fn board(bench: &Bench) -> Board {
    Register::new(chain(bench), bench.line("oe")).unwrap()
}

fn text(edges: &[Edge]) -> String {
    let word = |e: &Edge| format!("{}{}", e.line, if e.high { "+" } else { "-" });
    edges.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn golden_shift_puts_the_highest_bit_first_with_one_pulse_a_bit() {
    let bench = Bench::default();
    let (mut data, mut clock) = (bench.line("ds"), bench.line("clock"));
    shift(0b101, 3, &mut data, &mut clock).unwrap();
    assert_eq!(
        text(&bench.take()),
        "ds+ clock+ clock- ds- clock+ clock- ds+ clock+ clock-"
    );
}

#[test]
fn golden_a_whole_image_is_64_pulses_then_one_of_the_latch() {
    let bench = Bench::default();
    chain(&bench).load(1 << 63).unwrap();
    let edges = bench.take();
    assert_eq!(edges.len(), 64 * 3 + 2);
    assert_eq!(text(&edges[..3]), "ds+ clock+ clock-");
    assert!(
        edges[3..192].iter().all(|e| e.line != "ds" || !e.high),
        "only bit 63 is set"
    );
    assert_eq!(text(&edges[192..]), "latch+ latch-");
}

#[test]
fn golden_output_n_is_bit_n_minus_1_also_on_short_chains() {
    for (stages, output) in [(24, 20), (16, 9), (64, 64), (8, 1)] {
        let bench = Bench::default();
        board(&bench).show(1 << (output - 1)).unwrap();
        assert_eq!(bench.seen(stages), [None, Some(1 << (output - 1))]);
    }
}

#[test]
fn outputs_are_held_off_until_the_first_image_and_never_show_a_part_of_one() {
    let bench = Bench::default();
    let mut board = board(&bench);
    assert_eq!(
        text(&bench.edges()),
        "oe+",
        "held off before anything moves"
    );
    for image in [0x1FF, 0x155, 0] {
        board.show(image).unwrap();
    }
    assert_eq!(bench.seen(9), [None, Some(0x1FF), Some(0x155), Some(0)]);
}

#[test]
fn a_failed_write_drops_the_outputs_and_a_good_one_brings_them_back() {
    let bench = Bench::default();
    let mut board = board(&bench);
    board.show(0b11).unwrap();
    bench.break_after("clock", 17);
    assert_eq!(board.show(0b01), Err(RegisterError::Chain(Broken)));
    assert!(!board.is_enabled());
    bench.heal();
    board.show(0b01).unwrap();
    assert_eq!(bench.seen(9), [None, Some(0b11), None, Some(0b01)]);
}

#[test]
fn an_output_enable_that_does_not_obey_is_an_error_of_its_own() {
    let bench = Bench::default();
    let mut board = board(&bench);
    bench.break_after("oe", 0);
    assert_eq!(board.show(1), Err(RegisterError::OutputEnable(Broken)));
    assert!(!board.is_enabled());
    assert!(board.hold_off().is_err());
}

#[test]
fn spi_and_lines_make_the_same_pulses() {
    let (lines, wires) = (Bench::default(), Bench::default());
    let mut by_spi = SpiChain {
        bus: wires.spi("ds", "clock"),
        latch: wires.line("latch"),
    };
    for image in [0x0012_3456_789A_BCDE, u64::MAX, 0] {
        chain(&lines).load(image).unwrap();
        by_spi.load(image).unwrap();
        assert_eq!(lines.take(), wires.take());
    }
    wires.break_after("clock", 5);
    assert_eq!(by_spi.load(1), Err(SpiChainError::Bus(Broken)));
    assert!(wires.take().iter().all(|e| e.line != "latch"));
}
