//! The firmware's loop on simulated shift registers, in this process.

use super::rig::{Rig, Start, Survey};
use embedded_hal::digital::{InputPin as _, OutputPin as _};
use embedded_hal::pwm::{ErrorType, SetDutyCycle};
use embedded_hal::spi::SpiBus as _;
use leitstand_core::panel::chain::{
    BitBang, BitBus, ChainError, Latched, LeadingEdge, LoadLevel, ReadChain, TrailingEdge, Wiring,
};
use leitstand_core::panel::debounce::{self, Mode};
use leitstand_core::panel::{ButtonId, PanelSize, board};
use leitstand_core::time::{Duration, Instant};
use leitstand_firmware::chains::Chains;
use leitstand_firmware::dimmer::Dimmer;
use leitstand_firmware::link::Link;
use leitstand_firmware::panel::{Hardware, Panel};
use leitstand_firmware::settings::NoFlash;
use leitstand_firmware::watchdog::NoWatchdog;
use leitstand_hal_mock::panel::chips::{Chips, Line, NoDelay, Pin, Spi};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

const SCAN: Duration = Duration::from_millis(5);

#[derive(Default)]
pub(super) struct Host(Option<Running>);

struct Running {
    panel: Panel<Cuttable, Latched<Spi, Pin, NoDelay>, Cable, NoPwm, NoWatchdog, NoFlash>,
    chips: Chips,
    cable: Cable,
    cut: Rc<Cell<bool>>,
    grounded: Option<u32>,
    /// When the next scan is due; the last one was a period before.
    next: Instant,
    last: Option<Instant>,
}

#[derive(Clone, Default)]
struct Cable {
    to_board: Rc<RefCell<VecDeque<u8>>>,
    from_board: Rc<RefCell<Vec<u8>>>,
}

impl Link for Cable {
    fn poll_read(&mut self) -> Option<u8> {
        self.to_board.borrow_mut().pop_front()
    }

    fn try_write(&mut self, bytes: &[u8]) -> usize {
        self.from_board.borrow_mut().extend(bytes);
        bytes.len()
    }
}

struct NoPwm;

impl ErrorType for NoPwm {
    type Error = Infallible;
}

impl SetDutyCycle for NoPwm {
    fn max_duty_cycle(&self) -> u16 {
        255
    }

    fn set_duty_cycle(&mut self, _duty: u16) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The far end of these chips is always supplied; a cut shows as it does on a line that is held low.
struct Cuttable(LeadingEdge<Spi, Pin, NoDelay>, Rc<Cell<bool>>);

impl ReadChain for Cuttable {
    type Bus = Spi;

    fn read(&mut self, bus: &mut Spi, normal: &mut [u8]) -> Result<(), ChainError> {
        self.0.read(bus, normal)?;
        if self.1.get()
            && let Some(far_end) = normal.last_mut()
        {
            *far_end = 0;
        }
        Ok(())
    }
}

impl Host {
    fn running(&mut self) -> &mut Running {
        self.0.as_mut().expect("switched on")
    }
}

impl Running {
    fn hold(&self, held: &[u8]) {
        let ids = held.iter().map(|id| ButtonId::new(*id).unwrap());
        self.chips.hold(ids.collect());
        if let Some(position) = self.grounded {
            self.chips.pull(position as usize, true);
        }
    }
}

impl Rig for Host {
    fn power_on(&mut self, start: Start) {
        let size = PanelSize::new(start.buttons).unwrap();
        let chips = Chips::new(size);
        let cut = Rc::new(Cell::new(false));
        let input = LeadingEdge::new(chips.line(Line::Load), LoadLevel::High, NoDelay);
        let output = Latched::new(chips.line(Line::Latch), NoDelay);
        let cable = Cable::default();
        let input = Cuttable(input, Rc::clone(&cut));
        let hardware = Hardware {
            chains: Chains::new(size, chips.spi(false), input, output),
            link: cable.clone(),
            dimmer: Dimmer::new(NoPwm),
            watchdog: NoWatchdog,
            slots: None,
        };
        let mode = if start.stable {
            Mode::Stable
        } else {
            Mode::Eager
        };
        let config = board::Config {
            announce_after: Duration::from_millis(start.announce_ms),
            debounce: debounce::Config::new(mode, Duration::from_millis(30), SCAN).unwrap(),
            ..board::Config::new(Wiring::new(size), 7)
        };
        let next = Instant::from_millis(start.clock_ms);
        self.0 = Some(Running {
            panel: Panel::new(next, config, hardware),
            chips,
            cable,
            cut,
            grounded: None,
            next,
            last: None,
        });
    }

    fn scan(&mut self, held: &[u8]) -> Vec<u8> {
        let running = self.running();
        running.hold(held);
        let now = running.next;
        running.panel.step(now);
        (running.last, running.next) = (Some(now), now + SCAN);
        running.cable.from_board.take()
    }

    fn say(&mut self, bytes: &[u8]) -> Vec<u8> {
        let running = self.running();
        running.cable.to_board.borrow_mut().extend(bytes);
        while !running.cable.to_board.borrow().is_empty() {
            running.panel.step(running.last.expect("scanned once"));
        }
        running.cable.from_board.take()
    }

    fn latched(&mut self) -> u128 {
        let levels = self.running().chips.latched();
        levels
            .iter()
            .rev()
            .fold(0, |bits, on| bits << 1 | u128::from(*on))
    }

    fn survey(&mut self, held: &[u8]) -> Survey {
        self.running().hold(held);
        let chips = &self.running().chips;
        let count = chips.latched().len() / 8;
        let load = || chips.line(Line::Load);
        load().set_high().unwrap();
        load().set_low().unwrap();
        let first = chips.line(Line::DataIn).is_high().unwrap();
        let mut clocked = vec![0; count];
        chips.spi(true).transfer_in_place(&mut clocked).unwrap();
        let mut normal = [vec![0; count], vec![0; count], vec![0; count]];
        let high = LoadLevel::High;
        TrailingEdge::new(load(), high, chips.line(Line::DataIn), NoDelay)
            .read(&mut chips.spi(true), &mut normal[0])
            .unwrap();
        LeadingEdge::new(load(), high, NoDelay)
            .read(&mut chips.spi(false), &mut normal[1])
            .unwrap();
        let mut by_hand = BitBus {
            clock: chips.line(Line::Clock),
            data_in: chips.line(Line::DataIn),
            data_out: chips.line(Line::DataOut),
        };
        BitBang::new(load(), high, NoDelay)
            .read(&mut by_hand, &mut normal[2])
            .unwrap();
        Survey {
            first,
            clocked,
            normal,
        }
    }

    fn ground(&mut self, position: Option<u32>) {
        self.running().grounded = position;
    }

    fn cut(&mut self, cut: bool) {
        self.running().cut.set(cut);
    }
}
