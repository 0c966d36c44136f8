//! The routes under `/api/v1/models`.

use axum::{extract::State, http::StatusCode};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use leitstand_kit::{
    access,
    api::{Json, Page, Problem, UrlPath},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    SERVICE,
    backend::Version,
    engine::{Answer, Arguments, Request},
    error::{CallError, Kind},
    oip,
    service::Models,
    watch::WatchState,
};

/// All routes of the service.
pub(crate) fn routes(models: &Models) -> OpenApiRouter {
    let own = OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(types))
        .routes(routes!(actions))
        .routes(routes!(cancel))
        .routes(routes!(watches))
        .routes(routes!(model, remove))
        .routes(routes!(fit))
        .routes(routes!(predict))
        .routes(routes!(versions))
        .routes(routes!(rollback))
        .routes(routes!(set_alias, drop_alias))
        .routes(routes!(import))
        .with_state(models.clone());
    if models.settings().oip {
        own.merge(oip::routes(models))
    } else {
        own
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let status = match error.kind {
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::BadArgument => StatusCode::BAD_REQUEST,
            Kind::NonFinite | Kind::Plugin | Kind::Unsupported => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Busy | Kind::Unavailable | Kind::Storage => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Cancelled => StatusCode::CONFLICT,
            Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Kind::WorkerLost => StatusCode::BAD_GATEWAY,
        };
        Self::new(status, error.kind.name(), error.message)
    }
}

/// A model in a list.
#[derive(Serialize, ToSchema)]
struct ModelView {
    /// Its number.
    id: u64,
    /// Picks the plugins.
    model_type: String,
    /// Counts every change since the start.
    version: u64,
    /// Length of the instance.
    bytes: usize,
    /// `false` while no plugin knows the type.
    available: bool,
    /// Other names.
    aliases: Vec<String>,
}

/// A model with its bytes.
#[derive(Serialize, ToSchema)]
struct InstanceView {
    id: u64,
    model_type: String,
    /// Base64.
    instance: String,
}

/// Arguments of a call. `{"type": "data_access", "name": .., "args": [..]}` is fetched first.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
struct Call {
    /// By position.
    #[serde(default)]
    args: Vec<Value>,
    /// By name.
    #[serde(default)]
    kwargs: Map<String, Value>,
}

/// A model to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// For example `builtin.ewma`.
    model_type: String,
    /// By position.
    #[serde(default)]
    args: Vec<Value>,
    /// By name.
    #[serde(default)]
    kwargs: Map<String, Value>,
}

/// A model from bytes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Import {
    model_type: String,
    /// Base64.
    instance: String,
}

/// What another name stands for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Alias {
    /// Number of the model.
    id: u64,
}

/// An action and its number.
#[derive(Serialize, ToSchema)]
struct ActionView {
    id: u64,
    /// As in the state that AIMM's clients mirror.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    action: Value,
}

fn view(models: &Models, id: u64) -> Option<ModelView> {
    let state = models.follow().borrow().clone();
    let model = state.models.get(&id)?;
    let aliases = models
        .aliases()
        .into_iter()
        .filter(|(_, of)| *of == id)
        .map(|(alias, _)| alias);
    Some(ModelView {
        id,
        model_type: model.model_type.clone(),
        version: model.version,
        bytes: model.bytes,
        available: model.available,
        aliases: aliases.collect(),
    })
}

fn find(models: &Models, name: &str) -> Result<u64, Problem> {
    let missing = || CallError::new(Kind::NotFound, format!("instance {name} not found"));
    models.find(name).ok_or_else(|| missing().into())
}

/// All models.
#[utoipa::path(get, path = "/api/v1/models", tag = "models", responses((status = 200, body = Page<ModelView>)))]
async fn list(_: access::Viewer, State(models): State<Models>) -> Json<Page<ModelView>> {
    let ids: Vec<_> = models.follow().borrow().models.keys().copied().collect();
    Json(Page::all(
        ids.into_iter().filter_map(|id| view(&models, id)).collect(),
    ))
}

/// Creates a model by its plugin.
#[utoipa::path(post, path = "/api/v1/models", tag = "models", request_body = Create, responses((status = 200, body = InstanceView)))]
async fn create(
    access::Engineer(caller): access::Engineer,
    State(models): State<Models>,
    Json(body): Json<Create>,
) -> Result<Json<InstanceView>, Problem> {
    let arguments = Arguments {
        args: body.args,
        kwargs: body.kwargs,
    };
    let request = Request::Create {
        model_type: body.model_type.clone(),
        arguments,
    };
    let created = instance(models.call(&caller.name, request).await?);
    audit(
        &models,
        &caller,
        "model.create",
        Value::Null,
        json!({"id": created.id, "model_type": body.model_type}),
    );
    Ok(Json(created))
}

