//! Who turns an RS-485 transceiver around: the kernel, where the port can.
//!
//! In the kernel's RS-485 mode the driver switches RTS within a bit time of the first and the last character;
//! no program can do that as well, so that none of ours tries. Adapters that turn themselves around, as most on
//! USB do, know no such mode and need none.

use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::ioctl::{Getter, Setter, ioctl};

/// Level of RTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// RTS is low while sending and high while listening.
    LowOnSend,
    /// The other way around.
    HighOnSend,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// The kernel turns the transceiver.
    ByKernel,
    /// The port has no such mode; the adapter turns itself, or nobody does.
    ByItself,
}

/// `struct serial_rs485` of the kernel's interface, `linux/serial.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Settings {
    flags: u32,
    delay_rts_before_send: u32,
    delay_rts_after_send: u32,
    padding: [u32; 5],
}

const ENABLED: u32 = 1 << 0;
const RTS_ON_SEND: u32 = 1 << 1;
const RTS_AFTER_SEND: u32 = 1 << 2;
const TIOCGRS485: rustix::ioctl::Opcode = 0x542E;
const TIOCSRS485: rustix::ioctl::Opcode = 0x542F;

impl Settings {
    const fn of(direction: Direction) -> Self {
        Self {
            flags: ENABLED
                | match direction {
                    Direction::LowOnSend => RTS_AFTER_SEND,
                    Direction::HighOnSend => RTS_ON_SEND,
                },
            delay_rts_before_send: 0,
            delay_rts_after_send: 0,
            padding: [0; 5],
        }
    }
}

/// Lets the kernel turn the transceiver of an open port.
///
/// # Errors
/// The port has the mode and refuses it, or does it the other way around: it would talk over its own answers.
pub fn turn<F: AsFd>(port: F, direction: Direction) -> Result<Turned, Errno> {
    let wanted = Settings::of(direction);
    match set(&port, wanted) {
        Ok(()) => {}
        // No such mode; the kernel's drivers use all three for it.
        Err(Errno::NOTTY | Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Turned::ByItself),
        Err(error) => return Err(error),
    }
    // A driver may silently keep only what it can do.
    let polarity = RTS_ON_SEND | RTS_AFTER_SEND;
    let got = get(&port)?;
    if got.flags & ENABLED == 0 || got.flags & polarity != wanted.flags & polarity {
        return Err(Errno::INVAL);
    }
    Ok(Turned::ByKernel)
}

// The kernel's interface has no safe wrapper in the crates we use.
#[allow(unsafe_code)]
fn set<F: AsFd>(port: F, settings: Settings) -> Result<(), Errno> {
    // SAFETY: TIOCSRS485 takes a pointer to `struct serial_rs485`, which `Settings` repeats field by field,
    // padding included; the kernel copies from it and keeps no pointer.
    unsafe { ioctl(port, Setter::<TIOCSRS485, Settings>::new(settings)) }
}

#[allow(unsafe_code)]
fn get<F: AsFd>(port: F) -> Result<Settings, Errno> {
    // SAFETY: TIOCGRS485 fills a `struct serial_rs485`, of the size and layout of `Settings`; any bits are
    // valid numbers.
    unsafe { ioctl(port, Getter::<TIOCGRS485, Settings>::new()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_structure_is_the_kernels() {
        assert_eq!(size_of::<Settings>(), 32);
        assert_eq!(Settings::of(Direction::LowOnSend).flags, 0b101);
        assert_eq!(Settings::of(Direction::HighOnSend).flags, 0b011);
    }

    #[test]
    fn a_line_without_the_mode_turns_itself() {
        let pty = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR).unwrap();
        assert_eq!(turn(&pty, Direction::LowOnSend), Ok(Turned::ByItself));
    }
}
