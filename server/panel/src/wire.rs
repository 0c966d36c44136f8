//! The messages of `/ws`: JSON text frames, `specs/panel.md` 4.2. Parsed at the door, written in one place.
//!
//! Key order and blanks are not significant, unknown fields are ignored. What is not an object, has a wrong type
//! in a known field, or names an id that is no integer 1..N, is a [`Reject`]: counted and dropped, the
//! connection stays open.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::settings::ScreenRole;

/// A screen's name, at most this long; longer ones are cut. Reasoning: fits one line of the status page.
const SCREEN_CHARS_MAX: usize = 40;
/// Capabilities remembered of one client.
const CAPS_MAX: usize = 16;

/// From a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromClient {
    /// Who the screen is and what it can do.
    Hello {
        /// Its name, empty when it has none.
        screen: String,
        /// What it can do, such as `image` and `audio`.
        caps: Vec<String>,
        /// Sound still waits for a click.
        locked: bool,
        /// Shows only this panel; empty = all.
        panel: String,
        /// What it is there for, as far as it knows.
        role: ScreenRole,
    },
    /// Preload progress; complete when both numbers are equal.
    Ready {
        /// Pairs that are loaded.
        preloaded: u32,
        /// Pairs there are.
        total: u32,
    },
    /// Sound or picture started, this long after the frame arrived.
    Started {
        /// What started.
        id: u16,
        /// Of which play.
        seq: Option<u32>,
        /// Milliseconds from the frame to the start.
        latency_ms: Option<u32>,
    },
    /// The content played to its end.
    Ended {
        /// What ended.
        id: u16,
        /// Of which play; absent from upstream's dashboard.
        seq: Option<u32>,
    },
    /// The content could not be played.
    Failed {
        /// What failed.
        id: u16,
        /// Of which play.
        seq: Option<u32>,
        /// For the log, cut to 200 characters.
        reason: String,
    },
    /// How long the content is, as the browser sees it.
    MediaInfo {
        /// Which content.
        id: u16,
        /// Milliseconds.
        duration_ms: u32,
    },
    /// A button clicked on the page; needs the operator's role.
    Press {
        /// Which button.
        id: u16,
    },
    /// Answered by `pong`.
    Ping {
        /// Comes back, so that a screen can tell which answer belongs to which question.
        n: Option<u32>,
    },
}

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Not JSON, not an object, or binary.
    NotObject,
    /// No `type`, or one that nobody here knows.
    UnknownType,
    /// `id` is missing, no integer, or out of range.
    BadId,
    /// Another known field has the wrong type.
    BadField,
    /// More messages than a browser has reason to send.
    TooMany,
    /// The caller may not do that.
    Forbidden,
}

impl Reject {
    /// All of them, in the order of [`Reject::index`].
    pub const ALL: [Self; 6] = [
        Self::NotObject,
        Self::UnknownType,
        Self::BadId,
        Self::BadField,
        Self::TooMany,
        Self::Forbidden,
    ];

    /// As label of the metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotObject => "not_object",
            Self::UnknownType => "unknown_type",
            Self::BadId => "bad_id",
            Self::BadField => "bad_field",
            Self::TooMany => "too_many",
            Self::Forbidden => "forbidden",
        }
    }
}

impl FromClient {
    /// Parses one text frame. `media` is the highest id.
    ///
    /// # Errors
    /// See [`Reject`]; the caller counts it and goes on.
    pub fn parse(text: &str, media: u16) -> Result<Self, Reject> {
        let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) else {
            return Err(Reject::NotObject);
        };
        let kind = fields
            .get("type")
            .and_then(Value::as_str)
            .ok_or(Reject::UnknownType)?;
        let fields = Fields {
            map: &fields,
            media,
        };
        Ok(match kind {
            "hello" => Self::Hello {
                screen: fields.text("screen", SCREEN_CHARS_MAX)?,
                caps: fields.texts("caps")?,
                locked: fields.flag("locked")?,
                panel: fields.text("panel", SCREEN_CHARS_MAX)?,
                // One that nobody here knows is none.
                role: ScreenRole::named(&fields.text("role", SCREEN_CHARS_MAX)?),
            },
            "ready" => Self::Ready {
                preloaded: fields.number("preloaded")?.unwrap_or(0),
                total: fields.number("total")?.unwrap_or(0),
            },
            "started" => Self::Started {
                id: fields.id()?,
                seq: fields.number("seq")?,
                latency_ms: fields.number("latency_ms")?,
            },
            "ended" => Self::Ended {
                id: fields.id()?,
                seq: fields.number("seq")?,
            },
            "error" => Self::Failed {
                id: fields.id()?,
                seq: fields.number("seq")?,
                reason: fields.text("reason", 200)?,
            },
            "media_info" => Self::MediaInfo {
                id: fields.id()?,
                duration_ms: fields.number("duration_ms")?.ok_or(Reject::BadField)?,
            },
            "press" => Self::Press { id: fields.id()? },
            "ping" => Self::Ping {
                n: fields.number("n")?,
            },
            _ => return Err(Reject::UnknownType),
        })
    }
}

