//! The panel service.
pub mod fanout;
pub mod socket;
