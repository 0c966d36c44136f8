//! From the station to the views: the one place that knows both.

use crate::facts::{self, decimal};
use crate::persist::Notes;
use crate::quality::{self, Figures};
use crate::seam::BusReport;
use crate::site::GasSite;
use crate::view::{
    Alarm, AverageView, BumpView, Bus, CalibrationView, Cell, CheckView, Device, Horn, InputView,
    NOTICE, Output, Overlay, Power, QualityView, SelfTestView, ServiceView, SetPoint, Shown,
    Snapshot, Status, Zone,
};
use leitstand_core::gas::plan::{Direction, Quantity};
use leitstand_core::gas::status::{self as core, OverlayKind, Specials};
use leitstand_core::gas::{
    AlarmKey, CellIndex, OutputIndex, SetPointIndex, SiteStation, ZoneIndex,
};
use leitstand_core::power::Check;
use leitstand_core::time::Instant;

/// Services shown. Reasoning: ten years of yearly service; the rest is in the journal.
const SERVICES_SHOWN: usize = 10;

/// Everything a view is made from.
pub(crate) struct Source<'a> {
    pub(crate) site: &'a GasSite,
    pub(crate) station: &'a SiteStation,
    pub(crate) notes: &'a Notes,
    pub(crate) buses: Vec<BusReport>,
    pub(crate) now: Instant,
    pub(crate) unix_ms: i64,
    pub(crate) seq: u64,
    pub(crate) simulated: bool,
    pub(crate) quality: Figures,
    pub(crate) self_test: Option<&'a SelfTestView>,
    pub(crate) config_drift: bool,
    pub(crate) config_version: u64,
}

