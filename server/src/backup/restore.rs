//! The way back: check everything, unpack beside the target, move it into place.

use super::archive::{self, About, ArchiveError};
use super::site::StateHash;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, lchown};
use std::path::{Path, PathBuf};

/// Where the files of a target are unpacked: in it, because it may be a mount point that cannot be replaced.
const FRESH: &str = ".restoring";
/// Moved last. Without it a state directory holds no site, so a restore that is cut off never starts half done.
const LAST: &str = "status";

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// The backup.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Something is there already.
    #[error("{0} is not empty; move it away first, so that nothing of value is overwritten")]
    Occupied(PathBuf),
    /// What was read back is not what was written.
    #[error("{0} does not read back as it was written; check the disk")]
    Differs(PathBuf),
    /// The file system.
    #[error("{doing}")]
    Io {
        /// With the path.
        doing: String,
        /// What it said.
        source: io::Error,
    },
}

/// Reads the whole backup and holds it against its manifest. Writes nothing.
///
/// # Errors
/// See [`ArchiveError`].
pub(super) fn verify(file: &Path) -> Result<About, ArchiveError> {
    archive::read(file, |_, _| Ok(())).map(|(about, _)| about)
}

/// Unpacks a backup: its state to `state`, configuration and media to where they were. With `root` all of them
/// go below that folder. Answers with lines for a person.
///
/// # Errors
/// See [`RestoreError`]; what had been unpacked by then is removed.
pub(super) fn restore(
    file: &Path,
    state: &Path,
    root: Option<&Path>,
) -> Result<Vec<String>, RestoreError> {
    let about = verify(file)?;
    let below = |path: &Path| match root {
        Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_path_buf(),
    };
    let state = below(state);
    let config = below(&about.config_file);
    let media = about.media_dir.as_deref().map(below);
    for target in [Some(&state), media.as_ref()].into_iter().flatten() {
        let occupied = |e: io::Result<fs::DirEntry>| e.is_ok_and(|e| e.file_name() != FRESH);
        if fs::read_dir(target).is_ok_and(|mut d| d.any(occupied)) {
            return Err(RestoreError::Occupied(target.clone()));
        }
    }
    let mut places = vec![Place::new("state", state.clone())];
    places.extend(media.map(|m| Place::new("media", m)));
    for place in &places {
        let _ = fs::remove_dir_all(&place.fresh);
    }
    let mut text = Vec::new();
    let unpacked = archive::read(file, |path, source| {
        if path.starts_with("config/") {
            source.read_to_end(&mut text).map(drop)
        } else {
            match places.iter().find_map(|p| p.inside(path)) {
                Some(target) => write(&target, source),
                None => Ok(()),
            }
        }
    });
    let moved = unpacked
        .map_err(RestoreError::from)
        .and_then(|(_, manifest)| Ok((settle(&places, &config, &text)?, manifest.state_hash)));
    if moved.is_err() {
        for place in &places {
            let _ = fs::remove_dir_all(&place.fresh);
        }
    }
    let (mut lines, want) = moved?;
    let hash = StateHash::of(&state).map_err(at("reading", &state))?;
    if hash != want {
        // Every byte was held against the manifest, so the disk did not keep what it was given.
        return Err(RestoreError::Differs(state));
    }
    lines.push(format!("State hash  {hash}"));
    Ok(lines)
}

/// A folder that is filled.
struct Place {
    /// Its folder in the archive.
    name: &'static str,
    target: PathBuf,
    fresh: PathBuf,
}

impl Place {
    fn new(name: &'static str, target: PathBuf) -> Self {
        let fresh = target.join(FRESH);
        Self {
            name,
            target,
            fresh,
        }
    }

