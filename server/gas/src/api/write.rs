//! What can be done. Every answer of 200 means: carried out, in the journal, and in the runtime information.

use super::read::{alarm_view, output_view};
use crate::hub::{Hub, refused};
use crate::view::{Alarm, Cell, Output, ServiceView, Status};
use axum::extract::{FromRequest, Request, State};
use leitstand_core::gas::status::Mode;
use leitstand_core::gas::{AlarmKey, CellIndex, Command, Refusal};
use leitstand_core::power::Check;
use leitstand_kit::access::{self, Caller};
use leitstand_kit::api::{BODY_BYTES_MAX, Json, Problem, UrlPath, body};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

pub(super) type Answer<T> = Result<Json<T>, Problem>;
pub(super) type Site = State<Arc<Hub>>;

/// Longest reason or note, in characters. Reasoning: it is read in a table.
const TEXT_CHARS_MAX: usize = 500;

/// A JSON body that may be left out.
pub(super) struct Maybe<T>(T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for Maybe<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, sent) = request.into_parts();
        let bytes = body(Request::from_parts(parts.clone(), sent), BODY_BYTES_MAX).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        let request = Request::from_parts(parts, axum::body::Body::from(bytes));
        Ok(Self(Json::<T>::from_request(request, state).await?.0))
    }
}

/// Why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// In words, for the journal.
    #[serde(default)]
    reason: Option<String>,
}

/// For how long, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForMinutes {
    /// How long.
    minutes: u32,
    /// In words, for the journal and for whoever looks.
    reason: String,
}

/// Why, required.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Because {
    /// In words, for the journal and for whoever looks.
    reason: String,
}

/// Hand control of an output.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetOutput {
    /// `auto`, `on` or `off`.
    mode: ModeView,
    /// Required for `on` and `off`.
    #[serde(default)]
    reason: Option<String>,
    /// Ends by itself after so many minutes, 1 to 1440; until changed unless given.
    #[serde(default)]
    minutes: Option<u32>,
}

/// Who controls an output.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ModeView {
    /// The logic.
    Auto,
    /// A person: on.
    On,
    /// A person: off.
    Off,
}

/// All lamps on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LampTest {
    /// 1 to 10.
    seconds: u32,
}

/// A service was done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Done {
    /// Who did it.
    by: String,
    /// What was done.
    note: String,
}

pub(super) fn text(name: &str, text: String) -> Result<String, Problem> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.chars().count() > TEXT_CHARS_MAX {
        let detail = format!("`{name}` needs 1 to {TEXT_CHARS_MAX} characters");
        return Err(Problem::unprocessable("bad_text", detail));
    }
    Ok(trimmed.to_owned())
}

fn reason(given: Option<String>) -> Result<Option<String>, Problem> {
    given
        .filter(|r| !r.trim().is_empty())
        .map(|r| text("reason", r))
        .transpose()
}

fn minutes(minutes: u32) -> Duration {
    Duration::from_secs(u64::from(minutes) * 60)
}

impl Hub {
    fn alarm(&self, id: &str) -> Result<AlarmKey, Problem> {
        self.site
            .alarm(id)
            .ok_or_else(|| Problem::not_found(format!("the gas service has no alarm `{id}`")))
    }

    pub(super) fn cell(&self, id: &str) -> Result<CellIndex, Problem> {
        self.site
            .cell(id)
            .ok_or_else(|| Problem::not_found(format!("the gas service has no cell `{id}`")))
    }

    pub(super) fn cell_view(&self, cell: CellIndex) -> Result<Cell, Problem> {
        Ok(self.latest()?.cells[cell.at()].clone())
    }

    /// Carries out a command of one alarm. The journal's entry of the change carries who and why.
    async fn alarm_command(
        &self,
        id: &str,
        caller: &Caller,
        reason: Option<String>,
        make: impl FnOnce(AlarmKey) -> Command,
    ) -> Answer<Alarm> {
        let key = self.alarm(id)?;
        self.order(make(key), caller, reason, None).await?;
        alarm_view(self, id).map(Json)
    }

    async fn site_command(
        &self,
        what: Command,
        caller: &Caller,
        reason: Option<String>,
    ) -> Answer<Status> {
        self.order(what, caller, reason, None).await?;
        Ok(Json(self.latest()?.status.clone()))
    }
}

/// I have seen this one. 409 `not_raised` when there is nothing to acknowledge.
#[utoipa::path(post, path = "/api/v1/gas/alarms/{id}/ack", tag = "gas", params(("id" = String, Path, description = "Alarm")), request_body(content = Option<Why>), responses((status = 200, body = Alarm), (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn acknowledge(
    access::Operator(caller): access::Operator,
    State(hub): Site,
    UrlPath(id): UrlPath<String>,
    Maybe(why): Maybe<Why>,
) -> Answer<Alarm> {
    hub.alarm_command(&id, &caller, reason(why.reason)?, Command::Acknowledge)
        .await
}

