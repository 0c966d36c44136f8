//! How the program ends: a small set of codes that scripts and systemd units rely on, and a report for people.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// Why a command could not do what was asked. The discriminant is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// Something that should not happen; worth a bug report.
    Internal = 1,
    /// A configuration or a command line that cannot be used. A person must change it.
    Configuration = 2,
    /// The saved state of this site is damaged beyond its previous generation. A person must decide.
    RuntimeInformation = 3,
    /// A device that must be there is missing.
    Hardware = 4,
    /// Another program listens on the address.
    AddressInUse = 5,
}

/// A failed command: what to tell the shell and what to tell the person.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
}

impl Failure {
    /// A failure with a message of its own.
    pub(crate) fn new(code: Code, message: impl Display) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }

    /// Adds what was being done to an error, with all its causes.
    pub(crate) fn because(code: Code, doing: &str, error: &dyn std::error::Error) -> Self {
        let mut message = format!("{doing}: {error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            message.push_str(&format!("\n  because: {inner}"));
            cause = inner.source();
        }
        Self { code, message }
    }

    /// Failed, and everything worth saying has been said.
    pub(crate) fn silent(code: Code) -> Self {
        Self {
            code,
            message: String::new(),
        }
    }

    /// Prints the message on STDERR.
    pub(crate) fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            // A closed STDERR must not turn one failure into another.
            let _ = writeln!(std::io::stderr(), "leitstand: {}", self.message.trim_end());
        }
        ExitCode::from(self.code as u8)
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
        let failure = Failure::because(Code::RuntimeInformation, "starting", &error);
        assert_eq!(
            failure.message,
            "starting: reading status\n  because: disk on fire"
        );
    }
}
