//! Power cuts, worn flash, flipped bits.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const UNIT: usize = 256;

/// Flash that loses its supply after so many bytes.
#[derive(Clone)]
struct Flash {
    bytes: Vec<u8>,
    left: usize,
}

#[derive(Debug)]
struct NoPower;

impl NorFlashError for NoPower {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Flash {
    fn new() -> Self {
        Self {
            bytes: std::vec![0xff; 3 * UNIT],
            left: usize::MAX,
        }
    }

    fn work(&mut self) -> Result<(), NoPower> {
        self.left = self.left.checked_sub(1).ok_or(NoPower)?;
        Ok(())
    }
}

impl ErrorType for Flash {
    type Error = NoPower;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NoPower> {
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = UNIT;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NoPower> {
        for at in from as usize..to as usize {
            self.work()?;
            self.bytes[at] = 0xff;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NoPower> {
        for (at, byte) in (offset as usize..).zip(bytes) {
            self.work()?;
            // Flash only clears bits: whoever forgot the erase sees it.
            self.bytes[at] &= byte;
        }
        Ok(())
    }
}

fn settings(buttons: u8) -> Settings {
    Settings {
        name: BoardName::new("hall-west").unwrap(),
        buttons: PanelSize::new(buttons).unwrap(),
        debounce: debounce::Config::new(Mode::Stable, Duration::from_millis(50), SCAN).unwrap(),
        brightness: 80,
    }
}

const START: u32 = UNIT as u32;

#[test]
fn kept_again_and_again_in_turn() {
    let (mut slots, read) = Slots::open(Flash::new(), START);
    assert_eq!(read, None, "a new board");
    for buttons in 1..=100 {
        slots.save(&settings(buttons)).unwrap();
        let (again, read) = Slots::open(slots.flash, START);
        assert_eq!(read, Some(settings(buttons)));
        slots = again;
    }
    assert!(
        slots.flash.bytes[..UNIT].iter().all(|byte| *byte == 0xff),
        "outside of its place"
    );
}

#[test]
fn a_power_cut_at_any_byte_leaves_the_old_or_the_new() {
    let (mut slots, _) = Slots::open(Flash::new(), START);
    slots.save(&settings(1)).unwrap();
    slots.save(&settings(2)).unwrap();
    let (mut old, mut new) = (0, 0);
    for left in 0..UNIT + RECORD + 1 {
        let mut flash = slots.flash.clone();
        flash.left = left;
        let (mut cut, _) = Slots::open(flash, START);
        let kept = cut.save(&settings(3));
        let (_, read) = Slots::open(cut.flash, START);
        match read.unwrap().buttons.get() {
            2 => old += 1,
            3 => new += 1,
            other => panic!("{other} after {left} bytes"),
        }
        assert!(
            kept.is_err() || read == Some(settings(3)),
            "said to be kept"
        );
    }
    assert!(old > UNIT && new >= 1, "{old} {new}");
}

#[test]
fn a_flipped_bit_anywhere_falls_back_to_the_older_record() {
    let (mut slots, _) = Slots::open(Flash::new(), START);
    slots.save(&settings(1)).unwrap();
    slots.save(&settings(2)).unwrap();
    for bit in 0..RECORD * 8 {
        let mut flash = slots.flash.clone();
        flash.bytes[2 * UNIT + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Slots::open(flash, START).1, Some(settings(1)), "bit {bit}");
    }
}

#[test]
fn the_generation_wraps() {
    let mut flash = Flash::new();
    let old = encode(u32::MAX, &settings(1));
    flash.bytes[UNIT..][..RECORD].copy_from_slice(&old);
    let (mut slots, read) = Slots::open(flash, START);
    assert_eq!(read, Some(settings(1)));
    slots.save(&settings(2)).unwrap();
    assert_eq!(Slots::open(slots.flash, START).1, Some(settings(2)));
}

#[test]
fn worn_out_flash_is_no_success() {
    let mut flash = Flash::new();
    let (mut slots, _) = Slots::open(flash.clone(), START);
    slots.save(&settings(1)).unwrap();
    flash.left = 0;
    let (mut slots, _) = Slots::open(flash, START);
    assert_eq!(slots.save(&settings(1)), Err(SaveError::Flash));
}

proptest! {
    #[test]
    fn arbitrary_flash_never_panics(bytes in proptest::collection::vec(any::<u8>(), 3 * UNIT)) {
        let flash = Flash { bytes, left: usize::MAX };
        prop_assert_eq!(Slots::open(flash, START).1, None);
    }
}
