//! The literal shape of the file. Doc comments here are the configuration reference that users read.

use crate::seam::{Parity, Rts};
use schemars::JsonSchema;
use serde::Deserialize;

/// The gas-warning service. The section being present switches it on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GasSection {
    /// Days between services, 0 to 3650; 0 = due at once. The banner comes 30 days before.
    #[serde(default = "d365")]
    #[schemars(range(min = 0, max = 3650))]
    pub service_interval_days: u16,
    /// Days between visual checks, 1 to 3650. Not watched unless given.
    #[serde(default)]
    #[schemars(range(min = 1, max = 3650))]
    pub check_visual_days: Option<u16>,
    /// Days between function checks, 1 to 3650. Not watched unless given.
    #[serde(default)]
    #[schemars(range(min = 1, max = 3650))]
    pub check_function_days: Option<u16>,
    /// Days between system checks, 1 to 3650. Not watched unless given.
    #[serde(default)]
    #[schemars(range(min = 1, max = 3650))]
    pub check_system_days: Option<u16>,
    /// Refuses simulated sensors, outputs without a board.
    #[serde(default = "yes")]
    pub production: bool,
    /// Set points of zones that list none.
    #[serde(default)]
    pub preset: Preset,
    /// The horn comes back so many seconds after it was silenced while the alarm is still active and not
    /// acknowledged, 10 to 3600. Never unless given.
    #[serde(default)]
    #[schemars(range(min = 10, max = 3600))]
    pub horn_recurs_s: Option<u16>,
    /// RS-485 lines.
    #[serde(default)]
    pub buses: Vec<BusConfig>,
    /// Register layouts of analog modules. `mr_ci4` is built in (and unverified).
    #[serde(default)]
    pub profiles: Vec<ProfileConfig>,
    /// Bus devices with one or more cells.
    pub sensors: Vec<SensorConfig>,
    /// Gas measurement channels.
    pub cells: Vec<CellConfig>,
    /// Monitored areas.
    pub zones: Vec<ZoneConfig>,
    /// Output boards.
    #[serde(default)]
    pub boards: Vec<BoardConfig>,
    /// Relays, lamps and horns.
    #[serde(default)]
    pub outputs: Vec<OutputConfig>,
}

/// Set points of zones that list none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// CO 30 and 60 ppm as 15-minute averages, 150 ppm direct and latching; NO2 3, 6 and 15 ppm likewise.
    #[default]
    Garage,
    /// Factory settings of a centre for many gases, on current values: CO 30/60/120 (600/750/900 above 300 ppm), NO2
    /// 7/10/15, NH3 30/50/70, Cl2 2/3/4, CO2 10000/15000/20000 ppm, CH4, C3H8 and H2 20/30/40 % LEL, R134a
    /// 500/1000/1500 ppm, O2 19/16/14 % by volume falling. Stage 3 latches.
    Factory,
    /// None: every zone lists its own.
    None,
}

/// An RS-485 line.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BusConfig {
    /// Stable id: lower-case letters, digits, `_` and `-`, at most 32. Alarm `fault.<id>` means that the line is lost.
    pub id: String,
    /// Serial device, best by its stable name: `/dev/serial/by-id/...`.
    pub device: String,
    /// Bits per second: 1200, 2400, 4800, 9600, 19200, 38400, 57600 or 115200.
    #[serde(default = "d9600")]
    pub baud: u32,
    /// Parity.
    #[serde(default)]
    pub parity: Parity,
    /// Direction control of the transceiver, by the kernel where the port can; other adapters direct themselves.
    #[serde(default)]
    pub rts: Option<Rts>,
    /// How long to wait for an answer, in milliseconds, 50 to 2000.
    #[serde(default = "d300")]
    #[schemars(range(min = 50, max = 2000))]
    pub timeout_ms: u16,
    /// Further tries within the same poll, 0 to 5.
    #[serde(default = "d2")]
    #[schemars(range(min = 0, max = 5))]
    pub retries: u8,
    /// Target time for a scan of the whole line in seconds, 1 to 5. A value older than three scans is stale.
    #[serde(default = "d1")]
    #[schemars(range(min = 1, max = 5))]
    pub scan_s: u8,
}

