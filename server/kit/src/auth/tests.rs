#![allow(clippy::unwrap_used)]
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
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = Clock::manual();
    let cx = Context::for_tests_with(dir.path(), clock);
    let settings = Settings {
        loopback,
        trust_loopback,
        open_assets: vec!["/ui/login.css".into()],
    };
    let auth = Auth::open(&cx, settings).unwrap();
    let who = |access::Viewer(c): access::Viewer| async move {
        format!("{} {} {:?}", c.name, c.role.name(), c.via)
    };
    let routes = Router::new()
        .route("/", get(who))
        .route("/forgotten", post(|| async { "changed" }))
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

#[tokio::test]
async fn off_loopback_without_a_login_only_the_open_paths_answer() {
    let bench = site();
    for peer in [REMOTE, LOCAL] {
        for path in [
            "/",
            "/ui/app.js",
            "/ws",
            "/nonsense",
            "/api/v1/me",
            "/api/v1/tokens",
            "/openapi.json",
            "/login/",
            "/LOGIN",
            "/login/../",
            "/healthz/x",
            "/ui/login.css/../app.js",
            "/%6cogin",
        ] {
            assert_eq!(
                bench.status(peer, &format!("GET {path}")).await,
                401,
                "{peer} {path}"
            );
        }
        for path in ["/ui/login.css", "/healthz"] {
            assert_eq!(
                bench.status(peer, &format!("GET {path}")).await,
                200,
                "{peer} {path}"
            );
        }
        assert_eq!(bench.status(peer, "POST /forgotten").await, 401);
        assert_eq!(bench.status(peer, "POST /logout").await, 401);
        assert_eq!(
            bench.status(peer, "GET /login").await,
            405,
            "open; the page itself is not ours"
        );
    }
    let refusal = bench.ask(REMOTE, "GET /", None).await;
    assert_eq!(refusal.headers()["www-authenticate"], "Bearer");
    assert_eq!(code(refusal).await, (401, "login_required".into()));
}

#[tokio::test]
async fn a_person_without_a_login_is_led_to_the_login_page() {
    let bench = site();
    let page = bench
        .ask(REMOTE, "GET /gas/x%22?a=1\nAccept: text/html,*/*", None)
        .await;
    assert_eq!(page.status(), 401);
    let html = text(page).await;
    assert!(html.contains("url=/login?next=/gas/x%2522\""), "{html}");
    let api = bench
        .ask(REMOTE, "GET /api/v1/me\nAccept: text/html", None)
        .await;
    assert_eq!(code(api).await.0, 401);
}

#[tokio::test]
async fn on_loopback_a_local_peer_is_engineer_and_a_remote_one_nobody() {
    let bench = bench(true, true);
    assert_eq!(
        bench.text(LOCAL, "GET /\nHost: localhost:8080").await,
        "local engineer Loopback"
    );
    assert_eq!(
        bench.text("[::1]:5", "GET /\nHost: [::1]:8080").await,
        "local engineer Loopback"
    );
    assert_eq!(
        bench
            .text("[::ffff:127.0.0.1]:5", "GET /\nHost: 127.0.0.1")
            .await,
        "local engineer Loopback"
    );
    assert_eq!(
        bench.status(REMOTE, "GET /\nHost: localhost:8080").await,
        401
    );
    assert_eq!(
        bench
            .status(LOCAL, "GET /api/v1/users\nHost: localhost:8080")
            .await,
        403,
        "not admin"
    );
}

#[tokio::test]
async fn a_proxied_or_rebound_name_does_not_count_as_local() {
    let bench = bench(true, true);
    for host in [
        "garage.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
    ] {
        assert_eq!(
            bench.status(LOCAL, &format!("GET /\nHost: {host}")).await,
            401,
            "{host}"
        );
    }
}

#[tokio::test]
async fn without_trust_in_loopback_local_peers_need_a_login_too() {
    let bench = bench(true, false);
    assert_eq!(bench.status(LOCAL, "GET /\nHost: localhost").await, 401);
    assert!(bench.auth.claim_code().is_some());
}

#[tokio::test]
async fn a_router_without_connection_information_trusts_nobody() {
    let bench = bench(true, true);
    let request = Request::get("/")
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    assert_eq!(
        bench.app.clone().oneshot(request).await.unwrap().status(),
        401
    );
}

