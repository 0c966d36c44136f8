//! The supply machine: mains, battery, and what is left.
//!
//! ```text
//!   NotWired --first reading--> Mains <---------- mains ok for 10 s ----------+
//!                                | mains lost for 2 s                         |
//!                                v                                            |
//!        BatteryFault <-> Mains  OnBattery -> BatteryLow -> BatteryCritical --+
//! ```

use super::{BatteryTest, PowerStatus, SupplyPlan, SupplyReading, SupplyState};
use crate::time::{Duration, Instant};
use crate::units::{MicroAmp, MilliVolt, PerMille};

// Sources of all numbers: `monitor.md` 4; voltages for the reference pack.
const MAINS_LOST_SPAN: Duration = Duration::from_secs(2);
const MAINS_BACK_SPAN: Duration = Duration::from_secs(10);
const LOW_SOC: PerMille = PerMille(300);
const LOW_REMAINING: Duration = Duration::from_secs(30 * 60);
const CRITICAL_SOC: PerMille = PerMille(100);
const CRITICAL_SPAN: Duration = Duration::from_secs(10);
const SHUTDOWN_SPAN: Duration = Duration::from_secs(30);
const MISSING_BELOW: MilliVolt = MilliVolt(5_000);
const BROKEN_ABOVE: MilliVolt = MilliVolt(15_500);
const REST_SPAN: Duration = Duration::from_secs(30 * 60);
const FULL_SPAN: Duration = Duration::from_secs(6 * 3600);
const TEST_SPAN: Duration = Duration::from_secs(10 * 60);
const TEST_FAILS_BELOW: MilliVolt = MilliVolt(12_000);

/// What a step of the supply has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SupplyNews {
    State(SupplyState),
    Test(BatteryTest),
    ShutdownAdvised,
}

/// News of one step. Reasoning for the size: a state, a test's end, a shutdown.
pub(crate) type News = heapless::Vec<SupplyNews, 4>;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Supply {
    state: SupplyState,
    mains: Option<bool>,
    /// Since when `mains` reads as it does.
    mains_since: Instant,
    battery: Option<MilliVolt>,
    current: Option<MicroAmp>,
    charger_fault: bool,
    /// A reading came.
    wired: bool,
    pub(crate) soc: Option<PerMille>,
    uncertainty: Option<PerMille>,
    charging: bool,
    /// Charge by the current sensor, in µA·ms, once anchored; and up to when it is counted.
    counted: Option<(i64, Instant)>,
    resting_since: Option<Instant>,
    floating_since: Option<Instant>,
    critical_since: Option<Instant>,
    /// When an orderly shutdown is due, once critical.
    shutdown_at: Option<Instant>,
    test_until: Option<Instant>,
    pub(crate) test_failed: bool,
}

