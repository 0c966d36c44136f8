//! The hash chain: a removed, inserted or edited entry is found.
//!
//! ```text
//! hash(n) = SHA-256( hash(n-1) ‖ field ‖ field ‖ ... )
//! field   = <bytes, decimal> ":" <bytes of the UTF-8 text> "\n"        null = "-:\n"
//! fields  = seq, boot, mono_ms, unix_ms, synced (0|1), service, kind, severity (its name), text, actor, data
//! ```
//!
//! Numbers are decimal, `data` is the JSON text exactly as stored. `hash(0)` is 32 zero bytes. The lengths make the
//! form unambiguous: no text can imitate the border of a field. Two marks in the database hold the last pruned entry
//! (`anchor`) and the newest one (`head`), so that the chain can be checked after pruning and a cut tail is found.

use crate::words::hex;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

use super::{Stored, journal};

/// A link of the chain.
pub(super) type Hash = [u8; 32];
/// What comes before the first entry.
pub(super) const ORIGIN: Hash = [0; 32];

/// Where the chain breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal entry {seq}: {reason}")]
pub struct FirstBad {
    /// The entry.
    pub seq: u64,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Why a journal could not be vouched for.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// An entry was edited, removed or inserted.
    #[error(transparent)]
    Chain(#[from] FirstBad),
    /// The file cannot be read.
    #[error("reading the journal")]
    Read(#[from] rusqlite::Error),
}

/// The hash of `entry`, whose data is stored as the text `data`.
pub(super) fn hash(previous: &Hash, entry: &Stored, data: &str) -> Hash {
    let mut sha = Sha256::new();
    sha.update(previous);
    let mut field = |text: Option<&str>| match text {
        Some(text) => {
            sha.update(text.len().to_string());
            sha.update(b":");
            sha.update(text);
            sha.update(b"\n");
        }
        None => sha.update(b"-:\n"),
    };
    field(Some(&entry.seq.to_string()));
    field(Some(&entry.boot));
    field(Some(&entry.mono_ms.to_string()));
    field(Some(&entry.unix_ms.to_string()));
    field(Some(if entry.synced { "1" } else { "0" }));
    field(Some(&entry.service));
    field(Some(&entry.kind));
    field(Some(entry.severity.name()));
    field(Some(&entry.text));
    field(entry.actor.as_deref());
    field(Some(data));
    sha.finalize().into()
}

/// Checks the whole chain of the database at `path`, read-only; the gateway may run meanwhile. Answers the number of
/// entries.
///
/// # Errors
/// The first bad entry, or the file cannot be read.
pub fn verify(path: &Path) -> Result<u64, VerifyError> {
    let mut db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let tx = db.transaction()?;
    verify_in(&tx)
}

pub(super) fn verify_in(db: &Connection) -> Result<u64, VerifyError> {
    let anchor = journal::mark(db, "anchor")?;
    let head = journal::mark(db, "head")?;
    let bad = |seq, reason| Err(FirstBad { seq, reason }.into());
    let (mut seq, mut previous) = (anchor.seq, anchor.hash);
    let mut statement = db.prepare(&format!(
        "SELECT {} FROM journal ORDER BY seq",
        journal::COLUMNS
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (entry, data) = journal::read(row)?;
        if entry.seq <= anchor.seq {
            return bad(
                entry.seq,
                "stands before the oldest entry that the chain begins with",
            );
        }
        if entry.seq != seq + 1 {
            return bad(seq + 1, "is missing");
        }
        let expected = hash(&previous, &entry, &data);
        if entry.hash != hex(&expected) {
            return bad(entry.seq, "was edited, or an entry before it was");
        }
        (seq, previous) = (entry.seq, expected);
    }
    if seq < head.seq {
        return bad(seq + 1, "is missing at the end");
    }
    if seq > head.seq || previous != head.hash {
        return bad(seq, "was added after the journal was written");
    }
    Ok(seq - anchor.seq)
}
