//! What belongs to a site, and the hash by which two sites are equal.

use leitstand_kit::store::snapshot;
use leitstand_kit::words::hex;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Depth of folders looked into. Reasoning: the state directory has one level, media two.
const DEPTH_MAX: usize = 8;

/// A regular file of a site.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Path below its folder, with `/`.
    pub(super) name: String,
    /// Where it is.
    pub(super) file: PathBuf,
}

/// The files of a state directory that make the site what it is, sorted by name.
pub(super) fn state_files(state: &Path) -> io::Result<Vec<Item>> {
    let mut items = files(state)?;
    items.retain(|item| !is_passing(&item.name));
    Ok(items)
}

/// All regular files below `folder`, sorted by name. Links are not followed: they point out of the site.
pub(super) fn files(folder: &Path) -> io::Result<Vec<Item>> {
    let mut found = Vec::new();
    walk(folder, "", 0, &mut found)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<Item>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        // A name that is no text was not made by us.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let name = format!("{prefix}{name}");
        if kind.is_dir() && depth < DEPTH_MAX {
            walk(&entry.path(), &format!("{name}/"), depth + 1, found)?;
        } else if kind.is_file() {
            found.push(Item {
                name,
                file: entry.path(),
            });
        }
    }
    Ok(())
}

/// Files that a running gateway makes anew: locks, side files of databases, halves of replacements, damaged files
/// kept for a person, backups themselves.
fn is_passing(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    last == "lock"
        || name.starts_with("dev/")
        || name.starts_with(".restoring/")
        || last.starts_with(super::keeper::PREFIX)
        || last.ends_with(".bad")
        || last.contains(".bad.")
        || [
            "-wal", "-shm", "-journal", ".tmp", ".old", ".suspect", ".sock",
        ]
        .iter()
        .any(|end| last.ends_with(end))
}

/// Whether the file is an SQLite database, by its first bytes.
pub(super) fn is_database(file: &Path) -> io::Result<bool> {
    let mut magic = [0; 16];
    match std::fs::File::open(file)?.read_exact(&mut magic) {
        Ok(()) => Ok(&magic == b"SQLite format 3\0"),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// What makes two sites equal: a hash over the names of their state files and over the contents (of databases:
/// schema and rows).
#[derive(Default)]
pub(super) struct StateHash(BTreeMap<String, String>);

impl StateHash {
    /// Adds a file with the hexadecimal SHA-256 of its content.
    pub(super) fn add(&mut self, name: &str, content: &str) {
        self.0.insert(name.to_owned(), content.to_owned());
    }

    /// The hash, hexadecimal.
    pub(super) fn finish(self) -> String {
        let mut hash = Sha256::new();
        for (name, content) in &self.0 {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update(content);
        }
        hex(&hash.finalize())
    }

    /// That of a state directory which nobody writes to.
    pub(super) fn of(state: &Path) -> io::Result<String> {
        let mut all = Self::default();
        for item in state_files(state)? {
            let content = if is_database(&item.file)? {
                database_hash(&item.file)?
            } else {
                let mut content = Sha256::new();
                io::copy(
                    &mut std::fs::File::open(&item.file)?,
                    &mut HashWrite(&mut content),
                )?;
                hex(&content.finalize())
            };
            all.add(&item.name, &content);
        }
        Ok(all.finish())
    }
}

/// The content hash of a database.
pub(super) fn database_hash(file: &Path) -> io::Result<String> {
    snapshot::digest(file)
        .map(|digest| hex(&digest))
        .map_err(io::Error::other)
}

struct HashWrite<'a>(&'a mut Sha256);

impl io::Write for HashWrite<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_passes_is_left_out_and_what_counts_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("dev")).unwrap();
        std::fs::create_dir_all(dir.path().join("spool/acme")).unwrap();
        for name in [
            "status",
            "status.1",
            "gas.status",
            "gas.status.tmp",
            "leitstand.db",
            "leitstand.db-wal",
            "lock",
            "leitstand.db.bad.1",
            "dev/rs485",
            "spool/acme/1",
        ] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("out")).unwrap();
        let names: Vec<_> = state_files(dir.path())
            .unwrap()
            .into_iter()
            .map(|i| i.name)
            .collect();
        assert_eq!(
            names,
            [
                "gas.status",
                "leitstand.db",
                "spool/acme/1",
                "status",
                "status.1"
            ]
        );
    }

    #[test]
    fn the_hash_tells_a_moved_byte_from_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ab"), "c").unwrap();
        let one = StateHash::of(dir.path()).unwrap();
        assert_eq!(StateHash::of(dir.path()).unwrap(), one);
        std::fs::remove_file(dir.path().join("ab")).unwrap();
        std::fs::write(dir.path().join("a"), "bc").unwrap();
        assert_ne!(StateHash::of(dir.path()).unwrap(), one);
    }
}
