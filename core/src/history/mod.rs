//! # History: a series of readings in few bytes
//!
//! A *chunk* is the readings of one series over a stretch of time, written once from front to back and read the same
//! way. Entry points: [`Encoder`], [`Decoder`]. The layout is in `PROTOCOL.md`.
//!
//! Terms: *point* one time with a value or without; a point without a value begins a *gap*. *Quality* a small number
//! that travels with each point; its meaning is the caller's.
//!
//! Lossless: what comes out is what went in, bit for bit, whatever the times and values are. Small where series are as
//! sensors make them: steady times, values that move little.
//!
//! Deliberately absent: alloc, floating point, checksums (who stores a chunk guards it), the meaning of units.

mod bits;
mod chunk;

pub use chunk::{Corrupt, Decoder, Encoder, Full, HEADER_BYTES, POINT_BYTES_MAX};

/// One point of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Milliseconds since an origin that the caller chose.
    pub at_ms: i64,
    /// In the series' fixed-point unit; `None` begins a gap.
    pub value: Option<i64>,
    /// 0 to [`QUALITY_MAX`].
    pub quality: u8,
}

/// Largest quality. Reasoning: four bits; the qualities of a reading are fewer than ten.
pub const QUALITY_MAX: u8 = 15;
