//! # The engine
//!
//! Owns models, actions, locks and slots, and decides what runs when. It runs nothing itself: plugin calls,
//! storing and answering are outputs.
//!
//! ```text
//! call -> queued <-> accessing_data -> (lock) queued -> (slot) executing -> storing -> complete
//!            \------------\------------------\---------------\------------> failed | cancelled
//! ```
//!
//! ## Rules
//! - References are fetched before the lock; the instance is read under it; the lock is held until the new
//!   instance is stored and published. So a fit never trains on bytes that somebody replaced meanwhile.
//! - A slot is held by plugin calls that really run, stopped ones too until they are gone. Nobody waits
//!   while holding one, so slots cannot deadlock.
//! - The instance of a failed, cancelled or not stored action is what it was before.
//! - Every call gets one answer, every action one terminal state.
//!
//! Longer than 800 lines because the transitions of one machine are read together; its parts have files of their own.

mod call;
mod job;
mod lock;
mod reference;
#[cfg(test)]
mod sim;
mod state;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use leitstand_core::{
    machine::Machine,
    time::{Duration, Instant},
};
use serde_json::Value;

pub use self::{
    call::{Answer, Arguments, CallId, Input, Limits, Output, Request, Store, Stored, Ticket},
    reference::{DEPTH_MAX, REFERENCES_MAX},
    state::{ActionState, ErrorState, Meta, ModelState, Phase, State, TEXT_CHARS_MAX},
};
use self::{
    job::{Goal, Job, Stage},
    lock::Lock,
};
use crate::{
    error::{CallError, Kind},
    plugin::{Catalogue, Instance, Outcome, Role, Work},
};

/// A call inside the engine.
pub(crate) type JobId = u64;
/// Progress values of one action that are published in [`PROGRESS_WINDOW`]. Phases are always published.
const PROGRESS_MAX: u32 = 10;
const PROGRESS_WINDOW: Duration = Duration::from_secs(1);

/// The engine's number for a plugin call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId(pub u64);

/// A model and who uses it.
#[derive(Debug)]
struct Model {
    model_type: String,
    version: u64,
    bytes: Arc<[u8]>,
    lock: Lock,
}

/// Which part of a job a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Reference(usize),
    Main,
}

/// The engine. A [`Machine`].
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
    unix_ms_at_zero: i64,
    catalogue: Catalogue,
    models: BTreeMap<u64, Model>,
    /// Locks of models that are gone and whose last holders or waiters are on their way out need no entry:
    /// removal fails all of them at once.
    jobs: BTreeMap<JobId, Job>,
    calls: BTreeMap<CallId, JobId>,
    actions: BTreeMap<u64, JobId>,
    finished: VecDeque<u64>,
    tasks: BTreeMap<TaskId, Option<(JobId, Part)>>,
    tickets: BTreeMap<Ticket, JobId>,
    slot_queue: VecDeque<(JobId, Part)>,
    state: State,
    out: VecDeque<Output>,
    next_job: u64,
    next_action: u64,
    next_task: u64,
    next_ticket: u64,
}

impl Engine {
    /// An engine with what the backend holds. `unix_ms_at_zero`: Unix time of the monotonic zero, for stamps.
    #[must_use]
    pub fn new(
        limits: Limits,
        unix_ms_at_zero: i64,
        models: Vec<Stored>,
        catalogue: Catalogue,
    ) -> Self {
        let mut engine = Self {
            limits,
            unix_ms_at_zero,
            catalogue,
            models: BTreeMap::new(),
            jobs: BTreeMap::new(),
            calls: BTreeMap::new(),
            actions: BTreeMap::new(),
            finished: VecDeque::new(),
            tasks: BTreeMap::new(),
            tickets: BTreeMap::new(),
            slot_queue: VecDeque::new(),
            state: State::default(),
            out: VecDeque::new(),
            next_job: 1,
            next_action: 1,
            next_task: 1,
            next_ticket: 1,
        };
        for Stored {
            id,
            model_type,
            bytes,
        } in models
        {
            engine.models.insert(
                id,
                Model {
                    model_type,
                    version: 1,
                    bytes,
                    lock: Lock::default(),
                },
            );
            engine.show_model(id);
        }
        engine
    }

    /// The document as it is.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// A model's type and bytes.
    #[must_use]
    pub fn model(&self, id: u64) -> Option<(&str, &Arc<[u8]>)> {
        self.models
            .get(&id)
            .map(|model| (model.model_type.as_str(), &model.bytes))
    }

