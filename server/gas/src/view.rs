//! The JSON of the gas service. The only place where field names meet clients; domain types carry none.

use leitstand_core::gas::ra_gas;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The sentence that every state of the service carries.
pub const NOTICE: &str = "Not a type-approved gas-warning controller.";

/// Everything of the site at one instant.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Snapshot {
    /// Counts up with each new snapshot of this run.
    pub seq: u64,
    /// When it was made, by the wall clock.
    pub unix_ms: i64,
    /// Seconds since this start.
    pub uptime_s: u64,
    /// Something of it is simulated.
    pub simulated: bool,
    /// What this is not.
    pub notice: &'static str,
    /// The site at a glance.
    pub status: Status,
    /// Monitored areas.
    pub zones: Vec<Zone>,
    /// Set points of all zones.
    pub set_points: Vec<SetPoint>,
    /// Measurement channels.
    pub cells: Vec<Cell>,
    /// All alarms that are not normal, most urgent first.
    pub alarms: Vec<Alarm>,
    /// Relays, lamps and horns.
    pub outputs: Vec<Output>,
    /// RS-485 lines.
    pub buses: Vec<Bus>,
    /// Mains and battery.
    pub power: Power,
    /// Operating time and intervals.
    pub service: ServiceView,
    /// How good the alarms are.
    pub quality: QualityView,
    /// The newest self-test; null before the first.
    pub self_test: Option<SelfTestView>,
}

/// The site at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// Highest level of a zone: `normal`, `ap1` ... `ap4`.
    pub level: &'static str,
    /// Worst health of a zone: `good`, `degraded`, `lost`.
    pub health: &'static str,
    /// Modes in which the measuring function is impaired.
    pub special: Vec<&'static str>,
    /// No fault exists anywhere.
    pub healthy_signal: bool,
    /// The horn.
    pub horn: Horn,
    /// Alarms to acknowledge.
    pub unacknowledged: u16,
    /// Alarms that a reset would end.
    pub resettable: u16,
    /// The configuration file differs from the copy in force.
    pub config_drift: bool,
    /// Number of the configuration in force.
    pub config_version: u64,
}

/// `GET /status`: the site at a glance with counts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StatusView {
    /// The site at a glance.
    #[serde(flatten)]
    pub status: Status,
    /// Set points and fault alarms by state.
    pub counts: Counts,
    /// State of the supply.
    pub power: &'static str,
    /// State of the service interval.
    pub service: &'static str,
    /// Seconds since this start.
    pub uptime_s: u64,
    /// The program's version.
    pub version: &'static str,
    /// Something of it is simulated.
    pub simulated: bool,
    /// What this is not.
    pub notice: &'static str,
}

/// Alarms by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// The condition stands and nobody has said so.
    pub active_unack: u16,
    /// The condition stands and an operator knows.
    pub active_ack: u16,
    /// The condition ended before anyone acknowledged.
    pub rtn_unack: u16,
    /// Ended, latched, not acknowledged.
    pub latched_unack: u16,
    /// Ended, latched, acknowledged: a reset ends it.
    pub latched_ack: u16,
}

/// The horn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Horn {
    /// It sounds.
    pub on: bool,
    /// It would sound, and somebody silenced it.
    pub silenced: bool,
}

/// A zone.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Zone {
    /// Id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Highest stage that is active or latched.
    pub level: &'static str,
    /// How much it can see.
    pub health: &'static str,
    /// Special states of its cells and set points.
    pub special: Vec<&'static str>,
    /// The value to show.
    pub shown: Option<Shown>,
    /// Ids of its cells.
    pub cells: Vec<String>,
    /// Ids of the alarms of its set points.
    pub set_points: Vec<String>,
}

/// The value to show for a zone.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Shown {
    /// Whose.
    pub cell: String,
    /// In `unit`.
    pub value: f64,
    /// Unit.
    pub unit: &'static str,
}

