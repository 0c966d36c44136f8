//! # The host's end of the cable
//!
//! One [`HostLink`] a board. It is fed with what the serial port says and with what the service wants lit;
//! it asks for bytes to be sent and tells what the board did.
//!
//! ```text
//!            Opened            READY or PONG           HELLO 2 answered
//!   Closed ─────────▶ Seeking ───────────────▶ Offering ───────────────▶ Online(V2)
//!     ▲                  ▲                        │ ERROR or 300 ms          │ READY, five bad
//!     │ Closed           │ 3 s without a byte     ▼                          │ frames, clear text
//!     └──────────────────┴────────────────── Online(Text) ◀──────────────────┘ (offers again)
//! ```
//!
//! "Clear text" is a line of text v1 while v2 is spoken: the board was reset, or gave v2 up. A board that does
//! not answer text may still be speaking v2 with a gateway that is no more, so it is asked in both.
//!
//! The link keeps what the board should show (selection, brightness, debounce) and says it again after
//! every connect and every READY, so its owner never re-sends anything.
//!
//! How a thread drives it:
//! ```no_run
//! # use leitstand_core::{machine::Machine, time::Instant, panel::link::{Config, HostLink, Input, Output}};
//! # fn now() -> Instant { Instant::ZERO }
//! # fn read(_: Option<Instant>) -> Vec<u8> { Vec::new() }
//! # fn write(_: &[u8]) {}
//! let mut link = HostLink::new(Config::default());
//! link.handle(now(), Input::Opened);
//! loop {
//!     while let Some(output) = link.poll_output() {
//!         match output {
//!             Output::Send(bytes) => write(&bytes),
//!             Output::Event(event) => println!("{event:?}"),
//!             Output::Reopen => break, // close the port; open it anew; feed Closed and Opened
//!         }
//!     }
//!     let bytes = read(link.poll_timeout()); // waits at most until then
//!     if bytes.is_empty() { link.handle_timeout(now()) } else { link.handle(now(), Input::Bytes(&bytes)) }
//! }
//! ```

mod command;
mod event;
mod receive;

use heapless::{Deque, String, Vec};

use self::command::{Open, What};
pub use self::event::{
    BoardEvent, BoardFault, BoardInfo, BoardStatus, ButtonEvent, Failure, OfflineCause, Protocol,
};
use super::chain::ButtonPositions;
use super::frame::{self, Frames};
use super::line::HostLines;
use super::{ButtonId, ButtonSet, PanelSize, debounce};
use crate::limits::{PANEL_COMMANDS_MAX, PANEL_EVENTS_MAX, PANEL_HOST_LINE_MAX, PANEL_OPEN_MAX};
use crate::machine::Machine;
use crate::time::{Duration, Instant};

/// Bytes for the port, at most one full-speed USB packet.
pub type Chunk = Vec<u8, 64>;

/// What a link must know of its board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Buttons of this board. Higher ids are dropped and counted.
    pub buttons: PanelSize,
    /// Whether to offer the binary protocol.
    pub protocol: Offer,
    /// Whether the board lights its own LED at a press. `false` only for boards of generation A (firmware
    /// up to 2.3); then every press is answered with an LED command.
    pub lights_itself: bool,
    /// Most LEDs the board may light at once, 1..=100; `None` leaves it to the board. v2 only.
    pub lit_max: Option<u8>,
    /// Where the buttons of a mis-wired panel sit; `None` leaves it to the board. v2 only.
    pub positions: Option<ButtonPositions>,
}

impl Default for Config {
    /// Ten buttons, v2 where the board knows it.
    fn default() -> Self {
        let buttons = match PanelSize::new(10) {
            Some(size) => size,
            None => PanelSize::MAX,
        };
        Self {
            buttons,
            protocol: Offer::Auto,
            lights_itself: true,
            lit_max: None,
            positions: None,
        }
    }
}

/// Whether to offer the binary protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// v2 where the board knows it, else text.
    Auto,
    /// Never offer; for analysis on the wire.
    TextOnly,
}

/// What can happen to a link.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The port was opened.
    Opened,
    /// The port is gone: unplugged, hung up, or closed on [`Output::Reopen`].
    Closed,
    /// Bytes came, at most [`crate::limits::PANEL_READ_MAX`] at once.
    Bytes(&'a [u8]),
    /// What the board's LEDs should show from now on. Kept, and said again after every connect and READY.
    Led(LedCommand),
    /// Brightness from now on, percent 0..=100 (more is taken as 100). Kept like the LEDs.
    Brightness(u8),
    /// Debounce settings from now on. Kept like the LEDs; boards on text v1 have no such command.
    Debounce(debounce::Config),
    /// A service command, done once; answered by [`BoardEvent::Done`] or [`BoardEvent::Failed`].
    Command(Command),
}

