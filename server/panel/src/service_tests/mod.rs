#![allow(clippy::unwrap_used)]
//! The whole service on real sockets, with a text board of the original kind on the far side of a port in memory.

mod boards;
mod content;
mod hostile;
mod routes;
mod screens;
mod settings;

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

    /// LED commands so far; forgets all lines.
    fn take_lines(&self) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.state().lines);
        lines.retain(|line| line.starts_with("LED"));
        lines
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
        // Said again after every connect.
        house.board.wait_line("LEDCLR").await;
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
