//! # The board's application
//!
//! All that a panel board does, without its pins: the firmware and the virtual board of the tests are thin
//! shells around [`Board`]. One round, every scan period:
//!
//! ```text
//!   read the input chain ──▶ scan ──▶ led_bytes ──▶ write the output chain, set the brightness
//!   bytes from the cable ──▶ receive        outgoing / sent ──▶ bytes to the cable
//! ```
//!
//! A press lights its LED in the scan that accepts it; the host is told, and darkens it. A host that said
//! PING and then nothing for 3 s is gone: then the board is alone, and a lit LED goes dark after 30 s.
//!
//! Deliberately absent: waiting. Nothing here blocks on a host that does not read.

mod command;
mod light;
mod queue;
mod settings;

use core::fmt::Write as _;

use heapless::{String, Vec};

pub use self::settings::Settings;

use self::light::Light;
use self::queue::{Out, Queue};
use self::settings::Asked;
use super::chain::{ChainBytes, Wiring};
use super::debounce::{self, Debouncer};
use super::frame::{self, Frames};
use super::line::DeviceLines;
use super::message::FromDevice;
use super::name::BoardName;
use super::{ButtonId, ButtonSet, PanelSize};
use crate::limits::{PANEL_BUTTONS_MAX, PANEL_FRAME_MAX};
use crate::time::{Duration, Instant};

/// A host that said PING and then nothing for this long is gone. Source: panel specification 3.6.
pub const HOST_GONE: Duration = Duration::from_secs(3);
/// Alone, an LED goes dark after this.
pub const LOCAL_LIGHT: Duration = Duration::from_secs(30);
/// v2 is given up after this without a valid frame. Source: panel specification 3.7.
pub const V2_GONE: Duration = Duration::from_secs(3);

/// So many scans in a row without the input chain are a fault, not a glitch. Reasoning: 0.1 s at 5 ms.
const CHAIN_LOST_AFTER: u8 = 20;

/// Bytes of one message in the larger of both languages.
const MESSAGE_MAX: usize = 96;
const _: () = assert!(MESSAGE_MAX > PANEL_FRAME_MAX);

/// What a board must know of itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// Buttons and LEDs.
    pub wiring: Wiring,
    /// Name in the `FW` line.
    pub name: BoardName,
    /// Version of the firmware.
    pub version: [u8; 3],
    /// Differs after every start; from a random number generator or a counter in flash.
    pub boot_id: u32,
    /// From the start until READY. Until then the board does not listen.
    pub announce_after: Duration,
    /// Most LEDs that may be lit at once.
    pub lit_max: u8,
    /// How often [`Board::scan`] is called, 1..=20 ms.
    pub scan: Duration,
    /// How presses are recognised.
    pub debounce: debounce::Config,
    /// Brightness in percent, 0..=100.
    pub brightness: u8,
    /// Whether the shell keeps [`Settings`] over a reset; without that SAVE is unknown.
    pub keeps_settings: bool,
}

impl Config {
    /// The defaults of the panel specification: announced after 1.6 s, at most 16 LEDs at once, a scan every
    /// 5 ms, eager, half brightness.
    #[must_use]
    pub fn new(wiring: Wiring, boot_id: u32) -> Self {
        Self {
            wiring,
            name: BoardName::DEFAULT,
            version: [0, 1, 0],
            boot_id,
            announce_after: Duration::from_millis(1600),
            lit_max: 16,
            scan: Duration::from_millis(5),
            debounce: debounce::Config::default(),
            brightness: 50,
            keeps_settings: false,
        }
    }

    /// As this, with what was kept over the reset. The wiring is not touched: whoever knows its table makes
    /// one for [`Settings::buttons`].
    #[must_use]
    pub const fn with_settings(mut self, settings: &Settings) -> Self {
        self.name = settings.name;
        self.debounce = settings.debounce;
        self.brightness = settings.brightness;
        self.keeps_settings = true;
        self
    }
}

/// What the board counted since its start or the last reset of the counters. Saturating.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Button events dropped because nobody read them.
    pub ev_drop: u16,
    /// Commands not carried out because they came too long.
    pub cmd_drop: u16,
    /// Frames with a wrong check value or content.
    pub crc_err: u16,
}

/// The application of one panel board.
pub struct Board {
    config: Config,
    debouncer: Debouncer,
    light: Light,
    /// The host's table of button positions, as far as it came.
    positions: [u8; PANEL_BUTTONS_MAX],
    brightness: u8,
    name: BoardName,
    /// How many buttons there will be after the next start.
    buttons_next: PanelSize,
    save_asked: Option<Asked>,

