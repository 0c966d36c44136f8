//! `[containers]` of the configuration: the shape of the file, and what is left of it once checked.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use leitstand_kit::config::{Diagnostics, Level, Path};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    ip_filter::IpFilter,
    profile::{Kind, Profile},
};

/// Isolated runtimes on request, with an SSH login.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContainersSection {
    /// Where clients of the classic protocol connect; port 0 picks a free one. SSH listens on the same address.
    pub bind: String,
    /// Containers at a time, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub max_running: u32,
    /// Seconds for the key exchange, and again for a request, 1 to 300.
    #[schemars(range(min = 1, max = 300))]
    pub client_timeout_s: u64,
    /// What runs them: `ns` = namespaces of this kernel, no daemon; `mock` = nothing real, for trying things out.
    pub backend: BackendChoice,
    /// Profile of a request that names none; otherwise the first.
    pub default_profile: Option<String>,
    /// Ports for SSH, first and last.
    pub port_range: [u16; 2],
    /// Seconds until a container ends by itself, 10 to 31536000.
    #[schemars(range(min = 10, max = 31_536_000))]
    pub ttl_s: u64,
    /// Longest life that a client may ask for.
    #[schemars(range(min = 10, max = 31_536_000))]
    pub ttl_max_s: u64,
    /// Seconds without an SSH session or terminal after which a container is ended; 0 = never.
    pub idle_stop_s: u64,
    /// Whether a request needs an access token (`leitstand container token new`).
    pub access_tokens: bool,
    /// Containers at a time for each access token; 0 = as many as there are places.
    pub quota_per_token: u32,
    /// Containers that an access token may start in a minute; 0 = no limit.
    pub starts_per_minute: u32,
    /// Addresses that may connect: `any`, an address, or a prefix such as `10.0.0.0/8` or `fd00::/8`.
    pub allow: Vec<String>,
    /// Addresses that may not; `any` = all that are not in `allow`.
    pub deny: Vec<String>,
    /// Key exchanges under way, 1 to 1024; more wait in the accept queue.
    #[schemars(range(min = 1, max = 1024))]
    pub max_handshakes: u32,
    /// The same for one address.
    #[schemars(range(min = 1, max = 1024))]
    pub max_handshakes_per_ip: u32,
    /// Bits of the RSA key that is made at the first start: 2048, 3072, 4096 or 8192.
    pub rsa_bits: u16,
    /// Serves the framings of before 4.0 (W1, W2).
    pub legacy_framing: bool,
    /// Containers that are started before anybody asks, 0 to 32.
    #[schemars(range(min = 0, max = 32))]
    pub warm_pool: u32,
    /// The same verbs over HTTP, as the original offers them. Left out: not offered.
    pub web: Option<WebSection>,
    /// What a container can be. None: the machine's own userland, as `host-userland`.
    pub profiles: Vec<ProfileSection>,
}

impl Default for ContainersSection {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:6150".into(),
            max_running: 6,
            client_timeout_s: 10,
            backend: BackendChoice::Ns,
            default_profile: None,
            port_range: [10_000, 14_999],
            ttl_s: 3600,
            ttl_max_s: 86_400,
            idle_stop_s: 0,
            access_tokens: false,
            quota_per_token: 0,
            starts_per_minute: 0,
            allow: vec!["any".into()],
            deny: Vec::new(),
            max_handshakes: 64,
            max_handshakes_per_ip: 16,
            rsa_bits: 4096,
            legacy_framing: false,
            warm_pool: 0,
            web: None,
            profiles: Vec::new(),
        }
    }
}

/// The verbs over HTTP.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSection {
    /// Where to listen. Off loopback it needs a certificate.
    pub bind: String,
    /// PEM of the certificate chain; with it the interface speaks TLS. Relative to the configuration file.
    pub certificate: Option<String>,
    /// PEM of its key.
    pub key: Option<String>,
    /// Also takes GET and HEAD for what changes something, as the original does. A mere link then starts a container.
    #[serde(default)]
    pub legacy_get: bool,
    /// Allows plain HTTP off loopback.
    #[serde(default)]
    pub force_plain: bool,
}

/// What runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackendChoice {
    /// Namespaces of this kernel.
    Ns,
    /// Nothing real.
    Mock,
}

