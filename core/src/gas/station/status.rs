//! Getters: small copies of what stands after the last step.

use super::{SetPointIndex, Station};
use crate::gas::alarm::{Alarm, AlarmState};
use crate::gas::bump::Bump;
use crate::gas::command::AlarmKey;
use crate::gas::index::{BoardIndex, BusIndex, CellIndex, CellSet, OutputIndex, ZoneIndex};
use crate::gas::plan::{Direction, OutputKind};
use crate::gas::ra_gas::Channel;
use crate::gas::set_point::votes_needed;
use crate::gas::status::{
    AlarmStatus, Average, CellStatus, HornStatus, OutputStatus, SetPointStatus, SiteStatus,
    Special, Specials, ZoneStatus,
};
use crate::power::{PowerStatus, RuntimeStatus};
use crate::time::Duration;
use crate::units::Concentration;

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize, const N: usize>
    Station<C, Z, S, O, B, N>
{
    /// A cell, as of the last step.
    ///
    /// # Panics
    /// Like all getters, when the index is not in the plan.
    #[must_use]
    pub fn cell(&self, cell: CellIndex) -> CellStatus {
        self.cells[cell.at()].status(self.now, &self.plan.cells[cell.at()])
    }

    /// What the device of a cell said last and how long ago, valid or not. `None` for cells that are not of a
    /// RA-GAS sensor, and before the first answer.
    #[must_use]
    pub fn channel(&self, cell: CellIndex) -> Option<(Duration, Channel)> {
        let (at, channel) = self.cells[cell.at()].channel()?;
        Some((self.now.since(at), channel))
    }

    /// The bump test of a cell that is under way.
    #[must_use]
    pub fn bump(&self, cell: CellIndex) -> Option<Bump> {
        self.cells[cell.at()].bump
    }

    /// The average of a cell over `window_s`; `None` when it is not one of
    /// [`Plan::windows`](crate::gas::Plan::windows).
    #[must_use]
    pub fn average(&self, cell: CellIndex, window_s: u16) -> Option<Average> {
        let at = self
            .plan
            .windows
            .iter()
            .position(|&window| window == window_s)?;
        Some(
            self.cells[cell.at()]
                .history
                .average(self.now, at, &self.windows),
        )
    }

    /// A set point.
    #[must_use]
    pub fn set_point(&self, set_point: SetPointIndex) -> SetPointStatus {
        let plan = &self.plan.set_points[set_point.at()];
        let over = self.votes[set_point.at()].over;
        let blind = self.blind(self.now).and(plan.cells);
        let unknown = plan.cells.iter().filter(|cell| {
            !self.cells[cell.at()].votes(self.now)
                || self.quantity(self.now, set_point, *cell).is_none()
        });
        SetPointStatus {
            alarm: self.alarm_status(AlarmKey::SetPoint(set_point), &self.alarms[set_point.at()]),
            votes: over.len(),
            k_eff: votes_needed(plan.vote_k, over, blind),
            value: self.extreme(self.now, set_point),
            over,
            frozen: CellSet::of(unknown),
            drives: self.drives(set_point),
        }
    }

    /// Whose contribution to a set point stands; cheaper than the whole [`set_point`](Self::set_point).
    #[must_use]
    pub fn contributions(&self, set_point: SetPointIndex) -> CellSet {
        self.votes[set_point.at()].over
    }

    /// The state of an alarm; cheaper than the whole [`alarm`](Self::alarm).
    #[must_use]
    pub fn alarm_state(&self, key: AlarmKey) -> Option<AlarmState> {
        self.alarm_of(key).map(|alarm| alarm.state)
    }

    /// Whether the healthy signal is on.
    #[must_use]
    pub const fn healthy_signal(&self) -> bool {
        self.healthy
    }

    /// What a set point compares for one of its cells; `None` while it cannot be trusted.
    #[must_use]
    pub fn set_point_input(
        &self,
        set_point: SetPointIndex,
        cell: CellIndex,
    ) -> Option<Concentration> {
        self.quantity(self.now, set_point, cell)
    }

    /// An alarm of whatever kind; `None` for an index that is not in the plan.
    #[must_use]
    pub fn alarm(&self, key: AlarmKey) -> Option<AlarmStatus> {
        self.alarm_of(key)
            .map(|alarm| self.alarm_status(key, alarm))
    }

    /// Keys of all alarms, set points first, then cells, buses, outputs, power.
    pub fn alarm_keys(&self) -> impl Iterator<Item = AlarmKey> + use<C, Z, S, O, B, N> {
        let buses = 0..self.plan.buses.min(B as u8);
        let power = self.supply.is_some().then_some(AlarmKey::Power);
        self.set_point_indices()
            .map(AlarmKey::SetPoint)
            .chain(self.cell_indices().map(AlarmKey::Cell))
            .chain(buses.map(|bus| AlarmKey::Bus(BusIndex(bus))))
            .chain(self.output_indices().map(AlarmKey::Output))
            .chain(power)
    }

    /// A zone.
    #[must_use]
    pub fn zone(&self, zone: ZoneIndex) -> ZoneStatus {
        let cells = self.plan.zones[zone.at()].cells;
        let mut special = Specials::default();
        for cell in cells.iter() {
            let seen = &self.cells[cell.at()];
            let mask = seen.mask.map(|mask| mask.kind);
            for (kind, on) in [
                (Special::Starting, seen.is_starting()),
                (Special::WarmUp, seen.is_warming(self.now)),
                (
                    Special::Inhibit,
                    mask == Some(crate::gas::status::OverlayKind::Inhibited),
                ),
                (
                    Special::OutOfService,
                    mask == Some(crate::gas::status::OverlayKind::OutOfService),
                ),
            ] {
                if on {
                    special.set(kind, true);
                }
            }
        }
        let shelved = self
            .plan
            .set_points
            .iter()
            .zip(&self.alarms)
            .any(|(plan, alarm)| plan.zone == zone && alarm.shelved_until.is_some());
        special.set(Special::Shelved, shelved);
        ZoneStatus {
            level: self.zones[zone.at()].level,
            health: self.zones[zone.at()].health,
            special,
            shown: self.shown(zone),
        }
    }

    /// An output.
    #[must_use]
    pub fn output(&self, output: OutputIndex) -> OutputStatus {
        let plan = &self.plan.outputs[output.at()];
        self.outputs[output.at()].status(plan, self.is_lamp_tested(plan.kind))
    }

    /// The site at a glance: level, health, special states, healthy signal, horn, counts.
    #[must_use]
    pub fn site(&self) -> SiteStatus {
        let alarms = || self.alarm_keys().filter_map(|key| self.alarm_of(key));
        let level = self
            .zone_indices()
            .map(|zone| self.zones[zone.at()].level)
            .max();
        let unacknowledged = alarms()
            .filter(|alarm| alarm.state.is_unacknowledged())
            .count();
        let gas_unacknowledged = self
            .alarms
            .iter()
            .any(|alarm| alarm.state.is_unacknowledged());
        let sounds = self.alarms.iter().any(Alarm::sounds);
        let resettable = alarms().filter(|alarm| alarm.state.reset().is_ok()).count();
        SiteStatus {
            level: level.unwrap_or_default(),
            health: self.site_health(),
            special: self.special,
            healthy_signal: self.healthy,
            horn: HornStatus {
                on: self.horn,
                silenced: gas_unacknowledged && !sounds,
            },
            unacknowledged: unacknowledged as u16,
            resettable: resettable as u16,
        }
    }

    /// Mains and battery.
    #[must_use]
    pub fn power(&self) -> PowerStatus {
        match (&self.supply, &self.plan.supply) {
            (Some(supply), Some(plan)) => supply.status(plan),
            _ => PowerStatus::default(),
        }
    }

    /// Operating time and intervals.
    #[must_use]
    pub fn runtime(&self) -> RuntimeStatus {
        self.runtime.status(self.now, &self.plan.service)
    }

    /// What to shift into, or write to, a board: output n (from 1) is bit n - 1, 1 = energised.
    /// `lit` is the phase of flashing lamps: half a second `true`, half a second `false`.
    #[must_use]
    pub fn image(&self, board: BoardIndex, lit: bool) -> u64 {
        let wired = self.plan.outputs.iter().zip(&self.outputs);
        wired
            .filter(|(plan, _)| plan.board == Some(board) && (1..=64).contains(&plan.pin))
            .filter(|(plan, output)| output.is_energised(plan, lit, self.is_lamp_tested(plan.kind)))
            .fold(0, |image, (plan, _)| image | 1 << (plan.pin - 1))
    }

    pub(super) fn alarm_of(&self, key: AlarmKey) -> Option<&Alarm> {
        let plan = &self.plan;
        match key {
            AlarmKey::SetPoint(SetPointIndex(at)) => self
                .alarms
                .get(..plan.set_points.len())?
                .get(usize::from(at)),
            AlarmKey::Cell(cell) => self.cell_alarms.get(..plan.cells.len())?.get(cell.at()),
            AlarmKey::Bus(bus) => self
                .bus_alarms
                .get(..usize::from(plan.buses))?
                .get(bus.at()),
            AlarmKey::Output(output) => self
                .output_alarms
                .get(..plan.outputs.len())?
                .get(output.at()),
            AlarmKey::Power => plan.supply.is_some().then_some(&self.power_alarm),
        }
    }

    fn alarm_status(&self, key: AlarmKey, alarm: &Alarm) -> AlarmStatus {
        let overlay = match key {
            AlarmKey::SetPoint(set_point) => self.overlay(set_point),
            AlarmKey::Cell(cell) => self.cells[cell.at()].mask,
            AlarmKey::Bus(_) | AlarmKey::Output(_) | AlarmKey::Power => None,
        };
        AlarmStatus {
            state: alarm.state,
            since: alarm.since,
            silenced: alarm.silenced.is_some(),
            overlay,
        }
    }

    fn is_lamp_tested(&self, kind: OutputKind) -> bool {
        self.lamp_test_until.is_some() && kind == OutputKind::Led
    }

    /// The most dangerous value of the healthy cells: by value among cells of one kind, else by share of range.
    fn shown(&self, zone: ZoneIndex) -> Option<(CellIndex, Concentration)> {
        let values = self.plan.zones[zone.at()]
            .cells
            .iter()
            .filter_map(|cell| Some((cell, self.cells[cell.at()].value()?)));
        values.reduce(|best, next| {
            if self.is_worse(zone, next, best) {
                next
            } else {
                best
            }
        })
    }

    fn is_worse(
        &self,
        zone: ZoneIndex,
        (a, a_value): (CellIndex, Concentration),
        (b, b_value): (CellIndex, Concentration),
    ) -> bool {
        if self.plan.cells[a.at()].kind == self.plan.cells[b.at()].kind {
            return match self.direction(zone, a) {
                Direction::Rising => a_value > b_value,
                Direction::Falling => a_value < b_value,
            };
        }
        self.danger(zone, a, a_value) > self.danger(zone, b, b_value)
    }

    /// Share of the range towards its dangerous end, in thousandths.
    fn danger(&self, zone: ZoneIndex, cell: CellIndex, value: Concentration) -> i64 {
        let plan = &self.plan.cells[cell.at()];
        let lo = i64::from(plan.range_lo.as_milli());
        let range = (i64::from(plan.range_hi.as_milli()) - lo).max(1);
        let share = (i64::from(value.as_milli()) - lo) * 1000 / range;
        match self.direction(zone, cell) {
            Direction::Rising => share,
            Direction::Falling => 1000 - share,
        }
    }

    /// Which side is dangerous for a cell: that of the first set point of the zone that names it.
    fn direction(&self, zone: ZoneIndex, cell: CellIndex) -> Direction {
        let mut set_points = self.plan.set_points.iter();
        set_points
            .find(|plan| plan.zone == zone && plan.cells.contains(cell))
            .map_or(Direction::Rising, |plan| plan.direction)
    }
}
