//! Devices: what is read from each kind, and what the registers mean.

use crate::seam::{AnalogProfile, DeviceKind, DeviceSpec};
use leitstand_core::gas::analog::{self, RegisterFormat};
use leitstand_core::gas::{
    BoardIndex, CellIndex, Input, OutputIndex, PollFailure, Reading, ra_gas,
};
use leitstand_core::modbus::Address;
use leitstand_core::modbus::frame::Table;
use leitstand_core::modbus::master::{Data, Device, Failure, Image};
use leitstand_core::modbus::plan::{Place, Plan, Read};
use std::time::Duration;

/// Relays of a MR-DO4; its coils 4..8 tell which of them somebody set by hand.
pub(crate) const RELAYS: u8 = 4;

/// What a RA-GAS sensor is asked: all its registers in one read.
pub(crate) const RA_GAS_READ: Read = Read {
    table: Table::Holding,
    start: 0,
    count: ra_gas::REGISTERS as u16,
};

/// What a MR-DO4 is asked: relays and hand switches.
pub(crate) const MR_DO4_READ: Read = Read {
    table: Table::Coils,
    start: 0,
    count: 2 * RELAYS as u16,
};

/// Why a device cannot be polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Address,
    Registers,
}

/// Turns the answers of one device into inputs of the station.
#[derive(Debug)]
pub(super) enum Decoder {
    RaGas {
        address: u8,
        cells: [Option<CellIndex>; 2],
        firmware: Option<[u16; 3]>,
    },
    Analog {
        profile: AnalogProfile,
        channels: Vec<(Place, CellIndex)>,
    },
    MrDo4 {
        board: BoardIndex,
        outputs: [Option<OutputIndex>; RELAYS as usize],
    },
}

/// How `spec` is polled, once a `period`, and decoded.
pub(super) fn device(spec: &DeviceSpec, period: Duration) -> Result<(Device, Decoder), Wrong> {
    let address = Address::new(spec.address).ok_or(Wrong::Address)?;
    let (wants, image) = match &spec.kind {
        DeviceKind::RaGas { .. } => (vec![RA_GAS_READ], None),
        DeviceKind::Analog { profile, channels } => {
            let wants = channels.iter().map(|(channel, _)| want(profile, *channel));
            (wants.collect::<Result<_, _>>()?, None)
        }
        DeviceKind::MrDo4 { .. } => {
            let image = Image {
                start: 0,
                count: RELAYS,
            };
            (vec![MR_DO4_READ], Some(image))
        }
    };
    // No gaps: an analog module may refuse to read registers between its channels.
    let plan = Plan::new(&wants, 0).map_err(|_| Wrong::Registers)?;
    let decoder = match &spec.kind {
        DeviceKind::RaGas { cells } => Decoder::RaGas {
            address: spec.address,
            cells: *cells,
            firmware: None,
        },
        DeviceKind::Analog { profile, channels } => {
            let placed = wants.iter().zip(channels);
            let placed = placed.map(|(want, (_, cell))| Some((plan.place(want)?, *cell)));
            Decoder::Analog {
                profile: *profile,
                channels: placed.collect::<Option<_>>().ok_or(Wrong::Registers)?,
            }
        }
        DeviceKind::MrDo4 { board, outputs } => Decoder::MrDo4 {
            board: *board,
            outputs: *outputs,
        },
    };
    let device = Device {
        address,
        plan,
        image,
        period,
    };
    Ok((device, decoder))
}

/// The registers of one channel of an analog module, counted from 1.
fn want(profile: &AnalogProfile, channel: u8) -> Result<Read, Wrong> {
    let table = match Table::of_function(profile.function) {
        Some(table @ (Table::Holding | Table::Input)) => table,
        _ => return Err(Wrong::Registers),
    };
    let skipped = u16::from(channel.checked_sub(1).ok_or(Wrong::Registers)?);
    let start = profile
        .stride
        .checked_mul(skipped)
        .and_then(|skipped| profile.start.checked_add(skipped))
        .ok_or(Wrong::Registers)?;
    Ok(Read {
        table,
        start,
        count: words(profile.format),
    })
}

