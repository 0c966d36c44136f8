//! How often an address may try a password or a claim code.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Tries in a row. Reasoning: a person mistypes a few times; a program needs millions.
const TRIES: u32 = 5;
/// One try comes back every so often.
const REFILL: Duration = Duration::from_secs(12);
/// Addresses remembered. Reasoning: about 64 kB; an attacker with more addresses meets the one-at-a-time hashing.
const ADDRESSES_MAX: usize = 1024;

/// A bucket of tries per address.
#[derive(Default)]
pub(super) struct Limiter {
    used: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// When all tries are back, as time since the process started.
    full_at: Duration,
}

impl Limiter {
    /// Takes one try of `address` at `now` (uptime).
    ///
    /// # Errors
    /// How long to wait for the next one.
    pub(super) fn take(&self, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        if used.len() >= ADDRESSES_MAX && !used.contains_key(&address) {
            used.retain(|_, bucket| bucket.full_at > now);
            // All are busy: forget the one that is nearest to being forgotten anyway.
            if used.len() >= ADDRESSES_MAX
                && let Some(oldest) = used.iter().min_by_key(|(_, b)| b.full_at).map(|(a, _)| *a)
            {
                used.remove(&oldest);
            }
        }
        let bucket = used.entry(address).or_insert(Bucket { full_at: now });
        let full_at = bucket.full_at.max(now) + REFILL;
        let most = REFILL * TRIES;
        if full_at - now > most {
            return Err(full_at - now - most);
        }
        bucket.full_at = full_at;
        Ok(())
    }

    /// The try was right: it does not count, nor do the ones before.
    pub(super) fn forgive(&self, address: IpAddr) {
        self.used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&network(address));
    }
}

/// One customer has one IPv4 address or one IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn guessing_is_slowed_down_per_address() {
        let limiter = Limiter::default();
        let (now, one, two) = (
            Duration::from_secs(100),
            "10.0.0.1".parse().unwrap(),
            "10.0.0.2".parse().unwrap(),
        );
        for _ in 0..TRIES {
            limiter.take(one, now).unwrap();
        }
        assert_eq!(limiter.take(one, now), Err(REFILL));
        assert_eq!(limiter.take(two, now), Ok(()));
        assert_eq!(limiter.take(one, now + REFILL), Ok(()));
        assert!(limiter.take(one, now + REFILL).is_err());
        limiter.forgive(one);
        assert_eq!(limiter.take(one, now + REFILL), Ok(()));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_a_mapped_ipv4_as_itself() {
        let limiter = Limiter::default();
        for n in 0..TRIES {
            limiter
                .take(format!("2001:db8::{n}").parse().unwrap(), Duration::ZERO)
                .unwrap();
        }
        assert!(
            limiter
                .take("2001:db8::ffff".parse().unwrap(), Duration::ZERO)
                .is_err()
        );
        for _ in 0..TRIES {
            limiter
                .take("::ffff:10.0.0.1".parse().unwrap(), Duration::ZERO)
                .unwrap();
        }
        assert!(
            limiter
                .take("10.0.0.1".parse().unwrap(), Duration::ZERO)
                .is_err()
        );
    }

    #[test]
    fn many_addresses_do_not_fill_the_memory() {
        let limiter = Limiter::default();
        for n in 0..10_000_u32 {
            let _ = limiter.take(IpAddr::from(n.to_be_bytes()), Duration::ZERO);
        }
        assert!(limiter.used.lock().unwrap().len() <= ADDRESSES_MAX);
    }
}
