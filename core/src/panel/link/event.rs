//! What a link tells its owner.

use super::Command;
use crate::panel::ButtonId;

/// What a board did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardEvent {
    /// The board answers and the protocol is settled. Comes again whenever the protocol was settled anew.
    Online(BoardInfo),
    /// The board is gone. Comes once, and only after an `Online`.
    Offline(OfflineCause),
    /// The board was reset (READY). `Online` follows.
    Restarted,
    /// A button was pressed. Comes in the order of the presses, and perhaps before the protocol is settled.
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

impl BoardStatus {
    pub(super) const EMPTY: Self = Self {
        selected: None,
        scan_hz: None,
        heap: 0,
        ev_drop: None,
        cmd_drop: None,
        crc_err: None,
        stuck: None,
    };
}
