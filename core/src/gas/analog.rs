//! 4-20 mA loops: register formats of analog modules, the NE 43 and the legacy current bands, curves.

use crate::units::{Concentration, MicroAmp};

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
    let _ = (format, words, scale, offset);
    todo!()
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
}
