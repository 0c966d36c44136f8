//! # Shift registers
//!
//! Buttons come in through a chain of CD4021B (or 74HC165), LEDs go out through a chain of 74HC595, eight
//! positions a chip, both on one clock line.
//!
//! Terms: *normal form* the bytes of the input chain in the order button 1 first, that is button `id` in
//! byte `(id-1)/8`, bit `7-(id-1)%8`, 0 = pressed. *Rescue* putting back the first bit, which a bus in SPI
//! mode 1 never samples. *Position* place in a chain, counted from the last bit clocked in.
//!
//! Two parts. [`Wiring`] turns bytes into buttons and LEDs into bytes, and is pure. The drivers below it
//! are generic over embedded-hal and give normal form whatever they are built on; three of them read, and
//! they agree on every input. One bus serves both chains: reading shifts zeros through the LED chain, which
//! shows nothing until the latch, so the LEDs are written after every read.

use core::marker::PhantomData;

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{ErrorKind as PinError, InputPin, OutputPin};
use embedded_hal::spi::{ErrorKind as SpiError, SpiBus};
use heapless::Vec;

use super::{ButtonSet, PanelSize};
use crate::limits::{PANEL_BUTTONS_MAX, PANEL_CHIPS_MAX};

/// Bytes of one chain.
pub type ChainBytes = Vec<u8, PANEL_CHIPS_MAX>;

/// Where each button and each LED sits in its chain, and which level means what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wiring {
    size: PanelSize,
    buttons: Positions,
    leds: Positions,
    /// A pressed button reads as 1 instead of 0.
    pressed_high: bool,
    /// A lit LED is a 0 instead of a 1 (open-drain stages).
    lit_low: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Positions {
    Straight,
    Table([u8; PANEL_BUTTONS_MAX]),
}

/// Why a table of positions is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WiringError {
    /// It needs exactly one position for each button.
    Length,
    /// This position is beyond the chain.
    Beyond(u8),
    /// This position is named twice.
    Twice(u8),
}

impl Wiring {
    /// Wired in order, buttons to ground, LED outputs active high.
    #[must_use]
    pub const fn new(size: PanelSize) -> Self {
        Self {
            size,
            buttons: Positions::Straight,
            leds: Positions::Straight,
            pressed_high: false,
            lit_low: false,
        }
    }

    /// Covers mis-wired buttons: entry `id-1` is the position of button `id`, counted from 0 at the **last**
    /// bit clocked in. Wired in order, button 1 of a two-chip chain is at 15.
    ///
    /// # Errors
    /// The table does not name one place of the chain for each button.
    pub fn with_button_positions(mut self, positions: &[u8]) -> Result<Self, WiringError> {
        self.buttons = self.table(positions)?;
        Ok(self)
    }

    /// Covers mis-wired LEDs: entry `id-1` is the position of LED `id`, counted from 0 at the **last** bit
    /// clocked out. Wired in order, LED 1 is at 0.
    ///
    /// # Errors
    /// As [`with_button_positions`](Self::with_button_positions).
    pub fn with_led_positions(mut self, positions: &[u8]) -> Result<Self, WiringError> {
        self.leds = self.table(positions)?;
        Ok(self)
    }

    /// A pressed button reads as 1.
    #[must_use]
    pub const fn with_pressed_high(mut self) -> Self {
        self.pressed_high = true;
        self
    }

    /// A lit LED is a 0 on the chain's output.
    #[must_use]
    pub const fn with_lit_low(mut self) -> Self {
        self.lit_low = true;
        self
    }

    /// How many buttons and LEDs the panel has.
    #[must_use]
    pub const fn size(&self) -> PanelSize {
        self.size
    }

