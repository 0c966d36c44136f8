//! What the buttons play: the files of `media_dir`, checked and versioned.
//!
//! `NNN.jpg` and `NNN.mp3` by default, further pictures as `NNN-2.jpg` to `NNN-12.jpg`, other types by extension,
//! other names and texts by a manifest ([`manifest`]). A scan reads only the headers. Missing or damaged media never stop the
//! service: they are listed, and the health says so. The folder is looked at again every two seconds; a change
//! counts once it has stood still for one look, so that a file is not read while it is being copied.
//!
//! Only files that a scan found can be fetched: a request names a key of a table, never a path.

pub mod manifest;
mod watch;

use leitstand_kit::words::hex;
use std::{collections::BTreeMap, fs, io, path::Path, time::UNIX_EPOCH};

use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::sniff::{self, Kind, Use};
use manifest::{Entry, Manifest};
pub use watch::Watcher;

/// Extensions looked for without a manifest, the preferred first.
pub(crate) const IMAGES: [&str; 5] = ["jpg", "jpeg", "png", "webp", "svg"];
pub(crate) const SOUNDS: [&str; 5] = ["mp3", "ogg", "opus", "wav", "flac"];
pub(crate) const FILMS: [&str; 1] = ["mp4"];
/// Pictures of one button, shown one after the other. Reasoning: a sound of a minute shows each for five seconds.
pub const PICTURES_MAX: usize = 12;
/// Bytes of each end of a file that go into its hash, besides size and time.
const HASHED_BYTES: u64 = 64 * 1024;
/// Longest name of a file. Reasoning: an archive's header holds 100 bytes.
const NAME_CHARS_MAX: usize = 99;
/// Names listed in `missing_files`, as upstream does.
pub const MISSING_LISTED: usize = 10;

/// A usable file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name in the folder.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// How long it plays, when known.
    pub duration_ms: Option<u64>,
    /// Changes whenever the content does; 16 hex digits.
    pub hash: String,
    /// Path of the URL, with the version.
    pub url: String,
}

/// What one button plays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// To look at, one after the other.
    pub images: Vec<File>,
    /// To listen to.
    pub audio: Option<File>,
    /// Both in one; then the others are not needed.
    pub video: Option<File>,
    /// Heading.
    pub title: Option<String>,
    /// What is said, for those who cannot hear it.
    pub caption: Option<String>,
    /// Language of title, caption and sound.
    pub language: Option<String>,
    /// Percent of the global volume.
    pub volume: Option<u8>,
    /// Plays again and again, until another button is pressed or the longest time of a play is over.
    pub looped: bool,
}

impl Item {
    /// All files, in the order picture, sound, film.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.images.iter().chain(&self.audio).chain(&self.video)
    }

    /// Whether it has all that it needs: a film, or a picture and a sound.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.video.is_some() || (!self.images.is_empty() && self.audio.is_some())
    }

    /// How long it plays.
    #[must_use]
    pub fn duration_ms(&self) -> Option<u64> {
        let longest = self.video.as_ref().or(self.audio.as_ref())?;
        longest.duration_ms
    }
}

/// All media as of one scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    items: Vec<Item>,
    /// Files that are missing or of no use: name and why.
    missing: Vec<(String, &'static str)>,
    /// What a person should look at, but plays all the same.
    notes: Vec<String>,
    rev: String,
    files: BTreeMap<String, File>,
}

impl Media {
    /// Scans `dir` for the media `1..=count`. A folder that cannot be read has none.
    #[must_use]
    pub fn scan(dir: &Path, count: u16) -> Self {
        let mut scan = Scan {
            dir,
            media: Self::default(),
            names: names(dir).unwrap_or_default(),
        };
        let manifest = scan.manifest();
        for id in 1..=count {
            let entry = manifest.get(&id).cloned().unwrap_or_default();
            let item = scan.item(id, entry);
            scan.media.items.push(item);
        }
        for id in manifest.keys().filter(|id| !(1..=count).contains(*id)) {
            scan.media
                .notes
                .push(format!("the manifest names id {id}; ids are 1 to {count}"));
        }
        let mut media = scan.media;
        let mut hash = Sha256::new();
        for item in &media.items {
            // The texts belong to the revision: a corrected caption must reach the screens.
            hash.update(format!("{item:?}"));
        }
        media.rev = short(&hash.finalize());
        media
    }

    /// What button `id` plays; `None` outside 1..=count.
    #[must_use]
    pub fn item(&self, id: u16) -> Option<&Item> {
        self.items.get(usize::from(id).checked_sub(1)?)
    }

