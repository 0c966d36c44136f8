//! What the station shows: small copies, made on demand. The shell turns them into views.

use super::alarm::AlarmState;
use super::index::{CellIndex, CellSet};
use super::reading::{FaultCode, Warnings};
use crate::time::{Duration, Instant};
use crate::units::Concentration;

/// How much gas: 0 = normal, 1..=4 = AP1..AP4.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Level(pub u8);

impl Level {
    /// No set point is active or latched.
    pub const NORMAL: Self = Self(0);

    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self.0 {
            0 => "normal",
            1 => "ap1",
            2 => "ap2",
            3 => "ap3",
            _ => "ap4",
        }
    }
}

/// How much the zone can see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Every cell is healthy.
    #[default]
    Good,
    /// Some cell is faulty.
    Degraded,
    /// No healthy cell remains; the loss action applies.
    Lost,
}

impl Health {
    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Degraded => "degraded",
            Self::Lost => "lost",
        }
    }
}

/// How far a cell's value can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quality {
    /// No poll was good yet and none failed long enough.
    Starting,
    /// Values are shown and do not count.
    WarmUp,
    /// Fresh and trusted.
    Good,
    /// Older than three cycles, not yet a fault.
    Stale,
    /// Not trusted.
    Fault,
}

impl Quality {
    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::WarmUp => "warm_up",
            Self::Good => "good",
            Self::Stale => "stale",
            Self::Fault => "fault",
        }
    }
}

/// A cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellStatus {
    /// Current value, not below 0; `None` while faulty or before the first good poll.
    pub value: Option<Concentration>,
    /// The last good value, also while faulty.
    pub last_value: Option<Concentration>,
    /// The last good value before clamping, may be negative.
    pub raw: Option<Concentration>,
    /// Age of the last good poll.
    pub age: Option<Duration>,
    /// Trust.
    pub quality: Quality,
    /// Why it is faulty.
    pub fault: Option<FaultCode>,
    /// What a technician should look at.
    pub warnings: Warnings,
    /// Inhibited or out of service, and for how long still.
    pub mask: Option<Overlay>,
}

/// An overlay that suppresses horn and outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Which.
    pub kind: OverlayKind,
    /// When it ends by itself; `None` = when an engineer ends it.
    pub until: Option<Instant>,
}

/// Kinds of [`Overlay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum OverlayKind {
    /// By an operator, for a time.
    Shelved,
    /// By design: calibration, test.
    Inhibited,
    /// By an engineer, until returned.
    OutOfService,
}

impl OverlayKind {
    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shelved => "shelved",
            Self::Inhibited => "inhibited",
            Self::OutOfService => "out_of_service",
        }
    }
}

/// A time-weighted mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Average {
    /// Mean of what the window holds, `None` when it holds nothing. Trust it only when `known`.
    pub mean: Option<Concentration>,
    /// How much of the window holds samples.
    pub covered: Duration,
    /// Less than 80 % covered.
    pub partial: bool,
    /// At least min(60 s, 80 % of the window) covered: set points evaluate it.
    pub known: bool,
}

impl Average {
    /// The mean if it may be trusted.
    #[must_use]
    pub const fn value(&self) -> Option<Concentration> {
        if self.known { self.mean } else { None }
    }
}

/// An alarm of whatever kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmStatus {
    /// State.
    pub state: AlarmState,
    /// When it entered that state, `None` since the start.
    pub since: Option<Instant>,
    /// The horn was silenced for it.
    pub silenced: bool,
    /// Horn and outputs are suppressed.
    pub overlay: Option<Overlay>,
}

/// A set point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetPointStatus {
    /// Its alarm.
    pub alarm: AlarmStatus,
    /// Cells whose contribution stands, frozen ones included.
    pub votes: u8,
    /// Votes needed now.
    pub k_eff: u8,
    /// Extreme of the quantity over the cells that can vote.
    pub value: Option<Concentration>,
    /// Whose contribution stands.
    pub over: CellSet,
    /// Whose contribution is frozen.
    pub frozen: CellSet,
    /// Whether its outputs are driven: by itself, by a higher stage, or by the loss action.
    pub drives: bool,
}

