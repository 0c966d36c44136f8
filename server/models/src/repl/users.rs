//! Who may log in, and how often somebody may guess.
//!
//! A client sends the SHA-256 of the password as 64 hexadecimal digits; that cannot be changed. What the
//! configuration keeps is argon2id of those digits, or, as in AIMM, the digits themselves.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use leitstand_core::time::{Duration, Instant};
use leitstand_kit::config::{Diagnostics, Path};
use subtle::ConstantTimeEq as _;

use crate::config::{ReplRole, UserConfig};

/// Failed logins of one address in a minute before each further attempt is delayed.
pub const FAILURES_MAX: usize = 5;
/// How long.
pub const DELAY: Duration = Duration::from_secs(2);
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered. Beyond it the oldest is forgotten: an attacker with more has other means.
const ADDRESSES_MAX: usize = 1024;

/// For names that do not exist, so that they cost the same.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_digest("nobody").unwrap_or_default());

/// The configured users.
#[derive(Clone, Debug, Default)]
pub struct Users(Arc<BTreeMap<String, (String, ReplRole)>>);

/// argon2id of a digest, for the configuration.
///
/// # Errors
/// No randomness for the salt.
pub fn hash_digest(digest: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default()
        .hash_password(digest.as_bytes())?
        .to_string())
}

/// What a client sends for `password`: its SHA-256 in hexadecimal.
#[must_use]
pub fn digest(password: &str) -> String {
    use sha2::Digest as _;
    leitstand_kit::words::hex(&sha2::Sha256::digest(password.as_bytes()))
}

fn is_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl Users {
    pub(crate) fn check(
        configured: &[UserConfig],
        at: &Path,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut users = BTreeMap::new();
        let mut sound = true;
        for (i, user) in configured.iter().enumerate() {
            let key = at.index(i).key("password");
            if is_digest(&user.password) {
                let message = "this digest is as good as the password";
                diagnostics
                    .warning(&key, "plain_digest", message)
                    .suggest("leitstand hash-password");
            } else if !user.password.starts_with("$argon2id$")
                || PasswordHash::new(&user.password).is_err()
            {
                let message = "neither an argon2id hash nor a SHA-256 in lower-case hexadecimal";
                diagnostics
                    .error(&key, "bad_password", message)
                    .allowed("the output of leitstand hash-password");
                sound = false;
            }
            if users
                .insert(user.username.clone(), (user.password.clone(), user.role))
                .is_some()
            {
                let message = format!("{} stands here twice", user.username);
                diagnostics.error(&at.index(i).key("username"), "duplicate", message);
                sound = false;
            }
        }
        sound.then(|| Self(Arc::new(users)))
    }

    /// The role of whoever that is. Deliberately slow.
    #[must_use]
    pub fn verify(&self, name: &str, digest: &str) -> Option<ReplRole> {
        let found = self.0.get(name);
        let kept = found.map_or(NOBODY.as_str(), |(kept, _)| kept.as_str());
        let same = if kept.starts_with('$') {
            let hash = PasswordHash::new(kept);
            hash.is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(digest.as_bytes(), &hash)
                    .is_ok()
            })
        } else {
            bool::from(kept.as_bytes().ct_eq(digest.as_bytes()))
        };
        found.filter(|_| same).map(|(_, role)| *role)
    }
}

/// Failed logins by address.
#[derive(Debug, Default)]
pub struct Failures(BTreeMap<IpAddr, VecDeque<Instant>>);

impl Failures {
    /// How long an attempt from `address` has to wait.
    pub fn delay(&mut self, now: Instant, address: IpAddr) -> Duration {
        let Some(times) = self.0.get_mut(&address) else {
            return Duration::ZERO;
        };
        times.retain(|at| *at + WINDOW > now);
        if times.len() >= FAILURES_MAX {
            DELAY
        } else {
            Duration::ZERO
        }
    }

    /// One more.
    pub fn note(&mut self, now: Instant, address: IpAddr) {
        if self.0.len() >= ADDRESSES_MAX && !self.0.contains_key(&address) {
            let oldest = self
                .0
                .iter()
                .min_by_key(|(_, times)| times.back().copied())
                .map(|(a, _)| *a);
            oldest.and_then(|address| self.0.remove(&address));
        }
        let times = self.0.entry(address).or_default();
        times.push_back(now);
        if times.len() > FAILURES_MAX {
            times.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn users(password: &str) -> Users {
        let entry = ("user".to_owned(), (password.to_owned(), ReplRole::Operator));
        Users(Arc::new(BTreeMap::from([entry])))
    }

    #[test]
    fn golden_s2_a_digest_and_its_argon2id_both_let_in() {
        let sent = digest("pass");
        assert_eq!(
            sent,
            "d74ff0ee8da3b9806b18c877dbf29bbde50b5bd8e4dad7a3a725000feb82e8f1"
        );
        for kept in [sent.clone(), hash_digest(&sent).unwrap()] {
            let users = users(&kept);
            assert_eq!(users.verify("user", &sent), Some(ReplRole::Operator));
            assert_eq!(users.verify("user", &digest("Pass")), None);
            assert_eq!(users.verify("other", &sent), None);
            assert_eq!(users.verify("user", ""), None);
        }
    }

    #[test]
    fn the_sixth_attempt_in_a_minute_waits_and_others_do_not() {
        let (mut failures, now) = (Failures::default(), Instant::from_secs(100));
        let [bad, good]: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        for _ in 0..FAILURES_MAX {
            assert_eq!(failures.delay(now, bad), Duration::ZERO);
            failures.note(now, bad);
        }
        assert_eq!(
            (failures.delay(now, bad), failures.delay(now, good)),
            (DELAY, Duration::ZERO)
        );
        assert_eq!(failures.delay(now + WINDOW, bad), Duration::ZERO);
    }
}
