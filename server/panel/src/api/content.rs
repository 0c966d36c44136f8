//! Uploads, texts, backups: the routes around [`crate::content`]. For engineers.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Path, Query, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use leitstand_kit::{
    access::{self, Caller},
    api::{Json, Problem},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Panel;
use crate::{
    SERVICE,
    content::{Bounds, Content, ContentError, Texts, Upload},
    media::{File, Item, MediaView},
    service::Shared,
    sniff::Use,
};

/// Longest silence in the middle of an upload. The whole may take as long as the network does.
const SILENCE: Duration = Duration::from_secs(20);
/// Uploads under way at a time. Reasoning: a phone sends three files at once, and there are a few phones.
const UPLOADS_MAX: usize = 8;
static UPLOADS: Semaphore = Semaphore::const_new(UPLOADS_MAX);
/// Chunks of a backup that wait for the network.
const CHUNKS: usize = 4;
/// Bytes of a chunk.
const CHUNK: usize = 64 * 1024;

/// The routes below `/api/v1/panel`.
pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(upload, describe, clear))
        .routes(routes!(remove))
        .routes(routes!(export, import))
}

impl From<ContentError> for Problem {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Refused(why) => Self::unprocessable("not_usable", why),
            ContentError::TooLong(most) => {
                let text = format!("it is longer than the {most} bytes that may be stored");
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", text).with("max_bytes", most)
            }
            ContentError::Missing(what) => Self::not_found(what),
            ContentError::TooMany => Self::conflict(
                "too_many_pictures",
                "this button has as many pictures as it can",
            ),
            ContentError::Archive(why) => Self::unprocessable("bad_archive", why),
            ContentError::Cut => cut(),
            ContentError::Disk(error) => {
                let (code, text) = match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        ("disk_full", "the disk is full")
                    }
                    io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => (
                        "read_only",
                        "the gateway may not write in media_dir; put the folder where it may, such as below /var/lib/leitstand",
                    ),
                    _ => ("disk", "the disk refuses it"),
                };
                tracing::error!(%error, "content was not stored");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, code, text)
            }
        }
    }
}

/// A file of a button.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct FileView {
    /// In the folder.
    name: String,
    /// `picture`, `sound` or `film`.
    kind: &'static str,
    /// Content type.
    mime: &'static str,
    /// Bytes.
    bytes: u64,
    /// How long it plays, when known.
    duration_ms: Option<u64>,
    /// To fetch it.
    url: String,
}

impl From<&File> for FileView {
    fn from(file: &File) -> Self {
        Self {
            name: file.name.clone(),
            kind: match file.kind.purpose() {
                Use::Image => "picture",
                Use::Audio => "sound",
                Use::Video => "film",
            },
            mime: file.kind.mime(),
            bytes: file.size,
            duration_ms: file.duration_ms,
            url: file.url.clone(),
        }
    }
}

/// A button and its files.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ContentItem {
    /// What it plays.
    #[serde(flatten)]
    media: MediaView,
    /// Its files, pictures in their order first.
    files: Vec<FileView>,
}

impl ContentItem {
    fn new(id: u16, item: &Item) -> Self {
        Self {
            media: MediaView::new(id, item),
            files: item.files().map(FileView::from).collect(),
        }
    }
}

/// All buttons, for the page that edits them.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ContentList {
    /// Changes whenever any file or text does.
    rev: String,
    /// How much is stored at most.
    bounds: Bounds,
    /// What a person should look at.
    notes: Vec<String>,
    /// By id.
    items: Vec<ContentItem>,
}

/// What each button plays, file by file.
#[utoipa::path(get, path = "/content", tag = "panel content", responses((status = 200, body = ContentList)))]
async fn list(_: access::Viewer, State(shared): Panel) -> Json<ContentList> {
    let media = shared.snapshot.borrow().media.clone();
    Json(ContentList {
        rev: media.rev().to_owned(),
        bounds: shared.content.bounds(),
        notes: media.notes().to_vec(),
        items: media
            .items()
            .map(|(id, item)| ContentItem::new(id, item))
            .collect(),
    })
}

/// How an upload is meant.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct How {
    /// A further picture instead of the first.
    #[serde(default)]
    append: bool,
}

/// What an upload became.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Uploaded {
    /// Name of the file.
    file: String,
    /// The button as it is now.
    item: Option<ContentItem>,
}

