//! Lines by the registers of a Raspberry Pi.
//!
//! Compiled in CI, executed nowhere but on a Pi: the library refuses any other machine. It does not know other
//! chips than the header's, so that the chip's name is checked to be that one's and then left alone.

use super::{Edge, GpioError, Pull};
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use rppal::gpio::{Error, Gpio, Level, Pin, Trigger};
use std::io;
use std::time::Duration;

/// Labels of the chips behind the 40-pin header.
const HEADER: [&str; 3] = ["pinctrl-rp1", "pinctrl-bcm2711", "pinctrl-bcm2835"];

/// A line that we drive. Back to what it was when this is dropped.
#[derive(Debug)]
pub struct OutputLine(rppal::gpio::OutputPin);

impl OutputLine {
    /// As with the character device; `purpose` is not shown to anybody.
    ///
    /// # Errors
    /// Every kind of [`GpioError`] but `Ambiguous` and `Gone`.
    pub fn open(chip: &str, line: u32, high: bool, purpose: &str) -> Result<Self, GpioError> {
        let pin = pin(chip, line, purpose)?;
        Ok(Self(if high {
            pin.into_output_high()
        } else {
            pin.into_output_low()
        }))
    }
}

impl ErrorType for OutputLine {
    type Error = GpioError;
}

impl OutputPin for OutputLine {
    fn set_low(&mut self) -> Result<(), GpioError> {
        self.0.set_low();
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), GpioError> {
        self.0.set_high();
        Ok(())
    }
}

/// A line that we read.
#[derive(Debug)]
pub struct InputLine(rppal::gpio::InputPin);

impl InputLine {
    /// As with the character device.
    ///
    /// # Errors
    /// Every kind of [`GpioError`] but `Ambiguous` and `Gone`.
    pub fn open(chip: &str, line: u32, pull: Pull, purpose: &str) -> Result<Self, GpioError> {
        let pin = pin(chip, line, purpose)?;
        let mut pin = match pull {
            Pull::AsIs => pin.into_input(),
            Pull::Up => pin.into_input_pullup(),
            Pull::Down => pin.into_input_pulldown(),
        };
        pin.set_interrupt(Trigger::Both, None)
            .map_err(|error| refused(chip, line, error))?;
        Ok(Self(pin))
    }

    /// As with the character device.
    ///
    /// # Errors
    /// [`GpioError::Io`].
    pub fn wait_edge(&mut self, timeout: Duration) -> Result<Option<Edge>, GpioError> {
        let event = self
            .0
            .poll_interrupt(false, Some(timeout))
            .map_err(|error| other("waiting for a GPIO edge", error))?;
        Ok(event.and_then(|event| match event.trigger {
            Trigger::RisingEdge => Some(Edge::Rising),
            Trigger::FallingEdge => Some(Edge::Falling),
            Trigger::Both | Trigger::Disabled => None,
        }))
    }
}

impl ErrorType for InputLine {
    type Error = GpioError;
}

impl InputPin for InputLine {
    fn is_high(&mut self) -> Result<bool, GpioError> {
        Ok(self.0.read() == Level::High)
    }

    fn is_low(&mut self) -> Result<bool, GpioError> {
        Ok(self.0.read() == Level::Low)
    }
}

fn pin(chip: &str, line: u32, _purpose: &str) -> Result<Pin, GpioError> {
    if !HEADER.contains(&chip) {
        return Err(GpioError::NoSuchChip {
            wanted: chip.to_owned(),
            present: HEADER.map(str::to_owned).to_vec(),
        });
    }
    let number = u8::try_from(line).unwrap_or(u8::MAX);
    Gpio::new()
        .and_then(|gpio| gpio.get(number))
        .map_err(|error| refused(chip, line, error))
}

fn refused(chip: &str, line: u32, error: Error) -> GpioError {
    match error {
        Error::PinUsed(_) => GpioError::InUse {
            chip: chip.to_owned(),
            line,
            by: "leitstand itself".into(),
        },
        Error::PinNotAvailable(_) => GpioError::NoSuchLine {
            chip: chip.to_owned(),
            line,
            // The header's lines, 0 to 27.
            lines: 28,
        },
        Error::PermissionDenied(path) => GpioError::Denied {
            remedy: crate::group::remedy(path.as_ref()),
            path: path.into(),
        },
        error => other("taking a GPIO line by the Pi's registers", error),
    }
}

fn other(doing: &str, error: Error) -> GpioError {
    GpioError::Io {
        doing: doing.to_owned(),
        source: io::Error::other(error),
    }
}
