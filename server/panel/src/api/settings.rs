//! Opening hours and screens: what people set on the page, kept over restarts.

use std::sync::Arc;

use axum::extract::{Path, State};
use leitstand_kit::{
    access::{self, Caller},
    api::{Json, Problem},
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Panel, not_stored};
use crate::{
    SERVICE,
    room::Input,
    schedule::ScheduleConfig,
    service::{self, Shared},
    settings::{self, SCREENS_MAX, ScreenSettings, Screens},
    view::LevelsView,
};

/// The routes below `/api/v1/panel`.
pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(read))
        .routes(routes!(set_schedule))
        .routes(routes!(set_screen, forget_screen))
}

/// All settings.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct SettingsView {
    /// Volume and brightness as set.
    levels: LevelsView,
    /// No sound anywhere.
    muted: bool,
    /// What screens and boards are told at this moment.
    effective: LevelsView,
    /// Within the opening hours.
    open: bool,
    /// Local time of the site as `HH:MM`, by which the hours are meant.
    local_time: Option<String>,
    /// The schedule.
    schedule: ScheduleConfig,
    /// Of screens, by name.
    screens: Screens,
}

/// What people set: levels, opening hours, screens.
#[utoipa::path(get, path = "/settings", tag = "panel settings", responses((status = 200, body = SettingsView)))]
async fn read(_: access::Viewer, State(shared): Panel) -> Json<SettingsView> {
    let snapshot = shared.snapshot.borrow().clone();
    let local = service::local_time(&shared.cx.clock);
    Json(SettingsView {
        levels: LevelsView {
            volume: snapshot.levels.volume,
            brightness: snapshot.levels.brightness,
        },
        muted: snapshot.levels.muted,
        effective: LevelsView {
            volume: snapshot.effective.0,
            brightness: snapshot.effective.1,
        },
        open: snapshot.open,
        local_time: local.map(|l| format!("{:02}:{:02}", l.minute / 60, l.minute % 60)),
        schedule: snapshot.schedule.written.clone(),
        screens: (*snapshot.settings).clone(),
    })
}

/// Sets opening hours, the levels outside of them, dimming and the effect of the lit button.
#[utoipa::path(put, path = "/schedule", tag = "panel settings", request_body = ScheduleConfig,
    responses((status = 200, body = ScheduleConfig), (status = 422, body = Problem)))]
async fn set_schedule(
    access::Engineer(caller): access::Engineer,
    State(shared): Panel,
    Json(to): Json<ScheduleConfig>,
) -> Result<Json<ScheduleConfig>, Problem> {
    let schedule = to.check().map_err(|mistakes| {
        let list: Vec<_> = mistakes
            .iter()
            .map(|(key, code, text)| json!({ "key": key.join("."), "code": code, "message": text }))
            .collect();
        let first = mistakes.into_iter().next();
        let text = first.map(|(_, _, text)| text).unwrap_or_default();
        Problem::unprocessable("bad_schedule", text).with("mistakes", list)
    })?;
    let _one = shared.setting.lock().await;
    settings::save_schedule(&shared.cx.store, &to)
        .await
        .map_err(not_stored)?;
    let before = json!(shared.snapshot.borrow().schedule.written);
    let after = json!(to);
    drop(
        shared
            .cx
            .audit(SERVICE, &caller, "panel.schedule", before, after),
    );
    shared.apply(Input::Schedule(Arc::new(schedule))).await?;
    Ok(Json(to))
}

/// Sets what the screen of this name is there for and how loud it is. It need not be connected.
#[utoipa::path(put, path = "/screens/{name}", tag = "panel settings", params(("name" = String, Path, description = "as it calls itself")),
    request_body = ScreenSettings, responses((status = 200, body = ScreenSettings), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn set_screen(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    Path(name): Path<String>,
    Json(to): Json<ScreenSettings>,
) -> Result<Json<ScreenSettings>, Problem> {
    if to.volume > 100 {
        let text = "volume is a percentage, 0 to 100";
        return Err(Problem::unprocessable("out_of_range", text));
    }
    if name.is_empty() || name.chars().count() > 40 || name.chars().any(char::is_control) {
        let text = "a screen has a name of 1 to 40 characters";
        return Err(Problem::unprocessable("bad_name", text));
    }
    change(&shared, &caller, &name, Some(to)).await?;
    Ok(Json(to))
}

/// Forgets what the screen of this name was set to.
#[utoipa::path(delete, path = "/screens/{name}", tag = "panel settings", params(("name" = String, Path, description = "as it calls itself")),
    responses((status = 200, body = ScreenSettings), (status = 404, body = Problem)))]
async fn forget_screen(
    access::Operator(caller): access::Operator,
    State(shared): Panel,
    Path(name): Path<String>,
) -> Result<Json<ScreenSettings>, Problem> {
    change(&shared, &caller, &name, None).await?;
    Ok(Json(ScreenSettings::default()))
}

async fn change(
    shared: &Shared,
    caller: &Caller,
    name: &str,
    to: Option<ScreenSettings>,
) -> Result<(), Problem> {
    let _one = shared.setting.lock().await;
    let mut screens = (*shared.snapshot.borrow().settings.clone()).clone();
    let before = match to {
        Some(to) => screens.insert(name.to_owned(), to),
        None => {
            let before = screens.remove(name);
            let missing = || Problem::not_found("this screen was never set to anything");
            Some(before.ok_or_else(missing)?)
        }
    };
    if screens.len() > SCREENS_MAX {
        let text = format!("at most {SCREENS_MAX} screens can be set");
        return Err(Problem::conflict("too_many_screens", text));
    }
    settings::save_screens(&shared.cx.store, &screens)
        .await
        .map_err(not_stored)?;
    let what = format!("panel.screen {name}");
    drop(
        shared
            .cx
            .audit(SERVICE, caller, &what, json!(before), json!(to)),
    );
    Ok(shared.apply(Input::Screens(Arc::new(screens))).await?)
}
