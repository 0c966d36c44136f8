//! Access that lasts: an event stream or a WebSocket ends when the login it was opened with does.
//!
//! The guard judges a request once, at its beginning. What goes on after that (an endless answer, a socket) holds a
//! [`Lease`]: it ends when the token or session was revoked or expired, its owner removed, or the role changed. The
//! guard itself sees to answers without a known length; who takes over a socket asks for the lease and listens to it.

use std::{pin::Pin, sync::PoisonError, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::OptionalFromRequestParts,
    http::request::Parts,
    response::Response,
};
use futures_util::{StreamExt as _, stream};

use super::{Auth, Caller, db, secret::Hash};

/// How often the database is asked. Reasoning: `leitstand token revoke` runs in another process and tells nobody; a
/// question costs some 20 µs, and hundreds of screens may ask.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How far behind `last_used` may be. Reasoning: it answers "does anybody still use this?", and each write costs a
/// commit.
pub(super) const USE_NOTED_EVERY_MS: i64 = 10 * 60 * 1000;

/// What somebody showed to be let in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    Token(Hash),
    Session(Hash),
}

/// What the database says about it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) caller: Caller,
    /// Never without.
    pub(super) ends_ms: Option<i64>,
    /// The token behind it.
    pub(super) token: Option<String>,
    pub(super) last_used_ms: Option<i64>,
}

/// The login behind a request that goes on.
#[derive(Clone)]
pub struct Lease {
    auth: Auth,
    shown: Shown,
    known: Known,
}

impl Lease {
    pub(super) fn new(auth: Auth, shown: Shown, known: Known) -> Self {
        Self { auth, shown, known }
    }

    /// Returns when the login has ended, within 5 s also when another process ended it. A database that cannot be
    /// read ends nothing.
    ///
    /// # Cancellation Safety
    /// May be dropped and called anew at any time.
    pub async fn ended(&self) {
        let mut changes = self.auth.0.changes.subscribe();
        loop {
            let now_ms = self.auth.now_ms();
            self.auth.note_use(&self.known, now_ms);
            let left_ms = self
                .known
                .ends_ms
                .map_or(i64::MAX, |ends| (ends - now_ms).max(0));
            let left = Duration::from_millis(left_ms.unsigned_abs()).min(LOOK_EVERY);
            let clock = &self.auth.0.cx.clock;
            tokio::select! {
                // The sender lives in `auth`.
                _ = changes.changed() => {}
                () = clock.sleep_until(Some(clock.now() + left)) => {}
            }
            match self.auth.look(self.shown).await {
                Ok(Some(now)) if now.caller.role == self.known.caller.role => {}
                Ok(_) => return,
                Err(error) => tracing::error!(%error, "looking after a login"),
            }
        }
    }
}

impl Auth {
    /// What is known now of what was shown.
    pub(super) async fn look(
        &self,
        shown: Shown,
    ) -> Result<Option<Known>, crate::store::StoreError> {
        let now = self.now_ms();
        self.0
            .cx
            .store
            .read(move |db| match shown {
                Shown::Token(hash) => db::by_token(db, &hash, now),
                Shown::Session(hash) => db::by_session(db, &hash, now),
            })
            .await
    }

    /// Lets every lease look at once.
    pub(super) fn changed(&self) {
        self.0.changes.send_replace(());
    }

    /// Remembers that a token is in use, without making anybody wait.
    pub(super) fn note_use(&self, known: &Known, now_ms: i64) {
        let Some(name) = &known.token else { return };
        {
            let mut noted = self.0.noted.lock().unwrap_or_else(PoisonError::into_inner);
            // Names come from the database, so there are as many as tokens; those that ended go with the next revoke.
            let last = noted.get(name).copied().or(known.last_used_ms);
            if last.is_some_and(|last| (0..USE_NOTED_EVERY_MS).contains(&(now_ms - last))) {
                return;
            }
            noted.insert(name.clone(), now_ms);
        }
        let (store, name) = (self.0.cx.store.clone(), name.clone());
        tokio::spawn(async move {
            if let Err(error) = store
                .execute(move |db| db::note_use(db, &name, now_ms))
                .await
            {
                tracing::warn!(%error, "noting the use of a token");
            }
        });
    }
}

/// Where the caller is trusted for being local there is nothing that could end: then there is no lease.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Lease {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

/// Cuts an answer of unknown length when the login ends. An answer that is cut must not look complete, so it ends
/// with an error and the connection with it; browsers open an event stream anew, and then see the refusal.
pub(super) fn bound(response: Response, lease: Lease) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        let ended: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { lease.ended().await });
        let pieces = stream::unfold(Some((body.into_data_stream(), ended)), next_piece);
        Body::from_stream(pieces)
    })
}

type Cut = (
    axum::body::BodyDataStream,
    Pin<Box<dyn Future<Output = ()> + Send>>,
);

async fn next_piece(state: Option<Cut>) -> Option<(Result<Bytes, axum::Error>, Option<Cut>)> {
    let (mut pieces, mut ended) = state?;
    tokio::select! {
        biased;
        () = &mut ended => {
            let error = std::io::Error::new(std::io::ErrorKind::PermissionDenied, "the login ended");
            Some((Err(axum::Error::new(error)), None))
        }
        piece = pieces.next() => Some((piece?, Some((pieces, ended)))),
    }
}
