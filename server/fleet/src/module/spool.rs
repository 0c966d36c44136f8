//! Calls on disk, in order, while a module is down.
//!
//! A file of records: length, CRC-32, bytes. Records are appended at the end and read from the front; when all are
//! read the file is emptied. Each device has a bound: beyond it the oldest of that device is passed over. A record that
//! was cut off by a power cut ends the file.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use prost::Message as _;

use crate::{
    session::Key,
    wire::host::{Request, request::What},
};

/// Bytes of one spool. Reasoning: 1000 statuses of 64 KiB; a card must not fill up by one device.
const SPOOL_BYTES_MAX: u64 = 64 << 20;
/// Passed-over bytes from which the file is written anew.
const WASTE_BYTES_MAX: u64 = 4 << 20;

/// Calls of one car for one module.
pub(crate) struct Spool {
    path: PathBuf,
    file: File,
    read_at: u64,
    end: u64,
    /// Statuses and errors on disk, by device, and how many of the next ones to pass over.
    devices: BTreeMap<Key, Device>,
    records: usize,
    waste: u64,
    per_device: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Device {
    kept: usize,
    skip: usize,
}

/// The device whose data a call carries; those may be passed over.
fn data_of(what: &What) -> Option<Key> {
    match what {
        What::Status(m) | What::Error(m) => m.device.as_ref().map(Key::of),
        _ => None,
    }
}

impl Spool {
    /// Opens the spool at `path`; what an earlier process left is still in it.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub(crate) fn open(path: &Path, per_device: usize) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut spool = Self {
            path: path.to_owned(),
            file,
            read_at: 0,
            end: 0,
            devices: BTreeMap::new(),
            records: 0,
            waste: 0,
            per_device,
        };
        spool.scan()?;
        Ok(spool)
    }

    /// Counts what is there and cuts off what was not written to its end.
    fn scan(&mut self) -> io::Result<()> {
        let mut at = 0;
        while let Some((what, next)) = self.record(at)? {
            if let Some(key) = data_of(&what) {
                self.devices.entry(key).or_default().kept += 1;
            }
            self.records += 1;
            at = next;
        }
        self.end = at;
        self.file.set_len(at)
    }

    /// The record at `at`, and where the next begins. `None`: no whole record is there.
    fn record(&mut self, at: u64) -> io::Result<Option<(What, u64)>> {
        let mut head = [0; 8];
        self.file.seek(SeekFrom::Start(at))?;
        if !read_all(&mut self.file, &mut head)? {
            return Ok(None);
        }
        let word = |n: usize| u32::from_le_bytes([head[n], head[n + 1], head[n + 2], head[n + 3]]);
        let (length, crc) = (word(0) as usize, word(4));
        if length > super::frame::FRAME_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        if !read_all(&mut self.file, &mut bytes)? || crc32(&bytes) != crc {
            return Ok(None);
        }
        let what = Request::decode(&bytes[..]).ok().and_then(|r| r.what);
        Ok(what.map(|what| (what, at + 8 + length as u64)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Records that will still be read.
    pub(crate) fn len(&self) -> usize {
        self.records
    }

    /// Appends a call. Answers how many calls were given up for it: 0 or 1.
    ///
    /// # Errors
    /// Of the disk; the call is lost.
    pub(crate) fn push(&mut self, what: &What) -> io::Result<u64> {
        let key = data_of(what);
        if key.is_some() && (self.per_device == 0 || self.end > SPOOL_BYTES_MAX) {
            return Ok(1);
        }
        let request = Request {
            what: Some(what.clone()),
            ..Request::default()
        };
        let bytes = request.encode_to_vec();
        let mut record = Vec::with_capacity(8 + bytes.len());
        record.extend((bytes.len() as u32).to_le_bytes());
        record.extend(crc32(&bytes).to_le_bytes());
        record.extend(&bytes);
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&record)?;
        self.end += record.len() as u64;
        self.records += 1;
        let Some(key) = key else {
            return Ok(0);
        };
        let device = self.devices.entry(key).or_default();
        device.kept += 1;
        if device.kept <= self.per_device {
            return Ok(0);
        }
        device.kept -= 1;
        device.skip += 1;
        self.records -= 1;
        self.waste += record.len() as u64;
        if self.waste > WASTE_BYTES_MAX {
            self.rewrite()?;
        }
        Ok(1)
    }

    /// Takes out the oldest call.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) fn pop(&mut self) -> io::Result<Option<What>> {
        while let Some((what, next)) = self.record(self.read_at)? {
            self.read_at = next;
            if let Some(key) = data_of(&what) {
                let device = self.devices.entry(key).or_default();
                if device.skip > 0 {
                    device.skip -= 1;
                    continue;
                }
                device.kept -= 1;
            }
            self.records -= 1;
            if self.records == 0 {
                self.clear()?;
            }
            return Ok(Some(what));
        }
        self.clear()?;
        Ok(None)
    }

    fn clear(&mut self) -> io::Result<()> {
        (self.read_at, self.end, self.records, self.waste) = (0, 0, 0, 0);
        self.devices.clear();
        self.file.set_len(0)
    }

    /// Copies what is still wanted to a new file.
    fn rewrite(&mut self) -> io::Result<()> {
        let path = self.path.with_extension("new");
        let _ = std::fs::remove_file(&path);
        let mut fresh = Self::open(&path, usize::MAX)?;
        while let Some(what) = self.pop()? {
            fresh.push(&what)?;
        }
        std::fs::rename(&path, &self.path)?;
        fresh.path.clone_from(&self.path);
        fresh.per_device = self.per_device;
        *self = fresh;
        Ok(())
    }
}

