//! What goes into a master and what comes out.

use super::super::frame::{Frame, Request, Table, Words};
use super::config::DeviceIndex;
use heapless::Vec;

/// Most data bytes of one answer.
pub const DATA_MAX: usize = 250;

/// What can happen to a master.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The port was opened, at the start or again. Nothing is sent before; dead devices get a fresh chance.
    Opened,
    /// The port is lost. What was under way counts as failed; nothing is sent until it is opened again.
    Closed,
    /// Bytes came in, the last of them not after now.
    Received(&'a [u8]),
    /// So many unread bytes were dropped at [`Output::DiscardInput`].
    Discarded(usize),
    /// Write once, before the next poll, and say how it went under this token.
    Write {
        /// To which device.
        device: DeviceIndex,
        /// Comes back in [`Output::Written`].
        token: u32,
        /// What.
        write: Write,
    },
    /// The wanted states of a device's image: bit 0 is its first coil. Written at once when it changed, and
    /// again at every poll.
    Image {
        /// Which device. One without an image ignores it.
        device: DeviceIndex,
        /// One bit a coil.
        bits: u16,
    },
}

/// A write that is made once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Function 5.
    Coil {
        /// Coil, from 0.
        coil: u16,
        /// New state.
        on: bool,
    },
    /// Function 6.
    Register {
        /// Register, from 0.
        register: u16,
        /// New value.
        value: u16,
    },
    /// Function 8.
    Diagnostic {
        /// Sub-function; 1 = restart communication.
        sub: u16,
        /// Data word.
        data: u16,
    },
}

impl Write {
    /// As a request.
    #[must_use]
    pub const fn request(self) -> Request<'static> {
        match self {
            Self::Coil { coil, on } => Request::WriteCoil { coil, on },
            Self::Register { register, value } => Request::WriteRegister { register, value },
            Self::Diagnostic { sub, data } => Request::Diagnostic { sub, data },
        }
    }
}

/// Why a poll or a write brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No answer in time, or the port is lost.
    Timeout,
    /// A wrong checksum.
    Crc,
    /// The device refused, with this code; never 6 (busy).
    Exception(u8),
    /// An answer of the wrong length or kind.
    Length,
}

/// How a device is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceState {
    /// Not asked yet since the port was opened.
    #[default]
    Waiting,
    /// The last poll succeeded.
    Good,
    /// The last one or two polls failed.
    Retrying,
    /// The device said it was busy (exception 6). Its old value stays, with its age.
    Busy,
    /// Three polls in a row failed: asked only now and then, with one short try.
    Probe,
}

impl DeviceState {
    /// Not known to be dead.
    #[must_use]
    pub const fn is_alive(self) -> bool {
        !matches!(self, Self::Probe)
    }
}

/// The data of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    pub(super) table: Table,
    pub(super) bytes: Vec<u8, DATA_MAX>,
}

impl Data {
    /// The registers; none for coils and discrete inputs.
    #[must_use]
    pub fn words(&self) -> Words<'_> {
        match self.table {
            Table::Holding | Table::Input => Words::new(&self.bytes).unwrap_or_default(),
            Table::Coils | Table::Discrete => Words::default(),
        }
    }

    /// Coil or discrete input `at`, from 0 at the read's start. `None` beyond the data and for registers.
    #[must_use]
    pub fn coil(&self, at: u16) -> Option<bool> {
        match self.table {
            Table::Coils | Table::Discrete => {
                let byte = self.bytes.get(usize::from(at / 8))?;
                Some(byte & 1 << (at % 8) != 0)
            }
            Table::Holding | Table::Input => None,
        }
    }

    /// Packed as on the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a master asks of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // without alloc there is no box, and outputs are consumed at once
pub enum Output {
    /// Drop what was received and not read yet. Comes right before every [`Transmit`](Self::Transmit).
    DiscardInput,
    /// Send these bytes without a pause.
    Transmit(Frame),
    /// A read succeeded.
    Answer {
        /// Of which device.
        device: DeviceIndex,
        /// Position in the device's plan.
        read: u8,
        /// What it brought.
        data: Data,
    },
    /// A poll failed, with all its retries. Comes once a poll; reads that came before it stay good.
    Failure {
        /// Of which device.
        device: DeviceIndex,
        /// Of the last try.
        kind: Failure,
    },
    /// A poll ended because the device is busy: no new value, no fault.
    Busy {
        /// Which device.
        device: DeviceIndex,
    },
    /// A write of [`Input::Write`] ended.
    Written {
        /// To which device.
        device: DeviceIndex,
        /// As given.
        token: u32,
        /// How it went. `Exception(6)` = busy.
        result: Result<(), Failure>,
    },
    /// A device's state changed.
    State {
        /// Which device.
        device: DeviceIndex,
        /// The state from now on.
        state: DeviceState,
    },
}

/// What happened since the start, of one device or of the whole bus. They wrap after 4 thousand million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Exchanges with a good answer.
    pub good: u32,
    /// Tries without an answer in time.
    pub timeout: u32,
    /// Tries with a wrong checksum.
    pub crc: u32,
    /// Exception answers, busy included.
    pub exception: u32,
    /// Of them: busy.
    pub busy: u32,
    /// Tries with an answer of the wrong length or kind.
    pub length: u32,
    /// Exchanges that succeeded after a failed try, and devices that came back.
    pub recovered: u32,
}

impl Counters {
    /// The sum of both.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            good: self.good.wrapping_add(other.good),
            timeout: self.timeout.wrapping_add(other.timeout),
            crc: self.crc.wrapping_add(other.crc),
            exception: self.exception.wrapping_add(other.exception),
            busy: self.busy.wrapping_add(other.busy),
            length: self.length.wrapping_add(other.length),
            recovered: self.recovered.wrapping_add(other.recovered),
        }
    }
}

/// Bytes that were received and not taken, of the whole bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// Whole frames of another slave, or of the right one to another question: late answers.
    pub foreign: u32,
    /// Own requests heard again.
    pub echo: u32,
    /// Bytes that came while nothing was asked, or were no frame.
    pub garbage_bytes: u32,
}
