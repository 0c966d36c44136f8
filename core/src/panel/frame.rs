//! # Binary v2
//!
//! `COBS( postcard body + CRC-16 little-endian ) + 0x00`. CRC-16: polynomial 0x1021, initial value 0xFFFF,
//! no reflection, no final xor, over the body.
//!
//! The order of variants and fields **is** the wire format: append only, never reorder, never remove. Ids
//! are plain bytes here and become [`super::ButtonId`]s at the door of [`super::link`] and [`super::board`].

use crc::{CRC_16_IBM_3740, Crc};
use heapless::Vec;
use postcard::ser_flavors::{Cobs, Slice, crc::CrcModifier};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::name::BoardName;
use crate::limits::PANEL_FRAME_MAX;

/// The version of the protocol.
pub const VERSION: u8 = 2;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_3740);

/// What a board can do, in [`FromDevice::Hello`].
pub mod caps {
    /// Knows [`super::FromHost::Bright`].
    pub const BRIGHTNESS: u16 = 1 << 0;
    /// Knows [`super::FromHost::Test`].
    pub const TEST: u16 = 1 << 1;
    /// Knows [`super::FromHost::Debounce`].
    pub const DEBOUNCE: u16 = 1 << 2;
    /// Goes on alone when the host is gone.
    pub const LOCAL: u16 = 1 << 3;
    /// Keeps its settings over a reset, on [`super::FromHost::Save`].
    pub const SETTINGS: u16 = 1 << 4;
    /// Knows [`super::FromHost::LitMax`] and [`super::FromHost::Positions`].
    pub const WIRING: u16 = 1 << 5;
}

/// Codes of [`FromDevice::Nak`].
pub mod nak {
    /// No such button.
    pub const INVALID_ID: u8 = 1;
    /// No such command.
    pub const UNKNOWN: u8 = 2;
    /// Not now.
    pub const BUSY: u8 = 3;
    /// The value is out of range.
    pub const LIMIT: u8 = 4;
}

/// Codes of [`FromDevice::Fault`].
pub mod fault {
    /// A button is stuck; the argument is its id.
    pub const STUCK: u8 = 1;
    /// Button events were dropped; the argument is how many since the start.
    pub const EVENTS_DROPPED: u8 = 2;
    /// The input chain cannot be read, so no press is seen; the argument is what its far end reads instead of
    /// 255, or 256 when the bus itself failed.
    pub const CHAIN: u8 = 3;
}

/// From the board to the host. Times are milliseconds since the board started and wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromDevice {
    /// Who the board is; answer to a hello.
    Hello {
        /// Highest version of the protocol.
        proto: u8,
        /// Firmware version.
        fw: [u8; 3],
        /// How many buttons.
        buttons: u8,
        /// How many LEDs.
        leds: u8,
        /// See [`caps`].
        caps: u16,
        /// Differs after every start.
        boot_id: u32,
    },
    /// A button was pressed.
    Press {
        /// Number of the button event since the start, from 1, wrapping.
        seq: u16,
        /// Which button.
        id: u8,
        /// When.
        t_ms: u32,
    },
    /// A button was let go.
    Release {
        /// As in a press; both count.
        seq: u16,
        /// Which button.
        id: u8,
        /// When.
        t_ms: u32,
    },
    /// A command was carried out.
    Ack {
        /// Of the command.
        tag: u8,
    },
    /// A command was refused.
    Nak {
        /// Of the command.
        tag: u8,
        /// See [`nak`].
        code: u8,
    },
    /// Answer to a heartbeat.
    Pong {
        /// Of the heartbeat.
        nonce: u32,
        /// How long the board runs.
        uptime_ms: u32,
    },
    /// State of the application.
    Status {
        /// The selected button, 0 = none.
        selected: u8,
        /// Scans in the last second.
        scan_hz: u16,
        /// Free memory in bytes.
        heap: u32,
        /// Button events dropped because nobody read them.
        ev_drop: u16,
        /// Commands not carried out because they came too long.
        cmd_drop: u16,
        /// Frames with a wrong check value.
        crc_err: u16,
        /// How many buttons are stuck.
        stuck: u8,
    },
    /// The board found a fault in itself.
    Fault {
        /// See [`fault`].
        code: u8,
        /// Depends on the code.
        arg: u32,
    },
}

