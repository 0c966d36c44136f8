//! `leitstand backup` and `leitstand restore`: a site in one file, taken while it runs.
//!
//! The small files of the state directory are copied first and the databases after them. So the journal in the
//! backup is never older than the memory of the services beside it, and a restored site starts exactly as after a
//! power cut in that moment: services apply the entries that are newer than their own file.
//!
//! Code map: [`archive`] the file's layout, [`site`] what belongs to a site, [`restore`] the way back,
//! [`keeper`] backups on a schedule.

mod archive;
pub(crate) mod keeper;
mod restore;
mod site;

use crate::bootstrap::Bootstrap;
use crate::cli;
use crate::config;
use crate::exit::{Failure, say};
use archive::{About, FORMAT, Writer};
use leitstand_kit::Exit;
use leitstand_kit::store::snapshot;
use site::StateHash;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A finished backup.
#[derive(Debug)]
pub(crate) struct Made {
    /// Length of the file.
    pub(crate) bytes: u64,
    /// Files in it.
    pub(crate) files: usize,
    /// By which a restored site is known to be equal.
    pub(crate) state_hash: String,
}

/// Why there is no new backup. A file of that name from before is still there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// No site there.
    #[error("{0} holds no site: no runtime information")]
    NoSite(PathBuf),
    /// Reading the site or writing the backup.
    #[error("{doing}")]
    Io {
        /// With the path.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

/// `leitstand backup FILE`
///
/// # Errors
/// Exit 3 when there is no site, or the backup cannot be written.
pub(crate) fn backup(args: &cli::Backup) -> Result<(), Failure> {
    let made = make(&args.state.state, &args.file)
        .map_err(|e| Failure::because(Exit::RuntimeInformation, "backup", &e))?;
    say(format!(
        "{}: {} files, {} bytes",
        args.file.display(),
        made.files,
        made.bytes
    ));
    say(format!("State hash  {}", made.state_hash));
    Ok(())
}

/// `leitstand restore FILE`
///
/// # Errors
/// Exit 3 with what is wrong with the backup, or with the place it should go to. Nothing is left half done.
pub(crate) fn restore(args: &cli::Restore) -> Result<(), Failure> {
    let refused =
        |e: &dyn std::error::Error| Failure::because(Exit::RuntimeInformation, "restore", e);
    let about = restore::verify(&args.file).map_err(|e| refused(&e))?;
    let made = jiff::Timestamp::from_millisecond(about.made_unix_ms).unwrap_or_default();
    say(format!(
        "A whole backup of `{}`, made {made:.0}",
        about.site
    ));
    if args.check {
        return Ok(());
    }
    let done = restore::restore(&args.file, &args.state.state, args.root.as_deref())
        .map_err(|e| refused(&e))?;
    for line in done {
        say(line);
    }
    Ok(())
}

/// Writes a backup of the site in `state` to `file`, all or nothing. Blocks: it reads everything the site has.
///
/// # Errors
/// See [`BackupError`].
pub(crate) fn make(state: &Path, file: &Path) -> Result<Made, BackupError> {
    let doing = |doing: String| move |source| BackupError::Io { doing, source };
    let unfinished = beside(file, ".part");
    let copy = beside(file, ".part-db");
    // Left by one that was killed.
    let _ = (fs::remove_file(&unfinished), fs::remove_file(&copy));
    let made = write(state, &unfinished, &copy);
    let _ = fs::remove_file(&copy);
    let made = made.inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })?;
    fs::rename(&unfinished, file).map_err(doing(format!("naming {}", file.display())))?;
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|d| d.sync_all())
        .map_err(doing(format!("syncing the folder of {}", file.display())))?;
    Ok(made)
}

fn write(state: &Path, out: &Path, copy: &Path) -> Result<Made, BackupError> {
    let doing = |what: &str, path: &Path| {
        let doing = format!("{what} {}", path.display());
        move |source| BackupError::Io { doing, source }
    };
    let no_site = || BackupError::NoSite(state.to_path_buf());
    let site = Bootstrap::find(state, None, false).map_err(|_| no_site())?;
    if site.starts() == 0 {
        return Err(no_site());
    }
    let checked = config::check(site.text(), "status").0;
    let about = About {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        site: checked.as_ref().map(|c| c.site.clone()).unwrap_or_default(),
        made_unix_ms: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as i64),
        config_file: site.file().to_path_buf(),
        media_dir: checked.and_then(|c| c.media_dir(&site.config_dir())),
    };
    // It holds password hashes and keys.
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(out)
        .map_err(doing("creating", out))?;
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 16, file), &about)
        .map_err(doing("writing", out))?;
    let items = site::state_files(state).map_err(doing("reading", state))?;
    let (databases, plain): (Vec<_>, Vec<_>) = items
        .into_iter()
        .partition(|i| site::is_database(&i.file).unwrap_or(false));
    let mut hash = StateHash::default();
    for item in &plain {
        let content = writer
            .add_file(&format!("state/{}", item.name), &item.file)
            .map_err(doing("copying", &item.file))?;
        hash.add(&item.name, &content);
    }
    for item in &databases {
        let content = snapshot::snapshot(&item.file, copy)
            .map_err(io::Error::other)
            .and_then(|()| writer.add_file(&format!("state/{}", item.name), copy))
            .and_then(|_| site::database_hash(copy))
            .map_err(doing("copying", &item.file))?;
        hash.add(&item.name, &content);
        fs::remove_file(copy).map_err(doing("removing", copy))?;
    }
    let name = about.config_file.file_name().unwrap_or_default();
    writer
        .add_bytes(
            &format!("config/{}", name.to_string_lossy()),
            site.text().as_bytes(),
        )
        .map_err(doing("writing", out))?;
    // Media inside the state directory are in the backup already.
    let media = about
        .media_dir
        .as_deref()
        .filter(|m| !m.starts_with(state) && m.is_dir());
    if let Some(media) = media {
        for item in site::files(media).map_err(doing("reading", media))? {
            writer
                .add_file(&format!("media/{}", item.name), &item.file)
                .map_err(doing("copying", &item.file))?;
        }
    }
    let (buffer, manifest) = writer
        .finish(hash.finish())
        .map_err(doing("writing", out))?;
    let file = buffer
        .into_inner()
        .map_err(|e| e.into_error())
        .map_err(doing("writing", out))?;
    file.sync_all().map_err(doing("syncing", out))?;
    Ok(Made {
        bytes: file.metadata().map_or(0, |m| m.len()),
        files: manifest.entries.len(),
        state_hash: manifest.state_hash,
    })
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}
