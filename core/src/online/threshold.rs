//! Fixed limits, in the shape of a model: the yardstick that the others are compared with.

use super::blob::Fields;
use super::{NotFinite, OnlineModel, Parameter, Score, finite};

const WIDEST: f64 = super::SAMPLE_MAX;

/// Parameters, in the order of [`Threshold::new`].
pub const PARAMETERS: &[Parameter] = &[
    Parameter::real("low", -WIDEST, -WIDEST, WIDEST),
    Parameter::real("high", WIDEST, -WIDEST, WIDEST),
];

/// Below `low` or above `high` is an anomaly. It learns nothing but counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    low: f64,
    high: f64,
    count: u32,
    outside: u32,
}

impl Threshold {
    /// In the unit of the series, checked by the caller against [`PARAMETERS`].
    #[must_use]
    pub const fn new(low: f64, high: f64) -> Self {
        Self {
            low,
            high,
            count: 0,
            outside: 0,
        }
    }

    pub(super) fn layout(&mut self, fields: &mut impl Fields) {
        fields.real(&mut self.low);
        fields.real(&mut self.high);
        fields.count(&mut self.count);
        fields.count(&mut self.outside);
    }

    pub(super) fn is_sound(&self) -> bool {
        let values = [self.low, self.high];
        PARAMETERS
            .iter()
            .zip(values)
            .all(|(p, v)| p.check(v).is_ok())
            && self.outside <= self.count
    }
}

impl OnlineModel for Threshold {
    fn update(&mut self, sample: f64) -> Result<Score, NotFinite> {
        let sample = finite(sample)?;
        let anomalous = sample < self.low || sample > self.high;
        if self.count < u32::MAX {
            self.count += 1;
            self.outside += u32::from(anomalous);
        }
        // A fixed limit knows no deviation, so it has no sigmas.
        Ok(Score {
            value: sample,
            sigmas: None,
            anomalous,
        })
    }

    fn describe(&self, each: &mut dyn FnMut(&'static str, f64)) {
        each("count", f64::from(self.count));
        each("outside", f64::from(self.outside));
    }
}
