//! Managing tokens and users: admins only, each change audited.

use std::time::Duration;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Auth, AuthError, Role, TokenInfo, UserInfo, access, check_name, db, password_hash,
    secret::Secret,
};
use crate::api::{Json, Page, Problem, UrlPath};

pub(super) fn routes(auth: &Auth) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list_tokens, create_token))
        .routes(routes!(revoke_token))
        .routes(routes!(list_users, create_user))
        .routes(routes!(change_user, remove_user))
        .with_state(auth.clone())
}

#[derive(Deserialize, ToSchema)]
struct NewToken {
    name: String,
    role: Role,
    /// Seconds until it ends; never without.
    expires_s: Option<u64>,
}

#[derive(Serialize, ToSchema)]
struct CreatedToken {
    #[serde(flatten)]
    info: TokenInfo,
    /// Shown once; stored nowhere.
    token: String,
}

#[derive(Deserialize, ToSchema)]
struct NewUser {
    name: String,
    #[schema(value_type = String)]
    password: Secret,
    role: Role,
}

#[derive(Deserialize, ToSchema)]
struct ChangedUser {
    role: Role,
    /// Unchanged without.
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
}

/// All tokens, without their secrets.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "access", responses((status = 200, body = Page<TokenInfo>)))]
async fn list_tokens(
    State(auth): State<Auth>,
    _: access::Admin,
) -> Result<Json<Page<TokenInfo>>, Problem> {
    let tokens = auth
        .0
        .cx
        .store
        .read(db::tokens)
        .await
        .map_err(AuthError::from)?;
    Ok(Json(Page::all(tokens)))
}

/// Make a token. Its text is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "access", request_body = NewToken, responses(
    (status = 201, body = CreatedToken),
    (status = 409, body = Problem, description = "`exists`"),
))]
async fn create_token(
    State(auth): State<Auth>,
    access::Admin(caller): access::Admin,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let (info, secret) =
        auth.new_token(&new.name, new.role, new.expires_s.map(Duration::from_secs))?;
    let (row, hash) = (info.clone(), secret.hash());
    let added = auth
        .0
        .cx
        .store
        .execute(move |db| db::add_token(db, &row, &hash))
        .await;
    if !added.map_err(AuthError::from)? {
        return Err(AuthError::Exists(new.name).into());
    }
    auth.audit(&caller, "token.create", json!(null), json!(info));
    let token = secret.reveal().to_owned();
    Ok((StatusCode::CREATED, Json(CreatedToken { info, token })))
}

/// End a token and all sessions that came with it.
#[utoipa::path(delete, path = "/api/v1/tokens/{name}", tag = "access", params(("name" = String, Path)), responses(
    (status = 204, description = "ended"),
    (status = 404, body = Problem),
))]
async fn revoke_token(
    State(auth): State<Auth>,
    access::Admin(caller): access::Admin,
    UrlPath(name): UrlPath<String>,
) -> Result<StatusCode, Problem> {
    let removed = {
        let name = name.clone();
        auth.0
            .cx
            .store
            .execute(move |db| db::remove_token(db, &name))
            .await
            .map_err(AuthError::from)?
    };
    if !removed {
        return Err(AuthError::Missing(name).into());
    }
    auth.token_ended(&name);
    auth.audit(&caller, "token.revoke", json!(name), json!(null));
    Ok(StatusCode::NO_CONTENT)
}

/// All users.
#[utoipa::path(get, path = "/api/v1/users", tag = "access", responses((status = 200, body = Page<UserInfo>)))]
async fn list_users(
    State(auth): State<Auth>,
    _: access::Admin,
) -> Result<Json<Page<UserInfo>>, Problem> {
    let users = auth
        .0
        .cx
        .store
        .read(db::users)
        .await
        .map_err(AuthError::from)?;
    Ok(Json(Page::all(users)))
}

/// Add a user.
#[utoipa::path(post, path = "/api/v1/users", tag = "access", request_body = NewUser, responses(
    (status = 201, description = "added"),
    (status = 409, body = Problem, description = "`exists`"),
    (status = 422, body = Problem, description = "name or password is not acceptable"),
))]
async fn create_user(
    State(auth): State<Auth>,
    access::Admin(caller): access::Admin,
    Json(new): Json<NewUser>,
) -> Result<StatusCode, Problem> {
    check_name(&new.name)?;
    let (name, role, password, now) = (new.name.clone(), new.role, new.password, auth.now_ms());
    let phc = auth.hashing(move || password_hash(&password)).await??;
    let added = auth
        .0
        .cx
        .store
        .execute(move |db| db::add_user(db, &name, role, &phc, now))
        .await;
    if !added.map_err(AuthError::from)? {
        return Err(AuthError::Exists(new.name).into());
    }
    auth.audit(
        &caller,
        "user.create",
        json!(null),
        json!({"name": new.name, "role": role}),
    );
    Ok(StatusCode::CREATED)
}

/// Change a user's role and, if given, password. Ends the user's sessions.
#[utoipa::path(put, path = "/api/v1/users/{name}", tag = "access", params(("name" = String, Path)),
    request_body = ChangedUser, responses(
        (status = 204, description = "changed"),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`last_admin`"),
))]
async fn change_user(
    State(auth): State<Auth>,
    access::Admin(caller): access::Admin,
    UrlPath(name): UrlPath<String>,
    Json(change): Json<ChangedUser>,
) -> Result<StatusCode, Problem> {
    let role = change.role;
    let with_password = change.password.is_some();
    let phc = match change.password {
        Some(password) => Some(auth.hashing(move || password_hash(&password)).await??),
        None => None,
    };
    let owned = name.clone();
    let changed = auth.0.cx.store.execute(move |db| {
        let before = db::user(db, &owned)?.map(|(_, role)| role);
        Ok((before, db::change_user(db, &owned, role, phc.as_deref())?))
    });
    let (before, changed) = changed.await.map_err(AuthError::from)?;
    applied(changed, &name)?;
    auth.changed();
    let after = json!({"name": name, "role": role, "new_password": with_password});
    auth.audit(
        &caller,
        "user.change",
        json!({"name": name, "role": before}),
        after,
    );
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a user and end their sessions.
#[utoipa::path(delete, path = "/api/v1/users/{name}", tag = "access", params(("name" = String, Path)), responses(
    (status = 204, description = "removed"),
    (status = 404, body = Problem),
    (status = 409, body = Problem, description = "`last_admin`"),
))]
async fn remove_user(
    State(auth): State<Auth>,
    access::Admin(caller): access::Admin,
    UrlPath(name): UrlPath<String>,
) -> Result<StatusCode, Problem> {
    let owned = name.clone();
    let removed = auth
        .0
        .cx
        .store
        .execute(move |db| db::remove_user(db, &owned))
        .await;
    applied(removed.map_err(AuthError::from)?, &name)?;
    auth.changed();
    auth.audit(&caller, "user.remove", json!({"name": name}), json!(null));
    Ok(StatusCode::NO_CONTENT)
}

fn applied(change: db::Change, name: &str) -> Result<(), AuthError> {
    match change {
        db::Change::Done => Ok(()),
        db::Change::Missing => Err(AuthError::Missing(name.to_owned())),
        db::Change::LastAdmin => Err(AuthError::LastAdmin),
    }
}
