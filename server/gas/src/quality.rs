//! How good the alarms are: too many at once, the same one again and again, or one that stands for days.
//!
//! Numbers of ISA-18.2: a flood is more than 10 in 10 minutes and ends below 5; an alarm chatters when it is raised
//! three times within a minute; it is stale after a day. Counted from the start of the service.

use leitstand_core::gas::AlarmKey;
use leitstand_core::time::Instant;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

const TEN_MINUTES: Duration = Duration::from_secs(600);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// More than this in ten minutes is a flood.
const FLOOD: usize = 10;
/// Fewer than this end it.
const FLOOD_ENDS: usize = 5;
/// Raised this often within a minute is chattering.
const CHATTER: usize = 3;
/// Raises of a day that are remembered. Reasoning: one a second for an hour and a half; beyond, the count stands
/// still at this and the flood has long been told.
const RAISED_MAX: usize = 5_000;

/// What was raised when.
#[derive(Debug, Default)]
pub(crate) struct Quality {
    /// Of the last day, oldest first.
    raised: VecDeque<Instant>,
    /// The last raises of each alarm.
    recent: HashMap<AlarmKey, [Option<Instant>; CHATTER]>,
    flooded: bool,
}

/// How it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) last_10_min: usize,
    pub(crate) last_day: usize,
    pub(crate) flood: bool,
    pub(crate) chattering: Vec<AlarmKey>,
}

impl Quality {
    pub(crate) fn raised(&mut self, now: Instant, key: AlarmKey) {
        if self.raised.len() >= RAISED_MAX {
            self.raised.pop_front();
        }
        self.raised.push_back(now);
        let recent = self.recent.entry(key).or_default();
        recent.rotate_left(1);
        recent[CHATTER - 1] = Some(now);
    }

    /// Lets go of what is too old. Answers whether a flood began (`Some(true)`) or ended.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<bool> {
        while self.raised.front().is_some_and(|at| now.since(*at) >= DAY) {
            self.raised.pop_front();
        }
        self.recent.retain(|_, recent| {
            recent
                .iter()
                .flatten()
                .any(|at| now.since(*at) < TEN_MINUTES)
        });
        let count = self.within(now, TEN_MINUTES);
        let flooded = if self.flooded {
            count >= FLOOD_ENDS
        } else {
            count > FLOOD
        };
        let news = (flooded != self.flooded).then_some(flooded);
        self.flooded = flooded;
        news
    }

    pub(crate) fn figures(&self, now: Instant) -> Figures {
        let mut chattering: Vec<AlarmKey> = self
            .recent
            .iter()
            .filter(|(_, recent)| chatters(recent, now))
            .map(|(key, _)| *key)
            .collect();
        chattering.sort_by_key(|key| format!("{key:?}"));
        Figures {
            last_10_min: self.within(now, TEN_MINUTES),
            last_day: self.raised.len(),
            flood: self.flooded,
            chattering,
        }
    }

    fn within(&self, now: Instant, span: Duration) -> usize {
        let recent = self.raised.iter().rev();
        recent.take_while(|at| now.since(**at) < span).count()
    }
}

/// Three within a minute, and the last of them not long ago.
fn chatters(recent: &[Option<Instant>; CHATTER], now: Instant) -> bool {
    let (Some(first), Some(last)) = (recent[0], recent[CHATTER - 1]) else {
        return false;
    };
    last.since(first) < MINUTE && now.since(last) < TEN_MINUTES
}

/// An alarm that stands for a day tells nobody anything.
pub(crate) fn is_stale(active: bool, age: Option<Duration>) -> bool {
    active && age.is_some_and(|age| age >= DAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leitstand_core::gas::SetPointIndex;

    fn key(at: u8) -> AlarmKey {
        AlarmKey::SetPoint(SetPointIndex(at))
    }

    fn s(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    #[test]
    fn the_eleventh_in_ten_minutes_is_a_flood_that_ends_below_five() {
        let mut quality = Quality::default();
        let mut told = Vec::new();
        for at in 0..11 {
            quality.raised(s(at * 10), key(at as u8));
            told.extend(quality.tick(s(at * 10)).map(|flood| (at * 10, flood)));
        }
        assert_eq!(told, [(100, true)]);
        told.clear();
        for at in (101..800).step_by(1) {
            told.extend(quality.tick(s(at)).map(|flood| (at, flood)));
        }
        // At 660 s the raise of 60 s left; those of 70, 80, 90 and 100 s remain.
        assert_eq!(told, [(660, false)]);
    }

    #[test]
    fn three_in_a_minute_chatter_and_three_in_two_do_not() {
        let mut quality = Quality::default();
        for at in [0, 60, 119] {
            quality.raised(s(at), key(1));
        }
        for at in [100, 130, 159] {
            quality.raised(s(at), key(2));
        }
        assert_eq!(quality.figures(s(159)).chattering, [key(2)]);
        quality.tick(s(759));
        assert_eq!(quality.figures(s(759)).chattering, []);
    }

    #[test]
    fn a_day_is_counted_and_forgotten() {
        let mut quality = Quality::default();
        for at in 0..100 {
            quality.raised(s(at * 600), key(1));
        }
        quality.tick(s(60_000));
        let figures = quality.figures(s(60_000));
        assert_eq!((figures.last_day, figures.last_10_min), (100, 0));
        quality.tick(s(86_400));
        assert_eq!(quality.figures(s(86_400)).last_day, 99);
        for at in 0..RAISED_MAX as u64 * 2 {
            quality.raised(s(90_000 + at / 100), key(1));
        }
        assert_eq!(quality.figures(s(90_100)).last_day, RAISED_MAX);
    }

    #[test]
    fn stale_is_a_day_and_active() {
        assert!(is_stale(true, Some(DAY)) && !is_stale(false, Some(DAY)));
        assert!(!is_stale(true, Some(DAY - Duration::from_secs(1))) && !is_stale(true, None));
    }
}
