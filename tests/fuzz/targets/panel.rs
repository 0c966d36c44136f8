//! Both ends of the panel's cable and arbitrary bytes at arbitrary times. Shared by `panel_text` and
//! `panel_frames`, which differ in the language spoken at the beginning.
//!
//! It must never panic, spin or grow, never take for a press what is neither a strict line nor a checked
//! frame, and work again once the other end is honest.

use leitstand_core::limits::{PANEL_EVENTS_MAX, PANEL_READ_MAX};
use leitstand_core::machine::Machine;
use leitstand_core::panel::board::{self, Board};
use leitstand_core::panel::chain::Wiring;
use leitstand_core::panel::frame;
use leitstand_core::panel::link::{
    BoardEvent, Command, Config, HostLink, Input, LedCommand, Offer, Output, Protocol,
};
use leitstand_core::panel::message::FromDevice;
use leitstand_core::panel::{ButtonId, PanelSize};
use leitstand_core::time::{Duration, Instant};

/// Steps of a script that are carried out.
const STEPS_MAX: usize = 2000;
/// Deadlines at one instant.
const SPINS_MAX: usize = 20;

/// One step: mostly a byte that goes over the wire as it is.
enum Step {
    Byte(u8),
    /// A whole frame from its fields.
    Frame(frame::FromDevice, frame::FromHost),
    Wait(u64),
    Led(u8),
    Command(u8),
    Reopen,
}

struct Script<'a>(std::slice::Iter<'a, u8>);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// Five values are taken from the range of bytes that no text line has; one brings them back.
    fn step(&mut self) -> Option<Step> {
        Some(match *self.0.next()? {
            0xff => Step::Byte(self.byte()),
            0xfe => Step::Wait(u64::from(self.byte()) * 20),
            0xfd => Step::Led(self.byte()),
            0xfc => Step::Command(self.byte()),
            0xfb => Step::Frame(self.device_frame(), self.host_frame()),
            0xfa => Step::Reopen,
            byte => Step::Byte(byte),
        })
    }

    fn device_frame(&mut self) -> frame::FromDevice {
        use frame::FromDevice as M;
        let (kind, a, b, word) = (self.byte(), self.byte(), self.byte(), self.word());
        let seq = u16::from_le_bytes([a, word as u8]);
        match kind % 8 {
            0 => M::Hello {
                proto: a,
                fw: [a, b, 0],
                buttons: b,
                leds: b,
                caps: word as u16,
                boot_id: word % 4,
            },
            1 => M::Press {
                seq,
                id: b,
                t_ms: word,
            },
            2 => M::Release {
                seq,
                id: b,
                t_ms: word,
            },
            3 => M::Ack { tag: a },
            4 => M::Nak { tag: a, code: b },
            5 => M::Pong {
                nonce: word,
                uptime_ms: word,
            },
            6 => M::Status {
                selected: a,
                scan_hz: seq,
                heap: word,
                ev_drop: seq,
                cmd_drop: 0,
                crc_err: 0,
                stuck: b,
            },
            _ => M::Fault { code: a, arg: word },
        }
    }

    fn host_frame(&mut self) -> frame::FromHost {
        use frame::FromHost as M;
        let (kind, tag, id) = (self.byte(), self.byte(), self.byte());
        match kind % 14 {
            0 => M::Hello { proto: tag },
            1 => M::Ping { nonce: id.into() },
            2 => M::LedSet { tag, id },
            3 => M::LedClr { tag, only_if: id },
            4 => M::LedOn { tag, id },
            5 => M::LedOff { tag, id },
            6 => M::LedAll { tag },
            7 => M::Bright { tag, percent: id },
            8 => M::StatusReq,
            9 => M::Test {
                tag,
                on: id & 1 != 0,
            },
            10 => M::CountersReset { tag },
            11 => M::LitMax { tag, most: id },
            12 => M::Positions {
                tag,
                first: id,
                count: self.byte(),
                positions: std::array::from_fn(|_| self.byte()),
            },
            _ => M::Debounce {
                tag,
                stable: id & 1 != 0,
                window_ms: id,
            },
        }
    }
}

/// Runs one script against both ends.
pub(crate) fn run(data: &[u8], v2: bool) {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    let mut host = Host::new(*first, v2);
    let mut device = Device::new(*first, v2);
    let mut script = Script(rest.iter());
    for _ in 0..STEPS_MAX {
        let Some(step) = script.step() else { break };
        match step {
            Step::Byte(byte) => {
                host.bytes(&[byte]);
                device.bytes(&[byte]);
            }
            Step::Frame(from_device, from_host) => {
                host.bytes(&frame::encode(&from_device));
                device.bytes(&frame::encode(&from_host));
            }
            Step::Wait(ms) => {
                host.wait(ms);
                device.wait(ms);
            }
            Step::Led(byte) => host.led(byte),
            Step::Command(byte) => host.command(byte),
            Step::Reopen => host.reopen(),
        }
    }
    host.be_honest();
    device.be_honest();
}