const fn words(format: RegisterFormat) -> u16 {
    match format {
        RegisterFormat::U16 | RegisterFormat::I16 => 1,
        RegisterFormat::F32Be | RegisterFormat::F32Le => 2,
    }
}

impl Decoder {
    pub(super) fn board(&self) -> Option<BoardIndex> {
        match self {
            Self::MrDo4 { board, .. } => Some(*board),
            Self::RaGas { .. } | Self::Analog { .. } => None,
        }
    }

    pub(super) fn firmware(&self) -> Option<String> {
        match self {
            Self::RaGas {
                firmware: Some([major, minor, patch]),
                ..
            } => Some(format!("{major}.{minor}.{patch}")),
            _ => None,
        }
    }

    /// A read of the plan succeeded. `written`: the relay image that the device confirmed last.
    pub(super) fn answer(
        &mut self,
        read: u8,
        data: &Data,
        written: Option<u16>,
        mut send: impl FnMut(Input),
    ) {
        match self {
            Self::RaGas {
                address,
                cells,
                firmware,
            } => {
                let mut registers = [0; ra_gas::REGISTERS];
                for (register, word) in registers.iter_mut().zip(data.words().iter()) {
                    *register = word;
                }
                *firmware = Some([registers[0], registers[1], registers[2]]);
                let readings = match ra_gas::decode(&registers, *address) {
                    Ok(channels) => channels.map(Reading::RaGas),
                    Err(fault) => [Reading::Reported(fault); 2],
                };
                for (cell, reading) in cells.iter().zip(readings) {
                    if let Some(cell) = *cell {
                        send(Input::Reading { cell, reading });
                    }
                }
            }
            Self::Analog { profile, channels } => {
                for (place, cell) in channels.iter().filter(|(place, _)| place.read == read) {
                    let from = usize::from(place.offset);
                    let count = usize::from(words(profile.format));
                    let taken: Vec<u16> = data.words().iter().skip(from).take(count).collect();
                    let current =
                        analog::decode(profile.format, &taken, profile.scale, profile.offset);
                    let reading = match current {
                        Some(current) => Reading::Current(current),
                        // Not a number: an answer of the wrong kind.
                        None => Reading::Failed(PollFailure::Length),
                    };
                    send(Input::Reading {
                        cell: *cell,
                        reading,
                    });
                }
            }
            Self::MrDo4 { outputs, .. } => {
                let Some(written) = written else { return };
                for (pin, output) in (0..RELAYS).zip(outputs) {
                    let coil = |at: u8| data.coil(u16::from(at)) == Some(true);
                    if let Some(output) = *output {
                        send(Input::OutputReport {
                            output,
                            agrees: coil(pin) == (written & 1 << pin != 0),
                            hand: coil(RELAYS + pin),
                        });
                    }
                }
            }
        }
    }

    /// A whole poll failed.
    pub(super) fn failure(&self, kind: Failure, mut send: impl FnMut(Input)) {
        let reading = Reading::Failed(super::failure(kind));
        match self {
            Self::RaGas { cells, .. } => {
                for cell in cells.iter().flatten() {
                    send(Input::Reading {
                        cell: *cell,
                        reading,
                    });
                }
            }
            Self::Analog { channels, .. } => {
                for (_, cell) in channels {
                    send(Input::Reading {
                        cell: *cell,
                        reading,
                    });
                }
            }
            // A module that cannot be asked does not follow.
            Self::MrDo4 { outputs, .. } => {
                for output in outputs.iter().flatten() {
                    send(Input::OutputReport {
                        output: *output,
                        agrees: false,
                        hand: false,
                    });
                }
            }
        }
    }
}
