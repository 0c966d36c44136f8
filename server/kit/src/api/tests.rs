#![allow(clippy::unwrap_used)]
use std::time::Duration;

use axum::{
    Router,
    body::{Body, BodyDataStream, to_bytes},
    http::Request,
    response::Response,
    routing::get,
};
use expect_test::expect;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use utoipa_axum::router::OpenApiRouter;

use super::*;
use crate::{
    NewEvent, Severity,
    auth::{Auth, Role, Settings, access},
    events::csv,
};

struct Bench {
    _dir: tempfile::TempDir,
    cx: Context,
    app: Router,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::for_tests(dir.path());
    let app = access::as_role(Router::from(routes(&cx)), Role::Viewer);
    Bench { _dir: dir, cx, app }
}

async fn ask(app: &Router, path: &str) -> Response {
    app.clone()
        .oneshot(Request::get(path).body(Body::empty()).unwrap())
        .await
        .unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(
        to_bytes(response.into_body(), 1 << 24)
            .await
            .unwrap()
            .into(),
    )
    .unwrap()
}

async fn json_of(app: &Router, path: &str) -> Value {
    serde_json::from_str(&text(ask(app, path).await).await).unwrap()
}

async fn record(cx: &Context, count: usize) {
    for n in 0..count {
        drop(
            cx.events
                .record(NewEvent::new("gas", "Something").text(format!("entry {n}"))),
        );
    }
    cx.events.flush().await;
}

fn seqs(page: &Value) -> Vec<u64> {
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["seq"].as_u64().unwrap())
        .collect()
}

/// A client of the stream that reads message by message.
struct Listener(BodyDataStream, String);

impl Listener {
    async fn open(app: &Router, path: &str, last_event_id: Option<&str>) -> Self {
        let mut request = Request::get(path);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = app
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut listener = Self(response.into_body().into_data_stream(), String::new());
        assert_eq!(listener.message().await, "retry: 2000");
        listener
    }

