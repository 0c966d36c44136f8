//! From `record` to the subscribers: a bounded queue, one commit for all that waits, then the news.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rusqlite::Connection;
use serde_json::json;
use tokio::sync::{broadcast, oneshot};

use super::{
    ACTOR_BYTES_MAX, BACKLOG_MAX, DATA_BYTES_MAX, EventPage, Filter, NewEvent, Pending, QUEUE_MAX,
    RETAIN, Receipt, Severity, Stored, TEXT_BYTES_MAX,
    journal::{self, Draft, Mark},
};
use crate::{
    Clock, Metrics, Store,
    health::Level,
    metrics::{Counter, Gauge},
    store::StoreError,
};

/// Events of one transaction. Reasoning: a commit costs the same for 1 and for 256; more would keep others waiting.
const BATCH_MAX: usize = 256;
/// Entries a subscriber may be behind. Reasoning: some seconds of a storm; then it reads the journal instead.
const SUBSCRIBER_LAG_MAX: usize = 1024;

/// The journal's handle. Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<Shared>);

struct Shared {
    store: Store,
    clock: Clock,
    boot: String,
    retain: u64,
    queue: Mutex<Queue>,
    /// Entries with a number that are not in the database yet.
    backlog: Mutex<Vec<Draft>>,
    /// The newest entry, written or not. Only the writer thread changes it.
    head: Mutex<Mark>,
    last_seq: AtomicU64,
    lost: AtomicU64,
    news: broadcast::Sender<Arc<Stored>>,
    recorded_total: Counter,
    lost_total: Counter,
    backlog_size: Gauge,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Draft, oneshot::Sender<Receipt>)>,
    /// Whether a drain is under way; then nobody needs to start one.
    draining: bool,
    /// Refused since the last `EventsLost` entry.
    lost: u64,
}

impl Events {
    /// The journal in `store`. Never fails: what cannot be written stays in memory and shows in the health.
    #[must_use]
    pub fn open(store: &Store, clock: &Clock, metrics: &Metrics) -> Self {
        Self::open_with(store, clock, metrics, RETAIN)
    }

    pub(super) fn open_with(store: &Store, clock: &Clock, metrics: &Metrics, retain: u64) -> Self {
        let head = match store.execute_blocking(|db| journal::prepare(db)) {
            Ok(head) => head,
            Err(error) => {
                degrade(store, &error.to_string());
                journal::ORIGIN
            }
        };
        let events = Self(Arc::new(Shared {
            store: store.clone(),
            clock: clock.clone(),
            boot: boot_id(),
            // In memory it must stay small; there is nothing to look back at after a restart anyway.
            retain: if store.path().is_some() {
                retain
            } else {
                retain.min(BACKLOG_MAX as u64)
            },
            queue: Mutex::default(),
            backlog: Mutex::default(),
            head: Mutex::new(head),
            last_seq: AtomicU64::new(head.seq),
            lost: AtomicU64::new(0),
            news: broadcast::Sender::new(SUBSCRIBER_LAG_MAX),
            recorded_total: metrics.counter(
                "leitstand_events_recorded_total",
                "Journal entries of this run.",
                &[],
            ),
            lost_total: metrics.counter(
                "leitstand_events_lost_total",
                "Events refused because the queue was full.",
                &[],
            ),
            backlog_size: metrics.gauge(
                "leitstand_events_backlog",
                "Entries that are not in the database yet.",
                &[],
            ),
        }));
        // The store must not keep the journal alive, or neither would ever end.
        let weak = Arc::downgrade(&events.0);
        store.when_idle(Box::new(move |db| {
            if let Some(shared) = weak.upgrade()
                && !shared.backlog().is_empty()
            {
                shared.commit(db, Vec::new());
            }
        }));
        events
    }

    /// Queues an event, stamped with the present time. Never waits for the disk; usable on any thread.
    pub fn record(&self, event: NewEvent) -> Pending {
        let draft = self.0.draft(event);
        let (sender, receiver) = oneshot::channel();
        let mut queue = self.0.queue();
        if queue.waiting.len() >= QUEUE_MAX {
            queue.lost += 1;
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            self.0.lost_total.inc();
        } else {
            queue.waiting.push_back((draft, sender));
        }
        let start = !std::mem::replace(&mut queue.draining, true);
        drop(queue);
        if start {
            self.0.start_drain();
        }
        Pending { receiver }
    }

