//! The messages of the vehicle's side, in protobuf written by hand.
//!
//! A second opinion on the wire: nothing here is generated, and nothing is shared with the server. Field numbers are
//! those of the protocol; zero-valued scalars are left out, as proto3 does it.

/// Device states of a status.
pub const CONNECTING: u32 = 0;
/// In normal communication.
pub const RUNNING: u32 = 1;
/// It leaves.
pub const DISCONNECT: u32 = 3;

/// A device of a vehicle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Number of its module.
    pub module: u32,
    /// What it means is the module's business.
    pub device_type: u32,
    /// Place in the vehicle.
    pub role: String,
    /// Name.
    pub name: String,
    /// 0 is the highest.
    pub priority: u32,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromServer {
    /// To a Connect.
    ConnectResponse {
        /// Echo.
        session: String,
        /// The session exists already.
        already_logged: bool,
    },
    /// To a status.
    StatusResponse {
        /// Echo.
        session: String,
        /// Echo.
        counter: u32,
    },
    /// For a device.
    Command {
        /// Of the session.
        session: String,
        /// Its number.
        counter: u32,
        /// For whom.
        device: Device,
        /// Its bytes.
        data: Vec<u8>,
    },
}

impl FromServer {
    /// The session it belongs to.
    #[must_use]
    pub fn session(&self) -> &str {
        match self {
            Self::ConnectResponse { session, .. }
            | Self::StatusResponse { session, .. }
            | Self::Command { session, .. } => session,
        }
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u8, value: u32) {
    if value != 0 {
        out.push(field << 3);
        varint(out, value.into());
    }
}

/// Length-delimited; written also when it is empty.
fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn text(out: &mut Vec<u8>, field: u8, value: &str) {
    if !value.is_empty() {
        bytes(out, field, value.as_bytes());
    }
}

fn device(of: &Device) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, 1, of.module);
    number(&mut out, 2, of.device_type);
    text(&mut out, 3, &of.role);
    text(&mut out, 4, &of.name);
    number(&mut out, 5, of.priority);
    out
}

fn wrapped(field: u8, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 4);
    bytes(&mut out, field, message);
    out
}

/// Connect.
#[must_use]
pub fn connect(session: &str, company: &str, vehicle: &str, devices: &[Device]) -> Vec<u8> {
    let mut out = Vec::new();
    text(&mut out, 1, session);
    text(&mut out, 2, company);
    text(&mut out, 3, vehicle);
    for of in devices {
        bytes(&mut out, 4, &device(of));
    }
    wrapped(1, &out)
}

/// Status of a device.
#[must_use]
pub fn status(
    session: &str,
    state: u32,
    counter: u32,
    of: &Device,
    data: &[u8],
    error: Option<&[u8]>,
) -> Vec<u8> {
    let mut content = Vec::new();
    bytes(&mut content, 1, &device(of));
    if !data.is_empty() {
        bytes(&mut content, 2, data);
    }
    let mut out = Vec::new();
    text(&mut out, 1, session);
    number(&mut out, 2, state);
    number(&mut out, 3, counter);
    bytes(&mut out, 4, &content);
    if let Some(error) = error {
        bytes(&mut out, 5, error);
    }
    wrapped(2, &out)
}

/// Answer to a command; 0 is OK.
#[must_use]
pub fn command_response(session: &str, kind: u32, counter: u32) -> Vec<u8> {
    let mut out = Vec::new();
    text(&mut out, 1, session);
    number(&mut out, 2, kind);
    number(&mut out, 3, counter);
    wrapped(3, &out)
}

/// A field: its number and its value.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message in their order; `None` when it is none.
fn fields(mut input: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    fn read_varint(input: &mut &[u8]) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = input.split_first()?;
            *input = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
    let mut all = Vec::new();
    while !input.is_empty() {
        let tag = read_varint(&mut input)?;
        let value = match tag & 7 {
            0 => Value::Number(read_varint(&mut input)?),
            2 => {
                let length = usize::try_from(read_varint(&mut input)?).ok()?;
                let bytes = input.get(..length)?;
                input = &input[length..];
                Value::Bytes(bytes)
            }
            _ => return None,
        };
        all.push((tag >> 3, value));
    }
    Some(all)
}

