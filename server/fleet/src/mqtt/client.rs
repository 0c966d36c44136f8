//! The link over `rumqttc`, with a back-off of its own.
//!
//! Each connection is a new client with empty queues, so that nothing of an old session is sent into a new one.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use leitstand_kit::BoxFuture;
use rumqttc::{
    AsyncClient, Event as Raw, EventLoop, Incoming, LastWill, MqttOptions, PublishOptions, QoS,
    SubscribeFilter, TlsConfiguration, Transport,
};

use super::{Endpoint, Event, KEEP_ALIVE, Link, NotSent, PACKET_BYTES_MAX, Publish, Tls};

/// First and longest pause between two tries (`decisions.md` 44).
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// How long one try may take.
const CONNECT_TIMEOUT_S: u64 = 5;
/// Messages that wait for the socket. Reasoning: a response and a command for each of 1000 cars, twice.
const QUEUE_MAX: usize = 4096;
/// Messages that the broker has not acknowledged. Reasoning: one a car, at 1000 cars.
const INFLIGHT_MAX: u16 = 1000;
/// Topics of one SUBSCRIBE. Reasoning: 100 topics of 100 bytes stay far below any packet limit.
const TOPICS_A_PACKET: usize = 100;

type Handle = Arc<Mutex<Option<AsyncClient>>>;

/// A connection that comes back by itself.
pub struct Client {
    endpoint: Endpoint,
    handle: Handle,
    state: State,
    topics: BTreeSet<String>,
    pause: Duration,
    /// SUBSCRIBEs under way, in order; acknowledgements come in the same.
    unacknowledged: VecDeque<Vec<String>>,
}

enum State {
    /// Tries at once.
    Idle,
    /// Tries after this instant.
    Waiting(tokio::time::Instant),
    /// Connecting or connected.
    Polling(Box<EventLoop>, bool),
}

impl Client {
    /// Not connected yet; poll [`Link::next`].
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            handle: Arc::default(),
            state: State::Idle,
            topics: BTreeSet::new(),
            pause: PAUSE.0,
            unacknowledged: VecDeque::new(),
        }
    }

    /// The sending side.
    #[must_use]
    pub fn publisher(&self) -> Arc<dyn Publish> {
        Arc::new(Publisher(self.handle.clone()))
    }

    /// Says good-bye, so that the broker does not tell the last will.
    pub async fn disconnect(&mut self) {
        let client = lock(&self.handle).clone();
        if client.is_some_and(|client| client.try_disconnect().is_ok()) {
            while !matches!(self.next().await, Event::Down { .. }) {}
        }
    }

    fn set_handle(&self, client: Option<AsyncClient>) {
        *lock(&self.handle) = client;
    }

    fn open(&self) -> Result<EventLoop, String> {
        let (client, mut events) = AsyncClient::builder(options(&self.endpoint)?)
            .capacity(QUEUE_MAX)
            .try_build()
            .map_err(|e| e.to_string())?;
        let mut network = events.network_options();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_TIMEOUT_S);
        events.set_network_options(network);
        self.set_handle(Some(client));
        Ok(events)
    }

    fn down(&mut self, reason: String) -> Event {
        self.set_handle(None);
        self.unacknowledged.clear();
        // Half of it is jitter, so that many clients do not come back in step.
        let mut random = [0];
        let _ = getrandom::fill(&mut random);
        let again_in = self.pause / 2 + self.pause * u32::from(random[0]) / 510;
        self.pause = (self.pause * 2).min(PAUSE.1);
        self.state = State::Waiting(tokio::time::Instant::now() + again_in);
        Event::Down { reason, again_in }
    }

    fn send_subscribe(&mut self, topics: &[String]) {
        let State::Polling(_, true) = self.state else {
            return;
        };
        let Some(client) = lock(&self.handle).clone() else {
            return;
        };
        for chunk in topics.chunks(TOPICS_A_PACKET) {
            let filters = chunk
                .iter()
                .map(|t| SubscribeFilter::new(t.clone(), QoS::AtLeastOnce));
            if client.try_subscribe_many(filters).is_ok() {
                self.unacknowledged.push_back(chunk.to_vec());
            }
        }
    }

    async fn step(&mut self) -> Option<Event> {
        match &mut self.state {
            State::Idle => match self.open() {
                Ok(events) => self.state = State::Polling(Box::new(events), false),
                Err(reason) => return Some(self.down(reason)),
            },
            State::Waiting(until) => {
                tokio::time::sleep_until(*until).await;
                self.state = State::Idle;
            }
            State::Polling(events, up) => match events.poll().await {
                Err(error) => return Some(self.down(error.to_string())),
                Ok(Raw::Incoming(Incoming::ConnAck(_))) => {
                    *up = true;
                    let topics: Vec<_> = self.topics.iter().cloned().collect();
                    self.send_subscribe(&topics);
                    return Some(Event::Up);
                }
                Ok(Raw::Incoming(Incoming::SubAck(_))) => {
                    let topics = self.unacknowledged.pop_front()?;
                    return Some(Event::Subscribed(topics));
                }
                Ok(Raw::Incoming(Incoming::Publish(message))) => {
                    let topic = String::from_utf8_lossy(&message.topic).into_owned();
                    return Some(Event::Message {
                        topic,
                        payload: message.payload.to_vec(),
                        retained: message.retain,
                    });
                }
                Ok(_) => {}
            },
        }
        None
    }
}

