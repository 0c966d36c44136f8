//! `/healthz` and `/metrics`.

use axum::{
    Extension,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Json;
use crate::{
    Context,
    auth::{Caller, access},
    health::{Level, Report},
};

pub(super) fn routes(cx: &Context) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(metrics))
        .with_state(cx.clone())
}

/// Whether every loop turns. Open to all; without a login only the sum is told.
#[utoipa::path(get, path = "/healthz", tag = "gateway", responses(
    (status = 200, body = Report, description = "good or degraded"),
    (status = 503, body = Report, description = "a critical loop or a service has failed"),
))]
async fn healthz(State(cx): State<Context>, caller: Option<Extension<Caller>>) -> Response {
    let report = cx.health.report();
    let status = if report.health == Level::Failed {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let headers = [(header::CACHE_CONTROL, "no-store")];
    match caller {
        Some(_) => (status, headers, Json(report)).into_response(),
        // Notes may name files and devices.
        None => (status, headers, Json(json!({ "health": report.health }))).into_response(),
    }
}

/// Counters and gauges for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "gateway", responses(
    (status = 200, content_type = "text/plain", body = String, description = "text exposition 0.0.4"),
))]
async fn metrics(State(cx): State<Context>, _: access::Viewer) -> Response {
    let gauge = |name, help, labels: &[(&'static str, &str)], value| {
        cx.metrics.gauge(name, help, labels).set(value)
    };
    gauge(
        "leitstand_uptime_seconds",
        "Since the process started.",
        &[],
        cx.clock.uptime().as_secs_f64(),
    );
    if let Some(bytes) = resident_bytes() {
        gauge(
            "leitstand_resident_bytes",
            "Memory in use.",
            &[],
            bytes as f64,
        );
    }
    for service in cx.health.report().services {
        let value = f64::from(service.health as u8);
        gauge(
            "leitstand_service_health",
            "0 good, 1 degraded, 2 failed.",
            &[("service", &service.name)],
            value,
        );
    }
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        cx.metrics.render(),
    )
        .into_response()
}

/// From `/proc/self/status`; `None` where there is none.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}
