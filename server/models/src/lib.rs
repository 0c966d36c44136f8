//! Model manager: under way.

pub mod hat;
