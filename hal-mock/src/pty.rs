//! A pseudo-terminal in raw mode: the far end of a serial cable.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The end that a simulated device holds. Dropping it hangs the other end up, as pulling the plug does.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
    path: PathBuf,
}

impl Pty {
    /// A new pair.
    ///
    /// # Errors
    /// The system has no more pseudo-terminals.
    pub fn open() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(
            ptsname(&master, Vec::new())?
                .into_string()
                .map_err(io::Error::other)?,
        );
        // Nothing may be echoed or translated even before the gateway has set up its end.
        let mut settings = tcgetattr(&master)?;
        settings.make_raw();
        tcsetattr(&master, OptionalActions::Now, &settings)?;
        // A gateway that does not read must not block the device.
        fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        Ok(Self { master, path })
    }

    /// The device file of the other end.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits at most `patience` for bytes. 0 = nothing came, or nobody has the other end open.
    ///
    /// # Errors
    /// As the system reports.
    pub fn read(&self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        let wait = Timespec {
            tv_sec: patience.as_secs() as i64,
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        match poll(&mut fds, Some(&wait)) {
            Ok(0) | Err(Errno::INTR) => return Ok(0),
            Ok(_) => {}
            Err(e) => return Err(e.into()),
        }
        match rustix::io::read(&self.master, buffer) {
            Ok(n) => Ok(n),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            // Nobody has the other end open; poll would answer at once for ever.
            Err(Errno::IO) => {
                std::thread::sleep(patience.min(Duration::from_millis(20)));
                Ok(0)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Sends bytes. What the other end's full buffer does not take is lost, as on a real line.
    ///
    /// # Errors
    /// As the system reports.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.try_write(bytes).map(|_| ())
    }

    /// Sends as many bytes as the other end's buffer takes and returns their number, for a device that
    /// waits for its reader.
    ///
    /// # Errors
    /// As the system reports.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match rustix::io::write(&self.master, bytes) {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => Ok(0),
            Err(e) => Err(e.into()),
        }
    }
}

/// Points the stable name `link` at `target`, replacing what it pointed at before in one step.
///
/// # Errors
/// As the system reports.
pub fn link(target: &Path, link: &Path) -> io::Result<()> {
    let mut fresh = link.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    match std::fs::remove_file(&fresh) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    std::os::unix::fs::symlink(target, &fresh)?;
    std::fs::rename(&fresh, link)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn bytes_cross_unchanged_in_both_directions() {
        let pty = Pty::open().unwrap();
        let mut far = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(pty.path())
            .unwrap();
        let all: Vec<u8> = (0..=255).collect();
        far.write_all(&all).unwrap();
        let mut got = Vec::new();
        let mut buffer = [0; 64];
        while got.len() < all.len() {
            let n = pty.read(&mut buffer, Duration::from_secs(5)).unwrap();
            got.extend_from_slice(&buffer[..n]);
        }
        assert_eq!(got, all);
        pty.write(&all).unwrap();
        let mut back = vec![0; all.len()];
        far.read_exact(&mut back).unwrap();
        assert_eq!(back, all);
    }

    #[test]
    fn a_pulled_plug_is_a_hang_up() {
        let pty = Pty::open().unwrap();
        let mut far = std::fs::File::open(pty.path()).unwrap();
        drop(pty);
        let mut buffer = [0; 1];
        assert!(matches!(far.read(&mut buffer), Ok(0) | Err(_)));
    }
}
