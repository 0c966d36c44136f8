//! Names and secrets: container ids, tokens, passwords. Secrets are kept as digests only.

use leitstand_kit::words::hex;
use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Random bytes of a client token: 191 make 255 characters of URL-safe base64 (`specs/containers.md` 2.8).
const CLIENT_TOKEN_BYTES: usize = 191;
/// Random bytes of an access token: 93 make 124 characters.
const ACCESS_TOKEN_BYTES: usize = 93;
/// Characters of an SSH password.
const PASSWORD_CHARS: usize = 120;

/// Name of one container: a version 4 UUID, written in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(u128);

impl ContainerId {
    /// A fresh one.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = random::<16>();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            n >> 80 & 0xffff,
            n >> 64 & 0xffff,
            n >> 48 & 0xffff,
            n & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not `8-4-4-4-12` lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl FromStr for ContainerId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(NotAnId);
        }
        let mut n = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let digit = match (at, byte) {
                (8 | 13 | 18 | 23, b'-') => continue,
                (8 | 13 | 18 | 23, _) => return Err(NotAnId),
                (_, b'0'..=b'9') => byte - b'0',
                (_, b'a'..=b'f') => byte - b'a' + 10,
                _ => return Err(NotAnId),
            };
            n = n << 4 | u128::from(digit);
        }
        Ok(Self(n))
    }
}

/// SHA-256 of a secret, as stored. Comparing takes the same time whatever differs.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Of the text that a client presents. 744 and more random bits need no salt.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// From the hex text of the database.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// As the database holds it.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// Random bytes from the operating system's generator.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(
        clippy::expect_used,
        reason = "without randomness no secret may be made; the library aborts on most platforms itself"
    )]
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random numbers");
    bytes
}

/// Proves ownership of one container at DESTROY; 255 characters, shown once.
#[must_use]
pub fn new_client_token() -> String {
    URL_SAFE_NO_PAD.encode(random::<CLIENT_TOKEN_BYTES>())
}

/// Permits use of the service; 124 characters, shown once.
#[must_use]
pub fn new_access_token() -> String {
    URL_SAFE_NO_PAD.encode(random::<ACCESS_TOKEN_BYTES>())
}

/// 120 letters and digits.
#[must_use]
pub fn new_password() -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(PASSWORD_CHARS);
    while text.len() < PASSWORD_CHARS {
        // Values from 248 on would favour the first letters.
        let fair = random::<64>().into_iter().filter(|b| *b < 248);
        text.extend(fair.map(|b| char::from(ALPHABET[usize::from(b % 62)])));
        text.truncate(PASSWORD_CHARS);
    }
    text
}

/// `user_` and a number from 10000 to 90000.
#[must_use]
pub fn new_username() -> String {
    let n = u64::from_be_bytes(random()) % 80_001;
    format!("user_{}", 10_000 + n)
}

/// First 7 hex digits of SHA-256 of the peer's address, for logs that shall not name it.
#[must_use]
pub fn client_id(ip: std::net::IpAddr) -> String {
    let mut text = hex(&Sha256::digest(ip.to_canonical().to_string().as_bytes()));
    text.truncate(7);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_4_and_parse_back() {
        let id = ContainerId::random();
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&text.as_bytes()[19]), "{text}");
        for bad in [
            "",
            "2FA524AA-65fc-441c-871a-8e73626cdb05",
            "2fa524aa-65fc-441c-871a-8e73626cdb05\n",
        ] {
            assert_eq!(bad.parse::<ContainerId>(), Err(NotAnId), "{bad:?}");
        }
    }

    #[test]
    fn secrets_have_the_lengths_that_clients_check() {
        assert_eq!(new_client_token().len(), 255);
        assert_eq!(new_access_token().len(), 124);
        let password = new_password();
        assert_eq!(password.len(), 120);
        assert!(password.bytes().all(|b| b.is_ascii_alphanumeric()));
        let user = new_username();
        assert!(user.len() == 10 && user.starts_with("user_"), "{user}");
    }

    #[test]
    fn a_peer_is_named_by_its_digest() {
        assert_eq!(client_id([127, 0, 0, 1].into()), "12ca17b");
        assert_eq!(
            client_id("::ffff:127.0.0.1".parse().unwrap_or([0; 4].into())),
            "12ca17b"
        );
    }

    #[test]
    fn a_digest_survives_the_database() {
        let hash = SecretHash::of("secret");
        assert_eq!(SecretHash::from_hex(&hash.hex()), Some(hash));
        assert!(SecretHash::of("Secret") != hash);
        assert_eq!(SecretHash::from_hex("xyz"), None);
    }
}