impl Supply {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            state: SupplyState::NotWired,
            mains: None,
            mains_since: now,
            battery: None,
            current: None,
            charger_fault: false,
            wired: false,
            soc: None,
            uncertainty: None,
            charging: false,
            counted: None,
            resting_since: None,
            floating_since: None,
            critical_since: None,
            shutdown_at: None,
            test_until: None,
            test_failed: false,
        }
    }

    pub(crate) const fn state(&self) -> SupplyState {
        self.state
    }

    pub(crate) const fn test_until(&self) -> Option<Instant> {
        self.test_until
    }

    /// Whether the fault signal shows it.
    pub(crate) const fn is_fault(&self, plan: &SupplyPlan) -> bool {
        match self.state {
            SupplyState::NotWired | SupplyState::Mains => false,
            SupplyState::OnBattery => plan.mains_fault,
            SupplyState::BatteryLow | SupplyState::BatteryCritical | SupplyState::BatteryFault => {
                true
            }
        }
    }

    pub(crate) fn reading(
        &mut self,
        now: Instant,
        plan: &SupplyPlan,
        reading: SupplyReading,
    ) -> News {
        if let Some(mains) = reading.mains {
            if self.mains != Some(mains) {
                self.mains_since = now;
                // What the input showed before the first reading is not known: no reason to wait.
                if self.mains.is_none() && mains {
                    self.state = SupplyState::NotWired;
                }
            }
            self.mains = Some(mains);
        }
        self.count(now, plan, reading.current);
        self.battery = reading.battery;
        self.current = reading.current;
        self.charger_fault = reading.charger_fault;
        self.wired = true;
        self.weigh(now, plan);
        self.run(now, plan, false)
    }

    /// Runs what falls due at `now`.
    pub(crate) fn timeout(&mut self, now: Instant, plan: &SupplyPlan) -> News {
        self.run(now, plan, true)
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let mains = match (self.mains, self.on_battery()) {
            (Some(true), true) => Some(self.mains_since + MAINS_BACK_SPAN),
            (Some(false), false) => Some(self.mains_since + MAINS_LOST_SPAN),
            _ => None,
        };
        let critical = match self.state {
            SupplyState::OnBattery | SupplyState::BatteryLow => {
                self.critical_since.map(|since| since + CRITICAL_SPAN)
            }
            _ => None,
        };
        [mains, critical, self.shutdown_at, self.test_until]
            .into_iter()
            .flatten()
            .filter(|&at| at > now)
            .min()
    }

    pub(crate) fn start_test(&mut self, now: Instant) {
        self.test_until = Some(now + TEST_SPAN);
    }

    /// Mains lost, or an alarm raised: safety first. Returns whether one ran.
    pub(crate) fn abort_test(&mut self) -> bool {
        self.test_until.take().is_some()
    }

    pub(crate) fn status(&self, plan: &SupplyPlan) -> PowerStatus {
        PowerStatus {
            state: self.state,
            soc: self.soc,
            soc_uncertainty: self.soc.and(self.uncertainty),
            charging: self.charging,
            battery: self.battery,
            remaining: self.remaining(plan),
            test_until: self.test_until,
        }
    }

    const fn on_battery(&self) -> bool {
        matches!(
            self.state,
            SupplyState::OnBattery | SupplyState::BatteryLow | SupplyState::BatteryCritical
        )
    }

    fn run(&mut self, now: Instant, plan: &SupplyPlan, deadlines: bool) -> News {
        let mut news = News::new();
        let before = self.state;
        self.follow_mains(now);
        if self.on_battery() {
            self.drain(now, plan, deadlines, &mut news);
        } else {
            self.critical_since = None;
            self.shutdown_at = None;
            if self.mains == Some(true) {
                self.run_test(now, plan, &mut news);
                let broken = self.is_battery_broken(plan);
                self.state = if broken {
                    SupplyState::BatteryFault
                } else {
                    SupplyState::Mains
                };
            }
        }
        if self.mains == Some(false) && self.abort_test() {
            let _ = news.push(SupplyNews::Test(BatteryTest::Aborted));
        }
        if self.state != before {
            let _ = news.insert(0, SupplyNews::State(self.state));
        }
        news
    }

    fn follow_mains(&mut self, now: Instant) {
        let stands = now - self.mains_since;
        match self.mains {
            Some(true) if self.on_battery() && stands >= MAINS_BACK_SPAN => {
                self.state = SupplyState::Mains;
            }
            Some(false) if !self.on_battery() && stands >= MAINS_LOST_SPAN => {
                self.state = SupplyState::OnBattery;
            }
            _ => {}
        }
    }

    fn drain(&mut self, now: Instant, plan: &SupplyPlan, deadlines: bool, news: &mut News) {
        let empty = self.soc.is_some_and(|soc| soc <= CRITICAL_SOC);
        let sagging = self.battery.is_some_and(|v| {
            let limit = match plan.chemistry {
                super::Chemistry::Agm | super::Chemistry::Flooded => 10_800,
                super::Chemistry::LiFePo4 => 11_200,
            };
            plan.reference(v) < MilliVolt(limit)
        });
        if !(empty || sagging) {
            self.critical_since = None;
        } else if self.critical_since.is_none() {
            self.critical_since = Some(now);
        }
        let critical = self
            .critical_since
            .is_some_and(|since| since + CRITICAL_SPAN <= now);
        let low = self.soc.is_some_and(|soc| soc <= LOW_SOC)
            || self
                .remaining(plan)
                .is_some_and(|left| left < LOW_REMAINING);
        // Downwards only: what came back under a lighter load is no reason to call off a warning.
        self.state = match self.state {
            SupplyState::BatteryCritical => SupplyState::BatteryCritical,
            _ if critical => SupplyState::BatteryCritical,
            SupplyState::BatteryLow => SupplyState::BatteryLow,
            _ if low => SupplyState::BatteryLow,
            state => state,
        };
        if self.state == SupplyState::BatteryCritical {
            let at = *self.shutdown_at.get_or_insert(now + SHUTDOWN_SPAN);
            if deadlines && at <= now {
                // Once: the deadline is over, the state stays.
                self.shutdown_at = Some(Instant::from_millis(u64::MAX));
                let _ = news.push(SupplyNews::ShutdownAdvised);
            }
        }
    }

    fn run_test(&mut self, now: Instant, plan: &SupplyPlan, news: &mut News) {
        if self.test_until.is_none_or(|until| until > now) {
            return;
        }
        self.test_until = None;
        let held = self
            .battery
            .is_some_and(|v| plan.reference(v) >= TEST_FAILS_BELOW);
        self.test_failed = !held;
        let result = if held {
            BatteryTest::Passed
        } else {
            BatteryTest::Failed
        };
        let _ = news.push(SupplyNews::Test(result));
    }

    fn is_battery_broken(&self, plan: &SupplyPlan) -> bool {
        let voltage_bad = match self.battery.map(|v| plan.reference(v)) {
            Some(v) => v < MISSING_BELOW || v > BROKEN_ABOVE,
            None => self.wired,
        };
        voltage_bad || self.charger_fault || self.test_failed
    }

    /// Works out the state of charge from the reading just stored.
    fn weigh(&mut self, now: Instant, plan: &SupplyPlan) {
        let Some(voltage) = self.battery else { return };
        let on_mains = self.mains != Some(false);
        let small = plan.capacity_mah.saturating_mul(10);
        let quiet = self
            .current
            .is_some_and(|current| current.0.unsigned_abs() < small);
        let full_voltage = on_mains && plan.is_full_voltage(voltage);
        // Without a current sensor a battery on mains is taken as being charged, since nothing says it rests.
        self.charging = on_mains && (full_voltage || !quiet) && self.test_until.is_none();

        self.floating_since = full_voltage.then(|| self.floating_since.unwrap_or(now));
        if self
            .floating_since
            .is_some_and(|since| since + FULL_SPAN <= now)
        {
            self.anchor(now, plan, PerMille(1000), PerMille(50));
        }
        let rests = quiet && !full_voltage;
        self.resting_since = rests.then(|| self.resting_since.unwrap_or(now));
        if self
            .resting_since
            .is_some_and(|since| since + REST_SPAN <= now)
        {
            self.anchor(
                now,
                plan,
                plan.state_of_charge(voltage),
                plan.uncertainty(voltage),
            );
            return;
        }
        if let Some((charge, _)) = self.counted {
            let full = full_charge(plan);
            self.soc = Some(PerMille(
                (charge.clamp(0, full) * 1000 / full.max(1)) as u16,
            ));
        } else if !self.charging {
            let discharge = self.discharge(plan).unwrap_or(MicroAmp(0));
            let resting = plan.load_corrected(voltage, discharge);
            self.soc = Some(plan.state_of_charge(resting));
            self.uncertainty = Some(plan.uncertainty(resting));
        }
    }

    fn anchor(&mut self, now: Instant, plan: &SupplyPlan, soc: PerMille, uncertainty: PerMille) {
        self.soc = Some(soc);
        self.uncertainty = Some(uncertainty);
        if self.current.is_some() {
            self.counted = Some((full_charge(plan) * i64::from(soc.0) / 1000, now));
        }
    }

    /// Adds what flowed since the last reading.
    fn count(&mut self, now: Instant, plan: &SupplyPlan, current: Option<MicroAmp>) {
        match (current, &mut self.counted) {
            (Some(current), Some((charge, at))) => {
                let ms = i64::try_from((now - *at).as_millis()).unwrap_or(0);
                let flowed = i64::from(current.0).saturating_mul(ms);
                *charge = charge.saturating_add(flowed).clamp(0, full_charge(plan));
                *at = now;
            }
            (None, counted) => *counted = None,
            (Some(_), None) => {}
        }
    }

    /// What is drawn from the battery: measured, or as configured.
    fn discharge(&self, plan: &SupplyPlan) -> Option<MicroAmp> {
        match self.current {
            Some(MicroAmp(current)) => Some(MicroAmp((-i64::from(current)).max(0) as i32)),
            None => i32::try_from(plan.load_ma.saturating_mul(1000))
                .ok()
                .map(MicroAmp),
        }
    }

    fn remaining(&self, plan: &SupplyPlan) -> Option<Duration> {
        let drawn = match self.discharge(plan) {
            Some(MicroAmp(drawn)) if self.on_battery() && drawn > 0 => drawn as u32 / 1000,
            _ => plan.load_ma,
        };
        plan.remaining(self.soc?, drawn)
    }
}

fn full_charge(plan: &SupplyPlan) -> i64 {
    i64::from(plan.capacity_mah) * 1000 * 3_600_000
}

#[cfg(test)]
mod tests;
