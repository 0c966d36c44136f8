//! One small file that survives a power cut at any byte and a broken database.
//!
//! Temporary file, `write_all`, fsync, rename, fsync of the directory; CRC-32; the previous generation is kept
//! as `NAME.1`.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Which copy was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The newest.
    Current,
    /// The newest is missing or broken; this is the one before. Warn somebody.
    Previous,
}

/// What was in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The payload as saved.
    pub bytes: Vec<u8>,
    /// Which copy it is.
    pub generation: Generation,
}

/// Nothing usable was found.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Neither generation exists: a first start.
    #[error("{0} does not exist")]
    Missing(PathBuf),
    /// Files exist but none is whole: refuse to start (exit 3).
    #[error("{0} and its previous generation are unreadable")]
    BothCorrupt(PathBuf),
    /// The file system said no.
    #[error("reading {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Writing failed; the generation before is intact. Try again later.
#[derive(Debug, thiserror::Error)]
#[error("{step} {path}")]
pub struct SaveError {
    /// What was being done.
    pub step: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Replaces the file at `path`. Blocks on the disk; one writer at a time.
///
/// # Errors
/// See [`SaveError`].
pub fn save(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    let _ = (path, bytes);
    todo!()
}

/// Reads the newest whole generation.
///
/// # Errors
/// See [`LoadError`].
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let _ = path;
    todo!()
}
