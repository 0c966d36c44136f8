//! Backups on a schedule: one every so many hours, the newest few kept, and on request.

use super::{BackupError, Made, make};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use leitstand_core::time::Instant;
use leitstand_kit::access::{Admin, Engineer};
use leitstand_kit::api::{Json, Problem, UrlPath};
use leitstand_kit::config::{Diagnostics, Path as Key};
use leitstand_kit::service::BoxFuture;
use leitstand_kit::words::with_causes;
use leitstand_kit::{Context, NewEvent, Service, ServiceError, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tower::ServiceExt as _;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// First part of the names; the rest is the time, so that names sort by age.
pub(super) const PREFIX: &str = "leitstand-backup-";
const SUFFIX: &str = ".tar";
/// Pause after a failure. Reasoning: a stick that is put back is used within the hour, a full disk is not hammered.
const RETRY: Duration = Duration::from_secs(3600);
/// Rest after the start, so that a gateway which dies of its backup is seen running in between.
const SETTLE: Duration = Duration::from_secs(300);

/// `[backup]`: present = made on a schedule.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupSection {
    /// Absolute path of the folder for backups; best on another disk than the state directory.
    pub(crate) dir: PathBuf,
    /// Hours between two backups.
    #[serde(default = "daily")]
    #[schemars(range(min = 1, max = 8760))]
    pub(crate) every_h: u32,
    /// How many are kept; the oldest goes when a new one is whole.
    #[serde(default = "a_week")]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) keep: u32,
}

fn daily() -> u32 {
    24
}

fn a_week() -> u32 {
    7
}

/// What the schema cannot say.
pub(crate) fn check(section: &BackupSection, at: &Key, diagnostics: &mut Diagnostics) {
    if !section.dir.is_absolute() {
        diagnostics
            .error(
                &at.key("dir"),
                "not_absolute",
                format!(
                    "`{}` depends on where the gateway was started",
                    section.dir.display()
                ),
            )
            .allowed("an absolute path, for example /media/backup");
    }
}

/// Makes backups. One per process; its routes outlive each run.
#[derive(Clone)]
pub(crate) struct Keeper(Arc<Inner>);

struct Inner {
    settings: BackupSection,
    cx: Context,
    /// Somebody asked for one now.
    asked: Notify,
    last_error: Mutex<Option<String>>,
}

/// A backup in the folder.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Item {
    /// File name.
    name: String,
    /// Length in bytes.
    bytes: u64,
    /// When it was made, UTC, as in the name: `20261121T030000Z`.
    made: String,
}

/// What `GET /api/v1/backups` answers.
#[derive(Debug, Serialize, ToSchema)]
struct Listing {
    /// Newest first.
    items: Vec<Item>,
    /// Where they are.
    dir: String,
    /// Hours between two.
    every_h: u32,
    /// How many are kept.
    keep: u32,
    /// Why the last attempt failed, if it did.
    last_error: Option<String>,
}

impl Keeper {
    /// For the configured folder.
    pub(crate) fn new(cx: &Context, settings: BackupSection) -> Self {
        Self(Arc::new(Inner {
            settings,
            cx: cx.clone(),
            asked: Notify::new(),
            last_error: Mutex::default(),
        }))
    }

    async fn turn(&self, cx: &Context) -> bool {
        let (state, dir) = (cx.paths.state.clone(), self.0.settings.dir.clone());
        let name = format!("{PREFIX}{}{SUFFIX}", stamp(cx.clock.wall().unix_ms));
        let keep = self.0.settings.keep as usize;
        let file = dir.join(&name);
        let made = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&dir).map_err(|source| BackupError::Io {
                doing: format!("creating {}", dir.display()),
                source,
            })?;
            let made = make(&state, &file)?;
            rotate(&dir, keep);
            Ok::<Made, BackupError>(made)
        })
        .await;
        let error = match made {
            Ok(Ok(made)) => {
                self.remember(None);
                let event = NewEvent::new("backup", "BackupMade")
                    .text(format!("Backup {name} was made"))
                    .data(
                        json!({ "name": name, "bytes": made.bytes, "state_hash": made.state_hash }),
                    );
                drop(cx.events.record(event));
                return true;
            }
            Ok(Err(error)) => with_causes(&error),
            Err(error) => error.to_string(),
        };
        tracing::warn!(error, "no backup");
        let event = NewEvent::new("backup", "BackupFailed")
            .severity(Severity::Warning)
            .text(format!("No backup was made: {error}"))
            .data(json!({ "reason": error }));
        drop(cx.events.record(event));
        self.remember(Some(error));
        false
    }

    fn remember(&self, error: Option<String>) {
        *self
            .0
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn last_error(&self) -> Option<String> {
        self.0
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Service for Keeper {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list, make_now))
            .routes(routes!(download))
            .with_state(self.clone())
    }

    fn run(self: Box<Self>, cx: Context) -> BoxFuture<'static, Result<(), ServiceError>> {
        Box::pin(async move {
            let every = Duration::from_secs(u64::from(self.0.settings.every_h) * 3600);
            let alive = cx.health.watch("backup", "schedule", every + RETRY);
            let newest = newest_age(&self.0.settings.dir, cx.clock.wall().unix_ms);
            let mut due: Instant = cx.clock.now() + first_wait(every, newest);
            loop {
                tokio::select! {
                    () = cx.stop.cancelled() => break,
                    () = self.0.asked.notified() => {}
                    () = cx.clock.sleep_until(Some(due)) => {}
                }
                if self.turn(&cx).await {
                    alive.clear();
                    due = cx.clock.now() + every;
                } else {
                    alive.degrade(self.last_error().unwrap_or_default());
                    due = cx.clock.now() + RETRY.min(every);
                }
                alive.beat();
            }
            alive.finish();
            Ok(())
        })
    }
}

