//! What can be looked at. Every handler answers from the newest snapshot.

use crate::history::SECONDS;
use crate::hub::Hub;
use crate::view::{
    Alarm, Cell, Counts, Device, History, Output, Power, Sensor, ServiceView, Snapshot, StatusView,
    Zone,
};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use leitstand_kit::access;
use leitstand_kit::api::{Json, Page, Problem, Query, Tagged, UrlPath};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

type Answer<T> = Result<Json<T>, Problem>;

fn missing(what: &str, id: &str) -> Problem {
    Problem::not_found(format!("the gas service has no {what} `{id}`"))
}

fn find<'a, T>(
    items: &'a [T],
    what: &str,
    id: &str,
    of: impl Fn(&T) -> &str,
) -> Result<&'a T, Problem> {
    items
        .iter()
        .find(|i| of(i) == id)
        .ok_or_else(|| missing(what, id))
}

/// Everything of the site at one instant; the same object as the state frame `gas` of the stream.
#[utoipa::path(get, path = "/api/v1/gas/snapshot", tag = "gas", responses((status = 200, body = Snapshot), (status = 304), (status = 503, body = Problem)))]
pub(super) async fn snapshot(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(Tagged::new(&*hub.latest()?, &headers).into_response())
}

/// Level, health, counts, supply and service at a glance.
#[utoipa::path(get, path = "/api/v1/gas/status", tag = "gas", responses((status = 200, body = StatusView)))]
pub(super) async fn status(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
) -> Answer<StatusView> {
    let snapshot = hub.latest()?;
    let mut counts = Counts::default();
    for alarm in &snapshot.alarms {
        let count = match alarm.state {
            "active_unack" => &mut counts.active_unack,
            "active_ack" => &mut counts.active_ack,
            "rtn_unack" => &mut counts.rtn_unack,
            "latched_unack" => &mut counts.latched_unack,
            _ => &mut counts.latched_ack,
        };
        *count += 1;
    }
    Ok(Json(StatusView {
        status: snapshot.status.clone(),
        counts,
        power: snapshot.power.state,
        service: snapshot.service.state,
        uptime_s: snapshot.uptime_s,
        version: env!("CARGO_PKG_VERSION"),
        simulated: snapshot.simulated,
        notice: snapshot.notice,
    }))
}

/// All zones.
#[utoipa::path(get, path = "/api/v1/gas/zones", tag = "gas", responses((status = 200, body = Page<Zone>)))]
pub(super) async fn zones(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
) -> Answer<Page<Zone>> {
    Ok(Json(Page::all(hub.latest()?.zones.clone())))
}

/// A zone with its set points, their inputs and votes.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct ZoneDetail {
    /// The zone.
    #[serde(flatten)]
    zone: Zone,
    /// Its set points in full.
    details: Vec<crate::view::SetPoint>,
}

/// One zone.
#[utoipa::path(get, path = "/api/v1/gas/zones/{id}", tag = "gas", params(("id" = String, Path, description = "Zone")), responses((status = 200, body = ZoneDetail), (status = 404, body = Problem)))]
pub(super) async fn zone(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
    UrlPath(id): UrlPath<String>,
) -> Answer<ZoneDetail> {
    let snapshot = hub.latest()?;
    let zone = find(&snapshot.zones, "zone", &id, |z| &z.id)?;
    Ok(Json(ZoneDetail {
        zone: zone.clone(),
        details: snapshot
            .set_points
            .iter()
            .filter(|s| s.zone == id)
            .cloned()
            .collect(),
    }))
}

fn sensor_views(hub: &Hub, snapshot: &Snapshot) -> Vec<Sensor> {
    let device = |place: Option<(leitstand_core::gas::BusIndex, usize)>| -> Option<Device> {
        let (bus, at) = place?;
        snapshot.buses.get(bus.at())?.devices.get(at).cloned()
    };
    let view = |sensor: &crate::site::SensorInfo| {
        let cells = || {
            sensor
                .cells
                .iter()
                .filter_map(|c| snapshot.cells.get(c.at()))
        };
        Sensor {
            id: sensor.id.clone(),
            kind: sensor.kind,
            bus: sensor
                .place
                .map(|(bus, _)| hub.site.buses[bus.at()].id.clone()),
            address: sensor.address,
            profile: sensor.profile.clone(),
            cells: cells().map(|c| c.id.clone()).collect(),
            device: device(sensor.place),
            faults: cells().filter_map(|c| c.fault.clone()).collect(),
        }
    };
    hub.site.sensors.iter().map(view).collect()
}

/// All sensors with the statistics of their bus.
#[utoipa::path(get, path = "/api/v1/gas/sensors", tag = "gas", responses((status = 200, body = Page<Sensor>)))]
pub(super) async fn sensors(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
) -> Answer<Page<Sensor>> {
    let snapshot = hub.latest()?;
    Ok(Json(Page::all(sensor_views(&hub, &snapshot))))
}

/// One sensor.
#[utoipa::path(get, path = "/api/v1/gas/sensors/{id}", tag = "gas", params(("id" = String, Path, description = "Sensor")), responses((status = 200, body = Sensor), (status = 404, body = Problem)))]
pub(super) async fn sensor(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
    UrlPath(id): UrlPath<String>,
) -> Answer<Sensor> {
    let views = sensor_views(&hub, &*hub.latest()?);
    Ok(Json(find(&views, "sensor", &id, |s| &s.id)?.clone()))
}

