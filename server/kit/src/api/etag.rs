//! Entity tags: `If-None-Match` saves a transfer, `If-Match` saves an edit from being overwritten.

use axum::{
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Problem;
use crate::words::hex;

/// The strong tag of `bytes`, quoted: 128 bits of SHA-256 in hex.
#[must_use]
pub fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex(&Sha256::digest(bytes)[..16]))
}

/// Demands that the client edited the present version.
///
/// # Errors
/// 428 `precondition_required` without the header, 412 `precondition_failed` when it does not match.
pub fn if_match(headers: &HeaderMap, present: &str) -> Result<(), Problem> {
    match names(headers, header::IF_MATCH, present) {
        Some(true) => Ok(()),
        Some(false) => Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            "somebody else changed it meanwhile; read it again",
        )),
        None => Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "precondition_required",
            "send the ETag of the version you edited as If-Match",
        )),
    }
}

/// Whether the client has the present version already (`If-None-Match`).
#[must_use]
pub fn is_known(headers: &HeaderMap, present: &str) -> bool {
    names(headers, header::IF_NONE_MATCH, present) == Some(true)
}

/// Whether `name` lists `present` or `*`; `None` without the header.
fn names(headers: &HeaderMap, name: HeaderName, present: &str) -> Option<bool> {
    let list = headers.get(name)?.to_str().unwrap_or("");
    let mut tags = list.split(',').map(str::trim);
    Some(tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == present))
}

/// A JSON answer with its `ETag`; 304 without a body when `If-None-Match` names it.
pub struct Tagged(Response);

impl Tagged {
    /// Answers `value` to a request with these headers.
    #[must_use]
    pub fn new<T: Serialize>(value: &T, headers: &HeaderMap) -> Self {
        let body = match serde_json::to_vec(value) {
            Ok(body) => body,
            Err(error) => return Self(Problem::internal(error.to_string()).into_response()),
        };
        let tag = etag(&body);
        let tagged = [
            (header::ETAG, tag.clone()),
            (header::CACHE_CONTROL, "no-cache".into()),
        ];
        Self(if is_known(headers, &tag) {
            (StatusCode::NOT_MODIFIED, tagged).into_response()
        } else {
            (tagged, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        })
    }
}

impl IntoResponse for Tagged {
    fn into_response(self) -> Response {
        self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_known_version_is_not_sent_again() {
        let first = Tagged::new(&[1, 2], &HeaderMap::new()).into_response();
        assert_eq!(first.status(), 200);
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        for known in [
            tag.clone(),
            format!("\"x\", {tag}"),
            format!("W/{tag}"),
            "*".into(),
        ] {
            let again =
                Tagged::new(&[1, 2], &headers(header::IF_NONE_MATCH, &known)).into_response();
            assert_eq!(again.status(), 304, "{known}");
            assert_eq!(again.headers()["etag"], tag.as_str());
        }
        let changed = Tagged::new(&[1, 3], &headers(header::IF_NONE_MATCH, &tag)).into_response();
        assert_eq!(changed.status(), 200);
    }

    #[test]
    fn an_edit_of_an_old_version_is_refused() {
        assert_eq!(
            if_match(&HeaderMap::new(), "\"a\"").unwrap_err().status,
            428
        );
        assert_eq!(
            if_match(&headers(header::IF_MATCH, "\"b\""), "\"a\"")
                .unwrap_err()
                .status,
            412
        );
        assert!(if_match(&headers(header::IF_MATCH, "\"a\""), "\"a\"").is_ok());
    }
}
