//! The machine's second NOR flash (CFI 1, two chips of 16 bits side by side): settings survive a reset there, and
//! the end of QEMU when it is given a file (`-drive if=pflash,unit=1,format=raw,file=...`, 32 MiB).

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use crate::mmio::Register;

const BASE: usize = 0x2200_0000;
const SIZE: usize = 32 << 20;
const SECTOR: usize = 256 << 10;
const WORD: usize = 4;

/// Both chips get the same command.
const fn both(command: u32) -> u32 {
    command << 16 | command
}

const READ_ARRAY: u32 = both(0xff);
const PROGRAM: u32 = both(0x40);
const ERASE: u32 = both(0x20);
const CONFIRM: u32 = both(0xd0);
const READY: u32 = both(0x80);
/// Program or erase failed, or the block is locked.
const FAILED: u32 = both(0x3a);

/// The flash.
#[derive(Debug)]
pub struct Flash(());

/// What the flash answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// Not whole words or sectors.
    NotAligned,
    /// Beyond its end.
    OutOfBounds,
    /// The chips report a failure.
    Failed,
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::Failed => NorFlashErrorKind::Other,
        }
    }
}

impl Flash {
    /// The flash; take it once.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }

    fn word(at: usize) -> Register<u32> {
        Register::at(BASE + at)
    }

    /// `begin` is the command, `then` what follows it at the same place.
    fn command(at: usize, begin: u32, then: u32) -> Result<(), FlashError> {
        let word = Self::word(at);
        word.write(begin);
        word.write(then);
        let status = loop {
            let status = word.read();
            if status & READY == READY {
                break status;
            }
        };
        word.write(READ_ARRAY);
        if status & FAILED == 0 {
            Ok(())
        } else {
            Err(FlashError::Failed)
        }
    }
}

impl Default for Flash {
    fn default() -> Self {
        Self::new()
    }
}

fn check(offset: u32, length: usize, unit: usize) -> Result<usize, FlashError> {
    let offset = offset as usize;
    if !offset.is_multiple_of(unit) || !length.is_multiple_of(unit) {
        return Err(FlashError::NotAligned);
    }
    match offset.checked_add(length) {
        Some(end) if end <= SIZE => Ok(offset),
        _ => Err(FlashError::OutOfBounds),
    }
}

impl ErrorType for Flash {
    type Error = FlashError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = WORD;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let start = check(offset, bytes.len(), WORD)?;
        for (at, word) in (start..).step_by(WORD).zip(bytes.chunks_exact_mut(WORD)) {
            word.copy_from_slice(&Self::word(at).read().to_le_bytes());
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        SIZE
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let start = check(from, to.saturating_sub(from) as usize, SECTOR)?;
        (start..to as usize)
            .step_by(SECTOR)
            .try_for_each(|at| Self::command(at, ERASE, CONFIRM))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let start = check(offset, bytes.len(), WORD)?;
        for (at, word) in (start..).step_by(WORD).zip(bytes.chunks_exact(WORD)) {
            let word = word.try_into().map_err(|_| FlashError::NotAligned)?;
            Self::command(at, PROGRAM, u32::from_le_bytes(word))?;
        }
        Ok(())
    }
}
