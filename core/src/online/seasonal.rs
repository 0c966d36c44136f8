//! A level for each phase of a period: what is normal at noon may not be at midnight.

use super::blob::Fields;
use super::{NotFinite, OnlineModel, Parameter, Score, finite, number, sigmas};

/// Phases of the longest period. Reasoning: a day in steps of five minutes.
pub const PERIOD_MAX: usize = 288;

/// Parameters, in the order of [`Seasonal::new`].
pub const PARAMETERS: &[Parameter] = &[
    Parameter::count("period", 24, 2, PERIOD_MAX as u32),
    Parameter::real("alpha", 0.3, 1e-6, 1.0),
    Parameter::real("k", 3.0, 0.0, 1e6),
];

/// Levels by phase, and the variance of the differences from them over all phases.
#[derive(Clone, Debug, PartialEq)]
pub struct Seasonal {
    period: u32,
    alpha: f64,
    k: f64,
    variance: f64,
    phase: u32,
    /// Whole periods seen.
    periods: u32,
    levels: [f64; PERIOD_MAX],
}

impl Seasonal {
    /// `period`: samples, 2..=288. `alpha`: weight of the newest period. `k`: limit in sigmas. Checked by
    /// the caller against [`PARAMETERS`].
    #[must_use]
    pub const fn new(period: u32, alpha: f64, k: f64) -> Self {
        Self {
            period,
            alpha,
            k,
            variance: 0.0,
            phase: 0,
            periods: 0,
            levels: [0.0; PERIOD_MAX],
        }
    }

    pub(super) fn layout(&mut self, fields: &mut impl Fields) {
        fields.count(&mut self.period);
        fields.real(&mut self.alpha);
        fields.real(&mut self.k);
        fields.real(&mut self.variance);
        fields.count(&mut self.phase);
        fields.count(&mut self.periods);
        for level in &mut self.levels {
            fields.real(level);
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        let values = [f64::from(self.period), self.alpha, self.k];
        self.variance >= 0.0
            && PARAMETERS
                .iter()
                .zip(values)
                .all(|(p, v)| p.check(v).is_ok())
            && self.phase < self.period
    }
}

impl OnlineModel for Seasonal {
    fn update(&mut self, sample: f64) -> Result<Score, NotFinite> {
        let sample = finite(sample)?;
        let level = &mut self.levels[self.phase as usize];
        let mut distance = None;
        if self.periods == 0 {
            *level = sample;
        } else {
            let error = sample - *level;
            distance = sigmas(error, number::sqrt(self.variance));
            *level += self.alpha * error;
            // One variance for all phases: its weight is spread over the period.
            let weight = self.alpha / f64::from(self.period);
            let weight = if self.periods == 1 {
                1.0 / f64::from(self.phase + 1)
            } else {
                weight
            };
            self.variance += weight * (error * error - self.variance);
        }
        let value = *level;
        self.phase += 1;
        if self.phase == self.period {
            self.phase = 0;
            self.periods = self.periods.saturating_add(1);
        }
        // In the second period the variance is made of a handful of errors: no basis for a verdict yet.
        let sigmas = distance.filter(|_| self.periods >= 2);
        Ok(Score {
            value,
            sigmas,
            anomalous: sigmas.is_some_and(|s| s > self.k),
        })
    }

    fn describe(&self, each: &mut dyn FnMut(&'static str, f64)) {
        each("level", self.levels[self.phase as usize]);
        each("phase", f64::from(self.phase));
        each("std", number::sqrt(self.variance));
        each("periods", f64::from(self.periods));
    }
}