/// Fills `buffer`; false when the file ends before.
fn read_all(file: &mut File, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::host::{Left, Payload};

    fn status(role: &str, n: usize) -> What {
        What::Status(Payload {
            device: Some(crate::wire::Device {
                device_role: role.into(),
                ..Default::default()
            }),
            data: n.to_string().into(),
        })
    }

    fn drain(spool: &mut Spool) -> Vec<String> {
        std::iter::from_fn(|| spool.pop().unwrap())
            .map(|what| match what {
                What::Status(m) => {
                    let role = m.device.unwrap().device_role;
                    format!("{role}{}", String::from_utf8(m.data).unwrap())
                }
                _ => "left".into(),
            })
            .collect()
    }

    #[test]
    fn calls_come_back_in_order_and_the_file_ends_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.spool");
        let mut spool = Spool::open(&path, 10).unwrap();
        for n in 0..3 {
            assert_eq!(spool.push(&status("a", n)).unwrap(), 0);
        }
        spool.push(&What::Disconnected(Left::default())).unwrap();
        assert_eq!(drain(&mut spool), ["a0", "a1", "a2", "left"]);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn each_device_has_its_own_bound_and_loses_its_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(&dir.path().join("s"), 3).unwrap();
        let mut lost = 0;
        for n in 0..10 {
            lost += spool.push(&status("a", n)).unwrap();
        }
        spool.push(&status("b", 0)).unwrap();
        spool.push(&What::Disconnected(Left::default())).unwrap();
        assert_eq!((lost, spool.len()), (7, 5));
        assert_eq!(drain(&mut spool), ["a7", "a8", "a9", "b0", "left"]);
    }

    #[test]
    fn another_process_finds_it_and_a_cut_record_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let mut spool = Spool::open(&path, 3).unwrap();
        spool.push(&status("a", 1)).unwrap();
        spool.push(&status("a", 2)).unwrap();
        drop(spool);
        let length = std::fs::metadata(&path).unwrap().len();
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(length - 1)
            .unwrap();
        let mut spool = Spool::open(&path, 3).unwrap();
        assert_eq!(drain(&mut spool), ["a1"]);
        spool.push(&status("a", 3)).unwrap();
        assert_eq!(drain(&mut spool), ["a3"]);
    }

    #[test]
    fn a_long_outage_does_not_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let mut spool = Spool::open(&path, 5).unwrap();
        let big = |n: usize| {
            What::Status(Payload {
                device: Some(crate::wire::Device::default()),
                data: vec![n as u8; 100_000],
            })
        };
        for n in 0..200 {
            spool.push(&big(n)).unwrap();
        }
        assert!(std::fs::metadata(&path).unwrap().len() < 6 << 20);
        let first = spool.pop().unwrap().unwrap();
        assert_eq!(first, big(195));
        assert_eq!(std::iter::from_fn(|| spool.pop().unwrap()).count(), 4);
    }
}