    fn publish(&mut self) {
        self.out
            .push_back(Output::Publish(Arc::new(self.state.clone())));
    }

    fn show_model(&mut self, id: u64) {
        let Some(model) = self.models.get(&id) else {
            self.state.models.remove(&id);
            return;
        };
        let shown = ModelState {
            instance_id: id,
            model_type: model.model_type.clone(),
            version: model.version,
            bytes: model.bytes.len(),
            available: self.catalogue.knows(&model.model_type),
        };
        self.state.models.insert(id, Arc::new(shown));
    }

    /// Changes a job's entry in the document, if it has one, and publishes.
    fn show(&mut self, job: JobId, change: impl FnOnce(&mut ActionState)) {
        if let Some(action) = self.jobs.get(&job).and_then(|job| job.action)
            && let Some(shown) = self.state.actions.get_mut(&action)
        {
            change(Arc::make_mut(shown));
            self.publish();
        }
    }

    fn phase(&mut self, job: JobId, phase: Phase) {
        let action = self.jobs.get(&job).and_then(|job| job.action);
        let shown = action.and_then(|action| self.state.actions.get(&action));
        if shown.is_some_and(|shown| shown.progress != phase) {
            self.show(job, |shown| shown.progress = phase);
        }
    }

    // --- a call comes in ---------------------------------------------------------------------------

    fn call(&mut self, now: Instant, call: CallId, user: String, request: Request) {
        match request {
            Request::Cancel { action } => {
                let took = self
                    .actions
                    .get(&action)
                    .copied()
                    .is_some_and(|job| self.cancel(now, job));
                self.out
                    .push_back(Output::Answer(call, Ok(Answer::Took(took))));
            }
            Request::CancelCall(other) => {
                let took = self
                    .calls
                    .get(&other)
                    .copied()
                    .is_some_and(|job| self.cancel(now, job));
                self.out
                    .push_back(Output::Answer(call, Ok(Answer::Took(took))));
            }
            request => {
                if let Err(error) = self.admit(now, call, user, request) {
                    self.out.push_back(Output::Answer(call, Err(error)));
                }
            }
        }
    }

