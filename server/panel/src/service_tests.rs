#![allow(clippy::unwrap_used)]
//! The whole service on real sockets, with a text board of the original kind on the far side of a port in memory.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Condvar, OnceLock},
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response, header},
};
use futures_util::{SinkExt, StreamExt};
use leitstand_core::hal::{PortError, SerialPort};
use leitstand_kit::{
    CancellationToken,
    access::{self, Role},
    config::{Document, Path},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message as Ws};
use tower::ServiceExt as _;

use super::*;

/// Longest wait for a condition. Only a broken program reaches it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A board that speaks text as upstream's does: answers, no HELLO, no RELEASE.
#[derive(Clone, Default)]
struct Board(Arc<(Mutex<BoardState>, Condvar)>);

#[derive(Default)]
struct BoardState {
    plugged: bool,
    to_host: VecDeque<u8>,
    half: Vec<u8>,
    /// Lines from the host, but for PING.
    lines: Vec<String>,
    /// Answers nothing but PING while set.
    holds_answers: bool,
    opened: usize,
}

struct Port {
    board: Board,
    /// Which plugging-in this port belongs to.
    number: usize,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, BoardState> {
        self.0.0.lock().unwrap()
    }

    fn send(&self, bytes: &[u8]) {
        self.state().to_host.extend(bytes);
        self.0.1.notify_all();
    }

    fn plug(&self) {
        let mut state = self.state();
        state.plugged = true;
        state.to_host.clear();
        state.half.clear();
    }

    fn unplug(&self) {
        self.state().plugged = false;
        self.0.1.notify_all();
    }

    fn open(&self) -> Result<Box<dyn SerialPort>, PortError> {
        let mut state = self.state();
        if !state.plugged {
            return Err(PortError::NotFound);
        }
        state.opened += 1;
        Ok(Box::new(Port {
            board: self.clone(),
            number: state.opened,
        }))
    }

    /// Lines so far, and forgets them.
    fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut self.state().lines)
    }

    /// Waits until the host sent `line`; forgets all up to it and answers them.
    async fn wait_line(&self, line: &str) -> Vec<String> {
        until(&format!("{line} at the board"), async || {
            let mut state = self.state();
            let at = state.lines.iter().position(|l| l == line)?;
            Some(state.lines.drain(..=at).collect())
        })
        .await
    }
}

impl SerialPort for Port {
    fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, PortError> {
        let mut state = self.board.state();
        if state.to_host.is_empty() && state.plugged {
            state = self.board.0.1.wait_timeout(state, timeout).unwrap().0;
        }
        if !state.plugged || state.opened != self.number {
            return Err(PortError::Gone);
        }
        let n = buffer.len().min(state.to_host.len());
        for (to, from) in buffer.iter_mut().zip(state.to_host.drain(..n)) {
            *to = from;
        }
        Ok(n)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        let mut state = self.board.state();
        if !state.plugged || state.opened != self.number {
            return Err(PortError::Gone);
        }
        for byte in bytes {
            if *byte != b'\n' {
                state.half.push(*byte);
                continue;
            }
            let line = String::from_utf8(std::mem::take(&mut state.half)).unwrap();
            let answer: &[u8] = match line.as_str() {
                "" => b"",
                "PING" => b"PONG\n",
                "VERSION" => b"FW selection-panel v2.5.1\n",
                _ if state.holds_answers => b"",
                _ if line.starts_with("HELLO") => b"ERROR UNKNOWN_CMD\n",
                _ => b"OK\n",
            };
            state.to_host.extend(answer);
            if line != "PING" {
                state.lines.push(line);
            }
        }
        self.board.0.1.notify_all();
        Ok(())
    }

    fn discard_input(&mut self) -> Result<usize, PortError> {
        let mut state = self.board.state();
        let n = state.to_host.len();
        state.to_host.clear();
        Ok(n)
    }
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let limit = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < limit,
            "waited in vain for {what}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The service, its board, and a server in front of it.
struct House {
    board: Board,
    panel: Panel,
    cx: Context,
    router: Router,
    address: SocketAddr,
    dir: tempfile::TempDir,
    stop: CancellationToken,
    run: tokio::task::JoinHandle<Result<(), ServiceError>>,
}

fn media_once() -> &'static tempfile::TempDir {
    static MEDIA: OnceLock<tempfile::TempDir> = OnceLock::new();
    MEDIA.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        crate::test_media::write(dir.path(), 10);
        dir
    })
}

