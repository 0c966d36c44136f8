#![allow(clippy::unwrap_used)]

use super::*;
use expect_test::{Expect, expect};
use std::format;
use std::string::String;

fn milli(value: f64) -> Concentration {
    Concentration::from_milli((value * 1000.0).round() as i32)
}

fn check(bands: Bands, curve: &Curve, milliamps: &[f64], expect: Expect) {
    let line = |ma: &f64| match judge(bands, curve, MicroAmp((ma * 1000.0).round() as i32)) {
        Loop::Value { value, warnings } => {
            let mut line = format!("{ma} mA {}", f64::from(value.as_milli()) / 1000.0);
            for warning in warnings.iter() {
                line.push(' ');
                line.push_str(warning.as_str());
            }
            line.push('\n');
            line
        }
        Loop::Bad(fault) => format!("{ma} mA {}\n", fault.as_str().unwrap()),
    };
    expect.assert_eq(&milliamps.iter().map(line).collect::<String>());
}

#[test]
fn golden_scaling() {
    let co = Curve::line(milli(0.0), milli(300.0));
    check(
        Bands::Ne43,
        &co,
        &[4.0, 5.0, 8.0, 12.0, 16.0, 20.0, 20.5, 3.7],
        expect![[r#"
            4 mA 0
            5 mA 18.75
            8 mA 75
            12 mA 150
            16 mA 225
            20 mA 300
            20.5 mA 309.375 over_range
            3.7 mA 0 under_range
        "#]],
    );
    let o2 = Curve::line(milli(0.0), milli(25.0));
    check(
        Bands::Ne43,
        &o2,
        &[17.44],
        expect![[r#"
        17.44 mA 21
    "#]],
    );
}

#[test]
fn ne43_bands_at_their_edges() {
    let co = Curve::line(milli(0.0), milli(300.0));
    let edges = [
        0.0, 3.599, 3.6, 3.799, 3.8, 3.999, 20.0, 20.001, 20.5, 20.501, 21.0, 21.001, 24.0,
    ];
    check(
        Bands::Ne43,
        &co,
        &edges,
        expect![[r#"
        0 mA wire_break
        3.599 mA wire_break
        3.6 mA 0 under_range
        3.799 mA 0 under_range
        3.8 mA 0
        3.999 mA 0
        20 mA 300
        20.001 mA 300.019 over_range
        20.5 mA 309.375 over_range
        20.501 mA 309.394 over_range saturated
        21 mA 318.75 over_range saturated
        21.001 mA short_circuit
        24 mA short_circuit
    "#]],
    );
}

#[test]
fn legacy_bands_at_their_edges_without_a_forced_zero() {
    let co = Curve::line(milli(0.0), milli(300.0));
    let edges = [2.499, 2.5, 2.999, 3.0, 4.0, 4.9, 20.0, 20.1, 22.0, 22.001];
    check(
        Bands::Legacy,
        &co,
        &edges,
        expect![[r#"
        2.499 mA wire_break
        2.5 mA zero_drift
        2.999 mA zero_drift
        3 mA 0
        4 mA 0
        4.9 mA 16.875
        20 mA 300
        20.1 mA 300 over_range saturated
        22 mA 300 over_range saturated
        22.001 mA short_circuit
    "#]],
    );
}

#[test]
fn golden_curve() {
    let pairs = [
        (4.0, 0.0),
        (5.0, 0.1),
        (9.06, 10.0),
        (10.11, 15.0),
        (11.16, 20.0),
        (12.0, 25.0),
        (12.76, 30.0),
        (13.44, 35.0),
        (14.12, 40.0),
        (20.0, 100.0),
    ];
    let pairs = pairs.map(|(ma, value)| (MicroAmp((ma * 1000.0_f64).round() as i32), milli(value)));
    check(
        Bands::Ne43,
        &Curve::new(&pairs).unwrap(),
        &[7.03, 13.10, 17.06],
        expect![[r#"
            7.03 mA 5.05
            13.1 mA 32.5
            17.06 mA 70
        "#]],
    );
    assert_eq!(Curve::new(&pairs[..1]), Err(CurveError::TooShort));
    assert_eq!(
        Curve::new(&[pairs[0], pairs[0]]),
        Err(CurveError::NotRising(1))
    );
    let mut long = std::vec::Vec::from(pairs);
    long.push((MicroAmp(20_001), milli(101.0)));
    assert_eq!(Curve::new(&long), Err(CurveError::TooLong));
}

#[test]
fn registers_of_every_format() {
    let words = 12.5_f32.to_bits();
    let (high, low) = ((words >> 16) as u16, words as u16);
    let twelve_and_a_half = Some(MicroAmp(12_500));
    assert_eq!(
        decode(RegisterFormat::F32Be, &[high, low], 1.0, 0.0),
        twelve_and_a_half
    );
    assert_eq!(
        decode(RegisterFormat::F32Le, &[low, high], 1.0, 0.0),
        twelve_and_a_half
    );
    assert_eq!(
        decode(RegisterFormat::U16, &[12_500], 0.001, 0.0),
        twelve_and_a_half
    );
    assert_eq!(
        decode(RegisterFormat::I16, &[0xFFFF], 1.0, 13.5),
        twelve_and_a_half
    );
    assert_eq!(
        decode(RegisterFormat::F32Be, &[high], 1.0, 0.0),
        None,
        "too short"
    );
    assert_eq!(
        decode(RegisterFormat::F32Be, &[0x7FC0, 0], 1.0, 0.0),
        None,
        "not a number"
    );
}
