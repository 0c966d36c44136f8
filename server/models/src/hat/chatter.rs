//! Chatter: messages in conversations over one byte stream, with a keep-alive.
//!
//! ```text
//! frame   = k (1 byte) | length L (k bytes, big endian, shortest) | L bytes: record Msg
//! Msg     = id Integer, first Integer, owner Boolean, token Boolean, last Boolean, data
//! data    = type String, data Bytes
//! ```
//!
//! Ids count from 1 in each direction. A conversation is named by who opened it and the id of its first message.
//! `last` = false says that an answer is expected. After 20 s of silence a ping goes out; 20 s more and the peer
//! is given up.

use super::sbs::{Reader, Sbs, SbsError, Writer};
use leitstand_core::machine::Machine;
use leitstand_core::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// Longest frame. Reasoning: models travel as base64 in events; 64 MiB is what a Pi can hold twice.
pub const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of a length: enough for [`FRAME_BYTES_MAX`].
const LENGTH_BYTES_MAX: u8 = 4;
/// Silence until a ping, and from the ping until the end.
pub const KEEP_ALIVE: Duration = Duration::from_secs(20);

const PING: &str = "HatChatter.Ping";
const PONG: &str = "HatChatter.Pong";

/// Why a stream is no chatter. The connection must be closed: where the next frame begins is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChatterError {
    /// A length of 0 bytes, or of more than 4.
    #[error("a length of {0} bytes")]
    LengthOfLength(u8),
    /// A frame beyond [`FRAME_BYTES_MAX`].
    #[error("a frame of {0} bytes; at most {FRAME_BYTES_MAX} are taken")]
    TooLong(usize),
    /// A frame that holds no message.
    #[error("a frame without a message: {0}")]
    Message(#[from] SbsError),
    /// Nothing came, not even an answer to a ping.
    #[error("the peer is silent")]
    Silent,
}

/// A message as it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msg {
    /// Its number, from 1, in its direction.
    pub id: i64,
    /// The number of the first message of its conversation.
    pub first: i64,
    /// Whether its sender opened the conversation.
    pub owner: bool,
    /// Always true here.
    pub token: bool,
    /// Whether the conversation ends with it.
    pub last: bool,
    /// Name of the type of `data`.
    pub kind: String,
    /// SBS bytes of that type.
    pub data: Vec<u8>,
}

impl Sbs for Msg {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(Self {
            id: from.integer()?,
            first: from.integer()?,
            owner: from.boolean()?,
            token: from.boolean()?,
            last: from.boolean()?,
            kind: from.text()?.to_owned(),
            data: from.bytes()?.to_vec(),
        })
    }

    fn write(&self, to: &mut Writer) {
        to.integer(self.id);
        to.integer(self.first);
        to.boolean(self.owner);
        to.boolean(self.token);
        to.boolean(self.last);
        to.text(&self.kind);
        to.bytes(&self.data);
    }
}

impl Msg {
    /// The whole frame.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        let body = self.to_bytes();
        let length = (body.len() as u64).to_be_bytes();
        let zeros = length.iter().take_while(|b| **b == 0).count().min(7);
        let mut frame = Vec::with_capacity(9 + body.len());
        frame.push((8 - zeros) as u8);
        frame.extend_from_slice(&length[zeros..]);
        frame.extend_from_slice(&body);
        frame
    }
}

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
}

impl Deframer {
    /// Adds what came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, or `None` until more has come.
    ///
    /// # Errors
    /// See [`ChatterError`].
    pub fn next_message(&mut self) -> Result<Option<Msg>, ChatterError> {
        let Some((&k, rest)) = self.buffer.split_first() else {
            return Ok(None);
        };
        if k == 0 || k > LENGTH_BYTES_MAX {
            return Err(ChatterError::LengthOfLength(k));
        }
        let k = usize::from(k);
        let Some(length) = rest.get(..k) else {
            return Ok(None);
        };
        let length = length.iter().fold(0, |n, b| n << 8 | usize::from(*b));
        if length > FRAME_BYTES_MAX {
            return Err(ChatterError::TooLong(length));
        }
        let end = 1 + k + length;
        let Some(frame) = self.buffer.get(1 + k..end) else {
            return Ok(None);
        };
        let message = Msg::from_bytes(frame)?;
        self.buffer.drain(..end);
        if self.buffer.is_empty() {
            // One model of 60 MB must not be paid for until the connection ends.
            self.buffer = Vec::new();
        }
        Ok(Some(message))
    }
}

/// Which conversation a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Conversation {
    /// Whether this side opened it.
    pub ours: bool,
    /// The id of its first message.
    pub first: i64,
}

/// What the owner of a [`Chatter`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Bytes(Vec<u8>),
    /// A message of the protocol above came.
    Message {
        /// Where it belongs.
        conversation: Conversation,
        /// Name of its type.
        kind: String,
        /// Its SBS bytes.
        data: Vec<u8>,
        /// No answer is expected.
        last: bool,
    },
    /// Close the connection.
    Close(ChatterError),
}

/// One end of a connection.
#[derive(Debug)]
pub struct Chatter {
    deframer: Deframer,
    next_id: i64,
    /// Silence is judged from here.
    heard: Instant,
    pinged: bool,
    closed: bool,
    out: VecDeque<Output>,
}

