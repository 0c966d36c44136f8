//! `[fleet]` of the configuration: the section as written, and the settings that the service starts with.

mod check;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{name::CarName, session::Baseline};
pub use check::check;

/// Vehicles that speak Fleet Protocol v2.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FleetSection {
    /// Company of all cars that name no other: lower-case letters, digits and `_`.
    pub company: String,
    /// Patience in seconds for one awaited message, a missing status, and the answer to a command; 0.1 to 3600.
    #[serde(default = "thirty")]
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub timeout_s: f64,
    /// After this silence of a vehicle its session ends, in seconds; 0.1 to 86400.
    #[serde(default = "thirty")]
    #[schemars(range(min = 0.1, max = 86400.0))]
    pub inactivity_s: f64,
    /// Whether a module may command devices of another module.
    #[serde(default)]
    pub send_invalid_command: bool,
    /// Where module libraries run.
    #[serde(default)]
    pub isolation: Isolation,
    /// Which number the first status after the connect sequence must have.
    #[serde(default)]
    pub status_baseline: BaselineChoice,
    /// A module that cannot be loaded at the start refuses the start. `false`: the others run without it.
    #[serde(default = "yes")]
    pub strict_start: bool,
    /// Publishes `ONLINE` or `OFFLINE`, retained, on `<company>/<car>/external_server_state`.
    #[serde(default)]
    pub presence: bool,
    /// Statuses kept on disk per device while its module is down; 0 to 100000.
    #[serde(default = "thousand")]
    #[schemars(range(min = 0, max = 100000))]
    pub spool: u32,
    /// The MQTT broker.
    #[serde(default)]
    pub broker: BrokerSection,
    /// The cars.
    pub cars: Vec<CarSection>,
    /// The modules.
    pub modules: Vec<ModuleSection>,
}

/// The MQTT broker, embedded or somewhere else.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerSection {
    /// `true`: the gateway is the broker and listens at `address`. `false`: it connects to `address`.
    pub embedded: bool,
    /// Host and port. The embedded broker takes an IP address; port 0 picks a free one. Off loopback vehicles need a
    /// certificate or a password, and each has only the topics of its own car.
    pub address: String,
    /// File with the certificate authority: of the broker, or (embedded) of the vehicles, whose certificates then
    /// must carry `company/car` as common name. Relative to the configuration file.
    pub ca: Option<String>,
    /// File with our own certificate chain.
    pub cert: Option<String>,
    /// File with its key.
    pub key: Option<String>,
    /// User at an external broker.
    pub username: Option<String>,
    /// File with the password of `username`, in its first line.
    pub password_file: Option<String>,
}

impl Default for BrokerSection {
    fn default() -> Self {
        Self {
            embedded: true,
            address: "127.0.0.1:1883".into(),
            ca: None,
            cert: None,
            key: None,
            username: None,
            password_file: None,
        }
    }
}

/// A vehicle.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CarSection {
    /// Its name in topics: lower-case letters, digits and `_`.
    pub name: String,
    /// Its company, where it is not that of the section.
    pub company: Option<String>,
    /// File with the password it gives to the embedded broker, in its first line; its user is `company/car`.
    pub password_file: Option<String>,
}

/// A module: a library with the C interface, or one of the built-in ones.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModuleSection {
    /// Its number, 1 to 2147483647. 1 mission, 2 I/O, 1000 the public example.
    #[schemars(range(min = 1, max = 2147483647))]
    pub id: i32,
    /// Library with the server half of the C interface. Relative to the configuration file.
    pub lib: Option<String>,
    /// Instead of a library.
    pub builtin: Option<Builtin>,
    /// Handed to the library: text, whole numbers, true or false.
    #[serde(default)]
    pub config: BTreeMap<String, ConfigValue>,
    /// How long the library may wait for a command at a time, in milliseconds; 1 to 60000.
    #[serde(default = "thousand")]
    #[schemars(range(min = 1, max = 60000))]
    pub timeout_ms: u32,
    /// The cars that have it, by name. Absent: all.
    pub cars: Option<Vec<String>>,
    /// Never wait for a command beside another call of the library.
    #[serde(default)]
    pub strict_context: bool,
    /// After this time a command that was not sent is given up, in seconds; 0 = never.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 86400.0))]
    pub command_ttl_s: f64,
    /// Memory of the library's process, in MiB.
    #[serde(default = "default_memory")]
    #[schemars(range(min = 32, max = 65536))]
    pub memory_mib: u32,
    /// Processor time of the library's process, in percent of one core over a minute.
    #[serde(default = "default_cpu")]
    #[schemars(range(min = 1, max = 6400))]
    pub cpu_percent: u32,
}

