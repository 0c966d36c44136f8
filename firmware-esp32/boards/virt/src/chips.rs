//! Simulated shift registers on simulated wires: the model of `leitstand-hal-mock` without a heap.
//!
//! Edge by edge, so that a driver with a wrong mode, a missing rescue or a missing latch shows here too.

use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::sync::atomic::{AtomicU8, Ordering};

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{self, InputPin, OutputPin};
use embedded_hal::pwm::{self, SetDutyCycle};
use embedded_hal::spi::{self, SpiBus};
use leitstand_core::panel::{ButtonSet, PanelSize};

/// Level of the output-enable line, 255 = dark. Static, since a panic must reach it.
static OUTPUT_ENABLE: AtomicU8 = AtomicU8::new(255);

/// All LEDs off, by the line.
pub fn darken() {
    OUTPUT_ENABLE.store(255, Ordering::Relaxed);
}

/// The line's duty, 255 = dark.
#[must_use]
pub fn output_enable() -> u8 {
    OUTPUT_ENABLE.load(Ordering::Relaxed)
}

/// Both chains of a panel.
#[derive(Debug)]
pub struct Chips {
    positions: u32,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    /// Levels at the parallel inputs; button 1 is the highest bit, low = pressed.
    inputs: u128,
    /// Inputs that are at ground whoever holds what.
    grounded: u128,
    /// The input chain; its highest bit is on the data line to the master.
    shifting: u128,
    /// Level at the far end of the input chain.
    far_end: bool,
    load: bool,
    /// The output chain; its lowest bit is QA of the nearest chip, LED 1.
    shifted: u128,
    latched: u128,
    latch: bool,
    clock: bool,
    data: bool,
}

impl Chips {
    /// The chains of a panel; all buttons released, LEDs dark.
    #[must_use]
    pub const fn new(size: PanelSize) -> Self {
        Self {
            positions: size.chips() as u32 * 8,
            state: RefCell::new(State {
                inputs: u128::MAX,
                grounded: 0,
                shifting: u128::MAX,
                far_end: true,
                load: false,
                shifted: 0,
                latched: 0,
                latch: false,
                clock: false,
                data: false,
            }),
        }
    }

    /// Holds exactly these buttons down.
    pub fn hold(&self, pressed: ButtonSet) {
        let mut state = self.state.borrow_mut();
        state.inputs = u128::MAX;
        for id in pressed
            .iter()
            .filter(|id| (id.index() as u32) < self.positions)
        {
            state.inputs &= !(1 << (self.positions - 1 - id.index() as u32));
        }
        state.follow_inputs();
    }

    /// Pulls one position to ground, the spare ones too, or none; 0 = button 1. What is held stays held.
    pub fn ground(&self, position: Option<u32>) {
        let mut state = self.state.borrow_mut();
        state.grounded = match position {
            Some(position) if position < self.positions => 1 << (self.positions - 1 - position),
            _ => 0,
        };
        state.follow_inputs();
    }

    /// Chips of each chain.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.positions as usize / 8
    }

    /// The level at the far end; low is a chain that is cut.
    pub fn set_far_end(&self, high: bool) {
        self.state.borrow_mut().far_end = high;
    }

    /// The output latches, LED 1 in the lowest bit, spare outputs included.
    #[must_use]
    pub fn latched(&self) -> u128 {
        self.state.borrow().latched & self.mask()
    }

    /// Bits of the chain.
    const fn mask(&self) -> u128 {
        u128::MAX >> (128 - self.positions)
    }

    fn data_in(&self) -> bool {
        self.state.borrow().shifting >> (self.positions - 1) & 1 != 0
    }
}

impl State {
    /// While P/S is high the register is transparent.
    fn follow_inputs(&mut self) {
        if self.load {
            self.shifting = self.inputs & !self.grounded;
        }
    }

    fn set_clock(&mut self, high: bool) {
        let rising = high && !self.clock;
        self.clock = high;
        if rising {
            if !self.load {
                self.shifting = self.shifting << 1 | u128::from(self.far_end);
            }
            self.shifted = self.shifted << 1 | u128::from(self.data);
        }
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
#[derive(Clone, Copy, Debug)]
pub struct Pin<'a>(pub &'a Chips, pub Line);

impl Pin<'_> {
    fn set(self, high: bool) {
        let mut state = self.0.state.borrow_mut();
        match self.1 {
            Line::Load => {
                state.load = high;
                state.follow_inputs();
            }
            Line::Latch => {
                if high && !state.latch {
                    state.latched = state.shifted;
                }
                state.latch = high;
            }
            Line::Clock => state.set_clock(high),
            Line::DataOut => state.data = high,
            Line::DataIn => {}
        }
    }
}

impl digital::ErrorType for Pin<'_> {
    type Error = Infallible;
}

impl OutputPin for Pin<'_> {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.set(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.set(true);
        Ok(())
    }
}

impl InputPin for Pin<'_> {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        let state = self.0.state.borrow();
        Ok(match self.1 {
            Line::DataIn => self.0.data_in(),
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

/// An SPI bus with these chips on it, most significant bit first.
#[derive(Debug)]
pub struct Spi<'a> {
    chips: &'a Chips,
    /// Mode 1 instead of mode 0. Shared, since both chains hang on one bus.
    pub trailing: Cell<bool>,
}

impl<'a> Spi<'a> {
    /// In mode 0.
    #[must_use]
    pub const fn new(chips: &'a Chips) -> Self {
        Self {
            chips,
            trailing: Cell::new(false),
        }
    }

    fn transfer_byte(&mut self, byte: u8) -> u8 {
        let trailing = self.trailing.get();
        let mut read = 0;
        for bit in (0..8).rev() {
            let out = byte >> bit & 1 != 0;
            let mut sampled = self.chips.data_in();
            {
                let mut state = self.chips.state.borrow_mut();
                if !trailing {
                    state.data = out;
                }
                // Mode 1 puts its bit on the line with this edge, on which the chips still take the old one.
                state.set_clock(true);
                state.data = out;
            }
            if trailing {
                sampled = self.chips.data_in();
            }
            self.chips.state.borrow_mut().set_clock(false);
            read = read << 1 | u8::from(sampled);
        }
        read
    }
}

impl spi::ErrorType for Spi<'_> {
    type Error = Infallible;
}

impl SpiBus for Spi<'_> {
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

/// The output-enable line as a PWM.
#[derive(Clone, Copy, Debug)]
pub struct OutputEnable;

impl pwm::ErrorType for OutputEnable {
    type Error = Infallible;
}

impl SetDutyCycle for OutputEnable {
    fn max_duty_cycle(&self) -> u16 {
        255
    }

    fn set_duty_cycle(&mut self, duty: u16) -> Result<(), Infallible> {
        OUTPUT_ENABLE.store(duty.min(255) as u8, Ordering::Relaxed);
        Ok(())
    }
}

/// Simulated chips need no time.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _ns: u32) {}
}
