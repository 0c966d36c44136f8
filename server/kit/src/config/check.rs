//! The walk: every value of the file against what the schema says about its place.

use serde_json::Value as Json;

use super::{
    Diagnostics, Path,
    schema::{Schema, View},
    suggest::nearest,
    tree::{Node, Value},
};

pub(super) struct Check<'s, 'd> {
    pub(super) schema: Schema<'s>,
    pub(super) diags: &'d mut Diagnostics,
    /// Values that serde must not see.
    pub(super) bad: Vec<Bad>,
}

/// A value that is wrong.
pub(super) struct Bad {
    pub(super) path: Path,
    /// What was meant, as far as can be guessed: it takes the place, so that the rest is judged by it.
    pub(super) meant: Option<Value>,
    /// The key exists. Without a guess its default stands in for it.
    pub(super) known: bool,
}

impl Bad {
    fn known(path: &Path, meant: Option<Value>) -> Self {
        Self {
            path: path.clone(),
            meant,
            known: true,
        }
    }
}

impl<'s> Check<'s, '_> {
    pub(super) fn value(&mut self, schema: &'s Json, node: &Node, path: &Path) {
        let view = self.schema.view(schema);
        self.view(view, node, path);
    }

    fn view(&mut self, mut view: View<'s>, node: &Node, path: &Path) {
        if !view.alternatives.is_empty() {
            let shapes = std::mem::take(&mut view.alternatives);
            match self.choose(&shapes, node, path) {
                Choice::Shape(shape) => view.merge(self.schema.view(shape)),
                Choice::Told => return,
            }
        }
        let fits = view.types.is_empty() || view.types.iter().any(|t| is_type(&node.value, t));
        if !fits {
            return self.wrong_type(&view.kinds(), &view, node, path);
        }
        match &node.value {
            Value::Table(table) => self.table(&view, table, node, path),
            Value::Array(items) => {
                self.length(&view, items.len(), "entries", path);
                if let Some(schema) = view.items {
                    for (index, item) in items.iter().enumerate() {
                        self.value(schema, item, &path.index(index));
                    }
                }
            }
            Value::Text(text) => self.text(&view, text, path),
            Value::Integer(Some(number)) => {
                self.number(&view, *number as f64, &number.to_string(), path)
            }
            Value::Integer(None) => self.out_of_range(&view, "this number", path),
            Value::Float(number) => self.number(&view, *number, &number.to_string(), path),
            Value::Boolean(_) | Value::Datetime(_) => {}
        }
    }

    fn table(
        &mut self,
        view: &View<'s>,
        table: &std::collections::BTreeMap<String, Node>,
        node: &Node,
        path: &Path,
    ) {
        for (key, child) in table {
            let place = path.key(key);
            if let Some(schema) = view.properties.get(key.as_str()) {
                self.value(schema, child, &place);
            } else if view.unknown_keys_are_wrong() {
                let known = || view.properties.keys().copied();
                let diag = self.diags.error_at(
                    &place,
                    child.key.clone(),
                    "unknown_key",
                    format!("`{key}` is not a key of {}", name(path)),
                );
                match nearest(key, known()) {
                    Some(meant) => diag.suggest(meant),
                    None => diag.allowed(known().collect::<Vec<_>>().join(", ")),
                };
                self.bad.push(Bad {
                    path: place,
                    meant: None,
                    known: false,
                });
            } else if let Some(schema @ Json::Object(_)) = view.additional {
                self.value(schema, child, &place);
            }
        }
        for key in view
            .required
            .iter()
            .filter(|key| !table.contains_key(**key))
        {
            self.missing(&path.key(key), node, key, path);
        }
    }

    fn missing(&mut self, place: &Path, node: &Node, key: &str, table: &Path) {
        self.diags.error_at(
            place,
            node.span.clone(),
            "missing_key",
            format!("{} needs `{key}`", name(table)),
        );
    }

    fn text(&mut self, view: &View<'s>, text: &str, path: &Path) {
        let choices = || view.choices.iter().map(|(choice, _)| *choice);
        if !view.choices.is_empty() && choices().all(|choice| choice != text) {
            self.unknown_value(text, choices().collect(), path);
        }
        self.length(view, text.chars().count(), "characters", path);
    }

    fn unknown_value(&mut self, text: &str, choices: Vec<&str>, path: &Path) {
        let diag = self.diags.error(
            path,
            "unknown_value",
            format!("`{text}` is not one of the values of {}", name(path)),
        );
        diag.allowed(choices.join(", "));
        diag.suggest_from(text, choices);
        let meant = diag.suggestion.clone().map(Value::Text);
        self.bad.push(Bad::known(path, meant));
    }

    fn number(&mut self, view: &View<'s>, number: f64, text: &str, path: &Path) {
        if !view.in_range(number) {
            self.out_of_range(view, text, path);
        }
    }

    fn out_of_range(&mut self, view: &View<'s>, text: &str, path: &Path) {
        let diag = self.diags.error(
            path,
            "out_of_range",
            format!("{text} is out of the range of {}", name(path)),
        );
        diag.allowed(
            view.range()
                .unwrap_or_else(|| "a finite number of at most 64 bits".into()),
        );
        self.bad.push(Bad::known(path, None));
    }

    fn length(&mut self, view: &View<'s>, length: usize, what: &str, path: &Path) {
        let (low, high) = view.length;
        let length = length as u64;
        if low.is_some_and(|low| length < low) || high.is_some_and(|high| length > high) {
            let allowed = match (low, high) {
                (Some(low), Some(high)) => format!("{low} to {high} {what}"),
                (Some(low), None) => format!("{low} {what} or more"),
                (_, high) => format!("{} {what} or less", high.unwrap_or_default()),
            };
            self.diags
                .error(
                    path,
                    "wrong_length",
                    format!("{} has {length} {what}", name(path)),
                )
                .allowed(allowed);
            self.bad.push(Bad::known(path, None));
        }
    }

    fn wrong_type(&mut self, wanted: &str, view: &View<'s>, node: &Node, path: &Path) {
        let message = format!("{} must be {wanted}, not {}", name(path), node.kind());
        let diag = self.diags.error(path, "wrong_type", message);
        diag.allowed(wanted);
        let meant = retyped(&node.value, view);
        if let Some(meant) = &meant {
            diag.suggest(written(meant));
        }
        self.bad.push(Bad::known(path, meant));
    }

    /// Picks the one of several shapes that the file means.
    fn choose(&mut self, shapes: &[&'s Json], node: &Node, path: &Path) -> Choice<'s> {
        if let (Some((tag, values)), Value::Table(table)) = (self.schema.tag(shapes), &node.value) {
            let names = || values.iter().map(|(name, _)| *name).collect::<Vec<_>>();
            let place = path.key(tag);
            let Some(given) = table.get(tag) else {
                self.missing(&place, node, tag, path);
                if let Some(last) = self.diags.last_at(&place) {
                    last.allowed(names().join(", "));
                }
                return Choice::Told;
            };
            let Value::Text(text) = &given.value else {
                self.wrong_type("a text", &View::default(), given, &place);
                return Choice::Told;
            };
            return match values.iter().find(|(name, _)| name == text) {
                Some((_, shape)) => Choice::Shape(shape),
                None => {
                    self.unknown_value(text, names(), &place);
                    Choice::Told
                }
            };
        }
        let fits = |shape: &&&'s Json| {
            let view = self.schema.view(shape);
            view.types.is_empty() || view.types.iter().any(|t| is_type(&node.value, t))
        };
        let fitting: Vec<_> = shapes.iter().filter(fits).copied().collect();
        match fitting.as_slice() {
            [] => {
                let mut kinds: Vec<_> = shapes
                    .iter()
                    .map(|shape| self.schema.view(shape).kinds())
                    .collect();
                kinds.dedup();
                self.wrong_type(&kinds.join(" or "), &View::default(), node, path);
                Choice::Told
            }
            [only] => Choice::Shape(only),
            several => {
                // The shape with the fewest mistakes is the one that was meant.
                let mistakes = |shape: &&&'s Json| {
                    let mut scratch = Diagnostics::new(self.diags.document());
                    let schema = Schema {
                        root: self.schema.root,
                    };
                    let mut check = Check {
                        schema,
                        diags: &mut scratch,
                        bad: Vec::new(),
                    };
                    check.value(shape, node, path);
                    scratch.list().len()
                };
                several
                    .iter()
                    .min_by_key(mistakes)
                    .map_or(Choice::Told, |shape| Choice::Shape(shape))
            }
        }
    }
}

