//! Events: subscribe, register, query.
//!
//! | Message | Shape |
//! |---|---|
//! | `HatEventer.MsgInitReq` | clientName String, clientToken Opt String, subscriptions Array(EventType), serverId Opt Integer, persisted Boolean |
//! | `HatEventer.MsgInitRes` | Choice success(Status), error(String) |
//! | `HatEventer.MsgStatusNotify` | Status |
//! | `HatEventer.MsgEventsNotify` | Array(Event); not last: wants `MsgEventsAck` after it was handled |
//! | `HatEventer.MsgRegisterReq` | Array(RegisterEvent); not last: wants `MsgRegisterRes`, Choice events(Array Event), failure |
//! | `HatEventer.MsgQueryReq` | Choice latest, timeseries, server; answered by `MsgQueryRes` {events Array(Event), moreFollows Boolean} |

mod event;
mod query;

use super::chatter::Conversation;
use super::sbs::{Reader, Sbs as _, SbsError, Writer};
pub use event::{Event, EventId, EventType, Payload, RegisterEvent, Status, Timestamp, matches};
pub use query::{Found, Query, Timeseries};
use std::collections::{BTreeMap, VecDeque};

const INIT_REQ: &str = "HatEventer.MsgInitReq";
const INIT_RES: &str = "HatEventer.MsgInitRes";
const STATUS_NOTIFY: &str = "HatEventer.MsgStatusNotify";
const EVENTS_NOTIFY: &str = "HatEventer.MsgEventsNotify";
const EVENTS_ACK: &str = "HatEventer.MsgEventsAck";
const REGISTER_REQ: &str = "HatEventer.MsgRegisterReq";
const REGISTER_RES: &str = "HatEventer.MsgRegisterRes";
const QUERY_REQ: &str = "HatEventer.MsgQueryReq";
const QUERY_RES: &str = "HatEventer.MsgQueryRes";

struct InitReq<'a> {
    name: &'a str,
    token: Option<&'a String>,
    subscriptions: &'a [EventType],
    server_id: Option<i64>,
}

impl InitReq<'_> {
    fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.text(self.name);
        to.optional(self.token);
        to.array(self.subscriptions);
        to.optional(self.server_id.as_ref());
        to.boolean(false);
        to.into_bytes()
    }
}

/// Why the connection must be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventerError {
    /// A message that is not what its type says.
    #[error("a message that cannot be read")]
    Message(#[from] SbsError),
    /// A message that the server has no reason to send.
    #[error("an unexpected message `{0}`")]
    Unexpected(String),
}

/// Names a question of ours until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// What the owner of an [`Eventer`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a conversation; tell its name to [`Eventer::opened`] when `request` is given.
    Open {
        /// Whose answer is awaited in it.
        request: Option<RequestId>,
        /// Type of the message.
        kind: &'static str,
        /// Its bytes.
        data: Vec<u8>,
        /// No answer is awaited.
        last: bool,
    },
    /// Answer in a conversation, and end it.
    Say {
        /// Where.
        conversation: Conversation,
        /// Type of the message.
        kind: &'static str,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// The event server took us, or its state changed.
    Status(Status),
    /// The event server does not want us.
    Refused(String),
    /// Events that were subscribed to, oldest first.
    Events(Vec<Event>),
    /// What became of a registration that asked for an answer; `None` = the server could not.
    Registered(RequestId, Option<Vec<Event>>),
    /// What a query found.
    Found(RequestId, Found),
    /// The server says what it may not: close the connection.
    Close(EventerError),
}

/// One connection to an event server.
#[derive(Debug)]
pub struct Eventer {
    next: u64,
    init: Option<RequestId>,
    waiting: BTreeMap<Conversation, RequestId>,
    /// Answers owed once the events of a notification were handled.
    owed: VecDeque<Conversation>,
    out: VecDeque<Output>,
}

