//! # A wire from one line to another
//! Wiring: a resistor of 1 kΩ between an output and an input of the same chip, nothing else on either.
//! `LEITSTAND_HIL_GPIO` is `label:output:input`, on a Pi 5 with pins 11 and 13 `pinctrl-rp1:17:27`.

use super::rig;
use embedded_hal::digital::{InputPin as _, OutputPin as _};
use leitstand_hal_linux::gpio::{Edge, InputLine, OutputLine, Pull};
use std::time::Duration;

#[test]
fn every_edge_arrives_in_order() {
    let Some(rig) = rig("LEITSTAND_HIL_GPIO", "GPIO loop") else {
        return;
    };
    let mut parts = rig.rsplitn(3, ':');
    let input: u32 = parts.next().unwrap().parse().unwrap();
    let output: u32 = parts.next().unwrap().parse().unwrap();
    let chip = parts.next().unwrap();
    let mut driven = OutputLine::open(chip, output, false, "loop out").unwrap();
    let mut seen = InputLine::open(chip, input, Pull::Down, "loop in").unwrap();
    assert!(seen.is_low().unwrap());
    for _ in 0..1000 {
        driven.set_high().unwrap();
        let edge = seen.wait_edge(Duration::from_secs(1)).unwrap();
        assert_eq!(edge, Some(Edge::Rising));
        assert!(seen.is_high().unwrap());
        driven.set_low().unwrap();
        let edge = seen.wait_edge(Duration::from_secs(1)).unwrap();
        assert_eq!(edge, Some(Edge::Falling));
    }
    assert_eq!(
        seen.wait_edge(Duration::ZERO).unwrap(),
        None,
        "an edge too many"
    );
}
