//! The name of a board.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest name. Reasoning: with `FW `, the version and the end a line stays below one USB packet of 64.
pub const NAME_MAX: usize = 32;

/// Name of a board in its `FW` line: 1..=32 characters of printable ASCII without blanks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BoardName {
    bytes: [u8; NAME_MAX],
    length: u8,
}

impl BoardName {
    /// The name of a board that nobody named.
    pub const DEFAULT: Self = match Self::new("leitstand-panel") {
        Some(name) => name,
        None => panic!("not a name"),
    };

    /// `text` as a name; `None` when it is empty, too long, or has other characters.
    #[must_use]
    pub const fn new(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.is_empty() || text.len() > NAME_MAX {
            return None;
        }
        let mut bytes = [0; NAME_MAX];
        let mut at = 0;
        while at < text.len() {
            if !text[at].is_ascii_graphic() {
                return None;
            }
            bytes[at] = text[at];
            at += 1;
        }
        Some(Self {
            bytes,
            length: text.len() as u8,
        })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Never empty by the constructor: ASCII is UTF-8.
        core::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl Default for BoardName {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Debug for BoardName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), out)
    }
}

impl fmt::Display for BoardName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Serialize for BoardName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for BoardName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = BoardName;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a name")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<BoardName, E> {
                BoardName::new(text).ok_or_else(|| E::custom("not a name"))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}
