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
/// Calibration of each channel: counts and ppm at zero gas, counts and ppm at span gas.
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
                let Some(place) = self.registers.get_mut(usize::from(register)) else {
                    return refuse(exception::ILLEGAL_ADDRESS);
                };
                *place = value;
                Answer::WriteRegister { register, value }.write(self.address)
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
