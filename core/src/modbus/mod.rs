//! Modbus RTU: frames, checksums, the read planner and the bus master machine.
pub mod master;
