//! The one HTTP application: routes of the gateway, the services and the pages, and what every answer carries.

use crate::serve::HEAD_TIME;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use leitstand_kit::access::Viewer;
use leitstand_kit::api::{self, Problem};
use leitstand_kit::auth::{Auth, Role};
use leitstand_kit::health::{Level, LoopReport};
use leitstand_kit::{CancellationToken, Context};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What stands on every page, in the API and in the README.
pub(crate) const NOTICE: &str = "Not a type-approved gas-warning controller.";

/// Longest time until the head of an answer. Reasoning: the slowest route queries 100 000 journal entries in
/// well under 5 s on a Pi; bodies of event streams are not bounded by it.
const ANSWER_TIME: Duration = Duration::from_secs(30);
const _: () = assert!(ANSWER_TIME.as_secs() > HEAD_TIME.as_secs());

/// Only what the server itself serves, no inline script, no frame around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
     object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
/// Media files come from the site's owner and may be SVG, which can carry scripts.
const MEDIA_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// Puts the application together.
pub(crate) fn app(
    services: OpenApiRouter,
    cx: &Context,
    auth: &Auth,
    loopback_only: bool,
) -> Router {
    let all = api::routes(cx)
        .merge(auth.routes())
        .merge(site_routes(cx))
        .merge(services)
        .merge(OpenApiRouter::from(crate::ui::routes()));
    let app = api::assemble(all, "Leitstand", env!("CARGO_PKG_VERSION"), auth);
    let app = if loopback_only {
        app.layer(from_fn(local_names_only))
    } else {
        app
    };
    app.layer(from_fn(answer_in_time))
        .layer(from_fn_with_state(cx.stop.clone(), dress))
}

/// Headers that every answer carries, those of refusals included.
async fn dress(State(stop): State<CancellationToken>, request: Request, next: Next) -> Response {
    let media = request.uri().path().starts_with("/media/");
    let api = request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(
        header::CONTENT_SECURITY_POLICY,
        if media {
            MEDIA_SECURITY_POLICY
        } else {
            CONTENT_SECURITY_POLICY
        },
    );
    if api {
        // Values of a moment ago are wrong values. Routes with an ETag say their own.
        set(header::CACHE_CONTROL, "no-store");
    }
    if stop.is_cancelled() {
        set(header::CONNECTION, "close");
    }
    response
}

/// Routes whose bodies are files. They bound the silence between two pieces instead: a film over a slow network
/// takes minutes.
const UPLOADS: &str = "/api/v1/panel/content";

async fn answer_in_time(request: Request, next: Next) -> Response {
    if request.uri().path().starts_with(UPLOADS) {
        return next.run(request).await;
    }
    match tokio::time::timeout(ANSWER_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "too_slow",
            "the request was not complete in time",
        )
        .into_response(),
    }
}

/// On loopback a local peer is trusted, so a page of another site must not become one by pointing its own
/// name at 127.0.0.1: only names that always mean this machine are answered.
async fn local_names_only(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok());
    if host.is_none_or(is_local_name) {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "foreign_host",
        "this address is for local names only; open http://127.0.0.1 or http://localhost",
    )
    .into_response()
}

fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => return v6.split(']').next().is_some_and(|ip| ip == "::1"),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// What `/api/v1/site` answers.
#[derive(Debug, Serialize, ToSchema)]
struct SiteView {
    /// Display name.
    site: String,
    /// Version of the program.
    version: &'static str,
    /// `en` or `de`.
    language: String,
    /// True when sensors and buttons are simulated.
    simulated: bool,
    /// What this program is not: `Not a type-approved gas-warning controller.`
    notice: &'static str,
    /// In start order.
    services: Vec<ServiceView>,
    /// The wall clock.
    clock: ClockView,
    /// Who asks.
    me: MeView,
}

#[derive(Debug, Serialize, ToSchema)]
struct ServiceView {
    /// Its name, which is also its part of the URL.
    name: String,
    /// The worst of its loops.
    health: Level,
    /// Why it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// Its loops.
    loops: Vec<LoopReport>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ClockView {
    /// Whether it can be trusted.
    synced: bool,
    /// Milliseconds since 1970-01-01 UTC.
    unix_ms: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct MeView {
    /// User or token name; `local` on loopback.
    name: String,
    /// What they may do.
    role: Role,
}

fn site_routes(cx: &Context) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(site))
        .with_state(cx.clone())
}

/// What this gateway is and how it does
#[utoipa::path(get, path = "/api/v1/site", tag = "site", responses((status = 200, body = SiteView)))]
async fn site(State(cx): State<Context>, Viewer(caller): Viewer) -> api::Json<SiteView> {
    let wall = cx.clock.wall();
    let services = cx.health.report().services;
    api::Json(SiteView {
        site: cx.site.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        language: cx.site.language.clone(),
        simulated: cx.site.simulated,
        notice: NOTICE,
        services: services
            .into_iter()
            .map(|s| ServiceView {
                name: s.name,
                health: s.health,
                note: s.note,
                loops: s.loops,
            })
            .collect(),
        clock: ClockView {
            synced: wall.synced,
            unix_ms: wall.unix_ms,
        },
        me: MeView {
            name: caller.name,
            role: caller.role,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:0",
            "[::1]:8080",
            "a.localhost:1",
        ] {
            assert!(is_local_name(host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:80",
            "localhost.evil",
            "10.0.0.1",
            "[::2]:80",
            "",
        ] {
            assert!(!is_local_name(host), "{host}");
        }
    }
}