/// A set point and its alarm.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SetPoint {
    /// Id within the zone.
    pub id: String,
    /// Id of its alarm: `<zone>.<id>`.
    pub alarm: String,
    /// Its zone.
    pub zone: String,
    /// 1 to 4.
    pub stage: u8,
    /// `direct`, `average`, `rate` (change per minute) or `exposure` (divided by the whole span).
    pub quantity: &'static str,
    /// What is looked at: of the average, the rate or the exposure.
    pub window_s: Option<u16>,
    /// `rising` or `falling`.
    pub direction: &'static str,
    /// The limit.
    pub on: f64,
    /// Cleared only this far on the safe side of the limit.
    pub hysteresis: f64,
    /// Delay before it is set.
    pub on_delay_s: u64,
    /// Delay before it ends.
    pub off_delay_s: u64,
    /// Unit of limit and values.
    pub unit: &'static str,
    /// Ends only by reset.
    pub latching: bool,
    /// Cells needed.
    pub vote_k: u8,
    /// Cells needed now, with faulty ones taken into account.
    pub k_eff: u8,
    /// Cells whose contribution stands.
    pub votes: u8,
    /// State of its alarm.
    pub state: &'static str,
    /// What suppresses horn and outputs.
    pub overlay: Option<Overlay>,
    /// When it entered its state; null = since before this start.
    pub since_unix_ms: Option<i64>,
    /// Seconds in this state.
    pub age_s: Option<u64>,
    /// Extreme of the quantity over the cells that can vote.
    pub value: Option<f64>,
    /// By cell.
    pub inputs: Vec<InputView>,
}

/// What suppresses horn and outputs of an alarm.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Overlay {
    /// `shelved`, `inhibited` or `out_of_service`.
    pub kind: &'static str,
    /// Seconds until it ends by itself.
    pub until_s: Option<u64>,
    /// Why.
    pub reason: Option<String>,
    /// By whom.
    pub by: Option<String>,
}

/// A cell as a set point sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InputView {
    /// Which.
    pub cell: String,
    /// The compared quantity; null = unknown.
    pub value: Option<f64>,
    /// Its contribution stands.
    pub over: bool,
    /// Its contribution is frozen because it cannot vote.
    pub frozen: bool,
}

/// A measurement channel. `value: null` never means clean air.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Cell {
    /// Id.
    pub id: String,
    /// Its sensor.
    pub sensor: String,
    /// Channel of the sensor.
    pub channel: u8,
    /// Ids of its zones.
    pub zones: Vec<String>,
    /// Gas.
    pub gas: &'static str,
    /// Unit of all values.
    pub unit: &'static str,
    /// Where it hangs.
    pub location: String,
    /// Start of the range.
    pub range_lo: f64,
    /// End of the range.
    pub range_hi: f64,
    /// Present value; null while faulty or before the first good poll.
    pub value: Option<f64>,
    /// Last good value, also while faulty.
    pub last_value: Option<f64>,
    /// Last good value before clamping at zero.
    pub raw: Option<f64>,
    /// Age of the last good poll.
    pub age_ms: Option<u64>,
    /// `good`, `stale`, `fault`, `warm_up` or `starting`.
    pub quality: &'static str,
    /// Inhibited or out of service.
    pub inhibited: bool,
    /// What masks it.
    pub overlay: Option<Overlay>,
    /// Why it is faulty.
    pub fault: Option<String>,
    /// What a technician should look at.
    pub warnings: Vec<&'static str>,
    /// The line from converter counts to values, of sensors that tell it.
    pub calibration: Option<CalibrationView>,
    /// A bump test under way.
    pub bump: Option<BumpView>,
    /// Its values are made up.
    pub simulated: bool,
    /// Over all windows in use.
    pub averages: Vec<AverageView>,
}

/// Counts of the converter and the line through two gases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CalibrationView {
    /// How old this is.
    pub age_ms: u64,
    /// Converter counts, 0 to 1023 over 5 V.
    pub adc: u16,
    /// The same in mV.
    pub millivolts: u32,
    /// Counts at zero gas.
    pub adc_zero: u16,
    /// Counts at span gas.
    pub adc_span: u16,
    /// Zero gas, ppm.
    pub ppm_zero: u16,
    /// Span gas, ppm.
    pub ppm_span: u16,
}

impl CalibrationView {
    pub(crate) fn new(age: std::time::Duration, channel: &ra_gas::Channel) -> Self {
        let line = channel.calibration;
        Self {
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            adc: channel.adc,
            millivolts: channel.microvolts() / 1000,
            adc_zero: line.adc_zero,
            adc_span: line.adc_span,
            ppm_zero: line.ppm_zero,
            ppm_span: line.ppm_span,
        }
    }

