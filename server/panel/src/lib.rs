//! The panel service.
pub mod config;
pub mod fanout;
pub mod media;
pub mod port;
pub mod sniff;
pub mod socket;
pub mod wire;
