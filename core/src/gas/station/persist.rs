//! What survives a restart: to bytes and back.

use super::{Instant, Station};
use crate::gas::alarm::{Alarm, AlarmState};
use crate::gas::command::{AlarmKey, Refusal};
use crate::gas::index::{CellIndex, CellSet};
use crate::gas::memory::{
    AlarmMemory, CellMemory, HISTORY_BUCKETS, MEMORY_VERSION, MEMORY_WITHOUT_DOSES, Memory,
    MemoryError, OutputMemory, RuntimeMemory, SetPointMemory,
};
use crate::gas::status::OverlayKind;
use crate::limits::{BUCKET_MS, DOSE_BUCKET_MS, DOSE_BUCKETS};
use crate::time::Duration;
use crate::units::PerMille;

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize, const N: usize>
    Station<C, Z, S, O, B, N>
{
    /// What survives a restart, without the averages' buckets.
    #[must_use]
    pub fn memory(&self) -> Memory<C, S, O, B> {
        let left = |until: Option<Instant>| until.map_or(0, |until| millis(until - self.now));
        let alarm = |alarm: &Alarm| AlarmMemory {
            state: alarm.state,
            silenced: alarm.silenced.is_some(),
            shelved_ms: left(alarm.shelved_until),
        };
        let set_points = self
            .alarms
            .iter()
            .zip(&self.votes)
            .take(self.plan.set_points.len());
        let cells = self
            .cells
            .iter()
            .zip(&self.cell_alarms)
            .take(self.plan.cells.len());
        let buses = self.bus_alarms.iter().take(usize::from(self.plan.buses));
        let outputs = self
            .outputs
            .iter()
            .zip(&self.output_alarms)
            .take(self.plan.outputs.len());
        Memory {
            set_points: set_points
                .map(|(state, votes)| SetPointMemory {
                    alarm: alarm(state),
                    over: votes.over,
                })
                .collect(),
            cells: cells
                .map(|(cell, state)| CellMemory {
                    alarm: alarm(state),
                    inhibited_ms: left(cell.mask.and_then(|mask| mask.until)),
                    out_of_service: cell
                        .mask
                        .is_some_and(|mask| mask.kind == OverlayKind::OutOfService),
                    commissioned: cell.commissioned,
                })
                .collect(),
            buses: buses.map(alarm).collect(),
            outputs: outputs
                .map(|(output, state)| OutputMemory {
                    alarm: alarm(state),
                    mode: output.mode,
                    mode_ms: left(output.mode_until),
                })
                .collect(),
            power: alarm(&self.power_alarm),
            runtime: RuntimeMemory {
                operating_s: self.runtime.operating_s(self.now),
                boot_count: self.runtime.boot_count,
                service_at_s: self.runtime.service_at_s,
                check_at_s: self.runtime.check_at_s,
                soc: self
                    .supply
                    .as_ref()
                    .and_then(|supply| supply.soc)
                    .map(|soc| soc.0),
                battery_test_at_s: self.battery_test_at_s,
                battery_test_failed: self
                    .supply
                    .as_ref()
                    .is_some_and(|supply| supply.test_failed),
            },
        }
    }

    /// Writes version, memory and the last 15 minutes of buckets into `buffer`; returns the length.
    /// At most [`SAVE_BYTES_MAX`](crate::gas::memory::SAVE_BYTES_MAX). The shell adds CRC and generation.
    ///
    /// # Errors
    /// [`MemoryError::NoSpace`].
    pub fn save(&self, buffer: &mut [u8]) -> Result<usize, MemoryError> {
        let mut length = write(&MEMORY_VERSION, buffer, 0)?;
        length = write(&self.memory(), buffer, length)?;
        for cell in self.cell_indices() {
            let history = &self.cells[cell.at()].history;
            // Trailing emptiness is the usual case after a start; only what holds something is written.
            let held = (0..HISTORY_BUCKETS)
                .rev()
                .find(|&age| history.bucket(self.now, age).1 > 0);
            let buckets = held.map_or(0, |oldest| oldest as u8 + 1);
            length = write(&buckets, buffer, length)?;
            for age in 0..usize::from(buckets) {
                length = write(&history.bucket(self.now, age), buffer, length)?;
            }
        }
        for cell in self.cell_indices() {
            length = self.save_dose(cell, buffer, length)?;
        }
        Ok(length)
    }

    /// Takes over what [`save`](Self::save) wrote. Call once, right after [`new`](Self::new), before the first
    /// step. Counts a boot; a first start, without a load, has `boot_count` 1.
    ///
    /// `off_for` is how long the station did not run, as far as the shell knows (boot clock, or a synchronised
    /// wall clock); `None` = unknown: then averages start anew, since no reading is made up.
    /// Contributions and alarms are restored frozen: an alarm ends only when its cells are seen again. Levels,
    /// outputs and images follow with the next step: tick once before reading them.
    ///
    /// # Errors
    /// Nothing was changed; the shell tries the previous generation.
    pub fn load(&mut self, bytes: &[u8], off_for: Option<Duration>) -> Result<(), MemoryError> {
        let (version, rest) = take::<u8>(bytes)?;
        if !(MEMORY_WITHOUT_DOSES..=MEMORY_VERSION).contains(&version) {
            return Err(MemoryError::Version(version));
        }
        let (memory, histories) = take::<Memory<C, S, O, B>>(rest)?;
        // Twice: the first pass only proves that the bytes decode to the end.
        self.read_over_time(version, histories, None)?;
        self.restore(&memory)?;
        self.read_over_time(version, histories, off_for)
    }

    fn read_over_time(
        &mut self,
        version: u8,
        bytes: &[u8],
        off_for: Option<Duration>,
    ) -> Result<(), MemoryError> {
        let mut rest = self.read_histories(bytes, off_for)?;
        if version > MEMORY_WITHOUT_DOSES {
            for cell in self.cell_indices() {
                rest = self.read_dose(cell, rest, off_for)?;
            }
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(MemoryError::Corrupt)
        }
    }

    /// The exposure over a shift: from the newest bucket to the oldest that holds something.
    fn save_dose(
        &self,
        cell: CellIndex,
        buffer: &mut [u8],
        mut length: usize,
    ) -> Result<usize, MemoryError> {
        let dose = &self.cells[cell.at()].history.dose;
        let now_ms = self.now.as_millis();
        let held = (0..DOSE_BUCKETS)
            .rev()
            .find(|&age| dose.bucket(now_ms, age).1 > 0);
        let buckets = held.map_or(0, |oldest| oldest as u8 + 1);
        length = write(&buckets, buffer, length)?;
        for age in 0..usize::from(buckets) {
            length = write(&dose.bucket(now_ms, age), buffer, length)?;
        }
        Ok(length)
    }

    /// After a pause of unknown length exposure starts anew, like averages.
    fn read_dose<'a>(
        &mut self,
        cell: CellIndex,
        bytes: &'a [u8],
        off_for: Option<Duration>,
    ) -> Result<&'a [u8], MemoryError> {
        let (buckets, mut bytes) = take::<u8>(bytes)?;
        let shift = off_for.map(|span| (millis(span) / DOSE_BUCKET_MS) as usize);
        for age in 0..usize::from(buckets) {
            let (bucket, rest) = take::<(i64, u32)>(bytes)?;
            bytes = rest;
            if let Some(shift) = shift {
                let dose = &mut self.cells[cell.at()].history.dose;
                dose.restore(self.now.as_millis(), age.saturating_add(shift), bucket);
            }
        }
        Ok(bytes)
    }

    fn read_histories<'a>(
        &mut self,
        mut bytes: &'a [u8],
        off_for: Option<Duration>,
    ) -> Result<&'a [u8], MemoryError> {
        let now = self.now;
        // A running bucket is never continued: at worst 5 s of the past count as older than they are.
        let shift = off_for.map(|span| millis(span).div_ceil(BUCKET_MS).max(1) as usize);
        for cell in self.cell_indices() {
            let (buckets, rest) = take::<u8>(bytes)?;
            bytes = rest;
            let history = &mut self.cells[cell.at()].history;
            if shift.is_some() {
                history.advance(now, &self.windows);
            }
            for age in 0..usize::from(buckets) {
                let (bucket, rest) = take::<(i64, u16)>(bytes)?;
                bytes = rest;
                if let Some(shift) = shift {
                    history.restore(age + shift, bucket, &self.windows);
                }
            }
        }
        Ok(bytes)
    }

    /// Takes over a memory without buckets; [`load`](Self::load) is this and the buckets.
    ///
    /// # Errors
    /// [`MemoryError::OtherSite`]; nothing was changed.
    pub fn restore(&mut self, memory: &Memory<C, S, O, B>) -> Result<(), MemoryError> {
        let plan = &self.plan;
        let same = memory.set_points.len() == plan.set_points.len()
            && memory.cells.len() == plan.cells.len()
            && memory.buses.len() == usize::from(plan.buses)
            && memory.outputs.len() == plan.outputs.len();
        if !same {
            return Err(MemoryError::OtherSite);
        }
        let now = self.now;
        let until = |ms: u64| (ms > 0).then(|| now + Duration::from_millis(ms));
        let alarm = |memory: &AlarmMemory| Alarm {
            state: memory.state,
            since: None,
            silenced: memory.silenced.then_some(now),
            shelved_until: until(memory.shelved_ms),
        };
        for (at, set_point) in memory.set_points.iter().enumerate() {
            self.alarms[at] = alarm(&set_point.alarm);
            self.votes[at].over = set_point.over.and(self.plan.set_points[at].cells);
            self.freeze_if_active(at);
        }
        for (at, cell) in memory.cells.iter().enumerate() {
            self.cell_alarms[at] = alarm(&cell.alarm);
            self.cells[at].mask = None;
            if cell.out_of_service {
                self.cells[at].set_mask(OverlayKind::OutOfService, None);
            } else if cell.inhibited_ms > 0 {
                self.cells[at].set_mask(OverlayKind::Inhibited, until(cell.inhibited_ms));
            }
            self.cells[at].commissioned = cell.commissioned.or(self.cells[at].commissioned);
        }
        for (at, bus) in memory.buses.iter().enumerate() {
            self.bus_alarms[at] = alarm(bus);
        }
        for (at, output) in memory.outputs.iter().enumerate() {
            self.output_alarms[at] = alarm(&output.alarm);
            self.outputs[at].mode = output.mode;
            self.outputs[at].mode_until = until(output.mode_ms);
        }
        self.power_alarm = alarm(&memory.power);
        self.restore_runtime(&memory.runtime);
        self.settle();
        Ok(())
    }

    /// Re-applies a journal entry that is newer than the saved form: sets the state of one alarm, without an
    /// event. A state that says "active" freezes the contribution of all its cells until they are seen again.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] when there is no such alarm.
    pub fn restore_alarm(&mut self, key: AlarmKey, state: AlarmState) -> Result<(), Refusal> {
        let alarm = self.alarm_mut(key).ok_or(Refusal::Unknown)?;
        let before = alarm.state;
        alarm.state = state;
        if state == AlarmState::ActiveUnack && before != state {
            alarm.silenced = None;
        }
        if let AlarmKey::SetPoint(set_point) = key {
            let at = set_point.at();
            if !state.is_active() {
                self.votes[at].over = CellSet::EMPTY;
            }
            self.freeze_if_active(at);
        }
        self.settle();
        Ok(())
    }

    /// An active alarm stands on contributions; where they are not known, all its cells are taken to stand.
    pub(super) fn freeze_if_active(&mut self, at: usize) {
        let plan = &self.plan.set_points[at];
        if self.alarms[at].state.is_active() && self.votes[at].over.len() < plan.vote_k {
            self.votes[at].over = plan.cells;
        }
    }

    fn restore_runtime(&mut self, memory: &RuntimeMemory) {
        self.runtime.saved_s = memory.operating_s;
        self.runtime.boot_count = memory.boot_count.saturating_add(1);
        self.runtime.service_at_s = memory.service_at_s;
        self.runtime.check_at_s = memory.check_at_s;
        self.battery_test_at_s = memory.battery_test_at_s;
        if let Some(supply) = &mut self.supply {
            supply.soc = memory.soc.map(PerMille);
            supply.test_failed = memory.battery_test_failed;
        }
    }

    /// Everything derived is worked out anew by the next step.
    pub(super) fn settle(&mut self) {
        self.dirty = true;
        self.pulses_held = true;
        self.wake = self.now;
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn write<T: serde::Serialize>(
    value: &T,
    buffer: &mut [u8],
    at: usize,
) -> Result<usize, MemoryError> {
    let space = buffer.get_mut(at..).ok_or(MemoryError::NoSpace)?;
    let written = postcard::to_slice(value, space).map_err(|_| MemoryError::NoSpace)?;
    Ok(at + written.len())
}

fn take<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), MemoryError> {
    postcard::take_from_bytes(bytes).map_err(|_| MemoryError::Corrupt)
}
