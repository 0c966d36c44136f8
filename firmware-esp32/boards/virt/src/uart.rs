//! A 16550, polled.

use leitstand_firmware::link::Link;

use crate::mmio::Register;

/// Where QEMU puts the first serial device.
const SERIAL_0: usize = 0x1000_0000;
const DATA_READY: u8 = 1 << 0;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// Bytes the transmitter takes once it says empty.
const FIFO: usize = 16;

/// One serial port.
#[derive(Clone, Copy, Debug)]
pub struct Uart {
    data: Register<u8>,
    status: Register<u8>,
}

impl Uart {
    /// The machine's serial port, QEMU's `-serial`.
    #[must_use]
    pub fn first() -> Self {
        Self::at(SERIAL_0)
    }

    pub(crate) fn at(base: usize) -> Self {
        // Both FIFOs on and emptied: what a former life of the firmware left is not for this one.
        Register::<u8>::at(base + 2).write(0b111);
        Self {
            data: Register::at(base),
            status: Register::at(base + 5),
        }
    }

    /// Hands all bytes over, waiting for room. For the bench and for panics, never for the cable.
    pub fn write_all(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.try_write(bytes);
            bytes = &bytes[taken..];
        }
    }
}

impl Link for Uart {
    fn poll_read(&mut self) -> Option<u8> {
        (self.status.read() & DATA_READY != 0).then(|| self.data.read())
    }

    fn try_write(&mut self, bytes: &[u8]) -> usize {
        if self.status.read() & TRANSMITTER_EMPTY == 0 {
            return 0;
        }
        let count = bytes.len().min(FIFO);
        bytes[..count]
            .iter()
            .for_each(|byte| self.data.write(*byte));
        count
    }
}

impl core::fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.write_all(text.as_bytes());
        Ok(())
    }
}
