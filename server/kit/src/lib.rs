//! # leitstand-kit
//!
//! What every service of the gateway stands on. It knows no service.
//!
//! ## Terms
//! - **Service**: a part of the gateway behind the trait [`Service`]; it gets a [`Context`] and runs until
//!   its stop token fires.
//! - **Loop**: something in a service that must turn regularly (an async task or an OS thread). It holds a
//!   [`health::Heartbeat`]; a critical loop that is late makes its service fail.
//! - **Event**: a past-tense fact with a gap-free sequence number, stored before it is shown.
//! - **Frame**: the latest state of a service as JSON, for live pages.
//! - **Caller**: who makes a request, with a role ([`auth::access`]).
//!
//! ## Code map
//! | Module | What |
//! |---|---|
//! | [`service`] | the trait, its error, the [`Context`] |
//! | [`supervisor`] | start order, restart with back-off and budget, stop in reverse |
//! | [`health`] | heartbeats and the report behind `/healthz` |
//! | [`clock`], [`drive`] | monotonic and wall time; the one loop around a machine |
//! | [`store`] | SQLite with one writer thread; [`store::state_file`] for what must survive a broken database |
//! | [`events`] | the journal: hash chain, retention, query, CSV, subscription |
//! | [`history`] | every reading, for years: recorder, rollups, ranges |
//! | [`frames`] | latest state per service |
//! | [`metrics`] | counters, gauges, histograms, text exposition |
//! | [`config`] | all mistakes of a TOML file at once, with line and column; schema and reference |
//! | [`auth`] | users, tokens, claim code, sessions, roles, audit |
//! | [`tls`] | the certificate that the gateway shows: from files, or made by itself |
//! | [`api`] | problems, JSON in and out, pages, ETags, the gateway's own routes |
//!
//! ## Deliberately absent
//! Services, HAL crates, environment variables, sockets, HTML, command lines. Domain types carry no JSON; the
//! views of a service do.
#![forbid(unsafe_code)]

pub mod api;
pub mod auth;
pub mod clock;
pub mod config;
pub mod drive;
pub mod events;
pub mod frames;
pub mod health;
pub mod history;
pub mod metrics;
pub mod service;
pub mod store;
pub mod supervisor;
pub mod tls;
pub mod words;

pub use auth::access;
pub use clock::{Clock, Wall};
pub use events::{Events, NewEvent, Severity};
pub use frames::Frames;
pub use health::{Health, Heartbeat};
pub use metrics::Metrics;
pub use service::{BoxFuture, Context, Exit, Paths, Service, ServiceError, Site};
pub use store::Store;
pub use supervisor::Supervisor;
pub use tokio_util::sync::CancellationToken;
