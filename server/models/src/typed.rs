//! Typed values in JSON: `{"type": "numpy_array", "dtype": .., "data": nested lists}`, `pandas_dataframe`,
//! `pandas_series`. They travel as JSON; here they are checked, and tensors are taken apart.

use serde_json::Value;

use crate::error::{CallError, Kind};

/// Numbers of one tensor. Reasoning: 32 MiB of `float64`, half of the largest message.
pub const ELEMENTS_MAX: usize = 4 << 20;
/// Dimensions of one tensor. Source: the limit of numpy.
pub const RANK_MAX: usize = 32;

/// Element types of tensors of numbers.
const DTYPES: [&str; 12] = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
    "float32", "float64",
];

/// Checks every typed value in `value`, at any depth.
///
/// # Errors
/// Ragged or too large tensors, unknown element types, elements that are none.
pub fn check(value: &Value) -> Result<(), CallError> {
    match value {
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(object)
            if object.get("type").and_then(Value::as_str) == Some("numpy_array") =>
        {
            tensor(value).map(drop)
        }
        Value::Object(object) => object.values().try_for_each(check),
        _ => Ok(()),
    }
}

/// Shape and elements of a tensor, row by row.
///
/// # Errors
/// As [`check`].
pub fn tensor(value: &Value) -> Result<(Vec<usize>, Vec<&Value>), CallError> {
    let dtype = value
        .get("dtype")
        .and_then(Value::as_str)
        .unwrap_or("float64");
    let text = dtype.starts_with("<U") || dtype == "object";
    if !text && !DTYPES.contains(&dtype) {
        return Err(CallError::bad(format!(
            "numpy_array: unknown dtype {dtype}"
        )));
    }
    let data = value
        .get("data")
        .ok_or_else(|| CallError::bad("numpy_array: missing field data"))?;
    let mut shape = Vec::new();
    let mut probe = data;
    while let Value::Array(items) = probe {
        shape.push(items.len());
        if shape.len() > RANK_MAX {
            return Err(CallError::bad(format!(
                "numpy_array: more than {RANK_MAX} dimensions"
            )));
        }
        let Some(first) = items.first() else { break };
        probe = first;
    }
    let mut elements = Vec::new();
    flatten(data, &shape, &mut elements)?;
    let wrong = elements.iter().find(|element| match element {
        // NaN has no JSON; a hole in the data is not a number.
        Value::Null | Value::String(_) | Value::Object(_) => !text,
        Value::Bool(_) => !text && dtype != "bool",
        Value::Number(_) | Value::Array(_) => false,
    });
    match wrong {
        Some(wrong) => Err(CallError::bad(format!(
            "numpy_array: {wrong} is no {dtype}"
        ))),
        None => Ok((shape, elements)),
    }
}

fn flatten<'a>(
    data: &'a Value,
    shape: &[usize],
    into: &mut Vec<&'a Value>,
) -> Result<(), CallError> {
    match (data, shape.split_first()) {
        (Value::Array(items), Some((length, inner))) if items.len() == *length => {
            items.iter().try_for_each(|item| flatten(item, inner, into))
        }
        (Value::Array(_), _) | (_, Some(_)) => {
            Err(CallError::bad("numpy_array: rows of different lengths"))
        }
        (element, None) if into.len() < ELEMENTS_MAX => {
            into.push(element);
            Ok(())
        }
        _ => Err(CallError::bad(format!(
            "numpy_array: more than {ELEMENTS_MAX} elements"
        ))),
    }
}