    /// Highest id.
    #[must_use]
    pub fn count(&self) -> u16 {
        u16::try_from(self.items.len()).unwrap_or(u16::MAX)
    }

    /// Ids and what they play.
    pub fn items(&self) -> impl Iterator<Item = (u16, &Item)> {
        (1..).zip(&self.items)
    }

    /// The usable file of this name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&File> {
        self.files.get(name)
    }

    /// Changes whenever any file or text does; 16 hex digits.
    #[must_use]
    pub fn rev(&self) -> &str {
        &self.rev
    }

    /// Whether every button has what it needs.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// How many files are missing or of no use.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// The first of them.
    #[must_use]
    pub fn missing_files(&self) -> Vec<String> {
        self.missing
            .iter()
            .take(MISSING_LISTED)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// One sentence for the log: complete of expected, and the first that are missing.
    #[must_use]
    pub fn summary(&self) -> String {
        let complete = self.items.iter().filter(|i| i.complete()).count();
        let mut text = format!("media: {complete} of {} complete", self.items.len());
        for (i, (name, why)) in self.missing.iter().take(MISSING_LISTED).enumerate() {
            text.push_str(if i == 0 { "; " } else { ", " });
            text.push_str(name);
            text.push(' ');
            text.push_str(why);
        }
        if self.missing.len() > MISSING_LISTED {
            text.push_str(&format!(
                " and {} more",
                self.missing.len() - MISSING_LISTED
            ));
        }
        text
    }

    /// What plays all the same but deserves a look.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Ids whose content differs from `before`.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Vec<u16> {
        self.items()
            .filter(|(id, item)| before.item(*id) != Some(item))
            .map(|(id, _)| id)
            .collect()
    }
}

struct Scan<'a> {
    dir: &'a Path,
    media: Media,
    names: Vec<String>,
}

impl Scan<'_> {
    fn manifest(&mut self) -> BTreeMap<u16, Entry> {
        let read = Manifest::read(self.dir);
        let manifest = read.unwrap_or_else(|why| {
            self.media.notes.push(why);
            Manifest::default()
        });
        self.media.notes.extend(
            manifest
                .twice()
                .map(|id| format!("the manifest names id {id} twice; the last counts")),
        );
        manifest.by_id()
    }

    fn item(&mut self, id: u16, entry: Entry) -> Item {
        let video = self.choose(id, entry.video, &FILMS, Use::Video, false);
        let needed = video.is_none();
        Item {
            images: self.images(id, entry.image, entry.images, needed),
            audio: self.choose(id, entry.audio, &SOUNDS, Use::Audio, needed),
            video,
            title: entry.title,
            caption: entry.caption,
            language: entry.language,
            volume: entry.volume.map(|v| v.min(100)),
            looped: entry.looped,
        }
    }

    /// The first picture as any other file; then what the manifest lists, else what is numbered `NNN-2` and up.
    fn images(
        &mut self,
        id: u16,
        first: Option<String>,
        listed: Vec<String>,
        needed: bool,
    ) -> Vec<File> {
        let mut listed = listed.into_iter().take(PICTURES_MAX);
        let by_name = listed.len() == 0;
        let first = first.or_else(|| listed.next());
        let mut images = Vec::new();
        images.extend(self.choose(id, first, &IMAGES, Use::Image, needed));
        let numbered = |n| IMAGES.iter().map(move |e| format!("{id:03}-{n}.{e}"));
        let more: Vec<String> = if by_name {
            (2..=PICTURES_MAX)
                .filter_map(|n| numbered(n).find(|name| self.has(name)))
                .collect()
        } else {
            listed.collect()
        };
        for name in more {
            images.extend(self.choose(id, Some(name), &[], Use::Image, false));
        }
        images
    }

    /// The named file, or the first of the extensions that exists. What is needed and is not there is missing.
    fn choose(
        &mut self,
        id: u16,
        named: Option<String>,
        extensions: &[&str],
        purpose: Use,
        needed: bool,
    ) -> Option<File> {
        let default = |extension: &&str| format!("{id:03}.{extension}");
        let name = match named {
            Some(name) => name,
            None => {
                let mut found = extensions.iter().map(default).filter(|n| self.has(n));
                let first = found.next();
                if let (Some(first), Some(second)) = (&first, found.next()) {
                    self.media
                        .notes
                        .push(format!("{first} is used, not {second}"));
                }
                match first {
                    Some(name) => name,
                    None if needed => {
                        let name = extensions.first().map(default).unwrap_or_default();
                        self.media.missing.push((name, "is missing"));
                        return None;
                    }
                    None => return None,
                }
            }
        };
        match self.file(&name, purpose) {
            Ok(file) => {
                self.media.files.insert(name, file.clone());
                Some(file)
            }
            Err(why) => {
                self.media.missing.push((name, why));
                None
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.names
            .binary_search_by(|n| n.as_str().cmp(name))
            .is_ok()
    }

    fn file(&self, name: &str, purpose: Use) -> Result<File, &'static str> {
        // `names` holds plain names of this folder only, so a manifest cannot point anywhere else.
        if !self.has(name) {
            return Err("is missing");
        }
        let path = self.dir.join(name);
        let unreadable = |_| "cannot be read";
        let mut file = fs::File::open(&path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        if !meta.is_file() {
            return Err("is no file");
        }
        let header = sniff::sniff(&mut file).map_err(sniff::Defect::as_str)?;
        if header.kind.purpose() != purpose {
            return Err(match purpose {
                Use::Image => "is no picture",
                Use::Audio => "is no sound",
                Use::Video => "is no film",
            });
        }
        let hash = hash(&mut file, &meta).map_err(unreadable)?;
        Ok(File {
            url: format!("/media/{name}?v={hash}"),
            name: name.into(),
            kind: header.kind,
            size: meta.len(),
            duration_ms: header.duration_ms,
            hash,
        })
    }
}

/// Hashes size, time and both ends. Reasoning: reading 100 films whole at every start takes a Pi half a minute;
/// a file that changes in neither of these has not been replaced by any ordinary means.
fn hash(file: &mut fs::File, meta: &fs::Metadata) -> io::Result<String> {
    use io::{Read, Seek, SeekFrom};
    let mut hash = Sha256::new();
    hash.update(meta.len().to_le_bytes());
    hash.update(modified_ns(meta).to_le_bytes());
    let mut ends = Vec::new();
    for start in [0, meta.len().saturating_sub(HASHED_BYTES)] {
        file.seek(SeekFrom::Start(start))?;
        file.take(HASHED_BYTES).read_to_end(&mut ends)?;
    }
    hash.update(&ends);
    Ok(short(&hash.finalize()))
}

fn modified_ns(meta: &fs::Metadata) -> u128 {
    meta.modified()
        .ok()
        .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |d| d.as_nanos())
}

