//! The station allocates nothing, ever: proved by counting what the thread asks of the allocator.
//!
//! A test binary of its own, because there is one global allocator a program.
#![allow(clippy::unwrap_used)]
// A `GlobalAlloc` cannot be written without it; this one only counts and passes on.
#![allow(unsafe_code)]

use leitstand_core::gas::plan::*;
use leitstand_core::gas::*;
use leitstand_core::machine::Machine;
use leitstand_core::time::{Duration, Instant};
use leitstand_core::units::Concentration;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// 32 cells in 8 zones with 32 set points: the site of the step's time budget.
fn plan() -> SitePlan {
    let ppm = |whole: i32| Concentration::from_milli(whole * 1000);
    let mut plan = SitePlan::new();
    plan.buses = 4;
    for zone in 0..8 {
        let cells = CellSet::of((0..4).map(|at| CellIndex(4 * zone + at)));
        for _ in 0..4 {
            let mut cell = CellPlan::new(ppm(0), ppm(300));
            cell.bus = Some(BusIndex(zone / 2));
            plan.cells.push(cell).unwrap();
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
            let set_point = SetPointPlan {
                zone: ZoneIndex(zone),
                stage,
                cells,
                quantity,
                direction: Direction::Rising,
                on: ppm(on),
                hysteresis: ppm(5),
                on_delay: Duration::ZERO,
                off_delay: Duration::from_secs(10),
                latching: stage == 3,
                allow_non_latching: false,
                vote_k: 1,
                actions: [Action {
                    output,
                    mode: ActionMode::Follow,
                }]
                .into_iter()
                .collect(),
            };
            plan.set_points.push(set_point).unwrap();
        }
    }
    plan
}

/// An hour at 1 Hz with alarms, faults, commands, images and saving.
fn live(station: &mut SiteStation, buffer: &mut [u8]) -> u64 {
    let mut events = 0;
    for second in 1..=3600_u64 {
        let now = Instant::from_secs(second);
        for cell in 0..32_u8 {
            let wave = (second as i32 * 37 + i32::from(cell) * 911) % 220_000;
            let reading = match (second + u64::from(cell)) % 97 {
                0..=5 => Reading::Failed(PollFailure::Timeout),
                6 => Reading::Reported(FaultCode::AdcRail),
                _ => Reading::Value(Concentration::from_milli(wave)),
            };
            station
                .step(
                    now,
                    Input::Reading {
                        cell: CellIndex(cell),
                        reading,
                    },
                )
                .unwrap();
            while station.poll_output().is_some() {
                events += 1;
            }
        }
        let command = match second % 60 {
            10 => Some(Command::AcknowledgeAll),
            20 => Some(Command::OneButton),
            30 => Some(Command::Silence),
            40 => Some(Command::Inhibit {
                cell: CellIndex(3),
                span: Duration::from_secs(9),
            }),
            _ => None,
        };
        if let Some(command) = command {
            station.step(now, Input::Command(command)).unwrap();
        }
        station.handle_timeout(now);
        while station.poll_output().is_some() {
            events += 1;
        }
        if second % 60 == 0 {
            assert!(station.save(buffer).unwrap() > 0);
        }
    }
    events
}

#[test]
fn a_station_allocates_nothing() {
    let builder = std::thread::Builder::new().stack_size(16 << 20);
    let (events, allocations) = builder
        .spawn(|| {
            let mut station = Box::new(SiteStation::new(&plan(), Instant::ZERO));
            let mut buffer = vec![0; memory::SAVE_BYTES_MAX];
            let before = COUNT.get();
            let events = live(&mut station, &mut buffer);
            (events, COUNT.get() - before)
        })
        .unwrap()
        .join()
        .unwrap();
    assert!(events > 1_000, "something happened: {events} events");
    assert_eq!(allocations, 0);
}

#[test]
fn the_counter_counts() {
    let before = COUNT.get();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(COUNT.get() - before, 1);
}
