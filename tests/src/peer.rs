//! Programs that tests need beside the server.
//!
//! On a developer's machine a test whose peer is missing says so and passes; with `CI=true` it fails, so that
//! `.ci/run` cannot be green with half of its tests skipped.

use std::path::PathBuf;

/// Finds the first of `names` in `PATH`. When none is there the test prints a line that names what was
/// skipped.
///
/// # Panics
/// With `CI=true` when none is there.
#[must_use]
pub fn find(what: &str, names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|dir| names.iter().map(move |n| dir.join(n)))
        .find(|p| p.is_file());
    if found.is_none() {
        skip(what, &format!("none of {names:?} is installed"));
    }
    found
}

/// A program of the Python environment whose interpreter `LEITSTAND_PYTHON` names, or of `PATH`.
///
/// # Panics
/// As [`find`].
#[must_use]
pub fn python_tool(what: &str, name: &str) -> Option<PathBuf> {
    let beside = std::env::var_os("LEITSTAND_PYTHON")
        .and_then(|python| Some(PathBuf::from(python).parent()?.join(name)))
        .filter(|tool| tool.is_file());
    beside.or_else(|| find(what, &[name]))
}

/// Says visibly that a test did not run.
///
/// # Panics
/// With `CI=true`: there nothing may be skipped.
pub fn skip(what: &str, why: &str) {
    assert!(
        !is_ci(),
        "{what}: {why}, and CI=true allows no skipped test"
    );
    // Straight to the terminal: the test runner swallows what goes through `println!` of a passing test.
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "SKIPPED {what}: {why}");
}

/// Whether nothing may be skipped.
#[must_use]
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|v| v == "true" || v == "1")
}
