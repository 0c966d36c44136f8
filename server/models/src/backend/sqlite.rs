//! Models in one SQLite file. A file made by AIMM opens unchanged: its table `models` stays as it is, what is
//! ours stands in tables of our own.
//!
//! | Table | Columns |
//! |---|---|
//! | `models` | `id`, `type`, `instance` (observed in files of AIMM) |
//! | `versions` | `model_id`, `version`, `created_at`, `created_by`, `sha256`, `instance`, `metrics_json` |
//! | `aliases` | `alias`, `model_id` |

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{BackendError, Version};
use crate::engine::{Store, Stored};

/// Versions kept of a model. Reasoning: enough to go back a week of daily training twice; a version is as
/// large as the model.
pub const VERSIONS_MAX: u32 = 20;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS models (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, instance BLOB);
    CREATE TABLE IF NOT EXISTS versions (
        model_id INTEGER NOT NULL, version INTEGER NOT NULL, created_at TEXT NOT NULL, created_by TEXT NOT NULL,
        sha256 TEXT NOT NULL, instance BLOB NOT NULL, metrics_json TEXT, PRIMARY KEY (model_id, version));
    CREATE TABLE IF NOT EXISTS aliases (alias TEXT PRIMARY KEY, model_id INTEGER NOT NULL);
    PRAGMA user_version = 1;";

/// An open file.
pub struct Database(Mutex<Connection>);

impl Database {
    /// Opens or makes the file, with the folders above it.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn open(path: &Path) -> Result<Self, BackendError> {
        if let Some(folder) = path.parent() {
            let failed = |source| BackendError::Folder {
                path: folder.to_owned(),
                source,
            };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.execute_batch(SCHEMA)?;
        Ok(Self(Mutex::new(db)))
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn load(&self) -> Result<Vec<Stored>, BackendError> {
        let db = self.db();
        let mut rows =
            db.prepare("SELECT id, type, instance FROM models WHERE id > 0 ORDER BY id")?;
        let models = rows.query_map([], |row| {
            let bytes: Option<Vec<u8>> = row.get(2)?;
            let id: i64 = row.get(0)?;
            Ok(Stored {
                id: id.unsigned_abs(),
                model_type: row.get(1)?,
                bytes: bytes.unwrap_or_default().into(),
            })
        })?;
        Ok(models.collect::<Result<_, _>>()?)
    }

    /// Model and version in one transaction: a power cut leaves both or neither.
    pub(super) fn apply(&self, store: &Store, unix_ms: i64) -> Result<u64, BackendError> {
        let mut db = self.db();
        let tx = db.transaction()?;
        let id = match store {
            Store::Create {
                model_type,
                bytes,
                user,
            } => {
                tx.execute(
                    "INSERT INTO models (type, instance) VALUES (?1, ?2)",
                    params![model_type, &**bytes],
                )?;
                let id = tx.last_insert_rowid().unsigned_abs();
                add_version(&tx, id, bytes, user, unix_ms)?;
                id
            }
            Store::Update {
                id, bytes, user, ..
            } => {
                // The first change of a model that AIMM made keeps what it was.
                let before: Option<Option<Vec<u8>>> = tx
                    .query_row(
                        "SELECT instance FROM models WHERE id = ?1",
                        [sql(*id)],
                        |row| row.get(0),
                    )
                    .optional()?;
                let before = before
                    .ok_or(BackendError::Missing(*id))?
                    .unwrap_or_default();
                let count: i64 = tx.query_row(
                    "SELECT count(*) FROM versions WHERE model_id = ?1",
                    [sql(*id)],
                    |row| row.get(0),
                )?;
                if count == 0 {
                    add_version(&tx, *id, &before, "", unix_ms)?;
                }
                tx.execute(
                    "UPDATE models SET instance = ?2 WHERE id = ?1",
                    params![sql(*id), &**bytes],
                )?;
                add_version(&tx, *id, bytes, user, unix_ms)?;
                *id
            }
            Store::Remove { id } => {
                tx.execute("DELETE FROM models WHERE id = ?1", [sql(*id)])?;
                tx.execute("DELETE FROM versions WHERE model_id = ?1", [sql(*id)])?;
                tx.execute("DELETE FROM aliases WHERE model_id = ?1", [sql(*id)])?;
                *id
            }
        };
        tx.commit()?;
        Ok(id)
    }

    pub(super) fn versions(&self, id: u64) -> Result<Vec<Version>, BackendError> {
        let db = self.db();
        let mut rows = db.prepare(
            "SELECT version, created_at, created_by, sha256, length(instance) FROM versions
             WHERE model_id = ?1 ORDER BY version DESC",
        )?;
        let versions = rows.query_map([sql(id)], |row| {
            Ok(Version {
                version: row.get::<_, i64>(0)?.cast_unsigned(),
                created_at: row.get(1)?,
                created_by: row.get(2)?,
                sha256: row.get(3)?,
                bytes: row.get::<_, i64>(4)?.cast_unsigned(),
            })
        })?;
        Ok(versions.collect::<Result<_, _>>()?)
    }

    pub(super) fn version(&self, id: u64, version: u64) -> Result<Option<Arc<[u8]>>, BackendError> {
        let query = "SELECT instance FROM versions WHERE model_id = ?1 AND version = ?2";
        let bytes = self
            .db()
            .query_row(query, [sql(id), sql(version)], |row| {
                row.get::<_, Vec<u8>>(0)
            })
            .optional()?;
        Ok(bytes.map(Into::into))
    }

    pub(super) fn aliases(&self) -> Result<Vec<(String, u64)>, BackendError> {
        let db = self.db();
        let mut rows = db.prepare("SELECT alias, model_id FROM aliases ORDER BY alias")?;
        let aliases = rows.query_map([], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
        })?;
        Ok(aliases.collect::<Result<_, _>>()?)
    }

