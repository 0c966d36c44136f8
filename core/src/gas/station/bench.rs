//! A site on a desk for transcripts: scripts in, what happened out.
//!
//! A script is steps separated by `|`, each `seconds words...`; `from..to/step words...` repeats a step, both
//! ends included. Cells are `a`, `b`, `c` ... in the order of the plan; set points `ap1`, `ap2` ... by stage, with
//! `@n` for zones after the first.
//!
//! `a 31` value, `a 31ppb` nothing: values are in the cell's unit; `a x` timeout, `a crc`, `a !adc_rail` reported,
//! `a 12.0mA` current, `ack`, `ack ap1`, `ack a`, `reset ap1`, `silence`, `button`, `shelve ap1 300`,
//! `unshelve ap1`, `inhibit a 60`, `bump a 30 60`, `out a`, `return a`, `bus0 down`, `out3 on|off|auto`, `lamps 5`, `tick`.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

use super::Station;
use crate::gas::command::{AlarmKey, Command, Input, Refusal};
use crate::gas::event::{Event, EventKind};
use crate::gas::index::*;
use crate::gas::plan::*;
use crate::gas::reading::{FaultCode, PollFailure, Reading};
use crate::gas::status::{Health, Lamp, Mode};
use crate::machine::Machine;
use crate::time::{Duration, Instant};
use crate::units::{Concentration, MicroAmp};
use std::format;
use std::string::String;
use std::vec::Vec;

pub type TestPlan = Plan<8, 4, 16, 64, 4>;
pub type TestStation = Station<8, 4, 16, 64, 4, 720>;

/// Thousandths of a decimal number.
pub fn milli(number: f64) -> Concentration {
    Concentration::from_milli((number * 1000.0).round() as i32)
}

/// One zone of `cells` CO cells of 0..=300 ppm on bus 0.
pub fn zone_of(cells: u8) -> TestPlan {
    let mut plan = TestPlan::new();
    plan.buses = 1;
    for _ in 0..cells {
        let mut cell = CellPlan::new(milli(0.0), milli(300.0));
        cell.bus = Some(BusIndex(0));
        plan.cells.push(cell).unwrap();
    }
    plan.zones
        .push(ZonePlan {
            cells: CellSet::of((0..cells).map(CellIndex)),
            loss_stage: 1,
        })
        .unwrap();
    plan
}

/// A rising, direct, non-latching set point of zone 0 over all its cells, any cell, no delays.
pub fn set_point(plan: &TestPlan, stage: u8, on: f64, hysteresis: f64) -> SetPointPlan {
    SetPointPlan {
        zone: ZoneIndex(0),
        stage,
        cells: plan.zones[0].cells,
        quantity: Quantity::Direct,
        direction: Direction::Rising,
        on: milli(on),
        hysteresis: milli(hysteresis),
        on_delay: Duration::ZERO,
        off_delay: Duration::ZERO,
        latching: false,
        allow_non_latching: true,
        vote_k: 1,
        actions: heapless::Vec::new(),
    }
}

pub fn latching(mut plan: SetPointPlan) -> SetPointPlan {
    plan.latching = true;
    plan
}

pub fn averaged(mut plan: SetPointPlan, seconds: u16) -> SetPointPlan {
    plan.quantity = Quantity::Average(seconds);
    plan
}

/// Adds an output and lets the set point switch it.
pub fn switches(
    plan: &mut TestPlan,
    set_point: &mut SetPointPlan,
    kind: OutputKind,
    mode: ActionMode,
) {
    let output = OutputIndex(plan.outputs.len() as u8);
    plan.outputs
        .push(OutputPlan::new(kind, output.0 + 1))
        .unwrap();
    set_point.actions.push(Action { output, mode }).unwrap();
}

pub struct Bench {
    pub station: TestStation,
    pub log: String,
    /// Events left out of the transcript: they would drown the rest.
    pub terse: bool,
}

impl Bench {
    /// A station at t = 0 without a reading yet.
    pub fn cold(plan: &TestPlan) -> Self {
        let mut mistakes = Vec::new();
        plan.check(|mistake| mistakes.push(mistake));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let station = TestStation::new(plan, Instant::ZERO);
        Self {
            station,
            log: String::new(),
            terse: true,
        }
    }

    /// A station whose cells all had a first good poll of 0 at t = 0.
    pub fn new(plan: &TestPlan) -> Self {
        let mut bench = Self::cold(plan);
        for at in 0..plan.cells.len() as u8 {
            bench.feed(
                Instant::ZERO,
                CellIndex(at),
                Reading::Value(Concentration::ZERO),
            );
        }
        bench.log.clear();
        bench
    }

    pub fn feed(&mut self, now: Instant, cell: CellIndex, reading: Reading) {
        self.station
            .step(now, Input::Reading { cell, reading })
            .unwrap();
        self.drain();
    }

