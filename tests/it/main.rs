//! The real binary, real sockets, real pseudo-terminals: one module an area.
#![allow(clippy::unwrap_used)]

mod access;
mod backup;
mod bus;
mod cli;
mod demo;
mod firmware;
mod fleet;
mod fuzz_corpus;
mod garage;
mod gas;
mod gas_calibration;
mod gas_config;
mod gas_kill;
mod gas_reconfigure;
mod hardware;
mod hat;
mod history;
mod hostile;
mod panel;
mod panel_wire;
mod sandbox;
mod tls;
