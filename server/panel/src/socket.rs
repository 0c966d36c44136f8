//! One browser's WebSocket: the handshake after an axum handler, and the task that reads it.
//!
//! Masking, fragments, control frames and UTF-8 are the business of tungstenite, which here reads only. What it
//! wants to answer (pongs, the reply to a close) goes through the client's [`Outbox`], so that no frame is ever
//! torn apart by another writer.

use std::{
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    response::Response,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade::downcast};
use leitstand_kit::api::Problem;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
    time::Instant,
};
use tungstenite::{
    Error, Message,
    error::CapacityError,
    handshake::derive_accept_key,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

use crate::fanout::{Frames, Gone, Outbox, Transport};

/// Longest incoming frame and message (`specs/panel.md` 4.2). Reasoning: the longest honest one is an `error`
/// with a reason.
pub const MESSAGE_BYTES_MAX: usize = 4096;
/// How often the server pings.
pub const PING_EVERY: Duration = Duration::from_secs(15);
/// Pings in a row without any sign of life after which a client is dropped.
pub const MISSES_MAX: u32 = 2;
/// How long the change from HTTP to WebSocket may take.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

/// Accepts the handshake of RFC 6455, 4.2.
///
/// # Errors
/// 405, 400 or 426 as the RFC says; 400 also on a connection that cannot change its protocol.
pub fn accept(parts: &mut Parts) -> Result<(Response, Upgrade), Problem> {
    if parts.method != Method::GET {
        return Err(Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "a WebSocket starts with GET",
        ));
    }
    let headers = &parts.headers;
    if !lists(headers, header::CONNECTION, "upgrade")
        || !lists(headers, header::UPGRADE, "websocket")
        || headers
            .get(header::SEC_WEBSOCKET_VERSION)
            .is_none_or(|v| v != "13")
    {
        return Err(Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "this is a WebSocket of version 13; send Connection: Upgrade and Upgrade: websocket",
        ));
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .ok_or_else(|| Problem::bad_request("no_websocket_key", "Sec-WebSocket-Key is missing"))?;
    let answer = derive_accept_key(key.as_bytes());
    let upgrade = parts.extensions.remove::<OnUpgrade>().ok_or_else(|| {
        Problem::bad_request(
            "no_upgrade",
            "this connection cannot change to a WebSocket (HTTP/1.1 only)",
        )
    })?;
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, answer)
        .body(Body::empty())
        .map_err(|e| Problem::internal(e.to_string()))?;
    Ok((response, Upgrade(upgrade)))
}

/// Whether the comma-separated header `name` lists `token`, ignoring case.
fn lists(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|v| v.trim().eq_ignore_ascii_case(token))
}

/// A connection that becomes a WebSocket once the answer is written.
pub struct Upgrade(OnUpgrade);

impl Upgrade {
    /// The connection, and the bytes that were read past the request.
    ///
    /// # Errors
    /// The browser went away, or took longer than 10 s.
    pub async fn connection(self) -> io::Result<(Transport, Vec<u8>)> {
        let upgraded = tokio::time::timeout(UPGRADE_WITHIN, self.0)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
            .map_err(io::Error::other)?;
        // Served by hyper itself, or by hyper-util's server (axum::serve), which wraps the stream once more.
        let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => return plain(parts.io, &parts.read_buf),
            Err(upgraded) => upgraded,
        };
        match downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => plain(parts.io, &parts.read_buf),
            // Not a plain TCP connection (TLS, say): copy between it and a local pair, so that the fan-out stays
            // one non-blocking write for everybody.
            Err(upgraded) => copied(TokioIo::new(upgraded)),
        }
    }
}

fn plain(stream: TokioIo<TcpStream>, read_ahead: &[u8]) -> io::Result<(Transport, Vec<u8>)> {
    let transport = Transport::tcp(stream.into_inner())?;
    Ok((transport, read_ahead.to_vec()))
}

