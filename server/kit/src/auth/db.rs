//! The tables of users, tokens and sessions. All functions run on the thread of their connection.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{Caller, Role, TokenInfo, UserInfo, Via, lease::Known, secret::Hash};

pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE access_users (
        name TEXT PRIMARY KEY, role TEXT NOT NULL, password TEXT NOT NULL, created_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE access_tokens (
        name TEXT PRIMARY KEY, role TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, created_ms INTEGER NOT NULL,
        expires_ms INTEGER
    ) STRICT;
    -- A session belongs to a user or to a token and ends with it.
    CREATE TABLE access_sessions (
        hash BLOB PRIMARY KEY, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
        user TEXT REFERENCES access_users(name) ON DELETE CASCADE,
        token TEXT REFERENCES access_tokens(name) ON DELETE CASCADE
    ) STRICT;", "
    ALTER TABLE access_tokens ADD COLUMN last_used_ms INTEGER;"];

/// Sessions kept. Reasoning: every screen and phone of a site; beyond it the oldest ends.
const SESSIONS_MAX: u32 = 1000;

type Result<T> = std::result::Result<T, rusqlite::Error>;

/// Whose session it is.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    User(String),
    Token(String),
}

fn role(row: &Row<'_>, index: usize) -> Result<Role> {
    // An edited database must not make anybody more than a viewer.
    Ok(row.get::<_, String>(index)?.parse().unwrap_or(Role::Viewer))
}

pub(super) fn users(db: &Connection) -> Result<Vec<UserInfo>> {
    db.prepare_cached("SELECT name, role, created_ms FROM access_users ORDER BY name")?
        .query_map([], |row| {
            Ok(UserInfo {
                name: row.get(0)?,
                role: role(row, 1)?,
                created_unix_ms: row.get(2)?,
            })
        })?
        .collect()
}

pub(super) fn has_users(db: &Connection) -> Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM access_users)", [], |row| {
        row.get(0)
    })
}

/// The password's PHC string and the role.
pub(super) fn user(db: &Connection, name: &str) -> Result<Option<(String, Role)>> {
    db.prepare_cached("SELECT password, role FROM access_users WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get(0)?, role(row, 1)?)))
        .optional()
}

/// False when the name is taken.
pub(super) fn add_user(
    db: &Connection,
    name: &str,
    role: Role,
    phc: &str,
    now_ms: i64,
) -> Result<bool> {
    let sql = "INSERT INTO access_users VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    Ok(db.execute(sql, (name, role.name(), phc, now_ms))? > 0)
}

/// The first user of all, or false.
pub(super) fn claim(db: &mut Connection, name: &str, phc: &str, now_ms: i64) -> Result<bool> {
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let first = !has_users(&tx)? && add_user(&tx, name, Role::Admin, phc, now_ms)?;
    tx.commit()?;
    Ok(first)
}

/// What became of a change that could leave nobody in charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Done,
    Missing,
    LastAdmin,
}

/// Changes role and password and ends the user's sessions.
pub(super) fn change_user(
    db: &mut Connection,
    name: &str,
    role: Role,
    phc: Option<&str>,
) -> Result<Change> {
    change(db, name, role != Role::Admin, |tx| {
        tx.execute("DELETE FROM access_sessions WHERE user = ?1", [name])?;
        let sql =
            "UPDATE access_users SET role = ?2, password = coalesce(?3, password) WHERE name = ?1";
        tx.execute(sql, (name, role.name(), phc))
    })
}

pub(super) fn remove_user(db: &mut Connection, name: &str) -> Result<Change> {
    change(db, name, true, |tx| {
        tx.execute("DELETE FROM access_users WHERE name = ?1", [name])
    })
}

fn change(
    db: &mut Connection,
    name: &str,
    takes_admin: bool,
    act: impl FnOnce(&Connection) -> Result<usize>,
) -> Result<Change> {
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let Some((_, present)) = user(&tx, name)? else {
        return Ok(Change::Missing);
    };
    let sql = "SELECT count(*) FROM access_users WHERE role = 'admin'";
    if takes_admin
        && present == Role::Admin
        && tx.query_row(sql, [], |row| row.get::<_, i64>(0))? <= 1
    {
        return Ok(Change::LastAdmin);
    }
    act(&tx)?;
    tx.commit()?;
    Ok(Change::Done)
}

