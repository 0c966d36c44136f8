//! The site as configured, by position. Names live in the shell; it checks its file and fills this.

mod boards;
mod check;

use super::analog::{Bands, Curve};
use super::index::{
    BoardIndex, BusIndex, CellIndex, CellSet, OutputIndex, SetPointIndex, ZoneIndex,
};
use super::ra_gas::Calibration;
use crate::power::{ServicePlan, SupplyPlan};
use crate::time::Duration;
use crate::units::Concentration;
use heapless::Vec;

/// Most actions of a set point. Reasoning: fan, second fan, sign, lamp, horn, and three to spare.
pub const ACTIONS_MAX: usize = 8;
/// Most different averaging windows of a site. Reasoning: 1, 5, 15, 30, 60 min and three to spare.
pub const WINDOWS_MAX: usize = 8;
/// Most output boards of a site. Reasoning: two shift-register boards and 14 bus relay modules.
pub const BOARDS_MAX: usize = 16;

/// A whole site: `C` cells, `Z` zones, `S` set points, `O` outputs, `B` buses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize> {
    /// Cells.
    pub cells: Vec<CellPlan, C>,
    /// Zones.
    pub zones: Vec<ZonePlan, Z>,
    /// Set points of all zones.
    pub set_points: Vec<SetPointPlan, S>,
    /// Outputs.
    pub outputs: Vec<OutputPlan, O>,
    /// Output boards.
    pub boards: Vec<BoardKind, BOARDS_MAX>,
    /// How many buses, at most `B`.
    pub buses: u8,
    /// Averaging windows in seconds, multiples of 5 in 10..=3600. Set points may only use these; every cell is
    /// averaged over all of them.
    pub windows: Vec<u16, WINDOWS_MAX>,
    /// Mains and battery, where wired.
    pub supply: Option<SupplyPlan>,
    /// Service and check intervals.
    pub service: ServicePlan,
    /// The horn comes back this long after it was silenced while the alarm is still active and
    /// unacknowledged; `None` = never.
    pub horn_recurs: Option<Duration>,
}

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize>
    Plan<C, Z, S, O, B>
{
    /// An empty site with the usual windows of 1, 5, 15, 30 and 60 minutes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cells: Vec::new(),
            zones: Vec::new(),
            set_points: Vec::new(),
            outputs: Vec::new(),
            boards: Vec::new(),
            buses: 0,
            windows: Vec::from_array([60, 300, 900, 1800, 3600]),
            supply: None,
            service: ServicePlan::default(),
            horn_recurs: None,
        }
    }
}

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize> Default
    for Plan<C, Z, S, O, B>
{
    fn default() -> Self {
        Self::new()
    }
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellPlan {
    /// The bus it hangs on; `None` for simulated cells.
    pub bus: Option<BusIndex>,
    /// Gas and unit as a number of the shell's choice: cells of one `kind` can be compared.
    pub kind: u8,
    /// Lowest value.
    pub range_lo: Concentration,
    /// Highest value; above it is `over_range`.
    pub range_hi: Concentration,
    /// From current to value, for readings of the form `Current`.
    pub curve: Curve,
    /// Which currents are valid.
    pub bands: Bands,
    /// How often it is polled: 3 cycles make a value stale, and hold a sample (at least 15 s).
    pub cycle: Duration,
    /// After power-on and after a fault, readings do not count for so long. 0 = none.
    pub warmup: Duration,
    /// The calibration at commissioning; `None` = the first one seen.
    pub commissioned: Option<Calibration>,
    /// Whether a raw value that stands still for 24 h is suspect.
    pub stuck_check: bool,
}

impl CellPlan {
    /// A cell over `lo..=hi` with a 1 s cycle, a straight 4-20 mA line and no warm-up.
    #[must_use]
    pub fn new(lo: Concentration, hi: Concentration) -> Self {
        Self {
            bus: None,
            kind: 0,
            range_lo: lo,
            range_hi: hi,
            curve: Curve::line(lo, hi),
            bands: Bands::Ne43,
            cycle: Duration::from_secs(1),
            warmup: Duration::ZERO,
            commissioned: None,
            stuck_check: true,
        }
    }
}

/// A zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZonePlan {
    /// Its cells. A cell may be in several zones.
    pub cells: CellSet,
    /// Outputs of stages up to this one are on while no healthy cell remains; 0 = none. Usual: 1.
    pub loss_stage: u8,
}

/// What a set point compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// The current value.
    Direct,
    /// The average over so many seconds; one of [`Plan::windows`].
    Average(u16),
    /// The change per minute over so many seconds: mean of the newer half against mean of the older half. The
    /// span, a multiple of 10, and its half are [`Plan::windows`]. Falling limits are negative.
    Rate(u16),
    /// Exposure: what was measured in the last [`EXPOSURE_SHORT_S`] or [`EXPOSURE_LONG_S`] seconds, divided by all
    /// of that time. Time without a sample adds nothing.
    Exposure(u16),
}

/// Short-term exposure: 15 minutes.
pub const EXPOSURE_SHORT_S: u16 = 900;
/// Long-term exposure: a shift of 8 hours.
pub const EXPOSURE_LONG_S: u16 = 28_800;

impl Quantity {
    /// The entries of [`Plan::windows`] that it needs.
    pub fn windows(self) -> impl Iterator<Item = u16> {
        let (first, second) = match self {
            Self::Direct | Self::Exposure(EXPOSURE_LONG_S) => (None, None),
            Self::Average(seconds) | Self::Exposure(seconds) => (Some(seconds), None),
            Self::Rate(seconds) => (Some(seconds), Some(seconds / 2)),
        };
        first.into_iter().chain(second)
    }
}

