//! How deep the stack ever was: QEMU's memory is zero until something is written.

use crate::mmio::Register;

/// The RAM of `memory.x`; the stack grows down from its end.
const END: usize = 0x8040_0000 + (512 << 10);
/// Above all statics, and far below any stack that would still be healthy.
const LOWEST: usize = 0x8040_0000 + (16 << 10);

/// Bytes from the end of the stack to the deepest word that was ever written with something else than zero.
#[must_use]
pub fn deepest() -> usize {
    let written = (LOWEST..END)
        .step_by(4)
        .find(|at| Register::<u32>::at(*at).read() != 0);
    written.map_or(0, |at| END - at)
}
