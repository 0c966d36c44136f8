//! What is on disk: containers under way (written before anything is started) and access tokens (digests only).

use leitstand_kit::{Store, store::StoreError};
use rusqlite::OptionalExtension as _;

use crate::{
    admission::Owner,
    id::{ContainerId, SecretHash, new_access_token},
};

/// Migration steps; only ever appended.
const STEPS: &[&str] = &["
    CREATE TABLE containers_running (
        uuid TEXT PRIMARY KEY, state TEXT NOT NULL, backend TEXT NOT NULL, profile TEXT NOT NULL, owner INTEGER,
        token TEXT NOT NULL, port INTEGER NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE containers_tokens (
        id INTEGER PRIMARY KEY AUTOINCREMENT, created_s INTEGER NOT NULL, hash TEXT NOT NULL UNIQUE,
        enabled INTEGER NOT NULL
    ) STRICT;
"];

/// A container as journaled.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub id: ContainerId,
    /// `starting`, `running`, `stopping`.
    pub state: String,
    /// Kind of its backend.
    pub backend: String,
    /// Its profile.
    pub profile: String,
    /// Access token it was made with.
    pub owner: Owner,
    /// Digest of its client token.
    pub token: SecretHash,
    /// Port of its SSH; 0 while there is none.
    pub port: u16,
    /// Wall time.
    pub created_ms: i64,
    /// Wall time.
    pub expires_ms: i64,
}

/// An access token; never its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its number.
    pub id: i64,
    /// Wall time in seconds.
    pub created_s: i64,
    /// Whether it counts.
    pub enabled: bool,
}

/// The tables. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Store);

impl Ledger {
    /// Makes the tables when they are not there. Blocks.
    ///
    /// # Errors
    /// The database refused.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        store.migrate(crate::SERVICE, STEPS)?;
        Ok(Self(store.clone()))
    }

    /// A container is about to be started.
    ///
    /// # Errors
    /// The database refused: nothing may be started then.
    pub async fn begin(&self, row: Row) -> Result<(), StoreError> {
        let sql = "INSERT INTO containers_running VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.0
            .execute(move |db| {
                let values = (
                    row.id.to_string(),
                    row.state,
                    row.backend,
                    row.profile,
                    row.owner,
                    row.token.hex(),
                    row.port,
                    row.created_ms,
                    row.expires_ms,
                );
                db.execute(sql, values).map(drop)
            })
            .await
    }

    /// A container changes its state, its port or its end.
    ///
    /// # Errors
    /// The database refused.
    pub async fn update(
        &self,
        id: ContainerId,
        state: &'static str,
        port: u16,
        expires_ms: i64,
    ) -> Result<(), StoreError> {
        let sql =
            "UPDATE containers_running SET state = ?2, port = ?3, expires_ms = ?4 WHERE uuid = ?1";
        self.0
            .execute(move |db| {
                db.execute(sql, (id.to_string(), state, port, expires_ms))
                    .map(drop)
            })
            .await
    }

    /// Nothing of the container is left.
    ///
    /// # Errors
    /// The database refused.
    pub async fn end(&self, id: ContainerId) -> Result<(), StoreError> {
        self.0
            .execute(move |db| {
                db.execute(
                    "DELETE FROM containers_running WHERE uuid = ?1",
                    [id.to_string()],
                )
                .map(drop)
            })
            .await
    }

    /// Everything that is journaled.
    ///
    /// # Errors
    /// The database refused.
    pub async fn rows(&self) -> Result<Vec<Row>, StoreError> {
        self.0
            .read(|db| {
                let mut query = db.prepare("SELECT uuid, state, backend, profile, owner, token, port, created_ms, expires_ms FROM containers_running")?;
                let rows = query.query_map([], |row| {
                    Ok((
                        row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?,
                        row.get::<_, String>(5)?, row.get(6)?, row.get(7)?, row.get(8)?,
                    ))
                })?;
                let mut all = Vec::new();
                for row in rows {
                    let (id, state, backend, profile, owner, token, port, created_ms, expires_ms) = row?;
                    // A row that does not parse was not written by us; the backend's own list finds its container.
                    if let (Ok(id), Some(token)) = (id.parse(), SecretHash::from_hex(&token)) {
                        all.push(Row { id, state, backend, profile, owner, token, port, created_ms, expires_ms });
                    }
                }
                Ok(all)
            })
            .await
    }

    /// Makes an access token; the secret is only in the answer.
    ///
    /// # Errors
    /// The database refused.
    pub fn new_token(&self, now_s: i64) -> Result<(i64, String), StoreError> {
        let secret = new_access_token();
        let hash = SecretHash::of(&secret).hex();
        let id = self.import_token(now_s, hash, true)?;
        Ok((id, secret))
    }

    /// Takes over a token of which only the digest is known.
    ///
    /// # Errors
    /// The database refused; it may be there already.
    pub fn import_token(
        &self,
        created_s: i64,
        hash: String,
        enabled: bool,
    ) -> Result<i64, StoreError> {
        self.0.execute_blocking(move |db| {
            db.execute(
                "INSERT INTO containers_tokens (created_s, hash, enabled) VALUES (?1, ?2, ?3)",
                (created_s, hash, enabled),
            )?;
            Ok(db.last_insert_rowid())
        })
    }

    /// All access tokens.
    ///
    /// # Errors
    /// The database refused.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.0.read_blocking(|db| {
            let mut query =
                db.prepare("SELECT id, created_s, enabled FROM containers_tokens ORDER BY id")?;
            let rows = query.query_map([], |row| {
                Ok(TokenRow {
                    id: row.get(0)?,
                    created_s: row.get(1)?,
                    enabled: row.get(2)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Switches an access token on or off; false when there is none of this number.
    ///
    /// # Errors
    /// The database refused.
    pub fn enable_token(&self, id: i64, enabled: bool) -> Result<bool, StoreError> {
        self.0.execute_blocking(move |db| {
            Ok(db.execute(
                "UPDATE containers_tokens SET enabled = ?2 WHERE id = ?1",
                (id, enabled),
            )? > 0)
        })
    }

    /// Deletes an access token; false when there is none of this number.
    ///
    /// # Errors
    /// The database refused.
    pub fn delete_token(&self, id: i64) -> Result<bool, StoreError> {
        self.0.execute_blocking(move |db| {
            Ok(db.execute("DELETE FROM containers_tokens WHERE id = ?1", [id])? > 0)
        })
    }

    /// The number of an enabled access token. Looked up by its digest: what the index leaks says nothing of the secret.
    ///
    /// # Errors
    /// The database refused.
    pub async fn token(&self, secret: &str) -> Result<Option<i64>, StoreError> {
        let hash = SecretHash::of(secret).hex();
        self.0
            .read(move |db| {
                db.query_row(
                    "SELECT id FROM containers_tokens WHERE hash = ?1 AND enabled",
                    [hash],
                    |row| row.get(0),
                )
                .optional()
            })
            .await
    }
}
