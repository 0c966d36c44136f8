//! # Battery monitors on I2C
//! Voltage and current of the back-up battery from an INA219 or INA226, behind [`BatteryGauge`].
//!
//! Only SMBus word reads are used, which every I2C adapter of Linux can do and which can be tested without a
//! chip. Both chips measure by themselves after power-on with their default settings, so that nothing is ever
//! written to them: a wrong address cannot upset another device.
//!
//! Source of registers and steps: data sheets SBOS448 (INA219) and SBOS547 (INA226).

use crate::group;
use leitstand_core::hal::{BatteryGauge, PortError};
use leitstand_core::units::{MicroAmp, MilliVolt};
use linux_embedded_hal::i2cdev::core::I2CDevice as _;
use linux_embedded_hal::i2cdev::linux::{LinuxI2CDevice, LinuxI2CError};
use rustix::io::Errno;
use std::io;
use std::path::PathBuf;

/// Register of the voltage across the shunt.
const SHUNT: u8 = 0x01;
/// Register of the voltage of the bus.
const BUS: u8 = 0x02;
/// INA219: the last conversion ran over; its values mean nothing.
const INA219_OVERFLOW: u16 = 1;

/// Which chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chip {
    /// 0 to 26 V in steps of 4 mV; shunt 10 µV.
    Ina219,
    /// 0 to 36 V in steps of 1.25 mV; shunt 2.5 µV.
    Ina226,
}

/// Where it is and what it measures over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// Which chip.
    pub chip: Chip,
    /// As `/dev/i2c-1`.
    pub bus: PathBuf,
    /// 7-bit address, 0x40 to 0x4F.
    pub address: u8,
    /// The shunt in micro-ohms; 0 = none, and no current is told.
    pub shunt_uohm: u32,
}

