//! # Text v1
//!
//! What the lines mean, in both directions. [`FromDevice`] is what a board prints, [`FromHost`] what it is
//! told. `parse` takes a line without its end and is the only place that splits text; `write` is its
//! inverse. The table is in `PROTOCOL.md`.
//!
//! Both sides are strict: case matters, one blank before the argument, and digits fill it. A press is a line
//! `PRESS` + blank + one to three digits and nothing else. The host is lenient in one way only: it knows the
//! status texts of older boards and does not mistake them for anything.

use core::fmt;

use super::name::BoardName;
use super::{ButtonId, PanelSize};

/// Splits `WORD argument` at the first blank.
fn split(line: &str) -> (&str, Option<&str>) {
    match line.split_once(' ') {
        Some((word, argument)) => (word, Some(argument)),
        None => (line, None),
    }
}

/// One to `digits` decimal digits and nothing else. No sign, no blank.
fn number(text: &str, digits: usize) -> Option<u32> {
    let plain =
        (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn small(text: &str) -> Option<u8> {
    number(text, 3).and_then(|value| u8::try_from(value).ok())
}

fn button(text: &str) -> Option<ButtonId> {
    small(text).and_then(ButtonId::new)
}

/// One to `digits` hexadecimal digits and nothing else.
fn hex(text: &str, digits: usize) -> Option<u32> {
    let plain =
        (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if plain {
        u32::from_str_radix(text, 16).ok()
    } else {
        None
    }
}

/// The line as text, if all of it is printable ASCII.
fn printable(line: &[u8]) -> Option<&str> {
    let plain = line.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if plain {
        core::str::from_utf8(line).ok()
    } else {
        None
    }
}

/// A line from a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromDevice<'a> {
    /// Started; LEDs are dark.
    Ready,
    /// Name and version, as printed after `FW `.
    Firmware(&'a str),
    /// A button was pressed.
    Press(ButtonId),
    /// A button was let go.
    Release(ButtonId),
    /// Answer to a heartbeat.
    Pong,
    /// A command was accepted, or a status is complete.
    Ok,
    /// A command was refused.
    Error(ErrorCode),
    /// Accepts v2, from the next byte on.
    Hello(Hello),
    /// Status: the selected button, 0 = none.
    Curled(u8),
    /// Status: how many buttons.
    Buttons(u8),
    /// Status: how many LEDs.
    Leds(u8),
    /// Status: free memory in bytes.
    Heap(u32),
    /// Status: how large a panel; `true` for more than 10 buttons.
    Production(bool),
    /// Text of a known kind without meaning for the host: help, and status in the words of older boards.
    Info(&'a str),
}

/// A board's answer to the offer of v2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// How many buttons, 1..=100.
    pub buttons: u8,
    /// How many LEDs, 1..=100.
    pub leds: u8,
    /// What the board can do, see [`super::frame::caps`].
    pub caps: u16,
    /// Differs after every start.
    pub boot_id: u32,
}

/// Why a board refused a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// No such button, or the argument is not a number.
    InvalidId,
    /// No such command.
    UnknownCmd,
    /// The argument is missing.
    MissingId,
    /// More than 63 bytes.
    LineTooLong,
    /// Not now.
    Busy,
    /// The value is out of range.
    Limit,
    /// Words of older boards.
    Other,
}

impl ErrorCode {
    const WORDS: [(Self, &'static str); 6] = [
        (Self::InvalidId, "INVALID_ID"),
        (Self::UnknownCmd, "UNKNOWN_CMD"),
        (Self::MissingId, "MISSING_ID"),
        (Self::LineTooLong, "LINE_TOO_LONG"),
        (Self::Busy, "BUSY"),
        (Self::Limit, "LIMIT"),
    ];

    fn parse(words: &str) -> Self {
        Self::WORDS
            .iter()
            .find(|(_, word)| *word == words)
            .map_or(Self::Other, |(code, _)| *code)
    }

    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(code, _)| *code == self)
            .map_or("OTHER", |(_, word)| word)
    }
}

/// Why the host drops a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// It has bytes outside printable ASCII.
    NotPrintable,
    /// No known board prints it.
    Unknown,
}

/// Words that begin a line of older boards' status or help.
const INFO_WORDS: [&str; 7] = [
    "STATUS", "CORE", "QFREE", "QOVFL", "MAPPING", "HELP", "COMMANDS",
];