    /// Moves what was unpacked to where it belongs.
    fn fill(&self) -> io::Result<()> {
        let mut names = fs::read_dir(&self.fresh)?
            .map(|entry| entry.map(|e| e.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort_by_key(|name| name == LAST);
        for name in &names {
            if name == LAST {
                File::open(&self.target)?.sync_all()?;
            }
            fs::rename(self.fresh.join(name), self.target.join(name))?;
        }
        fs::remove_dir(&self.fresh)?;
        File::open(&self.target)?.sync_all()
    }

    fn inside(&self, path: &str) -> Option<PathBuf> {
        let rest = path.strip_prefix(self.name)?.strip_prefix('/')?;
        Some(self.fresh.join(rest))
    }
}

fn write(target: &Path, source: &mut dyn Read) -> io::Result<()> {
    if let Some(folder) = target.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(target)?;
    io::copy(source, &mut file)?;
    file.sync_all()
}

fn settle(places: &[Place], config: &Path, text: &[u8]) -> Result<Vec<String>, RestoreError> {
    let mut lines = Vec::new();
    for place in places.iter().filter(|p| p.fresh.is_dir()) {
        own(&place.target).map_err(at("giving away", &place.target))?;
        place.fill().map_err(at("moving into", &place.target))?;
        lines.push(format!("Restored    {}", place.target.display()));
    }
    // The copy in the state directory is in force; the file is for people, who may have edited a newer one.
    if config.exists() {
        lines.push(format!("Left alone  {}", config.display()));
    } else {
        if let Some(folder) = config.parent() {
            fs::create_dir_all(folder).map_err(at("creating", folder))?;
        }
        fs::write(config, text).map_err(at("writing", config))?;
        lines.push(format!("Restored    {}", config.display()));
    }
    Ok(lines)
}

/// Everything in `folder` gets the owner of `folder`: a restore is run as root, the gateway is not.
fn own(folder: &Path) -> io::Result<()> {
    let owner = fs::metadata(folder)?;
    let (uid, gid) = (owner.uid(), owner.gid());
    let mut waiting = vec![folder.join(FRESH)];
    while let Some(path) = waiting.pop() {
        let now = fs::symlink_metadata(&path)?;
        if (now.uid(), now.gid()) != (uid, gid) {
            lchown(&path, Some(uid), Some(gid))?;
        }
        if now.is_dir() {
            for entry in fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        }
    }
    Ok(())
}

fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let doing = format!("{doing} {}", path.display());
    move |source| RestoreError::Io { doing, source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::make;
    use super::*;
    use crate::bootstrap::Bootstrap;

    /// A site with a database and pictures beside its configuration.
    fn site(dir: &Path) -> PathBuf {
        let (state, media) = (dir.join("var"), dir.join("etc/media"));
        fs::create_dir_all(&state).unwrap();
        fs::create_dir_all(&media).unwrap();
        let config = dir.join("etc/leitstand.toml");
        fs::write(
            &config,
            "site = \"A\"\n[panel]\nbuttons = 3\nmedia_dir = \"media\"\n",
        )
        .unwrap();
        fs::write(media.join("001.svg"), "<svg/>").unwrap();
        Bootstrap::find(&state, Some(&config), false)
            .unwrap()
            .begin()
            .unwrap();
        let db = rusqlite(&state.join("leitstand.db"));
        db.execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE a (x); INSERT INTO a VALUES (1), (2)",
        )
        .unwrap();
        state
    }

    fn rusqlite(path: &Path) -> rusqlite::Connection {
        rusqlite::Connection::open(path).unwrap()
    }

    #[test]
    fn a_wiped_site_comes_back_with_the_same_state_hash() {
        let dir = tempfile::tempdir().unwrap();
        let state = site(dir.path());
        let file = dir.path().join("backup.tar");
        let before = StateHash::of(&state).unwrap();
        make(&state, &file).unwrap();
        fs::remove_dir_all(&state).unwrap();
        fs::remove_dir_all(dir.path().join("etc")).unwrap();
        let lines = restore(&file, &state, None).unwrap();
        assert!(lines.iter().any(|l| l.ends_with(&before)), "{lines:?}");
        assert_eq!(StateHash::of(&state).unwrap(), before);
        assert_eq!(
            fs::read(dir.path().join("etc/media/001.svg")).unwrap(),
            b"<svg/>"
        );
        assert!(dir.path().join("etc/leitstand.toml").is_file());
        let rows: i64 = rusqlite(&state.join("leitstand.db"))
            .query_row("SELECT sum(x) FROM a", [], |r| r.get(0))
            .unwrap();
        assert_eq!(rows, 3);
        assert_eq!(Bootstrap::find(&state, None, false).unwrap().starts(), 1);
    }

    #[test]
    fn nothing_that_is_there_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let state = site(dir.path());
        let file = dir.path().join("backup.tar");
        make(&state, &file).unwrap();
        let before = StateHash::of(&state).unwrap();
        let refused = restore(&file, &state, None).unwrap_err();
        assert!(matches!(refused, RestoreError::Occupied(p) if p == state));
        assert_eq!(StateHash::of(&state).unwrap(), before);
    }

    #[test]
    fn a_damaged_backup_leaves_a_blank_machine_blank() {
        let dir = tempfile::tempdir().unwrap();
        let state = site(dir.path());
        let file = dir.path().join("backup.tar");
        make(&state, &file).unwrap();
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        let blank = dir.path().join("blank");
        assert!(restore(&file, Path::new("/var/lib/leitstand"), Some(&blank)).is_err());
        assert!(!blank.exists());
        fs::write(&file, &whole).unwrap();
        restore(&file, Path::new("/var/lib/leitstand"), Some(&blank)).unwrap();
        assert!(blank.join("var/lib/leitstand/status").is_file());
    }

    #[test]
    fn a_folder_without_a_site_is_no_backup() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("backup.tar");
        assert!(matches!(
            make(dir.path(), &file),
            Err(super::super::BackupError::NoSite(_))
        ));
        assert!(!file.exists());
    }
}
