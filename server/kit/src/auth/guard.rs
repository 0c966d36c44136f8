//! The middleware around every route.
//!
//! In this order:
//! 1. A state-changing request or WebSocket upgrade from a foreign origin is refused (a page in somebody's browser must
//!    not switch relays, whether by cookie or because the gateway trusts the local peer).
//! 2. Who asks: `Authorization: Bearer`, else `?token=` on a GET (once; a cookie takes over), else the session cookie,
//!    else the local peer of a trusting loopback bind.
//! 3. Without a caller only the open paths answer; everything else is 401, whether it exists or not.
//! 4. A viewer changes nothing, even where a handler forgot to ask for a role.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    Auth, Caller, Lease, Owner, Role, Via,
    access::login_required,
    lease::{self, Known, Shown},
    secret::Secret,
};
use crate::api::Problem;

/// Reachable without a login on every bind, besides what the login and claim pages load.
const OPEN_PATHS: [&str; 4] = ["/login", "/claim", "/healthz", "/health"];
pub(crate) const COOKIE: &str = "leitstand_session";

/// The peer's address, for handlers behind the guard. `None` without connection information.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) Option<IpAddr>);

pub(super) async fn guard(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = connection.map(|c| c.0.ip().to_canonical());
    // Only the guard says who calls.
    parts.extensions.remove::<Caller>();
    parts.extensions.remove::<Lease>();
    parts.extensions.insert(Peer(peer));
    let mut response = match check(&auth, &mut parts, peer).await {
        Ok(cookie) => {
            let lease = parts.extensions.get::<Lease>().cloned();
            let mut response = next.run(Request::from_parts(parts, body)).await;
            if let Some(lease) = lease {
                response = lease::bound(response, lease);
            }
            if let Some(cookie) = cookie {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        Err(refusal) => *refusal,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A token in an address must not travel to another site.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Puts the caller into the request, or refuses. Answers a cookie to set.
async fn check(
    auth: &Auth,
    request: &mut Parts,
    peer: Option<IpAddr>,
) -> Result<Option<HeaderValue>, Box<Response>> {
    let changes = changes_state(request);
    if (changes || is_websocket(&request.headers))
        && is_foreign(auth, &request.headers, &request.uri)
    {
        auth.0
            .cx
            .metrics
            .counter(
                "leitstand_access_foreign_total",
                "Refused for a foreign origin.",
                &[],
            )
            .inc();
        return Err(refuse(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "a page of another site must not do this",
        )));
    }
    let found = who(auth, request, peer).await;
    let Found {
        caller,
        cookie,
        lease,
    } = match found {
        Ok(found) => found,
        Err(problem) => return Err(refuse(problem)),
    };
    let path = request.uri.path();
    let open =
        OPEN_PATHS.contains(&path) || auth.0.settings.open_assets.iter().any(|open| open == path);
    match &caller {
        None if !open => return Err(Box::new(unknown(request))),
        Some(caller) if changes && caller.role == Role::Viewer && !open && path != "/logout" => {
            let problem = Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "a viewer changes nothing",
            );
            return Err(refuse(problem.with("needs", Role::Operator.name())));
        }
        _ => {}
    }
    if let (Some(cookie), Some(target)) = (&cookie, without_token(request)) {
        // The token leaves the address bar, the history and every later log.
        let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response();
        response
            .headers_mut()
            .append(header::SET_COOKIE, cookie.clone());
        return Err(Box::new(response));
    }
    if let Some(caller) = caller {
        request.extensions.insert(caller);
    }
    if let Some(lease) = lease {
        request.extensions.insert(lease);
    }
    Ok(cookie)
}

/// Who asks, and by what.
#[derive(Default)]
struct Found {
    caller: Option<Caller>,
    cookie: Option<HeaderValue>,
    /// What may end before the answer does.
    lease: Option<Lease>,
}

impl Found {
    fn by(auth: &Auth, shown: Shown, known: Known) -> Self {
        auth.note_use(&known, auth.now_ms());
        Self {
            caller: Some(known.caller.clone()),
            cookie: None,
            lease: Some(Lease::new(auth.clone(), shown, known)),
        }
    }
}

async fn who(auth: &Auth, request: &Parts, peer: Option<IpAddr>) -> Result<Found, Problem> {
    let by_token = async |token: Secret| {
        let shown = Shown::Token(token.hash());
        let known = auth.look(shown).await.map_err(|error| {
            tracing::error!(%error, "reading access data");
            Problem::unavailable("access_data", "access data cannot be read at the moment")
        })?;
        // A wrong token is refused, even where none is needed: its owner thinks that it works.
        let known = known.ok_or_else(login_required)?;
        Ok::<_, Problem>((shown, known))
    };

    if let Some(value) = request.headers.get(header::AUTHORIZATION) {
        let value = value.to_str().unwrap_or("");
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(login_required());
        }
        let (shown, known) = by_token(token.trim().into()).await?;
        return Ok(Found::by(auth, shown, known));
    }
    if request.method == Method::GET
        && let Some(token) = token_of(&request.uri)
    {
        let (shown, known) = by_token(token.into()).await?;
        if known.caller.role > Role::Operator {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "token_not_for_addresses",
                "an address is seen by many: only viewer and operator tokens may stand in it",
            ));
        }
        let owner = Owner::Token(known.caller.name.clone());
        let started = auth.start_session(owner).await;
        let cookie = started
            .ok()
            .and_then(|(secret, lasts)| auth.cookie(&secret, lasts));
        return Ok(Found {
            cookie,
            ..Found::by(auth, shown, known)
        });
    }
    for session in session_cookies(&request.headers) {
        let shown = Shown::Session(session.hash());
        match auth.look(shown).await {
            Ok(Some(known)) => return Ok(Found::by(auth, shown, known)),
            Ok(None) => {}
            // Nobody's session, then: the local peer and the open paths must work with a broken database.
            Err(error) => tracing::error!(%error, "reading sessions"),
        }
    }
    let local = auth.trusts_loopback()
        && peer.is_some_and(|ip| ip.is_loopback())
        // A proxy or a rebound name makes strangers look local; both show in the name that was asked for.
        && host_of(&request.headers, &request.uri).is_some_and(|host| is_local_name(&host));
    let local = local.then(|| Caller {
        name: "local".into(),
        role: Role::Engineer,
        via: Via::Loopback,
    });
    Ok(Found {
        caller: local,
        ..Found::default()
    })
}

