//! Mains and battery.

use super::check::{Checker, list};
use super::raw::{ChemistryConfig, PowerSection};
use leitstand_core::power::{Chemistry, SupplyPlan};
use leitstand_core::units::{MilliVolt, PerMille};
use leitstand_kit::config::Path;

impl Checker<'_> {
    pub(super) fn supply(&mut self, power: &PowerSection) {
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
        if let Some(mains) = &power.mains {
            let line = (mains.chip.as_str(), mains.line);
            let used = self.parts.boards.iter().filter_map(|b| b.register.as_ref());
            if let Some(board) = used.into_iter().find(|b| b.lines().any(|l| l == line)) {
                let message = format!("board `{}` has line {} of `{}`", board.id, line.1, line.0);
                self.diags
                    .error(&path.key("mains").key("line"), "line_twice", message)
                    .allowed("a line of its own");
            }
        }
        if self.parts.production && power.mains.is_none() && power.gauge.is_none() {
            let message = "neither mains nor battery is wired, so that nothing is watched";
            self.diags.warning(&path, "supply_not_wired", message);
        }
        self.parts.mains = power.mains.clone();
        self.parts.gauge = power.gauge.clone();
        let command = power.shutdown_command.clone().unwrap_or_default();
        let named = command
            .first()
            .is_none_or(|program| program.starts_with('/'));
        if !named || (command.is_empty() && power.shutdown_command.is_some()) {
            let message = "the command that turns the machine off must name its program";
            self.diags
                .error(&path.key("shutdown_command"), "bad_command", message)
                .allowed(
                    "an absolute path and its arguments, as [\"/usr/bin/systemctl\", \"poweroff\"]",
                );
        }
        self.parts.shutdown_command = command;
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
}