/// The register layout of an analog module.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileConfig {
    /// Stable id.
    pub id: String,
    /// Modbus function: 3 = holding registers, 4 = input registers.
    #[schemars(range(min = 3, max = 4))]
    pub function: u8,
    /// Register of channel 1, 0 to 65535.
    pub start: u16,
    /// Registers from one channel to the next, 1 to 16.
    #[schemars(range(min = 1, max = 16))]
    pub stride: u16,
    /// Number format.
    pub format: FormatConfig,
    /// Factor from the register to mA.
    #[serde(default = "one")]
    pub scale: f32,
    /// Added after scaling, in mA.
    #[serde(default)]
    pub offset: f32,
    /// Checked on a real device. Otherwise each start warns.
    #[serde(default)]
    pub verified: bool,
}

/// How an analog module puts a current into registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FormatConfig {
    /// One unsigned register.
    U16,
    /// One signed register.
    I16,
    /// Two registers, IEEE-754, high word first.
    F32be,
    /// Two registers, IEEE-754, low word first.
    F32le,
}

/// A device with cells.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SensorConfig {
    /// Stable id.
    pub id: String,
    /// Kind of device.
    pub kind: SensorKind,
    /// Id of its bus; not for simulated sensors.
    #[serde(default)]
    pub bus: Option<String>,
    /// Slave address, 1 to 247 (factory setting of the combi sensor: 247); not for simulated sensors.
    #[serde(default)]
    #[schemars(range(min = 1, max = 247))]
    pub address: Option<u8>,
    /// Analog: id of a register layout. Simulated: `square_15min`, `square_30min`, `sawtooth`, `trapezoid`,
    /// `random` or `constant`.
    #[serde(default)]
    pub profile: Option<String>,
    /// Simulated: lowest value, in the unit of its cells. 0 unless given.
    #[serde(default)]
    pub low: Option<f64>,
    /// Simulated: highest value. The range of its cells unless given.
    #[serde(default)]
    pub high: Option<f64>,
    /// Simulated: length of one period in seconds, 2 to 86400; fixed for the two squares, else 600 unless given.
    #[serde(default)]
    #[schemars(range(min = 2, max = 86400))]
    pub period_s: Option<u32>,
}

/// Kinds of sensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SensorKind {
    /// RA-GAS combi sensor: channel 1 = NO2, channel 2 = CO.
    RaGasCoNo2,
    /// Analog module with 4-20 mA transmitters; channels from 1.
    Analog,
    /// Made-up values for trying out; always marked as simulated.
    Simulated,
}

/// A gas measurement channel.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellConfig {
    /// Stable id. Alarm `fault.<id>` means that its values cannot be trusted.
    pub id: String,
    /// Id of its sensor.
    pub sensor: String,
    /// Channel of the sensor, from 1. Combi sensor: 1 = NO2, 2 = CO.
    #[serde(default = "d1")]
    #[schemars(range(min = 1, max = 16))]
    pub channel: u8,
    /// What it measures.
    pub gas: Gas,
    /// Unit of all its values.
    pub unit: Unit,
    /// Start of the range, in the unit. 4 mA without a curve.
    #[serde(default)]
    #[schemars(range(min = -1000000.0, max = 1000000.0))]
    pub range_lo: f64,
    /// End of the range, in the unit. 20 mA without a curve; above it is over-range, which still counts.
    #[schemars(range(min = -1000000.0, max = 1000000.0))]
    pub range_hi: f64,
    /// Analog: 2 to 10 pairs of mA and value with strictly rising mA, linear in between.
    #[serde(default)]
    pub curve: Option<Vec<[f64; 2]>>,
    /// Analog: which currents are faults.
    #[serde(default)]
    pub bands: BandsConfig,
    /// After power-on and after a fault, values are shown but do not count for so many seconds, 0 to 3000.
    #[serde(default = "d120")]
    #[schemars(range(min = 0, max = 3000))]
    pub warmup_s: u16,
    /// Warns when the raw value does not change at all in 24 hours.
    #[serde(default = "yes")]
    pub stuck_check: bool,
    /// Where it hangs, in words.
    #[serde(default)]
    #[schemars(length(max = 80))]
    pub location: String,
}

