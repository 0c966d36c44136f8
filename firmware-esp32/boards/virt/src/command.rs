//! What a test may say on the bench: words and numbers on a line.

use core::str::SplitAsciiWhitespace;

use leitstand_core::panel::{ButtonId, ButtonSet};

/// One line from the bench.
#[derive(Clone, Debug)]
pub enum Command<'a> {
    /// Starts the application.
    Go(Go),
    /// Holds exactly these buttons.
    Hold(ButtonSet),
    /// Taps these, one after the other.
    Tap(SplitAsciiWhitespace<'a>),
    /// Asks whether all taps are done.
    Idle,
    /// The level at the far end of the input chain; low is a chain that is cut.
    FarEnd(bool),
    /// One position of the input chain to ground, spare ones too; on top of what is held.
    Ground(Option<u32>),
    /// So many scans, with the clock moved by hand.
    Scan(u32),
    /// Waits until so many bytes came over the cable since the start.
    Heard(u32),
    /// Reads the input chain in all three ways.
    Chain,
    /// The output latches and the brightness.
    Leds,
    /// Deepest stack since the machine was switched on, in bytes.
    Stack,
    /// Fails an assertion.
    Panic,
    /// Starts the machine anew.
    Reset,
}

/// How to start.
#[derive(Clone, Copy, Debug)]
pub struct Go {
    /// The clock is moved by [`Command::Scan`] and starts here; `None` = it runs.
    pub by_hand: Option<u64>,
    /// From the start until READY.
    pub announce_ms: u64,
    /// How many buttons.
    pub buttons: u8,
    /// Debounce stable instead of eager.
    pub stable: bool,
    /// Debounce window.
    pub window_ms: u64,
    /// Scan period.
    pub scan_ms: u64,
}

impl Default for Go {
    fn default() -> Self {
        Self {
            by_hand: None,
            announce_ms: 1600,
            buttons: 100,
            stable: false,
            window_ms: 30,
            scan_ms: 5,
        }
    }
}

impl<'a> Command<'a> {
    /// Reads a line; `None` = not understood.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let word = words.next()?;
        let number = || words.clone().next().and_then(|word| word.parse().ok());
        Some(match word {
            "go" => Self::Go(Go::parse(words)?),
            "hold" => Self::Hold(words.filter_map(id).collect()),
            "tap" => Self::Tap(words),
            "idle" => Self::Idle,
            "far" => Self::FarEnd(number()? != 0),
            "ground" => Self::Ground(number()),
            "scan" => Self::Scan(number()?),
            "heard" => Self::Heard(number()?),
            "chain" => Self::Chain,
            "leds" => Self::Leds,
            "stack" => Self::Stack,
            "panic" => Self::Panic,
            "reset" => Self::Reset,
            _ => return None,
        })
    }
}

impl Go {
    fn parse(mut words: SplitAsciiWhitespace<'_>) -> Option<Self> {
        let mut go = Self::default();
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
            match word {
                "by-hand" => go.by_hand = Some(number()?),
                "announce" => go.announce_ms = number()?,
                "buttons" => go.buttons = number()? as u8,
                "stable" => go.stable = true,
                "window" => go.window_ms = number()?,
                "scan" => go.scan_ms = number()?,
                _ => return None,
            }
        }
        Some(go)
    }
}

/// A button's number.
pub fn id(word: &str) -> Option<ButtonId> {
    word.parse().ok().and_then(ButtonId::new)
}
