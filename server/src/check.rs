//! `leitstand check`: a configuration, its schema, or the journal of a site.

use crate::cli::Check;
use crate::config;
use crate::exit::{Failure, say};
use leitstand_kit::Exit;
use leitstand_kit::events::{self, VerifyError};
use std::path::Path;

/// Does what was asked.
///
/// # Errors
/// Exit 2 for a configuration with errors, 3 for a journal that cannot be vouched for.
pub(crate) fn run(args: Check) -> Result<(), Failure> {
    if args.schema {
        say(format!("{:#}", config::schema()));
    }
    if let Some(state) = &args.journal {
        journal(state, args.json)?;
    }
    match &args.file {
        Some(file) => configuration(file, args.json),
        None => Ok(()),
    }
}

fn configuration(file: &Path, json: bool) -> Result<(), Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::because(Exit::Configuration, &format!("reading {name}"), &e))?;
    let (checked, diagnostics) = config::check(&text, &name);
    if json {
        say(format!("{:#}", diagnostics.to_json()));
    } else {
        config::report(&diagnostics);
    }
    match checked {
        Some(checked) if json => drop(checked),
        Some(checked) => say(format!(
            "{name}: a valid configuration of the site `{}`",
            checked.site
        )),
        None => return Err(Failure::silent(Exit::Configuration)),
    }
    Ok(())
}

fn journal(state: &Path, json: bool) -> Result<(), Failure> {
    // Both the state directory and the database itself are accepted.
    let file = if state.is_dir() {
        state.join(leitstand_kit::store::FILE_NAME)
    } else {
        state.to_path_buf()
    };
    if !file.is_file() {
        return Err(Failure::new(
            Exit::RuntimeInformation,
            format!("{} does not exist", file.display()),
        ));
    }
    match events::verify(&file) {
        Ok(entries) if json => say(serde_json::json!({ "entries": entries, "ok": true })),
        Ok(entries) => say(format!(
            "{}: {entries} entries, the chain is whole",
            file.display()
        )),
        Err(VerifyError::Chain(bad)) => {
            if json {
                say(serde_json::json!({ "ok": false, "first_bad": bad.seq, "reason": bad.reason }));
            }
            return Err(Failure::new(
                Exit::RuntimeInformation,
                format!("{}: {bad}", file.display()),
            ));
        }
        Err(error) => {
            return Err(Failure::because(
                Exit::RuntimeInformation,
                &file.display().to_string(),
                &error,
            ));
        }
    }
    Ok(())
}
