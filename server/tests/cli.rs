//! One integration test of this package, so that `cargo test --workspace` builds the binary for all others.

use std::process::Command;

#[test]
fn the_binary_says_who_it_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_leitstand"))
        .arg("--version")
        .output()
        .expect("starting leitstand");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        text.trim(),
        concat!("leitstand ", env!("CARGO_PKG_VERSION"))
    );
}
