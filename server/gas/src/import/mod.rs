//! # Import of an xMZ configuration
//! Turns the TOML of the original centre into ours, as text for a person to read and complete. Entry: [`xmz`].
//!
//! What the original does not store (bus addresses, ranges, set points) gets a stated assumption as a comment
//! beside it; nothing is guessed silently. Keys that have no place here are listed at the top.
//!
//! Original shape (key names as in the field): `service_interval`;
//! `outputs[] { name, output_type, pins, modbus_address }`;
//! `sensors[] { id, sensor_type, messzellen[] { messzelle_type, zones[] } }`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use toml::{Spanned, Table, Value};

/// Largest file. Reasoning: a site of 64 cells needs some 10 kB.
const FILE_BYTES_MAX: usize = 256 * 1024;
/// RA-GAS combi sensors answer at 1..=247.
const ADDRESS_MAX: usize = 247;

/// Why a file could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Larger than any configuration of the original.
    #[error("the file is larger than 256 KiB; is it the configuration of the original?")]
    TooLarge,
    /// Not TOML, or a key with a value of the wrong type. The text names line and column.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A value that the original does not know either.
    #[error("line {line}: {problem}")]
    At {
        /// Line from 1.
        line: usize,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

#[derive(Deserialize)]
struct Original {
    service_interval: Option<Spanned<i64>>,
    #[serde(default)]
    outputs: Vec<Output>,
    #[serde(default)]
    sensors: Vec<Sensor>,
    #[serde(flatten)]
    rest: Table,
}

#[derive(Deserialize)]
struct Output {
    name: Option<String>,
    output_type: Spanned<String>,
    pins: Option<Spanned<i64>>,
    modbus_address: Option<Spanned<i64>>,
    #[serde(flatten)]
    rest: Table,
}

#[derive(Deserialize)]
struct Sensor {
    id: Option<i64>,
    sensor_type: Spanned<String>,
    #[serde(default)]
    messzellen: Vec<Cell>,
    #[serde(flatten)]
    rest: Table,
}

#[derive(Deserialize)]
struct Cell {
    messzelle_type: Spanned<String>,
    #[serde(default)]
    zones: Vec<Value>,
    #[serde(flatten)]
    rest: Table,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SensorKind {
    RaGas,
    Analog,
    Test,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CellKind {
    Co,
    No2,
    Analog,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BoardKind {
    Led20,
    Relay9,
    MrDo4,
}

impl SensorKind {
    /// Type texts as the original serialises them, and the names in its source. It calls the analog module DI4 in
    /// one place and CI4 in another; both mean MR-CI4.
    fn parse(text: &str) -> Option<Self> {
        let plain = plain(text);
        if plain.contains("ragas") {
            Some(Self::RaGas)
        } else if plain.contains("metzconnect") && (plain.contains("ci4") || plain.contains("di4"))
        {
            Some(Self::Analog)
        } else if plain.contains("testsensor") {
            Some(Self::Test)
        } else {
            None
        }
    }
}

impl CellKind {
    fn parse(text: &str) -> Option<Self> {
        let plain = plain(text);
        if plain.contains("ci4") || plain.contains("di4") || plain.contains("420ma") {
            Some(Self::Analog)
        } else if plain.contains("no2") || plain.contains("no₂") {
            Some(Self::No2)
        } else if plain.contains("co") {
            Some(Self::Co)
        } else {
            None
        }
    }
}

impl BoardKind {
    fn parse(text: &str) -> Option<Self> {
        let plain = plain(text);
        if plain.contains("deckel") {
            Some(Self::Led20)
        } else if plain.contains("boden") {
            Some(Self::Relay9)
        } else if plain.contains("mrdo4") {
            Some(Self::MrDo4)
        } else {
            None
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Led20 => "led20",
            Self::Relay9 => "relay9",
            Self::MrDo4 => "mr_do4",
        }
    }
}

/// Without case, blanks and punctuation, so that all spellings of one type meet.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Converts the text of an original configuration. The result passes `leitstand check`, apart from devices that
/// this machine does not have.
///
/// # Errors
/// The first thing that cannot be converted, with its line.
pub fn xmz(text: &str) -> Result<String, ImportError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(ImportError::TooLarge);
    }
    let original: Original = toml::from_str(text)?;
    let lines = Lines(text);
    let site = Site::read(&original, lines)?;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = site.write(&mut out);
    Ok(out)
}

/// Where things stand in the file.
#[derive(Clone, Copy)]
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn error<T>(self, at: &Spanned<T>, problem: String) -> ImportError {
        let before = &self.0.as_bytes()[..at.span().start.min(self.0.len())];
        ImportError::At {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            problem,
        }
    }
}

/// What was found, in our terms.
struct Site {
    service_interval_days: Option<i64>,
    sensors: Vec<SiteSensor>,
    cells: Vec<SiteCell>,
    zones: BTreeMap<String, Vec<String>>,
    boards: Vec<SiteBoard>,
    ignored: Vec<String>,
}

struct SiteSensor {
    id: String,
    kind: SensorKind,
    address: usize,
}

struct SiteCell {
    id: String,
    sensor: String,
    kind: CellKind,
    channel: usize,
}

struct SiteBoard {
    id: String,
    name: Option<String>,
    kind: BoardKind,
    address: Option<i64>,
}

impl Site {
    fn read(original: &Original, lines: Lines<'_>) -> Result<Self, ImportError> {
        let mut site = Self {
            service_interval_days: None,
            sensors: Vec::new(),
            cells: Vec::new(),
            zones: BTreeMap::new(),
            boards: Vec::new(),
            ignored: original.rest.keys().cloned().collect(),
        };
        if let Some(days) = &original.service_interval {
            if !(0..=3650).contains(days.get_ref()) {
                let problem = "service_interval must be 0 to 3650 days".to_owned();
                return Err(lines.error(days, problem));
            }
            site.service_interval_days = Some(*days.get_ref());
        }
        for (at, sensor) in original.sensors.iter().enumerate() {
            site.read_sensor(at, sensor, lines)?;
        }
        for (at, output) in original.outputs.iter().enumerate() {
            site.read_board(at, output, lines)?;
        }
        Ok(site)
    }

    fn read_sensor(
        &mut self,
        at: usize,
        sensor: &Sensor,
        lines: Lines<'_>,
    ) -> Result<(), ImportError> {
        let kind = SensorKind::parse(sensor.sensor_type.get_ref()).ok_or_else(|| {
            let given = sensor.sensor_type.get_ref();
            let problem = format!(
                "unknown sensor_type {given:?}; known are the RA-GAS CO/NO2 combi sensor, Metz Connect CI4 \
                 (also spelt DI4) and TestSensor"
            );
            lines.error(&sensor.sensor_type, problem)
        })?;
        if at + 1 > ADDRESS_MAX {
            let problem = "more than 247 sensors do not fit on a bus".to_owned();
            return Err(lines.error(&sensor.sensor_type, problem));
        }
        let id = format!("sensor_{}", sensor.id.unwrap_or(at as i64 + 1));
        if self.sensors.iter().any(|other| other.id == id) {
            let problem = format!(
                "two sensors have the id {}",
                id.trim_start_matches("sensor_")
            );
            return Err(lines.error(&sensor.sensor_type, problem));
        }
        self.ignore("sensors", &sensor.rest);
        for (position, cell) in sensor.messzellen.iter().enumerate() {
            self.read_cell(&id, kind, position, cell, lines)?;
        }
        self.sensors.push(SiteSensor {
            id,
            kind,
            address: at + 1,
        });
        Ok(())
    }

    fn read_cell(
        &mut self,
        sensor: &str,
        sensor_kind: SensorKind,
        position: usize,
        cell: &Cell,
        lines: Lines<'_>,
    ) -> Result<(), ImportError> {
        let given = cell.messzelle_type.get_ref();
        let kind = CellKind::parse(given).ok_or_else(|| {
            let problem = format!(
                "unknown messzelle_type {given:?}; known are RA-GAS CO, RA-GAS NO2 and analog 4-20 mA"
            );
            lines.error(&cell.messzelle_type, problem)
        })?;
        let (channel, suffix) = match (sensor_kind, kind) {
            // The combi sensor's channels are fixed: 1 = NO2, 2 = CO.
            (SensorKind::RaGas, CellKind::No2) => (1, "no2".to_owned()),
            (SensorKind::RaGas, CellKind::Co) => (2, "co".to_owned()),
            (SensorKind::RaGas, CellKind::Analog) => {
                let problem = "a RA-GAS combi sensor has no analog cell".to_owned();
                return Err(lines.error(&cell.messzelle_type, problem));
            }
            _ => (position + 1, format!("{}", position + 1)),
        };
        let id = format!("{sensor}_{suffix}");
        if self.cells.iter().any(|other| other.id == id) {
            let problem = format!("{sensor} has two cells of the type {given:?}");
            return Err(lines.error(&cell.messzelle_type, problem));
        }
        self.ignore("messzellen", &cell.rest);
        let mut zones: Vec<String> = cell.zones.iter().map(zone_id).collect();
        if zones.is_empty() {
            zones.push("site".to_owned());
        }
        for zone in zones {
            let cells = self.zones.entry(zone).or_default();
            if !cells.contains(&id) {
                cells.push(id.clone());
            }
        }
        self.cells.push(SiteCell {
            id,
            sensor: sensor.to_owned(),
            kind,
            channel,
        });
        Ok(())
    }

    fn read_board(
        &mut self,
        at: usize,
        output: &Output,
        lines: Lines<'_>,
    ) -> Result<(), ImportError> {
        let given = output.output_type.get_ref();
        let kind = BoardKind::parse(given).ok_or_else(|| {
            let problem = format!(
                "unknown output_type {given:?}; known are the Deckelplatine and Bodenplatine v1.0.0 and \
                 Metz Connect MR-DO4"
            );
            lines.error(&output.output_type, problem)
        })?;
        let pins = match kind {
            BoardKind::Led20 => 20,
            BoardKind::Relay9 => 9,
            BoardKind::MrDo4 => 4,
        };
        if let Some(given) = output
            .pins
            .as_ref()
            .filter(|given| *given.get_ref() != pins)
        {
            let problem = format!("this board has {pins} outputs, not {}", given.get_ref());
            return Err(lines.error(given, problem));
        }
        let address = match (&output.modbus_address, kind) {
            (Some(address), BoardKind::MrDo4) if (1..=247).contains(address.get_ref()) => {
                Some(*address.get_ref())
            }
            (Some(address), BoardKind::MrDo4) => {
                let problem = "modbus_address must be 1 to 247".to_owned();
                return Err(lines.error(address, problem));
            }
            // The original's own module list starts at 34.
            (None, BoardKind::MrDo4) => Some(34 + at as i64),
            (_, BoardKind::Led20 | BoardKind::Relay9) => None,
        };
        self.ignore("outputs", &output.rest);
        self.boards.push(SiteBoard {
            id: format!("board_{}", at + 1),
            name: output.name.clone(),
            kind,
            address,
        });
        Ok(())
    }

    fn ignore(&mut self, parent: &str, keys: &Table) {
        for key in keys.keys() {
            let key = format!("{parent}[].{key}");
            if !self.ignored.contains(&key) {
                self.ignored.push(key);
            }
        }
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "# Converted from an xMZ configuration. Read it, complete it, then run `leitstand check`."
        )?;
        for key in &self.ignored {
            writeln!(out, "# Not taken over, no place here: {key}")?;
        }
        writeln!(out, "site = \"xMZ\"\nlanguage = \"de\"\n\n[gas]")?;
        if let Some(days) = self.service_interval_days {
            writeln!(out, "service_interval_days = {days}")?;
        }
        let simulated = self
            .sensors
            .iter()
            .any(|sensor| sensor.kind == SensorKind::Test);
        if simulated
            || self
                .boards
                .iter()
                .any(|board| board.kind != BoardKind::MrDo4)
        {
            writeln!(
                out,
                "production = false # true once no sensor is simulated and every board is wired"
            )?;
        }
        writeln!(
            out,
            "\n[[gas.buses]]\nid = \"rs485\"\ndevice = \"/dev/ttyS1\" # the original hardware; on a Pi for \
             example /dev/ttyUSB0\nbaud = 9600\nparity = \"none\""
        )?;
        for sensor in &self.sensors {
            write_sensor(out, sensor)?;
        }
        for cell in &self.cells {
            write_cell(out, cell)?;
        }
        for (id, cells) in &self.zones {
            let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
            writeln!(out, "\n[[gas.zones]]\nid = {}", quoted(id))?;
            writeln!(out, "cells = [{}]", cells.join(", "))?;
            writeln!(
                out,
                "# No set points here: those of the preset \"garage\" apply to CO and NO2."
            )?;
        }
        for board in &self.boards {
            write_board(out, board)?;
        }
        Ok(())
    }
}

