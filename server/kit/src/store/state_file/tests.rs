//! Power cuts are played on a model of a disk: content that was not synced may be cut at any byte or hold zeros,
//! and of the names that were changed since the last sync of the directory any number of the newest may be lost.

#![allow(clippy::unwrap_used)]
use std::{cell::RefCell, collections::BTreeMap};

use super::*;

/// Names point at inodes, inodes hold content; both have what the programs see and what a power cut leaves.
#[derive(Clone, Default)]
struct Model {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    /// States of `names` since the last sync of the directory, oldest first.
    history: Vec<BTreeMap<PathBuf, usize>>,
}

#[derive(Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    synced: Option<Vec<u8>>,
}

/// A disk that loses power before operation number `cut_at`; a write counts one operation per byte.
struct CutDisk {
    model: RefCell<Model>,
    done: RefCell<usize>,
    cut_at: usize,
    links: bool,
}

impl CutDisk {
    fn new(model: Model, cut_at: usize, links: bool) -> Self {
        Self {
            model: RefCell::new(model),
            done: RefCell::new(0),
            cut_at,
            links,
        }
    }

    fn tick(&self) -> io::Result<()> {
        let mut done = self.done.borrow_mut();
        if *done == self.cut_at {
            return Err(io::Error::other("power cut"));
        }
        *done += 1;
        Ok(())
    }

    fn rename_names(
        &self,
        change: impl FnOnce(&mut BTreeMap<PathBuf, usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.tick()?;
        let mut model = self.model.borrow_mut();
        let before = model.names.clone();
        change(&mut model.names)?;
        model.history.push(before);
        Ok(())
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for CutDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let model = self.model.borrow();
        let inode = *model.names.get(path).ok_or_else(missing)?;
        Ok(model.inodes[inode].seen.clone())
    }
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.rename_names(|names| {
            names.remove(path);
            Ok(())
        })?;
        let inode = self.model.borrow().inodes.len();
        self.model.borrow_mut().inodes.push(Inode::default());
        self.rename_names(|names| {
            names.insert(path.to_owned(), inode);
            Ok(())
        })?;
        for byte in bytes {
            self.tick()?;
            self.model.borrow_mut().inodes[inode].seen.push(*byte);
        }
        Ok(())
    }
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.tick()?;
        let mut model = self.model.borrow_mut();
        let inode = *model.names.get(path).ok_or_else(missing)?;
        model.inodes[inode].synced = Some(model.inodes[inode].seen.clone());
        Ok(())
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !self.links {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.rename_names(|names| {
            let inode = *names.get(from).ok_or_else(missing)?;
            names.insert(to.to_owned(), inode);
            Ok(())
        })
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_names(|names| {
            let inode = names.remove(from).ok_or_else(missing)?;
            names.insert(to.to_owned(), inode);
            Ok(())
        })
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.model.borrow().names.contains_key(path) {
            return Err(missing());
        }
        self.rename_names(|names| {
            names.remove(path);
            Ok(())
        })
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.tick()?;
        self.model.borrow_mut().history.clear();
        Ok(())
    }
}

/// All disks that a power cut may leave behind.
fn after_the_cut(model: &Model) -> Vec<Model> {
    let mut names = model.history.clone();
    names.push(model.names.clone());
    let mut disks = Vec::new();
    for names in names {
        for zeros in [false, true] {
            let longest = model.inodes.iter().map(|i| i.seen.len()).max().unwrap_or(0);
            for keep in [0, 1, longest / 2, longest] {
                let inodes = model
                    .inodes
                    .iter()
                    .map(|inode| {
                        let seen = inode.synced.clone().unwrap_or_else(|| {
                            let keep = keep.min(inode.seen.len());
                            if zeros {
                                vec![0; keep]
                            } else {
                                inode.seen[..keep].to_vec()
                            }
                        });
                        Inode {
                            synced: Some(seen.clone()),
                            seen,
                        }
                    })
                    .collect();
                disks.push(Model {
                    inodes,
                    names: names.clone(),
                    history: Vec::new(),
                });
            }
        }
    }
    disks
}

fn loaded(model: &Model) -> Result<Loaded, LoadError> {
    load_from(
        &CutDisk::new(model.clone(), usize::MAX, true),
        Path::new("s/status"),
    )
}

