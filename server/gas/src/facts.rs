//! What the station reports, in words and data: the journal's entries of this service, and the way back.

use crate::site::GasSite;
use crate::view::CheckResult;
use leitstand_core::gas::alarm::AlarmState;
use leitstand_core::gas::bump::BumpResult;
use leitstand_core::gas::event::{AlarmChange, BumpChange};
use leitstand_core::gas::reading::Warning;
use leitstand_core::gas::status::OverlayKind;
use leitstand_core::gas::{AlarmKey, CellIndex, Event, EventKind, FaultCode};
use leitstand_core::power::{BatteryTest, ServiceState, SupplyState};
use leitstand_core::units::Concentration;
use leitstand_kit::events::Stored;
use leitstand_kit::{NewEvent, Severity};
use serde_json::{Value, json};

/// The service's name in events and health.
pub(crate) const SERVICE: &str = "gas";

/// The text of a fault. Bus threads report only codes of the core; others exist in replays alone.
pub(crate) fn fault_text(code: FaultCode) -> &'static str {
    code.as_str().unwrap_or("other")
}

/// In the unit of its cell.
pub(crate) fn decimal(value: Concentration) -> f64 {
    f64::from(value.as_milli()) / 1000.0
}

/// The journal's entry for what happened.
pub(crate) fn entry(site: &GasSite, event: &Event) -> NewEvent {
    let (kind, severity, text, data) = describe(site, event);
    NewEvent::new(SERVICE, kind)
        .severity(severity)
        .text(text)
        .data(data)
}

/// The state of an alarm that a journal entry reports.
pub(crate) fn alarm_of(site: &GasSite, entry: &Stored) -> Option<(AlarmKey, AlarmState)> {
    const CHANGES: [AlarmChange; 5] = [
        AlarmChange::Raised,
        AlarmChange::Acknowledged,
        AlarmChange::Returned,
        AlarmChange::Latched,
        AlarmChange::Cleared,
    ];
    if entry.service != SERVICE || !CHANGES.iter().any(|c| c.name() == entry.kind) {
        return None;
    }
    let key = site.alarm(entry.data.get("alarm")?.as_str()?)?;
    let state = entry.data.get("state")?.as_str()?;
    let state = AlarmState::ALL.into_iter().find(|s| s.as_str() == state)?;
    Some((key, state))
}

/// What an alarm is about, as the beginning of a sentence.
pub(crate) fn alarm_subject(site: &GasSite, key: AlarmKey) -> String {
    match key {
        AlarmKey::SetPoint(i) => {
            let point = &site.set_points[i.at()];
            let zone = &site.zones[point.zone.at()].name;
            let stage = site.plan.set_points[i.at()].stage;
            format!("AP{stage} in {zone} ({})", point.id)
        }
        AlarmKey::Cell(i) => format!("Fault of cell {}", site.cells[i.at()].id),
        AlarmKey::Bus(i) => format!("Loss of bus {}", site.buses[i.at()].id),
        AlarmKey::Output(i) => format!("Fault of output {}", site.outputs[i.at()].id),
        AlarmKey::Power => "Fault of the supply".to_owned(),
    }
}

/// `kind` of an alarm in views.
pub(crate) const fn alarm_kind(key: AlarmKey) -> &'static str {
    match key {
        AlarmKey::SetPoint(_) => "set_point",
        AlarmKey::Cell(_) => "cell_fault",
        AlarmKey::Bus(_) => "bus_fault",
        AlarmKey::Output(_) => "output_fault",
        AlarmKey::Power => "power",
    }
}

