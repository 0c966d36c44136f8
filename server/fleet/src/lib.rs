//! Fleet Protocol v2 External Server: under way.