/// Gases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gas {
    /// Carbon monoxide.
    Co,
    /// Nitrogen dioxide.
    No2,
    /// Methane.
    Ch4,
    /// Propane.
    C3h8,
    /// Hydrogen.
    H2,
    /// Ammonia.
    Nh3,
    /// Chlorine.
    Cl2,
    /// Carbon dioxide.
    Co2,
    /// Oxygen; its alarms fall.
    O2,
    /// Refrigerant R134a.
    R134a,
    /// Refrigerant R407c.
    R407c,
}

impl Gas {
    /// The stable text of file and API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Co => "co",
            Self::No2 => "no2",
            Self::Ch4 => "ch4",
            Self::C3h8 => "c3h8",
            Self::H2 => "h2",
            Self::Nh3 => "nh3",
            Self::Cl2 => "cl2",
            Self::Co2 => "co2",
            Self::O2 => "o2",
            Self::R134a => "r134a",
            Self::R407c => "r407c",
        }
    }

    /// Units in which it is measured.
    #[must_use]
    pub const fn units(self) -> &'static [Unit] {
        match self {
            Self::Co | Self::No2 | Self::Nh3 | Self::Cl2 | Self::R134a | Self::R407c => {
                &[Unit::Ppm]
            }
            Self::Co2 => &[Unit::Ppm, Unit::PercentVol],
            Self::O2 => &[Unit::PercentVol],
            Self::Ch4 | Self::C3h8 | Self::H2 => &[Unit::PercentLel, Unit::PercentVol, Unit::Ppm],
        }
    }
}

/// Units of concentration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Parts per million by volume.
    Ppm,
    /// Per cent by volume.
    PercentVol,
    /// Per cent of the lower explosive limit.
    PercentLel,
}

impl Unit {
    /// The stable text of file and API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ppm => "ppm",
            Self::PercentVol => "percent_vol",
            Self::PercentLel => "percent_lel",
        }
    }
}

/// Which loop currents are valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BandsConfig {
    /// NAMUR NE 43: faults below 3.6 and above 21.0 mA.
    #[default]
    Ne43,
    /// As older centres did: faults below 2.5 and above 22.0 mA.
    Legacy,
}

/// A monitored area.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneConfig {
    /// Stable id; `fault` is reserved.
    pub id: String,
    /// Name for people; the id unless given.
    #[serde(default)]
    #[schemars(length(max = 80))]
    pub name: Option<String>,
    /// Ids of its cells. A cell may be in several zones.
    pub cells: Vec<String>,
    /// Outputs of which stages are on while no healthy cell remains.
    #[serde(default)]
    pub loss_action: LossAction,
    /// Its set points. A zone that lists none gets those of `preset`.
    #[serde(default)]
    pub setpoints: Vec<SetPointConfig>,
}

/// What happens when a zone cannot see any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossAction {
    /// Only the fault.
    None,
    /// Ventilate: outputs of stage 1.
    #[default]
    Ap1,
    /// Outputs of stages 1 and 2.
    Ap2,
    /// Outputs of stages 1 to 3.
    Ap3,
}

impl LossAction {
    /// Highest stage whose outputs are driven.
    #[must_use]
    pub const fn stage(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Ap1 => 1,
            Self::Ap2 => 2,
            Self::Ap3 => 3,
        }
    }
}

