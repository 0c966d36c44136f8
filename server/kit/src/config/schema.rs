//! JSON Schema as schemars writes it, seen from one place: references followed, parts merged.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// How deep references and `allOf` are followed. Reasoning: configuration is a few levels; a schema that refers to
/// itself ends here.
const DEPTH_MAX: usize = 16;

/// All that is said about a value in one place of the configuration.
#[derive(Clone, Default)]
pub(super) struct View<'s> {
    /// JSON types without `null`; empty = any.
    pub(super) types: Vec<&'s str>,
    pub(super) properties: BTreeMap<&'s str, &'s Value>,
    pub(super) required: BTreeSet<&'s str>,
    pub(super) additional: Option<&'s Value>,
    pub(super) items: Option<&'s Value>,
    /// Texts that are allowed, each with its description.
    pub(super) choices: Vec<(&'s str, Option<&'s str>)>,
    /// Shapes of which one must fit.
    pub(super) alternatives: Vec<&'s Value>,
    pub(super) minimum: Option<f64>,
    pub(super) exclusive_minimum: Option<f64>,
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_maximum: Option<f64>,
    pub(super) length: (Option<u64>, Option<u64>),
    pub(super) description: Option<&'s str>,
    pub(super) default: Option<&'s Value>,
}

/// A schema with its definitions.
pub(super) struct Schema<'s> {
    pub(super) root: &'s Value,
}

impl<'s> Schema<'s> {
    pub(super) fn view(&self, schema: &'s Value) -> View<'s> {
        self.view_within(schema, DEPTH_MAX)
    }

    fn view_within(&self, schema: &'s Value, depth: usize) -> View<'s> {
        let mut view = View::of(schema);
        if depth == 0 {
            return view;
        }
        if let Some(target) = schema["$ref"]
            .as_str()
            .and_then(|r| self.root.pointer(r.strip_prefix('#')?))
        {
            view.merge(self.view_within(target, depth - 1));
        }
        for part in list(schema, "allOf") {
            view.merge(self.view_within(part, depth - 1));
        }
        let shapes: Vec<_> = ["oneOf", "anyOf"]
            .into_iter()
            .flat_map(|word| list(schema, word))
            .collect();
        let shapes: Vec<_> = shapes
            .into_iter()
            .filter(|shape| shape["type"] != "null")
            .collect();
        let views: Vec<_> = shapes
            .iter()
            .map(|shape| self.view_within(shape, depth - 1))
            .collect();
        match <[View; 1]>::try_from(views) {
            Ok([only]) => view.merge(only),
            Err(views)
                if !views.is_empty()
                    && views
                        .iter()
                        .all(|v| !v.choices.is_empty() && v.alternatives.is_empty()) =>
            {
                for choice in views {
                    let about = choice.description;
                    view.choices.extend(
                        choice
                            .choices
                            .into_iter()
                            .map(|(text, own)| (text, own.or(about))),
                    );
                }
                view.types = vec!["string"];
            }
            Err(_) => view.alternatives.extend(shapes),
        }
        view
    }

    /// The key that tells the alternatives apart, with the alternative for each of its values: a property that is one
    /// fixed text in each of them.
    pub(super) fn tag(
        &self,
        alternatives: &[&'s Value],
    ) -> Option<(&'s str, Vec<(&'s str, &'s Value)>)> {
        let views: Vec<_> = alternatives.iter().map(|shape| self.view(shape)).collect();
        let fixed = |view: &View<'s>, key: &str| match self
            .view(view.properties.get(key)?)
            .choices
            .as_slice()
        {
            [(only, _)] => Some(*only),
            _ => None,
        };
        let key = views
            .first()?
            .properties
            .keys()
            .copied()
            .find(|key| views.iter().all(|view| fixed(view, key).is_some()))?;
        let values = views
            .iter()
            .zip(alternatives)
            .filter_map(|(view, shape)| Some((fixed(view, key)?, *shape)));
        Some((key, values.collect()))
    }
}

fn list<'s>(schema: &'s Value, word: &str) -> Vec<&'s Value> {
    schema[word]
        .as_array()
        .map(|list| list.iter().collect())
        .unwrap_or_default()
}

impl<'s> View<'s> {
    /// What the schema itself says, without what it refers to.
    fn of(schema: &'s Value) -> Self {
        let texts = |value: &'s Value| match value {
            Value::String(text) => vec![text.as_str()],
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut choices = texts(&schema["enum"]);
        choices.extend(texts(&schema["const"]));
        let properties = schema["properties"].as_object().into_iter().flatten();
        let (of_format_min, of_format_max) = format_range(schema["format"].as_str().unwrap_or(""));
        let bound = |words: [&str; 2]| words.into_iter().find_map(|word| schema[word].as_u64());
        Self {
            types: texts(&schema["type"])
                .into_iter()
                .filter(|t| *t != "null")
                .collect(),
            properties: properties
                .map(|(key, value)| (key.as_str(), value))
                .collect(),
            required: texts(&schema["required"]).into_iter().collect(),
            additional: schema
                .get("additionalProperties")
                .or_else(|| schema.get("unevaluatedProperties")),
            items: schema.get("items"),
            choices: choices.into_iter().map(|text| (text, None)).collect(),
            alternatives: Vec::new(),
            minimum: schema["minimum"].as_f64().or(of_format_min),
            exclusive_minimum: schema["exclusiveMinimum"].as_f64(),
            maximum: schema["maximum"].as_f64().or(of_format_max),
            exclusive_maximum: schema["exclusiveMaximum"].as_f64(),
            length: (
                bound(["minLength", "minItems"]),
                bound(["maxLength", "maxItems"]),
            ),
            description: schema["description"].as_str(),
            default: schema.get("default"),
        }
    }

