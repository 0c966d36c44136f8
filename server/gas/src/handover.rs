//! From one configuration to the next within a run: what the evaluation of the old one leaves to the new one.

use crate::persist::Notes;
use crate::quality::Quality;
use crate::site::GasSite;
use leitstand_core::gas::SiteStation;
use leitstand_core::gas::station::Moves;
use leitstand_core::time::Instant;
use std::sync::Arc;

/// All that an evaluation knows.
pub(crate) struct Handover {
    pub(crate) site: Arc<GasSite>,
    pub(crate) station: Box<SiteStation>,
    pub(crate) notes: Notes,
    /// Since when simulated cells run.
    pub(crate) started: Instant,
    pub(crate) quality: Quality,
    /// Number of the newest snapshot.
    pub(crate) snapshots: u64,
}

/// Old positions by new ones.
pub(crate) struct Places {
    pub(crate) cells: Vec<Option<u8>>,
    zones: Vec<Option<u8>>,
    set_points: Vec<Option<u8>>,
    pub(crate) outputs: Vec<Option<u8>>,
    buses: Vec<Option<u8>>,
}

impl Places {
    /// Things are the same when their ids are; cells also need the same gas and unit.
    pub(crate) fn of(new: &GasSite, old: &GasSite) -> Self {
        Self {
            cells: places(&new.cells, &old.cells, |a, b| {
                a.id == b.id && a.gas == b.gas && a.unit == b.unit
            }),
            zones: places(&new.zones, &old.zones, |a, b| a.id == b.id),
            set_points: places(&new.set_points, &old.set_points, |a, b| a.alarm == b.alarm),
            outputs: places(&new.outputs, &old.outputs, |a, b| a.id == b.id),
            buses: places(&new.buses, &old.buses, |a, b| a.id == b.id),
        }
    }

    pub(crate) fn moves(&self) -> Moves<'_> {
        Moves {
            cells: &self.cells,
            zones: &self.zones,
            set_points: &self.set_points,
            outputs: &self.outputs,
            buses: &self.buses,
        }
    }
}

fn places<T>(new: &[T], old: &[T], same: impl Fn(&T, &T) -> bool) -> Vec<Option<u8>> {
    new.iter()
        .map(|item| {
            let at = old.iter().position(|before| same(item, before))?;
            u8::try_from(at).ok()
        })
        .collect()
}