/// What the LEDs of one board should show. Made by [`super::playback`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedCommand {
    /// Only this one, and the board lit it already at the press. Sent only if a clear may have crossed the
    /// press on the wire (rule P8).
    Pressed(ButtonId),
    /// Only this one. Always sent.
    Set(ButtonId),
    /// None. With `only_if`, a board on v2 keeps a selection that is newer than that button.
    Clear {
        /// The button whose end this is; `None` clears whatever is lit.
        only_if: Option<ButtonId>,
    },
}

/// Service commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// One LED on in addition to what is lit.
    LedOn(ButtonId),
    /// One LED off.
    LedOff(ButtonId),
    /// All LEDs on; above the board's current cap group after group.
    AllOn,
    /// Running light on or off.
    Test(bool),
    /// Ask for a [`BoardEvent::Status`].
    Status,
    /// Zero the board's counters.
    ResetCounters,
}

/// What a link asks of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "drained at once, never stored")]
pub enum Output {
    /// Write these bytes to the port, in order.
    Send(Chunk),
    /// Tell the service.
    Event(BoardEvent),
    /// The board is silent: close the port, open it anew (back-off is the owner's), feed
    /// [`Input::Closed`] and [`Input::Opened`].
    Reopen,
}

/// What the link counted and measured since it was made. Counters saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// When the last byte came.
    pub last_rx: Option<Instant>,
    /// Latest time from PING to PONG.
    pub rtt: Option<Duration>,
    /// Latest time from an LED command to the board's acknowledgement; v2 only, since text says OK before the
    /// board has done anything. At most one scan later the LED shows it.
    pub led_ack: Option<Duration>,
    /// How often [`led_ack`](Self::led_ack) was measured.
    pub led_acks: u32,
    /// Lines or frames over the limit.
    pub rx_overlong: u32,
    /// Lines that no known board sends, and lines with bytes outside printable ASCII.
    pub rx_unknown: u32,
    /// Half lines dropped after 1 s.
    pub rx_partial: u32,
    /// Frames with a wrong check value or body.
    pub rx_bad_frames: u32,
    /// Presses and releases with an id this board should not have.
    pub rx_out_of_range: u32,
    /// Button events that never arrived.
    pub ev_lost: u32,
    /// Answers nobody waited for.
    pub rx_unasked: u32,
    /// Commands without an answer in 250 ms.
    pub timeouts: u32,
    /// Commands the board refused.
    pub refused: u32,
    /// READY lines seen while online.
    pub restarts: u32,
}

/// Between heartbeats. This and the next five: panel specification 3.5 to 3.7, decisions 23.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Without a byte until the link is down.
const SILENCE: Duration = Duration::from_secs(3);
/// Until a command counts as unanswered.
const ANSWER: Duration = Duration::from_millis(250);
/// Until the offer of v2 counts as declined.
const OFFER: Duration = Duration::from_millis(300);
/// After a clear in which a press may have crossed it, even when it is answered.
const CROSSING: Duration = Duration::from_millis(200);
/// Bad frames in a row until v2 is given up.
const BAD_FRAMES: u8 = 5;
/// From opening until the port is opened anew, if no board ever answered. Longer than [`SILENCE`]: opening
/// can reset a board, and a board may take seconds to start.
const SEEK: Duration = Duration::from_secs(10);
/// After an unasked FW in which a READY is its cause, and the other way round.
const GREETING: Duration = Duration::from_secs(1);
/// After FW in which boards of 2.4 send a superfluous OK; nothing else is sent meanwhile.
const LATE_OK: Duration = Duration::from_millis(50);
/// READYs in answer to an offer until no more is offered.
const OFFERS_MAX: u8 = 3;
/// Bytes to send between two drains. Reasoning: all open commands, an offer, a probe, a heartbeat.
const SEND_MAX: usize = 256;

/// The host's end of one cable.
pub struct HostLink {
    config: Config,
    state: State,
    /// What was told with the last `Online`; `None` after `Offline`.
    online: Option<BoardInfo>,
    stats: LinkStats,

    // What is known of the board.
    firmware: String<PANEL_HOST_LINE_MAX>,
    version: Option<[u8; 3]>,
    caps: u16,
    boot_id: Option<u32>,
    /// Number of the next button event; unknown until the first one, or until a READY.
    next_seq: Option<u16>,
    stuck: ButtonSet,
    ready_at: Option<Instant>,

