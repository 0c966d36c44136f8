//! Every mistake of a plan, each alone, with its position.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::gas::station::bench::{TestPlan, averaged, latching, milli, set_point, zone_of};
use crate::units::{MilliVolt, PerMille};
use std::vec::Vec;

/// A plan without a mistake: three cells, AP1 on an average and AP3, a relay board with one relay.
fn good() -> TestPlan {
    let mut plan = zone_of(3);
    let board = Some(BoardIndex(0));
    plan.boards.push(BoardKind::Relay9).unwrap();
    for pin in [1, 2] {
        let relay = OutputPlan {
            board,
            ..OutputPlan::new(OutputKind::Relay, pin)
        };
        plan.outputs.push(relay).unwrap();
    }
    plan.outputs[0].normally_energised = true;
    let mut ap1 = averaged(set_point(&plan, 1, 30.0, 5.0), 900);
    ap1.actions
        .push(Action {
            output: OutputIndex(1),
            mode: ActionMode::Follow,
        })
        .unwrap();
    let ap3 = latching(set_point(&plan, 3, 150.0, 10.0));
    plan.set_points.extend([ap1, ap3]);
    plan
}

fn mistakes(change: impl FnOnce(&mut TestPlan)) -> Vec<PlanError> {
    let mut plan = good();
    change(&mut plan);
    let mut all = Vec::new();
    plan.check(|mistake| all.push(mistake));
    all
}

#[test]
fn a_good_plan_has_none() {
    assert_eq!(mistakes(|_| {}), []);
    assert_eq!(good().healthy_output(), Some(OutputIndex(0)));
}

#[test]
fn each_mistake_of_cells_and_zones() {
    let cell = CellIndex(1);
    assert_eq!(
        mistakes(|p| p.cells[1].bus = Some(BusIndex(1))),
        [PlanError::UnknownBus(cell)]
    );
    assert_eq!(
        mistakes(|p| p.cells[1].range_hi = milli(0.0)),
        [
            PlanError::Range(cell),
            PlanError::OutOfRange(SetPointIndex(0)),
            PlanError::OutOfRange(SetPointIndex(1))
        ]
    );
    for window in [5, 12, 3605] {
        assert_eq!(
            mistakes(|p| p.windows.push(window).unwrap()),
            [PlanError::Window(window)]
        );
    }
    assert_eq!(
        mistakes(|p| p
            .zones
            .push(ZonePlan {
                cells: CellSet::EMPTY,
                loss_stage: 1
            })
            .unwrap()),
        [PlanError::NoCells(ZoneIndex(1))]
    );
    assert_eq!(
        mistakes(|p| p.zones[0].cells.insert(CellIndex(3))),
        [PlanError::UnknownZoneCell(ZoneIndex(0))]
    );
}

#[test]
fn each_mistake_of_a_set_point() {
    let at = SetPointIndex(1);
    let ap3 = |change: fn(&mut SetPointPlan)| mistakes(|plan| change(&mut plan.set_points[1]));
    assert_eq!(ap3(|p| p.zone = ZoneIndex(1)), [PlanError::UnknownZone(at)]);
    assert_eq!(
        ap3(|p| p.cells.insert(CellIndex(3))),
        [PlanError::UnknownCell(at)]
    );
    assert_eq!(ap3(|p| p.vote_k = 0), [PlanError::Vote(at)]);
    assert_eq!(ap3(|p| p.vote_k = 4), [PlanError::Vote(at)]);
    assert_eq!(ap3(|p| p.vote_k = 3), []);
    assert_eq!(
        ap3(|p| p.quantity = Quantity::Average(120)),
        [PlanError::UnknownWindow(at)]
    );
    assert_eq!(ap3(|p| p.stage = 0), [PlanError::Stage(at)]);
    assert_eq!(ap3(|p| p.stage = 5), [PlanError::Stage(at)]);
    assert_eq!(
        ap3(|p| p.hysteresis = milli(-0.001)),
        [PlanError::Hysteresis(at)]
    );
    assert_eq!(
        ap3(|p| p.hysteresis = milli(150.0)),
        [PlanError::Hysteresis(at)]
    );
    assert_eq!(ap3(|p| p.hysteresis = milli(149.999)), []);
    assert_eq!(ap3(|p| p.on = milli(300.001)), [PlanError::OutOfRange(at)]);
    assert_eq!(ap3(|p| p.on = milli(300.0)), []);
    let lax = |p: &mut SetPointPlan| (p.latching, p.allow_non_latching) = (false, false);
    assert_eq!(ap3(lax), [PlanError::NotLatching(at)]);
    assert_eq!(ap3(|p| p.latching = false), [], "explicitly allowed");
    let stranger = Action {
        output: OutputIndex(9),
        mode: ActionMode::Follow,
    };
    assert_eq!(
        mistakes(|plan| plan.set_points[1].actions.push(stranger).unwrap()),
        [PlanError::UnknownOutput(at)]
    );
    assert_eq!(
        mistakes(|plan| plan.cells[2].kind = 7),
        [
            PlanError::MixedKinds(SetPointIndex(0)),
            PlanError::MixedKinds(at)
        ]
    );
}

