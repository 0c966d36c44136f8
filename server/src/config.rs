//! One configuration file, a section a service. Each service owns its section; here is only what belongs to
//! the gateway, and the way from a text to checked values with every mistake named at once.

use crate::exit::Failure;
use leitstand_kit::Exit;
use leitstand_kit::config::{Diagnostics, Document, Path};
use schemars::JsonSchema;
use serde::Deserialize;
use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The configuration of a site.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileConfig {
    /// Name of the site, shown on every page. 1 to 80 characters.
    #[schemars(length(min = 1, max = 80))]
    pub(crate) site: String,
    /// Language of pages and texts for people who did not choose one.
    #[serde(default)]
    pub(crate) language: Language,
    /// The HTTP interface.
    #[serde(default)]
    pub(crate) api: Api,
    /// Backups on a schedule; absent = only by hand.
    pub(crate) backup: Option<crate::backup::keeper::BackupSection>,
    /// Gas-warning centre: sensors, zones, alarms, outputs.
    #[cfg(feature = "gas")]
    pub(crate) gas: Option<leitstand_gas::config::GasSection>,
    /// Mains and battery, watched by the gas service.
    #[cfg(feature = "gas")]
    pub(crate) power: Option<leitstand_gas::config::PowerSection>,
    /// Button panel with pictures and sound.
    #[cfg(feature = "panel")]
    pub(crate) panel: Option<leitstand_panel::config::PanelConfig>,
    /// Vehicles that speak Fleet Protocol v2.
    #[cfg(feature = "fleet")]
    pub(crate) fleet: Option<leitstand_fleet::FleetSection>,
    /// Isolated runtimes on request, with an SSH login.
    #[cfg(feature = "containers")]
    pub(crate) containers: Option<leitstand_containers::ContainersSection>,
    /// Models: anomaly detection, Python plugins, inference.
    #[cfg(feature = "models")]
    pub(crate) models: Option<leitstand_models::ModelsSection>,
}

/// Language of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

impl Language {
    /// The code that pages use.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }
}

/// The HTTP interface.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Api {
    /// Address and port to listen on. Off loopback everything needs a login; port 0 picks a free one.
    pub(crate) bind: String,
    /// On a loopback bind, a program on this machine acts as engineer without a login.
    pub(crate) trust_loopback: bool,
    /// Encryption: "off", "site" for a certificate that the gateway makes itself, or a table with `cert` and `key`.
    /// Without this key: "off" on loopback, "site" on any other address.
    pub(crate) tls: Option<Tls>,
    /// Further names and addresses by which the gateway is reached, for the certificate that it makes itself.
    #[schemars(length(max = 16))]
    pub(crate) names: Vec<String>,
}

/// Encryption of the HTTP interface.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Tls {
    /// Without files.
    Word(TlsWord),
    /// A certificate of one's own.
    Files(TlsFiles),
}

/// Encryption without files.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TlsWord {
    /// In the clear: only on loopback, or behind a proxy that speaks TLS.
    Off,
    /// With a certificate that the gateway makes and renews itself.
    Site,
}

/// A certificate of one's own, read again when it changes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    /// PEM file with the certificate and those that lead to its root.
    pub(crate) cert: PathBuf,
    /// PEM file with its private key.
    pub(crate) key: PathBuf,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:8080".into(),
            trust_loopback: true,
            tls: None,
            names: Vec::new(),
        }
    }
}

/// What the gateway starts with: checked values of every section that is there.
pub(crate) struct Checked {
    /// Name of the site.
    pub(crate) site: String,
    /// Language of pages.
    pub(crate) language: Language,
    /// `[api] bind`.
    pub(crate) bind: SocketAddr,
    /// `[api] trust_loopback`.
    pub(crate) trust_loopback: bool,
    /// `[api] tls`; `None` leaves it to the address.
    pub(crate) tls: Option<Tls>,
    /// `[api] names`.
    pub(crate) names: Vec<String>,
    /// Backups on a schedule.
    pub(crate) backup: Option<crate::backup::keeper::BackupSection>,
    /// The gas service's site.
    #[cfg(feature = "gas")]
    pub(crate) gas: Option<std::sync::Arc<leitstand_gas::site::GasSite>>,
    /// The panel service's settings and its folder of media.
    #[cfg(feature = "panel")]
    pub(crate) panel: Option<leitstand_panel::config::Settings>,
    /// The fleet service's settings.
    #[cfg(feature = "fleet")]
    pub(crate) fleet: Option<leitstand_fleet::Settings>,
    /// The containers service's settings.
    #[cfg(feature = "containers")]
    pub(crate) containers: Option<leitstand_containers::Settings>,
    /// The model service's settings.
    #[cfg(feature = "models")]
    pub(crate) models: Option<leitstand_models::Settings>,
}

