//! The journal's tables: append, prune, select. All functions run on the thread of their connection.

use crate::words::hex;
use rusqlite::{Connection, Row, TransactionBehavior, types::Value as Sql};

use super::{Filter, Severity, Stored, chain};

pub(super) const COLUMNS: &str =
    "seq, boot, mono_ms, unix_ms, synced, service, kind, severity, text, actor, data, hash";

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS journal (
        seq INTEGER PRIMARY KEY, boot TEXT NOT NULL, mono_ms INTEGER NOT NULL, unix_ms INTEGER NOT NULL,
        synced INTEGER NOT NULL, service TEXT NOT NULL, kind TEXT NOT NULL, severity INTEGER NOT NULL,
        text TEXT NOT NULL, actor TEXT, data TEXT NOT NULL, hash BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS journal_marks (
        name TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL
    ) STRICT;";

/// An entry without its place in the chain: `seq` and `hash` are set when it is appended.
pub(super) struct Draft {
    pub(super) entry: Stored,
    /// The JSON text of `entry.data`, as stored and hashed.
    pub(super) data: String,
}

/// A place in the chain.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) seq: u64,
    pub(super) hash: chain::Hash,
}

pub(super) const ORIGIN: Mark = Mark {
    seq: 0,
    hash: chain::ORIGIN,
};

/// Puts `draft` behind `head` and moves `head` on.
pub(super) fn link(head: &mut Mark, draft: &mut Draft) {
    draft.entry.seq = head.seq + 1;
    head.hash = chain::hash(&head.hash, &draft.entry, &draft.data);
    head.seq += 1;
    draft.entry.hash = hex(&head.hash);
}

pub(super) fn prepare(db: &Connection) -> Result<Mark, rusqlite::Error> {
    db.execute_batch(SCHEMA)?;
    mark(db, "head")
}

/// Commits all drafts in one transaction and prunes what is beyond `retain`. The head is read anew each time, because
/// another process (`leitstand token new`) may have written.
pub(super) fn append(
    db: &mut Connection,
    drafts: &mut [Draft],
    retain: u64,
) -> Result<Mark, rusqlite::Error> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut head = prepare(&tx)?;
    {
        let mut insert = tx.prepare_cached(
            "INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        for draft in drafts.iter_mut() {
            link(&mut head, draft);
            let entry = &draft.entry;
            insert.execute(rusqlite::params![
                entry.seq as i64,
                entry.boot,
                entry.mono_ms as i64,
                entry.unix_ms,
                entry.synced,
                entry.service,
                entry.kind,
                entry.severity as i64,
                entry.text,
                entry.actor,
                draft.data,
                head.hash,
            ])?;
        }
    }
    set_mark(&tx, "head", head)?;
    prune(&tx, head, retain)?;
    tx.commit()?;
    Ok(head)
}

fn prune(db: &Connection, head: Mark, retain: u64) -> Result<(), rusqlite::Error> {
    let cut = head.seq.saturating_sub(retain);
    if cut <= mark(db, "anchor")?.seq {
        return Ok(());
    }
    let hash = db.query_row(
        "SELECT hash FROM journal WHERE seq = ?1",
        [cut as i64],
        |row| row.get(0),
    )?;
    set_mark(db, "anchor", Mark { seq: cut, hash })?;
    db.execute("DELETE FROM journal WHERE seq <= ?1", [cut as i64])?;
    Ok(())
}

/// The mark `name`, or the origin in an empty journal.
pub(super) fn mark(db: &Connection, name: &str) -> Result<Mark, rusqlite::Error> {
    let found = db.query_row(
        "SELECT seq, hash FROM journal_marks WHERE name = ?1",
        [name],
        |row| {
            let seq = row.get::<_, i64>(0)? as u64;
            Ok(Mark {
                seq,
                hash: row.get(1)?,
            })
        },
    );
    match found {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(ORIGIN),
        other => other,
    }
}

fn set_mark(db: &Connection, name: &str, mark: Mark) -> Result<(), rusqlite::Error> {
    db.prepare_cached("INSERT OR REPLACE INTO journal_marks VALUES (?1, ?2, ?3)")?
        .execute(rusqlite::params![name, mark.seq as i64, mark.hash])?;
    Ok(())
}

/// Up to `limit` entries that pass, in the order asked for.
pub(super) fn select(
    db: &Connection,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Stored>, rusqlite::Error> {
    let mut sql = format!("SELECT {COLUMNS} FROM journal WHERE 1");
    let mut values: Vec<Sql> = Vec::new();
    let mut also = |condition: &str, value: Sql| {
        values.push(value);
        sql.push_str(&format!(" AND {condition} ?{}", values.len()));
    };
    if let Some(service) = &filter.service {
        also("service =", service.clone().into());
    }
    if let Some(severity) = filter.severity {
        also("severity >=", (severity as i64).into());
    }
    if let Some(kind) = &filter.kind {
        also("kind =", kind.clone().into());
    }
    if let Some(since) = filter.since {
        also("seq >", i64::try_from(since).unwrap_or(i64::MAX).into());
    }
    if let Some(until) = filter.until {
        also("seq <=", i64::try_from(until).unwrap_or(i64::MAX).into());
    }
    if let Some(text) = &filter.text {
        let escaped = text
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        also("text LIKE", format!("%{escaped}%").into());
        sql.push_str(" ESCAPE '\\'");
    }
    sql.push_str(if filter.oldest_first {
        " ORDER BY seq"
    } else {
        " ORDER BY seq DESC"
    });
    sql.push_str(&format!(" LIMIT {limit}"));
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| Ok(read(row)?.0))?;
    rows.collect()
}

/// A row of [`COLUMNS`] and the text of its data.
pub(super) fn read(row: &Row<'_>) -> Result<(Stored, String), rusqlite::Error> {
    let data: String = row.get(10)?;
    let entry = Stored {
        seq: row.get::<_, i64>(0)? as u64,
        boot: row.get(1)?,
        mono_ms: row.get::<_, i64>(2)? as u64,
        unix_ms: row.get(3)?,
        synced: row.get(4)?,
        service: row.get(5)?,
        kind: row.get(6)?,
        severity: match row.get::<_, i64>(7)? {
            0 => Severity::Info,
            1 => Severity::Warning,
            2 => Severity::Fault,
            _ => Severity::Alarm,
        },
        text: row.get(8)?,
        actor: row.get(9)?,
        // An edited row may hold anything; `verify` finds it, reading goes on.
        data: serde_json::from_str(&data).unwrap_or_default(),
        hash: hex(&row.get::<_, Vec<u8>>(11)?),
    };
    Ok((entry, data))
}
