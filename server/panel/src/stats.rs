//! How often which button plays, by hour. Numbers only: nothing that could be a person is ever written down.
//!
//! Plays are counted in memory and added to the database every ten seconds and at the end, so that a press costs no
//! write; a power cut loses the last ten seconds of counts. Hours are whole hours since 1970 (UTC) by the wall clock.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use leitstand_kit::{Store, store::StoreError};
use serde::Serialize;
use utoipa::ToSchema;

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;

/// The tables of this service, in steps.
pub const MIGRATIONS: &[&str] = &[
    "CREATE TABLE panel_settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
     CREATE TABLE panel_plays (
         hour INTEGER NOT NULL, button INTEGER NOT NULL, plays INTEGER NOT NULL, ended INTEGER NOT NULL,
         PRIMARY KEY (hour, button)
     ) STRICT, WITHOUT ROWID",
];

/// Counts of one button in one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Plays that began.
    pub plays: u32,
    /// Plays that went to their end.
    pub ended: u32,
}

/// What is not in the database yet, by hour and button.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(i64, u16), Count>);

impl Tally {
    /// The place to count in.
    pub fn at(&mut self, unix_ms: i64, button: u16) -> &mut Count {
        self.0
            .entry((unix_ms.div_euclid(HOUR_MS), button))
            .or_default()
    }

    /// Takes everything counted so far.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds it to the database, and removes hours before `oldest_ms`.
    ///
    /// # Errors
    /// The database; then nothing was added.
    pub async fn add_to(self, store: &Store, oldest_ms: Option<i64>) -> Result<(), StoreError> {
        store
            .execute(move |db| {
                let tx = db.transaction()?;
                {
                    let mut add = tx.prepare_cached(
                        "INSERT INTO panel_plays VALUES (?1, ?2, ?3, ?4) ON CONFLICT(hour, button)
                         DO UPDATE SET plays = plays + ?3, ended = ended + ?4",
                    )?;
                    for ((hour, button), count) in &self.0 {
                        add.execute((hour, button, count.plays, count.ended))?;
                    }
                    if let Some(oldest) = oldest_ms {
                        let before = oldest.div_euclid(HOUR_MS);
                        tx.execute("DELETE FROM panel_plays WHERE hour < ?1", [before])?;
                    }
                }
                tx.commit()
            })
            .await
    }
}

/// One row: a button in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Begin of the hour, milliseconds since 1970-01-01 UTC.
    pub unix_ms: i64,
    /// Button.
    pub button: u16,
    /// Counts.
    pub count: Count,
}

/// The rows of the hours that begin from `from_ms` up to `to_ms`, by hour and button.
///
/// # Errors
/// The database.
pub async fn rows(store: &Store, from_ms: i64, to_ms: i64) -> Result<Vec<Row>, StoreError> {
    let from = from_ms.div_euclid(HOUR_MS) + i64::from(from_ms.rem_euclid(HOUR_MS) > 0);
    store
        .read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT hour, button, plays, ended FROM panel_plays WHERE hour >= ?1 AND hour * 3600000 < ?2
                 ORDER BY hour, button",
            )?;
            let rows = query.query_map((from, to_ms), |row| {
                Ok(Row {
                    unix_ms: row.get::<_, i64>(0)? * HOUR_MS,
                    button: row.get(1)?,
                    count: Count {
                        plays: row.get(2)?,
                        ended: row.get(3)?,
                    },
                })
            })?;
            rows.collect()
        })
        .await
}

/// Plays of a button.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ButtonPlays {
    /// Button.
    pub button: u16,
    /// Its title.
    pub title: Option<String>,
    /// Plays that began.
    pub plays: u64,
    /// Plays that went to their end.
    pub ended: u64,
}

/// Plays of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DayPlays {
    /// Local date, `2026-05-31`.
    pub date: String,
    /// Plays that began.
    pub plays: u64,
}

/// Sums over some time, in the machine's local time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Summary {
    /// All plays.
    pub plays: u64,
    /// Those that went to their end.
    pub ended: u64,
    /// By button, all buttons.
    pub buttons: Vec<ButtonPlays>,
    /// By hour of the day, 24 numbers.
    pub hours: Vec<u64>,
    /// By day, those with plays.
    pub days: Vec<DayPlays>,
}

