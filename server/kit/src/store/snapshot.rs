//! Copies of a database that is in use, and a digest that two equal databases share.

use super::StoreError;
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use sha2::{Digest as _, Sha256};
use std::{path::Path, time::Duration};

/// Writes the content of the database `from`, as of one instant, to the new file `into`. Writers go on meanwhile;
/// the file is compact and needs no side files.
///
/// # Errors
/// `from` cannot be read, or `into` exists or cannot be written.
pub fn snapshot(from: &Path, into: &Path) -> Result<(), StoreError> {
    let db = read_only(from)?;
    let target = into
        .to_str()
        .ok_or_else(|| StoreError::Sqlite(rusqlite::Error::InvalidPath(into.to_path_buf())))?;
    db.execute("VACUUM INTO ?1", [target])?;
    Ok(())
}

/// SHA-256 over schema and rows. Free pages, the order of pages and counters of the file format do not count, so
/// a database and its [`snapshot`] have the same one.
///
/// # Errors
/// The database cannot be read.
pub fn digest(path: &Path) -> Result<[u8; 32], StoreError> {
    let db = read_only(path)?;
    // One instant for all tables.
    db.execute_batch("BEGIN")?;
    let mut hash = Sha256::new();
    let mut tables = Vec::new();
    let mut schema = db.prepare(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name",
    )?;
    let mut rows = schema.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
        for column in 0..3 {
            add(&mut hash, row.get_ref(column)?);
        }
        if kind == "table" {
            tables.push(name);
        }
    }
    for table in tables {
        add(&mut hash, ValueRef::Text(table.as_bytes()));
        rows_of(&db, &table, &mut hash)?;
    }
    Ok(hash.finalize().into())
}

fn rows_of(db: &Connection, table: &str, hash: &mut Sha256) -> Result<(), rusqlite::Error> {
    let name = table.replace('"', "\"\"");
    let columns = db
        .prepare(&format!("SELECT * FROM \"{name}\" LIMIT 0"))?
        .column_count();
    // By content: a table need not have a row id, and row ids without a name may change in a copy.
    let order: Vec<_> = (1..=columns).map(|c| c.to_string()).collect();
    let mut statement = db.prepare(&format!(
        "SELECT * FROM \"{name}\" ORDER BY {}",
        order.join(", ")
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            add(hash, row.get_ref(column)?);
        }
    }
    Ok(())
}

/// Kind, length and bytes, so that no two different rows give the same stream.
fn add(hash: &mut Sha256, value: ValueRef<'_>) {
    let (kind, bytes): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(i) => (1, &i.to_le_bytes()),
        ValueRef::Real(r) => (2, &r.to_bits().to_le_bytes()),
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(blob) => (4, blob),
    };
    hash.update([kind]);
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn read_only(path: &Path) -> Result<Connection, rusqlite::Error> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    db.busy_timeout(Duration::from_secs(10))?;
    Ok(db)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn database(path: &Path) -> Connection {
        let db = Connection::open(path).unwrap();
        db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
            .unwrap();
        db.execute_batch(
            "CREATE TABLE a (x INTEGER, y TEXT, z BLOB); CREATE TABLE \"b \"\"q\" (k TEXT PRIMARY KEY) WITHOUT ROWID;
             INSERT INTO a VALUES (1, 'one', x'00ff'), (2, NULL, NULL); INSERT INTO \"b \"\"q\" VALUES ('k');",
        )
        .unwrap();
        db
    }

    #[test]
    fn a_copy_is_taken_beside_a_writer_and_has_the_same_digest() {
        let dir = tempfile::tempdir().unwrap();
        let (file, copy) = (dir.path().join("a.db"), dir.path().join("copy.db"));
        let writer = database(&file);
        writer
            .execute_batch("BEGIN IMMEDIATE; INSERT INTO a VALUES (3, 'not yet', NULL)")
            .unwrap();
        snapshot(&file, &copy).unwrap();
        assert_eq!(digest(&file).unwrap(), digest(&copy).unwrap());
        writer.execute_batch("COMMIT").unwrap();
        assert_ne!(digest(&file).unwrap(), digest(&copy).unwrap());
    }

    #[test]
    fn the_digest_sees_a_changed_cell_and_not_a_moved_page() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.db");
        let db = database(&file);
        let before = digest(&file).unwrap();
        db.execute_batch("INSERT INTO a VALUES (9, 'x', NULL); DELETE FROM a WHERE x = 9; VACUUM")
            .unwrap();
        assert_eq!(digest(&file).unwrap(), before);
        // The number 1 and the text '1' are different cells.
        db.execute_batch("UPDATE a SET y = 1 WHERE x = 1").unwrap();
        let text = digest(&file).unwrap();
        db.execute_batch("UPDATE a SET y = 'two' WHERE x = 1")
            .unwrap();
        assert!(before != text && text != digest(&file).unwrap());
    }

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (file, copy) = (dir.path().join("a.db"), dir.path().join("copy.db"));
        drop(database(&file));
        std::fs::write(&copy, "precious").unwrap();
        assert!(snapshot(&file, &copy).is_err());
        assert_eq!(std::fs::read(&copy).unwrap(), b"precious");
    }
}
