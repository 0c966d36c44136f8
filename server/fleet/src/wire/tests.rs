//! The golden payloads, byte for byte and both ways. They were recorded from the original programs.
#![allow(clippy::unwrap_used)]

use super::*;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn button() -> Device {
    Device {
        module: 1000,
        device_type: 0,
        device_role: "test".into(),
        device_name: "button1".into(),
        priority: 0,
    }
}

/// Reads, compares, writes again, compares.
fn golden_from_car(text: &str, expected: external_client::Message) {
    let wrapped = external::ExternalClient {
        message: Some(expected.clone()),
    };
    assert_eq!(hex(&wrapped.encode_to_vec()), text);
    let read = match read(&unhex(text)).unwrap() {
        FromCar::Connect(m) => external_client::Message::Connect(m),
        FromCar::Status(m) => external_client::Message::Status(m),
        FromCar::Response(m) => external_client::Message::CommandResponse(m),
    };
    assert_eq!(read, expected);
}

fn golden_to_car(text: &str, message: &ToCar<'_>) {
    assert_eq!(hex(&message.write()), text);
    let back = external::ExternalServer::decode(&unhex(text)[..]).unwrap();
    assert_eq!(hex(&back.encode_to_vec()), text);
}

fn status(counter: u32, state: DeviceState, data: &str, error: Option<&str>) -> Status {
    Status {
        session_id: "s1".into(),
        device_state: state as i32,
        message_counter: counter,
        device_status: Some(internal::DeviceStatus {
            device: Some(button()),
            status_data: data.into(),
        }),
        error_message: error.map(Into::into),
    }
}

#[test]
fn golden_connect() {
    golden_from_car(
        "0a250a027331120461636d651a056361725f61221208e8071a04746573742207627574746f6e31",
        external_client::Message::Connect(Connect {
            session_id: "s1".into(),
            company: "acme".into(),
            vehicle_name: "car_a".into(),
            devices: vec![button()],
        }),
    );
    golden_from_car(
        "0a1e0a085334786665643151221208e8071a04746573742207627574746f6e31",
        external_client::Message::Connect(Connect {
            session_id: "S4xfed1Q".into(),
            company: String::new(),
            vehicle_name: String::new(),
            devices: vec![button()],
        }),
    );
}

#[test]
fn golden_connect_response() {
    for (text, already_logged) in [("0a040a027331", false), ("0a060a0273311001", true)] {
        let session = "s1";
        golden_to_car(
            text,
            &ToCar::ConnectResponse {
                session,
                already_logged,
            },
        );
    }
}

#[test]
fn golden_status() {
    let off = r#"{"pressed": false}"#;
    for (text, expected) in [
        (
            "122e0a02733122280a1208e8071a04746573742207627574746f6e3112127b2270726573736564223a2066616c73657d",
            status(0, DeviceState::Connecting, off, None),
        ),
        (
            "12400a0273311001180422270a1208e8071a04746573742207627574746f6e3112117b2270726573736564223a20747275657d2a0d44656661756c74206572726f72",
            status(
                4,
                DeviceState::Running,
                r#"{"pressed": true}"#,
                Some("Default error"),
            ),
        ),
        (
            "12320a0273311003180522280a1208e8071a04746573742207627574746f6e3112127b2270726573736564223a2066616c73657d",
            status(5, DeviceState::Disconnect, off, None),
        ),
    ] {
        golden_from_car(text, external_client::Message::Status(expected));
    }
}

#[test]
fn golden_status_response() {
    for (text, counter) in [("12040a027331", 0), ("12060a0273311801", 1)] {
        let session = "s1";
        golden_to_car(text, &ToCar::StatusResponse { session, counter });
    }
}

#[test]
fn golden_command() {
    let device = &button();
    for (text, counter, data) in [
        (
            "1a1a0a0273311a140a1208e8071a04746573742207627574746f6e31",
            0,
            "",
        ),
        (
            "1a2f0a02733110011a270a1208e8071a04746573742207627574746f6e3112117b226c69745f7570223a2066616c73657d",
            1,
            r#"{"lit_up": false}"#,
        ),
    ] {
        golden_to_car(
            text,
            &ToCar::Command {
                session: "s1",
                counter,
                device,
                data: data.as_bytes(),
            },
        );
    }
}

#[test]
fn golden_command_response() {
    for (text, counter) in [("1a040a027331", 0), ("1a060a0273311801", 1)] {
        golden_from_car(
            text,
            external_client::Message::CommandResponse(CommandResponse {
                session_id: "s1".into(),
                r#type: 0,
                message_counter: counter,
            }),
        );
    }
}

#[test]
fn golden_internal() {
    use internal::{
        DeviceConnect, DeviceConnectResponse, InternalClient, InternalServer, internal_client,
        internal_server,
    };
    let connect = InternalClient {
        message: Some(internal_client::Message::DeviceConnect(DeviceConnect {
            device: Some(button()),
        })),
    };
    assert_eq!(
        hex(&connect.encode_to_vec()),
        "0a140a1208e8071a04746573742207627574746f6e31"
    );
    let refused = InternalServer {
        message: Some(internal_server::Message::DeviceConnectResponse(
            DeviceConnectResponse {
                response_type: 1,
                device: Some(button()),
            },
        )),
    };
    assert_eq!(
        hex(&refused.encode_to_vec()),
        "0a160801121208e8071a04746573742207627574746f6e31"
    );
}

#[test]
fn what_cannot_be_read_is_told_apart() {
    assert_eq!(read(b""), Err(Unreadable::Empty));
    assert_eq!(read(b"\xff\xff garbage"), Err(Unreadable::Undecodable));
    assert_eq!(
        read(&unhex("2a00")),
        Err(Unreadable::Empty),
        "a foreign field"
    );
    let long = vec![0; PAYLOAD_BYTES_MAX + 1];
    assert_eq!(read(&long), Err(Unreadable::TooLong));
}

#[test]
fn a_module_number_that_nobody_knows_survives() {
    let device = Device {
        module: 77_777,
        ..button()
    };
    let bytes = device.encode_to_vec();
    assert_eq!(Device::decode(&bytes[..]).unwrap().module, 77_777);
}
