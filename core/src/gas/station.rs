//! One step of the whole site: inputs to output images and events.
//!
//! Owner's loop: `step` (or [`Machine::handle`]) for every input, [`Machine::poll_output`] to the end, and
//! `step(now, Input::Tick)` (or [`Machine::handle_timeout`]) at [`Machine::poll_timeout`]. At one instant feed
//! the inputs first, the tick last: `step` with an input runs only the deadlines **before** `now`.

use super::alarm::AlarmState;
use super::command::{AlarmKey, Input, Refusal};
use super::event::Event;
use super::index::{BoardIndex, CellIndex, OutputIndex, SetPointIndex, ZoneIndex};
use super::memory::{Memory, MemoryError};
use super::plan::Plan;
use super::status::{
    AlarmStatus, Average, CellStatus, OutputStatus, SetPointStatus, SiteStatus, ZoneStatus,
};
use crate::machine::Machine;
use crate::power::{PowerStatus, RuntimeStatus};
use crate::time::{Duration, Instant};

/// Everything of a site that decides. No allocation, no clock, no IO.
#[derive(Debug)]
pub struct Station<
    const C: usize,
    const Z: usize,
    const S: usize,
    const O: usize,
    const B: usize,
    const N: usize,
> {
    plan: Plan<C, Z, S, O, B>,
}

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize, const N: usize>
    Station<C, Z, S, O, B, N>
{
    /// A station that starts at `now`: power-on is its t = 0. The plan must be free of
    /// [mistakes](Plan::check). Follow with [`load`](Self::load) where something was saved.
    #[must_use]
    pub fn new(plan: &Plan<C, Z, S, O, B>, now: Instant) -> Self {
        let _ = now;
        Self { plan: plan.clone() }
    }

    /// The plan it runs.
    #[must_use]
    pub fn plan(&self) -> &Plan<C, Z, S, O, B> {
        &self.plan
    }

    /// The instant of the last step.
    #[must_use]
    pub fn now(&self) -> Instant {
        todo!()
    }

    /// One input at `now`; deadlines before `now` are run first, each at its own instant, deadlines at `now`
    /// only by [`Input::Tick`]. Drain [`Machine::poll_output`] after it.
    ///
    /// # Errors
    /// A refused command; nothing changed. The shell answers 409 with [`Refusal::code`].
    pub fn step(&mut self, now: Instant, input: Input) -> Result<(), Refusal> {
        let _ = (now, input);
        todo!()
    }

    /// A cell, as of the last step.
    ///
    /// # Panics
    /// Like all getters, when the index is not in the plan.
    #[must_use]
    pub fn cell(&self, cell: CellIndex) -> CellStatus {
        let _ = cell;
        todo!()
    }

    /// The average of a cell over `window_s`; `None` when it is not one of [`Plan::windows`].
    #[must_use]
    pub fn average(&self, cell: CellIndex, window_s: u16) -> Option<Average> {
        let _ = (cell, window_s);
        todo!()
    }

    /// A set point.
    #[must_use]
    pub fn set_point(&self, set_point: SetPointIndex) -> SetPointStatus {
        let _ = set_point;
        todo!()
    }

    /// An alarm of whatever kind; `None` for an index that is not in the plan.
    #[must_use]
    pub fn alarm(&self, key: AlarmKey) -> Option<AlarmStatus> {
        let _ = key;
        todo!()
    }

    /// Keys of all alarms, set points first, then cells, buses, outputs, power.
    pub fn alarm_keys(&self) -> impl Iterator<Item = AlarmKey> + '_ {
        core::iter::empty()
    }

    /// A zone.
    #[must_use]
    pub fn zone(&self, zone: ZoneIndex) -> ZoneStatus {
        let _ = zone;
        todo!()
    }

    /// An output.
    #[must_use]
    pub fn output(&self, output: OutputIndex) -> OutputStatus {
        let _ = output;
        todo!()
    }

    /// The site at a glance: level, health, special states, healthy signal, horn, counts.
    #[must_use]
    pub fn site(&self) -> SiteStatus {
        todo!()
    }

    /// Mains and battery.
    #[must_use]
    pub fn power(&self) -> PowerStatus {
        todo!()
    }

    /// Operating time and intervals.
    #[must_use]
    pub fn runtime(&self) -> RuntimeStatus {
        todo!()
    }

    /// What to shift into, or write to, a board: output n (from 1) is bit n - 1, 1 = energised.
    /// `lit` is the phase of flashing lamps: half a second `true`, half a second `false`.
    #[must_use]
    pub fn image(&self, board: BoardIndex, lit: bool) -> u64 {
        let _ = (board, lit);
        todo!()
    }

    /// What survives a restart, without the averages' buckets.
    #[must_use]
    pub fn memory(&self) -> Memory<C, S, O, B> {
        todo!()
    }

    /// Writes version, memory and the last 15 minutes of buckets into `buffer`; returns the length.
    /// At most [`SAVE_BYTES_MAX`](super::memory::SAVE_BYTES_MAX). The shell adds CRC and generation.
    ///
    /// # Errors
    /// [`MemoryError::NoSpace`].
    pub fn save(&self, buffer: &mut [u8]) -> Result<usize, MemoryError> {
        let _ = buffer;
        todo!()
    }

    /// Takes over what [`save`](Self::save) wrote. Call once, right after [`new`](Self::new); it counts a boot
    /// whether or not anything was saved (then do not call it; a first start has `boot_count` 1).
    ///
    /// `off_for` is how long the station did not run, as far as the shell knows (boot clock, or a synchronised wall
    /// clock); `None` = unknown: then averages start anew, since no reading is made up.
    /// Contributions and alarms are restored frozen: an alarm ends only when its cells are seen again.
    ///
    /// # Errors
    /// Nothing was changed; the shell tries the previous generation.
    pub fn load(&mut self, bytes: &[u8], off_for: Option<Duration>) -> Result<(), MemoryError> {
        let _ = (bytes, off_for);
        todo!()
    }

    /// Re-applies a journal entry that is newer than the saved form: sets the state of one alarm, without an
    /// event. A state that says "active" freezes the contribution of all its cells until they are seen again.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] when there is no such alarm.
    pub fn restore_alarm(&mut self, key: AlarmKey, state: AlarmState) -> Result<(), Refusal> {
        let _ = (key, state);
        todo!()
    }
}

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize, const N: usize>
    Machine for Station<C, Z, S, O, B, N>
{
    type Input<'a> = Input;
    type Output = Event;

    /// [`Station::step`] for owners that need no answer; a refusal is dropped.
    fn handle(&mut self, now: Instant, input: Input) {
        let _ = self.step(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        let _ = self.step(now, Input::Tick);
    }

    fn poll_output(&mut self) -> Option<Event> {
        todo!()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
}
