//! Statuses in counter order, however they arrive.
//!
//! Counters are compared modulo 2^32: a number less than half the range ahead is newer. What is missing is timed in
//! ranges; since a later gap is noticed later, only the deadline of the number that is waited for can be the next.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use leitstand_core::time::Instant;

use crate::wire::Status;

/// Numbers that may be missing at a time. Reasoning: 30 s of waiting at ten statuses a second is 300; a vehicle that
/// jumps further has lost its counter.
pub const GAP_MAX: u32 = 1000;
/// Bytes of statuses held while an earlier one is missing, per car. Reasoning: 300 statuses of 10 KiB.
pub(crate) const HELD_BYTES_MAX: usize = 4 << 20;

/// What became of a status.
#[derive(Debug, PartialEq)]
pub(crate) enum Taken {
    /// It is the one that was waited for; take it, then call [`StatusOrder::next_ready`].
    Ready(Status),
    /// An earlier one is missing.
    Held,
    /// It was here before.
    Old,
    /// It is too far ahead, or too much is held.
    TooFar,
}

/// The order of one session.
#[derive(Debug, Default)]
pub(crate) struct StatusOrder {
    /// The next number, once a baseline is known.
    expected: Option<u32>,
    /// Statuses that came early, by their distance from `origin`.
    held: BTreeMap<u64, Status>,
    held_bytes: usize,
    /// Distance 0. Distances grow with the session, so that a map can order numbers that wrap.
    distance: u64,
    /// Missing numbers as ranges of distances, in order, each with the end of the patience for it.
    missing: VecDeque<(u64, u64, Instant)>,
    /// How many numbers were ever missing, and how many of them came late.
    pub(crate) ever_missing: u64,
    pub(crate) came_late: u64,
}

impl StatusOrder {
    /// The first number that is expected; `None` takes that of the first status.
    pub(crate) fn new(expected: Option<u32>) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    /// Sorts in `status`.
    pub(crate) fn take(&mut self, now: Instant, timeout: Duration, status: Status) -> Taken {
        let counter = status.message_counter;
        let expected = *self.expected.get_or_insert(counter);
        let ahead = counter.wrapping_sub(expected);
        if ahead > u32::MAX / 2 {
            return Taken::Old;
        }
        if ahead == 0 {
            let was_missing = self.missing.front().is_some_and(|m| m.0 <= self.distance);
            self.came_late += u64::from(was_missing);
            self.advance();
            return Taken::Ready(status);
        }
        let at = self.distance + u64::from(ahead);
        let bytes = size_of(&status);
        if ahead > GAP_MAX || self.held_bytes + bytes > HELD_BYTES_MAX {
            return Taken::TooFar;
        }
        if self.held.contains_key(&at) {
            return Taken::Old;
        }
        let highest = self.held.last_key_value().map(|(at, _)| *at);
        let first_missing = highest.map_or(self.distance, |h| h + 1);
        if at < first_missing {
            self.came_late += 1;
        } else if at > first_missing {
            self.missing
                .push_back((first_missing, at - 1, now + timeout));
            self.ever_missing += at - first_missing;
        }
        self.held_bytes += bytes;
        self.held.insert(at, status);
        Taken::Held
    }

    /// The next of the statuses that were held and are now in turn.
    pub(crate) fn next_ready(&mut self) -> Option<Status> {
        let status = self.held.remove(&self.distance)?;
        self.held_bytes -= size_of(&status);
        self.advance();
        Some(status)
    }

    fn advance(&mut self) {
        self.expected = self.expected.map(|n| n.wrapping_add(1));
        self.distance += 1;
        while self.missing.front().is_some_and(|m| m.1 < self.distance) {
            self.missing.pop_front();
        }
    }

    /// When patience for the number that is waited for ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.missing.front().map(|m| m.2)
    }

    /// The number that is waited for.
    pub(crate) fn expected(&self) -> Option<u32> {
        self.expected
    }

    /// Statuses that wait for an earlier one.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Numbers between the next one and the highest held that did not arrive.
    pub(crate) fn still_missing(&self) -> u64 {
        self.held.last_key_value().map_or(0, |(last, _)| {
            last - self.distance + 1 - self.held.len() as u64
        })
    }
}

