//! Series of the site: what other services measure, by tag.
//!
//! The binary passes a [`SeriesSource`]; this crate knows no other service. The [`Recorder`] keeps the last
//! quarter of an hour, one sample a second, so that a model can be trained on what just happened.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use crate::error::{CallError, Kind};

/// Samples kept of a tag: 15 min at one a second.
pub const SAMPLES_MAX: usize = 900;
/// Tags recorded. Reasoning: the cells of the largest site.
pub const TAGS_MAX: usize = 64;

/// Where values of the site come from.
pub trait SeriesSource: Send + Sync {
    /// Every tag with its value now; `None` for one that is not trustworthy at the moment.
    fn values(&self) -> Vec<(String, Option<f64>)>;
}

/// A site without anything to measure.
pub struct NoSeries;

impl SeriesSource for NoSeries {
    fn values(&self) -> Vec<(String, Option<f64>)> {
        Vec::new()
    }
}

/// The last samples of every tag.
pub struct Recorder {
    source: Arc<dyn SeriesSource>,
    tags: Mutex<BTreeMap<String, VecDeque<Option<f64>>>>,
}

impl Recorder {
    /// Nothing recorded yet.
    #[must_use]
    pub fn new(source: Arc<dyn SeriesSource>) -> Self {
        Self {
            source,
            tags: Mutex::default(),
        }
    }

    /// Takes one sample of everything; called once a second. What it took.
    pub fn sample(&self) -> Vec<(String, Option<f64>)> {
        let values = self.source.values();
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        for (tag, value) in values.iter().take(TAGS_MAX) {
            let samples = tags.entry(tag.clone()).or_default();
            if samples.len() == SAMPLES_MAX {
                samples.pop_front();
            }
            samples.push_back(value.filter(|v| v.is_finite()));
        }
        values
    }

    /// The value now.
    ///
    /// # Errors
    /// An unknown tag, or one without a trustworthy value: no number is made up.
    pub fn latest(&self, tag: &str) -> Result<f64, CallError> {
        let values = self.source.values();
        let found = values
            .iter()
            .find(|(name, _)| name == tag)
            .ok_or_else(|| unknown(tag))?;
        found.1.ok_or_else(|| {
            CallError::new(
                Kind::Unavailable,
                format!("{tag} has no trustworthy value now"),
            )
        })
    }

    /// Samples from `from` to `to` seconds ago, one every `step` seconds, oldest first. Gaps are left out.
    ///
    /// # Errors
    /// An unknown tag.
    pub fn history(&self, tag: &str, from: f64, to: f64, step: f64) -> Result<Vec<f64>, CallError> {
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = tags.get(tag).ok_or_else(|| unknown(tag))?;
        let index = |seconds: f64| samples.len().saturating_sub(seconds.min(1e6) as usize);
        let wanted = samples.range(index(from)..index(to).max(index(from)));
        Ok(wanted
            .step_by((step as usize).max(1))
            .filter_map(|sample| *sample)
            .collect())
    }
}

fn unknown(tag: &str) -> CallError {
    CallError::new(Kind::NotFound, format!("no series {tag}"))
}
