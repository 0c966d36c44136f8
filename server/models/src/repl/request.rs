//! What a client asks, as a call of the engine, and the answer in its words.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    config::ReplRole,
    engine::{Answer, Arguments, Request},
    error::CallError,
};

/// The role that a call needs; `None` for an unknown one.
pub(super) fn role(name: &str) -> Option<ReplRole> {
    Some(match name {
        "list_types" => ReplRole::Viewer,
        "predict" => ReplRole::Operator,
        "create_instance" | "add_instance" | "update_instance" | "fit" | "cancel" => {
            ReplRole::Trainer
        }
        "remove_instance" => ReplRole::Admin,
        _ => return None,
    })
}

/// The call of that name.
pub(super) fn parse(name: &str, data: &Value) -> Result<Request, CallError> {
    let id = || {
        field(data, "instance_id")?
            .as_u64()
            .ok_or_else(|| CallError::bad("instance_id is a positive integer"))
    };
    let model_type = || text(data, "model_type");
    Ok(match name {
        "create_instance" => Request::Create {
            model_type: model_type()?,
            arguments: arguments(data)?,
        },
        "add_instance" => Request::Add {
            model_type: model_type()?,
            bytes: instance(data)?.into(),
        },
        "update_instance" => Request::Update {
            id: id()?,
            model_type: model_type()?,
            bytes: instance(data)?.into(),
        },
        "fit" => Request::Fit {
            id: id()?,
            arguments: arguments(data)?,
        },
        "predict" => Request::Predict {
            id: id()?,
            arguments: arguments(data)?,
        },
        "remove_instance" => Request::Remove { id: id()? },
        "cancel" => {
            let action = field(data, "action_id")?.as_u64();
            Request::Cancel {
                action: action.ok_or_else(|| CallError::bad("action_id is a positive integer"))?,
            }
        }
        _ => return Err(CallError::bad(format!("unknown call {name}"))),
    })
}

/// The answer's data.
pub(super) fn answer(answer: Answer) -> Value {
    match answer {
        Answer::Model {
            id,
            model_type,
            bytes,
        } => {
            json!({"instance_id": id, "model_type": model_type, "instance": BASE64_STANDARD.encode(&bytes)})
        }
        Answer::Value(value) => value,
        Answer::Took(took) => took.into(),
    }
}

fn field<'a>(data: &'a Value, name: &str) -> Result<&'a Value, CallError> {
    data.get(name)
        .ok_or_else(|| CallError::bad(format!("missing field {name}")))
}

fn text(data: &Value, name: &str) -> Result<String, CallError> {
    let value = field(data, name)?.as_str();
    value
        .map(str::to_owned)
        .ok_or_else(|| CallError::bad(format!("{name} is a text")))
}

/// The documentation of AIMM says `instance`, its client sends `instance_b64`.
fn instance(data: &Value) -> Result<Vec<u8>, CallError> {
    let value = data.get("instance_b64").or_else(|| data.get("instance"));
    let value = value.ok_or_else(|| CallError::bad("missing field instance_b64"))?;
    let text = value
        .as_str()
        .ok_or_else(|| CallError::bad("instance_b64 is a text"))?;
    BASE64_STANDARD
        .decode(text)
        .map_err(|e| CallError::bad(format!("instance_b64 is no base64: {e}")))
}

/// `args` and `kwargs`, which may be left out.
pub(crate) fn arguments(data: &Value) -> Result<Arguments, CallError> {
    let args = match data.get("args") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(args)) => args.clone(),
        Some(_) => return Err(CallError::bad("args is a list")),
    };
    let kwargs = match data.get("kwargs") {
        None | Some(Value::Null) => serde_json::Map::new(),
        Some(Value::Object(kwargs)) => kwargs.clone(),
        Some(_) => return Err(CallError::bad("kwargs is an object")),
    };
    Ok(Arguments { args, kwargs })
}
