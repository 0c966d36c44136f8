//! The RA-GAS CO/NO2 combi sensor: 30 holding registers to two channels, and a channel to ppm.

use super::reading::FaultCode;
use crate::units::{Concentration, div_round};

/// One read takes this many registers, from register 0, function 3.
pub const REGISTERS: usize = 30;
/// The upper rail of the 10-bit converter.
const ADC_MAX: u16 = 1023;
/// Bit 0 of the configuration: the cell is switched on.
const CONFIG_ENABLED: u16 = 1;

/// What registers 10..=18 (channel 1, NO2) or 20..=28 (channel 2, CO) hold. Unchecked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    /// ADC counts, 0..=1023 over 5 V.
    pub adc: u16,
    /// Range in whole ppm.
    pub range_min: u16,
    /// Range in whole ppm.
    pub range_max: u16,
    /// Zero and span point.
    pub calibration: Calibration,
    /// Configuration bits; bit 0 = cell enabled.
    pub config: u16,
}

/// Two points of a straight line from ADC counts to ppm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Calibration {
    /// Counts at zero gas.
    pub adc_zero: u16,
    /// Counts at span gas.
    pub adc_span: u16,
    /// Concentration of the zero gas, whole ppm.
    pub ppm_zero: u16,
    /// Concentration of the span gas, whole ppm.
    pub ppm_span: u16,
}

/// Splits a block of 30 registers into `[NO2, CO]`: channel 1 and channel 2.
///
/// # Errors
/// [`FaultCode::WrongAddress`] when register 3 is not `address`; [`FaultCode::WrongDevice`] when registers 10
/// and 20 are not 1 and 2 (another device, or a layout older than firmware 0.11.1). The caller reports the
/// fault for both cells. Checks that concern one channel alone run when the station converts it.
pub fn decode(registers: &[u16; REGISTERS], address: u8) -> Result<[Channel; 2], FaultCode> {
    if registers[3] != u16::from(address) {
        return Err(FaultCode::WrongAddress);
    }
    if registers[10] != 1 || registers[20] != 2 {
        return Err(FaultCode::WrongDevice);
    }
    let channel = |base: usize| Channel {
        adc: registers[base + 1],
        range_min: registers[base + 2],
        range_max: registers[base + 3],
        calibration: Calibration {
            adc_zero: registers[base + 4],
            adc_span: registers[base + 5],
            ppm_zero: registers[base + 6],
            ppm_span: registers[base + 7],
        },
        config: registers[base + 8],
    };
    Ok([channel(10), channel(20)])
}

impl Channel {
    /// Whether the converter stands at one of its ends: a broken wire or a dead cell.
    #[must_use]
    pub const fn on_rail(&self) -> bool {
        self.adc == 0 || self.adc >= ADC_MAX
    }

    /// The concentration, unclamped: negative below the zero point.
    ///
    /// # Errors
    /// The first live check that fails: [`FaultCode::CellDisabled`], [`FaultCode::RangeInvalid`],
    /// [`FaultCode::CalibrationInvalid`], [`FaultCode::AdcRail`]. There is no value then.
    pub fn convert(&self) -> Result<Concentration, FaultCode> {
        let Calibration {
            adc_zero,
            adc_span,
            ppm_zero,
            ppm_span,
        } = self.calibration;
        if self.config & CONFIG_ENABLED == 0 {
            return Err(FaultCode::CellDisabled);
        }
        if self.range_min >= self.range_max {
            return Err(FaultCode::RangeInvalid);
        }
        if adc_zero == adc_span || ppm_zero == ppm_span {
            return Err(FaultCode::CalibrationInvalid);
        }
        if self.on_rail() {
            return Err(FaultCode::AdcRail);
        }
        let rise = (i64::from(ppm_span) - i64::from(ppm_zero)) * 1000;
        let counts = i64::from(self.adc) - i64::from(adc_zero);
        let span = i64::from(adc_span) - i64::from(adc_zero);
        let milli = i64::from(ppm_zero) * 1000 + div_round(counts * rise, span);
        // At most 65 535 ppm over one count: beyond any i32 only with a nonsensical calibration.
        i32::try_from(milli)
            .map(Concentration::from_milli)
            .map_err(|_| FaultCode::CalibrationInvalid)
    }

    /// Cell voltage in µV, rounded down, for display only: `adc * 5 V / 1024`.
    #[must_use]
    pub const fn microvolts(&self) -> u32 {
        (self.adc as u64 * 5_000_000 / 1024) as u32
    }
}

#[cfg(test)]
mod tests;
