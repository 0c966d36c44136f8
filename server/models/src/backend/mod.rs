//! Where models are kept.

pub mod sqlite;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::engine::{Store, Stored};

/// A kept version of a model.
#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct Version {
    /// Counts from 1 for each model.
    pub version: u64,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// Who.
    pub created_by: String,
    /// SHA-256 of the bytes, hexadecimal.
    pub sha256: String,
    /// Length of the instance.
    pub bytes: u64,
}

/// Why a backend did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The database refused.
    #[error("the model database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The folder of the database cannot be made.
    #[error("{path} cannot be created")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The model to change is not there.
    #[error("model {0} is not in the backend")]
    Missing(u64),
}

/// The one backend of a site. Calls block; the service makes them where that is allowed.
pub enum Backend {
    /// Keeps nothing; ids count from 1 at each start.
    Dummy(AtomicU64),
    /// One SQLite file.
    Sqlite(sqlite::Database),
}

impl Backend {
    /// All models.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn load(&self) -> Result<Vec<Stored>, BackendError> {
        match self {
            Self::Dummy(_) => Ok(Vec::new()),
            Self::Sqlite(db) => db.load(),
        }
    }

    /// Keeps a change; the id of the model.
    ///
    /// # Errors
    /// [`BackendError`]; nothing was changed then.
    pub fn apply(&self, store: &Store, unix_ms: i64) -> Result<u64, BackendError> {
        match (self, store) {
            (Self::Sqlite(db), store) => db.apply(store, unix_ms),
            (Self::Dummy(last), Store::Create { .. }) => {
                Ok(last.fetch_add(1, Ordering::Relaxed) + 1)
            }
            (Self::Dummy(_), Store::Update { id, .. } | Store::Remove { id }) => Ok(*id),
        }
    }

    /// Kept versions of a model, newest first.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn versions(&self, id: u64) -> Result<Vec<Version>, BackendError> {
        match self {
            Self::Dummy(_) => Ok(Vec::new()),
            Self::Sqlite(db) => db.versions(id),
        }
    }

    /// The bytes of one version.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn version(&self, id: u64, version: u64) -> Result<Option<Arc<[u8]>>, BackendError> {
        match self {
            Self::Dummy(_) => Ok(None),
            Self::Sqlite(db) => db.version(id, version),
        }
    }

    /// All aliases with their models.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn aliases(&self) -> Result<Vec<(String, u64)>, BackendError> {
        match self {
            Self::Dummy(_) => Ok(Vec::new()),
            Self::Sqlite(db) => db.aliases(),
        }
    }

    /// Gives a model another name, or takes it away.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn set_alias(&self, alias: &str, id: Option<u64>) -> Result<(), BackendError> {
        match self {
            Self::Dummy(_) => Ok(()),
            Self::Sqlite(db) => db.set_alias(alias, id),
        }
    }
}
