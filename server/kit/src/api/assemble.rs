//! The server's router: all routes, their description, and the walls around them.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{Method, StatusCode, Uri, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;
use utoipa::openapi::{
    Info, OpenApi,
    security::{
        ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{BODY_BYTES_MAX, Problem};
use crate::auth::{self, Auth, access};

/// Makes the server's router: adds `/openapi.json` from the routes, answers 404 and 405 as problems, bounds bodies,
/// turns a panic of a handler into a 500, and puts the guard around everything.
///
/// A handler that takes a body with an extractor of axum and needs more than [`BODY_BYTES_MAX`] sets its own
/// `DefaultBodyLimit`.
pub fn assemble(router: OpenApiRouter, title: &str, version: &str, auth: &Auth) -> Router {
    let description: OpenApiRouter<Arc<str>> = OpenApiRouter::new().routes(routes!(openapi));
    let (description, own) = description.split_for_parts();
    let (router, mut api) = router.split_for_parts();
    api.merge(own);
    describe(&mut api, title, version);
    let json: Arc<str> = api.to_json().unwrap_or_default().into();
    let router = router
        .merge(description.with_state(json))
        .fallback(missing)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(catch_panic));
    auth.protect(router)
}

fn describe(api: &mut OpenApi, title: &str, version: &str) {
    // Whole, because the macros fill in their own authors.
    api.info = Info::new(title, version);
    api.info.description =
        Some("Errors are RFC 9457 problem documents with a stable `code`.".into());
    let components = api.components.get_or_insert_default();
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
    );
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(auth::COOKIE))),
    );
    let none: [&str; 0] = [];
    api.security = Some(vec![
        SecurityRequirement::new("token", none),
        SecurityRequirement::new("session", none),
    ]);
}

/// Every route of this gateway (OpenAPI 3.1).
#[utoipa::path(get, path = "/openapi.json", tag = "gateway", responses(
    (status = 200, content_type = "application/json", body = Object),
))]
async fn openapi(State(json): State<Arc<str>>, _: access::Viewer) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        json.to_string(),
    )
        .into_response()
}

async fn missing(uri: Uri) -> Problem {
    Problem::not_found(format!("nothing is at {}", uri.path()))
}

async fn not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

async fn catch_panic(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("the handler of {path} panicked");
            Problem::internal("a defect of the gateway; it is in its log").into_response()
        }
    }
}
