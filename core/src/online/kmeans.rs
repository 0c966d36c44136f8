//! Online k-means on one axis: a series with several normal levels (machine on, machine off).

use super::blob::Fields;
use super::{NotFinite, OnlineModel, Parameter, Score, finite, number, sigmas};

/// Clusters at most. Reasoning: more than a handful of normal levels is not a description any more.
pub const CLUSTERS_MAX: usize = 8;

/// Parameters, in the order of [`Kmeans::new`].
pub const PARAMETERS: &[Parameter] = &[
    Parameter::count("clusters", 2, 1, CLUSTERS_MAX as u32),
    Parameter::real("k", 3.0, 0.0, 1e6),
];

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cluster {
    centre: f64,
    squares: f64,
    count: u32,
}

/// Centres, each the mean of the samples that were nearest to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kmeans {
    clusters: u32,
    k: f64,
    /// Clusters that have a centre; the first distinct samples found them.
    used: u32,
    cluster: [Cluster; CLUSTERS_MAX],
}

impl Kmeans {
    /// `clusters`: 1..=8. `k`: limit in sigmas of the nearest cluster. Checked by the caller against
    /// [`PARAMETERS`].
    #[must_use]
    pub const fn new(clusters: u32, k: f64) -> Self {
        const NONE: Cluster = Cluster {
            centre: 0.0,
            squares: 0.0,
            count: 0,
        };
        Self {
            clusters,
            k,
            used: 0,
            cluster: [NONE; CLUSTERS_MAX],
        }
    }

    pub(super) fn layout(&mut self, fields: &mut impl Fields) {
        fields.count(&mut self.clusters);
        fields.real(&mut self.k);
        fields.count(&mut self.used);
        for cluster in &mut self.cluster {
            fields.real(&mut cluster.centre);
            fields.real(&mut cluster.squares);
            fields.count(&mut cluster.count);
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        PARAMETERS[0].check(f64::from(self.clusters)).is_ok()
            && PARAMETERS[1].check(self.k).is_ok()
            && self.used <= self.clusters
            && self.cluster[..self.used as usize]
                .iter()
                .all(|c| c.count > 0 && c.squares >= 0.0)
    }
}

impl OnlineModel for Kmeans {
    fn update(&mut self, sample: f64) -> Result<Score, NotFinite> {
        let sample = finite(sample)?;
        let used = self.used as usize;
        let distance = |c: &Cluster| number::abs(sample - c.centre);
        let known = &mut self.cluster[..used];
        let taken = known.iter().any(|c| c.centre == sample);
        if self.used < self.clusters && !taken {
            self.cluster[used] = Cluster {
                centre: sample,
                squares: 0.0,
                count: 1,
            };
            self.used += 1;
            return Ok(Score {
                value: sample,
                sigmas: None,
                anomalous: false,
            });
        }
        let Some(nearest) = known
            .iter_mut()
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        else {
            return Ok(Score {
                value: sample,
                sigmas: None,
                anomalous: false,
            });
        };
        let difference = sample - nearest.centre;
        let deviation = number::sqrt(nearest.squares / f64::from(nearest.count));
        let sigmas = sigmas(difference, deviation);
        nearest.count = nearest.count.saturating_add(1);
        nearest.centre += difference / f64::from(nearest.count);
        nearest.squares += difference * (sample - nearest.centre);
        let value = nearest.centre;
        Ok(Score {
            value,
            sigmas,
            anomalous: sigmas.is_some_and(|s| s > self.k),
        })
    }

    fn describe(&self, each: &mut dyn FnMut(&'static str, f64)) {
        const NAMES: [&str; CLUSTERS_MAX] = ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"];
        for (name, cluster) in NAMES.into_iter().zip(&self.cluster[..self.used as usize]) {
            each(name, cluster.centre);
        }
        each("clusters", f64::from(self.used));
    }
}
