//! One owner per device file, also against root.
//!
//! `TIOCEXCL` keeps other programs out, but not those of root, so a lock on a file of our own stands beside it.
//! The file stays behind when the lock ends: removing it would let two programs lock two files of one name.

use leitstand_core::hal::PortError;
use rustix::fs::{FlockOperation, Mode, OFlags, fchmod, flock, open};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Where lock files go: the first folder that exists. Cleared at boot on any Linux.
const FOLDERS: [&str; 2] = ["/run/lock", "/tmp"];

/// Held while the device is open.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `device`, whose links are resolved already.
    ///
    /// # Errors
    /// [`PortError::Busy`] when somebody holds it; others when the file cannot be made.
    pub(crate) fn take(device: &Path) -> Result<Self, PortError> {
        let path = path_for(device);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // In a folder that all may write to, the system refuses to create over another user's file; opening
        // that file for reading is enough to lock it.
        let made = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let opened = match open(&path, flags, Mode::empty()) {
            Err(Errno::NOENT) => match open(&path, flags | OFlags::CREATE | OFlags::EXCL, made) {
                Err(Errno::EXIST) => open(&path, flags, Mode::empty()),
                // Others must be able to read it whatever our umask is, or they take "locked" for "forbidden".
                created => created.and_then(|file| fchmod(&file, made).map(|()| file)),
            },
            opened => opened,
        };
        let file = File::from(opened.map_err(|error| PortError::Io(error.raw_os_error()))?);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(PortError::Busy),
            Err(error) => Err(PortError::Io(error.raw_os_error())),
        }
    }
}

fn path_for(device: &Path) -> PathBuf {
    let folder = FOLDERS.iter().map(Path::new).find(|path| path.is_dir());
    let name: String = device
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    folder
        .unwrap_or(Path::new("/tmp"))
        .join(format!("leitstand{name}.lock"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_second_taker_is_refused_until_the_first_lets_go() {
        let device = PathBuf::from(format!("/dev/no such device {}", std::process::id()));
        let first = Lock::take(&device).unwrap();
        assert_eq!(Lock::take(&device).err(), Some(PortError::Busy));
        drop(first);
        assert!(Lock::take(&device).is_ok());
        std::fs::remove_file(path_for(&device)).unwrap();
    }
}