    announce_at: Instant,
    announced: bool,
    greeting: core::array::IntoIter<Out, 2>,
    lines: DeviceLines,
    frames: Frames,
    language: Language,

    queue: Queue,
    /// The message on its way and how much of it is gone. Never dropped: half a frame is a broken frame.
    message: Vec<u8, MESSAGE_MAX>,
    gone: usize,

    /// Number of the last button event.
    seq: u16,
    counters: Counters,
    /// How many dropped events the host knows of.
    drops_told: u16,
    heap: u32,
    rate: Rate,
    /// Scans in a row without the input chain; counts up to [`CHAIN_LOST_AFTER`].
    chain_lost: u8,
    /// Argument of the standing chain fault.
    chain_arg: u32,

    host: Host,
    /// When a press last lit an LED, for the time alone.
    lit_at: Instant,
}

/// The language spoken with the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Text,
    V2 {
        /// When the last valid frame came.
        heard: Instant,
    },
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    /// Never said PING since it came; it may be silent for ever.
    Quiet,
    /// Says PING; `last` is its last byte.
    Present { last: Instant },
    /// It was present and is no more.
    Gone { since: Instant },
}

/// Scans in the last full second.
#[derive(Clone, Copy, Debug)]
struct Rate {
    began: Instant,
    count: u16,
    hz: u16,
}