impl Link for Client {
    fn next(&mut self) -> BoxFuture<'_, Event> {
        Box::pin(async move {
            loop {
                if let Some(event) = self.step().await {
                    return event;
                }
            }
        })
    }

    fn subscribe(&mut self, topics: Vec<String>) {
        self.send_subscribe(&topics);
        self.topics.extend(topics);
    }

    fn unsubscribe(&mut self, topic: &str) {
        self.topics.remove(topic);
        if let Some(client) = lock(&self.handle).as_ref() {
            let _ = client.try_unsubscribe(topic);
        }
    }

    fn heard(&mut self) {
        self.pause = PAUSE.0;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Publishers that are still held must not fill a queue that nobody empties.
        self.set_handle(None);
    }
}

fn lock(handle: &Handle) -> std::sync::MutexGuard<'_, Option<AsyncClient>> {
    handle.lock().unwrap_or_else(PoisonError::into_inner)
}

fn options(endpoint: &Endpoint) -> Result<MqttOptions, String> {
    let target = (endpoint.host.clone(), endpoint.port);
    let mut options = MqttOptions::new(endpoint.client_id.clone(), target);
    options
        .set_keep_alive(KEEP_ALIVE.as_secs() as u16)
        .set_clean_session(true)
        .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX)
        .set_inflight(INFLIGHT_MAX)
        .set_max_request_batch(16);
    if let Some((user, password)) = &endpoint.login {
        options.set_credentials(user.clone(), password.clone());
    }
    if let Some((topic, payload)) = &endpoint.will {
        options.set_last_will(LastWill::new(
            topic.clone(),
            payload.clone(),
            QoS::AtLeastOnce,
            true,
        ));
    }
    if let Some(tls) = &endpoint.tls {
        options.set_transport(Transport::Tls(tls_configuration(tls)?));
    }
    Ok(options)
}

fn tls_configuration(tls: &Tls) -> Result<TlsConfiguration, String> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let identity = tls.identity.as_ref();
    Ok(TlsConfiguration::Simple {
        ca: read(&tls.ca)?,
        alpn: None,
        client_auth: identity
            .map(|(cert, key)| Ok::<_, String>((read(cert)?, read(key)?)))
            .transpose()?,
    })
}

struct Publisher(Handle);

impl Publish for Publisher {
    fn publish(&self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), NotSent> {
        let client = lock(&self.0).clone().ok_or(NotSent)?;
        client
            .try_publish(topic.to_owned(), payload, how(retain))
            .map_err(|_| NotSent)
    }

    fn publish_tracked(
        &self,
        topic: &str,
        payload: Vec<u8>,
        retain: bool,
    ) -> Result<BoxFuture<'static, ()>, NotSent> {
        let client = lock(&self.0).clone().ok_or(NotSent)?;
        let notice = client
            .try_publish_tracked(topic.to_owned(), payload, how(retain))
            .map_err(|_| NotSent)?;
        Ok(Box::pin(async move {
            let _ = notice.wait_completion_async().await;
        }))
    }
}

fn how(retain: bool) -> PublishOptions {
    let options = PublishOptions::new(QoS::AtLeastOnce);
    if retain { options.retained() } else { options }
}