/// What a held status costs.
fn size_of(status: &Status) -> usize {
    let data = status.device_status.as_ref();
    let data = data.map_or(0, |d| d.status_data.len());
    256 + data + status.error_message.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(3);

    fn status(counter: u32) -> Status {
        Status {
            message_counter: counter,
            ..Status::default()
        }
    }

    /// Feeds `counters` and answers the order in which they come out.
    fn feed(order: &mut StatusOrder, now: Instant, counters: &[u32]) -> Vec<u32> {
        let mut out = Vec::new();
        for &counter in counters {
            if let Taken::Ready(status) = order.take(now, TIMEOUT, status(counter)) {
                out.push(status.message_counter);
                while let Some(status) = order.next_ready() {
                    out.push(status.message_counter);
                }
            }
        }
        out
    }

    #[test]
    fn a_gap_is_timed_when_it_is_noticed_and_only_once() {
        let mut order = StatusOrder::new(Some(1));
        let t = Instant::from_secs;
        assert_eq!(feed(&mut order, t(0), &[1]), [1]);
        assert_eq!(order.deadline(), None);
        assert_eq!(feed(&mut order, t(1), &[6]), [] as [u32; 0]);
        assert_eq!(order.deadline(), Some(t(4)));
        assert_eq!(feed(&mut order, t(2), &[9, 3, 2]), [2, 3]);
        assert_eq!(
            order.deadline(),
            Some(t(4)),
            "4 and 5 were missing since 1 s"
        );
        assert_eq!(feed(&mut order, t(3), &[5, 4]), [4, 5, 6]);
        assert_eq!(order.deadline(), Some(t(5)), "7 and 8 since 2 s");
        assert_eq!(feed(&mut order, t(3), &[7, 8]), [7, 8, 9]);
        assert_eq!((order.deadline(), order.held()), (None, 0));
        assert_eq!((order.ever_missing, order.came_late), (6, 6));
    }

    #[test]
    fn a_jump_beyond_all_reason_is_refused_and_so_is_the_past() {
        let mut order = StatusOrder::new(Some(5));
        assert_eq!(order.take(Instant::ZERO, TIMEOUT, status(4)), Taken::Old);
        let far = status(5 + GAP_MAX + 1);
        assert_eq!(order.take(Instant::ZERO, TIMEOUT, far), Taken::TooFar);
        assert_eq!(
            order.take(Instant::ZERO, TIMEOUT, status(0x8000_0005)),
            Taken::Old
        );
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut order = StatusOrder::new(Some(0));
        let big = |counter| {
            let mut status = status(counter);
            status.error_message = Some(vec![0; 250 * 1024]);
            status
        };
        let held = (1..100)
            .take_while(|n| order.take(Instant::ZERO, TIMEOUT, big(*n)) == Taken::Held)
            .count();
        assert!((15..=16).contains(&held), "{held}");
    }

    proptest! {
        /// Any shuffle with duplicates, from any start, also over the wrap, comes out once and in order.
        #[test]
        fn every_status_comes_out_exactly_once_and_in_order(
            start in prop_oneof![Just(0), Just(u32::MAX - 5), any::<u32>()],
            picks in proptest::collection::vec(0u32..40, 0..400),
        ) {
            let mut order = StatusOrder::new(Some(start));
            let mut fed: Vec<u32> = picks.iter().map(|n| start.wrapping_add(*n)).collect();
            fed.extend((0..40).map(|n| start.wrapping_add(n)));
            let out = feed(&mut order, Instant::ZERO, &fed);
            let all: Vec<u32> = (0..40).map(|n| start.wrapping_add(n)).collect();
            prop_assert_eq!(out, all);
            prop_assert_eq!(order.held(), 0);
            prop_assert_eq!(order.held_bytes, 0);
            prop_assert_eq!(order.deadline(), None);
            prop_assert_eq!(order.ever_missing, order.came_late);
        }
    }
}
