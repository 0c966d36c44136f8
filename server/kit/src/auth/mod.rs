//! Who may do what: users, tokens, claim code, sessions, roles.
//!
//! Off loopback nothing is reachable without a login; on a loopback bind a local peer acts as engineer. Passwords are
//! kept as argon2id, tokens and sessions only as SHA-256. Every login, refusal and change of access is in the journal
//! (service `access`); secrets are in no log, no event and no `Debug`.
//!
//! | Module | What |
//! |---|---|
//! | [`access`] | roles as extractors |
//! | `guard` | the middleware around every route: who asks, from where, may they |
//! | `routes`, `manage` | `/login`, `/logout`, `/claim`, `/api/v1/me`; `/api/v1/tokens`, `/api/v1/users` |
//! | [`Lease`] | access that lasts: streams and sockets end with the login they were opened with |
//! | `limit` | tries per address |
//! | `secret`, `db` | random, hashed, stored |

pub mod access;
mod db;
mod guard;
mod lease;
mod limit;
mod manage;
mod routes;
mod secret;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use access::{Caller, Role, Via};
use axum::Router;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::{Context, store::StoreError};
pub(crate) use guard::COOKIE;
pub use lease::Lease;

use db::Owner;
use secret::Secret;

/// Shortest password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Longest password, in characters; more would only make hashing dearer.
pub const PASSWORD_CHARS_MAX: usize = 256;
/// Longest name of a user or token, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// How long a user stays logged in.
pub const USER_SESSION: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a screen stays logged in that came with a token; the token's own expiry ends it earlier.
pub const SCREEN_SESSION: Duration = Duration::from_secs(400 * 24 * 3600);
/// Logins that may wait for the one password hasher (19 MiB each). Reasoning: more than this at once is an attack.
const HASHERS_WAITING_MAX: usize = 8;

/// How access is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether the gateway listens on loopback only.
    pub loopback: bool,
    /// `[api] trust_loopback`: a local peer acts as engineer on a loopback bind.
    pub trust_loopback: bool,
    /// Whether every connection is encrypted: cookies then never travel in the clear, and a page that came in the
    /// clear counts as foreign.
    pub tls: bool,
    /// Paths that the login and claim pages load, besides the fixed open ones. Exact paths.
    pub open_assets: Vec<String>,
}

/// Users, tokens and sessions. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    cx: Context,
    settings: Settings,
    claim: Mutex<Option<Secret>>,
    limiter: limit::Limiter,
    /// One password at a time: memory and processor stay with the gas loop.
    hasher: Semaphore,
    waiting: Semaphore,
    /// Something about access changed in this process: leases look at once.
    changes: watch::Sender<()>,
    /// When the use of each token was last written.
    noted: Mutex<HashMap<String, i64>>,
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenInfo {
    /// Unique.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_unix_ms: i64,
    /// When it ends; never without.
    pub expires_unix_ms: Option<i64>,
    /// When it was last used, to about ten minutes; never without.
    pub last_used_unix_ms: Option<i64>,
}

/// A user without the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserInfo {
    /// Unique.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When they were added.
    pub created_unix_ms: i64,
}

