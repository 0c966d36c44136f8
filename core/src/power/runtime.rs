//! Operating time, service and check intervals.

use super::{Check, IntervalStatus, RuntimeStatus, ServicePlan, ServiceState};
use crate::time::{Duration, Instant};

/// Seconds a day.
const DAY_S: u64 = 86_400;
/// From so many days left on the service is announced. Source: `monitor.md` 4.
const SOON_DAYS: i32 = 30;

/// The clock of a life: what was saved plus the monotonic time of this start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runtime {
    started: Instant,
    pub(crate) saved_s: u64,
    pub(crate) boot_count: u32,
    /// Operating seconds at the last service.
    pub(crate) service_at_s: u64,
    /// Operating seconds at the last check.
    pub(crate) check_at_s: [u64; 3],
    /// Calendar days since the last service, while the wall clock is trusted.
    pub(crate) calendar_days: Option<u32>,
}

impl Runtime {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            started: now,
            saved_s: 0,
            boot_count: 1,
            service_at_s: 0,
            check_at_s: [0; 3],
            calendar_days: None,
        }
    }

    pub(crate) const fn operating_s(&self, now: Instant) -> u64 {
        self.saved_s + now.since(self.started).as_secs()
    }

    pub(crate) fn service(&self, now: Instant, plan: &ServicePlan) -> IntervalStatus {
        let used = self.days_since(now, self.service_at_s);
        interval(
            plan.interval_days,
            used.max(self.calendar_days.unwrap_or(0)),
        )
    }

    pub(crate) fn check(
        &self,
        now: Instant,
        plan: &ServicePlan,
        check: Check,
    ) -> Option<IntervalStatus> {
        let days = plan.checks[check as usize]?;
        Some(interval(
            days,
            self.days_since(now, self.check_at_s[check as usize]),
        ))
    }

    pub(crate) fn service_done(&mut self, now: Instant) {
        self.service_at_s = self.operating_s(now);
        self.calendar_days = self.calendar_days.map(|_| 0);
    }

    pub(crate) fn check_done(&mut self, now: Instant, check: Check) {
        self.check_at_s[check as usize] = self.operating_s(now);
    }

    pub(crate) fn status(&self, now: Instant, plan: &ServicePlan) -> RuntimeStatus {
        RuntimeStatus {
            operating_s: self.operating_s(now),
            uptime_s: now.since(self.started).as_secs(),
            boot_count: self.boot_count,
            service: self.service(now, plan),
            checks: Check::ALL.map(|check| self.check(now, plan, check)),
        }
    }

    /// When the next day of any interval begins.
    pub(crate) fn deadline(&self, now: Instant, plan: &ServicePlan) -> Instant {
        let watched = |check: &Check| plan.checks[*check as usize].is_some();
        let marks = Check::ALL
            .into_iter()
            .filter(watched)
            .map(|c| self.check_at_s[c as usize]);
        let left = core::iter::once(self.service_at_s)
            .chain(marks)
            .map(|mark| (u64::from(self.days_since(now, mark)) + 1) * DAY_S + mark)
            .min()
            .unwrap_or(u64::MAX);
        self.started + Duration::from_secs(left.saturating_sub(self.saved_s))
    }

    fn days_since(&self, now: Instant, mark_s: u64) -> u32 {
        let days = self.operating_s(now).saturating_sub(mark_s) / DAY_S;
        u32::try_from(days).unwrap_or(u32::MAX)
    }
}

fn interval(interval_days: u16, days_used: u32) -> IntervalStatus {
    let used = i32::try_from(days_used).unwrap_or(i32::MAX);
    let days_left = i32::from(interval_days).saturating_sub(used);
    let state = match days_left {
        ..=0 => ServiceState::Due,
        1..=SOON_DAYS => ServiceState::Soon,
        _ => ServiceState::Ok,
    };
    IntervalStatus {
        interval_days,
        days_used,
        days_left,
        state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(days: u64, seconds_less: u64) -> Instant {
        Instant::from_secs(days * DAY_S - seconds_less)
    }

    fn service(interval_days: u16, now: Instant, calendar: Option<u32>) -> (i32, ServiceState) {
        let plan = ServicePlan {
            interval_days,
            ..ServicePlan::default()
        };
        let runtime = Runtime {
            calendar_days: calendar,
            ..Runtime::new(Instant::ZERO)
        };
        let status = runtime.service(now, &plan);
        (status.days_left, status.state)
    }

    #[test]
    fn golden_service_intervals() {
        use ServiceState::{Due, Ok, Soon};
        assert_eq!(service(365, Instant::ZERO, None), (365, Ok));
        assert_eq!(service(365, after(335, 0), None), (30, Soon));
        assert_eq!(service(365, after(365, 1), None), (1, Soon));
        assert_eq!(service(365, after(365, 0), None), (0, Due));
        assert_eq!(service(0, Instant::ZERO, None), (0, Due));
        assert_eq!(service(180, after(150, 0), None), (30, Soon));
        assert_eq!(service(365, after(300, 0), Some(366)), (-1, Due));
        assert_eq!(service(365, after(300, 0), None), (65, Ok));
    }

    #[test]
    fn golden_a_power_cut_costs_only_what_was_not_saved() {
        let runtime = Runtime {
            saved_s: 86_399,
            ..Runtime::new(Instant::ZERO)
        };
        assert_eq!(runtime.operating_s(Instant::ZERO), 86_399);
        let later = Instant::from_secs(61);
        assert_eq!(runtime.operating_s(later), 86_460);
        assert_eq!(runtime.service(later, &ServicePlan::default()).days_used, 1);
    }

    #[test]
    fn the_day_begins_at_its_deadline() {
        let runtime = Runtime {
            saved_s: 86_399,
            ..Runtime::new(Instant::from_secs(7))
        };
        let plan = ServicePlan {
            checks: [None, Some(30), None],
            ..ServicePlan::default()
        };
        assert_eq!(
            runtime.deadline(Instant::from_secs(7), &plan),
            Instant::from_secs(8)
        );
        let later = Instant::from_secs(8);
        assert_eq!(
            runtime.deadline(later, &plan),
            Instant::from_secs(8 + DAY_S)
        );
    }

    #[test]
    fn a_service_starts_the_interval_anew() {
        let mut runtime = Runtime {
            calendar_days: Some(366),
            ..Runtime::new(Instant::ZERO)
        };
        let plan = ServicePlan {
            checks: [Some(7), None, None],
            ..ServicePlan::default()
        };
        runtime.service_done(after(300, 0));
        assert_eq!(runtime.service(after(301, 0), &plan).days_used, 1);
        assert_eq!(
            runtime
                .check(after(300, 0), &plan, Check::Visual)
                .map(|c| c.days_left),
            Some(-293)
        );
        runtime.check_done(after(300, 0), Check::Visual);
        assert_eq!(
            runtime
                .check(after(300, 0), &plan, Check::Visual)
                .map(|c| c.days_left),
            Some(7)
        );
        assert_eq!(runtime.check(after(300, 0), &plan, Check::System), None);
    }
}
