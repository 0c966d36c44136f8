//! A chatter over TCP.

use super::chatter::{Chatter, ChatterError, Conversation, Output};
use super::monitor::Address;
use leitstand_core::machine::Machine as _;
use leitstand_kit::Clock;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Time for a connection to come about. Reasoning: a server on the site's network answers in milliseconds.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes that may wait for a peer which does not read. Reasoning: one message of the longest kind, and small ones.
const PENDING_BYTES_MAX: usize = super::chatter::FRAME_BYTES_MAX + 1024 * 1024;
const READ_BYTES: usize = 16 * 1024;

/// Why a connection ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// Nobody there.
    #[error("connecting to {0}:{1}")]
    Connect(String, u16, #[source] io::Error),
    /// The network.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The peer does not keep to the protocol.
    #[error(transparent)]
    Chatter(#[from] ChatterError),
    /// The peer closed.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer takes nothing.
    #[error("the peer does not read")]
    Deaf,
}

/// A message of the protocol above.
pub(super) struct Message {
    pub(super) conversation: Conversation,
    pub(super) kind: String,
    pub(super) data: Vec<u8>,
    pub(super) last: bool,
}

pub(super) struct Wire {
    stream: TcpStream,
    clock: Clock,
    chatter: Chatter,
    pending: Vec<u8>,
    written: usize,
    buffer: Box<[u8]>,
}

impl Wire {
    pub(super) async fn connect(address: &Address, clock: &Clock) -> Result<Self, WireError> {
        let failed = |e| WireError::Connect(address.host.clone(), address.port, e);
        let target = (address.host.as_str(), address.port);
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect(target))
            .await
            .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            clock: clock.clone(),
            chatter: Chatter::new(clock.now()),
            pending: Vec::new(),
            written: 0,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
        })
    }

    /// To say something; it goes out with the next [`next`](Self::next).
    pub(super) fn chatter(&mut self) -> &mut Chatter {
        &mut self.chatter
    }

    /// Writes what waits and answers the next message. May be dropped and called again: nothing is lost.
    pub(super) async fn next(&mut self) -> Result<Message, WireError> {
        loop {
            while let Some(output) = self.chatter.poll_output() {
                match output {
                    Output::Bytes(bytes) => self.pending.extend_from_slice(&bytes),
                    Output::Close(error) => return Err(error.into()),
                    Output::Message {
                        conversation,
                        kind,
                        data,
                        last,
                    } => {
                        return Ok(Message {
                            conversation,
                            kind,
                            data,
                            last,
                        });
                    }
                }
            }
            if self.pending.len() - self.written > PENDING_BYTES_MAX {
                return Err(WireError::Deaf);
            }
            let (mut reader, mut writer) = self.stream.split();
            let waiting = &self.pending[self.written..];
            tokio::select! {
                read = reader.read(&mut self.buffer) => match read? {
                    0 => return Err(WireError::Closed),
                    n => self.chatter.handle(self.clock.now(), &self.buffer[..n]),
                },
                written = writer.write(waiting), if !waiting.is_empty() => {
                    self.written += written?;
                    if self.written == self.pending.len() {
                        self.pending = Vec::new();
                        self.written = 0;
                    }
                }
                () = self.clock.sleep_until(self.chatter.poll_timeout()) => {
                    self.chatter.handle_timeout(self.clock.now());
                }
            }
        }
    }
}
