//! Calibrations and bump tests of each cell, for as long as the site lives.
//!
//! The journal is the truth: each record is an entry of it, with who, when, before and after, chained by hash.
//! The journal is bounded, records are not, so this table keeps a copy of the entries that are records. It is
//! filled from the journal, by sequence number: a copy made twice is one, and one that a power cut prevented is
//! made at the next start.

use crate::facts::SERVICE;
use leitstand_kit::events::{Filter, Stored};
use leitstand_kit::store::{Store, StoreError};
use leitstand_kit::{CancellationToken, Context};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use utoipa::ToSchema;

/// The kinds of entries that are records.
pub(crate) const KINDS: [&str; 6] = [
    "CellCalibrated",
    "CalibrationChecked",
    "CalibrationFailed",
    "BumpTestPassed",
    "BumpTestFailed",
    "BumpTestAborted",
];
/// Records listed of one cell. Reasoning: ten years of a monthly bump test and a quarterly calibration.
const LISTED_MAX: u32 = 200;
const MS_A_DAY: f64 = 86_400_000.0;

const SCHEMA: &[&str] = &["CREATE TABLE gas_records (
    seq INTEGER PRIMARY KEY, cell TEXT NOT NULL, kind TEXT NOT NULL, unix_ms INTEGER NOT NULL,
    synced INTEGER NOT NULL, actor TEXT, data TEXT NOT NULL
) STRICT;
CREATE INDEX gas_records_by_cell ON gas_records (cell, seq);"];

/// One calibration, check or bump test.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Record {
    /// Number of its journal entry.
    pub seq: u64,
    /// Kind of its journal entry, such as `CellCalibrated` or `BumpTestPassed`.
    pub kind: String,
    /// When, by the wall clock.
    pub unix_ms: i64,
    /// Whether that clock could be trusted.
    pub synced: bool,
    /// Who.
    pub by: Option<String>,
    /// The entry's data: point, gas applied, as found, registers before and after; or target, peak, seconds.
    #[schema(value_type = Object)]
    pub data: Value,
}

/// One step of the drift trend: how far off the cell was when gas was applied.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct DriftPoint {
    /// When.
    pub unix_ms: i64,
    /// As found minus applied, in the cell's unit.
    pub deviation: f64,
    /// The same in per cent of the range.
    pub percent_of_range: f64,
    /// Days since the point was set or checked before.
    pub days: Option<f64>,
    /// Deviation per 30 days since then.
    pub per_30_days: Option<f64>,
}

/// The drift of both points, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Drift {
    /// At zero gas.
    pub zero: Vec<DriftPoint>,
    /// At span gas.
    pub span: Vec<DriftPoint>,
}

/// Makes the table. Blocks; part of the start.
pub(crate) fn prepare(store: &Store) -> Result<(), StoreError> {
    store.migrate(SERVICE, SCHEMA)
}

/// Copies an entry that is a record; others and copies that exist are passed over.
pub(crate) async fn keep(store: &Store, entries: Vec<Arc<Stored>>) -> Result<(), StoreError> {
    let records: Vec<Arc<Stored>> = entries.into_iter().filter(|e| is_record(e)).collect();
    if records.is_empty() {
        return Ok(());
    }
    store
        .execute(move |db| {
            let tx = db.transaction()?;
            for entry in &records {
                let cell = entry.data.get("cell").and_then(Value::as_str).unwrap_or("");
                tx.execute(
                    "INSERT OR IGNORE INTO gas_records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    (
                        signed(entry.seq),
                        cell,
                        &entry.kind,
                        entry.unix_ms,
                        entry.synced,
                        &entry.actor,
                        entry.data.to_string(),
                    ),
                )?;
            }
            tx.commit()
        })
        .await
}

fn is_record(entry: &Stored) -> bool {
    entry.service == SERVICE && KINDS.contains(&entry.kind.as_str())
}

/// Follows the journal until `stop`: first what came since the newest copy, then what is new.
pub(crate) async fn follow(cx: Context, stop: CancellationToken) {
    loop {
        let mut live = cx.events.subscribe();
        if let Err(error) = catch_up(&cx).await {
            tracing::error!(%error, "records of calibrations are not up to date");
        }
        loop {
            let entry = tokio::select! {
                () = stop.cancelled() => return,
                entry = live.recv() => entry,
            };
            match entry {
                Ok(entry) => {
                    if let Err(error) = keep(&cx.store, vec![entry]).await {
                        tracing::error!(%error, "a record is not kept; the journal has it");
                    }
                }
                // More came at once than the channel holds: read them from the journal.
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return,
            }
        }
    }
}

async fn catch_up(cx: &Context) -> Result<(), StoreError> {
    let newest: Option<i64> = cx
        .store
        .read(|db| db.query_row("SELECT max(seq) FROM gas_records", [], |row| row.get(0)))
        .await?;
    for kind in KINDS {
        let mut filter = Filter {
            service: Some(SERVICE.to_owned()),
            kind: Some(kind.to_owned()),
            since: newest.map(i64::unsigned_abs),
            limit: Some(1000),
            oldest_first: true,
            ..Filter::default()
        };
        loop {
            let page = cx.events.query(filter.clone()).await?;
            keep(&cx.store, page.items).await?;
            match page.next {
                Some(next) => filter.since = Some(next),
                None => break,
            }
        }
    }
    Ok(())
}

