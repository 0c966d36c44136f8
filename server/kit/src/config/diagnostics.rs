//! The list of mistakes, for people and for programs.

use serde::Serialize;

use super::{Document, Path};

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
    /// Key path such as `gas.cells[3].unit`.
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
    #[serde(skip)]
    pub(crate) offset: usize,
    #[serde(skip)]
    pub(crate) length: usize,
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
        let _ = (given, candidates.into_iter());
        todo!()
    }
}

/// All mistakes of one file, in file order once printed.
pub struct Diagnostics {
    document: Document,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// None yet.
    #[must_use]
    pub fn new(document: &Document) -> Self {
        Self {
            document: document.clone(),
            list: Vec::new(),
        }
    }

    /// Adds an error about the value at `path` (or its nearest parent that exists).
    pub fn error(
        &mut self,
        path: &Path,
        code: &str,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let _ = (path, code, message.into(), &self.document);
        todo!()
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        path: &Path,
        code: &str,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let _ = (path, code, message.into());
        todo!()
    }

    /// Whether the start is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Level::Error)
    }

    /// In file order.
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// The JSON array of `check --json`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        todo!()
    }

    /// The report for people, with source excerpts. `colour` for terminals.
    #[must_use]
    pub fn report(&self, colour: bool) -> String {
        let _ = colour;
        todo!()
    }
}
