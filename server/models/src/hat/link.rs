//! The component: keeps its place with the monitor and its connection to the event server, for ever.
//!
//! Whatever is not there yet, or goes away, is tried again after 0.5 s, doubling to 15 s. What needs events meanwhile
//! gets [`LinkError::Away`] at once, not a wait without an end.

use super::chatter::Conversation;
use super::eventer::{
    Event, EventType, Eventer, EventerError, Found, Output, Query, RegisterEvent, RequestId,
    Status, matches,
};
use super::monitor::{
    self, Address, EventServer, MSG_CLIENT, MSG_CLOSE, MSG_SERVER, Monitor, MsgServer,
};
use super::sbs::{Sbs as _, SbsError};
use super::wire::{Message, Wire, WireError};
use leitstand_kit::{CancellationToken, Clock};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Events that wait for one user of the link. Reasoning: a burst of a site's controls; more means that it hangs.
const EVENTS_WAITING_MAX: usize = 4096;
/// Questions that wait for the connection.
const COMMANDS_WAITING_MAX: usize = 256;
/// Pauses between attempts.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(15);

/// Where the infrastructure is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Our name.
    pub name: String,
    /// The way to it.
    pub via: Via,
}

/// How a component is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// By a monitor server.
    Monitor {
        /// Where it listens.
        address: Address,
        /// Our group.
        group: String,
        /// The group of the event server, when events are wanted.
        event_group: Option<String>,
    },
    /// Straight to an event server, always active.
    Eventer(Address),
}

/// How the component stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether the monitor server is connected; false where there is none.
    pub monitor: bool,
    /// Whether we are to serve: blessed, or there is nobody to bless.
    pub active: bool,
    /// The event server's state while it is connected.
    pub events: Option<Status>,
}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No connection to an event server, or it went before the answer came.
    #[error("the event server is not connected")]
    Away,
    /// It took the question and could not.
    #[error("the event server refused the events")]
    Refused,
    /// Too many questions wait.
    #[error("too many requests wait for the event server")]
    Busy,
}

/// A user of the link: registers, queries, and receives what matches its own subscriptions.
pub struct ProxyClient {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Event>,
    state: watch::Receiver<State>,
}

impl ProxyClient {
    /// Makes events and waits until the server has them.
    ///
    /// # Errors
    /// See [`LinkError`]; it is not known whether the events exist when the connection broke.
    pub async fn register(&self, events: Vec<RegisterEvent>) -> Result<Vec<Event>, LinkError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Register {
            events,
            answer: Some(answer),
        })?;
        answered.await.unwrap_or(Err(LinkError::Away))
    }

    /// Makes events and does not wait.
    ///
    /// # Errors
    /// `Busy`. Without a connection the events are dropped.
    pub fn register_and_forget(&self, events: Vec<RegisterEvent>) -> Result<(), LinkError> {
        self.send(Command::Register {
            events,
            answer: None,
        })
    }

    /// Asks.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn query(&self, query: Query) -> Result<Found, LinkError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Query { query, answer })?;
        answered.await.unwrap_or(Err(LinkError::Away))
    }

    /// The next event that matches; `None` when the link has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// How the component stands, and when that changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    fn send(&self, command: Command) -> Result<(), LinkError> {
        self.commands.try_send(command).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => LinkError::Busy,
            mpsc::error::TrySendError::Closed(_) => LinkError::Away,
        })
    }
}

enum Command {
    Register {
        events: Vec<RegisterEvent>,
        answer: Option<Answer<Vec<Event>>>,
    },
    Query {
        query: Query,
        answer: Answer<Found>,
    },
}

type Answer<T> = oneshot::Sender<Result<T, LinkError>>;

struct Subscriber {
    patterns: Vec<EventType>,
    events: mpsc::Sender<Event>,
}

/// The component before and while it runs.
pub struct Link {
    settings: Settings,
    clock: Clock,
    subscribers: Vec<Subscriber>,
    commands: mpsc::Receiver<Command>,
    to_commands: mpsc::Sender<Command>,
    state: watch::Sender<State>,
    lost: Arc<AtomicU64>,
}

impl Link {
    /// Not attached yet.
    #[must_use]
    pub fn new(settings: Settings, clock: Clock) -> Self {
        let (to_commands, commands) = mpsc::channel(COMMANDS_WAITING_MAX);
        Self {
            settings,
            clock,
            subscribers: Vec::new(),
            commands,
            to_commands,
            state: watch::Sender::default(),
            lost: Arc::default(),
        }
    }

    /// Adds a user that wants these events. The server is asked for the union of all users' wishes.
    pub fn proxy(&mut self, patterns: Vec<EventType>) -> ProxyClient {
        let (to_events, events) = mpsc::channel(EVENTS_WAITING_MAX);
        self.subscribers.push(Subscriber {
            patterns,
            events: to_events,
        });
        ProxyClient {
            commands: self.to_commands.clone(),
            events,
            state: self.state.subscribe(),
        }
    }

