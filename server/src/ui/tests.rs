#![allow(clippy::unwrap_used)]
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::*;
use axum::{body::Body, http::Request};
use tower::ServiceExt as _;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ui")
}

fn text(path: &str) -> &'static str {
    let asset = ASSETS.iter().find(|asset| asset.path == path);
    std::str::from_utf8(
        asset
            .unwrap_or_else(|| panic!("{path} is not served"))
            .bytes,
    )
    .unwrap()
}

fn scripts() -> impl Iterator<Item = &'static Asset> {
    ASSETS.iter().filter(|asset| asset.path.ends_with(".js"))
}

async fn ask(path: &str, tag: Option<&str>) -> Response {
    let mut request = Request::get(path);
    if let Some(tag) = tag {
        request = request.header(header::IF_NONE_MATCH, tag);
    }
    routes()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

/// A file that was added to the folder but not to the table would work nowhere but on its author's screen.
#[test]
fn every_file_of_the_folder_is_served() {
    fn walk(dir: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.insert(path);
            }
        }
    }
    let mut files = BTreeSet::new();
    walk(&folder(), &mut files);
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        assert!(
            ASSETS.iter().any(|asset| asset.bytes == bytes),
            "{} is not in the table",
            file.display()
        );
    }
    assert_eq!(files.len(), ASSETS.len());
}

#[tokio::test]
async fn answers_carry_what_keeps_a_page_safe_and_fresh() {
    for asset in ASSETS {
        let answer = ask(asset.path, None).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", asset.path);
        let head = |name| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(head("content-type"), asset.kind);
        assert_eq!(head("x-content-type-options"), "nosniff");
        assert_eq!(head("cache-control"), "no-cache");
        assert!(head("content-security-policy").starts_with("default-src 'self';"));
        assert!(!head("content-security-policy").contains("unsafe"));
        let again = ask(asset.path, Some(&head("etag"))).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{}", asset.path);
    }
    assert_eq!(
        ask("/ui/../Cargo.toml", None).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        ask("/ui/js/none.js", None).await.status(),
        StatusCode::NOT_FOUND
    );
}

/// The policy forbids inline code; a page that has some would be dead, and nobody would see why.
#[test]
fn pages_have_no_inline_code_and_name_no_other_host() {
    for asset in ASSETS
        .iter()
        .filter(|asset| asset.kind.starts_with("text/"))
    {
        let text = std::str::from_utf8(asset.bytes).unwrap();
        for host in ["https://", "//cdn", "//fonts"] {
            assert!(!text.contains(host), "{} names {host}", asset.path);
        }
        if asset.kind.starts_with("text/html") {
            assert!(
                !text.contains("<style") && !text.contains(" style=") && !text.contains("<script>"),
                "{}",
                asset.path
            );
            assert!(
                text.contains("<main id=\"main\">") && text.contains("<noscript>"),
                "{}",
                asset.path
            );
        }
    }
}

/// Data becomes text, never markup.
#[test]
fn no_script_makes_markup_from_data() {
    for asset in scripts() {
        let text = std::str::from_utf8(asset.bytes).unwrap();
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ] {
            assert!(!text.contains(way), "{} uses {way}", asset.path);
        }
    }
}

/// The modules that `path` loads, itself included.
fn closure(path: &str, found: &mut BTreeSet<String>) {
    if !found.insert(path.to_owned()) {
        return;
    }
    let base = path.rsplit_once('/').unwrap().0;
    for line in text(path)
        .lines()
        .filter(|line| line.starts_with("import ") || line.starts_with("export * from"))
    {
        let from = line.rsplit('"').nth(1).unwrap();
        let mut parts: Vec<&str> = base.split('/').collect();
        for step in from.split('/') {
            match step {
                "." => {}
                ".." => drop(parts.pop()),
                name => parts.push(name),
            }
        }
        closure(&parts.join("/"), found);
    }
}

#[test]
fn the_doors_load_exactly_what_is_open_without_a_session() {
    let mut needed = BTreeSet::new();
    for page in ["/login", "/claim"] {
        for line in text(page).lines() {
            for attribute in ["href=\"", "src=\""] {
                let Some((_, rest)) = line.split_once(attribute) else {
                    continue;
                };
                let path = rest.split('"').next().unwrap();
                if path.ends_with(".js") {
                    closure(path, &mut needed);
                } else {
                    needed.insert(path.to_owned());
                }
            }
        }
    }
    let open: BTreeSet<String> = OPEN_ASSETS.iter().map(|&path| path.to_owned()).collect();
    assert_eq!(needed, open);
}

#[test]
fn every_import_of_every_page_exists() {
    for asset in scripts().filter(|asset| asset.path.contains("/pages/")) {
        closure(asset.path, &mut BTreeSet::new());
    }
}

/// Keys and placeholders of one language, in the order of the file.
fn texts(path: &str) -> Vec<(String, BTreeSet<String>)> {
    text(path)
        .lines()
        .filter_map(|line| line.strip_prefix("  \""))
        .map(|line| {
            let (key, value) = line
                .split_once("\": \"")
                .unwrap_or_else(|| panic!("{path}: {line}"));
            assert!(value.ends_with("\","), "{path}: {key}");
            assert!(value.len() > 2, "{path}: {key} is empty");
            let holes = value
                .split('{')
                .skip(1)
                .filter_map(|rest| rest.split_once('}'))
                .map(|(name, _)| name.to_owned());
            (key.to_owned(), holes.collect())
        })
        .collect()
}

