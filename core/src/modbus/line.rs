//! How long characters and silences last on a serial line.

use crate::time::Duration;

/// Parity bit of a character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Parity {
    /// No parity bit: 10 bits a character with one stop bit.
    #[default]
    None,
    /// Even: 11 bits a character.
    Even,
    /// Odd: 11 bits a character.
    Odd,
}

/// Speed and shape of the characters on a line. 8 data bits, 1 stop bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// Bits a second, 300..=1 000 000.
    pub baud: u32,
    /// Parity bit.
    pub parity: Parity,
}

impl Line {
    /// 9600 baud, no parity: the RA-GAS sensors.
    pub const RA_GAS: Self = Self {
        baud: 9_600,
        parity: Parity::None,
    };

    /// Bits of a character, start and stop bit included.
    #[must_use]
    pub const fn character_bits(self) -> u32 {
        match self.parity {
            Parity::None => 10,
            Parity::Even | Parity::Odd => 11,
        }
    }

    /// How long `characters` last, in microseconds, rounded up.
    #[must_use]
    pub const fn micros(self, characters: u32) -> u64 {
        let bits = characters as u64 * self.character_bits() as u64;
        let baud = if self.baud == 0 { 1 } else { self.baud as u64 };
        (bits * 1_000_000).div_ceil(baud)
    }

    /// How long `characters` last.
    #[must_use]
    pub const fn span(self, characters: usize) -> Duration {
        Duration::from_micros(self.micros(characters as u32))
    }

    /// The least silence between two frames: 3.5 characters, and 1.75 ms above 19 200 baud, where the
    /// standard fixes it. Source: Modbus over Serial Line V1.02, 2.5.1.1.
    #[must_use]
    pub const fn t3_5(self) -> Duration {
        if self.baud > 19_200 {
            Duration::from_micros(1_750)
        } else {
            Duration::from_micros(self.micros(7).div_ceil(2))
        }
    }

    /// The silence within a frame that ends it: 1.5 characters, and 0.75 ms above 19 200 baud.
    #[must_use]
    pub const fn t1_5(self) -> Duration {
        if self.baud > 19_200 {
            Duration::from_micros(750)
        } else {
            Duration::from_micros(self.micros(3).div_ceil(2))
        }
    }
}

/// The span that a millisecond clock must show to be sure that `span` has passed.
///
/// Both ends are cut down to whole milliseconds, so the true span may be just over one millisecond shorter
/// than the difference: round up, then add one.
#[must_use]
pub const fn surely(span: Duration) -> Duration {
    let ms = span.as_nanos().div_ceil(1_000_000) as u64;
    Duration::from_millis(ms + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_at_9600() {
        let line = Line::RA_GAS;
        assert_eq!(line.micros(8), 8_334);
        assert_eq!(line.t3_5(), Duration::from_micros(3_646));
        assert_eq!(line.t1_5(), Duration::from_micros(1_563));
        assert_eq!(surely(line.t3_5()), Duration::from_millis(5));
    }

    #[test]
    fn silences_are_fixed_above_19200() {
        let fast = |parity| Line {
            baud: 115_200,
            parity,
        };
        assert_eq!(fast(Parity::None).t3_5(), Duration::from_micros(1_750));
        assert_eq!(fast(Parity::Even).t1_5(), Duration::from_micros(750));
        assert_eq!(surely(fast(Parity::Odd).t3_5()), Duration::from_millis(3));
    }

    #[test]
    fn a_millisecond_clock_is_never_short() {
        // Every phase of both ends within their millisecond, in steps of 50 µs.
        for baud in [1_200, 4_800, 9_600, 19_200, 38_400, 115_200] {
            let line = Line {
                baud,
                parity: Parity::None,
            };
            let needed = line.t3_5().as_micros();
            for phase in (0..1_000).step_by(50) {
                let last_byte = 7_000 + phase;
                let earliest = (last_byte / 1_000 + surely(line.t3_5()).as_millis()) * 1_000;
                assert!(earliest - last_byte >= needed, "{baud} baud, phase {phase}");
            }
        }
    }
}