    /// The pressed buttons of an input chain in normal form. Missing bytes and spare positions read as
    /// released.
    #[must_use]
    pub fn pressed(&self, normal: &[u8]) -> ButtonSet {
        let chips = self.size.chips();
        let released = if self.pressed_high { 0x00 } else { 0xff };
        self.size
            .all()
            .iter()
            .filter(|id| {
                let position = match &self.buttons {
                    Positions::Straight => chips * 8 - 1 - id.index(),
                    Positions::Table(table) => usize::from(table[id.index()]),
                };
                let byte = normal
                    .get(chips - 1 - position / 8)
                    .copied()
                    .unwrap_or(released);
                (byte >> (position % 8)) & 1 != released & 1
            })
            .collect()
    }

    /// The bytes that light `lit`, in sending order: the first one travels furthest. LEDs that the panel
    /// does not have stay dark, as do spare positions.
    #[must_use]
    pub fn led_bytes(&self, lit: ButtonSet) -> ChainBytes {
        let chips = self.size.chips();
        let mut bytes = ChainBytes::new();
        let dark = if self.lit_low { 0xff } else { 0x00 };
        // Never fails: a chain has at most PANEL_CHIPS_MAX chips.
        let _ = bytes.resize(chips, dark);
        for id in lit.intersection(self.size.all()) {
            let position = match &self.leds {
                Positions::Straight => id.index(),
                Positions::Table(table) => usize::from(table[id.index()]),
            };
            bytes[chips - 1 - position / 8] ^= 1 << (position % 8);
        }
        bytes
    }

    fn table(&self, positions: &[u8]) -> Result<Positions, WiringError> {
        if positions.len() != usize::from(self.size.get()) {
            return Err(WiringError::Length);
        }
        let mut table = [0; PANEL_BUTTONS_MAX];
        let mut seen = 0u128;
        for (entry, position) in table.iter_mut().zip(positions) {
            if usize::from(*position) >= self.size.chips() * 8 {
                return Err(WiringError::Beyond(*position));
            }
            if seen & (1 << position) != 0 {
                return Err(WiringError::Twice(*position));
            }
            seen |= 1 << position;
            *entry = *position;
        }
        Ok(Positions::Table(table))
    }
}

/// A table of button positions on its way to a board that keeps none; see [`Wiring::with_button_positions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ButtonPositions {
    table: [u8; PANEL_BUTTONS_MAX],
    size: PanelSize,
}

impl ButtonPositions {
    /// Entry `id-1` is the position of button `id`.
    ///
    /// # Errors
    /// As [`Wiring::with_button_positions`].
    pub fn new(size: PanelSize, positions: &[u8]) -> Result<Self, WiringError> {
        match Wiring::new(size).table(positions)? {
            Positions::Table(table) => Ok(Self { table, size }),
            Positions::Straight => Err(WiringError::Length),
        }
    }

    /// One entry for each button.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.table[..usize::from(self.size.get())]
    }
}

/// Puts the first bit back in front of what a mode-1 bus clocked in. The last clocked bit falls away: it
/// is the level at the far end of the chain.
pub fn rescue(first: bool, bytes: &mut [u8]) {
    let mut carry = u8::from(first);
    for byte in bytes {
        let next = *byte & 1;
        *byte = carry << 7 | *byte >> 1;
        carry = next;
    }
}

/// Compare value of the 8-bit PWM on output-enable (active low) for `percent` brightness, 0..=100.
#[must_use]
pub const fn oe_compare(percent: u8) -> u8 {
    let percent = if percent > 100 { 100 } else { percent as u16 };
    (255 - percent * 255 / 100) as u8
}

/// Why a chain could not be read or written. The caller shows a fault and tries again at the next scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// The SPI bus.
    Spi(SpiError),
    /// One of the lines.
    Pin(PinError),
}

fn spi(error: impl embedded_hal::spi::Error) -> ChainError {
    ChainError::Spi(error.kind())
}

fn pin(error: impl embedded_hal::digital::Error) -> ChainError {
    ChainError::Pin(error.kind())
}

/// Level of the load line that copies the buttons into the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadLevel {
    /// CD4021B.
    High,
    /// 74HC165.
    Low,
}

/// A driver of the input chain.
pub trait ReadChain {
    /// What both chains share.
    type Bus;

