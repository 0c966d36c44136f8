//! Frames: requests and answers, each both written and read.
//!
//! ```text
//! request   slave | function | function's data        | CRC low, high
//! answer    slave | function | function's data        | CRC low, high
//! exception slave | function + 0x80 | exception code  | CRC low, high
//! ```
//! Words are big-endian, coils are packed with the lowest number in the lowest bit.

use super::crc;
use heapless::Vec;

/// Longest frame. Source: Modbus over Serial Line V1.02, 2.3.
pub const FRAME_MAX: usize = 256;
/// Shortest frame: slave, function, checksum.
pub const FRAME_MIN: usize = 4;
/// Most registers of one read. Source: Application Protocol V1.1b3, 6.3.
pub const READ_REGISTERS_MAX: u16 = 125;
/// Most coils of one read.
pub const READ_COILS_MAX: u16 = 2000;
/// Most registers of one write.
pub const WRITE_REGISTERS_MAX: u16 = 123;
/// Most coils of one write.
pub const WRITE_COILS_MAX: u16 = 1968;
/// Length of every exception answer.
pub const EXCEPTION_LENGTH: usize = 5;

/// The bytes of a frame, checksum included.
pub type Frame = Vec<u8, FRAME_MAX>;

/// A slave's address, 1..=247. 0 (broadcast) and 248.. (reserved) cannot be expressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u8);

impl Address {
    /// The highest, which is also the factory address of a RA-GAS sensor.
    pub const MAX: Self = Self(247);

    /// `None` outside 1..=247.
    #[must_use]
    pub const fn new(address: u8) -> Option<Self> {
        match address {
            1..=247 => Some(Self(address)),
            _ => None,
        }
    }

    /// As on the wire.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Function codes that this house speaks.
pub mod function {
    /// Read coils.
    pub const READ_COILS: u8 = 1;
    /// Read discrete inputs.
    pub const READ_DISCRETE: u8 = 2;
    /// Read holding registers.
    pub const READ_HOLDING: u8 = 3;
    /// Read input registers.
    pub const READ_INPUT: u8 = 4;
    /// Write one coil.
    pub const WRITE_COIL: u8 = 5;
    /// Write one register.
    pub const WRITE_REGISTER: u8 = 6;
    /// Diagnostics; sub-function 1 restarts the slave's communication.
    pub const DIAGNOSTIC: u8 = 8;
    /// Write several coils.
    pub const WRITE_COILS: u8 = 15;
    /// Write several registers.
    pub const WRITE_REGISTERS: u8 = 16;
    /// Set in the function code of an exception answer.
    pub const EXCEPTION: u8 = 0x80;
}

/// Exception codes. Source: Application Protocol V1.1b3, 7.
pub mod exception {
    /// The slave does not know the function.
    pub const ILLEGAL_FUNCTION: u8 = 1;
    /// The slave has no such register or coil.
    pub const ILLEGAL_ADDRESS: u8 = 2;
    /// The value or count is not allowed.
    pub const ILLEGAL_VALUE: u8 = 3;
    /// The slave failed while it tried.
    pub const DEVICE_FAILURE: u8 = 4;
    /// The slave is busy; ask again later. The last value stays with its age.
    pub const BUSY: u8 = 6;
}

/// Why bytes are no frame of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Too short, too long, or a byte count that does not fit.
    Length,
    /// Wrong checksum.
    Crc,
    /// A slave address outside 1..=247.
    Address,
    /// A function that this house does not speak.
    Function(u8),
    /// A count or value outside the protocol's bounds; a slave answers with exception 3.
    Value,
}

/// Registers as they lie in a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    /// Views pairs of bytes, high byte first. `None` for an odd length.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len().is_multiple_of(2) {
            Some(Self(bytes))
        } else {
            None
        }
    }

    /// How many registers.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.len() / 2
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The register at `at`, from 0.
    #[must_use]
    pub fn get(self, at: usize) -> Option<u16> {
        let pair = self.0.get(at.checked_mul(2)?..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*pair))
    }

    /// All, first to last.
    pub fn iter(self) -> impl Iterator<Item = u16> + 'a {
        self.0
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }
}

/// Coils as they lie in a frame, lowest number in the lowest bit of the first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coils<'a> {
    bytes: &'a [u8],
    count: u16,
}

impl<'a> Coils<'a> {
    /// Views `count` packed coils. `None` unless `bytes` is exactly as long as that needs.
    #[must_use]
    pub const fn new(bytes: &'a [u8], count: u16) -> Option<Self> {
        if bytes.len() == count.div_ceil(8) as usize {
            Some(Self { bytes, count })
        } else {
            None
        }
    }

