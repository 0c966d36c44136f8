//! Device registers: the only unsafe lines of the board.

/// A register that may be read and written at any time from the one hart there is.
#[derive(Clone, Copy, Debug)]
pub struct Register<T>(*mut T);

impl<T: Copy> Register<T> {
    /// The register at `address`, which must be one of this machine's devices; QEMU's memory map is
    /// `hw/riscv/virt.c`.
    pub(crate) const fn at(address: usize) -> Self {
        Self(address as *mut T)
    }

    /// Reads it.
    #[must_use]
    pub fn read(self) -> T {
        // SAFETY: `at` is private to this crate and only given addresses of devices of this machine, aligned
        // for T. Reading a device register has no effect on memory that Rust knows of.
        #[allow(unsafe_code)]
        unsafe {
            self.0.read_volatile()
        }
    }

    /// Writes it.
    pub fn write(self, value: T) {
        // SAFETY: as in `read`; no device here is told to write to memory.
        #[allow(unsafe_code)]
        unsafe {
            self.0.write_volatile(value);
        }
    }
}
