//! Commands on their way to the board: waiting, sent, answered, given up.

use heapless::String;

use super::{
    ANSWER, BoardEvent, Command, Failure, HostLink, LedCommand, OFFER, Protocol, State, bump,
};
use crate::limits::PANEL_DEVICE_LINE_MAX;
use crate::panel::chain::ButtonPositions;
use crate::panel::debounce::{self, Mode};
use crate::panel::frame;
use crate::panel::message::{ErrorCode, FromHost};
use crate::time::Instant;

/// A command that was sent and is not answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) what: What,
    pub(super) deadline: Instant,
    /// Of a binary command.
    tag: u8,
    /// It was sent a second time.
    again: bool,
}

/// What was asked of the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The selection; `Set` or `Clear`.
    Led(LedCommand),
    Brightness(u8),
    Debounce(debounce::Config),
    LitMax(u8),
    /// The piece of the table that begins with this button.
    Positions(u8),
    Service(Command),
    /// `HELLO 2`.
    Offer,
    /// `VERSION`; answered by `FW`.
    Version,
}

impl What {
    fn line(self) -> Option<FromHost> {
        Some(match self {
            Self::Led(LedCommand::Set(id) | LedCommand::Pressed(id)) => FromHost::LedSet(id),
            Self::Led(LedCommand::Clear { .. }) => FromHost::LedClr,
            Self::Brightness(percent) => FromHost::Bright(percent),
            Self::Service(Command::LedOn(id)) => FromHost::LedOn(id),
            Self::Service(Command::LedOff(id)) => FromHost::LedOff(id),
            Self::Service(Command::AllOn) => FromHost::LedAll,
            Self::Service(Command::Test(true)) => FromHost::Test,
            Self::Service(Command::Test(false)) => FromHost::Stop,
            Self::Service(Command::Status) => FromHost::Status,
            Self::Service(Command::ResetCounters) => FromHost::QReset,
            Self::Offer => FromHost::Hello(frame::VERSION),
            Self::Version => FromHost::Version,
            // Text has no word for them that every board knows.
            Self::Debounce(_) | Self::LitMax(_) | Self::Positions(_) => return None,
        })
    }

    fn frame(self, tag: u8, table: Option<&ButtonPositions>) -> Option<frame::FromHost> {
        Some(match self {
            Self::LitMax(most) => frame::FromHost::LitMax { tag, most },
            Self::Positions(first) => {
                let rest = table?.as_slice().get(usize::from(first) - 1..)?;
                let mut positions = [0; frame::POSITIONS];
                let count = rest.len().min(frame::POSITIONS);
                positions[..count].copy_from_slice(&rest[..count]);
                frame::FromHost::Positions {
                    tag,
                    first,
                    count: count as u8,
                    positions,
                }
            }
            Self::Led(LedCommand::Set(id) | LedCommand::Pressed(id)) => {
                frame::FromHost::LedSet { tag, id: id.get() }
            }
            Self::Led(LedCommand::Clear { only_if }) => frame::FromHost::LedClr {
                tag,
                only_if: only_if.map_or(0, |id| id.get()),
            },
            Self::Brightness(percent) => frame::FromHost::Bright { tag, percent },
            Self::Debounce(config) => frame::FromHost::Debounce {
                tag,
                stable: config.mode() == Mode::Stable,
                window_ms: config.window().as_millis() as u8,
            },
            Self::Service(Command::LedOn(id)) => frame::FromHost::LedOn { tag, id: id.get() },
            Self::Service(Command::LedOff(id)) => frame::FromHost::LedOff { tag, id: id.get() },
            Self::Service(Command::AllOn) => frame::FromHost::LedAll { tag },
            Self::Service(Command::Test(on)) => frame::FromHost::Test { tag, on },
            Self::Service(Command::Status) => frame::FromHost::StatusReq,
            Self::Service(Command::ResetCounters) => frame::FromHost::CountersReset { tag },
            Self::Offer | Self::Version => return None,
        })
    }
}

impl HostLink {
    pub(super) fn command(&mut self, command: Command) {
        if self.online.is_none() {
            self.tell(BoardEvent::Failed(command, Failure::Offline));
        } else if self.commands.push_back(command).is_err() {
            self.tell(BoardEvent::Failed(command, Failure::Busy));
        }
    }

