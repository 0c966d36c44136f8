//! Gas at the sensor: calibration, bump test, and what is kept of both.

use super::write::{Answer, Site, text};
use crate::calibration::{Outcome, Wanted};
use crate::records::{self, Drift, Record};
use crate::view::Cell;
use axum::extract::State;
use leitstand_core::gas::calibrate::Point;
use leitstand_core::gas::plan::{Direction, Quantity};
use leitstand_core::gas::{CellIndex, Command};
use leitstand_core::units::Concentration;
use leitstand_kit::access;
use leitstand_kit::api::{Json, Problem, UrlPath};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// Longest bump test. Reasoning: gas reaches a cell in minutes or not at all.
const BUMP_MINUTES_MAX: u32 = 60;

/// Which end of the line.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PointView {
    /// Zero gas is at the sensor.
    Zero,
    /// Span gas is at the sensor.
    Span,
}

/// Gas is at the sensor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Calibrate {
    /// Which end of the line is set.
    point: PointView,
    /// Concentration of the gas, in the cell's unit; whole ppm where the sensor keeps it in a register.
    ppm: f64,
    /// In words, for the journal and the record.
    reason: String,
    /// The second word: what the answer to the first request said.
    #[serde(default)]
    confirm: Option<String>,
}

/// Gas will be let onto a cell for a moment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BumpTest {
    /// How long the cell may take to see it, 1 to 60.
    minutes: u32,
    /// What it must reach, in its unit; the limit of its lowest alarm stage unless given.
    #[serde(default)]
    target: Option<f64>,
    /// In words, for the journal and the record.
    reason: String,
}

/// What is kept of a cell.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Records {
    /// Calibrations and bump tests, newest first.
    items: Vec<Record>,
    /// How far off it was each time gas was applied.
    drift: Drift,
}

/// Sets the zero or span point. The first request inhibits the cell for 15 minutes and shows which registers
/// would change; the second, with `confirm`, writes them, reads them back and keeps a record. A cell without such
/// registers is recorded at once: its transmitter is adjusted by hand.
#[utoipa::path(post, path = "/api/v1/gas/cells/{id}/calibrate", tag = "gas", params(("id" = String, Path, description = "Cell")), request_body = Calibrate, responses((status = 200, body = Outcome), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn calibrate(
    access::Engineer(caller): access::Engineer,
    State(hub): Site,
    UrlPath(id): UrlPath<String>,
    Json(given): Json<Calibrate>,
) -> Answer<Outcome> {
    let cell = hub.cell(&id)?;
    let info = &hub.site.cells[cell.at()];
    if !(info.range_lo..=info.range_hi).contains(&given.ppm) {
        let detail = format!("the cell measures {} to {}", info.range_lo, info.range_hi);
        return Err(Problem::unprocessable("gas_out_of_range", detail));
    }
    let wanted = Wanted {
        cell,
        point: match given.point {
            PointView::Zero => Point::Zero,
            PointView::Span => Point::Span,
        },
        applied: given.ppm,
        reason: text("reason", given.reason)?,
        confirm: given.confirm,
    };
    hub.calibrate(wanted, &caller).await.map(Json)
}

/// Inhibits the cell and waits for it to see gas within the window. The result is an event and a record.
#[utoipa::path(post, path = "/api/v1/gas/cells/{id}/bump-test", tag = "gas", params(("id" = String, Path, description = "Cell")), request_body = BumpTest, responses((status = 200, body = Cell), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn bump_test(
    access::Engineer(caller): access::Engineer,
    State(hub): Site,
    UrlPath(id): UrlPath<String>,
    Json(given): Json<BumpTest>,
) -> Answer<Cell> {
    let cell = hub.cell(&id)?;
    let why = text("reason", given.reason)?;
    if !(1..=BUMP_MINUTES_MAX).contains(&given.minutes) {
        let detail = format!("`minutes` is 1 to {BUMP_MINUTES_MAX}");
        return Err(Problem::unprocessable("span_out_of_range", detail));
    }
    let (limit, direction) = lowest_limit(&hub.site.plan, cell).unzip();
    let info = &hub.site.cells[cell.at()];
    let target = match given.target {
        Some(target) if (info.range_lo..=info.range_hi).contains(&target) => {
            Some(Concentration::from_milli((target * 1000.0).round() as i32))
        }
        Some(_) => {
            let detail = format!("the cell measures {} to {}", info.range_lo, info.range_hi);
            return Err(Problem::unprocessable("gas_out_of_range", detail));
        }
        None => limit,
    };
    let target = target.ok_or_else(|| {
        let detail = "no set point looks at the value of this cell; name a `target`";
        Problem::unprocessable("no_target", detail)
    })?;
    let what = Command::BumpTest {
        cell,
        target,
        direction: direction.unwrap_or_default(),
        span: Duration::from_secs(u64::from(given.minutes) * 60),
    };
    hub.order(what, &caller, Some(why), None).await?;
    hub.cell_view(cell).map(Json)
}

/// The limit that a small bump reaches first.
fn lowest_limit(
    plan: &leitstand_core::gas::SitePlan,
    cell: CellIndex,
) -> Option<(Concentration, Direction)> {
    plan.set_points
        .iter()
        .filter(|point| point.cells.contains(cell))
        .filter(|point| matches!(point.quantity, Quantity::Direct | Quantity::Average(_)))
        .min_by_key(|point| point.stage)
        .map(|point| (point.on, point.direction))
}

/// Calibrations and bump tests of a cell, and its drift.
#[utoipa::path(get, path = "/api/v1/gas/cells/{id}/records", tag = "gas", params(("id" = String, Path, description = "Cell")), responses((status = 200, body = Records), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn records(
    access::Viewer(_caller): access::Viewer,
    State(hub): Site,
    UrlPath(id): UrlPath<String>,
) -> Answer<Records> {
    let cell = hub.cell(&id)?;
    let info = &hub.site.cells[cell.at()];
    let items = records::of_cell(&hub.cx.store, &id)
        .await
        .map_err(|e| Problem::unavailable("store_unavailable", e.to_string()))?;
    let drift = records::drift(&items, info.range_hi - info.range_lo);
    Ok(Json(Records { items, drift }))
}