impl Summary {
    /// Sums `rows` for the buttons `1..=count`.
    #[must_use]
    pub fn new(rows: &[Row], count: u16, zone: &TimeZone) -> Self {
        let mut buttons: BTreeMap<u16, (u64, u64)> = (1..=count).map(|n| (n, (0, 0))).collect();
        let mut days: BTreeMap<String, u64> = BTreeMap::new();
        let mut sum = Self {
            hours: vec![0; 24],
            ..Self::default()
        };
        for row in rows {
            let (plays, ended) = (u64::from(row.count.plays), u64::from(row.count.ended));
            sum.plays += plays;
            sum.ended += ended;
            let button = buttons.entry(row.button).or_default();
            *button = (button.0 + plays, button.1 + ended);
            let Ok(time) = Timestamp::from_millisecond(row.unix_ms) else {
                continue;
            };
            let local = time.to_zoned(zone.clone());
            if let Some(hour) = sum.hours.get_mut(usize::from(local.hour().unsigned_abs())) {
                *hour += plays;
            }
            *days.entry(local.date().to_string()).or_default() += plays;
        }
        sum.buttons = buttons
            .into_iter()
            .map(|(button, (plays, ended))| ButtonPlays {
                button,
                title: None,
                plays,
                ended,
            })
            .collect();
        sum.days = days
            .into_iter()
            .map(|(date, plays)| DayPlays { date, plays })
            .collect();
        sum
    }
}

/// The rows for a spreadsheet: local begin of the hour with its offset, button, title, plays, ended.
#[must_use]
pub fn csv(rows: &[Row], zone: &TimeZone, title: impl Fn(u16) -> Option<String>) -> String {
    let mut out = String::from("hour,button,title,plays,ended\r\n");
    for row in rows {
        let time = Timestamp::from_millisecond(row.unix_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let hour = time
            .to_zoned(zone.clone())
            .strftime("%Y-%m-%dT%H:%M%:z")
            .to_string();
        let title = title(row.button).unwrap_or_default().replace('"', "\"\"");
        // A spreadsheet must not take a title for a formula.
        let guard = if title.starts_with(['=', '+', '-', '@']) {
            "'"
        } else {
            ""
        };
        let Count { plays, ended } = row.count;
        out.push_str(&format!(
            "{hour},{},\"{guard}{title}\",{plays},{ended}\r\n",
            row.button
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use leitstand_kit::Context;

    /// 2026-01-05 was a Monday; 08:00 UTC.
    const START: i64 = 1_767_600_000_000;

    fn zone() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(1))
    }

    fn store(dir: &std::path::Path) -> Store {
        let store = Context::for_tests(dir).store;
        store.migrate("panel", MIGRATIONS).unwrap();
        store
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn counts_add_up_over_restarts_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        for (hours, button, plays) in [(0, 3, 2), (0, 3, 1), (1, 3, 4), (16, 7, 1), (-24, 7, 9)] {
            let mut tally = Tally::default();
            *tally.at(START + hours * HOUR_MS + 5, button) = Count { plays, ended: 1 };
            assert!(!tally.is_empty());
            tally.take().add_to(&store, None).await.unwrap();
        }
        let all = rows(&store, 0, i64::MAX).await.unwrap();
        assert_eq!(all.len(), 4);
        assert_eq!(all[1].count, Count { plays: 3, ended: 2 });
        let day = rows(&store, START, START + 24 * HOUR_MS).await.unwrap();
        let sum = Summary::new(&day, 8, &zone());
        assert_eq!((sum.plays, sum.ended), (8, 4));
        assert_eq!(sum.buttons.len(), 8);
        assert_eq!(sum.buttons[2].plays, 7);
        // 08:00 UTC is 9 o'clock at the site, and 16 hours later it is the next day there.
        assert_eq!((sum.hours[9], sum.hours[10], sum.hours[1]), (3, 4, 1));
        let days: Vec<_> = sum
            .days
            .iter()
            .map(|d| (d.date.as_str(), d.plays))
            .collect();
        assert_eq!(days, [("2026-01-05", 7), ("2026-01-06", 1)]);
        Tally::default().add_to(&store, Some(START)).await.unwrap();
        assert_eq!(rows(&store, 0, i64::MAX).await.unwrap().len(), 3);
    }

    #[test]
    fn a_spreadsheet_reads_it() {
        let row = |button| Row {
            unix_ms: START,
            button,
            count: Count { plays: 2, ended: 1 },
        };
        let text = csv(&[row(1), row(2), row(3)], &zone(), |button| match button {
            1 => Some("The \"big\" bell, 1".into()),
            2 => Some("=1+1".into()),
            _ => None,
        });
        assert_eq!(
            text,
            "hour,button,title,plays,ended\r\n2026-01-05T09:00+01:00,1,\"The \"\"big\"\" bell, 1\",2,1\r\n\
             2026-01-05T09:00+01:00,2,\"'=1+1\",2,1\r\n2026-01-05T09:00+01:00,3,\"\",2,1\r\n"
        );
    }
}
