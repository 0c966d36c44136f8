//! From the literal shape to a checked site. Every mistake is reported; nothing stops at the first.

use super::raw::{GasSection, PowerSection};
use crate::site::{GasSite, Parts};
use leitstand_core::gas::SitePlan;
use leitstand_core::units::Concentration;
use leitstand_kit::config::{Diagnostics, Path};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Longest id. Reasoning: three of them fit into an alarm's line on a small screen.
const ID_MAX: usize = 32;

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
    check.lines();
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
pub(super) struct SetPointPath {
    pub(super) path: Path,
    /// Something of it could not be resolved, so that what the plan says about it may be a consequence.
    pub(super) broken: bool,
}

pub(super) struct Checker<'a> {
    pub(super) gas: &'a GasSection,
    pub(super) diags: &'a mut Diagnostics,
    pub(super) root: Path,
    pub(super) parts: Parts,
    /// Positions in the plan of the cells in the file, `None` when a cell could not be used.
    pub(super) broken_cells: HashSet<usize>,
    pub(super) broken_zones: HashSet<usize>,
    pub(super) broken_outputs: HashSet<usize>,
    pub(super) set_point_paths: Vec<SetPointPath>,
}

impl<'a> Checker<'a> {
    fn new(gas: &'a GasSection, diags: &'a mut Diagnostics) -> Self {
        let stands_in = diags.stands_in("production");
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
                mains: None,
                gauge: None,
                // While it cannot be read nothing is demanded for it; there is no start anyway.
                production: gas.production && !stands_in,
                shutdown_command: Vec::new(),
            },
            broken_cells: HashSet::new(),
            broken_zones: HashSet::new(),
            broken_outputs: HashSet::new(),
            set_point_paths: Vec::new(),
        }
    }

    pub(super) fn at(&self, list: &str, index: usize) -> Path {
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

    pub(super) fn too_many(&mut self, list: &str, count: usize, most: usize) {
        if count > most {
            self.diags
                .error(&self.at(list, most), "too_many", format!("{count} entries"))
                .allowed(format!("at most {most}"));
        }
    }

    pub(super) fn missing<T>(&mut self, item: &Path, key: &str, what: &str) -> Option<T> {
        self.diags
            .error(&item.key(key), "missing_key", format!("`{key}` is missing"))
            .allowed(what);
        None
    }

    pub(super) fn not_allowed(&mut self, item: &Path, keys: &[(&str, bool)], kind: &str) {
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
}

/// Positions are far below 256: every list is cut at its capacity.
pub(super) fn small(position: usize) -> u8 {
    u8::try_from(position).unwrap_or(u8::MAX)
}

pub(super) fn milli(value: f64) -> Concentration {
    Concentration::from_milli((value * 1000.0).round() as i32)
}

pub(super) fn milli_or_zero(value: f64) -> i32 {
    if value.is_finite() && value.abs() <= 1_000_000.0 {
        milli(value).as_milli()
    } else {
        0
    }
}

pub(super) fn decimal(value: Concentration) -> f64 {
    f64::from(value.as_milli()) / 1000.0
}

pub(super) fn list(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<String> = items.into_iter().map(|i| i.as_ref().to_owned()).collect();
    items.join(", ")
}
