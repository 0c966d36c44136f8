//! # leitstand-models
//!
//! Keeps, trains and asks models: built-in ones that learn a series, and those of Python plugins.
//! Entry: [`Models::open`], then [`Models::instance`].
//!
//! ## Terms
//! - **Model**: an instance of a model type, kept as bytes that only its plugin understands.
//! - **Action**: one managed call (create, fit, predict) with a visible state.
//! - **Reference**: an argument that a data access plugin fetches before the call.
//! - **Control**: a way in from outside: the repl of AIMM's Python client, the Open Inference Protocol, events.
//! - **Watch**: a sensor and the model that learns it.
//!
//! ## Code map
//! | Module | What |
//! |---|---|
//! | [`engine`] | the machine: actions, locks, slots, references, cancellation |
//! | [`plugin`], `builtin`, `worker` | what plugins are; those in Rust; Python in processes of its own |
//! | [`backend`] | where models are kept, with versions and aliases |
//! | [`repl`] | the WebSocket of AIMM's client: framing, diff, users, server |
//! | `oip` | `/v2` |
//! | [`hat`] | the protocols of a Hat |
//! | [`series`], [`watch`] | what the site measures; models on it |
//! | [`typed`] | tensors and series in JSON |
//! | [`config`], `service`, `api` | the section of the file, the running service, the routes |
//!
//! ## Deliberately absent
//! Other services, HAL crates, environment variables beyond what an interpreter needs, WebAssembly (the place
//! for it is beside `worker`).
#![forbid(unsafe_code)]

mod api;
pub mod backend;
mod builtin;
pub mod config;
pub mod engine;
pub mod error;
pub mod hat;
pub mod oip;
pub mod plugin;
pub mod repl;
pub mod series;
mod service;
#[cfg(test)]
mod service_tests;
mod stamp;
pub mod typed;
pub mod watch;
pub mod worker;

pub use config::{ModelsSection, Settings};
pub use service::Models;

/// Name of the service: URL prefix, section of the configuration, name in events and health.
pub const SERVICE: &str = "models";
