//! # Output boards on shift registers
//! An image of up to 64 outputs goes into a chain of 74HC595: shifted in bit by bit, shown at once by the latch.
//! Entry: [`Register`], over [`BitBang`] (three lines) or [`SpiChain`] (SPI and the latch line).
//!
//! Terms: *image* output n (from 1) is bit n - 1, 1 = energised. *OE* output-enable, active low: while it is
//! high all outputs of the chain float and every relay drops.
//!
//! Two rules, both so that a restart moves no relay that shall not move: OE stays high until the first whole
//! image is latched, and outputs change only at the latch, never while bits run through the chain.
//!
//! Deliberately absent: delays. A 74HC595 wants pulses of 20 ns at 4.5 V (100 ns at 2 V), below one pin access
//! on every machine this runs on.

use crate::time::{Duration, Instant};
use embedded_hal::digital::OutputPin;
use embedded_hal::spi::SpiBus;

/// Bits in a whole image. Shorter chains get them all: what comes first falls out at the far end.
pub const IMAGE_BITS: u8 = 64;

/// An unchanged image is written again after this time, so that a latch that a spark tripped is wrong for at
/// most as long. Source: `monitor.md` 7.
pub const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// Shifts the low `bits` of `image`, the highest of them first: the data line, then one high-low pulse of the
/// clock a bit. More than 64 bits are 64. Shows nothing yet.
///
/// # Errors
/// The first error of a line; the chain then holds a part of the image, not shown.
pub fn shift<E, D, C>(image: u64, bits: u8, data: &mut D, clock: &mut C) -> Result<(), E>
where
    D: OutputPin<Error = E>,
    C: OutputPin<Error = E>,
{
    for bit in (0..bits.min(IMAGE_BITS)).rev() {
        data.set_state((image >> bit & 1 != 0).into())?;
        clock.set_high()?;
        clock.set_low()?;
    }
    Ok(())
}

/// A chain of shift registers that takes a whole image.
pub trait Chain {
    /// Why it cannot.
    type Error;

    /// Shifts all of `image` in, then pulses the latch: the outputs go from the old image to the new one in
    /// one step.
    ///
    /// # Errors
    /// The outputs still stand at the old image, unless the latch itself failed.
    fn load(&mut self, image: u64) -> Result<(), Self::Error>;
}

/// A chain on three lines. Clock and latch rest low.
#[derive(Debug)]
pub struct BitBang<D, C, L> {
    /// DS, pin 14 of the first chip.
    pub data: D,
    /// SHCP, pin 11 of every chip.
    pub clock: C,
    /// STCP, pin 12 of every chip.
    pub latch: L,
}

impl<E, D, C, L> Chain for BitBang<D, C, L>
where
    D: OutputPin<Error = E>,
    C: OutputPin<Error = E>,
    L: OutputPin<Error = E>,
{
    type Error = E;

    fn load(&mut self, image: u64) -> Result<(), E> {
        shift(image, IMAGE_BITS, &mut self.data, &mut self.clock)?;
        self.latch.set_high()?;
        self.latch.set_low()
    }
}

/// A chain on an SPI bus (mode 0, most significant bit first) with a line of its own as latch.
#[derive(Debug)]
pub struct SpiChain<S, L> {
    /// MOSI on DS, SCK on SHCP.
    pub bus: S,
    /// STCP of every chip.
    pub latch: L,
}

/// What failed of an [`SpiChain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpiChainError<S, L> {
    /// The transfer.
    Bus(S),
    /// The latch line.
    Latch(L),
}

impl<S: SpiBus, L: OutputPin> Chain for SpiChain<S, L> {
    type Error = SpiChainError<S::Error, L::Error>;

    fn load(&mut self, image: u64) -> Result<(), Self::Error> {
        let sent = self.bus.write(&image.to_be_bytes());
        // A latch before the last bit would show a part of the image.
        sent.and_then(|()| self.bus.flush())
            .map_err(SpiChainError::Bus)?;
        self.latch.set_high().map_err(SpiChainError::Latch)?;
        self.latch.set_low().map_err(SpiChainError::Latch)
    }
}

/// An output board: a chain, and the line that lets its outputs act.
#[derive(Debug)]
pub struct Register<C, O> {
    chain: C,
    oe: O,
    enabled: bool,
}

/// Why a board does not show an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterError<C, O> {
    /// The chain did not take it. OE was dropped.
    Chain(C),
    /// Output-enable cannot be switched: nobody knows whether the outputs act.
    OutputEnable(O),
}

impl<C: Chain, O: OutputPin> Register<C, O> {
    /// A board whose outputs are held off. The owner asks for the line with a high level in the first place,
    /// so that not even the time until here lets stale bits act.
    ///
    /// # Errors
    /// [`RegisterError::OutputEnable`].
    pub fn new(chain: C, mut oe: O) -> Result<Self, RegisterError<C::Error, O::Error>> {
        oe.set_high().map_err(RegisterError::OutputEnable)?;
        Ok(Self {
            chain,
            oe,
            enabled: false,
        })
    }

    /// Shows `image`, and lets the outputs act if they do not yet.
    ///
    /// # Errors
    /// After any the outputs are held off (as far as OE obeys) until a later call succeeds.
    pub fn show(&mut self, image: u64) -> Result<(), RegisterError<C::Error, O::Error>> {
        if let Err(error) = self.chain.load(image) {
            // The first error is the one to tell; a second one changes nothing about what to do.
            let _ = self.hold_off();
            return Err(RegisterError::Chain(error));
        }
        if !self.enabled {
            self.oe.set_low().map_err(RegisterError::OutputEnable)?;
            self.enabled = true;
        }
        Ok(())
    }

    /// Drops every output of the board at once, whatever the chain holds.
    ///
    /// # Errors
    /// [`RegisterError::OutputEnable`]: they may still act.
    pub fn hold_off(&mut self) -> Result<(), RegisterError<C::Error, O::Error>> {
        self.enabled = false;
        self.oe.set_high().map_err(RegisterError::OutputEnable)
    }

    /// Whether the outputs act.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.enabled
    }
}

/// When an image is to be written: at a change at once, without one every [`REFRESH_EVERY`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    written: Option<(Instant, u64)>,
}

impl Pace {
    /// Whether `image` is to be written now.
    #[must_use]
    pub fn is_due(&self, now: Instant, image: u64) -> bool {
        self.written
            .is_none_or(|(at, shown)| shown != image || now.since(at) >= REFRESH_EVERY)
    }

    /// `image` was written at `now`.
    pub const fn wrote(&mut self, now: Instant, image: u64) {
        self.written = Some((now, image));
    }

    /// Nobody knows what the board shows; the next look writes.
    pub const fn forget(&mut self) {
        self.written = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_written_at_once_and_the_same_every_second() {
        let mut pace = Pace::default();
        let at = Instant::from_millis;
        assert!(pace.is_due(at(0), 0), "even an empty image is written once");
        pace.wrote(at(0), 0);
        assert!(!pace.is_due(at(999), 0));
        assert!(pace.is_due(at(1), 1));
        assert!(pace.is_due(at(1000), 0));
        pace.wrote(at(1000), 0);
        pace.forget();
        assert!(pace.is_due(at(1000), 0));
    }
}