    // Receiving.
    lines: HostLines,
    frames: Frames,
    bad_in_a_row: u8,

    // Heartbeat.
    last_rx: Instant,
    next_ping: Instant,
    /// The heartbeat without an answer: when and with which nonce.
    ping: Option<(Instant, u32)>,
    nonce: u32,
    /// When to ask in v2, because text gets no answer.
    probe_at: Option<Instant>,

    // Sending.
    open: Deque<Open, PANEL_OPEN_MAX>,
    commands: Deque<Command, PANEL_COMMANDS_MAX>,
    tag: u8,
    hold_until: Option<Instant>,
    /// Whether v2 was offered on this connection, how often in vain, and whether it was declined.
    offers: u8,
    declined: bool,
    version_asked: bool,
    status: BoardStatus,

    // What the board should show.
    led: Option<ButtonId>,
    /// What is still to be sent to that end.
    led_due: Option<LedCommand>,
    /// An LED command went unanswered twice; say it again at the next sign of life.
    led_unsure: bool,
    /// When the last clear was sent, for rule P8.
    clear_sent: Option<Instant>,
    /// Since the last press arrived an LED command was on its way or was sent: the board may show that one.
    crossed: bool,
    brightness: Option<u8>,
    brightness_due: bool,
    debounce: Option<debounce::Config>,
    debounce_due: bool,
    lit_max_due: bool,
    /// The first button whose position is still to be sent; 0 = none.
    position_due: u8,

    // To be drained.
    send: Deque<u8, SEND_MAX>,
    events: Deque<BoardEvent, PANEL_EVENTS_MAX>,
    events_lost: u16,
    reopen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No port.
    Closed,
    /// No protocol is settled: at the beginning, and after v2 was given up.
    Seeking { since: Instant },
    /// `HELLO 2` is out; nothing else is sent until it is settled.
    Offering { until: Instant },
    /// Settled.
    Online(Protocol),
}

