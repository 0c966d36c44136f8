//! 4-20 mA loops: register formats of analog modules, the NE 43 and the legacy current bands, curves.

use super::reading::{FaultCode, Warning, Warnings};
use crate::units::{Concentration, MicroAmp, div_round};

/// How an analog module puts a current into registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterFormat {
    /// One unsigned register.
    U16,
    /// One signed register.
    I16,
    /// Two registers, IEEE-754, high word first.
    F32Be,
    /// Two registers, IEEE-754, low word first.
    F32Le,
}

/// Decodes the registers of one channel to a current: `(raw * scale + offset)` mA.
///
/// Returns `None` when `words` is too short for the format or the result is not a number.
#[must_use]
pub fn decode(format: RegisterFormat, words: &[u16], scale: f32, offset: f32) -> Option<MicroAmp> {
    let raw = match (format, words) {
        (RegisterFormat::U16, [word, ..]) => f32::from(*word),
        (RegisterFormat::I16, [word, ..]) => f32::from(*word as i16),
        (RegisterFormat::F32Be, [high, low, ..]) | (RegisterFormat::F32Le, [low, high, ..]) => {
            f32::from_bits(u32::from(*high) << 16 | u32::from(*low))
        }
        _ => return None,
    };
    let microamps = (raw * scale + offset) * 1000.0;
    // `as` saturates, and rounds towards zero: half a microamp is below every limit's resolution.
    microamps.is_finite().then_some(MicroAmp(microamps as i32))
}

/// Which currents are valid, warnings and faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bands {
    /// NAMUR NE 43: faults below 3.6 and above 21.0 mA.
    #[default]
    Ne43,
    /// As the older microcontroller centre did: faults below 2.5 and above 22.0 mA.
    Legacy,
}

/// Most pairs of a curve. Reasoning: the microcontroller centre's table.
pub const CURVE_POINTS_MAX: usize = 10;

/// Pairs of current and concentration, strictly rising current, linear in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve {
    points: heapless::Vec<(MicroAmp, Concentration), CURVE_POINTS_MAX>,
}

/// Why a curve is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurveError {
    /// Fewer than two pairs.
    TooShort,
    /// More than [`CURVE_POINTS_MAX`] pairs.
    TooLong,
    /// The current of the pair at this position does not exceed the one before.
    NotRising(usize),
}

impl Curve {
    /// The straight line 4 mA = `lo`, 20 mA = `hi`.
    #[must_use]
    pub fn line(lo: Concentration, hi: Concentration) -> Self {
        let mut points = heapless::Vec::new();
        let _ = points.push((MicroAmp(4_000), lo));
        let _ = points.push((MicroAmp(20_000), hi));
        Self { points }
    }

    /// A checked table.
    ///
    /// # Errors
    /// What is wrong with it, with the position (from 0). A configuration error.
    pub fn new(pairs: &[(MicroAmp, Concentration)]) -> Result<Self, CurveError> {
        if pairs.len() < 2 {
            return Err(CurveError::TooShort);
        }
        if let Some(at) = (1..pairs.len()).find(|&at| pairs[at].0 <= pairs[at - 1].0) {
            return Err(CurveError::NotRising(at));
        }
        let points = heapless::Vec::from_slice(pairs).map_err(|_| CurveError::TooLong)?;
        Ok(Self { points })
    }

    /// The value at `current`, rounded half up: the first pair's below the table, extrapolated above it.
    #[must_use]
    pub fn value(&self, current: MicroAmp) -> Concentration {
        let (first, last) = (self.points[0], self.points[self.points.len() - 1]);
        if current <= first.0 {
            return first.1;
        }
        let above = self.points.iter().position(|point| current <= point.0);
        let upper = above.unwrap_or(self.points.len() - 1);
        let (from, to) = (self.points[upper - 1], self.points[upper]);
        let rise = i64::from(to.1.as_milli()) - i64::from(from.1.as_milli());
        let along = i64::from(current.0) - i64::from(from.0.0);
        let span = i64::from(to.0.0) - i64::from(from.0.0);
        let milli = i64::from(from.1.as_milli()) + div_round(rise * along, span);
        i32::try_from(milli).map_or(last.1, Concentration::from_milli)
    }

    /// The value of the last pair.
    fn end(&self) -> Concentration {
        self.points[self.points.len() - 1].1
    }
}

/// A loop current, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loop {
    /// A measurement, perhaps with warnings.
    Value {
        value: Concentration,
        warnings: Warnings,
    },
    /// Becomes this fault when it stays for 5 s.
    Bad(FaultCode),
}

/// Limits in µA; table in `monitor.md` 2.2.
pub(super) fn judge(bands: Bands, curve: &Curve, current: MicroAmp) -> Loop {
    let mut warnings = Warnings::default();
    let live_zero = curve.value(MicroAmp(4_000));
    let value = match (bands, current.0) {
        (Bands::Ne43, ..3_600) | (Bands::Legacy, ..2_500) => {
            return Loop::Bad(FaultCode::WireBreak);
        }
        (Bands::Legacy, 2_500..3_000) => return Loop::Bad(FaultCode::ZeroDrift),
        (Bands::Ne43, 21_001..) | (Bands::Legacy, 22_001..) => {
            return Loop::Bad(FaultCode::ShortCircuit);
        }
        (Bands::Ne43, 3_600..3_800) => {
            warnings.set(Warning::UnderRange, true);
            live_zero
        }
        (Bands::Ne43, 3_800..4_000) | (Bands::Legacy, 3_000..4_000) => live_zero,
        (_, 4_000..=20_000) => curve.value(current),
        (Bands::Ne43, 20_001..=21_000) => {
            warnings.set(Warning::OverRange, true);
            warnings.set(Warning::Saturated, current.0 > 20_500);
            curve.value(current)
        }
        (Bands::Legacy, 20_001..=22_000) => {
            warnings.set(Warning::OverRange, true);
            warnings.set(Warning::Saturated, true);
            curve.end()
        }
    };
    Loop::Value { value, warnings }
}

#[cfg(test)]
mod tests;