/// Takes a model from bytes, as an export gave them.
#[utoipa::path(post, path = "/api/v1/models/import", tag = "models", request_body = Import, responses((status = 200, body = InstanceView)))]
async fn import(
    access::Engineer(caller): access::Engineer,
    State(models): State<Models>,
    Json(body): Json<Import>,
) -> Result<Json<InstanceView>, Problem> {
    let bytes = BASE64_STANDARD.decode(&body.instance);
    let bytes = bytes.map_err(|e| CallError::bad(format!("instance is no base64: {e}")))?;
    let request = Request::Add {
        model_type: body.model_type.clone(),
        bytes: bytes.into(),
    };
    let added = instance(models.call(&caller.name, request).await?);
    audit(
        &models,
        &caller,
        "model.import",
        Value::Null,
        json!({"id": added.id, "model_type": body.model_type}),
    );
    Ok(Json(added))
}

/// Every model type that can be created.
#[utoipa::path(get, path = "/api/v1/models/types", tag = "models", responses((status = 200, body = Page<String>)))]
async fn types(_: access::Viewer, State(models): State<Models>) -> Json<Page<String>> {
    Json(Page::all(models.types()))
}

/// Actions that run, wait, or ended lately.
#[utoipa::path(get, path = "/api/v1/models/actions", tag = "models", responses((status = 200, body = Page<ActionView>)))]
async fn actions(_: access::Viewer, State(models): State<Models>) -> Json<Page<ActionView>> {
    let state = models.follow().borrow().clone();
    let actions = state.actions.iter();
    let views = actions.map(|(id, a)| ActionView {
        id: *id,
        action: serde_json::to_value(&**a).unwrap_or_default(),
    });
    Json(Page::all(views.collect()))
}

/// Cancels an action; `false` when it is over or being stored.
#[utoipa::path(post, path = "/api/v1/models/actions/{id}/cancel", tag = "models", params(("id" = u64, Path)), responses((status = 200, body = bool)))]
async fn cancel(
    access::Operator(caller): access::Operator,
    State(models): State<Models>,
    UrlPath(action): UrlPath<u64>,
) -> Result<Json<bool>, Problem> {
    let took = models
        .call(&caller.name, Request::Cancel { action })
        .await?
        == Answer::Took(true);
    audit(
        &models,
        &caller,
        &format!("model.cancel {action}"),
        Value::Null,
        json!(took),
    );
    Ok(Json(took))
}

/// Watched sensors with their scores over time.
#[utoipa::path(get, path = "/api/v1/models/watches", tag = "models", responses((status = 200, body = Page<WatchState>)))]
async fn watches(_: access::Viewer, State(models): State<Models>) -> Json<Page<WatchState>> {
    Json(Page::all(models.watches()))
}

