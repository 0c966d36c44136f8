//! The series under `/metrics`.

use std::collections::BTreeMap;

use leitstand_kit::metrics::{Counter, Gauge, Metrics};

use crate::{
    record::Stage,
    session::{Ended, Ignored},
};

/// Series of the whole service, and those of a car by its name.
pub(crate) struct FleetMetrics {
    registry: Metrics,
    pub(crate) statuses: Counter,
    pub(crate) responses: Counter,
    pub(crate) sessions: Counter,
    pub(crate) broker_up: Gauge,
    pub(crate) broker_lost: Counter,
    pub(crate) overruns: Counter,
    pub(crate) not_sent: Counter,
    ignored: BTreeMap<Ignored, Counter>,
    ended: BTreeMap<&'static str, Counter>,
    commands: Vec<Counter>,
}

/// Series of one car.
pub(crate) struct CarMetrics {
    pub(crate) phase: Gauge,
    pub(crate) age: Gauge,
    pub(crate) commands: Gauge,
    pub(crate) missing: Gauge,
}

/// Series of one module.
pub(crate) struct ModuleMetrics {
    pub(crate) up: Gauge,
    pub(crate) calls: Counter,
    pub(crate) failed: Counter,
    pub(crate) late: Counter,
    pub(crate) seconds: Gauge,
    pub(crate) backlog: Gauge,
    pub(crate) lost: Counter,
}

impl FleetMetrics {
    pub(crate) fn new(m: &Metrics) -> Self {
        let counter = |name, help| m.counter(name, help, &[]);
        let by =
            |name, help, label: &'static str, value: &str| m.counter(name, help, &[(label, value)]);
        Self {
            registry: m.clone(),
            statuses: counter("leitstand_fleet_statuses_total", "Statuses taken"),
            responses: counter("leitstand_fleet_published_total", "Messages to vehicles"),
            sessions: counter("leitstand_fleet_sessions_total", "Sessions begun"),
            broker_up: m.gauge(
                "leitstand_fleet_broker_up",
                "1 while the broker is connected",
                &[],
            ),
            broker_lost: counter(
                "leitstand_fleet_broker_lost_total",
                "Connections to the broker that failed or ended",
            ),
            overruns: counter(
                "leitstand_fleet_overruns_total",
                "Messages dropped because a car did not keep up",
            ),
            not_sent: counter(
                "leitstand_fleet_not_sent_total",
                "Messages that the link did not take",
            ),
            ignored: Ignored::ALL
                .into_iter()
                .map(|why| {
                    let name = "leitstand_fleet_ignored_total";
                    let help = "Messages of vehicles without effect";
                    (why, by(name, help, "reason", why.name()))
                })
                .collect(),
            ended: Ended::NAMES
                .into_iter()
                .map(|why| {
                    let name = "leitstand_fleet_sessions_ended_total";
                    (why, by(name, "Sessions ended", "cause", why))
                })
                .collect(),
            commands: Stage::NAMES
                .into_iter()
                .map(|stage| {
                    let name = "leitstand_fleet_commands_total";
                    by(name, "Commands that reached a stage", "stage", stage)
                })
                .collect(),
        }
    }

    pub(crate) fn ignored(&self, why: Ignored) {
        if let Some(counter) = self.ignored.get(&why) {
            counter.inc();
        }
    }

    pub(crate) fn ended(&self, why: Ended) {
        if let Some(counter) = self.ended.get(why.name()) {
            counter.inc();
        }
    }

    pub(crate) fn command(&self, stage: Stage) {
        if let Some(counter) = self.commands.get(stage.index()) {
            counter.inc();
        }
    }

    pub(crate) fn car(&self, car: &str) -> CarMetrics {
        let gauge = |name, help| self.registry.gauge(name, help, &[("car", car)]);
        CarMetrics {
            phase: gauge(
                "leitstand_fleet_car_state",
                "0 offline, 1 waiting, 2 and 3 connecting, 4 running, 5 stopped",
            ),
            age: gauge(
                "leitstand_fleet_car_message_age_seconds",
                "Since the last message of the vehicle",
            ),
            commands: gauge(
                "leitstand_fleet_car_open_commands",
                "Commands that wait or are under way",
            ),
            missing: gauge(
                "leitstand_fleet_car_missing_statuses",
                "Numbers that are waited for",
            ),
        }
    }

    pub(crate) fn module(&self, module: &str) -> ModuleMetrics {
        let labels: &[(&'static str, &str)] = &[("module", module)];
        let m = &self.registry;
        ModuleMetrics {
            up: m.gauge(
                "leitstand_fleet_module_up",
                "1 while the module runs",
                labels,
            ),
            calls: m.counter("leitstand_fleet_module_calls_total", "Calls", labels),
            failed: m.counter(
                "leitstand_fleet_module_failed_total",
                "Calls that answered another code than 0",
                labels,
            ),
            late: m.counter(
                "leitstand_fleet_module_late_total",
                "Calls that took longer than 2 s",
                labels,
            ),
            seconds: m.gauge(
                "leitstand_fleet_module_busy_seconds",
                "Time spent inside the module",
                labels,
            ),
            backlog: m.gauge(
                "leitstand_fleet_module_backlog",
                "Calls that wait for the module",
                labels,
            ),
            lost: m.counter(
                "leitstand_fleet_module_lost_total",
                "Calls given up for want of room or after two crashes",
                labels,
            ),
        }
    }
}
