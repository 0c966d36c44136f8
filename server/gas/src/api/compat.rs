//! The read-only paths of the xMZ-Plattform's second server, in its shapes. `{i}` and `{j}` are positions in the
//! lists, as there; an absent one is 404.
//!
//! The original knows combi sensors and analog modules; type names are those that it serialises.

use crate::hub::Hub;
use crate::view::Snapshot;
use axum::extract::State;
use leitstand_kit::access;
use leitstand_kit::api::{Json, Problem, UrlPath};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

type Answer<T> = Result<Json<T>, Problem>;

/// The server.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct XmzServer {
    /// Days between services.
    service_interval: u16,
    /// Always null: paths are nobody's business.
    configuration_path: Option<String>,
    /// Always null.
    runtime_info_path: Option<String>,
    /// All sensors.
    sensors: Vec<XmzSensor>,
}

/// A sensor.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct XmzSensor {
    /// Position in the list.
    id: usize,
    /// Type as the original names it.
    sensor_type: &'static str,
    /// Its cells.
    messzellen: Vec<XmzCell>,
}

/// A cell.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct XmzCell {
    /// Type as the original names it.
    messzelle_type: String,
    /// Value and time of the last good poll; null without one, and while it cannot be trusted.
    #[schema(value_type = Option<Vec<Object>>)]
    value: Option<(f64, XmzTime)>,
}

/// A time since 1970.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct XmzTime {
    secs_since_epoch: u64,
    nanos_since_epoch: u32,
}

fn view(hub: &Hub, snapshot: &Snapshot) -> Vec<XmzSensor> {
    let cell = |kind: &str, cell: &crate::view::Cell| {
        let polled = snapshot
            .unix_ms
            .saturating_sub(i64::try_from(cell.age_ms.unwrap_or(0)).unwrap_or(0));
        let polled = u64::try_from(polled).unwrap_or(0);
        let time = XmzTime {
            secs_since_epoch: polled / 1000,
            nanos_since_epoch: u32::try_from(polled % 1000).unwrap_or(0) * 1_000_000,
        };
        let messzelle_type = match (kind, cell.gas) {
            ("ra_gas_co_no2", "co") => "RaGasCoMod".to_owned(),
            ("ra_gas_co_no2", _) => "RaGasNo2Mod".to_owned(),
            ("analog", _) => "MetzConnectAnalog420".to_owned(),
            (_, gas) => format!("Simulation{}", gas.to_uppercase()),
        };
        XmzCell {
            messzelle_type,
            value: cell.value.map(|value| (value, time)),
        }
    };
    hub.site
        .sensors
        .iter()
        .enumerate()
        .map(|(id, sensor)| XmzSensor {
            id,
            sensor_type: match sensor.kind {
                "ra_gas_co_no2" => "RaGasCoNo2Mod",
                "analog" => "MetzConnectCI4",
                _ => "Simulation",
            },
            messzellen: sensor
                .cells
                .iter()
                .filter_map(|c| snapshot.cells.get(c.at()))
                .map(|c| cell(sensor.kind, c))
                .collect(),
        })
        .collect()
}

fn absent(what: &str) -> Problem {
    Problem::not_found(format!("there is no such {what}"))
}

/// xMZ: the server.
#[utoipa::path(get, path = "/api/", tag = "xmz", responses((status = 200, body = XmzServer)))]
pub(super) async fn server(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
) -> Answer<XmzServer> {
    let snapshot = hub.latest()?;
    Ok(Json(XmzServer {
        service_interval: snapshot.service.interval_days,
        configuration_path: None,
        runtime_info_path: None,
        sensors: view(&hub, &snapshot),
    }))
}

/// xMZ: all sensors.
#[utoipa::path(get, path = "/api/sensors/", tag = "xmz", responses((status = 200, body = Vec<XmzSensor>)))]
pub(super) async fn sensors(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
) -> Answer<Vec<XmzSensor>> {
    let snapshot = hub.latest()?;
    Ok(Json(view(&hub, &snapshot)))
}

fn one(hub: &Hub, i: usize) -> Result<XmzSensor, Problem> {
    let snapshot = hub.latest()?;
    view(hub, &snapshot)
        .into_iter()
        .nth(i)
        .ok_or_else(|| absent("sensor"))
}

/// xMZ: the sensor at a position.
#[utoipa::path(get, path = "/api/sensor/{i}", tag = "xmz", params(("i" = usize, Path, description = "Position")), responses((status = 200, body = XmzSensor), (status = 404, body = Problem)))]
pub(super) async fn sensor(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
    UrlPath(i): UrlPath<usize>,
) -> Answer<XmzSensor> {
    one(&hub, i).map(Json)
}

/// xMZ: the cells of a sensor.
#[utoipa::path(get, path = "/api/sensor/{i}/messzellen", tag = "xmz", params(("i" = usize, Path, description = "Position")), responses((status = 200, body = Vec<XmzCell>), (status = 404, body = Problem)))]
pub(super) async fn cells(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
    UrlPath(i): UrlPath<usize>,
) -> Answer<Vec<XmzCell>> {
    Ok(Json(one(&hub, i)?.messzellen))
}

/// xMZ: one cell of a sensor.
#[utoipa::path(get, path = "/api/sensor/{i}/messzelle/{j}", tag = "xmz", params(("i" = usize, Path, description = "Position"), ("j" = usize, Path, description = "Position")), responses((status = 200, body = XmzCell), (status = 404, body = Problem)))]
pub(super) async fn cell(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
    UrlPath((i, j)): UrlPath<(usize, usize)>,
) -> Answer<XmzCell> {
    one(&hub, i)?
        .messzellen
        .get(j)
        .cloned()
        .map(Json)
        .ok_or_else(|| absent("cell"))
}
