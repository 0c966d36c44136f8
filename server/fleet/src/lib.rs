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
//! | [`module`] | libraries in processes of their own, modules in Rust, what waits while one is down |
//! | [`mqtt`] | the client, the embedded broker, who may use which topic |
//! | [`name`] | companies, cars, topics |
//! | [`config`], [`import`] | the section of the file, checked; the two layouts of the original |
//! | `service`, `hub`, `car` | the instance, the link shared by all cars, the task of one |
//! | `record`, `view`, `api`, `metrics` | what is known, as JSON, as routes, as series |
//!
//! Entry: [`Fleet::new`], then [`Fleet::instance`] for the supervisor; [`module::host::main`] for a module's process.
//!
//! ## Deliberately absent
//! Any look into the bytes of a status or command outside of a module, HAL crates, pages and scripts.
#![deny(unsafe_code)]

mod api;
mod car;
pub mod config;
mod hub;
pub mod import;
mod metrics;
pub mod module;
pub mod mqtt;
pub mod name;
mod presence;
mod record;
mod service;
pub mod session;
mod view;
pub mod wire;

pub use config::{FleetSection, Settings};
pub use service::Fleet;

/// Name of the service: URL prefix, section of the configuration, name in events and health.
pub const SERVICE: &str = "fleet";
