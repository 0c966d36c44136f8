//! Finds the one answer among the bytes that come in.
//!
//! Bytes are looked at from the front. A whole frame with a good checksum that is not the answer (another
//! slave's, an own request heard again) is counted and cut off; what remains is looked at again. Whatever
//! stays undecided is judged at silence.

use super::super::crc;
use super::super::frame::{Answer, Frame, Request, function};
use super::report::{Failure, Strays};
use heapless::Vec;

/// Bytes kept while looking. Reasoning: an echo or a late answer and the answer itself.
const BUFFER_MAX: usize = 2 * super::super::frame::FRAME_MAX;

/// Bytes before an answer that silence forgives. Reasoning: a line without bias resistors makes a byte or two
/// when the transmitter is switched on; the checksum still guards the answer behind them.
const NOISE_MAX: usize = 4;

/// What a good answer to one request looks like.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    request: Frame,
    /// The answer starts with this: slave, function, and what else is known of it.
    header: Vec<u8, 6>,
    /// Bytes of the answer.
    length: usize,
    /// Copies of the request that are its echo. 1, but for functions whose answer is the request again: there
    /// 0, unless this bus is known to echo.
    echoes: u8,
}

impl Expected {
    /// `echoing`: the bus was heard to echo.
    pub(super) fn new(request: &Request<'_>, frame: Frame, echoing: bool) -> Self {
        let length = request.answer_length();
        let (known, mirrored) = match request {
            Request::Read { .. } => (2, false),
            Request::WriteCoil { .. } | Request::WriteRegister { .. } => (6, true),
            Request::Diagnostic { .. } => (4, true),
            Request::WriteCoils { .. } | Request::WriteRegisters { .. } => (6, false),
        };
        let mut header: Vec<u8, 6> = frame.iter().copied().take(known).collect();
        if let Request::Read { .. } = request {
            let _ = header.push((length - 5) as u8);
        }
        Self {
            request: frame,
            header,
            length,
            echoes: u8::from(!mirrored || echoing),
        }
    }

    fn slave(&self) -> u8 {
        self.request[0]
    }

    fn function(&self) -> u8 {
        self.request[1]
    }

    fn is_answered_by(&self, frame: &[u8]) -> bool {
        frame.len() == self.length && frame.starts_with(&self.header) && crc::is_good(frame)
    }
}

/// What the bytes so far amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // without alloc there is no box; taken apart at once
pub(super) enum Verdict {
    /// Nothing decided.
    Open,
    /// The answer, whole, checksum included.
    Answer(Frame),
    /// The right slave refused with this code.
    Exception(u8),
    /// The right slave's answer came and was bad; no other will come.
    Bad(Failure),
}

/// Collects and judges.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    buffer: Vec<u8, BUFFER_MAX>,
    /// The best reason so far why there is no answer; a timeout says less.
    evidence: Option<Failure>,
    pub(super) strays: Strays,
    /// An echo was found during the present exchange.
    pub(super) echoed: bool,
    /// Slave of the last foreign frame; taken by the master as a sign of life.
    pub(super) foreign_slave: Option<u8>,
}

impl Receiver {
    /// Forgets everything received, as garbage.
    pub(super) fn clear(&mut self) {
        self.drop_front(self.buffer.len());
        self.evidence = None;
        self.echoed = false;
    }

    /// So many bytes were dropped before anyone looked at them.
    pub(super) fn discarded(&mut self, count: usize) {
        self.strays.garbage_bytes = self.strays.garbage_bytes.wrapping_add(count as u32);
    }

    /// Whether something is there that only silence can end.
    pub(super) fn is_collecting(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Takes bytes while nothing is expected.
    pub(super) fn stray(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.keep(*byte);
            if is_whole_frame(&self.buffer) {
                self.cut_foreign(self.buffer.len());
            }
        }
    }