    /// Sends what waits, the selection first, as long as places for answers are free.
    pub(super) fn flush(&mut self, now: Instant) {
        let State::Online(protocol) = self.state else {
            return;
        };
        if self.hold_until.is_some() {
            return;
        }
        self.flush_led(now);
        if self.brightness_due && !self.open.is_full() {
            self.brightness_due = false;
            if let Some(percent) = self.brightness {
                self.transmit(now, What::Brightness(percent), false);
            }
        }
        if self.debounce_due
            && !self.open.is_full()
            && protocol == Protocol::V2
            && self.caps & frame::caps::DEBOUNCE != 0
        {
            self.debounce_due = false;
            if let Some(config) = self.debounce {
                self.transmit(now, What::Debounce(config), false);
            }
        }
        if protocol == Protocol::V2 && self.caps & frame::caps::WIRING != 0 {
            self.flush_wiring(now);
        }
        while !self.open.is_full() && !self.asks_version() {
            let Some(command) = self.commands.pop_front() else {
                break;
            };
            if command == Command::Status {
                self.status = super::BoardStatus::EMPTY;
            }
            self.transmit(now, What::Service(command), false);
        }
        // Alone, since some boards answer it with one line and some with two.
        let unknown = protocol == Protocol::Text && self.firmware.is_empty() && !self.version_asked;
        if unknown && self.open.is_empty() && self.ping.is_none() {
            self.version_asked = true;
            self.transmit(now, What::Version, false);
        }
    }

    /// The current cap, then the positions; one piece after the other, since only the last puts them in force.
    fn flush_wiring(&mut self, now: Instant) {
        if self.lit_max_due && !self.open.is_full() {
            self.lit_max_due = false;
            if let Some(most) = self.config.lit_max {
                self.transmit(now, What::LitMax(most), false);
            }
        }
        let sending = |open: &Open| matches!(open.what, What::Positions(_));
        if self.position_due > 0 && !self.open.is_full() && !self.open.iter().any(sending) {
            let first = self.position_due;
            let next = first + frame::POSITIONS as u8;
            self.position_due = if next <= self.config.buttons.get() {
                next
            } else {
                0
            };
            self.transmit(now, What::Positions(first), false);
        }
    }

    fn asks_version(&self) -> bool {
        self.open.iter().any(|open| open.what == What::Version)
    }

    pub(super) fn flush_led(&mut self, now: Instant) {
        if self.open.is_full() || self.asks_version() {
            return;
        }
        if let Some(command) = self.led_due.take() {
            self.transmit(now, What::Led(command), false);
        }
    }

    /// Puts a command on the wire. The caller made sure of a free place.
    pub(super) fn transmit(&mut self, now: Instant, what: What, again: bool) {
        self.tag = self.tag.wrapping_add(1);
        let tag = self.tag;
        if self.state == State::Online(Protocol::V2) {
            let Some(message) = what.frame(tag, self.config.positions.as_ref()) else {
                return;
            };
            self.put(&frame::encode(&message));
        } else {
            let Some(message) = what.line() else { return };
            let mut line = String::<{ PANEL_DEVICE_LINE_MAX + 1 }>::new();
            // Never fails: the longest command takes 10 bytes.
            let written = message.write(&mut line).is_ok() && line.push('\n').is_ok();
            debug_assert!(written);
            self.put(line.as_bytes());
        }
        if let What::Led(command) = what {
            // The answer to a press that is told already comes after this one.
            self.crossed = true;
            if matches!(command, LedCommand::Clear { .. }) {
                self.clear_sent = Some(now);
            }
        }
        let span = if what == What::Offer { OFFER } else { ANSWER };
        let full = self
            .open
            .push_back(Open {
                what,
                deadline: now + span,
                tag,
                again,
            })
            .is_err();
        debug_assert!(!full, "no place for an answer");
    }

    /// Unanswered in time: once more, then given up.
    pub(super) fn expire_open(&mut self, now: Instant) {
        while let Some(open) = self.take_open(|open| open.deadline <= now) {
            bump(&mut self.stats.timeouts);
            self.unanswered(now, open);
        }
    }

    fn unanswered(&mut self, now: Instant, open: Open) {
        match open.what {
            What::Led(_) => self.led_failed(now, open),
            What::Brightness(_)
            | What::Debounce(_)
            | What::LitMax(_)
            | What::Positions(_)
            | What::Service(_)
                if !open.again =>
            {
                self.again(now, open.what)
            }
            What::Service(command) => self.tell(BoardEvent::Failed(command, Failure::Timeout)),
            // The offer has its own deadline; the others are of no consequence.
            What::Offer
            | What::Version
            | What::Brightness(_)
            | What::Debounce(_)
            | What::LitMax(_)
            | What::Positions(_) => {}
        }
    }