/// All cells.
#[utoipa::path(get, path = "/api/v1/gas/cells", tag = "gas", responses((status = 200, body = Page<Cell>)))]
pub(super) async fn cells(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
) -> Answer<Page<Cell>> {
    Ok(Json(Page::all(hub.latest()?.cells.clone())))
}

/// One cell.
#[utoipa::path(get, path = "/api/v1/gas/cells/{id}", tag = "gas", params(("id" = String, Path, description = "Cell")), responses((status = 200, body = Cell), (status = 404, body = Problem)))]
pub(super) async fn cell(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
    UrlPath(id): UrlPath<String>,
) -> Answer<Cell> {
    Ok(Json(
        find(&hub.latest()?.cells, "cell", &id, |c| &c.id)?.clone(),
    ))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// Seconds back, 1 to 3600; 3600 unless given.
    window: Option<u32>,
    /// Seconds from one point to the next, 1 to `window`; 10 unless given.
    step: Option<u32>,
}

/// The last hour at most: the highest value of each step, oldest first; null is a gap.
#[utoipa::path(get, path = "/api/v1/gas/cells/{id}/history", tag = "gas", params(("id" = String, Path, description = "Cell"), Span), responses((status = 200, body = History), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn history(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
    UrlPath(id): UrlPath<String>,
    Query(span): Query<Span>,
) -> Answer<History> {
    let cell = hub.site.cell(&id).ok_or_else(|| missing("cell", &id))?;
    let window = span.window.unwrap_or(SECONDS as u32);
    let step = span.step.unwrap_or(10.min(window));
    if !(1..=SECONDS as u32).contains(&window) || !(1..=window).contains(&step) {
        let detail = format!("`window` is 1 to {SECONDS} seconds, `step` 1 to `window`");
        return Err(Problem::unprocessable("bad_span", detail));
    }
    Ok(Json(History {
        cell: id,
        unit: hub.site.cells[cell.at()].unit.as_str(),
        step_s: step,
        items: hub.history.read(cell.at(), window, step),
    }))
}

/// All alarms that are not normal, most urgent first.
#[utoipa::path(get, path = "/api/v1/gas/alarms", tag = "gas", responses((status = 200, body = Page<Alarm>)))]
pub(super) async fn alarms(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
) -> Answer<Page<Alarm>> {
    Ok(Json(Page::all(hub.latest()?.alarms.clone())))
}

/// One alarm, also while it is normal.
#[utoipa::path(get, path = "/api/v1/gas/alarms/{id}", tag = "gas", params(("id" = String, Path, description = "Alarm: `<zone>.<set point>` or `fault.<what>`")), responses((status = 200, body = Alarm), (status = 404, body = Problem)))]
pub(super) async fn alarm(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
    UrlPath(id): UrlPath<String>,
) -> Answer<Alarm> {
    alarm_view(&hub, &id).map(Json)
}

/// The present view of an alarm.
pub(super) fn alarm_view(hub: &Hub, id: &str) -> Result<Alarm, Problem> {
    use leitstand_core::gas::AlarmKey;
    let key = hub.site.alarm(id).ok_or_else(|| missing("alarm", id))?;
    let snapshot = hub.latest()?;
    if let Some(alarm) = snapshot.alarms.iter().find(|a| a.id == id) {
        return Ok(alarm.clone());
    }
    let point = match key {
        AlarmKey::SetPoint(i) => snapshot.set_points.get(i.at()),
        _ => None,
    };
    Ok(Alarm {
        id: id.to_owned(),
        kind: crate::facts::alarm_kind(key),
        zone: point.map(|p| p.zone.clone()),
        stage: point.map(|p| p.stage),
        state: "normal",
        since_unix_ms: point.and_then(|p| p.since_unix_ms),
        unacknowledged: false,
        resettable: false,
        silenced: false,
        overlay: point.and_then(|p| p.overlay.clone()),
        text: crate::facts::alarm_subject(&hub.site, key),
    })
}

/// All outputs.
#[utoipa::path(get, path = "/api/v1/gas/outputs", tag = "gas", responses((status = 200, body = Page<Output>)))]
pub(super) async fn outputs(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
) -> Answer<Page<Output>> {
    Ok(Json(Page::all(hub.latest()?.outputs.clone())))
}

/// One output.
#[utoipa::path(get, path = "/api/v1/gas/outputs/{id}", tag = "gas", params(("id" = String, Path, description = "Output")), responses((status = 200, body = Output), (status = 404, body = Problem)))]
pub(super) async fn output(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
    UrlPath(id): UrlPath<String>,
) -> Answer<Output> {
    output_view(&hub, &id).map(Json)
}

/// The present view of an output.
pub(super) fn output_view(hub: &Hub, id: &str) -> Result<Output, Problem> {
    Ok(find(&hub.latest()?.outputs, "output", id, |o| &o.id)?.clone())
}

/// Mains and battery.
#[utoipa::path(get, path = "/api/v1/gas/power", tag = "gas", responses((status = 200, body = Power)))]
pub(super) async fn power(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
) -> Answer<Power> {
    Ok(Json(hub.latest()?.power.clone()))
}

/// Operating time and intervals.
#[utoipa::path(get, path = "/api/v1/gas/service", tag = "gas", responses((status = 200, body = ServiceView)))]
pub(super) async fn service(
    access::Viewer(_caller): access::Viewer,
    State(hub): State<Arc<Hub>>,
) -> Answer<ServiceView> {
    Ok(Json(hub.latest()?.service.clone()))
}