fn write_sensor(out: &mut String, sensor: &SiteSensor) -> std::fmt::Result {
    writeln!(out, "\n[[gas.sensors]]\nid = {}", quoted(&sensor.id))?;
    match sensor.kind {
        SensorKind::RaGas | SensorKind::Analog => {
            let kind = if sensor.kind == SensorKind::RaGas {
                "kind = \"ra_gas_co_no2\""
            } else {
                "kind = \"analog\"\nprofile = \"mr_ci4\" # register layout unverified"
            };
            writeln!(
                out,
                "{kind}\nbus = \"rs485\"\naddress = {} # assumed: the original does not store it",
                sensor.address
            )
        }
        SensorKind::Test => writeln!(out, "kind = \"simulated\"\nprofile = \"square_15min\""),
    }
}

fn write_cell(out: &mut String, cell: &SiteCell) -> std::fmt::Result {
    let (gas, range_hi, note) = match cell.kind {
        CellKind::Co => ("co", 300, ""),
        CellKind::No2 => ("no2", 30, ""),
        CellKind::Analog => (
            "co",
            300,
            " # assumed: the original stores neither gas nor range",
        ),
    };
    writeln!(
        out,
        "\n[[gas.cells]]\nid = {}\nsensor = {}\nchannel = {}\ngas = \"{gas}\"{note}\nunit = \"ppm\"\n\
         range_lo = 0\nrange_hi = {range_hi}",
        quoted(&cell.id),
        quoted(&cell.sensor),
        cell.channel
    )
}

fn write_board(out: &mut String, board: &SiteBoard) -> std::fmt::Result {
    writeln!(out)?;
    if let Some(name) = &board.name {
        writeln!(out, "# {}", name.replace(char::is_control, " "))?;
    }
    writeln!(
        out,
        "[[gas.boards]]\nid = {}\nkind = \"{}\"",
        quoted(&board.id),
        board.kind.as_str()
    )?;
    match board.address {
        Some(address) => writeln!(out, "bus = \"rs485\"\naddress = {address}"),
        None => writeln!(out, "# Add its lines: chip, oe, ds, clock, latch."),
    }
}

/// A zone's name as an id: lower-case letters, digits, `_`, `-`, at most 32.
fn zone_id(zone: &Value) -> String {
    let text = match zone {
        Value::String(text) => text.clone(),
        other => format!("zone_{other}"),
    };
    let id: String = text
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .take(32)
        .collect();
    if id.is_empty() { "site".to_owned() } else { id }
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
