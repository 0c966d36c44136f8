//! A backup on its way in: unpacked beside the media, checked whole, then moved in.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use super::{Content, ContentError, Upload};
use crate::{
    media::{
        Media,
        manifest::{self, Manifest},
    },
    tar::{Piece, Reader, TarError},
};

/// Files of an archive. Reasoning: 999 buttons with a dozen pictures, a sound and a film.
const FILES_MAX: usize = 14_000;

/// What a finished restore did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Files of the archive.
    pub files: usize,
    /// Files that were not in it and are gone.
    pub removed: usize,
}

/// An archive that is being read. Dropped unfinished, it leaves nothing behind.
#[derive(Debug)]
pub struct Restore {
    reader: Reader,
    dir: PathBuf,
    open: Option<(String, Upload)>,
    names: Vec<String>,
    left: u64,
}

impl Drop for Restore {
    fn drop(&mut self) {
        self.open = None;
        // What remains is hidden and removed at the next start.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Content {
    /// A place for an archive.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn restore(&self) -> Result<Restore, ContentError> {
        let dir = self.dir.join(self.unfinished());
        fs::create_dir_all(&dir)?;
        Ok(Restore {
            reader: Reader::default(),
            dir,
            open: None,
            names: Vec::new(),
            left: self.bounds().total,
        })
    }

    /// Takes the next bytes of the archive.
    ///
    /// # Errors
    /// See [`ContentError`]; the restore is of no use afterwards, and the media are as before.
    pub fn unpack(&self, restore: &mut Restore, mut bytes: &[u8]) -> Result<(), ContentError> {
        while let Some(piece) = restore
            .reader
            .next(&mut bytes)
            .map_err(ContentError::Archive)?
        {
            match piece {
                Piece::File { name, size } => {
                    if size > restore.left || restore.names.len() >= FILES_MAX {
                        return Err(ContentError::TooLong(self.bounds().total));
                    }
                    restore.left -= size;
                    let most = if manifest::NAMES.contains(&name.as_str()) {
                        manifest::BYTES_MAX
                    } else {
                        self.bounds().largest()
                    };
                    let upload = self.upload_in(&restore.dir, most)?;
                    restore.open = Some((name, upload));
                }
                Piece::Data(data) => {
                    if let Some((_, upload)) = &mut restore.open {
                        upload.write(data)?;
                    }
                }
                Piece::FileEnd => {
                    if let Some((name, upload)) = restore.open.take() {
                        self.unpacked(restore, name, upload)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn unpacked(
        &self,
        restore: &mut Restore,
        name: String,
        mut upload: Upload,
    ) -> Result<(), ContentError> {
        if manifest::NAMES.contains(&name.as_str()) {
            let bytes = fs::read(&upload.path)?;
            Manifest::parse(&name, &bytes)
                .map_err(|why| ContentError::Refused(format!("{name} in the archive: {why}")))?;
            upload.file.sync_all()?;
        } else {
            self.judge(&mut upload, &name)?;
        }
        fs::rename(&upload.path, restore.dir.join(&name))?;
        if !restore.names.contains(&name) {
            restore.names.push(name);
        }
        Ok(())
    }

    /// Makes the archive the content of all buttons. What it does not hold is removed.
    ///
    /// # Errors
    /// See [`ContentError`]. Until the archive was whole and checked, the media are as before.
    pub fn finish(&self, restore: Restore) -> Result<Restored, ContentError> {
        restore.reader.finish().map_err(ContentError::Archive)?;
        if restore.names.is_empty() {
            return Err(ContentError::Archive(TarError::NotTar));
        }
        let _one = self.lock();
        let before = Media::scan(&self.dir, self.count);
        let mut removed: Vec<String> = before
            .items()
            .flat_map(|(_, i)| i.files())
            .map(|f| f.name.clone())
            .collect();
        removed.extend(
            manifest::NAMES
                .map(String::from)
                .into_iter()
                .filter(|n| self.dir.join(n).exists()),
        );
        removed.retain(|name| !restore.names.contains(name));
        let (texts, files): (Vec<&String>, Vec<&String>) = restore
            .names
            .iter()
            .partition(|n| manifest::NAMES.contains(&n.as_str()));
        // Texts last: they may name any of the files.
        for name in files.into_iter().chain(texts) {
            fs::rename(restore.dir.join(name), self.dir.join(name))?;
        }
        File::open(&self.dir)?.sync_all()?;
        self.discard(&removed)?;
        Ok(Restored {
            files: restore.names.len(),
            removed: removed.len(),
        })
    }
}
