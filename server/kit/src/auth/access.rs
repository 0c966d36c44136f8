//! Roles as extractors: a handler that takes [`Operator`] cannot be reached by a viewer.
//!
//! ```text
//! async fn acknowledge(access::Operator(caller): access::Operator, ...) -> Result<..., Problem>
//! ```

use axum::{Router, extract::FromRequestParts, http::request::Parts};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Problem;

/// What somebody may do; each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Acknowledge, reset, silence, play.
    Operator,
    /// Override outputs, inhibit, calibrate.
    Engineer,
    /// Users, tokens, configuration.
    Admin,
}

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A local peer on a loopback bind.
    Loopback,
    /// The session cookie.
    Session,
    /// A bearer token.
    Token,
}

/// Who makes the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User or token name; `local` on loopback.
    pub name: String,
    /// Their role.
    pub role: Role,
    /// How they proved it.
    pub via: Via,
}

macro_rules! extractor {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub Caller);

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;
            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
                require(parts, Role::$name).map(Self)
            }
        }
    };
}

extractor!(
    /// Anybody who is logged in.
    Viewer
);
extractor!(
    /// Operators and above.
    Operator
);
extractor!(
    /// Engineers and admins.
    Engineer
);
extractor!(
    /// Admins only.
    Admin
);

fn require(parts: &Parts, least: Role) -> Result<Caller, Problem> {
    let _ = (parts, least);
    todo!()
}

/// For tests of routes without a server: every request comes from `test` with `role`.
pub fn as_role(router: Router, role: Role) -> Router {
    let _ = role;
    router
}
