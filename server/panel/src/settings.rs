//! What people set on the page, kept over restarts. The configuration only says what a new gateway starts with.

use std::collections::BTreeMap;

use leitstand_kit::{Store, store::StoreError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use crate::{ambience::Levels, schedule::ScheduleConfig};

/// Screens with settings. Reasoning: ten times as many as stand in a large house.
pub const SCREENS_MAX: usize = 100;

/// Settings of screens, by name.
pub type Screens = BTreeMap<String, ScreenSettings>;

/// What a screen is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScreenRole {
    /// What the screen says of itself, else one of many.
    #[default]
    Auto,
    /// The one at the panel: its end is the end, as long as it sounds.
    Primary,
    /// Plays along, and decides nothing while another sounds.
    Mirror,
    /// Shows pictures without sound.
    ImageOnly,
}

impl ScreenRole {
    /// By its name on the wire; `Auto` for every other.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "primary" => Self::Primary,
            "mirror" => Self::Mirror,
            "image_only" => Self::ImageOnly,
            _ => Self::Auto,
        }
    }
}

/// What a screen is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScreenSettings {
    /// What it is there for.
    pub role: ScreenRole,
    /// Percent of the site's volume.
    #[schema(maximum = 100)]
    pub volume: u8,
    /// No sound from this one.
    pub muted: bool,
}

impl Default for ScreenSettings {
    fn default() -> Self {
        Self {
            role: ScreenRole::Auto,
            volume: 100,
            muted: false,
        }
    }
}

impl ScreenSettings {
    /// What the screen is there for: as set; else as the configuration names it; else as it says.
    #[must_use]
    pub fn role_of(self, said: ScreenRole, named_primary: bool) -> ScreenRole {
        match (self.role, named_primary) {
            (ScreenRole::Auto, true) => ScreenRole::Primary,
            (ScreenRole::Auto, false) => said,
            (set, _) => set,
        }
    }
}

/// Volume, brightness, mute as they are kept.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct LevelsRow {
    volume: u8,
    brightness: u8,
    muted: bool,
}

/// All that is kept. What was never set is `None`.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// Volume, brightness, mute.
    pub levels: Option<Levels>,
    /// Opening hours and what goes with them.
    pub schedule: Option<ScheduleConfig>,
    /// Of screens, by name.
    pub screens: Screens,
}

const LEVELS: &str = "levels";
const SCHEDULE: &str = "schedule";
const SCREENS: &str = "screens";

impl Saved {
    /// Reads everything. A value that an older or newer version wrote in another shape counts as never set.
    ///
    /// # Errors
    /// The database.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let rows = store
            .read(|db| {
                let mut query = db.prepare("SELECT name, value FROM panel_settings")?;
                let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect::<Result<BTreeMap<String, String>, _>>()
            })
            .await?;
        fn value<T: DeserializeOwned>(rows: &BTreeMap<String, String>, name: &str) -> Option<T> {
            let text = rows.get(name)?;
            let parsed = serde_json::from_str(text);
            parsed
                .inspect_err(|error| tracing::warn!(%error, name, "a setting is not used"))
                .ok()
        }
        let levels = value::<LevelsRow>(&rows, LEVELS);
        Ok(Self {
            levels: levels.map(|row| Levels {
                volume: row.volume.min(100),
                brightness: row.brightness.min(100),
                muted: row.muted,
            }),
            schedule: value(&rows, SCHEDULE),
            screens: value(&rows, SCREENS).unwrap_or_default(),
        })
    }
}

/// Keeps the levels.
///
/// # Errors
/// The database.
pub async fn save_levels(store: &Store, levels: Levels) -> Result<(), StoreError> {
    let Levels {
        volume,
        brightness,
        muted,
    } = levels;
    let row = LevelsRow {
        volume,
        brightness,
        muted,
    };
    save(store, LEVELS, &row).await
}

/// Keeps the schedule.
///
/// # Errors
/// The database.
pub async fn save_schedule(store: &Store, schedule: &ScheduleConfig) -> Result<(), StoreError> {
    save(store, SCHEDULE, schedule).await
}

/// Keeps the settings of all screens.
///
/// # Errors
/// The database.
pub async fn save_screens(store: &Store, screens: &Screens) -> Result<(), StoreError> {
    save(store, SCREENS, screens).await
}

async fn save(store: &Store, name: &'static str, value: &impl Serialize) -> Result<(), StoreError> {
    // Plain structs with string keys: serialising them cannot fail.
    let text = serde_json::to_string(value).unwrap_or_default();
    store
        .execute(move |db| {
            db.execute(
                "INSERT INTO panel_settings VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2",
                (name, text),
            )
        })
        .await
        .map(drop)
}
