//! What boards do to the service: presses, races, plugs.

use super::*;

#[tokio::test]
async fn g_rx_10_three_presses_in_one_read() {
    let house = House::operator().await;
    let mut screen = house.screen().await;
    house.board.send(b"PRESS 001\nPRESS 002\nPRESS 003\n");
    assert_eq!(
        screen.told(6).await,
        ["stop", "play 1", "stop", "play 2", "stop", "play 3"]
    );
    house.current(3).await;
}

#[tokio::test]
async fn g_rx_11_and_g_race_4_a_clear_that_crossed_a_press_is_put_right() {
    let house = House::operator().await;
    let mut screen = house.screen().await;
    house.board.send(b"PRESS 001\n");
    screen.told(2).await;
    house.board.state().holds_answers = true;
    screen.say(r#"{"type":"ended","id":1}"#).await;
    house.board.wait_line("LEDCLR").await;
    // The board accepted 7 before the clear reached it.
    house.board.send(b"PRESS 007\nOK\n");
    house.board.state().holds_answers = false;
    assert_eq!(screen.told(2).await, ["stop", "play 7"]);
    house.board.wait_line("LEDSET 007").await;
    house.current(7).await;
}

#[tokio::test]
async fn g_rx_12_and_g_race_5_unplugged_during_a_play_and_plugged_in_again() {
    let house = House::operator().await;
    let mut screen = house.screen().await;
    house.board.send(b"PRESS 004\n");
    screen.told(2).await;
    assert_eq!(house.get("/health").await.0, 200);

    house.board.unplug();
    house
        .wait_status("the loss", |s| s["serial_connected"] == false)
        .await;
    let (status, text) = house.get("/health").await;
    assert_eq!(status, 503);
    let health: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        health,
        json!({"status": "degraded", "serial": false, "media_complete": true})
    );
    assert_eq!(
        screen.next().await,
        json!({"type": "panel", "name": "wall", "online": false})
    );

    screen.say(r#"{"type":"ended","id":4}"#).await;
    house.current(Value::Null).await;
    house.board.take_lines();
    house.board.plug();
    house
        .wait_status("the return", |s| s["serial_connected"] == true)
        .await;
    house.board.wait_line("LEDCLR").await;
    assert_eq!(house.get("/health").await.0, 200);
    assert_eq!(screen.next().await["online"], true);
    house.board.send(b"PRESS 004\n");
    assert_eq!(
        screen.told(2).await,
        ["stop", "play 4"],
        "the button is alive"
    );
    let kinds = house.events().await;
    let boards: Vec<_> = kinds.iter().filter(|k| k.starts_with("Panel")).collect();
    assert_eq!(boards, ["PanelOnline", "PanelOffline", "PanelOnline"]);
}

#[tokio::test]
async fn g_rx_12_the_led_comes_back_with_the_board() {
    let house = House::operator().await;
    let mut screen = house.screen().await;
    house.board.send(b"PRESS 004\n");
    screen.told(2).await;
    house.board.unplug();
    house
        .wait_status("the loss", |s| s["serial_connected"] == false)
        .await;
    house.board.plug();
    house.board.wait_line("LEDSET 004").await;
}

#[tokio::test]
async fn g_race_1_2_and_3_old_ends_do_not_end_new_plays() {
    let house = House::operator().await;
    let mut screen = house.screen().await;
    house.board.send(b"PRESS 001\n");
    house.board.send(b"PRESS 002\n");
    screen.told(4).await;
    screen.say(r#"{"type":"ended","id":1}"#).await;
    house
        .wait_status("the stale end", |s| s["ignored"]["stale"] == 1)
        .await;
    assert_eq!(house.status().await["current_button"], 2);
    screen.say(r#"{"type":"ended","id":2}"#).await;
    house.current(Value::Null).await;
    house.board.wait_line("LEDCLR").await;
    assert!(
        house.board.take_lines().iter().all(|l| l == "LEDCLR"),
        "nothing is lit again"
    );

    // A, B, A again: the end of the first A.
    house.board.send(b"PRESS 001\nPRESS 002\nPRESS 001\n");
    screen.told(6).await;
    screen.say(r#"{"type":"ended","id":1,"seq":3}"#).await;
    house
        .wait_status("the stale end", |s| s["ignored"]["stale"] == 2)
        .await;
    assert_eq!(house.status().await["current_button"], 1);
    screen.say(r#"{"type":"ended","id":1,"seq":5}"#).await;
    house.current(Value::Null).await;
}

#[tokio::test]
async fn g_race_6_a_board_that_resets_gets_its_led_back() {
    let house = House::operator().await;
    let mut screen = house.screen().await;
    house.board.send(b"PRESS 004\n");
    screen.told(2).await;
    house.board.take_lines();
    house
        .board
        .send(b"\0\xffREADY\nFW selection-panel v2.5.1\n");
    house.board.send(b"READY\nFW selection-panel v2.5.1\n");
    house.board.wait_line("LEDSET 004").await;
    assert_eq!(house.status().await["current_button"], 4);
    let fw = |s: &Value| s["panels"][0]["fw"] == "selection-panel v2.5.1";
    house.wait_status("the firmware", fw).await;
}

#[tokio::test]
async fn a_restarted_service_attaches_to_the_same_routes() {
    let mut house = House::operator().await;
    let mut screen = house.screen().await;
    house.board.send(b"PRESS 002\n");
    screen.told(2).await;
    house.stop.cancel();
    (&mut house.run).await.unwrap().unwrap();
    let closed = tokio::time::timeout(PATIENCE, screen.socket.next())
        .await
        .unwrap();
    assert!(matches!(closed, Some(Ok(Ws::Close(Some(frame)))) if u16::from(frame.code) == 1001));
    assert_eq!(
        house.call("POST", "/api/play/1", "").await.0,
        503,
        "nobody is there to play"
    );

    house.stop = CancellationToken::new();
    house.run = House::run(&house.panel, &house.cx, &house.stop);
    let mut screen = house.screen().await;
    house.board.wait_line("LEDCLR").await;
    house
        .wait_status("the board", |s| s["serial_connected"] == true)
        .await;
    house.board.send(b"PRESS 005\n");
    loop {
        let frame = screen.next().await;
        // The play that was asked for while nobody was there may come first.
        if frame["type"] == "play" && frame["id"] == 5 {
            assert!(frame["seq"].as_u64() >= Some(2), "numbers go on: {frame}");
            break;
        }
    }
}

#[tokio::test]
async fn the_start_succeeds_without_a_board() {
    let house = House::operator().await;
    house.board.unplug();
    house
        .wait_status("the loss", |s| s["panels"][0]["trouble"] == "not connected")
        .await;
    house.stop.cancel();
    let panel = house.panel.clone();
    house.run.await.unwrap().unwrap();
    let stop = CancellationToken::new();
    let run = House::run(&panel, &house.cx, &stop);
    assert!(!run.is_finished());
    let again = House { run, stop, ..house };
    assert_eq!(again.get("/test/play/3").await.0, 200);
    assert_eq!(again.get("/health").await.0, 503);
    until("the board's loop in the health report", async || {
        let report = again.cx.health.report();
        let panel = report.services.iter().find(|s| s.name == "panel")?;
        let board = panel.loops.iter().find(|l| l.name == "board wall")?;
        (board.note.as_deref() == Some("not connected")).then_some(())
    })
    .await;
}
