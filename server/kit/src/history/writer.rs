//! The thread "history": collects points, writes a part a minute, and one chunk when an hour is over.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use leitstand_core::history::Point;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::{
    Message, QUEUE_MAX,
    db::{self, HOUR_MS},
};
use crate::Store;

/// How often it is written. Reasoning: a power cut loses at most a minute of history (never of the journal), and a
/// memory card is spared: each commit writes whole pages, however few bytes are new.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// Points held before it is written earlier. Reasoning: 24 bytes each; what a broken database leaves waiting ends here.
const HELD_MAX: usize = 100_000;

type Parts = BTreeMap<(i64, i64), Vec<Point>>;

/// The thread's handle. Dropped, it waits until what is held is written: a stop loses nothing, and the database is
/// closed after its last user.
pub(super) struct Writer {
    /// `None` while it is dropped, which is what ends the thread.
    queue: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Without a thread (none could be started) recording finds nobody at the other end.
    pub(super) fn start(store: Store) -> Self {
        let (queue, messages) = std::sync::mpsc::sync_channel(QUEUE_MAX);
        let thread = std::thread::Builder::new().name("history".into());
        let thread = thread
            .spawn(move || run(&store, &messages))
            .inspect_err(|error| tracing::error!(%error, "starting the history's thread"))
            .ok();
        Self {
            queue: Some(queue),
            thread,
        }
    }

    /// A queue that a test reads, or does not.
    #[cfg(test)]
    pub(super) fn without_reader(queue: SyncSender<Message>) -> Self {
        Self {
            queue: Some(queue),
            thread: None,
        }
    }

    /// Never waits.
    ///
    /// # Errors
    /// The queue is full, or nobody reads it.
    pub(super) fn try_send(&self, message: Message) -> Result<(), TrySendError<Message>> {
        match &self.queue {
            Some(queue) => queue.try_send(message),
            None => Err(TrySendError::Disconnected(message)),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It panicked: that was told then.
            let _ = thread.join();
        }
    }
}

fn run(store: &Store, messages: &Receiver<Message>) {
    let mut held = Held::default();
    let mut write_at = Instant::now() + WRITE_EVERY;
    loop {
        let left = write_at.saturating_duration_since(Instant::now());
        match messages.recv_timeout(left) {
            Ok(Message::Point(series, point)) => held.add(series, point),
            Ok(Message::Flush(done)) => {
                held.write(store);
                answer(done);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                held.write(store);
                return;
            }
        }
        if Instant::now() >= write_at || held.count >= HELD_MAX {
            held.write(store);
            write_at = Instant::now() + WRITE_EVERY;
        }
    }
}

fn answer(done: oneshot::Sender<()>) {
    // Who asked may be gone.
    let _ = done.send(());
}

/// Points that are not written yet, by series and hour.
#[derive(Default)]
struct Held {
    parts: Parts,
    count: usize,
    /// The newest hour seen; older ones are over.
    newest: i64,
    /// The hour up to which all are closed.
    closed: i64,
}

impl Held {
    fn add(&mut self, series: i64, point: Point) {
        let hour = point.at_ms.div_euclid(HOUR_MS);
        self.newest = self.newest.max(hour);
        self.parts.entry((series, hour)).or_default().push(point);
        self.count += 1;
    }

    fn write(&mut self, store: &Store) {
        if self.parts.is_empty() {
            return;
        }
        let parts = std::mem::take(&mut self.parts);
        self.count = 0;
        let (newest, closed) = (self.newest, self.closed);
        let written = store.execute_blocking(move |db| write(db, &parts, newest, closed));
        match written {
            Ok(()) => self.closed = newest,
            // The store shows its trouble in the health; what was to be written is lost, as its gap will show.
            Err(error) => tracing::error!(%error, "writing the history"),
        }
    }
}

/// All in one transaction: an hour is never half closed.
fn write(
    db: &mut Connection,
    parts: &Parts,
    newest: i64,
    closed: i64,
) -> Result<(), rusqlite::Error> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for ((series, hour), points) in parts {
        db::add_part(&tx, *series, *hour, points)?;
    }
    if newest > closed {
        for (series, hour) in db::open_hours(&tx, newest)? {
            db::close_hour(&tx, series, hour)?;
        }
        db::retire(&tx, newest)?;
    }
    tx.commit()
}
