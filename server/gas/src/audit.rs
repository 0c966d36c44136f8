//! What a person's command is called and what it changed, for the audit.

use crate::site::GasSite;
use leitstand_core::gas::{AlarmKey, CellIndex, Command, OutputIndex, SiteStation};
use serde_json::{Value, json};

/// The command as a verb phrase with its object.
pub(crate) fn verb(site: &GasSite, command: &Command) -> String {
    let alarm = |what: &str, key: AlarmKey| format!("alarm.{what} {}", site.alarm_id(key));
    let cell = |what: &str, cell: CellIndex| format!("cell.{what} {}", site.cells[cell.at()].id);
    match *command {
        Command::Acknowledge(key) => alarm("acknowledge", key),
        Command::AcknowledgeAll => "alarm.acknowledge_all".to_owned(),
        Command::Reset(key) => alarm("reset", key),
        Command::Shelve { key, span } => format!("{} {} s", alarm("shelve", key), span.as_secs()),
        Command::Unshelve(key) => alarm("unshelve", key),
        Command::Inhibit { cell: at, span } => {
            format!("{} {} s", cell("inhibit", at), span.as_secs())
        }
        Command::BumpTest { cell: at, span, .. } => {
            format!("{} {} s", cell("bump_test", at), span.as_secs())
        }
        Command::OutOfService(at) => cell("out_of_service", at),
        Command::ReturnToService(at) => cell("return_to_service", at),
        Command::ConfirmCalibration(at) => cell("confirm_calibration", at),
        Command::Silence => "horn.silence".to_owned(),
        Command::OneButton => "one_button".to_owned(),
        Command::LampTest(span) => format!("output.lamp_test {} s", span.as_secs()),
        Command::SetOutput { output, mode, .. } => {
            format!(
                "output.set {} {}",
                site.outputs[output.at()].id,
                mode.as_str()
            )
        }
        Command::ServiceDone => "service.done".to_owned(),
        Command::CheckDone(check) => format!("service.check_done {}", check.as_str()),
        Command::BatteryTest => "power.battery_test".to_owned(),
    }
}

/// The state of what the command is about; asked before and after it.
pub(crate) fn subject(site: &GasSite, station: &SiteStation, command: &Command) -> Value {
    match *command {
        Command::Acknowledge(key)
        | Command::Reset(key)
        | Command::Shelve { key, .. }
        | Command::Unshelve(key) => alarm(station, key),
        Command::Inhibit { cell: at, .. }
        | Command::BumpTest { cell: at, .. }
        | Command::OutOfService(at)
        | Command::ReturnToService(at)
        | Command::ConfirmCalibration(at) => cell(site, station, at),
        Command::SetOutput { output: at, .. } => output(site, station, at),
        Command::AcknowledgeAll | Command::Silence | Command::OneButton => {
            let status = station.site();
            json!({
                "unacknowledged": status.unacknowledged, "resettable": status.resettable, "horn": status.horn.on,
            })
        }
        Command::ServiceDone | Command::CheckDone(_) => {
            let runtime = station.runtime();
            json!({"days_left": runtime.service.days_left, "operating_s": runtime.operating_s})
        }
        Command::LampTest(_) | Command::BatteryTest => Value::Null,
    }
}

// Positions come from the site's own ids; a foreign one is refused by the station and has no state.
fn alarm(station: &SiteStation, key: AlarmKey) -> Value {
    station.alarm(key).map_or(Value::Null, |alarm| {
        json!({"state": alarm.state.as_str(), "overlay": alarm.overlay.map(|o| o.kind.as_str())})
    })
}

fn cell(site: &GasSite, station: &SiteStation, at: CellIndex) -> Value {
    if at.at() >= site.cells.len() {
        return Value::Null;
    }
    let status = station.cell(at);
    let warnings: Vec<&str> = status.warnings.iter().map(|w| w.as_str()).collect();
    json!({"overlay": status.mask.map(|m| m.kind.as_str()), "warnings": warnings})
}

fn output(site: &GasSite, station: &SiteStation, at: OutputIndex) -> Value {
    if at.at() >= site.outputs.len() {
        return Value::Null;
    }
    let status = station.output(at);
    json!({"mode": status.mode.as_str(), "on": status.on})
}
