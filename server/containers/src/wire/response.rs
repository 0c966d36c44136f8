//! What a client is told (`specs/containers.md` 2.5). Clients branch on `success`; texts are those of 4.x.

use std::io;

use serde::Serialize;
use serde_json::{Map, Value, json, ser::Formatter};

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Response {
    /// Whether it was done.
    pub success: bool,
    /// Base text and, in parentheses, the reason.
    pub message: String,
    /// What was asked for; empty when nothing.
    pub data: Map<String, Value>,
}

impl Response {
    /// `OK` with `data`, an object.
    #[must_use]
    pub fn ok(data: Value) -> Self {
        let data = match data {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Self {
            success: true,
            message: "OK".into(),
            data,
        }
    }

    fn failed(message: &str) -> Self {
        Self {
            success: false,
            message: message.into(),
            data: Map::new(),
        }
    }

    /// The schema or the rules of a verb are not met.
    #[must_use]
    pub fn malformed() -> Self {
        Self::failed("Bad request (Malformed request)")
    }

    /// `Bad request` without a reason: the web variant's answer to a bad path or missing credentials.
    #[must_use]
    pub fn bad_request() -> Self {
        Self::failed("Bad request")
    }

    /// Nobody serves the verb.
    #[must_use]
    pub fn unhandled_verb() -> Self {
        Self::failed("Bad request (Unhandled verb)")
    }

    /// Tokens are on and none came.
    #[must_use]
    pub fn token_required() -> Self {
        Self::failed("Bad request (Access token is required)")
    }

    /// The token is unknown or disabled.
    #[must_use]
    pub fn token_invalid() -> Self {
        Self::failed("Bad authentication (Invalid access token)")
    }

    /// Unknown container or wrong client token; which of them is not told.
    #[must_use]
    pub fn bad_authentication() -> Self {
        Self::failed("Bad authentication")
    }

    /// The web variant's answer to a filtered address.
    #[must_use]
    pub fn refused() -> Self {
        Self::failed("Refused request")
    }

    /// All places are taken.
    #[must_use]
    pub fn full() -> Self {
        Self::unavailable(
            "The maximum allowed amount of running containers has been reached on the server",
        )
    }

    /// Not now, for this reason.
    #[must_use]
    pub fn unavailable(reason: &str) -> Self {
        Self::failed(&format!("Unavailable ({reason})"))
    }

    /// Something failed here; the journal says what.
    #[must_use]
    pub fn internal() -> Self {
        Self::failed("Internal error")
    }

    /// The text that goes into a packet: ASCII, with `, ` and `: ` as the original writes it, because its peers read a
    /// packet in one go and count on its size.
    #[must_use]
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, Spaced);
        if self.serialize(&mut serializer).is_err() {
            // Only a map with keys that are no strings could fail; there is none.
            return json!({"success": false, "message": "Internal error", "data": {}})
                .to_string()
                .into_bytes();
        }
        text
    }
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        w.write_all(b": ")
    }
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for c in fragment.chars() {
            if c.is_ascii() {
                w.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(w, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_text_is_the_originals() {
        assert_eq!(
            Response::ok(json!({})).to_text(),
            br#"{"success": true, "message": "OK", "data": {}}"#
        );
        let text = Response::ok(json!({"a": [1, "ä😀\""], "b": {"c": null}})).to_text();
        assert!(text.is_ascii());
        assert_eq!(
            String::from_utf8(text.clone()).unwrap(),
            r#"{"success": true, "message": "OK", "data": {"a": [1, "\u00e4\ud83d\ude00\""], "b": {"c": null}}}"#
        );
        assert_eq!(
            serde_json::from_slice::<Value>(&text).unwrap()["data"]["a"][1],
            "ä😀\""
        );
    }

    #[test]
    fn sizes_are_those_that_peers_have_seen() {
        let packet = |r: Response| r.to_text().len() / 16 * 16 + 16 + 16;
        assert_eq!(packet(Response::full()), 160);
        assert_eq!(packet(Response::malformed()), 96);
        assert_eq!(packet(Response::bad_authentication()), 80);
    }
}
