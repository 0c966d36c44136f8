//! Model manager: under way.
