//! Turns the JSON of the original External Server into our section, as text for a person to read and complete.
//!
//! Both layouts are read: that of 2024 with one car a file, and the current one with many. Unknown keys are named at
//! the top, and so is what has no place here. Values of a module's configuration are copied: they may hold keys of
//! other systems, so the result is as secret as the original.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::name::is_name;

/// Largest file. Reasoning: a hundred cars with two modules each need some 50 kB.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Why a file could not be converted. The text names the key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImportError {
    /// Larger than any configuration of the original.
    #[error("the file is larger than 1 MiB; is it the configuration of the original?")]
    TooLarge,
    /// Not JSON.
    #[error("this is not JSON: {0}")]
    Json(String),
    /// A key that must be there is not.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A value that the original does not take either.
    #[error("`{key}`: {problem}")]
    Value {
        /// Path of the key.
        key: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

/// Keys of both layouts that say nothing here.
const SILENT: [&str; 6] = [
    "log_files_directory",
    "log_files_to_keep",
    "log_file_max_size_bytes",
    "logging",
    "sleep_duration_after_connection_refused",
    "send_invalid_command",
];

/// Converts either layout.
///
/// # Errors
/// See [`ImportError`].
pub fn fleet(text: &str) -> Result<String, ImportError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(ImportError::TooLarge);
    }
    let root: Value = serde_json::from_str(text).map_err(|e| ImportError::Json(e.to_string()))?;
    let root = table(&root, "the file")?;
    let mut out = Writer::default();
    if root.contains_key("cars") || root.contains_key("external_communication") {
        current(root, &mut out)?;
    } else {
        seed(root, &mut out)?;
    }
    Ok(out.finish())
}

#[derive(Default)]
struct Writer {
    notes: Vec<String>,
    text: String,
}

impl Writer {
    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn unknown(&mut self, of: &Map<String, Value>, at: &str, known: &[&str]) {
        for key in of.keys() {
            if !known.contains(&key.as_str()) {
                self.note(format!("unknown key `{at}{key}` was left out"));
            }
        }
    }

    fn line(&mut self, key: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.text, "{key} = {value}");
    }

    fn finish(self) -> String {
        let mut all = String::from(
            "# Converted from the configuration of an External Server. Read it before use:\n",
        );
        all += "# relative paths of libraries and certificates start from this file's folder.\n";
        for note in self.notes {
            let _ = writeln!(all, "# - {note}");
        }
        all + "\nsite = \"Fleet\"\n\n[fleet]\n" + &self.text
    }
}

/// The layout of 2024: one car.
fn seed(root: &Map<String, Value>, out: &mut Writer) -> Result<(), ImportError> {
    let known = [
        &SILENT[..],
        &[
            "company_name",
            "car_name",
            "mqtt_address",
            "mqtt_port",
            "mqtt_timeout",
            "timeout",
            "modules",
        ],
    ];
    out.unknown(root, "", &known.concat());
    let company = name(need(root, "", "company_name")?, "company_name")?;
    let car = name(need(root, "", "car_name")?, "car_name")?;
    let host = text(need(root, "", "mqtt_address")?, "mqtt_address")?;
    let host = host
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let port = port(need(root, "", "mqtt_port")?, "mqtt_port")?;
    let inactivity = seconds(need(root, "", "mqtt_timeout")?, "mqtt_timeout", 1.0)?;
    common(root, &company, inactivity, out)?;
    broker(host, port, None, out);
    let _ = writeln!(out.text, "\n[[fleet.cars]]\nname = {}", quote(&car));
    let modules = table(need(root, "", "modules")?, "modules")?;
    if modules.is_empty() {
        return Err(bad("modules", "at least one is needed"));
    }
    for (id, module) in modules {
        write_module(id, module, &format!("modules.{id}"), None, out)?;
    }
    Ok(())
}

