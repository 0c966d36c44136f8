//! The screens' end of the HTTP server: handshake, messages in, frames out.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use leitstand_kit::{
    access::{self, Caller, Role},
    api::Problem,
    auth::Lease,
};

use super::{Panel, audit};
use crate::{
    fanout::{Frames, Gone, Outbox},
    limit::MessageLimit,
    room::Input,
    service::{Message, Shared},
    socket::{self, Incoming},
    wire::{FromClient, Reject, ToClient},
};

/// Screens at a time. Reasoning: a file descriptor and some kilobytes each; ten times the measured goal.
const SCREENS_MAX: usize = 1000;

/// How many screens are connected. Counted apart from the room, which learns of them later.
#[derive(Clone, Default)]
pub(super) struct Screens(Arc<AtomicUsize>);

/// A screen's place; dropped with its task.
struct Place(Arc<AtomicUsize>);

impl Screens {
    fn take(&self) -> Option<Place> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.0.clone());
        (before < SCREENS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The screens' WebSocket (`specs/panel.md` 4.2).
#[utoipa::path(get, path = "/ws", tag = "panel", responses(
    (status = 101, description = "a WebSocket"), (status = 426, description = "no WebSocket asked for")))]
pub(super) async fn socket(
    access::Viewer(caller): access::Viewer,
    lease: Option<Lease>,
    State(shared): Panel,
    Extension(screens): Extension<Screens>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let (response, upgrade) = socket::accept(&mut parts)?;
    let place = screens.take().ok_or_else(|| {
        Problem::unavailable("too_many_screens", "too many screens are connected")
    })?;
    tokio::spawn(async move {
        match upgrade.connection().await {
            Ok((transport, read_ahead)) => {
                let outbox = Outbox::new(transport);
                let serving = screen(&shared, caller, outbox.clone(), read_ahead);
                until_logged_out(lease, &outbox, serving).await;
            }
            Err(error) => tracing::debug!(%error, "a screen did not finish its handshake"),
        }
        drop(place);
    });
    Ok(response)
}

/// Runs `serving` to its end, which comes soon once the login of the screen has ended.
async fn until_logged_out(
    lease: Option<Lease>,
    outbox: &Outbox,
    serving: impl Future<Output = ()>,
) {
    let mut serving = std::pin::pin!(serving);
    if let Some(lease) = lease {
        tokio::select! {
            () = &mut serving => return,
            () = lease.ended() => {
                // "Policy violation" (RFC 6455, 7.4.1); only a courtesy.
                let _ = outbox.push(&Frames::close(1008));
                outbox.close(Gone::LoggedOut);
            }
        }
    }
    serving.await;
}

/// Serves one screen to its end.
async fn screen(shared: &Arc<Shared>, caller: Caller, outbox: Arc<Outbox>, read_ahead: Vec<u8>) {
    let id = shared.new_client();
    let join = Message::Join(id, outbox.clone());
    if shared.inputs.send(join).await.is_err() {
        return;
    }
    let mut messages = MessageLimit::default();
    let mut presses = leitstand_core::panel::playback::RateLimit::default();
    let mut parse = |incoming: Incoming<'_>| -> Result<Option<FromClient>, Reject> {
        let now = shared.clock.now();
        if !messages.admit(now) {
            return Err(Reject::TooMany);
        }
        let Incoming::Text(text) = incoming else {
            return Err(Reject::NotObject);
        };
        match FromClient::parse(text, shared.settings.media())? {
            FromClient::Ping { n } => {
                let now_ms = now.as_millis();
                let pong = Frames::text([ToClient::Pong { n, now_ms }.to_json()]);
                // A client that cannot take it is noticed by the reader's own flush.
                let _ = outbox.push(&pong);
                Ok(None)
            }
            FromClient::Press { .. } if caller.role < Role::Operator => Err(Reject::Forbidden),
            FromClient::Press { .. } if !presses.admit(now) => Err(Reject::TooMany),
            FromClient::Press { id } => {
                audit(shared, &caller, &format!("panel.press {id}"));
                Ok(Some(FromClient::Press { id }))
            }
            other => Ok(Some(other)),
        }
    };
    let gone = socket::serve(
        &outbox,
        read_ahead,
        &shared.inputs,
        |incoming| match parse(incoming) {
            Ok(message) => message.map(|m| Message::Room(Input::Said(id, m))),
            Err(why) => {
                shared.metrics.rejected(why);
                None
            }
        },
    )
    .await;
    // Closed for the publisher too, if it was this side that ended it.
    outbox.close(gone);
    let _ = shared.inputs.send(Message::Left(id, gone)).await;
}
