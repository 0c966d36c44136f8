//! The loop on simulated shift registers.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::settings::NoFlash;
use core::convert::Infallible;
use embedded_hal::pwm::ErrorType;
use leitstand_core::panel::chain::{
    BitBang, BitBangLatched, BitBus, Latched, LeadingEdge, LoadLevel, Wiring,
};
use leitstand_core::panel::{ButtonId, ButtonSet, PanelSize};
use leitstand_hal_mock::panel::chips::{Chips, Line, NoDelay, Pin, Spi};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

/// The host's end of the cable.
#[derive(Clone, Default)]
struct Cable {
    to_board: Rc<RefCell<VecDeque<u8>>>,
    from_board: Rc<RefCell<Vec<u8>>>,
    /// Bytes that still fit; `None` = all.
    room: Rc<Cell<Option<usize>>>,
}

impl Link for Cable {
    fn poll_read(&mut self) -> Option<u8> {
        self.to_board.borrow_mut().pop_front()
    }

    fn try_write(&mut self, bytes: &[u8]) -> usize {
        let count = self
            .room
            .get()
            .map_or(bytes.len(), |room| room.min(bytes.len()));
        self.room.set(self.room.get().map(|room| room - count));
        self.from_board.borrow_mut().extend(&bytes[..count]);
        count
    }
}

impl Cable {
    fn say(&self, text: &str) {
        self.to_board.borrow_mut().extend(text.bytes());
    }

    fn told(&self) -> String {
        String::from_utf8(self.from_board.take()).unwrap()
    }
}

#[derive(Clone, Default)]
struct Duty(Rc<Cell<u16>>);

impl ErrorType for Duty {
    type Error = Infallible;
}

impl SetDutyCycle for Duty {
    fn max_duty_cycle(&self) -> u16 {
        255
    }