impl House {
    async fn start(section: &str, role: Role) -> Self {
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        struct File {
            panel: crate::PanelConfig,
        }
        let dir = tempfile::tempdir().unwrap();
        let text =
            format!("[panel]\n{section}\n[[panel.boards]]\nname = 'wall'\nport = '/dev/ttyACM0'\n");
        let (file, mut diags) = Document::parse(&text, "test.toml").check::<File>();
        let at = Path::root().key("panel");
        let settings = crate::config::check(&file.unwrap().panel, &at, &mut diags).unwrap();
        let media = dir.path().join("media");
        std::fs::create_dir(&media).unwrap();
        for entry in std::fs::read_dir(media_once()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), media.join(entry.file_name())).unwrap();
        }
        let cx = Context::for_tests(dir.path());
        let board = Board::default();
        board.plug();
        let opener = board.clone();
        let panel = Panel::new(&cx, settings, media, vec![Box::new(move || opener.open())]);
        let (router, _) = panel.instance().routes().split_for_parts();
        let router = access::as_role(router, role);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router
            .clone()
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        let stop = CancellationToken::new();
        let run = Self::run(&panel, &cx, &stop);
        let house = Self {
            board,
            panel,
            cx,
            router,
            address,
            dir,
            stop,
            run,
        };
        house
            .wait_status("the board online", |s| s["serial_connected"] == true)
            .await;
        house
            .wait_status("the media", |s| s["media_missing"] == 0)
            .await;
        house.board.take_lines();
        house
    }

    async fn operator() -> Self {
        Self::start("", Role::Operator).await
    }

    fn run(
        panel: &Panel,
        cx: &Context,
        stop: &CancellationToken,
    ) -> tokio::task::JoinHandle<Result<(), ServiceError>> {
        let cx = Context {
            stop: stop.clone(),
            ..cx.clone()
        };
        tokio::spawn(panel.instance().run(cx))
    }

    async fn request(&self, mut request: Request<Body>) -> Response<Body> {
        let peer = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 5)));
        request.extensions_mut().insert(peer);
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = self.request(request).await;
        let status = response.status().as_u16();
        (status, text(response).await)
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.call("GET", path, "").await
    }

    async fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status").await.1).unwrap()
    }

    async fn wait_status(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(what, async || {
            let status = self.status().await;
            wanted(&status).then_some(status)
        })
        .await
    }

    async fn current(&self, id: impl Into<Value>) {
        let id = id.into();
        self.wait_status(&format!("current {id}"), |s| s["current_button"] == id)
            .await;
    }

    async fn screen(&self) -> Browser {
        let url = format!("ws://{}/ws", self.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut browser = Browser { socket };
        assert_eq!(browser.next().await["type"], "hello");
        browser
    }

    async fn events(&self) -> Vec<String> {
        self.cx.events.flush().await;
        let page = self.cx.events.query(Default::default()).await.unwrap();
        let mut kinds: Vec<String> = page.items.iter().map(|e| e.kind.clone()).collect();
        kinds.reverse();
        kinds
    }
}

async fn text(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 24)
        .await
        .unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Browser {
    /// The next text frame.
    async fn next(&mut self) -> Value {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.socket.next())
                .await
                .expect("waited in vain for a frame")
                .expect("the connection ended")
                .unwrap();
            if let Ws::Text(text) = frame {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// `stop`, `play 5`, ... of the next frames.
    async fn told(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..count {
            let frame = self.next().await;
            let kind = frame["type"].as_str().unwrap().to_owned();
            told.push(match frame["id"].as_u64() {
                Some(id) => format!("{kind} {id}"),
                None => kind,
            });
        }
        told
    }

    async fn say(&mut self, text: &str) {
        self.socket.send(Ws::text(text)).await.unwrap();
    }

    /// Nothing but an answer to our own ping comes.
    async fn hears_nothing(&mut self) {
        self.say(r#"{"type":"ping"}"#).await;
        assert_eq!(self.next().await["type"], "pong");
    }
}

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
    assert_eq!(
        house.board.take_lines(),
        [""; 0],
        "the board lit its LED by itself"
    );
    w1.say(r#"{"type":"ended","id":3}"#).await;
    house.board.wait_line("LEDCLR").await;
    house.current(Value::Null).await;
    w2.say(r#"{"id":3,"type":"ended"}"#).await;
    house
        .wait_status("a stale end", |s| s["ignored"]["stale"] == 1)
        .await;
    w1.hears_nothing().await;
    assert!(house.board.take_lines().is_empty());
}

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
async fn g_ws_10_a_screen_that_does_not_read_delays_nobody() {
    let house = House::operator().await;
    let mut lively = house.screen().await;
    let stalled = house.screen().await;
    for n in 0..100 {
        let at = RealInstant::now();
        house
            .board
            .send(format!("PRESS {:03}\n", n % 10 + 1).as_bytes());
        assert_eq!(
            lively.told(2).await,
            ["stop".into(), format!("play {}", n % 10 + 1)]
        );
        assert!(
            at.elapsed() < Duration::from_secs(1),
            "press {n} took {:?}",
            at.elapsed()
        );
    }
    let p95 = house.status().await["latency_ms"]["press_frames"]["p95"]
        .as_f64()
        .unwrap();
    assert!(p95 < 50.0, "press to frames took {p95} ms");
    drop(stalled);
}

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
    let at = RealInstant::now();
    house
        .wait_status("the loss", |s| s["serial_connected"] == false)
        .await;
    assert!(
        at.elapsed() < Duration::from_secs(1),
        "lost after {:?}",
        at.elapsed()
    );
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
    let at = RealInstant::now();
    house
        .wait_status("the return", |s| s["serial_connected"] == true)
        .await;
    assert!(
        at.elapsed() < Duration::from_secs(1),
        "back after {:?}",
        at.elapsed()
    );
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
    assert!(house.board.take_lines().is_empty(), "cleared once");

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
    assert_eq!(screen.told(2).await, ["stop", "play 2"]);
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
