//! A checked site: the plan by position for the core, and the names by position for people.

use crate::config::{Gas, GaugeConfig, MainsConfig, ManualConfig, Unit};
use crate::register::RegisterSpec;
use crate::seam::BusSpec;
use crate::simulate::Profile;
use leitstand_core::gas::{
    AlarmKey, BoardIndex, BusIndex, CellIndex, OutputIndex, SetPointIndex, SitePlan, ZoneIndex,
};
use std::collections::HashMap;

/// What the configuration says, checked and by position.
#[derive(Debug)]
pub struct GasSite {
    /// For the core. Boxed because it is some 30 kB.
    pub plan: Box<SitePlan>,
    /// Cells, by position in the plan.
    pub cells: Vec<CellInfo>,
    /// Sensors.
    pub sensors: Vec<SensorInfo>,
    /// Zones, by position in the plan.
    pub zones: Vec<ZoneInfo>,
    /// Set points, by position in the plan.
    pub set_points: Vec<SetPointInfo>,
    /// Outputs, by position in the plan.
    pub outputs: Vec<OutputInfo>,
    /// Boards, by position in the plan.
    pub boards: Vec<BoardInfo>,
    /// Buses, by position in the plan.
    pub buses: Vec<BusSpec>,
    /// Mains and battery are configured.
    pub power: bool,
    /// Where mains is sensed.
    pub mains: Option<MainsConfig>,
    /// What measures the battery.
    pub gauge: Option<GaugeConfig>,
    /// Refuses what is simulated or not wired.
    pub production: bool,
    /// Program and arguments that turn the machine off after the orderly stop of an empty battery; empty = none.
    pub shutdown_command: Vec<String>,
    alarms: HashMap<String, AlarmKey>,
}

/// A cell.
#[derive(Clone, Debug)]
pub struct CellInfo {
    /// Id.
    pub id: String,
    /// Position of its sensor.
    pub sensor: usize,
    /// Channel of the sensor, from 1.
    pub channel: u8,
    /// Gas.
    pub gas: Gas,
    /// Unit.
    pub unit: Unit,
    /// Start of the range in the unit.
    pub range_lo: f64,
    /// End of the range in the unit.
    pub range_hi: f64,
    /// Where it hangs.
    pub location: String,
    /// Zones it belongs to.
    pub zones: Vec<ZoneIndex>,
    /// How its values are made up, for simulated cells.
    pub simulated: Option<Profile>,
}

/// A sensor.
#[derive(Clone, Debug)]
pub struct SensorInfo {
    /// Id.
    pub id: String,
    /// Kind as in the file.
    pub kind: &'static str,
    /// Its bus and its position among the bus's devices; `None` for simulated ones.
    pub place: Option<(BusIndex, usize)>,
    /// Slave address.
    pub address: Option<u8>,
    /// Register layout or simulation profile.
    pub profile: Option<String>,
    /// Its cells.
    pub cells: Vec<CellIndex>,
}

/// A zone.
#[derive(Clone, Debug)]
pub struct ZoneInfo {
    /// Id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Its cells in the order of the file.
    pub cells: Vec<CellIndex>,
    /// Its set points.
    pub set_points: Vec<SetPointIndex>,
}

/// A set point.
#[derive(Clone, Debug)]
pub struct SetPointInfo {
    /// Id within the zone.
    pub id: String,
    /// `<zone>.<id>`.
    pub alarm: String,
    /// No other zone has a set point of this id, so that the bare id names it.
    pub unique: bool,
    /// Its zone.
    pub zone: ZoneIndex,
    /// Its cells in the order of the file.
    pub cells: Vec<CellIndex>,
    /// Unit of its limit.
    pub unit: Unit,
}

/// An output.
#[derive(Clone, Debug)]
pub struct OutputInfo {
    /// Id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// `relay`, `led` or `horn`.
    pub kind: &'static str,
    /// Its own meaning beside actions; the healthy signal also when it was only inferred.
    pub function: Option<&'static str>,
    /// It sits on a board.
    pub wired: bool,
    /// Hand control at the first start.
    pub manual: ManualConfig,
}

/// An output board.
#[derive(Clone, Debug)]
pub struct BoardInfo {
    /// Id.
    pub id: String,
    /// Where it is wired; `None` for a module on a bus.
    pub register: Option<RegisterSpec>,
}

/// The parts of a [`GasSite`] before its alarms have ids.
pub(crate) struct Parts {
    pub(crate) plan: Box<SitePlan>,
    pub(crate) cells: Vec<CellInfo>,
    pub(crate) sensors: Vec<SensorInfo>,
    pub(crate) zones: Vec<ZoneInfo>,
    pub(crate) set_points: Vec<SetPointInfo>,
    pub(crate) outputs: Vec<OutputInfo>,
    pub(crate) boards: Vec<BoardInfo>,
    pub(crate) buses: Vec<BusSpec>,
    pub(crate) power: bool,
    pub(crate) mains: Option<MainsConfig>,
    pub(crate) gauge: Option<GaugeConfig>,
    pub(crate) production: bool,
    pub(crate) shutdown_command: Vec<String>,
}

impl GasSite {
    pub(crate) fn new(parts: Parts) -> Self {
        let mut site = Self {
            plan: parts.plan,
            cells: parts.cells,
            sensors: parts.sensors,
            zones: parts.zones,
            set_points: parts.set_points,
            outputs: parts.outputs,
            boards: parts.boards,
            buses: parts.buses,
            power: parts.power,
            mains: parts.mains,
            gauge: parts.gauge,
            production: parts.production,
            shutdown_command: parts.shutdown_command,
            alarms: HashMap::new(),
        };
        let keys: Vec<AlarmKey> = site.alarm_keys().collect();
        site.alarms = keys
            .into_iter()
            .map(|key| (site.alarm_id(key), key))
            .collect();
        site
    }

