//! Passwords, claim codes and sessions.

use super::*;

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
            tls: false,
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

    let cookie = super::cookie(&bench.login("erika", PASSWORD).await).unwrap();
    let get = format!("GET /\nCookie: {cookie}");
    bench.hand.advance(USER_SESSION - Duration::from_secs(1));
    assert_eq!(bench.status(REMOTE, &get).await, 200);
    bench.hand.advance(Duration::from_secs(1));
    assert_eq!(bench.status(REMOTE, &get).await, 401);

    let admin = bench.user("admin", Role::Admin).await;
    let cookie = super::cookie(&bench.login("erika", PASSWORD).await).unwrap();
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
            tls: false,
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
async fn over_tls_a_cookie_never_travels_in_the_clear_again() {
    let bench = encrypted();
    let token = bench.token("hall", Role::Viewer, None).await;
    let erika = bench.user("erika", Role::Admin).await;
    let login = bench.login("erika", PASSWORD).await;
    let screen = bench
        .ask(
            REMOTE,
            &format!("GET /?token={token}\nAccept: text/html"),
            None,
        )
        .await;
    let out = bench
        .ask(REMOTE, &format!("POST /logout\nCookie: {erika}"), None)
        .await;
    for response in [login, screen, out] {
        let set = response.headers()["set-cookie"].to_str().unwrap();
        assert!(set.ends_with("; Secure"), "{set}");
    }
}

#[tokio::test]
async fn over_tls_a_page_that_came_in_the_clear_is_foreign() {
    let bench = encrypted();
    let token = bench.token("ops", Role::Operator, None).await;
    for (origin, expected) in [("https://gateway:8080", 200), ("http://gateway:8080", 403)] {
        let lines = format!("POST /forgotten\nAuthorization: Bearer {token}\nOrigin: {origin}");
        assert_eq!(bench.status(REMOTE, &lines).await, expected, "{origin}");
    }
}
