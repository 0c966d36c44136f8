//! The tables. All functions run on the thread of their connection.
//!
//! `history_raw` holds an hour of a series as part 0, and while the hour runs a part a minute. `history_hours` holds
//! its rollups: one row is the hour, `minutes` the 60 in it. They are apart because a picture of a year reads 8760 of
//! the small rows and none of the large.

use leitstand_core::history::{Decoder, Point};
use rusqlite::{Connection, OptionalExtension as _};

use super::{
    About,
    rollup::{self, Bucket},
};

pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE history_series (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, unit TEXT NOT NULL, scale INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE history_raw (
        series INTEGER NOT NULL, hour INTEGER NOT NULL, part INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (series, hour, part)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE history_hours (
        series INTEGER NOT NULL, hour INTEGER NOT NULL, min INTEGER NOT NULL, max INTEGER NOT NULL,
        mean INTEGER NOT NULL, covered_ms INTEGER NOT NULL, minutes BLOB NOT NULL,
        PRIMARY KEY (series, hour)
    ) STRICT, WITHOUT ROWID;"];

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const MINUTE_MS: i64 = 60_000;
/// Readings are kept that long, in hours. Reasoning: a year and a month, so that a season can be compared with the
/// last one.
const RAW_HOURS_MAX: i64 = 400 * 24;
/// Rollups are kept that long, in hours: ten years.
const ROLLUP_HOURS_MAX: i64 = 3653 * 24;

type Result<T> = std::result::Result<T, rusqlite::Error>;

/// Id of the series, made when new; `None` when there are `most` already.
pub(super) fn series(db: &Connection, about: &About, most: usize) -> Result<Option<i64>> {
    let find = "SELECT id FROM history_series WHERE name = ?1";
    if let Some(id) = db
        .query_row(find, [&about.name], |row| row.get(0))
        .optional()?
    {
        // Another unit is another configuration; what was written keeps its numbers.
        let sql = "UPDATE history_series SET unit = ?2, scale = ?3 WHERE id = ?1";
        db.execute(sql, (id, &about.unit, about.scale))?;
        return Ok(Some(id));
    }
    let count: i64 = db.query_row("SELECT count(*) FROM history_series", [], |r| r.get(0))?;
    if count >= most as i64 {
        return Ok(None);
    }
    let sql = "INSERT INTO history_series (name, unit, scale) VALUES (?1, ?2, ?3)";
    db.execute(sql, (&about.name, &about.unit, about.scale))?;
    Ok(Some(db.last_insert_rowid()))
}

/// All series by name.
pub(super) fn all_series(db: &Connection) -> Result<Vec<(i64, About)>> {
    db.prepare_cached("SELECT id, name, unit, scale FROM history_series ORDER BY name")?
        .query_map([], |row| {
            let about = About {
                name: row.get(1)?,
                unit: row.get(2)?,
                scale: row.get(3)?,
            };
            Ok((row.get(0)?, about))
        })?
        .collect()
}

/// Adds a part to an hour that runs, or comes late to one that is closed.
pub(super) fn add_part(db: &Connection, series: i64, hour: i64, points: &[Point]) -> Result<()> {
    let data = rollup::chunk(points);
    let sql = "INSERT INTO history_raw
        SELECT ?1, ?2, coalesce(max(part), 0) + 1, ?3, ?4 FROM history_raw WHERE series = ?1 AND hour = ?2";
    db.prepare_cached(sql)?
        .execute((series, hour, crc32fast::hash(&data), data))?;
    Ok(())
}

/// Hours before `before` that still have parts.
pub(super) fn open_hours(db: &Connection, before: i64) -> Result<Vec<(i64, i64)>> {
    let sql = "SELECT DISTINCT series, hour FROM history_raw WHERE part > 0 AND hour < ?1";
    db.prepare_cached(sql)?
        .query_map([before], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// One chunk from all parts of an hour, and its rollups.
pub(super) fn close_hour(db: &Connection, series: i64, hour: i64) -> Result<()> {
    let points = points(db, series, hour)?;
    let data = rollup::chunk(&points);
    let crc = crc32fast::hash(&data);
    db.execute(
        "DELETE FROM history_raw WHERE series = ?1 AND hour = ?2",
        (series, hour),
    )?;
    db.execute(
        "INSERT INTO history_raw VALUES (?1, ?2, 0, ?3, ?4)",
        (series, hour, crc, data),
    )?;
    let minutes = rollup::from_points(&points, MINUTE_MS);
    let Some(whole) = rollup::widen(&minutes, HOUR_MS).first().copied() else {
        return Ok(());
    };
    db.execute(
        "INSERT OR REPLACE INTO history_hours VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            series,
            hour,
            whole.min,
            whole.max,
            whole.mean,
            whole.covered_ms,
            rollup::encode(&minutes),
        ),
    )?;
    Ok(())
}

/// The points of an hour in time order. A damaged part is left out and told; the others are readable.
pub(super) fn points(db: &Connection, series: i64, hour: i64) -> Result<Vec<Point>> {
    let mut all = Vec::new();
    let sql =
        "SELECT part, crc, data FROM history_raw WHERE series = ?1 AND hour = ?2 ORDER BY part";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query((series, hour))?;
    while let Some(row) = rows.next()? {
        let data = row.get_ref(2)?.as_blob().unwrap_or_default();
        let whole = crc32fast::hash(data) == row.get::<_, u32>(1)?;
        let read = Decoder::new(data).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
        match read {
            Ok(points) if whole => all.extend(points),
            _ => {
                let part: i64 = row.get(0)?;
                tracing::warn!(
                    series,
                    hour,
                    part,
                    "a damaged chunk of the history is left out"
                );
            }
        }
    }
    // A clock that was set back while the hour ran.
    all.sort_by_key(|point: &Point| point.at_ms);
    Ok(all)
}

/// Rollups of the hours from `from` to before `to`.
pub(super) fn hours(db: &Connection, series: i64, from: i64, to: i64) -> Result<Vec<Bucket>> {
    let sql = "SELECT hour, min, max, mean, covered_ms FROM history_hours
        WHERE series = ?1 AND hour >= ?2 AND hour < ?3 ORDER BY hour";
    db.prepare_cached(sql)?
        .query_map((series, from, to), |row| {
            Ok(Bucket {
                at_ms: row.get::<_, i64>(0)? * HOUR_MS,
                min: row.get(1)?,
                max: row.get(2)?,
                mean: row.get(3)?,
                covered_ms: row.get(4)?,
            })
        })?
        .collect()
}

/// Minutes of an hour, if it is closed.
pub(super) fn minutes(db: &Connection, series: i64, hour: i64) -> Result<Option<Vec<Bucket>>> {
    let sql = "SELECT minutes FROM history_hours WHERE series = ?1 AND hour = ?2";
    let bytes: Option<Vec<u8>> = db
        .prepare_cached(sql)?
        .query_row((series, hour), |row| row.get(0))
        .optional()?;
    Ok(bytes.and_then(|bytes| rollup::decode(&bytes)))
}

/// Hours with something in them, from `from` to before `to`. Readings of an old one may be gone, its rollups not.
pub(super) fn filled_hours(db: &Connection, series: i64, from: i64, to: i64) -> Result<Vec<i64>> {
    let sql = "SELECT hour FROM history_raw WHERE series = ?1 AND hour >= ?2 AND hour < ?3
        UNION SELECT hour FROM history_hours WHERE series = ?1 AND hour >= ?2 AND hour < ?3 ORDER BY hour";
    db.prepare_cached(sql)?
        .query_map((series, from, to), |row| row.get(0))?
        .collect()
}

/// Takes away what is older than it is kept.
pub(super) fn retire(db: &Connection, hour: i64) -> Result<()> {
    // By series and hour, because that is how the rows lie.
    for (id, _) in all_series(db)? {
        db.execute(
            "DELETE FROM history_raw WHERE series = ?1 AND hour < ?2",
            (id, hour - RAW_HOURS_MAX),
        )?;
        db.execute(
            "DELETE FROM history_hours WHERE series = ?1 AND hour < ?2",
            (id, hour - ROLLUP_HOURS_MAX),
        )?;
    }
    Ok(())
}
