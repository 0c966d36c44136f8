//! Facts in the past tense, in the order they happened. Names map one to one to the journal's.

use super::alarm::AlarmState;
use super::bump::BumpResult;
use super::command::AlarmKey;
use super::index::{BusIndex, CellIndex, OutputIndex, ZoneIndex};
use super::reading::{FaultCode, Warning};
use super::status::{Health, Lamp, Level, Mode, OverlayKind, Special};
use crate::power::{BatteryTest, Check, ServiceState, SupplyState};
use crate::time::Instant;
use crate::units::Concentration;

/// One fact. `at` may be earlier than the step that brought it: deadlines are run at their own instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub at: Instant,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// An alarm changed its state.
    Alarm {
        /// Which.
        key: AlarmKey,
        /// How; the event's name.
        change: AlarmChange,
        /// The state after it.
        state: AlarmState,
        /// Extreme of the quantity over the healthy cells of the set point: largest for rising, smallest for
        /// falling. `None` for fault alarms and when there is none.
        value: Option<Concentration>,
    },
    /// `CellFault`.
    CellFault {
        /// Which.
        cell: CellIndex,
        /// Why.
        fault: FaultCode,
    },
    /// `CellHealthy`.
    CellHealthy {
        /// Which.
        cell: CellIndex,
    },
    /// `CellWarning`: a warning came (`on`) or went.
    Warning {
        /// Which cell.
        cell: CellIndex,
        /// Which warning.
        warning: Warning,
        /// Whether it stands now.
        on: bool,
    },
    /// `BusLost` (`up == false`) and `BusRestored`.
    Bus {
        /// Which.
        bus: BusIndex,
        /// Whether it is open now.
        up: bool,
    },
    /// `ZoneLevelChanged`.
    ZoneLevel {
        /// Which.
        zone: ZoneIndex,
        /// Level after it.
        level: Level,
    },
    /// `ZoneHealthChanged`.
    ZoneHealth {
        /// Which.
        zone: ZoneIndex,
        /// Health after it.
        health: Health,
    },
    /// `OutputChanged`: the named function became active or ended. Also when only the lamp changed.
    Output {
        /// Which.
        output: OutputIndex,
        /// Whether its function is active now.
        on: bool,
        /// The lamp, for outputs of kind LED; equal to `on` otherwise.
        lamp: Lamp,
    },
    /// `OutputModeChanged`: by command or because the time of an override is over.
    OutputMode {
        /// Which.
        output: OutputIndex,
        /// Mode after it.
        mode: Mode,
    },
    /// `OutputFault` (`fault`) and `OutputHealthy`: read-back differed three times; agreed again.
    OutputFault {
        /// Which.
        output: OutputIndex,
        /// Whether it is faulty now.
        fault: bool,
    },
    /// `AlarmShelved`, `AlarmUnshelved`.
    Shelved {
        /// Which.
        key: AlarmKey,
        /// Whether it is shelved now.
        on: bool,
    },
    /// `CellInhibited`, `CellOutOfService` (`on`), `CellReturned` (`!on`).
    Masked {
        /// Which.
        cell: CellIndex,
        /// Which overlay: inhibited or out of service.
        kind: OverlayKind,
        /// Whether it stands now.
        on: bool,
    },
    /// `HornOn`, `HornOff`.
    Horn {
        /// Whether it sounds now.
        on: bool,
    },
    /// `HornSilenced`.
    HornSilenced,
    /// `SpecialStateEntered`, `SpecialStateLeft`.
    Special {
        /// Which.
        special: Special,
        /// Whether it stands now.
        on: bool,
    },
    /// `HealthySignalChanged`.
    HealthySignal {
        /// Whether it is on now.
        on: bool,
    },
    /// `SupplyChanged`.
    Supply {
        /// State after it.
        state: SupplyState,
    },
    /// `ShutdownAdvised`: the battery has been critical for 30 s; the shell saves and shuts down in order.
    ShutdownAdvised,
    /// `BatteryTestStarted`, `BatteryTestPassed`, `BatteryTestFailed`, `BatteryTestAborted`.
    BatteryTest(BatteryTest),
    /// `ServiceStateChanged`.
    Service {
        /// State after it.
        state: ServiceState,
    },
    /// `ServiceDone`.
    ServiceDone,
    /// `CheckStateChanged`: the state of a check interval.
    CheckState {
        /// Which.
        check: Check,
        /// State after it.
        state: ServiceState,
    },
    /// `CheckDone`.
    CheckDone(Check),
    /// `CalibrationConfirmed`.
    CalibrationConfirmed {
        /// Which cell.
        cell: CellIndex,
    },
    /// `BumpTestStarted`, `BumpTestPassed`, `BumpTestFailed`, `BumpTestAborted`.
    BumpTest {
        /// Which cell.
        cell: CellIndex,
        /// How it stands.
        result: BumpResult,
    },
    /// `EventsLost`: so many events did not fit into the queue since the last drain. A defect of the caller.
    EventsLost(u32),
}

/// What happened to a bump test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BumpChange {
    /// The window is open.
    Started,
    /// The cell saw the gas.
    Passed,
    /// The window ended without the gas being seen.
    Failed,
    /// The cell was returned to service before the window ended.
    Aborted,
}

impl BumpChange {
    /// The event's name in the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "BumpTestStarted",
            Self::Passed => "BumpTestPassed",
            Self::Failed => "BumpTestFailed",
            Self::Aborted => "BumpTestAborted",
        }
    }
}

/// What happened to an alarm. The names of the journal are `Alarm` + these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmChange {
    /// Into `ActiveUnack`, from whatever state.
    Raised,
    /// An acknowledge that changed the state.
    Acknowledged,
    /// Into `RtnUnack`.
    Returned,
    /// Into `LatchedUnack` or `LatchedAck` because the condition ended.
    Latched,
    /// `ActiveAck` to `Normal`, and every reset.
    Cleared,
}

impl AlarmChange {
    /// The event's name in the journal and in `replay`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "AlarmRaised",
            Self::Acknowledged => "AlarmAcknowledged",
            Self::Returned => "AlarmReturned",
            Self::Latched => "AlarmLatched",
            Self::Cleared => "AlarmCleared",
        }
    }
}