/// From the host to the board. A tag comes back in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromHost {
    /// Asks who the board is.
    Hello {
        /// Highest version of the protocol.
        proto: u8,
    },
    /// Heartbeat.
    Ping {
        /// Comes back.
        nonce: u32,
    },
    /// Only this LED.
    LedSet {
        /// Comes back.
        tag: u8,
        /// Which.
        id: u8,
    },
    /// No LED.
    LedClr {
        /// Comes back.
        tag: u8,
        /// 0 = always, else only when that button is selected.
        only_if: u8,
    },
    /// This LED as well.
    LedOn {
        /// Comes back.
        tag: u8,
        /// Which.
        id: u8,
    },
    /// Not this LED.
    LedOff {
        /// Comes back.
        tag: u8,
        /// Which.
        id: u8,
    },
    /// All LEDs.
    LedAll {
        /// Comes back.
        tag: u8,
    },
    /// Brightness.
    Bright {
        /// Comes back.
        tag: u8,
        /// 0..=100.
        percent: u8,
    },
    /// Asks for the status, which is the answer.
    StatusReq,
    /// Running light.
    Test {
        /// Comes back.
        tag: u8,
        /// On or off.
        on: bool,
    },
    /// Zeroes the counters.
    CountersReset {
        /// Comes back.
        tag: u8,
    },
    /// Debouncing from now on. Only to boards with [`caps::DEBOUNCE`].
    Debounce {
        /// Comes back.
        tag: u8,
        /// Stable instead of eager.
        stable: bool,
        /// 5..=100.
        window_ms: u8,
    },
    /// How many buttons there are from the next start on. Only to boards with [`caps::SETTINGS`], as the two
    /// that follow.
    Buttons {
        /// Comes back.
        tag: u8,
        /// 1..=100.
        count: u8,
    },
    /// The board's name.
    Name {
        /// Comes back.
        tag: u8,
        /// In the `FW` line.
        name: BoardName,
    },
    /// Keeps name, number of buttons, debouncing and brightness over a reset.
    Save {
        /// Comes back, once they are kept.
        tag: u8,
    },
    /// Most LEDs that may be lit at once, for the power supply's sake. Only to boards with [`caps::WIRING`], as the
    /// one that follows.
    LitMax {
        /// Comes back.
        tag: u8,
        /// 1..=100.
        most: u8,
    },
    /// Where the buttons sit in the input chain, piece by piece. In force with the piece of the last button.
    Positions {
        /// Comes back.
        tag: u8,
        /// The button of the first entry.
        first: u8,
        /// How many entries count, 1..=20.
        count: u8,
        /// Positions, see [`super::chain::Wiring::with_button_positions`].
        positions: [u8; POSITIONS],
    },
}

/// Entries of [`FromHost::Positions`]. Reasoning: five pieces for a hundred buttons, each well below the body.
pub const POSITIONS: usize = 20;

/// A whole frame with its delimiter.
pub type Frame = Vec<u8, PANEL_FRAME_MAX>;

/// The frame of a message.
#[must_use]
pub fn encode<T: Serialize>(message: &T) -> Frame {
    let mut buffer = [0; PANEL_FRAME_MAX];
    // Every message of this module fits (test `no_message_exceeds_the_body`), so neither step can fail.
    Cobs::try_new(Slice::new(&mut buffer))
        .and_then(|cobs| {
            postcard::serialize_with_flavor(message, CrcModifier::new(cobs, CRC.digest()))
        })
        .ok()
        .and_then(|bytes| Frame::from_slice(bytes).ok())
        .unwrap_or_default()
}

/// Why a frame is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The byte stuffing is broken.
    Stuffing,
    /// The check value or the body is wrong, or bytes are left over.
    Content,
}

/// The message of a frame without its delimiter. `bytes` is used as scratch space.
///
/// # Errors
/// The caller counts the frame and drops it.
pub fn decode<T: DeserializeOwned>(bytes: &mut [u8]) -> Result<T, FrameError> {
    let length = cobs::decode_in_place(bytes).map_err(|_| FrameError::Stuffing)?;
    let (message, rest) =
        postcard::de_flavors::crc::take_from_bytes_u16(&bytes[..length], CRC.digest())
            .map_err(|_| FrameError::Content)?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(FrameError::Content)
    }
}

/// Collects bytes to frames. A longer one is discarded up to its delimiter.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    bytes: Vec<u8, { PANEL_FRAME_MAX - 1 }>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Collecting,
    Discarding,
    /// `bytes` was handed out; the next byte starts anew.
    Complete,
}

/// What a delimiter brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Candidate<'a> {
    /// Perhaps a frame, for [`decode`].
    Complete(&'a mut [u8]),
    /// The end of one that was too long.
    TooLong,
}

impl Frames {
    /// Takes one byte; tells when it is a delimiter with something before it.
    pub fn push(&mut self, byte: u8) -> Option<Candidate<'_>> {
        if self.state == State::Complete {
            self.clear();
        }
        match (byte, self.state) {
            (0, State::Discarding) => {
                self.clear();
                Some(Candidate::TooLong)
            }
            (0, _) if self.bytes.is_empty() => None,
            (0, _) => {
                self.state = State::Complete;
                Some(Candidate::Complete(&mut self.bytes))
            }
            (_, State::Discarding) => None,
            (byte, _) => {
                if self.bytes.push(byte).is_err() {
                    self.bytes.clear();
                    self.state = State::Discarding;
                }
                None
            }
        }
    }

    /// What was collected since the last delimiter; nothing while a too long one is discarded.
    #[must_use]
    pub fn partial(&self) -> &[u8] {
        if self.state == State::Complete {
            &[]
        } else {
            &self.bytes
        }
    }

    /// Forgets what was collected.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.state = State::Collecting;
    }
}

#[cfg(test)]
#[path = "frame/tests.rs"]
mod tests;
