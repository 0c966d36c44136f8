//! The routes under `/api/v1/fleet`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use leitstand_kit::{
    access,
    api::{Json, Problem},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    SERVICE,
    car::CarHandle,
    module::runner::lock,
    name::CarName,
    service::{Admin, Refusal, Shared},
    session::{Command, CommandId},
    view::{self, CarDetail, CarView, CommandView, CompanyView, FleetView, ModuleView},
    wire::Device,
};

type Fleet = State<Arc<Shared>>;

/// Commands in one answer.
const COMMANDS_MAX: usize = 200;
/// Longest command, in bytes.
const COMMAND_BYTES_MAX: usize = 32 * 1024;
/// How long the running instance may take for a change.
const ADMIN_WITHIN: Duration = Duration::from_secs(5);

/// All routes of the service.
pub(crate) fn routes(shared: Arc<Shared>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(fleet))
        .routes(routes!(companies))
        .routes(routes!(cars, add))
        .routes(routes!(car, remove))
        .routes(routes!(reload))
        .routes(routes!(modules))
        .routes(routes!(commands))
        .routes(routes!(command))
        .routes(routes!(send))
        .with_state(shared)
}

/// A list.
#[derive(Serialize, ToSchema)]
struct Items<T> {
    /// Its elements.
    items: Vec<T>,
}

/// A command to send.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SendBody {
    /// Number of the device's module; it must take commands from here (`transparent`).
    module: i32,
    /// Type of the device.
    #[serde(default)]
    device_type: u32,
    /// Role of the device.
    role: String,
    /// Name of the device; left out, the one it connected with.
    #[serde(default)]
    name: String,
    /// The bytes as text.
    text: Option<String>,
    /// The bytes as JSON, written compactly.
    json: Option<Value>,
    /// The bytes in hexadecimal.
    hex: Option<String>,
    /// Given up when it was not sent after this time, in seconds.
    ttl_s: Option<f64>,
}

/// A car to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddBody {
    /// Its name.
    name: String,
    /// Its company, where it is not that of the section.
    company: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CommandFilter {
    /// `company/car`.
    car: Option<String>,
}

/// Everything about the fleet at once.
#[utoipa::path(get, path = "/api/v1/fleet", tag = "fleet", responses((status = 200, body = FleetView)))]
async fn fleet(_: access::Viewer, State(shared): Fleet) -> Json<FleetView> {
    Json(FleetView::new(&shared))
}

/// The companies and their cars.
#[utoipa::path(get, path = "/api/v1/fleet/companies", tag = "fleet",
    responses((status = 200, body = Items<CompanyView>)))]
async fn companies(_: access::Viewer, State(shared): Fleet) -> Json<Items<CompanyView>> {
    let mut companies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for car in shared.all_cars() {
        let cars = companies.entry(car.name.company().to_owned()).or_default();
        cars.push(car.name.name().to_owned());
    }
    let items = companies.into_iter();
    Json(Items {
        items: items
            .map(|(name, cars)| CompanyView { name, cars })
            .collect(),
    })
}

/// All cars.
#[utoipa::path(get, path = "/api/v1/fleet/cars", tag = "fleet", responses((status = 200, body = Items<CarView>)))]
async fn cars(_: access::Viewer, State(shared): Fleet) -> Json<Items<CarView>> {
    Json(Items {
        items: view::cars(&shared),
    })
}

/// One car, its devices and its last sessions.
#[utoipa::path(get, path = "/api/v1/fleet/cars/{company}/{name}", tag = "fleet",
    params(("company" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = CarDetail), (status = 404, body = Problem)))]
async fn car(
    _: access::Viewer,
    State(shared): Fleet,
    Path((company, name)): Path<(String, String)>,
) -> Result<Json<CarDetail>, Problem> {
    let car = find(&shared, &company, &name)?;
    Ok(Json(CarDetail::new(&car, shared.now())))
}