impl HostLink {
    /// A link whose port is not open yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: State::Closed,
            online: None,
            stats: LinkStats::default(),
            firmware: String::new(),
            version: None,
            caps: 0,
            boot_id: None,
            next_seq: None,
            stuck: ButtonSet::EMPTY,
            ready_at: None,
            lines: HostLines::default(),
            frames: Frames::default(),
            bad_in_a_row: 0,
            last_rx: Instant::ZERO,
            next_ping: Instant::ZERO,
            ping: None,
            nonce: 0,
            probe_at: None,
            open: Deque::new(),
            commands: Deque::new(),
            tag: 0,
            hold_until: None,
            offers: 0,
            declined: false,
            version_asked: false,
            status: BoardStatus::EMPTY,
            led: None,
            led_due: None,
            led_unsure: false,
            clear_sent: None,
            crossed: false,
            brightness: None,
            brightness_due: false,
            debounce: None,
            debounce_due: false,
            lit_max_due: false,
            position_due: 0,
            send: Deque::new(),
            events: Deque::new(),
            events_lost: 0,
            reopen: false,
        }
    }

    /// Whether the board answers, and who it is.
    #[must_use]
    pub const fn online(&self) -> Option<BoardInfo> {
        self.online
    }

    /// The board's own name and version as it printed them, e.g. `selection-panel v2.5.1`; empty if unknown.
    #[must_use]
    pub fn firmware(&self) -> &str {
        &self.firmware
    }

    /// Counters and times.
    #[must_use]
    pub const fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Buttons the board reported as stuck since its last start and that were not heard of since; v2 only.
    #[must_use]
    pub const fn stuck(&self) -> ButtonSet {
        self.stuck
    }

    /// The LED that should be lit now.
    #[must_use]
    pub const fn led(&self) -> Option<ButtonId> {
        self.led
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn config(&self) -> Config {
        self.config
    }

    // --- transitions -----------------------------------------------------------------------------

    fn opened(&mut self, now: Instant) {
        self.closed(OfflineCause::Closed);
        self.firmware.clear();
        self.version = None;
        self.offers = 0;
        self.declined = false;
        self.version_asked = false;
        self.last_rx = now;
        self.seek(now);
    }

    /// Asks who is there, in text. A line feed first: it ends whatever the board has half read.
    fn seek(&mut self, now: Instant) {
        self.state = State::Seeking { since: now };
        self.lines.clear();
        self.frames.clear();
        self.bad_in_a_row = 0;
        self.drop_open(Failure::Timeout);
        self.put(b"\n");
        self.ping(now);
        self.probe_at = (self.config.protocol == Offer::Auto).then(|| now + ANSWER);
    }

    /// Text works: says what the board should show, and offers v2.
    fn begin(&mut self, now: Instant) {
        self.state = State::Seeking { since: now };
        self.drop_open(Failure::Timeout);
        self.ping = None;
        self.probe_at = None;
        self.hold_until = None;
        self.reassert();
        if self.config.protocol == Offer::Auto && !self.declined && self.offers < OFFERS_MAX {
            self.flush_led(now);
            self.offers += 1;
            self.state = State::Offering { until: now + OFFER };
            self.transmit(now, What::Offer, false);
        } else {
            self.settled(now, Protocol::Text);
        }
    }

    /// All that the board forgot, or that was said to another one.
    fn reassert(&mut self) {
        self.led_due = Some(self.led_command());
        self.led_unsure = false;
        self.crossed = false;
        self.brightness_due = self.brightness.is_some();
        self.debounce_due = self.debounce.is_some();
        self.lit_max_due = self.config.lit_max.is_some();
        self.position_due = u8::from(self.config.positions.is_some());
    }

    fn led_command(&self) -> LedCommand {
        self.led
            .map_or(LedCommand::Clear { only_if: None }, LedCommand::Set)
    }

    fn settled(&mut self, now: Instant, protocol: Protocol) {
        self.state = State::Online(protocol);
        self.probe_at = None;
        self.offers = 0;
        self.bad_in_a_row = 0;
        let v2 = protocol == Protocol::V2;
        let info = BoardInfo {
            protocol,
            buttons: self.online.and_then(|info| info.buttons),
            boot_id: if v2 { self.boot_id } else { None },
            firmware: self.version,
        };
        self.online = Some(info);
        self.next_ping = now + HEARTBEAT;
        if v2 {
            self.lines.clear();
            if self.version.is_none() || self.boot_id.is_none() {
                self.put(&frame::encode(&frame::FromHost::Hello {
                    proto: frame::VERSION,
                }));
            }
        }
        self.tell(BoardEvent::Online(info));
    }

    /// The board started anew: it forgot everything, and its numbering begins at 1.
    fn restarted(&mut self, now: Instant) {
        self.ready_at = Some(now);
        self.boot_id = None;
        self.next_seq = Some(1);
        self.stuck = ButtonSet::EMPTY;
        self.frames.clear();
        self.declined = false;
        if self.online.is_some() && !matches!(self.state, State::Offering { .. }) {
            self.stats.restarts = self.stats.restarts.saturating_add(1);
            self.tell(BoardEvent::Restarted);
        }
        self.begin(now);
    }

    fn down(&mut self) {
        self.closed(OfflineCause::Silent);
        self.reopen = true;
    }

    fn closed(&mut self, cause: OfflineCause) {
        self.state = State::Closed;
        self.lines.clear();
        self.frames.clear();
        self.ping = None;
        self.probe_at = None;
        self.hold_until = None;
        self.ready_at = None;
        self.drop_open(Failure::Offline);
        while let Some(command) = self.commands.pop_front() {
            self.tell(BoardEvent::Failed(command, Failure::Offline));
        }
        // What was to be sent goes to nobody.
        self.send.clear();
        if self.online.take().is_some() {
            self.tell(BoardEvent::Offline(cause));
        }
    }

    // --- what the board should show --------------------------------------------------------------

    fn show(&mut self, command: LedCommand) {
        let unsent = self.led_due.is_some();
        let (led, due) = match command {
            LedCommand::Pressed(id) => {
                let again = self.crossed || self.led_open() || !self.config.lights_itself;
                (Some(id), again.then_some(LedCommand::Set(id)))
            }
            LedCommand::Set(id) => (Some(id), Some(command)),
            // What was never sent cannot be the condition: the board shows something older.
            LedCommand::Clear { .. } if unsent => (None, Some(LedCommand::Clear { only_if: None })),
            LedCommand::Clear { .. } => (None, Some(command)),
        };
        self.led = led;
        self.led_due = due;
        self.led_unsure = false;
    }

    fn led_open(&self) -> bool {
        self.led_unsure
            || self
                .open
                .iter()
                .any(|open| matches!(open.what, What::Led(_)))
    }

    /// Called for each press as it arrives, since its consequence may come back later. An unanswered LED
    /// command of any kind may arrive after the press it crosses, not only a clear.
    fn note_crossing(&mut self, now: Instant) {
        let recent = self.clear_sent.is_some_and(|sent| now - sent <= CROSSING);
        self.crossed = recent || self.led_open();
    }

    // --- heartbeat -------------------------------------------------------------------------------

    fn ping(&mut self, now: Instant) {
        self.nonce = self.nonce.wrapping_add(1);
        match self.state {
            State::Online(Protocol::V2) => {
                self.put(&frame::encode(&frame::FromHost::Ping { nonce: self.nonce }))
            }
            _ => self.put(b"PING\n"),
        }
        self.ping = Some((now, self.nonce));
        self.next_ping = now + HEARTBEAT;
    }

    fn pong(&mut self, now: Instant) {
        if let Some((sent, _)) = self.ping.take() {
            self.stats.rtt = Some(now - sent);
        }
        if self.led_unsure {
            self.led_unsure = false;
            self.led_due = Some(self.led_command());
        }
    }

    /// A board that hears only v2 takes this as a hello; one that hears text answers ERROR at most.
    fn probe(&mut self) {
        self.probe_at = None;
        self.put(&[0]);
        self.put(&frame::encode(&frame::FromHost::Hello {
            proto: frame::VERSION,
        }));
        self.put(b"\n");
    }

    fn may_ping(&self) -> bool {
        match self.state {
            State::Closed | State::Offering { .. } => false,
            State::Seeking { .. } => true,
            State::Online(_) => self.open.is_empty() && self.hold_until.is_none(),
        }
    }

    fn silent_at(&self) -> Option<Instant> {
        match (self.state, self.online) {
            (State::Closed, _) => None,
            (State::Seeking { since }, None) => Some(since + SEEK),
            (State::Seeking { since }, Some(_)) => Some((self.last_rx + SILENCE).min(since + SEEK)),
            (State::Offering { .. } | State::Online(_), _) => Some(self.last_rx + SILENCE),
        }
    }

    // --- outputs ---------------------------------------------------------------------------------

    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let full = self.send.push_back(*byte).is_err();
            debug_assert!(!full, "drain poll_output after every input");
        }
    }

    fn tell(&mut self, event: BoardEvent) {
        if self.events.push_back(event).is_err() {
            self.events_lost = self.events_lost.saturating_add(1);
            bump(&mut self.stats.ev_lost);
        }
    }
}

