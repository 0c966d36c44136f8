//! The listener and one task a connection.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use tungstenite::{
    Message,
    handshake::server::{ErrorResponse, Request as Upgrade, Response},
    http::StatusCode,
    protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
};

use super::{
    diff::diff,
    frame::{self, Decoder, Dialect, Incoming, MESSAGE_BYTES_MAX},
    request,
    users::Failures,
};
use crate::{
    config::{DialectChoice, ReplRole, ReplSettings},
    service::Models,
};

/// Connections at a time. Reasoning: people and scripts, each with a mirror of the state.
const CONNECTIONS_MAX: usize = 64;
/// Requests of one connection that run at a time.
const PARALLEL_MAX: usize = 16;
/// Time for the upgrade.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Silence of the client until it is asked, and then until it is given up.
const ALIVE: Duration = Duration::from_secs(30);
/// How long the first server frame is held back for the client's first.
const GUESS: Duration = Duration::from_secs(1);
/// A client that takes nothing for so long is dropped.
const SEND: Duration = Duration::from_secs(30);

/// Serves until the task is dropped.
pub(crate) async fn serve(models: Models, settings: ReplSettings, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let failures = Arc::new(Mutex::new(Failures::default()));
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
        };
        let Ok((stream, peer)) = accepted else {
            sleep(Duration::from_millis(100)).await; // out of descriptors: others must end first
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            continue; // closed at once; the limit is far above any honest use
        };
        let (models, settings, failures) = (models.clone(), settings.clone(), failures.clone());
        tasks.spawn(async move {
            if let Some(socket) = upgrade(stream).await {
                Connection::new(models, settings, failures, peer, socket)
                    .run()
                    .await;
            }
            drop(place);
        });
    }
}

