//! A small registry of counters, gauges and histograms with the Prometheus text exposition (version 0.0.4).
//!
//! Names are `leitstand_<service>_<what>_<unit>`, counters end in `_total`. Asking twice for the same name and
//! labels gives the same series.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Series of one name. Reasoning: 64 cells times a few windows; beyond it, all further label sets share one series
/// whose label values are `other`, so that an invented label cannot fill the memory.
pub const SERIES_PER_NAME_MAX: usize = 256;
/// Bytes of a label value; the rest is cut.
pub const LABEL_BYTES_MAX: usize = 128;

/// The registry. Cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics {
    families: Arc<Mutex<BTreeMap<&'static str, Family>>>,
}

struct Family {
    help: &'static str,
    kind: Kind,
    /// By their label text, `{a="b"}` without the braces.
    series: BTreeMap<String, Arc<Series>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A counter uses `value` as an integer, a gauge as the bits of an `f64`, a histogram as the bits of its sum.
struct Series {
    value: AtomicU64,
    bounds: &'static [f64],
    /// Per bound, not cumulative; the last is `+Inf`.
    buckets: Vec<AtomicU64>,
}

/// Only goes up.
#[derive(Clone)]
pub struct Counter(Arc<Series>);

/// Goes up and down.
#[derive(Clone)]
pub struct Gauge(Arc<Series>);

/// Counts values in buckets.
#[derive(Clone)]
pub struct Histogram(Arc<Series>);

impl Metrics {
    /// A counter; `labels` are name and value pairs.
    #[must_use]
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        Counter(self.series(name, help, Kind::Counter, &[], labels))
    }

    /// A gauge.
    #[must_use]
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Gauge {
        Gauge(self.series(name, help, Kind::Gauge, &[], labels))
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
        debug_assert!(bounds.is_sorted(), "{name}: bounds in rising order");
        Histogram(self.series(name, help, Kind::Histogram, bounds, labels))
    }

    fn series(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        bounds: &'static [f64],
        labels: &[(&'static str, &str)],
    ) -> Arc<Series> {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(name).or_insert_with(|| Family {
            help,
            kind,
            series: BTreeMap::new(),
        });
        let new = || Arc::new(Series::new(bounds));
        if family.kind != kind {
            debug_assert!(false, "{name} is used as two kinds of metric");
            return new();
        }
        let mut key = label_text(labels.iter().copied());
        if !family.series.contains_key(&key) && family.series.len() >= SERIES_PER_NAME_MAX {
            key = label_text(labels.iter().map(|(label, _)| (*label, "other")));
        }
        Arc::clone(family.series.entry(key).or_insert_with(new))
    }

    /// The text exposition, sorted by name and labels.
    #[must_use]
    pub fn render(&self) -> String {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        for (name, family) in families.iter() {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, series) in &family.series {
                series.render(&mut out, name, family.kind, labels);
            }
        }
        out
    }
}

impl Series {
    fn new(bounds: &'static [f64]) -> Self {
        Self {
            value: AtomicU64::new(0),
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn add_f64(&self, by: f64) {
        // A failed exchange means that somebody else added: try again with their sum.
        let _ = self
            .value
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
                Some((f64::from_bits(bits) + by).to_bits())
            });
    }

    fn render(&self, out: &mut String, name: &str, kind: Kind, labels: &str) {
        let braced = |extra: &str| match (labels.is_empty(), extra.is_empty()) {
            (true, true) => String::new(),
            (false, true) => format!("{{{labels}}}"),
            (true, false) => format!("{{{extra}}}"),
            (false, false) => format!("{{{labels},{extra}}}"),
        };
        let value = self.value.load(Ordering::Relaxed);
        match kind {
            Kind::Counter => {
                let _ = writeln!(out, "{name}{} {value}", braced(""));
            }
            Kind::Gauge => {
                let _ = writeln!(
                    out,
                    "{name}{} {}",
                    braced(""),
                    number(f64::from_bits(value))
                );
            }
            Kind::Histogram => {
                let mut count = 0;
                let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
                for (bound, bucket) in bounds.zip(&self.buckets) {
                    count += bucket.load(Ordering::Relaxed);
                    let le = format!("le=\"{}\"", number(bound));
                    let _ = writeln!(out, "{name}_bucket{} {count}", braced(&le));
                }
                let sum = number(f64::from_bits(value));
                let _ = writeln!(out, "{name}_sum{} {sum}", braced(""));
                let _ = writeln!(out, "{name}_count{} {count}", braced(""));
            }
        }
    }
}

fn label_text<'a>(labels: impl Iterator<Item = (&'static str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        let value = &value[..value.floor_char_boundary(LABEL_BYTES_MAX)];
        let value = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let _ = write!(text, "{name}=\"{value}\"");
    }
    text
}

fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".into()
    } else if value == f64::NEG_INFINITY {
        "-Inf".into()
    } else {
        value.to_string()
    }
}

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.value.fetch_add(n, Ordering::Relaxed);
    }

    /// The present value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.value.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.value.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds (or subtracts) `by`.
    pub fn add(&self, by: f64) {
        self.0.add_f64(by);
    }

    /// The present value.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.value.load(Ordering::Relaxed))
    }
}

impl Histogram {
    /// Counts `value`. NaN is counted nowhere.
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let index = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.buckets[index].fetch_add(1, Ordering::Relaxed);
        self.0.add_f64(value);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn the_exposition_is_exact_to_the_byte() {
        let metrics = Metrics::default();
        metrics
            .counter(
                "leitstand_gas_polls_total",
                "Polls.",
                &[("bus", "rs485"), ("result", "good")],
            )
            .add(41);
        metrics
            .counter(
                "leitstand_gas_polls_total",
                "Polls.",
                &[("bus", "rs485"), ("result", "crc")],
            )
            .inc();
        let again = metrics.counter(
            "leitstand_gas_polls_total",
            "Polls.",
            &[("bus", "rs485"), ("result", "good")],
        );
        again.inc();
        metrics
            .gauge(
                "leitstand_gas_value",
                "A \\ and\na line.",
                &[("cell", "a\"b\\c\nd")],
            )
            .set(-1.5);
        let gauge = metrics.gauge("leitstand_panel_clients", "Clients.", &[]);
        gauge.set(3.0);
        gauge.add(-1.0);
        let histogram =
            metrics.histogram("leitstand_gas_step_seconds", "Step.", &[0.001, 0.01], &[]);
        for value in [0.0005, 0.001, 0.002, 5.0, f64::NAN] {
            histogram.observe(value);
        }
        expect![[r##"
            # HELP leitstand_gas_polls_total Polls.
            # TYPE leitstand_gas_polls_total counter
            leitstand_gas_polls_total{bus="rs485",result="crc"} 1
            leitstand_gas_polls_total{bus="rs485",result="good"} 42
            # HELP leitstand_gas_step_seconds Step.
            # TYPE leitstand_gas_step_seconds histogram
            leitstand_gas_step_seconds_bucket{le="0.001"} 2
            leitstand_gas_step_seconds_bucket{le="0.01"} 3
            leitstand_gas_step_seconds_bucket{le="+Inf"} 4
            leitstand_gas_step_seconds_sum 5.0035
            leitstand_gas_step_seconds_count 4
            # HELP leitstand_gas_value A \\ and\na line.
            # TYPE leitstand_gas_value gauge
            leitstand_gas_value{cell="a\"b\\c\nd"} -1.5
            # HELP leitstand_panel_clients Clients.
            # TYPE leitstand_panel_clients gauge
            leitstand_panel_clients 2
        "##]]
        .assert_eq(&metrics.render());
    }

    #[test]
    fn invented_label_values_share_one_series_beyond_the_bound() {
        let metrics = Metrics::default();
        for n in 0..SERIES_PER_NAME_MAX + 50 {
            metrics
                .counter(
                    "leitstand_test_total",
                    "Test.",
                    &[("path", &format!("/{n}"))],
                )
                .inc();
        }
        let text = metrics.render();
        assert_eq!(text.lines().count(), 2 + SERIES_PER_NAME_MAX + 1);
        assert!(
            text.contains("leitstand_test_total{path=\"other\"} 50\n"),
            "{text}"
        );
    }

    #[test]
    fn a_long_label_is_cut_at_a_character() {
        let metrics = Metrics::default();
        metrics
            .gauge("leitstand_test", "Test.", &[("text", &"ä".repeat(100))])
            .set(1.0);
        assert!(
            metrics
                .render()
                .contains(&format!("\"{}\"", "ä".repeat(64)))
        );
    }
}