#[tokio::test]
async fn the_claim_code_makes_the_first_admin_and_works_once() {
    let bench = site();
    let printed = bench.auth.claim_code().unwrap();
    let claim = |code: &str, name: &str, password: &str| {
        bench.ask(
            REMOTE,
            "POST /claim",
            Some(json!({"code": code, "name": name, "password": password})),
        )
    };
    assert_eq!(
        code(claim("aaaa-aaaa-aaaa", "erika", PASSWORD).await).await,
        (401, "wrong_code".into())
    );
    assert_eq!(
        code(claim(&printed, "erika", "short").await).await,
        (422, "not_acceptable".into())
    );
    assert_eq!(
        code(claim(&printed, "er ika", PASSWORD).await).await,
        (422, "not_acceptable".into())
    );
    let claimed = claim(&printed.to_uppercase(), "erika", PASSWORD).await;
    assert_eq!(claimed.status(), 204);
    let cookie = cookie(&claimed).unwrap();
    assert_eq!(
        bench
            .text(REMOTE, &format!("GET /\nCookie: {cookie}"))
            .await,
        "erika admin Session"
    );
    assert_eq!(
        code(claim(&printed, "eve", PASSWORD).await).await,
        (409, "already_claimed".into())
    );
    assert_eq!(bench.auth.claim_code(), None);
    assert_eq!(bench.kinds().await, ["ClaimFailed -", "Claimed erika"]);
    let again = Auth::open(
        &bench.cx,
        Settings {
            loopback: false,
            trust_loopback: true,
            open_assets: vec![],
        },
    )
    .unwrap();
    assert_eq!(again.claim_code(), None, "no code once there is a user");
}

#[tokio::test]
async fn a_trusting_loopback_has_no_claim_code() {
    assert_eq!(bench(true, true).auth.claim_code(), None);
}