/// Stores the body as the picture, sound or film of a button.
///
/// What it is shows from its first bytes, whatever it is called. It takes the place of the one before; with
/// `append=true` a picture becomes one more.
#[utoipa::path(post, path = "/content/{id}", tag = "panel content",
    params(("id" = u16, Path, description = "button"), ("append" = Option<bool>, Query, description = "one more picture")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = Uploaded), (status = 404, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 507, body = Problem)))]
async fn upload(
    access::Engineer(caller): access::Engineer,
    State(shared): Panel,
    Path(id): Path<u16>,
    Query(how): Query<How>,
    request: Request,
) -> Result<Json<Uploaded>, Problem> {
    let _place = place()?;
    let before = describe_item(&shared, id);
    let mut upload = blocking(&shared, Content::upload).await?;
    upload = receive(&shared, request, upload).await?;
    let file = blocking(&shared, move |content| {
        content.adopt(upload, id, how.append)
    })
    .await?;
    refresh(
        &shared,
        &caller,
        &format!("panel.content.upload {id}"),
        before,
        json!({ "file": file }),
    )
    .await?;
    Ok(Json(Uploaded {
        file,
        item: item(&shared, id),
    }))
}

/// Replaces title, caption, language, volume, loop and the order of the pictures of a button.
#[utoipa::path(put, path = "/content/{id}", tag = "panel content", params(("id" = u16, Path, description = "button")),
    request_body = Texts, responses((status = 200, body = ContentItem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn describe(
    access::Engineer(caller): access::Engineer,
    State(shared): Panel,
    Path(id): Path<u16>,
    Json(texts): Json<Texts>,
) -> Result<Json<ContentItem>, Problem> {
    let before = describe_item(&shared, id);
    let after = serde_json::to_value(&texts).unwrap_or_default();
    blocking(&shared, move |content| content.describe(id, texts)).await?;
    refresh(
        &shared,
        &caller,
        &format!("panel.content.describe {id}"),
        before,
        after,
    )
    .await?;
    item(&shared, id).map(Json).ok_or_else(gone)
}

/// Removes everything of a button.
#[utoipa::path(delete, path = "/content/{id}", tag = "panel content", params(("id" = u16, Path, description = "button")),
    responses((status = 200, body = ContentItem), (status = 404, body = Problem)))]
async fn clear(
    access::Engineer(caller): access::Engineer,
    State(shared): Panel,
    Path(id): Path<u16>,
) -> Result<Json<ContentItem>, Problem> {
    delete(&shared, &caller, id, None).await
}

/// Removes a file of a button.
#[utoipa::path(delete, path = "/content/{id}/{file}", tag = "panel content",
    params(("id" = u16, Path, description = "button"), ("file" = String, Path, description = "its name")),
    responses((status = 200, body = ContentItem), (status = 404, body = Problem)))]
async fn remove(
    access::Engineer(caller): access::Engineer,
    State(shared): Panel,
    Path((id, file)): Path<(u16, String)>,
) -> Result<Json<ContentItem>, Problem> {
    delete(&shared, &caller, id, Some(file)).await
}

async fn delete(
    shared: &Arc<Shared>,
    caller: &Caller,
    id: u16,
    file: Option<String>,
) -> Result<Json<ContentItem>, Problem> {
    let before = describe_item(shared, id);
    let after = json!({ "removed": file });
    blocking(shared, move |content| content.remove(id, file.as_deref())).await?;
    refresh(
        shared,
        caller,
        &format!("panel.content.remove {id}"),
        before,
        after,
    )
    .await?;
    item(shared, id).map(Json).ok_or_else(gone)
}

/// All media and texts as one tar archive, streamed.
#[utoipa::path(get, path = "/content.tar", tag = "panel content", responses((status = 200, content_type = "application/x-tar", body = Vec<u8>)))]
async fn export(access::Engineer(caller): access::Engineer, State(shared): Panel) -> Response {
    super::audit(&shared, &caller, "panel.content.export");
    let (chunks, waiting) = mpsc::channel(CHUNKS);
    let reading = shared.clone();
    tokio::task::spawn_blocking(move || {
        let out = io::BufWriter::with_capacity(CHUNK, Outgoing(chunks.clone()));
        if let Err(error) = reading.content.backup(out) {
            // The stream ends with an error, so that half a backup is not taken for one.
            let _ = chunks.blocking_send(Err(error));
        }
    });
    let stream = futures_util::stream::unfold(waiting, |mut waiting| async {
        Some((waiting.recv().await?, waiting))
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-tar"),
        ),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"leitstand-content.tar\""),
        ),
    ];
    (headers, Body::from_stream(stream)).into_response()
}

/// The end of a stream at which a blocking task writes.
struct Outgoing(mpsc::Sender<io::Result<Bytes>>);

