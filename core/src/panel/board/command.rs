//! What the host asks of the board, in both languages.

use super::queue::Out;
use super::settings::Asked;
use super::{Board, CHAIN_LOST_AFTER, Counters, Host, Language, bump};
use crate::panel::debounce::{self, Mode};
use crate::panel::frame::{self, Candidate, FromDevice as Frame, nak};
use crate::panel::line::Line;
use crate::panel::message::{ErrorCode, FromDevice, FromHost, Hello};
use crate::panel::{ButtonId, PanelSize};
use crate::time::{Duration, Instant};

/// The answer to HELP. Digits alone would be a press to the original server.
const HELP: [&str; 2] = [
    "COMMANDS PING VERSION HELP STATUS LEDSET LEDON LEDOFF LEDCLR",
    "COMMANDS LEDALL TEST STOP QRESET BRIGHT NAME BUTTONS DEBOUNCE SAVE HELLO",
];

impl Board {
    pub(super) fn text_byte(&mut self, now: Instant, byte: u8) {
        let command = match self.lines.push(now, byte) {
            None => return,
            Some(Line::Complete(line)) => FromHost::parse(line),
            Some(Line::TooLong) => {
                bump(&mut self.counters.cmd_drop);
                Err(ErrorCode::LineTooLong)
            }
        };
        match command.and_then(|command| self.text_command(now, command)) {
            Ok(Some(answer)) => self.say(answer),
            Ok(None) => {}
            Err(code) => self.say(FromDevice::Error(code)),
        }
    }

