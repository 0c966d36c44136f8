//! Golden frames of the monitor specification, and: parse is the inverse of write.
#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

fn at(address: u8) -> Address {
    Address::new(address).unwrap()
}

fn hex(text: &str) -> std::vec::Vec<u8> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// Both directions: the request makes exactly these bytes, and a slave reads it back from them.
fn golden(address: u8, request: Request<'_>, bytes: &str) {
    let bytes = hex(bytes);
    assert_eq!(request.write(at(address)).as_slice(), bytes);
    assert_eq!(Request::parse(&bytes), Ok((at(address), request)));
    assert_eq!(Request::length(&bytes), Some(bytes.len()));
}

const READ_30: Request<'static> = Request::Read {
    table: Table::Holding,
    start: 0,
    count: 30,
};

#[test]
fn golden_requests() {
    golden(247, READ_30, "F7 03 00 00 00 1E D1 54");
    golden(1, READ_30, "01 03 00 00 00 1E C5 C2");
    let relay_1 = |on| Request::WriteCoil { coil: 0, on };
    golden(34, relay_1(true), "22 05 00 00 FF 00 8B 69");
    golden(34, relay_1(false), "22 05 00 00 00 00 CA 99");
    let coils = Request::Read {
        table: Table::Coils,
        start: 0,
        count: 4,
    };
    golden(34, coils, "22 01 00 00 00 04 3A 9A");
    let write_coils = Request::WriteCoils {
        start: 0,
        coils: Coils::new(&[0b1011], 4).unwrap(),
    };
    golden(34, write_coils, "22 0F 00 00 00 04 01 0B 3D 5C");
    let restart = Request::Diagnostic { sub: 1, data: 0 };
    golden(247, restart, "F7 08 00 01 00 00 A5 5D");
    let zero_gas = Request::WriteRegister {
        register: 14,
        value: 920,
    };
    golden(1, zero_gas, "01 06 00 0E 03 98 E9 53");
}

#[test]
fn the_short_restart_of_the_calibration_program_is_understood() {
    let mut frame = Frame::new();
    push(&mut frame, &[0xF7, 8, 0, 1]);
    let frame = seal(frame);
    let restart = Request::Diagnostic { sub: 1, data: 0 };
    assert_eq!(Request::parse(&frame), Ok((at(247), restart)));
}

/// The example column of the RA-GAS register map.
pub(crate) const RA_GAS_EXAMPLE: [u16; 30] = [
    0, 14, 0, 247, 0, 0, 0, 0, 0, 0, 1, 923, 0, 30, 920, 564, 0, 20, 1, 0, 2, 107, 0, 300, 112,
    760, 0, 270, 1, 0,
];

#[test]
fn golden_reply_of_a_ra_gas_sensor() {
    let data: std::vec::Vec<u8> = RA_GAS_EXAMPLE
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect();
    let answer = Answer::Read {
        table: Table::Holding,
        data: &data,
    };
    let frame = answer.write(at(247));
    assert_eq!(frame.len(), 65);
    assert_eq!(frame.len(), READ_30.answer_length());
    assert_eq!(frame[2], 0x3C);
    assert_eq!(frame[63..], [0x61, 0x74]);
    assert_eq!(Answer::parse(&frame), Ok((at(247), answer)));
    assert_eq!(Answer::length(&frame), Some(65));
}

#[test]
fn an_exception_round_trips() {
    let busy = Answer::Exception {
        function: 3,
        code: exception::BUSY,
    };
    let frame = busy.write(at(1));
    assert_eq!(frame.len(), EXCEPTION_LENGTH);
    assert_eq!(Answer::parse(&frame), Ok((at(1), busy)));
}

