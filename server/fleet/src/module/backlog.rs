//! Calls that wait for a module: few in memory, the rest on disk, always in order.

use std::{collections::VecDeque, path::PathBuf};

use super::spool::Spool;
use crate::wire::host::request::What;

/// Calls kept in memory. Reasoning: a healthy module answers within milliseconds; ten statuses a second for six
/// seconds.
const MEMORY_MAX: usize = 64;

/// The calls of one car for one module.
pub(crate) struct Backlog {
    memory: VecDeque<What>,
    spool: Option<Spool>,
    path: PathBuf,
    per_device: usize,
    /// Calls that were given up.
    pub(crate) lost: u64,
}

impl Backlog {
    /// Opens the spool only when there is or was an outage.
    pub(crate) fn new(path: PathBuf, per_device: usize) -> Self {
        let mut backlog = Self {
            memory: VecDeque::new(),
            spool: None,
            path,
            per_device,
            lost: 0,
        };
        if backlog.path.exists() {
            backlog.open();
        }
        backlog
    }

    fn open(&mut self) -> Option<&mut Spool> {
        if self.spool.is_none() {
            match Spool::open(&self.path, self.per_device) {
                Ok(spool) => self.spool = Some(spool),
                Err(error) => tracing::warn!(%error, "a spool cannot be opened"),
            }
        }
        self.spool.as_mut()
    }

    pub(crate) fn push(&mut self, what: What) {
        let on_disk = self.spool.as_ref().is_some_and(|s| !s.is_empty());
        if !on_disk && self.memory.len() < MEMORY_MAX {
            self.memory.push_back(what);
            return;
        }
        match self.open().map(|spool| spool.push(&what)) {
            Some(Ok(lost)) => self.lost += lost,
            Some(Err(error)) => {
                tracing::warn!(%error, "a spool cannot be written");
                self.lost += 1;
            }
            None => self.lost += 1,
        }
    }

    pub(crate) fn pop(&mut self) -> Option<What> {
        if let Some(what) = self.memory.pop_front() {
            return Some(what);
        }
        let spool = self.spool.as_mut().filter(|s| !s.is_empty())?;
        match spool.pop() {
            Ok(what) => what,
            Err(error) => {
                tracing::warn!(%error, "a spool cannot be read");
                self.lost += spool.len() as u64;
                self.spool = None;
                let _ = std::fs::remove_file(&self.path);
                None
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.memory.len() + self.spool.as_ref().map_or(0, Spool::len)
    }

    /// Puts all of it on disk for the next process. `first` was taken out and not done.
    pub(crate) fn keep(&mut self, first: Option<What>) {
        let memory: Vec<What> = first.into_iter().chain(self.memory.drain(..)).collect();
        let mut rest = Vec::new();
        while let Some(what) = self.pop() {
            rest.push(what);
        }
        for what in memory.into_iter().chain(rest) {
            if let Some(Ok(lost)) = self.open().map(|spool| spool.push(&what)) {
                self.lost += lost;
            }
        }
    }
}