    /// Carries a text command out. `None`: what was said already is the whole answer.
    fn text_command(
        &mut self,
        now: Instant,
        command: FromHost,
    ) -> Result<Option<FromDevice<'static>>, ErrorCode> {
        match command {
            FromHost::LedSet(id) => self.known(id).map(|id| self.light.select(now, id))?,
            FromHost::LedOn(id) => self.known(id).map(|id| self.light.on(now, id))?,
            FromHost::LedOff(id) => self.known(id).map(|id| self.light.off(now, id))?,
            FromHost::LedClr => self.light.clear(now),
            FromHost::LedAll => self.light.all_on(now),
            FromHost::Ping => {
                self.host = Host::Present { last: now };
                return Ok(Some(FromDevice::Pong));
            }
            FromHost::Version => {
                self.push(Out::Firmware);
                return Ok(None);
            }
            FromHost::Help => {
                HELP.iter()
                    .for_each(|line| self.say(FromDevice::Info(line)));
                return Ok(None);
            }
            FromHost::Status => self.say_status(),
            FromHost::Test => self.light.test(now, true),
            FromHost::Stop => self.light.test(now, false),
            FromHost::QReset => self.reset_counters(),
            FromHost::Bright(percent) => self.brightness = percent,
            FromHost::Name(name) => self.name = name,
            FromHost::Buttons(size) => self.buttons_next = size,
            FromHost::Debounce { stable, window_ms } => self
                .set_debounce(stable, window_ms)
                .map_err(|_| ErrorCode::Limit)?,
            FromHost::Save => {
                self.ask_save(Asked::Text)
                    .map_err(|_| ErrorCode::UnknownCmd)?;
                return Ok(None);
            }
            FromHost::Hello(frame::VERSION) => {
                self.say(FromDevice::Hello(self.hello()));
                self.enter_v2(now);
                return Ok(None);
            }
            FromHost::Hello(_) => return Err(ErrorCode::Limit),
        }
        Ok(Some(FromDevice::Ok))
    }

    fn known(&self, id: ButtonId) -> Result<ButtonId, ErrorCode> {
        if self.config.wiring.size().contains(id) {
            Ok(id)
        } else {
            Err(ErrorCode::InvalidId)
        }
    }

    fn say_status(&mut self) {
        let count = self.config.wiring.size().get();
        self.say(FromDevice::Curled(
            self.light.selected().map_or(0, ButtonId::get),
        ));
        self.say(FromDevice::Buttons(count));
        self.say(FromDevice::Leds(count));
        self.say(FromDevice::Heap(self.heap.min(999_999_999)));
        self.say(FromDevice::Production(count > 10));
    }

    fn reset_counters(&mut self) {
        self.counters = Counters::default();
        self.drops_told = 0;
    }

    fn hello(&self) -> Hello {
        let count = self.config.wiring.size().get();
        Hello {
            buttons: count,
            leds: count,
            caps: self.caps(),
            boot_id: self.config.boot_id,
        }
    }

    /// From the next byte on, in both directions.
    fn enter_v2(&mut self, now: Instant) {
        self.language = Language::V2 { heard: now };
        self.frames.clear();
        for id in self.debouncer.stuck() {
            self.fault(frame::fault::STUCK, id.get().into());
        }
        if self.chain_lost == CHAIN_LOST_AFTER {
            self.fault(frame::fault::CHAIN, self.chain_arg);
        }
    }

    pub(super) fn v2_byte(&mut self, now: Instant, byte: u8) {
        let message = match self.frames.push(byte) {
            None => return,
            Some(Candidate::Complete(bytes)) => frame::decode::<frame::FromHost>(bytes),
            Some(Candidate::TooLong) => {
                bump(&mut self.counters.cmd_drop);
                return;
            }
        };
        match message {
            Ok(message) => {
                self.language = Language::V2 { heard: now };
                self.v2_command(now, message);
            }
            Err(frame::FrameError::Stuffing | frame::FrameError::Content) => {
                bump(&mut self.counters.crc_err)
            }
        }
    }

    fn v2_command(&mut self, now: Instant, message: frame::FromHost) {
        use frame::FromHost as M;
        let answer = match message {
            M::Hello { .. } => {
                let Hello {
                    buttons,
                    leds,
                    caps,
                    boot_id,
                } = self.hello();
                Frame::Hello {
                    proto: frame::VERSION,
                    fw: self.config.version,
                    buttons,
                    leds,
                    caps,
                    boot_id,
                }
            }
            M::Ping { nonce } => {
                self.host = Host::Present { last: now };
                Frame::Pong {
                    nonce,
                    uptime_ms: now.as_millis() as u32,
                }
            }
            M::StatusReq => self.v2_status(),
            M::Save { tag } => match self.ask_save(Asked::V2 { tag }) {
                Ok(()) => return,
                Err(code) => Frame::Nak { tag, code },
            },
            M::LedSet { tag, .. }
            | M::LedClr { tag, .. }
            | M::LedOn { tag, .. }
            | M::LedOff { tag, .. }
            | M::LedAll { tag }
            | M::Bright { tag, .. }
            | M::Test { tag, .. }
            | M::CountersReset { tag }
            | M::Debounce { tag, .. }
            | M::Buttons { tag, .. }
            | M::Name { tag, .. }
            | M::LitMax { tag, .. }
            | M::Positions { tag, .. } => match self.carry_out(now, message) {
                Ok(()) => Frame::Ack { tag },
                Err(code) => Frame::Nak { tag, code },
            },
        };
        self.push(Out::V2(answer));
    }

    /// Carries a command with a tag out, or tells why not.
    fn carry_out(&mut self, now: Instant, command: frame::FromHost) -> Result<(), u8> {
        use frame::FromHost as M;
        match command {
            M::LedSet { id, .. } => self.light.select(now, self.number(id)?),
            M::LedClr { only_if: 0, .. } => self.light.clear(now),
            M::LedClr { only_if, .. } => {
                if self.light.selected() == Some(self.number(only_if)?) {
                    self.light.clear(now);
                }
            }
            M::LedOn { id, .. } => self.light.on(now, self.number(id)?),
            M::LedOff { id, .. } => self.light.off(now, self.number(id)?),
            M::LedAll { .. } => self.light.all_on(now),
            M::Bright {
                percent: percent @ 0..=100,
                ..
            } => self.brightness = percent,
            M::Bright { .. } => return Err(nak::LIMIT),
            M::Test { on, .. } => self.light.test(now, on),
            M::CountersReset { .. } => self.reset_counters(),
            M::Debounce {
                stable, window_ms, ..
            } => self.set_debounce(stable, window_ms)?,
            M::Buttons { count, .. } => {
                self.buttons_next = PanelSize::new(count).ok_or(nak::LIMIT)?;
            }
            M::Name { name, .. } => self.name = name,
            M::LitMax {
                most: most @ 1..=100,
                ..
            } => self.light.set_lit_max(most),
            M::LitMax { .. } => return Err(nak::LIMIT),
            M::Positions {
                first,
                count,
                positions,
                ..
            } => {
                let piece = positions.get(..usize::from(count)).ok_or(nak::LIMIT)?;
                self.wire(first, piece)?;
            }
            M::Hello { .. } | M::Ping { .. } | M::StatusReq | M::Save { .. } => {
                return Err(nak::UNKNOWN);
            }
        }
        Ok(())
    }

    /// Takes a piece of the table of positions; in force once the last button has its own.
    fn wire(&mut self, first: u8, piece: &[u8]) -> Result<(), u8> {
        let begin = self.number(first)?.index();
        let end = begin + piece.len();
        let size = usize::from(self.config.wiring.size().get());
        let place = self.positions.get_mut(begin..end).ok_or(nak::LIMIT)?;
        place.copy_from_slice(piece);
        if piece.is_empty() || end > size {
            return Err(nak::LIMIT);
        }
        if end == size {
            let wiring = self.config.wiring.clone();
            let wired = wiring.with_button_positions(&self.positions[..size]);
            self.config.wiring = wired.map_err(|_| nak::LIMIT)?;
        }
        Ok(())
    }

    fn number(&self, id: u8) -> Result<ButtonId, u8> {
        self.config.wiring.size().id(id).ok_or(nak::INVALID_ID)
    }

    fn set_debounce(&mut self, stable: bool, window_ms: u8) -> Result<(), u8> {
        let mode = if stable { Mode::Stable } else { Mode::Eager };
        let window = Duration::from_millis(window_ms.into());
        let config =
            debounce::Config::new(mode, window, self.config.scan).map_err(|_| nak::LIMIT)?;
        self.debouncer.configure(config);
        Ok(())
    }

    /// The answer follows with [`Board::saved`].
    fn ask_save(&mut self, asked: Asked) -> Result<(), u8> {
        if !self.config.keeps_settings {
            return Err(nak::UNKNOWN);
        }
        self.save_asked = Some(asked);
        Ok(())
    }

    fn v2_status(&self) -> Frame {
        let Counters {
            ev_drop,
            cmd_drop,
            crc_err,
        } = self.counters;
        Frame::Status {
            selected: self.light.selected().map_or(0, ButtonId::get),
            scan_hz: self.rate.hz,
            heap: self.heap,
            ev_drop,
            cmd_drop,
            crc_err,
            stuck: self.debouncer.stuck().len() as u8,
        }
    }
}