/// One model with its bytes, by number or alias.
#[utoipa::path(get, path = "/api/v1/models/{model}", tag = "models", params(("model" = String, Path)), responses((status = 200, body = InstanceView)))]
async fn model(
    _: access::Engineer,
    State(models): State<Models>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<InstanceView>, Problem> {
    let id = find(&models, &name)?;
    let (model_type, bytes) = models
        .model(id)
        .await
        .ok_or_else(|| CallError::no_instance(id))?;
    Ok(Json(InstanceView {
        id,
        model_type,
        instance: BASE64_STANDARD.encode(&bytes),
    }))
}

/// Forgets a model and all its versions.
#[utoipa::path(delete, path = "/api/v1/models/{model}", tag = "models", params(("model" = String, Path)), responses((status = 200, body = bool)))]
async fn remove(
    access::Engineer(caller): access::Engineer,
    State(models): State<Models>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<bool>, Problem> {
    let id = find(&models, &name)?;
    let before = view(&models, id).map(|view| view.model_type);
    models.call(&caller.name, Request::Remove { id }).await?;
    audit(
        &models,
        &caller,
        &format!("model.remove {id}"),
        json!({"model_type": before}),
        Value::Null,
    );
    Ok(Json(true))
}

/// Trains a model.
#[utoipa::path(post, path = "/api/v1/models/{model}/fit", tag = "models", params(("model" = String, Path)), request_body = Call, responses((status = 200, body = InstanceView)))]
async fn fit(
    access::Engineer(caller): access::Engineer,
    State(models): State<Models>,
    UrlPath(name): UrlPath<String>,
    Json(call): Json<Call>,
) -> Result<Json<InstanceView>, Problem> {
    let id = find(&models, &name)?;
    let arguments = Arguments {
        args: call.args,
        kwargs: call.kwargs,
    };
    let fitted = instance(
        models
            .call(&caller.name, Request::Fit { id, arguments })
            .await?,
    );
    audit(
        &models,
        &caller,
        &format!("model.fit {id}"),
        Value::Null,
        json!({"bytes": fitted.instance.len()}),
    );
    Ok(Json(fitted))
}

/// Asks a model.
#[utoipa::path(post, path = "/api/v1/models/{model}/predict", tag = "models", params(("model" = String, Path)), request_body = Call, responses((status = 200, body = Object)))]
async fn predict(
    access::Operator(caller): access::Operator,
    State(models): State<Models>,
    UrlPath(name): UrlPath<String>,
    Json(call): Json<Call>,
) -> Result<Json<Value>, Problem> {
    let id = find(&models, &name)?;
    let arguments = Arguments {
        args: call.args,
        kwargs: call.kwargs,
    };
    match models
        .call(&caller.name, Request::Predict { id, arguments })
        .await?
    {
        Answer::Value(value) => Ok(Json(value)),
        _ => Err(Problem::internal("a prediction without a value")),
    }
}

/// Kept versions of a model, newest first.
#[utoipa::path(get, path = "/api/v1/models/{model}/versions", tag = "models", params(("model" = String, Path)), responses((status = 200, body = Page<Version>)))]
async fn versions(
    _: access::Viewer,
    State(models): State<Models>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<Page<Version>>, Problem> {
    let id = find(&models, &name)?;
    Ok(Json(Page::all(models.versions(id).await?)))
}

/// Goes back to a kept version, which becomes the newest.
#[utoipa::path(post, path = "/api/v1/models/{model}/versions/{version}/restore", tag = "models",
    params(("model" = String, Path), ("version" = u64, Path)), responses((status = 200, body = InstanceView)))]
async fn rollback(
    access::Engineer(caller): access::Engineer,
    State(models): State<Models>,
    UrlPath((name, version)): UrlPath<(String, u64)>,
) -> Result<Json<InstanceView>, Problem> {
    let id = find(&models, &name)?;
    let missing = || {
        CallError::new(
            Kind::NotFound,
            format!("instance {id} has no version {version}"),
        )
    };
    let bytes = models.version(id, version).await?.ok_or_else(missing)?;
    let model_type = view(&models, id)
        .map(|view| view.model_type)
        .unwrap_or_default();
    let restored = instance(
        models
            .call(
                &caller.name,
                Request::Update {
                    id,
                    model_type,
                    bytes,
                },
            )
            .await?,
    );
    audit(
        &models,
        &caller,
        &format!("model.restore {id}"),
        Value::Null,
        json!({"version": version}),
    );
    Ok(Json(restored))
}

/// Gives a model another name.
#[utoipa::path(put, path = "/api/v1/models/aliases/{alias}", tag = "models", params(("alias" = String, Path)), request_body = Alias, responses((status = 200, body = bool)))]
async fn set_alias(
    access::Engineer(caller): access::Engineer,
    State(models): State<Models>,
    UrlPath(alias): UrlPath<String>,
    Json(body): Json<Alias>,
) -> Result<Json<bool>, Problem> {
    if alias.is_empty() || alias.len() > 80 || alias.parse::<u64>().is_ok() {
        return Err(CallError::bad("an alias has 1 to 80 bytes and is no number").into());
    }
    let id = find(&models, &body.id.to_string())?;
    let before = models.aliases().get(&alias).copied();
    models.set_alias(&alias, Some(id)).await?;
    audit(
        &models,
        &caller,
        &format!("model.alias {alias}"),
        json!(before),
        json!(id),
    );
    Ok(Json(true))
}

/// Takes a name away.
#[utoipa::path(delete, path = "/api/v1/models/aliases/{alias}", tag = "models", params(("alias" = String, Path)), responses((status = 200, body = bool)))]
async fn drop_alias(
    access::Engineer(caller): access::Engineer,
    State(models): State<Models>,
    UrlPath(alias): UrlPath<String>,
) -> Result<Json<bool>, Problem> {
    let before = models.aliases().get(&alias).copied();
    models.set_alias(&alias, None).await?;
    audit(
        &models,
        &caller,
        &format!("model.alias {alias}"),
        json!(before),
        Value::Null,
    );
    Ok(Json(before.is_some()))
}

fn instance(answer: Answer) -> InstanceView {
    match answer {
        Answer::Model {
            id,
            model_type,
            bytes,
        } => InstanceView {
            id,
            model_type,
            instance: BASE64_STANDARD.encode(&bytes),
        },
        Answer::Value(_) | Answer::Took(_) => {
            unreachable!("calls that make or change a model answer it")
        }
    }
}

fn audit(models: &Models, caller: &access::Caller, what: &str, before: Value, after: Value) {
    drop(models.context().audit(SERVICE, caller, what, before, after));
}
