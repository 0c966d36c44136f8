//! Which site the routes talk to. A configuration changed at run time puts another one in its place.

use crate::hub::Hub;
use axum::extract::FromRef;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{Mutex, watch};

/// The site in force and the one that shall follow it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Front(Arc<Inner>);

struct Inner {
    hub: RwLock<Arc<Hub>>,
    /// Waits for the threads of the present one to end.
    next: watch::Sender<Option<Arc<Hub>>>,
    /// One edit at a time: held from the look at `If-Match` until the change is in force.
    editing: Mutex<()>,
}

impl Front {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self(Arc::new(Inner {
            hub: RwLock::new(hub),
            next: watch::Sender::new(None),
            editing: Mutex::new(()),
        }))
    }

    pub(crate) fn hub(&self) -> Arc<Hub> {
        let hub = self.0.hub.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&hub)
    }

    /// Asks the service to go on with another site.
    pub(crate) fn propose(&self, hub: Arc<Hub>) {
        self.0.next.send_replace(Some(hub));
    }

    /// For the service: what shall follow.
    pub(crate) fn proposed(&self) -> watch::Receiver<Option<Arc<Hub>>> {
        self.0.next.subscribe()
    }

    /// The proposed site is the one in force from now on.
    pub(crate) fn follow(&self) -> Arc<Hub> {
        if let Some(next) = self.0.next.send_replace(None) {
            *self.0.hub.write().unwrap_or_else(PoisonError::into_inner) = next;
        }
        self.hub()
    }

    pub(crate) async fn edit(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.editing.lock().await
    }
}

impl FromRef<Front> for Arc<Hub> {
    fn from_ref(front: &Front) -> Self {
        front.hub()
    }
}
