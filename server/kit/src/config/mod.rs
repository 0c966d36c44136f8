//! Configuration with all mistakes at once, each with file, line, column and what to do.
//!
//! ```
//! # use leitstand_kit::config::{Document, Path};
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct File {
//!     site: String,
//!     #[schemars(range(min = 1, max = 365))]
//!     days: u16,
//! }
//! let doc = Document::parse("site = 'Garage'\ndays = 366\ndasy = 1", "leitstand.toml");
//! let (raw, mut diags) = doc.check::<File>(); // syntax, keys, types, choices, ranges
//! if let Some(raw) = raw {
//!     if raw.site.is_empty() {
//!         diags.error(&Path::root().key("site"), "empty", "a site needs a name");
//!     }
//! }
//! assert!(diags.has_errors());
//! let found: Vec<_> = diags.list().iter().map(|d| (d.line, d.code.as_str())).collect();
//! assert_eq!(found, [(2, "out_of_range"), (3, "unknown_key")]);
//! ```
//!
//! Codes of this module: `syntax`, `unknown_key`, `missing_key`, `wrong_type`, `unknown_value`, `out_of_range`,
//! `wrong_length`, and `invalid` for what only serde found. Services add their own.

mod check;
mod diagnostics;
mod path;
mod reference;
mod report;
mod schema;
mod suggest;
mod tree;

use std::{ops::Range, sync::Arc};

pub use diagnostics::{Diagnostic, Diagnostics, Level};
pub use path::{Path, Step};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// A TOML text with the place of every key and value. Cheap to clone.
#[derive(Clone)]
pub struct Document(Arc<Inner>);

struct Inner {
    text: String,
    file: String,
    root: tree::Node,
    syntax: Vec<tree::SyntaxError>,
    /// Byte offsets at which lines begin.
    lines: Vec<usize>,
}

impl Document {
    /// Parses; syntax errors are reported by [`check`](Self::check). `file` is the name for messages.
    #[must_use]
    pub fn parse(text: &str, file: &str) -> Self {
        let (root, syntax) = tree::parse(text);
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(Arc::new(Inner {
            text: text.to_owned(),
            file: file.to_owned(),
            root,
            syntax,
            lines: std::iter::once(0).chain(ends).collect(),
        }))
    }

    /// Checks the whole tree against the schema of `T` and deserialises.
    ///
    /// The value is there whenever all that `T` needs is there, even when there are errors elsewhere, so that the
    /// service can add its own and all are reported together. What was probably meant takes the place of what is
    /// wrong. Where that cannot be guessed the default stands in, and what a service finds in the same table, which
    /// may be about that default, is withheld until the next run. Refuse the start if
    /// [`has_errors`](Diagnostics::has_errors).
    #[must_use]
    pub fn check<T: JsonSchema + DeserializeOwned>(&self) -> (Option<T>, Diagnostics) {
        let mut diags = Diagnostics::new(self);
        if !self.0.syntax.is_empty() {
            self.report_syntax(&mut diags);
            return (None, diags);
        }
        let root = schema::<T>();
        let mut check = check::Check {
            schema: schema::Schema { root: &root },
            diags: &mut diags,
            bad: Vec::new(),
        };
        check.value(&root, &self.0.root, &Path::root());
        let bad = check.bad;
        diags.end_of_schema_check();
        let stands_in = |bad: &&check::Bad| bad.known && bad.meant.is_none();
        diags.defaults_stand_in(bad.iter().filter(stands_in).map(|bad| bad.path.clone()));
        if diags.has_errors() {
            let rest = self.0.root.to_toml(&Path::root(), &bad);
            return (rest.and_then(|value| value.try_into().ok()), diags);
        }
        match toml::from_str(&self.0.text) {
            Ok(value) => (Some(value), diags),
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let path = self.0.root.path_at(span.start);
                diags.error_at(&path, span, "invalid", error.message());
                (None, diags)
            }
        }
    }

    /// Line and column (both from 1, columns in characters) of the value at `path`, or of the nearest parent that
    /// exists.
    #[must_use]
    pub fn position(&self, path: &Path) -> (usize, usize) {
        self.line_column(self.0.root.nearest(path).span.start)
    }

    /// Whether the file has a value at `path` (to tell a default from a written value).
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        self.0.root.get(path).is_some()
    }

    fn line_column(&self, offset: usize) -> (usize, usize) {
        let line = self.0.lines.partition_point(|start| *start <= offset);
        let start = self.0.lines[line - 1];
        let before = self.0.text.get(start..offset).unwrap_or("");
        (line, before.chars().count() + 1)
    }

    fn span(&self, path: &Path) -> Range<usize> {
        self.0.root.nearest(path).span.clone()
    }

    /// For a text that did not parse: the key at the beginning of the line, below the header above it.
    fn path_of_line(&self, offset: usize) -> Path {
        let line = self.0.lines.partition_point(|start| *start <= offset) - 1;
        let text = &self.0.text[self.0.lines[line]..];
        let text = text.lines().next().unwrap_or("");
        let header = self.0.root.last_header(offset, &self.0.text);
        match text.split_once('=') {
            Some((key, _)) if !text.trim_start().starts_with('[') => {
                let keys = key
                    .split('.')
                    .map(|key| key.trim().trim_matches(['"', '\'']));
                keys.fold(header, |path, key| path.key(key))
            }
            _ => header,
        }
    }

    /// One mistake often makes the parser stumble again and again: only the first of a line is told.
    fn report_syntax(&self, diags: &mut Diagnostics) {
        let mut lines = Vec::new();
        for error in &self.0.syntax {
            let (line, _) = self.line_column(error.span.start);
            if !lines.contains(&line) {
                lines.push(line);
                let path = self.path_of_line(error.span.start);
                diags.error_at(&path, error.span.clone(), "syntax", &error.message);
            }
        }
        diags.end_of_schema_check();
    }
}

/// The JSON Schema of `T`, as `leitstand check --schema` prints it.
#[must_use]
pub fn schema<T: JsonSchema>() -> serde_json::Value {
    schemars::schema_for!(T).to_value()
}

/// The reference of `T` in Markdown, from the schema and its doc comments: a section for each table with its keys,
/// types, defaults and ranges.
#[must_use]
pub fn reference<T: JsonSchema>() -> String {
    reference::write(&schema::<T>())
}

#[cfg(test)]
mod tests;