impl Chatter {
    /// A connection that was made at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            deframer: Deframer::default(),
            next_id: 1,
            heard: now,
            pinged: false,
            closed: false,
            out: VecDeque::new(),
        }
    }

    /// Opens a conversation.
    pub fn open(&mut self, kind: &str, data: Vec<u8>, last: bool) -> Conversation {
        let conversation = Conversation {
            ours: true,
            first: self.next_id,
        };
        self.say(conversation, kind, data, last);
        conversation
    }

    /// Goes on in a conversation.
    pub fn say(&mut self, conversation: Conversation, kind: &str, data: Vec<u8>, last: bool) {
        let message = Msg {
            id: self.next_id,
            first: conversation.first,
            owner: conversation.ours,
            token: true,
            last,
            kind: kind.to_owned(),
            data,
        };
        self.next_id += 1;
        self.out.push_back(Output::Bytes(message.to_frame()));
    }

    fn take(&mut self, message: Msg) {
        let conversation = Conversation {
            ours: !message.owner,
            first: message.first,
        };
        match message.kind.as_str() {
            PING => self.say(conversation, PONG, Vec::new(), true),
            PONG => {}
            _ => self.out.push_back(Output::Message {
                conversation,
                kind: message.kind,
                data: message.data,
                last: message.last,
            }),
        }
    }

    fn close(&mut self, why: ChatterError) {
        self.closed = true;
        self.out.push_back(Output::Close(why));
    }
}

impl Machine for Chatter {
    /// Bytes that came.
    type Input<'a> = &'a [u8];
    type Output = Output;

    fn handle(&mut self, now: Instant, bytes: &[u8]) {
        if self.closed {
            return;
        }
        self.deframer.feed(bytes);
        loop {
            match self.deframer.next_message() {
                Ok(Some(message)) => {
                    // Whole messages count: half a frame for ever is silence.
                    self.heard = now;
                    self.pinged = false;
                    self.take(message);
                }
                Ok(None) => return,
                Err(error) => return self.close(error),
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.closed || self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        if self.pinged {
            self.close(ChatterError::Silent);
        } else {
            self.pinged = true;
            self.open(PING, Vec::new(), false);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let silence = KEEP_ALIVE * if self.pinged { 2 } else { 1 };
        (!self.closed).then(|| self.heard + silence)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    fn drain(chatter: &mut Chatter) -> Vec<Output> {
        std::iter::from_fn(|| chatter.poll_output()).collect()
    }

    fn sent(chatter: &mut Chatter) -> Vec<Msg> {
        let mut deframer = Deframer::default();
        for output in drain(chatter) {
            match output {
                Output::Bytes(bytes) => deframer.feed(&bytes),
                other => panic!("{other:?}"),
            }
        }
        std::iter::from_fn(|| deframer.next_message().unwrap()).collect()
    }

    /// H6: ping after 20 s of silence, the end 20 s later.
    #[test]
    fn h6_a_silent_peer_is_pinged_and_then_dropped() {
        let mut chatter = Chatter::new(at(0));
        chatter.handle_timeout(at(19));
        assert!(drain(&mut chatter).is_empty());
        chatter.handle_timeout(at(20));
        let ping = sent(&mut chatter);
        assert_eq!((ping[0].kind.as_str(), ping[0].last), (PING, false));
        assert_eq!(chatter.poll_timeout(), Some(at(40)));
        chatter.handle_timeout(at(40));
        assert_eq!(drain(&mut chatter), [Output::Close(ChatterError::Silent)]);
        assert_eq!(chatter.poll_timeout(), None);
    }

    #[test]
    fn h6_an_answered_ping_starts_the_wait_anew() {
        let mut chatter = Chatter::new(at(0));
        chatter.handle_timeout(at(20));
        let ping = sent(&mut chatter).remove(0);
        let mut peer = Chatter::new(at(0));
        peer.handle(at(20), &ping.to_frame());
        let pong = sent(&mut peer).remove(0);
        assert_eq!(
            (pong.kind.as_str(), pong.first, pong.owner),
            (PONG, ping.id, false)
        );
        chatter.handle(at(21), &pong.to_frame());
        assert!(drain(&mut chatter).is_empty());
        assert_eq!(chatter.poll_timeout(), Some(at(41)));
    }

    #[test]
    fn a_stream_in_single_bytes_gives_the_same_messages() {
        let mut chatter = Chatter::new(at(0));
        let conversation = chatter.open("A", vec![7; 300], false);
        chatter.say(conversation, "B", Vec::new(), true);
        let messages = sent(&mut chatter);
        let mut deframer = Deframer::default();
        let mut got = Vec::new();
        for byte in messages.iter().flat_map(Msg::to_frame) {
            deframer.feed(&[byte]);
            got.extend(deframer.next_message().unwrap());
        }
        assert_eq!(got, messages);
    }

    #[test]
    fn hostile_frames_close_the_connection_and_cost_nothing() {
        let cases: [(&[u8], ChatterError); 4] = [
            (&[0], ChatterError::LengthOfLength(0)),
            (&[5], ChatterError::LengthOfLength(5)),
            (
                &[4, 0xFF, 0xFF, 0xFF, 0xFF],
                ChatterError::TooLong(0xFFFF_FFFF),
            ),
            (&[1, 2, 0x81, 0x81], ChatterError::Message(SbsError::CutOff)),
        ];
        for (bytes, error) in cases {
            let mut chatter = Chatter::new(at(0));
            chatter.handle(at(0), bytes);
            assert_eq!(drain(&mut chatter), [Output::Close(error)]);
            chatter.handle(at(0), &[1, 1, 1]);
            assert!(
                drain(&mut chatter).is_empty(),
                "nothing is read behind the error"
            );
        }
    }
}
