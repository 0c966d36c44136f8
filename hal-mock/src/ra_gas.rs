//! A RA-GAS CO/NO2 combi sensor: 30 holding registers, of which two follow the gas.
//!
//! Layout and example calibration are those of the monitor specification, 2.1.

use crate::fault::{Fault, Faults};
use leitstand_core::modbus::Address;
use leitstand_core::modbus::frame::{Answer, Frame, Request, Table, exception};

/// Registers of the device.
pub const REGISTERS: usize = 30;
/// First register of the NO2 channel, then of the CO channel.
const BASES: [usize; 2] = [10, 20];
/// Register that holds the slave address.
const ADDRESS_REGISTER: u16 = 3;
/// Coils that switch the NO2 and the CO channel on and off.
const SWITCHES: [u16; 2] = [0, 16];
/// How the cells answer to gas, whatever is written into the calibration registers: counts and ppm at zero
/// gas, counts and ppm at span gas.
const CALIBRATION: [[u16; 4]; 2] = [[920, 0, 564, 20], [112, 0, 760, 270]];
/// Upper end of each range in ppm.
const RANGE: [u16; 2] = [30, 300];

/// The device.
#[derive(Clone, Debug)]
pub struct RaGas {
    address: Address,
    registers: [u16; REGISTERS],
    ppm: [f64; 2],
    /// Faults that are on.
    pub faults: Faults,
}

impl RaGas {
    /// A sensor in clean air.
    #[must_use]
    pub fn new(address: Address) -> Self {
        let mut registers = [0; REGISTERS];
        registers[1] = 14;
        registers[3] = u16::from(address.get());
        for (channel, base) in BASES.into_iter().enumerate() {
            let [adc_zero, ppm_zero, adc_span, ppm_span] = CALIBRATION[channel];
            registers[base] = channel as u16 + 1;
            registers[base + 3] = RANGE[channel];
            registers[base + 4] = adc_zero;
            registers[base + 5] = adc_span;
            registers[base + 6] = ppm_zero;
            registers[base + 7] = ppm_span;
            registers[base + 8] = 1;
        }
        let mut sensor = Self {
            address,
            registers,
            ppm: [0.0; 2],
            faults: Faults::default(),
        };
        sensor.convert();
        sensor
    }

    /// Its address on the line.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The gas around it, in ppm.
    pub fn set_ppm(&mut self, no2: f64, co: f64) {
        self.ppm = [no2, co];
        self.convert();
    }

    /// Writes a register as it is, for what no gas can do.
    pub fn set_register(&mut self, at: usize, value: u16) {
        self.registers[at] = value;
    }

    /// The converter: gas to counts.
    fn convert(&mut self) {
        if self.faults.has(Fault::Frozen) {
            return;
        }
        for (channel, base) in BASES.into_iter().enumerate() {
            let [adc_zero, ppm_zero, adc_span, ppm_span] = CALIBRATION[channel].map(f64::from);
            let drift = if self.faults.has(Fault::Drift) {
                0.15 * f64::from(RANGE[channel])
            } else {
                0.0
            };
            let slope = (adc_span - adc_zero) / (ppm_span - ppm_zero);
            let counts = adc_zero + (self.ppm[channel] - drift - ppm_zero) * slope;
            // 0 and 1023 are the rails, which only a broken wire reaches.
            self.registers[base + 1] = if self.faults.has(Fault::WireBreak) {
                0
            } else {
                counts.round().clamp(1.0, 1022.0) as u16
            };
        }
    }

    /// Begins or ends a fault.
    pub fn fault(&mut self, fault: Fault, on: bool) {
        self.faults.set(fault, on);
        self.convert();
    }