impl Eventer {
    /// Begins: the first output introduces us.
    #[must_use]
    pub fn new(
        name: &str,
        token: Option<&String>,
        subscriptions: &[EventType],
        server_id: Option<i64>,
    ) -> Self {
        let mut eventer = Self {
            next: 1,
            init: None,
            waiting: BTreeMap::new(),
            owed: VecDeque::new(),
            out: VecDeque::new(),
        };
        let init = InitReq {
            name,
            token,
            subscriptions,
            server_id,
        };
        eventer.init = Some(eventer.ask(INIT_REQ, init.to_bytes()));
        eventer
    }

    /// Makes events. With `answer` the output [`Output::Registered`] follows, else nothing does.
    pub fn register(&mut self, events: &[RegisterEvent], answer: bool) -> Option<RequestId> {
        let mut to = Writer::default();
        to.array(events);
        let data = to.into_bytes();
        if answer {
            return Some(self.ask(REGISTER_REQ, data));
        }
        self.out.push_back(Output::Open {
            request: None,
            kind: REGISTER_REQ,
            data,
            last: true,
        });
        None
    }

    /// Asks; the output [`Output::Found`] follows.
    pub fn query(&mut self, query: &Query) -> RequestId {
        self.ask(QUERY_REQ, query.to_bytes())
    }

    /// The conversation of an [`Output::Open`] with a request.
    pub fn opened(&mut self, request: RequestId, conversation: Conversation) {
        self.waiting.insert(conversation, request);
    }

    /// The events of the last notification were handled.
    pub fn handled(&mut self) {
        if let Some(conversation) = self.owed.pop_front() {
            self.out.push_back(Output::Say {
                conversation,
                kind: EVENTS_ACK,
                data: Vec::new(),
            });
        }
    }

