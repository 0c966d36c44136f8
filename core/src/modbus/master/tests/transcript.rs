//! What goes over the line, in order and with times.

use super::super::*;
use super::world::*;
use expect_test::{Expect, expect};

fn check(world: &World, expected: Expect) {
    expected.assert_eq(&world.log);
}

#[test]
fn one_device_one_second() {
    let mut world = World::new(bus(&[device(247, &[holding(0, 30)])]), |request| {
        at_once(honest(request))
    });
    world.run_to(2200);
    check(
        &world,
        expect![[r#"
            5 > F7 03 00 00 00 1E D1 54
            92 answer 0.0
            92 State { device: DeviceIndex(0), state: Good }
            1005 > F7 03 00 00 00 1E D1 54
            1092 answer 0.0
            2005 > F7 03 00 00 00 1E D1 54
            2092 answer 0.0
        "#]],
    );
}

#[test]
fn two_retries_then_a_failed_poll() {
    let mut world = World::new(bus(&[device(1, &[holding(0, 2)])]), |_| std::vec![]);
    world.run_to(1100);
    check(
        &world,
        expect![[r#"
            5 > 01 03 00 00 00 02 C4 0B
            335 > 01 03 00 00 00 02 C4 0B
            665 > 01 03 00 00 00 02 C4 0B
            995 Failure { device: DeviceIndex(0), kind: Timeout }
            995 State { device: DeviceIndex(0), state: Retrying }
        "#]],
    );
}

#[test]
fn busy_is_no_fault_and_is_not_repeated_at_once() {
    let busy = std::vec![1, 0x83, 6, 0xC1, 0x32];
    let mut world = World::new(bus(&[device(1, &[holding(0, 2)])]), move |_| {
        at_once(busy.clone())
    });
    world.run_to(1100);
    check(
        &world,
        expect![[r#"
            5 > 01 03 00 00 00 02 C4 0B
            30 Busy { device: DeviceIndex(0) }
            30 State { device: DeviceIndex(0), state: Busy }
            1005 > 01 03 00 00 00 02 C4 0B
            1030 Busy { device: DeviceIndex(0) }
        "#]],
    );
    assert_eq!(world.counters(0).busy, 2);
    assert_eq!(world.counters(0).exception, 2);
}

#[test]
fn another_exception_fails_the_poll_and_never_leads_to_a_probe() {
    let refuse = std::vec![1, 0x83, 2, 0xC0, 0xF1];
    let mut world = World::new(bus(&[device(1, &[holding(0, 2)])]), move |_| {
        at_once(refuse.clone())
    });
    world.run_to(1100);
    check(
        &world,
        expect![[r#"
            5 > 01 03 00 00 00 02 C4 0B
            30 Failure { device: DeviceIndex(0), kind: Exception(2) }
            30 State { device: DeviceIndex(0), state: Retrying }
            1005 > 01 03 00 00 00 02 C4 0B
            1030 Failure { device: DeviceIndex(0), kind: Exception(2) }
        "#]],
    );
    world.run_to(60_000);
    assert_eq!(world.state(0), DeviceState::Retrying);
    assert_eq!(world.counters(0).exception, 60);
}

#[test]
fn a_lost_port_fails_what_was_under_way_and_starts_afresh() {
    let mut world = World::new(bus(&[device(1, &[holding(0, 2)])]), |request| {
        at_once(honest(request))
    });
    world.run_to(1010);
    world.handle(Input::Write {
        device: DeviceIndex(0),
        token: 7,
        write: Write::Register {
            register: 14,
            value: 920,
        },
    });
    world.handle(Input::Closed);
    assert_eq!(world.master.poll_timeout(), None);
    world.run_to(5000);
    world.handle(Input::Opened);
    world.run_to(5100);
    check(
        &world,
        expect![[r#"
            5 > 01 03 00 00 00 02 C4 0B
            34 answer 0.0
            34 State { device: DeviceIndex(0), state: Good }
            1005 > 01 03 00 00 00 02 C4 0B
            1010 Failure { device: DeviceIndex(0), kind: Timeout }
            1010 Written { device: DeviceIndex(0), token: 7, result: Err(Timeout) }
            1010 State { device: DeviceIndex(0), state: Waiting }
            5005 > 01 03 00 00 00 02 C4 0B
            5034 answer 0.0
            5034 State { device: DeviceIndex(0), state: Good }
        "#]],
    );
}

#[test]
fn one_off_writes_go_before_the_next_poll_and_are_confirmed() {
    let mut world = World::new(bus(&[device(1, &[holding(0, 2)])]), |request| {
        if request[1] == 6 {
            at_once(request.to_vec())
        } else {
            at_once(honest(request))
        }
    });
    world.run_to(500);
    world.handle(Input::Write {
        device: DeviceIndex(0),
        token: 7,
        write: Write::Register {
            register: 14,
            value: 920,
        },
    });
    world.handle(Input::Write {
        device: DeviceIndex(9),
        token: 8,
        write: Write::Diagnostic { sub: 1, data: 0 },
    });
    world.run_to(999);
    check(
        &world,
        expect![[r#"
            5 > 01 03 00 00 00 02 C4 0B
            34 answer 0.0
            34 State { device: DeviceIndex(0), state: Good }
            500 > 01 06 00 0E 03 98 E9 53
            500 Written { device: DeviceIndex(9), token: 8, result: Err(Timeout) }
            528 Written { device: DeviceIndex(0), token: 7, result: Ok(()) }
        "#]],
    );
}