impl Board {
    /// A board that starts at `now`.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        Self {
            debouncer: Debouncer::new(config.debounce),
            light: Light::new(config.wiring.size(), config.lit_max),
            positions: [0; PANEL_BUTTONS_MAX],
            brightness: config.brightness.min(100),
            name: config.name,
            buttons_next: config.wiring.size(),
            save_asked: None,
            announced: false,
            greeting: [Out::Text(FromDevice::Ready), Out::Firmware].into_iter(),
            lines: DeviceLines::default(),
            frames: Frames::default(),
            language: Language::Text,
            queue: Queue::default(),
            message: Vec::new(),
            gone: 0,
            seq: 0,
            counters: Counters::default(),
            drops_told: 0,
            heap: 0,
            rate: Rate {
                began: now,
                count: 0,
                hz: 0,
            },
            chain_lost: 0,
            chain_arg: 0,
            host: Host::Quiet,
            lit_at: now,
            announce_at: now + config.announce_after,
            config,
        }
    }

    /// One scan: `normal` is the input chain in normal form ([`super::chain`]), or `None` when it could not be
    /// read. Call it every [`Config::scan`], also when nothing changes: all the board's deadlines are kept
    /// here.
    pub fn scan(&mut self, now: Instant, normal: Option<&[u8]>) {
        if !self.announced && now >= self.announce_at {
            self.announced = true;
        }
        self.keep_deadlines(now);
        let Some(normal) = normal else { return };
        self.chain_lost = 0;
        self.rate.count(now);
        let changes = self.debouncer.scan(now, self.config.wiring.pressed(normal));
        for id in changes.released {
            self.event(now, id, false);
        }
        for id in changes.pressed {
            self.light.select(now, id);
            self.lit_at = now;
            self.event(now, id, true);
        }
        for id in changes.stuck {
            self.fault(frame::fault::STUCK, id.get().into());
        }
        if self.counters.ev_drop > self.drops_told && self.queue.is_half_empty() {
            self.drops_told = self.counters.ev_drop;
            self.fault(frame::fault::EVENTS_DROPPED, self.counters.ev_drop.into());
        }
    }

    /// Why the chain could not be read in this scan, for [`frame::fault::CHAIN`]; the host is told once it
    /// lasts.
    pub fn chain_failed(&mut self, arg: u32) {
        let before = self.chain_lost;
        self.chain_lost = before.saturating_add(1).min(CHAIN_LOST_AFTER);
        self.chain_arg = arg;
        if before + 1 == CHAIN_LOST_AFTER {
            self.fault(frame::fault::CHAIN, arg);
        }
    }

    /// Takes bytes from the cable, as many as there are.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) {
        if !self.announced || bytes.is_empty() {
            return;
        }
        self.host = match self.host {
            Host::Present { .. } => Host::Present { last: now },
            Host::Quiet | Host::Gone { .. } => Host::Quiet,
        };
        for byte in bytes {
            match self.language {
                Language::Text => self.text_byte(now, *byte),
                Language::V2 { .. } => self.v2_byte(now, *byte),
            }
        }
    }

    /// The bytes that should go out next: the rest of one message. Empty when nothing waits. Report with
    /// [`sent`](Self::sent) how many the cable took.
    ///
    /// READY comes first, even when a button was pressed before it.
    pub fn outgoing(&mut self) -> &[u8] {
        if self.gone == self.message.len() && self.announced {
            self.message.clear();
            self.gone = 0;
            if let Some(out) = self.greeting.next().or_else(|| self.queue.pop()) {
                self.encode(out);
            }
        }
        &self.message[self.gone..]
    }

    /// The cable took `count` of the [`outgoing`](Self::outgoing) bytes.
    pub fn sent(&mut self, count: usize) {
        self.gone = (self.gone + count).min(self.message.len());
    }

    /// What the output chain should show now, in sending order.
    #[must_use]
    pub fn led_bytes(&self, now: Instant) -> ChainBytes {
        self.config.wiring.led_bytes(self.lit(now))
    }

    /// The LEDs that should be lit now.
    #[must_use]
    pub fn lit(&self, now: Instant) -> ButtonSet {
        self.light.shown(now)
    }

    /// The selected button.
    #[must_use]
    pub fn selected(&self) -> Option<ButtonId> {
        self.light.selected()
    }

    /// Brightness in percent, 0..=100; see [`super::chain::oe_compare`].
    #[must_use]
    pub const fn brightness(&self) -> u8 {
        self.brightness
    }

    /// The debounce settings in force.
    #[must_use]
    pub const fn debounce(&self) -> debounce::Config {
        self.debouncer.config()
    }

    /// Buttons that are stuck.
    #[must_use]
    pub const fn stuck(&self) -> ButtonSet {
        self.debouncer.stuck()
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether binary v2 is spoken.
    #[must_use]
    pub const fn speaks_v2(&self) -> bool {
        matches!(self.language, Language::V2 { .. })
    }

    /// Whether the host is gone and the board goes on alone.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        matches!(self.host, Host::Gone { .. })
    }

    /// Free memory in bytes, for the status.
    pub const fn set_heap(&mut self, bytes: u32) {
        self.heap = bytes;
    }

    fn keep_deadlines(&mut self, now: Instant) {
        if let Language::V2 { heard } = self.language
            && now - heard >= V2_GONE
        {
            self.language = Language::Text;
            self.lines.clear();
        }
        match self.host {
            Host::Present { last } if now - last >= HOST_GONE => {
                self.host = Host::Gone { since: now }
            }
            Host::Gone { since }
                if now - since.max(self.lit_at) >= LOCAL_LIGHT && !self.light.is_dark() =>
            {
                self.light.clear(now);
            }
            Host::Quiet | Host::Present { .. } | Host::Gone { .. } => {}
        }
    }

    fn event(&mut self, now: Instant, id: ButtonId, pressed: bool) {
        self.seq = self.seq.wrapping_add(1);
        let (seq, t_ms) = (self.seq, now.as_millis() as u32);
        self.push(match (self.language, pressed) {
            (Language::Text, true) => Out::Text(FromDevice::Press(id)),
            (Language::Text, false) => Out::Text(FromDevice::Release(id)),
            (Language::V2 { .. }, true) => Out::V2(frame::FromDevice::Press {
                seq,
                id: id.get(),
                t_ms,
            }),
            (Language::V2 { .. }, false) => Out::V2(frame::FromDevice::Release {
                seq,
                id: id.get(),
                t_ms,
            }),
        });
    }

    /// Text has no word for it; there the status counts.
    fn fault(&mut self, code: u8, arg: u32) {
        if self.speaks_v2() {
            self.push(Out::V2(frame::FromDevice::Fault { code, arg }));
        }
    }

    fn say(&mut self, message: FromDevice<'static>) {
        self.push(Out::Text(message));
    }

    fn push(&mut self, out: Out) {
        if self.queue.push(out) {
            bump(&mut self.counters.ev_drop);
        }
    }

    fn encode(&mut self, out: Out) {
        let mut line = String::<{ MESSAGE_MAX - 1 }>::new();
        // Writing never fails: names have at most 32 characters, all other lines are shorter.
        let written = match out {
            Out::V2(message) => {
                let _ = self.message.extend_from_slice(&frame::encode(&message));
                return;
            }
            Out::Text(message) => message.write(&mut line),
            Out::Firmware => {
                let [major, minor, patch] = self.config.version;
                let name = self.name;
                write!(line, "FW {name} v{major}.{minor}.{patch}")
            }
        };
        debug_assert!(written.is_ok());
        let _ = self.message.extend_from_slice(line.as_bytes());
        let _ = self.message.push(b'\n');
    }
}

impl Rate {
    fn count(&mut self, now: Instant) {
        if now - self.began >= Duration::from_secs(1) {
            *self = Self {
                began: now,
                count: 0,
                hz: self.count,
            };
        }
        self.count = self.count.saturating_add(1);
    }
}

fn bump(counter: &mut u16) {
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
#[path = "board/tests.rs"]
mod tests;
