//! # QEMU's `virt` machine as a board
//!
//! The devices that the firmware needs, and nothing that decides:
//!
//! | Device | Is |
//! |---|---|
//! | [`uart`] at 0x1000_0000 | the cable to the host, or a Modbus line |
//! | [`uart`] behind PCI | the *bench*: a test holds buttons and looks at LEDs there |
//! | [`clock`] | `mtime`, 10 MHz; sleeps until a deadline |
//! | [`chips`] | simulated shift registers, edge by edge |
//! | [`flash`] | the second NOR flash, for settings |
//! | [`power`] | reset, and an exit code that QEMU hands to the shell |
//!
//! `unsafe` is in [`mmio`] alone: reading and writing device registers.
#![no_std]

pub mod bench;
pub mod cable;
pub mod chips;
pub mod clock;
pub mod command;
pub mod fingers;
pub mod flash;
pub mod mmio;
mod panic;
pub mod power;
pub mod stack;
pub mod survey;
pub mod uart;
