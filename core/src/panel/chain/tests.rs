//! Golden cases of the panel specification 8.2. That three drivers agree on them (G-IN-10) is tested on
//! simulated chips in leitstand-hal-mock.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::panel::ButtonId;
use proptest::prelude::*;
use std::vec::Vec as StdVec;

fn wiring(buttons: u8) -> Wiring {
    Wiring::new(PanelSize::new(buttons).unwrap())
}

fn set(ids: &[u8]) -> ButtonSet {
    ids.iter().map(|id| ButtonId::new(*id).unwrap()).collect()
}

/// FF everywhere but at `byte`.
fn chain_of_13(byte: usize, value: u8) -> StdVec<u8> {
    let mut bytes = std::vec![0xff; 13];
    bytes[byte] = value;
    bytes
}

#[track_caller]
fn check_in(buttons: u8, pressed: &[u8], first: bool, clocked: &[u8], normal: &[u8]) {
    let mut bytes = clocked.to_vec();
    rescue(first, &mut bytes);
    assert_eq!(bytes, normal, "rescue");
    assert_eq!(wiring(buttons).pressed(&bytes), set(pressed), "buttons");
}

#[test]
fn g_in_1_to_6_ten_buttons() {
    check_in(10, &[], true, &[0xff, 0xff], &[0xff, 0xff]);
    check_in(10, &[1], false, &[0xff, 0xff], &[0x7f, 0xff]);
    check_in(10, &[8], true, &[0xfd, 0xff], &[0xfe, 0xff]);
    check_in(10, &[9], true, &[0xfe, 0xff], &[0xff, 0x7f]);
    check_in(10, &[10], true, &[0xff, 0x7f], &[0xff, 0xbf]);
    check_in(10, &[3, 7], true, &[0xbb, 0xff], &[0xdd, 0xff]);
}

#[test]
fn g_in_7_to_9_a_hundred_buttons() {
    check_in(
        100,
        &[42],
        true,
        &chain_of_13(5, 0x7f),
        &chain_of_13(5, 0xbf),
    );
    check_in(
        100,
        &[97],
        true,
        &chain_of_13(11, 0xfe),
        &chain_of_13(12, 0x7f),
    );
    check_in(
        100,
        &[100],
        true,
        &chain_of_13(12, 0xdf),
        &chain_of_13(12, 0xef),
    );
}

#[test]
fn g_in_11_without_the_rescue_button_2_looks_like_1() {
    // Button 1 pressed: the bus alone sees nothing. Button 2 pressed: it comes out one place early.
    assert_eq!(wiring(10).pressed(&[0xff, 0xff]), set(&[]));
    let clocked_for_2 = [0x7f, 0xff];
    assert_eq!(wiring(10).pressed(&clocked_for_2), set(&[1]));
}

#[test]
fn g_in_12_spare_positions_are_released() {
    assert_eq!(wiring(10).pressed(&[0xff, 0xc0]), set(&[]));
    assert_eq!(wiring(10).pressed(&[0x00, 0x00]), wiring(10).size().all());
}

#[test]
fn a_short_chain_reads_as_released() {
    assert_eq!(wiring(10).pressed(&[]), set(&[]));
    assert_eq!(wiring(10).pressed(&[0xfe]), set(&[8]));
}

#[test]
fn a_permutation_table_covers_the_miswired_prototype() {
    let table = [15, 12, 13, 11, 10, 9, 8, 14, 7, 4];
    let wiring = wiring(10).with_button_positions(&table).unwrap();
    for (id, position) in (1..).zip(table) {
        let bits = !(1u16 << position);
        assert_eq!(
            wiring.pressed(&bits.to_be_bytes()),
            set(&[id]),
            "position {position}"
        );
    }
}

#[test]
fn a_permutation_table_names_each_place_once() {
    assert_eq!(
        wiring(2).with_button_positions(&[0]),
        Err(WiringError::Length)
    );
    assert_eq!(
        wiring(2).with_button_positions(&[0, 8]),
        Err(WiringError::Beyond(8))
    );
    assert_eq!(
        wiring(2).with_led_positions(&[5, 5]),
        Err(WiringError::Twice(5))
    );
}

#[test]
fn levels_can_be_turned_around() {
    let wiring = wiring(10).with_pressed_high().with_lit_low();
    assert_eq!(wiring.pressed(&[0x80, 0x00]), set(&[1]));
    assert_eq!(wiring.pressed(&[]), set(&[]));
    assert_eq!(wiring.led_bytes(set(&[9])).as_slice(), [0xfe, 0xff]);
}

#[track_caller]
fn check_out(buttons: u8, lit: &[u8], bytes: &[u8]) {
    assert_eq!(wiring(buttons).led_bytes(set(lit)).as_slice(), bytes);
}

/// Bytes followed by as many zeros as 13 chips need.
fn padded(front: &[u8]) -> StdVec<u8> {
    let mut bytes = front.to_vec();
    bytes.resize(13, 0);
    bytes
}

#[test]
fn g_out_1_to_6_ten_leds() {
    check_out(10, &[], &[0x00, 0x00]);
    check_out(10, &[1], &[0x00, 0x01]);
    check_out(10, &[8], &[0x00, 0x80]);
    check_out(10, &[9], &[0x01, 0x00]);
    check_out(10, &[10], &[0x02, 0x00]);
    check_out(10, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], &[0x03, 0xff]);
}

#[test]
fn g_out_7_to_10_a_hundred_leds() {
    check_out(100, &[42], &padded(&[0, 0, 0, 0, 0, 0, 0, 2]));
    check_out(100, &[97], &padded(&[1]));
    check_out(100, &[100], &padded(&[8]));
    let mut all = std::vec![0xff; 13];
    all[0] = 0x0f;
    assert_eq!(wiring(100).led_bytes(PanelSize::MAX.all()).as_slice(), all);
}

#[test]
fn spare_led_positions_stay_dark() {
    assert_eq!(
        wiring(10).led_bytes(PanelSize::MAX.all()).as_slice(),
        [0x03, 0xff]
    );
}

#[test]
fn brightness_to_compare_value() {
    assert_eq!([0, 50, 100, 200].map(oe_compare), [255, 128, 0, 0]);
}

proptest! {
    #[test]
    fn every_button_has_its_own_bit(buttons in 1u8..=100, ids in proptest::collection::vec(1u8..=100, 0..20)) {
        let wiring = wiring(buttons);
        let pressed = set(&ids).intersection(wiring.size().all());
        let mut normal = std::vec![0xff; wiring.size().chips()];
        for id in pressed {
            normal[id.index() / 8] &= !(0x80 >> (id.index() % 8));
        }
        prop_assert_eq!(wiring.pressed(&normal), pressed);
        // Left and right are one row of bits: LEDs count from the other end.
        let mirrored: StdVec<u8> = normal.iter().rev().map(|byte| (!byte).reverse_bits()).collect();
        let sent = wiring.led_bytes(pressed);
        prop_assert_eq!(sent.as_slice(), mirrored);
    }
}
