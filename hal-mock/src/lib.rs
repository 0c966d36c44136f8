//! Simulated hardware: scripted doubles for unit tests, and a seeded virtual site behind pseudo-terminals.
pub mod scenario;