/// The current layout: many cars of one company.
fn current(root: &Map<String, Value>, out: &mut Writer) -> Result<(), ImportError> {
    let known = [
        &SILENT[..],
        &[
            "company_name",
            "external_communication",
            "timeout",
            "common_modules",
            "cars",
        ],
    ];
    out.unknown(root, "", &known.concat());
    let company = name(need(root, "", "company_name")?, "company_name")?;
    let at = "external_communication";
    let link = table(need(root, "", at)?, at)?;
    let keys = [
        "protocol",
        "server_address",
        "server_port",
        "timeout_ms",
        "ca_certs_file",
        "cert_file",
        "key_file",
    ];
    out.unknown(link, "external_communication.", &keys);
    let dotted = |key: &str| format!("{at}.{key}");
    if text(
        need(link, "external_communication.", "protocol")?,
        &dotted("protocol"),
    )? != "MQTT"
    {
        return Err(bad(&dotted("protocol"), "only \"MQTT\" is known"));
    }
    let host = text(
        need(link, "external_communication.", "server_address")?,
        &dotted("server_address"),
    )?;
    let port = port(
        need(link, "external_communication.", "server_port")?,
        &dotted("server_port"),
    )?;
    let inactivity = need(link, "external_communication.", "timeout_ms")?;
    let inactivity = seconds(inactivity, &dotted("timeout_ms"), 1000.0)?;
    common(root, &company, inactivity, out)?;
    broker(&host, port, Some(link), out);
    let cars = table(need(root, "", "cars")?, "cars")?;
    if cars.is_empty() {
        return Err(bad("cars", "at least one is needed"));
    }
    for car in cars.keys() {
        let car = name(&Value::String(car.clone()), "cars")?;
        let _ = writeln!(out.text, "\n[[fleet.cars]]\nname = {}", quote(&car));
    }
    let empty = Map::new();
    let shared = match root.get("common_modules") {
        Some(modules) => table(modules, "common_modules")?,
        None => &empty,
    };
    for (id, module) in shared {
        write_module(id, module, &format!("common_modules.{id}"), None, out)?;
    }
    for (car, settings) in cars {
        let settings = table(settings, &format!("cars.{car}"))?;
        out.unknown(settings, &format!("cars.{car}."), &["specific_modules"]);
        let own = match settings.get("specific_modules") {
            Some(modules) => table(modules, &format!("cars.{car}.specific_modules"))?,
            None => &empty,
        };
        if own.is_empty() && shared.is_empty() {
            return Err(bad(
                &format!("cars.{car}"),
                "a car needs at least one module",
            ));
        }
        for (id, module) in own {
            let at = format!("cars.{car}.specific_modules.{id}");
            if shared.contains_key(id) {
                return Err(bad(&at, "the module is in `common_modules` too"));
            }
            write_module(id, module, &at, Some(car), out)?;
        }
    }
    Ok(())
}

fn common(
    root: &Map<String, Value>,
    company: &str,
    inactivity: f64,
    out: &mut Writer,
) -> Result<(), ImportError> {
    let timeout = seconds(need(root, "", "timeout")?, "timeout", 1.0)?;
    if timeout <= 0.0 {
        return Err(bad("timeout", "more than 0 seconds are needed"));
    }
    out.line("company", quote(company));
    out.line("timeout_s", timeout);
    if inactivity > 0.0 {
        out.line("inactivity_s", inactivity);
    } else {
        out.note(
            "an inactivity limit of 0 ends every session at once; the default of 30 s is used",
        );
    }
    match root.get("send_invalid_command") {
        Some(Value::Bool(on)) => out.line("send_invalid_command", on),
        Some(_) => return Err(bad("send_invalid_command", "true or false")),
        None => {}
    }
    if root.contains_key("logging") || root.contains_key("log_files_directory") {
        out.note("logs go to STDERR and the journal of the system; the keys of log files have no place here");
    }
    if root.contains_key("sleep_duration_after_connection_refused") {
        out.note("the pause between attempts is 0.5 to 10 s, doubling");
    }
    Ok(())
}

fn broker(host: &str, port: u16, tls: Option<&Map<String, Value>>, out: &mut Writer) {
    let _ = writeln!(out.text, "\n[fleet.broker]\nembedded = false");
    out.line("address", quote(&format!("{host}:{port}")));
    let keys = [
        ("ca_certs_file", "ca"),
        ("cert_file", "cert"),
        ("key_file", "key"),
    ];
    for (theirs, ours) in keys {
        let file = tls.and_then(|tls| tls.get(theirs)).and_then(Value::as_str);
        if let Some(file) = file.filter(|file| !file.is_empty()) {
            out.line(ours, quote(file));
            if ours == "ca" {
                out.note(
                    "the original reads its certificate keys and does not use them; here TLS is on",
                );
            }
        }
    }
}

