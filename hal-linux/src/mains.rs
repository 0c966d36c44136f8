//! Mains sense: a relay contact or an optocoupler on a GPIO line.

use crate::gpio::{GpioError, InputLine, Pull};
use embedded_hal::digital::InputPin as _;
use leitstand_core::hal::{MainsSense, PortError};

/// The line of one sense contact.
#[derive(Debug)]
pub struct MainsLine {
    line: InputLine,
    present: bool,
}

impl MainsLine {
    /// Opens the line. `active_low`: mains is present while it is low, as with a contact to ground; the pull-up
    /// of the chip is then switched on, so that a broken wire reads as "no mains".
    ///
    /// # Errors
    /// See [`GpioError`].
    pub fn open(chip: &str, line: u32, active_low: bool) -> Result<Self, GpioError> {
        // A broken wire must look like lost mains either way.
        let pull = if active_low { Pull::Up } else { Pull::Down };
        Ok(Self {
            line: InputLine::open(chip, line, pull, "mains")?,
            present: !active_low,
        })
    }
}

impl MainsSense for MainsLine {
    fn mains_ok(&mut self) -> Result<bool, PortError> {
        match self.line.is_high() {
            Ok(high) => Ok(high == self.present),
            Err(GpioError::Gone { .. }) => Err(PortError::Gone),
            Err(GpioError::Io { source, .. }) => {
                Err(PortError::Io(source.raw_os_error().unwrap_or_default()))
            }
            // Reading an open line has no other errors.
            Err(_) => Err(PortError::Gone),
        }
    }
}
