//! One small file that survives a power cut at any byte and a broken database.
//!
//! ```text
//! offset size  what
//!      0    8  magic "LEITSTF1"
//!      8    4  length of the payload, little endian
//!     12    4  CRC-32 (IEEE) of length and payload, little endian
//!     16    n  payload
//! ```
//!
//! Steps of a save; after each of them a start finds a whole file:
//! 1. write `NAME.tmp`, fsync;
//! 2. if `NAME` is whole: link it to `NAME.old`, rename that to `NAME.1` (a broken `NAME` must not replace the good
//!    `NAME.1`);
//! 3. rename `NAME.tmp` to `NAME`;
//! 4. fsync the directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 8] = b"LEITSTF1";
const HEADER_BYTES: usize = 16;
/// Longest payload. Reasoning: a full site is well under a megabyte; more is a defect that would wear the card.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

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
    /// The file system said no; nothing is known about the content.
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
    save_on(&RealDisk, path, bytes)
}

/// Reads the newest whole generation.
///
/// # Errors
/// See [`LoadError`].
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    load_from(&RealDisk, path)
}

/// The operations of a save, so that a test can cut the power between and within them.
trait Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Creates or empties the file and writes all of `bytes`.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

fn save_on(disk: &impl Disk, path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    let at = |step, path: &Path| {
        let path = path.to_owned();
        move |source| SaveError { step, path, source }
    };
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(at("bounding", path)(io::ErrorKind::FileTooLarge.into()));
    }
    let (temporary, old, previous) = (
        beside(path, ".tmp"),
        beside(path, ".old"),
        beside(path, ".1"),
    );
    disk.write(&temporary, &encode(bytes))
        .map_err(at("writing", &temporary))?;
    disk.sync_file(&temporary)
        .map_err(at("syncing", &temporary))?;
    if disk.read(path).is_ok_and(|file| decode(&file).is_some()) {
        let _ = disk.remove(&old);
        match disk.link(path, &old) {
            Ok(()) => disk
                .rename(&old, &previous)
                .map_err(at("keeping", &previous))?,
            // FAT has no links. Between the two renames only NAME.1 exists, and it is whole.
            Err(_) => disk
                .rename(path, &previous)
                .map_err(at("keeping", &previous))?,
        }
    }
    disk.rename(&temporary, path)
        .map_err(at("replacing", path))?;
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    disk.sync_dir(dir).map_err(at("syncing", dir))
}

fn load_from(disk: &impl Disk, path: &Path) -> Result<Loaded, LoadError> {
    let mut exists = false;
    for (file, generation) in [
        (path.to_owned(), Generation::Current),
        (beside(path, ".1"), Generation::Previous),
    ] {
        match disk.read(&file) {
            Ok(bytes) => {
                exists = true;
                if let Some(payload) = decode(&bytes) {
                    let bytes = payload.to_vec();
                    return Ok(Loaded { bytes, generation });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(LoadError::Io { path: file, source }),
        }
    }
    Err(if exists {
        LoadError::BothCorrupt(path.to_owned())
    } else {
        LoadError::Missing(path.to_owned())
    })
}

fn encode(payload: &[u8]) -> Vec<u8> {
    // Bounded by PAYLOAD_BYTES_MAX.
    let length = (payload.len() as u32).to_le_bytes();
    let mut file = Vec::with_capacity(HEADER_BYTES + payload.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&length);
    file.extend_from_slice(&checksum(length, payload).to_le_bytes());
    file.extend_from_slice(payload);
    file
}

fn decode(file: &[u8]) -> Option<&[u8]> {
    let rest = file.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, payload) = rest.split_first_chunk::<4>()?;
    let whole = payload.len() == u32::from_le_bytes(*length) as usize
        && checksum(*length, payload) == u32::from_le_bytes(*crc);
    whole.then_some(payload)
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length);
    crc.update(payload);
    crc.finalize()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

struct RealDisk;

impl Disk for RealDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::write(path, bytes)
    }
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        fs::OpenOptions::new().write(true).open(path)?.sync_all()
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests;