fn refuse(problem: Problem) -> Box<Response> {
    let unauthorized = problem.status == StatusCode::UNAUTHORIZED.as_u16();
    let mut response = problem.into_response();
    if unauthorized {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    Box::new(response)
}

/// 401: a problem for programs, a way to the login page for people.
fn unknown(request: &Parts) -> Response {
    let accept = request
        .headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    let page = request.method == Method::GET
        && accept.contains("text/html")
        && !request.uri.path().starts_with("/api/");
    if !page {
        return *refuse(login_required());
    }
    let next = percent_encoded(request.uri.path());
    let body = format!(
        "<!doctype html><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0;url=/login?next={next}\">\
         <title>Leitstand</title><p><a href=\"/login?next={next}\">Log in</a></p>\n"
    );
    let html = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::WWW_AUTHENTICATE, "Bearer"),
    ];
    (StatusCode::UNAUTHORIZED, html, body).into_response()
}

fn percent_encoded(path: &str) -> String {
    let plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    path.bytes()
        .map(|b| {
            if plain(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

fn changes_state(request: &Parts) -> bool {
    !matches!(
        request.method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}

fn is_websocket(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::UPGRADE)
        .iter()
        .any(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Whether a browser says that the request comes from a page of another origin. Programs send neither header.
fn is_foreign(auth: &Auth, headers: &HeaderMap, uri: &Uri) -> bool {
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("");
        // In the clear a proxy in front may be what speaks TLS. Behind our own TLS a page that came in the clear may
        // have been put there by anybody on the way.
        let authority = origin.strip_prefix("https://").or_else(|| {
            origin
                .strip_prefix("http://")
                .filter(|_| !auth.0.settings.tls)
        });
        let same = authority
            .zip(host_of(headers, uri))
            .is_some_and(|(a, host)| a.eq_ignore_ascii_case(&host));
        return !same;
    }
    let site = headers.get("sec-fetch-site").and_then(|v| v.to_str().ok());
    site.is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

fn host_of(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let host = headers.get(header::HOST).and_then(|v| v.to_str().ok());
    host.or_else(|| uri.authority().map(|a| a.as_str()))
        .map(str::to_owned)
}

fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The value of `token` in the query; tokens need no decoding.
fn token_of(uri: &Uri) -> Option<&str> {
    uri.query()?
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
}

/// For a page: its own address without the token.
fn without_token(request: &Parts) -> Option<String> {
    let accept = request.headers.get(header::ACCEPT)?.to_str().ok()?;
    if !accept.contains("text/html") || is_websocket(&request.headers) {
        return None;
    }
    let query = request.uri.query()?;
    let rest: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.starts_with("token="))
        .collect();
    // One slash only: `//host` would lead to another site.
    let path = format!("/{}", request.uri.path().trim_start_matches('/'));
    Some(if rest.is_empty() {
        path
    } else {
        format!("{path}?{}", rest.join("&"))
    })
}

/// All cookies of our name: a cookie for a parent path may shadow ours.
pub(super) fn session_cookies(headers: &HeaderMap) -> Vec<Secret> {
    let lines = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok());
    let pairs = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    // Reasoning: each costs a look into the database.
    pairs
        .filter(|(name, _)| *name == COOKIE)
        .take(4)
        .map(|(_, value)| value.into())
        .collect()
}

/// The session cookie; no time at all removes it. With `secure` a browser sends it back over TLS only.
pub(super) fn set_cookie(secret: &Secret, lasts: Duration, secure: bool) -> Option<HeaderValue> {
    let text = format!(
        "{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{}",
        secret.reveal(),
        lasts.as_secs(),
        if secure { "; Secure" } else { "" },
    );
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
