//! Outputs, what they mean, and which of them is the healthy signal.

use super::actions::resolve;
use super::check::{Checker, small};
use super::raw::{BoardKindConfig, FunctionConfig, Normally, OutputConfig, OutputKindConfig};
use crate::seam::DeviceKind;
use crate::site::OutputInfo;
use leitstand_core::gas::plan::{Function, OutputKind, OutputPlan};
use leitstand_core::gas::{BoardIndex, OutputIndex, ZoneIndex};
use leitstand_kit::config::Path;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

impl Checker<'_> {
    pub(super) fn outputs(&mut self) {
        let gas = self.gas;
        self.too_many("outputs", gas.outputs.len(), 64);
        let mut virtual_pins: HashMap<(bool, u8), &str> = HashMap::new();
        for (i, output) in gas.outputs.iter().take(64).enumerate() {
            let path = self.at("outputs", i);
            let (kind, kind_name) = match output.kind {
                OutputKindConfig::Relay => (OutputKind::Relay, "relay"),
                OutputKindConfig::Led => (OutputKind::Led, "led"),
                OutputKindConfig::Horn => (OutputKind::Horn, "horn"),
            };
            let lamp = kind == OutputKind::Led;
            let board = match &output.board {
                Some(id) => {
                    let names = gas.boards.iter().map(|b| b.id.as_str());
                    let found = resolve(self.diags, &path.key("board"), id, "board", names)
                        .filter(|b| *b < self.parts.boards.len());
                    if found.is_none() {
                        self.broken_outputs.insert(i);
                    }
                    if let Some(b) = found
                        && (gas.boards[b].kind == BoardKindConfig::Led20) != lamp
                    {
                        let message = format!("a {kind_name} does not fit on board `{id}`");
                        self.diags
                            .error(&path.key("board"), "board_of_other_kind", message)
                            .allowed("lamps on led20; relays and horns on relay9 or mr_do4");
                    }
                    found
                }
                None => gas
                    .boards
                    .iter()
                    .position(|b| (b.kind == BoardKindConfig::Led20) == lamp)
                    .filter(|b| *b < self.parts.boards.len()),
            };
            if board.is_none() && output.board.is_none() {
                if self.parts.production {
                    self.diags
                        .error(&path, "not_wired", format!("`{}` has no board", output.id))
                        .allowed("a board that fits, or `production = false`");
                }
                if let Some(other) = virtual_pins.insert((lamp, output.pin), &output.id) {
                    self.diags
                        .error(
                            &path.key("pin"),
                            "pin_twice",
                            format!("`{other}` uses pin {} already", output.pin),
                        )
                        .allowed("one output a pin");
                }
            }
            let mut plan = OutputPlan::new(kind, output.pin);
            plan.board = board.map(|b| BoardIndex(small(b)));
            plan.normally_energised = output.normally == Normally::Energised;
            plan.min_on = Duration::from_secs(output.min_on_s.into());
            plan.run_on = Duration::from_secs(output.run_on_s.into());
            plan.function = self.function(&path, output);
            if let Some(b) = board
                && let Some(slot) = usize::from(output.pin).checked_sub(1).filter(|s| *s < 4)
            {
                for device in self.parts.buses.iter_mut().flat_map(|bus| &mut bus.devices) {
                    if let DeviceKind::MrDo4 { board, outputs } = &mut device.kind
                        && board.at() == b
                    {
                        outputs[slot].get_or_insert(OutputIndex(small(i)));
                    }
                }
            }
            if let Some(register) = board.and_then(|b| self.parts.boards[b].register.as_mut()) {
                register.outputs.push(OutputIndex(small(i)));
            }
            let _ = self.parts.plan.outputs.push(plan);
            self.parts.outputs.push(OutputInfo {
                id: output.id.clone(),
                name: output.name.clone().unwrap_or_else(|| output.id.clone()),
                kind: kind_name,
                function: output.function.map(FunctionConfig::as_str),
                wired: board.is_some(),
                manual: output.manual,
            });
        }
    }

    pub(super) fn function(&mut self, path: &Path, output: &OutputConfig) -> Function {
        let gas = self.gas;
        let Some(function) = output.function else {
            let given = [
                ("zone", output.zone.is_some()),
                ("stage", output.stage.is_some()),
            ];
            self.not_allowed(path, &given, "an output without `function = \"stage\"`");
            return Function::Actions;
        };
        if function != FunctionConfig::Stage {
            let given = [
                ("zone", output.zone.is_some()),
                ("stage", output.stage.is_some()),
            ];
            self.not_allowed(path, &given, "this function");
        }
        match function {
            FunctionConfig::Healthy => Function::Healthy,
            FunctionConfig::Fault => Function::Fault,
            FunctionConfig::Power => Function::Power,
            FunctionConfig::ServiceDue => Function::ServiceDue,
            FunctionConfig::Stage => {
                let zone = match &output.zone {
                    Some(id) => {
                        let names = gas.zones.iter().map(|z| z.id.as_str());
                        resolve(self.diags, &path.key("zone"), id, "zone", names)
                    }
                    None => self.missing(path, "zone", "the id of a zone"),
                };
                let stage = match output.stage {
                    Some(stage) => Some(stage),
                    None => self.missing(path, "stage", "1 to 4"),
                };
                match (zone, stage) {
                    (Some(zone), Some(stage)) => Function::Stage {
                        zone: ZoneIndex(small(zone)),
                        stage,
                    },
                    _ => Function::Actions,
                }
            }
        }
    }

    /// Where no output says `healthy`, it is the normally energised one that no set point names.
    pub(super) fn healthy_signal(&mut self) {
        let gas = self.gas;
        if gas
            .outputs
            .iter()
            .any(|o| o.function == Some(FunctionConfig::Healthy))
        {
            return;
        }
        let named: HashSet<usize> = self
            .parts
            .plan
            .set_points
            .iter()
            .flat_map(|s| s.actions.iter().map(|a| a.output.at()))
            .collect();
        let mut candidates = gas
            .outputs
            .iter()
            .enumerate()
            .take(self.parts.outputs.len())
            .filter(|(i, o)| {
                o.normally == Normally::Energised && o.function.is_none() && !named.contains(i)
            });
        if let Some((i, _)) = candidates.next() {
            self.parts.plan.outputs[i].function = Function::Healthy;
            self.parts.outputs[i].function = Some("healthy");
        }
        let more: Vec<usize> = candidates.map(|(i, _)| i).collect();
        for i in more {
            let message = "more than one output could be the healthy signal";
            self.diags
                .error(
                    &self.at("outputs", i).key("normally"),
                    "healthy_ambiguous",
                    message,
                )
                .allowed("`function = \"healthy\"` at one of them");
        }
        for (i, output) in gas
            .outputs
            .iter()
            .enumerate()
            .take(self.parts.outputs.len())
        {
            let idle = self.parts.outputs[i].function.is_none() && !named.contains(&i);
            let unread = self.diags.stands_in("actions");
            if idle && !unread && !self.set_point_paths.iter().any(|s| s.broken) {
                let message = format!("nothing switches `{}`", output.id);
                self.diags
                    .warning(&self.root.key("outputs").index(i), "unused_output", message);
            }
        }
    }
}
