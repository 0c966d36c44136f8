//! The command line as a user meets it: first line, exit codes, help.

use leitstand_tests::leitstand;
use std::process::Output;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const COMMANDS: [&[&str]; 11] = [
    &["demo"],
    &["run"],
    &["check"],
    &["replay"],
    &["scan"],
    &["import"],
    &["token", "new"],
    &["token", "list"],
    &["token", "revoke"],
    &["user", "add"],
    &[],
];

#[test]
fn every_help_has_an_example() {
    for command in COMMANDS {
        let mut args = command.to_vec();
        args.push("--help");
        let output = leitstand(&args);
        let text = stdout(&output);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{command:?}: {}",
            stderr(&output)
        );
        assert!(
            text.contains("leitstand "),
            "{command:?} shows no example:\n{text}"
        );
        assert!(text.contains("Usage:"), "{command:?}:\n{text}");
    }
}

#[test]
fn a_wrong_command_line_is_exit_2_on_stderr() {
    for args in [
        &["fly"] as &[&str],
        &["demo", "--bind", "nowhere"],
        &["demo", "--speed", "0"],
        &["replay", "--config", "x.toml"],
        &["token", "new", "--name", "x", "--role", "king"],
        &["check"],
    ] {
        let output = leitstand(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            stdout(&output).is_empty(),
            "{args:?} wrote to STDOUT: {}",
            stdout(&output)
        );
        assert!(!stderr(&output).is_empty(), "{args:?} said nothing");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = leitstand(&["--version"]);
    assert_eq!(
        stdout(&output).trim(),
        format!("leitstand {}", env!("CARGO_PKG_VERSION"))
    );
}
