//! Commands of one car: what waits, what is under way, what became of it.
//!
//! ```text
//!  offered ► waiting ── its device is connected, fewer than 20 under way ► sent ─┬ OK, and all before it ► acked
//!               │                                                               ├ refused ► refused(why)
//!               ├ older than its time to live ► expired                          └ session ended ► unanswered
//!               └ pushed out, stale, wrong module ► dropped(why)
//! ```
//!
//! A number is never used twice and never skipped: it is drawn when the command leaves.

use std::{collections::VecDeque, time::Duration};

use leitstand_core::time::Instant;

use super::{Command, Dropped, Key};
use crate::wire::Answer;

/// Commands of one car that wait. Reasoning: `specs/fleet.md` 4.4; the vehicle itself keeps three a device.
pub const WAITING_MAX: usize = 100;
/// Commands of one car under way in normal communication (`decisions.md` 52).
pub const UNDER_WAY_MAX: usize = 20;

/// A command that waits for its turn.
#[derive(Debug)]
struct Waiting {
    command: Command,
    key: Key,
    expires: Option<Instant>,
}

/// A command that left and is not settled.
#[derive(Debug)]
pub(crate) struct UnderWay {
    pub(crate) counter: u32,
    pub(crate) key: Key,
    /// `None`: an empty first command that no module asked for.
    pub(crate) command: Option<Command>,
    unanswered_at: Instant,
    answer: Option<Answer>,
}

/// How a response fits.
#[derive(Debug, PartialEq)]
pub(crate) enum Fits {
    /// To a command under way; see [`Ledger::settled`].
    Yes(Key),
    /// Again to one that waits for an older one.
    Again,
    /// To none.
    No,
}

/// All commands of one car.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next_counter: u32,
    waiting: VecDeque<Waiting>,
    under_way: VecDeque<UnderWay>,
}

impl Ledger {
    /// The number of the next command; it goes on over sessions.
    pub(crate) fn starting_at(next_counter: u32) -> Self {
        Self {
            next_counter,
            ..Self::default()
        }
    }

    /// Puts `command` behind the others. Answers what was pushed out.
    pub(crate) fn offer(
        &mut self,
        now: Instant,
        command: Command,
        time_to_live: Option<Duration>,
    ) -> Option<(Command, Dropped)> {
        self.waiting.push_back(Waiting {
            key: Key::of(&command.device),
            expires: time_to_live.map(|span| now + span),
            command,
        });
        if self.waiting.len() <= WAITING_MAX {
            return None;
        }
        let oldest = self.waiting.pop_front()?;
        Some((oldest.command, Dropped::PushedOut))
    }

    /// Takes out what `module` offered while none of its devices was connected.
    pub(crate) fn stale(&mut self, module: i32) -> Vec<Command> {
        let (stale, rest) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|w: &Waiting| w.command.module == module);
        self.waiting = rest;
        let stale: VecDeque<Waiting> = stale;
        stale.into_iter().map(|w| w.command).collect()
    }

    /// Takes out what is older than its time to live.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<Command> {
        let old = |w: &Waiting| w.expires.is_some_and(|at| at <= now);
        if !self.waiting.iter().any(old) {
            return Vec::new();
        }
        let (expired, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(old);
        self.waiting = rest;
        expired.into_iter().map(|w| w.command).collect()
    }

    /// The next waiting command whose device `may`, while fewer than the limit are under way.
    pub(crate) fn next(&mut self, may: impl Fn(&Key) -> bool) -> Option<Command> {
        if self.under_way.len() >= UNDER_WAY_MAX {
            return None;
        }
        let at = self.waiting.iter().position(|w| may(&w.key))?;
        self.waiting.remove(at).map(|w| w.command)
    }

    /// The oldest that waits for the device, for the connect sequence.
    pub(crate) fn oldest_for(&mut self, key: &Key) -> Option<Command> {
        let at = self.waiting.iter().position(|w| w.key == *key)?;
        self.waiting.remove(at).map(|w| w.command)
    }

    /// Draws a number for what leaves now.
    pub(crate) fn send(
        &mut self,
        key: Key,
        command: Option<Command>,
        unanswered_at: Instant,
    ) -> u32 {
        let counter = self.next_counter;
        self.next_counter = counter.wrapping_add(1);
        self.under_way.push_back(UnderWay {
            counter,
            key,
            command,
            unanswered_at,
            answer: None,
        });
        counter
    }

    /// Notes an answer.
    pub(crate) fn answered(&mut self, counter: u32, answer: Answer) -> Fits {
        let Some(open) = self.under_way.iter_mut().find(|c| c.counter == counter) else {
            return Fits::No;
        };
        if open.answer.is_some() {
            return Fits::Again;
        }
        open.answer = Some(answer);
        Fits::Yes(open.key.clone())
    }

    /// The oldest command, when it is answered. Call until `None`.
    pub(crate) fn settled(&mut self) -> Option<(UnderWay, Answer)> {
        let answer = self.under_way.front()?.answer?;
        self.under_way.pop_front().map(|open| (open, answer))
    }

    /// Forgets what is under way, at the end of a session. It may or may not have been carried out, so it is never
    /// sent again.
    pub(crate) fn abandon(&mut self) -> impl Iterator<Item = Command> + use<> {
        std::mem::take(&mut self.under_way)
            .into_iter()
            .filter_map(|open| open.command)
    }

    /// The oldest unanswered number and the end of patience for it.
    pub(crate) fn unanswered(&self) -> Option<(u32, Instant)> {
        let open = self.under_way.iter().filter(|c| c.answer.is_none());
        open.map(|c| (c.counter, c.unanswered_at))
            .min_by_key(|(_, at)| *at)
    }

    /// When the next waiting command expires.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|w| w.expires).min()
    }

    /// How many wait, and how many are under way.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.waiting.len(), self.under_way.len())
    }
}