/// One limit on one quantity, and what it switches. Alarm `<zone>.<id>`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPointConfig {
    /// Stable id, unique in the zone.
    pub id: String,
    /// Severity: alarm point 1 to 4. A higher stage switches the outputs of the lower ones too.
    #[schemars(range(min = 1, max = 4))]
    pub stage: u8,
    /// Ids of cells of the zone, all of one gas and unit; all cells of the zone unless given.
    #[serde(default)]
    pub cells: Option<Vec<String>>,
    /// What is compared.
    #[serde(default)]
    pub quantity: QuantityConfig,
    /// Seconds that are looked at. `average`: a multiple of 5, 10 to 3600; 900 unless given. `rate`: a multiple of
    /// 20, 20 to 1800; 120 unless given. `exposure`: 900 (15 minutes) or 28800 (8 hours); 900 unless given.
    #[serde(default)]
    #[schemars(range(min = 10, max = 28800))]
    pub window_s: Option<u16>,
    /// Which side is dangerous.
    #[serde(default)]
    pub direction: DirectionConfig,
    /// The limit, in the cells' unit (for `rate` in units a minute, negative when falling): set when the value is
    /// at or beyond it.
    #[schemars(range(min = -1000000.0, max = 1000000.0))]
    pub on: f64,
    /// Cleared only when the value is more than this on the safe side of the limit, 0 or more, in the cells' unit.
    #[serde(default)]
    #[schemars(range(min = -1000000.0, max = 1000000.0))]
    pub hysteresis: f64,
    /// The value must be at or beyond the limit for so many seconds, 0 to 3600.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3600))]
    pub on_delay_s: u16,
    /// The value must be on the safe side for so many seconds, 0 to 3600.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3600))]
    pub off_delay_s: u16,
    /// The alarm ends only by reset. On for stages 3 and 4 unless given.
    #[serde(default)]
    pub latching: Option<bool>,
    /// Accepts `latching = false` for stages 3 and 4.
    #[serde(default)]
    pub allow_non_latching_ap3: bool,
    /// How many cells must stand over the limit, 1 to the number of cells.
    #[serde(default = "d1")]
    #[schemars(range(min = 1, max = 64))]
    pub vote_k: u8,
    /// What it switches, at most 8.
    #[serde(default)]
    pub actions: Vec<ActionConfig>,
}

/// What a set point compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuantityConfig {
    /// The current value.
    #[default]
    Direct,
    /// The time-weighted average over `window_s`.
    Average,
    /// How fast it changes, in units a minute: the mean of the newer half of `window_s` against the older half.
    Rate,
    /// What was breathed: the sum over `window_s` divided by all of it; time without a reading adds nothing.
    Exposure,
}

/// Which side of a limit is dangerous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DirectionConfig {
    /// Above.
    #[default]
    Rising,
    /// Below (oxygen).
    Falling,
}

/// An output that a set point switches.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionConfig {
    /// Id of the output.
    pub output: String,
    /// How.
    #[serde(default)]
    pub mode: ActionModeConfig,
    /// Length of a pulse in seconds, 1 to 600. 1 unless given. Only with `mode = "pulse"`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 600))]
    pub pulse_s: Option<u16>,
}

/// How a set point switches an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionModeConfig {
    /// On while the alarm is active or latched.
    #[default]
    Follow,
    /// On for `pulse_s` at its beginning.
    Pulse,
    /// Like follow; a lamp flashes.
    Flash,
}

