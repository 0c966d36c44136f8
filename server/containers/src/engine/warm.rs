//! Guests that are started before anybody asks.

use std::sync::Arc;

use super::{Engine, LOOK_EVERY, create::Building, lock};
use crate::{
    backend::{BackendError, Guest, Spec},
    id::{ContainerId, SecretHash, new_client_token, new_username},
    ledger::Row,
    profile::Profile,
};

/// A guest that waits for somebody to ask for it.
pub(super) struct Warm {
    pub(super) id: ContainerId,
    pub(super) username: String,
    pub(super) guest: Arc<dyn Guest>,
}

impl Engine {
    pub(super) fn take_warm(&self, profile: &Profile) -> Option<Warm> {
        let settings = &self.0.settings;
        let default = settings.profiles.get(settings.default_profile);
        if default != Some(profile) {
            return None;
        }
        lock(&self.0.warm).pop_front()
    }

    /// Keeps the pool filled; ends with the service.
    pub(crate) async fn keep_warm(&self) {
        let settings = &self.0.settings;
        let Some(profile) = settings.profiles.get(settings.default_profile) else {
            return;
        };
        loop {
            let missing = (settings.warm_pool as usize).saturating_sub(lock(&self.0.warm).len());
            if missing > 0 && self.probe().is_ok() {
                match self.warm_up(profile).await {
                    Ok(warm) => lock(&self.0.warm).push_back(warm),
                    Err(error) => self.failed(None, None, &format!("filling the pool: {error}")),
                }
            }
            if missing <= 1 {
                tokio::time::sleep(LOOK_EVERY / 4).await;
            }
        }
    }

    async fn warm_up(&self, profile: &Profile) -> Result<Warm, BackendError> {
        let (id, username) = (ContainerId::random(), new_username());
        let wall = self.0.cx.clock.wall().unix_ms;
        let row = Row {
            id,
            state: "warm".into(),
            backend: self.0.backend.kind().into(),
            profile: profile.name.clone(),
            owner: None,
            token: SecretHash::of(&new_client_token()),
            port: 0,
            created_ms: wall,
            expires_ms: 0,
        };
        self.0
            .ledger
            .begin(row)
            .await
            .map_err(|e| BackendError::new("journal", e))?;
        let mut building = Building {
            engine: self,
            id,
            guest: None,
            journaled: true,
        };
        let root = profile.root(&self.0.cx.paths.config_dir);
        let spec = Spec {
            id,
            username: username.clone(),
            profile: profile.clone(),
            root,
        };
        let started = async {
            let guest = self.0.backend.create(spec).await?;
            building.guest = Some(guest.clone());
            guest.wait_ready().await?;
            Ok(guest)
        };
        match started.await {
            Ok(guest) => Ok(Warm {
                id,
                username,
                guest,
            }),
            Err(error) => {
                building.undo().await;
                Err(error)
            }
        }
    }
}