    /// Events that found the queue of their user full.
    #[must_use]
    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    /// How the component stands, and when that changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Attaches, and stays attached until `stop`. `ready` says whether we could serve.
    pub async fn run(mut self, ready: watch::Receiver<bool>, stop: CancellationToken) {
        let state = self.state.clone();
        let (name, clock) = (self.settings.name.clone(), self.clock.clone());
        let (found, server) = watch::channel(None);
        let via = self.settings.via.clone();
        let supervised = async {
            match via {
                Via::Monitor {
                    address,
                    group,
                    event_group,
                } => {
                    let supervision = Supervision {
                        monitor: Monitor::new(&name, &group, event_group.as_deref()),
                        address,
                        clock,
                        ready,
                        state: state.clone(),
                        found,
                    };
                    supervision.keep().await;
                }
                Via::Eventer(address) => {
                    state.send_modify(|s| s.active = true);
                    let _ = found.send(Some(EventServer {
                        server_id: 0,
                        eventer_server: address,
                        server_token: None,
                    }));
                    std::future::pending().await
                }
            }
        };
        tokio::select! {
            () = supervised => {}
            () = self.attend(server) => {}
            () = stop.cancelled() => {}
        }
        state.send_replace(State::default());
    }

    /// Keeps the connection to whichever event server there is.
    async fn attend(&mut self, mut server: watch::Receiver<Option<EventServer>>) {
        let mut pause = Pause::default();
        loop {
            let Some(target) = server.borrow_and_update().clone() else {
                tokio::select! {
                    changed = server.changed() => if changed.is_err() { return },
                    Some(command) = self.commands.recv() => refuse(command),
                }
                continue;
            };
            let error = tokio::select! {
                Err(error) = self.converse(&target, &mut pause) => Some(error),
                changed = server.changed() => if changed.is_err() { return } else { None },
            };
            self.state.send_modify(|s| s.events = None);
            // Another server, or none: no pause for that.
            let Some(error) = error else { continue };
            tracing::info!(error = &error as &dyn std::error::Error, "no event server");
            let until = self.clock.now() + pause.next();
            loop {
                tokio::select! {
                    () = self.clock.sleep_until(Some(until)) => break,
                    Some(command) = self.commands.recv() => refuse(command),
                    changed = server.changed() => if changed.is_err() { return } else { break },
                }
            }
        }
    }

    async fn converse(
        &mut self,
        server: &EventServer,
        pause: &mut Pause,
    ) -> Result<Infallible, SessionError> {
        let mut wire = Wire::connect(&server.eventer_server, &self.clock).await?;
        let mut all: Vec<EventType> = Vec::new();
        for pattern in self.subscribers.iter().flat_map(|s| &s.patterns) {
            if !all.contains(pattern) {
                all.push(pattern.clone());
            }
        }
        // An event server that was named directly has no number for us to ask for.
        let id =
            Some(server.server_id).filter(|_| matches!(self.settings.via, Via::Monitor { .. }));
        let token = server.server_token.as_ref();
        let mut session = Session {
            eventer: Eventer::new(&self.settings.name, token, &all, id),
            waiting: BTreeMap::new(),
        };
        loop {
            while let Some(output) = session.eventer.poll_output() {
                session.carry_out(
                    output,
                    &mut wire,
                    &self.subscribers,
                    &self.state,
                    &self.lost,
                )?;
            }
            if self.state.borrow().events.is_some() {
                *pause = Pause::default();
            }
            tokio::select! {
                message = wire.next() => {
                    let Message { conversation, kind, data, last } = message?;
                    session.eventer.message(conversation, &kind, &data, last);
                }
                Some(command) = self.commands.recv() => session.command(command),
            }
        }
    }
}

/// One connection's questions.
struct Session {
    eventer: Eventer,
    waiting: BTreeMap<RequestId, Waiting>,
}

enum Waiting {
    Register(Answer<Vec<Event>>),
    Query(Answer<Found>),
}