    fn set_duty_cycle(&mut self, duty: u16) -> Result<(), Infallible> {
        self.0.set(duty);
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Fed(Rc<Cell<u32>>);

impl Watchdog for Fed {
    fn feed(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

type Input = LeadingEdge<Spi, Pin, NoDelay>;
type Output = Latched<Spi, Pin, NoDelay>;

struct Rig<I: ReadChain = Input, O = Output> {
    panel: Panel<I, O, Cable, Duty, Fed, NoFlash>,
    chips: Chips,
    cable: Cable,
    duty: Duty,
    fed: Fed,
    now: Instant,
}

fn id(number: u8) -> ButtonId {
    ButtonId::new(number).unwrap()
}

fn set(numbers: &[u8]) -> ButtonSet {
    numbers.iter().map(|number| id(*number)).collect()
}

fn rig(buttons: u8) -> Rig {
    let chips = Chips::new(PanelSize::new(buttons).unwrap());
    let input = LeadingEdge::new(chips.line(Line::Load), LoadLevel::High, NoDelay);
    let output = Latched::new(chips.line(Line::Latch), NoDelay);
    Rig::on(buttons, chips.clone(), chips.spi(false), input, output)
}

impl<I: ReadChain, O: WriteChain<Bus = I::Bus>> Rig<I, O> {
    fn on(buttons: u8, chips: Chips, bus: I::Bus, input: I, output: O) -> Self {
        let size = PanelSize::new(buttons).unwrap();
        let (cable, duty, fed) = <(Cable, Duty, Fed)>::default();
        let hardware = Hardware {
            chains: Chains::new(size, bus, input, output),
            link: cable.clone(),
            dimmer: Dimmer::new(duty.clone()),
            watchdog: fed.clone(),
            slots: None,
        };
        let config = board::Config {
            announce_after: Duration::ZERO,
            ..board::Config::new(Wiring::new(size), 7)
        };
        Self {
            panel: Panel::new(Instant::ZERO, config, hardware),
            chips,
            cable,
            duty,
            fed,
            now: Instant::ZERO,
        }
    }

    /// Runs the loop as a board does, for `ms`.
    fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            let wake = self.panel.step(self.now);
            assert!(wake > self.now, "a loop that never sleeps");
            self.now = wake.min(end);
        }
    }
}

#[test]
fn dark_until_the_first_image_stands() {
    let mut rig = rig(10);
    assert_eq!(rig.duty.0.get(), 255);
    rig.run(1);
    assert_eq!(rig.duty.0.get(), 128);
    rig.cable.say("BRIGHT 100\n");
    rig.run(10);
    assert_eq!(rig.duty.0.get(), 0);
}

#[test]
fn a_press_lights_before_its_line_leaves() {
    let mut rig = rig(10);
    rig.run(20);
    rig.cable.told();
    rig.cable.room.set(Some(0));
    rig.chips.hold(set(&[3]));
    rig.run(15);
    assert_eq!(
        (rig.chips.lit(), rig.cable.told()),
        (set(&[3]), String::new())
    );
    rig.cable.room.set(Some(4));
    rig.run(5);
    assert_eq!(rig.cable.told(), "PRES");
    rig.cable.room.set(None);
    rig.run(5);
    assert_eq!(rig.cable.told(), "S 003\n");
}

#[test]
fn a_host_that_does_not_read_delays_no_scan_and_no_feeding() {
    let mut rig = rig(10);
    rig.run(20);
    rig.cable.room.set(Some(0));
    for round in 0..200 {
        rig.chips.hold(set(&[round % 10 + 1]));
        rig.run(50);
        assert_eq!(rig.chips.lit(), set(&[round % 10 + 1]));
    }
    assert!(rig.fed.0.get() >= 10_000, "once a millisecond");
    assert!(rig.panel.board().counters().ev_drop > 0, "counted");
}

#[test]
fn by_hand_it_is_the_same_panel() {
    let chips = Chips::new(PanelSize::new(100).unwrap());
    let bus = BitBus {
        clock: chips.line(Line::Clock),
        data_in: chips.line(Line::DataIn),
        data_out: chips.line(Line::DataOut),
    };
    let input = BitBang::new(chips.line(Line::Load), LoadLevel::High, NoDelay);
    let output = BitBangLatched::new(chips.line(Line::Latch), NoDelay);
    let mut rig = Rig::on(100, chips, bus, input, output);
    rig.run(20);
    for number in [1, 42, 97, 100] {
        rig.chips.hold(set(&[number]));
        rig.run(20);
        assert_eq!(rig.chips.lit(), set(&[number]));
    }
}

/// A data line that floats or is cut low, or a chain without supply: all bits low, the far end too.
#[test]
fn a_cut_chain_presses_nothing() {
    struct Cut(Input, Rc<Cell<bool>>);
    impl ReadChain for Cut {
        type Bus = Spi;
        fn read(
            &mut self,
            bus: &mut Spi,
            normal: &mut [u8],
        ) -> Result<(), leitstand_core::panel::chain::ChainError> {
            self.0.read(bus, normal)?;
            if self.1.get() {
                normal.fill(0);
            }
            Ok(())
        }
    }
    let chips = Chips::new(PanelSize::new(10).unwrap());
    let cut = Rc::new(Cell::new(false));
    let input = LeadingEdge::new(chips.line(Line::Load), LoadLevel::High, NoDelay);
    let output = Latched::new(chips.line(Line::Latch), NoDelay);
    let bus = chips.spi(false);
    let mut rig = Rig::on(10, chips, bus, Cut(input, Rc::clone(&cut)), output);
    rig.run(20);
    rig.cable.told();
    cut.set(true);
    rig.run(500);
    assert_eq!(
        (rig.cable.told(), rig.chips.lit()),
        (String::new(), set(&[]))
    );
    rig.cable.say("LEDSET 4\n");
    rig.run(10);
    assert_eq!(rig.chips.lit(), set(&[4]), "LEDs and cable go on");
    rig.cable.told();
    cut.set(false);
    rig.chips.hold(set(&[7]));
    rig.run(20);
    assert_eq!(rig.cable.told(), "PRESS 007\n", "healed");
}

#[test]
fn a_late_step_moves_no_later_one_and_makes_nothing_up() {
    let mut rig = rig(10);
    let edges = |rig: &Rig| rig.chips.edges();
    rig.panel.step(Instant::ZERO);
    let one = edges(&rig);
    assert_eq!(
        rig.panel.step(Instant::from_millis(7)),
        Instant::from_millis(8)
    );
    assert_eq!(edges(&rig), 2 * one, "scan of 5 ms at 7 ms");
    rig.panel.step(Instant::from_millis(10));
    assert_eq!(edges(&rig), 3 * one, "the next one keeps its time");
    rig.panel.step(Instant::from_millis(1000));
    rig.panel.step(Instant::from_millis(1001));
    assert_eq!(edges(&rig), 4 * one, "after a stall one scan");
}
