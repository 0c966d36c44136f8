//! The journal: past-tense facts, gap-free, hash-chained, stored before they are shown.
//!
//! [`Events::record`] stamps an event with the time, queues it (bounded) and returns at once. The store's writer
//! thread takes what is queued, commits it in one transaction, and only then publishes it and resolves the
//! [`Pending`]s. While the database cannot be written, entries keep their numbers in memory (bounded), are shown
//! with `durable: false` in their receipt, and are written as soon as it works again.
//!
//! | Module | What |
//! |---|---|
//! | `chain` | the canonical form of a row, its hash, [`verify`] |
//! | `journal` | the tables: append, prune, select |
//! | `queue` | the handle [`Events`] and the way from `record` to the subscribers |
//! | `csv` | export that a spreadsheet cannot be tricked with |

mod chain;
pub mod csv;
mod journal;
mod queue;

use std::{future::Future, pin::Pin, sync::Arc, task};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;
use utoipa::ToSchema;

pub use chain::{FirstBad, VerifyError, verify};
pub use queue::Events;

/// Entries kept. Reasoning: months of a busy garage in about 50 MB; older ones are pruned, the chain's anchor stays.
pub const RETAIN: u64 = 100_000;
/// Events that may wait for the writer. Reasoning: a storm of all 64 cells and set points at once is some hundreds.
pub const QUEUE_MAX: usize = 4096;
/// Entries kept in memory while the database cannot be written. Reasoning: hours of a bad day in about 5 MB.
pub const BACKLOG_MAX: usize = 10_000;
/// Bytes of a text; the rest is cut and marked with an ellipsis.
pub const TEXT_BYTES_MAX: usize = 512;
/// Bytes of the data as JSON; larger data is replaced by `{"truncated": <bytes>}`.
pub const DATA_BYTES_MAX: usize = 8192;
/// Bytes of an actor's name.
pub const ACTOR_BYTES_MAX: usize = 128;

/// How much an event matters. The order is from harmless to urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody should look when convenient.
    Warning,
    /// Something does not work.
    Fault,
    /// People may be in danger.
    Alarm,
}

/// An event to record. Texts and data beyond the bounds in this module are cut and marked.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The service that reports it.
    pub service: &'static str,
    /// Past tense, upper camel case: `AlarmRaised`.
    pub kind: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence for people.
    pub text: String,
    /// Typed data; an object.
    pub data: Value,
    /// Who caused it, when a person or token did.
    pub actor: Option<String>,
}

impl NewEvent {
    /// An `Info` event without text and data.
    #[must_use]
    pub fn new(service: &'static str, kind: &'static str) -> Self {
        Self {
            service,
            kind,
            severity: Severity::Info,
            text: String::new(),
            data: Value::Null,
            actor: None,
        }
    }
    /// Sets the severity.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
    /// Sets the sentence.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }
    /// Sets the data.
    #[must_use]
    pub fn data(mut self, data: Value) -> Self {
        self.data = data;
        self
    }
    /// Sets who did it.
    #[must_use]
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }
}

/// A journal entry as stored and as served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stored {
    /// Gap-free, from 1.
    pub seq: u64,
    /// Random id of the run of the process that recorded it.
    pub boot: String,
    /// Monotonic time of that run.
    pub mono_ms: u64,
    /// Wall time.
    pub unix_ms: i64,
    /// Whether the wall clock could be trusted.
    pub synced: bool,
    /// The service that reported it.
    pub service: String,
    /// Past tense, upper camel case.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence for people.
    pub text: String,
    /// Who caused it.
    pub actor: Option<String>,
    /// Typed data.
    pub data: Value,
    /// Hex of SHA-256 over the predecessor's hash and this row.
    pub hash: String,
}

/// What became of a recorded event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its sequence number.
    pub seq: u64,
    /// False while the database is broken: the entry is in memory only and the health says so.
    pub durable: bool,
}

/// The event was refused because the queue was full; it is counted, and `EventsLost` follows in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event queue is full; the event was counted as lost")]
pub struct Lost;

/// Resolves after the commit. Dropping it is fine: the event is recorded all the same.
pub struct Pending {
    receiver: oneshot::Receiver<Receipt>,
}

impl Pending {
    /// Waits on an OS thread. Must not be called in async code.
    ///
    /// # Errors
    /// [`Lost`] when it was refused.
    pub fn wait_blocking(self) -> Result<Receipt, Lost> {
        self.receiver.blocking_recv().map_err(|_| Lost)
    }
}

impl Future for Pending {
    type Output = Result<Receipt, Lost>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map_err(|_| Lost)
    }
}

/// Which entries to list. Empty = all, newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this service.
    pub service: Option<String>,
    /// At least this severity.
    pub severity: Option<Severity>,
    /// Only this kind.
    pub kind: Option<String>,
    /// Text contains, ignoring ASCII case.
    pub text: Option<String>,
    /// Only `seq > since`.
    pub since: Option<u64>,
    /// Only `seq <= until`.
    pub until: Option<u64>,
    /// At most so many; 1 to 1000 (more is cut), 100 unless told.
    pub limit: Option<u32>,
    /// Oldest first instead of newest first.
    pub oldest_first: bool,
}

/// A page of entries.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// In the order asked for.
    pub items: Vec<Arc<Stored>>,
    /// Continue with this as `until` (newest first) or `since` (oldest first); `None` at the end.
    pub next: Option<u64>,
}

impl Severity {
    /// The name in JSON, in CSV and in the hash chain.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Fault => "fault",
            Self::Alarm => "alarm",
        }
    }
}

impl Filter {
    /// Whether the entry passes; `limit` and the order play no part.
    #[must_use]
    pub fn matches(&self, entry: &Stored) -> bool {
        let text = |wanted: &String| {
            let text = entry.text.to_ascii_lowercase();
            text.contains(&wanted.to_ascii_lowercase())
        };
        self.service.as_ref().is_none_or(|s| *s == entry.service)
            && self.severity.is_none_or(|s| s <= entry.severity)
            && self.kind.as_ref().is_none_or(|k| *k == entry.kind)
            && self.text.as_ref().is_none_or(text)
            && self.since.is_none_or(|since| entry.seq > since)
            && self.until.is_none_or(|until| entry.seq <= until)
    }

    /// `limit` within its bounds.
    #[must_use]
    pub fn bounded_limit(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, 1000) as usize
    }
}

#[cfg(test)]
mod tests;
