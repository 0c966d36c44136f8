//! The alarm machine after ISA-18.2 / IEC 62682.
//!
//! [`AlarmState`] is the pure table; [`Alarm`] adds what belongs to one alarm object: since when, silenced,
//! shelved. Overlays never touch the state: they only suppress horn and outputs.

use super::command::Refusal;
use super::event::AlarmChange;
use crate::time::{Duration, Instant};

/// State of one alarm. *on*, *off*: its condition; *plain*: not latching.
///
/// ```text
///               on                  ack                 off, plain
///    Normal ----------> ActiveUnack -----> ActiveAck ----------------> Normal
///                         |     |              |
///              off, plain |     | off, latching| off, latching
///                         v     v              v
///   Normal <--- ack -- RtnUnack LatchedUnack -ack-> LatchedAck -- reset --> Normal
///
///   RtnUnack, LatchedUnack, LatchedAck -- on --> ActiveUnack
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum AlarmState {
    /// The condition does not stand, nothing to do.
    #[default]
    Normal,
    /// The condition stands and nobody has said so.
    ActiveUnack,
    /// The condition stands and an operator knows.
    ActiveAck,
    /// The condition ended by itself before anyone acknowledged. Outputs are off, the lamp flashes.
    RtnUnack,
    /// Latching: the condition ended, outputs stay on, nobody has acknowledged.
    LatchedUnack,
    /// Latching: the condition ended and an operator knows; a reset ends it.
    LatchedAck,
}

impl AlarmState {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Normal,
        Self::ActiveUnack,
        Self::ActiveAck,
        Self::RtnUnack,
        Self::LatchedUnack,
        Self::LatchedAck,
    ];

    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ActiveUnack => "active_unack",
            Self::ActiveAck => "active_ack",
            Self::RtnUnack => "rtn_unack",
            Self::LatchedUnack => "latched_unack",
            Self::LatchedAck => "latched_ack",
        }
    }

    /// The name as `monitor.md` 3.2 and `replay` print it (`ActiveUnack` ...).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::ActiveUnack => "ActiveUnack",
            Self::ActiveAck => "ActiveAck",
            Self::RtnUnack => "RtnUnack",
            Self::LatchedUnack => "LatchedUnack",
            Self::LatchedAck => "LatchedAck",
        }
    }

    /// Active or latched: the outputs are on.
    #[must_use]
    #[inline]
    pub const fn is_on(self) -> bool {
        matches!(
            self,
            Self::ActiveUnack | Self::ActiveAck | Self::LatchedUnack | Self::LatchedAck
        )
    }

    /// Whether an operator still has to acknowledge.
    #[must_use]
    #[inline]
    pub const fn is_unacknowledged(self) -> bool {
        matches!(
            self,
            Self::ActiveUnack | Self::RtnUnack | Self::LatchedUnack
        )
    }

    /// Whether the condition stands.
    #[must_use]
    #[inline]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::ActiveUnack | Self::ActiveAck)
    }
}

impl AlarmState {
    /// The condition is evaluated: stands (`on`) or not. Returns the state after it and what happened.
    #[must_use]
    #[inline]
    pub const fn condition(self, on: bool, latching: bool) -> (Self, Option<AlarmChange>) {
        match (self, on) {
            (Self::ActiveUnack | Self::ActiveAck, true) => (self, None),
            (_, true) => (Self::ActiveUnack, Some(AlarmChange::Raised)),
            (Self::ActiveUnack, false) if latching => {
                (Self::LatchedUnack, Some(AlarmChange::Latched))
            }
            (Self::ActiveUnack, false) => (Self::RtnUnack, Some(AlarmChange::Returned)),
            (Self::ActiveAck, false) if latching => (Self::LatchedAck, Some(AlarmChange::Latched)),
            (Self::ActiveAck, false) => (Self::Normal, Some(AlarmChange::Cleared)),
            (Self::Normal | Self::RtnUnack | Self::LatchedUnack | Self::LatchedAck, false) => {
                (self, None)
            }
        }
    }

    /// An operator has seen it.
    ///
    /// # Errors
    /// [`Refusal::NotRaised`] from `Normal`.
    #[inline]
    pub const fn acknowledge(self) -> Result<(Self, Option<AlarmChange>), Refusal> {
        match self {
            Self::Normal => Err(Refusal::NotRaised),
            Self::ActiveUnack => Ok((Self::ActiveAck, Some(AlarmChange::Acknowledged))),
            Self::RtnUnack => Ok((Self::Normal, Some(AlarmChange::Acknowledged))),
            Self::LatchedUnack => Ok((Self::LatchedAck, Some(AlarmChange::Acknowledged))),
            Self::ActiveAck | Self::LatchedAck => Ok((self, None)),
        }
    }

    /// An operator unlatches it.
    ///
    /// # Errors
    /// From every state but `LatchedAck`, with what is in the way.
    #[inline]
    pub const fn reset(self) -> Result<(Self, AlarmChange), Refusal> {
        match self {
            Self::LatchedAck => Ok((Self::Normal, AlarmChange::Cleared)),
            Self::LatchedUnack => Err(Refusal::NotAcknowledged),
            Self::ActiveUnack | Self::ActiveAck => Err(Refusal::StillActive),
            Self::Normal | Self::RtnUnack => Err(Refusal::NotLatched),
        }
    }
}

/// One alarm object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Alarm {
    pub(super) state: AlarmState,
    pub(super) since: Option<Instant>,
    /// When the horn was silenced for it; `None` = it may sound.
    pub(super) silenced: Option<Instant>,
    pub(super) shelved_until: Option<Instant>,
}

impl Alarm {
    pub(super) fn condition(
        &mut self,
        now: Instant,
        on: bool,
        latching: bool,
    ) -> Option<AlarmChange> {
        let (state, change) = self.state.condition(on, latching);
        self.enter(now, state);
        if change == Some(AlarmChange::Raised) {
            // A new alarm sounds, whatever was silenced before.
            self.silenced = None;
        }
        change
    }

    pub(super) fn acknowledge(&mut self, now: Instant) -> Result<Option<AlarmChange>, Refusal> {
        let (state, change) = self.state.acknowledge()?;
        self.enter(now, state);
        Ok(change)
    }

    pub(super) fn reset(&mut self, now: Instant) -> Result<AlarmChange, Refusal> {
        let (state, change) = self.state.reset()?;
        self.enter(now, state);
        Ok(change)
    }

    /// Returns whether there was anything to silence.
    pub(super) fn silence(&mut self, now: Instant) -> bool {
        let sounds = self.sounds();
        if sounds {
            self.silenced = Some(now);
        }
        sounds
    }

    /// Whether the horn sounds for it, overlays aside.
    pub(super) const fn sounds(&self) -> bool {
        self.state.is_unacknowledged() && self.silenced.is_none()
    }

    /// When a silenced horn comes back.
    pub(super) fn recurs_at(&self, after: Option<Duration>) -> Option<Instant> {
        match (self.state, self.silenced, after) {
            (AlarmState::ActiveUnack, Some(at), Some(after)) => Some(at + after),
            _ => None,
        }
    }

    fn enter(&mut self, now: Instant, state: AlarmState) {
        if state != self.state {
            self.state = state;
            self.since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests;
