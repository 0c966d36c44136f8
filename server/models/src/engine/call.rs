//! What goes into the engine and what comes out.

use std::sync::Arc;

use leitstand_core::time::{Duration, Instant};
use serde_json::{Map, Value};

use super::{State, TaskId};
use crate::{
    error::CallError,
    plugin::{Catalogue, Outcome, Work},
};

/// A caller's number for its call; it comes back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// The engine's number for what it asked the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Arguments of a call as they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments {
    /// By position.
    pub args: Vec<Value>,
    /// By name.
    pub kwargs: Map<String, Value>,
}

/// What callers can ask.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// A new instance by its plugin.
    Create {
        /// Picks the plugin.
        model_type: String,
        /// For the plugin.
        arguments: Arguments,
    },
    /// A new instance from bytes.
    Add {
        /// Its type.
        model_type: String,
        /// As a plugin would store it.
        bytes: Arc<[u8]>,
    },
    /// Other bytes for an instance; waits for its lock.
    Update {
        /// Which.
        id: u64,
        /// Must be the stored type.
        model_type: String,
        /// As a plugin would store it.
        bytes: Arc<[u8]>,
    },
    /// Trains an instance.
    Fit {
        /// Which.
        id: u64,
        /// For the plugin.
        arguments: Arguments,
    },
    /// Asks an instance.
    Predict {
        /// Which.
        id: u64,
        /// For the plugin.
        arguments: Arguments,
    },
    /// Forgets an instance; waits for its lock.
    Remove {
        /// Which.
        id: u64,
    },
    /// Ends an action.
    Cancel {
        /// Which.
        action: u64,
    },
    /// Ends the action that another call of the same caller began.
    CancelCall(CallId),
}

/// What a call gives back.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A model as it is now.
    Model {
        /// Its number.
        id: u64,
        /// Its type.
        model_type: String,
        /// Its bytes.
        bytes: Arc<[u8]>,
    },
    /// A prediction.
    Value(Value),
    /// Whether it took effect.
    Took(bool),
}

/// A model as a backend gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its number.
    pub id: u64,
    /// Its type.
    pub model_type: String,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// What can happen to the engine.
#[derive(Debug)]
pub enum Input {
    /// Somebody asks.
    Call {
        /// Comes back with the answer.
        id: CallId,
        /// Who.
        user: String,
        /// What.
        request: Request,
    },
    /// A plugin says how far it is.
    Progress(TaskId, Value),
    /// A plugin call is over, and nothing of it runs any more.
    Ended(TaskId, Result<Outcome, CallError>),
    /// The backend did (a create: with the number) or did not.
    Stored(Ticket, Result<u64, String>),
    /// Somebody else changed the backend; `None`: removed.
    Outside {
        /// Which.
        id: u64,
        /// What it is now.
        model: Option<(String, Arc<[u8]>)>,
    },
    /// These plugins exist now.
    Plugins(Catalogue),
}

/// What the engine asks its owner to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Run a plugin; answer with `Ended`, always.
    Run(TaskId, Work),
    /// End a running plugin call; answer with `Ended` when it is gone.
    Stop(TaskId),
    /// Store; answer with `Stored`, always.
    Store(Ticket, Store),
    /// The end of a call, exactly one each.
    Answer(CallId, Result<Answer, CallError>),
    /// The new document.
    Publish(Arc<State>),
}

/// What the backend is asked to keep.
#[derive(Clone, Debug, PartialEq)]
pub enum Store {
    /// A new model.
    Create {
        /// Its type.
        model_type: String,
        /// Its bytes.
        bytes: Arc<[u8]>,
        /// Who.
        user: String,
    },
    /// New bytes of a model.
    Update {
        /// Which.
        id: u64,
        /// Its type.
        model_type: String,
        /// Its bytes.
        bytes: Arc<[u8]>,
        /// Who.
        user: String,
    },
    /// No such model any more.
    Remove {
        /// Which.
        id: u64,
    },
}

/// Bounds of the engine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Plugin calls at a time.
    pub slots: usize,
    /// Actions that wait; one more is refused.
    pub queue: usize,
    /// Finished actions in the document.
    pub keep: usize,
    /// Longest run of an action, from its first plugin call; `None`: no limit.
    pub timeout: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            slots: 4,
            queue: 256,
            keep: 200,
            timeout: None,
        }
    }
}

/// The shell's word for "now" in the document.
pub(super) fn stamp(unix_ms_at_zero: i64, now: Instant) -> String {
    let ms = unix_ms_at_zero.saturating_add(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    crate::stamp::rfc3339(ms)
}