#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the event server breaks the protocol")]
    Eventer(#[from] EventerError),
    #[error("the event server refused us: {0}")]
    Refused(String),
    #[error("the monitor server breaks the protocol")]
    Monitor(#[from] SbsError),
    #[error("the monitor server closes")]
    Closing,
}

impl Session {
    fn command(&mut self, command: Command) {
        match command {
            Command::Register { events, answer } => {
                let request = self.eventer.register(&events, answer.is_some());
                if let (Some(request), Some(answer)) = (request, answer) {
                    self.waiting.insert(request, Waiting::Register(answer));
                }
            }
            Command::Query { query, answer } => {
                let request = self.eventer.query(&query);
                self.waiting.insert(request, Waiting::Query(answer));
            }
        }
    }

    fn carry_out(
        &mut self,
        output: Output,
        wire: &mut Wire,
        subscribers: &[Subscriber],
        state: &watch::Sender<State>,
        lost: &AtomicU64,
    ) -> Result<(), SessionError> {
        match output {
            Output::Open {
                request,
                kind,
                data,
                last,
            } => {
                let conversation: Conversation = wire.chatter().open(kind, data, last);
                if let Some(request) = request {
                    self.eventer.opened(request, conversation);
                }
            }
            Output::Say {
                conversation,
                kind,
                data,
            } => wire.chatter().say(conversation, kind, data, true),
            Output::Status(status) => state.send_modify(|s| s.events = Some(status)),
            Output::Refused(reason) => return Err(SessionError::Refused(reason)),
            Output::Events(events) => {
                for event in events {
                    deliver(&event, subscribers, lost);
                }
                self.eventer.handled();
            }
            // A caller that gave up meanwhile is no error.
            Output::Registered(request, events) => {
                if let Some(Waiting::Register(answer)) = self.waiting.remove(&request) {
                    let _ = answer.send(events.ok_or(LinkError::Refused));
                }
            }
            Output::Found(request, found) => {
                if let Some(Waiting::Query(answer)) = self.waiting.remove(&request) {
                    let _ = answer.send(Ok(found));
                }
            }
            Output::Close(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn deliver(event: &Event, subscribers: &[Subscriber], lost: &AtomicU64) {
    for subscriber in subscribers {
        let wanted = subscriber.patterns.iter().any(|p| matches(p, &event.kind));
        if wanted && subscriber.events.try_send(event.clone()).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn refuse(command: Command) {
    match command {
        Command::Register {
            answer: Some(answer),
            ..
        } => drop(answer.send(Err(LinkError::Away))),
        Command::Register { answer: None, .. } => {}
        Command::Query { answer, .. } => drop(answer.send(Err(LinkError::Away))),
    }
}

/// Our place with the monitor server.
struct Supervision {
    monitor: Monitor,
    address: Address,
    clock: Clock,
    ready: watch::Receiver<bool>,
    state: watch::Sender<State>,
    found: watch::Sender<Option<EventServer>>,
}

impl Supervision {
    /// Never ends.
    async fn keep(mut self) {
        let mut pause = Pause::default();
        loop {
            let ready = *self.ready.borrow_and_update();
            self.monitor.set_ready(ready);
            let ended = match self.observe(&mut pause).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            self.monitor.disconnected();
            self.carry_out(None);
            self.state.send_modify(|s| s.monitor = false);
            tracing::info!(
                error = &ended as &dyn std::error::Error,
                "no monitor server"
            );
            self.clock
                .sleep_until(Some(self.clock.now() + pause.next()))
                .await;
        }
    }

    async fn observe(&mut self, pause: &mut Pause) -> Result<Infallible, SessionError> {
        let mut wire = Wire::connect(&self.address, &self.clock).await?;
        self.state.send_modify(|s| s.monitor = true);
        self.monitor.connected();
        loop {
            self.carry_out(Some(&mut wire));
            tokio::select! {
                message = wire.next() => {
                    let message = message?;
                    match message.kind.as_str() {
                        MSG_SERVER => {
                            self.monitor.heard(MsgServer::from_bytes(&message.data)?);
                            *pause = Pause::default();
                        }
                        MSG_CLOSE => return Err(SessionError::Closing),
                        // Of a newer server: not for us.
                        _ => {}
                    }
                }
                Ok(()) = self.ready.changed() => {
                    let ready = *self.ready.borrow_and_update();
                    self.monitor.set_ready(ready);
                }
            }
        }
    }

    fn carry_out(&mut self, mut wire: Option<&mut Wire>) {
        while let Some(output) = self.monitor.poll_output() {
            match output {
                monitor::Output::Send(message) => {
                    if let Some(wire) = wire.as_deref_mut() {
                        wire.chatter().open(MSG_CLIENT, message.to_bytes(), true);
                    }
                }
                monitor::Output::Activate => self.state.send_modify(|s| s.active = true),
                monitor::Output::Deactivate => self.state.send_modify(|s| s.active = false),
                monitor::Output::EventServer(server) => drop(self.found.send(server)),
            }
        }
    }
}

/// The pause before the next attempt: doubling, and a little different for each component of a site.
#[derive(Debug, Default)]
struct Pause(u32);

impl Pause {
    fn next(&mut self) -> Duration {
        let whole = RETRY_FIRST
            .saturating_mul(1 << self.0.min(10))
            .min(RETRY_LONGEST);
        self.0 += 1;
        let dice = RandomState::new().build_hasher().finish() % 256;
        // Three quarters to all of it.
        whole - whole.mul_f64(dice as f64 / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_bound() {
        let mut pause = Pause::default();
        for want_ms in [500, 1000, 2000, 4000, 8000, 15_000, 15_000] {
            let want = Duration::from_millis(want_ms);
            let got = pause.next();
            assert!(got <= want && got >= want * 3 / 4, "{got:?} for {want:?}");
        }
        for _ in 0..100 {
            assert!(pause.next() <= RETRY_LONGEST);
        }
    }
}
