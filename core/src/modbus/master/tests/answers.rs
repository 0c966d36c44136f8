//! What is taken for an answer and what never is.

use super::super::super::frame::{Address, Answer, Table, Words};
use super::super::*;
use super::world::*;
use std::vec;
use std::vec::Vec;

fn example_reply() -> Vec<u8> {
    let example = super::super::super::frame::tests::RA_GAS_EXAMPLE;
    let data: Vec<u8> = example.iter().flat_map(|word| word.to_be_bytes()).collect();
    let answer = Answer::Read {
        table: Table::Holding,
        data: &data,
    };
    answer.write(Address::new(247).unwrap()).to_vec()
}

/// One device at 247 that answers its n-th request with the n-th entry, then honestly.
fn scripted(mut script: Vec<Vec<(u64, Vec<u8>)>>, retries: u8) -> World {
    let config = Bus {
        retries,
        ..bus(&[device(247, &[holding(0, 30)])])
    };
    script.reverse();
    World::new(config, move |_| {
        script.pop().unwrap_or_else(|| at_once(example_reply()))
    })
}

#[test]
fn the_example_reply_is_taken() {
    let mut world = scripted(vec![], 0);
    world.run_to(200);
    assert_eq!(world.counters(0).good, 1);
    let words: Vec<u16> = Words::new(&world.answers[0].3).unwrap().iter().collect();
    assert_eq!(words, super::super::super::frame::tests::RA_GAS_EXAMPLE);
}

#[test]
fn every_flipped_bit_is_counted_as_crc_and_changes_no_value() {
    for bit in 0..65 * 8 {
        let mut reply = example_reply();
        reply[bit / 8] ^= 1 << (bit % 8);
        let mut world = scripted(vec![at_once(reply)], 0);
        world.run_to(900);
        assert!(world.answers.is_empty(), "bit {bit}");
        let expected = Counters {
            crc: 1,
            ..Counters::default()
        };
        assert_eq!(world.counters(0), expected, "bit {bit}");
        world.run_to(1200);
        assert_eq!(
            world.counters(0).good,
            1,
            "bit {bit}: the next poll is good"
        );
    }
}

#[test]
fn every_flipped_bit_is_repaired_by_a_retry_of_the_same_poll() {
    for bit in 0..65 * 8 {
        let mut reply = example_reply();
        reply[bit / 8] ^= 1 << (bit % 8);
        let mut world = scripted(vec![at_once(reply)], 2);
        world.run_to(900);
        let counters = world.counters(0);
        assert_eq!(
            (counters.crc, counters.good, counters.recovered),
            (1, 1, 1),
            "bit {bit}"
        );
        assert_eq!(world.state(0), DeviceState::Good);
    }
}

#[test]
fn every_lost_byte_is_counted_as_length_and_changes_no_value() {
    for lost in 0..65 {
        let mut reply = example_reply();
        reply.remove(lost);
        let mut world = scripted(vec![at_once(reply)], 0);
        world.run_to(900);
        assert!(world.answers.is_empty(), "byte {lost}");
        assert_eq!(world.counters(0).length, 1, "byte {lost}");
    }
}

#[test]
fn every_half_frame_is_counted_as_length() {
    for cut in 1..65 {
        let mut world = scripted(vec![at_once(example_reply()[..cut].to_vec())], 0);
        world.run_to(900);
        assert_eq!(
            (world.counters(0).length, world.answers.len()),
            (1, 0),
            "cut at {cut}"
        );
    }
}

#[test]
fn an_answer_in_pieces_is_one_answer() {
    let pieces = example_reply()
        .chunks(7)
        .enumerate()
        .map(|(n, piece)| (10 + 9 * n as u64, piece.to_vec()))
        .collect();
    let mut world = scripted(vec![pieces], 0);
    world.run_to(900);
    assert_eq!(world.counters(0).good, 1);
}

#[test]
fn a_pause_within_a_frame_ends_it() {
    let reply = example_reply();
    let pieces = vec![(20, reply[..30].to_vec()), (60, reply[30..].to_vec())];
    let mut world = scripted(vec![pieces], 0);
    world.run_to(900);
    assert_eq!((world.counters(0).length, world.counters(0).good), (1, 0));
}

#[test]
fn line_noise_before_an_answer_is_forgiven_and_counted() {
    let mut reply = vec![0x00, 0xFF];
    reply.extend(example_reply());
    let mut world = scripted(vec![at_once(reply)], 0);
    world.run_to(900);
    assert_eq!(world.counters(0).good, 1);
    assert_eq!(world.master.strays().garbage_bytes, 2);
}

#[test]
fn an_echo_is_counted_and_the_answer_behind_it_taken() {
    let config = bus(&[device(1, &[holding(0, 2)])]);
    let mut world = World::new(config, |request| {
        let mut both = request.to_vec();
        both.extend(honest(request));
        at_once(both)
    });
    world.run_to(900);
    assert_eq!((world.counters(0).good, world.master.strays().echo), (1, 1));
}