impl io::Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(Ok(chunk));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end of a body at which a blocking task reads.
struct Incoming {
    chunks: mpsc::Receiver<Bytes>,
    rest: Bytes,
    /// Set by the sender when the body broke off instead of ending.
    cut: Arc<AtomicBool>,
}

impl io::Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.rest = chunk,
                None if self.cut.load(Ordering::Acquire) => {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.rest.len());
        for (to, from) in buffer.iter_mut().zip(self.rest.split_to(n)) {
            *to = from;
        }
        Ok(n)
    }
}

/// What a restored backup did.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct Imported {
    /// Files of the archive.
    files: usize,
    /// Files that were not in it and are gone.
    removed: usize,
}

/// Makes a backup the content of all buttons; what it does not hold is removed.
///
/// Nothing changes before the archive has arrived whole and every file in it was checked.
#[utoipa::path(put, path = "/content.tar", tag = "panel content", request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses((status = 200, body = Imported), (status = 413, body = Problem), (status = 422, body = Problem), (status = 507, body = Problem)))]
async fn import(
    access::Engineer(caller): access::Engineer,
    State(shared): Panel,
    request: Request,
) -> Result<Json<Imported>, Problem> {
    let _place = place()?;
    let before = json!({ "rev": shared.snapshot.borrow().media.rev() });
    let (chunks, waiting) = mpsc::channel(CHUNKS);
    let broken = Arc::new(AtomicBool::new(false));
    let incoming = Incoming {
        chunks: waiting,
        rest: Bytes::new(),
        cut: broken.clone(),
    };
    let job = blocking(&shared, move |content| content.restore(incoming));
    let mut body = request.into_body().into_data_stream();
    let feed = async move {
        loop {
            match tokio::time::timeout(SILENCE, body.next()).await {
                Ok(None) => return,
                // A reader that is gone has made up its mind; its answer says why.
                Ok(Some(Ok(chunk))) => {
                    if chunks.send(chunk).await.is_err() {
                        return;
                    }
                }
                Ok(Some(Err(_))) | Err(_) => return broken.store(true, Ordering::Release),
            }
        }
    };
    let (done, ()) = tokio::join!(job, feed);
    let done = done?;
    let after = json!({ "files": done.files, "removed": done.removed });
    refresh(&shared, &caller, "panel.content.import", before, after).await?;
    Ok(Json(Imported {
        files: done.files,
        removed: done.removed,
    }))
}

fn place() -> Result<tokio::sync::SemaphorePermit<'static>, Problem> {
    UPLOADS.try_acquire().map_err(|_| {
        Problem::too_many(
            "too_many_uploads",
            "too many uploads are under way; try again",
        )
    })
}

/// Writes the body piece by piece, where blocking is allowed.
async fn receive(
    shared: &Arc<Shared>,
    request: Request,
    mut upload: Upload,
) -> Result<Upload, Problem> {
    let mut body = request.into_body().into_data_stream();
    loop {
        let next = tokio::time::timeout(SILENCE, body.next()).await;
        let Some(chunk) = next.map_err(|_| cut())? else {
            return Ok(upload);
        };
        let chunk = chunk.map_err(|_| cut())?;
        upload = blocking(shared, move |_| {
            upload.write(&chunk)?;
            Ok(upload)
        })
        .await?;
    }
}

fn cut() -> Problem {
    Problem::bad_request("body_cut", "the upload ended early")
}

async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    job: impl FnOnce(&Content) -> Result<T, ContentError> + Send + 'static,
) -> Result<T, Problem> {
    let shared = shared.clone();
    let done = tokio::task::spawn_blocking(move || job(&shared.content)).await;
    Ok(done.map_err(|_| Problem::internal("a defect of the gateway; it is in its log"))??)
}

/// Records who changed what, and has the screens told before the answer.
async fn refresh(
    shared: &Shared,
    caller: &Caller,
    what: &str,
    before: Value,
    after: Value,
) -> Result<(), Problem> {
    drop(shared.cx.audit(SERVICE, caller, what, before, after));
    Ok(shared.rescan().await?)
}

fn item(shared: &Shared, id: u16) -> Option<ContentItem> {
    let snapshot = shared.snapshot.borrow();
    snapshot
        .media
        .item(id)
        .map(|item| ContentItem::new(id, item))
}

/// For the audit.
fn describe_item(shared: &Shared, id: u16) -> Value {
    let item = item(shared, id).map(|i| i.media);
    serde_json::to_value(item).unwrap_or_default()
}

fn gone() -> Problem {
    Problem::not_found("there is no such button")
}
