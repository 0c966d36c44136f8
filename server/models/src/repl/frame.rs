//! The two framings on the wire (observed).
//!
//! | | 0.6 | 0.7 |
//! |---|---|---|
//! | message | bare JSON text | `0` + text, or parts `1`.. `1`.. `0`.. that are joined |
//! | ping | none | `2` + any, answered by `3` + the same |

/// Characters of one part as the original splits. Both clients take parts of any size.
pub const PART_CHARS: usize = 65_536;
/// Bytes of a joined message.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Which framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Bare JSON.
    V06,
    /// Parts and pings.
    V07,
}

impl Dialect {
    /// Tells the dialect from a client's first frame.
    #[must_use]
    pub fn of(frame: &str) -> Option<Self> {
        match frame.as_bytes().first()? {
            b'{' => Some(Self::V06),
            b'0'..=b'3' => Some(Self::V07),
            _ => None,
        }
    }

    /// A message as the frames that carry it.
    #[must_use]
    pub fn encode(self, message: String) -> Vec<String> {
        if self == Self::V06 {
            return vec![message];
        }
        let mut frames = Vec::new();
        let mut rest = message.as_str();
        while let Some((end, _)) = rest.char_indices().nth(PART_CHARS) {
            frames.push(format!("1{}", &rest[..end]));
            rest = &rest[end..];
        }
        frames.push(format!("0{rest}"));
        frames
    }
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole message.
    Message(String),
    /// More follows.
    Part,
    /// To be answered by [`pong`].
    Ping(String),
    /// A sign of life.
    Pong,
}

/// The peer does not speak this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Neither a known mark nor, in 0.6, an object.
    Mark,
    /// Parts that join to more than [`MESSAGE_BYTES_MAX`].
    TooLong,
}

/// Joins parts.
#[derive(Debug)]
pub struct Decoder {
    dialect: Dialect,
    parts: String,
}

impl Decoder {
    /// For one connection.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            parts: String::new(),
        }
    }

    /// One text frame.
    ///
    /// # Errors
    /// [`FrameError`]; the connection is closed.
    pub fn frame(&mut self, text: &str) -> Result<Incoming, FrameError> {
        if self.dialect == Dialect::V06 {
            return Ok(Incoming::Message(text.to_owned()));
        }
        let (mark, rest) = text.split_at_checked(1).ok_or(FrameError::Mark)?;
        match mark {
            "0" | "1" if self.parts.len() + rest.len() > MESSAGE_BYTES_MAX => {
                Err(FrameError::TooLong)
            }
            "0" => {
                self.parts.push_str(rest);
                Ok(Incoming::Message(std::mem::take(&mut self.parts)))
            }
            "1" => {
                self.parts.push_str(rest);
                Ok(Incoming::Part)
            }
            "2" => Ok(Incoming::Ping(rest.to_owned())),
            "3" => Ok(Incoming::Pong),
            _ => Err(FrameError::Mark),
        }
    }
}

/// The answer to a ping.
#[must_use]
pub fn pong(payload: &str) -> String {
    format!("3{payload}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn golden_r4_long_messages_are_split_and_joined() {
        for letter in ["a", "ö", "😀"] {
            let message = letter.repeat(200_000);
            let frames = Dialect::V07.encode(message.clone());
            assert_eq!(frames.len(), 4);
            assert!(frames.iter().all(|f| f.chars().count() <= PART_CHARS + 1));
            let mut decoder = Decoder::new(Dialect::V07);
            let mut joined = None;
            for frame in &frames {
                joined = Some(decoder.frame(frame).unwrap());
            }
            assert!(
                joined == Some(Incoming::Message(message)),
                "not the same text back"
            );
        }
        assert_eq!(Dialect::V06.encode("{}".into()), ["{}"]);
    }

    #[test]
    fn golden_r5_a_ping_is_answered_with_its_payload() {
        let mut decoder = Decoder::new(Dialect::V07);
        assert_eq!(decoder.frame("2abc"), Ok(Incoming::Ping("abc".into())));
        assert_eq!(pong("abc"), "3abc");
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let mut decoder = Decoder::new(Dialect::V07);
        for bad in ["", "9", "{}", "ö"] {
            assert_eq!(decoder.frame(bad), Err(FrameError::Mark));
        }
        let part = format!("1{}", "x".repeat(MESSAGE_BYTES_MAX / 2 + 1));
        assert_eq!(decoder.frame(&part), Ok(Incoming::Part));
        assert_eq!(decoder.frame(&part), Err(FrameError::TooLong));
        assert_eq!(
            (Dialect::of("{}"), Dialect::of("0{}")),
            (Some(Dialect::V06), Some(Dialect::V07))
        );
        assert_eq!((Dialect::of(""), Dialect::of("x")), (None, None));
    }
}
