//! `/api/v1/containers` (decisions.md 27). Containers made here belong to an operator; whoever has a container's own
//! client token may look at, extend and end that one.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use leitstand_kit::{
    access::{self, Caller},
    api::{Json, Problem, UrlPath},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    SERVICE,
    admission::Refusal,
    engine::{Container, NotCreated, Why, Wish},
    id::ContainerId,
    service::Shared,
    view::{ContainerView, StateView},
};

type Service = State<Arc<Shared>>;

/// All routes of the service.
pub(crate) fn routes(shared: Arc<Shared>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(state))
        .routes(routes!(one, destroy))
        .routes(routes!(extend))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(crate::terminal::terminal))
        .with_state(shared)
}

/// What a new container shall be; everything may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CreateBody {
    /// Profile by name.
    profile: Option<String>,
    /// Seconds until it ends by itself.
    ttl_s: Option<u64>,
    /// A key that may log in, one line of OpenSSH.
    ssh_public_key: Option<String>,
    /// The same key gives the same container.
    idempotency_key: Option<String>,
}

/// Containers that run.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListView {
    /// Oldest first.
    items: Vec<ContainerView>,
}

/// How long from now.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtendBody {
    /// Seconds, at least 1; cut to `ttl_max_s`.
    ttl_s: u64,
}

/// Starts a container. The answer is the only place where its password and client token are shown.
#[utoipa::path(post, path = "/api/v1/containers", tag = "containers", request_body = CreateBody,
    responses((status = 201, description = "the fields of the classic answer"), (status = 503, description = "no place")))]
async fn create(
    access::Operator(caller): access::Operator,
    State(shared): Service,
    Json(body): Json<CreateBody>,
) -> Result<Response, Problem> {
    let wish = Wish {
        profile: body.profile,
        ttl: body.ttl_s.map(Duration::from_secs),
        ssh_public_key: body.ssh_public_key,
        idempotency_key: body.idempotency_key,
        ..Wish::default()
    };
    let created = shared.engine.create(wish).await.map_err(problem)?;
    let after =
        json!({"profile": created.profile, "port": created.port, "ttl_s": created.ttl.as_secs()});
    audit(
        &shared,
        &caller,
        &format!("container.create {}", created.id),
        after,
    );
    Ok((StatusCode::CREATED, Json(created.data())).into_response())
}

fn problem(error: NotCreated) -> Problem {
    match error {
        NotCreated::Refused(Refusal::Full) => Problem::unavailable("full", "all places are taken"),
        NotCreated::Refused(Refusal::Quota) => {
            Problem::unavailable("quota", "all places of this access token are taken")
        }
        NotCreated::Refused(Refusal::Rate) => {
            Problem::too_many("too_often", "this access token starts containers too often")
        }
        NotCreated::Unavailable(reason) => Problem::unavailable("unavailable", reason),
        NotCreated::Malformed(reason) => Problem::unprocessable("wrong_shape", reason),
        NotCreated::Closed | NotCreated::Responded(_) => {
            Problem::conflict("refused", "a handler refused it")
        }
        NotCreated::Failed(reason) => Problem::internal(reason),
    }
}

/// Containers that run.
#[utoipa::path(get, path = "/api/v1/containers", tag = "containers", responses((status = 200, body = ListView)))]
async fn list(_: access::Viewer, State(shared): Service) -> Json<ListView> {
    let now = shared.engine.context().clock.now();
    Json(ListView {
        items: shared
            .engine
            .list()
            .iter()
            .map(|c| ContainerView::new(c, now))
            .collect(),
    })
}

/// The whole service: backend, limits, places, containers.
#[utoipa::path(get, path = "/api/v1/containers/state", tag = "containers", responses((status = 200, body = StateView)))]
async fn state(_: access::Viewer, State(shared): Service) -> Json<StateView> {
    Json(shared.view())
}

/// One container.
#[utoipa::path(get, path = "/api/v1/containers/{uuid}", tag = "containers", params(("uuid" = String, Path)),
    responses((status = 200, body = ContainerView), (status = 404, description = "none of this name")))]
async fn one(
    _: access::Viewer,
    State(shared): Service,
    UrlPath(uuid): UrlPath<String>,
) -> Result<Json<ContainerView>, Problem> {
    let container = find(&shared, &uuid)?;
    Ok(Json(ContainerView::new(
        &container,
        shared.engine.context().clock.now(),
    )))
}

/// Ends a container: for operators, or with its client token in the header `X-Client-Token`.
#[utoipa::path(delete, path = "/api/v1/containers/{uuid}", tag = "containers", params(("uuid" = String, Path)),
    responses((status = 204, description = "it is gone"), (status = 404, description = "none of this name")))]
