//! The bench: a second serial port for whoever tests the board.
//!
//! It is not part of the product: a test holds buttons, cuts wires, moves the clock and looks at LEDs there,
//! while the cable carries what it carries on a real board. QEMU gives it as
//! `-device pci-serial,chardev=...,addr=1`; without that there is no bench and the board just runs.

use heapless::Vec;
use leitstand_firmware::link::Link;

use crate::mmio::Register;
use crate::uart::Uart;

/// Configuration space of device 1 on bus 0.
const CONFIG: usize = 0x3000_0000 + (1 << 15);
/// Where I/O ports appear in memory.
const PORTS: usize = 0x0300_0000;
/// The port we give it.
const PORT: u32 = 0x1000;
/// `pci-serial`: vendor 1b36, device 0002.
const SERIAL: u32 = 0x0002_1b36;

/// Longest command.
pub const LINE_MAX: usize = 1024;

/// The bench, if there is one.
#[derive(Debug)]
pub struct Bench {
    uart: Uart,
    line: Vec<u8, LINE_MAX>,
}

impl Bench {
    /// Looks for the second serial port and switches it on.
    #[must_use]
    pub fn find() -> Option<Self> {
        if Register::<u32>::at(CONFIG).read() != SERIAL {
            return None;
        }
        Register::<u32>::at(CONFIG + 0x10).write(PORT);
        Register::<u16>::at(CONFIG + 4).write(1);
        Some(Self {
            uart: Uart::at(PORTS + PORT as usize),
            line: Vec::new(),
        })
    }

    /// The next whole line, without its end. A longer one is cut.
    pub fn line(&mut self) -> Option<Vec<u8, LINE_MAX>> {
        while let Some(byte) = self.uart.poll_read() {
            if byte == b'\n' {
                return Some(core::mem::take(&mut self.line));
            }
            let _ = self.line.push(byte);
        }
        None
    }
}

impl core::fmt::Write for Bench {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.uart.write_str(text)
    }
}