impl<'a> FromDevice<'a> {
    /// What a line without its end means.
    ///
    /// # Errors
    /// The caller counts the line and drops it.
    pub fn parse(line: &'a [u8]) -> Result<Self, LineError> {
        let line = printable(line).ok_or(LineError::NotPrintable)?;
        let known = match split(line) {
            ("READY", None) => Some(Self::Ready),
            ("PONG", None) => Some(Self::Pong),
            ("OK", None) => Some(Self::Ok),
            ("ERROR", words) => Some(Self::Error(ErrorCode::parse(words.unwrap_or("")))),
            ("FW", Some(text)) => Some(Self::Firmware(text)),
            ("PRESS", Some(id)) => button(id).map(Self::Press),
            ("RELEASE", Some(id)) => button(id).map(Self::Release),
            ("HELLO", Some(fields)) => Hello::parse(fields).map(Self::Hello),
            ("CURLED", Some(id)) => small(id).map(Self::Curled),
            // Older boards print one digit for each button or LED instead of the count.
            ("BTNS", Some(count)) => Some(small(count).map_or(Self::Info(line), Self::Buttons)),
            ("LEDS", Some(count)) => Some(small(count).map_or(Self::Info(line), Self::Leds)),
            ("HEAP", Some(bytes)) => number(bytes, 9).map(Self::Heap),
            ("MODE", Some("PROTOTYPE")) => Some(Self::Production(false)),
            ("MODE", Some("PRODUCTION")) => Some(Self::Production(true)),
            (word, _) if INFO_WORDS.contains(&word) => Some(Self::Info(line)),
            _ => None,
        };
        known.ok_or(LineError::Unknown)
    }

    /// Writes the line without its end.
    ///
    /// # Errors
    /// `out` has no room.
    pub fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Ready => out.write_str("READY"),
            Self::Firmware(text) => write!(out, "FW {text}"),
            Self::Press(id) => write!(out, "PRESS {id}"),
            Self::Release(id) => write!(out, "RELEASE {id}"),
            Self::Pong => out.write_str("PONG"),
            Self::Ok => out.write_str("OK"),
            Self::Error(code) => write!(out, "ERROR {}", code.word()),
            Self::Hello(Hello {
                buttons,
                leds,
                caps,
                boot_id,
            }) => {
                write!(out, "HELLO 2 {buttons} {leds} {caps:04x} {boot_id:08x}")
            }
            Self::Curled(id) => write!(out, "CURLED {id}"),
            Self::Buttons(count) => write!(out, "BTNS {count}"),
            Self::Leds(count) => write!(out, "LEDS {count}"),
            Self::Heap(bytes) => write!(out, "HEAP {bytes}"),
            Self::Production(false) => out.write_str("MODE PROTOTYPE"),
            Self::Production(true) => out.write_str("MODE PRODUCTION"),
            Self::Info(text) => out.write_str(text),
        }
    }
}

impl Hello {
    fn parse(fields: &str) -> Option<Self> {
        let mut fields = fields.split(' ');
        if fields.next() != Some("2") {
            return None;
        }
        let hello = Self {
            buttons: fields.next().and_then(button)?.get(),
            leds: fields.next().and_then(button)?.get(),
            caps: u16::try_from(hex(fields.next()?, 4)?).ok()?,
            boot_id: hex(fields.next()?, 8)?,
        };
        fields.next().is_none().then_some(hello)
    }
}

/// A line to a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromHost {
    /// Only this LED.
    LedSet(ButtonId),
    /// This LED as well.
    LedOn(ButtonId),
    /// Not this LED.
    LedOff(ButtonId),
    /// No LED; the board is its own master again.
    LedClr,
    /// All LEDs.
    LedAll,
    /// Heartbeat.
    Ping,
    /// Asks for `FW`.
    Version,
    /// Asks for help.
    Help,
    /// Asks for the status.
    Status,
    /// Running light on.
    Test,
    /// Running light off.
    Stop,
    /// Zeroes the counters.
    QReset,
    /// Brightness in percent, 0..=100.
    Bright(u8),
    /// The board's name in its `FW` line.
    Name(BoardName),
    /// How many buttons there are from the next start on.
    Buttons(PanelSize),
    /// How presses are recognised from now on.
    Debounce {
        /// Stable instead of eager.
        stable: bool,
        /// The window, 5..=100; the board knows whether it is two scans.
        window_ms: u8,
    },
    /// Keeps name, number of buttons, debouncing and brightness over a reset.
    Save,
    /// Offers this version of the protocol.
    Hello(u8),
}

