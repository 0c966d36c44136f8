//! `[models]` of the configuration: the shape of the file, and what is left of it once checked.

use std::{net::SocketAddr, time::Duration};

use leitstand_core::online::{Any, Kind as Method};
use leitstand_kit::config::{Diagnostics, Path};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{engine::Limits, repl::users::Users};

/// Keeps, trains and asks models.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelsSection {
    /// Name of this server towards clients and other components, up to 80 characters.
    #[serde(default = "name")]
    #[schemars(length(min = 1, max = 80))]
    pub name: String,
    /// Bounds of execution.
    #[serde(default)]
    pub engine: EngineConfig,
    /// Where models are kept.
    #[serde(default)]
    pub backend: BackendConfig,
    /// Code that models are made of.
    #[serde(default)]
    pub plugins: PluginsConfig,
    /// Ways in from outside. The HTTP API and the pages are always there.
    #[serde(default)]
    pub control: Vec<ControlConfig>,
    /// Sensors that a model learns and judges continuously.
    #[serde(default)]
    pub watch: Vec<WatchConfig>,
}

/// Bounds of execution.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Plugin calls at a time, 1 to 64. 0: as many as the machine has processors.
    #[schemars(range(min = 0, max = 64))]
    pub max_children: u32,
    /// How long a cancelled plugin may take before it is killed, in seconds.
    #[schemars(range(min = 0.0, max = 600.0))]
    pub sigterm_timeout_s: f64,
    /// Longest run of an action in seconds; 0: no limit.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub action_timeout_s: f64,
    /// Actions that wait; one more is refused as busy. 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub queue_limit: u32,
    /// Finished actions that stay visible, 1 to 10000.
    #[schemars(range(min = 1, max = 10_000))]
    pub keep_actions: u32,
    /// What becomes of NaN and infinities in results.
    pub non_finite: NonFinite,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            max_children: 0,
            sigterm_timeout_s: 5.0,
            action_timeout_s: 0.0,
            queue_limit: 256,
            keep_actions: 200,
            non_finite: NonFinite::Error,
        }
    }
}

/// What becomes of NaN and infinities in results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NonFinite {
    /// The call fails as `non_finite`.
    #[default]
    Error,
    /// `null` stands in their place.
    Null,
}

/// Where models are kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackendConfig {
    /// Which kind.
    pub kind: BackendKind,
    /// File of `sqlite`, relative to the state directory. A file made by AIMM is opened as it is.
    pub path: String,
}

impl Default for BackendConfig {
    fn default() -> Self {
        Self {
            kind: BackendKind::Sqlite,
            path: "models.db".into(),
        }
    }
}

/// Kinds of backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackendKind {
    /// Keeps nothing over a restart.
    Dummy,
    /// One file.
    Sqlite,
}

/// Code that models are made of.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginsConfig {
    /// The built-in models (`builtin.ewma` ...) and data accesses (`history`, `latest`, `csv`, `constant`).
    pub builtin: bool,
    /// Python modules with plugins, run in worker processes.
    pub python: Vec<String>,
    /// Folders that Python modules are found in, relative to the configuration file.
    pub python_path: Vec<String>,
    /// The Python interpreter and its options.
    pub python_command: Vec<String>,
    /// Address space of a worker in MiB; 0: no limit.
    #[schemars(range(min = 0, max = 1_048_576))]
    pub worker_memory_mib: u64,
    /// Processor time of one worker in seconds; 0: no limit.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub worker_cpu_s: u64,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            builtin: true,
            python: Vec::new(),
            python_path: vec![".".into()],
            python_command: vec!["python3".into()],
            worker_memory_mib: 0,
            worker_cpu_s: 0,
        }
    }
}

/// A way in from outside.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub enum ControlConfig {
    /// The WebSocket that the AIMM Python client speaks.
    Repl(ReplConfig),
    /// Open Inference Protocol v2 under `/v2` on the HTTP port.
    Oip {},
}