/// The newest records of a cell, newest first.
pub(crate) async fn of_cell(store: &Store, cell: &str) -> Result<Vec<Record>, StoreError> {
    let cell = cell.to_owned();
    store
        .read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT seq, kind, unix_ms, synced, actor, data FROM gas_records
                 WHERE cell = ?1 ORDER BY seq DESC LIMIT ?2",
            )?;
            let rows = query.query_map((cell, LISTED_MAX), |row| {
                let data: String = row.get(5)?;
                Ok(Record {
                    seq: row.get::<_, i64>(0)?.unsigned_abs(),
                    kind: row.get(1)?,
                    unix_ms: row.get(2)?,
                    synced: row.get(3)?,
                    by: row.get(4)?,
                    data: serde_json::from_str(&data).unwrap_or(Value::Null),
                })
            })?;
            rows.collect()
        })
        .await
}

/// How far off the cell was each time gas was applied. `records` are newest first, `range` in the cell's unit.
pub(crate) fn drift(records: &[Record], range: f64) -> Drift {
    let mut drift = Drift::default();
    for record in records.iter().rev() {
        if !matches!(
            record.kind.as_str(),
            "CellCalibrated" | "CalibrationChecked"
        ) {
            continue;
        }
        let number = |key: &str| record.data.get(key).and_then(Value::as_f64);
        let (Some(found), Some(applied)) = (number("as_found"), number("applied")) else {
            continue;
        };
        let series = match record.data.get("point").and_then(Value::as_str) {
            Some("zero") => &mut drift.zero,
            Some("span") => &mut drift.span,
            _ => continue,
        };
        let deviation = milli(found - applied);
        let days = series.last().map(|before: &DriftPoint| {
            milli((record.unix_ms - before.unix_ms).max(0) as f64 / MS_A_DAY)
        });
        series.push(DriftPoint {
            unix_ms: record.unix_ms,
            deviation,
            percent_of_range: milli(deviation / range * 100.0),
            days,
            // Two calibrations on one day tell nothing about a month.
            per_30_days: days
                .filter(|days| *days >= 1.0)
                .map(|days| milli(deviation / days * 30.0)),
        });
    }
    drift
}

/// SQLite counts in signed numbers; the journal will not reach their end.
fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn milli(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use leitstand_kit::NewEvent;
    use serde_json::json;

    fn calibrated(point: &str, applied: f64, found: f64) -> NewEvent {
        let data = json!({"cell": "co1", "point": point, "applied": applied, "as_found": found});
        NewEvent::new(SERVICE, "CellCalibrated")
            .data(data)
            .actor("anna")
    }

    #[tokio::test]
    async fn what_the_journal_holds_is_copied_once_whoever_came_first() {
        let dir = tempfile::tempdir().unwrap();
        let cx = Context::for_tests(dir.path());
        prepare(&cx.store).unwrap();
        cx.events
            .record(calibrated("zero", 0.0, 2.0))
            .await
            .unwrap();
        cx.events
            .record(NewEvent::new(SERVICE, "HornOn"))
            .await
            .unwrap();
        catch_up(&cx).await.unwrap();
        catch_up(&cx).await.unwrap();
        let stop = CancellationToken::new();
        let follower = tokio::spawn(follow(cx.clone(), stop.clone()));
        cx.events
            .record(calibrated("span", 270.0, 265.0))
            .await
            .unwrap();
        let mut found = Vec::new();
        for _ in 0..2_000 {
            found = of_cell(&cx.store, "co1").await.unwrap();
            if found.len() == 2 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let seen: Vec<_> = found
            .iter()
            .map(|r| (r.data["point"].as_str().unwrap(), r.by.as_deref()))
            .collect();
        assert_eq!(seen, [("span", Some("anna")), ("zero", Some("anna"))]);
        assert!(of_cell(&cx.store, "other").await.unwrap().is_empty());
        stop.cancel();
        follower.await.unwrap();
    }

    #[test]
    fn the_trend_is_what_was_found_minus_what_was_applied() {
        let at = |days: f64, kind: &str, point: &str, applied: f64, found: Option<f64>| Record {
            seq: 1,
            kind: kind.into(),
            unix_ms: (days * MS_A_DAY) as i64,
            synced: true,
            by: None,
            data: json!({"point": point, "applied": applied, "as_found": found}),
        };
        let newest_first = [
            at(90.5, "CellCalibrated", "span", 270.0, Some(260.0)),
            at(90.0, "CellCalibrated", "zero", 0.0, Some(-3.0)),
            at(40.0, "BumpTestPassed", "zero", 0.0, Some(9.0)),
            at(30.0, "CellCalibrated", "zero", 0.0, None),
            at(0.0, "CalibrationChecked", "zero", 0.0, Some(1.5)),
        ];
        let drift = drift(&newest_first, 300.0);
        let zero: Vec<_> = drift
            .zero
            .iter()
            .map(|p| (p.deviation, p.percent_of_range, p.days, p.per_30_days))
            .collect();
        assert_eq!(
            zero,
            [(1.5, 0.5, None, None), (-3.0, -1.0, Some(90.0), Some(-1.0))]
        );
        assert_eq!(drift.span.len(), 1);
        assert_eq!(drift.span[0].deviation, -10.0);
    }
}