impl Checked {
    /// The folder of pictures and sounds, of a site that has one.
    pub(crate) fn media_dir(&self, config_dir: &std::path::Path) -> Option<std::path::PathBuf> {
        #[cfg(feature = "panel")]
        return self
            .panel
            .as_ref()
            .map(|panel| config_dir.join(&panel.media_dir));
        #[cfg(not(feature = "panel"))]
        {
            let _ = config_dir;
            None
        }
    }
}

/// Checks a text. The diagnostics hold every mistake; there is a value when none is an error.
pub(crate) fn check(text: &str, file: &str) -> (Option<Checked>, Diagnostics) {
    let document = Document::parse(text, file);
    let (raw, mut diagnostics) = document.check::<FileConfig>();
    let Some(raw) = raw else {
        return (None, diagnostics);
    };
    let root = Path::root();
    let bind = raw.api.bind.parse::<SocketAddr>().ok();
    if bind.is_none() {
        diagnostics
            .error(
                &root.key("api").key("bind"),
                "bad_address",
                format!("`{}` is no address with a port", raw.api.bind),
            )
            .allowed("IP address and port, for example 127.0.0.1:8080 or [::1]:8080");
    }
    for (index, name) in raw.api.names.iter().enumerate() {
        if !is_host_name(name) && name.parse::<IpAddr>().is_err() {
            diagnostics
                .error(
                    &root.key("api").key("names").index(index),
                    "bad_name",
                    format!("`{name}` is neither a host name nor an IP address"),
                )
                .allowed("for example leitstand.example.org or 192.0.2.7; no port, no https://");
        }
    }
    if let Some(backup) = &raw.backup {
        crate::backup::keeper::check(backup, &root.key("backup"), &mut diagnostics);
    }
    #[cfg(feature = "gas")]
    let gas = raw
        .gas
        .as_ref()
        .and_then(|gas| leitstand_gas::config::check(gas, raw.power.as_ref(), &mut diagnostics));
    #[cfg(feature = "gas")]
    if raw.gas.is_none() && raw.power.is_some() {
        diagnostics.warning(
            &root.key("power"),
            "unused",
            "`[power]` is watched by the gas service, which is not configured",
        );
    }
    #[cfg(feature = "panel")]
    let panel = raw.panel.as_ref().and_then(|panel| {
        leitstand_panel::config::check(panel, &root.key("panel"), &mut diagnostics)
    });
    #[cfg(feature = "fleet")]
    let fleet = raw.fleet.as_ref().and_then(|fleet| {
        leitstand_fleet::config::check(fleet, &root.key("fleet"), &mut diagnostics)
    });
    #[cfg(feature = "containers")]
    let containers = raw.containers.as_ref().and_then(|containers| {
        leitstand_containers::config::check(containers, &root.key("containers"), &mut diagnostics)
    });
    #[cfg(feature = "models")]
    let models = raw.models.as_ref().and_then(|models| {
        leitstand_models::config::check(models, &root.key("models"), &mut diagnostics)
    });
    let checked = match bind {
        Some(bind) if !diagnostics.has_errors() => Some(Checked {
            site: raw.site,
            language: raw.language,
            bind,
            trust_loopback: raw.api.trust_loopback,
            tls: raw.api.tls,
            names: raw.api.names,
            backup: raw.backup,
            #[cfg(feature = "gas")]
            gas,
            #[cfg(feature = "panel")]
            panel,
            #[cfg(feature = "fleet")]
            fleet,
            #[cfg(feature = "containers")]
            containers,
            #[cfg(feature = "models")]
            models,
        }),
        _ => None,
    };
    (checked, diagnostics)
}

/// Labels of letters, digits and hyphens (RFC 1123, 2.1).
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(fine) && !label.starts_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// As [`check`]; mistakes go to STDERR as a report for people.
///
/// # Errors
/// Exit 2 when one of them is an error.
pub(crate) fn check_or_report(text: &str, file: &str) -> Result<Checked, Failure> {
    let (checked, diagnostics) = check(text, file);
    report(&diagnostics);
    checked.ok_or_else(|| Failure::silent(Exit::Configuration))
}

