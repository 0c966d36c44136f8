//! What happens, under three names: ours in the journal, and both original generations for embedders
//! (`specs/containers.md` 4, decisions.md 28). Handlers may let go on, close, or answer.

use std::{
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, RwLock},
};

use leitstand_kit::{Context, NewEvent, Severity};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::{
    SERVICE,
    id::{ContainerId, client_id},
    wire::response::Response,
};

/// Facts that a slow observer may lag behind. Reasoning: a CREATE makes ten.
const OBSERVED_MAX: usize = 1024;

/// Kinds of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Listening.
    ServerStarted,
    /// After the clean-up.
    ServerStopped,
    /// Before any byte.
    ConnectionAccepted,
    /// Keys are exchanged.
    ClientInitialized,
    /// Decoded, valid or not.
    RequestReceived,
    /// The schema is not kept to.
    RequestMalformed,
    /// Nobody serves the verb.
    VerbUnhandled,
    /// Wrong container or token.
    AuthenticationFailed,
    /// Admitted and journaled; nothing runs yet.
    ContainerCreated,
    /// It runs.
    ContainerStarted,
    /// The way to configure it is there.
    EndpointShellCreated,
    /// In use.
    EndpointShellOpened,
    /// Done with.
    EndpointShellClosed,
    /// The SSH port is chosen.
    ForwarderCreated,
    /// The SSH port is open.
    ForwarderStarted,
    /// The SSH port is closed.
    ForwarderStopped,
    /// It runs no more.
    ContainerStopped,
    /// The server closed the client.
    ClientClosed,
    /// Something failed.
    RuntimeFailed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::ServerStarted,
        Self::ServerStopped,
        Self::ConnectionAccepted,
        Self::ClientInitialized,
        Self::RequestReceived,
        Self::RequestMalformed,
        Self::VerbUnhandled,
        Self::AuthenticationFailed,
        Self::ContainerCreated,
        Self::ContainerStarted,
        Self::EndpointShellCreated,
        Self::EndpointShellOpened,
        Self::EndpointShellClosed,
        Self::ForwarderCreated,
        Self::ForwarderStarted,
        Self::ForwarderStopped,
        Self::ContainerStopped,
        Self::ClientClosed,
        Self::RuntimeFailed,
    ];

    /// Name in the journal, name of 4.x, number of 1.x where there is one.
    #[must_use]
    pub const fn names(self) -> (&'static str, &'static str, Option<u8>) {
        match self {
            Self::ServerStarted => ("ServerStarted", "on_server_started", Some(10)),
            Self::ServerStopped => ("ServerStopped", "on_server_stopped", Some(11)),
            Self::ConnectionAccepted => ("ConnectionAccepted", "on_connection_accepted", Some(3)),
            Self::ClientInitialized => ("ClientInitialized", "on_client_initialized", Some(1)),
            Self::RequestReceived => ("RequestReceived", "on_request", Some(8)),
            Self::RequestMalformed => ("RequestMalformed", "on_malformed_request", Some(7)),
            Self::VerbUnhandled => ("VerbUnhandled", "on_unhandled_verb", Some(12)),
            Self::AuthenticationFailed => ("AuthenticationFailed", "on_authentication_error", None),
            Self::ContainerCreated => ("ContainerCreated", "on_container_created", Some(4)),
            Self::ContainerStarted => ("ContainerStarted", "on_container_domain_started", None),
            Self::EndpointShellCreated => {
                ("EndpointShellCreated", "on_endpoint_shell_created", Some(5))
            }
            Self::EndpointShellOpened => ("EndpointShellOpened", "on_endpoint_shell_opened", None),
            Self::EndpointShellClosed => ("EndpointShellClosed", "on_endpoint_shell_closed", None),
            Self::ForwarderCreated => ("ForwarderCreated", "on_forwarder_created", None),
            Self::ForwarderStarted => ("ForwarderStarted", "on_forwarder_started", None),
            Self::ForwarderStopped => ("ForwarderStopped", "on_forwarder_stopped", None),
            Self::ContainerStopped => ("ContainerStopped", "on_container_domain_stopped", Some(6)),
            Self::ClientClosed => ("ClientClosed", "on_client_closed", Some(2)),
            Self::RuntimeFailed => ("RuntimeFailed", "on_runtime_error", Some(9)),
        }
    }

    /// Whether the journal keeps it. What a stranger can cause without end by connecting is only counted.
    const fn journaled(self) -> Option<Severity> {
        match self {
            Self::ServerStarted
            | Self::ServerStopped
            | Self::ContainerCreated
            | Self::ContainerStarted
            | Self::ContainerStopped => Some(Severity::Info),
            Self::RequestMalformed | Self::AuthenticationFailed | Self::RuntimeFailed => {
                Some(Severity::Warning)
            }
            _ => None,
        }
    }
}

