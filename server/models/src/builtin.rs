//! Plugins that are always there: the online models of the core, and data access to series, files, constants.
//!
//! `builtin.<kind>`: `create(**parameters)`; `fit(series)`; `predict(series, learn=false)` answers
//! `{"value": [..], "score": [..], "state": {..}}`. A prediction runs on a copy, sample by sample, as if it
//! learned; only with `learn=true` the copy becomes the instance.

use std::{path::PathBuf, sync::Arc};

use leitstand_core::online::{Any, BLOB_BYTES_MAX, Kind as Method, OnlineModel as _};
use serde_json::{Map, Value, json};

use crate::{
    error::{CallError, Kind},
    plugin::{Catalogue, Outcome, Role, Traits, Work},
    series::Recorder,
    typed,
};

/// Bytes of a file read as data.
const CSV_BYTES_MAX: u64 = 64 << 20;
/// Samples between two looks whether the call was stopped.
const CHUNK: usize = 4096;
const DATA: [&str; 4] = ["history", "latest", "csv", "constant"];

/// The built-in plugins and what they read.
pub(crate) struct Builtin {
    pub(crate) series: Arc<Recorder>,
    /// Where `csv` may read.
    pub(crate) files: PathBuf,
}

/// Adds them all.
pub(crate) fn register(catalogue: &mut Catalogue) {
    for method in Method::ALL {
        let name = format!("builtin.{}", method.name());
        for role in [Role::Instantiate, Role::Fit, Role::Predict] {
            catalogue.add(role, &name, Traits::default());
        }
    }
    for name in DATA {
        catalogue.add(Role::DataAccess, name, Traits::default());
    }
}

/// Whether `key` is served here.
pub(crate) fn serves(role: Role, key: &str) -> bool {
    if role == Role::DataAccess {
        DATA.contains(&key)
    } else {
        method(key).is_some()
    }
}

/// Refuses bytes that are no instance of a built-in type; other types are opaque.
pub(crate) fn check_bytes(model_type: &str, bytes: &[u8]) -> Result<(), CallError> {
    let Some(method) = method(model_type) else {
        return Ok(());
    };
    match Any::import(bytes) {
        Ok(any) if any.kind() == method => Ok(()),
        Ok(any) => Err(CallError::bad(format!(
            "the bytes are a builtin.{}",
            any.kind().name()
        ))),
        Err(error) => Err(CallError::bad(format!(
            "the bytes are no {model_type}: {error:?}"
        ))),
    }
}

fn method(key: &str) -> Option<Method> {
    key.strip_prefix("builtin.").and_then(Method::named)
}

impl Builtin {
    /// Runs one call; asks `stopped` now and then.
    pub(crate) fn run(&self, work: Work, stopped: &dyn Fn() -> bool) -> Result<Outcome, CallError> {
        let Work {
            role,
            key,
            instance,
            args,
            kwargs,
        } = work;
        let mut call = Call {
            args: args.into_iter().map(Some).collect(),
            kwargs,
        };
        let missing = || CallError::new(Kind::NotFound, role.missing(&key));
        if role == Role::DataAccess {
            let value = self.fetch(&key, &mut call)?;
            return Ok(Outcome {
                value,
                instance: None,
            });
        }
        let method = method(&key).ok_or_else(missing)?;
        if role == Role::Instantiate {
            return create(method, &call);
        }
        let bytes = instance.as_ref().map(|i| &i.bytes).ok_or_else(missing)?;
        let damaged =
            |e| CallError::new(Kind::Plugin, format!("the stored model is damaged: {e:?}"));
        let mut model = Any::import(bytes).map_err(damaged)?;
        let series = typed::series(&call.take(0, "series")?)?;
        let learn = role == Role::Fit
            || call
                .take(1, "learn")
                .is_ok_and(|learn| learn == json!(true));
        call.end(if role == Role::Fit { 1 } else { 2 })?;
        let mut values = Vec::with_capacity(series.len());
        let mut scores = Vec::with_capacity(series.len());
        for (i, sample) in series.into_iter().enumerate() {
            if i % CHUNK == CHUNK - 1 && stopped() {
                return Err(CallError::new(Kind::Cancelled, "cancelled"));
            }
            let bad = |_| CallError::bad(format!("sample {i} is no usable number"));
            let score = model.update(sample).map_err(bad)?;
            values.push(json!(score.value));
            scores.push(json!(score.sigmas));
        }
        let instance = if learn { Some(export(&model)?) } else { None };
        if role == Role::Fit {
            return Ok(Outcome {
                value: Value::Null,
                instance,
            });
        }
        let mut state = Map::new();
        model.describe(&mut |name, value| {
            state.insert(name.to_owned(), json!(value));
        });
        Ok(Outcome {
            value: json!({"value": values, "score": scores, "state": state}),
            instance,
        })
    }

