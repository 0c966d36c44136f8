//! Errands of one bus, one at a time: between the queue of people and the master.

use crate::errand::{Errand, ErrandError, Errands, Job, Next};
use leitstand_core::modbus::master::{DeviceIndex, Failure, Input, Write};
use std::time::Instant;
use tokio::sync::oneshot;

/// The errand under way, if any.
pub(super) struct Jobs {
    errands: Errands,
    devices: usize,
    now: Option<Running>,
    /// Names the write under way, so that the end of an abandoned one is not taken for it.
    token: u32,
}

struct Running {
    device: DeviceIndex,
    job: Job,
    reply: oneshot::Sender<Result<(), ErrandError>>,
}

impl Jobs {
    pub(super) fn new(errands: Errands, devices: usize) -> Self {
        Self {
            errands,
            devices,
            now: None,
            token: 0,
        }
    }

    /// Takes the next errand when none is under way; ends one that takes too long.
    pub(super) fn turn(&mut self) {
        let next = self.now.as_ref().map(|run| run.job.look(Instant::now()));
        if let Some(next) = next {
            self.follow(next);
            return;
        }
        let Some(Errand {
            device,
            changes,
            reply,
        }) = self.errands.take()
        else {
            return;
        };
        if device >= self.devices {
            let _ = reply.send(Err(ErrandError::NoPlace));
            return;
        }
        self.now = Some(Running {
            device: DeviceIndex(device as u8),
            job: Job::new(changes, Instant::now()),
            reply,
        });
    }

    /// Registers of a device came, from register 0.
    pub(super) fn read(
        &mut self,
        device: DeviceIndex,
        registers: &[u16],
    ) -> Option<Input<'static>> {
        let run = self.now.as_mut().filter(|run| run.device == device)?;
        let next = run.job.read(registers);
        self.follow(next)
    }

    /// A write ended.
    pub(super) fn written(
        &mut self,
        token: u32,
        result: Result<(), Failure>,
    ) -> Option<Input<'static>> {
        let run = self.now.as_mut().filter(|_| token == self.token)?;
        let next = run.job.written(result);
        self.follow(next)
    }

    /// The port is lost or the thread ends.
    pub(super) fn give_up(&mut self) {
        if let Some(run) = self.now.take() {
            let _ = run.reply.send(Err(run.job.silent()));
        }
        while let Some(errand) = self.errands.take() {
            let _ = errand.reply.send(Err(ErrandError::Silent { written: 0 }));
        }
    }

    fn follow(&mut self, next: Next) -> Option<Input<'static>> {
        match next {
            Next::Wait => None,
            Next::Write { register, value } => {
                self.token = self.token.wrapping_add(1);
                Some(Input::Write {
                    device: self.now.as_ref()?.device,
                    token: self.token,
                    write: Write::Register { register, value },
                })
            }
            Next::Done(result) => {
                if let Some(run) = self.now.take() {
                    // Who asked may have gone; what was written stays written and is in the log of the bus.
                    let _ = run.reply.send(result);
                }
                None
            }
        }
    }
}