impl Source<'_> {
    /// The whole site.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let runtime = self.station.runtime();
        Snapshot {
            seq: self.seq,
            unix_ms: self.unix_ms,
            uptime_s: runtime.uptime_s,
            simulated: self.simulated,
            notice: NOTICE,
            status: self.status(),
            zones: indices(self.site.zones.len())
                .map(|i| self.zone(ZoneIndex(i)))
                .collect(),
            set_points: indices(self.site.set_points.len())
                .map(|i| self.set_point(SetPointIndex(i)))
                .collect(),
            cells: indices(self.site.cells.len())
                .map(|i| self.cell(CellIndex(i)))
                .collect(),
            alarms: self.alarms(),
            outputs: indices(self.site.outputs.len())
                .map(|i| self.output(OutputIndex(i)))
                .collect(),
            buses: self.buses(),
            power: self.power(),
            service: self.service(),
            quality: self.alarm_quality(),
            self_test: self.self_test.cloned(),
        }
    }

    fn alarm_quality(&self) -> QualityView {
        let ids = |keys: &[AlarmKey]| keys.iter().map(|key| self.site.alarm_id(*key)).collect();
        let stale: Vec<AlarmKey> = self
            .site
            .alarm_keys()
            .filter(|key| {
                self.station.alarm(*key).is_some_and(|alarm| {
                    let age = alarm.since.map(|at| self.now.since(at));
                    quality::is_stale(alarm.state.is_active(), age)
                })
            })
            .collect();
        QualityView {
            last_10_min: self.quality.last_10_min,
            last_day: self.quality.last_day,
            flood: self.quality.flood,
            chattering: ids(&self.quality.chattering),
            stale: ids(&stale),
        }
    }

    fn unix_ms(&self, at: Instant) -> i64 {
        let ago = self.now.since(at).as_millis();
        self.unix_ms
            .saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX))
    }

    fn seconds_until(&self, at: Option<Instant>) -> Option<u64> {
        at.map(|at| at.since(self.now).as_millis().div_ceil(1000) as u64)
    }

    fn status(&self) -> Status {
        let site = self.station.site();
        Status {
            level: site.level.as_str(),
            health: site.health.as_str(),
            special: special(site.special),
            healthy_signal: site.healthy_signal,
            horn: Horn {
                on: site.horn.on,
                silenced: site.horn.silenced,
            },
            unacknowledged: site.unacknowledged,
            resettable: site.resettable,
            config_drift: self.config_drift,
            config_version: self.config_version,
        }
    }

    fn zone(&self, index: ZoneIndex) -> Zone {
        let info = &self.site.zones[index.at()];
        let status = self.station.zone(index);
        Zone {
            id: info.id.clone(),
            name: info.name.clone(),
            level: status.level.as_str(),
            health: status.health.as_str(),
            special: special(status.special),
            shown: status.shown.map(|(cell, value)| Shown {
                cell: self.site.cells[cell.at()].id.clone(),
                value: decimal(value),
                unit: self.site.cells[cell.at()].unit.as_str(),
            }),
            cells: info
                .cells
                .iter()
                .map(|c| self.site.cells[c.at()].id.clone())
                .collect(),
            set_points: info
                .set_points
                .iter()
                .map(|s| self.site.set_points[s.at()].alarm.clone())
                .collect(),
        }
    }

    fn set_point(&self, index: SetPointIndex) -> SetPoint {
        let info = &self.site.set_points[index.at()];
        let plan = &self.site.plan.set_points[index.at()];
        let status = self.station.set_point(index);
        let (quantity, window_s) = match plan.quantity {
            Quantity::Direct => ("direct", None),
            Quantity::Average(window) => ("average", Some(window)),
            Quantity::Rate(window) => ("rate", Some(window)),
            Quantity::Exposure(span) => ("exposure", Some(span)),
        };
        SetPoint {
            id: info.id.clone(),
            alarm: info.alarm.clone(),
            zone: self.site.zones[info.zone.at()].id.clone(),
            stage: plan.stage,
            quantity,
            window_s,
            direction: match plan.direction {
                Direction::Rising => "rising",
                Direction::Falling => "falling",
            },
            on: decimal(plan.on),
            hysteresis: decimal(plan.hysteresis),
            on_delay_s: plan.on_delay.as_secs(),
            off_delay_s: plan.off_delay.as_secs(),
            unit: info.unit.as_str(),
            latching: plan.latching,
            vote_k: plan.vote_k,
            k_eff: status.k_eff,
            votes: status.votes,
            state: status.alarm.state.as_str(),
            overlay: self.overlay(AlarmKey::SetPoint(index), status.alarm.overlay),
            since_unix_ms: status.alarm.since.map(|at| self.unix_ms(at)),
            age_s: status.alarm.since.map(|at| self.now.since(at).as_secs()),
            value: status.value.map(decimal),
            inputs: info
                .cells
                .iter()
                .map(|cell| InputView {
                    cell: self.site.cells[cell.at()].id.clone(),
                    value: self.station.set_point_input(index, *cell).map(decimal),
                    over: status.over.contains(*cell),
                    frozen: status.frozen.contains(*cell),
                })
                .collect(),
        }
    }

    fn overlay(&self, key: AlarmKey, overlay: Option<core::Overlay>) -> Option<Overlay> {
        let overlay = overlay?;
        let note = match overlay.kind {
            OverlayKind::Shelved => self.notes.shelved.get(&self.site.alarm_id(key)),
            // The mask of a cell shows through at the set points that it silences.
            OverlayKind::Inhibited | OverlayKind::OutOfService => match key {
                AlarmKey::Cell(cell) => self.notes.masked.get(&self.site.cells[cell.at()].id),
                AlarmKey::SetPoint(point) => self.site.set_points[point.at()]
                    .cells
                    .iter()
                    .find_map(|c| self.notes.masked.get(&self.site.cells[c.at()].id)),
                _ => None,
            },
        };
        Some(Overlay {
            kind: overlay.kind.as_str(),
            until_s: self.seconds_until(overlay.until),
            reason: note.and_then(|n| n.reason.clone()),
            by: note.map(|n| n.by.clone()),
        })
    }

    fn cell(&self, index: CellIndex) -> Cell {
        let info = &self.site.cells[index.at()];
        let status = self.station.cell(index);
        let averages = self.site.plan.windows.iter().filter_map(|window| {
            let average = self.station.average(index, *window)?;
            Some(AverageView {
                window_s: *window,
                value: average.value().map(decimal),
                covered_s: average.covered.as_secs_f64(),
                partial: average.partial,
            })
        });
        Cell {
            id: info.id.clone(),
            sensor: self.site.sensors[info.sensor].id.clone(),
            channel: info.channel,
            zones: info
                .zones
                .iter()
                .map(|z| self.site.zones[z.at()].id.clone())
                .collect(),
            gas: info.gas.as_str(),
            unit: info.unit.as_str(),
            location: info.location.clone(),
            range_lo: info.range_lo,
            range_hi: info.range_hi,
            value: status.value.map(decimal),
            last_value: status.last_value.map(decimal),
            raw: status.raw.map(decimal),
            age_ms: status
                .age
                .map(|a| u64::try_from(a.as_millis()).unwrap_or(u64::MAX)),
            quality: status.quality.as_str(),
            inhibited: status.mask.is_some(),
            overlay: self.overlay(AlarmKey::Cell(index), status.mask),
            fault: status.fault.map(|f| facts::fault_text(f).to_owned()),
            warnings: status.warnings.iter().map(|w| w.as_str()).collect(),
            calibration: (self.station.channel(index))
                .map(|(age, channel)| CalibrationView::new(age, &channel)),
            bump: self.station.bump(index).map(|bump| BumpView {
                target: decimal(bump.target),
                falling: bump.direction == Direction::Falling,
                peak: bump.peak.map(decimal),
                left_s: self.seconds_until(Some(bump.until)).unwrap_or_default(),
            }),
            simulated: info.simulated.is_some(),
            averages: averages.collect(),
        }
    }

    /// Gas before faults, higher stages first; within one rank what waits for somebody, then the newest.
    fn alarms(&self) -> Vec<Alarm> {
        let mut alarms: Vec<(u8, bool, Option<Instant>, Alarm)> = self
            .site
            .alarm_keys()
            .filter_map(|key| {
                let status = self.station.alarm(key)?;
                if status.state == leitstand_core::gas::AlarmState::Normal {
                    return None;
                }
                let (rank, zone, stage) = match key {
                    AlarmKey::SetPoint(i) => {
                        let stage = self.site.plan.set_points[i.at()].stage;
                        let zone = &self.site.zones[self.site.set_points[i.at()].zone.at()].id;
                        (10 + stage, Some(zone.clone()), Some(stage))
                    }
                    AlarmKey::Power => (1, None, None),
                    _ => (2, None, None),
                };
                let alarm = Alarm {
                    id: self.site.alarm_id(key),
                    kind: facts::alarm_kind(key),
                    zone,
                    stage,
                    state: status.state.as_str(),
                    since_unix_ms: status.since.map(|at| self.unix_ms(at)),
                    unacknowledged: status.state.is_unacknowledged(),
                    resettable: status.state == leitstand_core::gas::AlarmState::LatchedAck,
                    silenced: status.silenced,
                    overlay: self.overlay(key, status.overlay),
                    text: facts::alarm_subject(self.site, key),
                };
                Some((rank, status.state.is_unacknowledged(), status.since, alarm))
            })
            .collect();
        alarms.sort_by_key(|(rank, waits, since, _)| std::cmp::Reverse((*rank, *waits, *since)));
        alarms.into_iter().map(|(.., alarm)| alarm).collect()
    }

    fn output(&self, index: OutputIndex) -> Output {
        let info = &self.site.outputs[index.at()];
        let status = self.station.output(index);
        Output {
            id: info.id.clone(),
            name: info.name.clone(),
            kind: info.kind,
            on: status.on,
            energised: status.energised,
            lamp: status.lamp.as_str(),
            mode: status.mode.as_str(),
            mode_until_s: self.seconds_until(status.mode_until),
            hand: self
                .notes
                .hands
                .get(&info.id)
                .cloned()
                .filter(|_| status.mode != core::Mode::Auto),
            wired: info.wired,
            fault: status.fault,
            since_unix_ms: Some(self.unix_ms(status.since)),
            function: info.function,
        }
    }

    fn buses(&self) -> Vec<Bus> {
        self.site
            .buses
            .iter()
            .zip(&self.buses)
            .map(|(spec, report)| Bus {
                id: spec.id.clone(),
                device: spec.device.clone(),
                state: if report.open { "open" } else { "closed" },
                cycle_ms: report.cycle_ms,
                efficiency: f64::from((report.efficiency * 1000.0).round()) / 1000.0,
                devices: spec
                    .devices
                    .iter()
                    .zip(&report.devices)
                    .map(|(device, report)| Device {
                        sensor: device.id.clone(),
                        address: device.address,
                        state: report.state.as_str(),
                        good: report.good,
                        timeout: report.timeout,
                        crc: report.crc,
                        exception: report.exception,
                        length: report.length,
                        recovered: report.recovered,
                        worst_age_ms: report.worst_age_ms,
                        firmware: report.firmware.clone(),
                    })
                    .collect(),
            })
            .collect()
    }

    fn power(&self) -> Power {
        let power = self.station.power();
        Power {
            state: power.state.as_str(),
            soc_percent: power.soc.map(|s| f64::from(s.0) / 10.0),
            soc_uncertainty: power.soc_uncertainty.map(|s| f64::from(s.0) / 10.0),
            charging: power.charging,
            battery_v: power.battery.map(|v| f64::from(v.0) / 1000.0),
            remaining_h: power
                .remaining
                .map(|r| (r.as_secs_f64() / 36.0).round() / 100.0),
            test_s: self.seconds_until(power.test_until),
        }
    }

    fn service(&self) -> ServiceView {
        let runtime = self.station.runtime();
        let checks = Check::ALL
            .iter()
            .zip(runtime.checks)
            .filter_map(|(check, status)| {
                let status = status?;
                Some(CheckView {
                    check: check.as_str(),
                    interval_days: status.interval_days,
                    days_left: status.days_left,
                    state: status.state.as_str(),
                })
            });
        ServiceView {
            interval_days: runtime.service.interval_days,
            days_used: runtime.service.days_used,
            days_left: runtime.service.days_left,
            state: runtime.service.state.as_str(),
            operating_s: runtime.operating_s,
            boot_count: runtime.boot_count,
            checks: checks.collect(),
            history: self
                .notes
                .services
                .iter()
                .rev()
                .take(SERVICES_SHOWN)
                .cloned()
                .collect(),
        }
    }
}

fn special(specials: Specials) -> Vec<&'static str> {
    specials.iter().map(|s| s.as_str()).collect()
}

/// Positions fit: the plan holds at most 64 of anything.
fn indices(count: usize) -> std::ops::Range<u8> {
    0..u8::try_from(count).unwrap_or(u8::MAX)
}