/// A kind of machine that a client can ask for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileSection {
    /// Its name, up to 40 characters.
    pub name: String,
    /// `host` = this machine's own /usr, read-only; `dir` = a root file system in a folder; `oci` = an unpacked bundle
    /// (`rootfs/`, `config.json`).
    pub kind: ProfileKind,
    /// Folder of `dir` and `oci`. Must be readable for everybody: containers do not run as root.
    pub path: Option<String>,
    /// Memory in MiB, tmpfs included, 16 to 65536.
    #[serde(default = "memory")]
    #[schemars(range(min = 16, max = 65_536))]
    pub memory_mib: u64,
    /// Processors, 0.05 to 64.
    #[serde(default = "cpus")]
    pub cpus: f64,
    /// Processes and threads, 8 to 32768.
    #[serde(default = "pids")]
    #[schemars(range(min = 8, max = 32_768))]
    pub pids: u32,
    /// Size of the private writable part in MiB, 1 to 65536. It counts as memory.
    #[serde(default = "disk")]
    #[schemars(range(min = 1, max = 65_536))]
    pub disk_mib: u64,
    /// Runs this instead of waiting for logins; the container ends with it.
    #[serde(default)]
    pub command: Vec<String>,
}

/// Where a container's files come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProfileKind {
    /// This machine's own userland.
    Host,
    /// A root file system in a folder.
    Dir,
    /// An unpacked OCI bundle.
    Oci,
}

fn memory() -> u64 {
    256
}
fn cpus() -> f64 {
    1.0
}
fn pids() -> u32 {
    128
}
fn disk() -> u64 {
    128
}

/// The checked section.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Classic protocol; SSH listens on the same address.
    pub bind: SocketAddr,
    /// Places.
    pub max_running: u32,
    /// Of the exchange, and of a request.
    pub client_timeout: Duration,
    /// Which backend.
    pub backend: BackendChoice,
    /// Index of the profile for requests without one.
    pub default_profile: usize,
    /// For SSH.
    pub ports: RangeInclusive<u16>,
    /// Life of a container.
    pub ttl: Duration,
    /// Longest life to ask for.
    pub ttl_max: Duration,
    /// Zero = never.
    pub idle_stop: Duration,
    /// Whether requests need an access token.
    pub access_tokens: bool,
    /// Places for each token.
    pub quota_per_token: Option<u32>,
    /// Starts a minute for each token.
    pub starts_per_minute: Option<u32>,
    /// Who may connect.
    pub filter: IpFilter,
    /// Exchanges under way.
    pub max_handshakes: u32,
    /// The same for one address.
    pub max_handshakes_per_ip: u32,
    /// Of a new RSA key.
    pub rsa_bits: u16,
    /// Whether W1 and W2 are served.
    pub legacy_framing: bool,
    /// Containers kept ready.
    pub warm_pool: u32,
    /// The verbs over HTTP.
    pub web: Option<WebSettings>,
    /// At least one.
    pub profiles: Vec<Profile>,
}

/// The checked web variant.
#[derive(Clone, Debug)]
pub struct WebSettings {
    /// Where to listen.
    pub bind: SocketAddr,
    /// Certificate chain and key, as written.
    pub tls: Option<(String, String)>,
    /// GET changes things.
    pub legacy_get: bool,
}

