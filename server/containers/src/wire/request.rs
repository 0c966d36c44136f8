//! What a client asks for (`specs/containers.md` 2.4): decoded once, then trusted.

use serde_json::{Map, Value};

use crate::id::ContainerId;

/// Longest text of an optional parameter. Reasoning: an SSH public key of 16384 bits is 2.8 KB.
const TEXT_BYTES_MAX: usize = 4096;

/// A request that keeps to the schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Upper-case letters.
    pub verb: String,
    /// The known parameters.
    pub parameters: Parameters,
    /// All parameters, for custom verbs.
    pub raw: Map<String, Value>,
}

/// Known parameters; unknown ones are allowed and ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `container_uuid` and `client_token`, which only come together.
    pub credentials: Option<(ContainerId, String)>,
    /// `access_token`.
    pub access_token: Option<String>,
    /// `profile`, by name.
    pub profile: Option<String>,
    /// `ttl_seconds`.
    pub ttl_s: Option<u64>,
    /// `backend`, by kind.
    pub backend: Option<String>,
    /// `ssh_public_key`, one line of OpenSSH.
    pub ssh_public_key: Option<String>,
    /// `idempotency_key`.
    pub idempotency_key: Option<String>,
}

/// What is wrong with a request, a line each: `field: reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub Vec<String>);

impl Request {
    /// Decodes the text of a packet.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let whole: Value = serde_json::from_slice(text)
            .map_err(|e| Malformed(vec![format!("request: no JSON ({e})")]))?;
        let Value::Object(mut whole) = whole else {
            return Err(Malformed(vec!["request: not an object".into()]));
        };
        let mut errors = Vec::new();
        let verb = match whole.remove("verb") {
            Some(Value::String(verb)) if is_verb(&verb) => verb,
            Some(_) => {
                errors.push("verb: not upper-case letters".into());
                String::new()
            }
            None => {
                errors.push("verb: required".into());
                String::new()
            }
        };
        let raw = match whole.remove("parameters") {
            Some(Value::Object(map)) => map,
            Some(_) => {
                errors.push("parameters: not an object".into());
                Map::new()
            }
            None => {
                errors.push("parameters: required".into());
                Map::new()
            }
        };
        let parameters = Parameters::parse(&raw, &mut errors);
        if errors.is_empty() {
            Ok(Self {
                verb,
                parameters,
                raw,
            })
        } else {
            Err(Malformed(errors))
        }
    }

    /// The same from a verb and its parameters, as the web variant has them.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn from_parts(verb: &str, raw: Map<String, Value>) -> Result<Self, Malformed> {
        let mut errors = Vec::new();
        if !is_verb(verb) {
            errors.push("verb: not upper-case letters".into());
        }
        let parameters = Parameters::parse(&raw, &mut errors);
        if errors.is_empty() {
            Ok(Self {
                verb: verb.into(),
                parameters,
                raw,
            })
        } else {
            Err(Malformed(errors))
        }
    }
}

impl Parameters {
    fn parse(raw: &Map<String, Value>, errors: &mut Vec<String>) -> Self {
        let mut text = |key: &str, fits: &dyn Fn(&str) -> bool, rule: &str| match raw.get(key) {
            None => None,
            Some(Value::String(text)) if fits(text) => Some(text.clone()),
            Some(_) => {
                errors.push(format!("{key}: {rule}"));
                None
            }
        };
        let short = |t: &str| (1..=TEXT_BYTES_MAX).contains(&t.len());
        let uuid = text(
            "container_uuid",
            &|t| t.parse::<ContainerId>().is_ok(),
            "not a UUID in lower case",
        );
        let token = text(
            "client_token",
            &|t| t.len() == 255 && is_token(t),
            "not 255 characters of base64",
        );
        let access_token = text(
            "access_token",
            &|t| t.len() <= 255 && is_token(t),
            "not 1 to 255 characters of base64",
        );
        let profile = text("profile", &short, "not a short text");
        let backend = text("backend", &short, "not a short text");
        let ssh_public_key = text("ssh_public_key", &short, "not a short text");
        let idempotency_key = text("idempotency_key", &short, "not a short text");
        let ttl_s = raw.get("ttl_seconds").and_then(|value| {
            let seconds = value.as_u64().filter(|s| *s > 0);
            if seconds.is_none() {
                errors.push("ttl_seconds: not a number of seconds".into());
            }
            seconds
        });
        let given = |key: &str| raw.contains_key(key);
        if given("container_uuid") != given("client_token") {
            errors.push("container_uuid, client_token: only together".into());
        }
        let credentials = uuid.and_then(|u| u.parse().ok()).zip(token);
        Self {
            credentials,
            access_token,
            profile,
            ttl_s,
            backend,
            ssh_public_key,
            idempotency_key,
        }
    }
}

/// `^[A-Z]{1,}$`, anchored at the true end, and bounded.
#[must_use]
pub fn is_verb(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase())
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bad(text: &[u8]) -> Vec<String> {
        Request::parse(text).unwrap_err().0
    }

    #[test]
    fn golden_c11_malformed_requests_name_every_fault() {
        let long = format!(
            r#"{{"verb":"DESTROY","parameters":{{"container_uuid":"2fa524aa-65fc-441c-871a-8e73626cdb05","client_token":"{}"}}}}"#,
            "A".repeat(254)
        );
        let rows: &[&[u8]] = &[
            br#"{"verb": "stat", "parameters": {}}"#,
            br#"{"verb": "STAT"}"#,
            br#"{"verb": 5, "parameters": {}}"#,
            b"[1,2]",
            b"hello",
            b"{\"verb\": \"\xff\", \"parameters\": {}}",
            br#"{"verb": "STAT\n", "parameters": {}}"#,
            br#"{"verb": "STAT", "parameters": null}"#,
            br#"{"verb": "STAT", "parameters": {"access_token": 7}}"#,
            br#"{"verb": "STAT", "parameters": {"access_token": null}}"#,
            br#"{"verb": "CREATE", "parameters": {"ttl_seconds": -1}}"#,
            long.as_bytes(),
            b"",
        ];
        for row in rows {
            assert!(!bad(row).is_empty(), "{}", String::from_utf8_lossy(row));
        }
        assert_eq!(
            bad(br#"{"verb": "x", "parameters": {"client_token": 1}}"#).len(),
            3
        );
        let deep = "[".repeat(50_000);
        assert_eq!(bad(deep.as_bytes()).len(), 1);
    }

    #[test]
    fn golden_c14_unknown_keys_are_ignored() {
        let request =
            Request::parse(br#"{"verb": "STAT", "parameters": {"x": [1]}, "more": 1}"#).unwrap();
        assert_eq!(
            (request.verb.as_str(), request.parameters),
            ("STAT", Parameters::default())
        );
        assert_eq!(request.raw.len(), 1);
    }

    #[test]
    fn credentials_come_only_together() {
        let one = br#"{"verb":"DESTROY","parameters":{"container_uuid":"2fa524aa-65fc-441c-871a-8e73626cdb05"}}"#;
        assert_eq!(bad(one), ["container_uuid, client_token: only together"]);
        let token = "A".repeat(255);
        let both = format!(
            r#"{{"verb":"DESTROY","parameters":{{"container_uuid":"2fa524aa-65fc-441c-871a-8e73626cdb05","client_token":"{token}"}}}}"#
        );
        let request = Request::parse(both.as_bytes()).unwrap();
        assert_eq!(request.parameters.credentials.unwrap().1, token);
    }
}
