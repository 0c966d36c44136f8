//! The panel end to end: the real binary, browsers' sockets, and the device application on simulated shift
//! registers behind a pseudo-terminal. A press is a contact that closes, "dark" is what the chips' outputs show.

use leitstand_core::panel::{ButtonId, PanelSize};
use leitstand_hal_mock::panel::{BoardThread, Generation, Handle, Kind, Options};
use leitstand_tests::{Server, http, wait};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

/// The original's generation C, which speaks text only.
const ORIGINAL: Kind = Kind::Original(Generation::C);

struct Site {
    server: Server,
    board: Handle,
    _thread: BoardThread,
}

fn button(id: u8) -> ButtonId {
    ButtonId::new(id).unwrap()
}

impl Site {
    fn start(kind: Kind) -> Self {
        Self::start_with(kind, "")
    }

    fn start_with(kind: Kind, section: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("panel-wall");
        let options = Options {
            kind,
            ..Options::new(PanelSize::new(10).unwrap())
        };
        let thread = BoardThread::start(options, &link).unwrap();
        let site = Self {
            board: thread.handle(),
            server: serve(dir, section),
            _thread: thread,
        };
        site.online(true);
        site
    }

    fn status(&self) -> Value {
        self.server.get("/status").ok()
    }

    fn online(&self, wanted: bool) {
        self.server.wait_for("the board's state", "/status", |s| {
            (s["serial_connected"] == wanted).then_some(())
        });
    }

    fn current(&self, id: impl Into<Value>) {
        let id = id.into();
        self.server.wait_for("the current button", "/status", |s| {
            (s["current_button"] == id).then_some(())
        });
    }

    /// Waits until exactly this LED is lit; 0 = none.
    fn lit(&self, id: u8) {
        wait::until(&format!("LED {id} alone"), || {
            let lit = self.board.lit();
            let right = match ButtonId::new(id) {
                Some(id) => lit.len() == 1 && lit.contains(id),
                None => lit.is_empty(),
            };
            right.then_some(())
        });
    }

    fn screen(&self) -> Screen {
        let stream = http::connect(self.server.addr()).unwrap();
        let url = format!("ws://{}/ws", self.server.addr());
        let (socket, _) = client(url, stream).unwrap();
        let mut screen = Screen(socket);
        assert_eq!(screen.next()["type"], "hello");
        screen
    }
}

fn serve(dir: TempDir, section: &str) -> Server {
    let media = dir.path().join("media");
    std::fs::create_dir(&media).unwrap();
    for id in 1..=10 {
        std::fs::write(media.join(format!("{id:03}.svg")), "<svg/>").unwrap();
        std::fs::write(media.join(format!("{id:03}.wav")), wav()).unwrap();
    }
    let config = format!(
        "site = 'Exhibit'\n[panel]\nbuttons = 10\n{section}\n[[panel.boards]]\nname = 'wall'\nport = '{}'\n",
        dir.path().join("panel-wall").display()
    );
    std::fs::write(dir.path().join("leitstand.toml"), config).unwrap();
    Server::run_in(dir, &[])
}

/// Two minutes of silence, so that no watchdog ends a play during a test.
fn wav() -> Vec<u8> {
    let data: u32 = 120 * 1000;
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    file.extend(1000_u32.to_le_bytes());
    file.extend(1000_u32.to_le_bytes());
    file.extend(b"\x01\0\x08\0data");
    file.extend(data.to_le_bytes());
    file.resize(file.len() + data as usize, 0x80);
    file
}

struct Screen(WebSocket<TcpStream>);

