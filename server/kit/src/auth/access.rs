//! Roles as extractors: a handler that takes [`Operator`] cannot be reached by a viewer.
//!
//! ```text
//! async fn acknowledge(access::Operator(caller): access::Operator, ...) -> Result<..., Problem>
//! ```

use std::str::FromStr;

use axum::{
    Extension, Router,
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
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

/// The caller that the guard found, when their role is enough.
fn require(parts: &Parts, least: Role) -> Result<Caller, Problem> {
    match parts.extensions.get::<Caller>() {
        None => Err(login_required()),
        Some(caller) if caller.role < least => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("this needs the role {}", least.name()),
        )
        .with("needs", least.name())),
        Some(caller) => Ok(caller.clone()),
    }
}

/// 401 `login_required`.
pub(crate) fn login_required() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "login_required",
        "log in at /login, or send a token as Authorization: Bearer",
    )
}

impl Role {
    /// The name in JSON and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Engineer => "engineer",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let roles = [Self::Viewer, Self::Operator, Self::Engineer, Self::Admin];
        let role = roles.into_iter().find(|role| role.name() == text);
        role.ok_or("one of viewer, operator, engineer, admin")
    }
}

/// For tests of routes without a server: every request comes from `test` with `role`.
pub fn as_role(router: Router, role: Role) -> Router {
    router.layer(Extension(Caller {
        name: "test".into(),
        role,
        via: Via::Loopback,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::{body::Body, http::Request, routing::get};
    use tower::ServiceExt as _;

    use super::*;

    fn app() -> Router {
        Router::new()
            .route("/viewer", get(async |Viewer(c): Viewer| c.name))
            .route("/operator", get(async |Operator(c): Operator| c.name))
            .route("/engineer", get(async |Engineer(c): Engineer| c.name))
            .route("/admin", get(async |Admin(c): Admin| c.name))
    }

    async fn status(app: Router, path: &str) -> u16 {
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_role_reaches_its_own_handlers_and_those_below_only() {
        let paths = ["/viewer", "/operator", "/engineer", "/admin"];
        let roles = [Role::Viewer, Role::Operator, Role::Engineer, Role::Admin];
        for (have, role) in roles.into_iter().enumerate() {
            for (need, path) in paths.into_iter().enumerate() {
                let expected = if have >= need { 200 } else { 403 };
                assert_eq!(
                    status(as_role(app(), role), path).await,
                    expected,
                    "{role:?} at {path}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_handler_without_a_guard_in_front_answers_401() {
        for path in ["/viewer", "/operator", "/engineer", "/admin"] {
            assert_eq!(status(app(), path).await, 401, "{path}");
        }
    }

    #[test]
    fn role_names_are_what_they_parse_from() {
        for role in [Role::Viewer, Role::Operator, Role::Engineer, Role::Admin] {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        assert!("root".parse::<Role>().is_err());
    }
}
