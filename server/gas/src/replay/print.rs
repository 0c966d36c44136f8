//! The lines of a transcript, for programs (JSON) and for people.

use std::collections::BTreeMap;
use std::io::Write;

use leitstand_core::gas::status::Lamp;
use leitstand_core::gas::{
    AlarmKey, CellIndex, Command, Event, EventKind, FaultCode, OutputIndex, Refusal, SetPointIndex,
    SitePlan, SiteStation, ZoneIndex,
};
use leitstand_core::time::Instant;
use leitstand_core::units::Concentration;
use serde::{Serialize, Serializer};

use super::Names;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One JSON object a line.
    Json,
    /// A time and a sentence a line.
    Text,
}

/// A number of thousandths that prints as a plain decimal: `160`, `139.9`.
#[derive(Clone, Copy)]
struct Milli(i64);

impl Serialize for Milli {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 1000 == 0 {
            serializer.serialize_i64(self.0 / 1000)
        } else {
            serializer.serialize_f64(self.0 as f64 / 1000.0)
        }
    }
}

impl std::fmt::Display for Milli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}", self.0 as f64 / 1000.0))
    }
}

impl From<Concentration> for Milli {
    fn from(value: Concentration) -> Self {
        Self(i64::from(value.as_milli()))
    }
}

impl From<Instant> for Milli {
    fn from(at: Instant) -> Self {
        Self(i64::try_from(at.as_millis()).unwrap_or(i64::MAX))
    }
}

/// One line. The variants of one group share their keys.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Alarm {
        t_s: Milli,
        event: &'static str,
        zone: &'a str,
        setpoint: &'a str,
        stage: u8,
        state: &'static str,
        value: Option<Milli>,
    },
    Cell {
        t_s: Milli,
        event: &'static str,
        cell: &'a str,
        fault: Option<&'a str>,
    },
    ZoneLevel {
        t_s: Milli,
        event: &'static str,
        zone: &'a str,
        level: &'static str,
    },
    ZoneHealth {
        t_s: Milli,
        event: &'static str,
        zone: &'a str,
        health: &'static str,
    },
    Output {
        t_s: Milli,
        event: &'static str,
        output: &'a str,
        on: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        mode: Option<&'static str>,
    },
    Refused {
        t_s: Milli,
        event: &'static str,
        command: &'static str,
        setpoint: Option<&'a str>,
        code: &'static str,
    },
    Summary {
        t_s: Milli,
        event: &'static str,
        zones: BTreeMap<&'a str, ZoneSummary>,
        alarms: BTreeMap<String, &'static str>,
        outputs: BTreeMap<&'a str, bool>,
        averages: BTreeMap<String, AverageSummary>,
    },
}

#[derive(Serialize)]
struct ZoneSummary {
    level: &'static str,
    health: &'static str,
}

#[derive(Serialize)]
struct AverageSummary {
    value: Option<Milli>,
    covered_s: Milli,
    partial: bool,
}

/// Writes lines.
pub(super) struct Printer<'a, W> {
    out: W,
    style: Style,
    plan: &'a SitePlan,
    names: &'a Names<'a>,
}

impl<'a, W: Write> Printer<'a, W> {
    pub(super) fn new(out: W, style: Style, plan: &'a SitePlan, names: &'a Names<'a>) -> Self {
        Self {
            out,
            style,
            plan,
            names,
        }
    }

    /// Writes `event` when the transcript has a line for it. `faults` names [`FaultCode::Other`].
    pub(super) fn event(&mut self, event: &Event, faults: &[String]) -> std::io::Result<()> {
        let t_s = Milli::from(event.at);
        let line = match event.kind {
            EventKind::Alarm {
                key: AlarmKey::SetPoint(set_point),
                change,
                state,
                value,
            } => Line::Alarm {
                t_s,
                event: change.name(),
                zone: self.zone(self.plan.set_points[set_point.at()].zone),
                setpoint: self.set_point(set_point),
                stage: self.plan.set_points[set_point.at()].stage,
                state: state.name(),
                value: value.map(Milli::from),
            },
            EventKind::CellFault { cell, fault } => Line::Cell {
                t_s,
                event: "CellFault",
                cell: self.cell(cell),
                fault: Some(fault_name(fault, faults)),
            },
            EventKind::CellHealthy { cell } => Line::Cell {
                t_s,
                event: "CellHealthy",
                cell: self.cell(cell),
                fault: None,
            },
            EventKind::ZoneLevel { zone, level } => Line::ZoneLevel {
                t_s,
                event: "ZoneLevelChanged",
                zone: self.zone(zone),
                level: level.as_str(),
            },
            EventKind::ZoneHealth { zone, health } => Line::ZoneHealth {
                t_s,
                event: "ZoneHealthChanged",
                zone: self.zone(zone),
                health: health.as_str(),
            },
            EventKind::Output { output, on, lamp } => Line::Output {
                t_s,
                event: "OutputChanged",
                output: self.output(output),
                on,
                mode: (lamp == Lamp::Flash).then_some("flash"),
            },
            _ => return Ok(()),
        };
        write_line(&mut self.out, self.style, &line)
    }

