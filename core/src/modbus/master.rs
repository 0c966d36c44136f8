//! The owner of an RS-485 bus.
