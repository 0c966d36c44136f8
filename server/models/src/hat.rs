//! A component in a Hat: supervised by a monitor server, linked to an event server.
//!
//! Layers, each free of sockets and with its wire table: [`sbs`] values as bytes, [`chatter`] messages and
//! conversations on one stream, above it [`monitor`] (who is active) and [`eventer`] (events). [`link`] runs them
//! over TCP and gives out [`link::ProxyClient`]s.

pub mod chatter;
pub mod eventer;
pub mod link;
pub mod monitor;
pub mod sbs;
mod wire;

#[cfg(test)]
mod golden;
