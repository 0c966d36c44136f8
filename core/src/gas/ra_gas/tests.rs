#![allow(clippy::unwrap_used)]

use super::*;
use expect_test::{Expect, expect};
use std::format;
use std::string::String;

/// The example column of the register map.
fn example() -> [u16; REGISTERS] {
    let mut registers = [0; REGISTERS];
    registers[..4].copy_from_slice(&[0, 14, 0, 247]);
    registers[10..19].copy_from_slice(&[1, 923, 0, 30, 920, 564, 0, 20, 1]);
    registers[20..29].copy_from_slice(&[2, 107, 0, 300, 112, 760, 0, 270, 1]);
    registers
}

fn co(adc: u16) -> Channel {
    Channel {
        adc,
        ..decode(&example(), 247).unwrap()[1]
    }
}

fn no2(adc: u16) -> Channel {
    Channel {
        adc,
        ..decode(&example(), 247).unwrap()[0]
    }
}

fn check(channel: fn(u16) -> Channel, counts: &[u16], expect: Expect) {
    let line = |adc: &u16| match channel(*adc).convert() {
        Ok(ppm) => format!("{adc} {}\n", f64::from(ppm.as_milli()) / 1000.0),
        Err(fault) => format!("{adc} {}\n", fault.as_str().unwrap()),
    };
    expect.assert_eq(&counts.iter().map(line).collect::<String>());
}

#[test]
fn golden_co() {
    check(
        co,
        &[112, 183, 184, 256, 436, 472, 760, 832, 107, 850, 0, 1023],
        expect![[r#"
            112 0
            183 29.583
            184 30
            256 60
            436 135
            472 150
            760 270
            832 300
            107 -2.083
            850 307.5
            0 adc_rail
            1023 adc_rail
        "#]],
    );
}

#[test]
fn golden_no2() {
    check(
        no2,
        &[920, 923, 867, 866, 742, 653, 564, 386, 0, 1023],
        expect![[r#"
            920 0
            923 -0.169
            867 2.978
            866 3.034
            742 10
            653 15
            564 20
            386 30
            0 adc_rail
            1023 adc_rail
        "#]],
    );
}

#[test]
fn golden_microvolts() {
    assert_eq!(
        (co(107).microvolts(), no2(923).microvolts()),
        (522_460, 4_506_835)
    );
}

#[test]
fn each_live_check_names_its_own_fault() {
    let broken = |change: fn(&mut Channel)| {
        let mut channel = co(472);
        change(&mut channel);
        channel.convert().unwrap_err()
    };
    assert_eq!(
        broken(|c| c.calibration.adc_span = 112),
        FaultCode::CalibrationInvalid
    );
    assert_eq!(
        broken(|c| c.calibration.ppm_span = 0),
        FaultCode::CalibrationInvalid
    );
    assert_eq!(broken(|c| c.config = 0b1110), FaultCode::CellDisabled);
    assert_eq!(broken(|c| c.range_max = 0), FaultCode::RangeInvalid);
    assert_eq!(broken(|c| c.adc = 0), FaultCode::AdcRail);
    assert_eq!(broken(|c| c.adc = 1023), FaultCode::AdcRail);
    let mut absurd = co(1022);
    absurd.calibration = Calibration {
        adc_zero: 0,
        adc_span: 1,
        ppm_zero: 0,
        ppm_span: 65_535,
    };
    assert_eq!(
        absurd.convert(),
        Err(FaultCode::CalibrationInvalid),
        "67 million ppm"
    );
}

#[test]
fn a_stranger_on_the_bus_is_refused() {
    assert_eq!(decode(&example(), 1), Err(FaultCode::WrongAddress));
    let mut old_layout = example();
    old_layout[10] = 923;
    assert_eq!(decode(&old_layout, 247), Err(FaultCode::WrongDevice));
    let mut swapped = example();
    (swapped[10], swapped[20]) = (2, 1);
    assert_eq!(decode(&swapped, 247), Err(FaultCode::WrongDevice));
}