fn write_module(
    id: &str,
    module: &Value,
    at: &str,
    car: Option<&str>,
    out: &mut Writer,
) -> Result<(), ImportError> {
    let digits = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    let number = id.parse::<i32>().ok().filter(|n| digits && *n > 0);
    let number = number.ok_or_else(|| bad(at, "a module is a number from 1 to 2147483647"))?;
    let module = table(module, at)?;
    out.unknown(
        module,
        &format!("{at}."),
        &["lib_path", "config", "timeout_ms"],
    );
    let lib = text(
        need(module, &format!("{at}."), "lib_path")?,
        &format!("{at}.lib_path"),
    )?;
    let _ = writeln!(out.text, "\n[[fleet.modules]]\nid = {number}");
    out.line("lib", quote(&lib));
    if let Some(timeout) = module.get("timeout_ms") {
        let good = timeout.as_u64().filter(|ms| (1..=60_000).contains(ms));
        let ms = good.ok_or_else(|| bad(&format!("{at}.timeout_ms"), "1 to 60000"))?;
        out.line("timeout_ms", ms);
    }
    if let Some(car) = car {
        out.line("cars", format!("[{}]", quote(car)));
    }
    if let Some(config) = module.get("config") {
        let _ = writeln!(out.text, "[fleet.modules.config]");
        for (key, value) in table(config, &format!("{at}.config"))? {
            let at = format!("{at}.config.{key}");
            if key == "company_name" || key == "car_name" {
                return Err(bad(&at, "this key is given to every module by the server"));
            }
            let value = match value {
                Value::String(text) => quote(text),
                Value::Bool(on) => on.to_string(),
                Value::Number(n) if n.is_i64() => n.to_string(),
                _ => return Err(bad(&at, "text, a whole number, true or false")),
            };
            out.line(&quote(key), value);
        }
    }
    Ok(())
}

fn need<'a>(of: &'a Map<String, Value>, at: &str, key: &str) -> Result<&'a Value, ImportError> {
    of.get(key)
        .ok_or_else(|| ImportError::Missing(format!("{at}{key}")))
}

fn table<'a>(value: &'a Value, at: &str) -> Result<&'a Map<String, Value>, ImportError> {
    value
        .as_object()
        .ok_or_else(|| bad(at, "an object is needed"))
}

fn text(value: &Value, at: &str) -> Result<String, ImportError> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned)
        .ok_or_else(|| bad(at, "text is needed"))
}

fn name(value: &Value, at: &str) -> Result<String, ImportError> {
    let name = value.as_str().filter(|name| is_name(name));
    name.map(str::to_owned)
        .ok_or_else(|| bad(at, "1 to 64 of a-z, 0-9 and _"))
}

fn port(value: &Value, at: &str) -> Result<u16, ImportError> {
    let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port > 0)
        .ok_or_else(|| bad(at, "a port is 1 to 65535"))
}

fn seconds(value: &Value, at: &str, per_second: f64) -> Result<f64, ImportError> {
    let value = value.as_f64().filter(|n| *n >= 0.0 && n.is_finite());
    value
        .map(|n| n / per_second)
        .ok_or_else(|| bad(at, "a number that is not negative"))
}

fn bad(key: &str, problem: &str) -> ImportError {
    ImportError::Value {
        key: key.to_owned(),
        problem: problem.to_owned(),
    }
}