    fn fetch(&self, name: &str, call: &mut Call) -> Result<Value, CallError> {
        match name {
            "constant" => {
                let value = call.take(0, "value")?;
                call.end(1)?;
                Ok(value)
            }
            "latest" => {
                let tags = call.take(0, "tags")?;
                call.end(1)?;
                let one = |tag: &Value| {
                    let tag = tag
                        .as_str()
                        .ok_or_else(|| CallError::bad("a tag is a text"))?;
                    self.series.latest(tag).map(|value| json!(value))
                };
                match &tags {
                    Value::Array(tags) => tags
                        .iter()
                        .map(one)
                        .collect::<Result<Vec<_>, _>>()
                        .map(Value::from),
                    tag => one(tag),
                }
            }
            "history" => {
                let tag = call.take(0, "tag")?;
                let tag = tag
                    .as_str()
                    .ok_or_else(|| CallError::bad("tag is a text"))?
                    .to_owned();
                let mut seconds = |at, name, otherwise: f64| match call.take(at, name) {
                    Ok(Value::Null) | Err(_) => Ok(otherwise),
                    Ok(value) => value.as_f64().filter(|s| *s >= 0.0).ok_or_else(|| {
                        CallError::bad(format!("{name} is a number of seconds, not {value}"))
                    }),
                };
                let from = seconds(1, "from", f64::INFINITY)?;
                let to = seconds(2, "to", 0.0)?;
                let step = seconds(3, "step", 1.0)?;
                call.end(4)?;
                self.series.history(&tag, from, to, step).map(Value::from)
            }
            _ => self.csv(call),
        }
    }

    /// One column of a file below the folder of the configuration.
    fn csv(&self, call: &mut Call) -> Result<Value, CallError> {
        let file = call.take(0, "file")?;
        let column = call.take(1, "column").unwrap_or(json!(0));
        call.end(2)?;
        let file = file
            .as_str()
            .ok_or_else(|| CallError::bad("file is a text"))?;
        let failed = |why: String| CallError::new(Kind::Plugin, format!("csv {file}: {why}"));
        let root = self
            .files
            .canonicalize()
            .map_err(|e| failed(e.to_string()))?;
        let path = root
            .join(file)
            .canonicalize()
            .map_err(|e| failed(e.to_string()))?;
        if !path.starts_with(&root) {
            return Err(CallError::bad(format!(
                "csv {file}: outside of the allowed folder"
            )));
        }
        let meta = path.metadata().map_err(|e| failed(e.to_string()))?;
        if !meta.is_file() || meta.len() > CSV_BYTES_MAX {
            return Err(failed(format!("no file of at most {CSV_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| failed(e.to_string()))?;
        let mut rows = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .peekable();
        let at = match &column {
            Value::Number(n) => n.as_u64().and_then(|n| usize::try_from(n).ok()),
            Value::String(name) => rows
                .next()
                .and_then(|head| cells(head).position(|cell| cell == name)),
            _ => None,
        };
        let at = at.ok_or_else(|| CallError::bad(format!("csv {file}: no column {column}")))?;
        let number = |line: &str| {
            cells(line)
                .nth(at)
                .and_then(|cell| cell.parse::<f64>().ok())
        };
        let heading = rows
            .peek()
            .is_some_and(|line| column.is_number() && number(line).is_none());
        let numbers = rows
            .skip(usize::from(heading))
            .enumerate()
            .map(|(i, line)| {
                let found = number(line).filter(|n| n.is_finite());
                found.ok_or_else(|| {
                    failed(format!("row {} has no number in column {column}", i + 1))
                })
            });
        Ok(Value::from(numbers.collect::<Result<Vec<_>, _>>()?))
    }
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.split([',', ';']).map(str::trim)
}

fn create(method: Method, call: &Call) -> Result<Outcome, CallError> {
    if !call.args.is_empty() {
        return Err(CallError::bad("parameters are given by name"));
    }
    let known = method.parameters();
    if let Some(unknown) = call
        .kwargs
        .keys()
        .find(|name| !known.iter().any(|p| p.name == name.as_str()))
    {
        let names: Vec<_> = known.iter().map(|p| p.name).collect();
        return Err(CallError::bad(format!(
            "unknown parameter {unknown}; there are {}",
            names.join(", ")
        )));
    }
    let values = known.iter().map(|p| match call.kwargs.get(p.name) {
        None => Ok(p.default),
        Some(value) => value
            .as_f64()
            .ok_or_else(|| CallError::bad(format!("{} is a number, not {value}", p.name))),
    });
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let model = Any::new(method, &values).map_err(|e| {
        let p = e.parameter;
        let what = if p.whole {
            "a whole number"
        } else {
            "a number"
        };
        CallError::bad(format!("{} is {what} from {} to {}", p.name, p.min, p.max))
    })?;
    Ok(Outcome {
        value: Value::Null,
        instance: Some(export(&model)?),
    })
}

/// A model as bytes.
pub(crate) fn export(model: &Any) -> Result<Arc<[u8]>, CallError> {
    let mut buffer = [0; BLOB_BYTES_MAX];
    let n = model
        .export(&mut buffer)
        .map_err(|e| CallError::new(Kind::Plugin, format!("{e:?}")))?;
    Ok(buffer[..n].into())
}

/// Arguments by position or name, as Python would bind them.
struct Call {
    args: Vec<Option<Value>>,
    kwargs: Map<String, Value>,
}

impl Call {
    fn take(&mut self, at: usize, name: &str) -> Result<Value, CallError> {
        let positional = self.args.get_mut(at).and_then(Option::take);
        let value = positional.or_else(|| self.kwargs.remove(name));
        value.ok_or_else(|| CallError::bad(format!("missing argument {name}")))
    }

    /// Nothing may be left over: a mistyped name must not be taken for a default.
    fn end(&self, count: usize) -> Result<(), CallError> {
        if let Some(name) = self.kwargs.keys().next() {
            return Err(CallError::bad(format!("unknown argument {name}")));
        }
        if self.args.len() > count {
            return Err(CallError::bad(format!(
                "at most {count} arguments, not {}",
                self.args.len()
            )));
        }
        Ok(())
    }
}
