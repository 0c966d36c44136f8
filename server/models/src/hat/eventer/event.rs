//! What an event is, and which subscription it matches.
//!
//! | Type | SBS |
//! |---|---|
//! | EventType | Array(String) |
//! | Timestamp | s Integer, us Integer |
//! | EventId | server Integer, session Integer, instance Integer |
//! | Payload | Choice binary{type String, data Bytes}, json(String of JSON text) |
//! | Event | id, type, timestamp, sourceTimestamp Opt, payload Opt |
//! | RegisterEvent | type, sourceTimestamp Opt, payload Opt |
//! | Status | Choice standby, starting, operational, stopping |

use crate::hat::sbs::{Reader, Sbs, SbsError, Writer};

/// Segments of a name, or of a pattern in which `?` stands for one and a final `*` for any number.
pub type EventType = Vec<String>;

/// Whether an event of `kind` is what a subscription asks for.
#[must_use]
pub fn matches(pattern: &[String], kind: &[String]) -> bool {
    match pattern.split_first() {
        None => kind.is_empty(),
        Some((head, [])) if head == "*" => true,
        Some((head, pattern)) => kind.split_first().is_some_and(|(segment, kind)| {
            (head == "?" || head == segment) && matches(pattern, kind)
        }),
    }
}

/// A wall-clock time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub s: i64,
    /// Microseconds, 0 to 999,999.
    pub us: i64,
}

/// Number of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Event server.
    pub server: i64,
    /// Group of events that were registered together.
    pub session: i64,
    /// Number in it.
    pub instance: i64,
}

/// Content of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Bytes of a named type.
    Binary {
        /// The type.
        kind: String,
        /// The bytes.
        data: Vec<u8>,
    },
    /// JSON text, as it came: numbers keep their spelling.
    Json(String),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub id: EventId,
    /// What happened.
    pub kind: EventType,
    /// When the server took it.
    pub timestamp: Timestamp,
    /// When its source says it happened.
    pub source_timestamp: Option<Timestamp>,
    /// Content.
    pub payload: Option<Payload>,
}

/// An event to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterEvent {
    /// What happened.
    pub kind: EventType,
    /// When.
    pub source_timestamp: Option<Timestamp>,
    /// Content.
    pub payload: Option<Payload>,
}

/// State of an event server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not the active one.
    Standby,
    /// Becoming active.
    Starting,
    /// Takes and gives events.
    Operational,
    /// Ceasing to be active.
    Stopping,
}

impl Sbs for Timestamp {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(Self {
            s: from.integer()?,
            us: from.integer()?,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.integer(self.s);
        to.integer(self.us);
    }
}

impl Sbs for EventId {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(Self {
            server: from.integer()?,
            session: from.integer()?,
            instance: from.integer()?,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.integer(self.server);
        to.integer(self.session);
        to.integer(self.instance);
    }
}

impl Sbs for Payload {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(match from.choice(2)? {
            0 => Self::Binary {
                kind: from.text()?.to_owned(),
                data: from.bytes()?.to_vec(),
            },
            _ => Self::Json(from.text()?.to_owned()),
        })
    }

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Binary { kind, data } => {
                to.choice(0);
                to.text(kind);
                to.bytes(data);
            }
            Self::Json(text) => {
                to.choice(1);
                to.text(text);
            }
        }
    }
}

impl Sbs for Event {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(Self {
            id: EventId::read(from)?,
            kind: from.array()?,
            timestamp: Timestamp::read(from)?,
            source_timestamp: from.optional()?,
            payload: from.optional()?,
        })
    }

    fn write(&self, to: &mut Writer) {
        self.id.write(to);
        to.array(&self.kind);
        self.timestamp.write(to);
        to.optional(self.source_timestamp.as_ref());
        to.optional(self.payload.as_ref());
    }
}

impl Sbs for RegisterEvent {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(Self {
            kind: from.array()?,
            source_timestamp: from.optional()?,
            payload: from.optional()?,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.array(&self.kind);
        to.optional(self.source_timestamp.as_ref());
        to.optional(self.payload.as_ref());
    }
}

impl Sbs for Status {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(match from.choice(4)? {
            0 => Self::Standby,
            1 => Self::Starting,
            2 => Self::Operational,
            _ => Self::Stopping,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.choice(*self as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> EventType {
        text.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn patterns() {
        for (pattern, name, yes) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/?", "a/b", true),
            ("a/?", "a", false),
            ("a/*", "a", true),
            ("a/*", "a/b/c", true),
            ("?/*", "a", true),
            ("*", "a/b", true),
            // Only at the end it is a wildcard.
            ("*/b", "a/b", false),
        ] {
            assert_eq!(
                matches(&kind(pattern), &kind(name)),
                yes,
                "{pattern} {name}"
            );
        }
    }
}
