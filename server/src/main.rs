//! The `leitstand` binary: command line, wiring, nothing that decides.
//!
//! Code map: [`cli`] what a user can type, [`config`] file to checked services, [`gateway`] start and stop,
//! [`web`] the one HTTP application, [`serve`] and [`tls`] its port, [`board`] the only place that picks real or simulated hardware,
//! [`demo`] and [`sim`] the simulated site, [`access`] users and tokens,
//! [`backup`] a site in one file and back, [`exit`] exit codes.

mod access;
mod backup;
mod board;
mod bootstrap;
mod check;
mod cli;
mod config;
#[cfg(feature = "containers")]
mod container;
mod demo;
mod exhausted;
mod exit;
mod gateway;
#[cfg(feature = "gas")]
mod inventory;
mod logging;
#[cfg(feature = "gas")]
mod replay;
mod runtime_config;
#[cfg(feature = "gas")]
mod scan;
#[cfg(feature = "models")]
mod series;
mod serve;
mod services;
mod sim;
mod systemd;
mod tls;
mod ui;
mod web;

use clap::Parser as _;
use cli::Command;
use exit::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A child process is told by its first word, before any thread is there.
    #[cfg(feature = "fleet")]
    if let Some(args) = child("module-host") {
        return match leitstand_fleet::module::host::HostArgs::parse(&args) {
            Some(args) => leitstand_fleet::module::host::main(&args),
            None => ExitCode::from(2),
        };
    }
    // The first process of a container is this program, single-threaded: before anything else.
    #[cfg(feature = "containers")]
    {
        let mut arguments = std::env::args().skip(1);
        if arguments.next().as_deref() == Some(leitstand_containers::ns::COMMAND) {
            return leitstand_containers::ns::container_init(&arguments.collect::<Vec<_>>());
        }
    }
    let cli = cli::Cli::parse();
    logging::start(&cli.command);
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// The words after `word`, when this process is such a child of the gateway.
#[cfg(feature = "fleet")]
fn child(word: &str) -> Option<Vec<std::ffi::OsString>> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == word).then(|| args.collect())
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Run(args) => gateway::run_site(args),
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        #[cfg(feature = "containers")]
        Command::Container(what) => container::run(what),
        Command::Token(what) => access::token(what),
        Command::User(what) => access::user(what),
        Command::Check(args) => check::run(args),
        #[cfg(feature = "models")]
        Command::HashPassword => access::hash_password(),
        #[cfg(feature = "models")]
        Command::PluginHost(args) => plugin_host(&args),
        #[cfg(feature = "gas")]
        Command::Replay(args) => replay::run(&args),
        #[cfg(any(feature = "gas", feature = "fleet", feature = "containers"))]
        Command::Import(args) => import(&args),
        #[cfg(feature = "gas")]
        Command::Scan(args) => scan::run(&args),
    }
}

/// `leitstand import`: the converted configuration on STDOUT.
#[cfg(any(feature = "gas", feature = "fleet", feature = "containers"))]
fn import(args: &cli::Import) -> Result<(), Failure> {
    let name = args.file.display().to_string();
    let refuse =
        |e: &dyn std::error::Error| Failure::because(leitstand_kit::Exit::Configuration, &name, e);
    let text = std::fs::read_to_string(&args.file).map_err(|e| refuse(&e))?;
    let converted = match args.from {
        #[cfg(feature = "gas")]
        cli::Origin::Xmz => leitstand_gas::import::xmz(&text).map_err(|e| refuse(&e))?,
        #[cfg(feature = "fleet")]
        cli::Origin::Fleet => leitstand_fleet::import::fleet(&text).map_err(|e| refuse(&e))?,
        #[cfg(feature = "containers")]
        cli::Origin::Anweddol => {
            leitstand_containers::import::anweddol(&text).map_err(|e| refuse(&e))?
        }
    };
    exit::say(converted.trim_end());
    Ok(())
}

/// `leitstand plugin-host`: becomes the worker, so it returns only when it cannot.
#[cfg(feature = "models")]
fn plugin_host(args: &cli::PluginHost) -> Result<(), Failure> {
    match leitstand_models::worker::host::become_worker(args.memory_mib, args.cpu_s, &args.command)
    {
        Ok(never) => match never {},
        Err(e) => Err(Failure::because(
            leitstand_kit::Exit::Internal,
            "starting the worker",
            &e,
        )),
    }
}
