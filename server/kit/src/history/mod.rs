//! What was measured, kept for years: every reading of every series with its quality.
//!
//! ```text
//! service threads --record()--> bounded queue --> thread "history" --minute by minute--> SQLite
//! ```
//!
//! Terms: *series* one named quantity over time, `gas.co_1`, in a fixed-point unit. *Chunk* an hour of a series in the
//! format of `leitstand_core::history`. *Rollup* lowest, highest and mean value and the covered time of a minute or an
//! hour. *Covered*: a good value counts until the next point, at most [`HOLD_MS`]; what is not covered is a gap and
//! stays one.
//!
//! | Module | What |
//! |---|---|
//! | `writer` | the thread: collects, writes each minute, closes each hour |
//! | `db` | tables, retention |
//! | `rollup` | points to minutes and hours |
//! | `query` | a range in as many steps as a picture has room for |
//! | `routes` | `/api/v1/history` |
//!
//! Nothing here ever makes a recording thread wait: a full queue drops the point and counts it.

mod db;
mod query;
mod rollup;
pub(crate) mod routes;
mod writer;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, mpsc::TrySendError},
};

use leitstand_core::history::Point;
use tokio::sync::oneshot;

use crate::{Metrics, Store, metrics::Counter, store::StoreError};
use writer::Writer;

pub use query::{Range, Step};
pub use rollup::{Bucket, HOLD_MS};

/// Points that wait for the thread. Reasoning: 64 cells at 1 Hz for two minutes, longer than any commit of a card.
const QUEUE_MAX: usize = 8192;
/// Series at all. Reasoning: 64 cells, their zones, supply, and as many models; a name is kept for ever.
const SERIES_MAX: usize = 1024;

/// Quality of a point that is trusted. Only these count in rollups; others are kept and shown as what they are.
pub const GOOD: u8 = 0;

/// What a series is called and measured in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// `<service>.<id>`.
    pub name: String,
    /// As shown: `ppm`, `V`, `%`.
    pub unit: String,
    /// Steps of the fixed point in one unit, 1 or more: 1000 for values in 1/1000 ppm.
    pub scale: u32,
}

/// Takes readings. Cheap to clone.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    store: Store,
    /// `None`: the tables could not be prepared.
    writer: Option<Writer>,
    /// By name; a series that is known costs no look at the database.
    series: Mutex<HashMap<String, i64>>,
    lost: Counter,
}

impl Inner {
    fn send(&self, message: Message) -> Result<(), TrySendError<Message>> {
        match &self.writer {
            Some(writer) => writer.try_send(message),
            None => Err(TrySendError::Disconnected(message)),
        }
    }
}

/// To the thread.
enum Message {
    Point(i64, Point),
    /// Write what is there, then answer.
    Flush(oneshot::Sender<()>),
}

/// One series, to record into.
#[derive(Clone)]
pub struct Series {
    recorder: Recorder,
    id: i64,
}

/// No series can be had.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The database.
    #[error("history")]
    Store(#[from] StoreError),
    /// There are 1024 already.
    #[error("more than {SERIES_MAX} series")]
    TooMany,
}

impl Recorder {
    /// Opens the tables and starts the thread, which ends with the last clone. Blocks. A database that refuses the
    /// tables leaves a recorder that keeps nothing and whose series are errors; no start hangs on the history.
    #[must_use]
    pub fn open(store: &Store, metrics: &Metrics) -> Self {
        let writer = match store.migrate("history", db::MIGRATIONS) {
            Ok(()) => Some(Writer::start(store.clone())),
            Err(error) => {
                tracing::error!(%error, "preparing the history");
                None
            }
        };
        Self(Arc::new(Inner {
            store: store.clone(),
            writer,
            series: Mutex::default(),
            lost: metrics.counter(
                "leitstand_history_lost_total",
                "Points that found the queue to the history full.",
                &[],
            ),
        }))
    }

    /// The series of this name, made at the first time. Blocks; meant for the start.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn series(&self, about: About) -> Result<Series, HistoryError> {
        let mut known = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
        let id = match known.get(&about.name) {
            Some(id) => *id,
            None => {
                let name = about.name.clone();
                let id = self
                    .0
                    .store
                    .execute_blocking(move |db| db::series(db, &about, SERIES_MAX))?
                    .ok_or(HistoryError::TooMany)?;
                known.insert(name, id);
                id
            }
        };
        Ok(Series {
            recorder: self.clone(),
            id,
        })
    }

    /// Writes what was recorded until now, so that a query sees it.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.0.send(Message::Flush(done)).is_ok() {
            // A thread that is gone answers too, by dropping its end.
            let _ = written.await;
        }
    }
}

impl Series {
    /// Keeps a point. Never waits: while the queue is full, points are dropped and counted. `at_ms` is the wall clock
    /// in ms since 1970.
    pub fn record(&self, at_ms: i64, value: Option<i64>, quality: u8) {
        let point = Point {
            at_ms,
            value,
            quality,
        };
        match self.recorder.0.send(Message::Point(self.id, point)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => self.recorder.0.lost.inc(),
        }
    }
}

#[cfg(test)]
mod tests;
