//! Simulated shift registers: a chain of CD4021B and a chain of 74HC595 on one clock.
//!
//! Edge by edge, so that a driver with a wrong mode, a missing rescue or a missing latch shows. Clones are
//! the same chips.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{ErrorType as PinErrorType, InputPin, OutputPin};
use embedded_hal::spi::{ErrorType as SpiErrorType, SpiBus};
use leitstand_core::panel::{ButtonId, ButtonSet, PanelSize};

/// Both chains of a panel.
#[derive(Clone, Debug)]
pub struct Chips(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Levels at the parallel inputs, in the order in which they leave: button 1 first. Low = pressed.
    inputs: Vec<bool>,
    /// The input chain; `[0]` is on the data line to the master.
    shifting: Vec<bool>,
    /// P/S: high is transparent.
    load: bool,
    /// The output chain; `[0]` is QA of the nearest chip.
    shifted: Vec<bool>,
    /// What the LEDs show.
    latched: Vec<bool>,
    latch: bool,
    clock: bool,
    /// Level of the master's data line.
    data: bool,
    /// Rising clock edges so far.
    edges: u64,
}

impl Chips {
    /// The chains of a panel; all buttons released, LEDs dark.
    #[must_use]
    pub fn new(size: PanelSize) -> Self {
        let positions = size.chips() * 8;
        Self(Arc::new(Mutex::new(State {
            inputs: vec![true; positions],
            shifting: vec![true; positions],
            load: false,
            shifted: vec![false; positions],
            latched: vec![false; positions],
            latch: false,
            clock: false,
            data: false,
            edges: 0,
        })))
    }

    /// Holds exactly these buttons down.
    pub fn hold(&self, pressed: ButtonSet) {
        let mut state = self.state();
        for (index, level) in state.inputs.iter_mut().enumerate() {
            let id = u8::try_from(index + 1).ok().and_then(ButtonId::new);
            *level = !id.is_some_and(|id| pressed.contains(id));
        }
        state.follow_inputs();
    }

    /// Pulls one position of the input chain low or lets it go, the spare ones too; 0 = button 1.
    pub fn pull(&self, position: usize, low: bool) {
        let mut state = self.state();
        state.inputs[position] = !low;
        state.follow_inputs();
    }

    /// The LEDs that are lit. Spare outputs are not looked at, see [`latched`](Self::latched).
    #[must_use]
    pub fn lit(&self) -> ButtonSet {
        let state = self.state();
        let lit = state.latched.iter().enumerate().filter(|(_, on)| **on);
        lit.filter_map(|(index, _)| u8::try_from(index + 1).ok().and_then(ButtonId::new))
            .collect()
    }

    /// Levels of all outputs, LED 1 first.
    #[must_use]
    pub fn latched(&self) -> Vec<bool> {
        self.state().latched.clone()
    }

    /// Loses its supply and gets it back: LEDs dark.
    pub fn power_cycle(&self) {
        let mut state = self.state();
        state.shifted.fill(false);
        state.latched.fill(false);
    }

    /// Rising clock edges so far.
    #[must_use]
    pub fn edges(&self) -> u64 {
        self.state().edges
    }

    /// The bus of an SPI peripheral with these chips on it; `trailing` is mode 1, otherwise mode 0.
    #[must_use]
    pub fn spi(&self, trailing: bool) -> Spi {
        Spi {
            chips: self.clone(),
            trailing,
        }
    }

    /// A line to or from the chips.
    #[must_use]
    pub fn line(&self, line: Line) -> Pin {
        Pin {
            chips: self.clone(),
            line,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// While P/S is high the register is transparent.
    fn follow_inputs(&mut self) {
        if self.load {
            self.shifting.clone_from(&self.inputs);
        }
    }

    fn set_clock(&mut self, high: bool) {
        let rising = high && !self.clock;
        self.clock = high;
        if !rising {
            return;
        }
        self.edges += 1;
        if !self.load {
            self.shifting.remove(0);
            // DS of the farthest chip is tied high.
            self.shifting.push(true);
        }
        self.shifted.pop();
        self.shifted.insert(0, self.data);
    }

    fn set_latch(&mut self, high: bool) {
        if high && !self.latch {
            self.latched.clone_from(&self.shifted);
        }
        self.latch = high;
    }
}

/// Which line a [`Pin`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// P/S of the input chain.
    Load,
    /// Storage clock of the output chain.
    Latch,
    /// Shift clock of both.
    Clock,
    /// From the master to the output chain.
    DataOut,
    /// From the input chain to the master.
    DataIn,
}

/// One line as an embedded-hal pin.
#[derive(Clone, Debug)]
pub struct Pin {
    chips: Chips,
    line: Line,
}

impl PinErrorType for Pin {
    type Error = Infallible;
}

impl Pin {
    fn set(&mut self, high: bool) {
        let mut state = self.chips.state();
        match self.line {
            Line::Load => {
                state.load = high;
                state.follow_inputs();
            }
            Line::Latch => state.set_latch(high),
            Line::Clock => state.set_clock(high),
            Line::DataOut => state.data = high,
            Line::DataIn => {}
        }
    }
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.set(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.set(true);
        Ok(())
    }
}

impl InputPin for Pin {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        let state = self.chips.state();
        Ok(match self.line {
            Line::DataIn => state.shifting[0],
            Line::Load => state.load,
            Line::Latch => state.latch,
            Line::Clock => state.clock,
            Line::DataOut => state.data,
        })
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        self.is_high().map(|high| !high)
    }
}