/// Checks what the schema cannot say. `at` is the place of the section. `None` when there was an error.
pub fn check(raw: &ContainersSection, at: &Path, diags: &mut Diagnostics) -> Option<Settings> {
    let errors = |d: &Diagnostics| {
        d.list()
            .iter()
            .filter(|d| d.severity == Level::Error)
            .count()
    };
    let before = errors(diags);
    let bind = address(&raw.bind, &at.key("bind"), diags);
    let [first, last] = raw.port_range;
    if first == 0 || last < first || u32::from(last - first) + 1 < raw.max_running {
        diags
            .error(
                &at.key("port_range"),
                "bad_range",
                format!(
                    "{first} to {last} does not hold a port for each of {} containers",
                    raw.max_running
                ),
            )
            .allowed("[first, last], 1 to 65535, at least max_running ports");
    }
    if raw.ttl_max_s < raw.ttl_s {
        diags.error(
            &at.key("ttl_max_s"),
            "bad_ttl",
            "the longest life is shorter than the usual one",
        );
    }
    if ![2048, 3072, 4096, 8192].contains(&raw.rsa_bits) {
        diags
            .error(
                &at.key("rsa_bits"),
                "bad_bits",
                format!("no key has {} bits", raw.rsa_bits),
            )
            .allowed("2048, 3072, 4096, 8192");
    }
    let allow = prefixes(&raw.allow, &at.key("allow"), diags);
    let deny = prefixes(&raw.deny, &at.key("deny"), diags);
    let web = raw
        .web
        .as_ref()
        .and_then(|web| check_web(web, &at.key("web"), diags));
    let default_name = raw.default_profile.as_deref();
    let mut profiles: Vec<Profile> = Vec::new();
    for (i, section) in raw.profiles.iter().enumerate() {
        let is_default = default_name.map_or(i == 0, |name| name == section.name);
        profiles.extend(check_profile(
            section,
            &profiles,
            is_default,
            &at.key("profiles").index(i),
            diags,
        ));
    }
    if raw.profiles.is_empty() {
        profiles.push(Profile::host_userland());
    }
    let default_profile =
        default_name.map_or(Some(0), |name| profiles.iter().position(|p| p.name == name));
    if default_profile.is_none()
        && raw
            .profiles
            .iter()
            .all(|p| Some(p.name.as_str()) != default_name)
    {
        diags.error(
            &at.key("default_profile"),
            "unknown_profile",
            "no profile has this name",
        );
    }
    if errors(diags) > before {
        return None;
    }
    let some = |n: u32| (n > 0).then_some(n);
    Some(Settings {
        bind: bind?,
        max_running: raw.max_running,
        client_timeout: Duration::from_secs(raw.client_timeout_s),
        backend: raw.backend,
        default_profile: default_profile?,
        ports: first..=last,
        ttl: Duration::from_secs(raw.ttl_s),
        ttl_max: Duration::from_secs(raw.ttl_max_s),
        idle_stop: Duration::from_secs(raw.idle_stop_s),
        access_tokens: raw.access_tokens,
        quota_per_token: some(raw.quota_per_token),
        starts_per_minute: some(raw.starts_per_minute),
        filter: IpFilter { allow, deny },
        max_handshakes: raw.max_handshakes,
        max_handshakes_per_ip: raw.max_handshakes_per_ip,
        rsa_bits: raw.rsa_bits,
        legacy_framing: raw.legacy_framing,
        warm_pool: raw.warm_pool,
        web,
        profiles,
    })
}

fn address(text: &str, at: &Path, diags: &mut Diagnostics) -> Option<SocketAddr> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        diags
            .error(
                at,
                "bad_address",
                format!("`{text}` is no address with a port"),
            )
            .allowed("IP address and port, for example 127.0.0.1:6150 or [::1]:6150");
    }
    parsed
}

fn prefixes(list: &[String], at: &Path, diags: &mut Diagnostics) -> Vec<crate::ip_filter::Prefix> {
    let parse = |(i, text): (usize, &String)| {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            diags
                .error(
                    &at.index(i),
                    "bad_prefix",
                    format!("`{text}` is no address or prefix"),
                )
                .allowed("any, 192.0.2.7, 10.0.0.0/8, fd00::/8");
        }
        parsed
    };
    list.iter().enumerate().filter_map(parse).collect()
}

