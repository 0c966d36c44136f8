//! The station step for 32 cells, 8 zones, 32 set points: time and instructions, beside the physical floor.
//!
//! `cargo bench -p leitstand-tests --bench station`. One *reading* is one `step` with one poll of one cell; one
//! *second* is what a site at 1 Hz does in a second: 32 readings and the tick with its deadlines. A reading is
//! measured on a quiet site (the usual case) and a second also on a site where alarms come and go.
//!
//! The floor of a reading is measured, too: it must change the cell's newest value and sample, the sums of five
//! windows, and one bucket, which are 7 cache lines, so nothing can be faster than to load, add to and store
//! 7 cache lines at pseudo-random places of a block as large as the station. The floor of a second is 32 of them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use leitstand_core::gas::plan::*;
use leitstand_core::gas::*;
use leitstand_core::machine::Machine;
use leitstand_core::time::{Duration, Instant};
use leitstand_core::units::Concentration;
use std::hint::black_box;
use std::process::Command as Process;
use std::time::Instant as Wall;

const CELLS: u8 = 32;
const FLOOR_LINES: usize = 7;

fn plan() -> SitePlan {
    let ppm = |whole: i32| Concentration::from_milli(whole * 1000);
    let mut plan = SitePlan::new();
    for zone in 0..8 {
        let cells = CellSet::of((0..4).map(|at| CellIndex(4 * zone + at)));
        for _ in 0..4 {
            plan.cells.push(CellPlan::new(ppm(0), ppm(300))).unwrap();
        }
        plan.zones
            .push(ZonePlan {
                cells,
                loss_stage: 1,
            })
            .unwrap();
        let average = Quantity::Average(900);
        let limits = [
            (1, average, 30),
            (2, average, 60),
            (2, Quantity::Direct, 100),
            (3, Quantity::Direct, 150),
        ];
        for (stage, quantity, on) in limits {
            let output = OutputIndex(plan.outputs.len() as u8);
            plan.outputs
                .push(OutputPlan::new(OutputKind::Relay, 1))
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
                    actions: [Action {
                        output,
                        mode: ActionMode::Follow,
                    }]
                    .into_iter()
                    .collect(),
                })
                .unwrap();
        }
    }
    plan
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Air {
    /// Around 5 ppm.
    Quiet,
    /// Through all limits and back, each cell at its own time.
    Alarms,
}

impl Air {
    fn at(self, second: u64, cell: u8) -> Concentration {
        let phase = second as i32 + i32::from(cell) * 17;
        Concentration::from_milli(match self {
            Self::Quiet => 5_000 + phase * 37 % 900,
            Self::Alarms => phase % 120 * 1_500,
        })
    }
}

struct Site {
    station: Box<SiteStation>,
    second: u64,
    events: u64,
}

impl Site {
    fn new() -> Self {
        Self {
            station: Box::new(SiteStation::new(&plan(), Instant::ZERO)),
            second: 0,
            events: 0,
        }
    }

    fn drain(&mut self) {
        while let Some(event) = self.station.poll_output() {
            black_box(event);
            self.events += 1;
        }
    }

    fn second(&mut self, air: Air) {
        self.second += 1;
        let now = Instant::from_secs(self.second);
        for cell in 0..CELLS {
            let reading = Reading::Value(air.at(self.second, cell));
            self.station
                .step(
                    now,
                    Input::Reading {
                        cell: CellIndex(cell),
                        reading,
                    },
                )
                .unwrap();
            self.drain();
        }
        self.station.handle_timeout(now);
        self.drain();
    }
}

/// The child whose instructions are counted.
fn child(air: Air, seconds: u64) {
    let mut site = Site::new();
    for _ in 0..seconds {
        site.second(air);
    }
    black_box(site.events);
}