/// Enough of a digest to tell two versions of a file apart in an address.
fn short(digest: &[u8]) -> String {
    hex(&digest[..8])
}

/// Whether `name` is a visible file name that can stand in a URL and in an archive as it is, and nothing more.
pub(crate) fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=NAME_CHARS_MAX).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain)
}

/// Names in the folder that a browser may be sent to, sorted. Others (hidden, with odd characters) are as if
/// they were not there, so that every name can stand in a URL as it is.
pub(crate) fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(dir)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_plain(name))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// One button in the manifest that `GET /api/media` answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MediaView {
    /// Button.
    pub id: u16,
    /// Path of the first picture.
    pub image: Option<String>,
    /// Paths of all pictures, in their order.
    pub images: Vec<String>,
    /// Path of the sound.
    pub audio: Option<String>,
    /// Path of the film.
    pub video: Option<String>,
    /// Sum of the files, for a preload within a budget.
    pub bytes: u64,
    /// How long it plays, when known.
    pub duration_ms: Option<u64>,
    /// Heading.
    pub title: Option<String>,
    /// What is said.
    pub caption: Option<String>,
    /// Language of the texts and the sound.
    pub language: Option<String>,
    /// Percent of the global volume.
    pub volume: u8,
    /// Plays again and again.
    #[serde(rename = "loop")]
    pub looped: bool,
    /// Whether it has all that it needs.
    pub complete: bool,
}

