//! What a zone drives: level, health, cascade and loss action.
//!
//! Level is how much gas, health is how much can be seen; neither changes the other.

use super::alarm::Alarm;
use super::index::CellSet;
use super::plan::{SetPointPlan, ZonePlan};
use super::status::{Health, Level};

/// A zone as of the last evaluation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Zone {
    pub(super) level: Level,
    pub(super) health: Health,
    /// Highest stage that is active or latched and not suppressed; 0 = none.
    pub(super) driving: u8,
    /// Highest such stage whose horn sounds.
    pub(super) sounding: u8,
    /// The fault alarm of one of its cells sounds.
    pub(super) loss_sounds: bool,
}

/// How much a zone with these cells can see.
pub(super) fn health(cells: CellSet, faulty: CellSet) -> Health {
    let lost = cells.and(faulty);
    if lost.is_empty() {
        Health::Good
    } else if lost == cells {
        Health::Lost
    } else {
        Health::Degraded
    }
}

impl Zone {
    /// Whether the outputs of a set point are on.
    pub(super) fn drives(
        &self,
        plan: &ZonePlan,
        set_point: &SetPointPlan,
        alarm: &Alarm,
        suppressed: bool,
    ) -> bool {
        (alarm.state.is_on() && !suppressed)
            || set_point.stage < self.driving
            || self.loss_drives(plan, set_point.stage)
    }

    /// Whether a horn that the set point names sounds.
    pub(super) fn sounds(
        &self,
        plan: &ZonePlan,
        set_point: &SetPointPlan,
        alarm: &Alarm,
        suppressed: bool,
    ) -> bool {
        (alarm.sounds() && !suppressed)
            || set_point.stage < self.sounding
            || (self.loss_drives(plan, set_point.stage) && self.loss_sounds)
    }

    /// Whether the loss action drives this stage.
    pub(super) fn loss_drives(&self, plan: &ZonePlan, stage: u8) -> bool {
        self.health == Health::Lost && stage <= plan.loss_stage
    }
}
