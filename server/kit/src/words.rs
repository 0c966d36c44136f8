//! How the house writes down what has no words of its own.

use std::error::Error;

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // A `String` takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// An error and all its causes, in one line: `reading status: No such file or directory`.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_their_leading_zeros() {
        assert_eq!(hex(&[0x00, 0x0F, 0xFF]), "000fff");
    }

    #[test]
    fn every_cause_is_told_once_and_in_order() {
        #[derive(Debug, thiserror::Error)]
        #[error("starting")]
        struct Outer(#[source] Inner);
        #[derive(Debug, thiserror::Error)]
        #[error("reading status")]
        struct Inner(#[source] std::io::Error);
        let error = Outer(Inner(std::io::Error::other("disk on fire")));
        assert_eq!(
            with_causes(&error),
            "starting: reading status: disk on fire"
        );
    }
}
