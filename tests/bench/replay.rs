//! A day of 32 cells at 1 Hz through `replay`: reading the file, the station's step, the transcript.
//!
//! Printed beside it is the floor of this machine: reading the same file and doing nothing but splitting it.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::io::BufRead;
use std::time::Instant as Watch;

use leitstand_core::gas::plan::{
    Action, ActionMode, CellPlan, Direction, OutputKind, OutputPlan, Quantity, SetPointPlan,
    ZonePlan,
};
use leitstand_core::gas::{CellIndex, CellSet, OutputIndex, SitePlan, ZoneIndex};
use leitstand_core::time::Duration;
use leitstand_core::units::Concentration;
use leitstand_gas::replay::{Names, Style, replay};

const CELLS: u8 = 32;
const ZONES: u8 = 8;
const DAY_S: u32 = 86_400;

/// 8 zones of 4 cells, each with three averaged and one direct set point: 32 set points.
fn plan() -> SitePlan {
    let ppm = |value: i32| Concentration::from_milli(value * 1000);
    let mut plan = SitePlan::new();
    for _ in 0..CELLS {
        plan.cells.push(CellPlan::new(ppm(0), ppm(300))).unwrap();
    }
    for zone in 0..ZONES {
        let cells = CellSet::of((zone * 4..zone * 4 + 4).map(CellIndex));
        plan.zones
            .push(ZonePlan {
                cells,
                loss_stage: 1,
            })
            .unwrap();
        for (stage, quantity, on) in [
            (1, Quantity::Average(900), 30),
            (2, Quantity::Average(900), 60),
            (2, Quantity::Average(1800), 80),
            (3, Quantity::Direct, 150),
        ] {
            let output = plan.outputs.len() as u8;
            plan.outputs
                .push(OutputPlan::new(OutputKind::Relay, output + 1))
                .unwrap();
            plan.set_points
                .push(SetPointPlan {
                    zone: ZoneIndex(zone),
                    stage,
                    cells,
                    quantity,
                    direction: Direction::Rising,
                    on: ppm(on),
                    hysteresis: ppm(5),
                    on_delay: Duration::ZERO,
                    off_delay: Duration::ZERO,
                    latching: stage == 3,
                    allow_non_latching: false,
                    vote_k: 1,
                    actions: std::iter::once(Action {
                        output: OutputIndex(output),
                        mode: ActionMode::Follow,
                    })
                    .collect(),
                })
                .unwrap();
        }
    }
    plan
}

/// Every cell follows its own slow triangle between 0 and 160 ppm, so that alarms come and go all day.
fn day(cells: &[String]) -> String {
    let mut csv = String::from("t_s,cell,value\n");
    for t in 0..DAY_S {
        for (at, cell) in (0u32..).zip(cells) {
            let phase = (t + at * 337) % 3600;
            let value = if phase < 1800 { phase } else { 3600 - phase } * 160 / 180;
            writeln!(csv, "{t},{cell},{}.{}", value / 10, value % 10).unwrap();
        }
    }
    csv
}

fn main() {
    let plan = plan();
    let ids = |prefix: &str, count: usize| -> Vec<String> {
        (0..count).map(|at| format!("{prefix}_{at}")).collect()
    };
    let (cells, zones) = (ids("co", CELLS.into()), ids("zone", ZONES.into()));
    let (set_points, outputs) = (
        ids("sp", plan.set_points.len()),
        ids("out", plan.outputs.len()),
    );
    fn names(ids: &[String]) -> Vec<&str> {
        ids.iter().map(String::as_str).collect()
    }
    let names = Names {
        cells: names(&cells),
        zones: names(&zones),
        set_points: names(&set_points),
        outputs: names(&outputs),
    };
    let csv = day(&cells);
    let rows = DAY_S as usize * cells.len();

    let watch = Watch::now();
    let mut fields = 0usize;
    let mut line = Vec::new();
    let mut reader = csv.as_bytes();
    while reader.read_until(b'\n', &mut line).unwrap() > 0 {
        fields += line.split(|byte| *byte == b',').count();
        line.clear();
    }
    let floor = watch.elapsed();
    assert_eq!(fields, (rows + 1) * 3);

    let watch = Watch::now();
    let mut transcript = Vec::new();
    replay(
        &plan,
        &names,
        csv.as_bytes(),
        &[],
        None,
        Style::Json,
        &mut transcript,
    )
    .unwrap();
    let took = watch.elapsed();
    let lines = transcript.iter().filter(|byte| **byte == b'\n').count();
    assert!(
        lines > 100,
        "the day must raise alarms, or it measures nothing"
    );

    println!(
        "replay: 24 h x {CELLS} cells at 1 Hz, {ZONES} zones, {} set points",
        plan.set_points.len()
    );
    println!("  rows              {rows:>10}   transcript lines {lines}");
    println!(
        "  total             {:>10.2} s  (goal 10 s)",
        took.as_secs_f64()
    );
    println!(
        "  per row           {:>10.0} ns",
        took.as_nanos() as f64 / rows as f64
    );
    println!("  floor: read+split {:>10.2} s", floor.as_secs_f64());
}
