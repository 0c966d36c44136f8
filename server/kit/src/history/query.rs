//! A range of time in as many steps as a picture has room for, from what answers it cheapest.

use rusqlite::Connection;

use super::{
    Recorder,
    db::{self, HOUR_MS, MINUTE_MS},
    rollup::{self, Bucket},
};
use crate::store::StoreError;

/// Most steps of an answer. Reasoning: more than a 4K screen has columns.
pub(super) const STEPS_MAX: u32 = 4000;
/// Most hours of readings that one answer looks through. Reasoning: beyond it minutes are exact enough for any picture
/// of [`STEPS_MAX`] columns.
const RAW_HOURS_MAX: i64 = 48;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// From, in ms since 1970.
    pub from_ms: i64,
    /// To before.
    pub to_ms: i64,
    /// Steps wanted at most, 1 to 4000.
    pub steps: u32,
}

/// What an answer was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Readings.
    Raw,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

impl Range {
    /// Width of a step in ms: a whole number of what it is made from.
    #[must_use]
    pub fn step(&self) -> (Step, i64) {
        let span = (self.to_ms - self.from_ms).max(1);
        let wanted = (span / i64::from(self.steps.clamp(1, STEPS_MAX))).max(1);
        let whole = |unit: i64| (wanted + unit - 1) / unit * unit;
        if wanted < MINUTE_MS && span <= RAW_HOURS_MAX * HOUR_MS {
            (Step::Raw, whole(1000))
        } else if wanted < HOUR_MS {
            (Step::Minutes, whole(MINUTE_MS))
        } else {
            (Step::Hours, whole(HOUR_MS))
        }
    }

    /// The hours it touches.
    fn hours(&self) -> (i64, i64) {
        let to = self.to_ms.saturating_sub(1).div_euclid(HOUR_MS) + 1;
        (self.from_ms.div_euclid(HOUR_MS), to)
    }
}

impl Recorder {
    /// The buckets of series `id` in `range`, oldest first; nothing where nothing was measured. Lowest and highest
    /// values are never lost, however wide the step.
    pub(super) async fn query(&self, id: i64, range: Range) -> Result<Vec<Bucket>, StoreError> {
        self.flush().await;
        self.0.store.read(move |db| read(db, id, range)).await
    }
}

fn read(db: &Connection, id: i64, range: Range) -> Result<Vec<Bucket>, rusqlite::Error> {
    let (from, to) = range.hours();
    let (source, step_ms) = range.step();
    let buckets = match source {
        Step::Raw => {
            let mut points = Vec::new();
            for hour in db::filled_hours(db, id, from, to)? {
                points.extend(db::points(db, id, hour)?);
            }
            rollup::from_points(&points, step_ms)
        }
        Step::Minutes => {
            let mut minutes = Vec::new();
            for hour in db::filled_hours(db, id, from, to)? {
                match db::minutes(db, id, hour)? {
                    Some(closed) => minutes.extend(closed),
                    // It still runs.
                    None => {
                        let points = db::points(db, id, hour)?;
                        minutes.extend(rollup::from_points(&points, MINUTE_MS));
                    }
                }
            }
            rollup::widen(&minutes, step_ms)
        }
        Step::Hours => {
            let mut hours = db::hours(db, id, from, to)?;
            let last = hours.last().map_or(from, |b| b.at_ms / HOUR_MS + 1);
            for hour in db::filled_hours(db, id, last, to)? {
                let points = db::points(db, id, hour)?;
                hours.extend(rollup::from_points(&points, HOUR_MS));
            }
            rollup::widen(&hours, step_ms)
        }
    };
    let within = |b: &Bucket| b.at_ms + step_ms > range.from_ms && b.at_ms < range.to_ms;
    Ok(buckets.into_iter().filter(within).collect())
}
