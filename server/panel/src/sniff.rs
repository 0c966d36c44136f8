//! What a media file really is, and how long it plays, from its headers alone.
//!
//! Written by hand because nothing that is kept well fits: symphonia is MPL-2.0 and a decoder; lofty stands on
//! the abandoned `paste` (RUSTSEC-2024-0436). A hundred lines of headers are less than either. Sources: PNG
//! (W3C, 5.2 and 11.2.2), JPEG (ITU T.81, B.1), WebP and WAV (RIFF), Ogg (RFC 3533), Opus (RFC 7845, 4 and
//! 5.1), Vorbis I (4.2.2), MPEG audio (ISO 11172-3, 2.4.2.3) with the Xing/Info and VBRI tables, MP4
//! (ISO 14496-12, 8.2.2), FLAC (RFC 9639, 8.2).

use std::io::{self, Read, Seek, SeekFrom};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// JPEG picture.
    Jpeg,
    /// PNG picture.
    Png,
    /// WebP picture.
    WebP,
    /// SVG picture.
    Svg,
    /// MPEG audio, layer III.
    Mp3,
    /// Ogg with Vorbis, Opus or FLAC.
    Ogg,
    /// RIFF WAVE.
    Wav,
    /// FLAC in its own container.
    Flac,
    /// MP4: a film, or only its sound.
    Mp4,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To look at.
    Image,
    /// To listen to.
    Audio,
    /// Both.
    Video,
}

impl Kind {
    /// For `Content-Type`.
    #[must_use]
    pub fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Svg => "image/svg+xml",
            Self::Mp3 => "audio/mpeg",
            Self::Ogg => "audio/ogg",
            Self::Wav => "audio/wav",
            Self::Flac => "audio/flac",
            Self::Mp4 => "video/mp4",
        }
    }

    /// What it is for. An MP4 counts as a film.
    #[must_use]
    pub fn purpose(self) -> Use {
        match self {
            Self::Jpeg | Self::Png | Self::WebP | Self::Svg => Use::Image,
            Self::Mp3 | Self::Ogg | Self::Wav | Self::Flac => Use::Audio,
            Self::Mp4 => Use::Video,
        }
    }
}

/// What the headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// How long it plays, where it plays and the headers say so. Milliseconds.
    pub duration_ms: Option<u64>,
}

/// Why a file is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// It has no bytes.
    Empty,
    /// No known picture or sound.
    Unknown,
    /// It starts like one but its headers end early or contradict themselves.
    Broken,
    /// It cannot be read.
    Unreadable,
}

impl Defect {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::Unknown => "is no known picture or sound",
            Self::Broken => "is cut off or damaged",
            Self::Unreadable => "cannot be read",
        }
    }
}

/// Bytes looked at for the start of a picture text or of the first MP3 frame.
const HEAD_BYTES: usize = 4096;
/// Bytes at the end searched for the last Ogg page. Reasoning: the longest page is 65,307 bytes.
const TAIL_BYTES: u64 = 66_000;
/// Boxes or chunks passed before giving up, so that a crafted file cannot keep us busy.
const CHUNKS_MAX: usize = 10_000;

