//! Mean and deviation of everything seen, by Welford's method: stable however large the mean.

use super::blob::Fields;
use super::{NotFinite, OnlineModel, Parameter, Score, finite, number, sigmas};

/// Parameters, in the order of [`Zscore::new`].
pub const PARAMETERS: &[Parameter] = &[Parameter::real("k", 3.0, 0.0, 1e6)];

/// Distance from the mean of all samples in population deviations.
#[derive(Clone, Debug, PartialEq)]
pub struct Zscore {
    k: f64,
    count: u32,
    mean: f64,
    /// Sum of the squared differences from the mean.
    squares: f64,
}

impl Zscore {
    /// `k`: limit in sigmas, checked by the caller against [`PARAMETERS`].
    #[must_use]
    pub const fn new(k: f64) -> Self {
        Self {
            k,
            count: 0,
            mean: 0.0,
            squares: 0.0,
        }
    }

    /// Mean of all samples, 0 before the first.
    #[must_use]
    pub const fn mean(&self) -> f64 {
        self.mean
    }

    /// Population deviation of all samples, 0 before the second.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            number::sqrt(self.squares / f64::from(self.count))
        }
    }

    pub(super) fn layout(&mut self, fields: &mut impl Fields) {
        fields.real(&mut self.k);
        fields.count(&mut self.count);
        fields.real(&mut self.mean);
        fields.real(&mut self.squares);
    }

    pub(super) fn is_sound(&self) -> bool {
        PARAMETERS[0].check(self.k).is_ok() && self.squares >= 0.0
    }
}

impl OnlineModel for Zscore {
    fn update(&mut self, sample: f64) -> Result<Score, NotFinite> {
        let sample = finite(sample)?;
        let difference = sample - self.mean;
        let sigmas = sigmas(difference, self.deviation());
        // At the top of the counter (136 years at one sample a second) the mean becomes a slow EWMA.
        self.count = self.count.saturating_add(1);
        self.mean += difference / f64::from(self.count);
        self.squares += difference * (sample - self.mean);
        Ok(Score {
            value: self.mean,
            sigmas,
            anomalous: sigmas.is_some_and(|s| s > self.k),
        })
    }

    fn describe(&self, each: &mut dyn FnMut(&'static str, f64)) {
        each("mean", self.mean);
        each("std", self.deviation());
        each("count", f64::from(self.count));
    }
}