    pub fn play(&mut self, script: &str) -> &mut Self {
        for step in script.split('|') {
            let (when, words) = step.trim().split_once(' ').unwrap_or((step.trim(), "tick"));
            for now in instants(when) {
                self.act(now, words);
            }
        }
        self
    }

    /// Runs every deadline up to and including `now`.
    pub fn run_to(&mut self, now: Instant) {
        self.station.step(now, Input::Tick).unwrap();
        self.drain();
    }

    fn act(&mut self, now: Instant, words: &str) {
        let words: Vec<&str> = words.split_whitespace().collect();
        let seconds = |at: usize| Duration::from_secs_f64(words[at].parse().unwrap());

        let result = match words[..] {
            ["tick", ..] => Ok(()),
            ["ack"] => self.command(now, Command::AcknowledgeAll),
            ["ack", key] => self.command(now, Command::Acknowledge(self.key(key))),
            ["reset", key] => self.command(now, Command::Reset(self.key(key))),
            ["silence"] => self.command(now, Command::Silence),
            ["button"] => self.command(now, Command::OneButton),
            ["shelve", key, _] => self.command(
                now,
                Command::Shelve {
                    key: self.key(key),
                    span: seconds(2),
                },
            ),
            ["unshelve", key] => self.command(now, Command::Unshelve(self.key(key))),
            ["inhibit", name, _] => self.command(
                now,
                Command::Inhibit {
                    cell: cell(name),
                    span: seconds(2),
                },
            ),
            ["bump", name, target, _] => self.command(
                now,
                Command::BumpTest {
                    cell: cell(name),
                    target: milli(target.parse().unwrap()),
                    direction: Direction::Rising,
                    span: seconds(3),
                },
            ),
            ["out", name] => self.command(now, Command::OutOfService(cell(name))),
            ["return", name] => self.command(now, Command::ReturnToService(cell(name))),
            ["lamps", _] => self.command(now, Command::LampTest(seconds(1))),
            ["service"] => self.command(now, Command::ServiceDone),
            [bus, state @ ("up" | "down")] => {
                let bus = BusIndex(bus.strip_prefix("bus").unwrap().parse().unwrap());
                self.station.step(
                    now,
                    Input::Bus {
                        bus,
                        up: state == "up",
                    },
                )
            }
            [output, mode @ ("on" | "off" | "auto"), ..] => {
                let output = OutputIndex(output.strip_prefix("out").unwrap().parse().unwrap());
                let mode = match mode {
                    "on" => Mode::On,
                    "off" => Mode::Off,
                    _ => Mode::Auto,
                };
                let span = words.get(2).map(|_| seconds(2));
                self.command(now, Command::SetOutput { output, mode, span })
            }
            [output, report @ ("agrees" | "differs" | "hand")] => {
                let output = OutputIndex(output.strip_prefix("out").unwrap().parse().unwrap());
                let (agrees, hand) = (report != "differs", report == "hand");
                self.station.step(
                    now,
                    Input::OutputReport {
                        output,
                        agrees,
                        hand,
                    },
                )
            }
            _ => {
                let mut result = Ok(());
                for pair in words.chunks(2) {
                    let (cell, reading) = (cell(pair[0]), reading(pair[1]));
                    result = self.station.step(now, Input::Reading { cell, reading });
                    self.drain();
                }
                result
            }
        };
        if let Err(refusal) = result {
            self.line(now, &format!("refused {}", refusal.code()));
        }

        self.run_to(now);
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), Refusal> {
        self.station.step(now, Input::Command(command))
    }

    pub fn key(&self, name: &str) -> AlarmKey {
        if let Some(stage) = name.strip_prefix("ap") {
            let (stage, zone) = stage.split_once('@').unwrap_or((stage, "0"));
            let (stage, zone) = (stage.parse().unwrap(), ZoneIndex(zone.parse().unwrap()));
            let plans = &self.station.plan().set_points;
            let at = plans
                .iter()
                .position(|plan| (plan.stage, plan.zone) == (stage, zone));
            AlarmKey::SetPoint(SetPointIndex(at.unwrap() as u8))
        } else if let Some(bus) = name.strip_prefix("bus") {
            AlarmKey::Bus(BusIndex(bus.parse().unwrap()))
        } else if name == "power" {
            AlarmKey::Power
        } else if let Some(output) = name.strip_prefix("out") {
            AlarmKey::Output(OutputIndex(output.parse().unwrap()))
        } else {
            AlarmKey::Cell(cell(name))
        }
    }

    fn line(&mut self, at: Instant, text: &str) {
        self.log
            .push_str(&format!("{} {text}\n", at.as_millis() as f64 / 1000.0));
    }