/// An SPI bus, most significant bit first.
#[derive(Clone, Debug)]
pub struct Spi {
    chips: Chips,
    trailing: bool,
}

impl Spi {
    fn transfer_byte(&mut self, byte: u8) -> u8 {
        let mut state = self.chips.state();
        let mut read = 0;
        for bit in (0..8).rev() {
            let out = byte >> bit & 1 != 0;
            let sampled = if self.trailing {
                // Data changes with the leading edge, on which the chips still take the old level, and is
                // sampled with the trailing one.
                state.set_clock(true);
                state.data = out;
                let sampled = state.shifting[0];
                state.set_clock(false);
                sampled
            } else {
                state.data = out;
                // Sampled with the edge on which the chips shift: their delay lets the old level stand.
                let sampled = state.shifting[0];
                state.set_clock(true);
                state.set_clock(false);
                sampled
            };
            read = read << 1 | u8::from(sampled);
        }
        read
    }
}

impl SpiErrorType for Spi {
    type Error = Infallible;
}

impl SpiBus for Spi {
    fn read(&mut self, words: &mut [u8]) -> Result<(), Infallible> {
        words.fill(0xff); // what is sent while reading is not specified, so make it matter
        self.transfer_in_place(words)
    }

    fn write(&mut self, words: &[u8]) -> Result<(), Infallible> {
        for word in words {
            self.transfer_byte(*word);
        }
        Ok(())
    }

    fn transfer(&mut self, read: &mut [u8], write: &[u8]) -> Result<(), Infallible> {
        for index in 0..read.len().max(write.len()) {
            let word = self.transfer_byte(write.get(index).copied().unwrap_or(0));
            if let Some(place) = read.get_mut(index) {
                *place = word;
            }
        }
        Ok(())
    }

