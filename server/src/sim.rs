//! The simulated site's own API, in the demo only: see what the scenario does, and make things happen.

use axum::extract::State;
use leitstand_hal_mock::scenario::ROUND_S;
use leitstand_hal_mock::site::{BUTTONS, BoardAction, Handle, Refused, TARGETS, kinds};
use leitstand_kit::access::{Operator, Viewer};
use leitstand_kit::api::{Json, Problem};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes around a running simulation.
pub(crate) fn routes(site: Handle) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(state))
        .routes(routes!(cell))
        .routes(routes!(mains))
        .routes(routes!(fault))
        .routes(routes!(press))
        .routes(routes!(board))
        .with_state(site)
}

/// State of the simulated site.
#[derive(Debug, Serialize, ToSchema)]
struct SimView {
    /// What happens: `quiet`, `rush_hour` or `clearing`.
    phase: &'static str,
    /// Seconds into this round of the scenario.
    seconds: f64,
    /// Length of a round in seconds.
    round_seconds: f64,
    /// Rounds that are over.
    rounds: u64,
    /// True gas in ppm at each cell.
    gas: BTreeMap<String, f64>,
    /// Cells held by hand and the value they are held at; `null` = the scenario has it.
    cells: BTreeMap<String, Option<f64>>,
    /// What the gateway's relays make the fans do.
    fans: FansView,
    /// The supply.
    mains: MainsView,
    /// Faults that are on, from the scenario or by hand.
    faults: Vec<FaultView>,
    /// Every kind of fault, with what it can happen to.
    fault_kinds: Vec<&'static str>,
    /// Everything that can be faulty.
    targets: Vec<&'static str>,
    /// Buttons of the simulated board.
    buttons: u8,
}

#[derive(Debug, Serialize, ToSchema)]
struct FansView {
    /// Low speed is on.
    low: bool,
    /// High speed is on.
    high: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct MainsView {
    /// Whether mains is present.
    ok: bool,
    /// Whether it is held by hand.
    held: bool,
    /// Battery voltage in mV.
    battery_mv: i32,
}

#[derive(Debug, Serialize, ToSchema)]
struct FaultView {
    /// One of `targets`.
    target: &'static str,
    /// One of `fault_kinds`.
    kind: &'static str,
    /// Always true: faults that are off are not listed.
    on: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CellBody {
    /// Id of a cell, for example `co_1`.
    cell: String,
    /// Gas in ppm, 0 to 1000; `null` gives the cell back to the scenario.
    value: Option<f64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MainsBody {
    /// Holds mains present or absent; `null` gives it back to the scenario.
    ok: Option<bool>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FaultBody {
    /// One of `targets`.
    target: String,
    /// One of `fault_kinds`.
    kind: String,
    /// Begins or ends it.
    on: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PressBody {
    /// Number of the button, from 1.
    button: u32,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BoardBody {
    /// What happens to the board.
    action: BoardVerb,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BoardVerb {
    /// The cable is pulled.
    Unplug,
    /// The cable is put back.
    Replug,
    /// The firmware starts anew.
    Reboot,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
struct Done {
    /// Always true.
    ok: bool,
}

type Answer = Result<Json<Done>, Problem>;

fn done(result: Result<(), Refused>) -> Answer {
    let Err(refused) = result else {
        return Ok(Json(Done { ok: true }));
    };
    let text = refused.to_string();
    Err(match refused {
        Refused::NoSuchTarget => Problem::not_found(text).with("allowed", TARGETS.to_vec()),
        Refused::NoSuchKind => Problem::unprocessable("no_such_kind", text)
            .with("allowed", kinds().collect::<Vec<_>>()),
        Refused::DoesNotFit => Problem::unprocessable("does_not_fit", text),
        Refused::OutOfRange => Problem::unprocessable("out_of_range", text),
    })
}

/// What the scenario does now
#[utoipa::path(get, path = "/api/v1/sim", tag = "sim", responses((status = 200, body = SimView)))]
async fn state(State(site): State<Handle>, _: Viewer) -> Json<SimView> {
    let view = site.view();
    Json(SimView {
        phase: view.phase.name(),
        seconds: (view.seconds * 10.0).round() / 10.0,
        round_seconds: ROUND_S,
        rounds: view.rounds,
        gas: view
            .cells
            .iter()
            .map(|(c, ppm, _)| (c.id(), (ppm * 100.0).round() / 100.0))
            .collect(),
        cells: view
            .cells
            .iter()
            .map(|(c, _, held)| (c.id(), *held))
            .collect(),
        fans: FansView {
            low: view.fans.low,
            high: view.fans.high,
        },
        mains: MainsView {
            ok: view.mains_ok,
            held: view.mains_held,
            battery_mv: view.battery.0,
        },
        faults: view
            .faults
            .into_iter()
            .map(|(target, kind)| FaultView {
                target,
                kind,
                on: true,
            })
            .collect(),
        fault_kinds: kinds().collect(),
        targets: TARGETS.to_vec(),
        buttons: BUTTONS,
    })
}

/// Holds the gas at a cell
#[utoipa::path(post, path = "/api/v1/sim/cell", tag = "sim", request_body = CellBody,
    responses((status = 200, body = Done), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn cell(State(site): State<Handle>, _: Operator, Json(body): Json<CellBody>) -> Answer {
    done(site.hold_cell(&body.cell, body.value))
}

/// Takes the mains away, or gives it back
#[utoipa::path(post, path = "/api/v1/sim/mains", tag = "sim", request_body = MainsBody,
    responses((status = 200, body = Done)))]
async fn mains(State(site): State<Handle>, _: Operator, Json(body): Json<MainsBody>) -> Answer {
    site.hold_mains(body.ok);
    done(Ok(()))
}

/// Begins or ends a fault
#[utoipa::path(post, path = "/api/v1/sim/fault", tag = "sim", request_body = FaultBody,
    responses((status = 200, body = Done), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn fault(State(site): State<Handle>, _: Operator, Json(body): Json<FaultBody>) -> Answer {
    done(site.fault(&body.target, &body.kind, body.on))
}

/// Presses and releases a button of the board
#[utoipa::path(post, path = "/api/v1/sim/press", tag = "sim", request_body = PressBody,
    responses((status = 200, body = Done), (status = 422, body = Problem)))]
async fn press(State(site): State<Handle>, _: Operator, Json(body): Json<PressBody>) -> Answer {
    done(site.press(body.button))
}

/// Pulls the board's cable, puts it back, or restarts the board
#[utoipa::path(post, path = "/api/v1/sim/board", tag = "sim", request_body = BoardBody,
    responses((status = 200, body = Done)))]
async fn board(State(site): State<Handle>, _: Operator, Json(body): Json<BoardBody>) -> Answer {
    site.board(match body.action {
        BoardVerb::Unplug => BoardAction::Unplug,
        BoardVerb::Replug => BoardAction::Replug,
        BoardVerb::Reboot => BoardAction::Reboot,
    });
    done(Ok(()))
}