async fn destroy(
    access::Viewer(caller): access::Viewer,
    State(shared): Service,
    UrlPath(uuid): UrlPath<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let id = allowed(&shared, &caller, &uuid, &headers)?;
    if !shared.engine.destroy(id, Why::Operator, None).await {
        return Err(none());
    }
    audit(
        &shared,
        &caller,
        &format!("container.destroy {id}"),
        json!(null),
    );
    Ok(StatusCode::NO_CONTENT)
}

/// Moves the end of a container.
#[utoipa::path(post, path = "/api/v1/containers/{uuid}/extend", tag = "containers", params(("uuid" = String, Path)), request_body = ExtendBody,
    responses((status = 200, body = ContainerView), (status = 404, description = "none of this name")))]
async fn extend(
    access::Viewer(caller): access::Viewer,
    State(shared): Service,
    UrlPath(uuid): UrlPath<String>,
    headers: HeaderMap,
    Json(body): Json<ExtendBody>,
) -> Result<Json<ContainerView>, Problem> {
    let id = allowed(&shared, &caller, &uuid, &headers)?;
    if body.ttl_s == 0 {
        return Err(Problem::unprocessable("wrong_shape", "ttl_s is at least 1"));
    }
    let ttl = shared
        .engine
        .extend(id, Duration::from_secs(body.ttl_s))
        .await
        .ok_or_else(none)?;
    audit(
        &shared,
        &caller,
        &format!("container.extend {id}"),
        json!({"ttl_s": ttl.as_secs()}),
    );
    one(access::Viewer(caller), State(shared), UrlPath(uuid)).await
}

/// Stops a container in its tracks.
#[utoipa::path(post, path = "/api/v1/containers/{uuid}/pause", tag = "containers", params(("uuid" = String, Path)),
    responses((status = 200, body = ContainerView), (status = 409, description = "not with this backend here")))]
async fn pause(
    caller: access::Operator,
    shared: Service,
    uuid: UrlPath<String>,
) -> Result<Json<ContainerView>, Problem> {
    set_paused(caller, shared, uuid, true).await
}

/// Lets a paused container go on.
#[utoipa::path(post, path = "/api/v1/containers/{uuid}/resume", tag = "containers", params(("uuid" = String, Path)),
    responses((status = 200, body = ContainerView), (status = 409, description = "not with this backend here")))]
async fn resume(
    caller: access::Operator,
    shared: Service,
    uuid: UrlPath<String>,
) -> Result<Json<ContainerView>, Problem> {
    set_paused(caller, shared, uuid, false).await
}

async fn set_paused(
    access::Operator(caller): access::Operator,
    State(shared): Service,
    UrlPath(uuid): UrlPath<String>,
    paused: bool,
) -> Result<Json<ContainerView>, Problem> {
    let id = parse(&uuid)?;
    let done = shared.engine.pause(id, paused).await.ok_or_else(none)?;
    done.map_err(|e| Problem::conflict("cannot_pause", e.to_string()))?;
    let what = if paused {
        "container.pause"
    } else {
        "container.resume"
    };
    audit(
        &shared,
        &caller,
        &format!("{what} {id}"),
        json!({"paused": paused}),
    );
    one(access::Viewer(caller), State(shared), UrlPath(uuid)).await
}

fn audit(shared: &Shared, caller: &Caller, what: &str, after: serde_json::Value) {
    drop(
        shared
            .engine
            .context()
            .audit(SERVICE, caller, what, json!(null), after),
    );
}

fn none() -> Problem {
    Problem::not_found("no container has this name")
}

fn parse(uuid: &str) -> Result<ContainerId, Problem> {
    uuid.parse().map_err(|_| none())
}

/// The container of a request.
pub(crate) fn find(shared: &Shared, uuid: &str) -> Result<Arc<Container>, Problem> {
    shared.engine.get(parse(uuid)?).ok_or_else(none)
}

/// Operators, and whoever owns the container.
fn allowed(
    shared: &Shared,
    caller: &Caller,
    uuid: &str,
    headers: &HeaderMap,
) -> Result<ContainerId, Problem> {
    let id = parse(uuid)?;
    let token = headers.get("x-client-token").and_then(|v| v.to_str().ok());
    let owner = token.is_some_and(|token| shared.engine.owns(id, token));
    if owner || caller.role >= access::Role::Operator {
        return Ok(id);
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        "this needs the role operator, or the container's client token",
    )
    .with("needs", "operator"))
}
