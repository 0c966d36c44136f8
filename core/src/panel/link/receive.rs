//! From bytes to events. Nothing but a strict line or a checked frame becomes a press.

use heapless::{String, Vec};

use super::{
    BAD_FRAMES, BoardEvent, BoardFault, BoardStatus, ButtonEvent, Command, Failure, GREETING,
    HostLink, LATE_OK, Offer, Protocol, State, What, bump,
};
use crate::limits::PANEL_HOST_LINE_MAX;
use crate::panel::ButtonId;
use crate::panel::frame::{self, Candidate};
use crate::panel::line::Line;
use crate::panel::message::{FromDevice, Hello, LineError};
use crate::time::Instant;

/// What one byte completed. Owned, because handling it needs the whole link.
enum Piece {
    Line(Vec<u8, PANEL_HOST_LINE_MAX>),
    LongLine,
    Frame(frame::FromDevice),
    BadFrame,
    LongFrame,
}

impl HostLink {
    pub(super) fn receive(&mut self, now: Instant, bytes: &[u8]) {
        if self.state == State::Closed || bytes.is_empty() {
            return;
        }
        self.last_rx = now;
        self.stats.last_rx = Some(now);
        for byte in bytes {
            if self.state == State::Online(Protocol::V2) {
                self.byte_in_v2(now, *byte);
            } else {
                self.byte_in_text(now, *byte);
            }
        }
    }

    fn frame_of(&mut self, byte: u8) -> Option<Piece> {
        Some(match self.frames.push(byte)? {
            Candidate::Complete(bytes) => {
                frame::decode(bytes).map_or(Piece::BadFrame, Piece::Frame)
            }
            Candidate::TooLong => Piece::LongFrame,
        })
    }

    fn line_of(&mut self, now: Instant, byte: u8) -> Option<Piece> {
        Some(match self.lines.push(now, byte)? {
            // Never fails: the same length.
            Line::Complete(line) => Piece::Line(Vec::from_slice(line).unwrap_or_default()),
            Line::TooLong => Piece::LongLine,
        })
    }

    // --- text --------------------------------------------------------------------------------------

    fn byte_in_text(&mut self, now: Instant, byte: u8) {
        // The board may have switched although its answer was lost. Only one that was offered v2 can.
        let may_be_v2 = self.config.protocol == Offer::Auto && !self.declined;
        if may_be_v2 && let Some(Piece::Frame(message)) = self.frame_of(byte) {
            self.lines.clear();
            self.drop_open(Failure::Timeout);
            self.reassert();
            if !matches!(message, frame::FromDevice::Hello { .. }) {
                // Somebody we were not introduced to.
                self.put(&frame::encode(&frame::FromHost::Hello {
                    proto: frame::VERSION,
                }));
                self.settled(now, Protocol::V2);
            }
            return self.message(now, message);
        }
        match self.line_of(now, byte) {
            Some(Piece::Line(line)) => self.line(now, &line),
            Some(Piece::LongLine) => bump(&mut self.stats.rx_overlong),
            _ => {}
        }
    }

    fn line(&mut self, now: Instant, line: &[u8]) {
        match FromDevice::parse(line) {
            Ok(message) => self.text(now, message),
            Err(LineError::NotPrintable | LineError::Unknown) => bump(&mut self.stats.rx_unknown),
        }
    }

    fn text(&mut self, now: Instant, message: FromDevice<'_>) {
        match message {
            FromDevice::Ready => self.restarted(now),
            FromDevice::Firmware(text) => self.firmware_line(now, text),
            FromDevice::Press(id) => self.button(
                now,
                ButtonEvent {
                    id,
                    seq: None,
                    board_ms: None,
                },
                true,
            ),
            FromDevice::Release(id) => self.button(
                now,
                ButtonEvent {
                    id,
                    seq: None,
                    board_ms: None,
                },
                false,
            ),
            FromDevice::Pong => {
                self.pong(now);
                if matches!(self.state, State::Seeking { .. }) {
                    self.begin(now);
                }
            }
            // The second line of an old board's answer to VERSION.
            FromDevice::Ok if self.hold_until.take().is_some() => {}
            FromDevice::Ok => self.answered(now, Ok(())),
            FromDevice::Error(code) => self.answered(now, Err(code.into())),
            FromDevice::Hello(hello) => self.hello_line(now, hello),
            FromDevice::Curled(id) => self.status.selected = ButtonId::new(id),
            FromDevice::Heap(bytes) => self.status.heap = bytes,
            FromDevice::Buttons(_)
            | FromDevice::Leds(_)
            | FromDevice::Production(_)
            | FromDevice::Info(_) => {}
        }
    }