    /// Writes that a command of the operator was not carried out.
    pub(super) fn refused(
        &mut self,
        at: Instant,
        command: Command,
        refusal: Refusal,
    ) -> std::io::Result<()> {
        let (command, key) = match command {
            Command::Acknowledge(key) => ("acknowledge", Some(key)),
            Command::Reset(key) => ("reset", Some(key)),
            _ => ("command", None),
        };
        let setpoint = match key {
            Some(AlarmKey::SetPoint(set_point)) => Some(self.set_point(set_point)),
            _ => None,
        };
        let line = Line::Refused {
            t_s: at.into(),
            event: "CommandRefused",
            command,
            setpoint,
            code: refusal.code(),
        };
        write_line(&mut self.out, self.style, &line)
    }

    /// Writes the last line: how everything stands at `now`.
    pub(super) fn summary(&mut self, now: Instant, station: &SiteStation) -> std::io::Result<()> {
        let zones = (0u8..)
            .zip(&self.names.zones)
            .map(|(at, id)| {
                let zone = station.zone(ZoneIndex(at));
                let summary = ZoneSummary {
                    level: zone.level.as_str(),
                    health: zone.health.as_str(),
                };
                (*id, summary)
            })
            .collect();
        let alarms = (0u8..)
            .zip(&self.names.set_points)
            .map(|(at, id)| {
                let state = station.set_point(SetPointIndex(at)).alarm.state.name();
                (self.unique_name(SetPointIndex(at), id), state)
            })
            .collect();
        let outputs = (0u8..)
            .zip(&self.names.outputs)
            .map(|(at, id)| (*id, station.output(OutputIndex(at)).on))
            .collect();
        let mut averages = BTreeMap::new();
        for (at, id) in (0u8..).zip(&self.names.cells) {
            for window_s in &self.plan.windows {
                let Some(average) = station.average(CellIndex(at), *window_s) else {
                    continue;
                };
                let summary = AverageSummary {
                    value: average.value().map(Milli::from),
                    covered_s: Milli(
                        i64::try_from(average.covered.as_millis()).unwrap_or(i64::MAX),
                    ),
                    partial: average.partial,
                };
                averages.insert(format!("{id}/{window_s}"), summary);
            }
        }
        let line = Line::Summary {
            t_s: now.into(),
            event: "Summary",
            zones,
            alarms,
            outputs,
            averages,
        };
        write_line(&mut self.out, self.style, &line)?;
        self.out.flush()
    }

    /// The set point's id, with its zone in front where two zones use the same id.
    fn unique_name(&self, set_point: SetPointIndex, id: &str) -> String {
        if self
            .names
            .set_points
            .iter()
            .filter(|other| **other == id)
            .count()
            == 1
        {
            return id.to_owned();
        }
        let zone = self.plan.set_points[set_point.at()].zone;
        format!("{}.{id}", self.zone(zone))
    }

    fn cell(&self, cell: CellIndex) -> &'a str {
        self.names.cells[cell.at()]
    }

    fn zone(&self, zone: ZoneIndex) -> &'a str {
        self.names.zones[zone.at()]
    }

    fn set_point(&self, set_point: SetPointIndex) -> &'a str {
        self.names.set_points[set_point.at()]
    }

    fn output(&self, output: OutputIndex) -> &'a str {
        self.names.outputs[output.at()]
    }
}

fn fault_name(fault: FaultCode, faults: &[String]) -> &str {
    match fault {
        FaultCode::Other(number) => faults
            .get(usize::from(number))
            .map_or("other", String::as_str),
        known => known.as_str().unwrap_or("other"),
    }
}

fn write_line(out: &mut impl Write, style: Style, line: &Line<'_>) -> std::io::Result<()> {
    match style {
        Style::Json => serde_json::to_writer(&mut *out, line)?,
        Style::Text => write_text(out, line)?,
    }
    out.write_all(b"\n")
}

fn write_text(out: &mut impl Write, line: &Line<'_>) -> std::io::Result<()> {
    match line {
        Line::Alarm {
            t_s,
            event,
            zone,
            setpoint,
            stage,
            state,
            value,
        } => {
            write!(
                out,
                "{t_s:>10} s  {event:<17} {zone}.{setpoint} (AP{stage}) is {state}"
            )?;
            match value {
                Some(value) => write!(out, " at {value}"),
                None => Ok(()),
            }
        }
        Line::Cell {
            t_s,
            event,
            cell,
            fault,
        } => {
            write!(out, "{t_s:>10} s  {event:<17} {cell}")?;
            match fault {
                Some(fault) => write!(out, " {fault}"),
                None => Ok(()),
            }
        }
        Line::ZoneLevel {
            t_s,
            event,
            zone,
            level: state,
        }
        | Line::ZoneHealth {
            t_s,
            event,
            zone,
            health: state,
        } => write!(out, "{t_s:>10} s  {event:<17} {zone} {state}"),
        Line::Output {
            t_s,
            event,
            output,
            on,
            mode,
        } => {
            let state = mode.unwrap_or(if *on { "on" } else { "off" });
            write!(out, "{t_s:>10} s  {event:<17} {output} {state}")
        }
        Line::Refused {
            t_s,
            event,
            command,
            setpoint,
            code,
        } => {
            let setpoint = setpoint.unwrap_or("");
            write!(out, "{t_s:>10} s  {event:<17} {command} {setpoint}: {code}")
        }
        Line::Summary {
            t_s, zones, alarms, ..
        } => {
            write!(out, "{t_s:>10} s  Summary          ")?;
            for (zone, state) in zones {
                write!(out, " {zone} {}, {};", state.level, state.health)?;
            }
            for (alarm, state) in alarms.iter().filter(|(_, state)| **state != "Normal") {
                write!(out, " {alarm} {state};")?;
            }
            Ok(())
        }
    }
}
