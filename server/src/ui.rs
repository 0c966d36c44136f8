//! The pages: files of `server/ui`, embedded and served as they are. No build step, nothing from another host.
//!
//! A page is markup without data; everything live comes from `/api/v1` and `/ws`. What is not in [`ASSETS`] does
//! not exist: no path from a request ever reaches a file system.

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use leitstand_kit::api::etag;

/// What a page may do: load from this server, and nothing else. The answer to injected markup.
const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'";

/// What `/login` and `/claim` load, for `auth::Settings::open_assets`: somebody without a session needs these, and
/// gets nothing else.
pub(crate) const OPEN_ASSETS: &[&str] = &[
    "/ui/css/base.css",
    "/ui/css/parts.css",
    "/ui/icons/good.svg",
    "/ui/js/api.js",
    "/ui/js/dom.js",
    "/ui/js/early.js",
    "/ui/js/elements/door.js",
    "/ui/js/i18n.js",
    "/ui/js/pages/claim.js",
    "/ui/js/pages/login.js",
    "/ui/text/de.js",
    "/ui/text/en.js",
];

/// One embedded file.
struct Asset {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    (pages { $($page:literal = $html:literal,)* } files { $($kind:literal: [$($file:literal,)*],)* }) => {
        /// Everything that is served, by the path it is served under.
        const ASSETS: &[Asset] = &[
            $(Asset { path: $page, kind: "text/html; charset=utf-8", bytes: include_bytes!(concat!("../ui/", $html)) },)*
            $($(Asset { path: concat!("/ui/", $file), kind: $kind, bytes: include_bytes!(concat!("../ui/", $file)) },)*)*
        ];
    };
}

assets! {
    pages {
        "/" = "overview.html",
        "/gas" = "gas.html",
        "/panel" = "panel.html",
        "/panel/content" = "content.html",
        "/fleet" = "fleet.html",
        "/containers" = "containers.html",
        "/events" = "events.html",
        "/models" = "models.html",
        "/login" = "login.html",
        "/claim" = "claim.html",
    }
    files {
        "text/css; charset=utf-8": [
            "css/base.css",
            "css/containers.css",
            "css/content.css",
            "css/panel.css",
            "css/parts.css",
        ],
        "text/javascript; charset=utf-8": [
            "js/api.js",
            "js/containers/screen.js",
            "js/containers/terminal.js",
            "js/content/items.js",
            "js/content/levels.js",
            "js/content/stats.js",
            "js/content/upload.js",
            "js/describe.js",
            "js/dom.js",
            "js/early.js",
            "js/elements/act.js",
            "js/elements/alarms.js",
            "js/elements/ask.js",
            "js/elements/badge.js",
            "js/elements/care.js",
            "js/elements/cell.js",
            "js/elements/gas_at_cell.js",
            "js/elements/door.js",
            "js/elements/plant.js",
            "js/elements/sim.js",
            "js/elements/spark.js",
            "js/elements/tiles.js",
            "js/elements/zone.js",
            "js/entry.js",
            "js/format.js",
            "js/i18n.js",
            "js/icons.js",
            "js/pages/claim.js",
            "js/pages/containers.js",
            "js/pages/content.js",
            "js/pages/events.js",
            "js/pages/fleet.js",
            "js/pages/gas.js",
            "js/pages/login.js",
            "js/pages/models.js",
            "js/pages/overview.js",
            "js/pages/panel.js",
            "js/panel/clock.js",
            "js/panel/player.js",
            "js/panel/preload.js",
            "js/panel/socket.js",
            "js/panel/stage.js",
            "js/panel/wall.js",
            "js/shell.js",
            "js/store.js",
            "js/stream.js",
            "js/trace.js",
            "js/verdict.js",
            "text/de.js",
            "text/events.de.js",
            "text/events.en.js",
            "text/en.js",
        ],
        "image/svg+xml": [
            "icons/alarm.svg",
            "icons/fault.svg",
            "icons/good.svg",
            "icons/note.svg",
            "icons/stale.svg",
        ],
        "audio/wav": [
            "sound/silence.wav",
        ],
    }
}

/// The pages and what they load.
pub(crate) fn routes() -> Router {
    let mut router = Router::new();
    for asset in ASSETS {
        // A tag of the content: a new binary is noticed by every screen at its next request.
        let tag = etag(asset.bytes);
        router = router.route(
            asset.path,
            get(move |headers: HeaderMap| {
                let answer = serve(asset, &tag, &headers);
                async move { answer }
            }),
        );
    }
    router
}

fn serve(asset: &Asset, tag: &str, headers: &HeaderMap) -> Response {
    let fixed = [
        (header::ETAG, tag.to_owned()),
        // Keep it, but ask each time: pages and modules must never be of two versions.
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "same-origin".to_owned()),
    ];
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| {
            tags.split(',')
                .any(|one| one.trim().trim_start_matches("W/") == tag)
        });
    if known {
        return (StatusCode::NOT_MODIFIED, fixed).into_response();
    }
    (fixed, [(header::CONTENT_TYPE, asset.kind)], asset.bytes).into_response()
}

#[cfg(test)]
mod tests;