    fn transfer_in_place(&mut self, words: &mut [u8]) -> Result<(), Infallible> {
        for word in words {
            *word = self.transfer_byte(*word);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Simulated chips need no time.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _ns: u32) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use leitstand_core::panel::chain::{
        BitBang, BitBangLatched, BitBus, Latched, LeadingEdge, LoadLevel, ReadChain, TrailingEdge,
        Wiring, WriteChain, rescue,
    };

    fn size(buttons: u8) -> PanelSize {
        PanelSize::new(buttons).unwrap()
    }

    fn set(ids: &[u8]) -> ButtonSet {
        ids.iter().map(|id| ButtonId::new(*id).unwrap()).collect()
    }

    /// The buttons of all golden cases, and what only a whole walk through the chain shows.
    fn cases(buttons: u8) -> Vec<ButtonSet> {
        let mut cases: Vec<ButtonSet> = (1..=buttons).map(|id| set(&[id])).collect();
        let two = set(&[3, 7]).intersection(size(buttons).all());
        cases.extend([set(&[]), two, size(buttons).all()]);
        cases
    }

    fn bit_bus(chips: &Chips) -> BitBus<Pin, Pin, Pin> {
        BitBus {
            clock: chips.line(Line::Clock),
            data_in: chips.line(Line::DataIn),
            data_out: chips.line(Line::DataOut),
        }
    }

    #[test]
    fn g_in_10_three_ways_to_read_agree() {
        for buttons in [1, 8, 10, 100] {
            let (chips, wiring) = (Chips::new(size(buttons)), Wiring::new(size(buttons)));
            let load = || chips.line(Line::Load);
            let mut trailing =
                TrailingEdge::new(load(), LoadLevel::High, chips.line(Line::DataIn), NoDelay);
            let mut leading = LeadingEdge::new(load(), LoadLevel::High, NoDelay);
            let mut by_hand = BitBang::new(load(), LoadLevel::High, NoDelay);
            for pressed in cases(buttons) {
                chips.hold(pressed);
                let mut read = [
                    vec![0; size(buttons).chips()],
                    vec![0; size(buttons).chips()],
                    vec![0; size(buttons).chips()],
                ];
                trailing.read(&mut chips.spi(true), &mut read[0]).unwrap();
                leading.read(&mut chips.spi(false), &mut read[1]).unwrap();
                by_hand.read(&mut bit_bus(&chips), &mut read[2]).unwrap();
                for normal in &read {
                    assert_eq!(wiring.pressed(normal), pressed, "{buttons} buttons");
                    assert_eq!(normal, &read[0]);
                }
            }
        }
    }

    #[test]
    fn g_in_1_to_9_what_mode_1_clocks_in() {
        let clocked = |buttons: u8, pressed: &[u8]| {
            let chips = Chips::new(size(buttons));
            chips.hold(set(pressed));
            chips.line(Line::Load).set_high().unwrap();
            chips.line(Line::Load).set_low().unwrap();
            let first = chips.line(Line::DataIn).is_high().unwrap();
            let mut bytes = vec![0; size(buttons).chips()];
            chips.spi(true).transfer_in_place(&mut bytes).unwrap();
            (first, bytes)
        };
        let of_13 = |byte: usize, value: u8| {
            let mut bytes = vec![0xff; 13];
            bytes[byte] = value;
            bytes
        };
        assert_eq!(clocked(10, &[]), (true, vec![0xff, 0xff]));
        assert_eq!(clocked(10, &[1]), (false, vec![0xff, 0xff]));
        assert_eq!(clocked(10, &[8]), (true, vec![0xfd, 0xff]));
        assert_eq!(clocked(10, &[9]), (true, vec![0xfe, 0xff]));
        assert_eq!(clocked(10, &[10]), (true, vec![0xff, 0x7f]));
        assert_eq!(clocked(10, &[3, 7]), (true, vec![0xbb, 0xff]));
        assert_eq!(clocked(100, &[42]), (true, of_13(5, 0x7f)));
        assert_eq!(clocked(100, &[97]), (true, of_13(11, 0xfe)));
        assert_eq!(clocked(100, &[100]), (true, of_13(12, 0xdf)));
    }

    #[test]
    fn g_in_11_without_the_rescue_every_button_moves_by_one() {
        let chips = Chips::new(size(10));
        chips.hold(set(&[2]));
        let mut load = chips.line(Line::Load);
        load.set_high().unwrap();
        load.set_low().unwrap();
        let mut bytes = [0; 2];
        chips.spi(true).transfer_in_place(&mut bytes).unwrap();
        assert_eq!(Wiring::new(size(10)).pressed(&bytes), set(&[1]));
        rescue(true, &mut bytes);
        assert_eq!(Wiring::new(size(10)).pressed(&bytes), set(&[2]));
    }

    #[test]
    fn each_led_is_lit_by_both_ways_to_write() {
        for buttons in [1, 8, 10, 100] {
            let (chips, wiring) = (Chips::new(size(buttons)), Wiring::new(size(buttons)));
            let mut latched = Latched::new(chips.line(Line::Latch), NoDelay);
            let mut by_hand = BitBangLatched::new(chips.line(Line::Latch), NoDelay);
            for lit in cases(buttons) {
                latched
                    .write(&mut chips.spi(false), &wiring.led_bytes(lit))
                    .unwrap();
                assert_eq!(chips.lit(), lit);
                let spare = &chips.latched()[usize::from(buttons)..];
                assert!(spare.iter().all(|on| !on), "spare outputs stay dark");
                chips.power_cycle();
                by_hand
                    .write(&mut bit_bus(&chips), &wiring.led_bytes(lit))
                    .unwrap();
                assert_eq!(chips.lit(), lit);
            }
        }
    }

    #[test]
    fn reading_shows_nothing_on_the_leds() {
        let (chips, wiring) = (Chips::new(size(10)), Wiring::new(size(10)));
        let mut latched = Latched::new(chips.line(Line::Latch), NoDelay);
        latched
            .write(&mut chips.spi(false), &wiring.led_bytes(set(&[4])))
            .unwrap();
        let mut leading = LeadingEdge::new(chips.line(Line::Load), LoadLevel::High, NoDelay);
        leading.read(&mut chips.spi(false), &mut [0; 2]).unwrap();
        assert_eq!(chips.lit(), set(&[4]));
    }
}
