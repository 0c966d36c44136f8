//! The messages between vehicle and server, as bytes and as values.
//!
//! A payload is the bare message; the length in front that the protocol's own text mentions exists only on the
//! TCP link inside the vehicle. Source of the fields: `proto/*.proto`, golden payloads in the tests below.

use prost::Message as _;

/// Messages between vehicle and server.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated; the fields are described in proto/external.proto"
)]
pub mod external {
    include!(concat!(env!("OUT_DIR"), "/leitstand.fleet.external.rs"));
}

/// Messages inside the vehicle, and the device that all of them name.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated; the fields are described in proto/internal.proto"
)]
pub mod internal {
    include!(concat!(env!("OUT_DIR"), "/leitstand.fleet.internal.rs"));
}

/// Messages between the gateway and a module host.
#[allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    reason = "generated; the fields are described in proto/host.proto"
)]
pub(crate) mod host {
    include!(concat!(env!("OUT_DIR"), "/leitstand.fleet.host.rs"));
}

pub use external::{
    CommandResponse, Connect, Status, command_response::Type as Answer, external_client,
    status::DeviceState,
};
pub use internal::Device;

/// Longest payload that is looked at, in bytes (`decisions.md` 46).
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// Longest session id, in bytes. The gateway sends eight.
pub const SESSION_ID_BYTES_MAX: usize = 256;

/// What a vehicle says.
#[derive(Clone, Debug, PartialEq)]
pub enum FromCar {
    /// It wants a session.
    Connect(Connect),
    /// News of one device.
    Status(Status),
    /// Its answer to a command.
    Response(CommandResponse),
}

/// Why a payload says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Longer than [`PAYLOAD_BYTES_MAX`].
    TooLong,
    /// Not protobuf, or a field of the wrong kind.
    Undecodable,
    /// Decodes, but none of the messages is in it.
    Empty,
}

/// Reads what a vehicle sent.
///
/// # Errors
/// See [`Unreadable`]; the caller counts it and goes on.
pub fn read(payload: &[u8]) -> Result<FromCar, Unreadable> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Unreadable::TooLong);
    }
    let message = external::ExternalClient::decode(payload).map_err(|_| Unreadable::Undecodable)?;
    match message.message.ok_or(Unreadable::Empty)? {
        external_client::Message::Connect(m) => Ok(FromCar::Connect(m)),
        external_client::Message::Status(m) => Ok(FromCar::Status(m)),
        external_client::Message::CommandResponse(m) => Ok(FromCar::Response(m)),
    }
}

/// What a server says.
#[derive(Clone, Debug, PartialEq)]
pub enum ToCar<'a> {
    /// The session begins, or exists already.
    ConnectResponse {
        /// Echo of the Connect.
        session: &'a str,
        /// The session exists already.
        already_logged: bool,
    },
    /// A status arrived.
    StatusResponse {
        /// Of the session.
        session: &'a str,
        /// Echo of the status.
        counter: u32,
    },
    /// A device shall do something.
    Command {
        /// Of the session.
        session: &'a str,
        /// One more than the last.
        counter: u32,
        /// Who.
        device: &'a Device,
        /// What; empty means nothing to do.
        data: &'a [u8],
    },
}

impl ToCar<'_> {
    /// The payload.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        use external::{
            Command, ConnectResponse, ExternalServer, StatusResponse, external_server::Message,
        };
        let message = match *self {
            ToCar::ConnectResponse {
                session,
                already_logged,
            } => Message::ConnectResponse(ConnectResponse {
                session_id: session.to_owned(),
                r#type: i32::from(already_logged),
            }),
            ToCar::StatusResponse { session, counter } => Message::StatusResponse(StatusResponse {
                session_id: session.to_owned(),
                r#type: 0,
                message_counter: counter,
            }),
            ToCar::Command {
                session,
                counter,
                device,
                data,
            } => Message::Command(Command {
                session_id: session.to_owned(),
                message_counter: counter,
                device_command: Some(internal::DeviceCommand {
                    device: Some(device.clone()),
                    command_data: data.to_vec(),
                }),
            }),
        };
        ExternalServer {
            message: Some(message),
        }
        .encode_to_vec()
    }
}

#[cfg(test)]
#[path = "wire/tests.rs"]
mod tests;
