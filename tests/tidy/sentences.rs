//! Sentences that must not get lost, paths that pages use, and examples in documents that must stay true.

use super::{project_files, root};
use leitstand_tests::{Server, leitstand};
use std::collections::BTreeSet;
use std::path::Path;

fn read(file: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(file.as_ref()))
        .unwrap_or_else(|e| panic!("{}: {e}", file.as_ref().display()))
}

/// It must not be taken for a certified device, wherever somebody meets it first.
#[test]
fn that_it_is_not_type_approved_is_said_everywhere() {
    const ENGLISH: &str = "Not a type-approved gas-warning controller.";
    assert!(read("README.md").contains(ENGLISH), "README.md");
    let help = String::from_utf8(leitstand(&["--help"]).stdout).unwrap();
    assert!(
        help.contains("Not a type-approved gas-warning controller"),
        "--help:\n{help}"
    );
    let server = Server::demo();
    assert_eq!(server.get("/api/v1/site").ok()["notice"], ENGLISH);
    server.wait_for("the gas service says it", "/api/v1/gas/snapshot", |s| {
        (s["notice"] == ENGLISH).then_some(())
    });
    let openapi = server.get("/openapi.json").text();
    assert!(
        openapi.contains("ype-approved"),
        "the description of the API does not say it"
    );
    // One file of texts a language.
    let files = project_files();
    for (language, words) in [("en", "ype-approved"), ("de", "bauart")] {
        let named = |f: &&std::path::PathBuf| {
            f.starts_with("server/ui")
                && f.file_stem()
                    .is_some_and(|s| s.to_string_lossy().ends_with(language))
        };
        let texts: Vec<_> = files.iter().filter(named).collect();
        assert!(!texts.is_empty(), "no texts for `{language}` in server/ui");
        assert!(
            texts.iter().any(|f| read(f).to_lowercase().contains(words)),
            "{texts:?} do not say it"
        );
    }
}

/// Every path that a page asks for is in the description of the API.
#[test]
fn pages_use_only_paths_that_exist() {
    let server = Server::demo();
    let openapi = server.get("/openapi.json").ok();
    let known: BTreeSet<String> = openapi["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let mut unknown = BTreeSet::new();
    for file in project_files() {
        if !file.starts_with("server/ui") || file.extension().is_none_or(|e| e != "js") {
            continue;
        }
        for used in api_paths(&read(&file)) {
            if !known.iter().any(|k| matches(k, &used)) {
                unknown.insert(format!("{}: {used}", file.display()));
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "not in the OpenAPI list: {unknown:#?}\nknown: {known:#?}"
    );
}

/// `/api/...` in string and template literals; `${...}` becomes `*`, a query is cut off.
fn api_paths(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (at, _) in text.match_indices("/api/") {
        // Only where a literal begins with it: a sentence may name a path too.
        let Some(quote) = text[..at]
            .chars()
            .next_back()
            .filter(|c| "\"'`".contains(*c))
        else {
            continue;
        };
        let literal = text[at..].split(quote).next().unwrap_or_default();
        let mut path = String::new();
        let mut rest = literal;
        while let Some((before, after)) = rest.split_once("${") {
            path.push_str(before);
            path.push('*');
            rest = after.split_once('}').map_or("", |(_, tail)| tail);
        }
        path.push_str(rest);
        all.insert(
            path.split(['?', '#', '\n'])
                .next()
                .unwrap_or_default()
                .to_owned(),
        );
    }
    all
}

/// Whether a path of a page fits one of the description. A page may name only the beginning
/// (`/api/v1/gas/` + something).
fn matches(known: &str, used: &str) -> bool {
    if used.ends_with('/') {
        return known.starts_with(used);
    }
    let (known, used): (Vec<_>, Vec<_>) = (known.split('/').collect(), used.split('/').collect());
    known.len() == used.len()
        && known
            .iter()
            .zip(&used)
            .all(|(k, u)| k == u || k.starts_with('{') || (u.contains('*') && !k.is_empty()))
}

#[test]
fn the_path_finder_finds_paths() {
    let text =
        "get(`/api/v1/gas/alarms/${id}/ack?x=1`); const base = '/api/v1/events'; // \"no /api/x\"";
    let found: Vec<_> = api_paths(text).into_iter().collect();
    assert_eq!(found, ["/api/v1/events", "/api/v1/gas/alarms/*/ack"]);
    assert!(matches(
        "/api/v1/gas/alarms/{id}/ack",
        "/api/v1/gas/alarms/*/ack"
    ));
    assert!(matches("/api/v1/gas/alarms/{id}/ack", "/api/v1/gas/"));
    assert!(!matches(
        "/api/v1/gas/alarms/{id}",
        "/api/v1/gas/alarms/*/ack"
    ));
}

/// Samples and whole configurations in documents pass the check.
#[test]
fn examples_are_valid_configurations() {
    let dir = tempfile::tempdir().unwrap();
    let mut checked = 0;
    let mut wrong = Vec::new();
    let mut check = |name: String, text: &str| {
        let file = dir.path().join("leitstand.toml");
        std::fs::write(&file, text).unwrap();
        let output = leitstand(&["check", &file.display().to_string()]);
        checked += 1;
        if output.status.code() != Some(0) {
            wrong.push(format!(
                "{name}:\n{}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    };
    for file in project_files() {
        let name = file.display().to_string();
        if file.starts_with("server/deploy") && name.ends_with(".toml") {
            check(name.clone(), &read(&file));
        }
        if name.ends_with(".md") {
            for block in read(&file).split("```toml\n").skip(1) {
                let block = block.split("```").next().unwrap_or_default();
                // Only whole files; fragments explain one table.
                if block.contains("\nsite = ") || block.starts_with("site = ") {
                    check(name.clone(), block);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked >= 2, "only {checked} examples were found");
}

/// Routes that bypass the description of the API: only pages and their assets may.
#[test]
fn every_route_is_in_the_description_of_the_api() {
    let ways = [
        ".route(",
        ".route_service(",
        ".nest(",
        ".nest_service(",
        ".fallback_service(",
    ];
    let mut outside = Vec::new();
    for file in project_files() {
        let name = file.display().to_string();
        let pages = ["server/src/ui.rs", "server/src/tls.rs"].contains(&name.as_str());
        if !name.starts_with("server/") || !name.ends_with(".rs") || pages {
            continue;
        }
        let text = read(&file);
        // What follows a test module is test code; routes of tests are nobody's business.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_test = name.contains("/tests") || name.ends_with("tests.rs");
        if !is_test && ways.iter().any(|w| code.contains(w)) {
            outside.push(name);
        }
    }
    assert!(
        outside.is_empty(),
        "use utoipa_axum::routes!, so that a route is described: {outside:#?}"
    );
}
