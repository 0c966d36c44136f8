//! What screens are told and what they may say.

use super::*;

#[tokio::test]
async fn g_ws_1_and_2_a_press_reaches_all_screens_and_the_first_end_counts() {
    let house = House::operator().await;
    let (mut w1, mut w2) = (house.screen().await, house.screen().await);
    house.board.send(b"PRESS 003\n");
    assert_eq!(w1.told(2).await, ["stop", "play 3"]);
    assert_eq!(w2.told(2).await, ["stop", "play 3"]);
    let status = house.status().await;
    assert_eq!(status["current_button"], 3);
    assert_eq!(status["ws_clients"], 2);
    // The board lit its LED by itself; at most it is told so again.
    assert!(house.board.take_lines().iter().all(|l| l == "LEDSET 003"));
    w1.say(r#"{"type":"ended","id":3}"#).await;
    house.board.wait_line("LEDCLR").await;
    house.current(Value::Null).await;
    w2.say(r#"{"id":3,"type":"ended"}"#).await;
    house
        .wait_status("a stale end", |s| s["ignored"]["stale"] == 1)
        .await;
    w1.hears_nothing().await;
    assert!(house.board.take_lines().iter().all(|l| l == "LEDCLR"));
}

#[tokio::test]
async fn g_ws_5_a_late_joiner_joins_at_the_position() {
    let house = House::operator().await;
    let _listener = house.screen().await;
    house.board.send(b"PRESS 006\n");
    house
        .wait_status("300 ms of play", |s| {
            s["current"]["position_ms"].as_u64() >= Some(300)
        })
        .await;
    let url = format!("ws://{}/ws", house.address);
    let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let mut late = Browser { socket };
    let hello = late.next().await;
    assert_eq!(hello["current"]["id"], 6);
    assert_eq!(hello["server"], "leitstand");
    assert_eq!(
        hello["panels"],
        json!([{"name": "wall", "online": true, "buttons": 10}])
    );
    let play = late.next().await;
    assert_eq!((&play["type"], &play["id"]), (&json!("play"), &json!(6)));
    assert!(
        (300..9000).contains(&play["position_ms"].as_u64().unwrap()),
        "{play}"
    );
    assert!(
        play["image"]
            .as_str()
            .unwrap()
            .starts_with("/media/006.svg?v=")
    );
    assert!(
        play["audio"]
            .as_str()
            .unwrap()
            .starts_with("/media/006.wav?v=")
    );
}

#[tokio::test]
async fn g_ws_7_a_failed_sound_darkens_the_led_after_two_seconds() {
    let house = House::operator().await;
    let mut screen = house.screen().await;
    house.board.send(b"PRESS 002\n");
    screen.told(2).await;
    let at = RealInstant::now();
    screen
        .say(r#"{"type":"error","id":2,"seq":1,"reason":"404"}"#)
        .await;
    house.board.wait_line("LEDCLR").await;
    assert!(
        at.elapsed() >= Duration::from_millis(1990),
        "{:?}",
        at.elapsed()
    );
}

#[tokio::test]
async fn g_ws_10_a_screen_that_does_not_read_delays_nobody() {
    let house = House::operator().await;
    let mut lively = house.screen().await;
    let stalled = house.screen().await;
    for n in 0..100 {
        house
            .board
            .send(format!("PRESS {:03}\n", n % 10 + 1).as_bytes());
        assert_eq!(
            lively.told(2).await,
            ["stop".into(), format!("play {}", n % 10 + 1)]
        );
    }
    let leg = house.status().await["latency_ms"]["press_frames"].clone();
    assert_eq!(leg["samples"], 100, "{leg}");
    drop(stalled);
}

#[tokio::test]
async fn a_press_on_the_page_is_a_press() {
    let house = House::operator().await;
    let mut screen = house.screen().await;
    screen
        .say(r#"{"type":"hello","screen":"desk","caps":["image"],"locked":false}"#)
        .await;
    screen
        .say(r#"{"type":"ready","preloaded":10,"total":10}"#)
        .await;
    screen.say(r#"{"type":"press","id":2}"#).await;
    assert_eq!(screen.told(3).await, ["screen", "stop", "play 2"]);
    house.board.wait_line("LEDSET 002").await;
    screen
        .say(r#"{"type":"started","id":2,"seq":1,"latency_ms":30}"#)
        .await;
    screen.hears_nothing().await;
    let client = &house.status().await["clients"][0];
    assert_eq!(client["screen"], "desk");
    assert_eq!(
        (&client["ready"], &client["preloaded"]),
        (&json!(true), &json!(10))
    );
}
