//! Secrets: made at random, kept as hashes, never printed.

use std::{fmt, sync::LazyLock};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Letters of random secrets: base 32 of RFC 4648 in lower case, which survives being read aloud.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// What tokens begin with, so that scanners for leaked secrets find them.
pub(super) const TOKEN_PREFIX: &str = "lst_";
/// Letters of a token or session: 160 bits.
const SECRET_LETTERS: usize = 32;
/// Letters of a claim code: 60 bits, guessed through a rate limit.
const CLAIM_LETTERS: usize = 12;

/// A text that must not be seen. Deliberately without `Display` and `Serialize`.
#[derive(Clone)]
pub(super) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// SHA-256 of a random secret. Looked up by equality: what timing could tell is about the hash, not the secret.
pub(super) type Hash = [u8; 32];

impl Secret {
    /// A token with its prefix.
    pub(super) fn token() -> Result<Self, getrandom::Error> {
        Ok(Self(format!(
            "{TOKEN_PREFIX}{}",
            random_letters(SECRET_LETTERS)?
        )))
    }

    /// A session cookie's value.
    pub(super) fn session() -> Result<Self, getrandom::Error> {
        random_letters(SECRET_LETTERS).map(Self)
    }

    /// A claim code such as `abcd-efgh-ijkl`.
    pub(super) fn claim() -> Result<Self, getrandom::Error> {
        let letters = random_letters(CLAIM_LETTERS)?;
        Ok(Self(format!(
            "{}-{}-{}",
            &letters[..4],
            &letters[4..8],
            &letters[8..]
        )))
    }

    /// The text, to be handed to its owner.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn hash(&self) -> Hash {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// Whether both are the same code, in constant time; capitals, hyphens and spaces do not matter.
    pub(super) fn is_same_code(&self, other: &Self) -> bool {
        let plain = |code: &str| {
            let letters = code.chars().filter(char::is_ascii_alphanumeric);
            Secret(letters.map(|c| c.to_ascii_lowercase()).collect()).hash()
        };
        plain(&self.0).ct_eq(&plain(&other.0)).into()
    }

    /// argon2id with a random salt, 19 MiB and two passes (OWASP's minimum), as a PHC string.
    pub(super) fn to_password_hash(&self) -> Result<String, argon2::password_hash::Error> {
        Ok(Argon2::default()
            .hash_password(self.0.as_bytes())?
            .to_string())
    }

    /// Whether this is the password behind `phc`. Without a user pass `None`: it then takes as long and is false, so that
    /// nobody can find out names by the clock.
    pub(super) fn is_password_of(&self, phc: Option<&str>) -> bool {
        static NOBODY: LazyLock<Option<String>> =
            LazyLock::new(|| Secret::from("nobody").to_password_hash().ok());
        let known = phc.is_some();
        let Some(phc) = phc.or(NOBODY.as_deref()) else {
            return false;
        };
        let matches = PasswordHash::new(phc).is_ok_and(|phc| {
            Argon2::default()
                .verify_password(self.0.as_bytes(), &phc)
                .is_ok()
        });
        matches && known
    }

    pub(super) fn chars(&self) -> usize {
        self.0.chars().count()
    }
}

fn random_letters(count: usize) -> Result<String, getrandom::Error> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes)?;
    // 256 is a multiple of 32: every letter is equally likely.
    Ok(bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::token().unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn tokens_are_random_and_recognisable() {
        let (one, two) = (Secret::token().unwrap(), Secret::token().unwrap());
        assert_ne!(one.reveal(), two.reveal());
        assert!(one.reveal().starts_with("lst_"));
        assert_eq!(one.reveal().len(), 36);
        assert_eq!(one.hash(), Secret::from(one.reveal()).hash());
    }

    #[test]
    fn a_claim_code_may_be_typed_in_capitals_and_without_hyphens() {
        let code = Secret::from("abcd-efgh-2345");
        assert!(code.is_same_code(&"ABCD EFGH2345".into()));
        assert!(!code.is_same_code(&"abcd-efgh-2346".into()));
        assert!(!code.is_same_code(&"".into()));
        assert!(!Secret::claim().unwrap().is_same_code(&"x".into()));
    }

    #[test]
    fn passwords_are_kept_as_argon2id() {
        let password = Secret::from("correct horse");
        let phc = password.to_password_hash().unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_ne!(phc, password.to_password_hash().unwrap(), "salted");
        assert!(password.is_password_of(Some(&phc)));
        assert!(!Secret::from("correct hors").is_password_of(Some(&phc)));
        assert!(!password.is_password_of(Some("nonsense")));
        assert!(
            !Secret::from("nobody").is_password_of(None),
            "an unknown user has no password"
        );
    }
}
