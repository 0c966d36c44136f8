//! The online models over a fixed series, printed on the serial port; ends QEMU with 0.
#![no_std]
#![no_main]

use leitstand_board_virt::power;
use leitstand_board_virt::uart::Uart;
use leitstand_firmware::models;

#[riscv_rt::entry]
fn main() -> ! {
    let traced = models::trace(&mut Uart::first());
    power::exit(u16::from(traced.is_err()))
}
