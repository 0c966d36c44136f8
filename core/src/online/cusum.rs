//! Two-sided cumulative sum: finds a small lasting shift that no single sample shows.

use super::blob::Fields;
use super::zscore::Zscore;
use super::{NotFinite, OnlineModel, Parameter, Score, finite};

/// Parameters, in the order of [`Cusum::new`].
pub const PARAMETERS: &[Parameter] = &[
    Parameter::count("warmup", 50, 2, 1_000_000),
    Parameter::real("slack", 0.5, 0.0, 100.0),
    Parameter::real("k", 8.0, 0.0, 1e6),
];

/// Learns mean and deviation during the warm-up, then sums how far samples lie from them.
#[derive(Clone, Debug, PartialEq)]
pub struct Cusum {
    warmup: u32,
    slack: f64,
    k: f64,
    count: u32,
    above: f64,
    below: f64,
    normal: Zscore,
}

impl Cusum {
    /// `warmup`: samples that define normal. `slack`: sigmas a sample may be off without counting, half the
    /// shift to be found. `k`: limit of the sum, in sigmas. Checked by the caller against [`PARAMETERS`].
    #[must_use]
    pub const fn new(warmup: u32, slack: f64, k: f64) -> Self {
        Self {
            warmup,
            slack,
            k,
            count: 0,
            above: 0.0,
            below: 0.0,
            normal: Zscore::new(0.0),
        }
    }

    pub(super) fn layout(&mut self, fields: &mut impl Fields) {
        fields.count(&mut self.warmup);
        fields.real(&mut self.slack);
        fields.real(&mut self.k);
        fields.count(&mut self.count);
        fields.real(&mut self.above);
        fields.real(&mut self.below);
        self.normal.layout(fields);
    }

    pub(super) fn is_sound(&self) -> bool {
        let values = [f64::from(self.warmup), self.slack, self.k];
        PARAMETERS
            .iter()
            .zip(values)
            .all(|(p, v)| p.check(v).is_ok())
            && self.above >= 0.0
            && self.below >= 0.0
            && self.normal.is_sound()
    }

    fn sum(&self) -> f64 {
        self.above.max(self.below)
    }
}

impl OnlineModel for Cusum {
    fn update(&mut self, sample: f64) -> Result<Score, NotFinite> {
        let sample = finite(sample)?;
        let deviation = self.normal.deviation();
        if self.count < self.warmup || deviation == 0.0 {
            self.normal.update(sample)?;
            self.count = self.count.saturating_add(1);
            return Ok(Score {
                value: self.sum(),
                sigmas: None,
                anomalous: false,
            });
        }
        let z = (sample - self.normal.mean()) / deviation;
        // Bounded, so that one wild sample does not stand for ever.
        let limit = 10.0 * (self.k + 1.0);
        self.above = (self.above + z - self.slack).clamp(0.0, limit);
        self.below = (self.below - z - self.slack).clamp(0.0, limit);
        let sum = self.sum();
        Ok(Score {
            value: sum,
            sigmas: Some(sum),
            anomalous: sum > self.k,
        })
    }

    fn describe(&self, each: &mut dyn FnMut(&'static str, f64)) {
        each("mean", self.normal.mean());
        each("std", self.normal.deviation());
        each("above", self.above);
        each("below", self.below);
        each("count", f64::from(self.count));
    }
}
