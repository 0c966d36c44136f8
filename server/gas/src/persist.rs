//! What survives a power cut: `gas.status` in the state directory, and the journal's newer entries.
//!
//! Order: an event is committed to the journal, then the file is written, then a person's command is answered.
//! The file names the newest entry that it contains; at the start, newer entries of alarms are applied on top.
//! So the file may be old but never knows more than the journal.

use crate::facts;
use crate::site::GasSite;
use crate::view::{Annotation, ServiceDone};
use leitstand_core::gas::memory::{CellMemory, Memory, OutputMemory, SetPointMemory};
use leitstand_core::gas::{AlarmKey, AlarmState, SiteMemory, SiteStation};
use leitstand_kit::Clock;
use leitstand_kit::events::{Events, Filter, Lost, Pending, Receipt};
use leitstand_kit::store::state_file::{self, Generation, LoadError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;
use tokio::sync::watch;

/// Name of the file in the state directory; the generation before is `gas.status.1`.
pub(crate) const FILE: &str = "gas.status";
/// Layout of [`Saved`].
const VERSION: u8 = 1;
/// How long a write waits for the journal. Reasoning: a commit takes milliseconds; a disk that hangs must not keep
/// the file from being written for longer than an operator waits for an answer.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(3);

/// Content of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    version: u8,
    /// The newest journal entry that is contained.
    pub(crate) seq: u64,
    /// When it was written.
    stamp: Stamp,
    /// What the positions in `memory` are called.
    ids: Ids,
    /// States, latches, counters.
    memory: SiteMemory,
    /// The same with the last 15 minutes of averages, in the core's own form.
    station: Vec<u8>,
    /// Everything that only people and the shell know.
    pub(crate) notes: Notes,
}

/// What the shell remembers beside the station.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notes {
    /// Who shelved what, by alarm id.
    pub(crate) shelved: BTreeMap<String, Annotation>,
    /// Who masked what, by cell id.
    pub(crate) masked: BTreeMap<String, Annotation>,
    /// Who took which output in hand, by output id.
    pub(crate) hands: BTreeMap<String, Annotation>,
    /// Services done, oldest first.
    pub(crate) services: Vec<ServiceDone>,
    /// First start with a trustworthy clock.
    pub(crate) created_unix_ms: Option<i64>,
}

/// A point in time that a later run can measure from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    unix_ms: i64,
    synced: bool,
    /// Random id of the machine's run and milliseconds since then, where the system tells them.
    boot: Option<(String, u64)>,
}

impl Stamp {
    pub(crate) fn now(clock: &Clock) -> Self {
        let wall = clock.wall();
        Self {
            unix_ms: wall.unix_ms,
            synced: wall.synced,
            boot: boot_clock(),
        }
    }

    /// From `self` to `later`: by the machine's own clock within one run of it, else by a clock that was right at
    /// both ends, else unknown.
    fn until(&self, later: &Self) -> Option<Duration> {
        if let (Some((a, from)), Some((b, to))) = (&self.boot, &later.boot)
            && a == b
        {
            return to.checked_sub(*from).map(Duration::from_millis);
        }
        let both = self.synced && later.synced;
        let span = u64::try_from(later.unix_ms - self.unix_ms).ok()?;
        both.then_some(Duration::from_millis(span))
    }
}

/// Linux tells both; elsewhere the averages start anew.
fn boot_clock() -> Option<(String, u64)> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Some((id.trim().to_owned(), (seconds * 1000.0) as u64))
}

/// Ids by position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ids {
    cells: Vec<String>,
    set_points: Vec<String>,
    buses: Vec<String>,
    outputs: Vec<String>,
}

impl Ids {
    fn of(site: &GasSite) -> Self {
        Self {
            cells: site.cells.iter().map(|c| c.id.clone()).collect(),
            set_points: site.set_points.iter().map(|s| s.alarm.clone()).collect(),
            buses: site.buses.iter().map(|b| b.id.clone()).collect(),
            outputs: site.outputs.iter().map(|o| o.id.clone()).collect(),
        }
    }
}

impl Saved {
    /// The state of `station` now. `seq` is completed by the writer.
    pub(crate) fn of(
        site: &GasSite,
        station: &SiteStation,
        notes: &Notes,
        seq: u64,
        clock: &Clock,
        buffer: &mut [u8],
    ) -> Self {
        let length = station.save(buffer).unwrap_or(0);
        Self {
            version: VERSION,
            seq,
            stamp: Stamp::now(clock),
            ids: Ids::of(site),
            memory: station.memory(),
            station: buffer[..length].to_vec(),
            notes: notes.clone(),
        }
    }

