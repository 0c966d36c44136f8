//! The panel board.
#![no_std]
#![no_main]

use leitstand_board_virt::chips::{Chips, Line, NoDelay, OutputEnable, Pin, Spi};
use leitstand_board_virt::clock;
use leitstand_board_virt::uart::Uart;
use leitstand_core::panel::PanelSize;
use leitstand_core::panel::board;
use leitstand_core::panel::chain::{Latched, LeadingEdge, LoadLevel, Wiring};
use leitstand_firmware::chains::Chains;
use leitstand_firmware::dimmer::Dimmer;
use leitstand_firmware::panel::{Hardware, Panel};
use leitstand_firmware::watchdog::NoWatchdog;

#[riscv_rt::entry]
fn main() -> ! {
    let size = PanelSize::MAX;
    let chips = Chips::new(size);
    let input = LeadingEdge::new(Pin(&chips, Line::Load), LoadLevel::High, NoDelay);
    let output = Latched::new(Pin(&chips, Line::Latch), NoDelay);
    let hardware = Hardware {
        chains: Chains::new(size, Spi::new(&chips), input, output),
        link: Uart::first(),
        dimmer: Dimmer::new(OutputEnable),
        watchdog: NoWatchdog,
    };
    let config = board::Config::new(Wiring::new(size), clock::boot_id());
    let mut panel = Panel::new(clock::now(), config, hardware);
    loop {
        let wake = panel.step(clock::now());
        clock::sleep_until(wake);
    }
}
