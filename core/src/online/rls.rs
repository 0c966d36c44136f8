//! Recursive least squares: the next sample as a weighted sum of the last ones, weights learned on the way.

use super::blob::Fields;
use super::{NotFinite, OnlineModel, Parameter, Score, finite, number, sigmas};

/// Past samples a prediction may use. Reasoning: the update is quadratic in it.
pub const ORDER_MAX: usize = 8;
/// Weights: one a past sample and the intercept.
const WEIGHTS_MAX: usize = ORDER_MAX + 1;
/// How little is known at the start: the diagonal of the first covariance.
const IGNORANCE: f64 = 1_000.0;
/// Where the covariance is reset: without excitation forgetting lets it grow without bound ("wind-up").
const WINDUP: f64 = 1e12;

/// Parameters, in the order of [`Rls::new`].
pub const PARAMETERS: &[Parameter] = &[
    Parameter::count("order", 2, 1, ORDER_MAX as u32),
    Parameter::real("forgetting", 0.99, 0.5, 1.0),
    Parameter::real("k", 3.0, 0.0, 1e6),
];

/// Weights, their covariance, and the variance of the prediction errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Rls {
    order: u32,
    forgetting: f64,
    k: f64,
    variance: f64,
    count: u32,
    /// Newest first.
    past: [f64; ORDER_MAX],
    weights: [f64; WEIGHTS_MAX],
    covariance: [[f64; WEIGHTS_MAX]; WEIGHTS_MAX],
}

impl Rls {
    /// `order`: past samples used, 1..=8. `forgetting`: 0.5..=1, 1 forgets nothing. `k`: limit in sigmas.
    /// Checked by the caller against [`PARAMETERS`].
    #[must_use]
    pub fn new(order: u32, forgetting: f64, k: f64) -> Self {
        Self {
            order,
            forgetting,
            k,
            variance: 0.0,
            count: 0,
            past: [0.0; ORDER_MAX],
            weights: [0.0; WEIGHTS_MAX],
            covariance: ignorance(),
        }
    }

    pub(super) fn layout(&mut self, fields: &mut impl Fields) {
        fields.count(&mut self.order);
        fields.real(&mut self.forgetting);
        fields.real(&mut self.k);
        fields.real(&mut self.variance);
        fields.count(&mut self.count);
        let rows = self.covariance.iter_mut().flatten();
        for field in self.past.iter_mut().chain(&mut self.weights).chain(rows) {
            fields.real(field);
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        let values = [f64::from(self.order), self.forgetting, self.k];
        self.variance >= 0.0
            && PARAMETERS
                .iter()
                .zip(values)
                .all(|(p, v)| p.check(v).is_ok())
    }

    /// What the prediction is made of: the last samples and a constant one.
    fn regressors(&self) -> ([f64; WEIGHTS_MAX], usize) {
        let order = self.order as usize;
        let mut of = [0.0; WEIGHTS_MAX];
        of[..order].copy_from_slice(&self.past[..order]);
        of[order] = 1.0;
        (of, order + 1)
    }

    fn predict(&self) -> f64 {
        let (of, n) = self.regressors();
        dot(&self.weights[..n], &of[..n])
    }

    fn learn(&mut self, error: f64) {
        let (of, n) = self.regressors();
        let mut gain = [0.0; WEIGHTS_MAX];
        for (g, row) in gain[..n].iter_mut().zip(&self.covariance) {
            *g = dot(&row[..n], &of[..n]);
        }
        let spread = self.forgetting + dot(&gain[..n], &of[..n]);
        let mut largest = 0.0;
        for i in 0..n {
            self.weights[i] += gain[i] / spread * error;
            for j in 0..=i {
                let p = (self.covariance[i][j] - gain[i] * gain[j] / spread) / self.forgetting;
                self.covariance[i][j] = p;
                self.covariance[j][i] = p; // kept symmetric, or rounding makes it indefinite
            }
            largest = self.covariance[i][i].max(largest);
        }
        let sane = self.weights.iter().all(|w| w.is_finite()) && (0.0..WINDUP).contains(&largest);
        if !sane {
            self.covariance = ignorance();
            if !self.weights.iter().all(|w| w.is_finite()) {
                self.weights = [0.0; WEIGHTS_MAX];
            }
        }
    }
}

impl OnlineModel for Rls {
    fn update(&mut self, sample: f64) -> Result<Score, NotFinite> {
        let sample = finite(sample)?;
        let mut distance = None;
        if self.count >= self.order {
            let error = sample - self.predict();
            // The first errors tell how little was known, not how noisy the series is.
            if self.count >= 4 * self.order + 4 {
                distance = sigmas(error, number::sqrt(self.variance));
            }
            if self.count >= 2 * self.order + 2 {
                let square = error * error;
                self.variance += 0.05 * (square - self.variance);
                if !self.variance.is_finite() {
                    self.variance = 0.0;
                }
            }
            self.learn(error);
        }
        self.past.copy_within(..ORDER_MAX - 1, 1);
        self.past[0] = sample;
        self.count = self.count.saturating_add(1);
        let ahead = self.predict();
        let value = if ahead.is_finite() { ahead } else { sample };
        Ok(Score {
            value,
            sigmas: distance,
            anomalous: distance.is_some_and(|s| s > self.k),
        })
    }

    fn describe(&self, each: &mut dyn FnMut(&'static str, f64)) {
        const NAMES: [&str; ORDER_MAX] = ["w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8"];
        let order = self.order as usize;
        for (name, weight) in NAMES.into_iter().zip(&self.weights[..order]) {
            each(name, *weight);
        }
        each("intercept", self.weights[order]);
        each("std", number::sqrt(self.variance));
        each("count", f64::from(self.count));
    }
}

fn ignorance() -> [[f64; WEIGHTS_MAX]; WEIGHTS_MAX] {
    let mut covariance = [[0.0; WEIGHTS_MAX]; WEIGHTS_MAX];
    for (i, row) in covariance.iter_mut().enumerate() {
        row[i] = IGNORANCE;
    }
    covariance
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}