    /// What it answers to a request for its address.
    pub fn answer(&mut self, request: Request<'_>) -> Frame {
        let refuse = |code| {
            Answer::Exception {
                function: request.function(),
                code,
            }
            .write(self.address)
        };
        match request {
            Request::Read {
                table: Table::Holding,
                start,
                count,
            } => {
                let range = usize::from(start)..usize::from(start) + usize::from(count);
                let Some(words) = self.registers.get(range) else {
                    return refuse(exception::ILLEGAL_ADDRESS);
                };
                let data: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
                Answer::Read {
                    table: Table::Holding,
                    data: &data,
                }
                .write(self.address)
            }
            Request::WriteRegister { register, value } => {
                let answer = Answer::WriteRegister { register, value }.write(self.address);
                match register {
                    // The answer still comes from the old address.
                    ADDRESS_REGISTER => {
                        let new = u8::try_from(value).ok().and_then(Address::new);
                        let Some(new) = new else {
                            return refuse(exception::ILLEGAL_VALUE);
                        };
                        self.address = new;
                    }
                    12..=17 | 22..=27 => {}
                    _ => return refuse(exception::ILLEGAL_ADDRESS),
                }
                self.registers[usize::from(register)] = value;
                answer
            }
            Request::WriteCoil { coil, on } => {
                let Some(base) = SWITCHES.iter().position(|c| *c == coil).map(|n| BASES[n]) else {
                    return refuse(exception::ILLEGAL_ADDRESS);
                };
                let config = &mut self.registers[base + 8];
                *config = *config & !1 | u16::from(on);
                Answer::WriteCoil { coil, on }.write(self.address)
            }
            // A restart loses nothing: all that can be written is kept in the device.
            Request::Diagnostic { sub: 1, data } => {
                Answer::Diagnostic { sub: 1, data }.write(self.address)
            }
            _ => refuse(exception::ILLEGAL_FUNCTION),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(sensor: &mut RaGas) -> Frame {
        sensor.answer(Request::Read {
            table: Table::Holding,
            start: 0,
            count: 30,
        })
    }

    fn word(frame: &Frame, register: usize) -> u16 {
        u16::from_be_bytes([frame[3 + register * 2], frame[4 + register * 2]])
    }

    #[test]
    fn gas_becomes_counts_as_the_calibration_says() {
        let mut sensor = RaGas::new(Address::new(1).unwrap());
        sensor.set_ppm(20.0, 60.0);
        let frame = read(&mut sensor);
        assert_eq!(
            (frame.len(), word(&frame, 11), word(&frame, 21)),
            (65, 564, 256)
        );
        assert_eq!(
            (word(&frame, 3), word(&frame, 10), word(&frame, 20)),
            (1, 1, 2)
        );
    }

    #[test]
    fn what_may_be_written_is_written_and_nothing_else() {
        let mut sensor = RaGas::new(Address::new(1).unwrap());
        // Zero gas at 920 counts: bytes of the monitor specification, 10.
        let bytes = [0x01, 0x06, 0x00, 0x0E, 0x03, 0x98, 0xE9, 0x53];
        let (_, request) = Request::parse(&bytes).unwrap();
        assert_eq!(sensor.answer(request).as_slice(), bytes);
        assert_eq!(word(&read(&mut sensor), 14), 920);
        let off = Request::WriteCoil {
            coil: 16,
            on: false,
        };
        sensor.answer(off);
        let frame = read(&mut sensor);
        assert_eq!((word(&frame, 18), word(&frame, 28)), (1, 0));
        let refused = |sensor: &mut RaGas, register, value| {
            sensor.answer(Request::WriteRegister { register, value })[2]
        };
        assert_eq!(refused(&mut sensor, 11, 500), exception::ILLEGAL_ADDRESS);
        assert_eq!(refused(&mut sensor, 3, 248), exception::ILLEGAL_VALUE);
        let restart = Request::Diagnostic { sub: 1, data: 0 };
        assert_eq!(sensor.answer(restart)[1], 8);
    }

    #[test]
    fn a_new_address_is_answered_from_the_old_one_and_holds_from_then_on() {
        let mut sensor = RaGas::new(Address::MAX);
        let answer = sensor.answer(Request::WriteRegister {
            register: 3,
            value: 5,
        });
        assert_eq!(answer[0], 247);
        let frame = read(&mut sensor);
        assert_eq!((frame[0], word(&frame, 3)), (5, 5));
    }

    #[test]
    fn faults_of_the_cell_show_in_the_counts() {
        let mut sensor = RaGas::new(Address::new(1).unwrap());
        sensor.fault(Fault::Frozen, true);
        sensor.set_ppm(0.0, 200.0);
        assert_eq!(word(&read(&mut sensor), 21), 112);
        sensor.fault(Fault::Frozen, false);
        assert_eq!(word(&read(&mut sensor), 21), 592);
        sensor.fault(Fault::WireBreak, true);
        assert_eq!(word(&read(&mut sensor), 21), 0);
        sensor.fault(Fault::WireBreak, false);
        sensor.set_ppm(0.0, 0.0);
        sensor.fault(Fault::Drift, true);
        // 45 ppm below zero, which is more than a tenth of the range.
        assert_eq!(word(&read(&mut sensor), 21), 4);
    }
}
