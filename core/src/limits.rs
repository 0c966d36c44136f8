//! Every bound of the core with its reason; relations are asserted at compile time.
//!
//! One section a module. A new queue or table gets its number here, with the reasoning beside it and,
//! where it can fill up at run time, what is dropped then.

// --- modbus --------------------------------------------------------------------------------------

/// Devices on one bus. Reasoning: 32 unit loads without a repeater, twice that with modern transceivers.
pub const BUS_DEVICES_MAX: usize = 64;
/// One-off writes that wait on one bus. Reasoning: a commissioning step writes 13 registers. Full = the write
/// is refused to the caller at once.
pub const BUS_WRITES_MAX: usize = 16;
/// Outputs of a master between two drains. Reasoning: one exchange ends (answer or failure) and the next starts
/// (discard, transmit); a lost port ends every waiting write. State changes need no place.
pub const BUS_OUTPUTS_MAX: usize = 8 + BUS_WRITES_MAX;

const _: () = assert!(BUS_DEVICES_MAX <= 247, "slave addresses");

// --- panel ---------------------------------------------------------------------------------------

/// Buttons of one panel. Reasoning: the full build of the original; three digits on the wire.
pub const PANEL_BUTTONS_MAX: usize = 100;
/// Chips in one chain of eight positions each.
pub const PANEL_CHIPS_MAX: usize = PANEL_BUTTONS_MAX.div_ceil(8);
/// Longest line a board takes, without its end. Source: original firmware, 64-byte buffer.
pub const PANEL_DEVICE_LINE_MAX: usize = 63;
/// Longest line the host takes, without its end. Reasoning: twice a USB packet; free text of any known
/// board fits. A longer line is discarded up to its end and counted.
pub const PANEL_HOST_LINE_MAX: usize = 128;
/// Bytes of a v2 body. Reasoning: the largest message takes 16; the rest is room for new ones.
pub const PANEL_BODY_MAX: usize = 64;
/// Bytes of a v2 frame with its end: body, CRC-16, one COBS code byte, delimiter.
pub const PANEL_FRAME_MAX: usize = PANEL_BODY_MAX + 2 + 1 + 1;
/// Unanswered commands on the wire. More wait in the host.
pub const PANEL_OPEN_MAX: usize = 4;
/// Service commands that wait in the host (LED selection, brightness and debounce need no place: the
/// newest wins). Full = refused to the caller.
pub const PANEL_COMMANDS_MAX: usize = 8;
/// Bytes that a reader hands to the host's link at once. A longer piece is still read; events that then
/// find no place are counted and reported as lost.
pub const PANEL_READ_MAX: usize = 1024;
/// Events between two drains of the host's link. Reasoning: the shortest press takes 8 bytes in text and
/// in v2, so a full read never overflows; the rest is for changes of the link itself.
pub const PANEL_EVENTS_MAX: usize = PANEL_READ_MAX / 8 + 16;
/// Messages that wait on the board for the host to read. Full = the oldest status text goes first, then
/// answers, then releases; a press goes only when presses alone fill it, and is counted as a fault.
pub const PANEL_BOARD_QUEUE_MAX: usize = 64;
/// Boards of one gateway. Reasoning: USB ports of a Pi with one hub.
pub const PANEL_BOARDS_MAX: usize = 8;
/// Browsers that take part in deciding the end of a play. Reasoning: 100 are the measured goal. More may
/// watch; they are counted and have no say.
pub const PANEL_CLIENTS_MAX: usize = 256;
/// Media numbers. Reasoning: three digits in the file name.
pub const PANEL_MEDIA_MAX: u16 = 999;
/// Presses a second from one HTTP or WebSocket source.
pub const PANEL_PRESSES_PER_SECOND_MAX: usize = 20;

const _: () = assert!(PANEL_BUTTONS_MAX <= 128, "a ButtonSet is 128 bits");
const _: () = assert!(PANEL_DEVICE_LINE_MAX >= "LEDSET 100".len());
const _: () = assert!(PANEL_HOST_LINE_MAX >= "HELLO 2 100 100 ffff ffffffff".len());
const _: () = assert!(
    PANEL_HOST_LINE_MAX >= PANEL_FRAME_MAX,
    "one buffer serves both readers"
);
const _: () = assert!(PANEL_FRAME_MAX <= 255, "COBS needs one code byte only");
const _: () = assert!(PANEL_EVENTS_MAX * "PRESS 1\n".len() > PANEL_READ_MAX);
// --- gas, power ---------------------------------------------------------------------------------------

use crate::time::Duration;

/// A bucket of the averages. Reasoning: `monitor.md` 2.4; windows are multiples of it.
pub const BUCKET_MS: u64 = 5_000;
/// An average is known once so much is covered, or 80 % of a shorter window. Reasoning: `monitor.md` 2.4.
pub const KNOWN_MS: u64 = 60_000;
/// A bucket of the exposure over a shift. Reasoning: the edge of 8 hours within 1 %.
pub const DOSE_BUCKET_MS: u64 = 300_000;
/// Buckets of a shift.
pub const DOSE_BUCKETS: usize = 96;
/// A shift: 8 hours, the reference of long-term exposure limits.
pub const SHIFT_MS: u64 = 8 * 3600 * 1000;
/// A sample counts at least so long without a successor. Reasoning: `monitor.md` 2.4.
pub const HOLD_MIN: Duration = Duration::from_secs(15);
/// A value older than so many cycles is stale; a sample is held so many cycles.
pub const STALE_CYCLES: u32 = 3;
/// Without a good poll for so long a cell is faulty. Reasoning: best in the field (`monitor.md` 9).
pub const SILENCE_MAX: Duration = Duration::from_secs(10);
/// So many failed polls in a row make a cell faulty.
pub const FAILED_POLLS_MAX: u8 = 5;
/// So many good polls in a row make it healthy again.
pub const GOOD_POLLS_TO_RECOVER: u8 = 3;
/// A bad loop current becomes a fault after so long; until then the last good value is held.
pub const HELD_SPAN: Duration = Duration::from_secs(5);
/// A converter that stands still to the count for so long is suspect.
pub const STUCK_SPAN: Duration = Duration::from_secs(24 * 3600);
/// Read-backs that differ in a row before an output is faulty. Reasoning: `monitor.md` 3.4.
pub const OUTPUT_MISMATCHES_MAX: u8 = 3;
/// Shortest and longest shelving.
pub const SHELVE_MIN: Duration = Duration::from_secs(5 * 60);
/// Longest shelving: a shift.
pub const SHELVE_MAX: Duration = Duration::from_secs(8 * 3600);
/// Longest inhibition of a cell. Reasoning: a shift; what lasts longer is out of service.
pub const INHIBIT_MAX: Duration = Duration::from_secs(8 * 3600);
/// Longest lamp test.
pub const LAMP_TEST_MAX: Duration = Duration::from_secs(10);
/// Events between two drains. Reasoning: the dearest step loses all 64 cells at once: per cell a fault and an
/// alarm, per zone three, per set point and per output one, and the site's own: under 320. When it is full,
/// the newest are dropped, counted, and reported as `EventsLost`.
pub const EVENTS_MAX: usize = 512;

const _: () = assert!(KNOWN_MS.is_multiple_of(BUCKET_MS));
const _: () = assert!(HELD_SPAN.as_secs() < SILENCE_MAX.as_secs());
const _: () = assert!(EVENTS_MAX >= 64 * 2 + 16 * 3 + 64 + 64 + 16);
