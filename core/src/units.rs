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

/// Quotient rounded half up, for any sign of either; `divisor` must not be 0.
pub(crate) const fn div_round(dividend: i64, divisor: i64) -> i64 {
    let (dividend, divisor) = if divisor < 0 {
        (-dividend, -divisor)
    } else {
        (dividend, divisor)
    };
    (2 * dividend + divisor).div_euclid(2 * divisor)
}

#[cfg(test)]
mod tests {
    use super::div_round;

    #[test]
    fn halves_go_up_whatever_the_sign() {
        let quotients = [(5, 2), (-5, 2), (5, -2), (-5, -2), (7, 3), (8, 3), (-7, 3)];
        let rounded = quotients.map(|(dividend, divisor)| div_round(dividend, divisor));
        assert_eq!(rounded, [3, -2, -2, 3, 2, 3, -2]);
    }
}
