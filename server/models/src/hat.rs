//! A component in a Hat: supervised by a monitor server, linked to an event server.
//!
//! Layers, each free of sockets: [`sbs`] values as bytes, [`chatter`] messages and conversations on one TCP stream,
//! above it [`monitor`] (who is active) and [`eventer`] (events). Wire tables and examples: `PROTOCOL.md` beside
//! these files.

pub mod chatter;
pub mod eventer;
pub mod monitor;
pub mod sbs;

#[cfg(test)]
mod golden;