    /// The wish may have changed meanwhile: what is wanted now is said, not what was wanted then.
    fn led_failed(&mut self, now: Instant, open: Open) {
        match (open.what, self.led) {
            _ if self.led_due.is_some() => {}
            _ if open.again => self.led_unsure = true,
            (What::Led(LedCommand::Clear { .. }), None) => self.again(now, open.what),
            _ => self.again(now, What::Led(self.led_command())),
        }
    }

    /// Sends once more, if the protocol is settled; what cannot be sent now is said again when it is.
    fn again(&mut self, now: Instant, what: What) {
        match (self.state, what) {
            (State::Online(_), _) => self.transmit(now, what, true),
            (_, What::Service(command)) => self.tell(BoardEvent::Failed(command, Failure::Timeout)),
            (_, What::Led(command)) => self.led_due = Some(command),
            (_, What::Brightness(_)) => self.brightness_due = true,
            (_, What::Debounce(_)) => self.debounce_due = true,
            (_, What::LitMax(_)) => self.lit_max_due = true,
            (_, What::Positions(_)) => self.position_due = 1,
            (_, What::Offer | What::Version) => {}
        }
    }

    /// Nobody will answer any more.
    pub(super) fn drop_open(&mut self, why: Failure) {
        while let Some(open) = self.open.pop_front() {
            if let What::Service(command) = open.what {
                self.tell(BoardEvent::Failed(command, why));
            }
        }
    }

    /// The answer to the oldest command.
    pub(super) fn answered(&mut self, now: Instant, result: Result<(), Failure>) {
        match self.open.pop_front() {
            Some(open) => self.complete(now, open, result),
            None => bump(&mut self.stats.rx_unasked),
        }
    }

    /// The answer to the command with this tag.
    pub(super) fn answered_tag(&mut self, now: Instant, tag: u8, result: Result<(), Failure>) {
        match self.take_open(|open| open.tag == tag) {
            Some(open) => {
                if result.is_ok() && matches!(open.what, What::Led(_)) {
                    self.stats.led_ack = Some(ANSWER.saturating_sub(open.deadline - now));
                    bump(&mut self.stats.led_acks);
                }
                self.complete(now, open, result);
            }
            None => bump(&mut self.stats.rx_unasked),
        }
    }

    /// Takes the first open command that fits, leaving the others in order.
    pub(super) fn take_open(&mut self, fits: impl Fn(&Open) -> bool) -> Option<Open> {
        let mut taken = None;
        for _ in 0..self.open.len() {
            let open = self.open.pop_front()?;
            if taken.is_none() && fits(&open) {
                taken = Some(open);
            } else {
                // Never fails: one was taken out before.
                let _ = self.open.push_back(open);
            }
        }
        taken
    }

    fn complete(&mut self, now: Instant, open: Open, result: Result<(), Failure>) {
        if result.is_err() {
            bump(&mut self.stats.refused);
        }
        match (open.what, result) {
            (What::Service(Command::Status), Ok(())) => {
                self.tell(BoardEvent::Status(self.status));
                self.tell(BoardEvent::Done(Command::Status));
            }
            (What::Service(command), Ok(())) => self.tell(BoardEvent::Done(command)),
            (What::Service(command), Err(why)) => self.tell(BoardEvent::Failed(command, why)),
            // Perhaps a byte was lost on the way: once more.
            (What::Led(_), Err(_)) if !open.again => self.led_failed(now, open),
            (What::Offer, _) => {
                self.declined = true;
                self.settled(now, Protocol::Text);
            }
            (
                What::Led(_)
                | What::Brightness(_)
                | What::Debounce(_)
                | What::LitMax(_)
                | What::Positions(_)
                | What::Version,
                _,
            ) => {}
        }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::InvalidId | ErrorCode::MissingId => Self::InvalidId,
            ErrorCode::UnknownCmd | ErrorCode::LineTooLong | ErrorCode::Other => Self::Unknown,
            ErrorCode::Busy => Self::Busy,
            ErrorCode::Limit => Self::Limit,
        }
    }
}
