//! # leitstand-core
//!
//! Everything in Leitstand that *decides*, as state machines without IO and without a clock.
//! The same code runs on the Pi, on the ESP32, in unit tests, in the simulator and in `leitstand replay`.
//!
//! Entry points: [`gas::station`] (one step: inputs to output images and events), [`modbus::master`]
//! (the owner of an RS-485 bus), [`panel`] (both ends of the button panel's cable), [`power`], [`online`]
//! (models that learn a series sample by sample).
//!
//! Deliberately absent: std, alloc, the wall clock, paths, loggers, threads. Machines report through
//! their outputs; the shell around them acts and logs.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod gas;
pub mod hal;
pub mod history;
pub mod limits;
pub mod machine;
pub mod modbus;
pub mod online;
pub mod panel;
pub mod power;
pub mod shift;
pub mod time;
pub mod units;
