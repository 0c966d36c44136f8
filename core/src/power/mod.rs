//! Mains, battery, operating hours and the service interval.
//!
//! Terms: *state of charge* (Ladestand) what is left in the battery; *operating time* (Laufzeit) the time the
//! centre has run in its life, unlike *uptime*; *service interval* (Wartungsintervall).

mod gauge;
pub(crate) mod runtime;
pub(crate) mod supply;

use crate::time::{Duration, Instant};
use crate::units::{MicroAmp, MilliVolt, PerMille};

/// Most pairs of a charge table. Reasoning: the longest built-in one has eleven.
pub const CHARGE_POINTS_MAX: usize = 16;

/// What kind of battery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Chemistry {
    /// Sealed lead, the usual one in alarm panels.
    #[default]
    Agm,
    /// Flooded lead.
    Flooded,
    /// Lithium iron phosphate.
    LiFePo4,
}

/// The supply as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupplyPlan {
    /// Chemistry: which table, which limits.
    pub chemistry: Chemistry,
    /// Cells in series: 3, 6, 12 for lead, 4 or 8 for LiFePO4. Tables and limits scale with it.
    pub cells: u8,
    /// Capacity in mAh.
    pub capacity_mah: u32,
    /// Internal resistance in mΩ, 0 = not known.
    pub r_internal_mohm: u32,
    /// Not to be used below this charge.
    pub min_soc: PerMille,
    /// Load in mA where no current sensor is wired; 0 = not known.
    pub load_ma: u32,
    /// Whether running on battery counts as a fault.
    pub mains_fault: bool,
    /// Table from the data sheet: resting voltage of the whole pack, rising, and charge.
    pub table: Option<heapless::Vec<(MilliVolt, PerMille), CHARGE_POINTS_MAX>>,
    /// Days between battery tests; `None` = only on demand.
    pub test_every_days: Option<u16>,
}

/// One reading of mains and battery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SupplyReading {
    /// Whether mains is present; `None` when the input could not be read: the last state is kept.
    pub mains: Option<bool>,
    /// Terminal voltage, `None` when it could not be read.
    pub battery: Option<MilliVolt>,
    /// Current, positive while charging, `None` where no sensor is wired.
    pub current: Option<MicroAmp>,
    /// The charger reports a fault.
    pub charger_fault: bool,
}

/// State of the supply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SupplyState {
    /// No battery configured, or nothing read yet.
    #[default]
    NotWired,
    /// Mains for at least 10 s.
    Mains,
    /// Mains lost for at least 2 s.
    OnBattery,
    /// Charge at most 30 %, or less than 30 minutes left.
    BatteryLow,
    /// Charge at most 10 %, or the voltage under its limit for 10 s.
    BatteryCritical,
    /// On mains, and the battery is missing, broken, or failed its test.
    BatteryFault,
}

impl SupplyState {
    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotWired => "not_wired",
            Self::Mains => "mains",
            Self::OnBattery => "on_battery",
            Self::BatteryLow => "battery_low",
            Self::BatteryCritical => "battery_critical",
            Self::BatteryFault => "battery_fault",
        }
    }
}

/// The supply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerStatus {
    /// State.
    pub state: SupplyState,
    /// State of charge.
    pub soc: Option<PerMille>,
    /// Half-width of its uncertainty.
    pub soc_uncertainty: Option<PerMille>,
    /// The battery is being charged or floating; `soc` is the last resting one.
    pub charging: bool,
    /// Terminal voltage.
    pub battery: Option<MilliVolt>,
    /// Time left at the present load; `None` without a load or a charge.
    pub remaining: Option<Duration>,
    /// The battery test runs until then.
    pub test_until: Option<Instant>,
}

/// How a battery test went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatteryTest {
    /// The shell takes the charger off for 10 minutes.
    Started,
    /// The voltage held.
    Passed,
    /// It did not: battery fault until a test passes.
    Failed,
    /// Mains was lost or an alarm was raised meanwhile.
    Aborted,
}

/// Service and check intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServicePlan {
    /// Days between services; 0 = due at once.
    pub interval_days: u16,
    /// Days between checks by [`Check`]; `None` = not watched.
    pub checks: [Option<u16>; 3],
}

impl Default for ServicePlan {
    fn default() -> Self {
        Self {
            interval_days: 365,
            checks: [None; 3],
        }
    }
}

/// Checks with an interval of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Check {
    /// Visual check.
    Visual,
    /// Function check.
    Function,
    /// System check.
    System,
}

impl Check {
    /// All.
    pub const ALL: [Self; 3] = [Self::Visual, Self::Function, Self::System];

    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Visual => "visual",
            Self::Function => "function",
            Self::System => "system",
        }
    }
}

/// Whether a service is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServiceState {
    /// More than 30 days left.
    #[default]
    Ok,
    /// At most 30 days left.
    Soon,
    /// None left.
    Due,
}

impl ServiceState {
    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Soon => "soon",
            Self::Due => "due",
        }
    }
}

/// One interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalStatus {
    /// Days between.
    pub interval_days: u16,
    /// Days used: operating days, or calendar days where the clock is trusted and they are more.
    pub days_used: u32,
    /// Days left, negative when overdue.
    pub days_left: i32,
    /// In words.
    pub state: ServiceState,
}

/// Operating time and intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeStatus {
    /// Seconds the centre has run in its life.
    pub operating_s: u64,
    /// Seconds since this start.
    pub uptime_s: u64,
    /// How often it was started, this start included.
    pub boot_count: u32,
    /// The service interval.
    pub service: IntervalStatus,
    /// The checks, where watched.
    pub checks: [Option<IntervalStatus>; 3],
}