struct Fields<'a> {
    map: &'a Map<String, Value>,
    media: u16,
}

impl Fields<'_> {
    /// Absent and null are the same: "not said".
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    fn id(&self) -> Result<u16, Reject> {
        self.get("id")
            .and_then(Value::as_u64)
            .and_then(|id| u16::try_from(id).ok())
            .filter(|id| (1..=self.media).contains(id))
            .ok_or(Reject::BadId)
    }

    /// A whole number. Browsers measure in fractions of a millisecond, so a fraction is cut off.
    fn number(&self, key: &str) -> Result<Option<u32>, Reject> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value {
            Value::Number(number) => number
                .as_f64()
                .filter(|n| (0.0..=f64::from(u32::MAX)).contains(n))
                .map(|n| Some(n as u32))
                .ok_or(Reject::BadField),
            _ => Err(Reject::BadField),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, Reject> {
        match self.get(key) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or(Reject::BadField),
        }
    }

    fn text(&self, key: &str, chars_max: usize) -> Result<String, Reject> {
        match self.get(key) {
            None => Ok(String::new()),
            Some(Value::String(s)) => Ok(clean(s, chars_max)),
            Some(_) => Err(Reject::BadField),
        }
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, Reject> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .take(CAPS_MAX)
                .map(|v| v.as_str().map(|s| clean(s, SCREEN_CHARS_MAX)))
                .collect::<Option<_>>()
                .ok_or(Reject::BadField),
            Some(_) => Err(Reject::BadField),
        }
    }
}

/// Text from outside for logs and pages: no control characters, bounded.
fn clean(text: &str, chars_max: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(chars_max)
        .collect()
}

/// To a browser.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToClient<'a> {
    /// First frame after the connect.
    Hello {
        /// Always `leitstand`.
        server: &'static str,
        /// Of the server.
        version: &'static str,
        /// All boards.
        panels: Vec<PanelPresence<'a>>,
        /// What plays.
        current: Option<Current>,
        /// Changes whenever any media file does.
        media_rev: &'a str,
        /// Highest id.
        num_media: u16,
        /// Global volume, percent.
        volume: u8,
        /// The clock that `at_ms` of a play is of.
        now_ms: u64,
    },
    /// Stop now.
    Stop,
    /// Start.
    Play(Play<'a>),
    /// The answer to `ping`.
    Pong {
        /// Of the question.
        #[serde(skip_serializing_if = "Option::is_none")]
        n: Option<u32>,
        /// The clock that `at_ms` of a play is of: milliseconds since the gateway started.
        now_ms: u64,
    },
    /// What this screen is set to; after its hello, and on every change.
    Screen {
        /// What it is there for.
        role: ScreenRole,
        /// Percent of the site's volume.
        volume: u8,
        /// No sound from this one.
        muted: bool,
    },
    /// Content of a button changed on the disk.
    MediaChanged {
        /// Which button.
        id: u16,
        /// The new revision of everything.
        rev: &'a str,
    },
    /// The global volume changed.
    Volume {
        /// Percent.
        value: u8,
    },
    /// A board came or went.
    Panel {
        /// Which board.
        name: &'a str,
        /// Whether it answers.
        online: bool,
    },
}

impl ToClient<'_> {
    /// The payload of a text frame.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Plain structs with string keys: serialising them cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A board in `hello`.
#[derive(Clone, Debug, Serialize)]
pub struct PanelPresence<'a> {
    /// Name in the configuration.
    pub name: &'a str,
    /// Whether it answers.
    pub online: bool,
    /// Its buttons, as it said, else as configured.
    pub buttons: u8,
}

/// What plays, in `hello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Current {
    /// Button.
    pub id: u16,
    /// Number of the play.
    pub seq: u32,
    /// Since its start.
    pub position_ms: u64,
}

