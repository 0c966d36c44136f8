//! One lock an instance: shared by pure predictions, exclusive for the rest, first come, first served.

use std::collections::{BTreeSet, VecDeque};

use super::JobId;

/// Holders and waiters of one instance.
#[derive(Debug, Default)]
pub(super) struct Lock {
    exclusive: Option<JobId>,
    shared: BTreeSet<JobId>,
    waiting: VecDeque<(JobId, bool)>,
}

impl Lock {
    /// Takes the lock or a place in the queue; who now holds it is told by [`grant`](Self::grant).
    pub(super) fn queue(&mut self, job: JobId, shared: bool) {
        self.waiting.push_back((job, shared));
    }

    /// The next waiter who may go on, now a holder. Call until `None`.
    ///
    /// Nobody overtakes: a shared waiter behind an exclusive one waits, or a stream of predictions would
    /// keep a fit out for ever.
    pub(super) fn grant(&mut self) -> Option<JobId> {
        let &(job, shared) = self.waiting.front()?;
        if self.exclusive.is_some() || (!shared && !self.shared.is_empty()) {
            return None;
        }
        self.waiting.pop_front();
        if shared {
            self.shared.insert(job);
        } else {
            self.exclusive = Some(job);
        }
        Some(job)
    }

    /// Holder or waiter, it is neither any more.
    pub(super) fn leave(&mut self, job: JobId) {
        if self.exclusive == Some(job) {
            self.exclusive = None;
        }
        self.shared.remove(&job);
        self.waiting.retain(|(waiter, _)| *waiter != job);
    }

    /// Everybody who holds it or waits.
    pub(super) fn people(&self) -> impl Iterator<Item = JobId> {
        let holders = self.exclusive.iter().chain(&self.shared).copied();
        holders.chain(self.waiting.iter().map(|(job, _)| *job))
    }
}
