//! The classic protocol of Anweddol, framings W1 to W3, as values that are fed and drained.
//!
//! | Module | What |
//! |---|---|
//! | [`crypto`] | RSA-OAEP, AES-256-CBC, PEM; nothing of the protocol |
//! | [`session`] | the server's side of one connection: exchange, one request, one response |
//! | [`client`] | the other side, blocking, for tests, benches and people who debug |
//! | [`request`], [`response`] | what is inside the packets |
//!
//! The table of bytes is in `docs/containers.md`.

pub mod client;
pub mod crypto;
pub mod request;
pub mod response;
pub mod session;

/// "Go on."
pub const ACK: u8 = b'1';
/// "No."
pub const NAK: u8 = b'0';
/// Bytes of a length in clear: decimal digits, padded with `=` on the right.
pub const CLEAR_HEADER_BYTES: usize = 8;
/// Longest PEM of a key. Reasoning: 8192 bits take 1.5 KiB; ten times that is somebody playing.
pub const KEY_BYTES_MAX: usize = 16_384;
/// Longest request, initialisation vector included. Reasoning: DESTROY takes 400 bytes.
pub const REQUEST_BYTES_MAX: usize = 65_536;

/// `800` as `800=====`.
#[must_use]
pub fn clear_header(length: usize) -> [u8; CLEAR_HEADER_BYTES] {
    let mut header = [b'='; CLEAR_HEADER_BYTES];
    let digits = length.to_string();
    debug_assert!(
        digits.len() <= CLEAR_HEADER_BYTES,
        "lengths are bounded far below"
    );
    for (to, from) in header.iter_mut().zip(digits.bytes()) {
        *to = from;
    }
    header
}

/// The length in a clear header: one to eight digits, the first not zero, then only `=`.
#[must_use]
pub fn parse_clear_header(header: &[u8; CLEAR_HEADER_BYTES]) -> Option<usize> {
    let digits = header.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, padding) = header.split_at(digits);
    if padding.iter().any(|b| *b != b'=') || number.first().is_none_or(|b| *b == b'0') {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_headers_are_digits_and_equal_signs() {
        assert_eq!(&clear_header(800), b"800=====");
        assert_eq!(parse_clear_header(b"800====="), Some(800));
        assert_eq!(parse_clear_header(b"99999999"), Some(99_999_999));
        for bad in [
            b"0=======",
            b"-5======",
            b"abcdefgh",
            b"1e3=====",
            b"80 =====",
            b"08======",
            b"8==0====",
            b"========",
        ] {
            assert_eq!(parse_clear_header(bad), None, "{bad:?}");
        }
    }
}
