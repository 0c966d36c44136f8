//! Simulated hardware: scripted doubles for unit tests, and a seeded virtual site behind pseudo-terminals.

pub mod bus;
pub mod digital;
pub mod fault;
pub mod mr_do4;
pub mod panel;
pub mod pty;
pub mod ra_gas;
pub mod rs485;
pub mod scenario;
pub mod site;
pub mod vehicle;