    /// A message came. Types that are not of this protocol close the connection, as the peers do.
    pub fn message(&mut self, conversation: Conversation, kind: &str, data: &[u8], last: bool) {
        if let Err(error) = self.take(conversation, kind, data, last) {
            self.out.push_back(Output::Close(error));
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn ask(&mut self, kind: &'static str, data: Vec<u8>) -> RequestId {
        let request = RequestId(self.next);
        self.next += 1;
        self.out.push_back(Output::Open {
            request: Some(request),
            kind,
            data,
            last: false,
        });
        request
    }

    fn take(
        &mut self,
        conversation: Conversation,
        kind: &str,
        data: &[u8],
        last: bool,
    ) -> Result<(), EventerError> {
        match kind {
            STATUS_NOTIFY => self
                .out
                .push_back(Output::Status(Status::from_bytes(data)?)),
            EVENTS_NOTIFY => {
                let events = Vec::<Event>::from_bytes(data)?;
                if !last {
                    self.owed.push_back(conversation);
                }
                self.out.push_back(Output::Events(events));
            }
            INIT_RES | REGISTER_RES | QUERY_RES => {
                // An answer to nothing is late, not hostile.
                let Some(request) = self.waiting.remove(&conversation) else {
                    return Ok(());
                };
                let output = self.answer(request, kind, data)?;
                self.out.push_back(output);
            }
            _ => return Err(EventerError::Unexpected(kind.to_owned())),
        }
        Ok(())
    }

    fn answer(&self, request: RequestId, kind: &str, data: &[u8]) -> Result<Output, EventerError> {
        let mut from = Reader::new(data);
        Ok(match kind {
            INIT_RES if self.init == Some(request) => match from.choice(2)? {
                0 => Output::Status(Status::read(&mut from)?),
                _ => Output::Refused(from.text()?.to_owned()),
            },
            REGISTER_RES => match from.choice(2)? {
                0 => Output::Registered(request, Some(from.array()?)),
                _ => Output::Registered(request, None),
            },
            QUERY_RES => Output::Found(request, Found::from_bytes(data)?),
            _ => return Err(EventerError::Unexpected(kind.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kind(text: &str) -> EventType {
        text.split('/').map(str::to_owned).collect()
    }

    fn ours(first: i64) -> Conversation {
        Conversation { ours: true, first }
    }

    fn theirs(first: i64) -> Conversation {
        Conversation { ours: false, first }
    }

    fn event(instance: i64) -> Event {
        Event {
            id: EventId {
                server: 1,
                session: 1,
                instance,
            },
            kind: kind("aimm/state"),
            timestamp: Timestamp { s: 1, us: 2 },
            source_timestamp: None,
            payload: Some(Payload::Json("{}".into())),
        }
    }

    fn started() -> Eventer {
        let mut eventer = Eventer::new("aimm1", None, &[kind("aimm/*")], Some(1));
        let Some(Output::Open {
            request: Some(init),
            kind: INIT_REQ,
            last: false,
            ..
        }) = eventer.poll_output()
        else {
            panic!("it introduces itself first");
        };
        eventer.opened(init, ours(1));
        let mut success = Writer::default();
        success.choice(0);
        Status::Operational.write(&mut success);
        eventer.message(ours(1), INIT_RES, &success.into_bytes(), true);
        assert_eq!(
            eventer.poll_output(),
            Some(Output::Status(Status::Operational))
        );
        eventer
    }

    #[test]
    fn answers_find_their_questions_in_any_order() {
        let mut eventer = started();
        let first = eventer.query(&Query::Latest { kinds: None });
        let second = eventer.register(&[], true).unwrap();
        while eventer.poll_output().is_some() {}
        eventer.opened(first, ours(2));
        eventer.opened(second, ours(3));
        let mut failure = Writer::default();
        failure.choice(1);
        eventer.message(ours(3), REGISTER_RES, &failure.into_bytes(), true);
        let found = Found {
            events: vec![event(1)],
            more_follows: true,
        };
        eventer.message(ours(2), QUERY_RES, &found.to_bytes(), true);
        assert_eq!(
            eventer.poll_output(),
            Some(Output::Registered(second, None))
        );
        assert_eq!(eventer.poll_output(), Some(Output::Found(first, found)));
        // Once more, too late.
        eventer.message(ours(3), REGISTER_RES, &[], true);
        assert_eq!(eventer.poll_output(), None);
    }

    #[test]
    fn a_notification_is_acknowledged_after_it_was_handled() {
        let mut eventer = started();
        let bytes = vec![event(1), event(2)].to_bytes();
        eventer.message(theirs(9), EVENTS_NOTIFY, &bytes, false);
        assert!(matches!(eventer.poll_output(), Some(Output::Events(events)) if events.len() == 2));
        assert_eq!(eventer.poll_output(), None);
        eventer.handled();
        let say = Output::Say {
            conversation: theirs(9),
            kind: EVENTS_ACK,
            data: Vec::new(),
        };
        assert_eq!(eventer.poll_output(), Some(say));
        eventer.message(theirs(10), EVENTS_NOTIFY, &bytes, true);
        let _ = eventer.poll_output();
        eventer.handled();
        assert_eq!(eventer.poll_output(), None, "none was wanted");
    }

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let mut eventer = Eventer::new("aimm1", None, &[], None);
        let Some(Output::Open {
            request: Some(init),
            ..
        }) = eventer.poll_output()
        else {
            panic!()
        };
        eventer.opened(init, ours(1));
        let mut error = Writer::default();
        error.choice(1);
        error.text("invalid client token");
        eventer.message(ours(1), INIT_RES, &error.into_bytes(), true);
        assert_eq!(
            eventer.poll_output(),
            Some(Output::Refused("invalid client token".into()))
        );
    }

    #[test]
    fn nonsense_closes_the_connection() {
        for (kind, data) in [
            (STATUS_NOTIFY, vec![0x84]),
            ("HatSyncer.MsgX", vec![]),
            (EVENTS_NOTIFY, vec![0x81]),
        ] {
            let mut eventer = started();
            eventer.message(theirs(1), kind, &data, true);
            assert!(
                matches!(eventer.poll_output(), Some(Output::Close(_))),
                "{kind}"
            );
        }
    }
}
