//! Questions to an event server.
//!
//! | Type | SBS |
//! |---|---|
//! | Query | Choice latest, timeseries, server |
//! | latest | eventTypes Opt Array(EventType) |
//! | timeseries | eventTypes Opt; tFrom, tTo, sourceTFrom, sourceTTo Opt Timestamp; order Choice descending/ascending; orderBy Choice timestamp/sourceTimestamp; maxResults Opt Integer; lastEventId Opt EventId |
//! | server | serverId Integer, persisted Boolean, maxResults Opt Integer, lastEventId Opt EventId |
//! | answer | events Array(Event), moreFollows Boolean |

use super::event::{Event, EventId, EventType, Timestamp};
use crate::hat::sbs::{Reader, Sbs, SbsError, Writer};

/// A question to the event server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The newest event of each kind.
    Latest {
        /// Patterns; none = all.
        kinds: Option<Vec<EventType>>,
    },
    /// Events in a span of time.
    Timeseries(Timeseries),
    /// Events of one server, from one on.
    Server {
        /// Its id.
        server_id: i64,
        /// Only those on its disk.
        persisted: bool,
        /// At most so many.
        max_results: Option<i64>,
        /// Behind this one.
        last_event_id: Option<EventId>,
    },
}

/// See [`Query::Timeseries`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeseries {
    /// Patterns; none = all.
    pub kinds: Option<Vec<EventType>>,
    /// From, by the server's time.
    pub from: Option<Timestamp>,
    /// To, by the server's time.
    pub to: Option<Timestamp>,
    /// From, by the source's time.
    pub source_from: Option<Timestamp>,
    /// To, by the source's time.
    pub source_to: Option<Timestamp>,
    /// Oldest first.
    pub ascending: bool,
    /// Ordered by the source's time instead of the server's.
    pub by_source: bool,
    /// At most so many.
    pub max_results: Option<i64>,
    /// Behind this one.
    pub last_event_id: Option<EventId>,
}

impl Sbs for Query {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(match from.choice(3)? {
            0 => Self::Latest {
                kinds: from.optional()?,
            },
            1 => Self::Timeseries(Timeseries::read(from)?),
            _ => Self::Server {
                server_id: from.integer()?,
                persisted: from.boolean()?,
                max_results: from.optional()?,
                last_event_id: from.optional()?,
            },
        })
    }

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Latest { kinds } => {
                to.choice(0);
                to.optional(kinds.as_ref());
            }
            Self::Timeseries(series) => {
                to.choice(1);
                series.write(to);
            }
            Self::Server {
                server_id,
                persisted,
                max_results,
                last_event_id,
            } => {
                to.choice(2);
                to.integer(*server_id);
                to.boolean(*persisted);
                to.optional(max_results.as_ref());
                to.optional(last_event_id.as_ref());
            }
        }
    }
}

impl Sbs for Timeseries {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(Self {
            kinds: from.optional()?,
            from: from.optional()?,
            to: from.optional()?,
            source_from: from.optional()?,
            source_to: from.optional()?,
            ascending: from.choice(2)? == 1,
            by_source: from.choice(2)? == 1,
            max_results: from.optional()?,
            last_event_id: from.optional()?,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.optional(self.kinds.as_ref());
        for time in [&self.from, &self.to, &self.source_from, &self.source_to] {
            to.optional(time.as_ref());
        }
        to.choice(u8::from(self.ascending));
        to.choice(u8::from(self.by_source));
        to.optional(self.max_results.as_ref());
        to.optional(self.last_event_id.as_ref());
    }
}

/// Answer to a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In the order asked for.
    pub events: Vec<Event>,
    /// The limit cut it off; ask again behind the last one.
    pub more_follows: bool,
}

impl Sbs for Found {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(Self {
            events: from.array()?,
            more_follows: from.boolean()?,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.array(&self.events);
        to.boolean(self.more_follows);
    }
}
