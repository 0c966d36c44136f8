//! # leitstand-gas
//!
//! The gas-warning service: polls sensors, evaluates zones, keeps alarms over restarts, switches relays.

pub mod bus;
pub mod config;
pub mod import;
pub mod replay;
pub mod seam;
pub mod simulate;
pub mod site;
pub mod station;
mod task;
pub mod view;
