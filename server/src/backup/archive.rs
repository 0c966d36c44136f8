//! The file of a backup: a POSIX tar, so that a person without this program gets at everything in it.
//!
//! | Entry, in this order | Content |
//! |---|---|
//! | `about.json` | [`About`]: whose backup this is |
//! | `state/...` | the state directory: databases as compact copies, the rest byte for byte |
//! | `config/...` | the configuration file |
//! | `media/...` | the panel's pictures and sounds |
//! | `manifest.json` | [`Manifest`]: length and SHA-256 of each entry above |
//!
//! Two blocks of zeros end it. What lacks the manifest or the end was cut off.

use leitstand_kit::words::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

/// Version of this layout.
pub(super) const FORMAT: u32 = 1;
const ABOUT: &str = "about.json";
const MANIFEST: &str = "manifest.json";
/// Length of a header; contents are filled up to a multiple of it.
const HEADER_BYTES: u64 = 512;
/// What ends a tar file: two blocks of 512 zeros.
const END_BYTES: u64 = 1024;
/// Longest `about.json` or `manifest.json`. Reasoning: a hundred thousand entries of 150 bytes.
const JSON_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Entries of one archive. Reasoning: a panel has a hundred buttons, a site some dozen files of state.
const ENTRIES_MAX: usize = 100_000;

/// Whose backup it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// Program that made it.
    pub(crate) version: String,
    /// Name of the site.
    pub(crate) site: String,
    /// When, in ms since 1970.
    pub(crate) made_unix_ms: i64,
    /// The configuration file's path there.
    pub(crate) config_file: PathBuf,
    /// The folder of media there, when it has one.
    pub(crate) media_dir: Option<PathBuf>,
}

/// What must be in the archive.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) entries: Vec<Entry>,
    /// By which a restored site is known to be equal to this one.
    pub(crate) state_hash: String,
}

/// One file in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Path within the archive.
    pub(crate) path: String,
    /// Length in bytes.
    pub(crate) bytes: u64,
    /// SHA-256, hexadecimal.
    pub(crate) sha256: String,
}

/// Why a file is no backup that could be restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The file system said no.
    #[error("reading the backup")]
    Io(#[from] io::Error),
    /// Not a tar, or not one of ours.
    #[error("this is no backup of a Leitstand ({0})")]
    Foreign(String),
    /// The end is missing.
    #[error("the backup is cut off; make a new one, or fetch it again")]
    CutOff,
    /// A newer program made it.
    #[error("the backup has format {0}, this program knows {FORMAT}; use the version that made it")]
    Format(u32),
    /// Content and manifest disagree.
    #[error("the backup is damaged at `{0}`; use another one")]
    Damaged(String),
    /// A path that leaves the archive, a link, a device.
    #[error("the backup holds `{0}`, which no backup of ours does; nothing was written")]
    Hostile(String),
}

/// Writes an archive entry by entry.
pub(super) struct Writer<W: Write> {
    tar: tar::Builder<W>,
    manifest: Manifest,
    mtime: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, about: &About) -> io::Result<Self> {
        let mut writer = Self {
            tar: tar::Builder::new(out),
            manifest: Manifest::default(),
            mtime: u64::try_from(about.made_unix_ms / 1000).unwrap_or(0),
        };
        let json = serde_json::to_vec_pretty(about)?;
        writer.add_bytes(ABOUT, &json)?;
        Ok(writer)
    }

    /// As [`add_file`](Self::add_file), from memory.
    pub(super) fn add_bytes(&mut self, path: &str, bytes: &[u8]) -> io::Result<String> {
        self.add(path, bytes.len() as u64, bytes)
    }

    /// Adds a file as long as it is now and answers its SHA-256. One that shrinks meanwhile is an error, growth is
    /// left for the next time.
    pub(super) fn add_file(&mut self, path: &str, file: &Path) -> io::Result<String> {
        let source = File::open(file)?;
        let bytes = source.metadata()?.len();
        self.add(path, bytes, source)
    }

    fn add(&mut self, path: &str, bytes: u64, source: impl Read) -> io::Result<String> {
        let mut hashed = Hashed::new(source.take(bytes));
        let mut header = self.header(bytes);
        self.tar.append_data(&mut header, path, &mut hashed)?;
        if hashed.bytes != bytes {
            let text = format!("{path} became shorter while it was read; try again");
            return Err(io::Error::other(text));
        }
        let sha256 = hashed.digest();
        self.manifest.entries.push(Entry {
            path: path.to_owned(),
            bytes,
            sha256: sha256.clone(),
        });
        Ok(sha256)
    }

    /// Seals the archive.
    pub(super) fn finish(mut self, state_hash: String) -> io::Result<(W, Manifest)> {
        self.manifest.state_hash = state_hash;
        let json = serde_json::to_vec_pretty(&self.manifest)?;
        let mut header = self.header(json.len() as u64);
        self.tar.append_data(&mut header, MANIFEST, &json[..])?;
        Ok((self.tar.into_inner()?, self.manifest))
    }

    fn header(&self, bytes: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(self.mtime);
        header
    }
}

