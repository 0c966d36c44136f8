//! Pictures and sounds for the demonstration, drawn and played by the program itself.
//!
//! Each button has its colour, its number, and a melody of a few notes, so that one sees and hears at once which
//! one was pressed. SVG, because it is sharp from a phone to a 4K wall and is plain text.

use std::{f32::consts::TAU, fs, io, path::Path};

/// Samples a second. Reasoning: the highest note is 1.6 kHz with two overtones; 16 kHz carries it.
const RATE: u32 = 16_000;
/// Milliseconds of one note.
const NOTE_MS: u32 = 220;

/// Hue in degrees, title and melody (semitones above A4) of each button; from the eleventh on they repeat, one
/// fourth higher.
const BUTTONS: [(u16, &str, &[i8]); 10] = [
    (0, "Bell", &[3, 10, 15, 10, 3]),
    (28, "Stairs", &[0, 2, 4, 5, 7, 9, 11, 12]),
    (48, "Cuckoo", &[10, 7, 10, 7, 3]),
    (90, "Meadow", &[0, 4, 7, 12, 7, 4, 0]),
    (140, "Brook", &[7, 5, 7, 9, 7, 5, 4, 5]),
    (174, "Harbour", &[-5, 0, -5, 0, -9]),
    (205, "Rain", &[12, 9, 11, 7, 9, 5, 7, 4]),
    (235, "Night", &[-9, -5, -2, 3, -2, -5, -9]),
    (275, "Clock", &[7, 3, 5, -2, 5, 7, 3]),
    (318, "Fair", &[0, 5, 9, 12, 9, 12, 17]),
];

/// Writes `NNN.svg` and `NNN.wav` for the buttons 1 to `buttons`, and a `manifest.toml` with titles and captions,
/// into `dir`, which is made if need be.
///
/// # Errors
/// The folder cannot be written; the caller shows it and goes on without media.
pub(crate) fn write(dir: &Path, buttons: u16) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut manifest = String::from("# Made by `leitstand demo`.\n");
    for (id, (hue, title, melody)) in (1..=buttons).zip(BUTTONS.iter().cycle()) {
        let higher = i8::try_from(id.saturating_sub(1) / 10 * 5).unwrap_or(i8::MAX);
        fs::write(dir.join(format!("{id:03}.svg")), picture(id, *hue, title))?;
        fs::write(dir.join(format!("{id:03}.wav")), sound(melody, higher))?;
        let caption = format!("{} notes, made for this demonstration", melody.len());
        manifest.push_str(&format!(
            "\n[[item]]\nid = {id}\ntitle = \"{title}\"\ncaption = \"{caption}\"\n"
        ));
    }
    fs::write(dir.join("manifest.toml"), manifest)
}

fn picture(id: u16, hue: u16, title: &str) -> String {
    let light = format!("hsl({hue} 70% 55%)");
    let dark = format!("hsl({hue} 60% 28%)");
    let mut rings = String::new();
    for ring in (1..=4).rev() {
        let radius = 90 + ring * 75;
        rings.push_str(&format!(
            "<circle cx='640' cy='330' r='{radius}' fill='{light}' opacity='0.18'/>"
        ));
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1280 720' role='img'>\
         <title>{id}: {title}</title>\
         <rect width='1280' height='720' fill='{dark}'/>{rings}\
         <g fill='#fff' font-family='system-ui, sans-serif' text-anchor='middle'>\
         <text x='640' y='445' font-size='340' font-weight='800'>{id}</text>\
         <text x='640' y='640' font-size='72'>{title}</text></g></svg>\n"
    )
}

/// A WAV file, 16 bit, one channel.
fn sound(melody: &[i8], higher: i8) -> Vec<u8> {
    let mut samples = Vec::new();
    for note in melody {
        let semitones = f32::from(note.saturating_add(higher));
        tone(440.0 * (semitones / 12.0).exp2(), &mut samples);
    }
    let bytes = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    let mut file = Vec::with_capacity(44 + samples.len() * 2);
    file.extend(b"RIFF");
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * 2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|s: &i16| s.to_le_bytes()));
    file
}

/// One struck note: three partials that die away, faded in and out so that nothing clicks.
fn tone(hertz: f32, samples: &mut Vec<i16>) {
    let count = RATE * NOTE_MS / 1000;
    let fade = RATE / 200;
    for i in 0..count {
        let t = i as f32 / RATE as f32;
        let wave: f32 = [(1.0, 0.6, 6.0), (2.0, 0.25, 9.0), (3.0, 0.1, 13.0)]
            .iter()
            .map(|(partial, level, decay): &(f32, f32, f32)| {
                level * (-decay * t).exp() * (TAU * hertz * partial * t).sin()
            })
            .sum();
        let edge = (i.min(count - i) as f32 / fade as f32).min(1.0);
        samples.push((wave * edge * 24_000.0) as i16);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use leitstand_panel::media::Media;
    use std::collections::BTreeSet;

    #[test]
    fn the_demonstration_is_complete_and_every_button_differs() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("media"), 12).unwrap();
        let media = Media::scan(&dir.path().join("media"), 12);
        assert!(media.complete(), "{}", media.summary());
        assert!(media.notes().is_empty(), "{:?}", media.notes());
        let mut sounds = BTreeSet::new();
        for (id, item) in media.items() {
            let ms = item.duration_ms().unwrap();
            assert!((1000..2000).contains(&ms), "button {id} plays {ms} ms");
            let audio = item.audio.as_ref().unwrap();
            sounds.insert(fs::read(dir.path().join("media").join(&audio.name)).unwrap());
            assert!(item.title.is_some() && item.caption.is_some());
        }
        assert_eq!(sounds.len(), 12);
    }
}
