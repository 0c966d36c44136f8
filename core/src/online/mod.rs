//! # Online models
//!
//! Small models that learn a series one sample at a time and say how unusual each sample is. The same code
//! runs in the gateway and on the ESP32; a model exported on one continues on the other, bit for bit.
//!
//! ## Terms
//! - **Series**: finite numbers at a steady pace. The model knows no time; the pace is the caller's.
//! - **Score**: what a model says about one sample: its running output *after* the sample, and how many
//!   sigmas the sample lay from what the model expected *before* it.
//! - **Blob**: an exported model, [`blob`].
//!
//! ## Deliberately absent
//! Anything whose result differs between targets: no libm, no fused multiply-add; only `+ - * /` on `f64`,
//! which IEEE 754 defines to the last bit, and a square root made of them ([`number::sqrt`]).

pub mod any;
pub mod blob;
pub mod cusum;
pub mod ewma;
pub mod hampel;
pub mod holt;
pub mod kmeans;
pub mod number;
pub mod parameter;
pub mod rls;
pub mod seasonal;
pub mod threshold;
pub mod zscore;

#[cfg(test)]
mod tests;

pub use any::{Any, Kind};
pub use blob::{BLOB_BYTES_MAX, BlobError};
pub use parameter::{Parameter, ParameterError};

/// What a model says about one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The model's running output after the sample: level, mean, forecast. In the unit of the series.
    pub value: f64,
    /// Distance of the sample from what was expected before it, in standard deviations, never negative;
    /// `None` while the model has not seen enough to know its deviation.
    pub sigmas: Option<f64>,
    /// Whether the sample is outside the model's own limit.
    pub anomalous: bool,
}

/// Largest magnitude of a sample. Reasoning: no quantity is larger, and its square is still a number.
pub const SAMPLE_MAX: f64 = 1e100;

/// The sample is NaN, infinite or beyond [`SAMPLE_MAX`]. The model is unchanged; the caller reports a fault, never a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite;

/// A model of a series, of fixed size, without a heap.
pub trait OnlineModel: Clone {
    /// Scores `sample` against what was learned so far, then learns it.
    ///
    /// # Errors
    /// [`NotFinite`]; nothing was learned.
    fn update(&mut self, sample: f64) -> Result<Score, NotFinite>;

    /// As [`update`](Self::update) without learning.
    ///
    /// # Errors
    /// [`NotFinite`].
    fn score(&self, sample: f64) -> Result<Score, NotFinite> {
        self.clone().update(sample)
    }

    /// Names what was learned, in the terms of the method (`mean`, `std`, `level`, `trend` ...).
    fn describe(&self, each: &mut dyn FnMut(&'static str, f64));
}

/// Passes a usable sample on.
///
/// # Errors
/// [`NotFinite`].
fn finite(sample: f64) -> Result<f64, NotFinite> {
    if number::abs(sample) <= SAMPLE_MAX {
        Ok(sample)
    } else {
        Err(NotFinite)
    }
}

/// Distance in sigmas. `None` for no deviation: a constant series has no scale to judge by.
fn sigmas(distance: f64, deviation: f64) -> Option<f64> {
    let sigmas = number::abs(distance) / deviation;
    (deviation > 0.0 && sigmas.is_finite()).then_some(sigmas)
}
