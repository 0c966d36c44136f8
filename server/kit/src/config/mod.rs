//! Configuration with all mistakes at once, each with file, line, column and what to do.
//!
//! ```text
//! let doc = Document::parse(text, "leitstand.toml");
//! let (raw, mut diags) = doc.check::<FileConfig>();        // syntax, keys, types, enums, ranges
//! if let Some(raw) = raw { gas::config::check(raw.gas, &Path::root().key("gas"), &mut diags); }
//! ```

mod diagnostics;
mod path;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use diagnostics::{Diagnostic, Diagnostics, Level};
pub use path::{Path, Step};

/// A TOML text with the place of every key and value.
#[derive(Clone)]
pub struct Document {
    _private: (),
}

impl Document {
    /// Parses; syntax errors are reported by [`check`](Self::check). `file` is the name for messages.
    #[must_use]
    pub fn parse(text: &str, file: &str) -> Self {
        let _ = (text, file);
        todo!()
    }

    /// Checks the tree against the schema of `T`, then deserialises when there was no error.
    #[must_use]
    pub fn check<T: JsonSchema + DeserializeOwned>(&self) -> (Option<T>, Diagnostics) {
        todo!()
    }

    /// Line and column (both from 1) of the value at `path`, or of the nearest parent that exists.
    #[must_use]
    pub fn position(&self, path: &Path) -> (usize, usize) {
        let _ = path;
        todo!()
    }

    /// Whether the file has a value at `path` (to tell a default from a written value).
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        let _ = path;
        todo!()
    }
}

/// The JSON Schema of `T`, as `leitstand check --schema` prints it.
#[must_use]
pub fn schema<T: JsonSchema>() -> serde_json::Value {
    todo!()
}

/// The reference of `T` in Markdown, from the schema and its doc comments.
#[must_use]
pub fn reference<T: JsonSchema>() -> String {
    todo!()
}
