//! Isolated runtimes on request: under way.