fn bump(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

impl Machine for HostLink {
    type Input<'a> = Input<'a>;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Opened => self.opened(now),
            Input::Closed => self.closed(OfflineCause::Closed),
            Input::Bytes(bytes) => self.receive(now, bytes),
            Input::Led(command) => self.show(command),
            Input::Brightness(percent) => {
                self.brightness = Some(percent.min(100));
                self.brightness_due = true;
            }
            Input::Debounce(config) => {
                self.debounce = Some(config);
                self.debounce_due = true;
            }
            Input::Command(command) => self.command(command),
        }
        self.flush(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.silent_at().is_some_and(|at| at <= now) {
            return self.down();
        }
        if self.lines.expire(now) && self.state != State::Online(Protocol::V2) {
            bump(&mut self.stats.rx_partial);
        }
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
        }
        self.expire_open(now);
        if let State::Offering { until } = self.state
            && until <= now
        {
            self.drop_open(Failure::Timeout);
            self.settled(now, Protocol::Text);
        }
        if self.probe_at.is_some_and(|at| at <= now) {
            self.probe();
        }
        if self.may_ping() && self.next_ping <= now {
            self.ping(now);
            if matches!(self.state, State::Seeking { .. }) && self.config.protocol == Offer::Auto {
                self.probe_at = Some(now + ANSWER);
            }
        }
        self.flush(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        // Events first: a write may take its time, and somebody waits for the picture.
        if let Some(event) = self.events.pop_front() {
            return Some(Output::Event(event));
        }
        if self.events_lost > 0 {
            return Some(Output::Event(BoardEvent::Lost(core::mem::take(
                &mut self.events_lost,
            ))));
        }
        if !self.send.is_empty() {
            let mut chunk = Chunk::new();
            while !chunk.is_full() {
                let Some(byte) = self.send.pop_front() else {
                    break;
                };
                // Never fails: there is room.
                let _ = chunk.push(byte);
            }
            return Some(Output::Send(chunk));
        }
        core::mem::take(&mut self.reopen).then_some(Output::Reopen)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Closed {
            return None;
        }
        let offer = match self.state {
            State::Offering { until } => Some(until),
            State::Closed | State::Seeking { .. } | State::Online(_) => None,
        };
        let deadlines = [
            self.silent_at(),
            self.lines.poll_timeout(),
            self.hold_until,
            self.open.iter().map(|open| open.deadline).min(),
            offer,
            self.probe_at,
            self.may_ping().then_some(self.next_ping),
        ];
        deadlines.into_iter().flatten().min()
    }
}

#[cfg(test)]
#[path = "link/tests.rs"]
mod tests;