#[test]
fn what_is_no_frame_says_why() {
    assert_eq!(Answer::parse(&[]), Err(FrameError::Length));
    assert_eq!(Answer::parse(&[1, 3, 0]), Err(FrameError::Length));
    assert_eq!(Answer::parse(&[0; 257]), Err(FrameError::Length));
    assert_eq!(Answer::parse(&[1, 3, 2, 0, 0, 0, 0]), Err(FrameError::Crc));
    let sealed = |bytes: &[u8]| {
        let mut frame = Frame::new();
        push(&mut frame, bytes);
        seal(frame)
    };
    let answer = |bytes: &[u8]| Answer::parse(&sealed(bytes)).err();
    assert_eq!(answer(&[0, 3, 2, 0, 0]), Some(FrameError::Address));
    assert_eq!(answer(&[248, 3, 2, 0, 0]), Some(FrameError::Address));
    assert_eq!(answer(&[1, 3, 3, 0, 0]), Some(FrameError::Length));
    assert_eq!(answer(&[1, 3, 1, 0]), Some(FrameError::Length));
    assert_eq!(answer(&[1, 5, 0, 0, 1, 0]), Some(FrameError::Value));
    assert_eq!(answer(&[1, 7, 0]), Some(FrameError::Function(7)));
    let request = |bytes: &[u8]| Request::parse(&sealed(bytes)).err();
    assert_eq!(request(&[1, 3, 0, 0, 0, 0]), Some(FrameError::Value));
    assert_eq!(request(&[1, 3, 0, 0, 0, 126]), Some(FrameError::Value));
    assert_eq!(request(&[1, 15, 0, 0, 0, 9, 1, 0]), Some(FrameError::Value));
    assert_eq!(
        request(&[1, 16, 0, 0, 0, 2, 2, 0, 0]),
        Some(FrameError::Value)
    );
    assert_eq!(request(&[1, 43, 14, 1]), Some(FrameError::Function(43)));
}

#[test]
fn the_longest_frames_fit() {
    let bytes = [0xA5; 246];
    let coils = Coils::new(&bytes, WRITE_COILS_MAX).unwrap();
    let request = Request::WriteCoils { start: 0, coils };
    assert_eq!(Request::parse(&request.write(at(1))), Ok((at(1), request)));
    let values = Words::new(&bytes).unwrap();
    assert_eq!(values.len(), usize::from(WRITE_REGISTERS_MAX));
    let request = Request::WriteRegisters { start: 0, values };
    assert_eq!(Request::parse(&request.write(at(1))), Ok((at(1), request)));
    let data = [0x5A; 250];
    let answer = Answer::Read {
        table: Table::Input,
        data: &data,
    };
    assert_eq!(answer.write(at(1)).len(), 255);
    assert_eq!(Answer::parse(&answer.write(at(1))), Ok((at(1), answer)));
}

proptest! {
    #[test]
    fn words_and_coils_index_as_they_iterate(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Some(words) = Words::new(&bytes) {
            for (at, word) in words.iter().enumerate() {
                prop_assert_eq!(words.get(at), Some(word));
            }
            prop_assert_eq!(words.get(words.len()), None);
        }
        let coils = Coils::new(&bytes, bytes.len() as u16 * 8).unwrap();
        prop_assert_eq!(coils.iter().filter(|on| *on).count() as u32, bytes.iter().map(|b| b.count_ones()).sum::<u32>());
        prop_assert_eq!(coils.get(coils.len()), None);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_what_parses_writes_back(bytes in prop::collection::vec(any::<u8>(), 0..260)) {
        let mut sealed = Frame::new();
        push(&mut sealed, &bytes[..bytes.len().min(FRAME_MAX - 2)]);
        let sealed = seal(sealed);
        for frame in [&bytes[..], &sealed] {
            let _ = (Request::length(frame), Answer::length(frame));
            if let Ok((slave, answer)) = Answer::parse(frame) {
                prop_assert_eq!(&answer.write(slave)[..], frame);
                prop_assert_eq!(Answer::length(frame), Some(frame.len()));
            }
            if let Ok((slave, request)) = Request::parse(frame) {
                let written = request.write(slave);
                prop_assert_eq!(Request::parse(&written), Ok((slave, request)));
            }
        }
    }

    #[test]
    fn one_flipped_bit_is_always_found(register in any::<u16>(), value in any::<u16>(), bit in 0..64_usize) {
        let mut frame = Request::WriteRegister { register, value }.write(at(17));
        frame[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(Request::parse(&frame), Err(FrameError::Crc));
    }
}
