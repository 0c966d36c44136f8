//! Relay images: at once when they change, at every poll, read back.

use super::super::super::frame::{Address, Answer, Table};
use super::super::super::plan::{Plan, Read};
use super::super::*;
use super::world::*;
use expect_test::expect;
use std::cell::RefCell;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

fn module() -> Device {
    let coils = Read {
        table: Table::Coils,
        start: 0,
        count: 8,
    };
    Device {
        address: Address::new(34).unwrap(),
        plan: Plan::new(&[coils], 0).unwrap(),
        image: Some(Image { start: 0, count: 4 }),
        period: span(1000),
    }
}

/// A relay module at 34; everyone else keeps silent.
fn far(coils: Rc<RefCell<u8>>) -> impl FnMut(&[u8]) -> Vec<(u64, Vec<u8>)> {
    move |request| {
        let address = Address::new(request[0]).unwrap();
        let answer = match request {
            [34, 15, ..] => {
                *coils.borrow_mut() = request[7];
                Answer::WriteCoils { start: 0, count: 4 }.write(address)
            }
            [34, 1, ..] => Answer::Read {
                table: Table::Coils,
                data: &[*coils.borrow()],
            }
            .write(address),
            _ => return vec![],
        };
        at_once(answer.to_vec())
    }
}

#[test]
fn nothing_is_written_before_the_first_image_then_at_once_and_at_every_poll() {
    let coils = Rc::default();
    let mut world = World::new(bus(&[module()]), far(Rc::clone(&coils)));
    world.run_to(500);
    assert_eq!(world.master.written(DeviceIndex(0)), None);
    world.handle(Input::Image {
        device: DeviceIndex(0),
        bits: 0xFFFB,
    });
    world.run_to(1100);
    expect![[r#"
        5 > 22 01 00 00 00 08 3A 9F
        31 answer 0.0
        31 State { device: DeviceIndex(0), state: Good }
        500 > 22 0F 00 00 00 04 01 0B 3D 5C
        1005 > 22 0F 00 00 00 04 01 0B 3D 5C
        1040 > 22 01 00 00 00 08 3A 9F
        1066 answer 0.0
    "#]]
    .assert_eq(&world.log);
    assert_eq!(*coils.borrow(), 0b1011);
    assert_eq!(world.master.written(DeviceIndex(0)), Some(0b1011));
}

#[test]
fn a_relay_does_not_wait_for_the_retries_of_a_dead_sensor() {
    let coils = Rc::default();
    let devices = [
        module(),
        device(1, &[holding(0, 30)]),
        device(2, &[holding(0, 30)]),
    ];
    let mut world = World::new(bus(&devices), far(Rc::clone(&coils)));
    let mut worst = Duration::ZERO;
    for (n, at) in (300..60_000).step_by(173).enumerate() {
        world.run_to(at);
        let bits = 1 << (n % 4);
        world.handle(Input::Image {
            device: DeviceIndex(0),
            bits,
        });
        let asked = world.now;
        while *coils.borrow() != bits as u8 {
            world.run_to(world.now.as_millis() + 1);
        }
        worst = worst.max(world.now - asked);
    }
    // One try of somebody else, the gap, and the request itself.
    assert!(worst <= span(370), "{worst:?}");
}

#[test]
fn an_unchanged_image_is_not_urgent_and_an_unknown_device_is_ignored() {
    let mut world = World::new(bus(&[module()]), far(Rc::default()));
    world.handle(Input::Image {
        device: DeviceIndex(0),
        bits: 1,
    });
    world.run_to(300);
    let sent = world.sent.len();
    world.handle(Input::Image {
        device: DeviceIndex(0),
        bits: 1,
    });
    world.handle(Input::Image {
        device: DeviceIndex(5),
        bits: 1,
    });
    world.run_to(900);
    assert_eq!(world.sent.len(), sent);
}

#[test]
fn flashing_relays_of_a_dead_module_do_not_starve_the_sensors() {
    let mut world = World::new(bus(&[module(), device(1, &[holding(0, 30)])]), |request| {
        if request[0] == 1 {
            at_once(honest(request))
        } else {
            vec![]
        }
    });
    for n in 0..240_u64 {
        world.run_to(n * 500);
        world.handle(Input::Image {
            device: DeviceIndex(0),
            bits: n as u16 & 1,
        });
    }
    assert_eq!(world.state(0), DeviceState::Probe);
    assert!(world.answers_of(1) > 105, "{}", world.answers_of(1));
}
