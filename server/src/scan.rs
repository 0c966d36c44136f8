//! `leitstand scan DEVICE`: who answers on a serial line, at which rate and address, and as what.

use crate::board;
use crate::cli::{ParityArg, Scan};
use crate::exit::{Failure, say};
use crate::inventory;
use leitstand_core::hal::PortError;
use leitstand_core::modbus::line::{Line, Parity};
use leitstand_gas::scan::{self, Found, LINES, Progress, Search};
use leitstand_kit::Exit;
use serde_json::json;
use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// Prints each device as it is found.
///
/// # Errors
/// Exit 4 when the line cannot be opened or nobody answers.
pub(crate) fn run(args: &Scan) -> Result<(), Failure> {
    let Some(device) = &args.device else {
        inventory::run(args.json);
        return Ok(());
    };
    let parity = match args.parity {
        ParityArg::None => Parity::None,
        ParityArg::Even => Parity::Even,
        ParityArg::Odd => Parity::Odd,
    };
    let lines = if args.baud.is_empty() {
        LINES.to_vec()
    } else {
        args.baud
            .iter()
            .map(|baud| Line {
                baud: *baud,
                parity,
            })
            .collect()
    };
    let search = Search {
        lines,
        addresses: args.addresses.0.clone(),
        wait: Duration::from_millis(args.timeout),
    };
    // For people who wait; a program that reads STDOUT sees only devices.
    let tell = std::io::stderr().is_terminal();
    let mut trying = None;
    let found = scan::scan(
        &search,
        |line| board::open(device, line),
        |progress| {
            match progress {
                Progress::Found(found) if args.json => say(json_line(&found)),
                Progress::Found(found) => say(text_line(&found)),
                Progress::Asking { line, .. } if tell && trying != Some(line) => {
                    trying = Some(line);
                    let _ = writeln!(std::io::stderr(), "trying {} ...", name(line));
                }
                Progress::Noise { line, address } if tell => {
                    let place = name(line);
                    let _ = writeln!(
                        std::io::stderr(),
                        "noise at {place} after asking address {address}"
                    );
                }
                Progress::Asking { .. } | Progress::Noise { .. } => {}
            }
            ControlFlow::Continue(())
        },
    )
    .map_err(|e| refused(device, e))?;
    if found.is_empty() {
        let text = format!(
            "nobody answered on {}; check wiring, rate and addresses",
            device.display()
        );
        return Err(Failure::new(Exit::Hardware, text));
    }
    Ok(())
}

fn text_line(found: &Found) -> String {
    format!(
        "address {:>3}  {:<10}  {}",
        found.address,
        name(found.line),
        found.kind
    )
}

fn json_line(found: &Found) -> String {
    json!({
        "address": found.address,
        "baud": found.line.baud,
        "parity": match found.line.parity {
            Parity::None => "none",
            Parity::Even => "even",
            Parity::Odd => "odd",
        },
        "device": found.kind.to_string(),
    })
    .to_string()
}

/// As people write it: `9600 8N1`.
fn name(line: Line) -> String {
    let parity = match line.parity {
        Parity::None => 'N',
        Parity::Even => 'E',
        Parity::Odd => 'O',
    };
    format!("{} 8{parity}1", line.baud)
}

fn refused(device: &Path, error: PortError) -> Failure {
    let why = match error {
        PortError::NotFound => "it does not exist",
        PortError::Busy => "another program holds it; stop the gateway first",
        PortError::Denied => "no permission; add yourself to the group `dialout`",
        PortError::Gone => "it was unplugged",
        PortError::Io(_) => "it is no serial line, or cannot do this rate",
    };
    Failure::new(
        Exit::Hardware,
        format!("{}: {why} ({error:?})", device.display()),
    )
}
