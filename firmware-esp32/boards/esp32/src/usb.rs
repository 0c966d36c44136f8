//! The chip's own USB serial port as a link that never waits.

use esp_hal::Blocking;
use esp_hal::usb::usb_serial_jtag::UsbSerialJtag;
use leitstand_firmware::link::Link;

/// Bytes of one packet; the hardware takes no more before it is sent.
const PACKET: usize = 64;

/// The port.
pub(crate) struct Usb<'d>(UsbSerialJtag<'d, Blocking>);

impl<'d> Usb<'d> {
    pub(crate) fn new(port: UsbSerialJtag<'d, Blocking>) -> Self {
        Self(port)
    }
}

impl Link for Usb<'_> {
    fn poll_read(&mut self) -> Option<u8> {
        self.0.read_byte().ok()
    }

    fn try_write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes
            .iter()
            .take(PACKET)
            .take_while(|byte| self.0.write_byte_nb(**byte).is_ok())
            .count();
        // Closes the packet. While the host does not take it, the next byte is refused: that is the answer.
        let _ = self.0.flush_tx_nb();
        taken
    }
}
