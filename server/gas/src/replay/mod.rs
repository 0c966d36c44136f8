//! # Replay
//! Feeds recorded readings through the real station on a virtual clock and prints every transition, one line
//! each. Entry: [`replay`]. A day of 32 cells at 1 Hz takes seconds, so a site's set points can be tried out on
//! last winter's readings before they are trusted.
//!
//! Order at one instant, after "inputs go before deadlines": readings, then the operator's commands (a person
//! reacts to what is shown), then deadlines.
//!
//! Deliberately absent: fault alarms (`fault.<cell>`) as `Alarm...` lines. `CellFault` and `CellHealthy` say the
//! same, and the alarms of the transcript are those of set points.

mod print;
mod readings;
#[cfg(test)]
mod tests;

use std::io::{BufRead, Write};

use crate::site::GasSite;

use leitstand_core::gas::{Command, Input, SitePlan, SiteStation};
use leitstand_core::machine::Machine;
use leitstand_core::time::Instant;

use print::Printer;
pub use print::Style;
use readings::Readings;
pub use readings::ReadingsError;

/// Ids of what the plan knows by position.
#[derive(Clone, Debug)]
pub struct Names<'a> {
    /// Cells.
    pub cells: Vec<&'a str>,
    /// Zones.
    pub zones: Vec<&'a str>,
    /// Set points, unique within their zone only.
    pub set_points: Vec<&'a str>,
    /// Outputs.
    pub outputs: Vec<&'a str>,
}

impl<'a> From<&'a GasSite> for Names<'a> {
    fn from(site: &'a GasSite) -> Self {
        Self {
            cells: site.cells.iter().map(|cell| cell.id.as_str()).collect(),
            zones: site.zones.iter().map(|zone| zone.id.as_str()).collect(),
            set_points: site.set_points.iter().map(|s| s.id.as_str()).collect(),
            outputs: site.outputs.iter().map(|o| o.id.as_str()).collect(),
        }
    }
}

/// An operator's command at a time of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// When.
    pub at: Instant,
    /// What.
    pub command: Command,
}

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording is not what `samples/README.md` describes. Nothing after that line was fed.
    #[error(transparent)]
    Readings(#[from] ReadingsError),
    /// The transcript cannot be written, for example because its reader closed the pipe.
    #[error("writing the transcript")]
    Write(#[from] std::io::Error),
}

/// Feeds `readings` to a station of `plan` and writes its transcript to `out`, the summary last.
///
/// `commands` are injected at their time; those after the end of the recording, and deadlines after it, are
/// reached only with `until`.
///
/// # Errors
/// A line of the recording that cannot be read, by its number; or the transcript cannot be written.
pub fn replay(
    plan: &SitePlan,
    names: &Names<'_>,
    readings: impl BufRead,
    commands: &[At],
    until: Option<Instant>,
    style: Style,
    out: impl Write,
) -> Result<(), ReplayError> {
    let mut commands = commands.to_vec();
    commands.sort_by_key(|command| command.at);
    let mut readings = Readings::new(readings, &names.cells)?;
    let mut run = Run {
        station: crate::station::boxed(plan, Instant::ZERO),
        printer: Printer::new(out, style, plan, names),
        commands: commands.into_iter().peekable(),
    };
    let mut now = Instant::ZERO;
    while let Some(row) = readings.next_row()? {
        if row.at > now {
            run.finish_instant(now)?;
            run.advance_to_before(row.at)?;
            now = row.at;
        }
        run.feed(
            now,
            Input::Reading {
                cell: row.cell,
                reading: row.reading,
            },
            readings.fault_names(),
        )?;
    }
    run.finish_instant(now)?;
    if let Some(until) = until.filter(|until| *until > now) {
        run.advance_to_before(until)?;
        run.finish_instant(until)?;
        now = until;
    }
    run.printer.summary(now, &run.station)?;
    Ok(())
}

/// The station with what surrounds it.
struct Run<'a, W, C: Iterator<Item = At>> {
    station: Box<SiteStation>,
    printer: Printer<'a, W>,
    commands: std::iter::Peekable<C>,
}

impl<W: Write, C: Iterator<Item = At>> Run<'_, W, C> {
    fn feed(&mut self, now: Instant, input: Input, faults: &[String]) -> Result<(), ReplayError> {
        // Only commands are refused, and `command` handles those.
        let _ = self.station.step(now, input);
        self.drain(faults)
    }

    fn drain(&mut self, faults: &[String]) -> Result<(), ReplayError> {
        while let Some(event) = self.station.poll_output() {
            self.printer.event(&event, faults)?;
        }
        Ok(())
    }

    /// Commands and deadlines of `now` itself, after its readings.
    fn finish_instant(&mut self, now: Instant) -> Result<(), ReplayError> {
        self.run_commands_until(now)?;
        self.feed(now, Input::Tick, &[])
    }

    /// Commands and deadlines up to, but without, `end`. One deadline at a time, so that the station's event queue
    /// is drained after each however long the recording is silent.
    fn advance_to_before(&mut self, end: Instant) -> Result<(), ReplayError> {
        let Some(last) = end.as_millis().checked_sub(1).map(Instant::from_millis) else {
            return Ok(());
        };
        loop {
            let deadline = self.station.poll_timeout().filter(|at| *at <= last);
            let command = self.commands.peek().map(|c| c.at).filter(|at| *at <= last);
            let next = match (deadline, command) {
                (None, None) => return Ok(()),
                (Some(at), None) | (None, Some(at)) => at,
                (Some(a), Some(b)) => a.min(b),
            };
            self.run_commands_until(next)?;
            self.feed(next, Input::Tick, &[])?;
            // The contract of `Machine`: a deadline that was run is gone.
            debug_assert_ne!(self.station.poll_timeout(), Some(next));
        }
    }

    fn run_commands_until(&mut self, now: Instant) -> Result<(), ReplayError> {
        while let Some(At { at, command }) = self.commands.next_if(|command| command.at <= now) {
            let answer = self
                .station
                .step(at.max(self.station.now()), Input::Command(command));
            if let Err(refusal) = answer {
                self.printer.refused(at, command, refusal)?;
            }
            self.drain(&[])?;
        }
        Ok(())
    }
}
