//! Changing what the buttons play: one file at a time, or all of it from a backup.
//!
//! Whoever looks at the folder meanwhile, screens and the next start after a power cut included, finds either the old
//! file or the whole new one: bytes go to a hidden file of the same folder, are checked by what they are and not by
//! what they are called, reach the disk, and take their name last. A backup is unpacked beside the media and moved
//! in file by file, its manifest last.
//!
//! Everything here blocks on the disk, and one change goes after the other.

mod restore;

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::restore::Restored;
use crate::{
    media::{
        Media, PICTURES_MAX,
        manifest::{Manifest, NAMES},
        names,
    },
    sniff::{self, Kind, Use},
};

/// What unfinished uploads are called; a leading dot keeps them out of every scan.
const UNFINISHED: &str = ".upload-";

/// Bounds of what is stored. Reasoning: a museum's staff makes pictures with a phone and sounds with an editor; a film
/// in the resolution of a screen takes 100 MB in five minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Bounds {
    /// Bytes of a picture.
    pub picture: u64,
    /// Bytes of a sound.
    pub sound: u64,
    /// Bytes of a film.
    pub film: u64,
    /// Bytes of everything in the folder.
    pub total: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            picture: 20 * MIB,
            sound: 100 * MIB,
            film: 500 * MIB,
            total: 4096 * MIB,
        }
    }
}

impl Bounds {
    fn of(&self, purpose: Use) -> u64 {
        match purpose {
            Use::Image => self.picture,
            Use::Audio => self.sound,
            Use::Video => self.film,
        }
    }

    fn largest(&self) -> u64 {
        self.picture.max(self.sound).max(self.film)
    }
}

/// Why something was not stored. The folder is as it was before.
#[derive(Debug)]
pub enum ContentError {
    /// It is no picture, sound or film, or damaged; in words, with the file's name if it has one.
    Refused(String),
    /// It is longer than this many bytes.
    TooLong(u64),
    /// There is no such button or file.
    Missing(String),
    /// The button has as many pictures as it can.
    TooMany,
    /// It is no archive that a backup could be: in words.
    Archive(String),
    /// It ended early.
    Cut,
    /// The disk; it may be full, or the folder read-only.
    Disk(io::Error),
}

impl From<io::Error> for ContentError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Texts and settings of one button, as the page edits them. All of it is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// Heading, up to 200 characters.
    pub title: Option<String>,
    /// What is said, up to 4000 characters.
    pub caption: Option<String>,
    /// Language of title, caption and sound, such as `de`.
    pub language: Option<String>,
    /// Percent of the global volume.
    #[schema(maximum = 100)]
    pub volume: Option<u8>,
    /// Plays again and again.
    #[serde(default, rename = "loop")]
    pub looped: bool,
    /// File names of the pictures in their order; left out: as they are named.
    pub images: Option<Vec<String>>,
}

impl Texts {
    /// What is wrong with it, if anything.
    fn fault(&self) -> Option<&'static str> {
        let longer = |text: &Option<String>, most| {
            let text = text.as_ref();
            text.is_some_and(|text| text.chars().count() > most)
        };
        let odd = |c: char| !c.is_ascii_alphanumeric() && c != '-';
        if longer(&self.title, 200) {
            Some("a title has at most 200 characters")
        } else if longer(&self.caption, 4000) {
            Some("a caption has at most 4000 characters")
        } else if longer(&self.language, 20)
            || self.language.as_ref().is_some_and(|l| l.contains(odd))
        {
            Some("a language is a tag such as de or en-GB")
        } else if self.volume.is_some_and(|v| v > 100) {
            Some("the volume is a percentage, 0 to 100")
        } else {
            None
        }
    }
}

/// The folder of media, for changes.
#[derive(Debug)]
pub struct Content {
    dir: PathBuf,
    count: u16,
    bounds: Bounds,
    /// Held while something changes.
    changing: Mutex<()>,
    next: AtomicU64,
}

