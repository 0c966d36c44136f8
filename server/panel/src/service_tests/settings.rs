//! What people set: kept over restarts, told to whom it concerns, counted without a name.

use super::*;

impl House {
    /// The service once more on the same database, as after a restart of the gateway.
    async fn again(mut self) -> Self {
        self.stop.cancel();
        (&mut self.run).await.unwrap().unwrap();
        self.stop = CancellationToken::new();
        self.run = House::run(&self.panel, &self.cx, &self.stop);
        self.board.wait_line("LEDCLR").await;
        self.wait_status("the board", |s| s["serial_connected"] == true)
            .await;
        self
    }

    async fn get_json(&self, path: &str) -> Value {
        let (status, text) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

impl Browser {
    /// The next frame of this type; others are passed over.
    async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_survive_a_restart_and_mute_silences_everybody() {
    let house = House::start(
        "volume_percent = 80\nbrightness_percent = 40",
        Role::Engineer,
    )
    .await;
    let mut screen = house.screen().await;
    assert_eq!(
        house.call("POST", "/api/volume", r#"{"value":30}"#).await.0,
        200
    );
    assert_eq!(screen.next_of("volume").await["value"], 30);
    assert_eq!(
        house
            .call("POST", "/api/v1/panel/brightness", r#"{"value":7}"#)
            .await
            .0,
        200
    );
    house.board.wait_line("BRIGHT 007").await;
    assert_eq!(
        house.call("POST", "/api/mute", r#"{"muted":true}"#).await.0,
        200
    );
    assert_eq!(screen.next_of("volume").await["value"], 0);
    assert_eq!(
        house.call("POST", "/api/mute", r#"{"muted":1}"#).await.0,
        422
    );

    let house = house.again().await;
    house.board.wait_line("BRIGHT 007").await;
    let status = house.status().await;
    assert_eq!(
        (&status["volume"], &status["brightness"], &status["muted"]),
        (&json!(30), &json!(7), &json!(true))
    );
    assert_eq!(status["effective"]["volume"], 0);
    house.call("POST", "/api/mute", r#"{"muted":false}"#).await;
    assert_eq!(house.status().await["effective"]["volume"], 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_checked_kept_and_obeyed() {
    let house = House::start("[panel.schedule.closed]\nvolume = 9", Role::Engineer).await;
    let path = "/api/v1/panel/schedule";
    // Nobody is ever open: every day is without hours.
    let never = r#"{"hours":{},"closed":{"volume":5,"brightness":1},"effect":"pulse"}"#;
    let (status, text) = house.call("PUT", path, never).await;
    assert_eq!(status, 200, "{text}");
    house
        .wait_status("the clock on the wall", |s| {
            s["open"] == false && s["effective"] == json!({"volume": 5, "brightness": 1})
        })
        .await;
    let bad =
        r#"{"hours":{"mon":["9-5"],"sun":["08:00-09:00"]},"dim":{"after_s":0,"brightness":1}}"#;
    let (status, text) = house.call("PUT", path, bad).await;
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &problem["code"]), (422, &json!("bad_schedule")));
    let keys: Vec<_> = problem["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["key"].clone())
        .collect();
    assert_eq!(keys, ["dim", "hours.mon"]);
    assert_eq!(house.call("PUT", path, r#"{"hour":{}}"#).await.0, 422);

    let house = house.again().await;
    let settings = house.get_json("/api/v1/panel/settings").await;
    assert_eq!(
        settings["schedule"]["closed"],
        json!({"volume": 5, "brightness": 1})
    );
    assert_eq!(settings["schedule"]["effect"], "pulse");
    assert!(settings["local_time"].as_str().unwrap().contains(':'));
    let always = r#"{"closed":{"volume":5,"brightness":1}}"#;
    house.call("PUT", path, always).await;
    house.wait_status("open again", |s| s["open"] == true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_is_told_what_it_is_set_to() {
    let house = House::operator().await;
    let hello =
        |name| format!(r#"{{"type":"hello","screen":"{name}","caps":["audio"],"locked":false}}"#);
    let (mut foyer, mut desk) = (house.screen().await, house.screen().await);
    foyer.say(&hello("foyer")).await;
    assert_eq!(foyer.next_of("screen").await["role"], "auto");
    desk.say(&hello("desk")).await;
    desk.next_of("screen").await;
    let set = r#"{"role":"mirror","volume":40,"muted":false}"#;
    let (status, text) = house.call("PUT", "/api/v1/panel/screens/foyer", set).await;
    assert_eq!(status, 200, "{text}");
    let told = foyer.next_of("screen").await;
    assert_eq!(
        (&told["role"], &told["volume"]),
        (&json!("mirror"), &json!(40))
    );
    desk.hears_nothing().await;
    house.board.send(b"PRESS 003\n");
    let play = foyer.next_of("play").await;
    desk.next_of("play").await;
    // The mirror's end is not the end while the other one sounds.
    foyer.say(r#"{"type":"ended","id":3}"#).await;
    foyer.say(r#"{"type":"ping","n":1}"#).await;
    let pong = foyer.next_of("pong").await;
    assert_eq!(pong["n"], 1);
    assert!(pong["now_ms"].as_u64() >= play["at_ms"].as_u64().map(|at| at - 80));
    assert_eq!(house.status().await["current_button"], 3);
    desk.say(r#"{"type":"ended","id":3}"#).await;
    house.current(Value::Null).await;

    let house = house.again().await;
    let mut foyer = house.screen().await;
    foyer.say(&hello("foyer")).await;
    assert_eq!(foyer.next_of("screen").await["volume"], 40);
    assert_eq!(
        house
            .call("DELETE", "/api/v1/panel/screens/foyer", "")
            .await
            .0,
        200
    );
    assert_eq!(foyer.next_of("screen").await["volume"], 100);
    assert_eq!(
        house
            .call("DELETE", "/api/v1/panel/screens/foyer", "")
            .await
            .0,
        404
    );
    for (name, body) in [
        ("foyer", r#"{"volume":101}"#),
        ("foyer", r#"{"role":"king"}"#),
        ("%0a", "{}"),
        (&"x".repeat(41), "{}"),
    ] {
        let path = format!("/api/v1/panel/screens/{name}");
        assert_eq!(house.call("PUT", &path, body).await.0, 422, "{name} {body}");
    }
    for n in 0..crate::settings::SCREENS_MAX {
        assert_eq!(
            house
                .call("PUT", &format!("/api/v1/panel/screens/s{n}"), "{}")
                .await
                .0,
            200
        );
    }
    assert_eq!(
        house
            .call("PUT", "/api/v1/panel/screens/more", "{}")
            .await
            .0,
        409
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn plays_are_counted_by_button_and_hour() {
    let house = House::start("", Role::Engineer).await;
    house
        .call("PUT", "/api/v1/panel/content/3", r#"{"title":"Bell"}"#)
        .await;
    for id in [3, 3, 5] {
        house.board.send(format!("PRESS 00{id}\n").as_bytes());
        house.current(id).await;
        house.call("POST", "/api/stop", "").await;
    }
    let stats = house.get_json("/api/v1/panel/stats").await;
    assert_eq!((&stats["plays"], &stats["ended"]), (&json!(3), &json!(0)));
    let buttons = stats["buttons"].as_array().unwrap();
    assert_eq!(buttons.len(), 10);
    assert_eq!(
        buttons[2],
        json!({"button": 3, "title": "Bell", "plays": 2, "ended": 0})
    );
    let hours: u64 = stats["hours"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!((hours, stats["hours"].as_array().unwrap().len()), (3, 24));
    let house = house.again().await;
    assert_eq!(house.get_json("/api/v1/panel/stats").await["plays"], 3);
    let (_, csv) = house.get("/api/v1/panel/stats.csv").await;
    let lines: Vec<_> = csv.lines().collect();
    assert!((3..=4).contains(&lines.len()), "{csv}");
    assert!(lines[1].ends_with(",3,\"Bell\",2,0"), "{csv}");
    assert_eq!(
        house.get_json("/api/v1/panel/stats?from=0&to=1000").await["plays"],
        0
    );
    for bad in ["from=5&to=4", "from=0&to=40000000000", "from=x", "when=1"] {
        let (status, _) = house.get(&format!("/api/v1/panel/stats?{bad}")).await;
        assert!(matches!(status, 400 | 422), "{bad}: {status}");
    }
}