type Description = (&'static str, Severity, String, Value);

fn describe(site: &GasSite, event: &Event) -> Description {
    use Severity::{Fault, Info, Warning as Warn};
    let cell_id = |c: leitstand_core::gas::CellIndex| site.cells[c.at()].id.as_str();
    let zone_id = |z: leitstand_core::gas::ZoneIndex| site.zones[z.at()].id.as_str();
    let output_id = |o: leitstand_core::gas::OutputIndex| site.outputs[o.at()].id.as_str();
    let bus_id = |b: leitstand_core::gas::BusIndex| site.buses[b.at()].id.as_str();
    match event.kind {
        EventKind::Alarm {
            key,
            change,
            state,
            value,
        } => alarm(site, key, change, state, value),
        EventKind::CellFault { cell, fault } => {
            let (id, fault) = (cell_id(cell), fault_text(fault));
            let text = format!("Cell {id} cannot be trusted: {fault}");
            (
                "CellFault",
                Fault,
                text,
                json!({"cell": id, "fault": fault}),
            )
        }
        EventKind::CellHealthy { cell } => {
            let id = cell_id(cell);
            let text = format!("Cell {id} is healthy again");
            (
                "CellHealthy",
                Info,
                text,
                json!({"cell": id, "fault": null}),
            )
        }
        EventKind::Warning { cell, warning, on } => {
            let (id, name) = (cell_id(cell), warning.as_str());
            let text = if on {
                format!("Cell {id}: {}", warning_text(warning))
            } else {
                format!("Cell {id}: no longer so: {}", warning_text(warning))
            };
            let severity = if on { Warn } else { Info };
            (
                "CellWarning",
                severity,
                text,
                json!({"cell": id, "warning": name, "on": on}),
            )
        }
        EventKind::Bus { bus, up } => {
            let id = bus_id(bus);
            if up {
                (
                    "BusRestored",
                    Info,
                    format!("Bus {id} is open again"),
                    json!({"bus": id}),
                )
            } else {
                (
                    "BusLost",
                    Fault,
                    format!("The port of bus {id} is gone"),
                    json!({"bus": id}),
                )
            }
        }
        EventKind::ZoneLevel { zone, level } => {
            let name = &site.zones[zone.at()].name;
            let level = level.as_str();
            let text = format!("Level of {name}: {level}");
            (
                "ZoneLevelChanged",
                Info,
                text,
                json!({"zone": zone_id(zone), "level": level}),
            )
        }
        EventKind::ZoneHealth { zone, health } => {
            let name = &site.zones[zone.at()].name;
            let health = health.as_str();
            let severity = if health == "good" { Info } else { Fault };
            let text = format!("Health of {name}: {health}");
            (
                "ZoneHealthChanged",
                severity,
                text,
                json!({"zone": zone_id(zone), "health": health}),
            )
        }
        EventKind::Output { output, on, lamp } => {
            let (id, name) = (output_id(output), &site.outputs[output.at()].name);
            let text = format!("Output {name}: {}", if on { "on" } else { "off" });
            let data = json!({"output": id, "on": on, "lamp": lamp.as_str()});
            ("OutputChanged", Info, text, data)
        }
        EventKind::OutputMode { output, mode } => {
            let (id, mode) = (output_id(output), mode.as_str());
            let text = format!("Output {id} is under control of: {mode}");
            (
                "OutputModeChanged",
                Warn,
                text,
                json!({"output": id, "mode": mode}),
            )
        }
        EventKind::OutputFault { output, fault } => {
            let id = output_id(output);
            let data = json!({"output": id});
            if fault {
                (
                    "OutputFault",
                    Fault,
                    format!("Output {id} does not follow"),
                    data,
                )
            } else {
                (
                    "OutputHealthy",
                    Info,
                    format!("Output {id} follows again"),
                    data,
                )
            }
        }
        EventKind::Shelved { key, on } => {
            let subject = alarm_subject(site, key);
            let data = json!({"alarm": site.alarm_id(key)});
            if on {
                ("AlarmShelved", Warn, format!("{subject} was shelved"), data)
            } else {
                (
                    "AlarmUnshelved",
                    Info,
                    format!("{subject} is no longer shelved"),
                    data,
                )
            }
        }
        EventKind::Masked { cell, kind, on } => {
            let id = cell_id(cell);
            let data = json!({"cell": id, "kind": kind.as_str()});
            match (on, kind) {
                (true, OverlayKind::OutOfService) => (
                    "CellOutOfService",
                    Warn,
                    format!("Cell {id} is out of service"),
                    data,
                ),
                (true, _) => (
                    "CellInhibited",
                    Warn,
                    format!("Cell {id} is inhibited"),
                    data,
                ),
                (false, _) => (
                    "CellReturned",
                    Info,
                    format!("Cell {id} is back in service"),
                    data,
                ),
            }
        }
        EventKind::Horn { on: true } => (
            "HornOn",
            Severity::Alarm,
            "The horn sounds".into(),
            json!({}),
        ),
        EventKind::Horn { on: false } => ("HornOff", Info, "The horn is quiet".into(), json!({})),
        EventKind::HornSilenced => (
            "HornSilenced",
            Info,
            "The horn was silenced".into(),
            json!({}),
        ),
        EventKind::Special { special, on } => {
            let name = special.as_str();
            let data = json!({"special": name});
            if on {
                (
                    "SpecialStateEntered",
                    Warn,
                    format!("Special state: {name}"),
                    data,
                )
            } else {
                (
                    "SpecialStateLeft",
                    Info,
                    format!("Special state over: {name}"),
                    data,
                )
            }
        }
        EventKind::HealthySignal { on } => {
            let text = if on {
                "The healthy signal is on"
            } else {
                "The healthy signal is off"
            };
            (
                "HealthySignalChanged",
                if on { Info } else { Fault },
                text.into(),
                json!({"on": on}),
            )
        }
        EventKind::Supply { state } => {
            let severity = match state {
                SupplyState::NotWired | SupplyState::Mains => Info,
                SupplyState::OnBattery => Warn,
                SupplyState::BatteryLow
                | SupplyState::BatteryCritical
                | SupplyState::BatteryFault => Fault,
            };
            let state = state.as_str();
            (
                "SupplyChanged",
                severity,
                format!("Supply: {state}"),
                json!({"state": state}),
            )
        }
        EventKind::ShutdownAdvised => {
            let text = "The battery is nearly empty; the gateway should be shut down";
            ("ShutdownAdvised", Fault, text.into(), json!({}))
        }
        EventKind::BatteryTest(test) => {
            let (kind, severity, text) = match test {
                BatteryTest::Started => ("BatteryTestStarted", Info, "The battery test started"),
                BatteryTest::Passed => ("BatteryTestPassed", Info, "The battery passed its test"),
                BatteryTest::Failed => ("BatteryTestFailed", Fault, "The battery failed its test"),
                BatteryTest::Aborted => {
                    ("BatteryTestAborted", Warn, "The battery test was aborted")
                }
            };
            (kind, severity, text.into(), json!({}))
        }
        EventKind::Service { state } => {
            let text = format!("Service: {}", state.as_str());
            (
                "ServiceStateChanged",
                service_severity(state),
                text,
                json!({"state": state.as_str()}),
            )
        }
        EventKind::ServiceDone => (
            "ServiceDone",
            Info,
            "The service was done".into(),
            json!({}),
        ),
        EventKind::CheckState { check, state } => {
            let (check, text) = (check.as_str(), state.as_str());
            let data = json!({"check": check, "state": text});
            (
                "CheckStateChanged",
                service_severity(state),
                format!("Check {check}: {text}"),
                data,
            )
        }
        EventKind::CheckDone(check) => {
            let check = check.as_str();
            (
                "CheckDone",
                Info,
                format!("Check done: {check}"),
                json!({"check": check}),
            )
        }
        EventKind::CalibrationConfirmed { cell } => {
            let id = cell_id(cell);
            let text = format!("The calibration of cell {id} was confirmed");
            ("CalibrationConfirmed", Info, text, json!({"cell": id}))
        }
        EventKind::BumpTest { cell, result } => bump_test(site, cell, &result),
        EventKind::EventsLost(count) => {
            let text = format!("{count} events of the evaluation were lost");
            ("EvaluationEventsLost", Fault, text, json!({"count": count}))
        }
    }
}

fn bump_test(site: &GasSite, cell: CellIndex, result: &BumpResult) -> Description {
    let info = &site.cells[cell.at()];
    let unit = info.unit.as_str();
    let (severity, done) = match result.change {
        BumpChange::Started => (Severity::Info, "waits for gas"),
        BumpChange::Passed => (Severity::Info, "passed its bump test"),
        BumpChange::Failed => (Severity::Warning, "did not see the gas of its bump test"),
        BumpChange::Aborted => (Severity::Info, "had its bump test ended early"),
    };
    let data = json!({
        "cell": info.id,
        "gas": info.gas.as_str(),
        "unit": unit,
        "target": decimal(result.target),
        "peak": result.peak.map(decimal),
        "seconds": result.after.as_secs_f64(),
    });
    let text = format!(
        "Cell {} {done} ({} {unit})",
        info.id,
        decimal(result.target)
    );
    (result.change.name(), severity, text, data)
}

/// The entry of a flood of alarms that began or ended.
pub(crate) fn flood(began: bool, count: usize) -> NewEvent {
    let data = json!({"count": count});
    if began {
        return NewEvent::new(SERVICE, "AlarmFloodBegan")
            .severity(Severity::Warning)
            .text(format!("{count} alarms were raised within 10 minutes"))
            .data(data);
    }
    NewEvent::new(SERVICE, "AlarmFloodEnded")
        .text("The flood of alarms is over")
        .data(data)
}

/// The entry of a self-test.
pub(crate) fn self_test(checks: &[CheckResult]) -> NewEvent {
    let failed: Vec<&str> = checks.iter().filter(|c| !c.ok).map(|c| c.check).collect();
    let details: Vec<&str> = checks.iter().filter_map(|c| c.detail.as_deref()).collect();
    let data = json!({"failed": failed, "details": details});
    if failed.is_empty() {
        return NewEvent::new(SERVICE, "SelfTestPassed")
            .text("The self-test passed")
            .data(data);
    }
    NewEvent::new(SERVICE, "SelfTestFailed")
        .severity(Severity::Fault)
        .text(format!("The self-test failed: {}", details.join("; ")))
        .data(data)
}

const fn service_severity(state: ServiceState) -> Severity {
    match state {
        ServiceState::Ok => Severity::Info,
        ServiceState::Soon | ServiceState::Due => Severity::Warning,
    }
}

fn alarm(
    site: &GasSite,
    key: AlarmKey,
    change: AlarmChange,
    state: AlarmState,
    value: Option<Concentration>,
) -> Description {
    let subject = alarm_subject(site, key);
    let mut data = json!({
        "alarm": site.alarm_id(key),
        "kind": alarm_kind(key),
        "state": state.as_str(),
        "value": value.map(decimal),
    });
    let mut reading = String::new();
    if let AlarmKey::SetPoint(i) = key {
        let point = &site.set_points[i.at()];
        data["zone"] = json!(site.zones[point.zone.at()].id);
        data["setpoint"] = json!(point.id);
        data["stage"] = json!(site.plan.set_points[i.at()].stage);
        data["unit"] = json!(point.unit.as_str());
        if let Some(value) = value {
            reading = format!(" at {} {}", decimal(value), point.unit.as_str());
        }
    }
    let (severity, done) = match (change, key) {
        (AlarmChange::Raised, AlarmKey::SetPoint(_)) => (Severity::Alarm, "was raised"),
        (AlarmChange::Raised, _) => (Severity::Fault, "was raised"),
        (AlarmChange::Acknowledged, _) => (Severity::Info, "was acknowledged"),
        (AlarmChange::Returned, _) => (Severity::Warning, "ended before it was acknowledged"),
        (AlarmChange::Latched, _) => (Severity::Warning, "ended and is latched"),
        (AlarmChange::Cleared, _) => (Severity::Info, "is over"),
    };
    (
        change.name(),
        severity,
        format!("{subject} {done}{reading}"),
        data,
    )
}

const fn warning_text(warning: Warning) -> &'static str {
    match warning {
        Warning::OverRange => "above the range",
        Warning::UnderRange => "loop current under the range",
        Warning::Saturated => "loop current above the range",
        Warning::Held => "bad loop current, last value held",
        Warning::ZeroDrift => "drifts below zero",
        Warning::CalibrationChanged => "the calibration in the device has changed",
        Warning::StuckSuspect => "the raw value stands still for 24 hours",
    }
}
