//! What survives a restart.

use super::alarm::AlarmState;
use super::index::CellSet;
use super::ra_gas::Calibration;
use super::status::Mode;
use crate::limits::DOSE_BUCKETS;
use heapless::Vec;

/// Version of the saved form; a change of any type below counts it up.
pub const MEMORY_VERSION: u8 = 2;
/// The version before exposures were kept, still understood.
pub const MEMORY_WITHOUT_DOSES: u8 = 1;
/// How much of the averages is saved. Reasoning: the longest window of a usual alarm is 15 minutes.
pub const HISTORY_BUCKETS: usize = 180;
/// Upper bound of [`Station::save`](super::Station::save) for a station of 64 cells, 64 set points, 64 outputs,
/// 16 buses. Reasoning: 180 buckets of at most 13 bytes and 96 of at most 15 a cell (242 kB), and 16 kB for the rest.
pub const SAVE_BYTES_MAX: usize = 64 * (HISTORY_BUCKETS * 13 + DOSE_BUCKETS * 15) + 16 * 1024;

/// What survives a restart, without the averages' buckets (they follow it in the saved form).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Memory<const C: usize, const S: usize, const O: usize, const B: usize> {
    /// Alarms of set points.
    pub set_points: Vec<SetPointMemory, S>,
    /// Cells.
    pub cells: Vec<CellMemory, C>,
    /// Fault alarms of buses.
    pub buses: Vec<AlarmMemory, B>,
    /// Outputs.
    pub outputs: Vec<OutputMemory, O>,
    /// Fault alarm of the supply.
    pub power: AlarmMemory,
    /// Operating time and intervals.
    pub runtime: RuntimeMemory,
}

/// An alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AlarmMemory {
    /// State.
    pub state: AlarmState,
    /// Whether the horn was silenced for it.
    pub silenced: bool,
    /// How much longer it is shelved, in ms; 0 = not.
    pub shelved_ms: u64,
}

/// A set point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SetPointMemory {
    /// Its alarm.
    pub alarm: AlarmMemory,
    /// Whose contribution stood.
    pub over: CellSet,
}

/// A cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CellMemory {
    /// Its fault alarm.
    pub alarm: AlarmMemory,
    /// How much longer it is inhibited, in ms; 0 = not.
    pub inhibited_ms: u64,
    /// Out of service.
    pub out_of_service: bool,
    /// The calibration that counts as right.
    pub commissioned: Option<Calibration>,
}

/// An output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OutputMemory {
    /// Its fault alarm.
    pub alarm: AlarmMemory,
    /// Hand control.
    pub mode: Mode,
    /// How much longer, in ms; 0 = until changed.
    pub mode_ms: u64,
}

/// Operating time and intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RuntimeMemory {
    /// Seconds the centre has run in its life.
    pub operating_s: u64,
    /// How often it was started.
    pub boot_count: u32,
    /// `operating_s` at the last service.
    pub service_at_s: u64,
    /// `operating_s` at the last check of each kind.
    pub check_at_s: [u64; 3],
    /// Last resting state of charge in tenths of a percent.
    pub soc: Option<u16>,
    /// `operating_s` at the last battery test.
    pub battery_test_at_s: u64,
    /// Whether that test failed.
    pub battery_test_failed: bool,
}

/// Why a saved form cannot be loaded. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// Written by another version of the format.
    Version(u8),
    /// The bytes do not decode.
    Corrupt,
    /// It describes another site: other numbers of cells, set points, outputs or buses.
    OtherSite,
    /// The buffer is too small for saving.
    NoSpace,
}