/// I have seen them all.
#[utoipa::path(post, path = "/api/v1/gas/alarms/ack-all", tag = "gas", request_body(content = Option<Why>), responses((status = 200, body = Status), (status = 503, body = Problem)))]
pub(super) async fn acknowledge_all(
    access::Operator(caller): access::Operator,
    State(hub): Site,
    Maybe(why): Maybe<Why>,
) -> Answer<Status> {
    hub.site_command(Command::AcknowledgeAll, &caller, reason(why.reason)?)
        .await
}

/// Unlatch. 409 while the condition stands, before the acknowledge, or when it is not latched.
#[utoipa::path(post, path = "/api/v1/gas/alarms/{id}/reset", tag = "gas", params(("id" = String, Path, description = "Alarm")), request_body(content = Option<Why>), responses((status = 200, body = Alarm), (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn reset(
    access::Operator(caller): access::Operator,
    State(hub): Site,
    UrlPath(id): UrlPath<String>,
    Maybe(why): Maybe<Why>,
) -> Answer<Alarm> {
    hub.alarm_command(&id, &caller, reason(why.reason)?, Command::Reset)
        .await
}

/// No horn and no outputs of this alarm for 5 to 480 minutes. Not for stage 3 and above.
#[utoipa::path(post, path = "/api/v1/gas/alarms/{id}/shelve", tag = "gas", params(("id" = String, Path, description = "Alarm")), request_body = ForMinutes, responses((status = 200, body = Alarm), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn shelve(
    access::Operator(caller): access::Operator,
    State(hub): Site,
    UrlPath(id): UrlPath<String>,
    Json(given): Json<ForMinutes>,
) -> Answer<Alarm> {
    let why = text("reason", given.reason)?;
    let span = minutes(given.minutes);
    hub.alarm_command(&id, &caller, Some(why), |key| Command::Shelve { key, span })
        .await
}

/// End a shelving early.
#[utoipa::path(post, path = "/api/v1/gas/alarms/{id}/unshelve", tag = "gas", params(("id" = String, Path, description = "Alarm")), request_body(content = Option<Why>), responses((status = 200, body = Alarm), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn unshelve(
    access::Operator(caller): access::Operator,
    State(hub): Site,
    UrlPath(id): UrlPath<String>,
    Maybe(why): Maybe<Why>,
) -> Answer<Alarm> {
    hub.alarm_command(&id, &caller, reason(why.reason)?, Command::Unshelve)
        .await
}

/// Stop the horn, nothing else.
#[utoipa::path(post, path = "/api/v1/gas/horn/silence", tag = "gas", request_body(content = Option<Why>), responses((status = 200, body = Status), (status = 503, body = Problem)))]
pub(super) async fn silence(
    access::Operator(caller): access::Operator,
    State(hub): Site,
    Maybe(why): Maybe<Why>,
) -> Answer<Status> {
    hub.site_command(Command::Silence, &caller, reason(why.reason)?)
        .await
}

/// One-button centres: acknowledges everything; when nothing is unacknowledged, resets what is latched.
#[utoipa::path(post, path = "/api/v1/gas/one-button", tag = "gas", request_body(content = Option<Why>), responses((status = 200, body = Status), (status = 503, body = Problem)))]
pub(super) async fn one_button(
    access::Operator(caller): access::Operator,
    State(hub): Site,
    Maybe(why): Maybe<Why>,
) -> Answer<Status> {
    hub.site_command(Command::OneButton, &caller, reason(why.reason)?)
        .await
}

/// Hand control: a special state until it is `auto` again.
#[utoipa::path(put, path = "/api/v1/gas/outputs/{id}", tag = "gas", params(("id" = String, Path, description = "Output")), request_body = SetOutput, responses((status = 200, body = Output), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn set_output(
    access::Engineer(caller): access::Engineer,
    State(hub): Site,
    UrlPath(id): UrlPath<String>,
    Json(given): Json<SetOutput>,
) -> Answer<Output> {
    let output = hub
        .site
        .output(&id)
        .ok_or_else(|| Problem::not_found(format!("the gas service has no output `{id}`")))?;
    let mode = match given.mode {
        ModeView::Auto => Mode::Auto,
        ModeView::On => Mode::On,
        ModeView::Off => Mode::Off,
    };
    let why = match mode {
        Mode::Auto => reason(given.reason)?,
        Mode::On | Mode::Off => Some(text("reason", given.reason.unwrap_or_default())?),
    };
    let what = Command::SetOutput {
        output,
        mode,
        span: given.minutes.map(minutes),
    };
    hub.order(what, &caller, why, None).await?;
    output_view(&hub, &id).map(Json)
}

/// All lamps on for 1 to 10 seconds. Relays do not move.
#[utoipa::path(post, path = "/api/v1/gas/outputs/lamp-test", tag = "gas", request_body = LampTest, responses((status = 200, body = Status), (status = 422, body = Problem)))]
pub(super) async fn lamp_test(
    access::Engineer(caller): access::Engineer,
    State(hub): Site,
    Json(given): Json<LampTest>,
) -> Answer<Status> {
    let span = Duration::from_secs(given.seconds.into());
    hub.site_command(Command::LampTest(span), &caller, None)
        .await
}

