//! Own hardware traits, only where embedded-hal has none.
//!
//! Pins, SPI, I2C and delays are used through `embedded-hal` directly. `embedded-io` knows no time limit
//! on a read and no hang-up, and a bus master needs both: hence [`SerialPort`].

use crate::time::Duration;
use crate::units::{MicroAmp, MilliVolt};

/// Why a port did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortError {
    /// The device is gone (unplugged, hung up). Close it and open it anew.
    Gone,
    /// Nothing there to open. Retry later.
    NotFound,
    /// Another program holds it. Retry later and tell someone.
    Busy,
    /// No permission. Retrying does not help; a person must add the user to the device's group.
    Denied,
    /// Any other error, as the system's error number.
    Io(i32),
}

/// A serial line, owned by one thread. Object-safe, so a service need not know the platform.
pub trait SerialPort: Send {
    /// Waits at most `timeout` for input and returns how many bytes were read; 0 means the time is over.
    ///
    /// # Errors
    /// [`PortError::Gone`] on hang-up: the owner closes the port and opens it anew.
    fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, PortError>;

    /// Hands all `bytes` to the line. Returns when the system took them, which may be before they are sent.
    ///
    /// # Errors
    /// As [`read`](Self::read). The write is bounded in time; a line that takes nothing is [`PortError::Gone`].
    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError>;

    /// Drops what was received and not yet read. Returns how many bytes were dropped, when known.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn discard_input(&mut self) -> Result<usize, PortError>;
}

/// Whether the mains supply is present.
pub trait MainsSense: Send {
    /// `Ok(true)` while mains is present. Reads once, without waiting.
    ///
    /// # Errors
    /// The state is unknown; the caller shows a fault and keeps the last state.
    fn mains_ok(&mut self) -> Result<bool, PortError>;
}

/// Voltage, and where wired current, of the back-up battery.
pub trait BatteryGauge: Send {
    /// Terminal voltage.
    ///
    /// # Errors
    /// The voltage is unknown; the caller shows a battery fault, never a zero.
    fn voltage(&mut self) -> Result<MilliVolt, PortError>;
    /// Current, positive while charging. `Ok(None)` where no sensor is wired.
    ///
    /// # Errors
    /// As [`voltage`](Self::voltage).
    fn current(&mut self) -> Result<Option<MicroAmp>, PortError>;
}
