//! Tokens, users, and who manages them.

use super::*;

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
    assert!(super::cookie(&program).is_some());
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
    wait_for_use(&bench, "hall", 1_767_225_600_000).await;
    let list = bench
        .text(REMOTE, &format!("GET /api/v1/tokens\nCookie: {admin}"))
        .await;
    let expected = json!({"items": [{"name": "hall", "role": "viewer", "created_unix_ms": 1_767_225_600_000_u64, "expires_unix_ms": 1_767_229_200_000_u64, "last_used_unix_ms": 1_767_225_600_000_u64}]});
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

/// The use is written behind the request's back.
async fn wait_for_use(bench: &Bench, name: &'static str, at_ms: i64) {
    loop {
        let tokens = bench.cx.store.read(db::tokens).await.unwrap();
        let used = tokens.iter().find(|t| t.name == name).unwrap();
        if used.last_used_unix_ms == Some(at_ms) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_last_use_of_a_token_is_kept_but_not_written_at_each_request() {
    let bench = site();
    let token = bench.token("grafana", Role::Viewer, None).await;
    let start = bench.cx.clock.wall().unix_ms;
    let get = format!("GET /\nAuthorization: Bearer {token}");
    let list = || bench.cx.store.read(db::tokens);
    assert_eq!(list().await.unwrap()[0].last_used_unix_ms, None);
    assert_eq!(bench.status(REMOTE, &get).await, 200);
    wait_for_use(&bench, "grafana", start).await;
    let writes = || bench.cx.store.execute(|db| Ok(db.total_changes()));
    let before = writes().await.unwrap();
    for _ in 0..50 {
        bench.hand.advance(Duration::from_secs(10));
        assert_eq!(bench.status(REMOTE, &get).await, 200);
    }
    assert_eq!(writes().await.unwrap(), before, "500 s and not one write");
    bench.hand.advance(Duration::from_secs(100));
    assert_eq!(bench.status(REMOTE, &get).await, 200);
    wait_for_use(&bench, "grafana", start + 600_000).await;
    // A screen that came with the token uses it too.
    let screen = bench
        .ask(REMOTE, &format!("GET /?token={token}"), None)
        .await;
    let cookie = cookie(&screen).unwrap();
    bench.hand.advance(Duration::from_secs(1200));
    assert_eq!(
        bench
            .status(REMOTE, &format!("GET /\nCookie: {cookie}"))
            .await,
        200
    );
    wait_for_use(&bench, "grafana", start + 1_800_000).await;
}
