//! Cells and their channels.

use super::actions::resolve;
use super::check::{Checker, list, milli, milli_or_zero, small};
use super::raw::{BandsConfig, CellConfig, Gas, SensorKind};
use crate::seam::DeviceKind;
use crate::simulate::{self, Profile};
use crate::site::CellInfo;
use leitstand_core::gas::CellIndex;
use leitstand_core::gas::analog::{Bands, Curve, CurveError};
use leitstand_core::gas::plan::CellPlan;
use leitstand_core::units::{Concentration, MicroAmp};
use leitstand_kit::config::Path;
use std::time::Duration;

impl Checker<'_> {
    /// A value in thousandths; an error when it is no number or far out of every range.
    pub(super) fn number(&mut self, path: &Path, value: f64) -> Option<Concentration> {
        // A million units is far above every gas in every unit, and 2000 times fits the fixed-point type.
        if !value.is_finite() || value.abs() > 1_000_000.0 {
            self.diags
                .error(path, "bad_number", format!("{value} cannot be used"))
                .allowed("a number from -1000000 to 1000000");
            return None;
        }
        Some(milli(value))
    }

    pub(super) fn cells(&mut self) {
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

    pub(super) fn push_cell(
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
    pub(super) fn attach(
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

    pub(super) fn curve(&mut self, path: &Path, pairs: &[[f64; 2]], plan: &mut CellPlan) {
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
}
