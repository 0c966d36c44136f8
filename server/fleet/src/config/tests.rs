//! One negative case for every constraint of `specs/fleet.md` section 5.
#![allow(clippy::unwrap_used)]

use leitstand_kit::config::{Document, Path};

use super::*;

#[derive(Deserialize, JsonSchema)]
struct File {
    fleet: FleetSection,
}

/// The settings, or line, key and code of every mistake.
fn of(text: &str) -> Result<Settings, Vec<(usize, String, String)>> {
    let (file, mut diags) = Document::parse(text, "test.toml").check::<File>();
    let at = Path::root().key("fleet");
    let settings = file.and_then(|f| check(&f.fleet, &at, &mut diags));
    match settings {
        Some(settings) if !diags.has_errors() => Ok(settings),
        _ => {
            let list = diags.list().iter();
            Err(list
                .map(|d| (d.line, d.key.clone(), d.code.clone()))
                .collect())
        }
    }
}

const GOOD: &str = r#"[fleet]
company = "acme"
timeout_s = 30
inactivity_s = 30
send_invalid_command = false
isolation = "process"
broker = { embedded = true, address = "127.0.0.1:1883" }
[[fleet.cars]]
name = "car_a"
[[fleet.modules]]
id = 1000
lib = "./libexample.so"
config = { api_url = "http://127.0.0.1:8181", retries = 3, fast = true }
timeout_ms = 1000
"#;

#[test]
fn the_sample_is_accepted() {
    let settings = of(GOOD).unwrap();
    assert_eq!(settings.cars[0].name.to_string(), "acme/car_a");
    assert_eq!(settings.broker.port, 1883);
    let config = &settings.modules[0].config;
    let of = |key: &str| config.iter().find(|c| c.0 == key).map(|c| c.1.as_str());
    assert_eq!((of("retries"), of("fast")), (Some("3"), Some("1")));
    assert_eq!(settings.timeout, Duration::from_secs(30));
}

#[test]
fn a24_each_constraint_is_refused_with_its_line_and_key() {
    for (good, bad, line, key, code) in [
        (
            "company = \"acme\"",
            "company = \"\"",
            2,
            "fleet.company",
            "bad_name",
        ),
        (
            "company = \"acme\"",
            "company = \"Acme\"",
            2,
            "fleet.company",
            "bad_name",
        ),
        (
            "name = \"car_a\"",
            "name = \"a/+\"",
            9,
            "fleet.cars[0].name",
            "bad_name",
        ),
        (
            "name = \"car_a\"",
            "name = \"a\"\n[[fleet.cars]]\nname = \"a\"",
            11,
            "fleet.cars[1].name",
            "duplicate_name",
        ),
        (
            "name = \"car_a\"",
            "name = \"a\"\ncompany = \"b c\"",
            10,
            "fleet.cars[0].company",
            "bad_name",
        ),
        (
            "timeout_s = 30",
            "timeout_s = 0",
            3,
            "fleet.timeout_s",
            "out_of_range",
        ),
        (
            "inactivity_s = 30",
            "inactivity_s = -1",
            4,
            "fleet.inactivity_s",
            "out_of_range",
        ),
        (
            "send_invalid_command = false",
            "send_invalid_command = 1",
            5,
            "fleet.send_invalid_command",
            "wrong_type",
        ),
        (
            "isolation = \"process\"",
            "isolation = \"jail\"",
            6,
            "fleet.isolation",
            "unknown_value",
        ),
        (
            "127.0.0.1:1883",
            "127.0.0.1:66000",
            7,
            "fleet.broker.address",
            "bad_address",
        ),
        (
            "127.0.0.1:1883",
            "broker.example:1883",
            7,
            "fleet.broker.address",
            "bad_address",
        ),
        (
            "embedded = true, address = \"127.0.0.1:1883\"",
            "embedded = false, address = \"h:0\"",
            7,
            "fleet.broker.address",
            "bad_address",
        ),
        (
            "embedded = true",
            "cert = \"c.pem\"",
            7,
            "fleet.broker",
            "half_a_certificate",
        ),
        (
            "embedded = true",
            "ca = \"c.pem\"",
            7,
            "fleet.broker.ca",
            "half_a_certificate",
        ),
        (
            "embedded = true",
            "embedded = false, username = \"u\"",
            7,
            "fleet.broker",
            "half_a_login",
        ),
        (
            "embedded = true",
            "username = \"u\"",
            7,
            "fleet.broker.username",
            "not_embedded",
        ),
        (
            "id = 1000",
            "id = 0",
            11,
            "fleet.modules[0].id",
            "out_of_range",
        ),
        (
            "id = 1000",
            "id = \"x\"",
            11,
            "fleet.modules[0].id",
            "wrong_type",
        ),
        (
            "lib = \"./libexample.so\"",
            "",
            10,
            "fleet.modules[0]",
            "no_origin",
        ),
        (
            "lib = \"./libexample.so\"",
            "lib = \"x\"\nbuiltin = \"example\"",
            13,
            "fleet.modules[0].builtin",
            "two_origins",
        ),
        (
            "retries = 3",
            "car_name = \"x\"",
            13,
            "fleet.modules[0].config.car_name",
            "reserved_key",
        ),
        (
            "timeout_ms = 1000",
            "timeout_ms = 0",
            14,
            "fleet.modules[0].timeout_ms",
            "out_of_range",
        ),
        (
            "timeout_ms = 1000",
            "cars = [\"car_b\"]",
            14,
            "fleet.modules[0].cars[0]",
            "no_such_car",
        ),
        (
            "timeout_ms = 1000",
            "cars = []",
            8,
            "fleet.cars[0]",
            "no_module",
        ),
        (
            "timeout_ms = 1000",
            "[[fleet.modules]]\nid = 1000\nlib = \"y\"",
            15,
            "fleet.modules[1].id",
            "duplicate_module",
        ),
        (
            "timeout_ms = 1000",
            "timeout = 1000",
            14,
            "fleet.modules[0].timeout",
            "unknown_key",
        ),
    ] {
        let text = GOOD.replacen(good, bad, 1);
        assert_ne!(text, GOOD, "{good} is in the sample");
        let found = of(&text).expect_err(bad);
        let expected = (line, key.to_owned(), code.to_owned());
        assert!(
            found.contains(&expected),
            "{bad}: {expected:?} not in {found:?}"
        );
    }
    let float = GOOD.replacen("retries = 3", "retries = 3.5", 1);
    assert!(!of(&float).expect_err("floats are refused").is_empty());
}

#[test]
fn two_companies_and_a_module_of_one_car() {
    let text = GOOD.replacen(
        "name = \"car_a\"",
        "name = \"car_a\"\n[[fleet.cars]]\nname = \"car_a\"\ncompany = \"other\"",
        1,
    );
    let text =
        text + "[[fleet.modules]]\nid = 2\nbuiltin = \"transparent\"\ncars = [\"other/car_a\"]\n";
    let settings = of(&text).unwrap();
    let of = |n: usize| {
        let modules = settings.modules_of(&settings.cars[n].name);
        modules.map(|m| m.id).collect::<Vec<_>>()
    };
    assert_eq!((of(0), of(1)), (vec![1000], vec![1000, 2]));
}
