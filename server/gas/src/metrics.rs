//! `leitstand_gas_*`: what a monitoring system sees, refreshed with every snapshot.

use crate::hub::Hub;
use crate::seam::Inbox;
use crate::view::{Device, Snapshot};
use leitstand_kit::Context;
use leitstand_kit::metrics::{Counter, Gauge};

/// All series of the service.
pub(crate) struct Meters {
    cells: Vec<[Gauge; 3]>,
    zones: Vec<[Gauge; 2]>,
    outputs: Vec<Gauge>,
    buses: Vec<BusMeters>,
    site: [Gauge; 5],
    quality: [Gauge; 6],
    dropped: Counter,
    snapshots: Counter,
}

/// Which count of a device a series shows.
type Field = fn(&Device) -> u64;

struct BusMeters {
    open: Gauge,
    cycle: Gauge,
    devices: Vec<[(Counter, Field); 6]>,
}

impl Meters {
    /// Registers the series of a site.
    pub(crate) fn new(cx: &Context, hub: &Hub) -> Self {
        let metrics = &cx.metrics;
        let gauge = |name, help, labels: &[(&'static str, &str)]| metrics.gauge(name, help, labels);
        let site = &hub.site;
        let cells = site.cells.iter().map(|cell| {
            let labels = [
                ("cell", cell.id.as_str()),
                ("gas", cell.gas.as_str()),
                ("unit", cell.unit.as_str()),
            ];
            [
                gauge(
                    "leitstand_gas_cell_value",
                    "Present value in its unit; NaN while it cannot be trusted.",
                    &labels,
                ),
                gauge(
                    "leitstand_gas_cell_age_seconds",
                    "Age of the last good poll; NaN before the first.",
                    &labels,
                ),
                gauge(
                    "leitstand_gas_cell_fault",
                    "1 while the cell cannot be trusted.",
                    &labels,
                ),
            ]
        });
        let zones = site.zones.iter().map(|zone| {
            let labels = [("zone", zone.id.as_str())];
            [
                gauge(
                    "leitstand_gas_zone_level",
                    "Highest stage that is active or latched, 0 = normal.",
                    &labels,
                ),
                gauge(
                    "leitstand_gas_zone_health",
                    "0 good, 1 degraded, 2 lost.",
                    &labels,
                ),
            ]
        });
        let outputs = site.outputs.iter().map(|output| {
            let labels = [("output", output.id.as_str())];
            gauge(
                "leitstand_gas_output_on",
                "1 while its function is active.",
                &labels,
            )
        });
        let buses = site.buses.iter().map(|bus| {
            let labels = [("bus", bus.id.as_str())];
            let devices = bus.devices.iter().map(|device| {
                let labels = [("bus", bus.id.as_str()), ("device", device.id.as_str())];
                let counter = |name, help| metrics.counter(name, help, &labels);
                [
                    (
                        counter("leitstand_gas_polls_good_total", "Good polls."),
                        (|d| d.good) as Field,
                    ),
                    (
                        counter(
                            "leitstand_gas_polls_timeout_total",
                            "Polls without an answer.",
                        ),
                        |d| d.timeout,
                    ),
                    (
                        counter(
                            "leitstand_gas_polls_crc_total",
                            "Answers with a wrong checksum.",
                        ),
                        |d| d.crc,
                    ),
                    (
                        counter("leitstand_gas_polls_exception_total", "Modbus exceptions."),
                        |d| d.exception,
                    ),
                    (
                        counter(
                            "leitstand_gas_polls_length_total",
                            "Answers of the wrong length.",
                        ),
                        |d| d.length,
                    ),
                    (
                        counter(
                            "leitstand_gas_polls_recovered_total",
                            "Polls that a retry saved.",
                        ),
                        |d| d.recovered,
                    ),
                ]
            });
            BusMeters {
                open: gauge(
                    "leitstand_gas_bus_open",
                    "1 while the port is open.",
                    &labels,
                ),
                cycle: gauge(
                    "leitstand_gas_bus_cycle_seconds",
                    "Duration of the last scan.",
                    &labels,
                ),
                devices: devices.collect(),
            }
        });
        let none: [(&'static str, &str); 0] = [];
        Self {
            cells: cells.collect(),
            zones: zones.collect(),
            outputs: outputs.collect(),
            buses: buses.collect(),
            site: [
                gauge(
                    "leitstand_gas_alarms_unacknowledged",
                    "Alarms to acknowledge.",
                    &none,
                ),
                gauge(
                    "leitstand_gas_healthy_signal",
                    "1 while no fault exists.",
                    &none,
                ),
                gauge("leitstand_gas_horn_on", "1 while the horn sounds.", &none),
                gauge(
                    "leitstand_gas_operating_seconds",
                    "Seconds the centre has run in its life.",
                    &none,
                ),
                gauge(
                    "leitstand_gas_service_days_left",
                    "Days until the service is due.",
                    &none,
                ),
            ],
            quality: [
                (
                    "leitstand_gas_alarms_raised_10_min",
                    "Alarms raised in 10 minutes.",
                ),
                (
                    "leitstand_gas_alarms_raised_day",
                    "Alarms raised in 24 hours.",
                ),
                ("leitstand_gas_alarm_flood", "1 during a flood of alarms."),
                (
                    "leitstand_gas_alarms_chattering",
                    "Alarms raised three times in a minute.",
                ),
                (
                    "leitstand_gas_alarms_stale",
                    "Alarms that stand for more than a day.",
                ),
                (
                    "leitstand_gas_self_test_ok",
                    "1 after a self-test that passed; NaN before the first.",
                ),
            ]
            .map(|(name, help)| gauge(name, help, &none)),
            dropped: metrics.counter(
                "leitstand_gas_inputs_dropped_total",
                "Inputs lost because the evaluation was too slow.",
                &none,
            ),
            snapshots: metrics.counter(
                "leitstand_gas_snapshots_total",
                "Snapshots published.",
                &none,
            ),
        }
    }

    /// Takes over a snapshot.
    pub(crate) fn show(&mut self, snapshot: &Snapshot, inbox: &Inbox) {
        let or_nan = |v: Option<f64>| v.unwrap_or(f64::NAN);
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        for ([value, age, fault], cell) in self.cells.iter().zip(&snapshot.cells) {
            value.set(or_nan(cell.value));
            age.set(or_nan(cell.age_ms.map(|ms| ms as f64 / 1000.0)));
            fault.set(flag(cell.fault.is_some()));
        }
        for ([level, health], zone) in self.zones.iter().zip(&snapshot.zones) {
            level.set(match zone.level {
                "normal" => 0.0,
                "ap1" => 1.0,
                "ap2" => 2.0,
                "ap3" => 3.0,
                _ => 4.0,
            });
            health.set(match zone.health {
                "good" => 0.0,
                "degraded" => 1.0,
                _ => 2.0,
            });
        }
        for (gauge, output) in self.outputs.iter().zip(&snapshot.outputs) {
            gauge.set(flag(output.on));
        }
        for (meters, bus) in self.buses.iter().zip(&snapshot.buses) {
            meters.open.set(flag(bus.state == "open"));
            meters.cycle.set(f64::from(bus.cycle_ms) / 1000.0);
            for (counters, device) in meters.devices.iter().zip(&bus.devices) {
                for (counter, field) in counters {
                    catch_up(counter, field(device));
                }
            }
        }
        let [unacknowledged, healthy, horn, operating, days_left] = &self.site;
        unacknowledged.set(f64::from(snapshot.status.unacknowledged));
        healthy.set(flag(snapshot.status.healthy_signal));
        horn.set(flag(snapshot.status.horn.on));
        operating.set(snapshot.service.operating_s as f64);
        days_left.set(f64::from(snapshot.service.days_left));
        let quality = &snapshot.quality;
        let self_test = snapshot.self_test.as_ref().map(|test| flag(test.ok));
        let figures = [
            quality.last_10_min as f64,
            quality.last_day as f64,
            flag(quality.flood),
            quality.chattering.len() as f64,
            quality.stale.len() as f64,
            or_nan(self_test),
        ];
        for (gauge, figure) in self.quality.iter().zip(figures) {
            gauge.set(figure);
        }
        catch_up(&self.dropped, inbox.dropped());
        self.snapshots.inc();
    }
}

/// Brings a counter to `total`. After a restart of the service the source starts at zero again and the counter
/// stands until it is overtaken, which a monitoring system reads as a pause.
fn catch_up(counter: &Counter, total: u64) {
    counter.add(total.saturating_sub(counter.get()));
}
