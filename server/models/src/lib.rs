//! # leitstand-models
#![forbid(unsafe_code)]

pub mod engine;
pub mod error;
pub mod hat;
pub mod plugin;
mod stamp;
