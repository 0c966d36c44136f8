//! Logs go to STDERR, so that STDOUT stays for what a user asked for.

use crate::cli::Command;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Installs the log writer. `LEITSTAND_LOG` (for example `info,leitstand_gas=debug`) overrides the default:
/// `info` for the gateway itself, `warn` for one-shot commands.
pub(crate) fn start(command: &Command) {
    let default = match command {
        Command::Run(_) => "info",
        _ => "warn",
    };
    let filter =
        EnvFilter::try_from_env("LEITSTAND_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Under systemd the journal adds its own time stamp.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.without_time().with_ansi(false).init();
    } else {
        builder.init();
    }
}
