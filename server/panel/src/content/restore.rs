//! A backup on its way in: unpacked beside the media, checked whole, then moved in.
//!
//! The archive comes from a person's computer, so nothing in it is believed: headers are taken as they stand and not
//! as their extensions would have them, and only plain files with plain names are unpacked. What is refused by its
//! header costs no more than that header.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::PathBuf,
};

use tar::{Archive, EntryType};

use super::{Content, ContentError};
use crate::media::{
    Media, is_plain,
    manifest::{self, Manifest},
};

/// Files of an archive. Reasoning: 999 buttons with a dozen pictures, a sound and a film.
const FILES_MAX: usize = 14_000;
/// Longest extension of other programs (names in UTF-8, exact times) that is passed over.
const EXTENSION_BYTES_MAX: u64 = 64 * 1024;
/// Bytes that are copied at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// What a finished restore did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Files of the archive.
    pub files: usize,
    /// Files that were not in it and are gone.
    pub removed: usize,
}

/// A folder beside the media. Dropped, it is gone with all that is left in it.
struct Staging {
    dir: PathBuf,
    names: Vec<String>,
    left: u64,
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What remains is hidden and removed at the next start.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Content {
    /// Makes the tar archive the content of all buttons. What it does not hold is removed.
    ///
    /// # Errors
    /// See [`ContentError`]. Until the archive was whole and checked, the media are as before.
    pub fn restore(&self, archive: impl Read) -> Result<Restored, ContentError> {
        let dir = self.dir.join(self.unfinished());
        fs::create_dir_all(&dir)?;
        let mut staging = Staging {
            dir,
            names: Vec::new(),
            left: self.bounds().total,
        };
        let mut archive = Archive::new(archive);
        // Raw: the library would read a long name of gigabytes into memory.
        for entry in archive.entries().map_err(broken)?.raw(true) {
            let mut entry = entry.map_err(broken)?;
            let size = entry.header().entry_size().map_err(broken)?;
            let name = String::from_utf8_lossy(&entry.header().path_bytes()).into_owned();
            match entry.header().entry_type() {
                EntryType::Regular => self.unpack(&mut staging, &name, size, &mut entry)?,
                EntryType::XHeader | EntryType::XGlobalHeader if size <= EXTENSION_BYTES_MAX => {}
                // The folder itself, as `tar c .` lists it.
                EntryType::Directory if matches!(name.as_str(), "." | "./") => {}
                _ => return Err(refused(&name, "is no plain file")),
            }
        }
        if staging.names.is_empty() {
            return Err(ContentError::Archive("there is no file in it".into()));
        }
        self.move_in(&staging)
    }

    fn unpack(
        &self,
        staging: &mut Staging,
        name: &str,
        size: u64,
        bytes: &mut impl Read,
    ) -> Result<(), ContentError> {
        let name = name.strip_prefix("./").unwrap_or(name);
        if !is_plain(name) {
            return Err(refused(
                name,
                "is not the name of a media file: letters, digits, '.', '-' and '_', no folder",
            ));
        }
        if size > staging.left || staging.names.len() >= FILES_MAX {
            return Err(ContentError::TooLong(self.bounds().total));
        }
        staging.left -= size;
        let is_manifest = manifest::NAMES.contains(&name);
        let most = if is_manifest {
            manifest::BYTES_MAX
        } else {
            self.bounds().largest()
        };
        let mut upload = self.upload_in(&staging.dir, most)?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match bytes.read(&mut piece).map_err(broken)? {
                0 => break,
                n => upload.write(piece.get(..n).unwrap_or_default())?,
            }
        }
        if upload.written != size {
            return Err(ContentError::Cut);
        }
        if is_manifest {
            Manifest::parse(name, &fs::read(&upload.path)?)
                .map_err(|why| ContentError::Refused(format!("{name} in the archive: {why}")))?;
            upload.file.sync_all()?;
        } else {
            self.judge(&mut upload, name)?;
        }
        fs::rename(&upload.path, staging.dir.join(name))?;
        if !staging.names.iter().any(|known| known == name) {
            staging.names.push(name.to_owned());
        }
        Ok(())
    }

    fn move_in(&self, staging: &Staging) -> Result<Restored, ContentError> {
        let _one = self.lock();
        let before = Media::scan(&self.dir, self.count);
        let files = before.items().flat_map(|(_, item)| item.files());
        let mut removed: Vec<String> = files.map(|f| f.name.clone()).collect();
        let manifests = manifest::NAMES.into_iter();
        removed.extend(
            manifests
                .filter(|n| self.dir.join(n).exists())
                .map(String::from),
        );
        removed.retain(|name| !staging.names.contains(name));
        let (texts, files): (Vec<&String>, Vec<&String>) = staging
            .names
            .iter()
            .partition(|n| manifest::NAMES.contains(&n.as_str()));
        // Texts last: they may name any of the files.
        for name in files.into_iter().chain(texts) {
            fs::rename(staging.dir.join(name), self.dir.join(name))?;
        }
        File::open(&self.dir)?.sync_all()?;
        self.discard(&removed)?;
        Ok(Restored {
            files: staging.names.len(),
            removed: removed.len(),
        })
    }
}

fn refused(name: &str, why: &str) -> ContentError {
    ContentError::Archive(format!("{name:?} in the archive {why}"))
}

/// Reading failed: the sender went away, or what it sent is no archive.
fn broken(error: io::Error) -> ContentError {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof => ContentError::Cut,
        _ => ContentError::Archive("this is no tar archive, or it is damaged".into()),
    }
}
