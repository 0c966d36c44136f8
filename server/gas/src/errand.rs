//! Registers to write in one device, on their way to the thread of its bus.
//!
//! An errand compares first (the device must hold what a person was shown), then writes one register after the
//! other with function 6, then reads everything back. The reads are those of the poll that runs anyway.

use crate::seam::DeviceKind;
use leitstand_core::gas::calibrate::RegisterChange;
use leitstand_core::modbus::master::Failure;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Longest time for one errand. Reasoning: two polls of a slow bus (5 s) and a retried write; a person waits.
pub const ERRAND_PATIENCE: Duration = Duration::from_secs(20);
/// Errands that wait on one bus. Reasoning: one person works on one sensor. Full = refused.
const ERRANDS_MAX: usize = 4;

/// What shall be written.
#[derive(Debug)]
pub struct Errand {
    /// Position among the devices of the bus.
    pub device: usize,
    /// In this order.
    pub changes: Vec<RegisterChange>,
    /// How it ended.
    pub reply: oneshot::Sender<Result<(), ErrandError>>,
}

/// Why the device does not hold what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrandError {
    /// The device holds something else than was shown; nothing was written.
    #[error("register {register} holds {found} instead of {expected}; nothing was written")]
    Changed {
        /// Which.
        register: u16,
        /// What was shown.
        expected: u16,
        /// What it holds.
        found: u16,
    },
    /// A write failed; those before it were carried out.
    #[error(
        "register {register} could not be written: {failure:?}; {written} were written before it"
    )]
    Refused {
        /// Which.
        register: u16,
        /// Why.
        failure: Failure,
        /// How many registers were written before it.
        written: usize,
    },
    /// Everything was written, and the device holds something else.
    #[error("register {register} holds {found} after {written} was written to it")]
    NotTaken {
        /// Which.
        register: u16,
        /// What was written.
        written: u16,
        /// What it holds.
        found: u16,
    },
    /// The device did not answer in time, or the port is closed.
    #[error("the device does not answer; {written} registers were written")]
    Silent {
        /// How many registers were written.
        written: usize,
    },
    /// Too many errands wait, or there is no such device.
    #[error("the bus takes no errand")]
    NoPlace,
}

/// The way to the thread of one bus. Cheap to clone.
#[derive(Clone, Default)]
pub struct Errands(Arc<Mutex<VecDeque<Errand>>>);

impl Errands {
    /// Hands an errand over; refused at once when too many wait.
    pub fn put(&self, errand: Errand) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < ERRANDS_MAX {
            waiting.push_back(errand);
        } else {
            // Who asked may have gone.
            let _ = errand.reply.send(Err(ErrandError::NoPlace));
        }
    }

    pub(crate) fn take(&self) -> Option<Errand> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

/// Whether registers of a device can be compared and written: all of them are read in one block from register 0.
pub(crate) const fn is_writable(kind: &DeviceKind) -> bool {
    matches!(kind, DeviceKind::RaGas { .. })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Comparing,
    /// The register at this position is on its way.
    Writing(usize),
    ReadingBack,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Wait,
    Write { register: u16, value: u16 },
    Done(Result<(), ErrandError>),
}

/// An errand under way. Fed with what comes from its device.
pub(crate) struct Job {
    changes: Vec<RegisterChange>,
    phase: Phase,
    until: Instant,
}

impl Job {
    pub(crate) fn new(changes: Vec<RegisterChange>, now: Instant) -> Self {
        Self {
            changes,
            phase: Phase::Comparing,
            until: now + ERRAND_PATIENCE,
        }
    }

    /// All registers of the device, as just read.
    pub(crate) fn read(&mut self, registers: &[u16]) -> Next {
        let holds = |change: &RegisterChange| {
            let found = registers.get(usize::from(change.register)).copied();
            found.unwrap_or_default()
        };
        match self.phase {
            Phase::Comparing => match self.changes.iter().find(|c| holds(c) != c.from) {
                Some(wrong) => Next::Done(Err(ErrandError::Changed {
                    register: wrong.register,
                    expected: wrong.from,
                    found: holds(wrong),
                })),
                None => self.write(0),
            },
            // A read that was under way when the write was queued.
            Phase::Writing(_) => Next::Wait,
            Phase::ReadingBack => match self.changes.iter().find(|c| holds(c) != c.to) {
                Some(wrong) => Next::Done(Err(ErrandError::NotTaken {
                    register: wrong.register,
                    written: wrong.to,
                    found: holds(wrong),
                })),
                None => Next::Done(Ok(())),
            },
        }
    }