    /// Fills `normal`, one byte a chip, with the buttons of this instant in normal form. Takes about 20 µs a
    /// chip.
    ///
    /// # Errors
    /// The bus or a line failed; `normal` is then not to be used.
    fn read(&mut self, bus: &mut Self::Bus, normal: &mut [u8]) -> Result<(), ChainError>;
}

/// A driver of the output chain.
pub trait WriteChain {
    /// What both chains share.
    type Bus;

    /// Shows `bytes`, given in sending order.
    ///
    /// # Errors
    /// The bus or a line failed; the LEDs may show anything until the next write.
    fn write(&mut self, bus: &mut Self::Bus, bytes: &[u8]) -> Result<(), ChainError>;
}

/// Load pulse 5 µs, settle 1 µs. Source: panel specification 2.3.
struct Load<P, D> {
    line: P,
    level: LoadLevel,
    delay: D,
}

impl<P: OutputPin, D: DelayNs> Load<P, D> {
    fn pulse(&mut self) -> Result<(), ChainError> {
        let high = self.level == LoadLevel::High;
        self.line.set_state(high.into()).map_err(pin)?;
        self.delay.delay_us(5);
        self.line.set_state((!high).into()).map_err(pin)?;
        self.delay.delay_us(1);
        Ok(())
    }
}

/// Reads by SPI in **mode 1** (500 kHz) and an extra input line on the nearest chip's output, which gives
/// the bit that the bus misses. The bus must be in that mode when [`read`](ReadChain::read) is called.
pub struct TrailingEdge<B, P, I, D> {
    load: Load<P, D>,
    q8: I,
    bus: PhantomData<fn(B)>,
}

impl<B, P: OutputPin, I, D> TrailingEdge<B, P, I, D> {
    /// `load` is the parallel-load line, `q8` reads the data line.
    pub fn new(load: P, level: LoadLevel, q8: I, delay: D) -> Self {
        Self {
            load: Load {
                line: load,
                level,
                delay,
            },
            q8,
            bus: PhantomData,
        }
    }
}

impl<B: SpiBus, P: OutputPin, I: InputPin, D: DelayNs> ReadChain for TrailingEdge<B, P, I, D> {
    type Bus = B;

    fn read(&mut self, bus: &mut B, normal: &mut [u8]) -> Result<(), ChainError> {
        self.load.pulse()?;
        let first = self.q8.is_high().map_err(pin)?;
        // Zeros go out meanwhile; what `SpiBus::read` sends is not specified.
        normal.fill(0);
        bus.transfer_in_place(normal).map_err(spi)?;
        bus.flush().map_err(spi)?;
        rescue(first, normal);
        Ok(())
    }
}

/// Reads by SPI in **mode 0**: the bus samples on the edge on which the chips shift, and relies on their
/// propagation delay (at most 1 MHz on wires, 500 kHz for CD4021B). Needs no extra line and no change of
/// mode between reading and writing.
pub struct LeadingEdge<B, P, D> {
    load: Load<P, D>,
    bus: PhantomData<fn(B)>,
}

impl<B, P: OutputPin, D> LeadingEdge<B, P, D> {
    /// `load` is the parallel-load line.
    pub fn new(load: P, level: LoadLevel, delay: D) -> Self {
        Self {
            load: Load {
                line: load,
                level,
                delay,
            },
            bus: PhantomData,
        }
    }
}

impl<B: SpiBus, P: OutputPin, D: DelayNs> ReadChain for LeadingEdge<B, P, D> {
    type Bus = B;

    fn read(&mut self, bus: &mut B, normal: &mut [u8]) -> Result<(), ChainError> {
        self.load.pulse()?;
        normal.fill(0);
        bus.transfer_in_place(normal).map_err(spi)?;
        bus.flush().map_err(spi)
    }
}

