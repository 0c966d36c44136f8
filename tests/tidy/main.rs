//! Rules of the house that a machine can check.
#![allow(clippy::unwrap_used)]

mod arrows;
mod files;
mod sentences;

use std::path::{Path, PathBuf};

/// The repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// All files that belong to the project, relative to the root: what git knows, or in an unpacked archive all
/// that is no build product.
fn project_files() -> Vec<PathBuf> {
    let listed = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let mut files: Vec<PathBuf> = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(PathBuf::from)
            .collect(),
        _ => walk(&root(), &root()),
    };
    files.retain(|f| root().join(f).is_file());
    files.sort();
    assert!(files.len() > 20, "found only {} files", files.len());
    files
}

fn walk(dir: &Path, root: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name == "target" || name == ".git" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            all.extend(walk(&entry.path(), root));
        } else {
            all.push(entry.path().strip_prefix(root).unwrap().to_path_buf());
        }
    }
    all
}
