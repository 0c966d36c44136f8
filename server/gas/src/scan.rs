//! # Finding devices
//! Asks every address of a line at the usual rates and says who answers, and as what. Entry: [`scan`].
//!
//! A scan owns the port: the bus thread of the same line must not run. It only reads.

use crate::bus::decode::{MR_DO4_READ, RA_GAS_READ};
use crate::bus::pump::Pump;
use leitstand_core::gas::ra_gas;
use leitstand_core::hal::{PortError, SerialPort};
use leitstand_core::machine::Machine;
use leitstand_core::modbus::Address;
use leitstand_core::modbus::frame::Table;
use leitstand_core::modbus::line::{Line, Parity};
use leitstand_core::modbus::master::{Bus, Data, Device, Failure, Input, Master, Output};
use leitstand_core::modbus::plan::{Plan, Read};
use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

/// The rates that are tried, likeliest first: RA-GAS sensors leave the factory with the first, METZ CONNECT
/// modules with the second.
pub const LINES: [Line; 6] = [
    line(9_600, Parity::None),
    line(19_200, Parity::Even),
    line(9_600, Parity::Even),
    line(19_200, Parity::None),
    line(38_400, Parity::Even),
    line(115_200, Parity::Even),
];

/// Wait for an answer. Reasoning: the known devices answer within 20 ms; five times that, and 247 addresses
/// still take half a minute a rate.
pub const WAIT: Duration = Duration::from_millis(100);
/// Longest wait of the loop for bytes.
const LOOK: Duration = Duration::from_millis(50);

const fn line(baud: u32, parity: Parity) -> Line {
    Line { baud, parity }
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Rates, in the order in which they are tried; see [`LINES`].
    pub lines: Vec<Line>,
    /// Addresses, in the order in which they are asked; those outside 1..=247 are left out.
    pub addresses: Vec<u8>,
    /// How long to wait for an answer; cut to 50..=2000 ms.
    pub wait: Duration,
}

impl Default for Search {
    /// Every address at the usual rates, the factory address of the gas sensors first.
    fn default() -> Self {
        Self {
            lines: LINES.to_vec(),
            addresses: (1..=Address::MAX.get()).rev().collect(),
            wait: WAIT,
        }
    }
}

/// What a scan says while it runs. The caller may end it after any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The next address is asked.
    Asking {
        /// At which rate.
        line: Line,
        /// Which address.
        address: u8,
    },
    /// Somebody answered.
    Found(Found),
    /// Bytes came that are no frame: another rate, two devices with one address, or noise.
    Noise {
        /// At which rate.
        line: Line,
        /// Which address was asked.
        address: u8,
    },
}

/// A device that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// At which rate.
    pub line: Line,
    /// Its address.
    pub address: u8,
    /// What it seems to be.
    pub kind: Kind,
}

/// Device maps that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RA-GAS CO/NO2 combi sensor, with its firmware version.
    RaGas {
        /// Major, minor, patch.
        firmware: [u16; 3],
    },
    /// A module with eight coils and no holding register 0, as METZ CONNECT MR-DO4 has.
    MrDo4,
    /// A Modbus slave with another map.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RaGas {
                firmware: [major, minor, patch],
            } => write!(
                f,
                "RA-GAS CO/NO2 combi sensor, firmware {major}.{minor}.{patch}"
            ),
            Self::MrDo4 => f.write_str("relay module (METZ CONNECT MR-DO4 or alike)"),
            Self::Other => f.write_str("Modbus slave with a map that is not known"),
        }
    }
}

/// Asks every address at every rate until all are asked or `progress` breaks off.
///
/// # Errors
/// The port cannot be opened, or is lost.
pub fn scan(
    search: &Search,
    mut open: impl FnMut(Line) -> Result<Box<dyn SerialPort>, PortError>,
    mut progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<Found>, PortError> {
    let mut found = Vec::new();
    for line in search.lines.iter().copied() {
        let mut port = open(line)?;
        for asked in search.addresses.iter().copied().filter_map(Address::new) {
            let address = asked.get();
            if progress(Progress::Asking { line, address }).is_break() {
                return Ok(found);
            }
            let said = match identify(port.as_mut(), line, asked, search.wait)? {
                Said::Nothing => continue,
                Said::Noise => Progress::Noise { line, address },
                Said::Kind(kind) => {
                    let device = Found {
                        line,
                        address,
                        kind,
                    };
                    found.push(device.clone());
                    Progress::Found(device)
                }
            };
            if progress(said).is_break() {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

enum Said {
    Nothing,
    Noise,
    Kind(Kind),
}

fn identify(
    port: &mut dyn SerialPort,
    line: Line,
    address: Address,
    wait: Duration,
) -> Result<Said, PortError> {
    let mut ask = |read| ask(port, line, address, wait, read);
    let first = Read {
        table: Table::Holding,
        start: 0,
        count: 1,
    };
    match ask(first)? {
        Reply::Nothing => return Ok(Said::Nothing),
        Reply::Noise => return Ok(Said::Noise),
        Reply::Data(_) | Reply::Refused => {}
    }
    if let Reply::Data(data) = ask(RA_GAS_READ)? {
        let mut registers = [0; ra_gas::REGISTERS];
        for (register, word) in registers.iter_mut().zip(data.words().iter()) {
            *register = word;
        }
        if ra_gas::decode(&registers, address.get()).is_ok() {
            let firmware = [registers[0], registers[1], registers[2]];
            return Ok(Said::Kind(Kind::RaGas { firmware }));
        }
        return Ok(Said::Kind(Kind::Other));
    }
    let coils = ask(MR_DO4_READ)?;
    Ok(Said::Kind(match coils {
        Reply::Data(_) => Kind::MrDo4,
        _ => Kind::Other,
    }))
}

#[allow(clippy::large_enum_variant)] // taken apart at once
enum Reply {
    Nothing,
    Noise,
    Refused,
    Data(Data),
}

/// One question, asked once, by a master with one device: so the silences and the rules of what is an answer
/// are the same as ever.
fn ask(
    port: &mut dyn SerialPort,
    line: Line,
    address: Address,
    wait: Duration,
    read: Read,
) -> Result<Reply, PortError> {
    let Ok(plan) = Plan::new(&[read], 0) else {
        return Ok(Reply::Nothing);
    };
    let device = Device {
        address,
        plan,
        image: None,
        period: Duration::from_secs(3_600),
    };
    let bus = Bus {
        timeout: wait.clamp(Duration::from_millis(50), Duration::from_secs(2)),
        retries: 0,
        devices: [device].into_iter().collect(),
        ..Bus::new(line)
    };
    let Ok(mut master) = Master::new(bus) else {
        return Ok(Reply::Nothing);
    };
    let pump = Pump::new();
    master.handle(pump.now(), Input::Opened);
    loop {
        while let Some(output) = pump.next(&mut master, port)? {
            return Ok(match output {
                Output::Answer { data, .. } => Reply::Data(data),
                Output::Busy { .. } => Reply::Refused,
                Output::Failure { kind, .. } => match kind {
                    Failure::Exception(_) => Reply::Refused,
                    Failure::Timeout => Reply::Nothing,
                    Failure::Crc | Failure::Length => Reply::Noise,
                },
                _ => continue,
            });
        }
        pump.wait(&mut master, port, LOOK)?;
    }
}