    /// Puts the state into a new station. With the same ids everything comes back; after a change of the
    /// configuration, what still has the same id does, and averages start anew.
    pub(crate) fn restore(&self, site: &GasSite, station: &mut SiteStation, clock: &Clock) {
        let now = Ids::of(site);
        if now == self.ids {
            let off_for = self.stamp.until(&Stamp::now(clock));
            match station.load(&self.station, off_for) {
                Ok(()) => return,
                Err(error) => tracing::warn!(?error, "saved averages cannot be used; states can"),
            }
        }
        if let Err(error) = station.restore(&self.moved(site, &now)) {
            tracing::error!(?error, "the saved state does not fit this site");
        }
    }

    /// The memory in the positions of another configuration.
    fn moved(&self, site: &GasSite, now: &Ids) -> SiteMemory {
        // A contribution is restored only where all cells kept their positions.
        let same_cells = now.cells == self.ids.cells;
        let old = &self.memory;
        let at = |ids: &[String], id: &String| ids.iter().position(|i| i == id);
        let set_points = now.set_points.iter().map(|id| {
            let found = at(&self.ids.set_points, id).and_then(|i| old.set_points.get(i));
            found.map_or(SetPointMemory::default(), |m| SetPointMemory {
                alarm: m.alarm,
                over: if same_cells { m.over } else { <_>::default() },
            })
        });
        let cells = now.cells.iter().map(|id| {
            let found = at(&self.ids.cells, id).and_then(|i| old.cells.get(i));
            found.copied().unwrap_or(CellMemory::default())
        });
        let buses = now.buses.iter().map(|id| {
            let found = at(&self.ids.buses, id).and_then(|i| old.buses.get(i));
            found.copied().unwrap_or_default()
        });
        let outputs = now.outputs.iter().map(|id| {
            let found = at(&self.ids.outputs, id).and_then(|i| old.outputs.get(i));
            found.copied().unwrap_or(OutputMemory::default())
        });
        Memory {
            set_points: set_points.collect(),
            cells: cells.collect(),
            buses: buses.collect(),
            outputs: outputs.collect(),
            power: if site.power {
                old.power
            } else {
                <_>::default()
            },
            runtime: old.runtime,
        }
    }
}

/// Why the runtime information cannot be used. Exit 3; a person decides.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Both generations are damaged, or the file cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It is whole, but this program does not understand it.
    #[error("{path} was written by another version of the program (format {version:?})")]
    Format {
        /// The file.
        path: PathBuf,
        /// The version that it names, where that much could be read.
        version: Option<u8>,
    },
}

