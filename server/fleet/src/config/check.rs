//! What the schema cannot say.

use std::{collections::BTreeSet, time::Duration};

use leitstand_kit::config::{Diagnostics, Level, Path};

use super::{
    BaselineChoice, BrokerSection, BrokerSettings, CarSettings, FleetSection, ModuleSettings,
    Origin, Settings,
};
use crate::{
    name::{CarName, is_name},
    session::Baseline,
};

const NAME_ALLOWED: &str = "1 to 64 of a-z, 0-9 and _";

/// Checks the section at `at`. `None` when there was an error.
pub fn check(raw: &FleetSection, at: &Path, diags: &mut Diagnostics) -> Option<Settings> {
    let errors = |diags: &Diagnostics| {
        let list = diags.list().iter();
        list.filter(|d| d.severity == Level::Error).count()
    };
    let errors_before = errors(diags);
    if !is_name(&raw.company) {
        diags
            .error(
                &at.key("company"),
                "bad_name",
                format!("{:?} cannot be part of a topic", raw.company),
            )
            .allowed(NAME_ALLOWED);
    }
    let broker = check_broker(&raw.broker, &at.key("broker"), diags);
    let cars = check_cars(raw, at, diags);
    let modules = check_modules(raw, &cars, at, diags);
    if errors(diags) > errors_before {
        return None;
    }
    Some(Settings {
        company: raw.company.clone(),
        timeout: Duration::from_secs_f64(raw.timeout_s),
        inactivity: Duration::from_secs_f64(raw.inactivity_s),
        send_invalid_command: raw.send_invalid_command,
        isolation: raw.isolation,
        baseline: match raw.status_baseline {
            BaselineChoice::Sequence => Baseline::Sequence,
            BaselineChoice::FirstSeen => Baseline::FirstSeen,
        },
        strict_start: raw.strict_start,
        presence: raw.presence,
        spool: raw.spool as usize,
        broker: broker?,
        cars,
        modules,
    })
}

