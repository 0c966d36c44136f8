//! How the program ends: a small set of codes that scripts and systemd units rely on, and a report for people.

use leitstand_kit::{Exit, ServiceError};
use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// A failed command: what to tell the shell and what to tell the person.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure with a message of its own.
    pub(crate) fn new(exit: Exit, message: impl Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
        }
    }

    /// Adds what was being done to an error, with all its causes.
    pub(crate) fn because(exit: Exit, doing: &str, error: &dyn std::error::Error) -> Self {
        let mut message = format!("{doing}: {error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            message.push_str(&format!("\n  because: {inner}"));
            cause = inner.source();
        }
        Self { exit, message }
    }

    /// Failed, and everything worth saying has been said.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self {
            exit,
            message: String::new(),
        }
    }

    /// Prints the message on STDERR.
    pub(crate) fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            // A closed STDERR must not turn one failure into another.
            let _ = writeln!(std::io::stderr(), "leitstand: {}", self.message.trim_end());
        }
        ExitCode::from(self.exit as u8)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let mut failure = Self::because(error.exit().unwrap_or(Exit::Internal), "", &error);
        failure.message = failure.message.trim_start_matches(": ").to_owned();
        failure
    }
}

/// Prints one line on STDOUT. A reader that went away (`leitstand token list | head -1`) is no error.
pub(crate) fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_every_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("reading status")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("disk on fire"));
        let failure = Failure::because(Exit::RuntimeInformation, "starting", &error);
        assert_eq!(
            failure.message,
            "starting: reading status\n  because: disk on fire"
        );
    }
}
