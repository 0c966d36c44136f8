//! The real firmware as RISC-V code in QEMU, and the same application on the host.
//!
//! Built by `.ci/firmware`, which puts the programs into `target/firmware`; `LEITSTAND_FIRMWARE` names another
//! folder. Without QEMU or the programs the tests that need them say so and pass; with `CI=true` they fail.

mod cost;
mod golden;
mod host;
mod node;
mod qemu;
mod rig;
mod settings;
mod wire;
