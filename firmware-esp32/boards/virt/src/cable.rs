//! The cable with a count of what went over it, so that a test knows when it has read all of it.

use core::cell::Cell;

use leitstand_firmware::link::Link;

/// Bytes since the start, in both directions.
#[derive(Debug, Default)]
pub struct Traffic {
    /// From the host.
    pub heard: Cell<u32>,
    /// To the host.
    pub told: Cell<u32>,
}

/// A link that counts.
#[derive(Debug)]
pub struct Counted<'a, L>(pub L, pub &'a Traffic);

impl<L: Link> Link for Counted<'_, L> {
    fn poll_read(&mut self) -> Option<u8> {
        let byte = self.0.poll_read()?;
        self.1.heard.set(self.1.heard.get() + 1);
        Some(byte)
    }

    fn try_write(&mut self, bytes: &[u8]) -> usize {
        let count = self.0.try_write(bytes);
        self.1.told.set(self.1.told.get() + count as u32);
        count
    }
}