/// An output board.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoardConfig {
    /// Stable id.
    pub id: String,
    /// Kind of board.
    pub kind: BoardKindConfig,
    /// MR-DO4: id of its bus.
    #[serde(default)]
    pub bus: Option<String>,
    /// MR-DO4: slave address, 1 to 247.
    #[serde(default)]
    #[schemars(range(min = 1, max = 247))]
    pub address: Option<u8>,
    /// Shift register: GPIO chip of its lines, by its label as `leitstand scan` lists it (`pinctrl-bcm2711` on a
    /// Pi 4, `pinctrl-rp1` on a Pi 5), or by a path.
    #[serde(default)]
    pub chip: Option<String>,
    /// Shift register: output-enable line (low = outputs active).
    #[serde(default)]
    pub oe: Option<u32>,
    /// Shift register without `spi`: data line.
    #[serde(default)]
    pub ds: Option<u32>,
    /// Shift register without `spi`: clock line.
    #[serde(default)]
    pub clock: Option<u32>,
    /// Shift register: latch line.
    #[serde(default)]
    pub latch: Option<u32>,
    /// Shift register on an SPI bus instead of `ds` and `clock`: its device, for example `/dev/spidev0.0`.
    #[serde(default)]
    pub spi: Option<String>,
    /// Bits per second on `spi`, 10000 to 4000000.
    #[serde(default = "d1_000_000")]
    #[schemars(range(min = 10_000, max = 4_000_000))]
    pub spi_hz: u32,
}

/// Kinds of output boards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoardKindConfig {
    /// 20 lamps on a shift register.
    Led20,
    /// 9 relays on a shift register.
    Relay9,
    /// MR-DO4: 4 relays on a bus.
    MrDo4,
}

/// A relay, lamp or horn.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputConfig {
    /// Stable id.
    pub id: String,
    /// Name for people; the id unless given.
    #[serde(default)]
    #[schemars(length(max = 80))]
    pub name: Option<String>,
    /// Kind.
    pub kind: OutputKindConfig,
    /// What it means beside the actions that name it.
    #[serde(default)]
    pub function: Option<FunctionConfig>,
    /// With `function = "stage"`: id of the zone.
    #[serde(default)]
    pub zone: Option<String>,
    /// With `function = "stage"`: which stage, 1 to 4.
    #[serde(default)]
    #[schemars(range(min = 1, max = 4))]
    pub stage: Option<u8>,
    /// Id of its board; the first that fits its kind unless given. Without any it is virtual: computed and shown
    /// as not wired.
    #[serde(default)]
    pub board: Option<String>,
    /// Position on the board, from 1.
    #[schemars(range(min = 1, max = 20))]
    pub pin: u8,
    /// What the coil or lamp does while its function is not active. The healthy signal is energised while healthy
    /// either way.
    #[serde(default)]
    pub normally: Normally,
    /// Once on, at least so many seconds, 0 to 3600.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3600))]
    pub min_on_s: u16,
    /// On for so many seconds after its reason ended, 0 to 3600.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3600))]
    pub run_on_s: u16,
    /// Hand control at the first start; a special state unless `auto`.
    #[serde(default)]
    pub manual: ManualConfig,
}

/// Kinds of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputKindConfig {
    /// By condition and latch only.
    Relay,
    /// A lamp: flashes while a returned alarm is not acknowledged.
    Led,
    /// A relay that goes quiet on acknowledge or silence.
    Horn,
}

/// Meanings of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FunctionConfig {
    /// On while no fault exists. Where no output says so, the normally energised one that no set point names.
    Healthy,
    /// On while any fault exists.
    Fault,
    /// Always on while running.
    Power,
    /// The service is due.
    ServiceDue,
    /// On while `zone` drives `stage`, as on the original boards.
    Stage,
}

impl FunctionConfig {
    /// The stable text of file and API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Fault => "fault",
            Self::Power => "power",
            Self::ServiceDue => "service_due",
            Self::Stage => "stage",
        }
    }
}

/// The rest position of an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normally {
    /// With current.
    Energised,
    /// Without.
    #[default]
    DeEnergised,
}

/// Hand control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ManualConfig {
    /// By the logic.
    #[default]
    Auto,
    /// Forced on.
    On,
    /// Forced off.
    Off,
}

