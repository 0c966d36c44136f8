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

use heapless::Vec;

use super::debounce;
use super::{ButtonId, PanelSize};
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
}

impl Default for Config {
    /// Ten buttons, v2 where the board knows it.
    fn default() -> Self {
        let buttons = match PanelSize::new(10) {
            Some(size) => size,
            None => PanelSize::MAX,
        };
        Self { buttons, protocol: Offer::Auto, lights_itself: true }
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

/// What a board did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardEvent {
    /// The board answers and the protocol is settled. Comes again after a restart of the board.
    Online(BoardInfo),
    /// The board is gone. Comes once, and only after an `Online`.
    Offline(OfflineCause),
    /// The board was reset (READY). `Online` follows.
    Restarted,
    /// A button was pressed. Comes in the order of the presses.
    Press(ButtonEvent),
    /// A button was let go.
    Release(ButtonEvent),
    /// So many button events of the board never arrived (gap in its numbering).
    Lost(u16),
    /// The board reports a fault of its own.
    Fault(BoardFault),
    /// Answer to [`Command::Status`].
    Status(BoardStatus),
    /// The board accepted a service command.
    Done(Command),
    /// A service command came to nothing.
    Failed(Command, Failure),
}

/// A press or release as the board told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ButtonEvent {
    /// Which button, in the board's own numbering.
    pub id: ButtonId,
    /// The board's number of the event; v2 only.
    pub seq: Option<u16>,
    /// Milliseconds since the board started, wrapping after 49.7 days; v2 only.
    pub board_ms: Option<u32>,
}

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardInfo {
    /// The settled protocol.
    pub protocol: Protocol,
    /// Buttons the board says it has; text boards without HELLO do not say.
    pub buttons: Option<u8>,
    /// Differs after every start of the board; v2 only.
    pub boot_id: Option<u32>,
    /// Firmware version, where known.
    pub firmware: Option<[u8; 3]>,
}

/// The language on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Lines of text.
    Text,
    /// Checked binary frames.
    V2,
}

/// Why a board went offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfflineCause {
    /// The port is gone.
    Closed,
    /// No byte for 3 s in spite of heartbeats.
    Silent,
}

/// A fault that the board found in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardFault {
    /// A button is pressed for more than 120 s, or was held at power-up.
    Stuck(ButtonId),
    /// The board dropped so many button events because nobody read them.
    EventsDropped(u32),
    /// Any other, as `(code, argument)`.
    Other(u8, u32),
}

/// State of the board's application. Counters saturate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardStatus {
    /// The selected button.
    pub selected: Option<ButtonId>,
    /// Scans in the last second; v2 only.
    pub scan_hz: Option<u16>,
    /// Free memory in bytes, 0 where the board has no heap.
    pub heap: u32,
    /// Button events dropped because nobody read them; v2 only.
    pub ev_drop: Option<u16>,
    /// Commands not carried out because they came too long or too fast; v2 only.
    pub cmd_drop: Option<u16>,
    /// Frames with a wrong check value; v2 only.
    pub crc_err: Option<u16>,
    /// How many buttons are stuck; v2 only.
    pub stuck: Option<u8>,
}

/// Why a service command came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No board.
    Offline,
    /// Too many commands wait already.
    Busy,
    /// No answer, twice.
    Timeout,
    /// The board has no such button.
    InvalidId,
    /// The board does not know the command.
    Unknown,
    /// The board refuses the value.
    Limit,
}

/// What the link counted and measured since it was made. Counters saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// When the last byte came.
    pub last_rx: Option<Instant>,
    /// Latest time from PING to PONG.
    pub rtt: Option<Duration>,
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

/// The host's end of one cable.
pub struct HostLink {
    config: Config,
    stats: LinkStats,
}

impl HostLink {
    /// A link whose port is not open yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, stats: LinkStats::default() }
    }

    /// Whether the board answers, and who it is.
    #[must_use]
    pub fn online(&self) -> Option<BoardInfo> {
        None
    }

    /// The board's own name and version as it printed them, e.g. `selection-panel v2.5.1`; empty if unknown.
    #[must_use]
    pub fn firmware(&self) -> &str {
        ""
    }

    /// Counters and times.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Buttons the board reported as stuck since its last start.
    #[must_use]
    pub fn stuck(&self) -> super::ButtonSet {
        super::ButtonSet::EMPTY
    }

    /// The settings it was made with.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config
    }
}

impl Machine for HostLink {
    type Input<'a> = Input<'a>;
    type Output = Output;

    fn handle(&mut self, _now: Instant, _input: Input<'_>) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self) -> Option<Output> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
