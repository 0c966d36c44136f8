//! Settings that survive a reset: two slots in NOR flash, the newer whole one counts.
//!
//! Each slot is an erase unit of its own. Saving erases and writes the slot that does **not** hold the newest
//! record, so a power cut at any instant leaves the old settings or the new ones, never neither.
//!
//! ```text
//! 0  magic "LP1\n"   4  generation u32   8  length u8   9  body (postcard)   60  CRC-32 over 0..60
//! ```

use crc::{CRC_32_ISO_HDLC, Crc};
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use leitstand_core::panel::PanelSize;
use leitstand_core::panel::board::Settings;
use leitstand_core::panel::debounce::{self, Mode};
use leitstand_core::panel::name::BoardName;
use leitstand_core::time::Duration;
use serde::{Deserialize, Serialize};

/// Bytes of a record. Reasoning: a name of 32 and four numbers, in whole units of any flash's write size.
pub const RECORD: usize = 64;
const BODY: usize = 9;
const CHECK: usize = RECORD - 4;
const MAGIC: [u8; 4] = *b"LP1\n";
/// Scan period that a kept window was checked with.
const SCAN: Duration = Duration::from_millis(5);

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Flash drivers copy through a buffer of a whole sector on the stack when theirs is not aligned.
#[repr(C, align(4))]
#[derive(Clone)]
struct Record([u8; RECORD]);

/// The settings as they are written. **Append only**: an older record is read with the defaults of what it lacks.
#[derive(Serialize, Deserialize)]
struct Body {
    name: BoardName,
    buttons: u8,
    stable: bool,
    window_ms: u8,
    brightness: u8,
}

/// Why settings were not kept. The old ones still are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveError {
    /// The flash refused.
    Flash,
    /// What was read back differs: the flash is worn out.
    ReadBack,
}

/// The two slots.
#[derive(Debug)]
pub struct Slots<F> {
    flash: F,
    start: u32,
    /// Slot and generation of the newest whole record.
    newest: Option<(u32, u32)>,
}

impl<F: NorFlash> Slots<F> {
    /// Two erase units of `flash` from `start` on, and what the newest whole record in them says. Without one, on
    /// a new board or when both are broken, that is `None`: the caller takes its defaults.
    pub fn open(flash: F, start: u32) -> (Self, Option<Settings>) {
        const {
            assert!(RECORD.is_multiple_of(F::WRITE_SIZE) && RECORD.is_multiple_of(F::READ_SIZE));
            assert!(F::ERASE_SIZE >= RECORD);
        }
        let mut slots = Self {
            flash,
            start,
            newest: None,
        };
        let mut settings = None;
        for slot in 0..2 {
            let Some((generation, read)) = slots.read(slot) else {
                continue;
            };
            if slots
                .newest
                .is_none_or(|(_, newest)| is_newer(generation, newest))
            {
                slots.newest = Some((slot, generation));
                settings = Some(read);
            }
        }
        (slots, settings)
    }

    /// Keeps `settings`. Blocks for the time of an erase, some 50 ms, in which nothing is scanned.
    ///
    /// # Errors
    /// The settings of before are still kept; the caller tells the host.
    pub fn save(&mut self, settings: &Settings) -> Result<(), SaveError> {
        let (slot, generation) = match self.newest {
            Some((slot, generation)) => (1 - slot, generation.wrapping_add(1)),
            None => (0, 0),
        };
        let record = Record(encode(generation, settings));
        let at = self.address(slot);
        self.flash
            .erase(at, at + F::ERASE_SIZE as u32)
            .and_then(|()| self.flash.write(at, &record.0))
            .map_err(|_| SaveError::Flash)?;
        if self.read(slot).is_none_or(|(read, _)| read != generation) {
            return Err(SaveError::ReadBack);
        }
        self.newest = Some((slot, generation));
        Ok(())
    }

    fn address(&self, slot: u32) -> u32 {
        self.start + slot * F::ERASE_SIZE as u32
    }

    fn read(&mut self, slot: u32) -> Option<(u32, Settings)> {
        let mut record = Record([0; RECORD]);
        self.flash.read(self.address(slot), &mut record.0).ok()?;
        decode(&record.0)
    }
}

/// Generations wrap; two slots are never more than one apart.
const fn is_newer(this: u32, than: u32) -> bool {
    this.wrapping_sub(than) as i32 > 0
}

/// A record of this generation.
#[must_use]
pub fn encode(generation: u32, settings: &Settings) -> [u8; RECORD] {
    let body = Body {
        name: settings.name,
        buttons: settings.buttons.get(),
        stable: settings.debounce.mode() == Mode::Stable,
        window_ms: settings.debounce.window().as_millis() as u8,
        brightness: settings.brightness,
    };
    let mut record = [0; RECORD];
    record[..4].copy_from_slice(&MAGIC);
    record[4..8].copy_from_slice(&generation.to_le_bytes());
    // Fits: a name of at most 1 + 32 bytes and four more in 51.
    let length = postcard::to_slice(&body, &mut record[BODY..CHECK]).map_or(0, |body| body.len());
    record[8] = length as u8;
    let check = CRC.checksum(&record[..CHECK]);
    record[CHECK..].copy_from_slice(&check.to_le_bytes());
    record
}

/// Generation and settings of a record; `None` for anything that is not a whole one.
#[must_use]
pub fn decode(record: &[u8; RECORD]) -> Option<(u32, Settings)> {
    let (checked, check) = record.split_at(CHECK);
    if !checked.starts_with(&MAGIC) || CRC.checksum(checked).to_le_bytes() != check {
        return None;
    }
    let generation = u32::from_le_bytes(checked[4..8].try_into().ok()?);
    let body: Body =
        postcard::from_bytes(checked.get(BODY..BODY + usize::from(checked[8]))?).ok()?;
    let mode = if body.stable {
        Mode::Stable
    } else {
        Mode::Eager
    };
    let window = Duration::from_millis(body.window_ms.into());
    let settings = Settings {
        name: body.name,
        buttons: PanelSize::new(body.buttons)?,
        debounce: debounce::Config::new(mode, window, SCAN).ok()?,
        brightness: body.brightness.min(100),
    };
    Some((generation, settings))
}

/// For boards without storage; there is none of it.
#[derive(Clone, Copy, Debug)]
pub enum NoFlash {}

impl NorFlashError for NoFlash {
    fn kind(&self) -> NorFlashErrorKind {
        match *self {}
    }
}

impl ErrorType for NoFlash {
    type Error = Self;
}

impl ReadNorFlash for NoFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, _offset: u32, _bytes: &mut [u8]) -> Result<(), Self> {
        match *self {}
    }

    fn capacity(&self) -> usize {
        match *self {}
    }
}

impl NorFlash for NoFlash {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = RECORD;

    fn erase(&mut self, _from: u32, _to: u32) -> Result<(), Self> {
        match *self {}
    }

    fn write(&mut self, _offset: u32, _bytes: &[u8]) -> Result<(), Self> {
        match *self {}
    }
}

#[cfg(test)]
#[path = "settings/tests.rs"]
mod tests;
