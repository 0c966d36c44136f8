//! What each fuzz target does with its bytes. A target panics when something is wrong.
//!
//! A new target: a file here and its line below, a binary in `fuzz_targets/` and in `Cargo.toml`, a folder in
//! `corpus/`.
#![allow(dead_code)] // each fuzz binary uses one target, `tests/it` all of them

pub(crate) mod board_settings;
pub(crate) mod config;
pub(crate) mod fleet_host;
pub(crate) mod fleet_payload;
pub(crate) mod fleet_topic;
pub(crate) mod hat;
pub(crate) mod history;
pub(crate) mod panel;
pub(crate) mod panel_frames;
pub(crate) mod panel_text;
pub(crate) mod rtu;

/// Feeds one input; panics when something is wrong.
pub(crate) type Target = fn(&[u8]);

/// Name, which is the folder in `corpus/`, and function of every target.
pub(crate) const ALL: &[(&str, Target)] = &[
    ("board_settings", board_settings::run),
    ("config", config::run),
    ("fleet_host", fleet_host::run),
    ("fleet_payload", fleet_payload::run),
    ("fleet_topic", fleet_topic::run),
    ("hat", hat::run),
    ("history", history::run),
    ("panel_frames", panel_frames::run),
    ("panel_text", panel_text::run),
    ("rtu", rtu::run),
];
