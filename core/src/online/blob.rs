//! A model as bytes.
//!
//! | Offset | Bytes | What |
//! |---|---|---|
//! | 0 | 4 | `OM01` |
//! | 4 | 1 | kind, [`Kind::code`](super::Kind::code) |
//! | 5 | 2 | length of the payload, little-endian |
//! | 7 | 4 | CRC-32 (ISO-HDLC) of kind, length and payload, little-endian |
//! | 11 | | payload: the model's fields in declared order, `f64` and `u32` little-endian |
//!
//! Each model lists its fields once, in `layout`; the same list writes and reads, so the two cannot differ.

use crc::{CRC_32_ISO_HDLC, Crc};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 11;
/// The longest blob. Reasoning: a seasonal model of 288 phases is 2.4 kB; doubled for what comes.
pub const BLOB_BYTES_MAX: usize = 4096;
const MAGIC: &[u8; 4] = b"OM01";
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Why bytes are no model, or a model no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobError {
    /// The buffer is too small for the model.
    NoRoom,
    /// Not a blob, or of a later format.
    Magic,
    /// A kind this version does not know.
    Kind(u8),
    /// Shorter or longer than its header says or its kind needs.
    Length,
    /// Damaged.
    Checksum,
    /// Fields that no model of this kind can have.
    Content,
}

/// Where fields go to or come from.
pub(super) trait Fields {
    fn real(&mut self, field: &mut f64);
    fn count(&mut self, field: &mut u32);
}

/// Writes fields. Counts what does not fit instead of failing, so that layouts need no `?`.
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        Self {
            out,
            at: HEADER_BYTES,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.out.get_mut(self.at..self.at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.at += bytes.len();
    }

    /// Fills the header in; the length of the blob.
    pub(super) fn finish(self, kind: u8) -> Result<usize, BlobError> {
        let blob = self.out.get_mut(..self.at).ok_or(BlobError::NoRoom)?;
        let payload = u16::try_from(self.at - HEADER_BYTES).map_err(|_| BlobError::NoRoom)?;
        blob[..4].copy_from_slice(MAGIC);
        blob[4] = kind;
        blob[5..7].copy_from_slice(&payload.to_le_bytes());
        let sum = checksum(blob);
        blob[7..11].copy_from_slice(&sum.to_le_bytes());
        Ok(self.at)
    }
}

impl Fields for Writer<'_> {
    fn real(&mut self, field: &mut f64) {
        self.put(&field.to_le_bytes());
    }
    fn count(&mut self, field: &mut u32) {
        self.put(&field.to_le_bytes());
    }
}

/// Reads fields; what is missing reads as zero and [`finish`](Self::finish) tells.
pub(super) struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
    all_finite: bool,
}

impl<'a> Reader<'a> {
    /// The kind and its fields.
    pub(super) fn open(blob: &'a [u8]) -> Result<(u8, Self), BlobError> {
        if blob.get(..4) != Some(MAGIC) {
            return Err(BlobError::Magic);
        }
        let header = blob.get(..HEADER_BYTES).ok_or(BlobError::Length)?;
        let payload = &blob[HEADER_BYTES..];
        if payload.len() != usize::from(u16::from_le_bytes([header[5], header[6]])) {
            return Err(BlobError::Length);
        }
        if checksum(blob).to_le_bytes() != header[7..11] {
            return Err(BlobError::Checksum);
        }
        Ok((
            header[4],
            Self {
                payload,
                at: 0,
                all_finite: true,
            },
        ))
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let bytes = self.payload.get(self.at..self.at + N);
        self.at += N;
        bytes.and_then(|b| b.try_into().ok()).unwrap_or([0; N])
    }

    /// Tells whether the payload had exactly the fields that were read, all of them numbers.
    pub(super) fn finish(self) -> Result<(), BlobError> {
        if self.at != self.payload.len() {
            Err(BlobError::Length)
        } else if self.all_finite {
            Ok(())
        } else {
            Err(BlobError::Content)
        }
    }
}

impl Fields for Reader<'_> {
    fn real(&mut self, field: &mut f64) {
        *field = f64::from_le_bytes(self.take());
        self.all_finite &= field.is_finite();
    }
    fn count(&mut self, field: &mut u32) {
        *field = u32::from_le_bytes(self.take());
    }
}

fn checksum(blob: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&blob[4..7]);
    digest.update(&blob[HEADER_BYTES..]);
    digest.finalize()
}
