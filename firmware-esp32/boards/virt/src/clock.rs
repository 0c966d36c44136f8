//! `mtime`, and sleeping until it reaches something.

use leitstand_core::time::Instant;

use crate::mmio::Register;

const TICKS_PER_MS: u64 = 10_000;
const MTIME: [Register<u32>; 2] = [Register::at(0x0200_bff8), Register::at(0x0200_bffc)];
const MTIMECMP: [Register<u32>; 2] = [Register::at(0x0200_4000), Register::at(0x0200_4004)];
/// Goldfish RTC, low half of the nanoseconds of the wall clock.
const RTC: Register<u32> = Register::at(0x0010_1000);

/// Ticks of 100 ns since the machine started.
#[must_use]
pub fn ticks() -> u64 {
    loop {
        let high = MTIME[1].read();
        let low = MTIME[0].read();
        // The low half may have wrapped between the two.
        if MTIME[1].read() == high {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

/// Milliseconds since the machine started.
#[must_use]
pub fn now() -> Instant {
    Instant::from_millis(ticks() / TICKS_PER_MS)
}

/// Sleeps until `wake`; returns at once when that is past.
pub fn sleep_until(wake: Instant) {
    let compare = wake.as_millis().saturating_mul(TICKS_PER_MS);
    // Written high half first at its largest, so that no half-written value fires.
    MTIMECMP[1].write(u32::MAX);
    MTIMECMP[0].write(compare as u32);
    MTIMECMP[1].write((compare >> 32) as u32);
    // The interrupt is enabled, interrupts as such are not: it ends the sleep and calls nobody.
    #[allow(unsafe_code)]
    // SAFETY: no handler can run while mstatus.MIE is off, which is its state after the start.
    unsafe {
        riscv::register::mie::set_mtimer();
    }
    while ticks() < compare {
        riscv::asm::wfi();
    }
}

/// Differs after every start.
#[must_use]
pub fn boot_id() -> u32 {
    RTC.read()
}