impl Screen {
    fn next(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.0.read().expect("a frame") {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// `stop`, `play 5` of the next frames; others are passed over.
    fn told(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        while told.len() < count {
            let frame = self.next();
            match (frame["type"].as_str().unwrap(), frame["id"].as_u64()) {
                ("stop", _) => told.push("stop".into()),
                ("play", Some(id)) => told.push(format!("play {id}")),
                _ => {}
            }
        }
        told
    }

    fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }
}

/// G-WS-1, G-WS-2 and G-RACE-1 over the cable, with both kinds of boards.
#[test]
fn a_press_lights_plays_ends_and_darkens() {
    for kind in [Kind::Leitstand, ORIGINAL] {
        let site = Site::start(kind);
        let (mut w1, mut w2) = (site.screen(), site.screen());
        let proto = site.status()["panels"][0]["proto"].clone();
        assert_eq!(proto, if kind == ORIGINAL { "text" } else { "v2" });
        site.board.tap(button(3));
        assert_eq!(w1.told(2), ["stop", "play 3"]);
        assert_eq!(w2.told(2), ["stop", "play 3"]);
        site.lit(3);
        site.board.tap(button(4));
        assert_eq!(w1.told(2), ["stop", "play 4"]);
        w1.say(&json!({"type": "ended", "id": 3}));
        w1.say(&json!({"type": "ended", "id": 4}));
        site.current(Value::Null);
        site.lit(0);
        w2.say(&json!({"type": "ended", "id": 4}));
        site.server.wait_for("the stale ends", "/status", |s| {
            (s["ignored"]["stale"] == 2).then_some(())
        });
        site.lit(0);
    }
}

/// G-WS-8 and G-WS-9.
#[test]
fn the_test_paths_light_and_darken_real_leds() {
    for kind in [Kind::Leitstand, ORIGINAL] {
        let site = Site::start(kind);
        assert_eq!(site.server.get("/test/play/5").text(), "OK: play 5");
        site.lit(5);
        assert_eq!(site.server.get("/test/play/11").status, 400);
        assert_eq!(site.server.get("/test/play/x").status, 400);
        site.lit(5);
        assert_eq!(site.server.get("/test/stop").text(), "OK: stopped");
        site.lit(0);
        assert_eq!(site.status()["current_button"], Value::Null);
    }
}

/// G-RACE-4 and rule P8: whatever crosses on the wire, the LED ends up where the play is.
#[test]
fn an_end_that_crosses_a_press_leaves_the_right_led() {
    for kind in [Kind::Leitstand, ORIGINAL] {
        let site = Site::start(kind);
        let mut screen = site.screen();
        let (mut a, mut b) = (1, 2);
        site.board.tap(button(a));
        screen.told(2);
        for round in 0..30 {
            // The end and the next press set off within one scan of each other, a little later each time.
            screen.say(&json!({"type": "ended", "id": a}));
            std::thread::sleep(Duration::from_micros(200 * round));
            site.board.tap(button(b));
            assert_eq!(screen.told(2), ["stop".to_owned(), format!("play {b}")]);
            site.current(b);
            site.lit(b);
            (a, b) = (b, a);
        }
    }
}

/// G-RX-12 and G-RACE-5 with a real hang-up.
#[test]
fn a_pulled_plug_is_seen_and_healed() {
    for kind in [Kind::Leitstand, ORIGINAL] {
        let site = Site::start(kind);
        let mut screen = site.screen();
        site.board.tap(button(4));
        screen.told(2);
        assert_eq!(site.server.get("/health").status, 200);
        site.board.plug(false);
        site.online(false);
        let health = site.server.get("/health");
        assert_eq!(
            (health.status, &health.json()["status"]),
            (503, &json!("degraded"))
        );
        screen.say(&json!({"type": "ended", "id": 4}));
        site.current(Value::Null);
        site.board.plug(true);
        site.online(true);
        site.lit(0);
        site.board.tap(button(4));
        assert_eq!(screen.told(2), ["stop", "play 4"], "all buttons alive");
        site.lit(4);
    }
}

/// The times of G-RX-12. A busy machine may spoil a try, a program that is too slow spoils them all.
#[test]
fn a_pulled_plug_is_seen_and_healed_within_a_second() {
    let site = Site::start(Kind::Leitstand);
    let second = Duration::from_secs(1);
    let mut times = Vec::new();
    for _ in 0..8 {
        let at = Instant::now();
        site.board.plug(false);
        site.online(false);
        let lost = at.elapsed();
        let at = Instant::now();
        site.board.plug(true);
        site.online(true);
        // The board itself takes a tenth of a second to start.
        let back = at.elapsed().saturating_sub(Duration::from_millis(100));
        if lost < second && back < second {
            return;
        }
        times.push((lost, back));
    }
    panic!("lost and back after {times:?}");
}

/// G-RACE-6.
#[test]
fn a_board_that_restarts_gets_its_led_back() {
    for kind in [Kind::Leitstand, ORIGINAL] {
        let site = Site::start(kind);
        let mut screen = site.screen();
        site.board.tap(button(4));
        screen.told(2);
        site.lit(4);
        site.board.reboot();
        site.lit(0);
        site.lit(4);
        site.current(4);
    }
}

#[test]
fn a_board_that_falls_silent_is_offline_though_its_port_is_open() {
    let site = Site::start(Kind::Leitstand);
    site.board.silence(true);
    site.online(false);
    let trouble = site.status()["panels"][0]["trouble"].clone();
    assert!(trouble.is_string(), "{trouble}");
    site.board.silence(false);
    site.online(true);
}

#[test]
fn the_start_succeeds_without_a_board_and_finds_it_later() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("panel-wall");
    let server = serve(dir, "");
    assert_eq!(server.get("/health").status, 503);
    assert_eq!(server.get("/test/play/2").status, 200);
    let options = Options::new(PanelSize::new(10).unwrap());
    let thread = BoardThread::start(options, &link).unwrap();
    server.wait_for("the board", "/status", |s| {
        (s["serial_connected"] == true).then_some(())
    });
    let site = Site {
        server,
        board: thread.handle(),
        _thread: thread,
    };
    site.lit(2);
}