    pub fn drain(&mut self) {
        while let Some(Event { at, kind }) = self.station.poll_output() {
            if let Some(text) = self.text(kind) {
                self.line(at, &text);
            }
        }
    }

    fn text(&self, kind: EventKind) -> Option<String> {
        let plan = self.station.plan();
        Some(match kind {
            EventKind::Alarm {
                key: AlarmKey::SetPoint(at),
                state,
                value,
                ..
            } => {
                let plan = &plan.set_points[at.at()];
                let zone = if plan.zone.0 > 0 {
                    format!("@{}", plan.zone.0)
                } else {
                    String::new()
                };
                let value = value.map_or("-".into(), |v| {
                    format!("{}", f64::from(v.as_milli()) / 1000.0)
                });
                format!("ap{}{zone} {} {value}", plan.stage, state.name())
            }
            EventKind::Alarm { key, state, .. } => {
                if self.terse {
                    return None;
                }
                format!("{key:?} {}", state.name())
            }
            EventKind::CellFault { cell, fault } => {
                let code = fault
                    .as_str()
                    .map_or_else(|| format!("{fault:?}"), Into::into);
                format!("{} fault {code}", name(cell))
            }
            EventKind::CellHealthy { cell } => format!("{} healthy", name(cell)),
            EventKind::Warning { cell, warning, on } => {
                format!(
                    "{} {}{}",
                    name(cell),
                    if on { "+" } else { "-" },
                    warning.as_str()
                )
            }
            EventKind::ZoneLevel { zone, level } => format!("zone {} {}", zone.0, level.as_str()),
            EventKind::ZoneHealth { zone, health } => {
                format!("zone {} {}", zone.0, health.as_str())
            }
            EventKind::Output { output, on, lamp } => {
                let lamp = if lamp == Lamp::Flash {
                    "flash"
                } else if on {
                    "on"
                } else {
                    "off"
                };
                format!("out{} {lamp}", output.0)
            }
            EventKind::Horn { on } => format!("horn {}", if on { "on" } else { "off" }),
            EventKind::HealthySignal { on } => format!("healthy {}", if on { "on" } else { "off" }),
            EventKind::Special { special, on } => {
                format!("{}{}", if on { "+" } else { "-" }, special.as_str())
            }
            EventKind::Masked { cell, kind, on } => {
                format!(
                    "{} {} {}",
                    name(cell),
                    kind.as_str(),
                    if on { "on" } else { "off" }
                )
            }
            EventKind::BumpTest { cell, result } => {
                let decimal = |v: Concentration| f64::from(v.as_milli()) / 1000.0;
                format!(
                    "{} {} of {} peak {} after {}",
                    name(cell),
                    result.change.name(),
                    decimal(result.target),
                    result
                        .peak
                        .map_or("-".into(), |v| format!("{}", decimal(v))),
                    result.after.as_secs()
                )
            }
            kind => format!("{kind:?}"),
        })
    }

    /// `level health [special]` of zone 0 and the driven set points.
    pub fn zone(&self) -> String {
        let zone = self.station.zone(ZoneIndex(0));
        let health = match zone.health {
            Health::Good => String::new(),
            health => format!(" {}", health.as_str()),
        };
        format!("{}{health}", zone.level.as_str())
    }
}

/// Plays a script on a warm station.
pub fn check(plan: &TestPlan, script: &str, expect: expect_test::Expect) {
    let mut bench = Bench::new(plan);
    bench.play(script);
    expect.assert_eq(&bench.log);
}

fn instants(when: &str) -> Vec<Instant> {
    let ms = |seconds: &str| (seconds.parse::<f64>().unwrap() * 1000.0).round() as u64;
    match when.split_once("..") {
        None => [Instant::from_millis(ms(when))].into(),
        Some((from, rest)) => {
            let (to, step) = rest.split_once('/').unwrap();
            let steps = (ms(from)..=ms(to)).step_by(ms(step) as usize);
            steps.map(Instant::from_millis).collect()
        }
    }
}

fn cell(name: &str) -> CellIndex {
    CellIndex(name.as_bytes()[0] - b'a')
}

fn name(cell: CellIndex) -> char {
    char::from(b'a' + cell.0)
}

fn reading(word: &str) -> Reading {
    match word {
        "x" => Reading::Failed(PollFailure::Timeout),
        "crc" => Reading::Failed(PollFailure::Crc),
        "busy" => Reading::Failed(PollFailure::Exception(6)),
        "short" => Reading::Failed(PollFailure::Length),
        word if word.starts_with('!') => Reading::Reported(FaultCode::parse(&word[1..]).unwrap()),
        word if word.ends_with("mA") => {
            let milliamps: f64 = word[..word.len() - 2].parse().unwrap();
            Reading::Current(MicroAmp((milliamps * 1000.0).round() as i32))
        }
        word => Reading::Value(milli(word.parse().unwrap())),
    }
}
