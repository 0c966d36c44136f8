//! Golden cases 8.1, 8.2, 8.3 and 8.6 of the panel specification, through the whole firmware: from the levels at
//! the shift registers to the bytes on the cable. Each runs on the host and as RISC-V code.

mod chains;
mod debounce;
mod frames;
mod text;

use super::rig::{Rig, Start, everywhere};

fn on(buttons: u8) -> Start {
    Start {
        buttons,
        ..Start::default()
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Scans with these buttons held, and all that was told.
fn hold(rig: &mut dyn Rig, held: &[u8], scans: usize) -> String {
    text((0..scans).flat_map(|_| rig.scan(held)).collect())
}

fn lit(rig: &mut dyn Rig) -> Vec<u8> {
    let latched = rig.latched();
    (1..=100)
        .filter(|id| latched >> (id - 1) & 1 != 0)
        .collect()
}