/// The WebSocket that the AIMM Python client speaks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplConfig {
    /// Address and port; port 0 picks a free one and prints it.
    #[serde(default = "repl_bind")]
    pub bind: String,
    /// Which framing clients speak; `auto` finds out.
    #[serde(default)]
    pub dialect: DialectChoice,
    /// Who may log in.
    #[serde(default)]
    pub users: Vec<UserConfig>,
    /// How long changes are gathered before clients see them, in seconds, 0 to 10.
    #[serde(default = "autoflush")]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub autoflush_delay_s: f64,
    /// Allows a bind off loopback although passwords and models then travel unencrypted.
    #[serde(default)]
    pub allow_plaintext: bool,
}

/// Which framing clients speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum DialectChoice {
    /// Told from the first frame of the client.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// Bare JSON (AIMM 1.2.dev0).
    #[serde(rename = "0.6")]
    V06,
    /// Segments and pings (AIMM 1.2.dev1).
    #[serde(rename = "0.7")]
    V07,
}

/// Somebody who may log in.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// Name, 1 to 80 characters.
    #[schemars(length(min = 1, max = 80))]
    pub username: String,
    /// `$argon2id$...` from `leitstand hash-password`, or, as in AIMM, the SHA-256 of the password in
    /// hexadecimal (which is as good as the password itself).
    pub password: String,
    /// What they may do.
    #[serde(default)]
    pub role: ReplRole,
}

/// What a client may do; each role may do what those above it in this list may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplRole {
    /// See the state.
    Viewer,
    /// Predict.
    Operator,
    /// Create, fit, add, update, cancel.
    #[default]
    Trainer,
    /// Remove.
    Admin,
}

/// A sensor that a model learns and judges.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchConfig {
    /// The series, for example the id of a gas cell.
    pub tag: String,
    /// Built-in model: `ewma`, `zscore`, `hampel`, `holt`, `seasonal`, `rls`, `kmeans`, `cusum`, `threshold`.
    #[serde(default = "cusum")]
    pub model: String,
    /// Its parameters by name.
    #[serde(default)]
    pub parameters: std::collections::BTreeMap<String, f64>,
    /// Samples are averaged over this many seconds, 1 to 3600.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 3600))]
    pub every_s: u32,
}

fn name() -> String {
    "leitstand".into()
}
fn repl_bind() -> String {
    "127.0.0.1:9999".into()
}
fn autoflush() -> f64 {
    0.2
}
fn cusum() -> String {
    "cusum".into()
}
fn one() -> u32 {
    1
}

/// The checked section.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) name: String,
    pub(crate) limits: Limits,
    pub(crate) sigterm_timeout: Duration,
    pub(crate) null_instead: bool,
    pub(crate) backend: BackendConfig,
    pub(crate) plugins: PluginsConfig,
    pub(crate) repl: Vec<ReplSettings>,
    pub(crate) oip: bool,
    pub(crate) watches: Vec<WatchSettings>,
}

/// A checked repl.
#[derive(Clone, Debug)]
pub struct ReplSettings {
    pub(crate) bind: SocketAddr,
    pub(crate) dialect: DialectChoice,
    pub(crate) users: Users,
    pub(crate) autoflush: Duration,
}

/// A checked watch: its model has seen nothing yet.
#[derive(Clone, Debug)]
pub struct WatchSettings {
    pub(crate) tag: String,
    pub(crate) model: Any,
    pub(crate) every_s: u32,
}

