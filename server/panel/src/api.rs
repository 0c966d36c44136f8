//! The routes: the original server's paths, and the same under `/api/v1/panel`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Extension,
    extract::{ConnectInfo, FromRequestParts, Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use leitstand_kit::{
    access::{self, Caller, Role, Via},
    api::{Json, Problem, Tagged, is_known},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tower_http::services::ServeFile;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    SERVICE,
    fanout::Outbox,
    limit::MessageLimit,
    media::MediaView,
    room::Input,
    service::{Message, NotRunning, Shared},
    socket::{self, Incoming},
    view::{HealthView, StatusView},
    wire::{FromClient, Reject, ToClient},
};

/// Screens at a time. Reasoning: a file descriptor and some kilobytes each; ten times the measured goal.
const SCREENS_MAX: usize = 1000;

type Panel = State<Arc<Shared>>;

/// All routes of the service.
pub(crate) fn routes(shared: Arc<Shared>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(status_v1))
        .routes(routes!(health))
        .routes(routes!(socket))
        .routes(routes!(media_file))
        .routes(routes!(media))
        .routes(routes!(media_v1))
        .routes(routes!(test_play))
        .routes(routes!(test_stop))
        .routes(routes!(play))
        .routes(routes!(play_v1))
        .routes(routes!(stop))
        .routes(routes!(stop_v1))
        .routes(routes!(volume))
        .routes(routes!(volume_v1))
        .routes(routes!(brightness))
        .routes(routes!(brightness_v1))
        .layer(Extension(Screens::default()))
        .with_state(shared)
}

impl From<NotRunning> for Problem {
    fn from(_: NotRunning) -> Self {
        Self::unavailable(
            "panel_not_running",
            "the panel service is restarting; try again",
        )
    }
}

/// State of the panel.
#[utoipa::path(get, path = "/status", tag = "panel", responses((status = 200, body = StatusView)))]
async fn status(_: access::Viewer, State(shared): Panel) -> Json<StatusView> {
    Json(StatusView::new(&shared))
}

/// State of the panel; the same as `/status`.
#[utoipa::path(get, path = "/api/v1/panel/status", tag = "panel", responses((status = 200, body = StatusView)))]
async fn status_v1(_: access::Viewer, State(shared): Panel) -> Json<StatusView> {
    Json(StatusView::new(&shared))
}

/// Whether boards and media are all there. Open to everybody.
#[utoipa::path(get, path = "/health", tag = "panel", responses(
    (status = 200, body = HealthView), (status = 503, body = HealthView, description = "degraded")))]
async fn health(State(shared): Panel) -> Response {
    let view = HealthView::new(&shared.snapshot.borrow());
    let status = if view.status == "healthy" {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(view)).into_response()
}

/// How many screens are connected. Counted apart from the room, which learns of them later.
#[derive(Clone, Default)]
struct Screens(Arc<AtomicUsize>);

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
async fn socket(
    access::Viewer(caller): access::Viewer,
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
                screen(&shared, caller, outbox, read_ahead).await;
            }
            Err(error) => tracing::debug!(%error, "a screen did not finish its handshake"),
        }
        drop(place);
    });
    Ok(response)
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
    let pong = crate::fanout::Frames::text([ToClient::Pong.to_json()]);
    let mut parse = |incoming: Incoming<'_>| -> Result<Option<FromClient>, Reject> {
        let now = shared.clock.now();
        if !messages.admit(now) {
            return Err(Reject::TooMany);
        }
        let Incoming::Text(text) = incoming else {
            return Err(Reject::NotObject);
        };
        match FromClient::parse(text, shared.settings.media())? {
            FromClient::Ping => {
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

fn audit(shared: &Shared, caller: &Caller, what: &str) {
    let empty = serde_json::Value::Null;
    // Recorded whether or not somebody waits for the commit.
    drop(shared.cx.audit(SERVICE, caller, what, empty.clone(), empty));
}

/// The version of a file in its URL.
#[derive(Deserialize)]
struct Version {
    v: Option<String>,
}

/// A picture, sound or film, with byte ranges.
#[utoipa::path(get, path = "/media/{file}", tag = "panel", params(("file" = String, Path, description = "a name from the manifest")),
    responses((status = 200), (status = 206, description = "the range asked for"), (status = 304), (status = 404)))]
