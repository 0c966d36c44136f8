//! The control that AIMM's Python client speaks: JSON-RPC with a mirrored state, over a WebSocket.

pub mod diff;
pub mod frame;
mod request;
pub(crate) mod server;
pub mod users;
