//! One frame to all browsers: encoded once, shared, written by the publishing task itself.
//!
//! A server's WebSocket frames are not masked, so the bytes on the wire are the same for every client. The
//! publisher hands each socket the shared bytes with one non-blocking write; only what does not fit waits in
//! that client's bounded ring, which the client's own task drains. Nobody waits for a slow client: one whose
//! ring is full is dropped. This costs one `send(2)` a delivery and no wake-up of another task.
//!
//! Terms: *frames* one or more WebSocket frames in one buffer, written together. *Outbox* a client's socket
//! and its ring. *Delivery* one frame for one client.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, ErrorKind},
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpStream, UnixStream},
    sync::Notify,
};

/// Frames that may wait for one client. Reasoning: 16 presses (a stop and a play each) are more than a
/// visitor makes in the second or two in which a healthy browser catches up.
pub const RING_FRAMES_MAX: usize = 32;

/// Send buffer asked of the kernel for each client. Reasoning: a few hundred frames; the default of some
/// megabytes would hide a stalled client for minutes and keep memory that nobody will read.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

pub use leitstand_core::panel::playback::ClientId;

/// One or more encoded server frames, cheap to clone.
#[derive(Clone)]
pub struct Frames {
    bytes: Arc<[u8]>,
    count: usize,
}

impl Frames {
    /// Text frames with these payloads, to be written together in this order.
    #[must_use]
    pub fn text<P: AsRef<str>>(payloads: impl IntoIterator<Item = P>) -> Self {
        let mut bytes = Vec::with_capacity(512);
        let mut count = 0;
        for payload in payloads {
            put(&mut bytes, 0x81, payload.as_ref().as_bytes());
            count += 1;
        }
        Self {
            bytes: bytes.into(),
            count,
        }
    }

    /// An empty ping.
    #[must_use]
    pub fn ping() -> Self {
        Self::raw([0x89, 0])
    }

    /// A close frame with a status code of RFC 6455, 7.4.1.
    #[must_use]
    pub fn close(code: u16) -> Self {
        let [high, low] = code.to_be_bytes();
        Self::raw([0x88, 2, high, low])
    }

    /// A frame that the protocol library made (a pong, the answer to a close).
    pub(crate) fn raw(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self {
            bytes: bytes.into(),
            count: 1,
        }
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many frames these are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frames({} in {} bytes)", self.count, self.bytes.len())
    }
}

/// Header and payload of an unmasked, final frame (RFC 6455, 5.2).
fn put(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    let length = payload.len();
    if let (true, Ok(short)) = (length < 126, u8::try_from(length)) {
        out.push(short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.push(126);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    out.extend_from_slice(payload);
}

/// The byte stream below a WebSocket.
#[derive(Debug)]
pub enum Transport {
    /// The browser's own connection.
    Tcp(TcpStream),
    /// One end of a local pair; somebody copies between the other end and the browser (TLS, a test).
    Unix(UnixStream),
}

impl Transport {
    /// Prepares a connection for small, urgent frames.
    ///
    /// # Errors
    /// The socket is already dead.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        limit_send_buffer(&stream)?;
        Ok(Self::Tcp(stream))
    }

    /// A pair: ours, and the end that is copied to and from the browser.
    ///
    /// # Errors
    /// No more file descriptors.
    pub fn pair() -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        limit_send_buffer(&ours)?;
        Ok((Self::Unix(ours), theirs))
    }

    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(s) => s.try_read(buffer),
            Self::Unix(s) => s.try_read(buffer),
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(s) => s.try_write(bytes),
            Self::Unix(s) => s.try_write(bytes),
        }
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(s) => s.readable().await,
            Self::Unix(s) => s.readable().await,
        }
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(s) => s.writable().await,
            Self::Unix(s) => s.writable().await,
        }
    }

    /// Makes the coming close drop what was not sent, so that a stalled client keeps no kernel memory.
    fn forget_unsent(&self) {
        if let Self::Tcp(s) = self {
            // A failure means that the socket is gone already, which is what is wanted.
            let _ = socket2::SockRef::from(s).set_linger(Some(Duration::ZERO));
        }
    }
}

fn limit_send_buffer(socket: &impl AsFd) -> io::Result<()> {
    socket2::SockRef::from(socket).set_send_buffer_size(SEND_BUFFER_BYTES)
}

/// Why a client is no longer served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It did not read; its ring is full.
    Stalled,
    /// It answered no ping.
    Silent,
    /// It closed, or the connection broke.
    Closed,
    /// It broke the protocol.
    Protocol,
    /// Its login ended.
    LoggedOut,
    /// The service ends.
    Stopping,
}

