//! The `leitstand` binary.
fn main() {}
