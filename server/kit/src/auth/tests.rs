#![allow(clippy::unwrap_used)]

mod entry;
mod lease;
mod login;
mod tokens;

use std::net::SocketAddr;

use axum::{
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{Request, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::{Clock, clock::ManualClock, events::Filter};

struct Bench {
    _dir: tempfile::TempDir,
    cx: Context,
    hand: ManualClock,
    auth: Auth,
    app: Router,
}

const REMOTE: &str = "10.0.0.9:5000";
const LOCAL: &str = "127.0.0.1:5000";
const PASSWORD: &str = "correct horse battery";

fn bench(loopback: bool, trust_loopback: bool) -> Bench {
    bench_with(loopback, trust_loopback, false)
}

/// Off loopback, every connection encrypted.
fn encrypted() -> Bench {
    bench_with(false, true, true)
}

fn bench_with(loopback: bool, trust_loopback: bool, tls: bool) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = Clock::manual();
    let cx = Context::for_tests_with(dir.path(), clock);
    let settings = Settings {
        loopback,
        trust_loopback,
        tls,
        open_assets: vec!["/ui/login.css".into()],
    };
    let auth = Auth::open(&cx, settings).unwrap();
    let who = |access::Viewer(c): access::Viewer| async move {
        format!("{} {} {:?}", c.name, c.role.name(), c.via)
    };
    let routes = Router::new()
        .route("/", get(who))
        .route("/forgotten", post(|| async { "changed" }))
        .route("/endless", get(endless))
        .route("/ws", get(|| async { "upgraded" }))
        .route("/ui/login.css", get(|| async { "css" }))
        .route("/ui/app.js", get(|| async { "js" }))
        .route("/healthz", get(|| async { "ok" }))
        .merge(Router::from(auth.routes()));
    let app = auth.protect(routes);
    Bench {
        _dir: dir,
        cx,
        hand,
        auth,
        app,
    }
}

/// Something at once, then nothing for ever.
async fn endless(_: access::Viewer) -> Body {
    use futures_util::{StreamExt as _, stream};
    let first = stream::iter([Ok::<_, std::convert::Infallible>("first")]);
    Body::from_stream(first.chain(stream::pending()))
}

/// Off loopback, as on a real site.
fn site() -> Bench {
    bench(false, true)
}

/// `METHOD path`, then `Header: value` lines, then a JSON body if any.
fn request(peer: &str, lines: &str, body: Option<Value>) -> Request<Body> {
    let mut lines = lines.lines().map(str::trim);
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    let mut host = "gateway:8080";
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Host" {
            host = value;
        } else {
            request = request.header(name, value);
        }
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let peer: SocketAddr = peer.parse().unwrap();
    let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
    request
        .header("host", host)
        .extension(ConnectInfo(peer))
        .body(body)
        .unwrap()
}

impl Bench {
    async fn ask(&self, peer: &str, lines: &str, body: Option<Value>) -> Response<Body> {
        self.app
            .clone()
            .oneshot(request(peer, lines, body))
            .await
            .unwrap()
    }

    async fn status(&self, peer: &str, lines: &str) -> u16 {
        self.ask(peer, lines, None).await.status().as_u16()
    }

    async fn text(&self, peer: &str, lines: &str) -> String {
        text(self.ask(peer, lines, None).await).await
    }

    async fn login(&self, name: &str, password: &str) -> Response<Body> {
        self.ask(
            REMOTE,
            "POST /login",
            Some(json!({"name": name, "password": password})),
        )
        .await
    }

    /// A session cookie of a new user.
    async fn user(&self, name: &'static str, role: Role) -> String {
        let auth = self.auth.clone();
        tokio::task::spawn_blocking(move || auth.add_user(name, PASSWORD, role).unwrap())
            .await
            .unwrap();
        cookie(&self.login(name, PASSWORD).await).unwrap()
    }

    async fn token(&self, name: &'static str, role: Role, expires_in: Option<Duration>) -> String {
        let auth = self.auth.clone();
        tokio::task::spawn_blocking(move || auth.add_token(name, role, expires_in).unwrap())
            .await
            .unwrap()
    }

    async fn kinds(&self) -> Vec<String> {
        self.cx.events.flush().await;
        let page = self
            .cx
            .events
            .query(Filter {
                oldest_first: true,
                ..Filter::default()
            })
            .await
            .unwrap();
        page.items
            .iter()
            .map(|e| format!("{} {}", e.kind, e.actor.as_deref().unwrap_or("-")))
            .collect()
    }
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(
        to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap()
            .into(),
    )
    .unwrap()
}

async fn code(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let problem: Value = serde_json::from_str(&text(response).await).unwrap();
    (status, problem["code"].as_str().unwrap().to_owned())
}

fn cookie(response: &Response<Body>) -> Option<String> {
    let value = response.headers().get("set-cookie")?.to_str().unwrap();
    Some(value.split(';').next().unwrap().to_owned())
}
