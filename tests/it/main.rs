//! The real binary, real sockets, real pseudo-terminals: one module an area.
#![allow(clippy::unwrap_used)]

mod bus;
mod cli;
mod fuzz_corpus;
mod garage;
mod gas;
mod gas_config;
mod panel;
mod panel_wire;
