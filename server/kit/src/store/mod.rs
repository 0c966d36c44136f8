//! SQLite with one writer thread. Each service owns tables prefixed with its name.
//!
//! A broken file never stops the gateway. It is kept aside as `*.bad` for a person and a new one is made; if
//! that fails too, the database is in memory. Both show as a degraded `store` in the health.

mod open;
pub mod snapshot;
pub mod state_file;
mod writer;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::{Health, health::Level};
use writer::{Job, Writer};

/// Name of the database in the state directory.
pub const FILE_NAME: &str = "leitstand.db";
/// Jobs that may wait for the writer. Reasoning: a burst of writes of all services is some dozens; a thousand
/// 80 µs commits are still under a tenth of a second.
pub const QUEUE_MAX: usize = 1024;
/// Idle read connections kept. Reasoning: one for each of a few pages that load at once.
const READERS_MAX: usize = 4;

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Try later: too much is queued.
    #[error("the database is busy: {0} jobs are queued")]
    Busy(usize),
    /// The writer thread has stopped; the process is going down.
    #[error("the database is closed")]
    Closed,
    /// SQLite said no.
    #[error("database")]
    Sqlite(#[from] rusqlite::Error),
    /// The closure panicked; what it had not committed is rolled back.
    #[error("a database job panicked")]
    Panicked,
}

/// The gateway's database. Cheap to clone; the writer thread ends with the last clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    path: Option<PathBuf>,
    /// Before the writer: dropped first, so that the writer is the last to close and empties the WAL.
    readers: Mutex<Vec<Connection>>,
    writer: Writer,
    health: Health,
}

impl Store {
    /// Opens `dir/leitstand.db`, whatever state it is in.
    #[must_use]
    pub fn open(dir: &Path, health: &Health) -> Self {
        let opened = open::open(&dir.join(FILE_NAME));
        match &opened.trouble {
            Some(trouble) => {
                tracing::error!("{trouble}");
                health.set("store", Level::Degraded, Some(trouble));
            }
            None => health.set("store", Level::Good, None),
        }
        Self(Arc::new(Inner {
            path: opened.path,
            writer: Writer::start(opened.connection),
            readers: Mutex::default(),
            health: health.clone(),
        }))
    }

    /// The file, or `None` when it is in memory because no file could be opened.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.0.path.clone()
    }

    /// Runs the migration `steps` of `area` (a service's name) that have not run yet, each in a transaction.
    /// Blocks; meant for the start. Steps are only ever appended.
    ///
    /// # Errors
    /// A step failed; the earlier ones stay.
    pub fn migrate(
        &self,
        area: &'static str,
        steps: &'static [&'static str],
    ) -> Result<(), StoreError> {
        self.execute_blocking(move |db| {
            db.execute_batch(
                "CREATE TABLE IF NOT EXISTS kit_migrations (area TEXT PRIMARY KEY, done INTEGER NOT NULL) STRICT",
            )?;
            let done: u32 = db
                .query_row("SELECT done FROM kit_migrations WHERE area = ?1", [area], |row| row.get(0))
                .or_else(|e| if e == rusqlite::Error::QueryReturnedNoRows { Ok(0) } else { Err(e) })?;
            for (index, step) in steps.iter().enumerate().skip(done as usize) {
                let tx = db.transaction()?;
                tx.execute_batch(step)?;
                tx.execute(
                    "INSERT INTO kit_migrations VALUES (?1, ?2) ON CONFLICT(area) DO UPDATE SET done = ?2",
                    (area, index as u32 + 1),
                )?;
                tx.commit()?;
            }
            Ok(())
        })
    }

    /// Runs `job` on the writer thread. It opens its own transaction.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn execute<R, F>(&self, job: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<R, rusqlite::Error> + Send + 'static,
    {
        self.enqueue(job)?
            .await
            .map_err(|_| StoreError::Panicked)?
            .map_err(|e| self.note(e))
    }

    /// The same on an OS thread; must not be called in async code.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn execute_blocking<R, F>(&self, job: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<R, rusqlite::Error> + Send + 'static,
    {
        // Not `blocking_recv`: the CLI and the start open databases on the runtime's first thread.
        let (sender, receiver) = std::sync::mpsc::channel();
        self.0.writer.submit(
            Box::new(move |db| {
                let _ = sender.send(job(db));
            }),
            Some(QUEUE_MAX),
        )?;
        receiver
            .recv()
            .map_err(|_| StoreError::Panicked)?
            .map_err(|e| self.note(e))
    }

    /// Runs a read-only `job` on a connection of the reader pool, on a blocking thread of the runtime.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn read<R, F>(&self, job: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> Result<R, rusqlite::Error> + Send + 'static,
    {
        let store = self.clone();
        let task = tokio::task::spawn_blocking(move || store.read_blocking(job));
        task.await.map_err(|_| StoreError::Panicked)?
    }

    /// The same on the calling thread.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn read_blocking<R, F>(&self, job: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> Result<R, rusqlite::Error> + Send + 'static,
    {
        let Some(path) = &self.0.path else {
            // A database in memory belongs to one connection.
            return self.execute_blocking(|db| job(db));
        };
        let pooled = self.readers().pop();
        let reader = match pooled {
            Some(reader) => reader,
            None => open::reader(path).map_err(|e| self.note(e))?,
        };
        let answer =
            catch_unwind(AssertUnwindSafe(|| job(&reader))).map_err(|_| StoreError::Panicked)?;
        let mut readers = self.readers();
        if readers.len() < READERS_MAX && reader.is_autocommit() {
            readers.push(reader);
        }
        drop(readers);
        answer.map_err(|e| self.note(e))
    }

    /// Queues a job that must not be refused; the caller makes sure that there is at most one of its kind.
    pub(crate) fn submit(&self, job: Job) -> Result<(), StoreError> {
        self.0.writer.submit(job, None)
    }

    /// Has the writer call `job` about once a second while it has nothing else to do.
    pub(crate) fn when_idle(&self, job: Box<dyn FnMut(&mut Connection) + Send>) {
        self.0.writer.when_idle(job);
    }

    /// Where the state of the database is shown.
    pub(crate) fn health(&self) -> &Health {
        &self.0.health
    }

    fn enqueue<R, F>(
        &self,
        job: F,
    ) -> Result<oneshot::Receiver<Result<R, rusqlite::Error>>, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<R, rusqlite::Error> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.0.writer.submit(
            Box::new(move |db| {
                let _ = sender.send(job(db));
            }),
            Some(QUEUE_MAX),
        )?;
        Ok(receiver)
    }

    /// A file that turns out to be corrupt is marked, so that the next start looks at all of it.
    pub(crate) fn note(&self, error: rusqlite::Error) -> StoreError {
        if open::is_corruption(&error)
            && let Some(path) = &self.0.path
        {
            open::suspect(path);
            let note = format!(
                "{} is damaged; it is set aside at the next start",
                path.display()
            );
            self.0.health.set("store", Level::Degraded, Some(&note));
        }
        StoreError::Sqlite(error)
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.0
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