impl MediaView {
    /// The view of one item.
    #[must_use]
    pub fn new(id: u16, item: &Item) -> Self {
        let url = |file: &File| file.url.clone();
        Self {
            id,
            image: item.images.first().map(url),
            images: item.images.iter().map(url).collect(),
            audio: item.audio.as_ref().map(url),
            video: item.video.as_ref().map(url),
            bytes: item.files().map(|f| f.size).sum(),
            duration_ms: item.duration_ms(),
            title: item.title.clone(),
            caption: item.caption.clone(),
            language: item.language.clone(),
            volume: item.volume.unwrap_or(100),
            looped: item.looped,
            complete: item.complete(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::test_media::wav;
    use std::fs::write;

    const SVG: &str = "<svg xmlns='http://www.w3.org/2000/svg'/>";

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for id in 1..=3 {
            write(dir.path().join(format!("{id:03}.svg")), SVG).unwrap();
            write(dir.path().join(format!("{id:03}.wav")), wav(id * 100)).unwrap();
        }
        dir
    }

    #[test]
    fn a_complete_folder() {
        let dir = folder();
        let media = Media::scan(dir.path(), 3);
        assert!(media.complete(), "{}", media.summary());
        assert_eq!(media.summary(), "media: 3 of 3 complete");
        let item = media.item(2).unwrap();
        assert_eq!(item.duration_ms(), Some(200));
        let image = &item.images[0];
        assert_eq!(image.url, format!("/media/002.svg?v={}", image.hash));
        assert!(media.item(0).is_none() && media.item(4).is_none());
        assert_eq!(media.rev().len(), 16);
    }

    #[test]
    fn what_is_missing_empty_or_damaged_is_listed_and_the_rest_plays() {
        let dir = folder();
        fs::remove_file(dir.path().join("001.wav")).unwrap();
        write(dir.path().join("002.svg"), "").unwrap();
        write(dir.path().join("003.wav"), "no sound").unwrap();
        let media = Media::scan(dir.path(), 4);
        assert_eq!(media.missing(), 5);
        assert_eq!(
            media.missing_files(),
            ["001.mp3", "002.svg", "003.wav", "004.jpg", "004.mp3"]
        );
        assert_eq!(
            media.summary(),
            "media: 0 of 4 complete; 001.mp3 is missing, 002.svg is empty, 003.wav is no known picture or \
             sound, 004.jpg is missing, 004.mp3 is missing"
        );
        assert_eq!(media.item(1).unwrap().images.len(), 1);
    }

    #[test]
    fn no_folder_is_no_media_and_the_first_ten_are_named() {
        let media = Media::scan(Path::new("/nonexistent/media"), 10);
        assert_eq!(media.missing(), 20);
        assert_eq!(media.missing_files().len(), 10);
        assert!(media.summary().ends_with("005.mp3 is missing and 10 more"));
    }

    #[test]
    fn a_manifest_names_files_and_texts() {
        let dir = folder();
        write(dir.path().join("bell.wav"), wav(700)).unwrap();
        write(
            dir.path().join("manifest.toml"),
            "[[item]]\nid = 1\naudio = 'bell.wav'\ntitle = 'Bell'\ncaption = 'Ding'\nvolume = 80\n\
             [[item]]\nid = 2\nimage = '../../etc/passwd'\n[[item]]\nid = 9\n",
        )
        .unwrap();
        let media = Media::scan(dir.path(), 3);
        let bell = media.item(1).unwrap();
        assert_eq!(bell.duration_ms(), Some(700));
        assert_eq!(bell.title.as_deref(), Some("Bell"));
        assert_eq!(bell.volume, Some(80));
        assert_eq!(media.missing_files(), ["../../etc/passwd"]);
        assert_eq!(media.notes(), ["the manifest names id 9; ids are 1 to 3"]);
        assert!(media.file("bell.wav").is_some());
        assert!(media.file("manifest.toml").is_none());
        assert!(media.file("001.wav").is_none(), "replaced by the manifest");

        write(dir.path().join("manifest.toml"), "[[item]]\nid = 'one'").unwrap();
        let media = Media::scan(dir.path(), 3);
        assert!(media.complete(), "a bad manifest falls back to the names");
        assert_eq!(media.notes().len(), 1);
    }

    #[test]
    fn content_decides_not_the_extension() {
        let dir = folder();
        write(dir.path().join("001.mp3"), wav(300)).unwrap();
        write(dir.path().join("002.jpg"), wav(300)).unwrap();
        let media = Media::scan(dir.path(), 3);
        let audio = media.item(1).unwrap().audio.clone().unwrap();
        assert_eq!((audio.name.as_str(), audio.kind), ("001.mp3", Kind::Wav));
        assert_eq!(media.missing_files(), ["002.jpg"]);
        assert_eq!(
            media.notes(),
            [
                "001.mp3 is used, not 001.wav",
                "002.jpg is used, not 002.svg"
            ]
        );
    }

    #[test]
    fn a_change_counts_once_it_stands_still() {
        let dir = folder();
        let (mut watcher, before) = Watcher::start(dir.path(), 3);
        assert!(watcher.look().is_none());
        write(dir.path().join("002.wav"), wav(900)).unwrap();
        assert!(watcher.look().is_none(), "it may still be copied");
        let after = watcher.look().unwrap();
        assert_eq!(after.changed_since(&before), [2]);
        assert_ne!(after.rev(), before.rev());
        assert!(watcher.look().is_none());
        fs::remove_file(dir.path().join("003.svg")).unwrap();
        watcher.look();
        let gone = watcher.look().unwrap();
        assert_eq!(gone.changed_since(&after), [3]);
        assert!(!gone.complete());
    }
}
