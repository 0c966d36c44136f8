//! Logs go to STDERR, so that STDOUT stays for what a user asked for.

use crate::cli::Command;
use std::io::IsTerminal as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Installs the log writer. `LEITSTAND_LOG` (for example `info,leitstand_gas=debug`) overrides the default:
/// `info` for the gateway itself, `warn` for one-shot commands.
pub(crate) fn start(command: &Command) {
    let default = match command {
        Command::Run(_) => "info",
        _ => "warn",
    };
    // Plain targets and levels: the filter with patterns would bring a regular-expression engine along.
    let wanted = std::env::var("LEITSTAND_LOG")
        .ok()
        .and_then(|text| text.parse::<Targets>().ok());
    let filter = wanted.or_else(|| default.parse().ok()).unwrap_or_default();
    // Under systemd the journal adds its own time stamp.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(!journal && std::io::stderr().is_terminal());
    let subscriber = tracing_subscriber::registry().with(filter);
    if journal {
        subscriber.with(layer.without_time()).init();
    } else {
        subscriber.with(layer).init();
    }
}
