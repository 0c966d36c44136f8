//! What holds for every order, repetition and loss.

use proptest::prelude::*;

use super::*;

proptest! {
    /// Every status of a known session is answered exactly once, in counter order.
    #[test]
    fn every_status_is_answered_exactly_once_in_counter_order(
        start in prop_oneof![Just(0u32), Just(u32::MAX - 3)],
        picks in proptest::collection::vec((1u32..60, 0usize..2), 0..300),
    ) {
        let devices = [device(1000, "test"), device(1000, "lamp")];
        let mut bench = Bench::new();
        bench.sequence("s1", &devices[..1], start);
        bench.take_log();
        for (n, which) in picks {
            // A device that was never connected is answered, too.
            bench.status(start.wrapping_add(n), &devices[which]);
        }
        for n in 1..60 {
            bench.status(start.wrapping_add(n), &devices[0]);
        }
        let answered: Vec<u32> = bench.log.lines()
            .filter_map(|l| l.split_once("> statusResponse #")?.1.parse().ok())
            .collect();
        let all: Vec<u32> = (1..60).map(|n| start.wrapping_add(n)).collect();
        prop_assert_eq!(answered, all);
    }

    /// Whatever arrives: no panic, numbers of commands without a gap, never an acknowledgement for what was refused.
    #[test]
    fn whatever_arrives_command_numbers_have_no_gap_and_refused_is_not_acked(
        steps in proptest::collection::vec((0u8..9, 0u32..6, 0usize..3), 0..200),
    ) {
        let devices = [device(1000, "a"), device(1000, "b"), device(2, "c")];
        let states = [DeviceState::Connecting, DeviceState::Running, DeviceState::Disconnect];
        let answers = [Answer::Ok, Answer::DeviceNotConnected, Answer::InvalidCommand];
        let mut bench = Bench::new();
        let mut next_status = 0;
        let mut log = String::new();
        for (what, n, which) in steps {
            let id = ["s1", "s2"][(n & 1) as usize];
            match what {
                0 => bench.connect(id, &devices[..=which]),
                1 | 2 => {
                    let session = bench.car.snapshot().session.map(|s| s.0.to_owned());
                    let id = session.unwrap_or_else(|| id.into());
                    bench.status_of(&id, states[which], next_status + n / 3, &devices[which], None);
                    next_status += 1;
                }
                3 | 4 => {
                    let open = bench.car.ledger.unanswered().map_or(n, |(first, _)| first);
                    let session = bench.car.snapshot().session.map(|s| s.0.to_owned());
                    let id = session.unwrap_or_else(|| id.into());
                    bench.answer(&id, open + n / 4, answers[which]);
                }
                5 => bench.offer(1000, &devices[which], "x"),
                6 => bench.wait(f64::from(n)),
                7 => bench.feed(if n == 0 { Input::Offline } else { Input::Online }),
                _ => bench.raw(&[n as u8, which as u8, 7], false),
            }
            log.push_str(&bench.take_log());
        }
        let numbers = log.lines().filter_map(|l| l.split_once("> command #")?.1.split(' ').next());
        for (expected, number) in numbers.enumerate() {
            prop_assert_eq!(number, expected.to_string());
        }
        let ids = |word: &str| -> Vec<String> {
            let word = format!("fact: {word} ");
            log.lines().filter_map(|l| l.split_once(&word)?.1.split(' ').next().map(Into::into)).collect()
        };
        let (sent, acked) = (ids("sent"), ids("acked"));
        let refused = ids("refused");
        let once: std::collections::BTreeSet<_> = sent.iter().collect();
        prop_assert_eq!(once.len(), sent.len(), "sent once");
        prop_assert!(acked.iter().all(|id| sent.contains(id) && !refused.contains(id)));
    }
}
