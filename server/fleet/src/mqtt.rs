//! MQTT, behind two small traits: a [`Link`] that is polled for what happens, and a [`Publish`] that anybody may hold.
//!
//! [`client`] connects to any broker; [`broker`] is one that needs no installation; [`rights`] says who may use which
//! topic of it.

pub mod broker;
pub mod client;
mod front;
pub mod rights;

use std::{path::PathBuf, time::Duration};

use leitstand_kit::BoxFuture;

/// Longest packet either side accepts, in bytes (`decisions.md` 46).
pub const PACKET_BYTES_MAX: usize = 1 << 20;
/// The protocol's keep-alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What happens on a link.
#[derive(Debug)]
pub enum Event {
    /// Connected; subscriptions are under way.
    Up,
    /// These topics are subscribed from now on.
    Subscribed(Vec<String>),
    /// Not connected; it tries again by itself.
    Down {
        /// For people.
        reason: String,
        /// Pause before the next try.
        again_in: Duration,
    },
    /// A message.
    Message {
        /// Its topic.
        topic: String,
        /// Its payload; cheap to clone.
        payload: Vec<u8>,
        /// With the retain flag: an old one.
        retained: bool,
    },
}

/// One connection to a broker that comes back by itself.
pub trait Link: Send {
    /// The next event. Must be polled all the time; dropping the future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Event>;
    /// Wants these topics, now and after each reconnect.
    fn subscribe(&mut self, topics: Vec<String>);
    /// Wants this topic no longer.
    fn unsubscribe(&mut self, topic: &str);
    /// A valid message arrived: the broker is worth an early retry.
    fn heard(&mut self);
}

/// Sends messages. Never waits.
pub trait Publish: Send + Sync {
    /// Hands over a message at QoS 1.
    ///
    /// # Errors
    /// Not connected, or the queue is full: the message is lost, the caller counts it.
    fn publish(&self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), NotSent>;
    /// As `publish`; the future ends when the broker acknowledged it.
    ///
    /// # Errors
    /// The same.
    fn publish_tracked(
        &self,
        topic: &str,
        payload: Vec<u8>,
        retain: bool,
    ) -> Result<BoxFuture<'static, ()>, NotSent>;
}

/// A message could not be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSent;

/// Where a client connects to, and as whom.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// MQTT client id.
    pub client_id: String,
    /// User and password.
    pub login: Option<(String, String)>,
    /// TLS, where it is used.
    pub tls: Option<Tls>,
    /// Topic and payload of the last will, retained.
    pub will: Option<(String, Vec<u8>)>,
}

/// Files for TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificate authority of the other side.
    pub ca: PathBuf,
    /// Our certificate chain and key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Endpoint {
    /// Without login, TLS and will.
    #[must_use]
    pub fn plain(host: &str, port: u16, client_id: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            client_id: client_id.to_owned(),
            login: None,
            tls: None,
            will: None,
        }
    }
}
