//! The document that observers see. Replaced as a whole, so whoever holds one holds a consistent one.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::CallError;

/// Characters of an argument's display text.
pub const TEXT_CHARS_MAX: usize = 200;

/// All models and actions. Keys are decimal in JSON: the Python client parses them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct State {
    /// By id.
    #[serde(serialize_with = "shared")]
    pub models: BTreeMap<u64, Arc<ModelState>>,
    /// By id; finished ones beyond `keep_actions` are gone.
    #[serde(serialize_with = "shared")]
    pub actions: BTreeMap<u64, Arc<ActionState>>,
}

/// Entries are shared between documents; on the wire that does not show.
fn shared<T: Serialize, S: Serializer>(
    map: &BTreeMap<u64, Arc<T>>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_map(map.iter().map(|(id, entry)| (id, &**entry)))
}

/// One model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelState {
    /// The backend's number.
    pub instance_id: u64,
    /// Picks the plugins.
    pub model_type: String,
    /// Counts every change of the instance since the start.
    pub version: u64,
    /// Bytes of the instance.
    pub bytes: usize,
    /// `false` while no plugin knows the type: the bytes are kept, calls fail.
    pub available: bool,
}

/// Where an action is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for the instance or a slot.
    Queued,
    /// Fetches its references.
    AccessingData,
    /// The plugin runs.
    Executing,
    /// The instance is being stored; too late to cancel.
    Storing,
    /// Ended well.
    Complete,
    /// Ended with `error`.
    Failed,
    /// Ended on request.
    Cancelled,
}

impl Phase {
    /// Whether nothing follows.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Cancelled)
    }
}

/// What an action was asked to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Meta {
    /// `create_instance`, `fit` or `predict`.
    pub call: &'static str,
    /// Of a create.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_type: Option<String>,
    /// Of a fit or predict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<u64>,
    /// Display texts.
    pub args: Vec<String>,
    /// Display texts.
    pub kwargs: BTreeMap<String, String>,
}

/// Why an action failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorState {
    /// [`Kind::name`](crate::error::Kind::name).
    pub kind: &'static str,
    /// For people.
    pub message: String,
}

impl From<&CallError> for ErrorState {
    fn from(error: &CallError) -> Self {
        Self {
            kind: error.kind.name(),
            message: error.message.clone(),
        }
    }
}

/// One action.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActionState {
    /// What was asked.
    pub meta: Meta,
    /// Where it is.
    pub progress: Phase,
    /// Last progress value of each reference that reported one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub data_access: BTreeMap<String, Value>,
    /// Last progress value of the main call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Value>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorState>,
    /// Who asked.
    pub user: String,
    /// RFC 3339.
    pub queued_at: String,
    /// RFC 3339; when the first plugin call began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// 1; counts up when a call is repeated after a worker was lost before it began.
    pub attempt: u32,
}

/// What Python's `str` shows for an argument, cut to [`TEXT_CHARS_MAX`] characters.
pub(super) fn display(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => {
            let mut out = String::new();
            repr(other, &mut out);
            out
        }
    };
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

fn repr(value: &Value, out: &mut String) {
    // Enough for any display: what is cut off anyway need not be written.
    if out.len() > 4 * TEXT_CHARS_MAX {
        return;
    }
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Value::String(text) => {
            let _ = write!(out, "'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        }
        Value::Array(items) => list(items, out),
        Value::Object(object) => match object.get("type").and_then(Value::as_str) {
            Some("data_access") => reference(object, out),
            Some("numpy_array") => {
                out.push_str("array(");
                repr(object.get("data").unwrap_or(&Value::Null), out);
                out.push(')');
            }
            _ => map(object, out),
        },
    }
}

fn list(items: &[Value], out: &mut String) {
    out.push('[');
    for (i, item) in items.iter().enumerate().take(TEXT_CHARS_MAX) {
        if i > 0 {
            out.push_str(", ");
        }
        repr(item, out);
    }
    out.push(']');
}

fn map(object: &Map<String, Value>, out: &mut String) {
    out.push('{');
    for (i, (key, item)) in object.iter().enumerate().take(TEXT_CHARS_MAX) {
        let _ = write!(out, "{}'{key}': ", if i > 0 { ", " } else { "" });
        repr(item, out);
    }
    out.push('}');
}

fn reference(object: &Map<String, Value>, out: &mut String) {
    let name = object
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let _ = write!(out, "DataAccess(name='{name}', args=");
    repr(object.get("args").unwrap_or(&Value::Array(Vec::new())), out);
    out.push_str(", kwargs=");
    repr(
        object.get("kwargs").unwrap_or(&Value::Object(Map::new())),
        out,
    );
    out.push(')');
}
