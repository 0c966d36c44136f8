//! Exponentially weighted mean and variance: a level that forgets.

use super::blob::Fields;
use super::{NotFinite, OnlineModel, Parameter, Score, finite, number, sigmas};

/// Parameters, in the order of [`Ewma::new`].
pub const PARAMETERS: &[Parameter] = &[
    Parameter::real("alpha", 0.1, 1e-6, 1.0),
    Parameter::real("k", 3.0, 0.0, 1e6),
];

/// `level += alpha * (x - level)`, with the variance of the differences weighted alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Ewma {
    alpha: f64,
    k: f64,
    level: f64,
    variance: f64,
    count: u32,
}

impl Ewma {
    /// `alpha`: weight of the newest sample, 0..=1. `k`: limit in sigmas. Values are checked by the caller
    /// against [`PARAMETERS`].
    #[must_use]
    pub const fn new(alpha: f64, k: f64) -> Self {
        Self {
            alpha,
            k,
            level: 0.0,
            variance: 0.0,
            count: 0,
        }
    }

    pub(super) fn layout(&mut self, fields: &mut impl Fields) {
        fields.real(&mut self.alpha);
        fields.real(&mut self.k);
        fields.real(&mut self.level);
        fields.real(&mut self.variance);
        fields.count(&mut self.count);
    }

    pub(super) fn is_sound(&self) -> bool {
        PARAMETERS[0].check(self.alpha).is_ok()
            && PARAMETERS[1].check(self.k).is_ok()
            && self.variance >= 0.0
    }
}

impl OnlineModel for Ewma {
    fn update(&mut self, sample: f64) -> Result<Score, NotFinite> {
        let sample = finite(sample)?;
        if self.count == 0 {
            self.level = sample;
            self.count = 1;
            return Ok(Score {
                value: sample,
                sigmas: None,
                anomalous: false,
            });
        }
        let difference = sample - self.level;
        let sigmas = sigmas(difference, number::sqrt(self.variance));
        let step = self.alpha * difference;
        self.level += step;
        self.variance = (1.0 - self.alpha) * (self.variance + difference * step);
        self.count = self.count.saturating_add(1);
        Ok(Score {
            value: self.level,
            sigmas,
            anomalous: sigmas.is_some_and(|s| s > self.k),
        })
    }

    fn describe(&self, each: &mut dyn FnMut(&'static str, f64)) {
        each("level", self.level);
        each("std", number::sqrt(self.variance));
        each("count", f64::from(self.count));
    }
}
