//! SQLite with one writer thread. Each service owns tables prefixed with its name.

pub mod state_file;

use std::path::PathBuf;

use rusqlite::Connection;

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
    /// The closure panicked; nothing of it was committed.
    #[error("a database job panicked")]
    Panicked,
}

/// The gateway's database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    _private: (),
}

impl Store {
    /// The file, or `None` when it is in memory because the file could not be opened.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        todo!()
    }

    /// Runs the migration `steps` of `area` (a service's name) that have not run yet, each in a transaction.
    ///
    /// # Errors
    /// A step failed; the earlier ones stay.
    pub fn migrate(
        &self,
        area: &'static str,
        steps: &'static [&'static str],
    ) -> Result<(), StoreError> {
        let _ = (area, steps);
        todo!()
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
        let _ = job;
        todo!()
    }

    /// The same on an OS thread.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn execute_blocking<R, F>(&self, job: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<R, rusqlite::Error> + Send + 'static,
    {
        let _ = job;
        todo!()
    }

    /// Runs a read-only `job` on a connection of the reader pool.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn read<R, F>(&self, job: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> Result<R, rusqlite::Error> + Send + 'static,
    {
        let _ = job;
        todo!()
    }
}
