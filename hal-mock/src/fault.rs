//! What goes wrong on a real line, by name.

/// A fault of one device or of its wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It never answers.
    Silence,
    /// It answers after the master's patience, into the next exchange.
    Late,
    /// The checksum of its answers is wrong.
    WrongCrc,
    /// It answers under its neighbour's address.
    WrongSlave,
    /// Exception 06: busy.
    Busy,
    /// The second half of each answer is missing.
    HalfFrame,
    /// The master hears its own request before the answer.
    Echo,
    /// A byte in the middle of each answer is missing.
    LostByte,
    /// The converter shows the same counts for ever.
    Frozen,
    /// The zero point wanders to 15 % of the range below zero.
    Drift,
    /// The converter stands at its lower rail.
    WireBreak,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Silence,
        Self::Late,
        Self::WrongCrc,
        Self::WrongSlave,
        Self::Busy,
        Self::HalfFrame,
        Self::Echo,
        Self::LostByte,
        Self::Frozen,
        Self::Drift,
        Self::WireBreak,
    ];

    /// Stable, snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Late => "late",
            Self::WrongCrc => "wrong_crc",
            Self::WrongSlave => "wrong_slave",
            Self::Busy => "busy",
            Self::HalfFrame => "half_frame",
            Self::Echo => "echo",
            Self::LostByte => "lost_byte",
            Self::Frozen => "frozen",
            Self::Drift => "drift",
            Self::WireBreak => "wire_break",
        }
    }

    /// The fault with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }

    /// Whether only a gas sensor can have it; all others happen to any device on a line.
    #[must_use]
    pub const fn is_of_a_sensor(self) -> bool {
        matches!(self, Self::Frozen | Self::Drift | Self::WireBreak)
    }
}

/// A set of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults(u16);

impl Faults {
    /// Begins or ends one.
    pub fn set(&mut self, fault: Fault, on: bool) {
        let bit = 1 << fault as u16;
        if on { self.0 |= bit } else { self.0 &= !bit }
    }

    /// Whether it is on.
    #[must_use]
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & 1 << fault as u16 != 0
    }

    /// Those that are on.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |f| self.has(*f))
    }
}
