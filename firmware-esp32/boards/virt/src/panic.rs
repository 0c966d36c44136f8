//! The safe end: lamps dark, the reason told, and an exit code that fails the test.

use core::fmt::Write as _;
use core::panic::PanicInfo;

use crate::bench::Bench;
use crate::{chips, power};

/// QEMU's exit code after a panic.
const PANICKED: u16 = 7;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // The line, not the chain: it works whatever state the program is in.
    chips::darken();
    if let Some(mut bench) = Bench::find() {
        let _ = writeln!(
            bench,
            "oe {}\npanic {}",
            chips::output_enable(),
            info.message()
        );
    }
    power::exit(PANICKED)
}