    fn firmware_line(&mut self, now: Instant, text: &str) {
        self.firmware.clear();
        // Never fails: a line is not longer.
        let _ = self.firmware.push_str(text);
        self.version = version(text);
        if self.take_open(|open| open.what == What::Version).is_some() {
            self.hold_until = Some(now + LATE_OK);
        } else if self.ready_at.is_none_or(|ready| now - ready > GREETING) && !self.version_asked {
            // Boards say it unasked only after READY, which must have been lost.
            self.restarted(now);
        }
    }

    fn hello_line(&mut self, now: Instant, hello: Hello) {
        if self.config.protocol == Offer::TextOnly || self.state == State::Online(Protocol::V2) {
            bump(&mut self.stats.rx_unasked);
            return;
        }
        // From here on the board speaks v2, even if the answer comes too late for the offer.
        self.take_open(|open| open.what == What::Offer);
        let reasserted = !self.led_open();
        self.drop_open(Failure::Timeout);
        self.caps = hello.caps;
        self.booted(hello.boot_id);
        self.frames.clear();
        if !reasserted {
            self.led_due = self.led_due.or(Some(self.led_command()));
        }
        self.online = Some(super::BoardInfo {
            protocol: Protocol::V2,
            buttons: Some(hello.buttons),
            boot_id: self.boot_id,
            firmware: self.version,
        });
        self.settled(now, Protocol::V2);
    }

    /// Another start than the one known: its numbering is unknown too.
    fn booted(&mut self, boot_id: u32) {
        if self.boot_id.is_some_and(|known| known != boot_id) {
            self.next_seq = None;
            self.stuck = crate::panel::ButtonSet::EMPTY;
        }
        self.boot_id = Some(boot_id);
    }

    fn button(&mut self, now: Instant, event: ButtonEvent, pressed: bool) {
        self.number(event.seq);
        if !self.config.buttons.contains(event.id) {
            bump(&mut self.stats.rx_out_of_range);
            // The board lit something that it should not have.
            if pressed {
                self.led_due = Some(self.led_command());
            }
            return;
        }
        self.stuck.remove(event.id);
        if pressed {
            self.note_crossing(now);
            self.tell(BoardEvent::Press(event));
        } else {
            self.tell(BoardEvent::Release(event));
        }
    }

    /// Follows the board's numbering; text events count too, though they do not say their number.
    fn number(&mut self, seq: Option<u16>) {
        let Some(seq) = seq else {
            self.next_seq = self.next_seq.map(|next| next.wrapping_add(1));
            return;
        };
        let gap = self.next_seq.map_or(0, |next| seq.wrapping_sub(next));
        // Half the range backwards: not a gap but a numbering that began anew.
        if (1..0x8000).contains(&gap) {
            self.stats.ev_lost = self.stats.ev_lost.saturating_add(gap.into());
            self.tell(BoardEvent::Lost(gap));
        }
        self.next_seq = Some(seq.wrapping_add(1));
    }

    // --- v2 ----------------------------------------------------------------------------------------

    fn byte_in_v2(&mut self, now: Instant, byte: u8) {
        match self.frame_of(byte) {
            Some(Piece::Frame(message)) => {
                self.bad_in_a_row = 0;
                self.message(now, message);
            }
            Some(Piece::BadFrame) => {
                bump(&mut self.stats.rx_bad_frames);
                self.bad_frame(now);
            }
            Some(Piece::LongFrame) => {
                bump(&mut self.stats.rx_overlong);
                self.bad_frame(now);
            }
            _ => {}
        }
        if byte == 0 {
            self.lines.clear();
        } else if let Some(Piece::Line(line)) = self.line_of(now, byte) {
            self.clear_text(now, &line);
        }
    }

    fn bad_frame(&mut self, now: Instant) {
        self.bad_in_a_row += 1;
        if self.bad_in_a_row >= BAD_FRAMES {
            self.seek(now);
        }
    }

    /// A line inside v2. Half a frame may stand before READY, when the reset came in the middle of it.
    fn clear_text(&mut self, now: Instant, line: &[u8]) {
        if line.ends_with(b"READY") {
            self.lines.clear();
            return self.restarted(now);
        }
        let Ok(message) = FromDevice::parse(line) else {
            return;
        };
        if matches!(
            message,
            FromDevice::Press(_)
                | FromDevice::Release(_)
                | FromDevice::Pong
                | FromDevice::Ok
                | FromDevice::Error(_)
                | FromDevice::Firmware(_)
        ) {
            // The board gave v2 up.
            self.seek(now);
            self.text(now, message);
        }
    }

