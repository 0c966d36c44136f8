//! The journal: past-tense facts, gap-free, hash-chained, stored before they are shown.

use std::{future::Future, pin::Pin, sync::Arc, task};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{broadcast, oneshot};
use utoipa::ToSchema;

use crate::store::StoreError;

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
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
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
#[derive(Clone, Debug, Default, Deserialize)]
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
    /// At most so many; 1 to 1000, 100 unless told.
    pub limit: Option<u32>,
    /// Oldest first instead of newest first.
    #[serde(default)]
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

/// The journal's handle. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    _private: (),
}

impl Events {
    /// Queues an event. Never blocks; usable on any thread.
    pub fn record(&self, event: NewEvent) -> Pending {
        let _ = event;
        todo!()
    }

    /// Reads entries.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn query(&self, filter: Filter) -> Result<EventPage, StoreError> {
        let _ = filter;
        todo!()
    }

    /// The same on an OS thread, for a service that catches up at its start.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn query_blocking(&self, filter: &Filter) -> Result<EventPage, StoreError> {
        let _ = filter;
        todo!()
    }

    /// Entries from now on, published after their commit. A slow reader misses the oldest and is told.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Stored>> {
        todo!()
    }

    /// The sequence number of the newest entry; 0 in an empty journal.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        todo!()
    }

    /// Events refused since the process started.
    #[must_use]
    pub fn lost(&self) -> u64 {
        todo!()
    }

    /// Returns when all that was recorded before is committed (or known to be in memory only).
    pub async fn flush(&self) {
        todo!()
    }
}

/// Where the chain breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal entry {seq}: {reason}")]
pub struct FirstBad {
    /// The entry.
    pub seq: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a journal could not be vouched for.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// An entry was edited, removed or inserted.
    #[error(transparent)]
    Chain(#[from] FirstBad),
    /// The file cannot be read.
    #[error("reading the journal")]
    Read(#[source] rusqlite::Error),
}

/// Checks the whole chain of the database at `path`, read-only. Answers the number of entries.
///
/// # Errors
/// The first bad entry, or the file cannot be read.
pub fn verify(path: &std::path::Path) -> Result<u64, VerifyError> {
    let _ = path;
    todo!()
}
