//! Counts the instructions of one round of the panel: scan, debounce, LED update, cable, watchdog.
//!
//! Run it with `-icount shift=0`: then the counter is exact and the same everywhere. The chips cost nothing here,
//! since on a board the SPI peripheral shifts by itself; its time comes on top (panel specification 2.3).
#![no_std]
#![no_main]

use core::cell::Cell;
use core::convert::Infallible;
use core::fmt::Write as _;

use embedded_hal::digital::{self, OutputPin};
use embedded_hal::spi::{self, SpiBus};
use leitstand_board_virt::chips::{NoDelay, OutputEnable};
use leitstand_board_virt::power;
use leitstand_board_virt::uart::Uart;
use leitstand_core::panel::chain::{Latched, LeadingEdge, LoadLevel, Wiring};
use leitstand_core::panel::debounce::{self, Mode};
use leitstand_core::panel::{PanelSize, board};
use leitstand_core::time::{Duration, Instant};
use leitstand_firmware::chains::Chains;
use leitstand_firmware::dimmer::Dimmer;
use leitstand_firmware::link::Link;
use leitstand_firmware::panel::{Hardware, Panel};
use leitstand_firmware::settings::NoFlash;
use leitstand_firmware::watchdog::NoWatchdog;

const SCAN: Duration = Duration::from_millis(5);
/// Rounds of each case.
const ROUNDS: u32 = 200;

/// Ping of protocol v2, so that the board goes on in it (panel specification 8.6).
const PING: &[u8] = &[0x09, 0x01, 0xf8, 0xac, 0xd1, 0x91, 0x01, 0xd0, 0xba, 0x00];

/// What the first chip reads, and what all others do: `FF` released, `00` pressed.
struct Wires<'a>(&'a Cell<[u8; 2]>);

impl spi::ErrorType for Wires<'_> {
    type Error = Infallible;
}

impl SpiBus for Wires<'_> {
    fn read(&mut self, words: &mut [u8]) -> Result<(), Infallible> {
        self.transfer_in_place(words)
    }

    fn write(&mut self, words: &[u8]) -> Result<(), Infallible> {
        core::hint::black_box(words);
        Ok(())
    }

    fn transfer(&mut self, read: &mut [u8], _write: &[u8]) -> Result<(), Infallible> {
        self.transfer_in_place(read)
    }

    fn transfer_in_place(&mut self, words: &mut [u8]) -> Result<(), Infallible> {
        let [first, others] = self.0.get();
        words.fill(others);
        words[0] = first;
        if let Some(far_end) = words.last_mut() {
            *far_end = 0xff;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct NoPin;

impl digital::ErrorType for NoPin {
    type Error = Infallible;
}

impl OutputPin for NoPin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Takes everything; gives what is put in.
struct Pipe<'a>(&'a Cell<&'static [u8]>);

impl Link for Pipe<'_> {
    fn poll_read(&mut self) -> Option<u8> {
        let (first, rest) = self.0.get().split_first()?;
        self.0.set(rest);
        Some(*first)
    }

    fn try_write(&mut self, bytes: &[u8]) -> usize {
        core::hint::black_box(bytes).len()
    }
}

#[riscv_rt::entry]
fn main() -> ! {
    let mut out = Uart::first();
    for (name, mode) in [("eager", Mode::Eager), ("stable", Mode::Stable)] {
        for v2 in [false, true] {
            measure(&mut out, name, mode, v2);
        }
    }
    power::exit(0)
}

fn measure(out: &mut Uart, name: &str, mode: Mode, v2: bool) {
    let (levels, bytes) = (Cell::new([0xff; 2]), Cell::new([].as_slice()));
    let size = PanelSize::MAX;
    let hardware = Hardware {
        chains: Chains::new(
            size,
            Wires(&levels),
            LeadingEdge::new(NoPin, LoadLevel::High, NoDelay),
            Latched::new(NoPin, NoDelay),
        ),
        link: Pipe(&bytes),
        dimmer: Dimmer::new(OutputEnable),
        watchdog: NoWatchdog,
        slots: None::<leitstand_firmware::settings::Slots<NoFlash>>,
    };
    let window = Duration::from_millis(30);
    let config = board::Config {
        announce_after: Duration::ZERO,
        debounce: debounce::Config::new(mode, window, SCAN).unwrap_or_default(),
        ..board::Config::new(Wiring::new(size), 1)
    };
    let mut now = Instant::ZERO;
    let mut panel = Panel::new(now, config, hardware);
    panel.step(now);
    let language = if v2 {
        bytes.set(b"HELLO 2\n");
        panel.step(now);
        "v2"
    } else {
        bytes.set(b"PING\n");
        "text"
    };
    let mut case = |what: &str, level: &dyn Fn(u32) -> [u8; 2]| {
        if v2 {
            bytes.set(PING);
            panel.step(now);
        }
        let (mut sum, mut most) = (0_u64, 0);
        for round in 0..ROUNDS {
            levels.set(level(round));
            now += SCAN;
            let before = riscv::register::minstret::read();
            panel.step(now);
            let count = riscv::register::minstret::read().wrapping_sub(before) as u32;
            sum += u64::from(count);
            most = most.max(count);
        }
        let mean = sum / u64::from(ROUNDS);
        let _ = writeln!(out, "{name} {language} {what} mean {mean} most {most}");
    };
    let held = |round: u32| round / 20 % 2 == 0;
    case("nothing-happens", &|_| [0xff, 0xff]);
    case("one-press", &|round| {
        [if held(round) { 0x7f } else { 0xff }, 0xff]
    });
    case("a-fist-of-eight", &|round| {
        [if held(round) { 0x00 } else { 0xff }, 0xff]
    });
    case("all-bounce", &|round| {
        [if round % 2 == 0 { 0x00 } else { 0xff }; 2]
    });
    // Beyond any hand: the queue to the host overflows.
    case("a-hundred-at-once", &|round| {
        [if held(round) { 0x00 } else { 0xff }; 2]
    });
}