/// A refusal by [`Auth`].
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A name, password or expiry is not acceptable.
    #[error("{0}")]
    Invalid(&'static str),
    /// The name is taken.
    #[error("{0} exists already")]
    Exists(String),
    /// Nobody has that name.
    #[error("{0} does not exist")]
    Missing(String),
    /// The change would leave no admin.
    #[error("somebody must remain admin")]
    LastAdmin,
    /// Too many logins at once.
    #[error("too many logins at once")]
    Busy,
    /// No randomness, or the password could not be hashed.
    #[error("making a secret")]
    Secret,
    /// The database.
    #[error("access data")]
    Store(#[from] StoreError),
}

impl Auth {
    /// Opens users and tokens in `cx.store`. Blocks.
    ///
    /// # Errors
    /// The database.
    pub fn open(cx: &Context, settings: Settings) -> Result<Self, AuthError> {
        cx.store.migrate("access", db::MIGRATIONS)?;
        let auth = Self(Arc::new(Inner {
            cx: cx.clone(),
            claim: Mutex::new(None),
            limiter: limit::Limiter::default(),
            hasher: Semaphore::new(1),
            waiting: Semaphore::new(HASHERS_WAITING_MAX),
            changes: watch::Sender::new(()),
            noted: Mutex::default(),
            settings,
        }));
        if !auth.trusts_loopback() && !cx.store.read_blocking(db::has_users)? {
            let code = Secret::claim().map_err(|_| AuthError::Secret)?;
            *auth.0.claim.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
        }
        Ok(auth)
    }

    /// The one-time claim code to print, when a login is needed and no user exists; a new one at each start. It makes the
    /// first admin at `/claim`.
    #[must_use]
    pub fn claim_code(&self) -> Option<String> {
        let claim = self.0.claim.lock().unwrap_or_else(PoisonError::into_inner);
        claim.as_ref().map(|code| code.reveal().to_owned())
    }

    /// Adds a user, or changes role and password of the one with that name (`leitstand user add`). Blocks.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub fn add_user(&self, name: &str, password: &str, role: Role) -> Result<(), AuthError> {
        check_name(name)?;
        let phc = password_hash(&password.into())?;
        let (name, now) = (name.to_owned(), self.now_ms());
        let changed = self.0.cx.store.execute_blocking(move |db| {
            if db::add_user(db, &name, role, &phc, now)? {
                return Ok(db::Change::Done);
            }
            db::change_user(db, &name, role, Some(&phc))
        })?;
        self.changed();
        if changed == db::Change::LastAdmin {
            Err(AuthError::LastAdmin)
        } else {
            Ok(())
        }
    }

    /// All users. Blocks.
    ///
    /// # Errors
    /// The database.
    pub fn list_users(&self) -> Result<Vec<UserInfo>, AuthError> {
        Ok(self.0.cx.store.read_blocking(db::users)?)
    }

    /// Makes a token and answers its text, which is shown once and stored nowhere. Blocks.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub fn add_token(
        &self,
        name: &str,
        role: Role,
        expires_in: Option<Duration>,
    ) -> Result<String, AuthError> {
        let (info, secret) = self.new_token(name, role, expires_in)?;
        let hash = secret.hash();
        if self
            .0
            .cx
            .store
            .execute_blocking(move |db| db::add_token(db, &info, &hash))?
        {
            Ok(secret.reveal().to_owned())
        } else {
            Err(AuthError::Exists(name.to_owned()))
        }
    }

    /// All tokens, without their secrets. Blocks.
    ///
    /// # Errors
    /// The database.
    pub fn list_tokens(&self) -> Result<Vec<TokenInfo>, AuthError> {
        Ok(self.0.cx.store.read_blocking(db::tokens)?)
    }

    /// Ends a token and the sessions that came with it; false when there is none. Blocks.
    ///
    /// # Errors
    /// The database.
    pub fn revoke_token(&self, name: &str) -> Result<bool, AuthError> {
        let owned = name.to_owned();
        let removed = self
            .0
            .cx
            .store
            .execute_blocking(move |db| db::remove_token(db, &owned))?;
        self.token_ended(name);
        Ok(removed)
    }

    /// `POST /login`, `/logout`, `/claim`, `/api/v1/me`, `/api/v1/tokens`, `/api/v1/users`.
    #[must_use]
    pub fn routes(&self) -> OpenApiRouter {
        routes::routes(self).merge(manage::routes(self))
    }

    /// Puts the guard around everything. The server must be run with
    /// `into_make_service_with_connect_info::<SocketAddr>()`; without it no peer counts as local.
    pub fn protect(&self, router: Router) -> Router {
        router.layer(axum::middleware::from_fn_with_state(
            self.clone(),
            guard::guard,
        ))
    }

    fn token_ended(&self, name: &str) {
        let mut noted = self.0.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.remove(name);
        drop(noted);
        self.changed();
    }

    fn trusts_loopback(&self) -> bool {
        self.0.settings.loopback && self.0.settings.trust_loopback
    }

    /// The session cookie; no time at all removes it.
    fn cookie(&self, secret: &Secret, lasts: Duration) -> Option<axum::http::HeaderValue> {
        guard::set_cookie(secret, lasts, self.0.settings.tls)
    }

    fn now_ms(&self) -> i64 {
        self.0.cx.clock.wall().unix_ms
    }

    fn new_token(
        &self,
        name: &str,
        role: Role,
        expires_in: Option<Duration>,
    ) -> Result<(TokenInfo, Secret), AuthError> {
        check_name(name)?;
        let now = self.now_ms();
        let expires = match expires_in {
            None => None,
            Some(span) if span.is_zero() => {
                return Err(AuthError::Invalid("a token must last for some time"));
            }
            Some(span) => {
                let ms = i64::try_from(span.as_millis()).ok();
                let end = ms.and_then(|ms| now.checked_add(ms));
                Some(end.ok_or(AuthError::Invalid("a token cannot last that long"))?)
            }
        };
        let info = TokenInfo {
            name: name.to_owned(),
            role,
            created_unix_ms: now,
            expires_unix_ms: expires,
            last_used_unix_ms: None,
        };
        Ok((info, Secret::token().map_err(|_| AuthError::Secret)?))
    }

    /// Whether `password` is the one of user `name`, one at a time and off the async threads.
    async fn verify(&self, name: &str, password: Secret) -> Result<Option<Role>, AuthError> {
        let owned = name.to_owned();
        let found = self.0.cx.store.read(move |db| db::user(db, &owned)).await?;
        let role = found.as_ref().map(|(_, role)| *role);
        let matches = self
            .hashing(move || password.is_password_of(found.as_ref().map(|(phc, _)| phc.as_str())))
            .await?;
        Ok(role.filter(|_| matches))
    }

    /// Runs `work` with a password hasher's permit.
    async fn hashing<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, AuthError> {
        let _waiting = self.0.waiting.try_acquire().map_err(|_| AuthError::Busy)?;
        let _turn = self.0.hasher.acquire().await.map_err(|_| AuthError::Busy)?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| AuthError::Secret)
    }

    /// Starts a session and answers the cookie's value.
    async fn start_session(&self, owner: Owner) -> Result<(Secret, Duration), AuthError> {
        let secret = Secret::session().map_err(|_| AuthError::Secret)?;
        let lasts = match owner {
            Owner::User(_) => USER_SESSION,
            Owner::Token(_) => SCREEN_SESSION,
        };
        let (hash, now) = (secret.hash(), self.now_ms());
        let expires = now.saturating_add(lasts.as_millis() as i64);
        self.0
            .cx
            .store
            .execute(move |db| db::add_session(db, &hash, &owner, now, expires))
            .await?;
        Ok((secret, lasts))
    }
}

fn password_hash(password: &Secret) -> Result<String, AuthError> {
    check_password(password)?;
    password.to_password_hash().map_err(|_| AuthError::Secret)
}

fn check_password(password: &Secret) -> Result<(), AuthError> {
    if (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&password.chars()) {
        Ok(())
    } else {
        Err(AuthError::Invalid("a password has 10 to 256 characters"))
    }
}

/// Names appear in the journal as actors; `local` and `cli` are taken by those who need no login.
fn check_name(name: &str) -> Result<(), AuthError> {
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(fine) {
        return Err(AuthError::Invalid(
            "a name has 1 to 64 letters, digits, dots, hyphens, underscores or @",
        ));
    }
    if ["local", "cli"].contains(&name) {
        return Err(AuthError::Invalid(
            "this name is taken by the gateway itself",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