    /// How many coils.
    #[must_use]
    pub const fn len(self) -> u16 {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The coil at `at`, from 0.
    #[must_use]
    pub fn get(self, at: u16) -> Option<bool> {
        if at >= self.count {
            return None;
        }
        let byte = self.bytes.get(usize::from(at / 8))?;
        Some(byte & 1 << (at % 8) != 0)
    }

    /// All, first to last.
    pub fn iter(self) -> impl Iterator<Item = bool> + 'a {
        (0..self.count).map(move |at| self.get(at).unwrap_or(false))
    }
}

/// Which table a read reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Function 1.
    Coils,
    /// Function 2.
    Discrete,
    /// Function 3.
    Holding,
    /// Function 4.
    Input,
}

impl Table {
    /// The function that reads it.
    #[must_use]
    pub const fn function(self) -> u8 {
        match self {
            Self::Coils => function::READ_COILS,
            Self::Discrete => function::READ_DISCRETE,
            Self::Holding => function::READ_HOLDING,
            Self::Input => function::READ_INPUT,
        }
    }

    /// The table that `code` reads.
    #[must_use]
    pub const fn of_function(code: u8) -> Option<Self> {
        Some(match code {
            function::READ_COILS => Self::Coils,
            function::READ_DISCRETE => Self::Discrete,
            function::READ_HOLDING => Self::Holding,
            function::READ_INPUT => Self::Input,
            _ => return None,
        })
    }

    /// Most items of one read.
    #[must_use]
    pub const fn count_max(self) -> u16 {
        match self {
            Self::Coils | Self::Discrete => READ_COILS_MAX,
            Self::Holding | Self::Input => READ_REGISTERS_MAX,
        }
    }

    /// Data bytes of an answer with `count` items.
    #[must_use]
    pub const fn data_bytes(self, count: u16) -> usize {
        match self {
            Self::Coils | Self::Discrete => count.div_ceil(8) as usize,
            Self::Holding | Self::Input => count as usize * 2,
        }
    }
}

/// What a master asks of one slave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Functions 1 to 4: `count` items from `start`.
    Read {
        /// Which table.
        table: Table,
        /// First item, from 0.
        start: u16,
        /// Items, 1..=[`Table::count_max`].
        count: u16,
    },
    /// Function 5.
    WriteCoil {
        /// Coil, from 0.
        coil: u16,
        /// 0xFF00 or 0x0000 on the wire.
        on: bool,
    },
    /// Function 6.
    WriteRegister {
        /// Register, from 0.
        register: u16,
        /// New value.
        value: u16,
    },
    /// Function 8 with one data word.
    Diagnostic {
        /// Sub-function; 1 = restart communication.
        sub: u16,
        /// Data word, 0 in a plain restart.
        data: u16,
    },
    /// Function 15.
    WriteCoils {
        /// First coil, from 0.
        start: u16,
        /// New states, 1..=[`WRITE_COILS_MAX`].
        coils: Coils<'a>,
    },
    /// Function 16.
    WriteRegisters {
        /// First register, from 0.
        start: u16,
        /// New values, 1..=[`WRITE_REGISTERS_MAX`].
        values: Words<'a>,
    },
}

/// What a slave answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Functions 1 to 4: the packed data, without the byte count.
    Read {
        /// Which table.
        table: Table,
        /// Packed coils or big-endian registers.
        data: &'a [u8],
    },
    /// Function 5.
    WriteCoil {
        /// As asked.
        coil: u16,
        /// As asked.
        on: bool,
    },
    /// Function 6.
    WriteRegister {
        /// As asked.
        register: u16,
        /// As asked.
        value: u16,
    },
    /// Function 8.
    Diagnostic {
        /// As asked.
        sub: u16,
        /// As asked, or the counter that was asked for.
        data: u16,
    },
    /// Function 15.
    WriteCoils {
        /// As asked.
        start: u16,
        /// As asked.
        count: u16,
    },
    /// Function 16.
    WriteRegisters {
        /// As asked.
        start: u16,
        /// As asked.
        count: u16,
    },
    /// The slave refuses.
    Exception {
        /// Function of the request.
        function: u8,
        /// See [`exception`].
        code: u8,
    },
}

impl<'a> Request<'a> {
    /// The function code.
    #[must_use]
    pub const fn function(&self) -> u8 {
        match self {
            Self::Read { table, .. } => table.function(),
            Self::WriteCoil { .. } => function::WRITE_COIL,
            Self::WriteRegister { .. } => function::WRITE_REGISTER,
            Self::Diagnostic { .. } => function::DIAGNOSTIC,
            Self::WriteCoils { .. } => function::WRITE_COILS,
            Self::WriteRegisters { .. } => function::WRITE_REGISTERS,
        }
    }

    /// Length of the complete good answer.
    #[must_use]
    pub const fn answer_length(&self) -> usize {
        match self {
            Self::Read { table, count, .. } => 5 + table.data_bytes(*count),
            _ => 8,
        }
    }

