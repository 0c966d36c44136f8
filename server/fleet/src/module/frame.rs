//! Frames between the gateway and a module host: a little-endian `u32` length, then the message.

use std::io::{self, Read, Write};

use prost::Message;

/// Longest frame in bytes. Reasoning: a payload of 256 KiB, a device, and room.
pub const FRAME_BYTES_MAX: usize = 512 * 1024;

/// Appends `message` as a frame.
pub(crate) fn write_to(out: &mut Vec<u8>, message: &impl Message) {
    let bytes = message.encode_to_vec();
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

/// Writes `message` as a frame, at once.
///
/// # Errors
/// Of `out`.
pub(crate) fn write(out: &mut impl Write, message: &impl Message) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(64);
    write_to(&mut bytes, message);
    out.write_all(&bytes)?;
    out.flush()
}

/// Reads the next frame. `None` at a clean end.
///
/// # Errors
/// The stream ends inside a frame, the frame is too long, or it is not the message: the other side is broken.
pub(crate) fn read<M: Message + Default>(input: &mut impl Read) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match input.read(&mut length[..1]) {
        Ok(0) => return Ok(None),
        Ok(_) => input.read_exact(&mut length[1..])?,
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length) as usize;
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    if length > FRAME_BYTES_MAX {
        return Err(invalid(format!("a frame of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    let message = M::decode(&bytes[..]).map_err(|e| invalid(e.to_string()))?;
    Ok(Some(message))
}

/// Reads all frames of both directions until the first mistake; how many there were. For fuzzing.
#[must_use]
pub fn count_frames(bytes: &[u8]) -> (usize, usize) {
    fn count<M: Message + Default>(mut bytes: &[u8]) -> usize {
        std::iter::from_fn(|| read::<M>(&mut bytes).ok().flatten()).count()
    }
    (
        count::<crate::wire::host::Request>(bytes),
        count::<crate::wire::host::Reply>(bytes),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::host::{Reply, Request};

    #[test]
    fn frames_follow_each_other_and_end_cleanly() {
        let mut bytes = Vec::new();
        for call in 0..3 {
            let request = Request {
                call,
                ..Request::default()
            };
            write_to(&mut bytes, &request);
        }
        let mut input = &bytes[..];
        for call in 0..3 {
            assert_eq!(read::<Request>(&mut input).unwrap().unwrap().call, call);
        }
        assert!(read::<Request>(&mut input).unwrap().is_none());
    }

    #[test]
    fn a_broken_frame_is_an_error_and_allocates_nothing() {
        let huge = u32::MAX.to_le_bytes();
        assert!(read::<Reply>(&mut &huge[..]).is_err());
        assert!(read::<Reply>(&mut &[5, 0, 0, 0, 1][..]).is_err(), "cut off");
        assert!(
            read::<Reply>(&mut &[1, 0][..]).is_err(),
            "cut in the length"
        );
        assert!(read::<Reply>(&mut &[2, 0, 0, 0, 0xff, 0xff][..]).is_err());
    }
}
