//! The manifest of the media: other file names than `NNN.ext`, and texts.
//!
//! `manifest.toml` or `manifest.json`, a list `item` of entries. A person may write it by hand; the gateway rewrites
//! it when texts are edited on the page, and then keeps its entries but not its comments.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

/// The name the gateway writes, and the one that is read when it is not there.
pub const NAMES: [&str; 2] = ["manifest.toml", "manifest.json"];
/// Longest manifest. Reasoning: 999 entries of a few hundred bytes.
pub const BYTES_MAX: u64 = 1 << 20;

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Button.
    pub id: u16,
    /// Name of the first picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Names of the pictures in their order; after `image`, if that is given too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Name of the sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<String>,
    /// Name of the film.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<String>,
    /// Heading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is said, for those who cannot hear it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Language of title, caption and sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Percent of the global volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<u8>,
    /// Plays again and again.
    #[serde(default, rename = "loop", skip_serializing_if = "std::ops::Not::not")]
    pub looped: bool,
}

impl Entry {
    /// Whether it says nothing but its number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self
            == Self {
                id: self.id,
                ..Self::default()
            }
    }

    /// Every file it names.
    pub fn files(&self) -> impl Iterator<Item = &String> {
        let one = [&self.image, &self.audio, &self.video];
        one.into_iter().flatten().chain(&self.images)
    }
}

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// In the order of the file.
    #[serde(default)]
    pub item: Vec<Entry>,
}

impl Manifest {
    /// Reads the one in `dir`; none is an empty one.
    ///
    /// # Errors
    /// A sentence for people: it is too long, cannot be read, or is no manifest.
    pub fn read(dir: &Path) -> Result<Self, String> {
        for name in NAMES {
            match read(&dir.join(name)) {
                Ok(bytes) => {
                    return Self::parse(name, &bytes)
                        .map_err(|why| format!("{name} is not used: {why}"));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{name} is not used: {error}")),
            }
        }
        Ok(Self::default())
    }

    /// The manifest in `bytes`, by the ending of its `name`.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned())?;
        if name.ends_with(".json") {
            serde_json::from_str(text).map_err(|e| e.to_string())
        } else {
            toml::from_str(text).map_err(|e| e.message().to_owned())
        }
    }

    /// As `manifest.toml`.
    ///
    /// # Errors
    /// Never for a manifest whose texts came from JSON or TOML.
    pub fn to_toml(&self) -> io::Result<String> {
        toml::to_string(self).map_err(io::Error::other)
    }

    /// The entries by id; of two the last.
    #[must_use]
    pub fn by_id(&self) -> BTreeMap<u16, Entry> {
        let entries = self.item.iter();
        entries.map(|entry| (entry.id, entry.clone())).collect()
    }

    /// Ids with more than one entry.
    pub fn twice(&self) -> impl Iterator<Item = u16> {
        let earlier = |i| self.item.iter().take(i);
        let again = (0..)
            .zip(&self.item)
            .filter(move |(i, entry)| earlier(*i).any(|e| e.id == entry.id));
        again.map(|(_, entry)| entry.id)
    }

    /// Changes the entry of `id`, made when there is none, dropped when nothing is left of it.
    pub fn edit(&mut self, id: u16, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.by_id();
        let entry = entries.entry(id).or_insert_with(|| Entry {
            id,
            ..Entry::default()
        });
        change(entry);
        self.item = entries.into_values().filter(|e| !e.is_empty()).collect();
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > BYTES_MAX {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_edit_keeps_the_others_and_drops_what_says_nothing() {
        let text =
            b"[[item]]\nid = 2\ntitle = 'Two'\nloop = true\n[[item]]\nid = 1\naudio = 'a.wav'\n";
        let mut manifest = Manifest::parse("manifest.toml", text).unwrap();
        manifest.edit(2, |e| e.looped = false);
        manifest.edit(1, |e| e.audio = None);
        manifest.edit(7, |e| e.caption = Some("\"line\"\nline".into()));
        let written = manifest.to_toml().unwrap();
        let again = Manifest::parse("manifest.toml", written.as_bytes()).unwrap();
        assert_eq!(again, manifest);
        let ids: Vec<u16> = again.item.iter().map(|e| e.id).collect();
        assert_eq!(ids, [2, 7]);
    }

    #[test]
    fn a_manifest_that_is_none_says_why() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::read(dir.path()), Ok(Manifest::default()));
        for (name, bytes) in [
            ("manifest.json", &b"5"[..]),
            ("manifest.toml", &b"\xff\xfe"[..]),
            ("manifest.toml", &b"[[item]]\nid = 1\nidd = 2"[..]),
        ] {
            fs::write(dir.path().join(name), bytes).unwrap();
            let why = Manifest::read(dir.path()).unwrap_err();
            assert!(why.starts_with(&format!("{name} is not used: ")), "{why}");
        }
        fs::write(dir.path().join("manifest.toml"), vec![b' '; 1 << 21]).unwrap();
        assert!(Manifest::read(dir.path()).unwrap_err().contains("1 MiB"));
    }
}
