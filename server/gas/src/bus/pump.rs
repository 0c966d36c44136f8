//! Moves bytes between a master and a port, in real time.

use leitstand_core::hal::{PortError, SerialPort};
use leitstand_core::machine::Machine;
use leitstand_core::modbus::master::{Input, Master, Output};
use leitstand_core::time;
use std::time::{Duration, Instant};

/// Real milliseconds since it was made. The line lives in real time even where the site's clock is scaled.
pub(crate) struct Pump {
    start: Instant,
}

impl Pump {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> time::Instant {
        time::Instant::from_millis(self.start.elapsed().as_millis() as u64)
    }

    /// The next output that is not about bytes; carries out those that are.
    pub(crate) fn next(
        &self,
        master: &mut Master,
        port: &mut dyn SerialPort,
    ) -> Result<Option<Output>, PortError> {
        let mut dropped = 0;
        loop {
            match master.poll_output() {
                Some(Output::DiscardInput) => dropped += port.discard_input()?,
                Some(Output::Transmit(frame)) => port.write(&frame)?,
                Some(output) => return Ok(Some(output)),
                None if dropped > 0 => {
                    master.handle(self.now(), Input::Discarded(core::mem::take(&mut dropped)));
                }
                None => return Ok(None),
            }
        }
    }

    /// Waits for bytes or for the master's deadline, at most `longest`, and tells the master. Bytes go first,
    /// however late this thread comes: what lies in the port was there before the deadline was noticed.
    pub(crate) fn wait(
        &self,
        master: &mut Master,
        port: &mut dyn SerialPort,
        longest: Duration,
    ) -> Result<(), PortError> {
        let deadline = master.poll_timeout();
        let left = |at: time::Instant| {
            let at = Duration::from_millis(at.as_millis());
            at.saturating_sub(self.start.elapsed())
        };
        let wait = deadline.map_or(longest, |at| left(at).min(longest));
        let mut buffer = [0; 256];
        let count = port.read(&mut buffer, wait)?;
        if count > 0 {
            master.handle(self.now(), Input::Received(&buffer[..count]));
        } else if deadline.is_some_and(|at| at <= self.now()) {
            master.handle_timeout(self.now());
        }
        Ok(())
    }
}
