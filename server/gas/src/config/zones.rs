//! Zones and their set points.

use super::actions::{Wanted, resolve};
use super::check::{Checker, SetPointPath, list, small};
use super::presets::{self, Candidate};
use super::raw::{DirectionConfig, Preset, QuantityConfig, SetPointConfig, Unit};
use crate::site::{SetPointInfo, ZoneInfo};
use leitstand_core::gas::plan::{
    Direction, EXPOSURE_LONG_S, EXPOSURE_SHORT_S, Quantity, SetPointPlan, ZonePlan,
};
use leitstand_core::gas::{CellIndex, CellSet, SetPointIndex, ZoneIndex};
use leitstand_kit::config::Path;
use std::collections::HashMap;
use std::time::Duration;

impl Checker<'_> {
    pub(super) fn zones(&mut self) {
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

    pub(super) fn preset(&mut self, path: &Path, zone: usize, cells: &[CellIndex]) {
        if self.gas.preset == Preset::None {
            self.diags
                .error(
                    path,
                    "no_set_points",
                    "the zone has no set point and would never alarm",
                )
                .allowed("`[[gas.zones.setpoints]]`, or `preset = \"garage\"` or `\"factory\"`");
            return;
        }
        let preset = self.gas.preset;
        let named: Vec<Candidate> = cells
            .iter()
            .map(|c| {
                let info = &self.parts.cells[c.at()];
                Candidate {
                    id: info.id.clone(),
                    gas: info.gas,
                    unit: info.unit,
                    range_hi: info.range_hi,
                }
            })
            .collect();
        let mut covered = false;
        for point in presets::points(preset, &named) {
            covered = true;
            self.set_point(path, zone, &point);
        }
        let foreign = named.iter().find(|cell| !presets::covers(preset, cell));
        if let Some(cell) = foreign {
            let message = format!(
                "the preset has no set points for {} of `{}`",
                cell.gas.as_str(),
                cell.id
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
    pub(super) fn cell_list(
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

    pub(super) fn set_point(&mut self, path: &Path, zone: usize, point: &SetPointConfig) {
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

    pub(super) fn quantity(&mut self, path: &Path, point: &SetPointConfig) -> Quantity {
        let given = point.window_s;
        let path = path.key("window_s");
        let (quantity, fits, allowed) = match point.quantity {
            QuantityConfig::Direct => {
                if given.is_some() {
                    let message = "`window_s` means nothing with `quantity = \"direct\"`";
                    self.diags.warning(&path, "unused_key", message);
                }
                return Quantity::Direct;
            }
            QuantityConfig::Average => {
                let window = given.unwrap_or(900);
                let fits = window.is_multiple_of(5) && (10..=3600).contains(&window);
                (
                    Quantity::Average(window),
                    fits,
                    "a multiple of 5, 10 to 3600",
                )
            }
            QuantityConfig::Rate => {
                // Half of it must be a window of an average.
                let window = given.unwrap_or(120);
                let fits = window.is_multiple_of(20) && (20..=1800).contains(&window);
                (Quantity::Rate(window), fits, "a multiple of 20, 20 to 1800")
            }
            QuantityConfig::Exposure => {
                let span = given.unwrap_or(EXPOSURE_SHORT_S);
                let fits = matches!(span, EXPOSURE_SHORT_S | EXPOSURE_LONG_S);
                (Quantity::Exposure(span), fits, "900 or 28800")
            }
        };
        if !fits {
            let span = given.unwrap_or_default();
            self.diags
                .error(&path, "bad_window", format!("{span} s cannot be looked at"))
                .allowed(allowed);
            return Quantity::Direct;
        }
        if quantity.windows().all(|window| self.window(&path, window)) {
            self.parts.plan.windows.sort_unstable();
            quantity
        } else {
            Quantity::Direct
        }
    }

    /// Makes room for a window in the plan; says so when there is none.
    fn window(&mut self, path: &Path, window: u16) -> bool {
        let plan = &mut self.parts.plan;
        if plan.windows.contains(&window) {
            return true;
        }
        if plan.windows.is_full() {
            // The windows that are only shown give way to those that alarm.
            let used: Vec<u16> = plan
                .set_points
                .iter()
                .flat_map(|s| s.quantity.windows())
                .collect();
            if let Some(spare) = plan.windows.iter().position(|w| !used.contains(w)) {
                plan.windows.remove(spare);
            }
        }
        let placed = plan.windows.push(window).is_ok();
        if !placed {
            let message = format!("{window} s is one window too many");
            self.diags
                .error(path, "too_many_windows", message)
                .allowed("at most 8 different windows in a site; a rate takes two");
        }
        placed
    }
}
