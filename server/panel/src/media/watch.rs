//! Looks at the folder of media again and again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Media, modified_ns, names};

/// Looks at the folder again and again.
#[derive(Debug)]
pub struct Watcher {
    dir: PathBuf,
    count: u16,
    /// The folder as it was when it was last scanned.
    scanned: Signature,
    /// The folder at the last look.
    seen: Signature,
}

/// Name, size and time of every file.
type Signature = Vec<(String, u64, u128)>;

fn signature(dir: &Path) -> Signature {
    names(dir)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|name| {
            let meta = fs::metadata(dir.join(&name)).ok()?;
            Some((name, meta.len(), modified_ns(&meta)))
        })
        .collect()
}

impl Watcher {
    /// Scans once, and remembers what it saw.
    #[must_use]
    pub fn start(dir: &Path, count: u16) -> (Self, Media) {
        let scanned = signature(dir);
        let watcher = Self {
            dir: dir.into(),
            count,
            seen: scanned.clone(),
            scanned,
        };
        (watcher, Media::scan(dir, count))
    }

    /// One look; a new scan when the folder changed and then stood still since the last look. Reads files:
    /// call it where blocking is allowed.
    pub fn look(&mut self) -> Option<Media> {
        let now = signature(&self.dir);
        let still = now == self.seen;
        self.seen = now;
        if !still || self.seen == self.scanned {
            return None;
        }
        Some(self.scan())
    }

    /// Scans now: the gateway itself changed the folder, so nothing in it is half copied.
    pub fn rescan(&mut self) -> Media {
        self.seen = signature(&self.dir);
        self.scan()
    }

    fn scan(&mut self) -> Media {
        self.scanned.clone_from(&self.seen);
        Media::scan(&self.dir, self.count)
    }
}
