//! The online models of `leitstand-core` over a fixed series, as text: every output to the last bit.
//!
//! The claim that a model continues on another machine bit for bit is checked by comparing this text between
//! the host and RISC-V, where floating point is done in software.

use core::fmt::{self, Write};

use leitstand_core::online::{Any, BLOB_BYTES_MAX, Kind, OnlineModel as _};

/// Samples of the series.
pub const SAMPLES: u32 = 300;
/// After so many the model is exported and imported, and goes on.
pub const MOVED_AFTER: u32 = 200;

/// A series with a daily shape, noise, and now and then a jump.
fn sample(at: u32, seed: &mut u32) -> f64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    let jump = if at % 97 == 96 { 40.0 } else { 0.0 };
    20.0 + f64::from(at % 24) * 0.5 + f64::from(*seed % 1000) / 500.0 + jump
}

/// Lines `<kind> <sample> <bits of the value> <bits of the sigmas or ->`, and the exported model in between.
///
/// # Errors
/// `out` failed.
pub fn trace(out: &mut impl Write) -> fmt::Result {
    Kind::ALL
        .into_iter()
        .try_for_each(|kind| trace_one(kind, out))
}

fn trace_one(kind: Kind, out: &mut impl Write) -> fmt::Result {
    let name = kind.name();
    let Ok(mut model) = Any::new(kind, &[]) else {
        return writeln!(out, "{name} refuses its defaults");
    };
    let mut seed = 0x1234_5678;
    for at in 0..SAMPLES {
        if at == MOVED_AFTER {
            model = moved(&model, out)?;
        }
        match model.update(sample(at, &mut seed)) {
            Ok(score) => {
                write!(out, "{name} {at} {:016x} ", score.value.to_bits())?;
                match score.sigmas {
                    Some(sigmas) => writeln!(out, "{:016x}", sigmas.to_bits())?,
                    None => writeln!(out, "-")?,
                }
            }
            Err(_) => writeln!(out, "{name} {at} refused")?,
        }
    }
    let mut described = Ok(());
    model.describe(&mut |what, value| {
        let line = writeln!(out, "{name} {what} {:016x}", value.to_bits());
        described = described.and(line);
    });
    described
}

/// Through its exported form, as another machine would get it.
fn moved(model: &Any, out: &mut impl Write) -> Result<Any, fmt::Error> {
    let mut blob = [0; BLOB_BYTES_MAX];
    let blob = model
        .export(&mut blob)
        .ok()
        .and_then(|length| blob.get(..length));
    let again = blob.and_then(|blob| Any::import(blob).ok());
    write!(out, "blob ")?;
    for byte in blob.unwrap_or_default() {
        write!(out, "{byte:02x}")?;
    }
    writeln!(out)?;
    again.ok_or(fmt::Error)
}
