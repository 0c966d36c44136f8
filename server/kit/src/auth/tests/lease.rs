//! What goes on after a request was let in ends with its login.

use axum::body::BodyDataStream;
use futures_util::StreamExt as _;

use super::*;

/// An endless answer, opened.
async fn open(bench: &Bench, peer: &str, login: &str) -> BodyDataStream {
    let response = bench
        .ask(peer, &format!("GET /endless\n{login}"), None)
        .await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "first");
    body
}

/// It is cut, and the cut shows.
async fn cut(mut body: BodyDataStream) {
    assert!(body.next().await.unwrap().is_err());
    assert!(body.next().await.is_none());
}

/// Nothing ends it: everything that wants to run has run, and it still waits.
async fn goes_on(body: &mut BodyDataStream) {
    for _ in 0..200 {
        let next = futures_util::poll!(body.next());
        assert!(next.is_pending(), "it ended");
        // A look at the database is a message to another thread and back.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_revoked_token_ends_its_streams_at_once_and_leaves_those_of_others() {
    let bench = site();
    let token = bench.token("hall", Role::Viewer, None).await;
    let other = bench.token("yard", Role::Viewer, None).await;
    let with = |token: &str| format!("Authorization: Bearer {token}");
    let body = open(&bench, REMOTE, &with(&token)).await;
    let mut others = open(&bench, REMOTE, &with(&other)).await;
    let admin = bench.user("erika", Role::Admin).await;
    let line = format!("DELETE /api/v1/tokens/hall\nCookie: {admin}");
    assert_eq!(bench.status(REMOTE, &line).await, 204);
    cut(body).await;
    goes_on(&mut others).await;
}

#[tokio::test]
async fn a_token_revoked_by_another_process_ends_its_streams_soon() {
    let bench = site();
    let token = bench.token("hall", Role::Viewer, None).await;
    let mut body = open(&bench, REMOTE, &format!("Authorization: Bearer {token}")).await;
    let gone = bench
        .cx
        .store
        .execute(|db| db::remove_token(db, "hall"))
        .await;
    assert!(gone.unwrap());
    goes_on(&mut body).await;
    bench.hand.advance(Duration::from_secs(5));
    cut(body).await;
}

#[tokio::test]
async fn a_token_that_expires_ends_its_streams_on_time() {
    let bench = site();
    let token = bench
        .token("guest", Role::Viewer, Some(Duration::from_secs(2)))
        .await;
    let mut body = open(&bench, REMOTE, &format!("Authorization: Bearer {token}")).await;
    bench.hand.advance(Duration::from_millis(1999));
    goes_on(&mut body).await;
    bench.hand.advance(Duration::from_millis(1));
    cut(body).await;
}

#[tokio::test]
async fn a_screen_that_came_with_a_token_ends_with_it() {
    let bench = site();
    let token = bench.token("hall", Role::Viewer, None).await;
    let line = format!("GET /?token={token}");
    let cookie = cookie(&bench.ask(REMOTE, &line, None).await).unwrap();
    let body = open(&bench, REMOTE, &format!("Cookie: {cookie}")).await;
    let auth = bench.auth.clone();
    tokio::task::spawn_blocking(move || auth.revoke_token("hall").unwrap())
        .await
        .unwrap();
    cut(body).await;
}

#[tokio::test]
async fn who_logs_out_or_is_made_less_sees_no_more() {
    let bench = site();
    let admin = bench.user("erika", Role::Admin).await;
    let with_admin = |line: &str| format!("{line}\nCookie: {admin}");
    let otto = bench.user("otto", Role::Engineer).await;
    let body = open(&bench, REMOTE, &format!("Cookie: {otto}")).await;
    let less = json!({"role": "viewer"});
    let changed = bench
        .ask(REMOTE, &with_admin("PUT /api/v1/users/otto"), Some(less))
        .await;
    assert_eq!(changed.status(), 204);
    cut(body).await;

    let otto = super::cookie(&bench.login("otto", PASSWORD).await).unwrap();
    let body = open(&bench, REMOTE, &format!("Cookie: {otto}")).await;
    let line = with_admin("DELETE /api/v1/users/otto");
    assert_eq!(bench.status(REMOTE, &line).await, 204);
    cut(body).await;

    let body = open(&bench, REMOTE, &format!("Cookie: {admin}")).await;
    assert_eq!(bench.status(REMOTE, &with_admin("POST /logout")).await, 204);
    cut(body).await;
}

#[tokio::test]
async fn a_local_peer_that_is_trusted_has_nothing_that_could_end() {
    let bench = bench(true, true);
    let mut body = open(&bench, LOCAL, "Host: localhost").await;
    bench.auth.changed();
    bench.hand.advance(Duration::from_secs(1_000_000));
    goes_on(&mut body).await;
}

#[tokio::test]
async fn a_database_that_cannot_be_read_ends_nothing() {
    let bench = site();
    let token = bench.token("hall", Role::Viewer, None).await;
    let mut body = open(&bench, REMOTE, &format!("Authorization: Bearer {token}")).await;
    let broken = bench
        .cx
        .store
        .execute(|db| db.execute_batch("ALTER TABLE access_tokens RENAME TO elsewhere"));
    broken.await.unwrap();
    bench.auth.changed();
    goes_on(&mut body).await;
}

#[tokio::test]
async fn an_answer_of_known_length_is_left_alone() {
    let bench = site();
    let token = bench.token("hall", Role::Viewer, None).await;
    let line = format!("GET /\nAuthorization: Bearer {token}");
    let whole = bench.ask(REMOTE, &line, None).await;
    let length = axum::body::HttpBody::size_hint(whole.body()).exact();
    assert_eq!(length, Some("hall viewer Token".len() as u64));
}
