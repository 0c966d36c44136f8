//! The panel's cable, beginning in text.

/// Runs one script.
pub(crate) fn run(data: &[u8]) {
    super::panel::run(data, false);
}
