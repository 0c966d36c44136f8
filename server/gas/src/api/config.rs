//! The configuration of the site, changed while it runs.

use super::write::{Answer, text};
use crate::configuration::{Configuration, Draft, NotStored, Past, Version, digest};
use crate::facts::SERVICE;
use crate::front::Front;
use crate::hub::Hub;
use crate::view::ConfigView;
use axum::extract::{FromRef as _, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use leitstand_kit::access::{self, Caller};
use leitstand_kit::api::{Json, Page, Problem, Tagged, UrlPath, body, etag, if_match};
use leitstand_kit::{NewEvent, Severity};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// Longest configuration. Reasoning: 64 cells with everything spelled out are some 60 kB.
const CONFIG_BYTES_MAX: usize = 512 * 1024;
/// How long a change may take to be in force. Reasoning: bus threads end within a second.
const SWITCH_PATIENCE: Duration = Duration::from_secs(15);

/// A configuration to look at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Validate {
    /// TOML, the whole file.
    text: String,
}

/// A configuration to put in force.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Replace {
    /// TOML, the whole file.
    text: String,
    /// In words, for the journal and the list of versions.
    reason: String,
}

/// What is wrong with a configuration.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Validation {
    /// It could be put in force.
    valid: bool,
    /// As `leitstand check --json` prints them.
    #[schema(value_type = Vec<Object>)]
    diagnostics: Value,
}

/// What became of a configuration.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replaced {
    /// Its number.
    version: u64,
    /// SHA-256 of the text.
    hash: String,
    /// The gas service runs with it already.
    applied: bool,
    /// Sections of other services that differ; they apply at the next start.
    restart: Vec<String>,
}

/// A version with its text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionText {
    /// Its number.
    version: u64,
    /// TOML.
    text: String,
}

fn view(version: Version) -> ConfigView {
    ConfigView {
        version: version.number,
        hash: digest(&version.text),
        drift: version.drift,
        text: version.text,
    }
}

/// Disks are waited for on a thread that may wait.
async fn blocking<R: Send + 'static>(
    hub: &Arc<Hub>,
    job: impl FnOnce(&dyn Configuration) -> R + Send + 'static,
) -> Result<R, Problem> {
    let configuration = Arc::clone(&hub.configuration);
    tokio::task::spawn_blocking(move || job(&*configuration))
        .await
        .map_err(|_| Problem::internal("the configuration could not be looked at"))
}

fn not_stored(error: NotStored) -> Problem {
    Problem::unavailable("not_stored", error.to_string())
}

async fn received<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let bytes = body(request, CONFIG_BYTES_MAX).await?;
    serde_json::from_slice(&bytes).map_err(|e| Problem::bad_request("bad_json", e.to_string()))
}

/// The configuration in force, as text. Its `ETag` goes into the `If-Match` of a change.
#[utoipa::path(get, path = "/api/v1/gas/config", tag = "gas", responses((status = 200, body = ConfigView), (status = 304)))]
pub(super) async fn current(
    access::Admin(_caller): access::Admin,
    State(hub): State<Arc<Hub>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let version = blocking(&hub, |c| c.current()).await?;
    Ok(Tagged::new(&view(version), &headers).into_response())
}

/// All versions, newest first.
#[utoipa::path(get, path = "/api/v1/gas/config/versions", tag = "gas", responses((status = 200, body = Page<Past>), (status = 503, body = Problem)))]
pub(super) async fn versions(
    access::Admin(_caller): access::Admin,
    State(hub): State<Arc<Hub>>,
) -> Answer<Page<Past>> {
    let past = blocking(&hub, |c| c.versions()).await?;
    Ok(Json(Page::all(past.map_err(not_stored)?)))
}

/// The text of a version: to compare, or to put in force again.
#[utoipa::path(get, path = "/api/v1/gas/config/versions/{number}", tag = "gas", params(("number" = u64, Path, description = "Version")), responses((status = 200, body = VersionText), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn version(
    access::Admin(_caller): access::Admin,
    State(hub): State<Arc<Hub>>,
    UrlPath(number): UrlPath<u64>,
) -> Answer<VersionText> {
    let found = blocking(&hub, move |c| c.text_of(number)).await?;
    let text = found
        .map_err(not_stored)?
        .ok_or_else(|| Problem::not_found(format!("there is no version {number}")))?;
    Ok(Json(VersionText {
        version: number,
        text,
    }))
}

