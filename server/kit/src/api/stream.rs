//! `/api/v1/stream`: what happens, as it happens (server-sent events).
//!
//! ```text
//! retry: 2000                                     once, at the beginning
//! : a comment at least every 5 s, so that a dead line is noticed
//! event: entry / id: <seq> / data: <entry>        a journal entry, after its commit
//! event: state / data: {"service","state"}        latest state: at once, then on change, at most 4 a second
//! ```
//!
//! With `Last-Event-ID` or `?since=` the entries after that number come first, without gap or repetition. Without, only
//! new ones. Each client has a small queue; one that takes nothing for 10 s is dropped and counted.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use tokio::sync::{broadcast::error::RecvError, mpsc, watch};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Problem, Query, events};
use crate::{
    Context,
    auth::access,
    events::{Filter, Stored},
};

/// Clients at once. Reasoning: every screen of a site, some with several pages open; each costs some kB.
const CLIENTS_MAX: usize = 256;
/// Messages that wait for a client.
const QUEUE_MAX: usize = 32;
/// A client that takes nothing for so long is dropped.
const PATIENCE: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Pause between two states of one service: at most four a second.
const STATE_EVERY: Duration = Duration::from_millis(250);
/// Services that one client may follow.
const FRAMES_MAX: usize = 8;
/// Entries read at once when a client catches up.
const CATCH_UP_CHUNK: u32 = 200;

#[derive(Clone)]
struct Streams {
    cx: Context,
    clients: Arc<tokio::sync::Semaphore>,
    patience: Duration,
}

pub(super) fn routes(cx: &Context) -> OpenApiRouter {
    routes_with(cx, PATIENCE)
}

pub(super) fn routes_with(cx: &Context, patience: Duration) -> OpenApiRouter {
    let clients = Arc::new(tokio::sync::Semaphore::new(CLIENTS_MAX));
    OpenApiRouter::new()
        .routes(routes!(open))
        .with_state(Streams {
            cx: cx.clone(),
            clients,
            patience,
        })
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Services whose state is wanted, with commas: `gas,panel`.
    frames: Option<String>,
    /// Entries after this number first; `Last-Event-ID` is the same and goes before.
    since: Option<u64>,
}