    /// What a calibration starts from.
    pub(crate) fn channel(&self) -> ra_gas::Channel {
        ra_gas::Channel {
            adc: self.adc,
            calibration: ra_gas::Calibration {
                adc_zero: self.adc_zero,
                adc_span: self.adc_span,
                ppm_zero: self.ppm_zero,
                ppm_span: self.ppm_span,
            },
            ..ra_gas::Channel::default()
        }
    }
}

/// A bump test under way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct BumpView {
    /// What the cell must reach.
    pub target: f64,
    /// From above (oxygen).
    pub falling: bool,
    /// The extreme so far.
    pub peak: Option<f64>,
    /// Seconds until the window ends.
    pub left_s: u64,
}

/// How good the alarms are, after ISA-18.2. Counted since this start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct QualityView {
    /// Alarms raised in the last 10 minutes.
    pub last_10_min: usize,
    /// And in the last 24 hours.
    pub last_day: usize,
    /// More than 10 in 10 minutes, and not yet below 5.
    pub flood: bool,
    /// Ids of alarms that were raised three times within a minute.
    pub chattering: Vec<String>,
    /// Ids of alarms that have stood for more than a day.
    pub stale: Vec<String>,
}

/// What the gateway found when it looked at itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SelfTestView {
    /// When.
    pub unix_ms: i64,
    /// Everything was as it should be.
    pub ok: bool,
    /// One by one.
    pub checks: Vec<CheckResult>,
}

/// One check of the self-test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckResult {
    /// `program`, `memory`, `parameters`, `disk` or `clock`.
    pub check: &'static str,
    /// As it should be.
    pub ok: bool,
    /// What is wrong.
    pub detail: Option<String>,
}

impl CheckResult {
    pub(crate) fn new(check: &'static str, wrong: Option<String>) -> Self {
        Self {
            check,
            ok: wrong.is_none(),
            detail: wrong,
        }
    }
}

/// A time-weighted mean.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AverageView {
    /// Length of the window.
    pub window_s: u16,
    /// Mean; null while too little is covered.
    pub value: Option<f64>,
    /// How much of the window holds samples.
    pub covered_s: f64,
    /// Less than 80 % covered.
    pub partial: bool,
}

/// An alarm of whatever kind.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Alarm {
    /// Id.
    pub id: String,
    /// `set_point`, `cell_fault`, `bus_fault`, `output_fault` or `power`.
    pub kind: &'static str,
    /// Its zone, for set points.
    pub zone: Option<String>,
    /// 1 to 4, for set points.
    pub stage: Option<u8>,
    /// State.
    pub state: &'static str,
    /// When it entered its state; null = since before this start.
    pub since_unix_ms: Option<i64>,
    /// Somebody has to acknowledge.
    pub unacknowledged: bool,
    /// A reset would end it.
    pub resettable: bool,
    /// The horn was silenced for it.
    pub silenced: bool,
    /// What suppresses horn and outputs.
    pub overlay: Option<Overlay>,
    /// One sentence.
    pub text: String,
}

/// A relay, lamp or horn.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Output {
    /// Id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// `relay`, `led` or `horn`.
    pub kind: &'static str,
    /// Its function is active; for the healthy signal: healthy.
    pub on: bool,
    /// Coil or lamp have current.
    pub energised: bool,
    /// `off`, `on` or `flash`.
    pub lamp: &'static str,
    /// `auto`, `on` or `off`.
    pub mode: &'static str,
    /// Seconds until hand control ends by itself.
    pub mode_until_s: Option<u64>,
    /// Why it is under hand control, and by whom.
    pub hand: Option<Annotation>,
    /// It sits on a board that is driven.
    pub wired: bool,
    /// Read-back differs from what was written.
    pub fault: bool,
    /// Since when `on` is as it is.
    pub since_unix_ms: Option<i64>,
    /// Its meaning beside actions.
    pub function: Option<&'static str>,
}

/// Who did something, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Annotation {
    /// User or token.
    pub by: String,
    /// In words.
    pub reason: Option<String>,
    /// When.
    pub unix_ms: i64,
}

