//! Why a call failed: a kind that programs act on and a text for people.

use std::fmt;

/// What went wrong, by what the caller can do about it. The names stand in states, events and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// No such model, version, plugin or action.
    NotFound,
    /// The call itself is malformed: repeat it otherwise.
    BadArgument,
    /// A result holds NaN or an infinity, which JSON cannot say.
    NonFinite,
    /// The queue is full: repeat it later.
    Busy,
    /// The plugin raised an error.
    Plugin,
    /// The caller, or another one, asked for the end.
    Cancelled,
    /// `action_timeout_s` is over.
    Timeout,
    /// The process that ran the plugin ended; the next call gets a new one.
    WorkerLost,
    /// The backend did not store; the model is what it was.
    Storage,
    /// The model's plugin is missing, so only its bytes are kept.
    Unavailable,
    /// The model's method cannot do that.
    Unsupported,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::NotFound,
        Self::BadArgument,
        Self::NonFinite,
        Self::Busy,
        Self::Plugin,
        Self::Cancelled,
        Self::Timeout,
        Self::WorkerLost,
        Self::Storage,
        Self::Unavailable,
        Self::Unsupported,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::BadArgument => "bad_argument",
            Self::NonFinite => "non_finite",
            Self::Busy => "busy",
            Self::Plugin => "plugin",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::WorkerLost => "worker_lost",
            Self::Storage => "storage",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
        }
    }
}

/// A failed call. The text is what the Python client raises, so texts of the original are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// What to do about it.
    pub kind: Kind,
    /// What happened.
    pub message: String,
}

impl CallError {
    /// An error of `kind`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(Kind::BadArgument, message)
    }

    pub(crate) fn no_instance(id: u64) -> Self {
        Self::new(Kind::NotFound, format!("instance {id} not found"))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CallError {}