    /// Adds what another part says; what was said first stays.
    pub(super) fn merge(&mut self, other: Self) {
        if self.types.is_empty() {
            self.types = other.types;
        }
        for (key, value) in other.properties {
            self.properties.entry(key).or_insert(value);
        }
        self.required.extend(other.required);
        self.additional = self.additional.or(other.additional);
        self.items = self.items.or(other.items);
        if self.choices.is_empty() {
            self.choices = other.choices;
        }
        self.alternatives.extend(other.alternatives);
        self.minimum = self.minimum.or(other.minimum);
        self.exclusive_minimum = self.exclusive_minimum.or(other.exclusive_minimum);
        self.maximum = self.maximum.or(other.maximum);
        self.exclusive_maximum = self.exclusive_maximum.or(other.exclusive_maximum);
        self.length = (
            self.length.0.or(other.length.0),
            self.length.1.or(other.length.1),
        );
        self.description = self.description.or(other.description);
        self.default = self.default.or(other.default);
    }

    /// Whether keys beyond the properties are mistakes. They are, unless the schema speaks of them: a missing
    /// `deny_unknown_fields` does not make a misspelt key right.
    pub(super) fn unknown_keys_are_wrong(&self) -> bool {
        match self.additional {
            Some(Value::Bool(allowed)) => !allowed,
            Some(_) => false,
            None => !self.properties.is_empty(),
        }
    }

    /// The range in words.
    pub(super) fn range(&self) -> Option<String> {
        let low = match (self.minimum, self.exclusive_minimum) {
            (_, Some(low)) => Some(format!("more than {low}")),
            (Some(low), None) => Some(format!("{low}")),
            (None, None) => None,
        };
        let high = match (self.maximum, self.exclusive_maximum) {
            (_, Some(high)) => Some(format!("less than {high}")),
            (Some(high), None) => Some(format!("{high}")),
            (None, None) => None,
        };
        match (low, high) {
            (Some(low), Some(high)) => Some(format!("{low} to {high}")),
            (Some(low), None) if self.exclusive_minimum.is_none() => Some(format!("{low} or more")),
            (Some(low), None) => Some(low),
            (None, Some(high)) if self.exclusive_maximum.is_none() => {
                Some(format!("{high} or less"))
            }
            (None, high) => high,
        }
    }

    pub(super) fn in_range(&self, number: f64) -> bool {
        number.is_finite()
            && self.minimum.is_none_or(|low| number >= low)
            && self.exclusive_minimum.is_none_or(|low| number > low)
            && self.maximum.is_none_or(|high| number <= high)
            && self.exclusive_maximum.is_none_or(|high| number < high)
    }

    /// The types in words.
    pub(super) fn kinds(&self) -> String {
        let words = self.types.iter().map(|t| match *t {
            "string" => "a text",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "true or false",
            "array" => "a list",
            "object" => "a table",
            other => other,
        });
        words.collect::<Vec<_>>().join(" or ")
    }
}

/// The bounds that schemars leaves to the format.
fn format_range(format: &str) -> (Option<f64>, Option<f64>) {
    match format {
        "int8" => (Some(f64::from(i8::MIN)), Some(f64::from(i8::MAX))),
        "int16" => (Some(f64::from(i16::MIN)), Some(f64::from(i16::MAX))),
        "int32" => (Some(f64::from(i32::MIN)), Some(f64::from(i32::MAX))),
        "uint32" => (Some(0.0), Some(f64::from(u32::MAX))),
        _ => (None, None),
    }
}