/// The `play` message.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Play<'a> {
    /// Button.
    pub id: u16,
    /// Number of the play; comes back in `ended`.
    pub seq: u32,
    /// The board whose button it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panel: Option<&'a str>,
    /// Path of the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<&'a str>,
    /// Paths of all pictures where there are several, to be shown one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<&'a str>,
    /// Path of the sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<&'a str>,
    /// Path of the film, which then takes the place of picture and sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<&'a str>,
    /// Heading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'a str>,
    /// What is said, for those who cannot hear it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<&'a str>,
    /// Language of title, caption and sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<&'a str>,
    /// Percent: the global volume times that of the button.
    pub volume: u8,
    /// Plays again and again, until the server says stop.
    #[serde(rename = "loop", skip_serializing_if = "std::ops::Not::not")]
    pub looped: bool,
    /// Length of the sound, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Where to start; 0 but for late joiners.
    pub position_ms: u64,
    /// When position 0 is or was, by the gateway's clock: screens that know it start together.
    pub at_ms: u64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ended(id: &str) -> Result<FromClient, Reject> {
        FromClient::parse(&format!(r#"{{"type":"ended","id":{id}}}"#), 100)
    }

    /// G-WS-3.
    #[test]
    fn only_an_integer_in_range_is_an_id() {
        for bad in [
            "true", "false", "\"3\"", "3.5", "null", "0", "101", "-1", "1e9", "[3]", "{}", "256",
            "259",
        ] {
            assert_eq!(ended(bad), Err(Reject::BadId), "{bad}");
        }
        assert_eq!(
            FromClient::parse(r#"{"type":"ended"}"#, 100),
            Err(Reject::BadId)
        );
        assert_eq!(ended("1"), Ok(FromClient::Ended { id: 1, seq: None }));
        assert_eq!(ended("100"), Ok(FromClient::Ended { id: 100, seq: None }));
        assert_eq!(
            FromClient::parse(r#"{"id":11,"type":"ended"}"#, 10),
            Err(Reject::BadId)
        );
    }

    /// G-WS-4.
    #[test]
    fn what_is_no_object_is_dropped() {
        for bad in [
            "[]",
            "x",
            "",
            "null",
            "5",
            "\"ended\"",
            "{",
            "{\"type\":",
            "[{}]",
        ] {
            assert_eq!(FromClient::parse(bad, 10), Err(Reject::NotObject), "{bad}");
        }
        for bad in [
            r"{}",
            r#"{"type":5}"#,
            r#"{"type":"led"}"#,
            r#"{"type":null}"#,
        ] {
            assert_eq!(
                FromClient::parse(bad, 10),
                Err(Reject::UnknownType),
                "{bad}"
            );
        }
        // Depth is bounded by the parser, not by our stack.
        let deep = "[".repeat(4000);
        assert_eq!(FromClient::parse(&deep, 10), Err(Reject::NotObject));
    }

    #[test]
    fn fields_of_the_wrong_type_are_dropped_and_unknown_ones_ignored() {
        assert_eq!(
            FromClient::parse(r#"{"type":"hello","locked":"yes"}"#, 10),
            Err(Reject::BadField)
        );
        assert_eq!(
            FromClient::parse(r#"{"type":"hello","screen":7}"#, 10),
            Err(Reject::BadField)
        );
        assert_eq!(
            FromClient::parse(r#"{"type":"ended","id":3,"seq":"4"}"#, 10),
            Err(Reject::BadField)
        );
        assert_eq!(
            FromClient::parse(
                r#" { "extra" : {} , "seq":4.0, "id":3, "type":"started", "latency_ms":12.7 } "#,
                10
            ),
            Ok(FromClient::Started {
                id: 3,
                seq: Some(4),
                latency_ms: Some(12)
            })
        );
    }

    #[test]
    fn names_from_outside_are_cleaned_and_bounded() {
        let text = format!(
            r#"{{"type":"hello","screen":"a\u0000\n{}","caps":["image"],"locked":true}}"#,
            "b".repeat(100)
        );
        let FromClient::Hello { screen, locked, .. } = FromClient::parse(&text, 10).unwrap() else {
            panic!("not a hello");
        };
        assert_eq!(screen.len(), SCREEN_CHARS_MAX);
        assert!(screen.starts_with("ab"));
        assert!(locked);
    }

    #[test]
    fn what_is_sent() {
        let play = ToClient::Play(Play {
            id: 5,
            seq: 9,
            image: Some("/media/005.jpg?v=1"),
            volume: 100,
            ..Play::default()
        });
        assert_eq!(
            play.to_json(),
            r#"{"type":"play","id":5,"seq":9,"image":"/media/005.jpg?v=1","volume":100,"position_ms":0,"at_ms":0}"#
        );
        assert_eq!(ToClient::Stop.to_json(), r#"{"type":"stop"}"#);
        let pong = |n| ToClient::Pong { n, now_ms: 7 }.to_json();
        assert_eq!(pong(None), r#"{"type":"pong","now_ms":7}"#);
        assert_eq!(pong(Some(3)), r#"{"type":"pong","n":3,"now_ms":7}"#);
    }
}
