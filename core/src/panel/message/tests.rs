//! Both directions of text v1. Whole exchanges (8.3, 8.4) are in `board` and `link`.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::string::String;
use std::vec;

fn id(number: u8) -> ButtonId {
    ButtonId::new(number).unwrap()
}

fn device(line: &str) -> Result<FromDevice<'_>, LineError> {
    FromDevice::parse(line.as_bytes())
}

fn host(line: &str) -> Result<FromHost, ErrorCode> {
    FromHost::parse(line.as_bytes())
}

#[test]
fn a_press_is_one_strict_line() {
    for line in ["PRESS 5", "PRESS 05", "PRESS 005"] {
        assert_eq!(device(line), Ok(FromDevice::Press(id(5))), "{line}");
    }
    let not_a_press = [
        "7",
        "005",
        "PRESS",
        "PRESS ",
        "PRESS  5",
        "PRESS 5 ",
        "PRESS +8",
        "press 005",
        "PRESS 005 extra",
        "PRESS 0000009",
        "PRESS 0",
        "PRESS 101",
        "PRESS 256",
        "PRESS 999",
        "PRESS -1",
        "PRESS 5a",
        " PRESS 5",
        "PRESS\t5",
        "PRESSED 5",
        "XPRESS 5",
        "PRESS 0x5",
    ];
    for line in not_a_press {
        assert!(device(line).is_err(), "{line}");
    }
    assert_eq!(
        FromDevice::parse(b"\xff\xfePRESS 004"),
        Err(LineError::NotPrintable)
    );
    assert_eq!(
        FromDevice::parse("PRESS ５".as_bytes()),
        Err(LineError::NotPrintable)
    );
}

#[test]
fn older_boards_are_understood() {
    assert_eq!(
        device("FW SelectionPanel v2.5.2"),
        Ok(FromDevice::Firmware("SelectionPanel v2.5.2"))
    );
    assert_eq!(
        device("ERROR unknown command"),
        Ok(FromDevice::Error(ErrorCode::Other))
    );
    assert_eq!(device("ERROR"), Ok(FromDevice::Error(ErrorCode::Other)));
    for line in [
        "STATUS active=5 leds=0x10",
        "LEDS 0000100000",
        "BTNS 1111111111",
        "QOVFL 3",
        "CORE 1",
        "MAPPING x",
    ] {
        assert_eq!(device(line), Ok(FromDevice::Info(line)));
    }
    assert_eq!(device("LEDS 10"), Ok(FromDevice::Leds(10)));
    assert_eq!(device("Selection Panel starting"), Err(LineError::Unknown));
}

#[test]
fn hello_is_taken_whole_or_not_at_all() {
    let hello = Hello {
        buttons: 100,
        leds: 100,
        caps: 0x0007,
        boot_id: 0xdead_beef,
    };
    assert_eq!(
        device("HELLO 2 100 100 0007 deadbeef"),
        Ok(FromDevice::Hello(hello))
    );
    assert_eq!(
        device("HELLO 2 100 100 7 DEADBEEF"),
        Ok(FromDevice::Hello(hello))
    );
    for line in [
        "HELLO",
        "HELLO 2",
        "HELLO 2 100 100 7",
        "HELLO 2 100 100 7 1 1",
        "HELLO 3 10 10 0 0",
        "HELLO 2 0 10 0 0",
        "HELLO 2 10 101 0 0",
        "HELLO 2 10 10 12345 0",
        "HELLO 2 10 10 0 123456789",
        "HELLO 2 10 10 +1 0",
    ] {
        assert!(device(line).is_err(), "{line}");
    }
}

#[test]
fn commands_answer_what_is_wrong_with_them() {
    use ErrorCode::{InvalidId, Limit, MissingId, UnknownCmd};
    assert_eq!(host("LEDSET 5"), Ok(FromHost::LedSet(id(5))));
    assert_eq!(host("PING  "), Ok(FromHost::Ping));
    for (line, error) in [
        ("ping", UnknownCmd),
        ("PING 1", UnknownCmd),
        (" PING", UnknownCmd),
        ("LEDSET", MissingId),
        ("LEDSET ", MissingId),
        ("LEDSET x", InvalidId),
        ("LEDSET 5abc", InvalidId),
        ("LEDSET 5 6", InvalidId),
        ("LEDSET +5", InvalidId),
        ("LEDSET  5", InvalidId),
        ("LEDSET 0005", InvalidId),
        ("LEDSET 0", InvalidId),
        ("LEDON 101", InvalidId),
        ("BRIGHT", MissingId),
        ("BRIGHT 101", Limit),
        ("BRIGHT 1000", InvalidId),
        ("BRIGHT -1", InvalidId),
        ("HELLO", UnknownCmd),
        ("HELLO x", UnknownCmd),
        ("7", UnknownCmd),
        ("QRES", UnknownCmd),
        ("LEDSET\x015", UnknownCmd),
        ("", UnknownCmd),
    ] {
        assert_eq!(host(line), Err(error), "{line:?}");
    }
    assert_eq!(FromHost::parse(b"LEDSET 5\xff"), Err(UnknownCmd));
}