#[tokio::test]
async fn two_claims_at_once_make_one_admin() {
    let bench = site();
    let code = bench.auth.claim_code().unwrap();
    let claim = |name: &str| {
        bench.ask(
            REMOTE,
            "POST /claim",
            Some(json!({"code": code, "name": name, "password": PASSWORD})),
        )
    };
    let (one, two) = tokio::join!(claim("one"), claim("two"));
    let mut statuses = [one.status().as_u16(), two.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
    assert_eq!(bench.cx.store.read(db::users).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_login_sets_a_cookie_that_scripts_and_other_sites_cannot_use() {
    let bench = site();
    bench.user("erika", Role::Operator).await;
    let login = bench.login("erika", PASSWORD).await;
    assert_eq!(login.status(), 204);
    let set = login.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        set.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800"),
        "{set}"
    );
    assert!(login.headers()["set-cookie"].is_sensitive());
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_look_alike() {
    let bench = site();
    bench.user("erika", Role::Operator).await;
    let wrong = bench.login("erika", "wrong wrong wrong").await;
    let unknown = bench.login("nobody", PASSWORD).await;
    assert!(cookie(&wrong).is_none());
    assert_eq!(
        wrong.headers().get("content-type"),
        unknown.headers().get("content-type")
    );
    assert_eq!(text(wrong).await, text(unknown).await);
    assert_eq!(
        bench.kinds().await,
        ["LoggedIn erika", "LoginFailed -", "LoginFailed -"]
    );
}

#[tokio::test]
async fn guessing_passwords_meets_429_with_a_waiting_time() {
    let bench = site();
    bench.user("erika", Role::Operator).await;
    for _ in 0..5 {
        assert_eq!(
            bench.login("erika", "wrong wrong wrong").await.status(),
            401
        );
    }
    let refused = bench.login("erika", PASSWORD).await;
    assert_eq!(refused.headers()["retry-after"], "13");
    assert_eq!(code(refused).await, (429, "too_many_tries".into()));
    let elsewhere = bench
        .ask(
            "10.0.0.10:1",
            "POST /login",
            Some(json!({"name": "erika", "password": PASSWORD})),
        )
        .await;
    assert_eq!(elsewhere.status(), 204, "another address is not locked out");
    bench.hand.advance(Duration::from_secs(12));
    assert_eq!(bench.login("erika", PASSWORD).await.status(), 204);
}

#[tokio::test]
async fn guessing_the_claim_code_meets_429() {
    let bench = site();
    let claim = || {
        bench.ask(
            REMOTE,
            "POST /claim",
            Some(json!({"code": "x", "name": "eve", "password": PASSWORD})),
        )
    };
    for _ in 0..5 {
        assert_eq!(claim().await.status(), 401);
    }
    assert_eq!(claim().await.status(), 429);
}

#[tokio::test]
async fn a_session_ends_by_logout_by_time_and_with_its_user() {
    let bench = site();
    let cookie = bench.user("erika", Role::Operator).await;
    let get = format!("GET /\nCookie: other=1; {cookie}");
    assert_eq!(bench.text(REMOTE, &get).await, "erika operator Session");
    let out = bench
        .ask(REMOTE, &format!("POST /logout\nCookie: {cookie}"), None)
        .await;
    assert_eq!(out.status(), 204);
    assert!(
        out.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert_eq!(bench.status(REMOTE, &get).await, 401);

    let cookie = super::tests::cookie(&bench.login("erika", PASSWORD).await).unwrap();
    let get = format!("GET /\nCookie: {cookie}");
    bench.hand.advance(USER_SESSION - Duration::from_secs(1));
    assert_eq!(bench.status(REMOTE, &get).await, 200);
    bench.hand.advance(Duration::from_secs(1));
    assert_eq!(bench.status(REMOTE, &get).await, 401);

    let admin = bench.user("admin", Role::Admin).await;
    let cookie = super::tests::cookie(&bench.login("erika", PASSWORD).await).unwrap();
    let get = format!("GET /\nCookie: {cookie}");
    assert_eq!(bench.status(REMOTE, &get).await, 200);
    assert_eq!(
        bench
            .status(
                REMOTE,
                &format!("DELETE /api/v1/users/erika\nCookie: {admin}")
            )
            .await,
        204
    );
    assert_eq!(bench.status(REMOTE, &get).await, 401);
}

#[tokio::test]
async fn a_session_survives_a_restart_of_the_gateway() {
    let bench = site();
    let cookie = bench.user("erika", Role::Operator).await;
    let again = Auth::open(
        &bench.cx,
        Settings {
            loopback: false,
            trust_loopback: true,
            open_assets: vec![],
        },
    )
    .unwrap();
    let app = again.protect(Router::new().route("/", get(|| async { "in" })));
    let response = app
        .oneshot(request(REMOTE, &format!("GET /\nCookie: {cookie}"), None))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_token_opens_with_its_role_until_it_ends() {
    let bench = site();
    let token = bench
        .token("grafana", Role::Viewer, Some(Duration::from_secs(60)))
        .await;
    let get = format!("GET /\nAuthorization: Bearer {token}");
    assert_eq!(bench.text(REMOTE, &get).await, "grafana viewer Token");
    assert_eq!(
        bench
            .text(REMOTE, &format!("GET /\nAuthorization: bearer {token}"))
            .await,
        "grafana viewer Token"
    );
    bench.hand.advance(Duration::from_secs(60));
    assert_eq!(bench.status(REMOTE, &get).await, 401);
}

#[tokio::test]
async fn a_wrong_credential_is_refused_even_where_none_is_needed() {
    let bench = bench(true, true);
    for value in ["Bearer lst_wrong", "Bearer", "Basic ZXJpa2E6cGFzc3dvcmQ="] {
        assert_eq!(
            bench
                .status(
                    LOCAL,
                    &format!("GET /\nHost: localhost\nAuthorization: {value}")
                )
                .await,
            401,
            "{value}"
        );
    }
    assert_eq!(
        bench
            .status(LOCAL, "GET /?token=lst_wrong\nHost: localhost")
            .await,
        401
    );
    assert_eq!(
        bench
            .status(
                LOCAL,
                "GET /\nHost: localhost\nCookie: leitstand_session=old"
            )
            .await,
        200,
        "an old cookie is nobody's fault"
    );
}

#[tokio::test]
async fn secrets_are_stored_only_as_hashes() {
    let bench = site();
    let cookie = bench.user("erika", Role::Operator).await;
    let token = bench.token("grafana", Role::Viewer, None).await;
    bench.cx.events.flush().await;
    let dump = bench
        .cx
        .store
        .execute(|db| {
            db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(db.path().map(|p| std::fs::read(p).unwrap()).unwrap())
        })
        .await
        .unwrap();
    let holds = |secret: &str| dump.windows(secret.len()).any(|w| w == secret.as_bytes());
    assert!(
        holds("erika") && holds("grafana"),
        "the file is the right one"
    );
    let session = cookie.split_once('=').unwrap().1;
    for secret in [
        PASSWORD,
        token.as_str(),
        token.trim_start_matches("lst_"),
        session,
    ] {
        assert!(!holds(secret), "a secret is in the database");
    }
}

#[tokio::test]
async fn a_kiosk_brings_its_token_once_and_then_a_cookie() {
    let bench = site();
    let token = bench.token("hall", Role::Viewer, None).await;
    let first = bench
        .ask(
            REMOTE,
            &format!("GET /panel?lang=de&token={token}&x=1\nAccept: text/html"),
            None,
        )
        .await;
    assert_eq!(first.status(), 303);
    assert_eq!(
        first.headers()["location"],
        "/panel?lang=de&x=1",
        "the token leaves the address bar"
    );
    let cookie = cookie(&first).unwrap();
    assert_eq!(
        bench
            .text(REMOTE, &format!("GET /\nCookie: {cookie}"))
            .await,
        "hall viewer Session"
    );

    let program = bench
        .ask(REMOTE, &format!("GET /?token={token}"), None)
        .await;
    assert_eq!(program.status(), 200, "a program is answered at once");
    assert!(super::tests::cookie(&program).is_some());
    let open_redirect = bench
        .ask(
            REMOTE,
            &format!("GET //evil.example?token={token}\nAccept: text/html"),
            None,
        )
        .await;
    assert_eq!(open_redirect.headers()["location"], "/evil.example");

    let auth = bench.auth.clone();
    assert!(
        tokio::task::spawn_blocking(move || auth.revoke_token("hall"))
            .await
            .unwrap()
            .unwrap()
    );
    assert_eq!(
        bench
            .status(REMOTE, &format!("GET /\nCookie: {cookie}"))
            .await,
        401,
        "the cookie ends with its token"
    );
}

#[tokio::test]
async fn a_powerful_token_in_an_address_is_refused() {
    let bench = site();
    for (name, role, expected) in [
        ("a", Role::Admin, 403),
        ("e", Role::Engineer, 403),
        ("o", Role::Operator, 200),
    ] {
        let token = bench.token(name, role, None).await;
        assert_eq!(
            bench.status(REMOTE, &format!("GET /?token={token}")).await,
            expected,
            "{role:?}"
        );
    }
    let token = bench.token("post", Role::Operator, None).await;
    assert_eq!(
        bench
            .status(REMOTE, &format!("POST /forgotten?token={token}"))
            .await,
        401,
        "only on GET"
    );
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_and_opens_no_websocket() {
    let bench = bench(true, true);
    let local = "Host: localhost:8080";
    for origin in [
        "http://evil.example",
        "null",
        "http://localhost",
        "http://localhost:9090",
        "https://localhost:8080.evil.example",
        "file://",
    ] {
        let post = bench
            .ask(
                LOCAL,
                &format!("POST /forgotten\n{local}\nOrigin: {origin}"),
                None,
            )
            .await;
        assert_eq!(code(post).await, (403, "foreign_origin".into()), "{origin}");
        let ws = bench
            .status(
                LOCAL,
                &format!("GET /ws\n{local}\nUpgrade: WebSocket\nOrigin: {origin}"),
            )
            .await;
        assert_eq!(ws, 403, "{origin}");
    }
    assert_eq!(
        bench
            .status(
                LOCAL,
                &format!("POST /forgotten\n{local}\nSec-Fetch-Site: cross-site")
            )
            .await,
        403
    );
    assert_eq!(
        bench
            .status(
                LOCAL,
                &format!("POST /forgotten\n{local}\nSec-Fetch-Site: same-site")
            )
            .await,
        403
    );
    for fine in [
        "Origin: http://localhost:8080",
        "Origin: https://LOCALHOST:8080",
        "Sec-Fetch-Site: same-origin",
        "X-Nothing: 1",
    ] {
        assert_eq!(
            bench
                .status(LOCAL, &format!("POST /forgotten\n{local}\n{fine}"))
                .await,
            200,
            "{fine}"
        );
        assert_eq!(
            bench
                .status(
                    LOCAL,
                    &format!("GET /ws\n{local}\nUpgrade: websocket\n{fine}")
                )
                .await,
            200,
            "{fine}"
        );
    }
    let even_login = bench
        .status(
            LOCAL,
            &format!("POST /login\n{local}\nOrigin: http://evil.example"),
        )
        .await;
    assert_eq!(even_login, 403, "nobody is logged in by another site");
    assert_eq!(
        bench
            .status(
                LOCAL,
                &format!("GET /\n{local}\nOrigin: http://evil.example")
            )
            .await,
        200,
        "reading is the browser's affair"
    );
}

#[tokio::test]
async fn a_viewer_changes_nothing_even_where_a_handler_forgot_to_ask() {
    let bench = site();
    let viewer = bench.token("v", Role::Viewer, None).await;
    let operator = bench.token("o", Role::Operator, None).await;
    assert_eq!(
        bench
            .status(
                REMOTE,
                &format!("POST /forgotten\nAuthorization: Bearer {viewer}")
            )
            .await,
        403
    );
    assert_eq!(
        bench
            .status(
                REMOTE,
                &format!("POST /forgotten\nAuthorization: Bearer {operator}")
            )
            .await,
        200
    );
    assert_eq!(
        bench
            .status(
                REMOTE,
                &format!("POST /logout\nAuthorization: Bearer {viewer}")
            )
            .await,
        204
    );
}

#[tokio::test]
async fn only_admins_manage_tokens_and_users() {
    let bench = site();
    for role in [Role::Viewer, Role::Operator, Role::Engineer] {
        let token = bench.token(role.name(), role, None).await;
        for line in [
            "GET /api/v1/tokens",
            "GET /api/v1/users",
            "DELETE /api/v1/tokens/viewer",
            "DELETE /api/v1/users/x",
        ] {
            assert_eq!(
                bench
                    .status(REMOTE, &format!("{line}\nAuthorization: Bearer {token}"))
                    .await,
                403,
                "{role:?} {line}"
            );
        }
    }
}

#[tokio::test]
async fn tokens_are_made_listed_and_ended_over_the_api_and_audited() {
    let bench = site();
    let admin = bench.user("erika", Role::Admin).await;
    let new = json!({"name": "hall", "role": "viewer", "expires_s": 3600});
    let made = bench
        .ask(
            REMOTE,
            &format!("POST /api/v1/tokens\nCookie: {admin}"),
            Some(new.clone()),
        )
        .await;
    assert_eq!(made.status(), 201);
    let made: Value = serde_json::from_str(&text(made).await).unwrap();
    let token = made["token"].as_str().unwrap();
    assert_eq!(
        bench
            .text(REMOTE, &format!("GET /\nAuthorization: Bearer {token}"))
            .await,
        "hall viewer Token"
    );
    let twice = bench
        .ask(
            REMOTE,
            &format!("POST /api/v1/tokens\nCookie: {admin}"),
            Some(new),
        )
        .await;
    assert_eq!(code(twice).await, (409, "exists".into()));
    let list = bench
        .text(REMOTE, &format!("GET /api/v1/tokens\nCookie: {admin}"))
        .await;
    let expected = json!({"items": [{"name": "hall", "role": "viewer", "created_unix_ms": 1_767_225_600_000_u64, "expires_unix_ms": 1_767_229_200_000_u64}]});
    assert_eq!(serde_json::from_str::<Value>(&list).unwrap(), expected);
    assert_eq!(
        bench
            .status(
                REMOTE,
                &format!("DELETE /api/v1/tokens/hall\nCookie: {admin}")
            )
            .await,
        204
    );
    assert_eq!(
        bench
            .status(
                REMOTE,
                &format!("DELETE /api/v1/tokens/hall\nCookie: {admin}")
            )
            .await,
        404
    );
    assert_eq!(
        bench
            .status(REMOTE, &format!("GET /\nAuthorization: Bearer {token}"))
            .await,
        401
    );
    assert_eq!(
        bench.kinds().await,
        ["LoggedIn erika", "Audited erika", "Audited erika"]
    );
    let page = bench.cx.events.query(Filter::default()).await.unwrap();
    let journal = format!("{:?}", page.items);
    assert!(
        !journal.contains(token) && journal.contains("token.create"),
        "who and what, but no secret"
    );
}

#[tokio::test]
async fn users_are_added_changed_and_removed_and_one_admin_remains() {
    let bench = site();
    let admin = bench.user("erika", Role::Admin).await;
    let with = |line: &str| format!("{line}\nCookie: {admin}");
    let new = json!({"name": "otto", "role": "operator", "password": PASSWORD});
    assert_eq!(
        bench
            .ask(REMOTE, &with("POST /api/v1/users"), Some(new.clone()))
            .await
            .status(),
        201
    );
    assert_eq!(
        code(
            bench
                .ask(REMOTE, &with("POST /api/v1/users"), Some(new))
                .await
        )
        .await,
        (409, "exists".into())
    );
    for (name, password) in [
        ("", PASSWORD),
        ("a b", PASSWORD),
        ("local", PASSWORD),
        ("ok", "short"),
        ("ok", ""),
    ] {
        let new = json!({"name": name, "role": "viewer", "password": password});
        assert_eq!(
            bench
                .ask(REMOTE, &with("POST /api/v1/users"), Some(new))
                .await
                .status(),
            422,
            "{name}"
        );
    }
    let otto = cookie(&bench.login("otto", PASSWORD).await).unwrap();
    let change = json!({"role": "engineer", "password": "another password"});
    assert_eq!(
        bench
            .ask(REMOTE, &with("PUT /api/v1/users/otto"), Some(change))
            .await
            .status(),
        204
    );
    assert_eq!(
        bench
            .status(REMOTE, &format!("GET /\nCookie: {otto}"))
            .await,
        401,
        "a new password ends old sessions"
    );
    assert_eq!(bench.login("otto", PASSWORD).await.status(), 401);
    assert_eq!(bench.login("otto", "another password").await.status(), 204);
    for line in ["DELETE /api/v1/users/erika", "PUT /api/v1/users/erika"] {
        let body = line.starts_with("PUT").then(|| json!({"role": "viewer"}));
        assert_eq!(
            code(bench.ask(REMOTE, &with(line), body).await).await,
            (409, "last_admin".into())
        );
    }
    assert_eq!(
        bench
            .status(REMOTE, &with("DELETE /api/v1/users/otto"))
            .await,
        204
    );
    assert_eq!(
        bench
            .status(REMOTE, &with("DELETE /api/v1/users/otto"))
            .await,
        404
    );
}

#[tokio::test]
async fn a_plain_form_logs_in_and_never_leads_to_another_site() {
    let bench = site();
    bench.user("erika", Role::Operator).await;
    for (next, to) in [
        ("/gas", "/gas"),
        ("//evil.example", "/"),
        ("http://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("%2F%0Aevil", "/"),
    ] {
        let mut form = request(
            REMOTE,
            &format!("POST /login?next={next}\nContent-Type: application/x-www-form-urlencoded"),
            None,
        );
        *form.body_mut() = Body::from("name=erika&password=correct+horse+battery");
        let answer = bench.app.clone().oneshot(form).await.unwrap();
        assert_eq!(
            (
                answer.status().as_u16(),
                answer.headers()["location"].to_str().unwrap()
            ),
            (303, to)
        );
        assert!(cookie(&answer).is_some());
    }
    let mut form = request(
        REMOTE,
        "POST /login\nContent-Type: application/x-www-form-urlencoded",
        None,
    );
    *form.body_mut() = Body::from("name=erika&password=wrong");
    let answer = bench.app.clone().oneshot(form).await.unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["location"].to_str().unwrap()
        ),
        (303, "/login?failed=1")
    );
}

#[tokio::test]
async fn nobody_brings_a_caller_along_from_outside() {
    let bench = site();
    let mut forged = request(REMOTE, "GET /", None);
    forged.extensions_mut().insert(Caller {
        name: "eve".into(),
        role: Role::Admin,
        via: Via::Token,
    });
    assert_eq!(
        bench.app.clone().oneshot(forged).await.unwrap().status(),
        401
    );
}

#[tokio::test]
async fn every_answer_keeps_addresses_and_types_from_leaking() {
    let bench = site();
    for line in ["GET /healthz", "GET /", "POST /login"] {
        let headers = bench.ask(REMOTE, line, None).await.headers().clone();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{line}");
        assert_eq!(headers["referrer-policy"], "same-origin", "{line}");
    }
}

#[tokio::test]
async fn me_says_who_i_am() {
    let bench = site();
    let token = bench.token("grafana", Role::Viewer, None).await;
    let me = bench
        .text(
            REMOTE,
            &format!("GET /api/v1/me\nAuthorization: Bearer {token}"),
        )
        .await;
    assert_eq!(me, r#"{"name":"grafana","role":"viewer","via":"token"}"#);
}
