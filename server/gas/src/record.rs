//! What the cells measured, kept for years.

use leitstand_core::gas::status::{CellStatus, Quality};
use leitstand_kit::history::{About, GOOD, Recorder, Series};

use crate::site::GasSite;

/// A series a cell.
pub(crate) struct Record(Vec<Option<Series>>);

impl Record {
    /// Blocks. A history that cannot be had is told; the gas service does without.
    pub(crate) fn open(recorder: &Recorder, site: &GasSite) -> Self {
        let series = site.cells.iter().map(|cell| {
            let about = About {
                name: format!("gas.{}", cell.id),
                unit: cell.unit.as_str().to_owned(),
                scale: 1000,
            };
            recorder
                .series(about)
                .inspect_err(|error| tracing::error!(%error, cell = %cell.id, "no history"))
                .ok()
        });
        Self(series.collect())
    }

    /// Keeps the second that just ended; never waits.
    pub(crate) fn second(&self, at_unix_ms: i64, cells: impl Iterator<Item = CellStatus>) {
        for (series, cell) in self.0.iter().zip(cells) {
            if let Some(series) = series {
                let value = cell.value.map(|value| i64::from(value.as_milli()));
                series.record(at_unix_ms, value, code(cell.quality));
            }
        }
    }
}

/// On disk; a number is never given another meaning.
const fn code(quality: Quality) -> u8 {
    match quality {
        Quality::Good => GOOD,
        Quality::Starting => 1,
        Quality::WarmUp => 2,
        Quality::Stale => 3,
        Quality::Fault => 4,
    }
}
