//! Frames between gateway and worker.
//!
//! | Bytes | What |
//! |---|---|
//! | 4 | length of the header, big-endian |
//! | 4 | length of the blob, big-endian |
//! | | header, JSON object with `t` |
//! | | blob: the bytes of an instance |

use serde_json::Value;

/// Bytes of a header. Reasoning: the largest message of a control is 64 MiB.
pub const HEADER_BYTES_MAX: usize = 64 << 20;
/// Bytes of a blob. Reasoning: a model on a Pi with 1 GB.
pub const BLOB_BYTES_MAX: usize = 256 << 20;

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// What is said.
    pub header: Value,
    /// Bytes of an instance, or none.
    pub blob: Vec<u8>,
}

/// The peer does not speak this protocol; its process is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Beyond a limit.
    #[error("a frame of {header} and {blob} bytes is too long")]
    TooLong {
        /// Announced.
        header: usize,
        /// Announced.
        blob: usize,
    },
    /// No JSON object with a `t`.
    #[error("a header that is no message")]
    Header,
}

impl Frame {
    /// A frame without a blob.
    #[must_use]
    pub fn new(header: Value) -> Self {
        Self {
            header,
            blob: Vec::new(),
        }
    }

    /// What kind of message it is.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.header
            .get("t")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let header = self.header.to_string();
        let mut out = Vec::with_capacity(8 + header.len() + self.blob.len());
        out.extend(
            u32::try_from(header.len())
                .unwrap_or(u32::MAX)
                .to_be_bytes(),
        );
        out.extend(
            u32::try_from(self.blob.len())
                .unwrap_or(u32::MAX)
                .to_be_bytes(),
        );
        out.extend(header.as_bytes());
        out.extend(&self.blob);
        out
    }
}

/// Collects bytes and gives frames.
#[derive(Debug, Default)]
pub struct Decoder(Vec<u8>);

impl Decoder {
    /// Bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// [`FrameError`]; nothing after it can be trusted.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(lengths) = self.0.first_chunk::<8>() else {
            return Ok(None);
        };
        let [a, b, c, d, e, f, g, h] = *lengths;
        let header = u32::from_be_bytes([a, b, c, d]) as usize;
        let blob = u32::from_be_bytes([e, f, g, h]) as usize;
        if header > HEADER_BYTES_MAX || blob > BLOB_BYTES_MAX {
            return Err(FrameError::TooLong { header, blob });
        }
        let end = 8 + header + blob;
        if self.0.len() < end {
            return Ok(None);
        }
        let parsed = serde_json::from_slice::<Value>(&self.0[8..8 + header]).ok();
        let parsed = parsed.filter(|value| value.get("t").is_some_and(Value::is_string));
        let frame = Frame {
            header: parsed.ok_or(FrameError::Header)?,
            blob: self.0[8 + header..end].to_vec(),
        };
        self.0.drain(..end);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn frames_survive_any_cut() {
        let frames = [
            Frame {
                header: json!({"t": "call", "id": 1}),
                blob: vec![1, 2, 3],
            },
            Frame::new(json!({"t": "ping"})),
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        for cut in 0..bytes.len() {
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                decoder.feed(part);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(got, frames);
        }
    }

    #[test]
    fn what_a_plugin_might_print_is_an_error_and_no_allocation() {
        let mut decoder = Decoder::default();
        decoder.feed(b"hello world, I am a print statement");
        assert!(matches!(
            decoder.next_frame(),
            Err(FrameError::TooLong { .. })
        ));
        let mut decoder = Decoder::default();
        decoder.feed(&[0, 0, 0, 2, 0, 0, 0, 0, b'[', b']']);
        assert_eq!(decoder.next_frame(), Err(FrameError::Header));
    }
}