    /// Keys of all alarms: set points, then faults of cells, buses, outputs and supply.
    pub fn alarm_keys(&self) -> impl Iterator<Item = AlarmKey> + '_ {
        let position = |n: usize| (0..n).filter_map(|i| u8::try_from(i).ok());
        position(self.set_points.len())
            .map(|i| AlarmKey::SetPoint(SetPointIndex(i)))
            .chain(position(self.cells.len()).map(|i| AlarmKey::Cell(CellIndex(i))))
            .chain(position(self.buses.len()).map(|i| AlarmKey::Bus(BusIndex(i))))
            .chain(position(self.outputs.len()).map(|i| AlarmKey::Output(OutputIndex(i))))
            .chain(self.power.then_some(AlarmKey::Power))
    }

    /// The id of an alarm: `<zone>.<setpoint>`, `fault.<cell>`, `fault.<bus>`, `fault.<output>`, `fault.power`.
    #[must_use]
    pub fn alarm_id(&self, key: AlarmKey) -> String {
        match key {
            AlarmKey::SetPoint(i) => self.set_points[i.at()].alarm.clone(),
            AlarmKey::Cell(i) => format!("fault.{}", self.cells[i.at()].id),
            AlarmKey::Bus(i) => format!("fault.{}", self.buses[i.at()].id),
            AlarmKey::Output(i) => format!("fault.{}", self.outputs[i.at()].id),
            AlarmKey::Power => "fault.power".to_owned(),
        }
    }

    /// The alarm of an id.
    #[must_use]
    pub fn alarm(&self, id: &str) -> Option<AlarmKey> {
        self.alarms.get(id).copied()
    }

    /// The alarm that a person means: its id, or the set point's alone where only one zone has it.
    #[must_use]
    pub fn named_alarm(&self, name: &str) -> Option<AlarmKey> {
        let bare = || find(&self.set_points, |s| s.unique && s.id == name);
        self.alarm(name)
            .or_else(|| bare().map(|at| AlarmKey::SetPoint(SetPointIndex(at))))
    }

    /// The cell of an id.
    #[must_use]
    pub fn cell(&self, id: &str) -> Option<CellIndex> {
        find(&self.cells, |c| c.id == id).map(CellIndex)
    }

    /// The zone of an id.
    #[must_use]
    pub fn zone(&self, id: &str) -> Option<ZoneIndex> {
        find(&self.zones, |z| z.id == id).map(ZoneIndex)
    }

    /// The output of an id.
    #[must_use]
    pub fn output(&self, id: &str) -> Option<OutputIndex> {
        find(&self.outputs, |o| o.id == id).map(OutputIndex)
    }

    /// The board at a position.
    #[must_use]
    pub fn board(&self, index: BoardIndex) -> Option<&BoardInfo> {
        self.boards.get(index.at())
    }

    /// All ids by position, as [`replay`](crate::replay) takes them.
    #[must_use]
    pub fn names(&self) -> crate::replay::Names<'_> {
        crate::replay::Names {
            cells: self.cells.iter().map(|c| c.id.as_str()).collect(),
            zones: self.zones.iter().map(|z| z.id.as_str()).collect(),
            set_points: self.set_points.iter().map(|s| s.id.as_str()).collect(),
            outputs: self.outputs.iter().map(|o| o.id.as_str()).collect(),
        }
    }

    /// Whether anything of it is made up.
    #[must_use]
    pub fn has_simulated(&self) -> bool {
        self.cells.iter().any(|c| c.simulated.is_some())
    }
}

fn find<T>(items: &[T], wanted: impl FnMut(&T) -> bool) -> Option<u8> {
    items
        .iter()
        .position(wanted)
        .and_then(|i| u8::try_from(i).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn a_set_point_of_two_zones_needs_its_zone() {
        let mut text = "[gas]\nproduction = false\n[[gas.sensors]]\nid = \"s\"\nkind = \"simulated\"\n\
            profile = \"constant\"\n[[gas.cells]]\nid = \"a\"\nsensor = \"s\"\ngas = \"co\"\nunit = \"ppm\"\nrange_hi = 300\n"
            .to_owned();
        for (zone, points) in [("garage", &["ap1", "ap3"][..]), ("ramp", &["ap1"])] {
            text += &format!("[[gas.zones]]\nid = \"{zone}\"\ncells = [\"a\"]\n");
            for point in points {
                let stage = &point[2..];
                text += &format!(
                    "[[gas.zones.setpoints]]\nid = \"{point}\"\nstage = {stage}\non = {stage}0.0\nhysteresis = 1.0\n"
                );
            }
        }
        let (site, diags) = crate::config::check_text(&text, "x.toml");
        let site = site.unwrap_or_else(|| panic!("{}", diags.report(false)));
        assert_eq!(site.named_alarm("ap1"), None, "two zones have it");
        assert!(site.named_alarm("ramp.ap1").is_some());
        assert_ne!(site.named_alarm("garage.ap1"), site.named_alarm("ramp.ap1"));
        assert_eq!(site.named_alarm("ap3"), site.alarm("garage.ap3"));
        assert_eq!(site.named_alarm("ramp.ap3"), None);
        assert!(site.named_alarm("fault.a").is_some());
    }
}