/// A value handed to a library.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ConfigValue {
    /// As it is.
    Text(String),
    /// In decimal.
    Number(i64),
    /// As 1 or 0.
    Flag(bool),
}

impl ConfigValue {
    /// As the library gets it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(n) => n.to_string(),
            Self::Flag(on) => u8::from(*on).to_string(),
        }
    }
}

/// Where module libraries run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// A process a module: a crash ends nothing else.
    #[default]
    Process,
    /// In the gateway's own process, for tests of a library only: a crash ends everything.
    Inline,
}

/// Which number the first status after the connect sequence must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BaselineChoice {
    /// One more than the highest of the sequence.
    #[default]
    Sequence,
    /// Whatever comes first.
    FirstSeen,
}

/// Modules that need no library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Builtin {
    /// A button that switches its lamp, as the public example module.
    Example,
    /// Statuses to the interface and the journal, commands from the interface.
    Transparent,
}

fn thirty() -> f64 {
    30.0
}
fn thousand() -> u32 {
    1000
}
fn yes() -> bool {
    true
}
fn default_memory() -> u32 {
    512
}
fn default_cpu() -> u32 {
    100
}

/// The checked section.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Company of cars that name no other.
    pub company: String,
    /// See [`FleetSection::timeout_s`].
    pub timeout: Duration,
    /// See [`FleetSection::inactivity_s`].
    pub inactivity: Duration,
    /// See there.
    pub send_invalid_command: bool,
    /// See there.
    pub isolation: Isolation,
    /// See there.
    pub baseline: Baseline,
    /// See there.
    pub strict_start: bool,
    /// See there.
    pub presence: bool,
    /// Per device.
    pub spool: usize,
    /// The broker.
    pub broker: BrokerSettings,
    /// In the order of the file.
    pub cars: Vec<CarSettings>,
    /// In the order of the file.
    pub modules: Vec<ModuleSettings>,
}

impl Settings {
    /// Modules of a car.
    pub fn modules_of<'a>(&'a self, car: &'a CarName) -> impl Iterator<Item = &'a ModuleSettings> {
        let mine = |m: &&ModuleSettings| m.cars.as_ref().is_none_or(|cars| cars.contains(car));
        self.modules.iter().filter(mine)
    }
}

/// The checked broker.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// Ours, or an external one.
    pub embedded: bool,
    /// Host name or address.
    pub host: String,
    /// 0 only with `embedded`.
    pub port: u16,
    /// Paths as written.
    pub ca: Option<String>,
    /// The same.
    pub cert: Option<String>,
    /// The same.
    pub key: Option<String>,
    /// User at an external broker.
    pub username: Option<String>,
    /// Path as written.
    pub password_file: Option<String>,
}

/// A checked car.
#[derive(Clone, Debug)]
pub struct CarSettings {
    /// Company and name.
    pub name: CarName,
    /// Path as written.
    pub password_file: Option<String>,
}

/// What a module is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A path as written.
    Library(String),
    /// See there.
    Builtin(Builtin),
}

/// A checked module.
#[derive(Clone, Debug)]
pub struct ModuleSettings {
    /// Its number.
    pub id: i32,
    /// See there.
    pub origin: Origin,
    /// Keys and values for the library, in the order of the keys.
    pub config: Vec<(String, String)>,
    /// One wait for a command.
    pub wait: Duration,
    /// `None` = all.
    pub cars: Option<Vec<CarName>>,
    /// See [`ModuleSection::strict_context`].
    pub strict_context: bool,
    /// `None` = never.
    pub time_to_live: Option<Duration>,
    /// MiB.
    pub memory_mib: u32,
    /// Percent of one core.
    pub cpu_percent: u32,
}