fn check_web(web: &WebSection, at: &Path, diags: &mut Diagnostics) -> Option<WebSettings> {
    let bind = address(&web.bind, &at.key("bind"), diags)?;
    let tls = match (&web.certificate, &web.key) {
        (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
        (None, None) => None,
        _ => {
            diags.error(at, "half_tls", "`certificate` and `key` only work together");
            None
        }
    };
    if tls.is_none() && !is_loopback(bind.ip()) && !web.force_plain {
        diags
            .error(
                &at.key("bind"),
                "plain_http",
                "off loopback, secrets would cross the network in clear",
            )
            .allowed("a loopback address, or `certificate` and `key`, or `force_plain = true`");
    }
    Some(WebSettings {
        bind,
        tls,
        legacy_get: web.legacy_get,
    })
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn check_profile(
    raw: &ProfileSection,
    earlier: &[Profile],
    is_default: bool,
    at: &Path,
    diags: &mut Diagnostics,
) -> Option<Profile> {
    if raw.name.is_empty() || raw.name.chars().count() > 40 {
        diags
            .error(&at.key("name"), "bad_name", "a profile needs a name")
            .allowed("1 to 40 characters");
    }
    if earlier.iter().any(|p| p.name == raw.name) {
        diags.error(
            &at.key("name"),
            "duplicate_name",
            format!("two profiles are called {:?}", raw.name),
        );
    }
    if !(0.05..=64.0).contains(&raw.cpus) {
        diags
            .error(
                &at.key("cpus"),
                "bad_cpus",
                format!("{} processors cannot be given", raw.cpus),
            )
            .allowed("0.05 to 64");
    }
    let kind = match (raw.kind, &raw.path) {
        (ProfileKind::Host, None) => Kind::Host,
        (ProfileKind::Host, Some(_)) => {
            diags.error(
                &at.key("path"),
                "no_path",
                "a `host` profile has no folder of its own",
            );
            return None;
        }
        (_, None) => {
            diags.error(at, "path_missing", "this kind of profile needs `path`");
            return None;
        }
        (ProfileKind::Dir, Some(path)) => Kind::Dir(PathBuf::from(path)),
        (ProfileKind::Oci, Some(path)) => Kind::Oci(PathBuf::from(path)),
    };
    let root = match &kind {
        Kind::Host => None,
        Kind::Dir(path) => Some(path.clone()),
        Kind::Oci(path) => Some(path.join("rootfs")),
    };
    // Relative paths start at the configuration's folder, which is not known here.
    if let Some(root) = root.filter(|root| root.is_absolute() && !root.is_dir()) {
        let text = format!(
            "{} is no folder; CREATE with this profile answers `Unavailable`",
            root.display()
        );
        if is_default {
            diags.error(&at.key("path"), "image_missing", text);
        } else {
            diags.warning(&at.key("path"), "image_missing", text);
        }
    }
    Some(Profile {
        name: raw.name.clone(),
        kind,
        memory_bytes: raw.memory_mib << 20,
        cpu_millis: (raw.cpus * 1000.0) as u32,
        pids: raw.pids,
        disk_bytes: raw.disk_mib << 20,
        command: raw.command.clone(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use leitstand_kit::config::Document;

    #[derive(Deserialize, JsonSchema)]
    struct File {
        containers: ContainersSection,
    }

    fn of(section: &str) -> Result<Settings, Vec<(String, String)>> {
        let (file, mut diags) =
            Document::parse(&format!("[containers]\n{section}"), "test.toml").check::<File>();
        let settings =
            file.and_then(|f| check(&f.containers, &Path::root().key("containers"), &mut diags));
        settings.ok_or_else(|| {
            diags
                .list()
                .iter()
                .map(|d| (d.key.clone(), d.code.clone()))
                .collect()
        })
    }

    #[test]
    fn an_empty_section_is_the_machines_own_userland() {
        let settings = of("").unwrap();
        assert_eq!(settings.profiles.len(), 1);
        assert_eq!(settings.profiles[0].name, "host-userland");
        assert_eq!((settings.max_running, settings.ports), (6, 10_000..=14_999));
        assert!(settings.filter.allows([192, 0, 2, 1].into()));
    }

    #[test]
    fn mistakes_are_named_with_their_key() {
        let found = of("bind = 'x'\nport_range = [10, 11]\nallow = ['10.0.0.0/40']\nrsa_bits = 1024\nttl_max_s = 20\n\
            default_profile = 'none'\n[containers.web]\nbind = '0.0.0.0:8080'\n\
            [[containers.profiles]]\nname = 'a'\nkind = 'dir'\n[[containers.profiles]]\nname = 'b'\nkind = 'host'\npath = '/x'\ncpus = 0.0")
            .unwrap_err();
        for expected in [
            ("containers.bind", "bad_address"),
            ("containers.port_range", "bad_range"),
            ("containers.allow[0]", "bad_prefix"),
            ("containers.rsa_bits", "bad_bits"),
            ("containers.ttl_max_s", "bad_ttl"),
            ("containers.default_profile", "unknown_profile"),
            ("containers.web.bind", "plain_http"),
            ("containers.profiles[0]", "path_missing"),
            ("containers.profiles[1].path", "no_path"),
            ("containers.profiles[1].cpus", "bad_cpus"),
        ] {
            assert!(
                found
                    .iter()
                    .any(|(k, c)| (k.as_str(), c.as_str()) == expected),
                "{expected:?} not in {found:?}"
            );
        }
    }

    #[test]
    fn a_missing_image_is_an_error_only_for_the_default_profile() {
        let host = "[[containers.profiles]]\nname = 'host'\nkind = 'host'\n";
        let gone =
            "[[containers.profiles]]\nname = 'gone'\nkind = 'dir'\npath = '/no/such/image'\n";
        assert_eq!(of(&format!("{host}{gone}")).unwrap().profiles.len(), 2);
        let found = of(&format!("default_profile = 'gone'\n{host}{gone}")).unwrap_err();
        assert_eq!(
            found,
            [("containers.profiles[1].path".into(), "image_missing".into())]
        );
    }
}
