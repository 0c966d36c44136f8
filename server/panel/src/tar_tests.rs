#![allow(clippy::unwrap_used)]
use super::*;

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in files {
        let size = bytes.len() as u64;
        out.extend_from_slice(&header(name, size, 1_700_000_000));
        out.extend_from_slice(bytes);
        out.resize(out.len() + padding(size), 0);
    }
    out.extend_from_slice(&END);
    out
}

/// The header of a file with another name and type than we would write, with a right check sum.
fn odd(name: &[u8], kind: u8) -> Vec<u8> {
    let mut block = header("x", 0, 0);
    block[..name.len()].copy_from_slice(name);
    block[156] = kind;
    let sum = format!("{:06o}\0 ", checksum(&block));
    block[148..156].copy_from_slice(sum.as_bytes());
    block.to_vec()
}

type Files = Vec<(String, Vec<u8>)>;

/// Reads in bites of `bite` bytes.
fn read(bytes: &[u8], bite: usize) -> Result<Files, TarError> {
    let mut reader = Reader::default();
    let mut files: Files = Vec::new();
    for mut chunk in bytes.chunks(bite) {
        while let Some(piece) = reader.next(&mut chunk)? {
            match piece {
                Piece::File { name, .. } => files.push((name, Vec::new())),
                Piece::Data(data) => files.last_mut().unwrap().1.extend_from_slice(data),
                Piece::FileEnd => {}
            }
        }
        assert!(chunk.is_empty());
    }
    reader.finish()?;
    Ok(files)
}

#[test]
fn what_was_written_is_read_in_bites_of_any_size() {
    let long = vec![7; 1300];
    let block = vec![9; BLOCK];
    let files: [(&str, &[u8]); 4] = [
        ("001.jpg", &long),
        ("001.mp3", &block),
        ("empty", b""),
        ("manifest.toml", b"[[item]]"),
    ];
    let bytes = archive(&files);
    assert_eq!(bytes.len() % BLOCK, 0);
    for bite in [1, 7, 511, 512, 513, 100_000] {
        let got = read(&bytes, bite).unwrap();
        let got: Vec<(&str, &[u8])> = got
            .iter()
            .map(|(n, b)| (n.as_str(), b.as_slice()))
            .collect();
        assert_eq!(got, files, "bites of {bite}");
    }
}

/// The way in which archives escape the folder they are unpacked to ("zip slip"), and its relatives.
#[test]
fn nothing_but_plain_files_of_one_folder_is_taken() {
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
        b".",
    ] {
        let mut bytes = odd(name, b'0');
        // An empty name: the block is not empty, the name is.
        if name.is_empty() {
            bytes[0] = 0;
            let block: [u8; BLOCK] = bytes.as_slice().try_into().unwrap();
            let sum = format!("{:06o}\0 ", checksum(&block));
            bytes[148..156].copy_from_slice(sum.as_bytes());
        }
        let refused = read(&bytes, 100);
        assert!(
            matches!(refused, Err(TarError::BadName(_))),
            "{name:?}: {refused:?}"
        );
    }
    for kind in [b'1', b'2', b'3', b'4', b'6', b'7', b'L', b'K', b'S', b'V'] {
        let refused = read(&odd(b"001.jpg", kind), 100);
        assert_eq!(refused, Err(TarError::NoFile("001.jpg".into())), "{kind}");
    }
    assert!(matches!(
        read(&odd(b"sub/", b'5'), 100),
        Err(TarError::NoFile(_))
    ));
    assert_eq!(read(&odd(b"./\0", b'5'), 100), Ok(vec![]));
}

#[test]
fn a_prefix_belongs_to_the_name() {
    let mut block = odd(b"passwd\0", b'0');
    block[345..349].copy_from_slice(b"/etc");
    let whole: [u8; BLOCK] = block.as_slice().try_into().unwrap();
    let sum = format!("{:06o}\0 ", checksum(&whole));
    block[148..156].copy_from_slice(sum.as_bytes());
    assert_eq!(
        read(&block, 512),
        Err(TarError::BadName("/etc/passwd".into()))
    );
}

#[test]
fn damage_is_noticed() {
    let bytes = archive(&[("001.jpg", &[1; 600])]);
    for cut in 1..bytes.len() - END.len() {
        assert_eq!(read(&bytes[..cut], 64), Err(TarError::Cut), "cut at {cut}");
    }
    // Without the empty blocks it is whole all the same.
    assert_eq!(
        read(&bytes[..bytes.len() - END.len()], 64).unwrap().len(),
        1
    );
    for at in 0..BLOCK {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x01;
        assert!(read(&damaged, 512).is_err(), "byte {at}");
    }
    assert_eq!(
        read(b"PK\x03\x04 this is a zip archive", 10),
        Err(TarError::Cut)
    );
    assert_eq!(read(&[b'A'; 600], 10), Err(TarError::NotTar));
}

#[test]
fn sizes_that_other_programs_write_in_another_way_are_refused() {
    let mut block = header("001.jpg", 5, 0);
    block[124] = 0x80;
    let sum = format!("{:06o}\0 ", checksum(&block));
    block[148..156].copy_from_slice(sum.as_bytes());
    assert_eq!(read(&block, 512), Err(TarError::NotTar));
}

/// Archives of other programs: GNU's two formats and POSIX's with its extensions.
#[test]
fn archives_of_the_systems_tar_are_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("001.svg"), "<svg/>").unwrap();
    std::fs::write(dir.path().join("001.wav"), vec![1; 5000]).unwrap();
    for format in ["gnu", "ustar", "posix"] {
        let output = std::process::Command::new("tar")
            .args(["-c", "--sort=name", &format!("--format={format}"), "-C"])
            .arg(dir.path())
            .arg(".")
            .output()
            .expect("tar is part of every Linux");
        let files = read(&output.stdout, 4096).unwrap();
        let names: Vec<_> = files.iter().map(|(n, b)| (n.as_str(), b.len())).collect();
        assert_eq!(names, [("001.svg", 6), ("001.wav", 5000)], "{format}");
    }
}
