//! What whole-system tests stand on: the real binary in a directory of its own, on a port of its own.
//!
//! Entry points: [`Server::demo`], [`Server::run`], [`leitstand`] for one-shot commands, [`wait::until`] for
//! conditions. No test sleeps blindly: it waits for something to become true, with a generous limit that only
//! a broken program reaches. What a server printed is shown when its test fails.
//!
//! The HTTP client is some hundred lines of our own, because tests must also be able to send what no proper
//! client would.

pub mod http;
pub mod peer;
pub mod server;
pub mod sse;
pub mod tls;
pub mod wait;

pub use http::Reply;
pub use server::{Server, binary, leitstand};
