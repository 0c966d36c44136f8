//! Linux hardware behind the traits of `leitstand-core`: newtypes without policy.
//!
//! Entry: [`serial::Port::open`]. Deliberately absent: retries, protocols, tokio.
#![forbid(unsafe_code)]

mod lock;
pub mod serial;