/// Backups that were made on schedule or on request
#[utoipa::path(get, path = "/api/v1/backups", tag = "backup", responses((status = 200, body = Listing)))]
async fn list(Engineer(_caller): Engineer, State(keeper): State<Keeper>) -> Json<Listing> {
    let settings = &keeper.0.settings;
    Json(Listing {
        items: found(&settings.dir),
        dir: settings.dir.display().to_string(),
        every_h: settings.every_h,
        keep: settings.keep,
        last_error: keeper.last_error(),
    })
}

/// Make a backup now; the events tell when it is there
#[utoipa::path(post, path = "/api/v1/backups", tag = "backup", responses((status = 202, description = "begun")))]
async fn make_now(Admin(caller): Admin, State(keeper): State<Keeper>) -> StatusCode {
    let cx = &keeper.0.cx;
    let dir = keeper.0.settings.dir.display().to_string();
    drop(cx.audit(
        "backup",
        &caller,
        "backup",
        json!(null),
        json!({ "dir": dir }),
    ));
    keeper.0.asked.notify_one();
    StatusCode::ACCEPTED
}

/// A backup; it holds password hashes and keys
#[utoipa::path(get, path = "/api/v1/backups/{name}", tag = "backup",
    params(("name" = String, Path, description = "as listed")),
    responses((status = 200, description = "the tar file"), (status = 404, description = "no such backup")))]
async fn download(
    Admin(caller): Admin,
    State(keeper): State<Keeper>,
    UrlPath(name): UrlPath<String>,
    request: Request,
) -> Response {
    // Only what is listed: a name is never a path.
    if !found(&keeper.0.settings.dir)
        .iter()
        .any(|item| item.name == name)
    {
        return Problem::not_found(format!("there is no backup `{name}`")).into_response();
    }
    drop(keeper.0.cx.audit(
        "backup",
        &caller,
        "download",
        json!(null),
        json!({ "name": name }),
    ));
    let file = tower_http::services::ServeFile::new(keeper.0.settings.dir.join(&name));
    match file.oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    }
}

/// The backups in a folder, newest first. A folder that is not there holds none.
fn found(dir: &Path) -> Vec<Item> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut items: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let made = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.to_owned();
            let meta = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some(Item {
                bytes: meta.len(),
                name,
                made,
            })
        })
        .collect();
    items.sort_by(|a, b| b.made.cmp(&a.made));
    items
}

fn rotate(dir: &Path, keep: usize) {
    for old in found(dir).iter().skip(keep) {
        if let Err(error) = std::fs::remove_file(dir.join(&old.name)) {
            tracing::warn!(%error, name = old.name, "an old backup stays");
        }
    }
}

/// Age of the newest backup by the wall clock; `None` when there is none, or it is from the future because one of
/// the two clocks was wrong.
fn newest_age(dir: &Path, unix_ms: i64) -> Option<Duration> {
    let newest = found(dir).into_iter().next()?;
    let made = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &newest.made).ok()?;
    let made = made.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    u64::try_from(unix_ms - made.as_millisecond())
        .ok()
        .map(Duration::from_millis)
}

/// From the start to the first backup: a restart neither skips one nor makes one more.
fn first_wait(every: Duration, newest: Option<Duration>) -> Duration {
    newest.map_or(SETTLE, |age| every.saturating_sub(age).max(SETTLE))
}

fn stamp(unix_ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or_default();
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_restart_neither_skips_a_backup_nor_makes_one_more() {
        assert_eq!(first_wait(24 * HOUR, None), SETTLE);
        assert_eq!(first_wait(24 * HOUR, Some(4 * HOUR)), 20 * HOUR);
        assert_eq!(first_wait(24 * HOUR, Some(300 * HOUR)), SETTLE);
    }

    #[test]
    fn the_oldest_go_and_files_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let name = |hour: i64| format!("{PREFIX}{}{SUFFIX}", stamp(hour * 3_600_000));
        for hour in 0..5 {
            std::fs::write(dir.path().join(name(hour)), "x").unwrap();
        }
        std::fs::write(dir.path().join("holiday.jpg"), "x").unwrap();
        rotate(dir.path(), 2);
        let names: Vec<_> = found(dir.path()).into_iter().map(|i| i.name).collect();
        assert_eq!(names, [name(4), name(3)]);
        assert!(dir.path().join("holiday.jpg").exists());
        assert_eq!(newest_age(dir.path(), 6 * 3_600_000), Some(2 * HOUR));
        assert_eq!(newest_age(dir.path(), 0), None);
    }
}