impl FromHost {
    /// What a line without its end means. Blanks at its end do not count.
    ///
    /// # Errors
    /// The answer that the board owes.
    pub fn parse(line: &[u8]) -> Result<Self, ErrorCode> {
        let line = printable(line)
            .ok_or(ErrorCode::UnknownCmd)?
            .trim_end_matches(' ');
        let id = |argument: Option<&str>| {
            argument
                .ok_or(ErrorCode::MissingId)
                .and_then(|text| button(text).ok_or(ErrorCode::InvalidId))
        };
        match split(line) {
            ("LEDSET", argument) => id(argument).map(Self::LedSet),
            ("LEDON", argument) => id(argument).map(Self::LedOn),
            ("LEDOFF", argument) => id(argument).map(Self::LedOff),
            ("LEDCLR", None) => Ok(Self::LedClr),
            ("LEDALL", None) => Ok(Self::LedAll),
            ("PING", None) => Ok(Self::Ping),
            ("VERSION", None) => Ok(Self::Version),
            ("HELP", None) => Ok(Self::Help),
            ("STATUS", None) => Ok(Self::Status),
            ("TEST", None) => Ok(Self::Test),
            ("STOP", None) => Ok(Self::Stop),
            ("QRESET", None) => Ok(Self::QReset),
            ("BRIGHT", None) => Err(ErrorCode::MissingId),
            ("BRIGHT", Some(text)) => match number(text, 3) {
                Some(percent @ 0..=100) => Ok(Self::Bright(percent as u8)),
                Some(_) => Err(ErrorCode::Limit),
                None => Err(ErrorCode::InvalidId),
            },
            ("NAME" | "BUTTONS" | "DEBOUNCE", None) => Err(ErrorCode::MissingId),
            ("NAME", Some(text)) => BoardName::new(text).map(Self::Name).ok_or(ErrorCode::Limit),
            ("BUTTONS", Some(text)) => {
                let count = small(text).ok_or(ErrorCode::InvalidId)?;
                PanelSize::new(count)
                    .map(Self::Buttons)
                    .ok_or(ErrorCode::Limit)
            }
            ("DEBOUNCE", Some(text)) => Self::debounce(text),
            ("SAVE", None) => Ok(Self::Save),
            ("HELLO", Some(text)) => small(text).map(Self::Hello).ok_or(ErrorCode::UnknownCmd),
            _ => Err(ErrorCode::UnknownCmd),
        }
    }

    fn debounce(text: &str) -> Result<Self, ErrorCode> {
        let stable = match split(text) {
            ("EAGER", Some(_)) => false,
            ("STABLE", Some(_)) => true,
            ("EAGER" | "STABLE", None) => return Err(ErrorCode::MissingId),
            _ => return Err(ErrorCode::InvalidId),
        };
        let window_ms = split(text).1.and_then(small).ok_or(ErrorCode::InvalidId)?;
        Ok(Self::Debounce { stable, window_ms })
    }

    /// Writes the line without its end.
    ///
    /// # Errors
    /// `out` has no room.
    pub fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::LedSet(id) => write!(out, "LEDSET {id}"),
            Self::LedOn(id) => write!(out, "LEDON {id}"),
            Self::LedOff(id) => write!(out, "LEDOFF {id}"),
            Self::LedClr => out.write_str("LEDCLR"),
            Self::LedAll => out.write_str("LEDALL"),
            Self::Ping => out.write_str("PING"),
            Self::Version => out.write_str("VERSION"),
            Self::Help => out.write_str("HELP"),
            Self::Status => out.write_str("STATUS"),
            Self::Test => out.write_str("TEST"),
            Self::Stop => out.write_str("STOP"),
            Self::QReset => out.write_str("QRESET"),
            Self::Bright(percent) => write!(out, "BRIGHT {percent:03}"),
            Self::Name(name) => write!(out, "NAME {name}"),
            Self::Buttons(size) => write!(out, "BUTTONS {}", size.get()),
            Self::Debounce { stable, window_ms } => {
                let mode = if *stable { "STABLE" } else { "EAGER" };
                write!(out, "DEBOUNCE {mode} {window_ms}")
            }
            Self::Save => out.write_str("SAVE"),
            Self::Hello(version) => write!(out, "HELLO {version}"),
        }
    }
}

#[cfg(test)]
#[path = "message/tests.rs"]
mod tests;
