//! Bits into bytes and back, most significant first.

/// The buffer's end is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End;

/// Writes bits over a buffer; bits behind the last one stay as they were.
pub(super) struct BitWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits written.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Whether `count` more bits fit.
    pub(super) fn has_room(&self, count: usize) -> bool {
        self.at + count <= self.bytes.len() * 8
    }

    /// The lowest `count` bits of `value`, at most 64.
    pub(super) fn put(&mut self, value: u64, count: u32) -> Result<(), End> {
        debug_assert!(count <= 64, "at most one word");
        if !self.has_room(count as usize) {
            return Err(End);
        }
        let mut left = count;
        while left > 0 {
            let free = 8 - (self.at % 8) as u32;
            let now = left.min(free);
            let piece = (value >> (left - now)) as u8 & mask(now);
            let shift = free - now;
            let byte = &mut self.bytes[self.at / 8];
            *byte = (*byte & !(mask(now) << shift)) | (piece << shift);
            self.at += now as usize;
            left -= now;
        }
        Ok(())
    }
}

/// Reads bits.
#[derive(Clone, Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, count: u32) -> Result<u64, End> {
        debug_assert!(count <= 64, "at most one word");
        if self.at + count as usize > self.bytes.len() * 8 {
            return Err(End);
        }
        let mut value = 0;
        let mut left = count;
        while left > 0 {
            let free = 8 - (self.at % 8) as u32;
            let now = left.min(free);
            let piece = (self.bytes[self.at / 8] >> (free - now)) & mask(now);
            // Shifting out what does not fit cannot happen: at most 64 bits come together.
            value = (value << now) | u64::from(piece);
            self.at += now as usize;
            left -= now;
        }
        Ok(value)
    }
}

/// The lowest `count` bits of a byte, 1 to 8.
fn mask(count: u32) -> u8 {
    0xff >> (8 - count)
}