    /// Makes a job of a request. What fails here never becomes an action, except that a missing plugin for a
    /// create does: the original's clients look for it in the state.
    fn admit(
        &mut self,
        now: Instant,
        call: CallId,
        user: String,
        request: Request,
    ) -> Result<(), CallError> {
        let waiting = self.jobs.values().filter(|job| job.waits()).count();
        if waiting >= self.limits.queue {
            return Err(CallError::new(
                Kind::Busy,
                format!("{waiting} actions are waiting"),
            ));
        }
        let (goal, arguments) = self.goal(request)?;
        let references = reference::find(&arguments.args, &arguments.kwargs);
        let id = self.next_job;
        self.next_job += 1;
        let action = goal.is_action().then(|| {
            self.next_action += 1;
            self.next_action - 1
        });
        if let Some(action) = action {
            let shown = ActionState {
                meta: goal.meta(&arguments),
                progress: Phase::Queued,
                data_access: BTreeMap::new(),
                action: None,
                error: None,
                user: user.clone(),
                queued_at: call::stamp(self.unix_ms_at_zero, now),
                started_at: None,
                ended_at: None,
                attempt: 1,
            };
            self.state.actions.insert(action, Arc::new(shown));
            self.actions.insert(action, id);
        }
        let job = Job::new(call, user, action, goal, arguments);
        self.calls.insert(call, id);
        self.jobs.insert(id, job);
        match references.and_then(|found| self.check_plugins(id, &found).map(|()| found)) {
            Err(error) => self.finish(now, id, Err(error)),
            Ok(found) if found.is_empty() => self.lock(now, id),
            Ok(found) => {
                let ready: Vec<_> = (0..found.len()).filter(|i| found[*i].open == 0).collect();
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.open = found.len();
                    job.references = found;
                    job.stage = Stage::Resolving;
                }
                self.slot_queue
                    .extend(ready.into_iter().map(|i| (id, Part::Reference(i))));
                self.fill_slots(now);
                if self.jobs.get(&id).is_some_and(Job::waits) {
                    self.publish(); // as queued, since it did not start at once
                }
            }
        }
        Ok(())
    }

    fn goal(&self, request: Request) -> Result<(Goal, Arguments), CallError> {
        let stored = |id: u64| {
            self.models
                .get(&id)
                .ok_or_else(|| CallError::no_instance(id))
        };
        let none = Arguments::default();
        Ok(match request {
            Request::Create {
                model_type,
                arguments,
            } => (Goal::Create { model_type }, arguments),
            Request::Add { model_type, bytes } => (Goal::Add { model_type, bytes }, none),
            Request::Update {
                id,
                model_type,
                bytes,
            } => {
                let known = &stored(id)?.model_type;
                if *known != model_type {
                    return Err(CallError::bad(format!(
                        "instance {id} is a {known}, not a {model_type}"
                    )));
                }
                (
                    Goal::Update {
                        id,
                        model_type,
                        bytes,
                    },
                    none,
                )
            }
            Request::Fit { id, arguments } => stored(id).map(|_| (Goal::Fit { id }, arguments))?,
            Request::Predict { id, arguments } => {
                let model_type = &stored(id)?.model_type;
                let traits = self
                    .catalogue
                    .find(Role::Predict, model_type)
                    .unwrap_or_default();
                (
                    Goal::Predict {
                        id,
                        pure: traits.pure,
                    },
                    arguments,
                )
            }
            Request::Remove { id } => stored(id).map(|_| (Goal::Remove { id }, none))?,
            Request::Cancel { .. } | Request::CancelCall(_) => {
                unreachable!("answered without a job")
            }
        })
    }

    /// Fails early for plugins that do not exist, before anything runs for nothing.
    fn check_plugins(
        &self,
        job: JobId,
        references: &[reference::Reference],
    ) -> Result<(), CallError> {
        let main = self
            .jobs
            .get(&job)
            .and_then(|job| job.goal.plugin(&self.models));
        let fetches = references
            .iter()
            .map(|r| (Role::DataAccess, r.name.as_str()));
        for (role, key) in main.into_iter().chain(fetches) {
            if self.catalogue.find(role, key).is_none() {
                return Err(CallError::new(Kind::NotFound, role.missing(key)));
            }
        }
        Ok(())
    }

    // --- lock and slot -----------------------------------------------------------------------------

    fn lock(&mut self, now: Instant, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let Some(model) = job.goal.model() else {
            self.locked(now, id);
            return;
        };
        job.stage = Stage::Locking;
        let shared = job.goal.shares();
        let Some(found) = self.models.get_mut(&model) else {
            self.finish(now, id, Err(CallError::no_instance(model)));
            return;
        };
        found.lock.queue(id, shared);
        self.grant(now, model);
        if matches!(
            self.jobs.get(&id),
            Some(Job {
                stage: Stage::Locking,
                ..
            })
        ) {
            self.wait_visibly(id);
        }
    }

    /// Shows a job as queued: for the first time, or again after its references.
    fn wait_visibly(&mut self, id: JobId) {
        self.show(id, |shown| shown.progress = Phase::Queued);
    }

    fn grant(&mut self, now: Instant, model: u64) {
        while let Some(job) = self
            .models
            .get_mut(&model)
            .and_then(|model| model.lock.grant())
        {
            self.locked(now, job);
        }
    }

    /// The instance is this job's. On to a slot, or straight to the backend.
    fn locked(&mut self, now: Instant, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let user = job.user.clone();
        let store = match &job.goal {
            Goal::Create { .. } | Goal::Fit { .. } | Goal::Predict { .. } => {
                job.stage = Stage::Waiting;
                self.slot_queue.push_back((id, Part::Main));
                self.fill_slots(now);
                if matches!(
                    self.jobs.get(&id),
                    Some(Job {
                        stage: Stage::Waiting,
                        ..
                    })
                ) {
                    self.wait_visibly(id);
                }
                return;
            }
            Goal::Outside { id: model, change } => {
                let (model, change) = (*model, change.clone());
                match change {
                    Some((model_type, bytes)) => self.replace(model, model_type, bytes),
                    None => self.drop_model(now, model, id),
                }
                self.publish();
                self.finish(now, id, Ok(Answer::Took(true)));
                return;
            }
            Goal::Add { model_type, bytes } => Store::Create {
                model_type: model_type.clone(),
                bytes: bytes.clone(),
                user,
            },
            Goal::Update {
                id,
                model_type,
                bytes,
            } => Store::Update {
                id: *id,
                model_type: model_type.clone(),
                bytes: bytes.clone(),
                user,
            },
            Goal::Remove { id } => Store::Remove { id: *id },
        };
        self.store(id, store);
    }

    fn fill_slots(&mut self, now: Instant) {
        while self.tasks.len() < self.limits.slots {
            let Some((id, part)) = self.slot_queue.pop_front() else {
                return;
            };
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            let (work, phase) = match part {
                Part::Main => {
                    let Some((role, key)) = job.goal.plugin(&self.models) else {
                        let error = CallError::no_instance(job.goal.model().unwrap_or_default());
                        self.finish(now, id, Err(error));
                        continue;
                    };
                    let key = key.to_owned();
                    let model = job
                        .goal
                        .model()
                        .and_then(|m| self.models.get(&m).map(|found| (m, found)));
                    let instance = model.map(|(id, m)| Instance {
                        id,
                        version: m.version,
                        bytes: m.bytes.clone(),
                    });
                    let arguments = std::mem::take(&mut job.arguments);
                    let work = Work {
                        role,
                        key,
                        instance,
                        args: arguments.args,
                        kwargs: arguments.kwargs,
                    };
                    (work, Phase::Executing)
                }
                Part::Reference(i) => {
                    let reference = &mut job.references[i];
                    let work = Work {
                        role: Role::DataAccess,
                        key: reference.name.clone(),
                        instance: None,
                        args: std::mem::take(&mut reference.args),
                        kwargs: std::mem::take(&mut reference.kwargs),
                    };
                    (work, Phase::AccessingData)
                }
            };
            let task = TaskId(self.next_task);
            self.next_task += 1;
            job.running.push(task);
            if part == Part::Main {
                job.stage = Stage::Executing;
            }
            let first = job.started.is_none();
            let limit = self.limits.timeout;
            job.started.get_or_insert(now);
            job.deadline = job.deadline.or_else(|| limit.map(|span| now + span));
            self.tasks.insert(task, Some((id, part)));
            let started = first.then(|| call::stamp(self.unix_ms_at_zero, now));
            self.show_start(id, phase, started);
            self.out.push_back(Output::Run(task, work));
        }
    }

    fn show_start(&mut self, id: JobId, phase: Phase, started: Option<String>) {
        if started.is_none() {
            self.phase(id, phase);
            return;
        }
        self.show(id, |shown| {
            shown.progress = phase;
            shown.started_at = started;
        });
    }

    // --- a plugin speaks ---------------------------------------------------------------------------

    fn progress(&mut self, now: Instant, task: TaskId, value: Value) {
        let Some(Some((id, part))) = self.tasks.get(&task).copied() else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let Some(action) = job.action else { return };
        let key = match part {
            Part::Reference(i) => Some(job.references[i].path.clone()),
            Part::Main => None,
        };
        let Some(shown) = self.state.actions.get_mut(&action) else {
            return;
        };
        let shown = Arc::make_mut(shown);
        match key {
            Some(key) => {
                shown.data_access.insert(key, value);
            }
            None => shown.action = Some(value),
        }
        if job.pace.admit(now) {
            self.publish();
        }
    }

    fn ended(&mut self, now: Instant, task: TaskId, result: Result<Outcome, CallError>) {
        // A task of a job that ended long ago only gives its slot back.
        if let Some(Some((id, part))) = self.tasks.remove(&task)
            && let Some(job) = self.jobs.get_mut(&id)
        {
            job.running.retain(|running| *running != task);
            match (&job.stage, part, result) {
                (Stage::Stopping(error), ..) => {
                    let error = error.clone();
                    self.finish(now, id, Err(error));
                }
                (_, _, Err(error)) => self.finish(now, id, Err(error)),
                (_, Part::Reference(i), Ok(outcome)) => self.fetched(now, id, i, outcome.value),
                (_, Part::Main, Ok(outcome)) => self.executed(now, id, outcome),
            }
        }
        self.fill_slots(now);
    }

    fn fetched(&mut self, now: Instant, id: JobId, index: usize, value: Value) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.open -= 1;
        let place = job.references[index].place.clone();
        match job.references[index].parent {
            None => reference::put(
                &mut job.arguments.args,
                &mut job.arguments.kwargs,
                place,
                value,
            ),
            Some(parent) => {
                let outer = &mut job.references[parent];
                reference::put(&mut outer.args, &mut outer.kwargs, place, value);
                outer.open -= 1;
                if outer.open == 0 {
                    self.slot_queue.push_back((id, Part::Reference(parent)));
                }
            }
        }
        if job.open == 0 {
            self.lock(now, id);
        }
    }

    fn executed(&mut self, now: Instant, id: JobId, outcome: Outcome) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let user = job.user.clone();
        job.value = outcome.value;
        let model = job.goal.model();
        let store = match (&job.goal, model, outcome.instance) {
            (Goal::Create { model_type }, _, Some(bytes)) => Store::Create {
                model_type: model_type.clone(),
                bytes,
                user,
            },
            (Goal::Create { .. } | Goal::Fit { .. }, _, None) => {
                let error = CallError::new(Kind::Plugin, "the plugin gave no instance back");
                self.finish(now, id, Err(error));
                return;
            }
            (_, Some(model), Some(bytes)) => {
                let known = self.models.get(&model);
                let Some(known) = known else {
                    self.finish(now, id, Err(CallError::no_instance(model)));
                    return;
                };
                let changed = known.bytes != bytes && !job.goal.shares();
                // A fit that changed nothing is stored all the same: it makes a version with its user.
                if !changed && matches!(job.goal, Goal::Predict { .. }) {
                    let value = std::mem::take(&mut job.value);
                    self.finish(now, id, Ok(Answer::Value(value)));
                    return;
                }
                Store::Update {
                    id: model,
                    model_type: known.model_type.clone(),
                    bytes,
                    user,
                }
            }
            _ => {
                let value = std::mem::take(&mut job.value);
                self.finish(now, id, Ok(Answer::Value(value)));
                return;
            }
        };
        self.store(id, store);
    }

    // --- storing -----------------------------------------------------------------------------------

    fn store(&mut self, id: JobId, store: Store) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.insert(ticket, id);
        self.phase(id, Phase::Storing);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.stage = Stage::Storing(store.clone());
        }
        self.out.push_back(Output::Store(ticket, store));
    }

    /// Stored first, published second: nobody sees a model that a power cut could take back.
    fn stored(&mut self, now: Instant, ticket: Ticket, result: Result<u64, String>) {
        let Some(id) = self.tickets.remove(&ticket) else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let Stage::Storing(store) = job.stage.clone() else {
            return;
        };
        let value = std::mem::take(&mut job.value);
        let predicted = matches!(job.goal, Goal::Predict { .. });
        let number = match result {
            Ok(number) => number,
            Err(message) => {
                self.finish(now, id, Err(CallError::new(Kind::Storage, message)));
                return;
            }
        };
        let answer = match store {
            Store::Create {
                model_type, bytes, ..
            } => {
                self.replace(number, model_type.clone(), bytes.clone());
                Answer::Model {
                    id: number,
                    model_type,
                    bytes,
                }
            }
            Store::Update {
                id: model,
                model_type,
                bytes,
                ..
            } => {
                self.replace(model, model_type.clone(), bytes.clone());
                if predicted {
                    Answer::Value(value)
                } else {
                    Answer::Model {
                        id: model,
                        model_type,
                        bytes,
                    }
                }
            }
            Store::Remove { id: model } => {
                self.drop_model(now, model, id);
                Answer::Took(true)
            }
        };
        self.publish();
        self.finish(now, id, Ok(answer));
        self.fill_slots(now);
    }

    fn replace(&mut self, id: u64, model_type: String, bytes: Arc<[u8]>) {
        match self.models.get_mut(&id) {
            Some(model) => {
                model.version += 1;
                model.model_type = model_type;
                model.bytes = bytes;
            }
            None => {
                self.models.insert(
                    id,
                    Model {
                        model_type,
                        version: 1,
                        bytes,
                        lock: Lock::default(),
                    },
                );
            }
        }
        self.show_model(id);
    }

    /// Forgets a model; whoever waited for it learns that it is gone.
    fn drop_model(&mut self, now: Instant, model: u64, by: JobId) {
        let Some(gone) = self.models.remove(&model) else {
            return;
        };
        self.show_model(model);
        for waiter in gone.lock.people().filter(|job| *job != by) {
            self.finish(now, waiter, Err(CallError::no_instance(model)));
        }
    }

    // --- ends --------------------------------------------------------------------------------------

    /// Whether it took effect: not for what is over or being stored.
    fn cancel(&mut self, now: Instant, id: JobId) -> bool {
        self.abort(now, id, CallError::new(Kind::Cancelled, "cancelled"))
    }

    /// Ends a job before its time. A running main call ends the job when it is gone, since until then it may
    /// still use the instance; references may linger, they touch nothing.
    fn abort(&mut self, now: Instant, id: JobId, error: CallError) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else {
            return false;
        };
        match &job.stage {
            Stage::Storing(_) => false,
            Stage::Stopping(_) => true,
            Stage::Executing => {
                job.stage = Stage::Stopping(error);
                job.deadline = None;
                self.out
                    .extend(job.running.iter().map(|task| Output::Stop(*task)));
                true
            }
            Stage::Resolving | Stage::Locking | Stage::Waiting => {
                self.finish(now, id, Err(error));
                self.fill_slots(now);
                true
            }
        }
    }

    fn finish(&mut self, now: Instant, id: JobId, result: Result<Answer, CallError>) {
        let Some(mut job) = self.jobs.remove(&id) else {
            return;
        };
        self.calls.remove(&job.call);
        self.slot_queue.retain(|(waiter, _)| *waiter != id);
        for task in job.running.drain(..) {
            self.tasks.insert(task, None);
            self.out.push_back(Output::Stop(task));
        }
        if let Some(action) = job.action {
            self.actions.remove(&action);
            if let Some(shown) = self.state.actions.get_mut(&action) {
                let shown = Arc::make_mut(shown);
                shown.ended_at = Some(call::stamp(self.unix_ms_at_zero, now));
                shown.progress = match &result {
                    Ok(_) => Phase::Complete,
                    Err(error) if error.kind == Kind::Cancelled => Phase::Cancelled,
                    Err(error) => {
                        shown.error = Some(error.into());
                        Phase::Failed
                    }
                };
            }
            self.publish();
            self.finished.push_back(action);
            while self.finished.len() > self.limits.keep {
                if let Some(oldest) = self.finished.pop_front() {
                    self.state.actions.remove(&oldest);
                }
            }
        }
        if !matches!(job.goal, Goal::Outside { .. }) {
            self.out.push_back(Output::Answer(job.call, result));
        }
        if let Some(model) = job.goal.model() {
            if let Some(found) = self.models.get_mut(&model) {
                found.lock.leave(id);
            }
            self.grant(now, model);
        }
    }
}

