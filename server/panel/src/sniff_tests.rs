#![allow(clippy::unwrap_used)]
use super::*;
use std::io::Cursor;

fn of(bytes: &[u8]) -> Result<Header, Defect> {
    sniff(&mut Cursor::new(bytes))
}

fn kind(bytes: &[u8]) -> Kind {
    of(bytes).unwrap().kind
}

fn ms(bytes: &[u8]) -> u64 {
    of(bytes).unwrap().duration_ms.unwrap()
}

fn png() -> Vec<u8> {
    let mut b = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x10\0\0\0\x08\x08\x02\0\0\0".to_vec();
    b.extend([0; 4]);
    b
}

fn jpeg_file() -> Vec<u8> {
    let mut b = b"\xff\xd8\xff\xe1\x00\x08EXIFxx\xff\xff\xfe\x00\x04hi".to_vec();
    b.extend(b"\xff\xc2\x00\x11\x08\x00\x10\x00\x20\x03rest of it");
    b
}

fn wav_file(seconds: u32) -> Vec<u8> {
    let data = 8000 * seconds;
    let mut b = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0\x01\0".to_vec();
    b.extend(8000_u32.to_le_bytes());
    b.extend(8000_u32.to_le_bytes());
    b.extend(b"\x01\0\x08\0data");
    b.extend(data.to_le_bytes());
    b.resize(b.len() + data as usize, 0x80);
    b
}

fn page(granule: u64, packet: &[u8]) -> Vec<u8> {
    let mut b = b"OggS\0\0".to_vec();
    b.extend(granule.to_le_bytes());
    b.extend([0; 12]);
    b.extend([1, u8::try_from(packet.len()).unwrap()]);
    b.extend(packet);
    b
}

fn opus(granule: u64) -> Vec<u8> {
    let mut b = page(0, b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0");
    b.extend(page(granule, &[7; 200]));
    // A page on which no packet ends.
    b.extend(page(u64::MAX, &[7; 200]));
    b
}

fn vorbis(rate: u32, granule: u64) -> Vec<u8> {
    let mut id = b"\x01vorbis\0\0\0\0\x02".to_vec();
    id.extend(rate.to_le_bytes());
    id.extend([0; 14]);
    let mut b = page(0, &id);
    b.extend(page(granule, &[9; 100]));
    b
}

/// 128 kbit/s, 44.1 kHz, joint stereo: 417 or 418 bytes a frame.
fn mp3_frame(fill: u8) -> Vec<u8> {
    let mut b = vec![0xff, 0xfb, 0x90, 0x44];
    b.resize(417, fill);
    b
}

fn mp3_file(frames: usize) -> Vec<u8> {
    mp3_frame(0).repeat(frames)
}

fn mp4_file(version: u8) -> Vec<u8> {
    let mut b = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x0cfree....".to_vec();
    let mut mvhd = vec![version, 0, 0, 0];
    if version == 1 {
        mvhd.extend([0; 16]);
        mvhd.extend(1000_u32.to_be_bytes());
        mvhd.extend(12_345_u64.to_be_bytes());
    } else {
        mvhd.extend([0; 8]);
        mvhd.extend(600_u32.to_be_bytes());
        mvhd.extend(1500_u32.to_be_bytes());
    }
    mvhd.resize(100, 0);
    b.extend(u32::try_from(mvhd.len() + 16).unwrap().to_be_bytes());
    b.extend(b"moov");
    b.extend(u32::try_from(mvhd.len() + 8).unwrap().to_be_bytes());
    b.extend(b"mvhd");
    b.extend(mvhd);
    b
}

#[test]
fn pictures() {
    assert_eq!(kind(&png()), Kind::Png);
    assert_eq!(kind(&jpeg_file()), Kind::Jpeg);
    assert_eq!(kind(b"RIFF\x10\0\0\0WEBPVP8L\0\0\0\0"), Kind::WebP);
    assert_eq!(
        kind(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        Kind::Svg
    );
    assert_eq!(
        kind(b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- hi --><svg/>"),
        Kind::Svg
    );
    assert_eq!(of(&png()).unwrap().duration_ms, None);
}

#[test]
fn sounds_know_their_length() {
    assert_eq!(ms(&wav_file(3)), 3000);
    assert_eq!(ms(&opus(48_000 * 5 + 312)), 5000);
    assert_eq!(ms(&vorbis(44_100, 44_100 * 7)), 7000);
    // 100 frames of 1152 samples.
    assert_eq!(ms(&mp3_file(100)), 2606);
    assert_eq!(ms(&mp4_file(0)), 2500);
    assert_eq!(ms(&mp4_file(1)), 12_345);
}

#[test]
fn an_id3_tag_and_padding_before_the_sound_do_not_count() {
    let mut file = b"ID3\x04\0\0\0\0\x02\x00".to_vec();
    file.resize(10 + 256, 0xff);
    file.extend([0; 7]);
    file.extend(mp3_file(100));
    assert_eq!(ms(&file), 2606);
}

#[test]
fn a_variable_bitrate_is_counted_in_frames() {
    let mut first = mp3_frame(0);
    first.splice(4 + 32..4 + 32 + 12, *b"Xing\0\0\0\x01\0\0\x01\x00");
    let mut file = first.clone();
    file.extend(mp3_file(20));
    // 256 frames of 1152 samples at 44.1 kHz.
    assert_eq!(ms(&file), 6687);
    let mut first = mp3_frame(0);
    first.splice(
        4 + 32..4 + 32 + 18,
        *b"VBRI\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00",
    );
    let mut file = first;
    file.extend(mp3_file(20));
    assert_eq!(ms(&file), 6687);
}

#[test]
fn a_recorder_that_was_cut_off_left_no_size() {
    let mut file = wav_file(2);
    let at = file.windows(4).position(|w| w == b"data").unwrap() + 4;
    file.splice(at..at + 4, [0xff; 4]);
    assert_eq!(ms(&file), 2000);
}

#[test]
fn what_is_no_medium_is_told_apart_from_what_is_damaged() {
    assert_eq!(of(b""), Err(Defect::Empty));
    for unknown in [
        &b"hello, world"[..],
        b"<html><body>404 not found</body></html>",
        b"\0\0\0\0\0\0\0\0",
        b"MZ\x90\0",
        &[0xff; 300],
    ] {
        assert_eq!(of(unknown), Err(Defect::Unknown), "{unknown:?}");
    }
    for broken in [
        &png()[..20],
        &jpeg_file()[..12],
        &wav_file(1)[..40],
        b"RIFF\x10\0\0\0WEBPnope",
        &mp4_file(0)[..30],
        &page(0, b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0"),
        b"ID3\x04\0\0\0\0\0\x05hellono sound",
        b"fLaC\0\0\0\x22",
    ] {
        assert_eq!(of(broken), Err(Defect::Broken), "{broken:?}");
    }
}

/// No prefix, and no single changed byte, of any file makes it panic or spin.
#[test]
fn damaged_files_are_answered_too() {
    for file in [
        png(),
        jpeg_file(),
        wav_file(1),
        opus(99_999),
        vorbis(8000, 8000),
        mp3_file(3),
        mp4_file(0),
        mp4_file(1),
    ] {
        let head = file.len().min(300);
        for end in 0..head {
            let _ = of(&file[..end]);
        }
        for i in 0..head {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut file = file.clone();
                file[i] = value;
                let _ = of(&file);
            }
        }
    }
}