    /// The write under way ended.
    pub(crate) fn written(&mut self, result: Result<(), Failure>) -> Next {
        let Phase::Writing(at) = self.phase else {
            return Next::Wait;
        };
        match result {
            Ok(()) => self.write(at + 1),
            Err(failure) => Next::Done(Err(ErrandError::Refused {
                register: self.changes[at].register,
                failure,
                written: at,
            })),
        }
    }

    /// Time passed.
    pub(crate) fn look(&self, now: Instant) -> Next {
        if now < self.until {
            return Next::Wait;
        }
        Next::Done(Err(self.silent()))
    }

    /// What to say when the bus is lost or stopped.
    pub(crate) fn silent(&self) -> ErrandError {
        let written = match self.phase {
            Phase::Comparing => 0,
            Phase::Writing(at) => at,
            Phase::ReadingBack => self.changes.len(),
        };
        ErrandError::Silent { written }
    }

    fn write(&mut self, at: usize) -> Next {
        match self.changes.get(at) {
            Some(change) => {
                self.phase = Phase::Writing(at);
                Next::Write {
                    register: change.register,
                    value: change.to,
                }
            }
            None => {
                self.phase = Phase::ReadingBack;
                Next::Wait
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> (Job, Vec<u16>) {
        let change = |register, from, to| RegisterChange { register, from, to };
        let mut registers = vec![0; 30];
        (registers[24], registers[26]) = (112, 0);
        let changes = vec![change(24, 112, 107), change(26, 0, 5)];
        (Job::new(changes, Instant::now()), registers)
    }

    fn write(register: u16, value: u16) -> Next {
        Next::Write { register, value }
    }

    #[test]
    fn compares_writes_in_order_and_reads_back() {
        let (mut job, mut registers) = job();
        assert_eq!(job.read(&registers), write(24, 107));
        assert_eq!(job.read(&registers), Next::Wait, "a read from before");
        assert_eq!(job.written(Ok(())), write(26, 5));
        assert_eq!(job.written(Ok(())), Next::Wait);
        (registers[24], registers[26]) = (107, 5);
        assert_eq!(job.read(&registers), Next::Done(Ok(())));
    }

    #[test]
    fn a_device_that_holds_something_else_is_left_alone() {
        let (mut job, mut registers) = job();
        registers[26] = 1;
        let error = ErrandError::Changed {
            register: 26,
            expected: 0,
            found: 1,
        };
        assert_eq!(job.read(&registers), Next::Done(Err(error)));
    }

    #[test]
    fn a_refused_write_says_what_was_done_before() {
        let (mut job, registers) = job();
        job.read(&registers);
        job.written(Ok(()));
        let error = ErrandError::Refused {
            register: 26,
            failure: Failure::Exception(2),
            written: 1,
        };
        assert_eq!(
            job.written(Err(Failure::Exception(2))),
            Next::Done(Err(error))
        );
    }

    #[test]
    fn a_device_that_forgets_is_found_out() {
        let (mut job, mut registers) = job();
        job.read(&registers);
        job.written(Ok(()));
        job.written(Ok(()));
        registers[24] = 107;
        let error = ErrandError::NotTaken {
            register: 26,
            written: 5,
            found: 0,
        };
        assert_eq!(job.read(&registers), Next::Done(Err(error)));
    }

    #[test]
    fn patience_ends() {
        let (job, _) = job();
        assert_eq!(job.look(Instant::now()), Next::Wait);
        assert_eq!(
            job.look(Instant::now() + ERRAND_PATIENCE),
            Next::Done(Err(ErrandError::Silent { written: 0 }))
        );
    }

    #[test]
    fn too_many_are_refused_at_once() {
        let errands = Errands::default();
        let put = || {
            let (reply, answer) = oneshot::channel();
            errands.put(Errand {
                device: 0,
                changes: Vec::new(),
                reply,
            });
            answer
        };
        let waiting: Vec<_> = (0..ERRANDS_MAX).map(|_| put()).collect();
        assert_eq!(put().try_recv(), Ok(Err(ErrandError::NoPlace)));
        assert_eq!(waiting.len(), ERRANDS_MAX);
    }
}