    /// The frame to `slave`.
    #[must_use]
    pub fn write(&self, slave: Address) -> Frame {
        let mut frame = Frame::new();
        push(&mut frame, &[slave.get(), self.function()]);
        match *self {
            Self::Read { start, count, .. } => push_words(&mut frame, &[start, count]),
            Self::WriteCoil { coil, on } => push_words(&mut frame, &[coil, coil_word(on)]),
            Self::WriteRegister { register, value } => push_words(&mut frame, &[register, value]),
            Self::Diagnostic { sub, data } => push_words(&mut frame, &[sub, data]),
            Self::WriteCoils { start, coils } => {
                push_words(&mut frame, &[start, coils.len()]);
                push_block(&mut frame, coils.bytes);
            }
            Self::WriteRegisters { start, values } => {
                push_words(&mut frame, &[start, values.len() as u16]);
                push_block(&mut frame, values.0);
            }
        }
        seal(frame)
    }

    /// Reads a request, as a slave does. `frame` is exactly one frame.
    ///
    /// # Errors
    /// Why it is none. A slave answers [`FrameError::Function`] and [`FrameError::Value`] that are meant for
    /// it with an exception, and keeps silent about the rest.
    pub fn parse(frame: &'a [u8]) -> Result<(Address, Self), FrameError> {
        let (slave, code, body) = open(frame)?;
        let request = match code {
            1..=4 => {
                let (start, count) = two_words(body)?;
                let table = Table::of_function(code).ok_or(FrameError::Function(code))?;
                if count == 0 || count > table.count_max() {
                    return Err(FrameError::Value);
                }
                Self::Read {
                    table,
                    start,
                    count,
                }
            }
            function::WRITE_COIL => {
                let (coil, word) = two_words(body)?;
                Self::WriteCoil {
                    coil,
                    on: coil_state(word).ok_or(FrameError::Value)?,
                }
            }
            function::WRITE_REGISTER => {
                let (register, value) = two_words(body)?;
                Self::WriteRegister { register, value }
            }
            function::DIAGNOSTIC => {
                // The calibration program of the sensor's maker leaves the data word out.
                let (sub, data) = match *body {
                    [high, low] => (u16::from_be_bytes([high, low]), 0),
                    _ => two_words(body)?,
                };
                Self::Diagnostic { sub, data }
            }
            function::WRITE_COILS => {
                let (start, count, block) = block(body)?;
                if count == 0 || count > WRITE_COILS_MAX {
                    return Err(FrameError::Value);
                }
                let coils = Coils::new(block, count).ok_or(FrameError::Value)?;
                Self::WriteCoils { start, coils }
            }
            function::WRITE_REGISTERS => {
                let (start, count, block) = block(body)?;
                if count == 0
                    || count > WRITE_REGISTERS_MAX
                    || block.len() != usize::from(count) * 2
                {
                    return Err(FrameError::Value);
                }
                let values = Words::new(block).ok_or(FrameError::Value)?;
                Self::WriteRegisters { start, values }
            }
            other => return Err(FrameError::Function(other)),
        };
        Ok((slave, request))
    }

    /// The length that a request starting with `bytes` will have; `None` while too few bytes are there or
    /// the function is unknown, in which case only silence ends the frame.
    #[must_use]
    pub fn length(bytes: &[u8]) -> Option<usize> {
        match *bytes.get(1)? {
            1..=6 | function::DIAGNOSTIC => Some(8),
            function::WRITE_COILS | function::WRITE_REGISTERS => {
                Some(9 + usize::from(*bytes.get(6)?))
            }
            _ => None,
        }
    }
}

impl<'a> Answer<'a> {
    /// The frame from `slave`. Data of a read beyond 251 bytes is cut.
    #[must_use]
    pub fn write(&self, slave: Address) -> Frame {
        let mut frame = Frame::new();
        push(&mut frame, &[slave.get()]);
        match *self {
            Self::Read { table, data } => {
                push(&mut frame, &[table.function()]);
                push_block(&mut frame, data);
            }
            Self::WriteCoil { coil, on } => {
                push(&mut frame, &[function::WRITE_COIL]);
                push_words(&mut frame, &[coil, coil_word(on)]);
            }
            Self::WriteRegister { register, value } => {
                push(&mut frame, &[function::WRITE_REGISTER]);
                push_words(&mut frame, &[register, value]);
            }
            Self::Diagnostic { sub, data } => {
                push(&mut frame, &[function::DIAGNOSTIC]);
                push_words(&mut frame, &[sub, data]);
            }
            Self::WriteCoils { start, count } => {
                push(&mut frame, &[function::WRITE_COILS]);
                push_words(&mut frame, &[start, count]);
            }
            Self::WriteRegisters { start, count } => {
                push(&mut frame, &[function::WRITE_REGISTERS]);
                push_words(&mut frame, &[start, count]);
            }
            Self::Exception { function, code } => {
                push(&mut frame, &[function | function::EXCEPTION, code]);
            }
        }
        seal(frame)
    }

