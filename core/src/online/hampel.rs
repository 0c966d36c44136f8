//! Hampel's identifier: distance from the median in median deviations. A few wild samples do not move it.

use super::blob::Fields;
use super::{NotFinite, OnlineModel, Parameter, Score, finite, number, sigmas};

/// Samples of the largest window. Reasoning: sorting it twice a sample stays under 10 000 steps.
pub const WINDOW_MAX: usize = 63;
/// Makes a median absolute deviation comparable with a standard deviation of normal noise:
/// 1 / (75 % quantile of the normal distribution).
const NORMAL: f64 = 1.482_602_218_505_602;

/// Parameters, in the order of [`Hampel::new`].
pub const PARAMETERS: &[Parameter] = &[
    Parameter::count("window", 15, 3, WINDOW_MAX as u32),
    Parameter::real("k", 3.0, 0.0, 1e6),
];

/// The last samples and their median.
#[derive(Clone, Debug, PartialEq)]
pub struct Hampel {
    k: f64,
    window: u32,
    count: u32,
    /// Where the next sample goes.
    next: u32,
    samples: [f64; WINDOW_MAX],
}

impl Hampel {
    /// `window`: samples, 3..=63. `k`: limit in sigmas. Checked by the caller against [`PARAMETERS`].
    #[must_use]
    pub const fn new(window: u32, k: f64) -> Self {
        Self {
            k,
            window,
            count: 0,
            next: 0,
            samples: [0.0; WINDOW_MAX],
        }
    }

    pub(super) fn layout(&mut self, fields: &mut impl Fields) {
        fields.real(&mut self.k);
        fields.count(&mut self.window);
        fields.count(&mut self.count);
        fields.count(&mut self.next);
        for sample in &mut self.samples {
            fields.real(sample);
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        PARAMETERS[0].check(f64::from(self.window)).is_ok()
            && PARAMETERS[1].check(self.k).is_ok()
            && self.count <= self.window
            && self.next < self.window
    }

    fn seen(&self) -> &[f64] {
        &self.samples[..self.count as usize]
    }

    /// Median of what `of` makes of each sample in the window; 0 for an empty one.
    fn median(&self, of: impl Fn(f64) -> f64) -> f64 {
        let mut sorted = [0.0; WINDOW_MAX];
        let sorted = &mut sorted[..self.count as usize];
        for (place, &sample) in sorted.iter_mut().zip(self.seen()) {
            *place = of(sample);
        }
        sorted.sort_unstable_by(f64::total_cmp);
        match sorted.len() {
            0 => 0.0,
            n if n % 2 == 1 => sorted[n / 2],
            n => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
        }
    }

    fn deviation(&self, median: f64) -> f64 {
        NORMAL * self.median(|sample| number::abs(sample - median))
    }
}

impl OnlineModel for Hampel {
    fn update(&mut self, sample: f64) -> Result<Score, NotFinite> {
        let sample = finite(sample)?;
        let before = self.median(|s| s);
        let known = self.count >= 3;
        let sigmas = known
            .then(|| sigmas(sample - before, self.deviation(before)))
            .flatten();
        self.samples[self.next as usize] = sample;
        self.next = (self.next + 1) % self.window;
        self.count = (self.count + 1).min(self.window);
        let value = self.median(|s| s);
        Ok(Score {
            value,
            sigmas,
            anomalous: sigmas.is_some_and(|s| s > self.k),
        })
    }

    fn describe(&self, each: &mut dyn FnMut(&'static str, f64)) {
        let median = self.median(|s| s);
        each("median", median);
        each("mad_std", self.deviation(median));
        each("count", f64::from(self.count));
    }
}
