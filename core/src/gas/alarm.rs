//! The alarm machine after ISA-18.2 / IEC 62682.

/// State of one alarm.
///
/// ```text
///                 on                    ack
///   Normal ---------------> ActiveUnack -----> ActiveAck
///     ^  ^                   |   ^  ^ on         |
///     |  | ack    off, plain |   |  +------------|-- LatchedUnack / LatchedAck / RtnUnack
///     |  +------- RtnUnack <-+   |               |
///     |                          |  off, latching|
///     |             LatchedUnack <---            v
///     |                | ack           LatchedAck (also: ActiveAck, off, latching)
///     +---- reset -----+---------------- LatchedAck
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
    pub const fn is_on(self) -> bool {
        matches!(
            self,
            Self::ActiveUnack | Self::ActiveAck | Self::LatchedUnack | Self::LatchedAck
        )
    }

    /// Whether an operator still has to acknowledge.
    #[must_use]
    pub const fn is_unacknowledged(self) -> bool {
        matches!(
            self,
            Self::ActiveUnack | Self::RtnUnack | Self::LatchedUnack
        )
    }

    /// Whether the condition stands.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::ActiveUnack | Self::ActiveAck)
    }
}
