//! The panel's cable, beginning in binary v2.

/// Runs one script.
pub(crate) fn run(data: &[u8]) {
    super::panel::run(data, true);
}
