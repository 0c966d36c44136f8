//! Quantities as newtypes over integers, so that thresholds at exact values are deterministic and a
//! microcontroller without a floating-point unit computes the same.

/// A gas concentration in thousandths of its cell's unit (ppm, Vol %, % LEL).
///
/// Range: ±2 147 483 units. The unit itself is a property of the cell, never of the number, so two cells
/// of different units must not be compared; the configuration check guarantees that for set points.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Concentration(i32);

impl Concentration {
    /// Clean air.
    pub const ZERO: Self = Self(0);

    /// From thousandths of the cell's unit.
    #[must_use]
    pub const fn from_milli(thousandths: i32) -> Self {
        Self(thousandths)
    }

    /// Thousandths of the cell's unit.
    #[must_use]
    pub const fn as_milli(self) -> i32 {
        self.0
    }

    /// Negative readings count as clean air in alarms and averages.
    #[must_use]
    pub const fn clamped_at_zero(self) -> Self {
        if self.0 < 0 { Self::ZERO } else { self }
    }
}

/// Electric current in µA. Sensor loops use 0..=25 000 (0 to 25 mA), batteries the whole range (±2 147 A).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct MicroAmp(pub i32);

/// Electric potential in mV.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct MilliVolt(pub i32);

/// A share in tenths of a percent, 0..=1000.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct PerMille(pub u16);