struct Host {
    link: HostLink,
    now: Instant,
    /// All that came over the wire.
    heard: Vec<u8>,
    /// How often each button was pressed, as the link says.
    presses: [usize; 101],
    open: bool,
    /// Whether the link asked for another port.
    asked: bool,
    sent: Vec<u8>,
}

impl Host {
    fn new(first: u8, v2: bool) -> Self {
        let config = Config {
            buttons: PanelSize::new(first % 100 + 1).unwrap_or(PanelSize::MAX),
            protocol: if v2 || first & 1 == 0 {
                Offer::Auto
            } else {
                Offer::TextOnly
            },
            lights_itself: first & 2 == 0,
            lit_max: (first & 4 == 0).then_some(first & 15),
            positions: None,
        };
        let link = HostLink::new(config);
        let mut host = Self {
            link,
            now: Instant::ZERO,
            heard: Vec::new(),
            presses: [0; 101],
            open: false,
            asked: false,
            sent: Vec::new(),
        };
        host.reopen();
        if v2 {
            host.bytes(b"READY\nOK\nHELLO 2 10 10 000f 00000001\n");
            assert_eq!(host.protocol(), Some(Protocol::V2));
        }
        host
    }

    fn protocol(&self) -> Option<Protocol> {
        self.link.online().map(|info| info.protocol)
    }

