//! Sizes, leftovers and links of the project's files.

use super::{project_files, root};
use std::path::{Path, PathBuf};

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(root().join(file)).unwrap()).into_owned()
}

fn with_extension<'a>(
    files: &'a [PathBuf],
    wanted: &'a [&str],
) -> impl Iterator<Item = &'a PathBuf> {
    files.iter().filter(move |f| {
        f.extension()
            .is_some_and(|e| wanted.iter().any(|w| e == *w))
    })
}

/// Longest source file without a reason.
const LINES_MAX: usize = 800;
/// The same for a sibling file of tests: a transcript a case is long and still easy to read.
const TEST_LINES_MAX: usize = 1_200;
/// A file that must be longer says why in a line with these words.
const REASON: &str = "Longer than 800 lines because";

#[test]
fn no_file_is_too_long_without_a_reason() {
    let files = project_files();
    let long: Vec<String> = with_extension(&files, &["rs", "js", "css", "html"])
        .filter_map(|f| {
            let text = read(f);
            let lines = text.lines().count();
            let is_test = f
                .file_stem()
                .is_some_and(|s| s.to_string_lossy().ends_with("tests"));
            let most = if is_test { TEST_LINES_MAX } else { LINES_MAX };
            (lines > most && !text.contains(REASON))
                .then(|| format!("{} has {lines} lines", f.display()))
        })
        .collect();
    assert!(
        long.is_empty(),
        "split by noun, or say `{REASON} ...`: {long:#?}"
    );
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    // Built from halves, so that this file does not find itself.
    let marks = [
        concat!("#[", "ignore"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("FIX", "ME"),
    ];
    let files = project_files();
    let mut found = Vec::new();
    for file in with_extension(&files, &["rs", "js"]) {
        for (number, line) in read(file).lines().enumerate() {
            if marks.iter().any(|m| line.contains(m)) {
                found.push(format!(
                    "{}:{}: {}",
                    file.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Relative links of Markdown files lead to files that exist, anchors to headings that exist.
#[test]
fn links_lead_somewhere() {
    let files = project_files();
    let mut dead = Vec::new();
    for file in with_extension(&files, &["md"]) {
        for target in links(&read(file)) {
            if ["http://", "https://", "mailto:"]
                .iter()
                .any(|scheme| target.starts_with(scheme))
            {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let full = if path.is_empty() {
                root().join(file)
            } else {
                root().join(file).parent().unwrap().join(path)
            };
            if !full.exists() {
                dead.push(format!("{}: {target}", file.display()));
            } else if !anchor.is_empty() && full.extension().is_some_and(|e| e == "md") {
                let headings = anchors(&std::fs::read_to_string(&full).unwrap());
                if !headings.iter().any(|h| h == anchor) {
                    dead.push(format!("{}: {target} (no such heading)", file.display()));
                }
            }
        }
    }
    assert!(dead.is_empty(), "dead links: {dead:#?}");
}

/// Targets of `[text](target)` outside code.
fn links(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        // Inline code holds examples, not links.
        let plain: String = line.split('`').step_by(2).collect();
        let mut rest = plain.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            if let Some(end) = rest.find(')') {
                all.push(rest[..end].trim().to_owned());
                rest = &rest[end..];
            }
        }
    }
    all
}

/// Anchors of headings, as code hosts make them.
fn anchors(text: &str) -> Vec<String> {
    text.lines()
        .filter(|l| l.starts_with('#'))
        .map(|l| {
            l.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[test]
fn the_link_finder_finds_links() {
    let text = "see [a](b.md#c) and `[x](y)`\n```\n[no](no)\n```\n![i](p.png)";
    assert_eq!(links(text), ["b.md#c", "p.png"]);
    assert_eq!(
        anchors("## What it is *not*: x_y\ntext"),
        ["what-it-is-not-x_y"]
    );
}