/// A series: a list of numbers, a tensor of one dimension, or a `pandas_series`.
///
/// # Errors
/// Anything else.
pub fn series(value: &Value) -> Result<Vec<f64>, CallError> {
    let number = |element: &Value| {
        element
            .as_f64()
            .ok_or_else(|| CallError::bad(format!("a series holds numbers, not {element}")))
    };
    match value {
        Value::Array(items) => items.iter().map(number).collect(),
        Value::Object(object) => match object.get("type").and_then(Value::as_str) {
            Some("numpy_array") => {
                let (shape, elements) = tensor(value)?;
                if shape.len() != 1 {
                    return Err(CallError::bad(format!(
                        "a series has one dimension, not {}",
                        shape.len()
                    )));
                }
                elements.into_iter().map(number).collect()
            }
            Some("pandas_series") => series(object.get("data").unwrap_or(&Value::Null)),
            _ => Err(CallError::bad("a series is a list of numbers")),
        },
        _ => Err(CallError::bad("a series is a list of numbers")),
    }
}

/// Replaces what a worker marks as NaN or infinite (`{"$float": ..}`), which JSON cannot say.
///
/// # Errors
/// `non_finite` unless `null_instead`.
pub fn settle(value: Value, null_instead: bool) -> Result<Value, CallError> {
    Ok(match value {
        Value::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| settle(item, null_instead))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(object) => match object.get("$float") {
            Some(_) if object.len() == 1 && null_instead => Value::Null,
            Some(float) if object.len() == 1 => {
                let message = format!("the result holds {float}, which JSON cannot say");
                return Err(CallError::new(Kind::NonFinite, message));
            }
            _ => {
                let entries = object.into_iter();
                let settled =
                    entries.map(|(key, item)| settle(item, null_instead).map(|item| (key, item)));
                Value::Object(settled.collect::<Result<_, _>>()?)
            }
        },
        plain => plain,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn array(dtype: &str, data: Value) -> Value {
        json!({"type": "numpy_array", "dtype": dtype, "data": data})
    }

    #[test]
    fn golden_a6_nested_rows_are_decoded_and_ragged_ones_refused() {
        let good = array("int32", json!([[1, 2, 3], [4, 5, 6]]));
        let (shape, elements) = tensor(&good).unwrap();
        assert_eq!((shape, elements.len()), (vec![2, 3], 6));
        for ragged in [
            json!([[1, 2], [3]]),
            json!([[1], 2]),
            json!([1, [2]]),
            json!([[], [1]]),
        ] {
            assert_eq!(
                check(&json!([{"x": array("int32", ragged)}]))
                    .unwrap_err()
                    .kind,
                Kind::BadArgument
            );
        }
    }

    #[test]
    fn golden_n4_holes_text_and_unknown_types_are_bad_arguments() {
        for (dtype, data) in [
            ("float64", json!([1.0, null])),
            ("int8", json!(["a"])),
            ("float128", json!([1.0])),
        ] {
            assert_eq!(
                check(&array(dtype, data)).unwrap_err().kind,
                Kind::BadArgument
            );
        }
        assert!(check(&array("<U3", json!(["abc"]))).is_ok());
        assert!(
            check(&json!({"type": "foo", "data": [[1], 2]})).is_ok(),
            "not ours"
        );
        let nan = json!([1, {"x": {"$float": "nan"}}]);
        assert_eq!(
            settle(nan.clone(), false).unwrap_err().kind,
            Kind::NonFinite
        );
        assert_eq!(settle(nan, true).unwrap(), json!([1, {"x": null}]));
    }

    #[test]
    fn a_series_comes_in_three_shapes() {
        let wanted = vec![1.0, 2.5];
        assert_eq!(series(&json!([1, 2.5])).unwrap(), wanted);
        assert_eq!(series(&array("float64", json!([1, 2.5]))).unwrap(), wanted);
        assert_eq!(
            series(&json!({"type": "pandas_series", "data": [1, 2.5]})).unwrap(),
            wanted
        );
        for bad in [
            json!([1, null]),
            json!("x"),
            json!({}),
            array("float64", json!([[1.0]])),
        ] {
            assert_eq!(series(&bad).unwrap_err().kind, Kind::BadArgument, "{bad}");
        }
    }
}