    /// The next message, comments too.
    async fn message(&mut self) -> String {
        loop {
            if let Some((message, rest)) = self.1.split_once("\n\n") {
                let message = message.to_owned();
                self.1 = rest.to_owned();
                return message;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await;
            let chunk = chunk
                .expect("a message")
                .expect("the stream goes on")
                .unwrap();
            self.1.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next message that is no comment.
    async fn event(&mut self) -> String {
        loop {
            let message = self.message().await;
            if !message.starts_with(':') {
                return message;
            }
        }
    }

    async fn entry(&mut self) -> u64 {
        let message = self.event().await;
        let [event, id, data] = message.lines().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(event, "event: entry");
        let seq = id.strip_prefix("id: ").unwrap().parse().unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data["seq"], seq);
        seq
    }
}

#[tokio::test]
async fn events_are_paged_filtered_and_continue_with_next() {
    let bench = bench();
    record(&bench.cx, 5).await;
    drop(
        bench.cx.events.record(
            NewEvent::new("panel", "Pressed")
                .severity(Severity::Fault)
                .text("Ä button"),
        ),
    );
    bench.cx.events.flush().await;
    let page = json_of(&bench.app, "/api/v1/events?limit=2").await;
    assert_eq!(seqs(&page), [6, 5]);
    assert_eq!(page["next"], "4");
    assert_eq!(page["items"][0]["text"], "Ä button");
    let page = json_of(&bench.app, "/api/v1/events?limit=2&until=4").await;
    assert_eq!((seqs(&page), &page["next"]), (vec![4, 3], &json!("2")));
    assert_eq!(
        seqs(&json_of(&bench.app, "/api/v1/events?order=oldest&since=4").await),
        [5, 6]
    );
    assert_eq!(
        seqs(&json_of(&bench.app, "/api/v1/events?service=panel").await),
        [6]
    );
    assert_eq!(
        seqs(&json_of(&bench.app, "/api/v1/events?severity=warning").await),
        [6]
    );
    assert_eq!(
        seqs(&json_of(&bench.app, "/api/v1/events?kind=Pressed").await),
        [6]
    );
    assert_eq!(
        seqs(&json_of(&bench.app, "/api/v1/events?text=%C3%84+b").await),
        [6]
    );
    assert_eq!(
        seqs(&json_of(&bench.app, "/api/v1/events?text=5").await),
        Vec::<u64>::new(),
        "a number is a text too"
    );
    let all = json_of(
        &bench.app,
        "/api/v1/events?service=&severity=&text=&kind=&since=&until=&limit=",
    )
    .await;
    assert_eq!(seqs(&all), [6, 5, 4, 3, 2, 1]);
    assert!(all.get("next").is_none());
}

#[tokio::test]
async fn a_bad_query_of_events_is_a_problem() {
    let bench = bench();
    let long = format!("text={}", "x".repeat(201));
    for query in [
        "severity=loud",
        "limit=many",
        "limit=-1",
        "since=1.5",
        "format=xml",
        "order=random",
        &long,
    ] {
        let response = ask(&bench.app, &format!("/api/v1/events?{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
        let problem: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(problem["code"], "bad_query", "{query}");
    }
}

#[tokio::test]
async fn the_whole_journal_can_be_taken_as_csv() {
    let bench = bench();
    record(&bench.cx, 2300).await;
    for path in ["/api/v1/events.csv", "/api/v1/events?format=csv"] {
        let response = ask(&bench.app, path).await;
        assert_eq!(
            response.headers()["content-type"],
            "text/csv; charset=utf-8; header=present"
        );
        assert!(
            response.headers()["content-disposition"]
                .to_str()
                .unwrap()
                .contains("leitstand-events.csv")
        );
        let table = text(response).await;
        let lines: Vec<_> = table.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 2301);
        assert_eq!(lines[0], csv::HEADER.trim_end());
        assert!(lines[1].starts_with("2300,") && lines[2300].starts_with("1,"));
    }
    let some = text(ask(&bench.app, "/api/v1/events.csv?limit=3&order=oldest").await).await;
    assert_eq!(
        some.lines()
            .skip(1)
            .map(|l| l.split(',').next().unwrap())
            .collect::<Vec<_>>(),
        ["1", "2", "3"]
    );
}

#[tokio::test]
async fn the_stream_resumes_without_gap_or_repetition() {
    let bench = bench();
    record(&bench.cx, 450).await;
    for (path, id) in [
        ("/api/v1/stream", Some("7")),
        ("/api/v1/stream?since=7", None),
        ("/api/v1/stream?since=3", Some("7")),
    ] {
        let mut listener = Listener::open(&bench.app, path, id).await;
        record(&bench.cx, 1).await;
        let newest = bench.cx.events.last_seq();
        for expected in 8..=newest {
            assert_eq!(listener.entry().await, expected);
        }
    }
}

#[tokio::test]
async fn without_a_number_the_stream_has_only_what_is_new() {
    let bench = bench();
    record(&bench.cx, 3).await;
    for id in [None, Some("nonsense"), Some("99")] {
        let mut listener = Listener::open(&bench.app, "/api/v1/stream", id).await;
        // The first comment says that listening has begun.
        assert_eq!(listener.message().await, ":");
        record(&bench.cx, 1).await;
        assert_eq!(listener.entry().await, bench.cx.events.last_seq());
    }
}

#[tokio::test]
async fn a_reader_that_misses_entries_gets_them_from_the_journal() {
    let bench = bench();
    let mut listener = Listener::open(&bench.app, "/api/v1/stream?since=0", None).await;
    // More than a subscriber may be behind and than the queue holds.
    for _ in 0..3 {
        record(&bench.cx, 1000).await;
    }
    for expected in 1..=3000 {
        assert_eq!(listener.entry().await, expected);
    }
}

#[tokio::test]
async fn states_come_at_once_and_then_on_change_at_most_four_a_second() {
    let bench = bench();
    bench.cx.frames.publish("gas", "{\"n\":\n0}");
    let mut listener = Listener::open(&bench.app, "/api/v1/stream?frames=gas,panel", None).await;
    expect![[r#"
        event: state
        data: {"service":"gas","state":{"n": 0}}"#]]
    .assert_eq(&listener.event().await);
    let start = std::time::Instant::now();
    let publisher = tokio::spawn({
        let frames = bench.cx.frames.clone();
        async move {
            for n in 1..=100 {
                frames.publish("gas", format!("{{\"n\":{n}}}"));
                tokio::time::sleep(Duration::from_millis(6)).await;
            }
        }
    });
    let mut count = 0;
    while !listener.event().await.contains("\"n\":100}") {
        count += 1;
    }
    // From the side that cannot fail on a slow machine: never more than four a second and one.
    let most = start.elapsed().as_millis() / 250 + 1;
    assert!(count <= most, "{count} states in {:?}", start.elapsed());
    publisher.await.unwrap();
    bench.cx.frames.publish("panel", "[]");
    assert!(
        listener
            .event()
            .await
            .contains(r#"{"service":"panel","state":[]}"#),
        "from the first publication on"
    );
}

#[tokio::test]
async fn a_bad_list_of_frames_is_refused() {
    let bench = bench();
    for frames in [
        "GAS",
        "gas%0Aevil",
        "a,b,c,d,e,f,g,h,i",
        "x1",
        &"x".repeat(33),
    ] {
        assert_eq!(
            ask(&bench.app, &format!("/api/v1/stream?frames={frames}"))
                .await
                .status(),
            400,
            "{frames}"
        );
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::for_tests(dir.path());
    let app = access::as_role(
        Router::from(stream::routes_with(&cx, Duration::from_millis(20))),
        Role::Viewer,
    );
    let mut slow = Listener::open(&app, "/api/v1/stream?since=0", None).await;
    record(&cx, 200).await;
    let dropped = "leitstand_stream_dropped_total 1\n";
    tokio::time::timeout(Duration::from_secs(10), async {
        while !cx.metrics.render().contains(dropped) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    // What was queued can still be read, then the stream ends; the client comes back with its last number.
    let mut last = 0;
    while slow.1.contains("\n\n")
        || slow.0.next().await.is_some_and(|chunk| {
            slow.1
                .push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
            true
        })
    {
        if slow.message().await.starts_with("event") {
            last += 1;
        }
    }
    assert!((1..200).contains(&last), "{last}");
    let mut again = Listener::open(&app, "/api/v1/stream", Some(&last.to_string())).await;
    assert_eq!(again.entry().await, last + 1);
}

#[tokio::test]
async fn the_number_of_listeners_has_an_end_and_those_who_leave_make_room() {
    let bench = bench();
    let mut listeners = Vec::new();
    for _ in 0..256 {
        listeners.push(Listener::open(&bench.app, "/api/v1/stream", None).await);
    }
    let refused = ask(&bench.app, "/api/v1/stream").await;
    assert_eq!(refused.status(), 503);
    assert!(text(refused).await.contains("too_many_streams"));
    listeners.pop();
    tokio::time::timeout(Duration::from_secs(10), async {
        while ask(&bench.app, "/api/v1/stream").await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn streams_end_when_the_gateway_stops() {
    let bench = bench();
    let mut listener = Listener::open(&bench.app, "/api/v1/stream", None).await;
    bench.cx.stop.cancel();
    let end = async { while listener.0.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), end)
        .await
        .unwrap();
}

#[tokio::test]
async fn healthz_answers_503_when_a_critical_loop_has_failed_and_tells_strangers_only_the_sum() {
    let bench = bench();
    let heart = bench
        .cx
        .health
        .critical("gas", "evaluate", Duration::from_secs(3600));
    heart.beat();
    let good = ask(&bench.app, "/healthz").await;
    assert_eq!(good.status(), 200);
    let report: Value = serde_json::from_str(&text(good).await).unwrap();
    let gas = report["services"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["name"] == "gas")
        .unwrap();
    assert_eq!(gas["loops"][0]["name"], "evaluate");
    assert_eq!(gas["loops"][0]["beats"], 1);
    heart.degrade("slow");
    assert_eq!(ask(&bench.app, "/healthz").await.status(), 200);
    drop(heart);
    assert_eq!(ask(&bench.app, "/healthz").await.status(), 503);
    let stranger = Router::from(routes(&bench.cx));
    assert_eq!(
        text(ask(&stranger, "/healthz").await).await,
        r#"{"health":"failed"}"#
    );
}

#[tokio::test]
async fn metrics_are_served_as_text() {
    let bench = bench();
    bench
        .cx
        .metrics
        .counter("leitstand_gas_polls_total", "Polls.", &[])
        .inc();
    let response = ask(&bench.app, "/metrics").await;
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let body = text(response).await;
    assert!(body.contains("leitstand_gas_polls_total 1\n"), "{body}");
    assert!(
        body.contains("leitstand_service_health{service=\"store\"} 0\n"),
        "{body}"
    );
    assert!(body.contains("leitstand_uptime_seconds "), "{body}");
}

fn assembled(loopback: bool) -> (tempfile::TempDir, Router) {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::for_tests(dir.path());
    let auth = Auth::open(
        &cx,
        Settings {
            loopback,
            trust_loopback: true,
            tls: false,
            open_assets: vec![],
        },
    )
    .unwrap();
    let extra: OpenApiRouter =
        OpenApiRouter::new().route("/panic", get(async || -> String { panic!("a defect") }));
    let router = routes(&cx).merge(auth.routes()).merge(extra);
    (dir, assemble(router, "Leitstand", "1.2.3", &auth))
}

async fn local(app: &Router, method: &str, path: &str) -> Response {
    let peer: std::net::SocketAddr = "127.0.0.1:5000".parse().unwrap();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .extension(axum::extract::ConnectInfo(peer));
    app.clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn every_route_of_the_description_needs_a_login_off_loopback_but_login_claim_and_health() {
    let (_dir, app) = assembled(true);
    let api: Value =
        serde_json::from_str(&text(local(&app, "GET", "/openapi.json").await).await).unwrap();
    assert_eq!(
        (&api["info"]["title"], &api["info"]["version"]),
        (&json!("Leitstand"), &json!("1.2.3"))
    );
    assert!(api["info"].get("contact").is_none(), "nobody else's name");
    let (_dir, strict) = assembled(false);
    let mut closed = Vec::new();
    for (path, operations) in api["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let filled = path.replace("{name}", "x");
            let status = local(&strict, &method.to_uppercase(), &filled)
                .await
                .status()
                .as_u16();
            if ["/login", "/claim", "/healthz"].contains(&path.as_str()) {
                // Answered by the handler, which knows its own 401.
                assert_ne!(status, 403, "{method} {path}");
            } else {
                assert_eq!(status, 401, "{method} {path}");
                closed.push(format!("{method} {path}"));
            }
        }
    }
    expect![[r#"
        get /api/v1/events
        get /api/v1/events.csv
        get /api/v1/history
        get /api/v1/history/data
        get /api/v1/me
        get /api/v1/stream
        get /api/v1/tokens
        post /api/v1/tokens
        delete /api/v1/tokens/{name}
        get /api/v1/users
        post /api/v1/users
        delete /api/v1/users/{name}
        put /api/v1/users/{name}
        post /logout
        get /metrics
        get /openapi.json"#]]
    .assert_eq(&closed.join("\n"));
}

#[tokio::test]
async fn what_is_not_there_and_what_panics_are_problems() {
    let (_dir, app) = assembled(true);
    for (method, path, status, code) in [
        ("GET", "/nothing/here", 404, "not_found"),
        ("GET", "/api/v1/eventz", 404, "not_found"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
        ("GET", "/panic", 500, "internal"),
    ] {
        let response = local(&app, method, path).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
        let problem: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&json!(code), &json!(status)),
            "{path}"
        );
    }
}

#[test]
fn a_problem_has_the_members_of_rfc_9457_and_its_code() {
    let problem = Problem::conflict("not_shelvable", "a fault alarm cannot be shelved")
        .with("alarm", "fault.co_1");
    expect![[r#"{"status":409,"title":"Conflict","code":"not_shelvable","detail":"a fault alarm cannot be shelved","alarm":"fault.co_1"}"#]]
        .assert_eq(&serde_json::to_string(&problem).unwrap());
}