    /// Takes bytes while an answer is expected. What follows the answer is garbage.
    pub(super) fn received(&mut self, bytes: &[u8], expected: &mut Expected) -> Verdict {
        for (at, byte) in bytes.iter().enumerate() {
            self.keep(*byte);
            let verdict = self.look(expected);
            if verdict != Verdict::Open {
                self.drop_front(self.buffer.len());
                self.stray(&bytes[at + 1..]);
                return verdict;
            }
        }
        Verdict::Open
    }

    /// The line fell silent: what was undecided is decided now.
    pub(super) fn silence(&mut self, expected: &Expected) -> Verdict {
        for noise in 1..=NOISE_MAX.min(self.buffer.len()) {
            let frame = &self.buffer[noise..];
            if expected.is_answered_by(frame) {
                let frame = frame.iter().copied().collect();
                self.discarded(noise);
                self.buffer.clear();
                return Verdict::Answer(frame);
            }
        }
        let verdict = match self.buffer.first() {
            None => Verdict::Open,
            Some(_) if crc::is_good(&self.buffer) => {
                self.foreign(self.buffer.len(), expected);
                return Verdict::Open;
            }
            Some(first) => {
                let kind = if self.buffer.len() < expected.length {
                    Failure::Length
                } else {
                    Failure::Crc
                };
                self.evidence = Some(kind);
                // Only the right slave can have ended its turn; after anything else it may still answer.
                if *first == expected.slave() {
                    Verdict::Bad(kind)
                } else {
                    Verdict::Open
                }
            }
        };
        self.drop_front(self.buffer.len());
        verdict
    }

    /// Why there is no answer, once the time is over.
    pub(super) fn reason(&self) -> Failure {
        self.evidence.unwrap_or(Failure::Timeout)
    }

    /// Called after each byte: whatever is decided ends with the last one.
    fn look(&mut self, expected: &mut Expected) -> Verdict {
        let front = self.buffer.as_slice();
        if expected.echoes > 0 && front == expected.request.as_slice() {
            expected.echoes -= 1;
            self.echoed = true;
            self.strays.echo = self.strays.echo.wrapping_add(1);
            self.buffer.clear();
        } else if expected.is_answered_by(front) {
            return Verdict::Answer(front.iter().copied().collect());
        } else if let [slave, code, exception, _, _] = *front
            && slave == expected.slave()
            && code == expected.function() | function::EXCEPTION
            && crc::is_good(front)
        {
            return Verdict::Exception(exception);
        } else if is_whole_frame(front) && !front.starts_with(&expected.header) {
            // The beginning of an answer is never cut off as something shorter.
            self.foreign(front.len(), expected);
        }
        Verdict::Open
    }

    /// Counts and cuts a whole frame that is not the answer.
    fn foreign(&mut self, length: usize, expected: &Expected) {
        let same = self.buffer[0] == expected.slave()
            && self.buffer[1] & !function::EXCEPTION == expected.function();
        if same {
            self.evidence = Some(Failure::Length);
        }
        self.cut_foreign(length);
    }

    fn cut_foreign(&mut self, length: usize) {
        self.foreign_slave = self.buffer.first().copied();
        self.strays.foreign = self.strays.foreign.wrapping_add(1);
        self.remove_front(length);
    }

    /// Appends; when full, the oldest half goes as garbage.
    fn keep(&mut self, byte: u8) {
        if self.buffer.is_full() {
            self.drop_front(BUFFER_MAX / 2);
        }
        let _ = self.buffer.push(byte);
    }

    fn drop_front(&mut self, count: usize) {
        self.discarded(count);
        self.remove_front(count);
    }

    fn remove_front(&mut self, count: usize) {
        let length = self.buffer.len();
        let count = count.min(length);
        self.buffer.copy_within(count.., 0);
        self.buffer.truncate(length - count);
    }
}

/// Whether this is exactly one frame with a good checksum: an answer, or another master's request.
fn is_whole_frame(bytes: &[u8]) -> bool {
    let shaped = |length: Option<usize>| length == Some(bytes.len());
    (shaped(Answer::length(bytes)) || shaped(Request::length(bytes))) && crc::is_good(bytes)
}
