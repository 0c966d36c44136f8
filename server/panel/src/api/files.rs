//! The media themselves, and what each button plays.

use axum::{
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use leitstand_kit::{
    access,
    api::{Problem, Tagged, is_known},
};
use serde::{Deserialize, Serialize};
use tower_http::services::ServeFile;
use utoipa::ToSchema;

use super::Panel;
use crate::media::MediaView;

/// The version of a file in its URL.
#[derive(Deserialize)]
pub(super) struct Version {
    v: Option<String>,
}

/// A picture, sound or film, with byte ranges.
#[utoipa::path(get, path = "/media/{file}", tag = "panel", params(("file" = String, Path, description = "a name from the manifest")),
    responses((status = 200), (status = 206, description = "the range asked for"), (status = 304), (status = 404)))]
pub(super) async fn media_file(
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
pub(super) struct MediaList {
    /// Changes whenever any file or text does.
    rev: String,
    /// By id.
    items: Vec<MediaView>,
}

/// What each button plays.
#[utoipa::path(get, path = "/media", tag = "panel", responses((status = 200, body = MediaList), (status = 304)))]
pub(super) async fn media(_: access::Viewer, State(shared): Panel, headers: HeaderMap) -> Response {
    let media = shared.snapshot.borrow().media.clone();
    let list = MediaList {
        rev: media.rev().to_owned(),
        items: media
            .items()
            .map(|(id, item)| MediaView::new(id, item))
            .collect(),
    };
    let mut response = Tagged::new(&list, &headers).into_response();
    let no_cache = HeaderValue::from_static("no-cache");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_cache);
    response
}