/// What happens, as it happens.
#[utoipa::path(get, path = "/api/v1/stream", tag = "events", responses(
    (status = 200, content_type = "text/event-stream", body = String,
        description = "`entry` with `id` = seq; `state` = {\"service\", \"state\"}"),
    (status = 400, body = Problem, description = "`bad_query`"),
    (status = 503, body = Problem, description = "`too_many_streams`"),
), params(Wanted, ("Last-Event-ID" = Option<u64>, Header, description = "resume after this entry")))]
async fn open(
    State(streams): State<Streams>,
    _: access::Viewer,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let frames = frame_names(wanted.frames.as_deref().unwrap_or(""))?;
    let last = headers
        .get("last-event-id")
        .and_then(|v| v.to_str().ok()?.trim().parse().ok());
    let since = last.or(wanted.since);
    let Ok(permit) = Arc::clone(&streams.clients).try_acquire_owned() else {
        return Err(Problem::unavailable(
            "too_many_streams",
            format!("{CLIENTS_MAX} clients listen already"),
        ));
    };
    let (queue, messages) = mpsc::channel(QUEUE_MAX);
    let clients = streams.cx.metrics.gauge(
        "leitstand_stream_clients",
        "Clients of the event stream.",
        &[],
    );
    clients.add(1.0);
    let client = Client {
        cx: streams.cx,
        queue,
        patience: streams.patience,
    };
    tokio::spawn(async move {
        // The end of the queue, for whatever reason, is the end of the client.
        let _ = client.serve(since, frames).await;
        clients.add(-1.0);
        drop(permit);
    });
    let messages = stream::unfold(messages, |mut messages| async {
        let message = messages.recv().await?;
        Some((Ok::<_, Infallible>(message), messages))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    // Proxies must pass each message on at once.
    Ok((
        headers,
        [("x-accel-buffering", "no")],
        Body::from_stream(messages),
    )
        .into_response())
}

fn frame_names(list: &str) -> Result<BTreeSet<String>, Problem> {
    let names: BTreeSet<_> = list
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .map(str::to_owned)
        .collect();
    let plain = |name: &String| {
        name.len() <= 32 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    if names.len() <= FRAMES_MAX && names.iter().all(plain) {
        Ok(names)
    } else {
        Err(Problem::bad_request(
            "bad_query",
            "frames: up to 8 names of services, with commas",
        ))
    }
}

struct Client {
    cx: Context,
    queue: mpsc::Sender<Bytes>,
    patience: Duration,
}

/// The client is gone or was dropped.
struct Gone;

impl Client {
    async fn serve(&self, since: Option<u64>, frames: BTreeSet<String>) -> Result<(), Gone> {
        // Listening begins before reading, so that nothing falls between.
        let mut news = self.cx.events.subscribe();
        let newest = self.cx.events.last_seq();
        // A number from a journal that was replaced says nothing about this one.
        let mut seen = since.filter(|since| *since <= newest).unwrap_or(newest);
        self.send("retry: 2000\n\n:\n\n".into()).await?;
        self.catch_up(&mut seen).await?;
        let states = frames.into_iter().map(|name| {
            let follow = self.cx.frames.follow(&name);
            Box::pin(states(name, follow))
        });
        let mut states = stream::select_all(states);
        loop {
            tokio::select! {
                () = self.cx.stop.cancelled() => return Ok(()),
                () = self.queue.closed() => return Err(Gone),
                entry = news.recv() => match entry {
                    Ok(entry) if entry.seq == seen + 1 => {
                        seen = entry.seq;
                        self.send(entry_message(&entry)).await?;
                    }
                    Ok(entry) if entry.seq <= seen => {}
                    // Another process wrote too, or this client was slow: the journal has what is missing.
                    Ok(_) | Err(RecvError::Lagged(_)) => self.catch_up(&mut seen).await?,
                    Err(RecvError::Closed) => return Ok(()),
                },
                Some(state) = states.next() => self.send(state).await?,
                () = tokio::time::sleep(KEEP_ALIVE) => self.send(":\n\n".into()).await?,
            }
        }
    }

    /// Sends all entries after `seen` that the journal has.
    async fn catch_up(&self, seen: &mut u64) -> Result<(), Gone> {
        loop {
            let filter = Filter {
                since: Some(*seen),
                limit: Some(CATCH_UP_CHUNK),
                oldest_first: true,
                ..Filter::default()
            };
            let page = match self.cx.events.query(filter).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "reading the journal for a stream");
                    return Err(Gone);
                }
            };
            for entry in &page.items {
                *seen = entry.seq;
                self.send(entry_message(entry)).await?;
            }
            if page.next.is_none() {
                return Ok(());
            }
        }
    }

    async fn send(&self, message: Bytes) -> Result<(), Gone> {
        match self.queue.send_timeout(message, self.patience).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Gone),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                let name = "leitstand_stream_dropped_total";
                self.cx
                    .metrics
                    .counter(name, "Clients dropped because they were too slow.", &[])
                    .inc();
                Err(Gone)
            }
        }
    }
}

fn entry_message(entry: &Arc<Stored>) -> Bytes {
    format!(
        "event: entry\nid: {}\ndata: {}\n\n",
        entry.seq,
        events::json(entry)
    )
    .into()
}

/// The states of one service: the latest at once, then each change, with a pause after each.
fn states(name: String, follow: watch::Receiver<Option<Arc<str>>>) -> impl Stream<Item = Bytes> {
    stream::unfold(
        (name, follow, true),
        |(name, mut follow, first)| async move {
            if !first {
                tokio::time::sleep(STATE_EVERY).await;
            }
            let mut fresh = first;
            loop {
                if !fresh && follow.changed().await.is_err() {
                    // Nobody publishes any more; the rest of the stream goes on.
                    std::future::pending::<()>().await;
                }
                fresh = false;
                let latest = follow.borrow_and_update().clone();
                if let Some(state) = latest {
                    // A line break may only stand between the tokens of JSON; in a message it would end the line.
                    let state = state.replace(['\n', '\r'], " ");
                    let message = format!(
                        "event: state\ndata: {{\"service\":\"{name}\",\"state\":{state}}}\n\n"
                    );
                    return Some((message.into(), (name, follow, false)));
                }
            }
        },
    )
}
