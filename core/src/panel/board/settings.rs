//! What a board may keep over a reset.

use super::queue::Out;
use super::{Board, frame};
use crate::panel::PanelSize;
use crate::panel::debounce;
use crate::panel::frame::{FromDevice as Frame, nak};
use crate::panel::message::{ErrorCode, FromDevice};
use crate::panel::name::BoardName;

/// What survives a reset once somebody said SAVE. Everything else set over the cable is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name in the `FW` line.
    pub name: BoardName,
    /// Buttons and LEDs, from the next start on: the length of the chains does not change while they run.
    pub buttons: PanelSize,
    /// How presses are recognised.
    pub debounce: debounce::Config,
    /// Brightness in percent, 0..=100.
    pub brightness: u8,
}

/// Who asked, and is owed an answer once the settings are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Text,
    V2 { tag: u8 },
}

impl Board {
    /// The settings as they would be kept now.
    #[must_use]
    pub const fn settings(&self) -> Settings {
        Settings {
            name: self.name,
            buttons: self.buttons_next,
            debounce: self.debouncer.config(),
            brightness: self.brightness,
        }
    }

    /// The settings to keep, when the host asked for it. Answer with [`saved`](Self::saved) before the next
    /// byte is received, or answers change their order.
    #[must_use]
    pub fn wants_save(&self) -> Option<Settings> {
        self.save_asked.map(|_| self.settings())
    }

    /// Whether the settings are kept now; the host hears it.
    pub fn saved(&mut self, kept: bool) {
        match (self.save_asked.take(), kept) {
            (None, _) => {}
            (Some(Asked::Text), true) => self.say(FromDevice::Ok),
            (Some(Asked::Text), false) => self.say(FromDevice::Error(ErrorCode::Busy)),
            (Some(Asked::V2 { tag }), true) => self.push(Out::V2(Frame::Ack { tag })),
            (Some(Asked::V2 { tag }), false) => self.push(Out::V2(Frame::Nak {
                tag,
                code: nak::BUSY,
            })),
        }
    }

    /// What this board can do, see [`frame::caps`].
    pub(super) const fn caps(&self) -> u16 {
        use frame::caps;
        let always = caps::BRIGHTNESS | caps::TEST | caps::DEBOUNCE | caps::LOCAL | caps::WIRING;
        if self.config.keeps_settings {
            always | caps::SETTINGS
        } else {
            always
        }
    }
}
