//! The latest state of each service as JSON, for live pages.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

/// Names that may be followed. Reasoning: five services, and room; a client that invents names meets this end.
const NAMES_MAX: usize = 32;

/// The latest state of one service.
type Latest = watch::Sender<Option<Arc<str>>>;

/// One value per service; only the latest is kept. Cheap to clone.
#[derive(Clone, Default)]
pub struct Frames {
    by_service: Arc<Mutex<BTreeMap<String, Latest>>>,
}

impl Frames {
    /// Replaces the state of `service` by `json`, a complete JSON value. Never waits. Publishing the same text
    /// again wakes nobody.
    pub fn publish(&self, service: &'static str, json: impl Into<Arc<str>>) {
        let json = json.into();
        if let Some(sender) = self.sender(service) {
            sender.send_if_modified(|latest| {
                let changed = latest.as_ref() != Some(&json);
                *latest = Some(json);
                changed
            });
        }
    }

    /// The latest state, if any was published.
    #[must_use]
    pub fn latest(&self, service: &str) -> Option<Arc<str>> {
        let map = self
            .by_service
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        map.get(service).and_then(|sender| sender.borrow().clone())
    }

    /// Follows `service`; `None` until the first publication. A name beyond the bound never changes.
    #[must_use]
    pub fn follow(&self, service: &str) -> watch::Receiver<Option<Arc<str>>> {
        match self.sender(service) {
            Some(sender) => sender.subscribe(),
            None => watch::channel(None).1,
        }
    }

    fn sender(&self, service: &str) -> Option<Latest> {
        let mut map = self
            .by_service
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !map.contains_key(service) {
            if map.len() >= NAMES_MAX {
                return None;
            }
            map.insert(service.to_owned(), watch::Sender::new(None));
        }
        map.get(service).cloned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_latest_is_kept_and_equal_states_wake_nobody() {
        let frames = Frames::default();
        let mut follower = frames.follow("gas");
        assert_eq!(frames.latest("gas"), None);
        frames.publish("gas", "1");
        frames.publish("gas", "2");
        assert!(follower.has_changed().unwrap());
        assert_eq!(follower.borrow_and_update().as_deref(), Some("2"));
        frames.publish("gas", "2");
        assert!(!follower.has_changed().unwrap());
        assert_eq!(frames.latest("gas").as_deref(), Some("2"));
    }

    #[test]
    fn invented_names_do_not_grow_the_memory() {
        let frames = Frames::default();
        for n in 0..1000 {
            let _ = frames.follow(&format!("name{n}"));
        }
        assert_eq!(frames.by_service.lock().unwrap().len(), NAMES_MAX);
    }
}
