//! # Modbus RTU
//!
//! Frames and checksums in both directions, the read planner, and the machine that owns a bus.
//! Entry: [`master::Master`] on the asking side, [`frame`] on the answering side.
//!
//! Terms: *slave* a device with an address 1..=247. *Request*, *answer* one frame each way. *Exchange* one
//! request with its answer. *Poll* all exchanges that a device is due for, with their retries. *t1.5*, *t3.5*
//! silence of that many characters, the end of a frame and the least space between two.
//!
//! Source: Modbus over Serial Line V1.02, Modbus Application Protocol V1.1b3; sensors and byte examples in
//! the project's monitor specification, sections 2 and 10.
//!
//! Deliberately absent: serial ports, clocks, the meaning of registers, broadcast (address 0).

pub mod crc;
pub mod frame;
pub mod line;
pub mod master;
pub mod plan;

pub use frame::{Address, Frame};
pub use master::Master;