fn saved(model: Model, bytes: &[u8], links: bool) -> Model {
    let disk = CutDisk::new(model, usize::MAX, links);
    save_on(&disk, Path::new("s/status"), bytes).unwrap();
    disk.model.into_inner()
}

#[test]
fn power_cut_at_any_byte_of_a_save_then_the_next_start_succeeds() {
    for links in [true, false] {
        let two_saves = saved(saved(Model::default(), b"one", links), b"two", links);
        let mut cuts = 0;
        for cut_at in 0.. {
            let disk = CutDisk::new(two_saves.clone(), cut_at, links);
            let result = save_on(&disk, Path::new("s/status"), b"three, which is longer");
            let model = disk.model.into_inner();
            for left in after_the_cut(&model) {
                let found =
                    loaded(&left).unwrap_or_else(|e| panic!("cut at {cut_at}, links {links}: {e}"));
                let text = String::from_utf8(found.bytes).unwrap();
                assert!(
                    ["two", "three, which is longer"].contains(&text.as_str()),
                    "cut at {cut_at}: {text}"
                );
                // And the next save after that start works as well.
                assert_eq!(loaded(&saved(left, b"four", links)).unwrap().bytes, b"four");
                cuts += 1;
            }
            if result.is_ok() {
                assert_eq!(loaded(&model).unwrap().bytes, b"three, which is longer");
                break;
            }
        }
        assert!(cuts > 200, "the model cut at {cuts} places only");
    }
}

#[test]
fn power_cut_in_the_very_first_save_is_a_first_start() {
    for cut_at in 0.. {
        let disk = CutDisk::new(Model::default(), cut_at, true);
        let result = save_on(&disk, Path::new("s/status"), b"one");
        for left in after_the_cut(&disk.model.into_inner()) {
            match loaded(&left) {
                Ok(found) => assert_eq!(found.bytes, b"one"),
                Err(LoadError::Missing(_)) => {}
                Err(other) => panic!("cut at {cut_at}: {other}"),
            }
        }
        if result.is_ok() {
            break;
        }
    }
}

#[test]
fn a_save_reaches_the_disk_before_it_answers() {
    let model = saved(saved(Model::default(), b"one", true), b"two", true);
    for left in after_the_cut(&model) {
        assert_eq!(
            loaded(&left).unwrap(),
            Loaded {
                bytes: b"two".to_vec(),
                generation: Generation::Current
            }
        );
    }
}

#[test]
fn any_damaged_byte_and_any_truncation_falls_back_to_the_previous_generation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status");
    save(&path, b"previous").unwrap();
    save(&path, b"current").unwrap();
    let whole = fs::read(&path).unwrap();
    let previous = Loaded {
        bytes: b"previous".to_vec(),
        generation: Generation::Previous,
    };
    for index in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        assert_eq!(load(&path).unwrap(), previous, "byte {index} damaged");
        fs::write(&path, &whole[..index]).unwrap();
        assert_eq!(load(&path).unwrap(), previous, "cut to {index} bytes");
    }
    fs::write(&path, [&whole[..], b"!"].concat()).unwrap();
    assert_eq!(load(&path).unwrap(), previous, "a byte too many");
}

#[test]
fn a_broken_current_file_never_replaces_the_good_previous_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status");
    save(&path, b"one").unwrap();
    save(&path, b"two").unwrap();
    fs::write(&path, b"broken").unwrap();
    save(&path, b"three").unwrap();
    fs::write(&path, b"broken again").unwrap();
    assert_eq!(load(&path).unwrap().bytes, b"one");
}

#[test]
fn missing_and_corrupt_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status");
    assert!(matches!(load(&path), Err(LoadError::Missing(_))));
    fs::write(&path, b"").unwrap();
    assert!(matches!(load(&path), Err(LoadError::BothCorrupt(_))));
    fs::write(beside(&path, ".1"), b"LEITSTF1").unwrap();
    assert!(matches!(load(&path), Err(LoadError::BothCorrupt(_))));
    fs::remove_file(&path).unwrap();
    assert!(matches!(load(&path), Err(LoadError::BothCorrupt(_))));
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing folder").join("status");
    let error = save(&path, b"x").unwrap_err();
    assert_eq!((error.step, error.path), ("writing", beside(&path, ".tmp")));
    assert!(matches!(
        save(&path, &vec![0; PAYLOAD_BYTES_MAX + 1]),
        Err(SaveError {
            step: "bounding",
            ..
        })
    ));
}
