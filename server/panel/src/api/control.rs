//! Play, stop, volume, brightness: the commands, by whatever path they come.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::PoisonError,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use leitstand_kit::{
    access::{self, Caller, Via},
    api::{Json, Problem},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{Panel, audit, not_stored};
use crate::{SERVICE, ambience::Levels, room::Input, service::Shared, settings};

/// The address that a request came from.
pub(super) struct Peer(IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(
            peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |p| p.0.ip()),
        ))
    }
}

/// An id of a path: digits, 1 to the highest.
pub(super) fn parse_id(shared: &Shared, text: &str) -> Result<u16, String> {
    let highest = shared.settings.media();
    text.parse()
        .ok()
        .filter(|id| (1..=highest).contains(id) && text.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| format!("the id is a number from 1 to {highest}"))
}

pub(super) fn limited(shared: &Shared, peer: &Peer) -> Result<(), Problem> {
    let mut limits = shared.limits.lock().unwrap_or_else(PoisonError::into_inner);
    if limits.admit(peer.0, shared.clock.now()) {
        return Ok(());
    }
    shared.metrics.limited.inc();
    Err(Problem::too_many(
        "too_many_plays",
        "at most 20 plays a second from one source",
    ))
}

async fn do_play(shared: &Shared, caller: &Caller, peer: &Peer, id: u16) -> Result<(), Problem> {
    limited(shared, peer)?;
    audit(shared, caller, &format!("panel.play {id}"));
    shared.apply(Input::Play(id)).await?;
    Ok(())
}

async fn do_stop(shared: &Shared, caller: &Caller, peer: &Peer) -> Result<(), Problem> {
    limited(shared, peer)?;
    audit(shared, caller, "panel.stop");
    shared.apply(Input::Stop).await?;
    Ok(())
}

/// In production mode a GET that changes something needs more than a cookie, which any page could make a
/// browser send along.
fn may_test(shared: &Shared, caller: &Caller) -> Result<(), Problem> {
    if shared.settings.production && caller.via == Via::Session {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "production_mode",
            "in production mode the test paths answer local callers and tokens; use POST /api/play",
        ));
    }
    Ok(())
}

/// Plays as a press does.
#[utoipa::path(get, path = "/test/play/{id}", tag = "panel", params(("id" = u16, Path, description = "button")),
    responses((status = 200, body = String), (status = 400, body = String), (status = 429)))]
pub(super) async fn test_play(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    may_test(&shared, &caller)?;
    match parse_id(&shared, &id) {
        Ok(id) => {
            do_play(&shared, &caller, &peer, id).await?;
            Ok(format!("OK: play {id}").into_response())
        }
        Err(why) => Ok((StatusCode::BAD_REQUEST, format!("ERROR: {why}")).into_response()),
    }
}

/// Stops what plays.
#[utoipa::path(get, path = "/test/stop", tag = "panel", responses((status = 200, body = String), (status = 429)))]
pub(super) async fn test_stop(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    peer: Peer,
) -> Result<&'static str, Problem> {
    may_test(&shared, &caller)?;
    do_stop(&shared, &caller, &peer).await?;
    Ok("OK: stopped")
}

/// What plays after the command.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Played {
    /// The button.
    current_button: Option<u16>,
    /// Number of the last play.
    seq: u32,
}

fn played(shared: &Shared) -> Json<Played> {
    let snapshot = shared.snapshot.borrow();
    Json(Played {
        current_button: snapshot.playing.map(|p| p.id.get()),
        seq: snapshot.seq,
    })
}

/// Plays as a press does.
#[utoipa::path(post, path = "/play/{id}", tag = "panel", params(("id" = u16, Path, description = "button")),
    responses((status = 200, body = Played), (status = 400, body = Problem), (status = 429, body = Problem)))]
pub(super) async fn play(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Json<Played>, Problem> {
    let id = parse_id(&shared, &id).map_err(|why| Problem::bad_request("bad_id", why))?;
    do_play(&shared, &caller, &peer, id).await?;
    Ok(played(&shared))
}

/// Stops what plays.
#[utoipa::path(post, path = "/stop", tag = "panel", responses((status = 200, body = Played), (status = 429, body = Problem)))]
pub(super) async fn stop(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    peer: Peer,
) -> Result<Json<Played>, Problem> {
    do_stop(&shared, &caller, &peer).await?;
    Ok(played(&shared))
}

/// A percentage.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Percent {
    /// 0 to 100.
    #[schema(maximum = 100)]
    value: u8,
}

impl Percent {
    fn checked(self) -> Result<u8, Problem> {
        if self.value > 100 {
            return Err(Problem::unprocessable(
                "out_of_range",
                "value is a percentage, 0 to 100",
            ));
        }
        Ok(self.value)
    }
}

/// Changes the levels: stored first, so that what was answered survives a power cut.
async fn set_levels(
    shared: &Shared,
    caller: &Caller,
    what: &str,
    change: impl FnOnce(&mut Levels),
    input: Input,
) -> Result<(), Problem> {
    let _one = shared.setting.lock().await;
    let before = shared.snapshot.borrow().levels;
    let mut after = before;
    change(&mut after);
    settings::save_levels(&shared.cx.store, after)
        .await
        .map_err(not_stored)?;
    let view = |levels: Levels| {
        let Levels {
            volume,
            brightness,
            muted,
        } = levels;
        json!({ "volume": volume, "brightness": brightness, "muted": muted })
    };
    drop(
        shared
            .cx
            .audit(SERVICE, caller, what, view(before), view(after)),
    );
    Ok(shared.apply(input).await?)
}

/// Sets the global volume. It is kept over restarts.
#[utoipa::path(post, path = "/volume", tag = "panel", request_body = Percent,
    responses((status = 200, body = Percent), (status = 422, body = Problem)))]
pub(super) async fn volume(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    Json(to): Json<Percent>,
) -> Result<Json<Percent>, Problem> {
    let value = to.checked()?;
    let change = |levels: &mut Levels| levels.volume = value;
    let input = Input::Volume(value);
    set_levels(&shared, &caller, "panel.volume", change, input).await?;
    Ok(Json(to))
}

/// Sets the brightness of all LEDs. It is kept over restarts.
#[utoipa::path(post, path = "/brightness", tag = "panel", request_body = Percent,
    responses((status = 200, body = Percent), (status = 422, body = Problem)))]
pub(super) async fn brightness(
    access::Engineer(caller): access::Engineer,
    State(shared): Panel,
    Json(to): Json<Percent>,
) -> Result<Json<Percent>, Problem> {
    let value = to.checked()?;
    let change = |levels: &mut Levels| levels.brightness = value;
    let input = Input::Brightness(value);
    set_levels(&shared, &caller, "panel.brightness", change, input).await?;
    Ok(Json(to))
}

/// Whether there is sound.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mute {
    /// No sound anywhere.
    muted: bool,
}

/// Mutes the site, or lets it sound again as loud as it is set. It is kept over restarts.
#[utoipa::path(post, path = "/mute", tag = "panel", request_body = Mute, responses((status = 200, body = Mute)))]
pub(super) async fn mute(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    Json(to): Json<Mute>,
) -> Result<Json<Mute>, Problem> {
    let change = |levels: &mut Levels| levels.muted = to.muted;
    let input = Input::Muted(to.muted);
    set_levels(&shared, &caller, "panel.mute", change, input).await?;
    Ok(Json(to))
}
