//! # leitstand-panel
//!
//! Illuminated buttons that play a picture and a sound in every browser.
//!
//! ## Terms
//! *Board*: the microcontroller with its buttons, on a serial port. *Screen*: a browser that is connected to
//! `/ws`. *Medium*: what belongs to a button, by number. *Play*: one run of a medium, with a number of its own
//! (`seq`). *Late joiner*: a screen that connects while something plays. *Delivery*: one frame for one screen.
//!
//! ## Code map
//! | Module | What |
//! |---|---|
//! | [`config`] | the section of the file, checked |
//! | [`port`] | which device a board is behind, looked up at every open |
//! | [`cable`] | the thread of one board: port, link, hot-plug |
//! | [`room`] | the machine: playback, screens, boards, what is told to whom |
//! | [`fanout`] | one frame to all screens, encoded once |
//! | [`socket`] | handshake and reading of one screen |
//! | [`wire`] | the messages of `/ws` |
//! | [`media`], [`sniff`] | files, manifest, revision; what a file really is |
//! | [`content`] | changing them: uploads, texts, backups |
//! | [`ambience`], [`schedule`] | how loud and bright at this moment: levels, opening hours, idleness, effects |
//! | [`settings`], [`stats`] | what is kept in the database: what people set; plays by button and hour |
//! | [`latency`] | percentiles of the last plays |
//! | `service`, `api`, `view` | the instance, the routes, the JSON |
//!
//! Entry: [`Panel::new`], then [`Panel::instance`] for the supervisor.
//!
//! ## Deliberately absent
//! The text and binary protocols, debouncing, the rules of playback (`leitstand_core::panel`), pages and scripts,
//! HAL crates: the binary passes functions that open a port.
#![forbid(unsafe_code)]

pub mod ambience;
mod api;
pub mod cable;
pub mod config;
pub mod content;
pub mod fanout;
pub mod latency;
mod limit;
pub mod media;
pub mod port;
pub mod room;
pub mod schedule;
mod service;
pub mod settings;
pub mod sniff;
pub mod socket;
pub mod stats;
#[cfg(test)]
mod test_media;
pub mod view;
pub mod wire;

pub use cable::OpenPort;
pub use config::{PanelConfig, Settings};
pub use service::Panel;

/// Name of the service: URL prefix, section of the configuration, name in events and health.
pub const SERVICE: &str = "panel";
