//! SPI buses, for shift registers that hang on one.

use crate::group;
use linux_embedded_hal::SpidevBus;
use linux_embedded_hal::spidev::{SpiModeFlags, SpidevOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Clock of a shift-register chain unless the configuration says otherwise. Reasoning: 64 bits last 64 µs, and a
/// metre of ribbon cable still has clean edges.
pub const CLOCK_HZ: u32 = 1_000_000;

/// A bus that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SpiError {
    /// No such device file.
    #[error(
        "there is no {}; switch SPI on (`dtparam=spi=on` on a Pi) or correct the path",
        path.display()
    )]
    NotFound {
        /// As configured.
        path: PathBuf,
    },
    /// No permission.
    #[error("no permission for {}; {remedy}", path.display())]
    Denied {
        /// As configured.
        path: PathBuf,
        /// What a person can do.
        remedy: String,
    },
    /// Anything else: no SPI device, or one that cannot do mode 0 or the clock.
    #[error("{} cannot be used as an SPI bus", path.display())]
    Io {
        /// As configured.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Opens `path` (as `/dev/spidev0.0`) in mode 0, highest bit first. Its chip-select moves with every transfer
/// and must be wired to nothing.
///
/// # Errors
/// See [`SpiError`].
pub fn open(path: &Path, clock_hz: u32) -> Result<SpidevBus, SpiError> {
    let mut bus = SpidevBus::open(path).map_err(|error| refused(path, copy(error.inner())))?;
    let options = SpidevOptions::new()
        .bits_per_word(8)
        .max_speed_hz(clock_hz)
        .mode(SpiModeFlags::SPI_MODE_0)
        .build();
    bus.0
        .configure(&options)
        .map_err(|error| refused(path, error))?;
    Ok(bus)
}

/// The library lends its error; ours outlives it.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(
        || io::Error::new(error.kind(), error.to_string()),
        io::Error::from_raw_os_error,
    )
}

fn refused(path: &Path, source: io::Error) -> SpiError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => SpiError::NotFound { path },
        io::ErrorKind::PermissionDenied => SpiError::Denied {
            remedy: group::remedy(&path),
            path,
        },
        _ => SpiError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_not_there_or_no_bus_is_told_with_its_remedy() {
        let text = open(Path::new("/dev/spidev9.9"), CLOCK_HZ)
            .err()
            .unwrap()
            .to_string();
        assert!(text.contains("dtparam=spi=on"), "{text}");
        let error = open(Path::new("/dev/null"), CLOCK_HZ).err().unwrap();
        assert!(matches!(error, SpiError::Io { .. }), "{error:?}");
    }
}
