//! Entity tags: `If-None-Match` saves a transfer, `If-Match` saves an edit from being overwritten.

use axum::{
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::Problem;

/// The strong tag of `bytes`, quoted.
#[must_use]
pub fn etag(bytes: &[u8]) -> String {
    let _ = bytes;
    todo!()
}

/// Demands that the client edited the present version.
///
/// # Errors
/// 428 `precondition_required` without the header, 412 `precondition_failed` when it does not match.
pub fn if_match(headers: &HeaderMap, present: &str) -> Result<(), Problem> {
    let _ = (headers, present);
    todo!()
}

/// A JSON answer with its `ETag`; 304 when `If-None-Match` names it.
pub struct Tagged<T> {
    /// The value.
    pub value: T,
    /// `If-None-Match` of the request.
    pub known: Option<String>,
}

impl<T: Serialize> Tagged<T> {
    /// Answers `value` to a request with these headers.
    pub fn new(value: T, headers: &HeaderMap) -> Self {
        let _ = headers;
        Self { value, known: None }
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        todo!()
    }
}
