//! What plugins are to the engine: names with a few properties, and calls that somebody runs for it.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

/// What a plugin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Fetches an argument.
    DataAccess,
    /// Makes an instance.
    Instantiate,
    /// Trains one.
    Fit,
    /// Asks one.
    Predict,
}

impl Role {
    /// The name on the wire to a worker.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DataAccess => "data_access",
            Self::Instantiate => "instantiate",
            Self::Fit => "fit",
            Self::Predict => "predict",
        }
    }

    /// The text for a missing one, as the original says it: callers match on it.
    #[must_use]
    pub fn missing(self, key: &str) -> String {
        match self {
            Self::DataAccess => format!("no data access plugin for name {key}"),
            Self::Instantiate => format!("no instantiation plugin for model type {key}"),
            Self::Fit => format!("no fit plugin for model type {key}"),
            Self::Predict => format!("no predict plugin for model type {key}"),
        }
    }
}

/// What the engine must know of a plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// A prediction leaves the instance as it is, so several may run at once.
    pub pure: bool,
}

/// All plugins by role and key (model type, or name of a data access).
#[derive(Clone, Debug, Default)]
pub struct Catalogue(BTreeMap<(Role, String), Traits>);

impl Catalogue {
    /// Adds a plugin; `false` when there was one already, which then stays.
    pub fn add(&mut self, role: Role, key: &str, traits: Traits) -> bool {
        let place = (role, key.to_owned());
        let free = !self.0.contains_key(&place);
        if free {
            self.0.insert(place, traits);
        }
        free
    }

    /// The plugin of that role and key.
    #[must_use]
    pub fn find(&self, role: Role, key: &str) -> Option<Traits> {
        self.0.get(&(role, key.to_owned())).copied()
    }

    /// Whether models of that type can be used at all.
    #[must_use]
    pub fn knows(&self, model_type: &str) -> bool {
        [Role::Predict, Role::Fit, Role::Instantiate]
            .iter()
            .any(|role| self.find(*role, model_type).is_some())
    }

    /// Every plugin.
    pub fn iter(&self) -> impl Iterator<Item = (Role, &str, Traits)> {
        self.0
            .iter()
            .map(|((role, key), traits)| (*role, key.as_str(), *traits))
    }
}

/// An instance on its way to a plugin. Id and version name its content: who has it decoded need not do it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Which model.
    pub id: u64,
    /// Counts every change of its bytes.
    pub version: u64,
    /// As stored.
    pub bytes: Arc<[u8]>,
}

/// One call of one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// What to do.
    pub role: Role,
    /// Model type, or name of a data access.
    pub key: String,
    /// For fit and predict.
    pub instance: Option<Instance>,
    /// Resolved arguments by position.
    pub args: Vec<Value>,
    /// Resolved arguments by name.
    pub kwargs: Map<String, Value>,
}

/// What a plugin gave back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Data or prediction.
    pub value: Value,
    /// The instance after the call, where the call made or may have changed one.
    pub instance: Option<Arc<[u8]>>,
}