enum Choice<'s> {
    Shape(&'s Json),
    /// The mistake is reported; nothing more can be said.
    Told,
}

fn is_type(value: &Value, json: &str) -> bool {
    matches!(
        (value, json),
        (Value::Table(_), "object")
            | (Value::Array(_), "array")
            | (Value::Text(_), "string")
            | (Value::Integer(_), "integer" | "number")
            | (Value::Float(_), "number")
            | (Value::Boolean(_), "boolean")
    )
}

/// The same value as the wanted type, when that is what was meant: 5 for `"5"`, true for `"true"`.
fn retyped(value: &Value, view: &View<'_>) -> Option<Value> {
    let wants = |json| view.types.contains(&json);
    match value {
        Value::Text(text) if wants("integer") && text.trim().parse::<i64>().is_ok() => {
            let number = text.trim().parse().ok()?;
            view.in_range(number as f64)
                .then_some(Value::Integer(Some(number)))
        }
        Value::Text(text) if wants("number") => {
            let number = text.trim().parse().ok()?;
            view.in_range(number).then_some(Value::Float(number))
        }
        Value::Text(text) if wants("boolean") => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(Value::Boolean(true)),
            "false" | "no" | "off" | "0" => Some(Value::Boolean(false)),
            _ => None,
        },
        Value::Integer(Some(number)) if wants("string") => Some(Value::Text(number.to_string())),
        Value::Integer(Some(number)) if wants("boolean") => Some(Value::Boolean(*number != 0)),
        Value::Float(number) if wants("integer") && number.fract() == 0.0 => {
            let fits = view.in_range(*number) && number.abs() < 1e15;
            fits.then_some(Value::Integer(Some(*number as i64)))
        }
        Value::Boolean(boolean) if wants("string") => Some(Value::Text(boolean.to_string())),
        Value::Text(text) if wants("array") => {
            Some(Value::Array(vec![Node::made(Value::Text(text.clone()))]))
        }
        _ => None,
    }
}

/// As it would stand in the file.
fn written(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("\"{text}\""),
        Value::Integer(number) => number.unwrap_or_default().to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| written(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(_) | Value::Datetime(_) => String::new(),
    }
}

/// A place in words.
fn name(path: &Path) -> String {
    if path.steps().is_empty() {
        "the file".into()
    } else {
        format!("`{path}`")
    }
}