/// Three lines worked by hand.
pub struct BitBus<C, I, O> {
    /// Clock of both chains, idle low.
    pub clock: C,
    /// Data from the input chain.
    pub data_in: I,
    /// Data to the output chain.
    pub data_out: O,
}

/// Reads by hand: sample, clock, sample, and no clock after the last bit.
pub struct BitBang<C, I, O, P, D> {
    load: Load<P, D>,
    bus: PhantomData<fn(C, I, O)>,
}

impl<C, I, O, P: OutputPin, D> BitBang<C, I, O, P, D> {
    /// `load` is the parallel-load line.
    pub fn new(load: P, level: LoadLevel, delay: D) -> Self {
        Self {
            load: Load {
                line: load,
                level,
                delay,
            },
            bus: PhantomData,
        }
    }
}

impl<C: OutputPin, I: InputPin, O, P: OutputPin, D: DelayNs> ReadChain for BitBang<C, I, O, P, D> {
    type Bus = BitBus<C, I, O>;

    fn read(&mut self, bus: &mut Self::Bus, normal: &mut [u8]) -> Result<(), ChainError> {
        self.load.pulse()?;
        let bits = normal.len() * 8;
        for bit in 0..bits {
            let level = bus.data_in.is_high().map_err(pin)?;
            let byte = &mut normal[bit / 8];
            *byte = *byte << 1 | u8::from(level);
            if bit + 1 < bits {
                clock(&mut bus.clock, &mut self.load.delay)?;
            }
        }
        Ok(())
    }
}

fn clock(line: &mut impl OutputPin, delay: &mut impl DelayNs) -> Result<(), ChainError> {
    line.set_high().map_err(pin)?;
    delay.delay_us(1);
    line.set_low().map_err(pin)?;
    delay.delay_us(1);
    Ok(())
}

/// Writes by SPI in mode 0 (1 MHz), then pulses the latch for 1 µs.
pub struct Latched<B, L, D> {
    latch: L,
    delay: D,
    bus: PhantomData<fn(B)>,
}

impl<B, L, D> Latched<B, L, D> {
    /// `latch` is the storage clock of all chips.
    pub fn new(latch: L, delay: D) -> Self {
        Self {
            latch,
            delay,
            bus: PhantomData,
        }
    }
}

fn latch(line: &mut impl OutputPin, delay: &mut impl DelayNs) -> Result<(), ChainError> {
    line.set_high().map_err(pin)?;
    delay.delay_us(1);
    line.set_low().map_err(pin)
}

impl<B: SpiBus, L: OutputPin, D: DelayNs> WriteChain for Latched<B, L, D> {
    type Bus = B;

    fn write(&mut self, bus: &mut B, bytes: &[u8]) -> Result<(), ChainError> {
        bus.write(bytes).map_err(spi)?;
        // The last bit must be out before the latch shows it.
        bus.flush().map_err(spi)?;
        latch(&mut self.latch, &mut self.delay)
    }
}

/// Writes by hand, then pulses the latch.
pub struct BitBangLatched<C, I, O, L, D> {
    latch: L,
    delay: D,
    bus: PhantomData<fn(C, I, O)>,
}

impl<C, I, O, L, D> BitBangLatched<C, I, O, L, D> {
    /// `latch` is the storage clock of all chips.
    pub fn new(latch: L, delay: D) -> Self {
        Self {
            latch,
            delay,
            bus: PhantomData,
        }
    }
}

impl<C: OutputPin, I, O: OutputPin, L: OutputPin, D: DelayNs> WriteChain
    for BitBangLatched<C, I, O, L, D>
{
    type Bus = BitBus<C, I, O>;

    fn write(&mut self, bus: &mut Self::Bus, bytes: &[u8]) -> Result<(), ChainError> {
        for bit in bytes
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        {
            bus.data_out.set_state((bit != 0).into()).map_err(pin)?;
            clock(&mut bus.clock, &mut self.delay)?;
        }
        latch(&mut self.latch, &mut self.delay)
    }
}

#[cfg(test)]
#[path = "chain/tests.rs"]
mod tests;
