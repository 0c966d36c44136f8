//! Dead devices: what they cost, and how they come back.

use super::super::*;
use super::world::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

fn site(count: u8) -> Vec<Device> {
    (1..=count)
        .map(|address| device(address, &[holding(0, 30)]))
        .collect()
}

/// Those in `dead` keep silent.
fn world(count: u8, dead: &Rc<RefCell<Vec<u8>>>) -> World {
    let dead = Rc::clone(dead);
    World::new(bus(&site(count)), move |request| {
        if dead.borrow().contains(&request[0]) {
            vec![]
        } else {
            at_once(honest(request))
        }
    })
}

/// Bus time from a request to a dead device until the line is free again, from then on.
fn wasted(world: &World, dead: &[u8], from: u64) -> u64 {
    let times = world
        .sent
        .windows(2)
        .filter(|pair| pair[0].0 >= ms(from) && dead.contains(&pair[0].1[0]));
    times
        // Without a next request at once the line is idle: a whole try takes 335 ms.
        .map(|pair| (pair[1].0 - pair[0].0).min(span(335)).as_millis() as u64)
        .sum()
}

#[test]
fn two_of_eight_dead_cost_at_most_five_percent_after_three_misses() {
    let dead = Rc::new(RefCell::new(vec![3, 6]));
    let mut world = world(8, &dead);
    while world.state(2) != DeviceState::Probe || world.state(5) != DeviceState::Probe {
        world.run_to(world.now.as_millis() + 10);
    }
    assert!(world.now < ms(10_000), "{:?}", world.now);
    assert_eq!(world.counters(2).timeout, 9, "three polls of three tries");
    let from = world.now.as_millis();
    world.sent.clear();
    world.answers.clear();
    world.run_to(from + 600_000);
    let wasted = wasted(&world, &[3, 6], from);
    assert!(wasted * 20 <= 600_000, "{wasted} ms of 600 s");
    assert!(wasted > 6_000, "they are probed at all: {wasted} ms");
    // The living are polled once a second, a probe in between or not.
    for living in [0, 1, 3, 4, 6, 7] {
        assert!(
            world.answers_of(living) >= 570,
            "{living}: {}",
            world.answers_of(living)
        );
    }
}

#[test]
fn many_dead_share_the_same_five_percent() {
    let gone: Vec<u8> = (2..=20).collect();
    let dead = Rc::new(RefCell::new(gone.clone()));
    let mut world = world(20, &dead);
    // 19 devices miss three polls of three tries, one after the other.
    world.run_to(120_000);
    assert!((1..20).all(|device| world.state(device) == DeviceState::Probe));
    world.sent.clear();
    world.run_to(720_000);
    let wasted = wasted(&world, &gone, 120_000);
    assert!(wasted * 20 <= 600_000, "{wasted} ms of 600 s");
}

#[test]
fn a_device_comes_back_and_takes_the_others_along() {
    let dead = Rc::new(RefCell::new(vec![1, 2, 3, 4]));
    let mut world = world(6, &dead);
    world.run_to(60_000);
    assert_eq!(world.state(0), DeviceState::Probe);
    dead.borrow_mut().clear();
    while !(0..4).any(|device| world.state(device) == DeviceState::Good) {
        world.run_to(world.now.as_millis() + 10);
    }
    // The one that was asked first brings the others along, long before their next turns.
    world.run_to(world.now.as_millis() + 1_500);
    for device in 0..4 {
        assert_eq!(world.state(device), DeviceState::Good, "device {device}");
        assert_eq!(world.counters(device).recovered, 1);
    }
}

#[test]
fn when_all_are_dead_each_is_asked_every_few_seconds() {
    let dead = Rc::new(RefCell::new(vec![1, 2, 3]));
    let mut world = world(3, &dead);
    world.run_to(60_000);
    dead.borrow_mut().clear();
    world.run_to(62_500);
    for device in 0..3 {
        assert_eq!(world.state(device), DeviceState::Good, "device {device}");
    }
}

#[test]
fn a_probe_waits_less_than_a_poll_but_long_enough_for_a_slow_device() {
    // Answers at once while it lives, dies, and comes back much slower: the first late answer to a short probe
    // is a sign of life, and the next probe waits for the whole time.
    let delay = Rc::new(RefCell::new(Some(5)));
    let line = Rc::clone(&delay);
    let mut world = World::new(bus(&site(2)), move |request| {
        let reply = honest(request);
        let delay = if request[0] == 1 {
            *line.borrow()
        } else {
            Some(5)
        };
        delay.map(|delay| paced(delay, &reply)).unwrap_or_default()
    });
    world.run_to(20_000);
    *delay.borrow_mut() = None;
    world.run_to(60_000);
    assert_eq!(world.state(0), DeviceState::Probe);
    let waits = world.sent.windows(2).filter(|pair| pair[0].1[0] == 1);
    let shortest = waits.map(|pair| pair[1].0 - pair[0].0).min().unwrap();
    assert!(shortest < span(120), "{shortest:?}");
    *delay.borrow_mut() = Some(290);
    world.run_to(90_000);
    assert_eq!(world.state(0), DeviceState::Good, "{:?}", world.counters(0));
}

#[test]
fn the_cycle_and_the_efficiency_tell_good_from_bad() {
    let dead = Rc::new(RefCell::new(vec![]));
    let mut world = world(8, &dead);
    world.run_to(60_000);
    let good = world.master.efficiency_permille();
    let cycle = world.master.cycle().unwrap();
    let floor = world.master.bus().scan_min();
    assert!(
        cycle >= floor && cycle < floor * 2,
        "{cycle:?} of {floor:?}"
    );
    assert!(good > 850, "{good}");
    dead.borrow_mut().extend([1, 2, 3, 4]);
    world.run_to(64_000);
    assert!(world.master.efficiency_permille() < good);
}
