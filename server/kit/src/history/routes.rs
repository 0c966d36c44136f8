//! `/api/v1/history`: which series there are, and what a range of one looked like.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{About, Range, Step, db, query::STEPS_MAX};
use crate::{
    Context,
    api::{Json, Page, Problem, Query},
    auth::access,
    store::StoreError,
};

/// Longest range. Reasoning: rollups are kept for ten years.
const RANGE_MS_MAX: i64 = 3660 * 24 * 3_600_000;

pub(crate) fn routes(cx: &Context) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(data))
        .with_state(cx.clone())
}

/// One series.
#[derive(Serialize, ToSchema)]
struct SeriesView {
    /// `<service>.<id>`.
    name: String,
    /// `ppm`, `V`, `%`.
    unit: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Name of the series.
    series: String,
    /// From, in milliseconds since 1970-01-01 UTC.
    from: i64,
    /// To before; now without.
    to: Option<i64>,
    /// Steps wanted at most, 1 to 4000.
    steps: Option<u32>,
}

/// A range of a series.
#[derive(Serialize, ToSchema)]
struct DataView {
    /// Its name.
    series: String,
    /// Of all values.
    unit: String,
    /// What the steps were made from: `raw`, `minutes` or `hours`.
    source: &'static str,
    /// Width of a step.
    step_ms: i64,
    /// Steps with something in them; what is missing was not measured.
    items: Vec<StepView>,
}

/// One step.
#[derive(Serialize, ToSchema)]
struct StepView {
    /// Its beginning, in milliseconds since 1970-01-01 UTC.
    at_unix_ms: i64,
    /// Lowest value.
    min: f64,
    /// Mean over the covered time.
    mean: f64,
    /// Highest value.
    max: f64,
    /// Seconds covered by trusted values.
    covered_s: f64,
}

/// All series that were ever recorded
#[utoipa::path(get, path = "/api/v1/history", tag = "history", responses((status = 200, body = Page<SeriesView>)))]
async fn list(
    State(cx): State<Context>,
    _: access::Viewer,
) -> Result<Json<Page<SeriesView>>, Problem> {
    let all = cx.store.read(db::all_series).await.map_err(unavailable)?;
    let view = |(_, about): (i64, About)| SeriesView {
        name: about.name,
        unit: about.unit,
    };
    Ok(Json(Page::all(all.into_iter().map(view).collect())))
}

/// Lowest, mean and highest values of a range, in at most as many steps as asked for
#[utoipa::path(get, path = "/api/v1/history/data", tag = "history", params(Wanted), responses(
    (status = 200, body = DataView),
    (status = 400, body = Problem, description = "`bad_query`: the range is empty or too long"),
    (status = 404, body = Problem, description = "no series has that name"),
))]
async fn data(
    State(cx): State<Context>,
    _: access::Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Json<DataView>, Problem> {
    let to_ms = wanted.to.unwrap_or_else(|| cx.clock.wall().unix_ms);
    let steps = wanted.steps.unwrap_or(600);
    let span = to_ms.checked_sub(wanted.from);
    if !span.is_some_and(|span| (1..=RANGE_MS_MAX).contains(&span)) {
        let text = "from must lie before to, by ten years at most";
        return Err(Problem::bad_request("bad_query", text));
    }
    if !(1..=STEPS_MAX).contains(&steps) {
        let text = format!("steps: 1 to {STEPS_MAX}");
        return Err(Problem::bad_request("bad_query", text));
    }
    let all = cx.store.read(db::all_series).await.map_err(unavailable)?;
    let found = all.into_iter().find(|(_, a)| a.name == wanted.series);
    let (id, about) =
        found.ok_or_else(|| Problem::not_found(format!("no series {}", wanted.series)))?;
    let range = Range {
        from_ms: wanted.from,
        to_ms,
        steps,
    };
    let (source, step_ms) = range.step();
    let buckets = cx.history.query(id, range).await.map_err(unavailable)?;
    let scale = f64::from(about.scale.max(1));
    let shown = |value: i64| value as f64 / scale;
    Ok(Json(DataView {
        series: about.name,
        unit: about.unit,
        source: match source {
            Step::Raw => "raw",
            Step::Minutes => "minutes",
            Step::Hours => "hours",
        },
        step_ms,
        items: buckets
            .into_iter()
            .map(|b| StepView {
                at_unix_ms: b.at_ms,
                min: shown(b.min),
                mean: shown(b.mean),
                max: shown(b.max),
                covered_s: b.covered_ms as f64 / 1000.0,
            })
            .collect(),
    }))
}

fn unavailable(error: StoreError) -> Problem {
    tracing::error!(%error, "reading the history");
    Problem::unavailable("history", "the history cannot be read at the moment")
}