/// Reads the file. `None` on a first start.
pub(crate) fn load(state: &Path) -> Result<Option<(Saved, Generation)>, StateError> {
    let path = state.join(FILE);
    let loaded = match state_file::load(&path) {
        Ok(loaded) => loaded,
        Err(LoadError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match postcard::from_bytes::<Saved>(&loaded.bytes) {
        Ok(saved) if saved.version == VERSION => Ok(Some((saved, loaded.generation))),
        _ => Err(StateError::Format {
            path,
            version: loaded.bytes.first().copied(),
        }),
    }
}

/// Applies journal entries of alarms after `seq`, in their order. Answers how many were applied.
pub(crate) fn catch_up(
    site: &GasSite,
    station: &mut SiteStation,
    events: &Events,
    seq: u64,
) -> Result<u64, leitstand_kit::store::StoreError> {
    let mut newest: Vec<(AlarmKey, AlarmState)> = Vec::new();
    let mut filter = Filter {
        service: Some(facts::SERVICE.to_owned()),
        since: Some(seq),
        limit: Some(1000),
        oldest_first: true,
        ..Filter::default()
    };
    let mut applied = 0;
    loop {
        let page = events.query_blocking(&filter)?;
        for entry in &page.items {
            if let Some((key, state)) = facts::alarm_of(site, entry) {
                newest.retain(|(k, _)| *k != key);
                newest.push((key, state));
                applied += 1;
            }
        }
        match page.next {
            Some(next) => filter.since = Some(next),
            None => break,
        }
    }
    for (key, state) in newest {
        let present = station.alarm(key).map(|a| a.state);
        // The file may contain later transitions of the same state; then there is nothing to do.
        if present != Some(state) {
            // An alarm that the configuration no longer has is gone on purpose.
            let _ = station.restore_alarm(key, state);
        }
    }
    Ok(applied)
}

/// What became of the writes: everything up to `ticket` is done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) ticket: u64,
    /// Why the newest write is not durable.
    pub(crate) error: Option<Arc<str>>,
}

struct Job {
    ticket: u64,
    saved: Saved,
    /// Entries of the journal that the state contains and that may not be committed yet.
    receipts: Vec<Pending>,
}

#[derive(Default)]
struct Slot {
    job: Option<Job>,
    closed: bool,
}

/// The thread that writes the file. The evaluation thread hands over and goes on.
pub(crate) struct Writer {
    slot: Arc<(Mutex<Slot>, Condvar)>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. Results appear in `written`.
    pub(crate) fn start(
        path: PathBuf,
        written: watch::Sender<Written>,
        heartbeat: leitstand_kit::Heartbeat,
    ) -> std::io::Result<Self> {
        let slot = Arc::<(Mutex<Slot>, Condvar)>::default();
        let shared = Arc::clone(&slot);
        let thread = std::thread::Builder::new()
            .name("gas-persist".into())
            .spawn(move || work(&path, &shared, &written, heartbeat))?;
        Ok(Self {
            slot,
            thread: Some(thread),
        })
    }

    /// A handle for the evaluation thread.
    pub(crate) fn desk(&self) -> Desk {
        Desk(Arc::clone(&self.slot))
    }

    /// Writes what is still waiting and ends the thread.
    pub(crate) fn finish(mut self) {
        self.close();
    }

    fn close(&mut self) {
        {
            let (lock, wake) = &*self.slot;
            lock.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
            wake.notify_one();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Where the evaluation thread leaves what shall be written.
pub(crate) struct Desk(Arc<(Mutex<Slot>, Condvar)>);

impl Desk {
    /// Replaces what is still waiting; its receipts are kept. The lock is held by nobody for longer than a move.
    pub(crate) fn put(&self, ticket: u64, saved: Saved, mut receipts: Vec<Pending>) {
        let (lock, wake) = &*self.0;
        let mut slot = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(older) = slot.job.take() {
            receipts.extend(older.receipts);
        }
        slot.job = Some(Job {
            ticket,
            saved,
            receipts,
        });
        wake.notify_one();
    }
}

/// How often the thread shows that it lives.
const BEAT: Duration = Duration::from_secs(1);

fn work(
    path: &Path,
    slot: &(Mutex<Slot>, Condvar),
    written: &watch::Sender<Written>,
    heartbeat: leitstand_kit::Heartbeat,
) {
    loop {
        heartbeat.beat();
        let job = {
            let (lock, wake) = slot;
            let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
            if guard.job.is_none() && !guard.closed {
                guard = wake
                    .wait_timeout(guard, BEAT)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            match guard.job.take() {
                Some(job) => job,
                None if guard.closed => break,
                None => continue,
            }
        };
        let ticket = job.ticket;
        let error = write(path, job).err();
        match &error {
            Some(error) => {
                tracing::error!(%error, "the runtime information is not stored");
                heartbeat.degrade(error.clone());
            }
            None => heartbeat.clear(),
        }
        written.send_replace(Written {
            ticket,
            error: error.map(Into::into),
        });
    }
    heartbeat.finish();
}

fn write(path: &Path, job: Job) -> Result<(), String> {
    let mut saved = job.saved;
    let patience = std::time::Instant::now() + JOURNAL_PATIENCE;
    let mut journal = Ok(());
    for pending in job.receipts {
        match wait(pending, patience) {
            Some(Ok(receipt)) => saved.seq = saved.seq.max(receipt.seq),
            Some(Err(Lost)) => {
                journal = Err("an event was lost because the journal's queue was full")
            }
            None => journal = Err("the journal does not answer"),
        }
    }
    let bytes = postcard::to_allocvec(&saved).map_err(|e| format!("encoding the state: {e}"))?;
    state_file::save(path, &bytes).map_err(|e| format!("{e}: {}", e.source))?;
    journal.map_err(str::to_owned)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a receipt on this thread, but not for ever.
fn wait(mut pending: Pending, until: std::time::Instant) -> Option<Result<Receipt, Lost>> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(result) = std::future::Future::poll(Pin::new(&mut pending), &mut cx) {
            return Some(result);
        }
        let left = until.checked_duration_since(std::time::Instant::now())?;
        std::thread::park_timeout(left);
    }
}
