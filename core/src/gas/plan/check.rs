//! Every mistake of a plan at once.

use super::super::index::{OutputIndex, SetPointIndex, ZoneIndex};
use super::{
    Action, CellIndex, CellPlan, CellSet, Direction, EXPOSURE_LONG_S, EXPOSURE_SHORT_S, Function,
    OutputPlan, Plan, PlanError, Quantity, SetPointPlan,
};
use crate::limits::BUCKET_MS;

/// From this stage on an alarm latches unless explicitly allowed not to. Source: `monitor.md` 3.1.
const LATCHING_STAGE: u8 = 3;

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize>
    Plan<C, Z, S, O, B>
{
    /// Reports **every** mistake. A plan with one must not be started.
    pub fn check(&self, mut report: impl FnMut(PlanError)) {
        self.check_cells(&mut report);
        for (at, set_point) in self.set_points.iter().enumerate() {
            let index = SetPointIndex(at as u8);
            self.check_references(index, set_point, &mut report);
            self.check_limits(index, set_point, &mut report);
        }
        self.check_stage_order(&mut report);
        self.check_outputs(&mut report);
        if let Some(table) = self
            .supply
            .as_ref()
            .and_then(|supply| supply.table.as_ref())
        {
            let rising = table
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            if table.len() < 2 || !rising {
                report(PlanError::ChargeTable);
            }
        }
    }

    /// The healthy signal: the output that says so, or else the first one that is normally energised and that
    /// no set point names.
    #[must_use]
    pub fn healthy_output(&self) -> Option<OutputIndex> {
        let named = |output: OutputIndex| {
            let mut actions = self
                .set_points
                .iter()
                .flat_map(|set_point| &set_point.actions);
            actions.any(|action| action.output == output)
        };
        let outputs = || (0_u8..).map(OutputIndex).zip(&self.outputs);
        outputs()
            .find(|(_, plan)| plan.function == Function::Healthy)
            .or_else(|| {
                outputs().find(|(output, plan)| {
                    plan.function == Function::Actions && plan.normally_energised && !named(*output)
                })
            })
            .map(|(output, _)| output)
    }

    fn all_cells(&self) -> CellSet {
        CellSet::of((0..self.cells.len() as u8).map(CellIndex))
    }

    fn check_cells(&self, report: &mut impl FnMut(PlanError)) {
        for (at, cell) in self.cells.iter().enumerate() {
            let index = CellIndex(at as u8);
            let buses = usize::from(self.buses).min(B);
            if cell.bus.is_some_and(|bus| bus.at() >= buses) {
                report(PlanError::UnknownBus(index));
            }
            if cell.range_lo >= cell.range_hi {
                report(PlanError::Range(index));
            }
        }
        for &window in &self.windows {
            let whole = (u64::from(window) * 1000).is_multiple_of(BUCKET_MS);
            if !whole || !(10..=3600).contains(&window) {
                report(PlanError::Window(window));
            }
        }
        for (at, zone) in self.zones.iter().enumerate() {
            let index = ZoneIndex(at as u8);
            if zone.cells.is_empty() {
                report(PlanError::NoCells(index));
            }
            if !zone.cells.without(self.all_cells()).is_empty() {
                report(PlanError::UnknownZoneCell(index));
            }
        }
    }

    fn check_references(
        &self,
        index: SetPointIndex,
        plan: &SetPointPlan,
        report: &mut impl FnMut(PlanError),
    ) {
        match self.zones.get(plan.zone.at()) {
            None => report(PlanError::UnknownZone(index)),
            Some(zone) => {
                let strangers = plan.cells.without(zone.cells.and(self.all_cells()));
                if !strangers.is_empty() {
                    report(PlanError::UnknownCell(index));
                }
            }
        }
        if plan.vote_k == 0 || plan.vote_k > plan.cells.len() {
            report(PlanError::Vote(index));
        }
        let known = |window| self.windows.contains(&window);
        let fits = match plan.quantity {
            Quantity::Direct | Quantity::Average(_) => true,
            Quantity::Rate(seconds) => seconds.is_multiple_of(10),
            Quantity::Exposure(seconds) => matches!(seconds, EXPOSURE_SHORT_S | EXPOSURE_LONG_S),
        };
        if !fits || !plan.quantity.windows().all(known) {
            report(PlanError::UnknownWindow(index));
        }
        if plan
            .actions
            .iter()
            .any(|action| action.output.at() >= self.outputs.len())
        {
            report(PlanError::UnknownOutput(index));
        }
        let healthy = |action: &Action| {
            let output = self.outputs.get(action.output.at());
            output.is_some_and(|output| output.function == Function::Healthy)
        };
        if plan.actions.iter().any(healthy) {
            report(PlanError::HealthyInUse(index));
        }
    }

    fn check_limits(
        &self,
        index: SetPointIndex,
        plan: &SetPointPlan,
        report: &mut impl FnMut(PlanError),
    ) {
        if !(1..=4).contains(&plan.stage) {
            report(PlanError::Stage(index));
        }
        let (on, hysteresis) = (plan.on.as_milli(), plan.hysteresis.as_milli());
        let inverted = plan.direction == Direction::Rising && hysteresis >= on;
        if hysteresis < 0 || inverted {
            report(PlanError::Hysteresis(index));
        }
        let cells = || {
            plan.cells
                .and(self.all_cells())
                .iter()
                .map(|cell| &self.cells[cell.at()])
        };
        // A change may be a whole range a minute, up or down; standing still is no limit.
        let outside = |cell: &CellPlan| match plan.quantity {
            Quantity::Rate(_) => {
                let range = cell.range_hi.as_milli().abs_diff(cell.range_lo.as_milli());
                on == 0 || on.unsigned_abs() > range
            }
            _ => plan.on < cell.range_lo || plan.on > cell.range_hi,
        };
        if cells().any(outside) {
            report(PlanError::OutOfRange(index));
        }
        let mut kinds = cells().map(|cell| cell.kind);
        let first = kinds.next();
        if kinds.any(|kind| Some(kind) != first) {
            report(PlanError::MixedKinds(index));
        }
        if plan.stage >= LATCHING_STAGE && !plan.latching && !plan.allow_non_latching {
            report(PlanError::NotLatching(index));
        }
    }

    /// Among set points of one zone, quantity and direction that share a cell a higher stage must not be the less
    /// dangerous limit.
    fn check_stage_order(&self, report: &mut impl FnMut(PlanError)) {
        let indexed = || (0_u8..).map(SetPointIndex).zip(&self.set_points);
        for (lower, low) in indexed() {
            for (higher, high) in indexed() {
                let same = low.zone == high.zone
                    && low.quantity == high.quantity
                    && low.direction == high.direction
                    && !low.cells.and(high.cells).is_empty();
                let wrong = match low.direction {
                    Direction::Rising => high.on < low.on,
                    Direction::Falling => high.on > low.on,
                };
                if same && low.stage < high.stage && wrong {
                    report(PlanError::StageOrder { lower, higher });
                }
            }
        }
    }

    fn check_outputs(&self, report: &mut impl FnMut(PlanError)) {
        let indexed = || (0_u8..).map(OutputIndex).zip(&self.outputs);
        let is_healthy = |plan: &OutputPlan| plan.function == Function::Healthy;
        for (index, output) in indexed() {
            if let Some(board) = output.board {
                let pins = self.boards.get(board.at()).map_or(0, |board| board.pins());
                if !(1..=pins).contains(&output.pin) {
                    report(PlanError::NoSuchPin(index));
                }
                let twice = indexed().any(|(other, plan)| {
                    other < index && (plan.board, plan.pin) == (output.board, output.pin)
                });
                if twice {
                    report(PlanError::PinTwice(index));
                }
            }
            if let Function::Stage { zone, stage } = output.function
                && (zone.at() >= self.zones.len() || !(1..=4).contains(&stage))
            {
                report(PlanError::OutputZone(index));
            }
            if is_healthy(output)
                && indexed().any(|(other, plan)| other < index && is_healthy(plan))
            {
                report(PlanError::HealthyTwice(index));
            }
        }
    }
}
