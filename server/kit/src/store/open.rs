//! Opening a database file that may be missing, damaged or not a database at all.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Broken files kept beside the database. Reasoning: enough to compare, few enough for a small card.
const BAD_FILES_MAX: u32 = 5;

pub(super) struct Opened {
    pub(super) connection: Connection,
    /// `None`: in memory.
    pub(super) path: Option<PathBuf>,
    /// What went wrong on the way.
    pub(super) trouble: Option<String>,
}

/// Opens `path`; sets a damaged file aside and makes a new one; falls back to memory.
pub(super) fn open(path: &Path) -> Opened {
    let file = |connection, trouble| Opened {
        connection,
        path: Some(path.to_owned()),
        trouble,
    };
    let first = match open_checked(path) {
        Ok(connection) => return file(connection, None),
        Err(error) => error,
    };
    let name = path.display();
    let second = if is_corruption(&first) {
        match set_aside(path) {
            Ok(bad) => match open_checked(path) {
                Ok(connection) => {
                    let trouble = format!(
                        "{name} was damaged ({first}); kept as {}, started with an empty one",
                        bad.display()
                    );
                    return file(connection, Some(trouble));
                }
                Err(error) => error.to_string(),
            },
            Err(error) => format!("setting it aside: {error}"),
        }
    } else {
        "not a damage that a new file would cure".into()
    };
    Opened {
        connection: in_memory(),
        path: None,
        trouble: Some(format!(
            "{name} cannot be opened ({first}; {second}); events and access data are in memory only"
        )),
    }
}

/// A read-only connection for the pool.
pub(super) fn reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(Duration::from_secs(2))?;
    Ok(connection)
}

pub(super) fn is_corruption(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Leaves a mark beside the database: the next start checks every page of it.
pub(super) fn suspect(path: &Path) {
    let _ = fs::write(with_suffix(path, ".suspect"), b"");
}

fn open_checked(path: &Path) -> Result<Connection, rusqlite::Error> {
    // It holds password hashes: for its owner only. SQLite gives its side files the same mode. What goes wrong here,
    // SQLite reports better.
    let _ = fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path);
    let connection = Connection::open(path)?;
    // Reasoning: another process (`leitstand token new`) writes for milliseconds.
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Cheap at every start: the header and the schema page. All pages only after a damage was met.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let mark = with_suffix(path, ".suspect");
    if mark.exists() {
        let verdict: String =
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                Some(verdict),
            ));
        }
        let _ = fs::remove_file(mark);
    }
    Ok(connection)
}

fn in_memory() -> Connection {
    #[expect(clippy::expect_used, reason = "only fails when the allocator does")]
    Connection::open_in_memory().expect("a database in memory")
}

/// Renames the database and its side files to the first free `*.bad`, `*.bad.1` ...; the last is overwritten.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let candidates = (0..BAD_FILES_MAX).map(|n| match n {
        0 => ".bad".to_owned(),
        n => format!(".bad.{n}"),
    });
    let mut bad = PathBuf::new();
    for suffix in candidates {
        bad = with_suffix(path, &suffix);
        if !bad.exists() {
            break;
        }
    }
    fs::rename(path, &bad)?;
    for side in ["-wal", "-shm"] {
        let from = with_suffix(path, side);
        if from.exists() {
            fs::rename(&from, with_suffix(&bad, side))?;
        }
    }
    let _ = fs::remove_file(with_suffix(path, ".suspect"));
    Ok(bad)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
