//! The configuration in force as a service may change it: checked like a file, stored before it is told, with
//! every version kept.

use crate::bootstrap::{Bootstrap, digest};
use crate::exit::Failure;
use leitstand_kit::store::{Store, StoreError};
use leitstand_kit::{Clock, Context, Exit};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SCHEMA: &[&str] = &["CREATE TABLE gateway_configurations (
    number INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, text TEXT NOT NULL, unix_ms INTEGER NOT NULL,
    actor TEXT, reason TEXT
) STRICT;"];

/// The gateway's runtime information and the versions of its configuration.
pub(crate) struct RuntimeConfig {
    bootstrap: Mutex<Bootstrap>,
    store: Store,
    clock: Clock,
}

impl RuntimeConfig {
    /// Takes charge of what the gateway started with, which becomes a version if it is not one yet.
    ///
    /// # Errors
    /// Exit 3 when the database refuses its table.
    pub(crate) fn new(bootstrap: Bootstrap, cx: &Context) -> Result<Arc<Self>, Failure> {
        let this = Self {
            bootstrap: Mutex::new(bootstrap),
            store: cx.store.clone(),
            clock: cx.clock.clone(),
        };
        let refused = |e: StoreError| {
            let doing = "keeping the versions of the configuration";
            Failure::because(Exit::RuntimeInformation, doing, &e)
        };
        this.store.migrate("gateway", SCHEMA).map_err(refused)?;
        let (number, text) = {
            let bootstrap = this.bootstrap();
            (bootstrap.number(), bootstrap.text().to_owned())
        };
        this.remember(number, &text, None).map_err(refused)?;
        Ok(Arc::new(this))
    }

    /// The gateway stopped as it was told to.
    ///
    /// # Errors
    /// As [`Bootstrap::end`].
    pub(crate) fn end(&self) -> Result<(), Failure> {
        self.bootstrap().end()
    }

    fn bootstrap(&self) -> MutexGuard<'_, Bootstrap> {
        self.bootstrap
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that was used for another text, in a state directory put together by hand, is overwritten: what
    /// runs is the truth.
    fn remember(
        &self,
        number: u64,
        text: &str,
        why: Option<(&str, &str)>,
    ) -> Result<(), StoreError> {
        let (number, text, sha256) = (signed(number), text.to_owned(), digest(text.as_bytes()));
        let unix_ms = self.clock.wall().unix_ms;
        let why = why.map(|(by, reason)| (by.to_owned(), reason.to_owned()));
        let (by, reason) = why.unzip();
        self.store.execute_blocking(move |db| {
            db.execute(
                "INSERT INTO gateway_configurations VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (number) DO UPDATE SET sha256 = excluded.sha256, text = excluded.text,
                 unix_ms = excluded.unix_ms, actor = excluded.actor, reason = excluded.reason
                 WHERE sha256 <> excluded.sha256",
                (number, sha256, text, unix_ms, by, reason),
            )
            .map(drop)
        })
    }
}

/// SQLite counts in signed numbers; nobody changes a configuration that often.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(feature = "gas")]
mod edit;
