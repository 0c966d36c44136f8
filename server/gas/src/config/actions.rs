//! References by id: to outputs of actions, and the did-you-mean of all others.

use super::raw::{ActionConfig, ActionModeConfig, OutputConfig};
use leitstand_core::gas::OutputIndex;
use leitstand_core::gas::plan::{ACTIONS_MAX, Action, ActionMode};
use leitstand_kit::config::{Diagnostics, Path};
use std::time::Duration;

/// The position of `id` among `known`; an unknown one is reported with the nearest known.
pub(super) fn resolve<'a>(
    diags: &mut Diagnostics,
    path: &Path,
    id: &str,
    what: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<usize> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(at) = known.iter().position(|k| *k == id) {
        return Some(at);
    }
    let allowed = if known.is_empty() {
        format!("there is no {what} in the file")
    } else {
        known.join(", ")
    };
    diags
        .error(
            path,
            "unknown_reference",
            format!("no {what} has the id `{id}`"),
        )
        .allowed(allowed)
        .suggest_from(id, known);
    None
}

/// Where actions find their outputs.
pub(super) struct Wanted<'a> {
    pub(super) outputs: &'a [OutputConfig],
    /// How many of them are in the plan.
    pub(super) known: usize,
}

impl Wanted<'_> {
    /// The actions of the set point at `path`.
    pub(super) fn actions(
        &self,
        diags: &mut Diagnostics,
        path: &Path,
        raw: &[ActionConfig],
    ) -> heapless::Vec<Action, ACTIONS_MAX> {
        let mut actions = heapless::Vec::new();
        let path = path.key("actions");
        for (k, action) in raw.iter().enumerate() {
            let path = path.index(k);
            let ids = self.outputs.iter().map(|o| o.id.as_str());
            let output = resolve(diags, &path.key("output"), &action.output, "output", ids);
            if action.pulse_s.is_some() && action.mode != ActionModeConfig::Pulse {
                diags
                    .error(
                        &path.key("pulse_s"),
                        "key_not_allowed",
                        "`pulse_s` means nothing here",
                    )
                    .allowed("`mode = \"pulse\"` beside it");
            }
            if raw[..k].iter().any(|a| a.output == action.output) {
                diags
                    .error(
                        &path.key("output"),
                        "output_twice",
                        format!("`{}` is switched twice", action.output),
                    )
                    .allowed("each output once");
                continue;
            }
            let Some(output) = output
                .filter(|o| *o < self.known)
                .and_then(|o| u8::try_from(o).ok())
            else {
                continue;
            };
            let mode = match action.mode {
                ActionModeConfig::Follow => ActionMode::Follow,
                ActionModeConfig::Flash => ActionMode::Flash,
                ActionModeConfig::Pulse => {
                    ActionMode::Pulse(Duration::from_secs(action.pulse_s.unwrap_or(1).into()))
                }
            };
            let action = Action {
                output: OutputIndex(output),
                mode,
            };
            if actions.push(action).is_err() {
                diags
                    .error(&path, "too_many", format!("{} actions", raw.len()))
                    .allowed(format!("at most {ACTIONS_MAX}"));
                break;
            }
        }
        actions
    }
}
