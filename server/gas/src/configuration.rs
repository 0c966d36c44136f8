//! The configuration in force and its versions. The binary owns them; this is what the service asks of it.

use crate::site::GasSite;
use leitstand_kit::config::Diagnostics;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Counts up with every change, from 1.
    pub number: u64,
    /// TOML, the whole file.
    pub text: String,
    /// The file that it was started from has been edited since.
    pub drift: bool,
}

/// A configuration that somebody proposes.
pub struct Draft {
    /// Every mistake and warning, as `leitstand check` names them.
    pub diagnostics: Diagnostics,
    /// The gas service's part; `None` when a mistake is an error or when there is no such part.
    pub site: Option<Arc<GasSite>>,
    /// `[gas]` or `[power]` differ from what is in force.
    pub gas_changed: bool,
    /// Other sections that differ; they apply at the next start.
    pub restart: Vec<String>,
}

/// One version of the past or the one in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Past {
    /// Its number.
    pub number: u64,
    /// SHA-256 of the text in hex.
    pub sha256: String,
    /// Since when it was in force, by the wall clock.
    pub unix_ms: i64,
    /// Who brought it; null = from the file.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A change could not be stored; the one before stays in force.
#[derive(Debug, thiserror::Error)]
#[error("storing the configuration: {0}")]
pub struct NotStored(pub String);

/// The gateway's configuration as the service may look at it and change it. Every method may block on a disk.
pub trait Configuration: Send + Sync {
    /// What is in force.
    fn current(&self) -> Version;

    /// Looks at a text. Nothing is changed.
    fn check(&self, text: &str) -> Draft;

    /// Stores a text that passed [`check`](Self::check): from the return on it is in force, also after a power cut.
    ///
    /// # Errors
    /// [`NotStored`]; nothing changed.
    fn accept(&self, text: &str, by: &str, reason: &str) -> Result<Version, NotStored>;

    /// All versions, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn versions(&self) -> Result<Vec<Past>, NotStored>;

    /// The text of a version.
    ///
    /// # Errors
    /// The store cannot be read.
    fn text_of(&self, number: u64) -> Result<Option<String>, NotStored>;
}

/// SHA-256 in hex.
#[must_use]
pub fn digest(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    leitstand_kit::words::hex(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
pub(crate) mod memory {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Mutex;

    /// Keeps versions in memory; only `[gas]` and `[power]` exist.
    pub(crate) struct InMemory {
        texts: Mutex<Vec<String>>,
        drift: bool,
    }

    impl InMemory {
        pub(crate) fn new(text: &str, drift: bool) -> Arc<Self> {
            let texts = Mutex::new(vec![text.to_owned()]);
            Arc::new(Self { texts, drift })
        }
    }

    impl Configuration for InMemory {
        fn current(&self) -> Version {
            let texts = self.texts.lock().unwrap();
            Version {
                number: texts.len() as u64,
                text: texts.last().unwrap().clone(),
                drift: self.drift,
            }
        }

        fn check(&self, text: &str) -> Draft {
            let (site, diagnostics) = crate::config::check_text(text, "test.toml");
            Draft {
                diagnostics,
                site,
                gas_changed: self.current().text != text,
                restart: Vec::new(),
            }
        }

        fn accept(&self, text: &str, _by: &str, _reason: &str) -> Result<Version, NotStored> {
            self.texts.lock().unwrap().push(text.to_owned());
            Ok(self.current())
        }

        fn versions(&self) -> Result<Vec<Past>, NotStored> {
            Ok(Vec::new())
        }

        fn text_of(&self, number: u64) -> Result<Option<String>, NotStored> {
            let at = usize::try_from(number).unwrap().wrapping_sub(1);
            Ok(self.texts.lock().unwrap().get(at).cloned())
        }
    }
}