fn any_id() -> impl Strategy<Value = ButtonId> {
    (1u8..=100).prop_map(id)
}

fn any_from_host() -> impl Strategy<Value = FromHost> {
    prop_oneof![
        any_id().prop_map(FromHost::LedSet),
        any_id().prop_map(FromHost::LedOn),
        any_id().prop_map(FromHost::LedOff),
        proptest::sample::select(std::vec![
            FromHost::LedClr,
            FromHost::LedAll,
            FromHost::Ping,
            FromHost::Version,
            FromHost::Help,
            FromHost::Status,
            FromHost::Test,
            FromHost::Stop,
            FromHost::QReset,
            FromHost::Save,
        ]),
        "[!-~]{1,32}".prop_map(|name| FromHost::Name(BoardName::new(&name).unwrap())),
        (1u8..=100).prop_map(|count| FromHost::Buttons(PanelSize::new(count).unwrap())),
        (any::<bool>(), any::<u8>())
            .prop_map(|(stable, window_ms)| FromHost::Debounce { stable, window_ms }),
        (0u8..=100).prop_map(FromHost::Bright),
        any::<u8>().prop_map(FromHost::Hello),
    ]
}

fn any_from_device() -> impl Strategy<Value = FromDevice<'static>> {
    let codes = [
        ErrorCode::InvalidId,
        ErrorCode::UnknownCmd,
        ErrorCode::MissingId,
        ErrorCode::LineTooLong,
        ErrorCode::Busy,
        ErrorCode::Limit,
        ErrorCode::Other,
    ];
    prop_oneof![
        proptest::sample::select(std::vec![
            FromDevice::Ready,
            FromDevice::Pong,
            FromDevice::Ok
        ]),
        any_id().prop_map(FromDevice::Press),
        any_id().prop_map(FromDevice::Release),
        proptest::sample::select(codes.to_vec()).prop_map(FromDevice::Error),
        (any_id(), any_id(), any::<u16>(), any::<u32>()).prop_map(
            |(buttons, leds, caps, boot_id)| {
                FromDevice::Hello(Hello {
                    buttons: buttons.get(),
                    leds: leds.get(),
                    caps,
                    boot_id,
                })
            }
        ),
        (0u8..=100).prop_map(FromDevice::Curled),
        any::<u8>().prop_map(FromDevice::Buttons),
        any::<u8>().prop_map(FromDevice::Leds),
        (0u32..1_000_000_000).prop_map(FromDevice::Heap),
        any::<bool>().prop_map(FromDevice::Production),
        Just(FromDevice::Firmware("leitstand-panel v0.1.0")),
        Just(FromDevice::Info("STATUS active=5 leds=0x10")),
    ]
}

proptest! {
    #[test]
    fn parse_of_write_is_the_identity_to_the_board(message in any_from_host()) {
        let mut line = String::new();
        message.write(&mut line).unwrap();
        prop_assert!(line.len() <= crate::limits::PANEL_DEVICE_LINE_MAX);
        prop_assert_eq!(host(&line), Ok(message));
    }

    #[test]
    fn parse_of_write_is_the_identity_to_the_host(message in any_from_device()) {
        let mut line = String::new();
        message.write(&mut line).unwrap();
        prop_assert!(!line.bytes().all(|byte| byte.is_ascii_digit()), "the original server takes digits for a press");
        prop_assert_eq!(device(&line), Ok(message));
    }

    #[test]
    fn only_the_strict_form_is_a_press(line in proptest::collection::vec(any::<u8>(), 0..16)) {
        if let Ok(FromDevice::Press(id)) = FromDevice::parse(&line) {
            let forms = [std::format!("PRESS {}", id.get()), std::format!("PRESS {:02}", id.get()), std::format!("PRESS {id}")];
            prop_assert!(forms.iter().any(|form| form.as_bytes() == line));
        }
    }
}