    fn input(&mut self, input: Input<'_>) {
        self.link.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.link.poll_output() {
            outputs += 1;
            assert!(
                outputs <= PANEL_EVENTS_MAX + 10,
                "it does not come to an end"
            );
            match output {
                Output::Send(bytes) => {
                    assert!(self.open, "nobody is there to hear");
                    self.sent.extend_from_slice(&bytes);
                }
                Output::Event(BoardEvent::Press(press)) => {
                    let id = press.id;
                    assert!(self.link.config().buttons.contains(id), "no such button");
                    self.presses[usize::from(id.get())] += 1;
                }
                Output::Event(_) => {}
                Output::Reopen => self.asked = true,
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.asked {
            self.reopen();
        }
        self.heard.extend_from_slice(bytes);
        self.input(Input::Bytes(bytes));
    }

    fn reopen(&mut self) {
        self.asked = false;
        self.open = false;
        self.input(Input::Closed);
        // A new port begins with new bytes: what was heard before cannot become part of a line.
        self.heard.push(0);
        self.open = true;
        self.input(Input::Opened);
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        let mut spins = 0;
        while let Some(at) = self.link.poll_timeout().filter(|at| *at <= until) {
            spins = if at > self.now { 0 } else { spins + 1 };
            assert!(spins < SPINS_MAX, "a deadline that does not pass");
            self.now = self.now.max(at);
            self.link.handle_timeout(self.now);
            self.drain();
            if self.asked {
                self.reopen();
            }
        }
        self.now = until;
    }

    fn led(&mut self, byte: u8) {
        let id = ButtonId::new(byte % 100 + 1).unwrap_or(const { ButtonId::new(1).unwrap() });
        self.input(Input::Led(match byte >> 6 {
            0 => LedCommand::Pressed(id),
            1 => LedCommand::Set(id),
            2 => LedCommand::Clear { only_if: Some(id) },
            _ => LedCommand::Clear { only_if: None },
        }));
    }

    fn command(&mut self, byte: u8) {
        let id = const { ButtonId::new(1).unwrap() };
        let commands = [
            Command::LedOn(id),
            Command::LedOff(id),
            Command::AllOn,
            Command::Test(byte & 8 != 0),
            Command::Status,
            Command::ResetCounters,
        ];
        self.input(Input::Command(
            commands[usize::from(byte & 7) % commands.len()],
        ));
    }

    /// Whatever was, a new cable with an honest text board on it works. And every press before had its cause.
    fn be_honest(&mut self) {
        self.check_causes();
        self.sent.clear();
        self.reopen();
        for _ in 0..10 {
            // Answers whatever it is asked, as the boards of the original do.
            for line in std::mem::take(&mut self.sent).split(|byte| *byte == b'\n') {
                match line {
                    b"" => {}
                    b"PING" => self.bytes(b"PONG\n"),
                    line if line.starts_with(b"LED") => self.bytes(b"OK\n"),
                    _ => self.bytes(b"ERROR UNKNOWN_CMD\n"),
                }
            }
            self.wait(100);
        }
        assert_eq!(
            self.protocol(),
            Some(Protocol::Text),
            "an honest board is not found"
        );
        let before = self.presses[1];
        self.bytes(b"PRESS 001\r\n");
        assert_eq!(self.presses[1], before + 1);
    }

    /// An oracle of its own: lines by search, frames by trying every beginning.
    fn check_causes(&self) {
        let mut causes = [0usize; 101];
        for (at, byte) in self.heard.iter().enumerate() {
            match byte {
                b'\n' | b'\r' => {
                    for digits in 1..=3 {
                        let Some(from) = at.checked_sub(digits + 6) else {
                            continue;
                        };
                        let line = &self.heard[from..at];
                        let id = line.strip_prefix(b"PRESS ").and_then(|digits| {
                            let digits = std::str::from_utf8(digits).ok()?;
                            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
                            digits.parse::<usize>().ok().filter(|_| plain)
                        });
                        causes
                            .iter_mut()
                            .enumerate()
                            .filter(|(n, _)| Some(*n) == id)
                            .for_each(|(_, count)| *count += 1);
                    }
                }
                0 => {
                    for from in at.saturating_sub(70)..at {
                        let mut bytes = self.heard[from..at].to_vec();
                        let message = frame::decode::<frame::FromDevice>(&mut bytes);
                        if let Ok(frame::FromDevice::Press {
                            id: id @ 1..=100, ..
                        }) = message
                        {
                            causes[usize::from(id)] += 1;
                        }
                    }
                }
                _ => {}
            }
        }
        for (id, (told, caused)) in self.presses.iter().zip(causes).enumerate() {
            assert!(
                *told <= caused,
                "button {id}: {told} presses told, {caused} came over the wire"
            );
        }
    }
}

struct Device {
    board: Board,
    size: PanelSize,
    now: Instant,
    told: Vec<u8>,
}

impl Device {
    fn new(first: u8, v2: bool) -> Self {
        let size = PanelSize::new(first % 100 + 1).unwrap_or(PanelSize::MAX);
        let config = board::Config {
            announce_after: Duration::ZERO,
            ..board::Config::new(Wiring::new(size), 1)
        };
        let board = Board::new(Instant::ZERO, config);
        let mut device = Self {
            board,
            size,
            now: Instant::ZERO,
            told: Vec::new(),
        };
        device.wait(5);
        if v2 {
            device.bytes(b"HELLO 2\n");
            assert!(device.board.speaks_v2());
        }
        device.told.clear();
        device
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let spoke_v2 = self.board.speaks_v2();
        self.board.receive(self.now, bytes);
        self.read(spoke_v2);
    }

    fn wait(&mut self, ms: u64) {
        for _ in 0..ms / 5 {
            self.now += Duration::from_millis(5);
            let spoke_v2 = self.board.speaks_v2();
            self.board
                .scan(self.now, Some(&[0xff; 13][..self.size.chips()]));
            assert!(
                self.board.lit(self.now).len() <= 16,
                "more light than the supply can give"
            );
            self.read(spoke_v2);
        }
    }

    /// What goes out is whole messages, and no press: no button moved.
    fn read(&mut self, spoke_v2: bool) {
        loop {
            let bytes = self.board.outgoing();
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len();
            if let Some((b'\n', line)) = bytes.split_last().filter(|_| !spoke_v2) {
                let message = FromDevice::parse(line);
                assert!(message.is_ok(), "{}", line.escape_ascii());
                assert!(!matches!(
                    message,
                    Ok(FromDevice::Press(_) | FromDevice::Release(_))
                ));
                assert!(
                    !line.iter().all(u8::is_ascii_digit),
                    "the original server takes that for a press"
                );
            } else if let Some((0, frame)) = bytes.split_last() {
                let message = frame::decode::<frame::FromDevice>(&mut frame.to_vec());
                assert!(message.is_ok());
                assert!(!matches!(
                    message,
                    Ok(frame::FromDevice::Press { .. } | frame::FromDevice::Release { .. })
                ));
            } else {
                panic!("half a message: {}", bytes.escape_ascii());
            }
            self.told.extend_from_slice(&bytes[..count]);
            self.board.sent(count);
        }
        self.told.truncate(PANEL_READ_MAX);
    }

    /// Once v2 has run out, a text host is answered.
    fn be_honest(&mut self) {
        // The end of a line first: it may complete an offer of v2.
        self.bytes(b"\n");
        self.wait(4000);
        self.bytes(b"\nLEDSET 1\nPING\n");
        self.told.clear();
        self.bytes(b"LEDSET 001\nPING\n");
        assert_eq!(self.told, b"OK\nPONG\n");
        assert_eq!(self.board.selected().map(ButtonId::get), Some(1));
    }
}
