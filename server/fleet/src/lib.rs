//! # leitstand-fleet
//!
//! The server side of Fleet Protocol v2: one session per vehicle over MQTT, modules that know what the payloads mean.
//!
//! ## Terms
//! *Company*, *car*: the first two levels of a vehicle's topics. *Session*: from a vehicle's Connect to whatever ends
//! it. *Device*: a part of the vehicle that sends statuses and takes commands, told apart by module, type and role.
//! *Module*: code that knows what the bytes of a device mean. *Hint*: an empty message that tells the vehicle to
//! connect again.
//!
//! ## Code map
//! | Module | What |
//! |---|---|
//! | [`wire`] | the messages, as bytes and as values |
//! | [`session`] | the machine of one car |

pub mod session;
pub mod wire;
