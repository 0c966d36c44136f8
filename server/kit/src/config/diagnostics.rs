//! The list of mistakes, for people and for programs.

use std::ops::Range;

use serde::Serialize;

use super::{Document, Path, Step, report, suggest::nearest};

/// How bad it is. Only errors keep the gateway from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The start is refused.
    Error,
    /// It starts, but look.
    Warning,
}

/// One mistake. Serialises to the JSON form of `leitstand check --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file's name as given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Key path such as `gas.cells[3].unit`; empty for the whole file.
    pub key: String,
    /// Error or warning.
    pub severity: Level,
    /// Stable, snake case.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// What was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// Bytes of the text that it is about.
    #[serde(skip)]
    pub(super) span: Range<usize>,
}

impl Diagnostic {
    /// Says what would be right.
    pub fn allowed(&mut self, allowed: impl Into<String>) -> &mut Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// Says what was probably meant.
    pub fn suggest(&mut self, suggestion: impl Into<String>) -> &mut Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// Suggests the candidate nearest to `given`, when one is near enough.
    pub fn suggest_from<'a>(
        &mut self,
        given: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> &mut Self {
        if let Some(meant) = nearest(given, candidates) {
            self.suggest(meant);
        }
        self
    }
}

/// All mistakes of one file, in the order of the file.
pub struct Diagnostics {
    document: Document,
    list: Vec<Diagnostic>,
    /// Keys that the schema check already complained about: what a service says about the default that stands in
    /// for them would only confuse.
    told: Vec<String>,
    /// Values for which a default stands in that the file does not mean.
    stand_ins: Vec<Path>,
    /// Takes what is not to be told.
    ignored: Option<Diagnostic>,
}

impl Diagnostics {
    /// None yet.
    #[must_use]
    pub fn new(document: &Document) -> Self {
        Self {
            document: document.clone(),
            list: Vec::new(),
            told: Vec::new(),
            stand_ins: Vec::new(),
            ignored: None,
        }
    }

    /// Adds an error about the value at `path` (or its nearest parent that exists). Not told when the value itself
    /// was already found wrong.
    pub fn error(
        &mut self,
        path: &Path,
        code: &str,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let span = self.document.span(path);
        self.add(Level::Error, path, span, code, message.into())
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        path: &Path,
        code: &str,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let span = self.document.span(path);
        self.add(Level::Warning, path, span, code, message.into())
    }

    pub(super) fn error_at(
        &mut self,
        path: &Path,
        span: Range<usize>,
        code: &str,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Level::Error, path, span, code, message.into())
    }

    fn add(
        &mut self,
        severity: Level,
        path: &Path,
        span: Range<usize>,
        code: &str,
        message: String,
    ) -> &mut Diagnostic {
        let (line, column) = self.document.line_column(span.start);
        let key = path.to_string();
        let told = self.told.contains(&key) || self.is_follow_up(path, code);
        let diagnostic = Diagnostic {
            file: self.document.0.file.clone(),
            line,
            column,
            key,
            severity,
            code: code.to_owned(),
            message,
            allowed: None,
            suggestion: None,
            span,
        };
        if told {
            return self.ignored.insert(diagnostic);
        }
        let index = self
            .list
            .partition_point(|other| other.span.start <= diagnostic.span.start);
        self.list.insert(index, diagnostic);
        &mut self.list[index]
    }

    pub(super) fn last_at(&mut self, path: &Path) -> Option<&mut Diagnostic> {
        let key = path.to_string();
        self.list.iter_mut().rev().find(|d| d.key == key)
    }

    pub(super) fn end_of_schema_check(&mut self) {
        self.told = self.list.iter().map(|d| d.key.clone()).collect();
    }

    pub(super) fn defaults_stand_in(&mut self, paths: impl Iterator<Item = Path>) {
        self.stand_ins = paths.collect();
    }

    /// Whether somewhere a default stands in for a wrong value of `key`. For what a service finds in other tables
    /// because of it; the same table is seen to here.
    #[must_use]
    pub fn stands_in(&self, key: &str) -> bool {
        let is_it = |step: Option<&Step>| matches!(step, Some(Step::Key(k)) if k == key);
        self.stand_ins.iter().any(|path| is_it(path.steps().last()))
    }

    /// Whether a service may have found this only because of a default that stands in for a wrong value: it is about
    /// the same table, or about a name that stands in a list which could not be read.
    fn is_follow_up(&self, path: &Path, code: &str) -> bool {
        let section = |path: &Path| path.steps().first().cloned();
        self.stand_ins.iter().any(|wrong| {
            // The keys at the top have nothing to do with each other.
            let table = Some(wrong.parent()).filter(|table| *table != Path::root());
            table.is_some_and(|table| *path == table || path.parent() == table)
                || (code == "unknown_reference" && section(path) == section(wrong))
        })
    }

    /// The text that it is all about.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Whether the start is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Level::Error)
    }

    /// In the order of the file.
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// The JSON array of `check --json`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!(self.list)
    }

    /// The report for people, with source excerpts. `colour` for terminals.
    #[must_use]
    pub fn report(&self, colour: bool) -> String {
        report::write(
            &self.list,
            &self.document.0.file,
            &self.document.0.text,
            colour,
        )
    }
}