async fn media_file(
    _: access::Viewer,
    State(shared): Panel,
    Path(name): Path<String>,
    Query(version): Query<Version>,
    request: Request,
) -> Result<Response, Problem> {
    // The name is looked up among the files that the scan found; it never becomes a path by itself.
    let media = shared.snapshot.borrow().media.clone();
    let file = media
        .file(&name)
        .ok_or_else(|| Problem::not_found("there is no such medium"))?;
    let tag = format!("\"{}\"", file.hash);
    let cache = if version.v.as_ref() == Some(&file.hash) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let mut response = if is_known(request.headers(), &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mime = file
            .kind
            .mime()
            .parse()
            .map_err(|_| Problem::internal("no content type"))?;
        let path = shared.media_dir.join(&file.name);
        let mut request = request;
        // A range of an older version would be glued to the new one (RFC 9110, 13.1.5).
        if request
            .headers()
            .get(header::IF_RANGE)
            .is_some_and(|range| range != &tag)
        {
            request.headers_mut().remove(header::RANGE);
        }
        let served = ServeFile::new_with_mime(path, &mime)
            .try_call(request)
            .await
            .map_err(|_| Problem::not_found("the medium is gone"))?;
        served.into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(tag) = tag.parse() {
        headers.insert(header::ETAG, tag);
    }
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    Ok(response)
}

/// All media, for a preload.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct MediaList {
    /// Changes whenever any file or text does.
    rev: String,
    /// By id.
    items: Vec<MediaView>,
}

fn media_list(shared: &Shared, headers: &HeaderMap) -> Response {
    let media = shared.snapshot.borrow().media.clone();
    let list = MediaList {
        rev: media.rev().to_owned(),
        items: media
            .items()
            .map(|(id, item)| MediaView::new(id, item))
            .collect(),
    };
    let mut response = Tagged::new(&list, headers).into_response();
    let no_cache = HeaderValue::from_static("no-cache");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_cache);
    response
}

/// What each button plays.
#[utoipa::path(get, path = "/api/media", tag = "panel", responses((status = 200, body = MediaList), (status = 304)))]
async fn media(_: access::Viewer, State(shared): Panel, headers: HeaderMap) -> Response {
    media_list(&shared, &headers)
}

/// What each button plays; the same as `/api/media`.
#[utoipa::path(get, path = "/api/v1/panel/media", tag = "panel", responses((status = 200, body = MediaList), (status = 304)))]
async fn media_v1(_: access::Viewer, State(shared): Panel, headers: HeaderMap) -> Response {
    media_list(&shared, &headers)
}

/// The address that a request came from.
struct Peer(IpAddr);

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
fn parse_id(shared: &Shared, text: &str) -> Result<u16, String> {
    let highest = shared.settings.media();
    text.parse()
        .ok()
        .filter(|id| (1..=highest).contains(id) && text.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| format!("the id is a number from 1 to {highest}"))
}

