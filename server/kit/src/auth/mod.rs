//! Who may do what: users, tokens, claim code, sessions, roles.
//!
//! Off loopback nothing is reachable without a login; on a loopback bind a local peer acts as engineer.
//! Passwords are kept as argon2id, tokens and sessions only as SHA-256.

pub mod access;

use std::time::Duration;

use axum::Router;
use utoipa_axum::router::OpenApiRouter;

use crate::{Context, store::StoreError};

pub use access::{Caller, Role, Via};

/// How access is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether the gateway listens on loopback only.
    pub loopback: bool,
    /// `[api] trust_loopback`: a local peer acts as engineer on a loopback bind.
    pub trust_loopback: bool,
    /// Paths that the login and claim pages load, besides the fixed open ones. Exact paths.
    pub open_assets: Vec<String>,
}

/// Users, tokens and sessions. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    _private: (),
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
    /// The database.
    #[error("access data")]
    Store(#[from] StoreError),
}

impl Auth {
    /// Opens users and tokens in `cx.store`.
    ///
    /// # Errors
    /// The database.
    pub fn open(cx: &Context, settings: Settings) -> Result<Self, AuthError> {
        let _ = (cx, settings);
        todo!()
    }

    /// The one-time claim code to print, when off loopback and no user exists; a new one at each start.
    #[must_use]
    pub fn claim_code(&self) -> Option<String> {
        todo!()
    }

    /// Adds or replaces a user (`leitstand user add`).
    ///
    /// # Errors
    /// See [`AuthError`].
    pub fn add_user(&self, name: &str, password: &str, role: Role) -> Result<(), AuthError> {
        let _ = (name, password, role);
        todo!()
    }

    /// Makes a token and answers its text, which is shown once and stored nowhere.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub fn add_token(
        &self,
        name: &str,
        role: Role,
        expires_in: Option<Duration>,
    ) -> Result<String, AuthError> {
        let _ = (name, role, expires_in);
        todo!()
    }

    /// `POST /login`, `/logout`, `/claim`, `/api/v1/me`, `/api/v1/tokens`, `/api/v1/users`.
    #[must_use]
    pub fn routes(&self) -> OpenApiRouter {
        todo!()
    }

    /// Puts the guard around everything. The server must be run with
    /// `into_make_service_with_connect_info::<SocketAddr>()`.
    #[must_use]
    pub fn protect(&self, router: Router) -> Router {
        let _ = router;
        todo!()
    }
}