/// Adds a car, until the next start; the configuration file is not changed.
#[utoipa::path(post, path = "/api/v1/fleet/cars", tag = "fleet", request_body = AddBody,
    responses((status = 201), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn add(
    access::Engineer(caller): access::Engineer,
    State(shared): Fleet,
    Json(body): Json<AddBody>,
) -> Result<Response, Problem> {
    let company = body.company.as_ref().unwrap_or(&shared.settings.company);
    let name = CarName::new(company, &body.name)
        .ok_or_else(|| Problem::unprocessable("bad_name", "a name is 1 to 64 of a-z, 0-9 and _"))?;
    admin(&shared, |answer| Admin::Add(name.clone(), answer)).await?;
    drop(shared.cx.audit(
        SERVICE,
        &caller,
        &format!("car.add {name}"),
        Value::Null,
        json!(name.to_string()),
    ));
    Ok((
        StatusCode::CREATED,
        Json(json!({ "car": name.to_string() })),
    )
        .into_response())
}

/// Takes a car out, until the next start. Others notice nothing.
#[utoipa::path(delete, path = "/api/v1/fleet/cars/{company}/{name}", tag = "fleet",
    params(("company" = String, Path), ("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
async fn remove(
    access::Engineer(caller): access::Engineer,
    State(shared): Fleet,
    Path((company, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let name = find(&shared, &company, &name)?.name;
    admin(&shared, |answer| Admin::Remove(name.clone(), answer)).await?;
    drop(shared.cx.audit(
        SERVICE,
        &caller,
        &format!("car.remove {name}"),
        json!(name.to_string()),
        Value::Null,
    ));
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the session of a car; the vehicle connects anew. Others notice nothing.
#[utoipa::path(post, path = "/api/v1/fleet/cars/{company}/{name}/reload", tag = "fleet",
    params(("company" = String, Path), ("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
async fn reload(
    access::Engineer(caller): access::Engineer,
    State(shared): Fleet,
    Path((company, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let name = find(&shared, &company, &name)?.name;
    admin(&shared, |answer| Admin::Reload(name.clone(), answer)).await?;
    drop(shared.cx.audit(
        SERVICE,
        &caller,
        &format!("car.reload {name}"),
        Value::Null,
        Value::Null,
    ));
    Ok(StatusCode::NO_CONTENT)
}

/// All modules, with counts of their calls.
#[utoipa::path(get, path = "/api/v1/fleet/modules", tag = "fleet", responses((status = 200, body = Items<ModuleView>)))]
async fn modules(_: access::Viewer, State(shared): Fleet) -> Json<Items<ModuleView>> {
    Json(Items {
        items: view::modules(&shared),
    })
}

/// The newest 200 commands, of all cars or of one.
#[utoipa::path(get, path = "/api/v1/fleet/commands", tag = "fleet", params(("car" = Option<String>, Query)),
    responses((status = 200, body = Items<CommandView>)))]
async fn commands(
    _: access::Viewer,
    State(shared): Fleet,
    Query(filter): Query<CommandFilter>,
) -> Json<Items<CommandView>> {
    Json(Items {
        items: view::commands(&shared, filter.car.as_deref(), COMMANDS_MAX),
    })
}

/// One command and what became of it.
#[utoipa::path(get, path = "/api/v1/fleet/commands/{id}", tag = "fleet", params(("id" = u64, Path)),
    responses((status = 200, body = CommandView), (status = 404, body = Problem)))]
async fn command(
    _: access::Viewer,
    State(shared): Fleet,
    Path(id): Path<u64>,
) -> Result<Json<CommandView>, Problem> {
    let id = CommandId(id);
    let commands = lock(&shared.commands);
    let record = commands
        .get(id)
        .ok_or_else(|| Problem::not_found("no such command, or one of long ago"))?;
    Ok(Json(CommandView::new(id, record, shared.now())))
}

/// Sends a command to a device, through a module that takes commands from here.
#[utoipa::path(post, path = "/api/v1/fleet/cars/{company}/{name}/commands", tag = "fleet", request_body = SendBody,
    params(("company" = String, Path), ("name" = String, Path)),
    responses((status = 202, body = CommandView), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
async fn send(
    access::Operator(caller): access::Operator,
    State(shared): Fleet,
    Path((company, name)): Path<(String, String)>,
    Json(body): Json<SendBody>,
) -> Result<Response, Problem> {
    let car = find(&shared, &company, &name)?;
    let data = bytes(&body)?;
    let time_to_live = match body.ttl_s {
        None => None,
        Some(s) if (0.001..=86_400.0).contains(&s) => Some(Duration::from_secs_f64(s)),
        Some(_) => {
            return Err(Problem::unprocessable(
                "out_of_range",
                "`ttl_s` is 0.001 to 86400",
            ));
        }
    };
    let (desk, default_ttl) = {
        let modules = lock(&shared.modules);
        let mut mine = modules.iter().filter(|m| {
            m.id == body.module && m.cars.as_ref().is_none_or(|c| c.contains(&car.name))
        });
        let module = mine.next().ok_or_else(|| {
            Problem::unprocessable("no_such_module", "this car has no such module")
        })?;
        let transparent = module.transparent.as_ref().ok_or_else(|| {
            Problem::conflict("not_transparent", "this module makes its commands itself")
        })?;
        (transparent.desk(&car.name), module.time_to_live)
    };
    let desk = desk.ok_or_else(|| {
        Problem::unavailable(
            "module_not_ready",
            "the module is not ready for this car yet",
        )
    })?;
    let device = Device {
        module: body.module,
        device_type: body.device_type,
        device_role: body.role,
        device_name: body.name,
        priority: 0,
    };
    let command = |id| Command {
        id,
        module: device.module,
        device: device.clone(),
        data: data.clone(),
    };
    let text = car.name.to_string();
    let known = |id| shared.queued(&text, &command(id), Some(caller.name.clone()));
    let now = shared.cx.clock.now();
    let id = desk
        .send(
            now,
            device.clone(),
            data.clone(),
            time_to_live.or(default_ttl),
            known,
        )
        .map_err(|_| {
            Problem::conflict(
                "desk_full",
                "too many commands wait for devices of this car",
            )
        })?;
    drop(shared.cx.audit(SERVICE, &caller, &format!("command.send {text}"), Value::Null,
        json!({ "command": id.0, "module": device.module, "role": device.device_role, "bytes": data.len() })));
    let commands = lock(&shared.commands);
    let record = commands
        .get(id)
        .ok_or_else(|| Problem::not_found("the command is gone"))?;
    let view = CommandView::new(id, record, shared.now());
    Ok((StatusCode::ACCEPTED, Json(view)).into_response())
}

fn bytes(body: &SendBody) -> Result<Vec<u8>, Problem> {
    let given = [body.text.is_some(), body.json.is_some(), body.hex.is_some()];
    if given.iter().filter(|g| **g).count() != 1 {
        return Err(Problem::unprocessable(
            "no_data",
            "give one of `text`, `json`, `hex`",
        ));
    }
    let data = match (&body.text, &body.json, &body.hex) {
        (Some(text), ..) => text.clone().into_bytes(),
        (_, Some(json), _) => json.to_string().into_bytes(),
        (.., Some(hex)) => unhex(hex).ok_or_else(|| {
            Problem::unprocessable("bad_hex", "`hex` is pairs of hexadecimal digits")
        })?,
        _ => Vec::new(),
    };
    if data.len() > COMMAND_BYTES_MAX {
        return Err(Problem::unprocessable(
            "too_long",
            "a command has at most 32 KiB",
        ));
    }
    Ok(data)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn find(shared: &Shared, company: &str, name: &str) -> Result<CarHandle, Problem> {
    let found = CarName::new(company, name).and_then(|name| shared.car(&name));
    found.ok_or_else(|| Problem::not_found("no such car"))
}

async fn admin(
    shared: &Shared,
    ask: impl FnOnce(oneshot::Sender<Result<(), Refusal>>) -> Admin,
) -> Result<(), Problem> {
    let (answer, answered) = oneshot::channel();
    let asked = async {
        shared.asks.send(ask(answer)).await.ok()?;
        answered.await.ok()
    };
    let result = tokio::time::timeout(ADMIN_WITHIN, asked)
        .await
        .ok()
        .flatten();
    match result {
        Some(Ok(())) => Ok(()),
        Some(Err(Refusal::Exists)) => Err(Problem::conflict("exists", "there is such a car")),
        Some(Err(Refusal::Unknown)) => Err(Problem::not_found("no such car")),
        Some(Err(Refusal::NoModule)) => Err(Problem::unprocessable(
            "no_module",
            "no module serves such a car",
        )),
        Some(Err(Refusal::TooMany)) => {
            Err(Problem::conflict("too_many", "there are too many cars"))
        }
        None => Err(Problem::unavailable(
            "fleet_not_running",
            "the fleet service is restarting; try again",
        )),
    }
}