/// An RS-485 line.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Bus {
    /// Id.
    pub id: String,
    /// Serial device.
    pub device: String,
    /// `open` or `closed`.
    pub state: &'static str,
    /// Duration of the last scan.
    pub cycle_ms: u32,
    /// Share of the cycle spent on devices that answer.
    pub efficiency: f64,
    /// What is on it.
    pub devices: Vec<Device>,
}

/// A device on a bus.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Device {
    /// Id of the sensor or board.
    pub sensor: String,
    /// Slave address.
    pub address: u8,
    /// `good`, `retrying`, `probe` or `busy`.
    pub state: &'static str,
    /// Good polls.
    pub good: u64,
    /// Polls without an answer.
    pub timeout: u64,
    /// Wrong checksums.
    pub crc: u64,
    /// Modbus exceptions.
    pub exception: u64,
    /// Answers of the wrong length or kind.
    pub length: u64,
    /// Polls that a retry saved.
    pub recovered: u64,
    /// Worst age of a value while the device answers, from the configuration.
    pub worst_age_ms: u32,
    /// Firmware.
    pub firmware: Option<String>,
}

/// A sensor: `GET /sensors`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Sensor {
    /// Id.
    pub id: String,
    /// `ra_gas_co_no2`, `analog` or `simulated`.
    pub kind: &'static str,
    /// Id of its bus.
    pub bus: Option<String>,
    /// Slave address.
    pub address: Option<u8>,
    /// Register layout or shape of the simulation.
    pub profile: Option<String>,
    /// Ids of its cells.
    pub cells: Vec<String>,
    /// Statistics of the bus.
    pub device: Option<Device>,
    /// Faults of its cells.
    pub faults: Vec<String>,
}

/// Mains and battery.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Power {
    /// `mains`, `on_battery`, `battery_low`, `battery_critical`, `battery_fault` or `not_wired`.
    pub state: &'static str,
    /// State of charge.
    pub soc_percent: Option<f64>,
    /// Half-width of its uncertainty.
    pub soc_uncertainty: Option<f64>,
    /// Being charged or floating.
    pub charging: bool,
    /// Terminal voltage.
    pub battery_v: Option<f64>,
    /// Time left at the present load; null without a load or a charge.
    pub remaining_h: Option<f64>,
    /// Seconds until the battery test ends.
    pub test_s: Option<u64>,
}

/// Operating time and intervals.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServiceView {
    /// Days between services.
    pub interval_days: u16,
    /// Days used.
    pub days_used: u32,
    /// Days left, negative when overdue.
    pub days_left: i32,
    /// `ok`, `soon` or `due`.
    pub state: &'static str,
    /// Seconds the centre has run in its life.
    pub operating_s: u64,
    /// Starts in its life.
    pub boot_count: u32,
    /// Further intervals.
    pub checks: Vec<CheckView>,
    /// Services done, newest first.
    pub history: Vec<ServiceDone>,
}

/// A further interval.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CheckView {
    /// `visual`, `function` or `system`.
    pub check: &'static str,
    /// Days between.
    pub interval_days: u16,
    /// Days left, negative when overdue.
    pub days_left: i32,
    /// `ok`, `soon` or `due`.
    pub state: &'static str,
}

/// A service that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceDone {
    /// Who did it, as they said.
    pub by: String,
    /// What they noted.
    pub note: String,
    /// Who entered it.
    pub entered_by: String,
    /// When, by the wall clock.
    pub unix_ms: i64,
    /// Whether that clock could be trusted.
    pub synced: bool,
    /// Operating seconds at that time.
    pub operating_s: u64,
}

/// `GET /cells/{id}/history`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct History {
    /// Which cell.
    pub cell: String,
    /// Unit of the values.
    pub unit: &'static str,
    /// Seconds from one point to the next.
    pub step_s: u32,
    /// Oldest first.
    pub items: Vec<HistoryPoint>,
}

/// A point of a history: the highest value within the step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct HistoryPoint {
    /// Age of the end of the step.
    pub age_s: u32,
    /// null = a gap.
    pub value: Option<f64>,
}

/// `GET /config`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ConfigView {
    /// Counts up with every change.
    pub version: u64,
    /// The text in force.
    pub text: String,
    /// SHA-256 of it.
    pub hash: String,
    /// The file differs from it.
    pub drift: bool,
}
