//! The input chain read in all three ways at one instant, for golden cases 8.2.

use core::fmt::Write as _;

use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal::spi::SpiBus;
use leitstand_core::limits::PANEL_CHIPS_MAX;
use leitstand_core::panel::chain::{
    BitBang, BitBus, LeadingEdge, LoadLevel, ReadChain, TrailingEdge,
};

use crate::bench::Bench;
use crate::chips::{Chips, Line, NoDelay, Pin, Spi};

/// Tells the first bit and the bytes that mode 1 clocks in, then the normal form of each reader: with the
/// rescue, in mode 0, and by hand.
pub fn tell(chips: &Chips, bench: &mut Bench) {
    let mut buffer = [0; PANEL_CHIPS_MAX];
    let bytes = &mut buffer[..chips.count()];
    let pin = |line| Pin(chips, line);
    let mode = |trailing| {
        let spi = Spi::new(chips);
        spi.trailing.set(trailing);
        spi
    };

    let Ok(()) = pin(Line::Load).set_high();
    let Ok(()) = pin(Line::Load).set_low();
    let Ok(first) = pin(Line::DataIn).is_high();
    bytes.fill(0);
    let Ok(()) = mode(true).transfer_in_place(bytes);
    let _ = write!(bench, "{} ", u8::from(first));
    hex(bench, bytes);

    let (load, high) = (pin(Line::Load), LoadLevel::High);
    // Simulated chips never fail.
    let _ = TrailingEdge::new(load, high, pin(Line::DataIn), NoDelay).read(&mut mode(true), bytes);
    hex(bench, bytes);
    let _ = LeadingEdge::new(load, high, NoDelay).read(&mut mode(false), bytes);
    hex(bench, bytes);
    let mut by_hand = BitBus {
        clock: pin(Line::Clock),
        data_in: pin(Line::DataIn),
        data_out: pin(Line::DataOut),
    };
    let _ = BitBang::new(load, high, NoDelay).read(&mut by_hand, bytes);
    hex(bench, bytes);
}

fn hex(bench: &mut Bench, bytes: &[u8]) {
    bytes.iter().for_each(|byte| {
        let _ = write!(bench, "{byte:02x}");
    });
    let _ = bench.write_char(' ');
}