/// Looks at the headers of `file`, from its start.
///
/// # Errors
/// See [`Defect`].
pub fn sniff(file: &mut (impl Read + Seek)) -> Result<Header, Defect> {
    let length = file
        .seek(SeekFrom::End(0))
        .map_err(|_| Defect::Unreadable)?;
    if length == 0 {
        return Err(Defect::Empty);
    }
    let head = at(file, 0, HEAD_BYTES)?;
    let silent = |kind| {
        Ok(Header {
            kind,
            duration_ms: None,
        })
    };
    match head.as_slice() {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, rest @ ..] => {
            match (rest.get(4..8), be32(rest, 8), be32(rest, 12)) {
                (Some(b"IHDR"), Some(1..), Some(1..)) => silent(Kind::Png),
                _ => Err(Defect::Broken),
            }
        }
        [0xff, 0xd8, 0xff, ..] => jpeg(file, length).and_then(|()| silent(Kind::Jpeg)),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            rest @ ..,
        ] => match rest.get(..4) {
            Some(b"VP8 " | b"VP8L" | b"VP8X") => silent(Kind::WebP),
            _ => Err(Defect::Broken),
        },
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'A',
            b'V',
            b'E',
            ..,
        ] => timed(Kind::Wav, wav(file, length)?),
        [b'O', b'g', b'g', b'S', ..] => timed(Kind::Ogg, ogg(file, &head, length)?),
        [b'f', b'L', b'a', b'C', ..] => timed(Kind::Flac, flac(&head).ok_or(Defect::Broken)?),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => timed(Kind::Mp4, mp4(file, length)?),
        _ if is_svg(&head) => silent(Kind::Svg),
        _ => match mp3(file, &head, length)? {
            Some(duration) => timed(Kind::Mp3, duration),
            None => Err(Defect::Unknown),
        },
    }
}

fn timed(kind: Kind, duration_ms: u64) -> Result<Header, Defect> {
    Ok(Header {
        kind,
        // Streams (FLAC, fragmented MP4) write 0 for "unknown".
        duration_ms: (duration_ms > 0).then_some(duration_ms),
    })
}

/// Up to `bytes` bytes from `position`.
fn at(file: &mut (impl Read + Seek), position: u64, bytes: usize) -> Result<Vec<u8>, Defect> {
    let mut buffer = Vec::new();
    file.seek(SeekFrom::Start(position))
        .and_then(|_| file.take(bytes as u64).read_to_end(&mut buffer))
        .map_err(|_: io::Error| Defect::Unreadable)?;
    Ok(buffer)
}

fn bytes<const N: usize>(from: &[u8], position: usize) -> Option<[u8; N]> {
    from.get(position..)?.first_chunk().copied()
}
fn be16(from: &[u8], position: usize) -> Option<u64> {
    bytes(from, position).map(|b| u64::from(u16::from_be_bytes(b)))
}
fn be32(from: &[u8], position: usize) -> Option<u64> {
    bytes(from, position).map(|b| u64::from(u32::from_be_bytes(b)))
}
fn be64(from: &[u8], position: usize) -> Option<u64> {
    bytes(from, position).map(u64::from_be_bytes)
}
fn le16(from: &[u8], position: usize) -> Option<u64> {
    bytes(from, position).map(|b| u64::from(u16::from_le_bytes(b)))
}
fn le32(from: &[u8], position: usize) -> Option<u64> {
    bytes(from, position).map(|b| u64::from(u32::from_le_bytes(b)))
}

/// `count` units of which `rate` pass in a second, in milliseconds.
fn span(count: u64, rate: u64) -> Option<u64> {
    u64::try_from(u128::from(count) * 1000 / u128::from(rate.max(1)))
        .ok()
        .filter(|_| rate > 0)
}

/// Walks the segments to the frame header, which a complete JPEG has.
fn jpeg(file: &mut (impl Read + Seek), length: u64) -> Result<(), Defect> {
    let mut position = 2;
    for _ in 0..CHUNKS_MAX {
        let segment = at(file, position, 9)?;
        match segment.as_slice() {
            // Fill bytes.
            [0xff, 0xff, ..] => position += 1,
            // Start of frame, all kinds but DHT, JPG and DAC.
            [0xff, 0xc0..=0xcf, ..] if !matches!(segment.get(1), Some(0xc4 | 0xc8 | 0xcc)) => {
                return match (be16(&segment, 5), be16(&segment, 7)) {
                    // A height of 0 is legal and comes later (DNL).
                    (Some(_), Some(1..)) => Ok(()),
                    _ => Err(Defect::Broken),
                };
            }
            [0xff, _, ..] => {
                position += 2 + be16(&segment, 2)
                    .filter(|l| *l >= 2)
                    .ok_or(Defect::Broken)?;
            }
            _ => return Err(Defect::Broken),
        }
        if position >= length {
            break;
        }
    }
    Err(Defect::Broken)
}

