//! JSON in and out, problems, pages, ETags, and the gateway's own routes.

mod assemble;
mod etag;
mod events;
mod json;
mod observe;
mod problem;
mod stream;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::Context;

pub use assemble::assemble;
pub use etag::{Tagged, etag, if_match, is_known};
pub use json::{BODY_BYTES_MAX, Json, Query, UrlPath, body};
pub use problem::Problem;

/// A collection: `{"items": [...]}`, with `next` where there is more.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Where to continue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A collection that is complete.
    #[must_use]
    pub fn all(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// `/api/v1/events` (paged, CSV), `/api/v1/stream`, `/api/v1/history`, `/metrics`, `/healthz`.
#[must_use]
pub fn routes(cx: &Context) -> OpenApiRouter {
    events::routes(cx)
        .merge(stream::routes(cx))
        .merge(observe::routes(cx))
        .merge(crate::history::routes::routes(cx))
}

#[cfg(test)]
mod tests;