impl Gone {
    /// As label of the metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stalled => "stalled",
            Self::Silent => "silent",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::LoggedOut => "logged_out",
            Self::Stopping => "stopping",
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    ring: VecDeque<Frames>,
    /// Bytes of the front entry that are already written.
    sent: usize,
    /// Sum of `count` over the ring.
    frames: usize,
    gone: Option<Gone>,
}

/// A client's socket and what waits for it. Shared by the publisher and the client's task.
#[derive(Debug)]
pub struct Outbox {
    transport: Transport,
    queue: Mutex<Queue>,
    wake: Notify,
}

impl Outbox {
    /// An outbox with nothing waiting.
    #[must_use]
    pub fn new(transport: Transport) -> Arc<Self> {
        Arc::new(Self {
            transport,
            queue: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Writes `frames` now, or as much as fits and the rest later. Never blocks.
    ///
    /// # Errors
    /// The client is gone, or is dropped by this very call because its ring is full.
    pub fn push(&self, frames: &Frames) -> Result<(), Gone> {
        let mut queue = self.lock();
        if let Some(gone) = queue.gone {
            return Err(gone);
        }
        if queue.ring.is_empty() {
            match self.transport.try_write(frames.as_bytes()) {
                Ok(n) if n == frames.as_bytes().len() => return Ok(()),
                Ok(n) => queue.sent = n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => queue.sent = 0,
                Err(_) => return Err(self.end(&mut queue, Gone::Closed)),
            }
        } else if queue.frames + frames.count > RING_FRAMES_MAX {
            return Err(self.end(&mut queue, Gone::Stalled));
        }
        queue.frames += frames.count;
        queue.ring.push_back(frames.clone());
        self.wake.notify_one();
        Ok(())
    }

    /// Writes what waits, as far as it fits. `Ok(true)` when nothing waits any more.
    ///
    /// # Errors
    /// The client is gone.
    pub fn flush(&self) -> Result<bool, Gone> {
        let mut queue = self.lock();
        if let Some(gone) = queue.gone {
            return Err(gone);
        }
        while let Some(front) = queue.ring.front() {
            let rest = front.as_bytes().get(queue.sent..).unwrap_or_default();
            match self.transport.try_write(rest) {
                Ok(n) if n == rest.len() => {
                    queue.frames -= front.count;
                    queue.sent = 0;
                    queue.ring.pop_front();
                }
                Ok(n) => queue.sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(_) => return Err(self.end(&mut queue, Gone::Closed)),
            }
        }
        Ok(true)
    }

    /// Ends the connection; the first reason stays. The client's task wakes and lets go of the socket.
    pub fn close(&self, why: Gone) {
        let mut queue = self.lock();
        if queue.gone.is_none() {
            self.end(&mut queue, why);
        }
    }

    /// Why the client is no longer served, once it is not.
    #[must_use]
    pub fn gone(&self) -> Option<Gone> {
        self.lock().gone
    }

    /// Returns when something began to wait, or the client was dropped.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    fn end(&self, queue: &mut Queue, why: Gone) -> Gone {
        queue.gone = Some(why);
        queue.ring = VecDeque::new();
        if matches!(why, Gone::Stalled | Gone::Silent) {
            self.transport.forget_unsent();
        }
        self.wake.notify_one();
        why
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Every change under the lock is complete before anything can panic, so poison means nothing.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All clients of the service. Owned by the task that publishes.
#[derive(Debug, Default)]
pub struct Fanout {
    clients: Vec<(ClientId, Arc<Outbox>)>,
}

impl Fanout {
    /// Adds a client; it gets everything published from now on.
    pub fn join(&mut self, id: ClientId, outbox: Arc<Outbox>) {
        self.clients.push((id, outbox));
    }

    /// Removes a client. Unknown ids are ignored.
    pub fn leave(&mut self, id: ClientId) {
        self.clients.retain(|(client, _)| *client != id);
    }

    /// Hands `frames` to every client without waiting for any. Answers the number of clients reached; those
    /// that are gone or stalled are removed and listed in `dropped`.
    pub fn publish(&mut self, frames: &Frames, dropped: &mut Vec<(ClientId, Gone)>) -> usize {
        self.clients
            .retain(|(id, outbox)| match outbox.push(frames) {
                Ok(()) => true,
                Err(gone) => {
                    dropped.push((*id, gone));
                    false
                }
            });
        self.clients.len()
    }

    /// How many clients there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Hands `frames` to one client. Whether it took them shows at the next publication.
    pub fn send(&mut self, id: ClientId, frames: &Frames) {
        if let Some((_, outbox)) = self.clients.iter().rev().find(|(client, _)| *client == id) {
            // A client that is gone wakes its own task, which reports it.
            let _ = outbox.push(frames);
        }
    }

    /// Says goodbye ("going away") and ends every connection.
    pub fn close_all(&mut self, why: Gone) {
        let goodbye = Frames::close(1001);
        for (_, outbox) in self.clients.drain(..) {
            // A courtesy to those who can take it at once.
            let _ = outbox.push(&goodbye);
            outbox.close(why);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::AsyncReadExt;
    use tungstenite::protocol::{Role, WebSocket};

    fn member() -> (Arc<Outbox>, UnixStream) {
        let (ours, theirs) = Transport::pair().unwrap();
        (Outbox::new(ours), theirs)
    }

    #[tokio::test]
    async fn a_client_library_reads_what_we_encode() {
        // The three length forms of the header, from both sides of each border.
        for length in [0, 125, 126, 65_535, 65_536] {
            let text = "x".repeat(length);
            let frames = Frames::text([text.as_str(), "{}"]);
            let wire = io::Cursor::new(frames.as_bytes().to_vec());
            let mut client = WebSocket::from_raw_socket(wire, Role::Client, None);
            assert_eq!(client.read().unwrap().into_text().unwrap().as_str(), text);
            assert_eq!(client.read().unwrap().into_text().unwrap().as_str(), "{}");
        }
    }

    #[tokio::test]
    async fn frames_arrive_in_order_and_at_once() {
        let mut fanout = Fanout::default();
        let (outbox, mut browser) = member();
        fanout.join(ClientId(1), outbox);
        let mut dropped = Vec::new();
        let both = Frames::text([r#"{"type":"stop"}"#, r#"{"type":"play","id":5}"#]);
        assert_eq!(both.count(), 2);
        assert_eq!(fanout.publish(&both, &mut dropped), 1);
        let mut got = vec![0; both.as_bytes().len()];
        browser.read_exact(&mut got).await.unwrap();
        assert_eq!(got, both.as_bytes());
        assert!(dropped.is_empty());
    }

    #[tokio::test]
    async fn a_stalled_client_is_dropped_and_the_others_lose_nothing() {
        let mut fanout = Fanout::default();
        let (stalled, _never_read) = member();
        let (lively, mut browser) = member();
        fanout.join(ClientId(1), stalled.clone());
        fanout.join(ClientId(2), lively);
        let frame = Frames::text(["y".repeat(2000)]);
        let mut dropped = Vec::new();
        let mut published = 0;
        let mut got = vec![0; frame.as_bytes().len()];
        while dropped.is_empty() {
            fanout.publish(&frame, &mut dropped);
            published += 1;
            browser.read_exact(&mut got).await.unwrap();
            assert_eq!(got, frame.as_bytes(), "frame {published}");
            assert!(published < 10_000, "the stalled client was never dropped");
        }
        assert_eq!(dropped, [(ClientId(1), Gone::Stalled)]);
        assert_eq!(fanout.len(), 1);
        assert_eq!(stalled.gone(), Some(Gone::Stalled));
        assert!(published > RING_FRAMES_MAX);
    }

    #[tokio::test]
    async fn what_did_not_fit_is_sent_later_without_a_gap() {
        let (outbox, mut browser) = member();
        let mut expected = Vec::new();
        // Fill the socket, then leave some frames in the ring.
        let mut n = 0_u32;
        while outbox.flush().unwrap() {
            let frame = Frames::text([format!("{n:01000}")]);
            outbox.push(&frame).unwrap();
            expected.extend_from_slice(frame.as_bytes());
            n += 1;
        }
        for _ in 0..5 {
            let frame = Frames::text([format!("{n:01000}")]);
            outbox.push(&frame).unwrap();
            expected.extend_from_slice(frame.as_bytes());
            n += 1;
        }
        let mut got = vec![0; expected.len()];
        let reader = async {
            browser.read_exact(&mut got).await.unwrap();
        };
        let writer = async {
            while !outbox.flush().unwrap() {
                outbox.transport().writable().await.unwrap();
            }
        };
        tokio::join!(reader, writer);
        assert!(got == expected, "bytes differ");
    }

    #[tokio::test]
    async fn a_dead_connection_is_noticed_by_the_publisher() {
        let mut fanout = Fanout::default();
        let (outbox, browser) = member();
        fanout.join(ClientId(7), outbox);
        drop(browser);
        let mut dropped = Vec::new();
        assert_eq!(fanout.publish(&Frames::ping(), &mut dropped), 0);
        assert_eq!(dropped, [(ClientId(7), Gone::Closed)]);
        assert!(fanout.is_empty());
    }
}
