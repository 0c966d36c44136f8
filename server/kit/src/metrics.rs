//! A small registry of counters, gauges and histograms with the Prometheus text exposition.
//!
//! Names are `leitstand_<service>_<what>_<unit>`, counters end in `_total`. Asking twice for the same name and
//! labels gives the same series.

/// The registry. Cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics {
    _private: (),
}

/// Only goes up.
#[derive(Clone)]
pub struct Counter {
    _private: (),
}

/// Goes up and down.
#[derive(Clone)]
pub struct Gauge {
    _private: (),
}

/// Counts values in buckets.
#[derive(Clone)]
pub struct Histogram {
    _private: (),
}

impl Metrics {
    /// A counter; `labels` are name and value pairs.
    #[must_use]
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        let _ = (name, help, labels);
        todo!()
    }

    /// A gauge.
    #[must_use]
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Gauge {
        let _ = (name, help, labels);
        todo!()
    }

    /// A histogram with upper bounds in rising order; `+Inf` is added.
    #[must_use]
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        bounds: &'static [f64],
        labels: &[(&'static str, &str)],
    ) -> Histogram {
        let _ = (name, help, bounds, labels);
        todo!()
    }

    /// The text exposition, sorted by name.
    #[must_use]
    pub fn render(&self) -> String {
        todo!()
    }
}

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        let _ = n;
        todo!()
    }
    /// The present value.
    #[must_use]
    pub fn get(&self) -> u64 {
        todo!()
    }
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        let _ = value;
        todo!()
    }
    /// Adds (or subtracts) `by`.
    pub fn add(&self, by: f64) {
        let _ = by;
        todo!()
    }
    /// The present value.
    #[must_use]
    pub fn get(&self) -> f64 {
        todo!()
    }
}

impl Histogram {
    /// Counts `value`.
    pub fn observe(&self, value: f64) {
        let _ = value;
        todo!()
    }
}
