#![allow(clippy::unwrap_used)]
use super::*;
use crate::test_media;

const SVG: &[u8] = b"<svg xmlns='http://www.w3.org/2000/svg'/>";
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

struct Folder {
    dir: tempfile::TempDir,
    content: Content,
}

impl Folder {
    /// Three buttons with `NNN.svg` and `NNN.wav`.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        test_media::write(dir.path(), 3);
        let bounds = Bounds {
            picture: 10_000,
            sound: 100_000,
            film: 200_000,
            total: 300_000,
        };
        let content = Content::new(dir.path().into(), 3, bounds);
        Self { dir, content }
    }

    fn put(&self, id: u16, append: bool, bytes: &[u8]) -> Result<String, ContentError> {
        let mut upload = self.content.upload()?;
        for piece in bytes.chunks(1000) {
            upload.write(piece)?;
        }
        self.content.adopt(upload, id, append)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn manifest(&self, text: &str) {
        fs::write(self.dir.path().join("manifest.toml"), text).unwrap();
    }

    fn media(&self) -> Media {
        Media::scan(self.dir.path(), 3)
    }

    fn pictures(&self, id: u16) -> Vec<String> {
        let media = self.media();
        media
            .item(id)
            .unwrap()
            .images
            .iter()
            .map(|f| f.name.clone())
            .collect()
    }

    fn restore(&self, archive: &[u8]) -> Result<Restored, ContentError> {
        self.content.restore(archive)
    }
}

const FRESH: [&str; 6] = [
    "001.svg", "001.wav", "002.svg", "002.wav", "003.svg", "003.wav",
];

#[test]
fn a_new_picture_takes_the_place_of_the_old_one_whatever_its_type() {
    let folder = Folder::new();
    assert_eq!(folder.put(2, false, PNG).unwrap(), "002.png");
    assert_eq!(
        folder.names(),
        [
            "001.svg", "001.wav", "002.png", "002.wav", "003.svg", "003.wav"
        ]
    );
    assert_eq!(folder.put(2, false, SVG).unwrap(), "002.svg");
    assert_eq!(folder.names(), FRESH);
    assert_eq!(
        folder.put(1, false, &test_media::wav(300)).unwrap(),
        "001.wav"
    );
    assert_eq!(folder.media().item(1).unwrap().duration_ms(), Some(300));
}

#[test]
fn what_is_refused_changes_nothing_and_leaves_nothing() {
    let folder = Folder::new();
    let refused = |bytes: &[u8]| folder.put(1, false, bytes).unwrap_err();
    assert!(matches!(refused(b""), ContentError::Refused(_)));
    assert!(matches!(
        refused(b"#!/bin/sh\nrm -rf /\n"),
        ContentError::Refused(_)
    ));
    assert!(matches!(refused(&[0; 5000]), ContentError::Refused(_)));
    let long = [SVG, &vec![b' '; 10_000]].concat();
    assert!(matches!(refused(&long), ContentError::TooLong(10_000)));
    assert!(matches!(
        refused(&vec![1; 250_000]),
        ContentError::TooLong(200_000)
    ));
    for id in [0, 4, u16::MAX] {
        assert!(matches!(
            folder.put(id, false, SVG),
            Err(ContentError::Missing(_))
        ));
    }
    assert_eq!(folder.names(), FRESH);
    // A client that goes away in the middle.
    let mut upload = folder.content.upload().unwrap();
    upload.write(&SVG[..10]).unwrap();
    assert_eq!(folder.names().len(), 7);
    drop(upload);
    assert_eq!(folder.names(), FRESH);
}

#[test]
fn the_folder_is_never_fuller_than_it_may_be() {
    let folder = Folder::new();
    let mut stored = 0;
    // 11 s of silence are 88 kB.
    while folder
        .put(stored % 3 + 1, false, &test_media::wav(11_000))
        .is_ok()
    {
        stored += 1;
        assert!(stored < 10, "no bound was met");
    }
    let full = folder.put(2, false, &test_media::wav(11_000)).unwrap_err();
    assert!(matches!(full, ContentError::TooLong(_)), "{full:?}");
}

#[test]
fn a_power_cut_in_the_middle_leaves_the_old_file_and_the_start_cleans_up() {
    let folder = Folder::new();
    let before = folder.media();
    // As it stands after a cut: bytes under a hidden name, and half a backup.
    fs::write(folder.dir.path().join(".upload-7-1"), b"half a pic").unwrap();
    fs::create_dir(folder.dir.path().join(".upload-7-2")).unwrap();
    fs::write(folder.dir.path().join(".upload-7-2/001.svg"), SVG).unwrap();
    assert_eq!(folder.media(), before, "a scan does not see it");
    folder.content.sweep();
    assert_eq!(folder.names(), FRESH);
}

