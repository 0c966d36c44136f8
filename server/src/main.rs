//! The `leitstand` binary: command line, wiring, nothing that decides.
//!
//! Code map: [`cli`] what a user can type, [`config`] file to checked services, [`gateway`] start and stop,
//! [`web`] the one HTTP application, [`board`] the only place that picks real or simulated hardware,
//! [`demo`] and [`sim`] the simulated site, [`access`] users and tokens, [`exit`] exit codes.

mod cli;
mod exit;
mod logging;
#[allow(dead_code)] // until the gateway serves it
mod ui;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    logging::start(&cli.command);
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