/// A screen that reads nothing for as long as a hundred presses take; G-WS-10.
#[test]
fn a_stalled_screen_delays_nobody() {
    let site = Site::start(Kind::Leitstand);
    let _stalled = site.screen();
    let mut lively = site.screen();
    for n in 0..100_u8 {
        let id = n % 10 + 1;
        site.board.tap(button(id));
        assert_eq!(lively.told(2), ["stop".to_owned(), format!("play {id}")]);
    }
    // The leg is counted after its frames have left.
    site.server
        .wait_for("every press in the statistics", "/status", |s| {
            (s["latency_ms"]["press_frames"]["samples"] == 100).then_some(())
        });
}

#[test]
fn what_no_browser_sends_harms_nobody() {
    let site = Site::start(Kind::Leitstand);
    let mut screen = site.screen();
    let hello = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        site.server.addr()
    );
    let mut megabyte = vec![0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0];
    megabyte.resize((1 << 20) + 14, b'x');
    let unmasked = b"\x81\x02{}".to_vec();
    let fragments_without_end = [[0x01, 0x81, 0, 0, 0, 0, b'x'].as_slice(), &[0; 0]]
        .concat()
        .into_iter()
        .chain(
            [0x00, 0x81, 0, 0, 0, 0, b'x']
                .into_iter()
                .cycle()
                .take(7 * 9000),
        )
        .collect();
    let noise = (0..20_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for attack in [megabyte, unmasked, fragments_without_end, noise] {
        let mut stream = http::connect(site.server.addr()).unwrap();
        stream.write_all(hello.as_bytes()).unwrap();
        // The server may hang up in the middle of it.
        let _ = stream.write_all(&attack);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset, "{e}"),
        }
    }
    // A page of somebody else's in the visitor's browser.
    let foreign = [
        ("Origin", "http://evil.example"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(
        site.server
            .request("GET", "/ws", &foreign, None)
            .problem(403),
        "foreign_origin"
    );
    let reply = site
        .server
        .request("POST", "/api/play/1", &foreign[..1], None);
    assert_eq!(reply.problem(403), "foreign_origin");

    for text in ["[]", "x", r#"{"type":"ended","id":true}"#, r#"{"type":1}"#] {
        screen.0.send(Message::text(text)).unwrap();
    }
    let huge = "y".repeat(2 << 20);
    let headers = [("Content-Type", "application/json")];
    let reply = site
        .server
        .request("POST", "/api/volume", &headers, Some(huge.as_bytes()));
    assert_eq!(reply.status, 413);
    let reply = site
        .server
        .request("POST", "/api/volume", &[], Some(b"{\"value\":1}"));
    assert_eq!(reply.status, 415);
    assert_eq!(site.server.get("/media/..%2fleitstand.toml").status, 404);

    // All the same: the screen that behaves is served, and the rest is counted and gone.
    site.board.tap(button(9));
    assert_eq!(screen.told(2), ["stop", "play 9"]);
    site.server
        .wait_for("the attackers to be gone", "/status", |s| {
            (s["ws_clients"] == 1).then_some(())
        });
    let metrics = site.server.get("/metrics").text();
    for line in [
        "leitstand_panel_messages_dropped_total{reason=\"not_object\"} 2",
        "leitstand_panel_messages_dropped_total{reason=\"bad_id\"} 1",
        "leitstand_panel_messages_dropped_total{reason=\"unknown_type\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} not in\n{metrics}");
    }
}

/// Off loopback every path of the panel but the health needs a token; a viewer's does not play.
#[test]
fn off_loopback_a_screen_needs_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let config = "site = 'Exhibit'\n[panel]\nbuttons = 10\n";
    std::fs::write(dir.path().join("leitstand.toml"), config).unwrap();
    let server = Server::run_in(dir, &["--bind", "0.0.0.0:0"]);
    assert_eq!(server.get("/health").status, 503);
    for path in [
        "/status",
        "/ws",
        "/media/001.jpg",
        "/api/media",
        "/test/stop",
        "/api/v1/panel/status",
    ] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
    for path in ["/api/play/1", "/api/stop", "/api/volume", "/api/brightness"] {
        assert_eq!(
            server.post(path, &json!({"value": 1})).status,
            401,
            "{path}"
        );
    }
}
