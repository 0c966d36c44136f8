//! Open Inference Protocol v2 over HTTP: tensors in, tensors out.
//!
//! A model is called by its number or alias. Its inputs become positional arguments in their order: tensors of
//! one dimension for built-in models (`input` is the series), arrays for Python plugins. A prediction that is a
//! map answers one output a key; anything else answers one output named `output`. Errors are `{"error": text}`.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use leitstand_kit::{
    access,
    api::{Json, UrlPath},
};
use serde_json::{Map, Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    engine::{Answer, Arguments, Request},
    error::{CallError, Kind},
    service::Models,
    typed,
};

/// Element types with the name that Python plugins know them by.
const DATATYPES: &[(&str, &str)] = &[
    ("BOOL", "bool"),
    ("UINT8", "uint8"),
    ("UINT16", "uint16"),
    ("UINT32", "uint32"),
    ("UINT64", "uint64"),
    ("INT8", "int8"),
    ("INT16", "int16"),
    ("INT32", "int32"),
    ("INT64", "int64"),
    ("FP16", "float16"),
    ("FP32", "float32"),
    ("FP64", "float64"),
    ("BYTES", "object"),
];

/// The routes under `/v2`.
pub(crate) fn routes(models: &Models) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(server))
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metadata))
        .routes(routes!(model_ready))
        .routes(routes!(infer))
        .routes(routes!(index))
        .with_state(models.clone())
}

struct OipError(StatusCode, String);

impl IntoResponse for OipError {
    fn into_response(self) -> Response {
        (self.0, axum::Json(json!({"error": self.1}))).into_response()
    }
}

impl From<CallError> for OipError {
    fn from(error: CallError) -> Self {
        let status = match error.kind {
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::BadArgument => StatusCode::BAD_REQUEST,
            Kind::Busy | Kind::Unavailable | Kind::Storage => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.message)
    }
}

fn find(models: &Models, name: &str) -> Result<u64, OipError> {
    let missing = || OipError(StatusCode::NOT_FOUND, format!("model {name} not found"));
    models.find(name).ok_or_else(missing)
}

/// What this server is.
#[utoipa::path(get, path = "/v2", tag = "oip", responses((status = 200, body = Object)))]
async fn server(_: access::Viewer, State(models): State<Models>) -> Json<Value> {
    let name = &models.settings().name;
    Json(
        json!({"name": name, "version": env!("CARGO_PKG_VERSION"), "extensions": ["model_repository"]}),
    )
}

/// Whether the process answers.
#[utoipa::path(get, path = "/v2/health/live", tag = "oip", responses((status = 200, body = Object)))]
async fn live(_: access::Viewer) -> Json<Value> {
    Json(json!({"live": true}))
}

/// Whether models can be asked.
#[utoipa::path(get, path = "/v2/health/ready", tag = "oip", responses((status = 200, body = Object)))]
async fn ready(_: access::Viewer) -> Json<Value> {
    Json(json!({"ready": true}))
}