async fn upgrade(stream: TcpStream) -> Option<WebSocketStream<TcpStream>> {
    let _ = stream.set_nodelay(true);
    // tungstenite's callback fixes the error type.
    #[allow(clippy::result_large_err)]
    let check = |upgrade: &Upgrade, response: Response| -> Result<Response, ErrorResponse> {
        if matches!(upgrade.uri().path(), "/" | "/ws") {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(Some("connect to / or /ws".into()));
        *refusal.status_mut() = StatusCode::NOT_FOUND;
        Err(refusal)
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    timeout(
        HANDSHAKE,
        accept_hdr_async_with_config(stream, check, Some(config)),
    )
    .await
    .ok()?
    .ok()
}

struct Connection {
    models: Models,
    settings: ReplSettings,
    failures: Arc<Mutex<Failures>>,
    peer: SocketAddr,
    socket: WebSocketStream<TcpStream>,
    dialect: Option<Dialect>,
    decoder: Decoder,
    user: Option<(String, ReplRole)>,
    /// What the client believes; nothing yet before the first state frame.
    mirror: Option<Value>,
    slots: Arc<Semaphore>,
    replies: mpsc::Sender<Value>,
}

/// Why a connection ends, in the words of the close frame.
struct Close(CloseCode, &'static str);

const PROTOCOL: Close = Close(CloseCode::Policy, "not a request");

impl Connection {
    fn new(
        models: Models,
        settings: ReplSettings,
        failures: Arc<Mutex<Failures>>,
        peer: SocketAddr,
        socket: WebSocketStream<TcpStream>,
    ) -> Self {
        let dialect = match settings.dialect {
            DialectChoice::Auto => None,
            DialectChoice::V06 => Some(Dialect::V06),
            DialectChoice::V07 => Some(Dialect::V07),
        };
        Self {
            models,
            settings,
            failures,
            peer,
            socket,
            dialect,
            decoder: Decoder::new(dialect.unwrap_or(Dialect::V07)),
            user: None,
            mirror: None,
            slots: Arc::new(Semaphore::new(PARALLEL_MAX)),
            replies: mpsc::channel(1).0,
        }
    }

    async fn run(mut self) {
        let close = self.talk().await;
        if let Some(Close(code, reason)) = close {
            let close = CloseFrame {
                code,
                reason: reason.into(),
            };
            let _ = timeout(Duration::from_secs(2), self.socket.close(Some(close))).await;
            // Read to the end, so that the close is not lost behind a reset.
            let drain = async { while let Some(Ok(_)) = self.socket.next().await {} };
            let _ = timeout(Duration::from_secs(1), drain).await;
        }
    }

    /// Until the client goes (`None`) or is sent away.
    async fn talk(&mut self) -> Option<Close> {
        let (replies, mut replied) = mpsc::channel(PARALLEL_MAX);
        self.replies = replies;
        let mut state = self.models.follow();
        let mut flush_at = Some(Instant::now() + self.settings.autoflush);
        let guess_at = Instant::now() + GUESS;
        let mut heard = Instant::now();
        let mut asked = false;
        loop {
            let silence = heard + if asked { ALIVE * 2 } else { ALIVE };
            let flush = async {
                match flush_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                incoming = self.socket.next() => {
                    heard = Instant::now();
                    asked = false;
                    let before = self.user.is_some();
                    match incoming {
                        None | Some(Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::Io(_))) => return None,
                        Some(Err(tungstenite::Error::Capacity(_))) => return Some(Close(CloseCode::Size, "too long")),
                        Some(Err(_)) => return Some(Close(CloseCode::Protocol, "no WebSocket")),
                        Some(Ok(Message::Text(text))) => if let Err(close) = self.heard(&text).await {
                            return Some(close);
                        },
                        Some(Ok(Message::Binary(_))) => return Some(Close(CloseCode::Unsupported, "text only")),
                        Some(Ok(Message::Close(_))) => return None,
                        Some(Ok(_)) => {}
                    }
                    if before != self.user.is_some() {
                        flush_at = Some(Instant::now());
                    }
                }
                Some(reply) = replied.recv() => self.send(reply).await.ok()?,
                changed = state.changed() => {
                    changed.ok()?;
                    flush_at.get_or_insert(Instant::now() + self.settings.autoflush);
                }
                () = flush => {
                    if self.dialect.is_none() && Instant::now() < guess_at {
                        flush_at = Some(guess_at);
                        continue;
                    }
                    flush_at = None;
                    self.flush().await.ok()?;
                }
                () = sleep_until(silence) => {
                    if asked {
                        return Some(Close(CloseCode::Away, "silent"));
                    }
                    asked = true;
                    if self.dialect == Some(Dialect::V07) {
                        self.text("2".into()).await.ok()?;
                    } else {
                        // 0.6 has no ping of its own; that of the WebSocket is answered below the client.
                        let ping = Message::Ping(tungstenite::Bytes::new());
                        timeout(SEND, self.socket.send(ping)).await.ok()?.ok()?;
                    }
                }
            }
        }
    }

    async fn text(&mut self, text: String) -> Result<(), ()> {
        let sent = timeout(SEND, self.socket.send(Message::text(text))).await;
        sent.map_err(drop)?.map_err(drop)
    }

    async fn send(&mut self, message: Value) -> Result<(), ()> {
        let dialect = self.dialect.unwrap_or(Dialect::V07);
        for frame in dialect.encode(message.to_string()) {
            self.text(frame).await?;
        }
        Ok(())
    }

    /// Brings the client's mirror up to date.
    async fn flush(&mut self) -> Result<(), ()> {
        let empty = json!({"models": {}, "actions": {}});
        let now = match self.user {
            Some(_) => serde_json::to_value(&**self.models.follow().borrow()).unwrap_or(empty),
            None => empty,
        };
        let operations = match &self.mirror {
            None => vec![json!({"op": "replace", "path": "", "value": now})],
            Some(mirror) => diff(mirror, &now),
        };
        self.mirror = Some(now);
        if operations.is_empty() {
            return Ok(());
        }
        self.send(json!({"type": "state", "diff": operations}))
            .await
    }

    async fn heard(&mut self, text: &str) -> Result<(), Close> {
        if self.dialect.is_none() {
            let dialect = Dialect::of(text).ok_or(PROTOCOL)?;
            self.dialect = Some(dialect);
            self.decoder = Decoder::new(dialect);
        }
        let message = match self.decoder.frame(text).map_err(|_| PROTOCOL)? {
            Incoming::Message(message) => message,
            Incoming::Ping(payload) => {
                return self
                    .text(frame::pong(&payload))
                    .await
                    .map_err(|()| PROTOCOL);
            }
            Incoming::Part | Incoming::Pong => return Ok(()),
        };
        let message: Value = serde_json::from_str(&message).map_err(|_| PROTOCOL)?;
        let id = message
            .get("id")
            .filter(|id| id.is_i64() || id.is_u64())
            .ok_or(PROTOCOL)?
            .clone();
        let name = message
            .get("name")
            .and_then(Value::as_str)
            .ok_or(PROTOCOL)?
            .to_owned();
        if message.get("type").and_then(Value::as_str) != Some("request") {
            return Err(PROTOCOL);
        }
        let data = message.get("data").cloned().unwrap_or_default();
        self.request(id, &name, data).await
    }

    async fn request(&mut self, id: Value, name: &str, data: Value) -> Result<(), Close> {
        let reply = |result: Result<Value, String>| match result {
            Ok(data) => json!({"type": "response", "id": id, "success": true, "data": data}),
            Err(text) => json!({"type": "response", "id": id, "success": false, "data": text}),
        };
        let result = match name {
            "" => Ok(data),
            "login" => {
                let accepted = self.login(&data).await;
                let _ = self.send(reply(Ok(json!({"success": accepted})))).await;
                return if accepted {
                    Ok(())
                } else {
                    Err(Close(CloseCode::Normal, "login failed"))
                };
            }
            "logout" => {
                self.user = None;
                Ok(Value::Null)
            }
            _ => match (&self.user, request::role(name)) {
                (None, _) => Err("unauthorized action".to_owned()),
                (Some(_), None) => Err(format!("unknown call {name}")),
                (Some((_, role)), Some(needed)) if *role < needed => {
                    Err("unauthorized action".to_owned())
                }
                (Some(_), Some(_)) if name == "list_types" => Ok(self.models.types().into()),
                (Some((user, _)), Some(_)) => match request::parse(name, &data) {
                    Err(error) => Err(error.message),
                    Ok(request) => {
                        let (models, user, replies) =
                            (self.models.clone(), user.clone(), self.replies.clone());
                        // More than the limit wait here, and with them the reading of further requests.
                        let Ok(slot) = self.slots.clone().acquire_owned().await else {
                            return Err(PROTOCOL);
                        };
                        tokio::spawn(async move {
                            let result = models.call(&user, request).await;
                            let result = result.map(request::answer).map_err(|e| e.message);
                            let message = match result {
                                Ok(data) => {
                                    json!({"type": "response", "id": id, "success": true, "data": data})
                                }
                                Err(text) => {
                                    json!({"type": "response", "id": id, "success": false, "data": text})
                                }
                            };
                            let _ = replies.send(message).await;
                            drop(slot);
                        });
                        return Ok(());
                    }
                },
            },
        };
        self.send(reply(result)).await.map_err(|()| PROTOCOL)
    }

    async fn login(&mut self, data: &Value) -> bool {
        let address = self.peer.ip();
        let now = self.models.now();
        let delay = self
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .delay(now, address);
        sleep(delay).await;
        let text = |name| {
            data.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (name, digest, users) = (
            text("username"),
            text("password"),
            self.settings.users.clone(),
        );
        let user = name.clone();
        let verified = tokio::task::spawn_blocking(move || users.verify(&name, &digest)).await;
        match verified.ok().flatten() {
            Some(role) => {
                self.user = Some((user, role));
                true
            }
            None => {
                self.user = None;
                self.failures
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .note(now, address);
                self.models.tell_refused(&user, self.peer);
                false
            }
        }
    }
}