impl Machine for Engine {
    type Input<'a> = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Call { id, user, request } => self.call(now, id, user, request),
            Input::Progress(task, value) => self.progress(now, task, value),
            Input::Ended(task, result) => self.ended(now, task, result),
            Input::Stored(ticket, result) => self.stored(now, ticket, result),
            Input::Outside {
                id: model,
                model: change,
            } => {
                let id = self.next_job;
                self.next_job += 1;
                let goal = Goal::Outside { id: model, change };
                let call = CallId(u64::MAX); // nobody asked, nobody is answered
                self.jobs.insert(
                    id,
                    Job::new(call, String::new(), None, goal, Arguments::default()),
                );
                if self.models.contains_key(&model) {
                    self.lock(now, id);
                } else {
                    self.locked(now, id);
                }
            }
            Input::Plugins(catalogue) => {
                self.catalogue = catalogue;
                let ids: Vec<_> = self.models.keys().copied().collect();
                for id in ids {
                    self.show_model(id);
                }
                self.publish();
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let late =
            |job: &&JobId, of: &BTreeMap<JobId, Job>| of[*job].deadline.is_some_and(|at| at <= now);
        let over: Vec<_> = self
            .jobs
            .keys()
            .filter(|id| late(id, &self.jobs))
            .copied()
            .collect();
        for id in over {
            let seconds = self.limits.timeout.unwrap_or_default().as_secs_f64();
            self.abort(
                now,
                id,
                CallError::new(Kind::Timeout, format!("not complete within {seconds} s")),
            );
        }
        let mut due = false;
        for job in self.jobs.values_mut() {
            due |= job.pace.due(now);
        }
        if due {
            self.publish();
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        // A deadline during storing has no effect and would only spin the loop.
        let deadline = |job: &Job| {
            job.deadline
                .filter(|_| !matches!(job.stage, Stage::Storing(_)))
        };
        let jobs = self.jobs.values();
        jobs.flat_map(|job| [deadline(job), job.pace.due_at()])
            .flatten()
            .min()
    }
}
