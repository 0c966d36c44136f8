//! Who gets in, and who does not.

use super::*;

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