/// A gauge that cannot be had. Once open, errors are [`PortError`].
#[derive(Debug, thiserror::Error)]
pub enum GaugeError {
    /// No such bus.
    #[error("there is no {}; switch I2C on (`dtparam=i2c_arm=on` on a Pi) or correct the path", bus.display())]
    NotFound {
        /// As configured.
        bus: PathBuf,
    },
    /// No permission.
    #[error("no permission for {}; {remedy}", bus.display())]
    Denied {
        /// As configured.
        bus: PathBuf,
        /// What a person can do.
        remedy: String,
    },
    /// A kernel driver has the chip.
    #[error(
        "address {address:#04x} on {} belongs to a kernel driver; remove its overlay from the boot configuration",
        bus.display()
    )]
    InUse {
        /// As configured.
        bus: PathBuf,
        /// As configured.
        address: u8,
    },
    /// Nobody answers.
    #[error(
        "nobody answers at {address:#04x} on {}; check wiring and address (`i2cdetect -y 1` shows who is there)",
        bus.display()
    )]
    Silent {
        /// As configured.
        bus: PathBuf,
        /// As configured.
        address: u8,
    },
    /// Anything else.
    #[error("{} cannot be used", bus.display())]
    Io {
        /// As configured.
        bus: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Registers of 16 bits, high byte first.
pub trait Words: Send {
    /// Reads one.
    ///
    /// # Errors
    /// The system's.
    fn word(&mut self, register: u8) -> io::Result<u16>;
}

/// A chip on a bus of this machine.
pub struct Smbus(LinuxI2CDevice);

impl Words for Smbus {
    fn word(&mut self, register: u8) -> io::Result<u16> {
        // SMBus says low byte first; these chips send the high one first.
        self.0
            .smbus_read_word_data(register)
            .map(u16::swap_bytes)
            .map_err(system)
    }
}

/// An INA219 or INA226.
#[derive(Debug)]
pub struct Gauge<W> {
    words: W,
    chip: Chip,
    shunt_uohm: u32,
}

impl Gauge<Smbus> {
    /// Opens the bus and reads once.
    ///
    /// # Errors
    /// See [`GaugeError`].
    pub fn open(wiring: &Wiring) -> Result<Self, GaugeError> {
        let device = LinuxI2CDevice::new(&wiring.bus, wiring.address.into())
            .map_err(|error| refused(wiring, system(error)))?;
        let mut gauge = Self::new(Smbus(device), wiring.chip, wiring.shunt_uohm);
        gauge
            .words
            .word(BUS)
            .map_err(|error| refused(wiring, error))?;
        Ok(gauge)
    }
}

impl<W: Words> Gauge<W> {
    /// A gauge on registers that are open already.
    pub const fn new(words: W, chip: Chip, shunt_uohm: u32) -> Self {
        Self {
            words,
            chip,
            shunt_uohm,
        }
    }
}

impl<W: Words> BatteryGauge for Gauge<W> {
    fn voltage(&mut self) -> Result<MilliVolt, PortError> {
        let raw = self.words.word(BUS).map_err(|error| lost(&error))?;
        match self.chip {
            Chip::Ina219 if raw & INA219_OVERFLOW != 0 => {
                Err(PortError::Io(Errno::RANGE.raw_os_error()))
            }
            Chip::Ina219 => Ok(MilliVolt(i32::from(raw >> 3) * 4)),
            Chip::Ina226 => Ok(MilliVolt(i32::from(raw) * 5 / 4)),
        }
    }

    fn current(&mut self) -> Result<Option<MicroAmp>, PortError> {
        if self.shunt_uohm == 0 {
            return Ok(None);
        }
        let raw = self.words.word(SHUNT).map_err(|error| lost(&error))?;
        let nanovolt = i64::from(raw.cast_signed())
            * match self.chip {
                Chip::Ina219 => 10_000,
                Chip::Ina226 => 2_500,
            };
        // nV / µΩ = mA; the product stays far inside 64 bits.
        let microamp = nanovolt * 1_000 / i64::from(self.shunt_uohm);
        Ok(Some(MicroAmp(i32::try_from(microamp).map_err(|_| {
            PortError::Io(Errno::RANGE.raw_os_error())
        })?)))
    }
}

fn system(error: LinuxI2CError) -> io::Error {
    match error {
        LinuxI2CError::Io(error) => error,
        LinuxI2CError::Errno(number) => io::Error::from_raw_os_error(number),
    }
}

fn refused(wiring: &Wiring, source: io::Error) -> GaugeError {
    let bus = wiring.bus.clone();
    let address = wiring.address;
    match Errno::from_io_error(&source) {
        Some(Errno::NOENT) => GaugeError::NotFound { bus },
        Some(Errno::ACCESS | Errno::PERM) => GaugeError::Denied {
            remedy: group::remedy(&bus),
            bus,
        },
        Some(Errno::BUSY) => GaugeError::InUse { bus, address },
        Some(Errno::NXIO | Errno::REMOTEIO | Errno::TIMEDOUT) => {
            GaugeError::Silent { bus, address }
        }
        _ => GaugeError::Io { bus, source },
    }
}

fn lost(error: &io::Error) -> PortError {
    match Errno::from_io_error(error) {
        // The adapter went (USB), or the chip does not answer.
        Some(Errno::NODEV | Errno::NXIO | Errno::REMOTEIO) => PortError::Gone,
        Some(error) => PortError::Io(error.raw_os_error()),
        None => PortError::Gone,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Script {
        bus: u16,
        shunt: u16,
        error: Option<Errno>,
    }

    impl Words for Script {
        fn word(&mut self, register: u8) -> io::Result<u16> {
            match (self.error, register) {
                (Some(error), _) => Err(error.into()),
                (None, BUS) => Ok(self.bus),
                (None, SHUNT) => Ok(self.shunt),
                (None, other) => panic!("register {other} is never read"),
            }
        }
    }

    fn gauge(chip: Chip, bus: u16, shunt: u16, shunt_uohm: u32) -> Gauge<Script> {
        let error = None;
        Gauge::new(Script { bus, shunt, error }, chip, shunt_uohm)
    }

    #[test]
    fn golden_words_of_the_data_sheets() {
        // INA219: 0x0FA0 steps of 4 mV are 16 V; bit 1 only says that it is a new value.
        let mut ina219 = gauge(Chip::Ina219, 0x0FA0 << 3 | 0b10, 0x8300, 100_000);
        assert_eq!(ina219.voltage(), Ok(MilliVolt(16_000)));
        // -320 mV over 0.1 ohm.
        assert_eq!(ina219.current(), Ok(Some(MicroAmp(-3_200_000))));
        // INA226: 0x2570 steps of 1.25 mV are 11.98 V; 20 mV over 2 milliohms is 10 A.
        let mut ina226 = gauge(Chip::Ina226, 0x2570, 0x1F40, 2_000);
        assert_eq!(ina226.voltage(), Ok(MilliVolt(11_980)));
        assert_eq!(ina226.current(), Ok(Some(MicroAmp(10_000_000))));
    }

    #[test]
    fn without_a_shunt_there_is_a_voltage_and_no_current() {
        let mut gauge = gauge(Chip::Ina226, 0x2570, 0x1F40, 0);
        assert_eq!(gauge.current(), Ok(None));
    }

    #[test]
    fn an_overflow_is_an_error_and_not_a_value() {
        let mut over = gauge(Chip::Ina219, 0x0FA0 << 3 | 1, 0, 100_000);
        assert!(matches!(over.voltage(), Err(PortError::Io(_))));
        // 81 mV over a micro-ohm are 81 kA: a slip of the finger in the configuration.
        let mut silly = gauge(Chip::Ina226, 0, 0x7FFF, 1);
        assert!(matches!(silly.current(), Err(PortError::Io(_))));
    }

    #[test]
    fn a_chip_that_does_not_answer_has_gone() {
        for error in [Errno::NXIO, Errno::REMOTEIO] {
            let mut gauge = gauge(Chip::Ina226, 0, 0, 1000);
            gauge.words.error = Some(error);
            assert_eq!(gauge.voltage(), Err(PortError::Gone));
            assert_eq!(gauge.current(), Err(PortError::Gone));
        }
    }

    #[test]
    fn a_bus_that_is_not_there_is_told_with_its_remedy() {
        let wiring = |bus: &str| Wiring {
            chip: Chip::Ina219,
            bus: bus.into(),
            address: 0x40,
            shunt_uohm: 0,
        };
        let text = |bus: &str| Gauge::open(&wiring(bus)).err().unwrap().to_string();
        assert!(text("/dev/i2c-99").contains("dtparam=i2c_arm=on"));
        assert!(text("/dev/null").contains("/dev/null cannot be used"));
        let silent = refused(&wiring("/dev/i2c-1"), Errno::REMOTEIO.into()).to_string();
        assert!(
            silent.contains("0x40 on /dev/i2c-1") && silent.contains("wiring"),
            "{silent}"
        );
        let taken = refused(&wiring("/dev/i2c-1"), Errno::BUSY.into()).to_string();
        assert!(taken.contains("kernel driver"), "{taken}");
    }
}