pub(super) fn tokens(db: &Connection) -> Result<Vec<TokenInfo>> {
    let sql =
        "SELECT name, role, created_ms, expires_ms, last_used_ms FROM access_tokens ORDER BY name";
    db.prepare_cached(sql)?
        .query_map([], |row| {
            Ok(TokenInfo {
                name: row.get(0)?,
                role: role(row, 1)?,
                created_unix_ms: row.get(2)?,
                expires_unix_ms: row.get(3)?,
                last_used_unix_ms: row.get(4)?,
            })
        })?
        .collect()
}

/// False when the name is taken.
pub(super) fn add_token(db: &Connection, info: &TokenInfo, hash: &Hash) -> Result<bool> {
    let sql = "INSERT INTO access_tokens VALUES (?1, ?2, ?3, ?4, ?5, NULL) ON CONFLICT DO NOTHING";
    let values = (
        &info.name,
        info.role.name(),
        hash,
        info.created_unix_ms,
        info.expires_unix_ms,
    );
    Ok(db.execute(sql, values)? > 0)
}

/// Its sessions end with it. False when there is none.
pub(super) fn remove_token(db: &Connection, name: &str) -> Result<bool> {
    Ok(db.execute("DELETE FROM access_tokens WHERE name = ?1", [name])? > 0)
}

/// Says when a token was last used; never back in time.
pub(super) fn note_use(db: &Connection, name: &str, now_ms: i64) -> Result<()> {
    let sql = "UPDATE access_tokens SET last_used_ms = max(coalesce(last_used_ms, ?2), ?2) WHERE name = ?1";
    db.execute(sql, (name, now_ms))?;
    Ok(())
}

pub(super) fn by_token(db: &Connection, hash: &Hash, now_ms: i64) -> Result<Option<Known>> {
    let sql = "SELECT name, role, expires_ms, name, last_used_ms FROM access_tokens
        WHERE hash = ?1 AND (expires_ms IS NULL OR expires_ms > ?2)";
    db.prepare_cached(sql)?
        .query_row((hash, now_ms), |row| known(row, Via::Token))
        .optional()
}

/// Name, role, end, token, last use.
fn known(row: &Row<'_>, via: Via) -> Result<Known> {
    Ok(Known {
        caller: Caller {
            name: row.get(0)?,
            role: role(row, 1)?,
            via,
        },
        ends_ms: row.get(2)?,
        token: row.get(3)?,
        last_used_ms: row.get(4)?,
    })
}

pub(super) fn add_session(
    db: &Connection,
    hash: &Hash,
    owner: &Owner,
    now_ms: i64,
    expires_ms: i64,
) -> Result<()> {
    db.execute(
        "DELETE FROM access_sessions WHERE expires_ms <= ?1",
        [now_ms],
    )?;
    db.execute(
        "DELETE FROM access_sessions WHERE hash IN
         (SELECT hash FROM access_sessions ORDER BY created_ms DESC LIMIT -1 OFFSET ?1)",
        [SESSIONS_MAX - 1],
    )?;
    let (user, token) = match owner {
        Owner::User(name) => (Some(name), None),
        Owner::Token(name) => (None, Some(name)),
    };
    db.execute(
        "INSERT INTO access_sessions VALUES (?1, ?2, ?3, ?4, ?5)",
        (hash, now_ms, expires_ms, user, token),
    )?;
    Ok(())
}

pub(super) fn remove_session(db: &Connection, hash: &Hash) -> Result<()> {
    db.execute("DELETE FROM access_sessions WHERE hash = ?1", [hash])?;
    Ok(())
}

/// The role is that of the user or token *now*.
pub(super) fn by_session(db: &Connection, hash: &Hash, now_ms: i64) -> Result<Option<Known>> {
    let sql = "SELECT coalesce(u.name, t.name), coalesce(u.role, t.role),
            min(s.expires_ms, coalesce(t.expires_ms, s.expires_ms)), t.name, t.last_used_ms
        FROM access_sessions s
        LEFT JOIN access_users u ON u.name = s.user LEFT JOIN access_tokens t ON t.name = s.token
        WHERE s.hash = ?1 AND s.expires_ms > ?2 AND (t.expires_ms IS NULL OR t.expires_ms > ?2)
        AND coalesce(u.name, t.name) IS NOT NULL";
    db.prepare_cached(sql)?
        .query_row((hash, now_ms), |row| known(row, Via::Session))
        .optional()
}
