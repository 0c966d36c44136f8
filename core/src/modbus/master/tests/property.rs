//! Whatever comes over the line.

use super::super::super::frame::{Address, Answer, Table};
use super::super::*;
use super::world::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Arbitrary bytes at arbitrary times are never taken, and the master goes on afterwards.
    #[test]
    fn garbage_is_never_an_answer(
        junk in prop::collection::vec((0..400_u64, prop::collection::vec(any::<u8>(), 0..90)), 0..40),
    ) {
        let mut script: Vec<_> = junk.chunks(2).map(<[_]>::to_vec).collect();
        let healthy = script.len();
        let mut count = 0;
        let mut world = World::new(bus(&[device(1, &[holding(0, 4)]), device(2, &[holding(0, 4)])]), move |request| {
            count += 1;
            if count <= healthy {
                script.pop().unwrap_or_default()
            } else {
                at_once(honest(request))
            }
        });
        world.run_to(90_000);
        for (_, device, _, data) in &world.answers {
            let honest: Vec<u8> = (0..4).flat_map(|at| [device + 1, at]).collect();
            prop_assert_eq!(data, &honest);
        }
        prop_assert_eq!(world.state(0), DeviceState::Good);
        prop_assert_eq!(world.state(1), DeviceState::Good);
    }

    /// While every poll succeeds, if only at its last try and after the longest wait, no value is older than
    /// the configuration says.
    #[test]
    fn no_value_is_older_than_the_worst_age(
        periods in prop::collection::vec(50..2000_u64, 1..7),
        moods in prop::collection::vec((0..3_usize, 0..300_u64), 50),
    ) {
        let devices: Vec<Device> = periods.iter().enumerate().map(|(at, period)| Device {
            period: span(*period),
            ..device(at as u8 + 1, &[holding(0, 30), holding(200, 3)])
        }).collect();
        let mut tries = [0; 16];
        let mut turn = 0;
        let mut world = World::new(bus(&devices), move |request| {
            let slave = usize::from(request[0]);
            let (misses, delay) = moods[turn % moods.len()];
            if tries[slave] < misses {
                tries[slave] += 1;
                return vec![];
            }
            tries[slave] = 0;
            turn += 1;
            paced(delay, &honest(request))
        });
        world.run_to(60_000);
        for at in 0..periods.len() as u8 {
            let bound = world.master.bus().worst_age(DeviceIndex(at));
            let times: Vec<Instant> = world.answers.iter().filter(|a| a.1 == at && a.2 == 0).map(|a| a.0).collect();
            for pair in times.windows(2) {
                prop_assert!(pair[1] - pair[0] <= bound, "{:?} > {bound:?}", pair[1] - pair[0]);
            }
            prop_assert!(world.counters(at).good > 0);
            prop_assert!(world.state(at) != DeviceState::Probe);
        }
    }

    /// An early `handle_timeout` changes nothing.
    #[test]
    fn early_calls_are_harmless(extra in prop::collection::vec(1..1500_u64, 1..60)) {
        let run = |extra: &[u64]| {
            let mut count = 0;
            let mut world = World::new(bus(&[device(1, &[holding(0, 4)]), device(2, &[holding(0, 4)])]), move |request| {
                count += 1;
                if count % 4 == 0 { vec![(20, vec![1, 3, 9])] } else { at_once(honest(request)) }
            });
            let mut at = 0;
            for step in extra {
                at += step;
                world.run_to(at.min(20_000));
                world.master.handle_timeout(world.now);
                assert_eq!(world.master.poll_output(), None, "an early call did something");
            }
            world.run_to(20_000);
            world.log
        };
        prop_assert_eq!(run(&extra), run(&[20_000]));
    }
}

#[test]
fn an_answer_inside_another_slaves_answer_is_not_taken() {
    // The data of slave 2's late answer contains a perfect answer of slave 1.
    let inner = honest(&[1, 3, 0, 0, 0, 2]);
    let mut data = vec![0xAB; 5];
    data.extend(&inner);
    data.extend(vec![0xCD; 64 - data.len()]);
    let outer = Answer::Read {
        table: Table::Holding,
        data: &data,
    }
    .write(Address::new(2).unwrap())
    .to_vec();
    let config = Bus {
        retries: 0,
        ..bus(&[device(1, &[holding(0, 2)])])
    };
    let mut world = World::new(config, move |_| at_once(outer.clone()));
    world.run_to(900);
    assert!(world.answers.is_empty());
    assert_eq!(world.master.strays().foreign, 1);
}
