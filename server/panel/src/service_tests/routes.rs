//! HTTP: the original paths, media, status.

use super::*;

#[tokio::test]
async fn g_ws_8_and_9_the_test_paths_play_light_and_stop() {
    let house = House::operator().await;
    let (mut w1, mut w2) = (house.screen().await, house.screen().await);
    assert_eq!(house.get("/test/play/5").await, (200, "OK: play 5".into()));
    assert_eq!(
        house.status().await["current_button"],
        5,
        "as soon as it is answered"
    );
    house.board.wait_line("LEDSET 005").await;
    assert_eq!(w1.told(2).await, ["stop", "play 5"]);
    assert_eq!(w2.told(2).await, ["stop", "play 5"]);
    for bad in [
        "11",
        "x",
        "0",
        "-1",
        "+5",
        "5.0",
        "99999999999",
        "%20",
        "5%00",
    ] {
        let (status, text) = house.get(&format!("/test/play/{bad}")).await;
        assert_eq!(status, 400, "{bad}");
        assert_eq!(text, "ERROR: the id is a number from 1 to 10");
    }
    assert_eq!(house.get("/test/stop").await, (200, "OK: stopped".into()));
    assert_eq!(house.status().await["current_button"], Value::Null);
    house.board.wait_line("LEDCLR").await;
    assert_eq!(w1.told(1).await, ["stop"]);
    assert_eq!(w2.told(1).await, ["stop"]);
}

#[tokio::test]
async fn media_are_served_in_ranges_and_versions_and_nothing_else_is() {
    let house = House::operator().await;
    let list: Value = serde_json::from_str(&house.get("/api/media").await.1).unwrap();
    let audio = list["items"][4]["audio"].as_str().unwrap().to_owned();
    let get = async |path: &str, name: &'static str, value: &str| {
        let request = Request::get(path)
            .header(name, value)
            .body(Body::empty())
            .unwrap();
        house.request(request).await
    };
    let whole = get(&audio, "accept", "*/*").await;
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.headers()["content-type"], "audio/wav");
    assert_eq!(
        whole.headers()["cache-control"],
        "public, max-age=31536000, immutable"
    );
    let tag = whole.headers()["etag"].to_str().unwrap().to_owned();

    let part = get(&audio, "range", "bytes=0-3").await;
    assert_eq!(part.status(), 206);
    assert_eq!(text(part).await, "RIFF");
    assert_eq!(get(&audio, "range", "bytes=99999999-").await.status(), 416);
    assert_eq!(get(&audio, "if-none-match", &tag).await.status(), 304);

    let unversioned = get("/media/005.svg", "accept", "*/*").await;
    assert_eq!(unversioned.headers()["cache-control"], "no-cache");
    assert_eq!(unversioned.headers()["content-type"], "image/svg+xml");
    std::fs::write(house.dir.path().join("secret.txt"), "secret").unwrap();
    std::fs::write(house.dir.path().join("media/unlisted.txt"), "secret").unwrap();
    for path in [
        "/media/011.svg",
        "/media/unlisted.txt",
        "/media/../secret.txt",
        "/media/%2e%2e%2fsecret.txt",
        "/media/..%2f..%2fetc%2fpasswd",
        "/media/%2fetc%2fpasswd",
        "/media/005.svg%00",
        "/media/",
        "/media",
    ] {
        let (status, body) = house.get(path).await;
        assert_eq!(status, 404, "{path}");
        assert!(
            !body.contains("secret") && !body.contains("root:"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn new_media_reach_the_screens_and_missing_ones_the_health() {
    let house = House::operator().await;
    let mut screen = house.screen().await;
    std::fs::remove_file(house.dir.path().join("media/003.wav")).unwrap();
    let changed = screen.next().await;
    assert_eq!(
        (&changed["type"], &changed["id"]),
        (&json!("media_changed"), &json!(3))
    );
    assert_eq!(house.get("/health").await.0, 503);
    let status = house.status().await;
    assert_eq!(status["missing_files"], json!(["003.mp3"]));
    assert_eq!(status["media_rev"], changed["rev"]);
    // It plays all the same, without sound.
    assert_eq!(house.get("/test/play/3").await.0, 200);
    assert_eq!(screen.next().await["type"], "stop");
    let play = screen.next().await;
    assert!(play["image"].is_string() && play["audio"].is_null());
}

#[tokio::test]
async fn the_original_servers_keys_are_in_the_status() {
    let house = House::operator().await;
    let status = house.status().await;
    for key in [
        "version",
        "mode",
        "num_media",
        "current_button",
        "ws_clients",
        "serial_connected",
        "serial_port",
        "media_missing",
        "missing_files",
        "esp32_local_led",
        "uptime_s",
        "seq",
        "panels",
        "clients",
        "latency_ms",
        "media_rev",
    ] {
        assert!(status.get(key).is_some(), "{key} is not in {status}");
    }
    for key in [
        "name",
        "port",
        "online",
        "fw",
        "proto",
        "last_rx_ms",
        "rtt_ms",
        "rx_overlong",
        "rx_unknown",
        "ev_lost",
        "stuck",
    ] {
        assert!(
            status["panels"][0].get(key).is_some(),
            "{key} is not in {status}"
        );
    }
    assert_eq!(status["mode"], "prototype");
    assert_eq!(status["num_media"], 10);
    let published = until("the live state", async || house.cx.frames.latest("panel")).await;
    let published: Value = serde_json::from_str(&published).unwrap();
    assert_eq!(published["num_media"], 10);
    let v1: Value = serde_json::from_str(&house.get("/api/v1/panel/status").await.1).unwrap();
    assert_eq!(v1["serial_port"], status["serial_port"]);
}