/// A zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneStatus {
    /// How much gas.
    pub level: Level,
    /// How much it can see.
    pub health: Health,
    /// Special states of its cells and set points.
    pub special: Specials,
    /// The value to show, and of which cell: maximum (minimum for falling) of the healthy cells.
    pub shown: Option<(CellIndex, Concentration)>,
}

/// A lamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lamp {
    /// Dark.
    #[default]
    Off,
    /// Lit.
    On,
    /// Half a second lit, half a second dark.
    Flash,
}

impl Lamp {
    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Flash => "flash",
        }
    }
}

/// Hand control of an output.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Mode {
    /// By the logic.
    #[default]
    Auto,
    /// Forced on.
    On,
    /// Forced off.
    Off,
}

impl Mode {
    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// An output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputStatus {
    /// Whether its named function is active.
    pub on: bool,
    /// Whether the coil or lamp has current (`normally` applied).
    pub energised: bool,
    /// The lamp; for relays and horns `On` or `Off`. Shows the lamp test.
    pub lamp: Lamp,
    /// Hand control.
    pub mode: Mode,
    /// When hand control ends by itself.
    pub mode_until: Option<Instant>,
    /// Since when `on` is as it is.
    pub since: Instant,
    /// Read-back differed three times.
    pub fault: bool,
    /// The module is in hand mode.
    pub hand: bool,
}

/// The horn of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HornStatus {
    /// An unacknowledged, unsilenced, unsuppressed gas alarm exists.
    pub on: bool,
    /// There are unacknowledged gas alarms, and all of them are silenced.
    pub silenced: bool,
}

/// Modes in which the measuring function is impaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Special {
    /// Not every cell had its first good poll or fault.
    Starting,
    /// Some cell warms up.
    WarmUp,
    /// Some cell is inhibited.
    Inhibit,
    /// Some cell is out of service.
    OutOfService,
    /// Some alarm is shelved.
    Shelved,
    /// Some output is under hand control.
    Override,
    /// Some relay module is in hand mode.
    HandMode,
    /// The lamp test runs.
    LampTest,
    /// The battery test runs.
    BatteryTest,
    /// The shell's self-test failed.
    SelfTest,
}

impl Special {
    /// All, in the order of the API.
    pub const ALL: [Self; 10] = [
        Self::Starting,
        Self::WarmUp,
        Self::Inhibit,
        Self::OutOfService,
        Self::Shelved,
        Self::Override,
        Self::HandMode,
        Self::LampTest,
        Self::BatteryTest,
        Self::SelfTest,
    ];

    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::WarmUp => "warm_up",
            Self::Inhibit => "inhibit",
            Self::OutOfService => "out_of_service",
            Self::Shelved => "shelved",
            Self::Override => "override",
            Self::HandMode => "hand_mode",
            Self::LampTest => "lamp_test",
            Self::BatteryTest => "battery_test",
            Self::SelfTest => "self_test",
        }
    }
}

/// A set of [`Special`] states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Specials(u16);

impl Specials {
    /// Whether `special` stands.
    #[must_use]
    pub const fn has(self, special: Special) -> bool {
        self.0 & 1 << special as u8 != 0
    }

    /// Whether none stands.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Sets or clears one.
    pub fn set(&mut self, special: Special, on: bool) {
        let bit = 1 << special as u8;
        if on { self.0 |= bit } else { self.0 &= !bit }
    }

    /// Those that stand.
    pub fn iter(self) -> impl Iterator<Item = Special> {
        Special::ALL
            .into_iter()
            .filter(move |special| self.has(*special))
    }
}

/// The site at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteStatus {
    /// Highest zone level.
    pub level: Level,
    /// Worst zone health; a lost bus, output or self-test makes it at least degraded.
    pub health: Health,
    /// All special states.
    pub special: Specials,
    /// The healthy signal.
    pub healthy_signal: bool,
    /// The horn.
    pub horn: HornStatus,
    /// Alarms to acknowledge.
    pub unacknowledged: u16,
    /// Alarms that a reset would end.
    pub resettable: u16,
}