/// Mains and back-up battery. The section being present means that they are wired.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PowerSection {
    /// Kind of battery.
    #[serde(default)]
    pub chemistry: ChemistryConfig,
    /// Cells in series: 3, 6 or 12 for lead, 4 or 8 for LiFePO4. 6, or 4 for LiFePO4, unless given.
    #[serde(default)]
    #[schemars(range(min = 1, max = 24))]
    pub cells: Option<u8>,
    /// Capacity in ampere hours, 0.1 to 1000.
    #[schemars(range(min = 0.1, max = 1000.0))]
    pub capacity_ah: f64,
    /// Internal resistance in milliohms, 0 to 10000; 0 = not known.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10000))]
    pub r_internal_mohm: u32,
    /// Not to be used below this state of charge, in percent, 0 to 90.
    #[serde(default = "d20")]
    #[schemars(range(min = 0, max = 90))]
    pub min_soc_percent: u8,
    /// Load in mA where no current sensor is wired, 0 to 100000; 0 = not known, then no remaining time is shown.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000))]
    pub load_ma: u32,
    /// Running on battery counts as a fault.
    #[serde(default = "yes")]
    pub mains_fault: bool,
    /// Charge table of the data sheet: 2 to 16 pairs of resting voltage of the whole pack in V and percent, both
    /// rising. Replaces the built-in one.
    #[serde(default)]
    pub table: Option<Vec<[f64; 2]>>,
    /// Where mains is sensed. Not watched unless given.
    #[serde(default)]
    pub mains: Option<MainsConfig>,
    /// What measures the battery. Not watched unless given.
    #[serde(default)]
    pub gauge: Option<GaugeConfig>,
    /// Program (absolute path) and arguments that turn the machine off, run after the gateway stopped in order
    /// because the battery was critical for 30 s. Nothing is run unless given; the gateway stops either way.
    #[serde(default)]
    pub shutdown_command: Option<Vec<String>>,
    /// Days between battery tests, 1 to 365. Only on demand unless given.
    #[serde(default)]
    #[schemars(range(min = 1, max = 365))]
    pub test_every_days: Option<u16>,
}

/// A contact or optocoupler on a GPIO line that tells whether mains is there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MainsConfig {
    /// GPIO chip by its label, or by a path.
    pub chip: String,
    /// Line on it.
    pub line: u32,
    /// Mains is present while the line is low, as with a contact to ground. A broken wire reads as lost mains
    /// either way.
    #[serde(default = "yes")]
    pub active_low: bool,
}

/// A battery monitor on I2C.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GaugeConfig {
    /// Which chip.
    pub kind: GaugeKind,
    /// I2C bus, for example `/dev/i2c-1`.
    pub bus: String,
    /// 7-bit address, 64 to 79 (0x40 to 0x4F).
    #[serde(default = "d0x40")]
    #[schemars(range(min = 64, max = 79))]
    pub address: u8,
    /// Shunt in micro-ohms, wired so that charging is positive; 0 = none, then no current is told.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub shunt_uohm: u32,
}

/// Kinds of battery monitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GaugeKind {
    /// Up to 26 V.
    Ina219,
    /// Up to 36 V.
    Ina226,
}

/// Kinds of batteries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChemistryConfig {
    /// Sealed lead.
    #[default]
    Agm,
    /// Flooded lead.
    Flooded,
    /// Lithium iron phosphate.
    Lifepo4,
}

const fn yes() -> bool {
    true
}
const fn one() -> f32 {
    1.0
}
const fn d0x40() -> u8 {
    0x40
}
const fn d1_000_000() -> u32 {
    1_000_000
}
const fn d1() -> u8 {
    1
}
const fn d2() -> u8 {
    2
}
const fn d20() -> u8 {
    20
}
const fn d120() -> u16 {
    120
}
const fn d300() -> u16 {
    300
}
const fn d365() -> u16 {
    365
}
const fn d9600() -> u32 {
    9600
}
