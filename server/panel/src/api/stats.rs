//! Plays by button and hour, as sums and as a spreadsheet.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use jiff::tz::TimeZone;
use leitstand_kit::{
    access,
    api::{Json, Problem, Query},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Panel, not_stored};
use crate::{
    service::{Message, NotRunning, Shared},
    stats::{self, HOUR_MS, Row, Summary},
};

/// Longest time that is summed at once. Reasoning: a year of a hundred buttons is 400,000 rows, a second on a Pi.
const SPAN_MS_MAX: i64 = 366 * 24 * HOUR_MS;
/// Without a span: the last thirty days.
const SPAN_MS: i64 = 30 * 24 * HOUR_MS;

/// The routes below `/api/v1/panel`.
pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(summary))
        .routes(routes!(table))
}

/// Which hours.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    from: Option<i64>,
    to: Option<i64>,
}

/// Plays over some time.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct StatsView {
    /// Begin, milliseconds since 1970-01-01 UTC.
    from_unix_ms: i64,
    /// End, exclusive.
    to_unix_ms: i64,
    /// How many days are kept; 0: nothing is counted.
    kept_days: u16,
    /// The sums.
    #[serde(flatten)]
    sums: Summary,
}

/// How often which button played: by button, by hour of the day, by day. No personal data.
#[utoipa::path(get, path = "/stats", tag = "panel statistics",
    params(("from" = Option<i64>, Query, description = "begin, milliseconds since 1970; else thirty days before the end"),
        ("to" = Option<i64>, Query, description = "end, exclusive; else now")),
    responses((status = 200, body = StatsView), (status = 422, body = Problem)))]
async fn summary(
    _: access::Viewer,
    State(shared): Panel,
    Query(span): Query<Span>,
) -> Result<Json<StatsView>, Problem> {
    let (from, to, rows) = rows(&shared, span).await?;
    let mut sums = Summary::new(&rows, shared.settings.media(), &TimeZone::system());
    let media = shared.snapshot.borrow().media.clone();
    for button in &mut sums.buttons {
        button.title = media.item(button.button).and_then(|i| i.title.clone());
    }
    Ok(Json(StatsView {
        from_unix_ms: from,
        to_unix_ms: to,
        kept_days: shared.settings.statistics_days,
        sums,
    }))
}

/// The same hour by hour and button by button, for a spreadsheet.
#[utoipa::path(get, path = "/stats.csv", tag = "panel statistics",
    params(("from" = Option<i64>, Query, description = "begin, milliseconds since 1970; else thirty days before the end"),
        ("to" = Option<i64>, Query, description = "end, exclusive; else now")),
    responses((status = 200, content_type = "text/csv", body = String), (status = 422, body = Problem)))]
async fn table(
    _: access::Viewer,
    State(shared): Panel,
    Query(span): Query<Span>,
) -> Result<Response, Problem> {
    let (_, _, rows) = rows(&shared, span).await?;
    let media = shared.snapshot.borrow().media.clone();
    let title = |button| media.item(button).and_then(|i| i.title.clone());
    let text = stats::csv(&rows, &TimeZone::system(), title);
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"leitstand-plays.csv\"",
        ),
    ];
    Ok((headers, text).into_response())
}

async fn rows(shared: &Shared, span: Span) -> Result<(i64, i64, Vec<Row>), Problem> {
    let to = span
        .to
        .unwrap_or_else(|| shared.cx.clock.wall().unix_ms + 1);
    let from = span.from.unwrap_or(to.saturating_sub(SPAN_MS));
    if !(0..=SPAN_MS_MAX).contains(&to.saturating_sub(from)) {
        let text = "from comes before to, and at most 366 days lie between them";
        return Err(Problem::unprocessable("bad_span", text));
    }
    // The hour in which the span begins counts whole.
    let from = from.div_euclid(HOUR_MS) * HOUR_MS;
    store_pending(shared).await?;
    let rows = stats::rows(&shared.cx.store, from, to).await;
    Ok((from, to, rows.map_err(not_stored)?))
}

/// What was counted in the last seconds belongs to the answer.
async fn store_pending(shared: &Shared) -> Result<(), Problem> {
    let (to, pending) = oneshot::channel();
    let asked = shared.inputs.send(Message::Tally(to)).await;
    asked.map_err(|_| NotRunning)?;
    let pending = pending.await.map_err(|_| NotRunning)?;
    if pending.is_empty() {
        return Ok(());
    }
    let added = pending.add_to(&shared.cx.store, None).await;
    added.map_err(not_stored)
}