#[test]
fn several_pictures_and_their_order() {
    let folder = Folder::new();
    assert_eq!(folder.put(1, true, PNG).unwrap(), "001-2.png");
    assert_eq!(folder.put(1, true, SVG).unwrap(), "001-3.svg");
    assert_eq!(folder.pictures(1), ["001.svg", "001-2.png", "001-3.svg"]);
    let order = |names: &[&str]| Texts {
        images: Some(names.iter().map(|n| (*n).to_owned()).collect()),
        ..Texts::default()
    };
    folder
        .content
        .describe(1, order(&["001-3.svg", "001.svg", "001-2.png"]))
        .unwrap();
    assert_eq!(folder.pictures(1), ["001-3.svg", "001.svg", "001-2.png"]);
    let foreign = folder.content.describe(1, order(&["002.svg"]));
    assert!(matches!(foreign, Err(ContentError::Refused(_))));
    // A further one keeps the order, a removed one leaves it.
    assert_eq!(folder.put(1, true, SVG).unwrap(), "001-4.svg");
    folder.content.remove(1, Some("001-3.svg")).unwrap();
    assert_eq!(folder.pictures(1), ["001.svg", "001-2.png", "001-4.svg"]);
    for _ in 0..9 {
        folder.put(1, true, SVG).unwrap();
    }
    assert!(matches!(
        folder.put(1, true, SVG),
        Err(ContentError::TooMany)
    ));
    assert_eq!(folder.pictures(1).len(), PICTURES_MAX);
    assert!(folder.media().complete());
}

#[test]
fn texts_are_kept_in_the_manifest_and_a_hand_written_one_survives() {
    let folder = Folder::new();
    folder.manifest("[[item]]\nid = 1\naudio = '003.wav'\n[[item]]\nid = 3\ntitle = 'Three'\n");
    let texts = Texts {
        title: Some("Glocke \"1\"".into()),
        caption: Some("Ding\nDong".into()),
        language: Some("de".into()),
        volume: Some(70),
        looped: true,
        images: None,
    };
    folder.content.describe(1, texts).unwrap();
    let media = folder.media();
    assert_eq!(media.notes(), [""; 0]);
    let one = media.item(1).unwrap();
    assert_eq!(one.title.as_deref(), Some("Glocke \"1\""));
    assert_eq!(one.caption.as_deref(), Some("Ding\nDong"));
    assert_eq!((one.volume, one.looped), (Some(70), true));
    assert_eq!(one.audio.as_ref().unwrap().name, "003.wav");
    assert_eq!(media.item(3).unwrap().title.as_deref(), Some("Three"));
    // A sound of its own takes the place of the one that was named, which another button still uses.
    folder.put(1, false, &test_media::wav(500)).unwrap();
    let media = folder.media();
    assert_eq!(
        media.item(1).unwrap().audio.as_ref().unwrap().name,
        "001.wav"
    );
    assert_eq!(
        media.item(1).unwrap().title.as_deref(),
        Some("Glocke \"1\"")
    );
    for bad in [
        Texts {
            title: Some("x".repeat(201)),
            ..Texts::default()
        },
        Texts {
            caption: Some("x".repeat(4001)),
            ..Texts::default()
        },
        Texts {
            language: Some("de<script>".into()),
            ..Texts::default()
        },
        Texts {
            volume: Some(101),
            ..Texts::default()
        },
    ] {
        assert!(matches!(
            folder.content.describe(1, bad),
            Err(ContentError::Refused(_))
        ));
    }
}

#[test]
fn a_broken_manifest_is_not_overwritten() {
    let folder = Folder::new();
    folder.manifest("this is = no manifest [");
    let refused = folder.content.describe(1, Texts::default()).unwrap_err();
    assert!(
        matches!(&refused, ContentError::Refused(why) if why.contains("manifest.toml")),
        "{refused:?}"
    );
    let text = fs::read_to_string(folder.dir.path().join("manifest.toml")).unwrap();
    assert_eq!(text, "this is = no manifest [");
}

#[test]
fn a_file_named_by_two_buttons_goes_with_the_second() {
    let folder = Folder::new();
    folder.manifest("[[item]]\nid = 1\naudio = '003.wav'\n[[item]]\nid = 2\naudio = '003.wav'\n");
    folder.content.remove(1, None).unwrap();
    assert!(
        folder.names().contains(&"003.wav".into()),
        "button 2 plays it"
    );
    folder.content.remove(2, Some("003.wav")).unwrap();
    assert!(!folder.names().contains(&"003.wav".into()));
    let again = folder.content.remove(2, Some("003.wav"));
    assert!(matches!(again, Err(ContentError::Missing(_))));
    let escape = folder.content.remove(2, Some("../../etc/passwd"));
    assert!(matches!(escape, Err(ContentError::Missing(_))));
}

fn header(name: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        out.append(&header(name, bytes.len() as u64), *bytes)
            .unwrap();
    }
    out.into_inner().unwrap()
}

/// The header of an empty file with a name and a type that we would not write, and a right check sum.
fn odd(name: &[u8], prefix: &[u8], kind: u8) -> Vec<u8> {
    let mut odd = header("x", 0);
    let bytes = odd.as_mut_bytes();
    bytes[0] = 0;
    bytes[..name.len()].copy_from_slice(name);
    bytes[156] = kind;
    bytes[345..345 + prefix.len()].copy_from_slice(prefix);
    odd.set_cksum();
    odd.as_bytes().to_vec()
}