/// User instructions of one run of the child.
fn instructions(air: &str, seconds: u64) -> Result<u64, String> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Process::new("perf")
        .args(["stat", "-x,", "-e", "instructions:u", "--"])
        .arg(&me)
        .args(["--child", air, &seconds.to_string()])
        .output()
        .map_err(|_| "`perf` is not installed".to_string())?;
    let text = String::from_utf8_lossy(&output.stderr);
    let counted = text
        .lines()
        .find_map(|line| line.split(',').next()?.parse().ok());
    counted.map_or_else(|| by_callgrind(&me, air, seconds), Ok)
}

/// Slower, but works where the processor's counters are hidden, as in most virtual machines.
fn by_callgrind(me: &std::path::Path, air: &str, seconds: u64) -> Result<u64, String> {
    let output = Process::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--main-stacksize=16000000",
        ])
        .arg(me)
        .args(["--child", air, &seconds.to_string()])
        .output()
        .map_err(|_| {
            "no hardware counters for `perf`, and `valgrind` is not installed".to_string()
        })?;
    let text = String::from_utf8_lossy(&output.stderr);
    let counted = text
        .lines()
        .find_map(|line| line.split("Collected : ").nth(1)?.trim().parse().ok());
    counted.ok_or_else(|| "neither `perf` nor `valgrind` counted anything".to_string())
}

/// The best of several rounds, in ns an item: disturbance only ever adds.
fn best(rounds: u32, items: u64, mut round: impl FnMut()) -> f64 {
    let once = |round: &mut dyn FnMut()| {
        let began = Wall::now();
        round();
        began.elapsed().as_nanos() as f64 / items as f64
    };
    (0..rounds)
        .map(|_| once(&mut round))
        .fold(f64::INFINITY, f64::min)
}

/// ns to load, change and store the lines that one reading must change.
fn floor() -> f64 {
    let mut block = vec![[0_u64; 8]; size_of::<SiteStation>() / 64];
    let lines = block.len();
    let readings = 200_000;
    best(7, readings, || {
        let mut at = 1_usize;
        for reading in 0..readings {
            for line in 0..FLOOR_LINES {
                at = (at * 6_364_136 + 1_442_695) % lines;
                for word in &mut block[(at + line) % lines] {
                    *word = word.wrapping_add(reading);
                }
            }
        }
        black_box(&mut block);
    })
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--child") {
        let air = if args[at + 1] == "alarms" {
            Air::Alarms
        } else {
            Air::Quiet
        };
        let seconds = args[at + 2].parse().unwrap();
        let run = move || child(air, seconds);
        std::thread::Builder::new()
            .stack_size(16 << 20)
            .spawn(run)
            .unwrap()
            .join()
            .unwrap();
        return;
    }
    std::thread::Builder::new()
        .stack_size(16 << 20)
        .spawn(measure)
        .unwrap()
        .join()
        .unwrap();
}

fn measure() {
    println!(
        "station step: {CELLS} cells, 8 zones, 32 set points, {} kB of state",
        size_of::<SiteStation>() / 1000
    );
    let floor = floor();
    println!(
        "floor of a reading: {floor:.0} ns (load, change, store {FLOOR_LINES} cache lines of 64 bytes)"
    );
    for (name, air) in [("quiet", Air::Quiet), ("alarms", Air::Alarms)] {
        let mut site = Site::new();
        for _ in 0..1_000 {
            site.second(air);
        }
        let before = site.events;
        let seconds = 2_000;
        let second = best(7, seconds, || (0..seconds).for_each(|_| site.second(air)));
        let events = (site.events - before) as f64 / (7 * seconds) as f64;
        println!(
            "{name}: a second {:.2} us ({:.1} x floor), of it a reading {:.0} ns; {events:.2} events a second",
            second / 1000.0,
            second / (floor * f64::from(CELLS)),
            second / f64::from(CELLS)
        );
        // The difference of two runs leaves out the start.
        match (instructions(name, 1_000), instructions(name, 3_000)) {
            (Ok(short), Ok(long)) => {
                let second = (long - short) as f64 / 2_000.0;
                println!(
                    "{name}: a second {second:.0} instructions, a reading {:.0}",
                    second / f64::from(CELLS)
                );
            }
            (Err(why), _) | (_, Err(why)) => println!("{name}: instructions not counted: {why}"),
        }
    }
}