/// Which side of the limit is dangerous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Toxic and combustible gases.
    #[default]
    Rising,
    /// Lack of oxygen.
    Falling,
}

/// A set point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetPointPlan {
    /// The zone it belongs to.
    pub zone: ZoneIndex,
    /// 1..=4.
    pub stage: u8,
    /// Its cells, a part of the zone's.
    pub cells: CellSet,
    /// What is compared.
    pub quantity: Quantity,
    /// Which way.
    pub direction: Direction,
    /// The limit: set when the value is at or beyond it.
    pub on: Concentration,
    /// Cleared only when the value is more than this on the safe side of the limit.
    pub hysteresis: Concentration,
    /// So long at or beyond before the contribution stands.
    pub on_delay: Duration,
    /// So long on the safe side before it ends.
    pub off_delay: Duration,
    /// Ends only by reset.
    pub latching: bool,
    /// Accepts `latching == false` for stage 3 and above.
    pub allow_non_latching: bool,
    /// Cells needed; 1 = any.
    pub vote_k: u8,
    /// What it switches.
    pub actions: Vec<Action, ACTIONS_MAX>,
}

/// An output that a set point switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// Which.
    pub output: OutputIndex,
    /// How.
    pub mode: ActionMode,
}

/// How a set point switches an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionMode {
    /// On while driven.
    Follow,
    /// On for so long at the transition to driven.
    Pulse(Duration),
    /// Like follow; a lamp flashes instead of being lit.
    Flash,
}

/// What kind of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputKind {
    /// By condition and latch only.
    Relay,
    /// Flashes while a returned alarm is not acknowledged.
    Led,
    /// Goes quiet on acknowledge or silence.
    Horn,
}

/// What an output means beside the actions that name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Function {
    /// Only the actions.
    #[default]
    Actions,
    /// On while no fault exists.
    Healthy,
    /// On while any fault exists.
    Fault,
    /// Always on while running.
    Power,
    /// The service is due.
    ServiceDue,
    /// On while the zone drives this stage, as on the original boards.
    Stage {
        /// Which zone.
        zone: ZoneIndex,
        /// Which stage, 1..=4.
        stage: u8,
    },
}

/// An output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPlan {
    /// Kind.
    pub kind: OutputKind,
    /// Meaning.
    pub function: Function,
    /// Its board; `None` = virtual, shown as not wired.
    pub board: Option<BoardIndex>,
    /// Position on the board, from 1.
    pub pin: u8,
    /// Energised while its function is **not** active. The healthy signal is energised while healthy either way.
    pub normally_energised: bool,
    /// Once on, at least so long.
    pub min_on: Duration,
    /// On for so long after its reason ended.
    pub run_on: Duration,
}

impl OutputPlan {
    /// An output that only follows actions, without a board.
    #[must_use]
    pub fn new(kind: OutputKind, pin: u8) -> Self {
        Self {
            kind,
            function: Function::Actions,
            board: None,
            pin,
            normally_energised: false,
            min_on: Duration::ZERO,
            run_on: Duration::ZERO,
        }
    }
}

/// What kind of output board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BoardKind {
    /// 20 LEDs on a shift register.
    Led20,
    /// 9 relays on a shift register.
    Relay9,
    /// 4 relays on a bus.
    MrDo4,
}

impl BoardKind {
    /// How many outputs it has.
    #[must_use]
    pub const fn pins(self) -> u8 {
        match self {
            Self::Led20 => 20,
            Self::Relay9 => 9,
            Self::MrDo4 => 4,
        }
    }
}

/// A mistake in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlanError {
    /// More buses than the station holds, or a cell on a bus that does not exist.
    UnknownBus(CellIndex),
    /// Range end not above its start.
    Range(CellIndex),
    /// A window is not a multiple of 5 s in 10..=3600 s.
    Window(u16),
    /// A zone has no cell.
    NoCells(ZoneIndex),
    /// A zone or set point names a cell that does not exist, or a set point one outside its zone.
    UnknownCell(SetPointIndex),
    /// As above, in a zone.
    UnknownZoneCell(ZoneIndex),
    /// The set point's zone does not exist.
    UnknownZone(SetPointIndex),
    /// The set point's cells measure different things.
    MixedKinds(SetPointIndex),
    /// Stage not in 1..=4.
    Stage(SetPointIndex),
    /// The set point's window is not one of the plan's.
    UnknownWindow(SetPointIndex),
    /// Hysteresis below 0, or not below the limit of a rising set point.
    Hysteresis(SetPointIndex),
    /// The limit lies outside a cell's range.
    OutOfRange(SetPointIndex),
    /// A higher stage of the same quantity and zone is the less dangerous one.
    StageOrder {
        /// The lower stage.
        lower: SetPointIndex,
        /// The higher stage.
        higher: SetPointIndex,
    },
    /// Stage 3 or above without latching and without the explicit permission.
    NotLatching(SetPointIndex),
    /// `vote_k` is 0 or above the number of cells.
    Vote(SetPointIndex),
    /// An action names an output that does not exist.
    UnknownOutput(SetPointIndex),
    /// The output's board does not exist, or has no such pin.
    NoSuchPin(OutputIndex),
    /// Two outputs share a pin.
    PinTwice(OutputIndex),
    /// A stage output names a zone that does not exist.
    OutputZone(OutputIndex),
    /// The healthy signal is also named by a set point.
    HealthyInUse(SetPointIndex),
    /// Two outputs claim to be the healthy signal.
    HealthyTwice(OutputIndex),
    /// The charge table is shorter than two pairs or does not rise.
    ChargeTable,
}

#[cfg(test)]
mod tests;
