//! A METZ CONNECT MR-DO4 relay module: coils 0 to 3 are the relays, 4 to 7 tell which are set by hand.

use crate::fault::Faults;
use leitstand_core::modbus::Address;
use leitstand_core::modbus::frame::{Answer, Frame, Request, Table, exception};

/// Relays of a module.
pub const RELAYS: usize = 4;

/// The device.
#[derive(Clone, Debug)]
pub struct MrDo4 {
    address: Address,
    commanded: [bool; RELAYS],
    by_hand: [Option<bool>; RELAYS],
    /// Faults that are on.
    pub faults: Faults,
}

impl MrDo4 {
    /// A module with all relays off.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            commanded: [false; RELAYS],
            by_hand: [None; RELAYS],
            faults: Faults::default(),
        }
    }

    /// Its address on the line.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The contacts as they are.
    #[must_use]
    pub fn relays(&self) -> [bool; RELAYS] {
        core::array::from_fn(|n| self.by_hand[n].unwrap_or(self.commanded[n]))
    }

    /// Somebody turns the switch of relay `n` (from 0) on the module; `None` = automatic.
    pub fn set_by_hand(&mut self, n: usize, state: Option<bool>) {
        self.by_hand[n] = state;
    }

    fn coil(&self, n: usize) -> Option<bool> {
        match n {
            0..RELAYS => Some(self.relays()[n]),
            4..8 => Some(self.by_hand[n - RELAYS].is_some()),
            _ => None,
        }
    }

    /// What it answers to a request for its address.
    pub fn answer(&mut self, request: Request<'_>) -> Frame {
        let address = self.address;
        let refuse = |code| {
            Answer::Exception {
                function: request.function(),
                code,
            }
            .write(address)
        };
        match request {
            Request::Read {
                table: Table::Coils,
                start,
                count,
            } => {
                let states: Option<Vec<bool>> = (start..start.saturating_add(count))
                    .map(|n| self.coil(usize::from(n)))
                    .collect();
                let Some(states) = states else {
                    return refuse(exception::ILLEGAL_ADDRESS);
                };
                let mut data = vec![0u8; states.len().div_ceil(8)];
                for (n, on) in states.into_iter().enumerate() {
                    data[n / 8] |= u8::from(on) << (n % 8);
                }
                Answer::Read {
                    table: Table::Coils,
                    data: &data,
                }
                .write(address)
            }
            Request::WriteCoil { coil, on } => {
                let Some(relay) = self.commanded.get_mut(usize::from(coil)) else {
                    return refuse(exception::ILLEGAL_ADDRESS);
                };
                *relay = on;
                Answer::WriteCoil { coil, on }.write(address)
            }
            Request::WriteCoils { start, coils } => {
                let range = usize::from(start)..usize::from(start) + usize::from(coils.len());
                let Some(relays) = self.commanded.get_mut(range) else {
                    return refuse(exception::ILLEGAL_ADDRESS);
                };
                for (relay, on) in relays.iter_mut().zip(coils.iter()) {
                    *relay = on;
                }
                Answer::WriteCoils {
                    start,
                    count: coils.len(),
                }
                .write(address)
            }
            _ => refuse(exception::ILLEGAL_FUNCTION),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Bytes of the monitor specification, 10.
    #[test]
    fn it_speaks_the_bytes_of_the_specification() {
        let mut module = MrDo4::new(Address::new(34).unwrap());
        let on = [0x22, 0x05, 0x00, 0x00, 0xFF, 0x00, 0x8B, 0x69];
        let (_, request) = Request::parse(&on).unwrap();
        assert_eq!(module.answer(request).as_slice(), on);
        assert_eq!(module.relays(), [true, false, false, false]);
        let (_, request) =
            Request::parse(&[0x22, 0x0F, 0x00, 0x00, 0x00, 0x04, 0x01, 0x0B, 0x3D, 0x5C]).unwrap();
        module.answer(request);
        assert_eq!(module.relays(), [true, true, false, true]);
        let (_, request) =
            Request::parse(&[0x22, 0x01, 0x00, 0x00, 0x00, 0x04, 0x3A, 0x9A]).unwrap();
        assert_eq!(module.answer(request)[2..4], [1, 0x0B]);
    }

    #[test]
    fn a_switch_on_the_module_wins_and_is_told() {
        let mut module = MrDo4::new(Address::new(34).unwrap());
        module.set_by_hand(2, Some(true));
        let answer = module.answer(Request::Read {
            table: Table::Coils,
            start: 0,
            count: 8,
        });
        assert_eq!(answer[3], 0b0100_0100);
    }
}