#[test]
fn a_backup_becomes_the_content() {
    let folder = Folder::new();
    let sound = test_media::wav(700);
    let backup = archive(&[
        (
            "manifest.toml",
            b"[[item]]\nid = 2\naudio = 'bell.wav'\ntitle = 'Bell'\n",
        ),
        ("001.png", PNG),
        ("bell.wav", &sound),
    ]);
    let restored = folder.restore(&backup).unwrap();
    assert_eq!(
        restored,
        Restored {
            files: 3,
            removed: 6
        }
    );
    assert_eq!(folder.names(), ["001.png", "bell.wav", "manifest.toml"]);
    let media = folder.media();
    assert_eq!(media.item(2).unwrap().duration_ms(), Some(700));
    assert_eq!(media.item(2).unwrap().title.as_deref(), Some("Bell"));
}

#[test]
fn a_backup_that_is_no_good_changes_nothing() {
    let folder = Folder::new();
    let good = archive(&[("001.png", PNG)]);
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("only an end", vec![0; 1024]),
        ("no archive", b"GIF89a and so on".repeat(100)),
        ("cut", good[..600].to_vec()),
        (
            "a script",
            archive(&[("001.png", PNG), ("002.png", b"#!/bin/sh")]),
        ),
        (
            "a bad manifest",
            archive(&[("manifest.toml", b"[[item]]\nid = 'x'")]),
        ),
        ("a path", odd(b"../evil.png", b"", b'0')),
        ("a bomb", header("001.png", 1 << 32).as_bytes().to_vec()),
        (
            "too long a picture",
            archive(&[("001.svg", &[SVG, &vec![b' '; 20_000]].concat())]),
        ),
    ] {
        assert!(folder.restore(&bytes).is_err(), "{what}");
        assert_eq!(folder.names(), FRESH, "{what}");
    }
    assert!(
        !folder
            .dir
            .path()
            .parent()
            .unwrap()
            .join("evil.png")
            .exists()
    );
}

/// The way in which archives escape the folder they are unpacked to ("zip slip"), and its relatives.
#[test]
fn nothing_but_plain_files_of_one_folder_is_unpacked() {
    let folder = Folder::new();
    let refused = |bytes: &[u8]| {
        let refused = folder.restore(bytes);
        assert!(
            matches!(&refused, Err(ContentError::Archive(why)) if why.contains("in the archive")),
            "{refused:?}"
        );
        assert_eq!(folder.names(), FRESH);
    };
    for name in [
        &b"../001.jpg"[..],
        b"/etc/passwd",
        b"a/b.jpg",
        b"./../x",
        b"..",
        b".hidden",
        b"001.jpg\\..\\x",
        b"C:x",
        b"\xff.jpg",
        b"0 1.jpg",
        b"",
    ] {
        refused(&odd(name, b"", b'0'));
    }
    refused(&odd(b"passwd", b"/etc", b'0'));
    refused(&odd(b"sub/", b"", b'5'));
    for kind in *b"1234679LKSVDM" {
        refused(&odd(b"001.jpg", b"", kind));
    }
}

#[test]
fn a_cut_or_damaged_backup_is_noticed() {
    let folder = Folder::new();
    let good = archive(&[("001.png", PNG), ("002.wav", &test_media::wav(200))]);
    // The two blocks of the end may be missing: some programs leave them out.
    for cut in (1..good.len() - 1024 - 512).step_by(37) {
        let refused = folder.restore(&good[..cut]);
        assert!(refused.is_err(), "cut at {cut}: {refused:?}");
    }
    for at in 0..512 {
        let mut damaged = good.clone();
        damaged[at] ^= 0x01;
        assert!(folder.restore(&damaged).is_err(), "byte {at}");
    }
    assert_eq!(folder.names(), FRESH);
}

/// Archives of other programs: GNU's format, and POSIX's with and without extensions.
#[test]
fn archives_of_the_systems_tar_are_read() {
    for format in ["gnu", "ustar", "posix"] {
        let folder = Folder::new();
        let output = std::process::Command::new("tar")
            .args(["-c", &format!("--format={format}"), "-C"])
            .arg(folder.dir.path())
            .arg(".")
            .output()
            .expect("tar is part of every Linux");
        let restored = folder.restore(&output.stdout).unwrap();
        assert_eq!(
            restored,
            Restored {
                files: 6,
                removed: 0
            },
            "{format}"
        );
    }
}

#[test]
fn a_backup_holds_what_plays_and_nothing_else() {
    let folder = Folder::new();
    folder.manifest("[[item]]\nid = 2\ntitle = 'Two'\n");
    fs::write(folder.dir.path().join("notes.txt"), "not for the public").unwrap();
    let mut backup = Vec::new();
    folder.content.backup(&mut backup).unwrap();
    let other = Folder::new();
    for id in 1..=3 {
        other.content.remove(id, None).unwrap();
    }
    other.restore(&backup).unwrap();
    let mut expected: Vec<&str> = FRESH.to_vec();
    expected.push("manifest.toml");
    assert_eq!(other.names(), expected);
    assert_eq!(other.media().item(2).unwrap().title.as_deref(), Some("Two"));
}
