//! # leitstand-gas
//!
//! The gas-warning service: polls sensors, evaluates zones, keeps alarms over restarts, switches relays.
//! Entry: [`build`], then [`Gas::into_plan`].
//!
//! ## Terms
//! *Cell, set point, alarm, level, health, overlay*: see `leitstand_core::gas`, which decides everything.
//! - *evaluation thread*: the one OS thread that owns the station. It never waits for the async runtime, a disk,
//!   a bus or a browser.
//! - *bus thread*: one OS thread a serial line, polls at its own pace.
//! - *runtime information*: the file `gas.status`, what survives a power cut.
//! - *order*: a person's command; answered when its effect is durable.
//! - *not wired*: an output whose image is computed and shown, without a board that is driven.
//!
//! ## Code map
//! | Module | What |
//! |---|---|
//! | [`config`] | sections `[gas]` and `[power]`: shape with its documentation, and every semantic rule |
//! | [`site`] | the checked site: plan by position, names by position |
//! | [`seam`] | where bus threads and the evaluation meet |
//! | `task` | the evaluation thread |
//! | `persist` | runtime information: saved, loaded, caught up from the journal |
//! | `self_test` | program image, memory, disk, clock: at the start and every day |
//! | `quality` | floods, chattering and stale alarms |
//! | `service` | threads started, watched, stopped; the safe state |
//! | [`configuration`], `front`, `handover` | another configuration while it runs |
//! | `hub` | long-lived handles behind the routes; carries out orders |
//! | `api`, [`view`], `snapshot` | HTTP, its JSON, and how that is made from the station |
//! | `audit` | what a person's command changed, before and after |
//! | [`calibration`], [`errand`], [`records`] | zero and span with a second confirmation, registers written by the bus thread, what is kept |
//! | `facts` | events as journal entries, and the way back |
//! | [`bus`], [`register`] | the threads of buses and of shift-register boards |
//! | [`replay`], [`import`], [`simulate`] | recorded readings, foreign configurations, made-up values |
//!
//! ## Deliberately absent
//! HAL crates, environment variables, other services, decisions.

mod api;
mod audit;
pub mod bus;
pub mod calibration;
pub mod config;
pub mod configuration;
pub mod errand;
mod facts;
mod front;
mod handover;
mod history;
mod hub;
pub mod import;
mod metrics;
mod persist;
mod quality;
mod record;
pub mod records;
pub mod register;
pub mod replay;
pub mod scan;
pub mod seam;
mod self_test;
mod service;
pub mod simulate;
pub mod site;
mod snapshot;
pub mod station;
mod supply;
mod task;
pub mod view;

pub use persist::StateError;
pub use service::{BuildError, Gas, Setup, build};