/// As a basic string of TOML; JSON escapes the same way.
fn quote(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use leitstand_kit::config::{Document, Path};
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;
    use crate::{FleetSection, Settings};

    const SEED: &str = r#"{
        "company_name": "acme", "car_name": "car_a", "mqtt_address": "http://broker.example", "mqtt_port": 1883,
        "mqtt_timeout": 30, "timeout": 20, "send_invalid_command": true,
        "sleep_duration_after_connection_refused": 0.5,
        "log_files_directory": "./log/", "log_files_to_keep": 5, "log_file_max_size_bytes": 100000,
        "modules": { "1000": { "lib_path": "./lib/libexample.so", "config": { "api_url": "http://x", "n": 3 } } }
    }"#;

    const CURRENT: &str = r#"{
        "company_name": "acme", "timeout": 30, "send_invalid_command": false,
        "sleep_duration_after_connection_refused": 1,
        "logging": { "console": { "level": "INFO", "use": true } },
        "external_communication": { "protocol": "MQTT", "server_address": "127.0.0.1", "server_port": 8883,
            "timeout_ms": 12500, "ca_certs_file": "ca.pem", "cert_file": "c.pem", "key_file": "k.pem" },
        "common_modules": { "1000": { "lib_path": "a.so", "timeout_ms": 500 } },
        "cars": { "car_a": {}, "car_b": { "specific_modules": { "2": { "lib_path": "b.so", "config": { "on": true } } } } }
    }"#;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[allow(dead_code)]
        site: String,
        fleet: FleetSection,
    }

    fn settings(text: &str) -> Settings {
        let (file, mut diags) = Document::parse(text, "x.toml").check::<File>();
        let at = Path::root().key("fleet");
        let settings = file.and_then(|f| crate::config::check(&f.fleet, &at, &mut diags));
        settings.unwrap_or_else(|| panic!("{}\n{text}", diags.report(false)))
    }

    #[test]
    fn a24_the_layout_of_2024_is_converted_and_accepted() {
        let settings = settings(&fleet(SEED).unwrap());
        assert_eq!(settings.cars[0].name.to_string(), "acme/car_a");
        assert_eq!(
            (settings.broker.host.as_str(), settings.broker.port),
            ("broker.example", 1883)
        );
        assert_eq!(
            (settings.timeout.as_secs(), settings.inactivity.as_secs()),
            (20, 30)
        );
        assert!(settings.send_invalid_command && !settings.broker.embedded);
        assert_eq!(settings.modules[0].config.len(), 2);
    }

    #[test]
    fn a24_the_current_layout_is_converted_and_accepted() {
        let settings = settings(&fleet(CURRENT).unwrap());
        let modules = |n: usize| -> Vec<i32> {
            settings
                .modules_of(&settings.cars[n].name)
                .map(|m| m.id)
                .collect()
        };
        assert_eq!((modules(0), modules(1)), (vec![1000], vec![1000, 2]));
        assert_eq!(settings.inactivity.as_millis(), 12_500);
        assert_eq!(settings.broker.ca.as_deref(), Some("ca.pem"));
        assert_eq!(
            settings.modules[1].config,
            [("on".to_owned(), "1".to_owned())]
        );
    }

    #[test]
    fn a24_each_constraint_of_the_originals_is_refused() {
        for (layout, good, wrong, key) in [
            (SEED, r#""acme""#, r#""Acme""#, "company_name"),
            (SEED, r#""car_name": "car_a", "#, "", "car_name"),
            (SEED, "1883", "0", "mqtt_port"),
            (SEED, "1883", "70000", "mqtt_port"),
            (
                SEED,
                r#""mqtt_timeout": 30"#,
                r#""mqtt_timeout": -1"#,
                "mqtt_timeout",
            ),
            (SEED, r#""timeout": 20"#, r#""timeout": 0"#, "timeout"),
            (
                SEED,
                "\"send_invalid_command\": true",
                "\"send_invalid_command\": 1",
                "send_invalid_command",
            ),
            (SEED, r#""1000""#, r#""x1""#, "modules.x1"),
            (
                SEED,
                r#""lib_path": "./lib/libexample.so", "#,
                "",
                "lib_path",
            ),
            (SEED, r#""n": 3"#, r#""n": 3.5"#, "config.n"),
            (SEED, r#""n": 3"#, r#""car_name": "x""#, "config.car_name"),
            (CURRENT, r#""MQTT""#, r#""QUIC""#, "protocol"),
            (CURRENT, r#""car_b""#, r#""a/+""#, "cars"),
            (CURRENT, r#""2":"#, r#""1000":"#, "specific_modules.1000"),
            (
                CURRENT,
                r#""timeout_ms": 500"#,
                r#""timeout_ms": 0"#,
                "timeout_ms",
            ),
            (CURRENT, "12500", "-5", "timeout_ms"),
        ] {
            let text = layout.replacen(good, wrong, 1);
            assert_ne!(text, layout, "{good}");
            let error = fleet(&text).expect_err(wrong).to_string();
            assert!(error.contains(key), "{wrong}: {error}");
        }
        assert!(matches!(fleet("["), Err(ImportError::Json(_))));
    }

    #[test]
    fn unknown_keys_are_named() {
        let text = SEED.replacen("\"timeout\"", "\"colour\": 1, \"timeout\"", 1);
        assert!(
            fleet(&text)
                .unwrap()
                .contains("# - unknown key `colour` was left out")
        );
    }
}
