//! Logging in and out, and taking charge of a new gateway.

use std::{net::IpAddr, time::Duration};

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Auth, AuthError, Caller, Owner, Role, Via, access, check_name, check_password, db,
    guard::{self, Peer},
    secret::Secret,
};
use crate::{
    NewEvent, Severity,
    api::{Json, Problem},
};

const SERVICE: &str = "access";

pub(super) fn routes(auth: &Auth) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(logout))
        .routes(routes!(claim))
        .routes(routes!(me))
        .with_state(auth.clone())
}

#[derive(Deserialize, ToSchema)]
struct Login {
    /// User.
    name: String,
    #[schema(value_type = String)]
    password: Secret,
}

#[derive(Deserialize, ToSchema)]
struct Claim {
    /// As printed by the gateway at its first start.
    #[schema(value_type = String)]
    code: Secret,
    /// The first admin.
    name: String,
    #[schema(value_type = String)]
    password: Secret,
}

#[derive(Serialize, ToSchema)]
struct Me {
    name: String,
    role: Role,
    via: Via,
}

/// Log in: JSON or a form. Sets a session cookie.
#[utoipa::path(post, path = "/login", tag = "access", request_body = Login, responses(
    (status = 204, description = "logged in"),
    (status = 303, description = "a form was sent: on to its `next`, or back to the page"),
    (status = 401, body = Problem, description = "`wrong_credentials`"),
    (status = 429, body = Problem, description = "`too_many_tries`; `Retry-After` says when"),
))]
async fn login(
    State(auth): State<Auth>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Response {
    let form = Form::of(&request);
    let result = async {
        let login: Login = form.read(request).await?;
        take_try(&auth, peer)?;
        let Some(role) = auth.verify(&login.name, login.password).await? else {
            let name: String = login.name.chars().take(64).collect();
            auth.note(
                NewEvent::new(SERVICE, "LoginFailed")
                    .severity(Severity::Warning)
                    .data(json!({
                        "name": name, "address": peer.map(|ip| ip.to_string()),
                    })),
            );
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "wrong_credentials",
                "name or password is wrong",
            ));
        };
        forgive(&auth, peer);
        auth.note(
            NewEvent::new(SERVICE, "LoggedIn")
                .actor(&login.name)
                .data(json!({
                    "role": role, "address": peer.map(|ip| ip.to_string()),
                })),
        );
        Ok(auth.start_session(Owner::User(login.name)).await?)
    };
    form.answer(&auth, result.await, "/login?failed=1")
}

/// Log out: ends the session.
#[utoipa::path(post, path = "/logout", tag = "access", responses((status = 204, description = "logged out")))]
async fn logout(
    State(auth): State<Auth>,
    access::Viewer(caller): access::Viewer,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    for session in guard::session_cookies(&headers) {
        let hash = session.hash();
        auth.0
            .cx
            .store
            .execute(move |db| db::remove_session(db, &hash))
            .await
            .map_err(AuthError::from)?;
    }
    auth.changed();
    if caller.via == Via::Session {
        auth.note(NewEvent::new(SERVICE, "LoggedOut").actor(caller.name));
    }
    let gone = auth.cookie(&"".into(), Duration::ZERO);
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), gone))
}

/// Take charge of a new gateway: makes the first admin with the one-time code.
#[utoipa::path(post, path = "/claim", tag = "access", request_body = Claim, responses(
    (status = 204, description = "claimed and logged in"),
    (status = 401, body = Problem, description = "`wrong_code`"),
    (status = 409, body = Problem, description = "`already_claimed`"),
    (status = 422, body = Problem, description = "name or password is not acceptable"),
    (status = 429, body = Problem, description = "`too_many_tries`"),
))]
async fn claim(
    State(auth): State<Auth>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Response {
    let form = Form::of(&request);
    let result = async {
        let claim: Claim = form.read(request).await?;
        let taken = || Problem::conflict("already_claimed", "this gateway has an admin");
        let expected = auth
            .0
            .claim
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        let expected = expected.ok_or_else(taken)?;
        take_try(&auth, peer)?;
        if !expected.is_same_code(&claim.code) {
            auth.note(
                NewEvent::new(SERVICE, "ClaimFailed")
                    .severity(Severity::Warning)
                    .data(json!({
                        "address": peer.map(|ip| ip.to_string()),
                    })),
            );
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "wrong_code",
                "this is not the code that was printed",
            ));
        }
        forgive(&auth, peer);
        check_name(&claim.name)?;
        check_password(&claim.password)?;
        let password = claim.password;
        let phc = auth
            .hashing(move || super::password_hash(&password))
            .await??;
        let (name, now) = (claim.name.clone(), auth.now_ms());
        let first = auth
            .0
            .cx
            .store
            .execute(move |db| db::claim(db, &name, &phc, now))
            .await;
        *auth
            .0
            .claim
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        if !first.map_err(AuthError::from)? {
            return Err(taken());
        }
        auth.note(
            NewEvent::new(SERVICE, "Claimed")
                .actor(&claim.name)
                .text("the gateway has its first admin"),
        );
        Ok(auth.start_session(Owner::User(claim.name)).await?)
    };
    form.answer(&auth, result.await, "/claim?failed=1")
}

