//! Lines from bytes. The only place that looks for ends of lines.

use heapless::Vec;

use crate::limits::{PANEL_DEVICE_LINE_MAX, PANEL_HOST_LINE_MAX};
use crate::time::{Duration, Instant};

/// A pause inside a line above which the host drops what it has. Source: panel specification 3.5.
pub const PARTIAL_LINE_MAX: Duration = Duration::from_secs(1);

/// The board's assembler.
pub type DeviceLines = Lines<PANEL_DEVICE_LINE_MAX>;
/// The host's assembler.
pub type HostLines = Lines<PANEL_HOST_LINE_MAX>;

/// Collects bytes to lines of at most `MAX` bytes. LF and CR both end a line, and empty lines are nothing,
/// so CRLF works. A longer line is discarded up to its end.
#[derive(Clone, Debug, Default)]
pub struct Lines<const MAX: usize> {
    line: Vec<u8, MAX>,
    state: State,
    last: Instant,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Collecting,
    /// The line is too long; waiting for its end.
    Discarding,
    /// `line` was handed out; the next byte starts anew.
    Complete,
}

/// What the end of a line brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line of 1 to `MAX` bytes of any value, without its end.
    Complete(&'a [u8]),
    /// The end of a line that was too long.
    TooLong,
}

impl<const MAX: usize> Lines<MAX> {
    /// Takes one byte; tells when it ends a line.
    pub fn push(&mut self, now: Instant, byte: u8) -> Option<Line<'_>> {
        self.last = now;
        if self.state == State::Complete {
            self.clear();
        }
        match (byte, self.state) {
            (b'\n' | b'\r', State::Discarding) => {
                self.clear();
                Some(Line::TooLong)
            }
            (b'\n' | b'\r', _) if self.line.is_empty() => None,
            (b'\n' | b'\r', _) => {
                self.state = State::Complete;
                Some(Line::Complete(&self.line))
            }
            (_, State::Discarding) => None,
            (byte, _) => {
                if self.line.push(byte).is_err() {
                    self.line.clear();
                    self.state = State::Discarding;
                }
                None
            }
        }
    }

    /// Drops a line that nobody continued for [`PARTIAL_LINE_MAX`], a too long one as well. Tells whether
    /// there was one. The board never calls this: a person may type slowly.
    pub fn expire(&mut self, now: Instant) -> bool {
        let due = self.poll_timeout().is_some_and(|deadline| deadline <= now);
        if due {
            self.clear();
        }
        due
    }

    /// When [`expire`](Self::expire) will drop a line.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let partial = match self.state {
            State::Collecting => !self.line.is_empty(),
            State::Discarding => true,
            State::Complete => false,
        };
        partial.then(|| self.last + PARTIAL_LINE_MAX)
    }

    /// Forgets what was collected.
    pub fn clear(&mut self) {
        self.line.clear();
        self.state = State::Collecting;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::format;
    use std::string::String;

    /// Feeds `bytes` with pauses written as `<ms>`; tells lines in brackets, `!` for a too long one and `?`
    /// for an expired one.
    fn run<const MAX: usize>(script: &str) -> String {
        let (mut lines, mut now, mut told) =
            (Lines::<MAX>::default(), Instant::ZERO, String::new());
        for part in script.split_inclusive('>') {
            let (bytes, pause) = match part
                .strip_suffix('>')
                .and_then(|part| part.rsplit_once('<'))
            {
                Some((bytes, pause)) => (bytes, pause.parse().unwrap()),
                None => (part, 0),
            };
            for byte in bytes.bytes() {
                match lines.push(now, byte) {
                    Some(Line::Complete(line)) => {
                        told += &format!("[{}]", std::str::from_utf8(line).unwrap())
                    }
                    Some(Line::TooLong) => told.push('!'),
                    None => {}
                }
            }
            now += Duration::from_millis(pause);
            // The contract of all deadlines: whoever asks early changes nothing.
            if lines.expire(now) {
                told.push('?');
            }
        }
        told
    }

    #[test]
    fn cr_lf_and_empty_lines() {
        assert_eq!(run::<63>("PING\r\n\n\r\n\rOK\nPO"), "[PING][OK]");
    }

    #[test]
    fn a_line_survives_a_pause_below_a_second() {
        assert_eq!(run::<128>("PRE<999>SS 004\n"), "[PRESS 004]");
        assert_eq!(run::<128>("PRE<1000>SS 004\n"), "?[SS 004]");
    }

    #[test]
    fn a_long_line_is_discarded_up_to_its_end() {
        assert_eq!(run::<4>("ABCD\nABCDEPING\nPING\n"), "[ABCD]![PING]");
        assert_eq!(run::<4>("ABCDEF<1000>PING\n"), "?[PING]");
    }

    #[test]
    fn a_megabyte_without_end_costs_nothing() {
        let long = format!("{}\nOK\n", "x".repeat(1 << 20));
        assert_eq!(run::<128>(&long), "![OK]");
    }
}
