//! From the literal shape to a checked site. Every mistake is reported; nothing stops at the first.

use super::actions::{Wanted, resolve};
use super::presets;
use super::raw::*;
use crate::seam::{AnalogProfile, BusSpec, DeviceKind, DeviceSpec};
use crate::simulate::{self, Profile};
use crate::site::{
    BoardInfo, CellInfo, GasSite, OutputInfo, Parts, SensorInfo, SetPointInfo, ZoneInfo,
};
use leitstand_core::gas::analog::{Bands, Curve, CurveError, RegisterFormat};
use leitstand_core::gas::plan::{
    BoardKind, CellPlan, Direction, Function, OutputKind, OutputPlan, Quantity, SetPointPlan,
    ZonePlan,
};
use leitstand_core::gas::{
    BoardIndex, BusIndex, CellIndex, CellSet, OutputIndex, PlanError, SetPointIndex, SitePlan,
    ZoneIndex,
};
use leitstand_core::power::{Chemistry, SupplyPlan};
use leitstand_core::units::{Concentration, MicroAmp, MilliVolt, PerMille};
use leitstand_kit::config::{Diagnostics, Path};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Rates that serial lines and the field's modules know.
const BAUDS: [u32; 8] = [1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200];
/// Longest id. Reasoning: three of them fit into an alarm's line on a small screen.
const ID_MAX: usize = 32;
/// The register layout that is built in. Its registers could not be confirmed on a device.
const MR_CI4: AnalogProfile = AnalogProfile {
    function: 4,
    start: 0,
    stride: 2,
    format: RegisterFormat::F32Be,
    scale: 1.0,
    offset: 0.0,
};

/// Checks `[gas]` and `[power]`, whose keys start at the root of the file. `None` when an error was reported.
pub fn check(
    gas: &GasSection,
    power: Option<&PowerSection>,
    diags: &mut Diagnostics,
) -> Option<Arc<GasSite>> {
    let mut check = Checker::new(gas, diags);
    check.service();
    check.ids();
    check.buses();
    check.boards();
    check.sensors();
    check.cells();
    check.outputs();
    check.zones();
    check.healthy_signal();
    if let Some(power) = power {
        check.supply(power);
    }
    check.plan_errors();
    let Checker { diags, parts, .. } = check;
    if diags.has_errors() {
        return None;
    }
    Some(Arc::new(GasSite::new(parts)))
}

/// Where a set point of the plan stands in the file.
struct SetPointPath {
    path: Path,
    /// Something of it could not be resolved, so that what the plan says about it may be a consequence.
    broken: bool,
}

struct Checker<'a> {
    gas: &'a GasSection,
    diags: &'a mut Diagnostics,
    root: Path,
    parts: Parts,
    /// Positions in the plan of the cells in the file, `None` when a cell could not be used.
    broken_cells: HashSet<usize>,
    broken_zones: HashSet<usize>,
    broken_outputs: HashSet<usize>,
    set_point_paths: Vec<SetPointPath>,
}

impl<'a> Checker<'a> {
    fn new(gas: &'a GasSection, diags: &'a mut Diagnostics) -> Self {
        Self {
            gas,
            diags,
            root: Path::root().key("gas"),
            parts: Parts {
                plan: Box::new(SitePlan::new()),
                cells: Vec::new(),
                sensors: Vec::new(),
                zones: Vec::new(),
                set_points: Vec::new(),
                outputs: Vec::new(),
                boards: Vec::new(),
                buses: Vec::new(),
                power: false,
                production: gas.production,
            },
            broken_cells: HashSet::new(),
            broken_zones: HashSet::new(),
            broken_outputs: HashSet::new(),
            set_point_paths: Vec::new(),
        }
    }

    fn at(&self, list: &str, index: usize) -> Path {
        self.root.key(list).index(index)
    }

    fn service(&mut self) {
        let gas = self.gas;
        self.parts.plan.service.interval_days = gas.service_interval_days;
        self.parts.plan.service.checks = [
            gas.check_visual_days,
            gas.check_function_days,
            gas.check_system_days,
        ];
        self.parts.plan.horn_recurs = gas.horn_recurs_s.map(|s| Duration::from_secs(s.into()));
    }

    /// Ids are lower-case and unique; those that share the names of fault alarms are unique together.
    fn ids(&mut self) {
        let gas = self.gas;
        let mut alarms: HashMap<&str, &'static str> =
            HashMap::from([("power", "the supply's alarm")]);
        for (i, c) in gas.cells.iter().enumerate() {
            self.id(&self.at("cells", i), &c.id, "a cell", &mut alarms);
        }
        for (i, b) in gas.buses.iter().enumerate() {
            self.id(&self.at("buses", i), &b.id, "a bus", &mut alarms);
        }
        for (i, o) in gas.outputs.iter().enumerate() {
            self.id(&self.at("outputs", i), &o.id, "an output", &mut alarms);
        }
        let mut zones = HashMap::from([("fault", "the prefix of fault alarms")]);
        for (i, z) in gas.zones.iter().enumerate() {
            let path = self.at("zones", i);
            self.id(&path, &z.id, "a zone", &mut zones);
            let mut points = HashMap::new();
            for (j, s) in z.setpoints.iter().enumerate() {
                let path = path.key("setpoints").index(j);
                self.id(&path, &s.id, "a set point of this zone", &mut points);
            }
        }
        let mut devices = HashMap::new();
        for (i, s) in gas.sensors.iter().enumerate() {
            self.id(&self.at("sensors", i), &s.id, "a sensor", &mut devices);
        }
        for (i, b) in gas.boards.iter().enumerate() {
            self.id(&self.at("boards", i), &b.id, "a board", &mut devices);
        }
        let mut profiles = HashMap::from([("mr_ci4", "the built-in layout")]);
        for (i, p) in gas.profiles.iter().enumerate() {
            self.id(
                &self.at("profiles", i),
                &p.id,
                "a register layout",
                &mut profiles,
            );
        }
    }

