//! The configuration reference in Markdown, from the schema.

use serde_json::Value as Json;

use super::schema::{Schema, View};

/// How deep tables are described. Reasoning: configuration is a few levels; a schema that refers to itself ends here.
const DEPTH_MAX: usize = 8;

pub(super) fn write(root: &Json) -> String {
    let mut writer = Writer {
        schema: Schema { root },
        out: String::new(),
    };
    let view = writer.schema.view(root);
    writer.table("", "Top level", view, DEPTH_MAX);
    writer.out
}

struct Writer<'s> {
    schema: Schema<'s>,
    out: String,
}

impl<'s> Writer<'s> {
    /// One section: the keys of a table, then the tables below it.
    fn table(&mut self, path: &str, title: &str, view: View<'s>, depth: usize) {
        self.out.push_str(&format!("## {title}\n\n"));
        self.prose(view.description);
        let mut below = Vec::new();
        self.keys(path, &view, &mut below);
        if let Some((tag, values)) = self.schema.tag(&view.alternatives) {
            for (name, shape) in values {
                let mut variant = self.schema.view(shape);
                variant.properties.remove(tag);
                self.out
                    .push_str(&format!("With `{tag} = \"{name}\"`:\n\n"));
                self.prose(variant.description);
                self.keys(path, &variant, &mut below);
            }
        }
        if depth > 0 {
            for (path, title, view) in below {
                self.table(&path, &title, view, depth - 1);
            }
        }
    }

    fn prose(&mut self, text: Option<&str>) {
        if let Some(text) = text {
            self.out.push_str(&format!("{}\n\n", text.trim()));
        }
    }

    fn keys(&mut self, path: &str, view: &View<'s>, below: &mut Vec<(String, String, View<'s>)>) {
        let mut rows = Vec::new();
        for (key, schema) in &view.properties {
            let value = self.schema.view(schema);
            let place = if path.is_empty() {
                (*key).to_owned()
            } else {
                format!("{path}.{key}")
            };
            let required = view.required.contains(key);
            let shapes = |view: &View<'s>| {
                !view.properties.is_empty() || self.schema.tag(&view.alternatives).is_some()
            };
            let item = value.items.map(|items| self.schema.view(items));
            let entry = value
                .additional
                .filter(|a| a.is_object())
                .map(|a| self.schema.view(a));
            let what = if shapes(&value) {
                below.push((place.clone(), format!("`[{place}]`"), value.clone()));
                "table, see below".into()
            } else if let Some(item) = item.filter(shapes) {
                below.push((place.clone(), format!("`[[{place}]]`"), item));
                "tables, see below".into()
            } else if let Some(entry) = entry.filter(shapes) {
                let place = format!("{place}.<name>");
                below.push((place.clone(), format!("`[{place}]`"), entry));
                "tables by name, see below".into()
            } else {
                self.what(&value)
            };
            let default = match value.default {
                _ if required => "**required**".into(),
                Some(Json::Null | Json::Object(_)) | None => String::new(),
                Some(default) => format!("`{default}`"),
            };
            rows.push((
                !required,
                format!(
                    "| `{key}` | {what} | {default} | {} |\n",
                    self.about(&value)
                ),
            ));
        }
        if rows.is_empty() {
            return;
        }
        // Required keys first, each group by name.
        rows.sort_by_key(|(optional, _)| *optional);
        self.out
            .push_str("| Key | Value | Default | Meaning |\n|---|---|---|---|\n");
        rows.into_iter()
            .for_each(|(_, row)| self.out.push_str(&row));
        self.out.push('\n');
    }

    /// Type, choices and range in a few words.
    fn what(&self, view: &View<'s>) -> String {
        if !view.choices.is_empty() {
            let choices: Vec<_> = view
                .choices
                .iter()
                .map(|(choice, _)| format!("`\"{choice}\"`"))
                .collect();
            return choices.join(", ");
        }
        if !view.alternatives.is_empty() {
            let shapes: Vec<_> = view
                .alternatives
                .iter()
                .map(|shape| self.what(&self.schema.view(shape)))
                .collect();
            return shapes.join(" or ");
        }
        if let Some(items) = view.items {
            return format!("list of: {}", self.what(&self.schema.view(items)));
        }
        if let Some(entry) = view.additional.filter(|a| a.is_object()) {
            return format!("table of: {}", self.what(&self.schema.view(entry)));
        }
        let kind = view.kinds().replace("a ", "");
        match view.range() {
            Some(range) => format!("{kind}, {range}"),
            None if kind.is_empty() => "anything".into(),
            None => kind,
        }
    }

    fn about(&self, view: &View<'s>) -> String {
        let line = |text: &str| {
            text.split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .replace('|', "\\|")
        };
        let mut about = line(view.description.unwrap_or(""));
        for (choice, meaning) in &view.choices {
            if let Some(meaning) = meaning {
                about.push_str(&format!(" `{choice}`: {}", line(meaning)));
            }
        }
        about.trim().to_owned()
    }
}
