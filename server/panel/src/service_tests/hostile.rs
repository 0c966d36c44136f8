//! What nobody should send, and who may do what.

use super::*;

#[tokio::test]
async fn g_ws_3_and_4_nonsense_is_counted_and_the_connection_stays() {
    let house = House::operator().await;
    let mut screen = house.screen().await;
    house.board.send(b"PRESS 003\n");
    screen.told(2).await;
    for id in ["true", "\"3\"", "3.5", "null", "0", "101", "11"] {
        screen
            .say(&format!(r#"{{"type":"ended","id":{id}}}"#))
            .await;
    }
    screen.say(r#"{"type":"ended"}"#).await;
    for nonsense in [
        "[]",
        "x",
        r#"{"type":"open the pod bay doors"}"#,
        "{}",
        "null",
    ] {
        screen.say(nonsense).await;
    }
    screen.socket.send(Ws::binary(vec![0, 1, 2])).await.unwrap();
    screen.hears_nothing().await;
    assert_eq!(house.status().await["current_button"], 3);
    let metrics = house.cx.metrics.render();
    for (reason, count) in [("bad_id", 8), ("not_object", 4), ("unknown_type", 2)] {
        let line = format!("leitstand_panel_messages_dropped_total{{reason=\"{reason}\"}} {count}");
        assert!(metrics.contains(&line), "{line} not in\n{metrics}");
    }
}

#[tokio::test]
async fn hostile_lines_of_a_board_are_counted_and_presses_still_come() {
    let house = House::operator().await;
    let mut screen = house.screen().await;
    let mut garbage: Vec<u8> = vec![b'A'; 1 << 20];
    garbage.extend(
        b"\nPRESS +8\npress 005\nPRESS 005 extra\nPRESS 0000009\n7\nPRESS 099\n\xff\xfePRESS 004\n",
    );
    for piece in garbage.chunks(700) {
        house.board.send(piece);
    }
    house.board.send(b"PRESS 010\n");
    assert_eq!(screen.told(2).await, ["stop", "play 10"]);
    let counted = |s: &Value| {
        let panel = &s["panels"][0];
        panel["rx_overlong"].as_u64() >= Some(1) && panel["rx_unknown"].as_u64() >= Some(5)
    };
    house.wait_status("the counts", counted).await;
}

#[tokio::test]
async fn twenty_plays_a_second_and_not_more() {
    let house = House::operator().await;
    let mut answers = Vec::new();
    for _ in 0..30 {
        answers.push(house.call("POST", "/api/play/1", "").await.0);
    }
    let refused = answers.iter().filter(|s| **s == 429).count();
    assert!(answers.iter().all(|s| matches!(s, 200 | 429)));
    assert!(refused >= 5, "{answers:?}");
    let (_, problem) = house.call("POST", "/api/play/1", "").await;
    let problem: Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(problem["code"], "too_many_plays");
    // A board is never limited.
    let mut screen = house.screen().await;
    let first = screen.next().await;
    assert_eq!(first["type"], "play", "what runs");
    for n in 0..60 {
        house
            .board
            .send(format!("PRESS {:03}\n", n % 10 + 1).as_bytes());
    }
    assert_eq!(screen.told(120).await.len(), 120);
}

#[tokio::test]
async fn bodies_of_every_kind_get_a_clear_answer() {
    let house = House::start("", Role::Engineer).await;
    assert_eq!(
        house.call("POST", "/api/volume", r#"{"value":40}"#).await.0,
        200
    );
    assert_eq!(house.status().await["volume"], 40);
    house.board.take_lines();
    assert_eq!(
        house
            .call("POST", "/api/v1/panel/brightness", r#"{"value":80}"#)
            .await
            .0,
        200
    );
    house.board.wait_line("BRIGHT 080").await;
    for (body, expected) in [
        (r#"{"value":101}"#, 422),
        (r#"{"value":-1}"#, 422),
        (r#"{"value":"40"}"#, 422),
        (r#"{"value":40,"extra":1}"#, 422),
        ("{}", 422),
        ("[]", 422),
        ("{", 400),
        ("", 400),
    ] {
        let (status, text) = house.call("POST", "/api/volume", body).await;
        assert_eq!(status, expected, "{body} {text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert!(problem["code"].is_string(), "{text}");
    }
    let huge = format!(r#"{{"value":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(house.call("POST", "/api/volume", &huge).await.0, 413);
    let request = Request::post("/api/volume")
        .header(header::CONTENT_TYPE, "text/plain")
        .body(Body::from(r#"{"value":4}"#))
        .unwrap();
    assert_eq!(house.request(request).await.status(), 415);
    assert_eq!(house.call("POST", "/api/play/eleven", "").await.0, 400);
    assert_eq!(house.call("GET", "/api/play/1", "").await.0, 405);
    assert_eq!(house.get("/ws").await.0, 426);
    assert_eq!(house.status().await["volume"], 40);
    let kinds = house.events().await;
    assert_eq!(
        kinds.iter().filter(|k| *k == "Audited").count(),
        2,
        "{kinds:?}"
    );
}

#[tokio::test]
async fn a_viewer_watches_and_reports_but_does_not_play() {
    let house = House::start("", Role::Viewer).await;
    for (method, path) in [
        ("POST", "/api/play/1"),
        ("POST", "/api/v1/panel/stop"),
        ("POST", "/api/volume"),
        ("POST", "/api/brightness"),
        ("GET", "/test/play/1"),
        ("GET", "/test/stop"),
    ] {
        assert_eq!(
            house.call(method, path, r#"{"value":1}"#).await.0,
            403,
            "{method} {path}"
        );
    }
    let mut screen = house.screen().await;
    screen.say(r#"{"type":"press","id":2}"#).await;
    screen.hears_nothing().await;
    house.board.send(b"PRESS 002\n");
    screen.told(2).await;
    screen.say(r#"{"type":"ended","id":2}"#).await;
    house.current(Value::Null).await;
}