/// The cell casts no vote and gives no samples for 1 to 480 minutes.
#[utoipa::path(post, path = "/api/v1/gas/cells/{id}/inhibit", tag = "gas", params(("id" = String, Path, description = "Cell")), request_body = ForMinutes, responses((status = 200, body = Cell), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn inhibit(
    access::Engineer(caller): access::Engineer,
    State(hub): Site,
    UrlPath(id): UrlPath<String>,
    Json(given): Json<ForMinutes>,
) -> Answer<Cell> {
    let cell = hub.cell(&id)?;
    let why = text("reason", given.reason)?;
    let span = minutes(given.minutes);
    hub.order(Command::Inhibit { cell, span }, &caller, Some(why), None)
        .await?;
    hub.cell_view(cell).map(Json)
}

/// The cell casts no vote and gives no samples until it returns.
#[utoipa::path(post, path = "/api/v1/gas/cells/{id}/out-of-service", tag = "gas", params(("id" = String, Path, description = "Cell")), request_body = Because, responses((status = 200, body = Cell), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn out_of_service(
    access::Engineer(caller): access::Engineer,
    State(hub): Site,
    UrlPath(id): UrlPath<String>,
    Json(given): Json<Because>,
) -> Answer<Cell> {
    let cell = hub.cell(&id)?;
    let why = text("reason", given.reason)?;
    hub.order(Command::OutOfService(cell), &caller, Some(why), None)
        .await?;
    hub.cell_view(cell).map(Json)
}

/// Ends an inhibition, or brings a cell back into service.
#[utoipa::path(post, path = "/api/v1/gas/cells/{id}/return", tag = "gas", params(("id" = String, Path, description = "Cell")), request_body(content = Option<Why>), responses((status = 200, body = Cell), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn return_to_service(
    access::Engineer(caller): access::Engineer,
    State(hub): Site,
    UrlPath(id): UrlPath<String>,
    Maybe(why): Maybe<Why>,
) -> Answer<Cell> {
    let cell = hub.cell(&id)?;
    hub.order(
        Command::ReturnToService(cell),
        &caller,
        reason(why.reason)?,
        None,
    )
    .await?;
    hub.cell_view(cell).map(Json)
}

/// The calibration in the device is as it should be from now on.
#[utoipa::path(post, path = "/api/v1/gas/cells/{id}/confirm-calibration", tag = "gas", params(("id" = String, Path, description = "Cell")), request_body(content = Option<Why>), responses((status = 200, body = Cell), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn confirm_calibration(
    access::Engineer(caller): access::Engineer,
    State(hub): Site,
    UrlPath(id): UrlPath<String>,
    Maybe(why): Maybe<Why>,
) -> Answer<Cell> {
    let cell = hub.cell(&id)?;
    hub.order(
        Command::ConfirmCalibration(cell),
        &caller,
        reason(why.reason)?,
        None,
    )
    .await?;
    hub.cell_view(cell).map(Json)
}

/// The service was done: the interval starts anew.
#[utoipa::path(post, path = "/api/v1/gas/service/done", tag = "gas", request_body = Done, responses((status = 200, body = ServiceView), (status = 422, body = Problem)))]
pub(super) async fn service_done(
    access::Engineer(caller): access::Engineer,
    State(hub): Site,
    Json(given): Json<Done>,
) -> Answer<ServiceView> {
    let by = text("by", given.by)?;
    let note = text("note", given.note)?;
    let why = Some(format!("{by}: {note}"));
    hub.order(Command::ServiceDone, &caller, why, Some((by, note)))
        .await?;
    Ok(Json(hub.latest()?.service.clone()))
}

/// A check (`visual`, `function` or `system`) was done: its interval starts anew.
#[utoipa::path(post, path = "/api/v1/gas/service/checks/{check}/done", tag = "gas", params(("check" = String, Path, description = "visual, function or system")), request_body(content = Option<Why>), responses((status = 200, body = ServiceView), (status = 404, body = Problem)))]
pub(super) async fn check_done(
    access::Engineer(caller): access::Engineer,
    State(hub): Site,
    UrlPath(check): UrlPath<String>,
    Maybe(why): Maybe<Why>,
) -> Answer<ServiceView> {
    let check = Check::ALL
        .into_iter()
        .find(|c| c.as_str() == check)
        .ok_or_else(|| refused(Refusal::Unknown))?;
    hub.order(
        Command::CheckDone(check),
        &caller,
        reason(why.reason)?,
        None,
    )
    .await?;
    Ok(Json(hub.latest()?.service.clone()))
}

/// 10 minutes on battery with mains present.
#[utoipa::path(post, path = "/api/v1/gas/power/battery-test", tag = "gas", request_body(content = Option<Why>), responses((status = 200, body = Status), (status = 409, body = Problem)))]
pub(super) async fn battery_test(
    access::Engineer(caller): access::Engineer,
    State(hub): Site,
    Maybe(why): Maybe<Why>,
) -> Answer<Status> {
    hub.site_command(Command::BatteryTest, &caller, reason(why.reason)?)
        .await
}