/// What the scripts ask for: whole keys, and prefixes of closed lists.
fn used() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut keys, mut lists) = (BTreeSet::new(), BTreeSet::new());
    for asset in scripts()
        .filter(|asset| !asset.path.starts_with("/ui/text/") && asset.path != "/ui/js/i18n.js")
    {
        let text = std::str::from_utf8(asset.bytes).unwrap();
        for (call, found) in [("t(", &mut keys), ("tv(", &mut lists)] {
            for (at, _) in text.match_indices(call) {
                // Not the end of another name, such as `set(`.
                if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.') {
                    continue;
                }
                // `t(a ? "x" : "y")` uses both; the argument list ends at its own bracket.
                let mut depth = 1;
                let rest = &text[at + call.len()..];
                let end = rest.find(|c| {
                    depth += i32::from(c == '(') - i32::from(c == ')');
                    depth == 0 || (c == ',' && depth == 1) || (c == '{' && depth == 1)
                });
                found.extend(
                    rest[..end.unwrap()]
                        .split('"')
                        .skip(1)
                        .step_by(2)
                        .map(str::to_owned),
                );
            }
        }
    }
    (keys, lists)
}

#[test]
fn every_text_exists_in_both_languages_and_is_used() {
    let (en, de) = (texts("/ui/text/en.js"), texts("/ui/text/de.js"));
    assert_eq!(en, de, "keys, their order, or placeholders differ");
    let (keys, lists) = used();
    assert!(
        keys.len() > 200 && lists.len() > 15,
        "{} keys, {} lists: the search is broken",
        keys.len(),
        lists.len()
    );
    let have: BTreeSet<&str> = en.iter().map(|(key, _)| key.as_str()).collect();
    let missing: Vec<_> = keys
        .iter()
        .filter(|key| !have.contains(key.as_str()))
        .collect();
    assert!(missing.is_empty(), "used but not written: {missing:?}");
    for list in &lists {
        assert!(
            have.iter()
                .any(|key| key.split_once('.').is_some_and(|(head, _)| head == list)),
            "no text of the list {list}"
        );
    }
    let idle: Vec<_> = have
        .iter()
        .filter(|&&key| {
            !keys.contains(key)
                && !key
                    .split_once('.')
                    .is_some_and(|(head, _)| lists.contains(head))
        })
        .collect();
    assert!(idle.is_empty(), "written but not used: {idle:?}");
}

/// The sentence that must never get lost, in both languages, and on every page that shows gas.
#[test]
fn the_pages_say_that_this_is_no_certified_controller() {
    let sentence = "Not a type-approved gas-warning controller.";
    for (path, own) in [
        ("/ui/text/en.js", sentence),
        ("/ui/text/de.js", "Keine bauartzugelassene Gaswarnzentrale."),
    ] {
        assert!(
            text(path).contains(&format!("\"notice.{sentence}\": \"{own}\"")),
            "{path}"
        );
    }
    assert!(text("/ui/js/shell.js").contains("tv(\"notice\", said)"));
    for page in ["overview", "gas"] {
        assert!(text(&format!("/ui/js/pages/{page}.js")).contains("from \"../shell.js\""));
    }
}

/// Kinds that a service's sources name. Everything in upper camel case that is no event is listed here by hand, so
/// that a new event cannot be forgotten.
#[test]
fn every_kind_of_event_has_a_sentence_in_both_languages() {
    const NO_EVENTS: &[&str] = &[
        "ActiveAck",
        "ActiveUnack",
        "CommandRefused",
        "LatchedAck",
        "LatchedUnack",
        "MetzConnectAnalog420",
        "OggS",
        "OpusHead",
        "RaGasCoMod",
        "RaGasCoNo2Mod",
        "RaGasNo2Mod",
        "RtnUnack",
    ];
    fn walk(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.contains("test") {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                found.extend(code.split('"').filter(|word| is_kind(word)).map(Into::into));
            }
        }
    }
    /// At least two words, each beginning with a capital.
    fn is_kind(word: &str) -> bool {
        let capitals = word.chars().filter(char::is_ascii_uppercase).count();
        word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().all(|c| c.is_ascii_alphanumeric())
            && capitals >= 2
            && word.chars().any(|c| c.is_ascii_lowercase())
            && !word
                .as_bytes()
                .windows(2)
                .any(|w| w[0].is_ascii_uppercase() && w[1].is_ascii_uppercase())
    }
    let sentences = |path| -> BTreeSet<String> {
        let lines = text(path)
            .lines()
            .filter_map(|line| line.strip_prefix("  "));
        lines
            .filter_map(|line| line.split_once(": (").map(|(kind, _)| kind.to_owned()))
            .collect()
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut kinds = BTreeSet::new();
    for dir in ["gas/src", "panel/src", "kit/src", "../core/src/gas"] {
        walk(&root.join(dir), &mut kinds);
    }
    kinds.retain(|kind| !NO_EVENTS.contains(&kind.as_str()));
    assert!(kinds.len() > 60, "the search is broken: {kinds:?}");
    let (en, de) = (
        sentences("/ui/text/events.en.js"),
        sentences("/ui/text/events.de.js"),
    );
    let missing: Vec<_> = kinds.difference(&en).collect();
    assert!(
        missing.is_empty(),
        "recorded, but without a sentence: {missing:?}"
    );
    assert_eq!(en, de);
}
