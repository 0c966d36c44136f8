//! The latest state of each service as JSON, for live pages.

use std::sync::Arc;

use tokio::sync::watch;

/// One value per service; only the latest is kept. Cheap to clone.
#[derive(Clone, Default)]
pub struct Frames {
    _private: (),
}

impl Frames {
    /// Replaces the state of `service` by `json`, a complete JSON value. Never blocks. Publishing the same text
    /// again wakes nobody.
    pub fn publish(&self, service: &'static str, json: impl Into<Arc<str>>) {
        let _ = (service, json.into());
        todo!()
    }

    /// The latest state, if any was published.
    #[must_use]
    pub fn latest(&self, service: &str) -> Option<Arc<str>> {
        let _ = service;
        todo!()
    }

    /// Follows `service`; `None` until the first publication.
    #[must_use]
    pub fn follow(&self, service: &str) -> watch::Receiver<Option<Arc<str>>> {
        let _ = service;
        todo!()
    }
}