    /// Reads an answer, as a master does. `frame` is exactly one frame. Whether it answers a certain request
    /// is for the caller to compare.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(frame: &'a [u8]) -> Result<(Address, Self), FrameError> {
        let (slave, code, body) = open(frame)?;
        let answer = match code {
            1..=4 => {
                let table = Table::of_function(code).ok_or(FrameError::Function(code))?;
                let (count, data) = body.split_first().ok_or(FrameError::Length)?;
                let whole = match table {
                    Table::Coils | Table::Discrete => true,
                    Table::Holding | Table::Input => data.len().is_multiple_of(2),
                };
                if usize::from(*count) != data.len() || data.is_empty() || !whole {
                    return Err(FrameError::Length);
                }
                Self::Read { table, data }
            }
            function::WRITE_COIL => {
                let (coil, word) = two_words(body)?;
                Self::WriteCoil {
                    coil,
                    on: coil_state(word).ok_or(FrameError::Value)?,
                }
            }
            function::WRITE_REGISTER => {
                let (register, value) = two_words(body)?;
                Self::WriteRegister { register, value }
            }
            function::DIAGNOSTIC => {
                let (sub, data) = two_words(body)?;
                Self::Diagnostic { sub, data }
            }
            function::WRITE_COILS => {
                let (start, count) = two_words(body)?;
                Self::WriteCoils { start, count }
            }
            function::WRITE_REGISTERS => {
                let (start, count) = two_words(body)?;
                Self::WriteRegisters { start, count }
            }
            code if code & function::EXCEPTION != 0 => match *body {
                [exception] => Self::Exception {
                    function: code & !function::EXCEPTION,
                    code: exception,
                },
                _ => return Err(FrameError::Length),
            },
            other => return Err(FrameError::Function(other)),
        };
        Ok((slave, answer))
    }

    /// The length that an answer starting with `bytes` will have; `None` while too few bytes are there or
    /// the function is unknown.
    #[must_use]
    pub fn length(bytes: &[u8]) -> Option<usize> {
        match *bytes.get(1)? {
            1..=4 => Some(5 + usize::from(*bytes.get(2)?)),
            5 | 6 | 8 | 15 | 16 => Some(8),
            code if code & function::EXCEPTION != 0 => Some(EXCEPTION_LENGTH),
            _ => None,
        }
    }
}

/// Splits a frame into slave, function and body, after all checks that concern every frame.
fn open(frame: &[u8]) -> Result<(Address, u8, &[u8]), FrameError> {
    if frame.len() < FRAME_MIN || frame.len() > FRAME_MAX {
        return Err(FrameError::Length);
    }
    if !crc::is_good(frame) {
        return Err(FrameError::Crc);
    }
    let slave = Address::new(frame[0]).ok_or(FrameError::Address)?;
    Ok((slave, frame[1], &frame[2..frame.len() - 2]))
}

/// Appends; what exceeds the longest frame is cut, which the bounds of every request rule out.
fn push(frame: &mut Frame, bytes: &[u8]) {
    for byte in bytes {
        let _ = frame.push(*byte);
    }
}

fn push_words(frame: &mut Frame, words: &[u16]) {
    for word in words {
        push(frame, &word.to_be_bytes());
    }
}

/// A byte count and the bytes, with room kept for the checksum.
fn push_block(frame: &mut Frame, bytes: &[u8]) {
    let room = FRAME_MAX - 2 - 1 - frame.len();
    let bytes = &bytes[..bytes.len().min(room)];
    push(frame, &[bytes.len() as u8]);
    push(frame, bytes);
}

fn seal(mut frame: Frame) -> Frame {
    let sum = crc::of(&frame).to_le_bytes();
    push(&mut frame, &sum);
    frame
}

fn two_words(body: &[u8]) -> Result<(u16, u16), FrameError> {
    match *body {
        [a, b, c, d] => Ok((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))),
        _ => Err(FrameError::Length),
    }
}

/// Start, count and the counted bytes of functions 15 and 16.
fn block(body: &[u8]) -> Result<(u16, u16, &[u8]), FrameError> {
    let (head, rest) = body.split_first_chunk::<4>().ok_or(FrameError::Length)?;
    let (start, count) = two_words(head)?;
    let (bytes, data) = rest.split_first().ok_or(FrameError::Length)?;
    if usize::from(*bytes) != data.len() {
        return Err(FrameError::Length);
    }
    Ok((start, count, data))
}

const fn coil_word(on: bool) -> u16 {
    if on { 0xFF00 } else { 0 }
}

const fn coil_state(word: u16) -> Option<bool> {
    match word {
        0xFF00 => Some(true),
        0 => Some(false),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests;