fn is_svg(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = text.trim_ascii_start();
    (text.starts_with(b"<?xml") || text.starts_with(b"<!--") || text.starts_with(b"<svg"))
        && text.windows(4).any(|w| w == b"<svg")
}

fn wav(file: &mut (impl Read + Seek), length: u64) -> Result<u64, Defect> {
    let mut position = 12;
    let mut byte_rate = None;
    for _ in 0..CHUNKS_MAX {
        let chunk = at(file, position, 24)?;
        let (Some(name), Some(size)) = (chunk.get(..4), le32(&chunk, 4)) else {
            return Err(Defect::Broken);
        };
        match name {
            b"fmt " => byte_rate = le32(&chunk, 16),
            b"data" => {
                // A recorder that was cut off leaves the size 0 or 0xffffffff: what is there counts.
                let there = length.saturating_sub(position + 8);
                let size = if size == 0 { there } else { size.min(there) };
                return byte_rate
                    .and_then(|rate| span(size, rate))
                    .filter(|_| size > 0)
                    .ok_or(Defect::Broken);
            }
            _ => {}
        }
        // Chunks are padded to even lengths.
        position += 8 + size + size % 2;
    }
    Err(Defect::Broken)
}

/// The position of the last page says how many samples there are.
fn ogg(file: &mut (impl Read + Seek), head: &[u8], length: u64) -> Result<u64, Defect> {
    let segments = usize::from(*head.get(26).ok_or(Defect::Broken)?);
    let packet = head.get(27 + segments..).ok_or(Defect::Broken)?;
    let (rate, skip) = if packet.starts_with(b"OpusHead") {
        // Opus counts at 48 kHz whatever was recorded.
        (Some(48_000), le16(packet, 10).unwrap_or(0))
    } else if packet.starts_with(b"\x01vorbis") {
        (le32(packet, 12), 0)
    } else if packet.starts_with(b"\x7fFLAC") {
        (be32(packet, 27).map(|word| word >> 12), 0)
    } else {
        return Err(Defect::Unknown);
    };
    let tail = at(file, length.saturating_sub(TAIL_BYTES), TAIL_BYTES as usize)?;
    let last = (0..tail.len().saturating_sub(26))
        .rev()
        .filter(|i| tail.get(*i..*i + 4) == Some(b"OggS"))
        // A page on which no packet ends has the position -1.
        .find_map(|i| {
            bytes(&tail, i + 6)
                .map(u64::from_le_bytes)
                .filter(|granule| *granule != u64::MAX)
        })
        .ok_or(Defect::Broken)?;
    rate.and_then(|rate| span(last.saturating_sub(skip), rate))
        .filter(|_| last > 0)
        .ok_or(Defect::Broken)
}

fn flac(head: &[u8]) -> Option<u64> {
    // STREAMINFO is first: 20 bits rate, 3 channels, 5 depth, 36 samples, from byte 10 of the block.
    let word = be64(head, 8 + 10)?;
    span(word & 0xf_ffff_ffff, word >> 44)
}

/// `moov`, in it `mvhd`.
fn mp4(file: &mut (impl Read + Seek), length: u64) -> Result<u64, Defect> {
    let mut position = 0;
    for _ in 0..CHUNKS_MAX {
        if position >= length {
            break;
        }
        let head = at(file, position, 40)?;
        let (size, name) = match (be32(&head, 0), head.get(4..8)) {
            (Some(1), Some(name)) => (be64(&head, 8).ok_or(Defect::Broken)?, name),
            (Some(0), Some(name)) => (length - position, name),
            (Some(size), Some(name)) => (size, name),
            _ => return Err(Defect::Broken),
        };
        if size < 8 {
            return Err(Defect::Broken);
        }
        match name {
            b"moov" => position += 8,
            b"mvhd" => {
                let (rate, count) = if head.get(8) == Some(&1) {
                    (be32(&head, 28), be64(&head, 32))
                } else {
                    (be32(&head, 20), be32(&head, 24))
                };
                return rate
                    .zip(count)
                    .and_then(|(rate, count)| span(count, rate))
                    .ok_or(Defect::Broken);
            }
            _ => position = position.checked_add(size).ok_or(Defect::Broken)?,
        }
    }
    Err(Defect::Broken)
}