/// Checks the section at `at`; `None` when it has an error.
pub fn check(
    section: &ModelsSection,
    at: &Path,
    diagnostics: &mut Diagnostics,
) -> Option<Settings> {
    let mut sound = true;
    let control = at.key("control");
    let mut repl = Vec::new();
    let mut oip = false;
    for (i, entry) in section.control.iter().enumerate() {
        match entry {
            ControlConfig::Oip {} => oip = true,
            ControlConfig::Repl(config) => match check_repl(config, &control.index(i), diagnostics)
            {
                Some(settings) => repl.push(settings),
                None => sound = false,
            },
        }
    }
    if section.plugins.python_command.is_empty() {
        sound = false;
        let key = at.key("plugins").key("python_command");
        diagnostics
            .error(&key, "empty", "a command has at least a program")
            .allowed("for example [\"python3\"]");
    }
    let mut watches = Vec::new();
    for (i, watch) in section.watch.iter().enumerate() {
        match check_watch(watch, &at.key("watch").index(i), diagnostics) {
            Some(settings) => watches.push(settings),
            None => sound = false,
        }
    }
    let engine = &section.engine;
    let processors = || std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let slots = if engine.max_children == 0 {
        processors()
    } else {
        engine.max_children as usize
    };
    sound.then(|| Settings {
        name: section.name.clone(),
        limits: Limits {
            slots,
            queue: engine.queue_limit as usize,
            keep: engine.keep_actions as usize,
            timeout: (engine.action_timeout_s > 0.0)
                .then(|| Duration::from_secs_f64(engine.action_timeout_s)),
        },
        sigterm_timeout: Duration::from_secs_f64(engine.sigterm_timeout_s),
        null_instead: engine.non_finite == NonFinite::Null,
        backend: section.backend.clone(),
        plugins: section.plugins.clone(),
        repl,
        oip,
        watches,
    })
}

fn check_repl(
    config: &ReplConfig,
    at: &Path,
    diagnostics: &mut Diagnostics,
) -> Option<ReplSettings> {
    let users = Users::check(&config.users, &at.key("users"), diagnostics);
    let Ok(bind) = config.bind.parse::<SocketAddr>() else {
        let message = format!("`{}` is no address with a port", config.bind);
        diagnostics
            .error(&at.key("bind"), "bad_address", message)
            .allowed("for example 127.0.0.1:9999");
        return None;
    };
    if !bind.ip().is_loopback() && !config.allow_plaintext {
        let message = "off loopback, passwords and models would travel unencrypted";
        let allowed = "a loopback address, or `allow_plaintext = true`";
        diagnostics
            .error(&at.key("bind"), "plaintext", message)
            .allowed(allowed);
        return None;
    }
    let autoflush = Duration::from_secs_f64(config.autoflush_delay_s);
    Some(ReplSettings {
        bind,
        dialect: config.dialect,
        users: users?,
        autoflush,
    })
}

fn check_watch(
    watch: &WatchConfig,
    at: &Path,
    diagnostics: &mut Diagnostics,
) -> Option<WatchSettings> {
    let Some(method) = Method::named(&watch.model) else {
        let names: Vec<_> = Method::ALL.iter().map(|kind| kind.name()).collect();
        let message = format!("there is no model `{}`", watch.model);
        let found = diagnostics.error(&at.key("model"), "unknown_model", message);
        found
            .allowed(names.join(", "))
            .suggest_from(&watch.model, names.iter().copied());
        return None;
    };
    let known = method.parameters();
    let names = || known.iter().map(|p| p.name);
    for name in watch
        .parameters
        .keys()
        .filter(|name| !names().any(|known| known == name.as_str()))
    {
        let message = format!("{} has no parameter `{name}`", watch.model);
        let found = diagnostics.error(
            &at.key("parameters").key(name),
            "unknown_parameter",
            message,
        );
        found.allowed(names().collect::<Vec<_>>().join(", "));
    }
    if watch
        .parameters
        .keys()
        .any(|name| !names().any(|known| known == name.as_str()))
    {
        return None;
    }
    let values: Vec<_> = known
        .iter()
        .map(|p| watch.parameters.get(p.name).copied().unwrap_or(p.default))
        .collect();
    match Any::new(method, &values) {
        Ok(model) => Some(WatchSettings {
            tag: watch.tag.clone(),
            model,
            every_s: watch.every_s,
        }),
        Err(error) => {
            let p = error.parameter;
            let key = at.key("parameters").key(p.name);
            let message = format!("{} is out of range", p.name);
            diagnostics
                .error(&key, "out_of_range", message)
                .allowed(format!("{} to {}", p.min, p.max));
            None
        }
    }
}
