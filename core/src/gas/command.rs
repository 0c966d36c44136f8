//! What can be fed to the station, and why it may say no.

use super::index::{BusIndex, CellIndex, OutputIndex, SetPointIndex};
use super::plan::Direction;
use super::reading::Reading;
use super::status::Mode;
use crate::power::{Check, SupplyReading};
use crate::time::Duration;
use crate::units::Concentration;

/// One input of [`Station::step`](super::Station::step).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// One poll of one cell.
    Reading {
        /// Whose.
        cell: CellIndex,
        /// What it brought.
        reading: Reading,
    },
    /// The port of a bus opened (`true`) or was lost.
    Bus {
        /// Which.
        bus: BusIndex,
        /// Whether it is open.
        up: bool,
    },
    /// What an output board said about one of its outputs, once a write cycle.
    OutputReport {
        /// Which.
        output: OutputIndex,
        /// Read-back agreed with what was written. Three `false` in a row are an output fault.
        agrees: bool,
        /// Somebody switched the module to hand mode: a special state.
        hand: bool,
    },
    /// Mains and battery.
    Supply(SupplyReading),
    /// Calendar days since the last service, `None` while the wall clock is not trusted.
    Calendar(Option<u32>),
    /// Result of the shell's self-test (image hash, memory pattern, disk). `false` is a fault and a special state.
    SelfTest(bool),
    /// An operator's command. The only input that can be refused.
    Command(Command),
    /// Time only. Runs the deadlines that fall due up to and **including** `now`.
    Tick,
}

/// Which alarm. The shell prints `<zone>.<setpoint>`, `fault.<cell>`, `fault.<bus>`, `fault.<output>`, `fault.power`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum AlarmKey {
    /// The gas alarm of a set point.
    SetPoint(SetPointIndex),
    /// A cell is faulty.
    Cell(CellIndex),
    /// A bus is lost.
    Bus(BusIndex),
    /// An output does not follow.
    Output(OutputIndex),
    /// Mains or battery.
    Power,
}

/// What an operator can ask for. Roles and reasons are the shell's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// I have seen this one.
    Acknowledge(AlarmKey),
    /// I have seen them all. Never refused.
    AcknowledgeAll,
    /// Unlatch this one; only from `LatchedAck`.
    Reset(AlarmKey),
    /// No horn and no outputs of this alarm for `span` (5 min..=8 h). Not for stage 3 and above.
    Shelve {
        /// Which.
        key: AlarmKey,
        /// How long.
        span: Duration,
    },
    /// End a shelving early.
    Unshelve(AlarmKey),
    /// The cell casts no vote and gives no samples for `span` (calibration, bump test; 1 s..=8 h).
    Inhibit {
        /// Which.
        cell: CellIndex,
        /// How long.
        span: Duration,
    },
    /// The cell casts no vote and gives no samples until it returns.
    OutOfService(CellIndex),
    /// Ends [`Inhibit`](Self::Inhibit) and [`OutOfService`](Self::OutOfService).
    ReturnToService(CellIndex),
    /// Gas is let onto the cell: it is inhibited for `span` (1 s..=8 h) and must reach `target` within it.
    BumpTest {
        /// Which.
        cell: CellIndex,
        /// What it must reach.
        target: Concentration,
        /// From which side.
        direction: Direction,
        /// How long.
        span: Duration,
    },
    /// The device's calibration is as it should be from now on.
    ConfirmCalibration(CellIndex),
    /// Stop the horn, nothing else. Never refused.
    Silence,
    /// One-button centres: acknowledges everything; when nothing is unacknowledged, resets what is latched.
    OneButton,
    /// All lamps on, 1..=10 s. Relays do not move.
    LampTest(Duration),
    /// Hand control of one output; `None` = until changed.
    SetOutput {
        /// Which.
        output: OutputIndex,
        /// What.
        mode: Mode,
        /// How long.
        span: Option<Duration>,
    },
    /// The service was done: the interval starts anew.
    ServiceDone,
    /// A check was done: its interval starts anew.
    CheckDone(Check),
    /// 10 minutes on battery with mains present.
    BatteryTest,
}

/// Why a command was not carried out. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No such cell, set point, bus or output.
    Unknown,
    /// Nothing to acknowledge.
    NotRaised,
    /// A reset while the condition still stands.
    StillActive,
    /// A reset before the acknowledge.
    NotAcknowledged,
    /// A reset of an alarm that is not latched.
    NotLatched,
    /// Stage 3 and above, and fault alarms, cannot be shelved.
    NotShelvable,
    /// It is not shelved.
    NotShelved,
    /// It is not inhibited or out of service.
    InService,
    /// It is out of service already; an inhibition would end that.
    OutOfService,
    /// The span is out of bounds.
    Span,
    /// The healthy signal and the power lamp cannot be forced on.
    NotOverridable,
    /// Not while an alarm stands.
    AlarmActive,
    /// Not without mains.
    NoMains,
    /// No battery is configured.
    NoBattery,
    /// The cell has no calibration that differs.
    NothingToConfirm,
}

impl Refusal {
    /// The stable code of the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NotRaised => "not_raised",
            Self::StillActive => "still_active",
            Self::NotAcknowledged => "not_acknowledged",
            Self::NotLatched => "not_latched",
            Self::NotShelvable => "not_shelvable",
            Self::NotShelved => "not_shelved",
            Self::InService => "in_service",
            Self::OutOfService => "out_of_service",
            Self::Span => "span_out_of_range",
            Self::NotOverridable => "not_overridable",
            Self::AlarmActive => "alarm_active",
            Self::NoMains => "no_mains",
            Self::NoBattery => "no_battery",
            Self::NothingToConfirm => "nothing_to_confirm",
        }
    }
}