    pub(super) fn set_alias(&self, alias: &str, id: Option<u64>) -> Result<(), BackendError> {
        let db = self.db();
        match id {
            Some(id) => db.execute(
                "INSERT OR REPLACE INTO aliases VALUES (?1, ?2)",
                params![alias, sql(id)],
            )?,
            None => db.execute("DELETE FROM aliases WHERE alias = ?1", [alias])?,
        };
        Ok(())
    }
}

/// SQLite counts in 64 bits with a sign.
fn sql(number: u64) -> i64 {
    number.cast_signed()
}

fn add_version(
    db: &Connection,
    id: u64,
    bytes: &[u8],
    user: &str,
    unix_ms: i64,
) -> rusqlite::Result<()> {
    let sha256 = leitstand_kit::words::hex(&Sha256::digest(bytes));
    db.execute(
        "INSERT INTO versions (model_id, version, created_at, created_by, sha256, instance)
         VALUES (?1, (SELECT coalesce(max(version), 0) + 1 FROM versions WHERE model_id = ?1), ?2, ?3, ?4, ?5)",
        params![sql(id), crate::stamp::rfc3339(unix_ms), user, sha256, bytes],
    )?;
    db.execute(
        "DELETE FROM versions WHERE model_id = ?1
         AND version <= (SELECT max(version) FROM versions WHERE model_id = ?1) - ?2",
        params![sql(id), VERSIONS_MAX],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn update(id: u64, bytes: &[u8]) -> Store {
        Store::Update {
            id,
            model_type: "t".into(),
            bytes: bytes.into(),
            user: "u".into(),
        }
    }

    /// Case B2: the statement is the one found in files of AIMM.
    #[test]
    fn golden_b2_a_file_of_the_original_opens_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/aimm.db");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pickle = b"\x80\x04K\x01.";
        {
            let db = Connection::open(&path).unwrap();
            db.execute_batch(
                "CREATE TABLE models (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, instance BLOB)",
            )
            .unwrap();
            db.execute(
                "INSERT INTO models (type, instance) VALUES ('plug.M', ?1)",
                [pickle],
            )
            .unwrap();
        }
        let db = Database::open(&path).unwrap();
        let models = db.load().unwrap();
        assert_eq!(
            (
                models[0].id,
                models[0].model_type.as_str(),
                &*models[0].bytes
            ),
            (1, "plug.M", pickle.as_slice())
        );
        db.apply(&update(1, b"new"), 0).unwrap();
        assert_eq!(
            &*db.version(1, 1).unwrap().unwrap(),
            pickle,
            "what AIMM stored is the first version"
        );
        assert_eq!(&*db.version(1, 2).unwrap().unwrap(), b"new");
    }

    #[test]
    fn versions_tell_what_when_and_who_and_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&dir.path().join("m.db")).unwrap();
        let create = Store::Create {
            model_type: "t".into(),
            bytes: b"abc".as_slice().into(),
            user: "ann".into(),
        };
        assert_eq!(db.apply(&create, 0).unwrap(), 1);
        let first = db.versions(1).unwrap().remove(0);
        assert_eq!(
            (first.created_by.as_str(), first.created_at.as_str()),
            ("ann", "1970-01-01T00:00:00.000Z")
        );
        assert_eq!(
            first.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        for _ in 0..30 {
            db.apply(&update(1, b"x"), 0).unwrap();
        }
        let versions = db.versions(1).unwrap();
        assert_eq!(
            (versions.len(), versions[0].version),
            (VERSIONS_MAX as usize, 31)
        );
        db.set_alias("champion", Some(1)).unwrap();
        assert_eq!(db.aliases().unwrap(), [("champion".to_owned(), 1)]);
        db.apply(&Store::Remove { id: 1 }, 0).unwrap();
        assert!(
            db.load().unwrap().is_empty()
                && db.versions(1).unwrap().is_empty()
                && db.aliases().unwrap().is_empty()
        );
        assert_eq!(
            db.apply(&create, 0).unwrap(),
            2,
            "a number is never used twice"
        );
    }

    #[test]
    fn golden_b4_an_update_of_an_unknown_id_stores_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&dir.path().join("m.db")).unwrap();
        assert!(matches!(
            db.apply(&update(5, b"x"), 0),
            Err(BackendError::Missing(5))
        ));
        assert!(db.load().unwrap().is_empty() && db.versions(5).unwrap().is_empty());
    }
}
