//! Holt's double smoothing: a level and a trend, so that a steady drift is expected and its change is not.

use super::blob::Fields;
use super::{NotFinite, OnlineModel, Parameter, Score, finite, number, sigmas};

/// Parameters, in the order of [`Holt::new`].
pub const PARAMETERS: &[Parameter] = &[
    Parameter::real("alpha", 0.3, 1e-6, 1.0),
    Parameter::real("beta", 0.1, 0.0, 1.0),
    Parameter::count("horizon", 1, 1, 10_000),
    Parameter::real("k", 3.0, 0.0, 1e6),
];

/// Level and trend, and the variance of the one-step forecast errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Holt {
    alpha: f64,
    beta: f64,
    horizon: u32,
    k: f64,
    level: f64,
    trend: f64,
    variance: f64,
    count: u32,
}

impl Holt {
    /// `alpha`, `beta`: weight of the newest level and trend. `horizon`: samples ahead of the output.
    /// `k`: limit in sigmas. Checked by the caller against [`PARAMETERS`].
    #[must_use]
    pub const fn new(alpha: f64, beta: f64, horizon: u32, k: f64) -> Self {
        Self {
            alpha,
            beta,
            horizon,
            k,
            level: 0.0,
            trend: 0.0,
            variance: 0.0,
            count: 0,
        }
    }

    pub(super) fn layout(&mut self, fields: &mut impl Fields) {
        fields.real(&mut self.alpha);
        fields.real(&mut self.beta);
        fields.count(&mut self.horizon);
        fields.real(&mut self.k);
        fields.real(&mut self.level);
        fields.real(&mut self.trend);
        fields.real(&mut self.variance);
        fields.count(&mut self.count);
    }

    pub(super) fn is_sound(&self) -> bool {
        let values = [self.alpha, self.beta, f64::from(self.horizon), self.k];
        self.variance >= 0.0
            && PARAMETERS
                .iter()
                .zip(values)
                .all(|(p, v)| p.check(v).is_ok())
    }

    fn forecast(&self) -> f64 {
        self.level + f64::from(self.horizon) * self.trend
    }
}

impl OnlineModel for Holt {
    fn update(&mut self, sample: f64) -> Result<Score, NotFinite> {
        let sample = finite(sample)?;
        let mut distance = None;
        match self.count {
            0 => self.level = sample,
            1 => {
                self.trend = sample - self.level;
                self.level = sample;
            }
            _ => {
                let expected = self.level + self.trend;
                let error = sample - expected;
                distance = sigmas(error, number::sqrt(self.variance));
                let level = expected + self.alpha * error;
                self.trend += self.beta * (level - self.level - self.trend);
                self.level = level;
                // The errors are remembered as long as the level.
                self.variance = (1.0 - self.alpha) * (self.variance + self.alpha * error * error);
            }
        }
        self.count = self.count.saturating_add(1);
        Ok(Score {
            value: self.forecast(),
            sigmas: distance,
            anomalous: distance.is_some_and(|s| s > self.k),
        })
    }

    fn describe(&self, each: &mut dyn FnMut(&'static str, f64)) {
        each("level", self.level);
        each("trend", self.trend);
        each("std", number::sqrt(self.variance));
        each("count", f64::from(self.count));
    }
}
