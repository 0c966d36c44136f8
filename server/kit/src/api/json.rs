//! Extractors whose refusals are problems.

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::error::Category;

use super::Problem;

/// Longest request body. Reasoning: the largest write of a browser is a few hundred bytes; a configuration
/// upload says its own limit.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// A JSON body, in or out. In: 400 `bad_json`, 413 `body_too_long`, 415 `not_json`, 422 `wrong_shape`.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "the body must be sent as application/json",
            ));
        }
        let bytes = body(request, BODY_BYTES_MAX).await?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| match error.classify() {
                Category::Data => Problem::unprocessable("wrong_shape", error.to_string()),
                _ => Problem::bad_request("bad_json", error.to_string()),
            })
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The whole body, at most `max` bytes.
///
/// # Errors
/// 413 `body_too_long`, 400 `body_cut` when the client went away.
pub async fn body(request: Request, max: usize) -> Result<axum::body::Bytes, Problem> {
    let too_long = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_long",
            format!("the body is longer than {max} bytes"),
        )
        .with("max_bytes", max)
    };
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > max as u64) {
        return Err(too_long());
    }
    to_bytes(request.into_body(), max).await.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            if error.to_string().contains("length limit exceeded") {
                return too_long();
            }
            cause = error.source();
        }
        Problem::bad_request("body_cut", "the body ended early")
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The query string; 400 `bad_query`.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|error| Problem::bad_request("bad_query", error.body_text()))
    }
}

/// Path parameters; 404 when they do not parse, because nothing has that name.
#[derive(Clone, Copy, Debug)]
pub struct UrlPath<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for UrlPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0))
            .map_err(|error| Problem::not_found(error.body_text()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::{
        Router,
        body::{Body, to_bytes},
        routing::{get, post},
    };
    use serde::Deserialize;
    use tower::ServiceExt as _;

    use super::*;

    #[derive(Deserialize)]
    struct Silence {
        minutes: u8,
    }

    fn app() -> Router {
        Router::new()
            .route(
                "/silence",
                post(async |Json(body): Json<Silence>| body.minutes.to_string()),
            )
            .route(
                "/list",
                get(async |Query(query): Query<Silence>| query.minutes.to_string()),
            )
            .route(
                "/cell/{n}",
                get(async |UrlPath(n): UrlPath<u8>| n.to_string()),
            )
    }

    async fn ask(request: Request) -> (u16, String, String) {
        let response = app().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let kind = response
            .headers()
            .get("content-type")
            .map_or("", |v| v.to_str().unwrap())
            .to_owned();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, kind, String::from_utf8(body.into()).unwrap())
    }

    async fn post_body(content_type: &str, body: impl Into<Body>) -> (u16, String) {
        let request = Request::post("/silence").header("content-type", content_type);
        let (status, kind, body) = ask(request.body(body.into()).unwrap()).await;
        if status != 200 {
            assert_eq!(kind, "application/problem+json");
            let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(problem["status"], status);
            return (status, problem["code"].as_str().unwrap().to_owned());
        }
        (status, body)
    }

    #[tokio::test]
    async fn each_bad_body_has_its_status_and_code() {
        let json = "application/json; charset=utf-8";
        let answer = |status, code: &str| (status, code.to_owned());
        assert_eq!(post_body(json, r#"{"minutes": 5}"#).await, answer(200, "5"));
        assert_eq!(
            post_body("application/merge-patch+json", r#"{"minutes": 5}"#).await,
            answer(200, "5")
        );
        assert_eq!(
            post_body(json, r#"{"minutes": "#).await,
            answer(400, "bad_json")
        );
        assert_eq!(
            post_body(json, [0xff, 0xfe].as_slice()).await,
            answer(400, "bad_json")
        );
        assert_eq!(
            post_body(json, r#"{"minutes": 300}"#).await,
            answer(422, "wrong_shape")
        );
        assert_eq!(post_body(json, "[]").await, answer(422, "wrong_shape"));
        assert_eq!(
            post_body("text/plain", r#"{"minutes": 5}"#).await,
            answer(415, "not_json")
        );
        assert_eq!(
            post_body("", r#"{"minutes": 5}"#).await,
            answer(415, "not_json")
        );
        let long = vec![b' '; BODY_BYTES_MAX + 1];
        assert_eq!(
            post_body(json, long.clone()).await,
            answer(413, "body_too_long")
        );
        // Without a declared length the bound holds as well.
        let chunks = futures_util::stream::iter(
            long.chunks(1000)
                .map(|c| Ok::<_, std::io::Error>(c.to_vec()))
                .collect::<Vec<_>>(),
        );
        assert_eq!(
            post_body(json, Body::from_stream(chunks)).await,
            answer(413, "body_too_long")
        );
    }

    #[tokio::test]
    async fn a_deeply_nested_body_is_refused() {
        let deep = "[".repeat(20_000);
        assert_eq!(post_body("application/json", deep).await.0, 422);
    }

    #[tokio::test]
    async fn queries_and_paths_are_refused_as_problems() {
        let get = |uri: &str| ask(Request::get(uri).body(Body::empty()).unwrap());
        assert_eq!(get("/list?minutes=7").await.2, "7");
        let (status, kind, body) = get("/list?minutes=x").await;
        assert_eq!((status, kind.as_str()), (400, "application/problem+json"));
        assert!(body.contains("\"code\":\"bad_query\""), "{body}");
        let (status, _, body) = get("/cell/999").await;
        assert_eq!(status, 404);
        assert!(body.contains("\"code\":\"not_found\""), "{body}");
    }
}
