//! One call on its way through the engine.

use std::{collections::BTreeMap, sync::Arc};

use leitstand_core::time::Instant;
use serde_json::Value;

use super::{
    Arguments, CallId, Meta, Model, PROGRESS_MAX, PROGRESS_WINDOW, Store, TaskId,
    reference::Reference, state,
};
use crate::{error::CallError, plugin::Role};

/// What a job is for.
#[derive(Clone, Debug)]
pub(super) enum Goal {
    Create {
        model_type: String,
    },
    Add {
        model_type: String,
        bytes: Arc<[u8]>,
    },
    Update {
        id: u64,
        model_type: String,
        bytes: Arc<[u8]>,
    },
    Fit {
        id: u64,
    },
    Predict {
        id: u64,
        pure: bool,
    },
    Remove {
        id: u64,
    },
    /// Somebody else changed the backend.
    Outside {
        id: u64,
        change: Option<(String, Arc<[u8]>)>,
    },
}

impl Goal {
    /// Whether people see it in the document.
    pub(super) const fn is_action(&self) -> bool {
        matches!(
            self,
            Self::Create { .. } | Self::Fit { .. } | Self::Predict { .. }
        )
    }

    /// The instance it locks.
    pub(super) const fn model(&self) -> Option<u64> {
        match self {
            Self::Create { .. } | Self::Add { .. } => None,
            Self::Update { id, .. }
            | Self::Fit { id }
            | Self::Predict { id, .. }
            | Self::Remove { id }
            | Self::Outside { id, .. } => Some(*id),
        }
    }

    /// Whether others of its kind may use the instance meanwhile.
    pub(super) const fn shares(&self) -> bool {
        matches!(self, Self::Predict { pure: true, .. })
    }

    /// Role and key of its main call; `None` without one, or when its model is gone.
    pub(super) fn plugin<'a>(
        &'a self,
        models: &'a BTreeMap<u64, Model>,
    ) -> Option<(Role, &'a str)> {
        let of = |id: &u64| models.get(id).map(|model| model.model_type.as_str());
        match self {
            Self::Create { model_type } => Some((Role::Instantiate, model_type)),
            Self::Fit { id } => of(id).map(|key| (Role::Fit, key)),
            Self::Predict { id, .. } => of(id).map(|key| (Role::Predict, key)),
            Self::Add { .. } | Self::Update { .. } | Self::Remove { .. } | Self::Outside { .. } => {
                None
            }
        }
    }

    pub(super) fn meta(&self, arguments: &Arguments) -> Meta {
        let (call, model_type) = match self {
            Self::Create { model_type } => ("create_instance", Some(model_type.clone())),
            Self::Fit { .. } => ("fit", None),
            _ => ("predict", None),
        };
        let kwargs = arguments.kwargs.iter();
        Meta {
            call,
            model_type,
            model: self.model(),
            args: arguments.args.iter().map(state::display).collect(),
            kwargs: kwargs
                .map(|(name, value)| (name.clone(), state::display(value)))
                .collect(),
        }
    }
}

/// Where a job is.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// References run or wait for a slot.
    Resolving,
    /// In the queue of its instance.
    Locking,
    /// Holds its instance, waits for a slot.
    Waiting,
    /// The main call runs.
    Executing,
    /// The main call was told to stop; then it ends with this.
    Stopping(CallError),
    /// The backend writes this.
    Storing(Store),
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) call: CallId,
    pub(super) user: String,
    pub(super) action: Option<u64>,
    pub(super) goal: Goal,
    pub(super) arguments: Arguments,
    pub(super) references: Vec<Reference>,
    /// References that are not fetched yet.
    pub(super) open: usize,
    pub(super) stage: Stage,
    pub(super) running: Vec<TaskId>,
    pub(super) started: Option<Instant>,
    pub(super) deadline: Option<Instant>,
    pub(super) pace: Pace,
    /// The prediction, while the changed instance is stored.
    pub(super) value: Value,
}

impl Job {
    pub(super) fn new(
        call: CallId,
        user: String,
        action: Option<u64>,
        goal: Goal,
        arguments: Arguments,
    ) -> Self {
        Self {
            call,
            user,
            action,
            goal,
            arguments,
            references: Vec::new(),
            open: 0,
            stage: Stage::Waiting,
            running: Vec::new(),
            started: None,
            deadline: None,
            pace: Pace::default(),
            value: Value::Null,
        }
    }

    /// Whether it counts for the queue limit.
    pub(super) fn waits(&self) -> bool {
        match self.stage {
            Stage::Resolving => self.running.is_empty(),
            Stage::Locking | Stage::Waiting => true,
            Stage::Executing | Stage::Stopping(_) | Stage::Storing(_) => false,
        }
    }
}

/// Lets [`PROGRESS_MAX`] progress values of a window through and the last of the rest when it ends.
#[derive(Debug, Default)]
pub(super) struct Pace {
    window: Option<Instant>,
    count: u32,
    held: bool,
}

impl Pace {
    /// Whether to publish at once.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        if self
            .window
            .is_none_or(|start| start + PROGRESS_WINDOW <= now)
        {
            self.window = Some(now);
            self.count = 0;
        }
        self.count += 1;
        self.held = self.count > PROGRESS_MAX;
        !self.held
    }

    /// When what was held back is to be published.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.window
            .filter(|_| self.held)
            .map(|start| start + PROGRESS_WINDOW)
    }

    /// Whether that is now; then it counts as done.
    pub(super) fn due(&mut self, now: Instant) -> bool {
        let due = self.due_at().is_some_and(|at| at <= now);
        if due {
            self.held = false;
            self.window = Some(now);
            self.count = 1;
        }
        due
    }
}