/// Inputs and outputs of a model.
#[utoipa::path(get, path = "/v2/models/{model}", tag = "oip", params(("model" = String, Path)), responses((status = 200, body = Object)))]
async fn metadata(
    _: access::Viewer,
    State(models): State<Models>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<Value>, OipError> {
    let id = find(&models, &name)?;
    let state = models.follow().borrow().clone();
    let model_type = state
        .models
        .get(&id)
        .map(|model| model.model_type.clone())
        .unwrap_or_default();
    let tensor = |name| json!({"name": name, "datatype": "FP64", "shape": [-1]});
    let (platform, inputs, outputs) = if model_type.starts_with("builtin.") {
        (
            "leitstand_online",
            vec![tensor("input")],
            vec![tensor("value"), tensor("score")],
        )
    } else {
        ("python", Vec::new(), Vec::new()) // what a Python plugin takes is known to nobody but it
    };
    Ok(Json(
        json!({"name": name, "versions": ["1"], "platform": platform, "inputs": inputs, "outputs": outputs}),
    ))
}

/// Whether a model can be asked.
#[utoipa::path(get, path = "/v2/models/{model}/ready", tag = "oip", params(("model" = String, Path)), responses((status = 200, body = Object)))]
async fn model_ready(
    _: access::Viewer,
    State(models): State<Models>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<Value>, OipError> {
    let id = find(&models, &name)?;
    let state = models.follow().borrow().clone();
    let ready = state.models.get(&id).is_some_and(|model| model.available);
    Ok(Json(json!({"name": name, "ready": ready})))
}

/// All models.
#[utoipa::path(post, path = "/v2/repository/index", tag = "oip", responses((status = 200, body = Object)))]
async fn index(_: access::Viewer, State(models): State<Models>) -> Json<Value> {
    let state = models.follow().borrow().clone();
    let entry = |id: &u64, available| json!({"name": id.to_string(), "version": "1", "state": if available { "READY" } else { "UNAVAILABLE" }});
    Json(
        state
            .models
            .iter()
            .map(|(id, model)| entry(id, model.available))
            .collect(),
    )
}

/// Asks a model.
#[utoipa::path(post, path = "/v2/models/{model}/infer", tag = "oip", params(("model" = String, Path)), request_body = Object, responses((status = 200, body = Object)))]
async fn infer(
    access::Operator(caller): access::Operator,
    State(models): State<Models>,
    UrlPath(name): UrlPath<String>,
    body: axum::body::Bytes,
) -> Result<Json<Value>, OipError> {
    let id = find(&models, &name)?;
    let request: Value = serde_json::from_slice(&body)
        .map_err(|e| OipError(StatusCode::BAD_REQUEST, format!("no JSON: {e}")))?;
    let arguments = Arguments {
        args: inputs(&request)?,
        kwargs: Map::new(),
    };
    let Answer::Value(value) = models
        .call(&caller.name, Request::Predict { id, arguments })
        .await?
    else {
        return Err(OipError(
            StatusCode::INTERNAL_SERVER_ERROR,
            "no prediction".into(),
        ));
    };
    let wanted = request.get("outputs").and_then(Value::as_array);
    let wanted: Option<Vec<&str>> =
        wanted.map(|list| list.iter().filter_map(|o| o["name"].as_str()).collect());
    let outputs = outputs(&value)?;
    let chosen = outputs.into_iter().filter(|output| {
        wanted.as_ref().is_none_or(|names| {
            output["name"]
                .as_str()
                .is_some_and(|name| names.contains(&name))
        })
    });
    let mut reply =
        json!({"model_name": name, "model_version": "1", "outputs": chosen.collect::<Vec<_>>()});
    if let Some(id) = request.get("id") {
        reply["id"] = id.clone();
    }
    Ok(Json(reply))
}

/// The inputs of a request as arguments.
///
/// # Errors
/// Unknown element types, element counts that are not the product of the shape, data that is ragged.
pub fn inputs(request: &Value) -> Result<Vec<Value>, CallError> {
    let inputs = request.get("inputs").and_then(Value::as_array);
    let inputs = inputs.ok_or_else(|| CallError::bad("missing field inputs"))?;
    inputs.iter().map(input).collect()
}

fn input(input: &Value) -> Result<Value, CallError> {
    let name = input
        .get("name")
        .and_then(Value::as_str)
        .ok_or_else(|| CallError::bad("an input has no name"))?;
    let bad = |what: String| CallError::bad(format!("input {name}: {what}"));
    let datatype = input
        .get("datatype")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let dtype = DATATYPES.iter().find(|(oip, _)| *oip == datatype);
    let (_, dtype) = dtype.ok_or_else(|| bad(format!("unknown datatype {datatype:?}")))?;
    let shape = input
        .get("shape")
        .and_then(Value::as_array)
        .ok_or_else(|| bad("missing field shape".into()))?;
    let sizes = shape
        .iter()
        .map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok()));
    let shape: Option<Vec<usize>> = sizes.collect();
    let shape = shape
        .filter(|s| s.len() <= typed::RANK_MAX)
        .ok_or_else(|| bad("a shape of no tensor".into()))?;
    let count = shape
        .iter()
        .try_fold(1_usize, |product, n| product.checked_mul(*n));
    let mut flat = Vec::new();
    flatten(
        input
            .get("data")
            .ok_or_else(|| bad("missing field data".into()))?,
        &mut flat,
    );
    if count != Some(flat.len()) {
        return Err(bad(format!(
            "{} elements do not fill the shape {shape:?}",
            flat.len()
        )));
    }
    let tensor =
        json!({"type": "numpy_array", "dtype": dtype, "data": nest(&mut flat.into_iter(), &shape)});
    typed::check(&tensor)?;
    Ok(tensor)
}

