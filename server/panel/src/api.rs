//! The routes: one table of commands under two prefixes, and the original server's own paths.

mod content;
mod control;
mod files;
mod screen;
mod settings;
mod stats;

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use leitstand_kit::{
    access::{self, Caller},
    api::{Json, Problem},
    store::StoreError,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    SERVICE,
    service::{NotRunning, Shared},
    view::{HealthView, StatusView},
};

type Panel = State<Arc<Shared>>;

/// All routes of the service.
pub(crate) fn routes(shared: Arc<Shared>) -> OpenApiRouter {
    let status = || OpenApiRouter::new().routes(routes!(status));
    // By the type's own name: a plain router's `nest` would hide the routes from the description.
    let mut all = OpenApiRouter::nest(status(), "/api", commands());
    // The same handlers come once more: names of operations are unique in a description.
    for item in all.get_openapi_mut().paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            operation.operation_id = None;
        }
    }
    let own = status()
        .merge(commands())
        .merge(content::routes())
        .merge(settings::routes())
        .merge(stats::routes());
    OpenApiRouter::nest(all, "/api/v1/panel", own)
        .routes(routes!(health))
        .routes(routes!(screen::socket))
        .routes(routes!(files::media_file))
        .routes(routes!(control::test_play))
        .routes(routes!(control::test_stop))
        .layer(Extension(screen::Screens::default()))
        .with_state(shared)
}

/// What stands under `/api` as `specs/panel.md` 4.1 has it, and under `/api/v1/panel` as every service does.
fn commands() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(files::media))
        .routes(routes!(control::play))
        .routes(routes!(control::stop))
        .routes(routes!(control::volume))
        .routes(routes!(control::brightness))
        .routes(routes!(control::mute))
}

impl From<NotRunning> for Problem {
    fn from(_: NotRunning) -> Self {
        Self::unavailable(
            "panel_not_running",
            "the panel service is restarting; try again",
        )
    }
}

/// State of the panel.
#[utoipa::path(get, path = "/status", tag = "panel", responses((status = 200, body = StatusView)))]
async fn status(_: access::Viewer, State(shared): Panel) -> Json<StatusView> {
    Json(StatusView::new(&shared))
}

/// Whether boards and media are all there. Open to everybody.
#[utoipa::path(get, path = "/health", tag = "panel", responses(
    (status = 200, body = HealthView), (status = 503, body = HealthView, description = "degraded")))]
async fn health(State(shared): Panel) -> Response {
    let view = HealthView::new(&shared.snapshot.borrow());
    let status = if view.status == "healthy" {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(view)).into_response()
}

/// A setting or a question that the database did not take.
fn not_stored(error: StoreError) -> Problem {
    tracing::error!(%error, "the panel's database job failed");
    Problem::unavailable("store", "the database does not do it; try again")
}

fn audit(shared: &Shared, caller: &Caller, what: &str) {
    let empty = serde_json::Value::Null;
    // Recorded whether or not somebody waits for the commit.
    drop(shared.cx.audit(SERVICE, caller, what, empty.clone(), empty));
}
