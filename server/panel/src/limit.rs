//! Rates that nobody exceeds by hand: plays per HTTP peer, messages per screen.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use leitstand_core::{panel::playback::RateLimit, time::Instant};

/// HTTP peers remembered. Reasoning: more than press in one second in any one place; the oldest go.
const PEERS_MAX: usize = 1024;
/// Messages a second from one screen. Reasoning: a screen reports its preload (100 times in a few seconds), then
/// two or three messages a play.
const MESSAGES_PER_SECOND_MAX: u32 = 100;

/// Plays over HTTP, by peer.
#[derive(Default)]
pub(crate) struct Limits {
    peers: HashMap<IpAddr, (RateLimit, Instant)>,
}

impl Limits {
    /// Whether `peer` may start one more play now.
    pub(crate) fn admit(&mut self, peer: IpAddr, now: Instant) -> bool {
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&peer) {
            self.peers
                .retain(|_, (_, last)| now - *last < Duration::from_secs(1));
            if self.peers.len() >= PEERS_MAX {
                return false;
            }
        }
        let (limit, last) = self.peers.entry(peer).or_default();
        *last = now;
        limit.admit(now)
    }
}

/// Messages of one screen.
#[derive(Default)]
pub(crate) struct MessageLimit {
    second: u64,
    count: u32,
}

impl MessageLimit {
    /// Whether one more message is taken now.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        let second = now.as_millis() / 1000;
        if second != self.second {
            *self = Self { second, count: 0 };
        }
        self.count += 1;
        self.count <= MESSAGES_PER_SECOND_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn twenty_a_second_for_each_peer() {
        let mut limits = Limits::default();
        let now = Instant::from_millis(500);
        let admitted = (0..30).filter(|_| limits.admit(ip(1), now)).count();
        assert_eq!(admitted, 20);
        assert!(limits.admit(ip(2), now), "another peer is not held liable");
        assert!(limits.admit(ip(1), Instant::from_millis(1500)));
    }

    #[test]
    fn peers_are_bounded_and_forgotten() {
        let mut limits = Limits::default();
        let now = Instant::from_secs(5);
        let admitted = (0..2000).filter(|n| limits.admit(ip(*n), now)).count();
        assert_eq!(admitted, PEERS_MAX);
        assert!(limits.admit(ip(5000), Instant::from_secs(6)));
        assert_eq!(limits.peers.len(), 1);
    }

    #[test]
    fn messages_are_counted_by_the_second() {
        let mut limit = MessageLimit::default();
        let count = |limit: &mut MessageLimit, ms| {
            (0..500)
                .filter(|_| limit.admit(Instant::from_millis(ms)))
                .count()
        };
        assert_eq!(count(&mut limit, 100), 100);
        assert_eq!(count(&mut limit, 999), 0);
        assert_eq!(count(&mut limit, 1000), 100);
    }
}
