//! # leitstand-firmware
//!
//! What a board runs, without the board: the super-loop of the button panel ([`panel`]) and of a small
//! stand-alone gas node ([`node`]). Everything that decides is in `leitstand-core`; here it meets hardware
//! through embedded-hal traits, so the same `step` runs on an ESP32, on QEMU's RISC-V machine and in the unit
//! tests of this crate.
//!
//! A board crate (`boards/esp32`, `boards/virt`) owns pins, clocks, the panic handler and the one loop:
//!
//! ```text
//! loop { let wake = panel.step(now()); sleep_until(wake) }
//! ```
//!
//! Deliberately absent: an executor, a heap, interrupts, and any waiting: nothing here blocks on a host that
//! does not read, and the watchdog is fed by the loop itself.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod chains;
pub mod dimmer;
pub mod link;
pub mod models;
pub mod node;
pub mod panel;
pub mod settings;
pub mod watchdog;
