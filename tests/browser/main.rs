//! The pages in a real Chromium against the real demo. Skipped with a visible line where Chromium is absent,
//! required with `CI=true`.
//!
//! `LEITSTAND_SCREENSHOTS=1 cargo test -p leitstand-tests --test browser` also writes the pictures of
//! `docs/screenshots/`; without it a test run leaves the tree clean.
#![allow(clippy::unwrap_used)]

mod chrome;
mod content;
mod door;
mod layout;
mod pictures;
mod visit;
