//! `leitstand container token`: who may use the containers service, also while the gateway runs.

use crate::cli::{Container, ContainerToken};
use crate::exit::{Failure, say};
use leitstand_containers::ledger::Ledger;
use leitstand_kit::store::StoreError;
use leitstand_kit::{Clock, Exit, Health, Store};
use std::error::Error;
use std::path::Path;

/// `leitstand container ...`
///
/// # Errors
/// Exit 2 for a token that is not there, 3 when the site's memory cannot be opened.
pub(crate) fn run(what: Container) -> Result<(), Failure> {
    let Container::Token(what) = what;
    match what {
        ContainerToken::New { state } => {
            let now_s = Clock::real().wall().unix_ms / 1000;
            let (id, secret) = open(&state.state)?.new_token(now_s).map_err(refused)?;
            say(format!("token {id}, shown this once:"));
            say(secret);
        }
        ContainerToken::List { state } => {
            for token in open(&state.state)?.tokens().map_err(refused)? {
                let made = jiff::Timestamp::from_second(token.created_s).unwrap_or_default();
                let state = if token.enabled { "enabled" } else { "disabled" };
                say(format!("{:<6} {state:<9} made {made}", token.id));
            }
        }
        ContainerToken::Enable { id, state } => {
            let done = open(&state.state)?.enable_token(id, true);
            changed(done.map_err(refused)?, id, "is enabled")?;
        }
        ContainerToken::Disable { id, state } => {
            let done = open(&state.state)?.enable_token(id, false);
            changed(done.map_err(refused)?, id, "is disabled")?;
        }
        ContainerToken::Delete { id, state } => {
            let done = open(&state.state)?.delete_token(id);
            changed(done.map_err(refused)?, id, "is deleted")?;
        }
        ContainerToken::Import { file, state } => {
            let ledger = open(&state.state)?;
            let new = leitstand_containers::import::tokens(&file, &ledger).map_err(|e| {
                Failure::because(Exit::Configuration, &file.display().to_string(), &e)
            })?;
            say(format!("{new} tokens were taken over"));
        }
    }
    Ok(())
}

fn changed(done: bool, id: i64, what: &str) -> Result<(), Failure> {
    if !done {
        let text = format!("there is no token {id}");
        return Err(Failure::new(Exit::Configuration, text));
    }
    say(format!("token {id} {what}"));
    Ok(())
}

fn refused(error: StoreError) -> Failure {
    failed(&error)
}

fn failed(error: &dyn Error) -> Failure {
    Failure::because(Exit::RuntimeInformation, "opening the tokens", error)
}

fn open(state: &Path) -> Result<Ledger, Failure> {
    if !state.is_dir() {
        let text = format!(
            "{} does not exist; start the gateway once, or name another --state",
            state.display()
        );
        return Err(Failure::new(Exit::RuntimeInformation, text));
    }
    let store = Store::open(state, &Health::new(Clock::real()));
    Ledger::open(&store).map_err(|e| failed(&e))
}