#[test]
fn stages_must_rise_in_the_direction_of_danger() {
    let (lower, higher) = (SetPointIndex(0), SetPointIndex(1));
    let swapped = |plan: &mut TestPlan| {
        plan.set_points[0].quantity = Quantity::Direct;
        plan.set_points[0].on = milli(150.001);
    };
    assert_eq!(mistakes(swapped), [PlanError::StageOrder { lower, higher }]);
    let falling = |on: f64| {
        move |plan: &mut TestPlan| {
            for set_point in &mut plan.set_points {
                set_point.direction = Direction::Falling;
                set_point.quantity = Quantity::Direct;
            }
            plan.set_points[0].on = milli(on);
        }
    };
    assert_eq!(
        mistakes(falling(149.0)),
        [PlanError::StageOrder { lower, higher }]
    );
    assert_eq!(mistakes(falling(160.0)), []);
}

#[test]
fn each_mistake_of_outputs_and_supply() {
    let at = OutputIndex(1);
    assert_eq!(
        mistakes(|p| p.outputs[1].pin = 0),
        [PlanError::NoSuchPin(at)]
    );
    assert_eq!(
        mistakes(|p| p.outputs[1].pin = 10),
        [PlanError::NoSuchPin(at)]
    );
    assert_eq!(
        mistakes(|p| p.outputs[1].pin = 1),
        [PlanError::PinTwice(at)]
    );
    assert_eq!(
        mistakes(|p| p.outputs[1].board = Some(BoardIndex(1))),
        [PlanError::NoSuchPin(at)]
    );
    let stage = Function::Stage {
        zone: ZoneIndex(1),
        stage: 1,
    };
    assert_eq!(
        mistakes(|p| p.outputs[1].function = stage),
        [PlanError::OutputZone(at)]
    );
    assert_eq!(
        mistakes(|p| p.outputs[1].function = Function::Healthy),
        [PlanError::HealthyInUse(SetPointIndex(0))]
    );
    assert_eq!(
        mistakes(|p| {
            p.set_points[0].actions.clear();
            p.outputs[0].function = Function::Healthy;
            p.outputs[1].function = Function::Healthy;
        }),
        [PlanError::HealthyTwice(at)]
    );
    for table in [
        [(12_000, 0), (12_000, 1000)],
        [(12_000, 900), (13_000, 100)],
    ] {
        let table = table.map(|(mv, soc)| (MilliVolt(mv), PerMille(soc)));
        let supply = SupplyPlan {
            table: Some(Vec::from(table).into_iter().collect()),
            ..supply()
        };
        assert_eq!(
            mistakes(|p| p.supply = Some(supply)),
            [PlanError::ChargeTable]
        );
    }
}

fn supply() -> SupplyPlan {
    SupplyPlan {
        chemistry: crate::power::Chemistry::Agm,
        cells: 6,
        capacity_mah: 7_200,
        r_internal_mohm: 0,
        min_soc: PerMille(200),
        load_ma: 450,
        mains_fault: true,
        table: None,
        test_every_days: None,
    }
}