fn check_broker(raw: &BrokerSection, at: &Path, diags: &mut Diagnostics) -> Option<BrokerSettings> {
    let parts = raw.address.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let parts = parts.filter(|(host, port)| {
        let host_is_good = !host.is_empty() && !host.contains(['/', ' ']);
        host_is_good && (*port > 0 || raw.embedded)
    });
    let Some((host, port)) = parts else {
        diags
            .error(
                &at.key("address"),
                "bad_address",
                format!("{:?} is no host with a port", raw.address),
            )
            .allowed("host:port, for example 127.0.0.1:1883; the port is 1 to 65535");
        return None;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip = host.parse::<std::net::IpAddr>().ok();
    if raw.embedded && ip.is_none() {
        diags
            .error(
                &at.key("address"),
                "bad_address",
                format!("the embedded broker listens at an IP address, not at {host:?}"),
            )
            .allowed("for example 127.0.0.1:1883 or 0.0.0.0:8883");
    }
    if raw.cert.is_some() != raw.key.is_some() {
        let missing = if raw.cert.is_some() { "key" } else { "cert" };
        diags.error(
            at,
            "half_a_certificate",
            format!("a certificate needs its key: `{missing}` is missing"),
        );
    }
    if raw.embedded && raw.ca.is_some() && raw.cert.is_none() {
        diags.error(
            &at.key("ca"),
            "half_a_certificate",
            "certificates of vehicles are asked for over TLS: `cert` and `key` are missing",
        );
    }
    if raw.embedded && (raw.username.is_some() || raw.password_file.is_some()) {
        diags.error(
            &at.key("username"),
            "not_embedded",
            "a user is for an external broker; vehicles have `password_file` in [[fleet.cars]]",
        );
    }
    if raw.username.is_some() != raw.password_file.is_some() && !raw.embedded {
        diags.error(
            at,
            "half_a_login",
            "`username` and `password_file` belong together",
        );
    }
    Some(BrokerSettings {
        embedded: raw.embedded,
        host: host.to_owned(),
        port,
        ca: raw.ca.clone(),
        cert: raw.cert.clone(),
        key: raw.key.clone(),
        username: raw.username.clone(),
        password_file: raw.password_file.clone(),
    })
}

fn check_cars(raw: &FleetSection, at: &Path, diags: &mut Diagnostics) -> Vec<CarSettings> {
    let at = at.key("cars");
    if raw.cars.is_empty() {
        diags.error(&at, "no_cars", "there is no car");
    }
    let mut cars: Vec<CarSettings> = Vec::new();
    for (i, car) in raw.cars.iter().enumerate() {
        let at = at.index(i);
        let company = car.company.as_ref().unwrap_or(&raw.company);
        if !is_name(&car.name) {
            diags
                .error(
                    &at.key("name"),
                    "bad_name",
                    format!("{:?} cannot be part of a topic", car.name),
                )
                .allowed(NAME_ALLOWED);
        }
        if car.company.as_ref().is_some_and(|c| !is_name(c)) {
            diags
                .error(
                    &at.key("company"),
                    "bad_name",
                    format!("{company:?} cannot be part of a topic"),
                )
                .allowed(NAME_ALLOWED);
        }
        let Some(name) = CarName::new(company, &car.name) else {
            continue;
        };
        if cars.iter().any(|c| c.name == name) {
            diags.error(
                &at.key("name"),
                "duplicate_name",
                format!("two cars are called {name}"),
            );
        }
        cars.push(CarSettings {
            name,
            password_file: car.password_file.clone(),
        });
    }
    cars
}

fn check_modules(
    raw: &FleetSection,
    cars: &[CarSettings],
    at: &Path,
    diags: &mut Diagnostics,
) -> Vec<ModuleSettings> {
    let at = at.key("modules");
    let mut modules: Vec<ModuleSettings> = Vec::new();
    for (i, module) in raw.modules.iter().enumerate() {
        let at = at.index(i);
        let origin = match (&module.lib, module.builtin) {
            (Some(lib), None) => Origin::Library(lib.clone()),
            (None, Some(builtin)) => Origin::Builtin(builtin),
            (Some(_), Some(_)) => {
                diags.error(
                    &at.key("builtin"),
                    "two_origins",
                    "a module is a library or built in, not both",
                );
                continue;
            }
            (None, None) => {
                diags
                    .error(
                        &at,
                        "no_origin",
                        format!("module {} has no code", module.id),
                    )
                    .allowed("lib = \"path\", or builtin = \"example\" or \"transparent\"");
                continue;
            }
        };
        for reserved in ["company_name", "car_name"] {
            if module.config.contains_key(reserved) {
                diags.error(
                    &at.key("config").key(reserved),
                    "reserved_key",
                    format!("`{reserved}` is given to every module by the gateway"),
                );
            }
        }
        let mine = module.cars.as_ref().map(|names| {
            let known = names.iter().enumerate().filter_map(|(n, name)| {
                let found = find_car(name, cars);
                if found.is_none() {
                    let all: Vec<&str> = cars.iter().map(|c| c.name.name()).collect();
                    diags
                        .error(
                            &at.key("cars").index(n),
                            "no_such_car",
                            format!("no car is called {name:?}"),
                        )
                        .suggest_from(name, all);
                }
                found
            });
            known.collect::<Vec<_>>()
        });
        let overlaps = |other: &ModuleSettings| match (&mine, &other.cars) {
            (Some(a), Some(b)) => a.iter().any(|car| b.contains(car)),
            _ => true,
        };
        if modules.iter().any(|m| m.id == module.id && overlaps(m)) {
            diags.error(
                &at.key("id"),
                "duplicate_module",
                format!("a car would have two modules {}", module.id),
            );
        }
        modules.push(ModuleSettings {
            id: module.id,
            origin,
            config: module
                .config
                .iter()
                .map(|(key, value)| (key.clone(), value.text()))
                .collect(),
            wait: Duration::from_millis(module.timeout_ms.into()),
            cars: mine,
            strict_context: module.strict_context,
            time_to_live: (module.command_ttl_s > 0.0)
                .then(|| Duration::from_secs_f64(module.command_ttl_s)),
            memory_mib: module.memory_mib,
            cpu_percent: module.cpu_percent,
        });
    }
    let served: BTreeSet<&CarName> = cars
        .iter()
        .map(|c| &c.name)
        .filter(|car| {
            let mut all = modules.iter();
            all.any(|m| m.cars.as_ref().is_none_or(|cars| cars.contains(car)))
        })
        .collect();
    // A module with a mistake of its own may have been the one.
    let all_read = modules.len() == raw.modules.len();
    for (i, car) in cars.iter().enumerate() {
        if all_read && !served.contains(&car.name) {
            diags.error(
                &Path::root().key("fleet").key("cars").index(i),
                "no_module",
                format!("{} has no module", car.name),
            );
        }
    }
    modules
}

/// By name, or by `company/name` where two companies have the same.
fn find_car(text: &str, cars: &[CarSettings]) -> Option<CarName> {
    let full = |c: &&CarSettings| c.name.to_string() == text || c.name.name() == text;
    cars.iter().find(full).map(|c| c.name.clone())
}
