//! The master against scripted lines, on virtual time.
#![allow(clippy::unwrap_used)]

mod answers;
mod dead;
mod property;
mod relays;
mod transcript;
mod world;