/// Looks at a configuration, all sections of it. Nothing is changed.
#[utoipa::path(post, path = "/api/v1/gas/config/validate", tag = "gas", request_body = Validate, responses((status = 200, body = Validation), (status = 413, body = Problem)))]
pub(super) async fn validate(
    access::Admin(_caller): access::Admin,
    State(hub): State<Arc<Hub>>,
    request: Request,
) -> Answer<Validation> {
    let given: Validate = received(request).await?;
    let draft = blocking(&hub, move |c| c.check(&given.text)).await?;
    Ok(Json(Validation {
        valid: !draft.diagnostics.has_errors(),
        diagnostics: draft.diagnostics.to_json(),
    }))
}

/// Puts a configuration in force without a restart of the gateway: latches, acknowledgements, averages of
/// unchanged cells and relays stay. 428 without `If-Match`, 412 when somebody changed it meanwhile, 422 with every
/// mistake named. Sections of other services are stored and apply at the next start.
#[utoipa::path(put, path = "/api/v1/gas/config", tag = "gas", request_body = Replace, responses((status = 200, body = Replaced), (status = 409, body = Problem), (status = 412, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem), (status = 428, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn replace(
    access::Admin(caller): access::Admin,
    State(front): State<Front>,
    headers: HeaderMap,
    request: Request,
) -> Answer<Replaced> {
    let given: Replace = received(request).await?;
    let reason = text("reason", given.reason)?;
    // A client that hangs up must not leave a change half way: stored, but not in force.
    let work = tokio::spawn(async move {
        let _only_one = front.edit().await;
        let hub = Arc::<Hub>::from_ref(&front);
        change(&front, &hub, &caller, &headers, given.text, reason).await
    });
    work.await
        .map_err(|_| Problem::internal("changing the configuration"))?
        .map(Json)
}

async fn change(
    front: &Front,
    hub: &Arc<Hub>,
    caller: &Caller,
    headers: &HeaderMap,
    text: String,
    reason: String,
) -> Result<Replaced, Problem> {
    let before = blocking(hub, |c| c.current()).await?;
    let present = view(before.clone());
    if_match(
        headers,
        &etag(&serde_json::to_vec(&present).unwrap_or_default()),
    )?;
    let (draft, text) = blocking(hub, move |c| (c.check(&text), text)).await?;
    let Draft {
        diagnostics,
        site,
        gas_changed,
        restart,
    } = draft;
    if diagnostics.has_errors() {
        let detail = "the configuration has mistakes; nothing was changed";
        return Err(Problem::unprocessable("bad_configuration", detail)
            .with("diagnostics", diagnostics.to_json()));
    }
    let Some(site) = site else {
        let detail = "without `[gas]` this service would not exist; edit the file and restart";
        return Err(Problem::unprocessable("gas_missing", detail));
    };
    let (by, why) = (caller.name.clone(), reason.clone());
    let version = blocking(hub, move |c| c.accept(&text, &by, &why))
        .await?
        .map_err(not_stored)?;
    let replaced = Replaced {
        version: version.number,
        hash: digest(&version.text),
        applied: true,
        restart,
    };
    tell(hub, caller, &before, &replaced, &reason);
    if gas_changed {
        let next = Arc::new(Hub::after(hub, site));
        let mut snapshots = next.snapshot.subscribe();
        front.propose(next);
        let running = snapshots.wait_for(Option::is_some);
        let running = tokio::time::timeout(SWITCH_PATIENCE, running).await;
        if !matches!(running, Ok(Ok(_))) {
            let detail = "it is stored and will be in force after a restart; the service did not switch to it";
            return Err(Problem::unavailable("not_applied", detail));
        }
    }
    Ok(replaced)
}

fn tell(hub: &Hub, caller: &Caller, before: &Version, after: &Replaced, reason: &str) {
    let told = |number: u64, hash: &str| json!({"version": number, "sha256": hash});
    let was = told(before.number, &digest(&before.text));
    let is = told(after.version, &after.hash);
    let text = format!("Configuration {} is in force", after.version);
    let event = NewEvent::new(SERVICE, "ConfigurationChanged")
        .severity(Severity::Warning)
        .text(text)
        .actor(caller.name.clone())
        .data(json!({
            "version": after.version, "sha256": after.hash, "before": was, "reason": reason,
            "restart": after.restart,
        }));
    drop(hub.cx.events.record(event));
    drop(
        hub.cx
            .audit(SERVICE, caller, "configuration.replace", was, is),
    );
}