/// Why something happened; the numbers are the original's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// In the course of a request.
    Normal = 20,
    /// The watchdog: ended by itself, or its time was over.
    Automatic = 21,
    /// From outside: an operator, a stop of the service.
    Deferred = 22,
    /// End of the handling of a client.
    EndOfHandling = 23,
    /// An error.
    Error = 24,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Fact {
    /// What.
    pub kind: Kind,
    /// Why.
    pub cause: Cause,
    /// The client's address, when one is concerned.
    pub peer: Option<IpAddr>,
    /// The container, when one is concerned.
    pub container: Option<ContainerId>,
    /// More, as an object.
    pub data: Value,
}

impl Fact {
    /// Without client, container and data.
    #[must_use]
    pub fn new(kind: Kind, cause: Cause) -> Self {
        Self {
            kind,
            cause,
            peer: None,
            container: None,
            data: json!({}),
        }
    }
}

/// What a handler wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing.
    Continue,
    /// The client is closed without a response.
    Close,
    /// The client gets this response.
    Respond(Response),
}

type Handler = Arc<dyn Fn(&Fact) -> Verdict + Send + Sync>;

/// Handlers and observers.
#[derive(Clone)]
pub struct Facts {
    cx: Context,
    handlers: Arc<RwLock<Vec<(Kind, Handler)>>>,
    observers: broadcast::Sender<Arc<Fact>>,
}

impl Facts {
    pub(crate) fn new(cx: &Context) -> Self {
        Self {
            cx: cx.clone(),
            handlers: Arc::default(),
            observers: broadcast::channel(OBSERVED_MAX).0,
        }
    }

    /// Adds a handler behind those of the same kind. It runs where the cause runs and must not block.
    pub fn handle(&self, kind: Kind, handler: impl Fn(&Fact) -> Verdict + Send + Sync + 'static) {
        self.handlers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push((kind, Arc::new(handler)));
    }

    /// Removes all handlers.
    pub fn forget_handlers(&self) {
        self.handlers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Sees everything from now on. Whoever is too slow misses facts and is told how many.
    #[must_use]
    pub fn observe(&self) -> broadcast::Receiver<Arc<Fact>> {
        self.observers.subscribe()
    }

    /// Journal, observers, handlers. The first verdict that is not [`Verdict::Continue`] counts.
    pub(crate) fn fire(&self, fact: Fact) -> Verdict {
        self.journal(&fact);
        let handlers: Vec<Handler> = {
            let all = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
            all.iter()
                .filter(|(kind, _)| *kind == fact.kind)
                .map(|(_, h)| h.clone())
                .collect()
        };
        let mut verdict = Verdict::Continue;
        for handler in handlers {
            // Somebody else's code: a panic ends this request, not the service.
            verdict = catch_unwind(AssertUnwindSafe(|| handler(&fact)))
                .unwrap_or_else(|_| Verdict::Respond(Response::internal()));
            if verdict != Verdict::Continue {
                break;
            }
        }
        // Nobody observing is fine.
        let _ = self.observers.send(Arc::new(fact));
        verdict
    }

    fn journal(&self, fact: &Fact) {
        let Some(severity) = fact.kind.journaled() else {
            return;
        };
        let (name, original, value) = fact.kind.names();
        let mut data = fact.data.clone();
        if let Value::Object(map) = &mut data {
            map.insert(
                "original".into(),
                json!({"name": original, "value": value, "context": fact.cause as u8}),
            );
            if let Some(id) = fact.container {
                map.insert("container".into(), json!(id.to_string()));
            }
            if let Some(peer) = fact.peer {
                map.insert("client".into(), json!(client_id(peer)));
            }
        }
        let text = match fact.container {
            Some(id) => format!("container {}", &id.to_string()[..8]),
            None => String::new(),
        };
        let reason = fact
            .data
            .get("reason")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let text = [text.as_str(), reason]
            .iter()
            .filter(|t| !t.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(": ");
        drop(
            self.cx.events.record(
                NewEvent::new(SERVICE, name)
                    .severity(severity)
                    .text(text)
                    .data(data),
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_number_of_the_first_generation_is_used_once() {
        let mut numbers: Vec<u8> = Kind::ALL.iter().filter_map(|k| k.names().2).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn the_first_handler_that_objects_counts_and_a_panic_is_an_answer() {
        let dir = tempfile::tempdir().unwrap();
        let facts = Facts::new(&Context::for_tests(dir.path()));
        let mut seen = facts.observe();
        let fact = || Fact::new(Kind::RequestReceived, Cause::Normal);
        facts.handle(Kind::RequestReceived, |_| Verdict::Continue);
        assert_eq!(facts.fire(fact()), Verdict::Continue);
        facts.handle(Kind::RequestReceived, |_| Verdict::Close);
        facts.handle(Kind::RequestReceived, |_| {
            unreachable!("the one before closed")
        });
        assert_eq!(facts.fire(fact()), Verdict::Close);
        assert_eq!(
            facts.fire(Fact::new(Kind::ClientClosed, Cause::Normal)),
            Verdict::Continue
        );
        facts.forget_handlers();
        facts.handle(Kind::RequestReceived, |_| panic!("somebody else's defect"));
        assert_eq!(facts.fire(fact()), Verdict::Respond(Response::internal()));
        assert_eq!(seen.recv().await.unwrap().kind, Kind::RequestReceived);
    }
}
