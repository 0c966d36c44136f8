//! Small pictures and silent sounds for the tests of this crate.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

/// Writes `NNN.svg` and `NNN.wav` for the buttons 1 to `buttons`.
pub(crate) fn write(dir: &Path, buttons: u16) {
    for id in 1..=buttons {
        let svg = format!("<svg xmlns='http://www.w3.org/2000/svg'><text>{id}</text></svg>");
        fs::write(dir.join(format!("{id:03}.svg")), svg).unwrap();
        fs::write(
            dir.join(format!("{id:03}.wav")),
            wav(1000 + u32::from(id) * 10),
        )
        .unwrap();
    }
}

/// A silent WAV file of so many milliseconds: 8 bit, 8 kHz, one channel.
pub(crate) fn wav(ms: u32) -> Vec<u8> {
    let data = 8 * ms;
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    file.extend(8000_u32.to_le_bytes());
    file.extend(8000_u32.to_le_bytes());
    file.extend(b"\x01\0\x08\0data");
    file.extend(data.to_le_bytes());
    file.resize(file.len() + data as usize, 0x80);
    file
}
