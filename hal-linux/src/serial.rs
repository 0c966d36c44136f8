//! Serial lines: UARTs, USB adapters, pseudo-terminals.

use crate::lock::Lock;
use leitstand_core::hal::{PortError, SerialPort};
use leitstand_core::modbus::line::{Line, Parity};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, ioctl_fionread};
use rustix::termios::{
    ControlModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, ioctl_tiocexcl,
    tcflush, tcgetattr, tcsetattr,
};
use std::path::Path;
use std::time::{Duration, Instant};

/// A write may take this long beyond the time of its characters; then the line counts as gone.
const WRITE_PATIENCE: Duration = Duration::from_millis(500);

/// An open line, exclusively ours.
///
/// Raw 8-bit characters, one stop bit, no flow control. DTR and RTS are never touched: they reset boards and
/// turn transceivers around. HUPCL is cleared, so that closing does not drop them either.
#[derive(Debug)]
pub struct Port {
    device: OwnedFd,
    line: Line,
    _lock: Lock,
}

impl Port {
    /// Opens the device file at `path`, a link or not, and drops what was received before.
    ///
    /// # Errors
    /// [`PortError::NotFound`] nothing there, retry later; [`PortError::Busy`] somebody else holds it;
    /// [`PortError::Denied`] the user is not in the device's group; [`PortError::Io`] with `EINVAL` when the
    /// device cannot do the baud rate, with `ENOTTY` when it is no serial line.
    pub fn open(path: &Path, line: Line) -> Result<Self, PortError> {
        let path = path
            .canonicalize()
            .map_err(|error| Errno::from_io_error(&error).map_or(PortError::NotFound, refused))?;
        let lock = Lock::take(&path)?;
        // Without NONBLOCK the open itself would wait for a carrier.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let device = rustix::fs::open(&path, flags, Mode::empty()).map_err(refused)?;
        let mut settings = tcgetattr(&device).map_err(refused)?;
        ioctl_tiocexcl(&device).map_err(refused)?;
        prepare(&mut settings, line).map_err(refused)?;
        tcsetattr(&device, OptionalActions::Now, &settings).map_err(refused)?;
        let speed = tcgetattr(&device).map_err(refused)?.output_speed();
        if speed.abs_diff(line.baud) * 100 > line.baud * 3 {
            return Err(PortError::Io(Errno::INVAL.raw_os_error()));
        }
        tcflush(&device, QueueSelector::IOFlush).map_err(refused)?;
        Ok(Self {
            device,
            line,
            _lock: lock,
        })
    }

    /// Waits for one of `events` or a hang-up until `deadline`. False = the time is over.
    fn wait(&self, events: PollFlags, deadline: Instant) -> Result<bool, PortError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let mut fds = [PollFd::new(&self.device, events)];
            match poll(&mut fds, Some(&wait)) {
                Ok(0) => return Ok(false),
                Ok(_) => {
                    let ready = fds[0].revents();
                    // What was received before a hang-up is still delivered.
                    if ready.intersects(events) {
                        return Ok(true);
                    }
                    return Err(PortError::Gone);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(lost(error)),
            }
        }
    }
}

/// For settings that only some lines have, as [`rs485`](crate::rs485).
impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

impl SerialPort for Port {
    fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, PortError> {
        let deadline = Instant::now() + timeout;
        while self.wait(PollFlags::IN, deadline)? {
            match rustix::io::read(&self.device, &mut *buffer) {
                // Readable without a byte is how a hang-up shows.
                Ok(0) if !buffer.is_empty() => return Err(PortError::Gone),
                Ok(count) => return Ok(count),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(lost(error)),
            }
        }
        Ok(0)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        let deadline = Instant::now() + self.line.span(bytes.len()) + WRITE_PATIENCE;
        let mut rest = bytes;
        while !rest.is_empty() {
            if !self.wait(PollFlags::OUT, deadline)? {
                return Err(PortError::Gone);
            }
            match rustix::io::write(&self.device, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(lost(error)),
            }
        }
        Ok(())
    }

    fn discard_input(&mut self) -> Result<usize, PortError> {
        let waiting = ioctl_fionread(&self.device).map_err(lost)?;
        tcflush(&self.device, QueueSelector::IFlush).map_err(lost)?;
        Ok(usize::try_from(waiting).unwrap_or(usize::MAX))
    }
}

/// Raw mode at the line's speed; reads return what is there.
fn prepare(settings: &mut Termios, line: Line) -> Result<(), Errno> {
    settings.make_raw();
    let off = ControlModes::CSIZE
        | ControlModes::CSTOPB
        | ControlModes::PARENB
        | ControlModes::PARODD
        | ControlModes::CRTSCTS
        | ControlModes::HUPCL;
    settings.control_modes.remove(off);
    settings
        .control_modes
        .insert(ControlModes::CS8 | ControlModes::CREAD | ControlModes::CLOCAL);
    match line.parity {
        Parity::None => {}
        Parity::Even => settings.control_modes.insert(ControlModes::PARENB),
        Parity::Odd => settings
            .control_modes
            .insert(ControlModes::PARENB | ControlModes::PARODD),
    }
    settings.special_codes[SpecialCodeIndex::VMIN] = 1;
    settings.special_codes[SpecialCodeIndex::VTIME] = 0;
    settings.set_speed(line.baud)
}

/// While opening.
fn refused(error: Errno) -> PortError {
    match error {
        Errno::NOENT | Errno::NXIO | Errno::NODEV | Errno::NOTDIR => PortError::NotFound,
        // The device went while it was being opened.
        Errno::IO => PortError::NotFound,
        Errno::BUSY => PortError::Busy,
        Errno::ACCESS | Errno::PERM => PortError::Denied,
        other => PortError::Io(other.raw_os_error()),
    }
}

/// While open.
fn lost(error: Errno) -> PortError {
    match error {
        Errno::IO | Errno::NODEV | Errno::NXIO | Errno::PIPE => PortError::Gone,
        other => PortError::Io(other.raw_os_error()),
    }
}

#[cfg(test)]
mod tests;
