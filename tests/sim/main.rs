//! Seeded sites in virtual time: seeds in, invariants out.
//!
//! - [`fed_with_readings`]: the station is given poll results and failures directly. 9 800 of the 10 000 default
//!   site-hours.
//! - [`over_bytes`]: the same over real Modbus RTU bytes, through the bus master and the sensors of the virtual
//!   site on a 9600 baud line, with every fault that a line can have. 200 site-hours.
//!
//! `LEITSTAND_SIM_HOURS=100000` simulates more, `LEITSTAND_SEED=17` replays one site; a failure prints the
//! command that does.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod bytes;
mod model;
mod rng;
mod site;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant as Wall;

/// Hours that each seed lives.
const HOURS_EACH: u64 = 50;
/// Of a hundred hours so many go over bytes.
const BYTES_PERCENT: u64 = 2;

fn hours() -> u64 {
    std::env::var("LEITSTAND_SIM_HOURS")
        .ok()
        .and_then(|hours| hours.parse().ok())
        .unwrap_or(10_000)
}

/// Runs `site` for every seed on all processors; a failing seed prints how to replay it.
fn run(test: &str, hours: u64, each: u64, site: fn(u64, u64) -> Tally) {
    let one = std::env::var("LEITSTAND_SEED")
        .ok()
        .and_then(|seed| seed.parse::<u64>().ok());
    let (first, last) = one.map_or((1, hours.div_ceil(each)), |seed| (seed, seed));
    let next = AtomicU64::new(first);
    let began = Wall::now();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let tally = std::thread::scope(|scope| {
        let work = || {
            let mut tally = Tally::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed > last {
                    return Ok(tally);
                }
                match catch_unwind(AssertUnwindSafe(|| site(seed, each))) {
                    Ok(one) => tally = tally.plus(one),
                    Err(_) => return Err(seed),
                }
            }
        };
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let builder = std::thread::Builder::new().stack_size(8 << 20);
                builder.spawn_scoped(scope, work).unwrap()
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .try_fold(Tally::default(), |sum, one: Result<Tally, u64>| {
                one.map(|one| sum.plus(one))
            })
    });
    match tally {
        Ok(tally) => println!(
            "sim {test}: {} site-hours, {} readings, {} alarms raised, {} cell faults, {} commands, {} restarts in {:.1} s",
            tally.hours,
            tally.readings,
            tally.raised,
            tally.faults,
            tally.commands,
            tally.restarts,
            began.elapsed().as_secs_f64()
        ),
        Err(seed) => panic!(
            "seed {seed} failed; replay: LEITSTAND_SEED={seed} cargo test -p leitstand-tests --test sim {test} -- --nocapture"
        ),
    }
}

/// What happened, so that a simulation in which nothing happens is noticed.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    hours: u64,
    readings: u64,
    raised: u64,
    faults: u64,
    commands: u64,
    restarts: u64,
}

impl Tally {
    fn plus(self, other: Self) -> Self {
        Self {
            hours: self.hours + other.hours,
            readings: self.readings + other.readings,
            raised: self.raised + other.raised,
            faults: self.faults + other.faults,
            commands: self.commands + other.commands,
            restarts: self.restarts + other.restarts,
        }
    }
}

#[test]
fn fed_with_readings() {
    let share = hours() * (100 - BYTES_PERCENT) / 100;
    run("fed_with_readings", share, HOURS_EACH, site::live);
}

#[test]
fn over_bytes() {
    let share = (hours() * BYTES_PERCENT / 100).max(1);
    run("over_bytes", share, 10, bytes::live);
}