/// A file on its way in. Dropped unfinished, it leaves nothing behind.
#[derive(Debug)]
pub struct Upload {
    file: File,
    path: PathBuf,
    written: u64,
    most: u64,
}

impl Upload {
    /// Adds bytes.
    ///
    /// # Errors
    /// It is too long for anything, or the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        self.written += bytes.len() as u64;
        if self.written > self.most {
            return Err(ContentError::TooLong(self.most));
        }
        Ok(self.file.write_all(bytes)?)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Gone already when it was adopted; else what remains is hidden and removed at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl Content {
    /// For the media `1..=count` in `dir`, which may not exist yet.
    #[must_use]
    pub fn new(dir: PathBuf, count: u16, bounds: Bounds) -> Self {
        Self {
            dir,
            count,
            bounds,
            changing: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    /// How much is stored at most.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Removes what a power cut left unfinished. At the start of the service.
    pub fn sweep(&self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let path = entry.path();
                let removed = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
                if let Err(error) = removed {
                    tracing::warn!(%error, path = %path.display(), "an unfinished upload stays");
                }
            }
        }
    }

    /// A place for new bytes.
    ///
    /// # Errors
    /// The folder cannot be written, or is full.
    pub fn upload(&self) -> Result<Upload, ContentError> {
        fs::create_dir_all(&self.dir)?;
        let room = self.bounds.total.saturating_sub(self.stored());
        self.upload_in(&self.dir, room.min(self.bounds.largest()))
    }

    fn upload_in(&self, dir: &Path, most: u64) -> Result<Upload, ContentError> {
        let path = dir.join(self.unfinished());
        let mut options = File::options();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(Upload {
            file,
            path,
            written: 0,
            most,
        })
    }

    fn unfinished(&self) -> String {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{UNFINISHED}{}-{n}", std::process::id())
    }

    /// Bytes in the folder.
    fn stored(&self) -> u64 {
        let names = names(&self.dir).unwrap_or_default();
        let sizes = names.iter().map(|n| fs::metadata(self.dir.join(n)));
        sizes.flatten().map(|meta| meta.len()).sum()
    }

    /// Makes the upload the picture, sound or film of button `id`, whichever it is; with `append`, one more picture.
    /// Answers the name of the file.
    ///
    /// # Errors
    /// See [`ContentError`].
    pub fn adopt(&self, mut upload: Upload, id: u16, append: bool) -> Result<String, ContentError> {
        self.known(id)?;
        let kind = self.judge(&mut upload, "the file")?;
        let _one = self.lock();
        let media = Media::scan(&self.dir, self.count);
        let item = media.item(id).cloned().unwrap_or_default();
        let purpose = kind.purpose();
        let append = append && purpose == Use::Image && !item.images.is_empty();
        let name = if append {
            let taken = names(&self.dir)?;
            let free = |n: &usize| {
                let stem = format!("{id:03}-{n}.");
                !taken.iter().any(|name| name.starts_with(&stem))
            };
            let n = (2..=PICTURES_MAX).find(free);
            let n = n.filter(|_| item.images.len() < PICTURES_MAX);
            format!(
                "{id:03}-{}.{}",
                n.ok_or(ContentError::TooMany)?,
                extension(kind)
            )
        } else {
            format!("{id:03}.{}", extension(kind))
        };
        self.install(&upload.path, &name)?;
        // What it replaces: the file of this purpose that was used, and its like by name under another extension.
        let mut replaced: Vec<String> = match purpose {
            Use::Image if append => Vec::new(),
            Use::Image => item
                .images
                .first()
                .map(|f| f.name.clone())
                .into_iter()
                .collect(),
            Use::Audio => item.audio.map(|f| f.name).into_iter().collect(),
            Use::Video => item.video.map(|f| f.name).into_iter().collect(),
        };
        if !append {
            replaced.extend(by_name(id, purpose));
        }
        replaced.retain(|old| *old != name);
        let named = Manifest::read(&self.dir).is_ok_and(|m| {
            let entry = m.by_id().remove(&id).unwrap_or_default();
            let listed = purpose == Use::Image && !entry.images.is_empty();
            listed || entry.files().any(|file| replaced.contains(file))
        });
        if named {
            self.edit(|manifest| {
                manifest.edit(id, |entry| match purpose {
                    Use::Audio => entry.audio = None,
                    Use::Video => entry.video = None,
                    Use::Image => {
                        entry.images.retain(|file| !replaced.contains(file));
                        if append {
                            entry.images.push(name.clone());
                        } else {
                            entry.image = None;
                            if !entry.images.is_empty() {
                                entry.images.insert(0, name.clone());
                            }
                        }
                    }
                });
            })?;
        }
        self.discard(&replaced)?;
        Ok(name)
    }

    /// Changes texts and settings of button `id`.
    ///
    /// # Errors
    /// See [`ContentError`].
    pub fn describe(&self, id: u16, texts: Texts) -> Result<(), ContentError> {
        self.known(id)?;
        if let Some(fault) = texts.fault() {
            return Err(ContentError::Refused(fault.into()));
        }
        let _one = self.lock();
        if let Some(images) = &texts.images {
            let media = Media::scan(&self.dir, self.count);
            let has: Vec<&String> = media
                .item(id)
                .iter()
                .flat_map(|i| &i.images)
                .map(|f| &f.name)
                .collect();
            if let Some(other) = images.iter().find(|name| !has.contains(name)) {
                return Err(ContentError::Refused(format!(
                    "{other} is no picture of button {id}"
                )));
            }
        }
        let said = |text: Option<String>| text.filter(|t| !t.trim().is_empty());
        self.edit(|manifest| {
            manifest.edit(id, |entry| {
                entry.title = said(texts.title);
                entry.caption = said(texts.caption);
                entry.language = said(texts.language);
                entry.volume = texts.volume.filter(|v| *v < 100);
                entry.looped = texts.looped;
                if let Some(images) = texts.images {
                    entry.image = None;
                    entry.images = images;
                }
            });
        })
    }

    /// Removes a file of button `id`, or with `None` all its files and texts.
    ///
    /// # Errors
    /// See [`ContentError`].
    pub fn remove(&self, id: u16, file: Option<&str>) -> Result<(), ContentError> {
        self.known(id)?;
        let _one = self.lock();
        let media = Media::scan(&self.dir, self.count);
        let item = media.item(id).cloned().unwrap_or_default();
        let mut files: Vec<String> = item.files().map(|f| f.name.clone()).collect();
        if let Some(file) = file {
            files.retain(|name| name == file);
            if files.is_empty() {
                return Err(ContentError::Missing(format!(
                    "button {id} has no file {file}"
                )));
            }
        }
        let known = Manifest::read(&self.dir).is_ok_and(|m| m.by_id().contains_key(&id));
        if known {
            self.edit(|manifest| {
                manifest.edit(id, |entry| {
                    if file.is_none() {
                        *entry = Default::default();
                        entry.id = id;
                    }
                    for one in [&mut entry.image, &mut entry.audio, &mut entry.video] {
                        one.take_if(|name| files.contains(name));
                    }
                    entry.images.retain(|name| !files.contains(name));
                });
            })?;
        }
        self.discard(&files)
    }

    fn known(&self, id: u16) -> Result<(), ContentError> {
        if (1..=self.count).contains(&id) {
            return Ok(());
        }
        let why = format!("there is no button {id}; they are 1 to {}", self.count);
        Err(ContentError::Missing(why))
    }

    /// What the bytes are, if they are of use and not too many.
    fn judge(&self, upload: &mut Upload, name: &str) -> Result<Kind, ContentError> {
        let header = sniff::sniff(&mut upload.file)
            .map_err(|defect| ContentError::Refused(format!("{name} {}", defect.as_str())))?;
        let most = self.bounds.of(header.kind.purpose());
        if upload.written > most {
            return Err(ContentError::TooLong(most));
        }
        upload.file.sync_all()?;
        Ok(header.kind)
    }

    /// Gives the file at `from` its name in the folder.
    fn install(&self, from: &Path, name: &str) -> Result<(), ContentError> {
        fs::rename(from, self.dir.join(name))?;
        Ok(File::open(&self.dir)?.sync_all()?)
    }

    /// Rewrites the manifest. One in JSON becomes one in TOML.
    fn edit(&self, change: impl FnOnce(&mut Manifest)) -> Result<(), ContentError> {
        let mut manifest = Manifest::read(&self.dir).map_err(ContentError::Refused)?;
        change(&mut manifest);
        let [toml, json] = NAMES;
        let mut upload = self.upload_in(&self.dir, crate::media::manifest::BYTES_MAX)?;
        upload.write(manifest.to_toml()?.as_bytes())?;
        upload.file.sync_all()?;
        self.install(&upload.path, toml)?;
        self.discard(&[json.into()])
    }

    /// What a backup holds: every file that plays, and the manifest; in the order of their names.
    ///
    /// # Errors
    /// The folder cannot be read, or `out` takes no more.
    pub fn backup(&self, out: impl io::Write) -> io::Result<()> {
        let media = Media::scan(&self.dir, self.count);
        let files = media.items().flat_map(|(_, item)| item.files());
        let mut names: Vec<&str> = files.map(|f| f.name.as_str()).collect();
        names.extend(NAMES);
        names.sort_unstable();
        names.dedup();
        let mut archive = tar::Builder::new(out);
        for name in names {
            let file = match File::open(self.dir.join(name)) {
                Ok(file) => file,
                // No manifest, or removed since the scan.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let meta = file.metadata()?;
            let modified = meta.modified().ok();
            let modified = modified.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
            let mut header = tar::Header::new_ustar();
            header.set_path(name)?;
            header.set_size(meta.len());
            header.set_mode(0o644);
            header.set_mtime(modified.map_or(0, |d| d.as_secs()));
            header.set_cksum();
            let whole = Whole {
                file,
                left: meta.len(),
            };
            archive.append(&header, whole)?;
        }
        archive.into_inner()?.flush()
    }

    /// Removes files that nothing names any more.
    fn discard(&self, files: &[String]) -> Result<(), ContentError> {
        let manifest = Manifest::read(&self.dir).unwrap_or_default();
        for name in files {
            if manifest.item.iter().any(|e| e.files().any(|f| f == name)) {
                continue;
            }
            match fs::remove_file(self.dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // Every change leaves the folder whole, so poison means nothing.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many bytes of a file as were announced. One that shrinks meanwhile is an error, growth is left for next time.
struct Whole {
    file: File,
    left: u64,
}

impl io::Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.file.read(buffer.get_mut(..most).unwrap_or_default())?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// The extension under which a scan looks for such a file.
fn extension(kind: Kind) -> &'static str {
    match kind {
        Kind::Jpeg => "jpg",
        Kind::Png => "png",
        Kind::WebP => "webp",
        Kind::Svg => "svg",
        Kind::Mp3 => "mp3",
        Kind::Ogg => "ogg",
        Kind::Wav => "wav",
        Kind::Flac => "flac",
        Kind::Mp4 => "mp4",
    }
}

/// The names under which a scan finds this file of a button without a manifest.
fn by_name(id: u16, purpose: Use) -> impl Iterator<Item = String> {
    let extensions: &[&str] = match purpose {
        Use::Image => &crate::media::IMAGES,
        Use::Audio => &crate::media::SOUNDS,
        Use::Video => &crate::media::FILMS,
    };
    extensions.iter().map(move |e| format!("{id:03}.{e}"))
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
