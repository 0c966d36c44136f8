//! `leitstand replay`: a recording through the real evaluation, on a virtual clock.

use crate::cli::{At, Replay};
use crate::config;
use crate::exit::Failure;
use leitstand_core::gas::{AlarmKey, Command};
use leitstand_core::time::Instant;
use leitstand_gas::replay::{self, Names, ReplayError, Style};
use leitstand_gas::site::GasSite;
use leitstand_kit::Exit;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};

/// Prints the transcript on STDOUT.
///
/// # Errors
/// Exit 2 for a configuration, a recording or a command that cannot be used.
pub(crate) fn run(args: &Replay) -> Result<(), Failure> {
    let name = args.config.display().to_string();
    let text = std::fs::read_to_string(&args.config)
        .map_err(|e| Failure::because(Exit::Configuration, &format!("reading {name}"), &e))?;
    let checked = config::check_or_report(&text, &name)?;
    let Some(site) = checked.gas else {
        return Err(Failure::new(
            Exit::Configuration,
            format!("{name} has no section [gas]"),
        ));
    };
    let names = Names::from(site.as_ref());
    let mut commands = Vec::new();
    for (list, is_reset) in [(&args.ack, false), (&args.reset, true)] {
        for at in list {
            commands.push(command(&site, at, is_reset)?);
        }
    }
    let recording = args.readings.display().to_string();
    let file = File::open(&args.readings)
        .map_err(|e| Failure::because(Exit::Configuration, &format!("reading {recording}"), &e))?;
    let style = if args.json { Style::Json } else { Style::Text };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let ended = replay::replay(
        &site.plan,
        &names,
        BufReader::new(file),
        &commands,
        args.until.map(instant),
        style,
        &mut out,
    );
    match ended.and_then(|()| out.flush().map_err(ReplayError::from)) {
        Ok(()) => Ok(()),
        // `leitstand replay ... | head` is no failure.
        Err(ReplayError::Write(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::because(Exit::Configuration, &recording, &error)),
    }
}

fn command(site: &GasSite, at: &At, is_reset: bool) -> Result<replay::At, Failure> {
    // Fault alarms are no part of a transcript.
    let of_gas = |key: &AlarmKey| matches!(key, AlarmKey::SetPoint(_));
    let key = site.named_alarm(&at.what).filter(of_gas).ok_or_else(|| {
        let text = format!(
            "`{}` is no set point, or its name is not unique (then write ZONE.SETPOINT)",
            at.what
        );
        Failure::new(Exit::Configuration, text)
    })?;
    let command = if is_reset {
        Command::Reset(key)
    } else {
        Command::Acknowledge(key)
    };
    Ok(replay::At {
        at: instant(at.t_s),
        command,
    })
}

/// To the nearest millisecond; the command line has checked that it is not negative and bounded.
fn instant(t_s: f64) -> Instant {
    Instant::from_millis((t_s * 1000.0).round() as u64)
}