#[test]
fn an_echo_alone_is_no_answer() {
    let config = Bus {
        retries: 0,
        ..bus(&[device(1, &[holding(0, 2)])])
    };
    let mut world = World::new(config, |request| at_once(request.to_vec()));
    world.run_to(990);
    assert_eq!((world.counters(0).timeout, world.counters(0).good), (1, 0));
    assert_eq!(world.master.strays().echo, 1);
}

#[test]
fn on_a_bus_that_echoes_a_write_is_not_confirmed_by_its_own_echo() {
    let config = bus(&[device(1, &[holding(0, 2)])]);
    let mut world = World::new(config, |request| {
        let mut bytes = request.to_vec();
        bytes.extend(honest(request));
        at_once(bytes)
    });
    world.run_to(500);
    let write = Write::Register {
        register: 3,
        value: 9,
    };
    world.handle(Input::Write {
        device: DeviceIndex(0),
        token: 1,
        write,
    });
    world.run_to(3000);
    assert!(
        world
            .log
            .contains("Written { device: DeviceIndex(0), token: 1, result: Err(Timeout) }"),
        "{}",
        world.log
    );
}

#[test]
fn the_late_answer_of_another_slave_is_never_taken() {
    // Slave 1 answers each request so late that the bytes arrive while slave 2 is asked.
    let devices = [device(1, &[holding(0, 30)]), device(2, &[holding(0, 30)])];
    let config = Bus {
        retries: 0,
        ..bus(&devices)
    };
    let mut world = World::new(config, |request| {
        let delay = if request[0] == 1 { 340 } else { 10 };
        let reply = honest(request);
        vec![(delay + taken(&reply), reply)]
    });
    world.run_to(30_000);
    assert!(world.answers_of(1) > 20);
    for (_, device, _, data) in &world.answers {
        assert!(data.iter().step_by(2).all(|slave| *slave == device + 1));
    }
    assert!(world.master.strays().foreign >= 3);
}

#[test]
fn a_late_answer_of_one_slave_meets_no_other_question() {
    // Both reads have the same shape, so only time can tell their answers apart. Every fifth request is
    // answered so late that the answer is taken for its retry; the retry's own answer then comes when the other
    // question would be asked.
    let config = bus(&[device(1, &[holding(0, 2), holding(100, 2)])]);
    let mut count = 0;
    let mut world = World::new(config, move |request| {
        count += 1;
        let late = count % 5 == 0;
        vec![(if late { 345 } else { 60 }, honest(request))]
    });
    world.run_to(60_000);
    assert!(world.counters(0).recovered > 10);
    for (_, _, read, data) in world.answers.iter().filter(|answer| answer.1 == 0) {
        assert_eq!(
            data[1],
            read * 100,
            "read {read} got registers from {}",
            data[1]
        );
    }
}

#[test]
fn a_wrong_slave_a_wrong_function_and_a_wrong_length_are_never_taken() {
    let wrong = |slave: u8, table, bytes: usize| {
        let data = vec![0xEE; bytes];
        let answer = Answer::Read { table, data: &data };
        at_once(answer.write(Address::new(slave).unwrap()).to_vec())
    };
    for reply in [
        wrong(246, Table::Holding, 60),
        wrong(247, Table::Input, 60),
        wrong(247, Table::Holding, 58),
        wrong(247, Table::Holding, 62),
    ] {
        let mut world = scripted(vec![reply], 0);
        world.run_to(900);
        assert!(world.answers.is_empty());
        assert_eq!(world.master.strays().foreign, 1);
        assert_eq!(world.counters(0).good, 0);
    }
}

#[test]
fn the_gap_before_a_request_is_never_short() {
    // Answers end at every phase; strays come in between.
    let devices: Vec<Device> = (1..=8)
        .map(|address| device(address, &[holding(0, 5)]))
        .collect();
    let mut count = 0;
    let mut world = World::new(bus(&devices), move |request| {
        count += 1;
        let reply = honest(request);
        let end = 4 + count % 9 + taken(&reply);
        match count % 5 {
            0 => vec![],
            1 => vec![(end, reply), (end + 3, vec![0x55])],
            _ => vec![(end, reply)],
        }
    });
    let mut last_byte = Instant::ZERO;
    for step in 1..20_000 {
        world.run_to(step);
        for (started, bytes) in world.sent.drain(..) {
            assert!(
                started >= last_byte + span(5),
                "{started:?} after {last_byte:?}"
            );
            last_byte = started + super::super::super::line::Line::RA_GAS.span(bytes.len());
        }
        for (at, ..) in world.answers.drain(..) {
            last_byte = last_byte.max(at);
        }
    }
    assert!(world.counters(0).good > 15);
}

#[test]
fn a_babbling_line_fails_polls_and_recovers() {
    let mut world = World::new(bus(&[device(1, &[holding(0, 2)])]), |request| {
        at_once(honest(request))
    });
    for at in 0..10_000 {
        world.run_to(at);
        world.handle(Input::Received(&[0xAA]));
    }
    assert_eq!(world.counters(0).good, 0);
    assert!(world.counters(0).length >= 9, "{:?}", world.counters(0));
    assert!(world.master.strays().garbage_bytes > 9_000);
    world.run_to(25_000);
    assert!(world.counters(0).good > 5);
}
