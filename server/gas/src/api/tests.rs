//! The routes on a real service with a simulated sensor, without a socket: roles, problems, shapes.
#![allow(clippy::unwrap_used)]

use crate::configuration::memory::InMemory;
use crate::{Gas, Setup, build};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use leitstand_kit::access::{Role, as_role};
use leitstand_kit::supervisor::Supervisor;
use leitstand_kit::{CancellationToken, Context};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt as _;

const SITE: &str = include_str!("../../../../tests/data/garage.toml");

struct Api {
    router: Router,
    documented: Value,
    cx: Context,
    running: tokio::task::JoinHandle<Result<(), leitstand_kit::ServiceError>>,
    _dir: tempfile::TempDir,
}

impl Api {
    /// The sample with simulated sensors in the place of its two combi sensors.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cx = Context::for_tests(dir.path()).with_stop(CancellationToken::new());
        let mut text = SITE.replace(
            "kind = \"ra_gas_co_no2\"",
            "kind = \"simulated\"\nprofile = \"constant\"",
        );
        text = text.replace(
            "production = false",
            "production = false\ncheck_visual_days = 30",
        );
        for address in [1, 2] {
            text = text.replace(
                &format!("bus = \"rs485\"\naddress = {address}\n"),
                "low = 2\n",
            );
        }
        let (site, diags) = crate::config::check_text(&text, "test.toml");
        let setup = Setup {
            site: site.unwrap_or_else(|| panic!("{}", diags.report(false))),
            port: Arc::new(|_| None),
            register: Arc::new(|_| None),
            mains: None,
            battery: None,
            shutdown: Arc::new(|_| ()),
            configuration: InMemory::new(&text, true),
        };
        let gas: Gas = build(setup, &cx).unwrap();
        let mut supervisor = Supervisor::new(cx.clone());
        let (router, documented) = supervisor.add(gas.into_plan()).split_for_parts();
        let api = Self {
            router,
            documented: serde_json::to_value(documented).unwrap(),
            running: tokio::spawn(supervisor.run()),
            cx,
            _dir: dir,
        };
        let mut frames = api.cx.frames.follow("gas");
        let ready = frames.wait_for(|f| {
            f.as_deref().is_some_and(|f| {
                f.contains("\"healthy_signal\":true") || f.contains("\"bus_fault\"")
            })
        });
        tokio::time::timeout(Duration::from_secs(20), ready)
            .await
            .unwrap()
            .unwrap();
        api
    }

    async fn call(
        &self,
        role: Role,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        let body = body.map_or_else(Body::empty, |b| {
            request = std::mem::take(&mut request).header("Content-Type", "application/json");
            Body::from(b.to_string())
        });
        let request = request.body(body).unwrap();
        let router = as_role(self.router.clone(), role);
        let answer = router.oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20)
            .await
            .unwrap();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Role::Viewer, Method::GET, path, None).await
    }

    async fn stop(self) {
        self.cx.stop.cancel();
        self.running.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_answers_and_absent_things_are_404() {
    let api = Api::start().await;
    let (_, snapshot) = api.get("/api/v1/gas/snapshot").await;
    assert_eq!(
        snapshot["notice"],
        "Not a type-approved gas-warning controller."
    );
    assert_eq!(snapshot["simulated"], true);
    assert_eq!(snapshot["status"]["config_drift"], true);
    let keys: BTreeSet<&str> = snapshot
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "alarms",
        "buses",
        "cells",
        "notice",
        "outputs",
        "power",
        "quality",
        "self_test",
        "seq",
        "service",
        "set_points",
        "simulated",
        "status",
        "unix_ms",
        "uptime_s",
        "zones",
    ];
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), expected);
    for path in [
        "status",
        "zones",
        "zones/garage",
        "sensors",
        "sensors/level1",
        "cells",
        "cells/co_1",
        "cells/co_1/history?window=60&step=5",
        "alarms",
        "alarms/garage.co_ap3",
        "alarms/fault.co_1",
        "alarms/fault.power",
        "outputs",
        "outputs/horn",
        "power",
        "service",
    ] {
        let (status, body) = api.get(&format!("/api/v1/gas/{path}")).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    let (_, history) = api
        .get("/api/v1/gas/cells/co_1/history?window=60&step=5")
        .await;
    assert_eq!(history["items"].as_array().unwrap().len(), 12);
    assert_eq!(history["items"][11]["age_s"], 0);
    for path in [
        "zones/x",
        "sensors/x",
        "cells/x",
        "cells/x/history",
        "alarms/x",
        "outputs/x",
    ] {
        let (status, problem) = api.get(&format!("/api/v1/gas/{path}")).await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (404, Some("not_found")),
            "{path}"
        );
    }
    for query in ["window=0", "window=3601", "window=10&step=11", "step=0"] {
        let (status, _) = api
            .get(&format!("/api/v1/gas/cells/co_1/history?{query}"))
            .await;
        assert_eq!(status, 422, "{query}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_need_their_role_and_say_what_is_wrong() {
    let api = Api::start().await;
    let reason = || Some(json!({"reason": "test"}));
    let minutes = || Some(json!({"minutes": 10, "reason": "test"}));
    // Path, least role, body, and the answer to somebody who may.
    let writes: Vec<(&str, Method, Role, Option<Value>, u16)> = vec![
        (
            "alarms/garage.co_ap1/ack",
            Method::POST,
            Role::Operator,
            None,
            409,
        ),
        (
            "alarms/garage.co_ap1/reset",
            Method::POST,
            Role::Operator,
            reason(),
            409,
        ),
        ("alarms/ack-all", Method::POST, Role::Operator, None, 200),
        (
            "alarms/garage.co_ap1/shelve",
            Method::POST,
            Role::Operator,
            minutes(),
            200,
        ),
        (
            "alarms/garage.co_ap1/unshelve",
            Method::POST,
            Role::Operator,
            None,
            200,
        ),
        (
            "alarms/garage.co_ap1/unshelve",
            Method::POST,
            Role::Operator,
            None,
            409,
        ),
        (
            "alarms/garage.co_ap3/shelve",
            Method::POST,
            Role::Operator,
            minutes(),
            409,
        ),
        ("horn/silence", Method::POST, Role::Operator, None, 200),
        ("one-button", Method::POST, Role::Operator, None, 200),
        (
            "outputs/fan_low",
            Method::PUT,
            Role::Engineer,
            Some(json!({"mode": "on", "reason": "test"})),
            200,
        ),
        (
            "outputs/fan_low",
            Method::PUT,
            Role::Engineer,
            Some(json!({"mode": "auto"})),
            200,
        ),
        (
            "outputs/lamp-test",
            Method::POST,
            Role::Engineer,
            Some(json!({"seconds": 1})),
            200,
        ),
        (
            "cells/co_1/inhibit",
            Method::POST,
            Role::Engineer,
            minutes(),
            200,
        ),
        ("cells/co_1/return", Method::POST, Role::Engineer, None, 200),
        ("cells/co_1/return", Method::POST, Role::Engineer, None, 409),
        (
            "cells/co_1/out-of-service",
            Method::POST,
            Role::Engineer,
            reason(),
            200,
        ),
        (
            "cells/co_1/confirm-calibration",
            Method::POST,
            Role::Engineer,
            None,
            409,
        ),
        (
            "service/done",
            Method::POST,
            Role::Engineer,
            Some(json!({"by": "Anna", "note": "new cells"})),
            200,
        ),
        (
            "service/checks/visual/done",
            Method::POST,
            Role::Engineer,
            None,
            200,
        ),
        (
            "service/checks/x/done",
            Method::POST,
            Role::Engineer,
            None,
            404,
        ),
        (
            "power/battery-test",
            Method::POST,
            Role::Engineer,
            None,
            409,
        ),
        (
            "config/validate",
            Method::POST,
            Role::Admin,
            Some(json!({"text": "[gas]\nproduction = 3"})),
            200,
        ),
    ];
    for (path, method, least, body, expected) in writes {
        let path = format!("/api/v1/gas/{path}");
        let below = match least {
            Role::Operator => Role::Viewer,
            Role::Engineer => Role::Operator,
            _ => Role::Engineer,
        };
        let (status, _) = api.call(below, method.clone(), &path, body.clone()).await;
        assert_eq!(status, 403, "{path} as {below:?}");
        let (status, answer) = api.call(least, method, &path, body).await;
        assert_eq!(status, expected, "{path}: {answer}");
        if status >= 400 {
            assert!(
                answer["code"].is_string() && answer["detail"].is_string(),
                "{answer}"
            );
        }
    }
    let (_, service) = api.get("/api/v1/gas/service").await;
    assert_eq!(service["history"][0]["by"], "Anna");
    assert_eq!(service["history"][0]["entered_by"], "test");
    let (_, cell) = api.get("/api/v1/gas/cells/co_1").await;
    assert_eq!(cell["overlay"]["kind"], "out_of_service");
    assert_eq!(cell["overlay"]["reason"], "test");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_bodies_are_named_and_change_nothing() {
    let api = Api::start().await;
    let shelve = "/api/v1/gas/alarms/garage.co_ap1/shelve";
    for (body, code) in [
        (json!({"minutes": 10}), "wrong_shape"),
        (json!({"minutes": "10", "reason": "x"}), "wrong_shape"),
        (
            json!({"minutes": 10, "reason": "x", "more": 1}),
            "wrong_shape",
        ),
        (json!({"minutes": 10, "reason": "  "}), "bad_text"),
        (
            json!({"minutes": 10, "reason": "x".repeat(501)}),
            "bad_text",
        ),
        (json!({"minutes": 4, "reason": "x"}), "span_out_of_range"),
        (json!({"minutes": 481, "reason": "x"}), "span_out_of_range"),
        (
            json!({"minutes": u32::MAX, "reason": "x"}),
            "span_out_of_range",
        ),
    ] {
        let (status, problem) = api
            .call(Role::Operator, Method::POST, shelve, Some(body.clone()))
            .await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (422, Some(code)),
            "{body}: {problem}"
        );
    }
    let (_, alarm) = api.get("/api/v1/gas/alarms/garage.co_ap1").await;
    assert_eq!(alarm["overlay"], Value::Null);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_is_documented_with_its_answers() {
    let api = Api::start().await;
    let paths = api.documented["paths"].as_object().unwrap();
    let count = paths
        .values()
        .map(|p| p.as_object().unwrap().len())
        .sum::<usize>();
    assert_eq!(count, 44, "{:?}", paths.keys());
    for (path, methods) in paths {
        assert!(path.starts_with("/api/"), "{path}");
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["responses"]["200"].is_object(), "{method} {path}");
        }
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_without_registers_is_checked_and_kept() {
    let api = Api::start().await;
    let path = "/api/v1/gas/cells/co_level1";
    let (_, cells) = api.get("/api/v1/gas/cells").await;
    let id = cells["items"][0]["id"].as_str().unwrap();
    let path = path.replace("co_level1", id);
    let gas = json!({"point": "zero", "ppm": 0, "reason": "quarterly"});
    let calibrate = format!("{path}/calibrate");
    let (status, _) = api
        .call(Role::Operator, Method::POST, &calibrate, Some(gas.clone()))
        .await;
    assert_eq!(status, 403, "an engineer's work");
    let (status, done) = api
        .call(Role::Engineer, Method::POST, &calibrate, Some(gas))
        .await;
    assert_eq!((status, &done["step"]), (200, &json!("done")), "{done}");
    assert_eq!(done["record"]["kind"], "CalibrationChecked");
    let (_, kept) = api.get(&format!("{path}/records")).await;
    assert_eq!(kept["items"][0]["seq"], done["record"]["seq"]);
    let (_, cell) = api.get(&path).await;
    assert_eq!(cell["overlay"]["kind"], "inhibited");
    api.stop().await;
}