    /// Reads entries.
    ///
    /// # Errors
    /// The database cannot be read, and no entry is in memory.
    pub async fn query(&self, filter: Filter) -> Result<EventPage, StoreError> {
        let select = {
            let (filter, limit) = (filter.clone(), filter.bounded_limit() + 1);
            move |db: &Connection| journal::select(db, &filter, limit)
        };
        let rows = self.0.store.read(select).await;
        self.0.page(&filter, rows)
    }

    /// The same on an OS thread, for a service that catches up at its start.
    ///
    /// # Errors
    /// The database cannot be read, and no entry is in memory.
    pub fn query_blocking(&self, filter: &Filter) -> Result<EventPage, StoreError> {
        let select = {
            let (filter, limit) = (filter.clone(), filter.bounded_limit() + 1);
            move |db: &Connection| journal::select(db, &filter, limit)
        };
        let rows = self.0.store.read_blocking(select);
        self.0.page(filter, rows)
    }

    /// Entries from now on, published after their commit. A slow reader misses the oldest and is told
    /// (`RecvError::Lagged`); it then reads the journal from its last number.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Stored>> {
        self.0.news.subscribe()
    }

    /// The sequence number of the newest entry; 0 in an empty journal.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.0.last_seq.load(Ordering::Acquire)
    }

    /// Events refused since the process started.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// The random id of this run of the process, as in [`Stored::boot`].
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.0.boot
    }

    /// Returns when all that was recorded before is committed (or known to be in memory only). Call it before the
    /// process ends.
    pub async fn flush(&self) {
        while self.0.queue().draining {
            match self.0.store.execute(|_| Ok(())).await {
                Err(StoreError::Closed) => return,
                Err(StoreError::Busy(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
                _ => {}
            }
        }
    }
}

impl Shared {
    fn start_drain(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        // Refused only when the process is going down; the senders are then dropped, and `Pending` says so.
        let _ = self.store.submit(Box::new(move |db| shared.drain(db)));
    }

    /// One batch; then others get their turn on the writer thread before the next.
    fn drain(self: &Arc<Self>, db: &mut Connection) {
        let batch = {
            let mut queue = self.queue();
            let count = queue.waiting.len().min(BATCH_MAX);
            let mut batch: Vec<_> = queue.waiting.drain(..count).collect();
            if queue.lost > 0 && queue.waiting.is_empty() {
                batch.push((
                    self.events_lost(std::mem::take(&mut queue.lost)),
                    oneshot::channel().0,
                ));
            }
            batch
        };
        self.commit(db, batch);
        let mut queue = self.queue();
        queue.draining = !queue.waiting.is_empty() || queue.lost > 0;
        if queue.draining {
            drop(queue);
            self.start_drain();
        }
    }

    /// Writes the backlog and `batch`; what cannot be written joins the backlog.
    fn commit(&self, db: &mut Connection, batch: Vec<(Draft, oneshot::Sender<Receipt>)>) {
        let (new, senders): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let mut drafts = std::mem::take(&mut *self.backlog());
        let old = drafts.len();
        drafts.extend(new);
        if drafts.is_empty() {
            return;
        }
        let durable = match journal::append(db, &mut drafts, self.retain) {
            Ok(head) => {
                *self.head() = head;
                if old > 0 {
                    self.store.health().set("store", Level::Good, None);
                    tracing::info!(entries = old, "the journal can be written again");
                }
                true
            }
            Err(error) => {
                degrade(&self.store, &self.store.note(error).to_string());
                let mut head = self.head();
                // The failed transaction may have numbered them from a head that was rolled back.
                for draft in drafts.iter_mut().take(BACKLOG_MAX).skip(old) {
                    journal::link(&mut head, draft);
                }
                false
            }
        };
        let kept = if durable {
            drafts.len()
        } else {
            drafts.len().min(BACKLOG_MAX)
        };
        let refused = (drafts.len() - kept) as u64;
        drafts.truncate(kept);
        let entries: Vec<_> = drafts[old.min(kept)..]
            .iter()
            .map(|d| Arc::new(d.entry.clone()))
            .collect();
        {
            // Before the news, so that whoever hears of an entry can read it.
            let mut backlog = self.backlog();
            if !durable {
                *backlog = drafts;
            }
            self.backlog_size.set(backlog.len() as f64);
        }
        self.last_seq.store(self.head().seq, Ordering::Release);
        self.recorded_total.add(entries.len() as u64);
        if refused > 0 {
            self.queue().lost += refused;
            self.lost.fetch_add(refused, Ordering::Relaxed);
            self.lost_total.add(refused);
        }
        for (entry, sender) in entries.into_iter().zip(senders) {
            let seq = entry.seq;
            let _ = self.news.send(entry);
            let _ = sender.send(Receipt { seq, durable });
        }
    }

    fn draft(&self, event: NewEvent) -> Draft {
        let wall = self.clock.wall();
        let mut data = event.data;
        let mut json = data.to_string();
        if json.len() > DATA_BYTES_MAX {
            data = json!({ "truncated": json.len() });
            json = data.to_string();
        }
        Draft {
            entry: Stored {
                seq: 0,
                boot: self.boot.clone(),
                mono_ms: self.clock.now().as_millis(),
                unix_ms: wall.unix_ms,
                synced: wall.synced,
                service: event.service.to_owned(),
                kind: event.kind.to_owned(),
                severity: event.severity,
                text: cut(event.text, TEXT_BYTES_MAX),
                actor: event.actor.map(|actor| cut(actor, ACTOR_BYTES_MAX)),
                data,
                hash: String::new(),
            },
            data: json,
        }
    }

    fn events_lost(&self, count: u64) -> Draft {
        let text = format!("{count} events were lost: they came faster than they could be written");
        self.draft(
            NewEvent::new("events", "EventsLost")
                .severity(Severity::Fault)
                .text(text)
                .data(json!({ "count": count })),
        )
    }

    /// Joins rows of the database (one more than the limit) with the backlog, which is always the newest.
    fn page(
        &self,
        filter: &Filter,
        rows: Result<Vec<Stored>, StoreError>,
    ) -> Result<EventPage, StoreError> {
        let mut rest: Vec<_> = self
            .backlog()
            .iter()
            .filter(|draft| filter.matches(&draft.entry))
            .map(|draft| Arc::new(draft.entry.clone()))
            .collect();
        let rows = match rows {
            Err(_) if !rest.is_empty() => Vec::new(),
            rows => rows?,
        };
        let rows = rows.into_iter().map(Arc::new);
        let mut items: Vec<Arc<Stored>> = if filter.oldest_first {
            rows.chain(rest).collect()
        } else {
            rest.reverse();
            rest.into_iter().chain(rows).collect()
        };
        // Between reading and looking at the backlog an entry may have moved to the database.
        items.dedup_by_key(|entry| entry.seq);
        let more = items.len() > filter.bounded_limit();
        items.truncate(filter.bounded_limit());
        let next = items.last().filter(|_| more).map(|last| {
            if filter.oldest_first {
                last.seq
            } else {
                last.seq - 1
            }
        });
        Ok(EventPage { items, next })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn backlog(&self) -> MutexGuard<'_, Vec<Draft>> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self) -> MutexGuard<'_, Mark> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn degrade(store: &Store, error: &str) {
    tracing::error!("the journal cannot be written: {error}");
    store.health().set(
        "store",
        Level::Degraded,
        Some("the journal cannot be written; entries are in memory"),
    );
}

/// Cuts at a character and marks the cut.
fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes - "…".len()));
        text.push('…');
    }
    text
}

fn boot_id() -> String {
    let mut random = [0; 8];
    match getrandom::fill(&mut random) {
        Ok(()) => crate::words::hex(&random),
        // Not a secret: the id only tells runs apart.
        Err(_) => format!("pid-{}", std::process::id()),
    }
}