    fn id<'b>(
        &mut self,
        item: &Path,
        id: &'b str,
        what: &'static str,
        taken: &mut HashMap<&'b str, &'static str>,
    ) {
        let path = item.key("id");
        let mut chars = id.chars();
        let starts = chars
            .next()
            .is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let rest =
            chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
        if !starts || !rest || id.len() > ID_MAX {
            self.diags
                .error(&path, "bad_id", format!("`{id}` is no id"))
                .allowed(format!("1 to {ID_MAX} lower-case letters, digits, `_` and `-`, starting with a letter or digit"));
        }
        if let Some(owner) = taken.insert(id, what) {
            self.diags
                .error(
                    &path,
                    "duplicate_id",
                    format!("the id `{id}` belongs to {owner} already"),
                )
                .allowed("an id of its own");
        }
    }

    fn too_many(&mut self, list: &str, count: usize, most: usize) {
        if count > most {
            self.diags
                .error(&self.at(list, most), "too_many", format!("{count} entries"))
                .allowed(format!("at most {most}"));
        }
    }

    fn buses(&mut self) {
        let gas = self.gas;
        self.too_many("buses", gas.buses.len(), 16);
        let mut devices = HashMap::new();
        for (i, bus) in gas.buses.iter().take(16).enumerate() {
            let path = self.at("buses", i);
            if !BAUDS.contains(&bus.baud) {
                self.diags
                    .error(
                        &path.key("baud"),
                        "bad_baud",
                        format!("{} is no usual rate", bus.baud),
                    )
                    .allowed("1200, 2400, 4800, 9600, 19200, 38400, 57600 or 115200");
            }
            if bus.device.trim().is_empty() {
                self.diags
                    .error(&path.key("device"), "empty", "a bus needs a device")
                    .allowed("a path such as /dev/serial/by-id/...");
            } else if let Some(other) = devices.insert(bus.device.as_str(), &bus.id) {
                self.diags
                    .error(
                        &path.key("device"),
                        "device_twice",
                        format!("bus `{other}` uses {} already", bus.device),
                    )
                    .allowed("one bus a device");
            }
            self.parts.buses.push(BusSpec {
                index: BusIndex(small(i)),
                id: bus.id.clone(),
                device: bus.device.clone(),
                baud: bus.baud,
                parity: bus.parity,
                rts: bus.rts,
                timeout: Duration::from_millis(bus.timeout_ms.into()),
                retries: bus.retries,
                scan: Duration::from_secs(bus.scan_s.into()),
                devices: Vec::new(),
            });
        }
        self.parts.plan.buses = small(self.parts.buses.len());
    }

    /// The position of `id` among buses.
    fn bus(&mut self, path: &Path, id: &str) -> Option<usize> {
        let gas = self.gas;
        resolve(
            self.diags,
            path,
            id,
            "bus",
            gas.buses.iter().map(|b| b.id.as_str()),
        )
        .filter(|i| *i < self.parts.buses.len())
    }

    /// Puts a device on its bus, whose addresses are unique. Answers the bus and the position on it.
    fn device(
        &mut self,
        item: &Path,
        id: &str,
        bus: Option<&str>,
        address: Option<u8>,
        kind: DeviceKind,
    ) -> Option<(BusIndex, usize)> {
        let bus = match bus {
            Some(id) => self.bus(&item.key("bus"), id),
            None => self.missing(item, "bus", "the id of its bus"),
        };
        let address = match address {
            Some(address) => Some(address),
            None => self.missing(item, "address", "its slave address, 1 to 247"),
        };
        let (bus, address) = (bus?, address?);
        let devices = &mut self.parts.buses[bus].devices;
        if let Some(other) = devices.iter().find(|d| d.address == address) {
            let message = format!("`{}` has address {address} on this bus already", other.id);
            self.diags
                .error(&item.key("address"), "address_twice", message)
                .allowed("one device an address");
            return None;
        }
        devices.push(DeviceSpec {
            id: id.to_owned(),
            address,
            kind,
        });
        Some((BusIndex(small(bus)), devices.len() - 1))
    }

    fn missing<T>(&mut self, item: &Path, key: &str, what: &str) -> Option<T> {
        self.diags
            .error(&item.key(key), "missing_key", format!("`{key}` is missing"))
            .allowed(what);
        None
    }

    fn not_allowed(&mut self, item: &Path, keys: &[(&str, bool)], kind: &str) {
        for (key, given) in keys {
            if *given {
                self.diags
                    .error(
                        &item.key(key),
                        "key_not_allowed",
                        format!("`{key}` means nothing for {kind}"),
                    )
                    .allowed("leave it out");
            }
        }
    }

    fn boards(&mut self) {
        let gas = self.gas;
        self.too_many("boards", gas.boards.len(), 16);
        for (i, board) in gas.boards.iter().take(16).enumerate() {
            let path = self.at("boards", i);
            let lines = [
                ("oe", board.oe),
                ("ds", board.ds),
                ("clock", board.clock),
                ("latch", board.latch),
            ];
            let kind = match board.kind {
                BoardKindConfig::Led20 => BoardKind::Led20,
                BoardKindConfig::Relay9 => BoardKind::Relay9,
                BoardKindConfig::MrDo4 => BoardKind::MrDo4,
            };
            let driven = kind == BoardKind::MrDo4;
            if driven {
                let given = lines.map(|(key, line)| (key, line.is_some()));
                self.not_allowed(&path, &given, "a bus module");
                self.not_allowed(&path, &[("chip", board.chip.is_some())], "a bus module");
                let kind = DeviceKind::MrDo4 {
                    board: BoardIndex(small(i)),
                    outputs: [None; 4],
                };
                let _ = self.device(&path, &board.id, board.bus.as_deref(), board.address, kind);
            } else {
                let given = [
                    ("bus", board.bus.is_some()),
                    ("address", board.address.is_some()),
                ];
                self.not_allowed(&path, &given, "a shift-register board");
                for (key, line) in lines {
                    if line.is_none() {
                        let _: Option<()> = self.missing(&path, key, "the number of a GPIO line");
                    }
                }
                let message = "this version does not drive shift-register boards; its outputs are shown as not wired";
                if gas.production {
                    self.diags
                        .error(&path.key("kind"), "board_not_driven", message)
                        .allowed("`mr_do4`, or `production = false`");
                } else {
                    self.diags
                        .warning(&path.key("kind"), "board_not_driven", message);
                }
            }
            let _ = self.parts.plan.boards.push(kind);
            self.parts.boards.push(BoardInfo {
                id: board.id.clone(),
                driven,
            });
        }
    }

    fn profile(&mut self, item: &Path, id: &str) -> Option<AnalogProfile> {
        let gas = self.gas;
        let path = item.key("profile");
        if id == "mr_ci4" {
            let text = "the register layout of the MR-CI4 was never confirmed on a device";
            self.diags.warning(&path, "profile_unverified", text);
            return Some(MR_CI4);
        }
        let ids = gas.profiles.iter().map(|p| p.id.as_str()).chain(["mr_ci4"]);
        let at = resolve(self.diags, &path, id, "register layout", ids)?;
        let profile = &gas.profiles[at];
        if !profile.verified {
            let text = format!("the register layout `{id}` is not marked as verified");
            self.diags.warning(&path, "profile_unverified", text);
        }
        Some(AnalogProfile {
            function: profile.function,
            start: profile.start,
            stride: profile.stride.into(),
            format: match profile.format {
                FormatConfig::U16 => RegisterFormat::U16,
                FormatConfig::I16 => RegisterFormat::I16,
                FormatConfig::F32be => RegisterFormat::F32Be,
                FormatConfig::F32le => RegisterFormat::F32Le,
            },
            scale: profile.scale,
            offset: profile.offset,
        })
    }

    fn sensors(&mut self) {
        let gas = self.gas;
        for (i, profile) in gas.profiles.iter().enumerate() {
            let path = self.at("profiles", i);
            if !profile.scale.is_finite() || profile.scale == 0.0 {
                self.diags
                    .error(&path.key("scale"), "bad_scale", "a scale must not be zero")
                    .allowed("a number other than 0");
            }
            if !profile.offset.is_finite() {
                let path = path.key("offset");
                self.diags
                    .error(&path, "not_finite", "an offset must be a number");
            }
            let words = match profile.format {
                FormatConfig::U16 | FormatConfig::I16 => 1,
                FormatConfig::F32be | FormatConfig::F32le => 2,
            };
            if profile.stride < words {
                self.diags
                    .error(&path.key("stride"), "bad_stride", "channels overlap")
                    .allowed(format!("at least {words} for this format"));
            }
        }
        self.too_many("sensors", gas.sensors.len(), 64);
        for (i, sensor) in gas.sensors.iter().take(64).enumerate() {
            let path = self.at("sensors", i);
            let simulation = [
                ("low", sensor.low.is_some()),
                ("high", sensor.high.is_some()),
                ("period_s", sensor.period_s.is_some()),
            ];
            let (kind, place) = match sensor.kind {
                SensorKind::RaGasCoNo2 => {
                    self.not_allowed(&path, &simulation, "a combi sensor");
                    self.not_allowed(
                        &path,
                        &[("profile", sensor.profile.is_some())],
                        "a combi sensor",
                    );
                    let kind = DeviceKind::RaGas { cells: [None; 2] };
                    let (bus, address) = (sensor.bus.as_deref(), sensor.address);
                    (
                        "ra_gas_co_no2",
                        self.device(&path, &sensor.id, bus, address, kind),
                    )
                }
                SensorKind::Analog => {
                    self.not_allowed(&path, &simulation, "an analog module");
                    let profile = match sensor.profile.as_deref() {
                        Some(id) => self.profile(&path, id),
                        None => self.missing(
                            &path,
                            "profile",
                            "the id of a register layout, or `mr_ci4`",
                        ),
                    };
                    let kind = DeviceKind::Analog {
                        profile: profile.unwrap_or(MR_CI4),
                        channels: Vec::new(),
                    };
                    let (bus, address) = (sensor.bus.as_deref(), sensor.address);
                    ("analog", self.device(&path, &sensor.id, bus, address, kind))
                }
                SensorKind::Simulated => {
                    self.simulated(&path, sensor);
                    ("simulated", None)
                }
            };
            self.parts.sensors.push(SensorInfo {
                id: sensor.id.clone(),
                kind,
                place,
                address: sensor.address,
                profile: sensor.profile.clone(),
                cells: Vec::new(),
            });
        }
    }

    fn simulated(&mut self, path: &Path, sensor: &SensorConfig) {
        if self.gas.production {
            self.diags
                .error(
                    &path.key("kind"),
                    "simulated_in_production",
                    format!("`{}` is simulated", sensor.id),
                )
                .allowed("a real sensor, or `production = false`");
        }
        let given = [
            ("bus", sensor.bus.is_some()),
            ("address", sensor.address.is_some()),
        ];
        self.not_allowed(path, &given, "a simulated sensor");
        let names = simulate::PROFILES.map(|(name, ..)| name);
        match sensor.profile.as_deref() {
            None => {
                let _: Option<()> = self.missing(path, "profile", &names.join(", "));
            }
            Some(given) => {
                if let Some(at) = resolve(self.diags, &path.key("profile"), given, "profile", names)
                {
                    let fixed = simulate::PROFILES[at].2.is_some();
                    self.not_allowed(
                        path,
                        &[("period_s", fixed && sensor.period_s.is_some())],
                        given,
                    );
                }
            }
        }
        let low = self.number(&path.key("low"), sensor.low.unwrap_or(0.0));
        if let (Some(low), Some(high)) = (low, sensor.high) {
            let high = self.number(&path.key("high"), high);
            if high.is_some_and(|high| high < low) {
                self.diags
                    .error(&path.key("high"), "bad_range", "`high` lies below `low`")
                    .allowed("at least `low`");
            }
        }
    }

    /// A value in thousandths; an error when it is no number or far out of every range.
    fn number(&mut self, path: &Path, value: f64) -> Option<Concentration> {
        // A million units is far above every gas in every unit, and 2000 times fits the fixed-point type.
        if !value.is_finite() || value.abs() > 1_000_000.0 {
            self.diags
                .error(path, "bad_number", format!("{value} cannot be used"))
                .allowed("a number from -1000000 to 1000000");
            return None;
        }
        Some(milli(value))
    }

    fn cells(&mut self) {
        let gas = self.gas;
        self.too_many("cells", gas.cells.len(), 64);
        for (i, cell) in gas.cells.iter().take(64).enumerate() {
            let path = self.at("cells", i);
            let units = cell.gas.units();
            if !units.contains(&cell.unit) {
                let message = format!(
                    "{} is not measured in {}",
                    cell.gas.as_str(),
                    cell.unit.as_str()
                );
                self.diags
                    .error(&path.key("unit"), "unit_not_of_gas", message)
                    .allowed(list(units.iter().map(|u| u.as_str())));
            }
            let lo = self.number(&path.key("range_lo"), cell.range_lo);
            let hi = self.number(&path.key("range_hi"), cell.range_hi);
            let (Some(lo), Some(hi)) = (lo, hi) else {
                self.broken_cells.insert(i);
                self.push_cell(
                    cell,
                    0,
                    CellPlan::new(Concentration::ZERO, Concentration::from_milli(1)),
                    None,
                );
                continue;
            };
            let mut plan = CellPlan::new(lo, hi);
            plan.kind = (cell.gas as u8) * 4 + cell.unit as u8;
            plan.warmup = Duration::from_secs(cell.warmup_s.into());
            plan.stuck_check = cell.stuck_check;
            plan.bands = match cell.bands {
                BandsConfig::Ne43 => Bands::Ne43,
                BandsConfig::Legacy => Bands::Legacy,
            };
            let names = gas.sensors.iter().map(|s| s.id.as_str());
            let sensor = resolve(
                self.diags,
                &path.key("sensor"),
                &cell.sensor,
                "sensor",
                names,
            )
            .filter(|s| *s < self.parts.sensors.len());
            let simulated = sensor.and_then(|s| self.attach(&path, i, cell, s, &mut plan));
            self.push_cell(cell, sensor.unwrap_or(0), plan, simulated);
        }
    }

    fn push_cell(
        &mut self,
        cell: &CellConfig,
        sensor: usize,
        plan: CellPlan,
        simulated: Option<Profile>,
    ) {
        let _ = self.parts.plan.cells.push(plan);
        self.parts.cells.push(CellInfo {
            id: cell.id.clone(),
            sensor,
            channel: cell.channel,
            gas: cell.gas,
            unit: cell.unit,
            range_lo: cell.range_lo,
            range_hi: cell.range_hi,
            location: cell.location.clone(),
            zones: Vec::new(),
            simulated,
        });
    }

    /// Connects a cell with its channel. Answers the profile of a simulated one.
    fn attach(
        &mut self,
        path: &Path,
        i: usize,
        cell: &CellConfig,
        sensor: usize,
        plan: &mut CellPlan,
    ) -> Option<Profile> {
        let gas = self.gas;
        let raw = &gas.sensors[sensor];
        let earlier = gas.cells[..i]
            .iter()
            .find(|c| c.sensor == cell.sensor && c.channel == cell.channel);
        if let Some(other) = earlier {
            let message = format!(
                "`{}` uses channel {} of `{}` already",
                other.id, cell.channel, raw.id
            );
            self.diags
                .error(&path.key("channel"), "channel_twice", message)
                .allowed("one cell a channel");
        }
        let index = CellIndex(small(i));
        self.parts.sensors[sensor].cells.push(index);
        let place = self.parts.sensors[sensor].place;
        if let Some((bus, _)) = place {
            plan.bus = Some(bus);
            plan.cycle = self.parts.buses[bus.at()].scan;
        }
        let device = place.map(|(bus, at)| &mut self.parts.buses[bus.at()].devices[at].kind);
        match raw.kind {
            SensorKind::RaGasCoNo2 => {
                let slot = usize::from(cell.channel).wrapping_sub(1);
                let Some(expected) = [Gas::No2, Gas::Co].get(slot) else {
                    self.diags
                        .error(
                            &path.key("channel"),
                            "no_such_channel",
                            format!("a combi sensor has no channel {}", cell.channel),
                        )
                        .allowed("1 (NO2) or 2 (CO)");
                    return None;
                };
                if cell.gas != *expected {
                    let message = format!(
                        "channel {} of a combi sensor does not measure {}",
                        cell.channel,
                        cell.gas.as_str()
                    );
                    self.diags
                        .error(&path.key("gas"), "gas_not_of_channel", message)
                        .allowed(format!("{}, or the other channel", expected.as_str()));
                }
                if let Some(DeviceKind::RaGas { cells }) = device {
                    cells[slot].get_or_insert(index);
                }
                self.not_allowed(
                    path,
                    &[("curve", cell.curve.is_some())],
                    "a cell of a combi sensor",
                );
                None
            }
            SensorKind::Analog => {
                if let Some(DeviceKind::Analog { channels, .. }) = device {
                    channels.push((cell.channel, index));
                }
                if let Some(pairs) = &cell.curve {
                    self.curve(&path.key("curve"), pairs, plan);
                }
                None
            }
            SensorKind::Simulated => {
                self.not_allowed(path, &[("curve", cell.curve.is_some())], "a simulated cell");
                let name = raw.profile.as_deref()?;
                let (_, shape, fixed) =
                    simulate::PROFILES.into_iter().find(|(n, ..)| *n == name)?;
                Some(Profile {
                    shape,
                    low: milli_or_zero(raw.low.unwrap_or(0.0)),
                    high: raw.high.map_or(plan.range_hi.as_milli(), milli_or_zero),
                    period: Duration::from_secs(fixed.or(raw.period_s).unwrap_or(600).into()),
                    seed: (sensor as u64) << 8 | u64::from(cell.channel),
                })
            }
        }
    }

    fn curve(&mut self, path: &Path, pairs: &[[f64; 2]], plan: &mut CellPlan) {
        let mut points = Vec::new();
        for (k, [ma, value]) in pairs.iter().enumerate() {
            let path = path.index(k);
            if !(0.0..=25.0).contains(ma) {
                self.diags
                    .error(
                        &path.index(0),
                        "bad_current",
                        format!("{ma} is no loop current"),
                    )
                    .allowed("0 to 25 mA");
                return;
            }
            let Some(value) = self.number(&path.index(1), *value) else {
                return;
            };
            points.push((MicroAmp((ma * 1000.0).round() as i32), value));
        }
        match Curve::new(&points) {
            Ok(curve) => plan.curve = curve,
            Err(CurveError::TooShort | CurveError::TooLong) => {
                self.diags
                    .error(path, "curve_length", format!("{} pairs", points.len()))
                    .allowed("2 to 10 pairs of mA and value");
            }
            Err(CurveError::NotRising(k)) => {
                self.diags
                    .error(
                        &path.index(k),
                        "curve_not_rising",
                        "the current of this pair does not exceed the one before",
                    )
                    .allowed("strictly rising mA");
            }
        }
    }

    fn outputs(&mut self) {
        let gas = self.gas;
        self.too_many("outputs", gas.outputs.len(), 64);
        let mut virtual_pins: HashMap<(bool, u8), &str> = HashMap::new();
        for (i, output) in gas.outputs.iter().take(64).enumerate() {
            let path = self.at("outputs", i);
            let (kind, kind_name) = match output.kind {
                OutputKindConfig::Relay => (OutputKind::Relay, "relay"),
                OutputKindConfig::Led => (OutputKind::Led, "led"),
                OutputKindConfig::Horn => (OutputKind::Horn, "horn"),
            };
            let lamp = kind == OutputKind::Led;
            let board = match &output.board {
                Some(id) => {
                    let names = gas.boards.iter().map(|b| b.id.as_str());
                    let found = resolve(self.diags, &path.key("board"), id, "board", names)
                        .filter(|b| *b < self.parts.boards.len());
                    if found.is_none() {
                        self.broken_outputs.insert(i);
                    }
                    if let Some(b) = found
                        && (gas.boards[b].kind == BoardKindConfig::Led20) != lamp
                    {
                        let message = format!("a {kind_name} does not fit on board `{id}`");
                        self.diags
                            .error(&path.key("board"), "board_of_other_kind", message)
                            .allowed("lamps on led20; relays and horns on relay9 or mr_do4");
                    }
                    found
                }
                None => gas
                    .boards
                    .iter()
                    .position(|b| (b.kind == BoardKindConfig::Led20) == lamp)
                    .filter(|b| *b < self.parts.boards.len()),
            };
            if board.is_none() && output.board.is_none() {
                if gas.production {
                    self.diags
                        .error(&path, "not_wired", format!("`{}` has no board", output.id))
                        .allowed("a board that fits, or `production = false`");
                }
                if let Some(other) = virtual_pins.insert((lamp, output.pin), &output.id) {
                    self.diags
                        .error(
                            &path.key("pin"),
                            "pin_twice",
                            format!("`{other}` uses pin {} already", output.pin),
                        )
                        .allowed("one output a pin");
                }
            }
            let mut plan = OutputPlan::new(kind, output.pin);
            plan.board = board.map(|b| BoardIndex(small(b)));
            plan.normally_energised = output.normally == Normally::Energised;
            plan.min_on = Duration::from_secs(output.min_on_s.into());
            plan.run_on = Duration::from_secs(output.run_on_s.into());
            plan.function = self.function(&path, output);
            if let Some(b) = board
                && let Some(slot) = usize::from(output.pin).checked_sub(1).filter(|s| *s < 4)
            {
                for device in self.parts.buses.iter_mut().flat_map(|bus| &mut bus.devices) {
                    if let DeviceKind::MrDo4 { board, outputs } = &mut device.kind
                        && board.at() == b
                    {
                        outputs[slot].get_or_insert(OutputIndex(small(i)));
                    }
                }
            }
            let _ = self.parts.plan.outputs.push(plan);
            self.parts.outputs.push(OutputInfo {
                id: output.id.clone(),
                name: output.name.clone().unwrap_or_else(|| output.id.clone()),
                kind: kind_name,
                function: output.function.map(FunctionConfig::as_str),
                wired: board.is_some_and(|b| self.parts.boards[b].driven),
                manual: output.manual,
            });
        }
    }

    fn function(&mut self, path: &Path, output: &OutputConfig) -> Function {
        let gas = self.gas;
        let Some(function) = output.function else {
            let given = [
                ("zone", output.zone.is_some()),
                ("stage", output.stage.is_some()),
            ];
            self.not_allowed(path, &given, "an output without `function = \"stage\"`");
            return Function::Actions;
        };
        if function != FunctionConfig::Stage {
            let given = [
                ("zone", output.zone.is_some()),
                ("stage", output.stage.is_some()),
            ];
            self.not_allowed(path, &given, "this function");
        }
        match function {
            FunctionConfig::Healthy => Function::Healthy,
            FunctionConfig::Fault => Function::Fault,
            FunctionConfig::Power => Function::Power,
            FunctionConfig::ServiceDue => Function::ServiceDue,
            FunctionConfig::Stage => {
                let zone = match &output.zone {
                    Some(id) => {
                        let names = gas.zones.iter().map(|z| z.id.as_str());
                        resolve(self.diags, &path.key("zone"), id, "zone", names)
                    }
                    None => self.missing(path, "zone", "the id of a zone"),
                };
                let stage = match output.stage {
                    Some(stage) => Some(stage),
                    None => self.missing(path, "stage", "1 to 4"),
                };
                match (zone, stage) {
                    (Some(zone), Some(stage)) => Function::Stage {
                        zone: ZoneIndex(small(zone)),
                        stage,
                    },
                    _ => Function::Actions,
                }
            }
        }
    }

    fn zones(&mut self) {
        let gas = self.gas;
        self.too_many("zones", gas.zones.len(), 16);
        for (i, zone) in gas.zones.iter().take(16).enumerate() {
            let path = self.at("zones", i);
            let index = ZoneIndex(small(i));
            let cells = self.cell_list(&path.key("cells"), &zone.cells, None);
            if cells.len() < zone.cells.len() {
                self.broken_zones.insert(i);
            }
            for cell in &cells {
                self.parts.cells[cell.at()].zones.push(index);
            }
            let _ = self.parts.plan.zones.push(ZonePlan {
                cells: CellSet::of(cells.iter().copied()),
                loss_stage: zone.loss_action.stage(),
            });
            self.parts.zones.push(ZoneInfo {
                id: zone.id.clone(),
                name: zone.name.clone().unwrap_or_else(|| zone.id.clone()),
                cells: cells.clone(),
                set_points: Vec::new(),
            });
            if zone.setpoints.is_empty() {
                self.preset(&path, i, &cells);
            }
            for (j, point) in zone.setpoints.iter().enumerate() {
                let path = path.key("setpoints").index(j);
                self.set_point(&path, i, point);
            }
        }
        let total = self.parts.set_points.len();
        if total > 64 {
            let path = self.set_point_paths[64].path.clone();
            self.diags
                .error(&path, "too_many", format!("{total} set points"))
                .allowed("at most 64 in all zones");
        }
        let mut count: HashMap<String, usize> = HashMap::new();
        for point in &self.parts.set_points {
            *count.entry(point.id.clone()).or_default() += 1;
        }
        for point in &mut self.parts.set_points {
            point.unique = count.get(&point.id) == Some(&1);
        }
        for (i, cell) in self.parts.cells.iter().enumerate() {
            if cell.zones.is_empty() && self.broken_zones.is_empty() {
                let message = format!(
                    "`{}` is in no zone, so that it raises no gas alarm",
                    cell.id
                );
                self.diags.warning(
                    &self.root.key("cells").index(i),
                    "cell_without_zone",
                    message,
                );
            }
        }
    }

    fn preset(&mut self, path: &Path, zone: usize, cells: &[CellIndex]) {
        if self.gas.preset == Preset::None {
            self.diags
                .error(
                    path,
                    "no_set_points",
                    "the zone has no set point and would never alarm",
                )
                .allowed("`[[gas.zones.setpoints]]`, or `preset = \"garage\"`");
            return;
        }
        let named: Vec<(String, Gas)> = cells
            .iter()
            .map(|c| {
                let info = &self.parts.cells[c.at()];
                (info.id.clone(), info.gas)
            })
            .collect();
        let mut covered = false;
        for point in presets::garage(&named) {
            covered = true;
            self.set_point(path, zone, &point);
        }
        let foreign = named.iter().find(|(_, gas)| !presets::covers(*gas));
        if let Some((id, gas)) = foreign {
            let message = format!(
                "the preset has no set points for {} of `{id}`",
                gas.as_str()
            );
            self.diags
                .error(path, "no_set_points", message)
                .allowed("`[[gas.zones.setpoints]]` for all cells of this zone");
        } else if !covered && !self.broken_zones.contains(&zone) && !cells.is_empty() {
            self.diags
                .error(path, "no_set_points", "the zone has no set point");
        }
    }

    /// Resolves a list of cell ids; unknown ones and repetitions are reported. `within` = only these are allowed.
    fn cell_list(
        &mut self,
        path: &Path,
        ids: &[String],
        within: Option<&[String]>,
    ) -> Vec<CellIndex> {
        let gas = self.gas;
        let mut cells = Vec::new();
        for (k, id) in ids.iter().enumerate() {
            let path = path.index(k);
            let all: Vec<&str> = gas.cells.iter().map(|c| c.id.as_str()).collect();
            let Some(at) = resolve(self.diags, &path, id, "cell", all.iter().copied()) else {
                continue;
            };
            if ids[..k].contains(id) {
                self.diags
                    .error(&path, "cell_twice", format!("`{id}` is listed twice"))
                    .allowed("each cell once");
                continue;
            }
            if let Some(zone) = within
                && !zone.contains(id)
            {
                self.diags
                    .error(
                        &path,
                        "cell_not_in_zone",
                        format!("`{id}` does not belong to this zone"),
                    )
                    .allowed(list(zone.iter().map(String::as_str)));
                continue;
            }
            if at < self.parts.cells.len() {
                cells.push(CellIndex(small(at)));
            }
        }
        cells
    }

    fn set_point(&mut self, path: &Path, zone: usize, point: &SetPointConfig) {
        let gas = self.gas;
        let zone_cells = &gas.zones[zone].cells;
        let cells = match &point.cells {
            Some(ids) => self.cell_list(&path.key("cells"), ids, Some(zone_cells)),
            None => self.parts.zones[zone].cells.clone(),
        };
        let named = point.cells.as_ref().map_or(zone_cells.len(), Vec::len);
        let mut broken =
            cells.len() < named || cells.iter().any(|c| self.broken_cells.contains(&c.at()));
        let on = self.number(&path.key("on"), point.on);
        let hysteresis = self.number(&path.key("hysteresis"), point.hysteresis);
        broken |= on.is_none() || hysteresis.is_none();
        let quantity = self.quantity(path, point);
        let wanted = Wanted {
            outputs: &gas.outputs,
            known: self.parts.outputs.len(),
        };
        let actions = wanted.actions(self.diags, path, &point.actions);
        let index = SetPointIndex(small(self.parts.set_points.len()));
        let unit = cells
            .first()
            .map_or(Unit::Ppm, |c| self.parts.cells[c.at()].unit);
        let _ = self.parts.plan.set_points.push(SetPointPlan {
            zone: ZoneIndex(small(zone)),
            stage: point.stage,
            cells: CellSet::of(cells.iter().copied()),
            quantity,
            direction: match point.direction {
                DirectionConfig::Rising => Direction::Rising,
                DirectionConfig::Falling => Direction::Falling,
            },
            on: on.unwrap_or_default(),
            hysteresis: hysteresis.unwrap_or_default(),
            on_delay: Duration::from_secs(point.on_delay_s.into()),
            off_delay: Duration::from_secs(point.off_delay_s.into()),
            latching: point.latching.unwrap_or(point.stage >= 3),
            allow_non_latching: point.allow_non_latching_ap3,
            vote_k: point.vote_k,
            actions,
        });
        self.parts.zones[zone].set_points.push(index);
        self.parts.set_points.push(SetPointInfo {
            id: point.id.clone(),
            alarm: format!("{}.{}", gas.zones[zone].id, point.id),
            unique: true,
            zone: ZoneIndex(small(zone)),
            cells,
            unit,
        });
        self.set_point_paths.push(SetPointPath {
            path: path.clone(),
            broken,
        });
    }

    fn quantity(&mut self, path: &Path, point: &SetPointConfig) -> Quantity {
        if point.quantity == QuantityConfig::Direct {
            if point.window_s.is_some() {
                let message = "`window_s` means nothing with `quantity = \"direct\"`";
                self.diags
                    .warning(&path.key("window_s"), "unused_key", message);
            }
            return Quantity::Direct;
        }
        let window = point.window_s.unwrap_or(900);
        let path = path.key("window_s");
        if window % 5 != 0 || !(10..=3600).contains(&window) {
            self.diags
                .error(
                    &path,
                    "bad_window",
                    format!("{window} s cannot be averaged over"),
                )
                .allowed("a multiple of 5, 10 to 3600");
            return Quantity::Direct;
        }
        let windows = &mut self.parts.plan.windows;
        if !windows.contains(&window) {
            if windows.is_full() {
                // The windows that are only shown give way to those that alarm.
                let used: Vec<u16> = self
                    .parts
                    .plan
                    .set_points
                    .iter()
                    .filter_map(|s| match s.quantity {
                        Quantity::Average(w) => Some(w),
                        Quantity::Direct => None,
                    })
                    .collect();
                if let Some(spare) = windows.iter().position(|w| !used.contains(w)) {
                    windows.remove(spare);
                }
            }
            if windows.push(window).is_err() {
                self.diags
                    .error(
                        &path,
                        "too_many_windows",
                        format!("{window} s is one window too many"),
                    )
                    .allowed("at most 8 different windows in a site");
                return Quantity::Direct;
            }
        }
        windows.sort_unstable();
        Quantity::Average(window)
    }

    /// Where no output says `healthy`, it is the normally energised one that no set point names.
    fn healthy_signal(&mut self) {
        let gas = self.gas;
        if gas
            .outputs
            .iter()
            .any(|o| o.function == Some(FunctionConfig::Healthy))
        {
            return;
        }
        let named: HashSet<usize> = self
            .parts
            .plan
            .set_points
            .iter()
            .flat_map(|s| s.actions.iter().map(|a| a.output.at()))
            .collect();
        let mut candidates = gas
            .outputs
            .iter()
            .enumerate()
            .take(self.parts.outputs.len())
            .filter(|(i, o)| {
                o.normally == Normally::Energised && o.function.is_none() && !named.contains(i)
            });
        if let Some((i, _)) = candidates.next() {
            self.parts.plan.outputs[i].function = Function::Healthy;
            self.parts.outputs[i].function = Some("healthy");
        }
        let more: Vec<usize> = candidates.map(|(i, _)| i).collect();
        for i in more {
            let message = "more than one output could be the healthy signal";
            self.diags
                .error(
                    &self.at("outputs", i).key("normally"),
                    "healthy_ambiguous",
                    message,
                )
                .allowed("`function = \"healthy\"` at one of them");
        }
        for (i, output) in gas
            .outputs
            .iter()
            .enumerate()
            .take(self.parts.outputs.len())
        {
            let idle = self.parts.outputs[i].function.is_none() && !named.contains(&i);
            if idle && !self.set_point_paths.iter().any(|s| s.broken) {
                let message = format!("nothing switches `{}`", output.id);
                self.diags
                    .warning(&self.root.key("outputs").index(i), "unused_output", message);
            }
        }
    }

    fn supply(&mut self, power: &PowerSection) {
        let path = Path::root().key("power");
        let (chemistry, usual, allowed): (_, u8, &[u8]) = match power.chemistry {
            ChemistryConfig::Agm => (Chemistry::Agm, 6, &[3, 6, 12]),
            ChemistryConfig::Flooded => (Chemistry::Flooded, 6, &[3, 6, 12]),
            ChemistryConfig::Lifepo4 => (Chemistry::LiFePo4, 4, &[4, 8]),
        };
        let cells = power.cells.unwrap_or(usual);
        if !allowed.contains(&cells) {
            let message = format!("a battery of this kind has no {cells} cells");
            self.diags
                .error(&path.key("cells"), "cells_of_chemistry", message)
                .allowed(list(allowed.iter().map(ToString::to_string)));
        }
        if !(0.1..=1000.0).contains(&power.capacity_ah) {
            self.diags
                .error(
                    &path.key("capacity_ah"),
                    "bad_number",
                    format!("{} Ah cannot be used", power.capacity_ah),
                )
                .allowed("0.1 to 1000");
        }
        let table = power.table.as_deref().map(|pairs| {
            let mut table = heapless::Vec::new();
            let path = path.key("table");
            for (k, [volt, percent]) in pairs.iter().enumerate() {
                if !(1.0..=100.0).contains(volt) || !(0.0..=100.0).contains(percent) {
                    self.diags
                        .error(
                            &path.index(k),
                            "bad_charge_pair",
                            format!("{volt} V, {percent} %"),
                        )
                        .allowed("1 to 100 V and 0 to 100 %");
                }
                let pair = (
                    MilliVolt((volt * 1000.0).round() as i32),
                    PerMille((percent * 10.0).round() as u16),
                );
                if table.push(pair).is_err() {
                    self.diags
                        .error(&path.index(k), "too_many", format!("{} pairs", pairs.len()))
                        .allowed("at most 16");
                    break;
                }
            }
            table
        });
        self.parts.power = true;
        self.parts.plan.supply = Some(SupplyPlan {
            chemistry,
            cells,
            capacity_mah: (power.capacity_ah * 1000.0).round() as u32,
            r_internal_mohm: power.r_internal_mohm,
            min_soc: PerMille(u16::from(power.min_soc_percent) * 10),
            load_ma: power.load_ma,
            mains_fault: power.mains_fault,
            table,
            test_every_days: power.test_every_days,
        });
    }

    /// What the core has to say about the plan, with keys instead of positions.
    fn plan_errors(&mut self) {
        let mut errors = Vec::new();
        self.parts.plan.check(|error| errors.push(error));
        for error in errors {
            self.plan_error(error);
        }
    }

    fn plan_error(&mut self, error: PlanError) {
        let point = |s: SetPointIndex| {
            self.set_point_paths
                .get(s.at())
                .filter(|p| !p.broken)
                .map(|p| &p.path)
        };
        let cells = |s: SetPointIndex| self.parts.set_points[s.at()].cells.len();
        let found: Option<(Path, &str, String, String)> = match error {
            PlanError::Range(c) if !self.broken_cells.contains(&c.at()) => {
                let cell = &self.parts.cells[c.at()];
                let message = format!(
                    "the range of `{}` ends at {} and starts at {}",
                    cell.id, cell.range_hi, cell.range_lo
                );
                Some((
                    self.at("cells", c.at()).key("range_hi"),
                    "bad_range",
                    message,
                    "more than `range_lo`".into(),
                ))
            }
            PlanError::NoCells(z) if !self.broken_zones.contains(&z.at()) => {
                let path = self.at("zones", z.at()).key("cells");
                Some((
                    path,
                    "no_cells",
                    "a zone needs a cell".into(),
                    "ids of cells".into(),
                ))
            }
            PlanError::UnknownCell(s) => point(s).map(|p| {
                (
                    p.key("cells"),
                    "no_cells",
                    "a set point needs cells of its zone".into(),
                    "ids of cells".into(),
                )
            }),
            PlanError::MixedKinds(s) => point(s).map(|p| {
                (
                    p.key("cells"),
                    "mixed_gases",
                    "the cells measure different things".into(),
                    "cells of one gas and one unit".into(),
                )
            }),
            PlanError::Stage(s) => point(s).map(|p| {
                (
                    p.key("stage"),
                    "bad_stage",
                    "no such stage".into(),
                    "1 to 4".into(),
                )
            }),
            PlanError::Hysteresis(s) => point(s).map(|p| {
                let plan = &self.parts.plan.set_points[s.at()];
                let message = format!(
                    "a hysteresis of {} cannot be used with a limit of {}",
                    decimal(plan.hysteresis),
                    decimal(plan.on)
                );
                (
                    p.key("hysteresis"),
                    "bad_hysteresis",
                    message,
                    "0 or more, and below `on` where the value rises".into(),
                )
            }),
            PlanError::OutOfRange(s) => point(s).map(|p| {
                let on = decimal(self.parts.plan.set_points[s.at()].on);
                let ranges = self.parts.set_points[s.at()].cells.iter().map(|c| {
                    let cell = &self.parts.cells[c.at()];
                    format!("{} to {} ({})", cell.range_lo, cell.range_hi, cell.id)
                });
                (
                    p.key("on"),
                    "out_of_range",
                    format!("the limit {on} lies outside the range of its cells"),
                    list(ranges),
                )
            }),
            PlanError::StageOrder { lower, higher } => match (point(lower), point(higher)) {
                (Some(_), Some(p)) => {
                    let (low, high) = (
                        &self.parts.set_points[lower.at()].id,
                        &self.parts.set_points[higher.at()].id,
                    );
                    let limit = decimal(self.parts.plan.set_points[lower.at()].on);
                    let side = match self.parts.plan.set_points[higher.at()].direction {
                        Direction::Rising => "at least",
                        Direction::Falling => "at most",
                    };
                    let message = format!(
                        "`{high}` is a higher stage than `{low}` and has the less dangerous limit"
                    );
                    Some((
                        p.key("on"),
                        "stage_order",
                        message,
                        format!("{side} {limit}, the limit of `{low}`"),
                    ))
                }
                _ => None,
            },
            PlanError::NotLatching(s) => self.set_point_paths.get(s.at()).map(|p| {
                let message = "stage 3 and above must latch".to_owned();
                (
                    p.path.key("latching"),
                    "not_latching",
                    message,
                    "`latching = true`, or `allow_non_latching_ap3 = true` beside it".into(),
                )
            }),
            PlanError::Vote(s) => point(s).map(|p| {
                let message = format!(
                    "{} votes cannot come from {} cells",
                    self.parts.plan.set_points[s.at()].vote_k,
                    cells(s)
                );
                (
                    p.key("vote_k"),
                    "bad_vote",
                    message,
                    format!("1 to {}", cells(s)),
                )
            }),
            PlanError::NoSuchPin(o) if !self.broken_outputs.contains(&o.at()) => {
                let plan = &self.parts.plan.outputs[o.at()];
                let board = plan.board.and_then(|b| self.parts.plan.boards.get(b.at()));
                let pins = board.map_or(0, |b| b.pins());
                let message = format!("the board has no output {}", plan.pin);
                Some((
                    self.at("outputs", o.at()).key("pin"),
                    "no_such_pin",
                    message,
                    format!("1 to {pins}"),
                ))
            }
            PlanError::PinTwice(o) => {
                let plan = &self.parts.plan.outputs[o.at()];
                let other = self.parts.plan.outputs[..o.at()]
                    .iter()
                    .position(|p| p.board == plan.board && p.pin == plan.pin);
                let other = other.map_or("another output", |i| self.parts.outputs[i].id.as_str());
                let message = format!("`{other}` uses pin {} of this board already", plan.pin);
                Some((
                    self.at("outputs", o.at()).key("pin"),
                    "pin_twice",
                    message,
                    "one output a pin".into(),
                ))
            }
            PlanError::HealthyInUse(s) => self.set_point_paths.get(s.at()).map(|p| {
                let message = "the healthy signal must not be switched by a set point".to_owned();
                (
                    p.path.key("actions"),
                    "healthy_in_use",
                    message,
                    "another output".into(),
                )
            }),
            PlanError::HealthyTwice(o) => {
                let message = "there is a healthy signal already".to_owned();
                Some((
                    self.at("outputs", o.at()).key("function"),
                    "healthy_twice",
                    message,
                    "one healthy signal a site".into(),
                ))
            }
            PlanError::ChargeTable => {
                let path = Path::root().key("power").key("table");
                Some((
                    path,
                    "bad_charge_table",
                    "voltage and charge must rise from pair to pair".into(),
                    "2 to 16 rising pairs".into(),
                ))
            }
            // Reported with names above, or a consequence of something that was.
            PlanError::Window(_)
            | PlanError::UnknownWindow(_)
            | PlanError::UnknownBus(_)
            | PlanError::UnknownZone(_)
            | PlanError::UnknownZoneCell(_)
            | PlanError::UnknownOutput(_)
            | PlanError::OutputZone(_)
            | PlanError::Range(_)
            | PlanError::NoCells(_)
            | PlanError::NoSuchPin(_) => None,
        };
        if let Some((path, code, message, allowed)) = found {
            self.diags.error(&path, code, message).allowed(allowed);
        }
    }
}

/// Positions are far below 256: every list is cut at its capacity.
fn small(position: usize) -> u8 {
    u8::try_from(position).unwrap_or(u8::MAX)
}

fn milli(value: f64) -> Concentration {
    Concentration::from_milli((value * 1000.0).round() as i32)
}

fn milli_or_zero(value: f64) -> i32 {
    if value.is_finite() && value.abs() <= 1_000_000.0 {
        milli(value).as_milli()
    } else {
        0
    }
}

fn decimal(value: Concentration) -> f64 {
    f64::from(value.as_milli()) / 1000.0
}

fn list(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<String> = items.into_iter().map(|i| i.as_ref().to_owned()).collect();
    items.join(", ")
}