/// Prints what was found, if anything.
pub(crate) fn report(diagnostics: &Diagnostics) {
    if !diagnostics.list().is_empty() {
        let mut err = std::io::stderr().lock();
        let colour = std::io::stderr().is_terminal();
        let _ = write!(err, "{}", diagnostics.report(colour));
    }
}

/// The reference of every setting, in Markdown.
#[cfg(test)]
fn reference() -> String {
    leitstand_kit::config::reference::<FileConfig>()
}

/// `leitstand check --schema`.
pub(crate) fn schema() -> serde_json::Value {
    leitstand_kit::config::schema::<FileConfig>()
}

#[cfg(all(test, feature = "gas", feature = "panel"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");

    /// `UPDATE_DOCS=1 cargo test -p leitstand` writes the document anew.
    #[test]
    fn the_reference_in_the_documents_is_current() {
        let generated = format!(
            "# Configuration reference\n\n\
             Generated from the program's own schema; `UPDATE_DOCS=1 cargo test -p leitstand` writes it anew.\n\
             Samples: [garage.toml](../server/deploy/garage.toml), [panel.toml](../server/deploy/panel.toml). \
             `leitstand check FILE` names every mistake in a file at once.\n\n{}\n",
            reference().trim()
        );
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(DOCUMENT, &generated).unwrap();
        }
        let written = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
        assert!(
            written == generated,
            "docs/configuration.md is not current: UPDATE_DOCS=1 cargo test -p leitstand"
        );
    }

    #[test]
    fn the_configuration_of_the_demo_has_no_mistake() {
        let (checked, diagnostics) = check(&crate::demo::CONFIG.join("\n"), "demo.toml");
        assert!(
            checked.is_some() && diagnostics.list().is_empty(),
            "{}",
            diagnostics.report(false)
        );
    }

    #[test]
    fn mistakes_of_the_encryption_are_told_apart() {
        for (api, key, code, meant) in [
            ("tls = 'of'", "api.tls", "unknown_value", Some("off")),
            ("tls = true", "api.tls", "wrong_type", None),
            ("tls = { cert = 'x' }", "api.tls.key", "missing_key", None),
            (
                "tls = { cert = 'x', kye = 'y', key = 'z' }",
                "api.tls.kye",
                "unknown_key",
                Some("key"),
            ),
            (
                "names = ['a.example', 'https://x']",
                "api.names[1]",
                "bad_name",
                None,
            ),
            ("names = ['']", "api.names[0]", "bad_name", None),
            (
                "names = 'a.example'",
                "api.names",
                "wrong_type",
                Some("[\"a.example\"]"),
            ),
        ] {
            let (checked, found) = check(&format!("site = 'x'\n[api]\n{api}\n"), "x.toml");
            assert!(checked.is_none(), "{api}");
            let found: Vec<_> = found
                .list()
                .iter()
                .map(|d| {
                    let meant = d.suggestion.as_deref();
                    (d.line, d.key.as_str(), d.code.as_str(), meant)
                })
                .collect();
            assert_eq!(found, [(3, key, code, meant)], "{api}");
        }
        for api in [
            "tls = 'site'\nnames = ['pi', '192.0.2.7', '2001:db8::1']",
            "tls.cert = 'x'\ntls.key = 'y'",
        ] {
            let (checked, _) = check(&format!("site = 'x'\n[api]\n{api}\n"), "x.toml");
            assert!(checked.is_some(), "{api}");
        }
    }

    #[test]
    fn all_mistakes_of_the_gateways_own_keys_are_named_at_once() {
        let (checked, diagnostics) = check(
            "site = \"\"\nlanguage = \"fr\"\n[api]\nbnd = 1\ntrust_loopback = \"yes\"\n",
            "x.toml",
        );
        assert!(checked.is_none());
        let found: Vec<_> = diagnostics
            .list()
            .iter()
            .map(|d| (d.line, d.key.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (1, "site"),
                (2, "language"),
                (4, "api.bnd"),
                (5, "api.trust_loopback")
            ]
        );
        let (checked, diagnostics) = check("site = \"x\"\n[api]\nbind = \"8080\"\n", "x.toml");
        assert!(checked.is_none());
        assert_eq!(
            (
                diagnostics.list()[0].line,
                diagnostics.list()[0].code.as_str()
            ),
            (3, "bad_address")
        );
    }
}