fn copied(
    mut browser: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> io::Result<(Transport, Vec<u8>)> {
    let (ours, mut theirs) = Transport::pair()?;
    tokio::spawn(async move {
        // Ends when either side does; the reason shows at our end.
        let _ = tokio::io::copy_bidirectional(&mut browser, &mut theirs).await;
    });
    Ok((ours, Vec::new()))
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message; nobody has a use for one.
    Binary,
}

/// Reads the client and drains its outbox until it is gone, and says why. What `parse` makes of a message goes
/// to `sender`; while that is full, this client alone is not read.
pub async fn serve<T: Send>(
    outbox: &Arc<Outbox>,
    read_ahead: Vec<u8>,
    sender: &mpsc::Sender<T>,
    mut parse: impl FnMut(Incoming<'_>) -> Option<T> + Send,
) -> Gone {
    let config = WebSocketConfig::default()
        .read_buffer_size(MESSAGE_BYTES_MAX)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut reader = Reader {
        context: WebSocketContext::from_partially_read(read_ahead, Role::Server, Some(config)),
        heard: false,
    };
    let mut ping_at = Instant::now() + PING_EVERY;
    let mut pinged = false;
    let mut misses = 0;
    loop {
        if let Err(gone) = reader.drain(outbox, sender, &mut parse).await {
            outbox.close(gone);
        }
        let waiting = match outbox.flush() {
            Ok(done) => !done,
            Err(gone) => return gone,
        };
        tokio::select! {
            () = outbox.woken() => {}
            ready = outbox.transport().readable() => {
                if ready.is_err() {
                    outbox.close(Gone::Closed);
                }
            }
            ready = outbox.transport().writable(), if waiting => {
                if ready.is_err() {
                    outbox.close(Gone::Closed);
                }
            }
            () = tokio::time::sleep_until(ping_at) => {
                ping_at += PING_EVERY;
                misses = if pinged && !reader.heard { misses + 1 } else { 0 };
                reader.heard = false;
                if misses == MISSES_MAX {
                    outbox.close(Gone::Silent);
                } else {
                    // An error is noticed by the flush above.
                    let _ = outbox.push(&Frames::ping());
                    pinged = true;
                }
            }
        }
    }
}

struct Reader {
    context: WebSocketContext,
    /// Something arrived since the last ping.
    heard: bool,
}

impl Reader {
    /// Takes all messages that are there.
    async fn drain<T: Send>(
        &mut self,
        outbox: &Outbox,
        sender: &mpsc::Sender<T>,
        parse: &mut (impl FnMut(Incoming<'_>) -> Option<T> + Send),
    ) -> Result<(), Gone> {
        loop {
            let mut pipe = Pipe {
                transport: outbox.transport(),
                answers: Vec::new(),
            };
            let read = self.context.read(&mut pipe);
            if !pipe.answers.is_empty() {
                outbox.push(&Frames::raw(pipe.answers))?;
            }
            match read {
                Ok(message) => {
                    self.heard = true;
                    let parsed = match message {
                        Message::Text(text) => parse(Incoming::Text(text.as_str())),
                        Message::Binary(_) => parse(Incoming::Binary),
                        // Control frames are answered by the library at the next read; raw ones it never gives.
                        Message::Ping(_)
                        | Message::Pong(_)
                        | Message::Close(_)
                        | Message::Frame(_) => None,
                    };
                    if let Some(parsed) = parsed {
                        sender.send(parsed).await.map_err(|_| Gone::Stopping)?;
                    }
                }
                Err(Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    let (code, gone) = verdict(&error);
                    if let Some(code) = code {
                        // Only a courtesy: the client is gone whether or not it reads this.
                        let _ = outbox.push(&Frames::close(code));
                    }
                    return Err(gone);
                }
            }
        }
    }
}

/// The status code to close with, and the reason for our books.
fn verdict(error: &Error) -> (Option<u16>, Gone) {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => (Some(1009), Gone::Protocol),
        Error::Utf8(_) => (Some(1007), Gone::Protocol),
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            (None, Gone::Closed)
        }
        Error::Protocol(_) | Error::Capacity(_) => (Some(1002), Gone::Protocol),
        _ => (None, Gone::Closed),
    }
}

/// What the library reads from the socket, and what it wants to send, collected.
struct Pipe<'a> {
    transport: &'a Transport,
    answers: Vec<u8>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.transport.try_read(buffer)
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.answers.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
        task::JoinHandle,
    };

    fn start() -> (UnixStream, mpsc::Receiver<String>, JoinHandle<Gone>) {
        let (ours, browser) = Transport::pair().unwrap();
        let outbox = Outbox::new(ours);
        let (sender, messages) = mpsc::channel(100);
        let task = tokio::spawn(async move {
            serve(&outbox, Vec::new(), &sender, |m| {
                Some(match m {
                    Incoming::Text(t) => t.to_owned(),
                    Incoming::Binary => "<binary>".to_owned(),
                })
            })
            .await
        });
        (browser, messages, task)
    }

    /// A client's frame with an all-zero mask, which leaves the payload as it is.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        if payload.len() < 126 {
            frame.push(0x80 | u8::try_from(payload.len()).unwrap());
        } else {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        frame
    }

    #[tokio::test]
    async fn fragments_are_joined_and_a_ping_between_them_is_answered() {
        let (mut browser, mut messages, _task) = start();
        for frame in [
            masked(0x01, b"{\"type\":"),
            masked(0x89, b"are you there"),
            masked(0x80, b"\"ping\"}"),
        ] {
            browser.write_all(&frame).await.unwrap();
        }
        assert_eq!(messages.recv().await.unwrap(), r#"{"type":"ping"}"#);
        let mut pong = [0; 15];
        browser.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"\x8a\x0dare you there");
    }

    #[tokio::test]
    async fn broken_rules_close_with_the_right_code() {
        for (what, bytes, code) in [
            ("no mask", b"\x81\x02{}".to_vec(), 1002_u16),
            ("reserved bit", masked(0xc1, b"{}"), 1002),
            ("unknown opcode", masked(0x83, b"{}"), 1002),
            ("fragmented ping", masked(0x09, b""), 1002),
            ("continuation of nothing", masked(0x80, b"{}"), 1002),
            ("not UTF-8", masked(0x81, b"\xff\xfe"), 1007),
            ("4097 bytes", masked(0x81, &[b'x'; 4097]), 1009),
        ] {
            let (mut browser, _messages, task) = start();
            browser.write_all(&bytes).await.unwrap();
            assert_eq!(task.await.unwrap(), Gone::Protocol, "{what}");
            let mut close = Vec::new();
            // The unread rest of what we sent may turn the end of the stream into a reset.
            let _ = browser.read_to_end(&mut close).await;
            let [high, low] = code.to_be_bytes();
            assert_eq!(close, [0x88, 2, high, low], "{what}");
        }
    }

    #[tokio::test]
    async fn a_megabyte_without_end_is_refused_by_its_header() {
        let (mut browser, mut messages, task) = start();
        let mut header = vec![0x81, 0x80 | 127];
        header.extend_from_slice(&(1_u64 << 20).to_be_bytes());
        header.extend_from_slice(&[0; 4]);
        browser.write_all(&header).await.unwrap();
        assert_eq!(task.await.unwrap(), Gone::Protocol);
        assert!(messages.recv().await.is_none());
    }

    #[tokio::test]
    async fn a_message_of_4096_bytes_passes_and_binary_is_told_apart() {
        let (mut browser, mut messages, _task) = start();
        let longest = "z".repeat(MESSAGE_BYTES_MAX);
        browser
            .write_all(&masked(0x81, longest.as_bytes()))
            .await
            .unwrap();
        browser.write_all(&masked(0x82, b"\x00")).await.unwrap();
        assert_eq!(messages.recv().await.unwrap(), longest);
        assert_eq!(messages.recv().await.unwrap(), "<binary>");
    }

    #[tokio::test]
    async fn a_close_is_answered() {
        let (mut browser, _messages, task) = start();
        browser
            .write_all(&masked(0x88, &1000_u16.to_be_bytes()))
            .await
            .unwrap();
        assert_eq!(task.await.unwrap(), Gone::Closed);
        let mut answer = Vec::new();
        browser.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, [0x88, 2, 3, 232]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_dropped_after_two_unanswered_pings() {
        let start_of_test = Instant::now();
        let (mut browser, _messages, task) = start();
        assert_eq!(task.await.unwrap(), Gone::Silent);
        assert_eq!(start_of_test.elapsed(), PING_EVERY * 3);
        let mut pings = Vec::new();
        browser.read_to_end(&mut pings).await.unwrap();
        assert_eq!(pings, [0x89, 0, 0x89, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_answers_stays() {
        let (mut browser, _messages, task) = start();
        for _ in 0..20 {
            let mut ping = [0; 2];
            browser.read_exact(&mut ping).await.unwrap();
            assert_eq!(ping, [0x89, 0]);
            browser.write_all(&masked(0x8a, b"")).await.unwrap();
        }
        assert!(!task.is_finished());
    }

    /// Which transport an upgrade leads to, and what was read ahead.
    fn app() -> (axum::Router, mpsc::Receiver<(Transport, Vec<u8>)>) {
        let (sender, transports) = mpsc::channel(1);
        let handler = move |request: axum::extract::Request| async move {
            let (response, upgrade) = accept(&mut request.into_parts().0)?;
            tokio::spawn(async move { sender.send(upgrade.connection().await.unwrap()).await });
            Ok::<_, Problem>(response)
        };
        (axum::Router::new().fallback(handler), transports)
    }

    const HELLO: &[u8] = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n\
        Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nahead";

    #[tokio::test]
    async fn both_servers_give_up_their_raw_socket() {
        for by_axum in [true, false] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut browser = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let (app, mut transports) = app();
            tokio::spawn(async move {
                if by_axum {
                    axum::serve(listener, app).await.unwrap();
                } else {
                    let (stream, _) = listener.accept().await.unwrap();
                    let service = hyper_util::service::TowerToHyperService::new(app);
                    let connection = hyper::server::conn::http1::Builder::new();
                    let connection = connection.serve_connection(TokioIo::new(stream), service);
                    connection.with_upgrades().await.unwrap();
                }
            });
            browser.write_all(HELLO).await.unwrap();
            let (transport, read_ahead) = transports.recv().await.unwrap();
            assert!(
                matches!(transport, Transport::Tcp(_)),
                "by_axum = {by_axum}"
            );
            assert_eq!(read_ahead, b"ahead");
            let mut answer = vec![0; 200];
            let n = browser.read(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer[..n]).to_lowercase();
            assert!(
                answer.starts_with("http/1.1 101 switching protocols\r\n"),
                "{answer}"
            );
            // The key and answer of RFC 6455, 1.3.
            assert!(
                answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
                "{answer}"
            );
        }
    }

    #[tokio::test]
    async fn a_wrapped_connection_is_copied() {
        let (browser, wrapped) = tokio::io::duplex(64);
        let (transport, _) = copied(wrapped).unwrap();
        let outbox = Outbox::new(transport);
        let (mut read, mut write) = tokio::io::split(browser);
        outbox.push(&Frames::text(["hello"])).unwrap();
        let mut got = [0; 7];
        read.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"\x81\x05hello");
        let (sender, mut messages) = mpsc::channel(1);
        let served = tokio::spawn(async move {
            serve(&outbox, Vec::new(), &sender, |m| match m {
                Incoming::Text(t) => Some(t.to_owned()),
                Incoming::Binary => None,
            })
            .await
        });
        write.write_all(&masked(0x81, b"{}")).await.unwrap();
        assert_eq!(messages.recv().await.unwrap(), "{}");
        drop((read, write));
        assert_eq!(served.await.unwrap(), Gone::Closed);
    }

    #[tokio::test]
    async fn what_is_no_handshake_gets_an_answer() {
        let parts = |headers: &[(&str, &str)]| {
            let mut request = axum::http::Request::get("/ws");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.body(()).unwrap().into_parts().0
        };
        let good = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let status = |headers: &[(&str, &str)]| accept(&mut parts(headers)).err().unwrap().status;
        assert_eq!(status(&[]), 426);
        assert_eq!(status(&good[..2]), 426);
        assert_eq!(status(&good[..3]), 400);
        // Complete, but on a connection that cannot change.
        assert_eq!(status(&good), 400);
        let mut post = parts(&good);
        post.method = Method::POST;
        assert_eq!(accept(&mut post).err().unwrap().status, 405);
    }

    /// G-WS-10 with all of its sixty seconds, in the time of the test. "Within budget" is "at once": no time passes
    /// between a publication and its last byte at the client that reads.
    #[tokio::test(start_paused = true)]
    async fn g_ws_10_a_client_that_reads_nothing_for_a_minute_delays_nobody() {
        use crate::fanout::{ClientId, Fanout};
        const PAUSE: Duration = Duration::from_millis(600);
        let (ours, _never_read) = Transport::pair().unwrap();
        let stalled = Outbox::new(ours);
        let (ours, mut browser) = Transport::pair().unwrap();
        let lively = Outbox::new(ours);
        let (sender, _messages) = mpsc::channel::<()>(1);
        let read = |outbox: Arc<Outbox>| {
            let sender = sender.clone();
            tokio::spawn(async move { serve(&outbox, Vec::new(), &sender, |_| None).await })
        };
        let (ended, _task) = (read(stalled.clone()), read(lively.clone()));
        let mut fanout = Fanout::default();
        fanout.join(ClientId(1), stalled);
        fanout.join(ClientId(2), lively);
        let (mut dropped, mut got) = (Vec::new(), 0);
        let play = format!(r#"{{"type":"play","id":7,"caption":"{}"}}"#, "x".repeat(90));
        let begun = Instant::now();
        for _ in 0..100 {
            fanout.publish(&Frames::text([r#"{"type":"stop"}"#, &play]), &mut dropped);
            let at = Instant::now();
            let mut of_this_press = 0;
            while of_this_press < 2 {
                // Frames of this test are short: one byte of length.
                let mut head = [0; 2];
                browser.read_exact(&mut head).await.unwrap();
                let mut payload = vec![0; head[1].into()];
                browser.read_exact(&mut payload).await.unwrap();
                match head[0] {
                    0x89 => browser.write_all(&masked(0x8a, b"")).await.unwrap(),
                    _ => of_this_press += 1,
                }
            }
            assert_eq!(Instant::now(), at, "somebody waited");
            got += of_this_press;
            tokio::time::sleep(PAUSE).await;
        }
        assert_eq!((got, begun.elapsed()), (200, 100 * PAUSE));
        // Two pings without a sign of life; its place is free after three quarters of a minute.
        assert_eq!(ended.await.unwrap(), Gone::Silent);
        assert_eq!(dropped, [(ClientId(1), Gone::Silent)]);
        assert_eq!(fanout.len(), 1);
    }
}
