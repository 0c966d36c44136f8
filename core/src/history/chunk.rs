//! The chunk: see `PROTOCOL.md`.

use super::bits::{BitReader, BitWriter, End};
use super::{Point, QUALITY_MAX};

/// Version and number of points.
pub const HEADER_BYTES: usize = 5;
/// The dearest point: kind, both numbers in full.
pub const POINT_BYTES_MAX: usize = (1 + KIND_BITS as usize + 2 * (4 + 64)).div_ceil(8);

const VERSION: u8 = 1;
/// Whether there is a value, and the quality.
const KIND_BITS: u32 = 5;
/// Widths of a number, each with one more 1 in front than the one before; the last is any number. Reasoning: at
/// 1 Hz times differ by some ms (7 bits), a polled bus by a poll (13); values of a quiet sensor by some counts.
const TIME_WIDTHS: [u32; 3] = [7, 13, 24];
const VALUE_WIDTHS: [u32; 3] = [5, 10, 20];

const _: () = assert!(QUALITY_MAX as u32 == (1 << (KIND_BITS - 1)) - 1);

/// The buffer is full; the chunk is whole without the last point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The bytes are no chunk, or one that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

impl From<End> for Corrupt {
    fn from(End: End) -> Self {
        Self
    }
}

/// What the next point is told relative to.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    at_ms: i64,
    step_ms: i64,
    value: i64,
    kind: u8,
}

/// Writes a chunk into a buffer of the caller.
pub struct Encoder<'a> {
    head: &'a mut [u8],
    bits: BitWriter<'a>,
    count: u32,
    last: Last,
}

impl<'a> Encoder<'a> {
    /// A chunk without points at the front of `buffer`.
    ///
    /// # Errors
    /// The buffer is shorter than [`HEADER_BYTES`].
    pub fn new(buffer: &'a mut [u8]) -> Result<Self, Full> {
        let (head, body) = buffer.split_at_mut_checked(HEADER_BYTES).ok_or(Full)?;
        head[0] = VERSION;
        head[1..].copy_from_slice(&0_u32.to_le_bytes());
        Ok(Self {
            head,
            bits: BitWriter::new(body),
            count: 0,
            last: Last::default(),
        })
    }

    /// Adds a point. Quality above [`QUALITY_MAX`] counts as that.
    ///
    /// # Errors
    /// It may not fit; nothing was written.
    pub fn push(&mut self, point: Point) -> Result<(), Full> {
        if !self.bits.has_room(POINT_BYTES_MAX * 8) {
            return Err(Full);
        }
        self.write(point).map_err(|End| Full)?;
        self.count += 1;
        self.head[1..].copy_from_slice(&self.count.to_le_bytes());
        Ok(())
    }

    fn write(&mut self, point: Point) -> Result<(), End> {
        let last = &mut self.last;
        let kind = (u8::from(point.value.is_some()) << 4) | point.quality.min(QUALITY_MAX);
        if kind == last.kind {
            self.bits.put(0, 1)?;
        } else {
            self.bits.put(1, 1)?;
            self.bits.put(u64::from(kind), KIND_BITS)?;
            last.kind = kind;
        }
        // Wrapping: the difference of any two times fits, and so does the way back.
        let step = point.at_ms.wrapping_sub(last.at_ms);
        put_number(&mut self.bits, step.wrapping_sub(last.step_ms), TIME_WIDTHS)?;
        last.at_ms = point.at_ms;
        last.step_ms = step;
        if let Some(value) = point.value {
            let moved = value.wrapping_sub(last.value);
            put_number(&mut self.bits, moved, VALUE_WIDTHS)?;
            last.value = value;
        }
        Ok(())
    }

    /// Bytes of the chunk so far.
    #[must_use]
    pub fn len(&self) -> usize {
        HEADER_BYTES + self.bits.position().div_ceil(8)
    }

    /// Whether there is no point yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Reads a chunk from front to back. After an error it ends.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bits: BitReader<'a>,
    left: u32,
    last: Last,
}

impl<'a> Decoder<'a> {
    /// Looks at the header.
    ///
    /// # Errors
    /// Too short, of another version, or with more points than its bytes could hold.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Corrupt> {
        let (head, body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Corrupt)?;
        let [version, a, b, c, d] = *head;
        let left = u32::from_le_bytes([a, b, c, d]);
        // Two bits is the cheapest point. A reader that reserves memory for them is not led astray.
        if version != VERSION || left as usize > body.len() * 4 {
            return Err(Corrupt);
        }
        Ok(Self {
            bits: BitReader::new(body),
            left,
            last: Last::default(),
        })
    }

    /// Points that are still to come, if the chunk is whole.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.left
    }

    fn read(&mut self) -> Result<Point, Corrupt> {
        let last = &mut self.last;
        if self.bits.take(1)? == 1 {
            last.kind = self.bits.take(KIND_BITS)? as u8;
        }
        let bend = take_number(&mut self.bits, TIME_WIDTHS)?;
        last.step_ms = last.step_ms.wrapping_add(bend);
        last.at_ms = last.at_ms.wrapping_add(last.step_ms);
        let has_value = last.kind >> 4 == 1;
        if has_value {
            let moved = take_number(&mut self.bits, VALUE_WIDTHS)?;
            last.value = last.value.wrapping_add(moved);
        }
        Ok(Point {
            at_ms: last.at_ms,
            value: has_value.then_some(last.value),
            quality: last.kind & QUALITY_MAX,
        })
    }
}

impl Iterator for Decoder<'_> {
    type Item = Result<Point, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let point = self.read();
        if point.is_err() {
            self.left = 0;
        }
        Some(point)
    }
}

/// 0 for zero, else a prefix of ones that names the width, and the number with its sign in the lowest bit.
fn put_number(bits: &mut BitWriter<'_>, number: i64, widths: [u32; 3]) -> Result<(), End> {
    if number == 0 {
        return bits.put(0, 1);
    }
    let folded = ((number << 1) ^ (number >> 63)) as u64;
    // Zero has a code of its own, so that each width holds one more.
    let folded = folded - 1;
    let fitting = widths
        .iter()
        .zip(2..)
        .find(|(width, _)| folded >> **width == 0);
    match fitting {
        Some((width, length)) => {
            bits.put((1 << length) - 2, length)?;
            bits.put(folded, *width)
        }
        None => {
            bits.put(0b1111, 4)?;
            bits.put(folded, 64)
        }
    }
}

fn take_number(bits: &mut BitReader<'_>, widths: [u32; 3]) -> Result<i64, End> {
    let mut ones = 0;
    while ones < 4 && bits.take(1)? == 1 {
        ones += 1;
    }
    let width = match ones {
        0 => return Ok(0),
        4 => 64,
        ones => widths[ones - 1],
    };
    let folded = bits.take(width)?.wrapping_add(1);
    Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
}

#[cfg(test)]
mod tests;