/// Flat or nested, the protocol allows both.
fn flatten(data: &Value, into: &mut Vec<Value>) {
    match data {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, into)),
        element => into.push(element.clone()),
    }
}

fn nest(elements: &mut impl Iterator<Item = Value>, shape: &[usize]) -> Value {
    match shape.split_first() {
        None => elements.next().unwrap_or_default(),
        Some((n, [])) => elements.take(*n).collect(),
        Some((n, inner)) => (0..*n).map(|_| nest(elements, inner)).collect(),
    }
}

fn outputs(value: &Value) -> Result<Vec<Value>, CallError> {
    match value {
        Value::Object(map) if map.get("type").and_then(Value::as_str) != Some("numpy_array") => {
            let tensors = map
                .iter()
                .filter(|(_, value)| value.is_array() || value.get("type").is_some());
            tensors.map(|(name, value)| output(name, value)).collect()
        }
        value => Ok(vec![output("output", value)?]),
    }
}

fn output(name: &str, value: &Value) -> Result<Value, CallError> {
    let data = value.get("data").unwrap_or(value);
    let mut shape = Vec::new();
    let mut probe = data;
    while let Value::Array(items) = probe {
        shape.push(items.len());
        let Some(first) = items.first() else { break };
        probe = first;
    }
    let mut flat = Vec::new();
    flatten(data, &mut flat);
    if shape.iter().product::<usize>() != flat.len() {
        return Err(CallError::new(
            Kind::Unsupported,
            format!("output {name} is no tensor"),
        ));
    }
    let all = |is: fn(&Value) -> bool| flat.iter().all(is);
    let datatype = if all(|v| v.is_i64() || v.is_u64()) {
        "INT64"
    } else if all(Value::is_boolean) {
        "BOOL"
    } else if all(|v| v.is_number() || v.is_null()) {
        "FP64"
    } else {
        "BYTES"
    };
    if shape.is_empty() {
        shape.push(1);
    }
    Ok(json!({"name": name, "shape": shape, "datatype": datatype, "data": flat}))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request(datatype: &str, shape: Value, data: Value) -> Value {
        json!({"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}]})
    }

    #[test]
    fn golden_o2_shapes_and_types_that_do_not_fit_are_refused() {
        for bad in [
            request("FP32", json!([2, 4]), json!([1, 2, 3])),
            request("FP128", json!([1]), json!([1])),
            request("FP32", json!([-1]), json!([1])),
            request("FP32", json!([u64::MAX, 4]), json!([1])),
            request("FP32", json!([1]), json!([null])),
            request("FP32", json!([1]), json!(["a"])),
            json!({}),
            json!({"inputs": [{}]}),
        ] {
            assert_eq!(inputs(&bad).unwrap_err().kind, Kind::BadArgument, "{bad}");
        }
    }

    #[test]
    fn flat_and_nested_data_are_the_same_tensor() {
        let nested = [json!({"type": "numpy_array", "dtype": "float32", "data": [[1, 2], [3, 4]]})];
        for data in [json!([1, 2, 3, 4]), json!([[1, 2], [3, 4]])] {
            assert_eq!(
                inputs(&request("FP32", json!([2, 2]), data)).unwrap(),
                nested
            );
        }
    }

    #[test]
    fn predictions_become_outputs_with_shape_and_type() {
        let online = json!({"value": [1.0, 2.0], "score": [null, 0.5], "state": {"mean": 1.5}});
        let named = outputs(&online).unwrap();
        assert_eq!(named.len(), 2);
        assert_eq!(
            named[1],
            json!({"name": "value", "shape": [2], "datatype": "FP64", "data": [1.0, 2.0]})
        );
        let array = outputs(&json!({"type": "numpy_array", "data": [[0, 1]]})).unwrap();
        assert_eq!(
            array[0],
            json!({"name": "output", "shape": [1, 2], "datatype": "INT64", "data": [0, 1]})
        );
    }
}
