//! Hardware in the loop: what only real devices can show. A file a rig, its wiring on top.
//!
//! Each test takes its devices from an environment variable and says `SKIPPED` without it:
//! ```sh
//! LEITSTAND_HIL=/dev/serial/by-id/usb-Espressif_... LEITSTAND_HIL_GPIO=pinctrl-rp1:17:27 \
//!   LEITSTAND_HIL_RS485=/dev/ttyUSB0,/dev/ttyUSB1 cargo test -p leitstand-tests --test hil -- --nocapture
//! ```
//! No run of CI has these devices; docs/hardware.md has the table for what was seen with them.
// Rigs are run by a person, who reads what they measured.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod gpio;
mod panel;
mod rs485;

/// The devices of a rig, as `variable` names them.
fn rig(variable: &str, what: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|v| !v.is_empty());
    if value.is_none() {
        use std::io::Write as _;
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED {what}: {variable} names no device"
        );
    }
    value
}