/// One MPEG audio frame header, layer III.
#[derive(Clone, Copy)]
struct MpegFrame {
    samples: u64,
    rate: u64,
    /// Bits per second.
    bitrate: u64,
    /// Bytes from this header to the next.
    length: u64,
    /// Bytes of side information after the header, where a Xing table starts.
    side: usize,
}

fn mpeg_frame(header: &[u8]) -> Option<MpegFrame> {
    const V1: [u64; 15] = [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ];
    const V2: [u64; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    let [0xff, b, c, d] = bytes(header, 0)? else {
        return None;
    };
    // Sync, and layer III.
    if b & 0xe6 != 0xe2 {
        return None;
    }
    let (v1, divide) = match (b >> 3) & 3 {
        3 => (true, 1),
        2 => (false, 2),
        0 => (false, 4),
        _ => return None,
    };
    let kbit = *if v1 { V1 } else { V2 }.get(usize::from(c >> 4))?;
    let rate = [44_100, 48_000, 32_000].get(usize::from((c >> 2) & 3))? / divide;
    let mono = d >> 6 == 3;
    let samples = if v1 { 1152 } else { 576 };
    // "Free format" (0) is not made by anybody and its length is unknown.
    let bitrate = (kbit > 0).then_some(kbit * 1000)?;
    Some(MpegFrame {
        samples,
        rate,
        bitrate,
        length: samples / 8 * bitrate / rate + u64::from((c >> 1) & 1),
        side: match (v1, mono) {
            (true, false) => 32,
            (true, true) | (false, false) => 17,
            (false, true) => 9,
        },
    })
}

/// `Ok(None)`: no MP3 at all.
fn mp3(file: &mut (impl Read + Seek), head: &[u8], length: u64) -> Result<Option<u64>, Defect> {
    // An ID3v2 tag may precede the sound; its length has 7 bits a byte.
    let tag = match head {
        [b'I', b'D', b'3', _, _, flags, a, b, c, d, ..] => {
            let size = [a, b, c, d]
                .iter()
                .fold(0_u64, |sum, byte| sum << 7 | u64::from(**byte & 0x7f));
            10 + size + if flags & 0x10 != 0 { 10 } else { 0 }
        }
        _ => 0,
    };
    let sound = at(file, tag, HEAD_BYTES)?;
    // Some encoders pad; two frames in a row prove that it is one.
    for offset in 0..sound.len() {
        let Some(frame) = sound.get(offset..).and_then(mpeg_frame) else {
            continue;
        };
        let start = tag + offset as u64;
        let next = at(file, start + frame.length, 4)?;
        if mpeg_frame(&next).is_none_or(|n| n.rate != frame.rate) && start + frame.length < length {
            continue;
        }
        let table = sound.get(offset + 4..).unwrap_or_default();
        let xing = table.get(frame.side..).unwrap_or_default();
        let frames = if xing.starts_with(b"Xing") || xing.starts_with(b"Info") {
            be32(xing, 8).filter(|_| be32(xing, 4).is_some_and(|flags| flags & 1 != 0))
        } else if table.get(32..36) == Some(b"VBRI") {
            be32(table, 32 + 14)
        } else {
            None
        };
        let duration = match frames {
            Some(frames) => span(frames * frame.samples, frame.rate),
            None => span((length - start) * 8, frame.bitrate),
        };
        return duration.map(Some).ok_or(Defect::Broken);
    }
    if tag > 0 {
        Err(Defect::Broken)
    } else {
        Ok(None)
    }
}

#[cfg(test)]
#[path = "sniff_tests.rs"]
mod tests;
