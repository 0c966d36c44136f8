//! What a poll of a cell brings: a value in one of several forms, a fault, or a failure to ask.

use super::ra_gas;
use crate::units::{Concentration, MicroAmp};

/// One poll of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A value in the cell's unit, may be negative. Simulated cells and `replay`.
    Value(Concentration),
    /// A channel of a RA-GAS combi sensor, unchecked; the station runs the live checks.
    RaGas(ra_gas::Channel),
    /// A loop current, 0..=25 000 µA; scaled by the cell's curve.
    Current(MicroAmp),
    /// The sensor answered and reported a fault itself. Faulty at once.
    Reported(FaultCode),
    /// No answer, or one that cannot be trusted.
    Failed(PollFailure),
}

/// Why a poll brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PollFailure {
    /// No answer within the time limit.
    Timeout,
    /// An answer with a wrong checksum.
    Crc,
    /// A Modbus exception with its code.
    Exception(u8),
    /// An answer of the wrong length or kind.
    Length,
}

impl PollFailure {
    /// The fault that too many of these become.
    #[must_use]
    pub const fn fault(self) -> FaultCode {
        match self {
            Self::Timeout => FaultCode::Timeout,
            Self::Crc => FaultCode::Crc,
            Self::Exception(_) => FaultCode::Exception,
            Self::Length => FaultCode::Length,
        }
    }
}

/// Why a cell is faulty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum FaultCode {
    /// Five polls in a row failed, the last for want of an answer.
    Timeout,
    /// Five polls in a row failed, the last with a wrong checksum.
    Crc,
    /// Five polls in a row failed, the last with a Modbus exception.
    Exception,
    /// Five polls in a row failed, the last with a wrong length.
    Length,
    /// 10 s without a good poll.
    Silence,
    /// The ADC stands at a rail, 0 or 1023: broken wire or dead cell, never a concentration.
    AdcRail,
    /// The device answers with another address in register 3.
    WrongAddress,
    /// The device's cell numbers are not those of a RA-GAS combi sensor.
    WrongDevice,
    /// Range minimum not below range maximum.
    RangeInvalid,
    /// Zero point and span point coincide.
    CalibrationInvalid,
    /// The cell is configured here but switched off in the device.
    CellDisabled,
    /// More than 10 % of the range below zero.
    ZeroDrift,
    /// Loop current too low for 5 s.
    WireBreak,
    /// Loop current too high for 5 s.
    ShortCircuit,
    /// A code of the sensor that this list does not know; the shell keeps the text under this number.
    Other(u16),
}

impl FaultCode {
    /// The stable text of the API; `None` for [`Other`](Self::Other), whose text the shell knows.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        Some(match self {
            Self::Timeout => "timeout",
            Self::Crc => "crc",
            Self::Exception => "exception",
            Self::Length => "length",
            Self::Silence => "silence",
            Self::AdcRail => "adc_rail",
            Self::WrongAddress => "wrong_address",
            Self::WrongDevice => "wrong_device",
            Self::RangeInvalid => "range_invalid",
            Self::CalibrationInvalid => "calibration_invalid",
            Self::CellDisabled => "cell_disabled",
            Self::ZeroDrift => "zero_drift",
            Self::WireBreak => "wire_break",
            Self::ShortCircuit => "short_circuit",
            Self::Other(_) => return None,
        })
    }

    /// The inverse of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        const ALL: [FaultCode; 14] = [
            FaultCode::Timeout,
            FaultCode::Crc,
            FaultCode::Exception,
            FaultCode::Length,
            FaultCode::Silence,
            FaultCode::AdcRail,
            FaultCode::WrongAddress,
            FaultCode::WrongDevice,
            FaultCode::RangeInvalid,
            FaultCode::CalibrationInvalid,
            FaultCode::CellDisabled,
            FaultCode::ZeroDrift,
            FaultCode::WireBreak,
            FaultCode::ShortCircuit,
        ];
        ALL.into_iter().find(|fault| fault.as_str() == Some(code))
    }
}

/// Something a technician should look at; the value still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Warning {
    /// Above the range: counts as a measurement and never clears an alarm.
    OverRange,
    /// Loop current between the fault limit and the lowest valid one; the value is taken as the range's start.
    UnderRange,
    /// Loop current above the highest valid one, still a measurement.
    Saturated,
    /// The loop current is bad for less than 5 s; the last good value is held.
    Held,
    /// More than 3 % of the range below zero.
    ZeroDrift,
    /// The device's calibration differs from the one at commissioning, until confirmed.
    CalibrationChanged,
    /// The raw value did not change in 24 h.
    StuckSuspect,
}

impl Warning {
    /// All, in the order of the API.
    pub const ALL: [Self; 7] = [
        Self::OverRange,
        Self::UnderRange,
        Self::Saturated,
        Self::Held,
        Self::ZeroDrift,
        Self::CalibrationChanged,
        Self::StuckSuspect,
    ];

    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OverRange => "over_range",
            Self::UnderRange => "under_range",
            Self::Saturated => "saturated",
            Self::Held => "held",
            Self::ZeroDrift => "zero_drift",
            Self::CalibrationChanged => "calibration_changed",
            Self::StuckSuspect => "stuck_suspect",
        }
    }
}

/// A set of [`Warning`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warnings(u8);

impl Warnings {
    /// Whether `warning` stands.
    #[must_use]
    #[inline]
    pub const fn has(self, warning: Warning) -> bool {
        self.0 & 1 << warning as u8 != 0
    }

    /// Whether none stands.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Sets or clears one.
    pub fn set(&mut self, warning: Warning, on: bool) {
        let bit = 1 << warning as u8;
        if on { self.0 |= bit } else { self.0 &= !bit }
    }

    /// Those that stand.
    pub fn iter(self) -> impl Iterator<Item = Warning> {
        Warning::ALL
            .into_iter()
            .filter(move |warning| self.has(*warning))
    }
}