fn find_bytes<'a>(fields: &[(u64, Value<'a>)], field: u64) -> &'a [u8] {
    let found = fields.iter().rev().find_map(|(n, value)| match value {
        Value::Bytes(bytes) if *n == field => Some(*bytes),
        _ => None,
    });
    found.unwrap_or_default()
}

fn find_text(fields: &[(u64, Value<'_>)], field: u64) -> Option<String> {
    String::from_utf8(find_bytes(fields, field).to_vec()).ok()
}

fn find_number(fields: &[(u64, Value<'_>)], field: u64) -> u32 {
    let found = fields.iter().rev().find_map(|(n, value)| match value {
        Value::Number(value) if *n == field => Some(*value as u32),
        _ => None,
    });
    found.unwrap_or_default()
}

/// Reads what a server sent. `None`: not a message.
#[must_use]
pub fn read(payload: &[u8]) -> Option<FromServer> {
    let outer = fields(payload)?;
    let (kind, Value::Bytes(inner)) = outer.last()? else {
        return None;
    };
    let inner = fields(inner)?;
    let session = find_text(&inner, 1)?;
    match kind {
        1 => Some(FromServer::ConnectResponse {
            session,
            already_logged: find_number(&inner, 2) == 1,
        }),
        2 => Some(FromServer::StatusResponse {
            session,
            counter: find_number(&inner, 3),
        }),
        3 => {
            let content = fields(find_bytes(&inner, 3))?;
            let of = fields(find_bytes(&content, 1))?;
            Some(FromServer::Command {
                session,
                counter: find_number(&inner, 2),
                device: Device {
                    module: find_number(&of, 1),
                    device_type: find_number(&of, 2),
                    role: find_text(&of, 3)?,
                    name: find_text(&of, 4)?,
                    priority: find_number(&of, 5),
                },
                data: find_bytes(&content, 2).to_vec(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn button() -> Device {
        Device {
            module: 1000,
            role: "test".into(),
            name: "button1".into(),
            ..Device::default()
        }
    }

    #[test]
    fn golden_payloads_of_the_vehicle() {
        assert_eq!(
            hex(&connect("s1", "acme", "car_a", &[button()])),
            "0a250a027331120461636d651a056361725f61221208e8071a04746573742207627574746f6e31"
        );
        let error = Some(&b"Default error"[..]);
        let pressed = status("s1", RUNNING, 4, &button(), br#"{"pressed": true}"#, error);
        assert_eq!(
            hex(&pressed),
            "12400a0273311001180422270a1208e8071a04746573742207627574746f6e3112117b2270726573736564223a20747275657d2a0d44656661756c74206572726f72"
        );
        assert_eq!(hex(&command_response("s1", 0, 1)), "1a060a0273311801");
    }

    #[test]
    fn golden_payloads_of_the_server_are_read() {
        let unhex = |text: &str| -> Vec<u8> {
            let digits = text.as_bytes().chunks(2);
            digits
                .filter_map(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok())
                .collect()
        };
        let command = read(&unhex(
            "1a2f0a02733110011a270a1208e8071a04746573742207627574746f6e3112117b226c69745f7570223a2066616c73657d",
        ));
        assert_eq!(
            command,
            Some(FromServer::Command {
                session: "s1".into(),
                counter: 1,
                device: button(),
                data: br#"{"lit_up": false}"#.to_vec()
            })
        );
        let response = read(&unhex("12060a0273311801"));
        let session = "s1".to_owned();
        assert_eq!(
            response,
            Some(FromServer::StatusResponse {
                session,
                counter: 1
            })
        );
        assert_eq!(read(b"\xff"), None);
        assert_eq!(read(b""), None);
    }
}
