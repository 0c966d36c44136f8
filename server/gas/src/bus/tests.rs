//! What registers mean, and what cannot be polled. The thread itself runs in `tests/it`.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::seam::{AnalogProfile, DeviceKind, DeviceSpec, Rts};
use leitstand_core::gas::analog::RegisterFormat;
use leitstand_core::gas::{BusIndex, CellIndex, FaultCode, OutputIndex, PollFailure, Reading};
use leitstand_core::units::MicroAmp;

fn device(id: &str, address: u8, kind: DeviceKind) -> DeviceSpec {
    DeviceSpec {
        id: id.into(),
        address,
        kind,
    }
}

fn ra_gas(address: u8) -> DeviceSpec {
    let cells = [Some(CellIndex(0)), Some(CellIndex(1))];
    device("level1", address, DeviceKind::RaGas { cells })
}

fn analog(channels: &[u8], function: u8, format: RegisterFormat) -> DeviceSpec {
    let profile = AnalogProfile {
        function,
        start: 16,
        stride: 2,
        format,
        scale: 0.001,
        offset: 0.0,
    };
    let channels = channels.iter().map(|c| (*c, CellIndex(*c))).collect();
    device("loop", 5, DeviceKind::Analog { profile, channels })
}

fn spec(devices: Vec<DeviceSpec>) -> BusSpec {
    BusSpec {
        index: BusIndex(0),
        id: "rs485".into(),
        device: "/dev/null".into(),
        baud: 9_600,
        parity: Parity::None,
        rts: Rts::None,
        timeout: Duration::from_millis(300),
        retries: 2,
        scan: Duration::from_secs(1),
        devices,
    }
}

/// A master that was given `frame` as the answer to its first read; its inputs to the station.
fn decoded(device: DeviceSpec, frame: &[u8]) -> Vec<Input> {
    let (bus, mut decoders) = build(&spec(vec![device])).unwrap();
    let mut master = Master::new(bus).unwrap();
    let ms = leitstand_core::time::Instant::from_millis;
    master.handle(ms(0), master::Input::Opened);
    master.handle_timeout(ms(10));
    master.handle(ms(100), master::Input::Received(frame));
    let mut inputs = Vec::new();
    while let Some(output) = master.poll_output() {
        if let Output::Answer { device, read, data } = output {
            decoders[device.at()].answer(read, &data, Some(0b1011), |input| inputs.push(input));
        }
    }
    inputs
}

fn answer(slave: u8, function: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![slave, function, data.len() as u8];
    frame.extend(data);
    frame.extend(leitstand_core::modbus::crc::of(&frame).to_le_bytes());
    frame
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

const EXAMPLE: [u16; 30] = [
    0, 14, 0, 247, 0, 0, 0, 0, 0, 0, 1, 923, 0, 30, 920, 564, 0, 20, 1, 0, 2, 107, 0, 300, 112,
    760, 0, 270, 1, 0,
];

#[test]
fn a_ra_gas_block_is_two_channels() {
    let inputs = decoded(ra_gas(247), &answer(247, 3, &words(&EXAMPLE)));
    let [
        Input::Reading {
            cell: no2,
            reading: Reading::RaGas(first),
        },
        Input::Reading {
            cell: co,
            reading: Reading::RaGas(second),
        },
    ] = inputs[..]
    else {
        panic!("{inputs:?}");
    };
    assert_eq!((no2, first.adc), (CellIndex(0), 923));
    assert_eq!((co, second.adc), (CellIndex(1), 107));
}

#[test]
fn a_sensor_that_tells_another_address_is_a_fault_of_both_cells() {
    let inputs = decoded(ra_gas(1), &answer(1, 3, &words(&EXAMPLE)));
    let wrong = |cell| Input::Reading {
        cell: CellIndex(cell),
        reading: Reading::Reported(FaultCode::WrongAddress),
    };
    assert_eq!(inputs, [wrong(0), wrong(1)]);
}

#[test]
fn analog_channels_are_currents_and_what_is_no_number_is_a_failure() {
    let reading = |cell, reading| Input::Reading {
        cell: CellIndex(cell),
        reading,
    };
    let module = analog(&[1], 4, RegisterFormat::U16);
    let inputs = decoded(module, &answer(5, 4, &words(&[12_000])));
    assert_eq!(inputs, [reading(1, Reading::Current(MicroAmp(12_000)))]);
    // Two floats in one merged read: 4000.0, and one that is not a number.
    let module = analog(&[1, 2], 3, RegisterFormat::F32Be);
    let data = words(&[0x457A, 0x0000, 0x7FC0, 0x0000]);
    let inputs = decoded(module, &answer(5, 3, &data));
    let expected = [
        reading(1, Reading::Current(MicroAmp(4_000))),
        reading(2, Reading::Failed(PollFailure::Length)),
    ];
    assert_eq!(inputs, expected);
}

#[test]
fn relays_are_compared_with_what_was_written() {
    let kind = DeviceKind::MrDo4 {
        board: BoardIndex(0),
        outputs: [
            Some(OutputIndex(7)),
            None,
            Some(OutputIndex(8)),
            Some(OutputIndex(9)),
        ],
    };
    // Written 1011; relay 3 is set by hand, relay 4 did not follow.
    let inputs = decoded(device("relays", 34, kind), &answer(34, 1, &[0b0100_0111]));
    let report = |output, agrees, hand| Input::OutputReport {
        output: OutputIndex(output),
        agrees,
        hand,
    };
    let expected = [
        report(7, true, false),
        report(8, false, true),
        report(9, false, false),
    ];
    assert_eq!(inputs, expected);
}

#[test]
fn a_failed_poll_concerns_every_cell_and_output() {
    let (_, decoders) = build(&spec(vec![
        ra_gas(1),
        analog(&[2, 4], 3, RegisterFormat::I16),
    ]))
    .unwrap();
    let mut inputs = Vec::new();
    for decoder in &decoders {
        decoder.failure(Failure::Exception(2), |input| inputs.push(input));
    }
    let failed = |cell| Input::Reading {
        cell: CellIndex(cell),
        reading: Reading::Failed(PollFailure::Exception(2)),
    };
    assert_eq!(inputs, [failed(0), failed(1), failed(2), failed(4)]);
}

#[test]
fn what_cannot_be_polled_is_refused_by_position() {
    let refused = |devices| plan(&spec(devices)).unwrap_err();
    assert_eq!(refused(vec![ra_gas(1), ra_gas(0)]), SpecError::Address(1));
    assert_eq!(refused(vec![ra_gas(248)]), SpecError::Address(0));
    let twice = ConfigError::AddressTwice(1);
    assert_eq!(
        refused(vec![ra_gas(9), ra_gas(9)]),
        SpecError::Settings(twice)
    );
    let coils = analog(&[1], 1, RegisterFormat::U16);
    assert_eq!(refused(vec![coils]), SpecError::Registers(0));
    let channel_0 = analog(&[0], 3, RegisterFormat::U16);
    assert_eq!(refused(vec![channel_0]), SpecError::Registers(0));
    let many = (1..=65).map(ra_gas).collect();
    assert_eq!(refused(many), SpecError::TooManyDevices);
}