/// Who am I?
#[utoipa::path(get, path = "/api/v1/me", tag = "access", responses((status = 200, body = Me)))]
async fn me(access::Viewer(caller): access::Viewer) -> Json<Me> {
    Json(Me {
        name: caller.name,
        role: caller.role,
        via: caller.via,
    })
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let detail = error.to_string();
        match error {
            AuthError::Invalid(_) => Self::unprocessable("not_acceptable", detail),
            AuthError::Exists(_) => Self::conflict("exists", detail),
            AuthError::Missing(_) => Self::not_found(detail),
            AuthError::LastAdmin => Self::conflict("last_admin", detail),
            AuthError::Busy => Self::too_many("too_many_tries", detail),
            AuthError::Secret => Self::internal(detail),
            AuthError::Store(error) => {
                tracing::error!(%error, "access data");
                Self::unavailable("access_data", detail)
            }
        }
    }
}

impl Auth {
    fn note(&self, event: NewEvent) {
        drop(self.0.cx.events.record(event));
    }

    pub(super) fn audit(
        &self,
        caller: &Caller,
        what: &str,
        before: serde_json::Value,
        after: serde_json::Value,
    ) {
        drop(self.0.cx.audit(SERVICE, caller, what, before, after));
    }
}

fn take_try(auth: &Auth, peer: Option<IpAddr>) -> Result<(), Problem> {
    let address = peer.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    auth.0
        .limiter
        .take(address, auth.0.cx.clock.uptime())
        .map_err(|wait| {
            auth.0
                .cx
                .metrics
                .counter(
                    "leitstand_access_limited_total",
                    "Logins refused for too many tries.",
                    &[],
                )
                .inc();
            Problem::too_many("too_many_tries", "too many tries from this address")
                .with("retry_after_s", wait.as_secs() + 1)
        })
}

fn forgive(auth: &Auth, peer: Option<IpAddr>) {
    auth.0
        .limiter
        .forgive(peer.unwrap_or(IpAddr::from([0, 0, 0, 0])));
}

/// How the browser sent it: JSON from a script, or a plain form.
#[derive(Clone)]
enum Form {
    Json,
    Plain { next: String },
}

impl Form {
    fn of(request: &Request) -> Self {
        let content_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok());
        if !content_type.is_some_and(|t| t.starts_with("application/x-www-form-urlencoded")) {
            return Self::Json;
        }
        #[derive(Deserialize)]
        struct Next {
            next: Option<String>,
        }
        let next = axum::extract::Query::<Next>::try_from_uri(request.uri())
            .ok()
            .and_then(|q| q.0.next);
        Self::Plain {
            next: next
                .filter(|next| is_own_path(next))
                .unwrap_or_else(|| "/".into()),
        }
    }

    async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, Problem> {
        match self {
            Self::Json => {
                use axum::extract::FromRequest as _;
                Ok(Json::from_request(request, &()).await?.0)
            }
            Self::Plain { .. } => {
                let body = crate::api::body(request, 4096).await?;
                let wrong = || Problem::unprocessable("wrong_shape", "the form is not complete");
                let text = std::str::from_utf8(&body).map_err(|_| wrong())?;
                // A form is a query string.
                let uri: Uri = format!("/?{text}").parse().map_err(|_| wrong())?;
                let query = axum::extract::Query::try_from_uri(&uri).map_err(|_| wrong())?;
                Ok(query.0)
            }
        }
    }

    fn answer(
        &self,
        auth: &Auth,
        result: Result<(Secret, Duration), Problem>,
        back: &'static str,
    ) -> Response {
        let result = result.map(|(secret, lasts)| auth.cookie(&secret, lasts));
        match (self, result) {
            (Self::Json, Ok(cookie)) => with_cookie(StatusCode::NO_CONTENT.into_response(), cookie),
            (Self::Plain { next }, Ok(cookie)) => with_cookie(see_other(next), cookie),
            (Self::Plain { .. }, Err(problem)) if problem.status < 500 => see_other(back),
            (_, Err(problem)) => {
                let wait = problem.more.get("retry_after_s").map(ToString::to_string);
                let mut response = problem.into_response();
                if let Some(wait) = wait.and_then(|wait| wait.parse().ok()) {
                    response.headers_mut().insert(header::RETRY_AFTER, wait);
                }
                response
            }
        }
    }
}

/// A path of this gateway, and not a way to another site.
fn is_own_path(path: &str) -> bool {
    let safe = |c: char| c.is_ascii_graphic() && c != '\\';
    path.starts_with('/') && !path.starts_with("//") && path.chars().all(safe)
}

fn see_other(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
