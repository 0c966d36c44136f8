//! References in arguments: `{"type": "data_access", ...}` is replaced by what the named plugin fetches.

use serde_json::{Map, Value};

use crate::error::CallError;

/// References within references. Reasoning: nobody reads a call that goes deeper.
pub const DEPTH_MAX: usize = 8;
/// References of one call. Reasoning: each is a plugin call; a call with more is a program.
pub const REFERENCES_MAX: usize = 256;

/// Where the fetched value goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Position(usize),
    Name(String),
}

/// One reference of a call, and what it waits for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reference {
    /// Key of its progress: position or keyword, dotted for inner ones (`0.args.1`).
    pub(super) path: String,
    pub(super) name: String,
    pub(super) args: Vec<Value>,
    pub(super) kwargs: Map<String, Value>,
    /// The reference it is an argument of; `None` for an argument of the call.
    pub(super) parent: Option<usize>,
    pub(super) place: Place,
    /// References in its own arguments that are not there yet.
    pub(super) open: usize,
}

/// All references of a call; inner ones behind their parent.
///
/// # Errors
/// Too deep, too many, or a reference without a name or with arguments of another shape.
pub(super) fn find(
    args: &[Value],
    kwargs: &Map<String, Value>,
) -> Result<Vec<Reference>, CallError> {
    let mut found = Vec::new();
    let top = |place: Place, value: &Value, found: &mut Vec<Reference>| {
        let path = match &place {
            Place::Position(i) => i.to_string(),
            Place::Name(name) => name.clone(),
        };
        visit(value, path, None, place, 1, found)
    };
    for (i, value) in args.iter().enumerate() {
        top(Place::Position(i), value, &mut found)?;
    }
    for (name, value) in kwargs {
        top(Place::Name(name.clone()), value, &mut found)?;
    }
    Ok(found)
}

fn visit(
    value: &Value,
    path: String,
    parent: Option<usize>,
    place: Place,
    depth: usize,
    found: &mut Vec<Reference>,
) -> Result<(), CallError> {
    if value.get("type").and_then(Value::as_str) != Some("data_access") {
        return Ok(());
    }
    if depth > DEPTH_MAX {
        return Err(CallError::bad(format!(
            "references deeper than {DEPTH_MAX} at {path}"
        )));
    }
    if found.len() >= REFERENCES_MAX {
        return Err(CallError::bad(format!(
            "more than {REFERENCES_MAX} references"
        )));
    }
    let bad = |what: &str| CallError::bad(format!("reference {path}: {what}"));
    let name = value
        .get("name")
        .and_then(Value::as_str)
        .ok_or_else(|| bad("missing field name"))?;
    let args = match value.get("args") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(args)) => args.clone(),
        Some(_) => return Err(bad("args must be a list")),
    };
    let kwargs = match value.get("kwargs") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(kwargs)) => kwargs.clone(),
        Some(_) => return Err(bad("kwargs must be an object")),
    };
    let me = found.len();
    if let Some(parent) = parent {
        found[parent].open += 1;
    }
    let name = name.to_owned();
    found.push(Reference {
        path: path.clone(),
        name,
        args: args.clone(),
        kwargs: kwargs.clone(),
        parent,
        place,
        open: 0,
    });
    for (i, value) in args.iter().enumerate() {
        visit(
            value,
            format!("{path}.args.{i}"),
            Some(me),
            Place::Position(i),
            depth + 1,
            found,
        )?;
    }
    for (name, value) in &kwargs {
        let place = Place::Name(name.clone());
        visit(
            value,
            format!("{path}.kwargs.{name}"),
            Some(me),
            place,
            depth + 1,
            found,
        )?;
    }
    Ok(())
}

/// Puts a fetched value where its reference stood.
pub(super) fn put(args: &mut [Value], kwargs: &mut Map<String, Value>, place: Place, value: Value) {
    match place {
        Place::Position(i) => args[i] = value,
        Place::Name(name) => {
            kwargs.insert(name, value);
        }
    }
}