fn limited(shared: &Shared, peer: &Peer) -> Result<(), Problem> {
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
async fn test_play(
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
async fn test_stop(
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
struct Played {
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

async fn post_play(
    shared: &Shared,
    caller: &Caller,
    peer: &Peer,
    id: &str,
) -> Result<Json<Played>, Problem> {
    let id = parse_id(shared, id).map_err(|why| Problem::bad_request("bad_id", why))?;
    do_play(shared, caller, peer, id).await?;
    Ok(played(shared))
}

/// Plays as a press does.
#[utoipa::path(post, path = "/api/play/{id}", tag = "panel", params(("id" = u16, Path, description = "button")),
    responses((status = 200, body = Played), (status = 400, body = Problem), (status = 429, body = Problem)))]
async fn play(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Json<Played>, Problem> {
    post_play(&shared, &caller, &peer, &id).await
}

/// Plays as a press does; the same as `/api/play/{id}`.
#[utoipa::path(post, path = "/api/v1/panel/play/{id}", tag = "panel", params(("id" = u16, Path, description = "button")),
    responses((status = 200, body = Played), (status = 400, body = Problem), (status = 429, body = Problem)))]
async fn play_v1(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Json<Played>, Problem> {
    post_play(&shared, &caller, &peer, &id).await
}

/// Stops what plays.
#[utoipa::path(post, path = "/api/stop", tag = "panel", responses((status = 200, body = Played), (status = 429, body = Problem)))]
async fn stop(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    peer: Peer,
) -> Result<Json<Played>, Problem> {
    do_stop(&shared, &caller, &peer).await?;
    Ok(played(&shared))
}

/// Stops what plays; the same as `/api/stop`.
#[utoipa::path(post, path = "/api/v1/panel/stop", tag = "panel", responses((status = 200, body = Played), (status = 429, body = Problem)))]
async fn stop_v1(
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
struct Percent {
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

async fn set_volume(
    shared: &Shared,
    caller: &Caller,
    to: Percent,
) -> Result<Json<Percent>, Problem> {
    let value = to.checked()?;
    let before = shared.snapshot.borrow().volume;
    shared.apply(Input::Volume(value)).await?;
    let (before, after) = (json!({ "value": before }), json!({ "value": value }));
    drop(
        shared
            .cx
            .audit(SERVICE, caller, "panel.volume", before, after),
    );
    Ok(Json(Percent { value }))
}

async fn set_brightness(
    shared: &Shared,
    caller: &Caller,
    to: Percent,
) -> Result<Json<Percent>, Problem> {
    let value = to.checked()?;
    let before = shared.snapshot.borrow().brightness;
    shared.apply(Input::Brightness(value)).await?;
    let (before, after) = (json!({ "value": before }), json!({ "value": value }));
    drop(
        shared
            .cx
            .audit(SERVICE, caller, "panel.brightness", before, after),
    );
    Ok(Json(Percent { value }))
}

/// Sets the global volume until the next restart.
#[utoipa::path(post, path = "/api/volume", tag = "panel", request_body = Percent,
    responses((status = 200, body = Percent), (status = 422, body = Problem)))]
async fn volume(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    Json(to): Json<Percent>,
) -> Result<Json<Percent>, Problem> {
    set_volume(&shared, &caller, to).await
}

/// Sets the global volume; the same as `/api/volume`.
#[utoipa::path(post, path = "/api/v1/panel/volume", tag = "panel", request_body = Percent,
    responses((status = 200, body = Percent), (status = 422, body = Problem)))]
async fn volume_v1(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    Json(to): Json<Percent>,
) -> Result<Json<Percent>, Problem> {
    set_volume(&shared, &caller, to).await
}

/// Sets the brightness of all LEDs until the next restart.
#[utoipa::path(post, path = "/api/brightness", tag = "panel", request_body = Percent,
    responses((status = 200, body = Percent), (status = 422, body = Problem)))]
async fn brightness(
    access::Engineer(caller): access::Engineer,
    State(shared): Panel,
    Json(to): Json<Percent>,
) -> Result<Json<Percent>, Problem> {
    set_brightness(&shared, &caller, to).await
}

/// Sets the brightness of all LEDs; the same as `/api/brightness`.
#[utoipa::path(post, path = "/api/v1/panel/brightness", tag = "panel", request_body = Percent,
    responses((status = 200, body = Percent), (status = 422, body = Problem)))]
async fn brightness_v1(
    access::Engineer(caller): access::Engineer,
    State(shared): Panel,
    Json(to): Json<Percent>,
) -> Result<Json<Percent>, Problem> {
    set_brightness(&shared, &caller, to).await
}
