//! Who may import whom, from `cargo metadata`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const CORE: &str = "leitstand-core";
const HAL_LINUX: &str = "leitstand-hal-linux";
const HAL_MOCK: &str = "leitstand-hal-mock";
const FIRMWARE: &str = "leitstand-firmware";
const KIT: &str = "leitstand-kit";
const GAS: &str = "leitstand-gas";
const PANEL: &str = "leitstand-panel";
const FLEET: &str = "leitstand-fleet";
const MODELS: &str = "leitstand-models";
const CONTAINERS: &str = "leitstand-containers";
const SERVER: &str = "leitstand";
const TESTS: &str = "leitstand-tests";

/// What a workspace crate may depend on besides itself. A crate that is not listed is a mistake: think about
/// its place first.
const ALLOWED: [(&str, &[&str]); 12] = [
    (CORE, &[]),
    (HAL_LINUX, &[CORE]),
    (HAL_MOCK, &[CORE]),
    (FIRMWARE, &[CORE]),
    (KIT, &[CORE]),
    (GAS, &[CORE, KIT]),
    (PANEL, &[CORE, KIT]),
    (FLEET, &[CORE, KIT]),
    (MODELS, &[CORE, KIT]),
    (CONTAINERS, &[CORE, KIT]),
    (
        SERVER,
        &[
            CORE, GAS, HAL_LINUX, HAL_MOCK, KIT, PANEL, FLEET, MODELS, CONTAINERS,
        ],
    ),
    (
        TESTS,
        &[
            SERVER, CORE, FIRMWARE, GAS, HAL_LINUX, HAL_MOCK, KIT, PANEL, FLEET, MODELS, CONTAINERS,
        ],
    ),
];

/// Dependencies that only these crates may name directly: weight stays where it is used.
const HEAVY: [(&str, &[&str]); 11] = [
    // The broker and SFTP bring it; our own code tells time by jiff.
    ("chrono", &[]),
    ("russh", &[CONTAINERS]),
    ("seccompiler", &[CONTAINERS]),
    ("rusqlite", &[KIT, MODELS, CONTAINERS]),
    ("argon2", &[KIT, MODELS]),
    ("serial2", &[HAL_LINUX]),
    ("clap", &[SERVER]),
    ("sd-notify", &[SERVER]),
    ("tungstenite", &[PANEL, MODELS, CONTAINERS]),
    (
        "tokio",
        &[SERVER, GAS, KIT, PANEL, FLEET, MODELS, CONTAINERS],
    ),
    ("tracing-subscriber", &[SERVER]),
];

/// What may not be anywhere in the graph: open advisories, or a second library for TLS.
const BANNED: [&str; 3] = ["rsa", "openssl-sys", "native-tls"];

struct Graph {
    /// Workspace crate to its direct dependencies.
    direct: BTreeMap<String, BTreeSet<String>>,
    /// The same for its tests.
    direct_dev: BTreeMap<String, BTreeSet<String>>,
    everything: BTreeSet<String>,
}

fn graph() -> Graph {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        .current_dir(super::root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let meta: Value = serde_json::from_slice(&output.stdout).unwrap();
    let members: BTreeSet<&str> = meta["workspace_members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m.as_str().unwrap())
        .collect();
    let mut graph = Graph {
        direct: BTreeMap::new(),
        direct_dev: BTreeMap::new(),
        everything: BTreeSet::new(),
    };
    for package in meta["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap().to_owned();
        graph.everything.insert(name.clone());
        if !members.contains(package["id"].as_str().unwrap()) {
            continue;
        }
        let by_kind = |dev: bool| {
            package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|d| (d["kind"] == "dev") == dev)
                .map(|d| d["name"].as_str().unwrap().to_owned())
                .collect::<BTreeSet<_>>()
        };
        graph.direct.insert(name.clone(), by_kind(false));
        graph.direct_dev.insert(name, by_kind(true));
    }
    graph
}

#[test]
fn crates_import_only_what_the_plan_allows() {
    let graph = graph();
    let mut wrong = Vec::new();
    for (name, needs) in &graph.direct {
        let Some((_, allowed)) = ALLOWED.iter().find(|(n, _)| n == name) else {
            wrong.push(format!("{name} has no place in the plan"));
            continue;
        };
        for need in needs.iter().filter(|n| graph.direct.contains_key(*n)) {
            if !allowed.contains(&need.as_str()) {
                wrong.push(format!("{name} must not import {need}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nobody_imports_a_service_or_hardware_for_its_tests() {
    let graph = graph();
    let mut wrong = Vec::new();
    for (name, needs) in &graph.direct_dev {
        if matches!(name.as_str(), TESTS | SERVER) {
            continue;
        }
        for need in needs {
            // Doubles are for tests; real hardware and services belong to the whole-system tests.
            if matches!(need.as_str(), GAS | PANEL | HAL_LINUX | SERVER) {
                wrong.push(format!("tests of {name} must not import {need}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn weight_stays_where_it_is_used() {
    let graph = graph();
    let mut wrong = Vec::new();
    for (heavy, users) in HEAVY {
        for (name, needs) in &graph.direct {
            if name != TESTS && needs.contains(heavy) && !users.contains(&name.as_str()) {
                wrong.push(format!("{name} must not depend on {heavy}"));
            }
        }
    }
    let banned = BANNED.iter().filter(|b| graph.everything.contains(**b));
    wrong.extend(banned.map(|b| format!("{b} is in the graph")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The core runs on a microcontroller: it may name only crates that do.
#[test]
fn the_core_needs_nothing_but_no_std_crates() {
    let graph = graph();
    let allowed = [
        "cobs",
        "crc",
        "embedded-hal",
        "embedded-io",
        "heapless",
        "postcard",
        "serde",
    ];
    let strange: Vec<_> = graph.direct[CORE]
        .iter()
        .filter(|n| !allowed.contains(&n.as_str()))
        .collect();
    assert!(strange.is_empty(), "{CORE} depends on {strange:?}");
}
