//! What the core has to say about a plan, with keys instead of positions.

use super::check::{Checker, decimal, list};
use leitstand_core::gas::plan::Direction;
use leitstand_core::gas::{PlanError, SetPointIndex};
use leitstand_kit::config::Path;

impl Checker<'_> {
    /// What the core has to say about the plan, with keys instead of positions.
    pub(super) fn plan_errors(&mut self) {
        let mut errors = Vec::new();
        self.parts.plan.check(|error| errors.push(error));
        for error in errors {
            self.plan_error(error);
        }
    }

    pub(super) fn plan_error(&mut self, error: PlanError) {
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
