//! The cable to the host.

/// A byte pipe that never waits.
///
/// Neither `embedded-io` nor esp-hal's USB driver has that: their writes spin until the host takes the
/// packet, and a host that is gone would stop the scan and the watchdog with it.
pub trait Link {
    /// The next byte that came, if one did.
    fn poll_read(&mut self) -> Option<u8>;

    /// Hands over as many of `bytes` as there is room for now, and returns their number; 0 means try later.
    fn try_write(&mut self, bytes: &[u8]) -> usize;
}

impl<L: Link + ?Sized> Link for &mut L {
    fn poll_read(&mut self) -> Option<u8> {
        (**self).poll_read()
    }

    fn try_write(&mut self, bytes: &[u8]) -> usize {
        (**self).try_write(bytes)
    }
}
