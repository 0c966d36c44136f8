//! A terminal in the browser: a WebSocket for operators. Binary frames are bytes of the terminal, both ways; a text
//! frame from the browser is `{"columns": n, "rows": n}`.

use std::sync::Arc;

use axum::{
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use leitstand_kit::{
    access,
    api::{Problem, UrlPath},
};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tungstenite::{
    Message, Utf8Bytes,
    handshake::derive_accept_key,
    protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
};

use crate::{
    SERVICE, api,
    backend::{Attach, Session, Size},
    engine::Container,
    service::Shared,
};

/// Bytes of a frame from a browser. Reasoning: a paste.
const FRAME_BYTES_MAX: usize = 64 * 1024;

#[derive(Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    columns: u16,
    #[serde(default)]
    rows: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resize {
    columns: u16,
    rows: u16,
}

fn size(columns: u16, rows: u16) -> Size {
    let or = |n: u16, usual| if n == 0 { usual } else { n.min(1000) };
    Size {
        columns: or(columns, 80),
        rows: or(rows, 24),
    }
}

/// A terminal in a container.
#[utoipa::path(get, path = "/api/v1/containers/{uuid}/terminal", tag = "containers", params(("uuid" = String, Path)),
    responses((status = 101, description = "a WebSocket"), (status = 404, description = "none of this name")))]
pub(crate) async fn terminal(
    access::Operator(caller): access::Operator,
    State(shared): State<Arc<Shared>>,
    UrlPath(uuid): UrlPath<String>,
    Query(wanted): Query<Wanted>,
    mut request: Request,
) -> Result<Response, Problem> {
    let container = api::find(&shared, &uuid)?;
    let accept = accept_key(request.headers()).ok_or_else(|| {
        Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "no_websocket",
            "this is a WebSocket",
        )
    })?;
    let upgrade = request
        .extensions_mut()
        .remove::<hyper::upgrade::OnUpgrade>();
    let upgrade = upgrade.ok_or_else(|| Problem::internal("the connection cannot be upgraded"))?;
    let attach = Attach {
        pty: Some(size(wanted.columns, wanted.rows)),
        term: "xterm-256color".into(),
        ..Attach::default()
    };
    let session = container.guest.attach(attach).await;
    let session = session.map_err(|e| Problem::unavailable("cannot_attach", e.to_string()))?;
    drop(shared.engine.context().audit(
        SERVICE,
        &caller,
        &format!("container.terminal {uuid}"),
        json!(null),
        json!(null),
    ));
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let config = WebSocketConfig::default()
                    .max_message_size(Some(FRAME_BYTES_MAX))
                    .max_frame_size(Some(FRAME_BYTES_MAX));
                let socket = WebSocketStream::from_raw_socket(
                    TokioIo::new(upgraded),
                    Role::Server,
                    Some(config),
                )
                .await;
                serve(socket, session, &container).await;
            }
            Err(error) => tracing::debug!(%error, "a terminal did not finish its handshake"),
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name, word: &str| {
        let value = headers
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok());
        value.is_some_and(|v| {
            v.split(',')
                .any(|part| part.trim().eq_ignore_ascii_case(word))
        })
    };
    if !has(header::UPGRADE, "websocket")
        || !has(header::CONNECTION, "upgrade")
        || !has(header::SEC_WEBSOCKET_VERSION, "13")
    {
        return None;
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}

async fn serve<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    session: Session,
    container: &Container,
) {
    let in_use = container.activity.begin();
    let gone = container.gone();
    let Session {
        mut input,
        mut output,
        exit,
        control,
        ..
    } = session;
    let (mut to, mut from) = socket.split();
    let typing = async {
        while let Some(Ok(message)) = from.next().await {
            match message {
                Message::Binary(bytes) if input.write_all(&bytes).await.is_err() => break,
                Message::Text(text) => {
                    if let Ok(Resize { columns, rows }) = serde_json::from_str(&text) {
                        control.resize(size(columns, rows));
                    }
                }
                Message::Close(_) => break,
                _ => {}
            }
        }
    };
    let showing = async {
        let mut block = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = output.read(&mut block).await {
            if to
                .send(Message::Binary(block[..n].to_vec().into()))
                .await
                .is_err()
            {
                return;
            }
        }
        let _ = exit.await;
    };
    tokio::select! {
        () = typing => {}
        () = showing => {}
        () = gone.cancelled() => {}
    }
    const SIGHUP: i32 = 1;
    control.signal(SIGHUP);
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: Utf8Bytes::from_static("the terminal ended"),
    };
    let _ = to.send(Message::Close(Some(frame))).await;
    drop(in_use);
}