/// Reads a whole archive and hands each file to `each` once it is known where it belongs. `each` must take the
/// bytes to the end or not at all; either way they are held against the manifest.
///
/// # Errors
/// See [`ArchiveError`]; `each` may have been called before.
pub(super) fn read(
    file: &Path,
    each: impl FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> Result<(About, Manifest), ArchiveError> {
    let source = File::open(file)?;
    let length = source.metadata()?.len();
    read_from(io::BufReader::with_capacity(1 << 16, source), length, each)
}

fn read_from(
    source: impl Read,
    length: u64,
    mut each: impl FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> Result<(About, Manifest), ArchiveError> {
    let mut tar = tar::Archive::new(source);
    let mut about: Option<About> = None;
    let mut found = Vec::new();
    let mut end = 0;
    for entry in tar.entries()? {
        // The crate names a short file in several ways; its length tells it for certain.
        let mut entry = entry.map_err(|e| match found.is_empty() {
            true => ArchiveError::Foreign(e.to_string()),
            false if length < end + HEADER_BYTES => ArchiveError::CutOff,
            false => ArchiveError::Io(e),
        })?;
        let bytes = entry.size();
        // On its own first: a hostile length must not overflow the sum.
        if bytes > length {
            return Err(ArchiveError::CutOff);
        }
        end = (entry.raw_file_position() + bytes).next_multiple_of(HEADER_BYTES);
        if length < end + END_BYTES {
            return Err(ArchiveError::CutOff);
        }
        // Before the content, so that a hostile path is never acted upon.
        let path = safe_path(&entry)?;
        if path == MANIFEST {
            let manifest: Manifest = json(&mut entry, bytes)?;
            let about = about.ok_or(ArchiveError::CutOff)?;
            agree(&manifest, &found)?;
            return Ok((about, manifest));
        }
        if found.len() >= ENTRIES_MAX {
            return Err(ArchiveError::Foreign("too many entries".into()));
        }
        let mut hashed = Hashed::new(&mut entry);
        if found.is_empty() {
            about = Some(first(&path, &mut hashed, bytes)?);
        } else {
            each(&path, &mut hashed)?;
        }
        io::copy(&mut hashed, &mut io::sink())?;
        found.push(Entry {
            path,
            bytes,
            sha256: hashed.digest(),
        });
    }
    Err(if found.is_empty() {
        ArchiveError::Foreign("it is empty".into())
    } else {
        ArchiveError::CutOff
    })
}

fn first(path: &str, source: &mut impl Read, bytes: u64) -> Result<About, ArchiveError> {
    if path != ABOUT {
        return Err(ArchiveError::Foreign(format!("it begins with `{path}`")));
    }
    let about: About = json(source, bytes)?;
    if about.format != FORMAT {
        return Err(ArchiveError::Format(about.format));
    }
    Ok(about)
}

fn json<T: serde::de::DeserializeOwned>(
    source: &mut impl Read,
    bytes: u64,
) -> Result<T, ArchiveError> {
    if bytes > JSON_BYTES_MAX {
        return Err(ArchiveError::Foreign("a list of absurd length".into()));
    }
    let mut text = Vec::new();
    source.read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(|e| ArchiveError::Foreign(e.to_string()))
}

fn agree(manifest: &Manifest, found: &[Entry]) -> Result<(), ArchiveError> {
    for (index, want) in manifest.entries.iter().enumerate() {
        if found.get(index) != Some(want) {
            return Err(ArchiveError::Damaged(want.path.clone()));
        }
    }
    match found.get(manifest.entries.len()) {
        Some(extra) => Err(ArchiveError::Damaged(extra.path.clone())),
        None => Ok(()),
    }
}

/// The path of a regular file below `state/`, `config/` or `media/`, or of one of our two lists.
fn safe_path(entry: &tar::Entry<'_, impl Read>) -> Result<String, ArchiveError> {
    let raw = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let hostile = || ArchiveError::Hostile(raw.clone());
    if entry.header().entry_type() != tar::EntryType::Regular {
        return Err(hostile());
    }
    if raw == ABOUT || raw == MANIFEST {
        return Ok(raw);
    }
    let path = Path::new(&raw);
    if !path.components().all(|c| matches!(c, Component::Normal(_))) {
        return Err(hostile());
    }
    let folders = ["state", "config", "media"];
    if folders.iter().any(|f| path.starts_with(f)) && path.components().count() > 1 {
        Ok(raw)
    } else {
        Err(ArchiveError::Foreign(format!("it holds `{raw}`")))
    }
}

/// Counts and hashes what passes.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Hashed<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    fn digest(self) -> String {
        hex(&self.hash.finalize())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn about() -> About {
        About {
            format: FORMAT,
            version: "0".into(),
            site: "A".into(),
            made_unix_ms: 0,
            config_file: "/etc/leitstand.toml".into(),
            media_dir: None,
        }
    }

    fn archive() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), &about()).unwrap();
        writer.add_bytes("state/status", b"hello").unwrap();
        writer.add_bytes("media/001.svg", &[7; 700]).unwrap();
        writer.finish(String::new()).unwrap().0
    }

    fn read_bytes(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
        let mut files = Vec::new();
        read_from(bytes, bytes.len() as u64, |path, source| {
            let mut content = Vec::new();
            source.read_to_end(&mut content)?;
            files.push((path.to_owned(), content));
            Ok(())
        })?;
        Ok(files)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let files = read_bytes(&archive()).unwrap();
        let want = [
            ("state/status".to_owned(), b"hello".to_vec()),
            ("media/001.svg".to_owned(), vec![7; 700]),
        ];
        assert_eq!(files, want);
    }

    #[test]
    fn cut_off_at_any_byte_it_is_refused_with_a_clear_word() {
        let whole = archive();
        for length in 0..whole.len() {
            match read_bytes(&whole[..length]) {
                Err(ArchiveError::CutOff) => {}
                // Less than one header: not even a name to go by.
                Err(ArchiveError::Foreign(_)) if length < 512 => {}
                other => panic!("cut at {length} of {}: {other:?}", whole.len()),
            }
        }
    }

    #[test]
    fn a_flipped_byte_anywhere_in_the_content_is_found() {
        let whole = archive();
        let at = whole.windows(5).position(|w| w == b"hello").unwrap();
        for byte in [at, at + 4] {
            let mut bad = whole.clone();
            bad[byte] ^= 1;
            assert!(
                matches!(read_bytes(&bad), Err(ArchiveError::Damaged(path)) if path == "state/status")
            );
        }
    }

    #[test]
    fn no_entry_leaves_its_folder() {
        for (path, kind) in [
            ("state/../../etc/passwd", tar::EntryType::Regular),
            ("/etc/passwd", tar::EntryType::Regular),
            ("state/link", tar::EntryType::Symlink),
            ("state/dev", tar::EntryType::Char),
        ] {
            let mut writer = Writer::new(Vec::new(), &about()).unwrap();
            let mut header = tar::Header::new_gnu();
            // Past the crate's own checks, as an attacker would.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_cksum();
            writer.tar.append(&header, io::empty()).unwrap();
            let bytes = writer.finish(String::new()).unwrap().0;
            assert!(
                matches!(read_bytes(&bytes), Err(ArchiveError::Hostile(p)) if p == path),
                "{path}"
            );
        }
    }

    #[test]
    fn files_of_others_are_told_from_damaged_ones() {
        for bytes in [&b""[..], b"PK\x03\x04 not a tar", &[0; 4096], &[0xff; 2048]] {
            assert!(matches!(
                read_bytes(bytes),
                Err(ArchiveError::Foreign(_) | ArchiveError::CutOff)
            ));
        }
        let mut newer = about();
        newer.format = 2;
        let bytes = Writer::new(Vec::new(), &newer)
            .unwrap()
            .finish(String::new())
            .unwrap()
            .0;
        assert!(matches!(read_bytes(&bytes), Err(ArchiveError::Format(2))));
    }
}