    fn message(&mut self, now: Instant, message: frame::FromDevice) {
        use frame::FromDevice as M;
        match message {
            M::Hello {
                fw,
                buttons,
                caps,
                boot_id,
                ..
            } => self.hello(now, fw, buttons, caps, boot_id),
            M::Press { seq, id, t_ms } => self.numbered(now, seq, id, t_ms, true),
            M::Release { seq, id, t_ms } => self.numbered(now, seq, id, t_ms, false),
            M::Ack { tag } => self.answered_tag(now, tag, Ok(())),
            M::Nak { tag, code } => self.answered_tag(now, tag, Err(failure(code))),
            M::Pong { nonce, .. } if self.ping.is_some_and(|(_, sent)| sent == nonce) => {
                self.pong(now)
            }
            M::Pong { .. } => bump(&mut self.stats.rx_unasked),
            M::Status {
                selected,
                scan_hz,
                heap,
                ev_drop,
                cmd_drop,
                crc_err,
                stuck,
            } => {
                let status = BoardStatus {
                    selected: ButtonId::new(selected),
                    scan_hz: Some(scan_hz),
                    heap,
                    ev_drop: Some(ev_drop),
                    cmd_drop: Some(cmd_drop),
                    crc_err: Some(crc_err),
                    stuck: Some(stuck),
                };
                self.tell(BoardEvent::Status(status));
                if self
                    .take_open(|open| open.what == What::Service(Command::Status))
                    .is_some()
                {
                    self.tell(BoardEvent::Done(Command::Status));
                }
            }
            M::Fault { code, arg } => self.fault(code, arg),
        }
    }

    fn hello(&mut self, now: Instant, fw: [u8; 3], buttons: u8, caps: u16, boot_id: u32) {
        let other = self.boot_id.is_some_and(|known| known != boot_id);
        self.caps = caps;
        self.version = Some(fw);
        if self.firmware.is_empty() {
            use core::fmt::Write;
            let mut text = String::new();
            // Never fails: there is room for any version.
            let _ = write!(text, "v{}.{}.{}", fw[0], fw[1], fw[2]);
            self.firmware = text;
        }
        self.booted(boot_id);
        let known = self
            .online
            .is_some_and(|info| info.boot_id == Some(boot_id));
        let info = super::BoardInfo {
            protocol: Protocol::V2,
            buttons: Some(buttons),
            boot_id: Some(boot_id),
            firmware: Some(fw),
        };
        if other && self.online.is_some() {
            self.tell(BoardEvent::Restarted);
            self.reassert();
        }
        self.online = Some(info);
        if !known || self.state != State::Online(Protocol::V2) {
            self.settled(now, Protocol::V2);
        }
    }

    fn numbered(&mut self, now: Instant, seq: u16, id: u8, t_ms: u32, pressed: bool) {
        match ButtonId::new(id) {
            Some(id) => self.button(
                now,
                ButtonEvent {
                    id,
                    seq: Some(seq),
                    board_ms: Some(t_ms),
                },
                pressed,
            ),
            None => {
                self.number(Some(seq));
                bump(&mut self.stats.rx_out_of_range);
            }
        }
    }

    fn fault(&mut self, code: u8, arg: u32) {
        let stuck = u8::try_from(arg).ok().and_then(ButtonId::new);
        let fault = match (code, stuck) {
            (frame::fault::STUCK, Some(id)) => {
                self.stuck.insert(id);
                BoardFault::Stuck(id)
            }
            (frame::fault::EVENTS_DROPPED, _) => BoardFault::EventsDropped(arg),
            _ => BoardFault::Other(code, arg),
        };
        self.tell(BoardEvent::Fault(fault));
    }
}

fn failure(code: u8) -> Failure {
    match code {
        frame::nak::INVALID_ID => Failure::InvalidId,
        frame::nak::BUSY => Failure::Busy,
        frame::nak::LIMIT => Failure::Limit,
        _ => Failure::Unknown,
    }
}

/// The version in `name vX.Y.Z`, wherever it stands.
fn version(text: &str) -> Option<[u8; 3]> {
    text.split(' ')
        .filter_map(|word| word.strip_prefix('v'))
        .find_map(|numbers| {
            let mut numbers = numbers.split('.').map(|number| number.parse().ok());
            let version = [numbers.next()??, numbers.next()??, numbers.next()??];
            numbers.next().is_none().then_some(version)
        })
}
