//! The panel board. With a bench it says `boot`, waits for `go`, and then does what it is told there beside its work; each
//! command is answered by one line that ends with the number of bytes sent over the cable so far.
#![no_std]
#![no_main]

use core::cell::RefCell;
use core::fmt::Write as _;

use leitstand_board_virt::bench::Bench;
use leitstand_board_virt::cable::{Counted, Traffic};
use leitstand_board_virt::chips::{Chips, Line, NoDelay, OutputEnable, Pin, Spi, output_enable};
use leitstand_board_virt::command::{Command, Go, id};
use leitstand_board_virt::fingers::{Fingered, Fingers};
use leitstand_board_virt::flash::Flash;
use leitstand_board_virt::uart::Uart;
use leitstand_board_virt::{clock, power, stack, survey};
use leitstand_core::panel::chain::{Latched, LeadingEdge, LoadLevel, Wiring};
use leitstand_core::panel::debounce::{self, Mode};
use leitstand_core::panel::{PanelSize, board};
use leitstand_core::time::{Duration, Instant};
use leitstand_firmware::chains::Chains;
use leitstand_firmware::dimmer::Dimmer;
use leitstand_firmware::panel::{Hardware, Panel};
use leitstand_firmware::settings::Slots;
use leitstand_firmware::watchdog::NoWatchdog;

type Input<'a> = Fingered<'a, LeadingEdge<Spi<'a>, Pin<'a>, NoDelay>>;
type Output<'a> = Latched<Spi<'a>, Pin<'a>, NoDelay>;
type VirtPanel<'a> =
    Panel<Input<'a>, Output<'a>, Counted<'a, Uart>, OutputEnable, NoWatchdog, Flash>;

#[riscv_rt::entry]
fn main() -> ! {
    // Before `go` is answered: switching the port on empties it.
    let cable = Uart::first();
    let mut bench = Bench::find();
    let go = bench.as_mut().map_or_else(Go::default, wait_for_go);
    let scan = Duration::from_millis(go.scan_ms);
    let (slots, kept) = Slots::open(Flash::new(), 0);
    let buttons = kept.map_or(go.buttons, |kept| kept.buttons.get());
    let size = PanelSize::new(buttons).unwrap_or(PanelSize::MAX);
    let chips = Chips::new(size);
    let fingers = RefCell::new(Fingers::default());
    let traffic = Traffic::default();
    let clock = go.by_hand.map_or(Clock::Running, |ms| Clock::ByHand {
        now: None,
        next: Instant::from_millis(ms),
    });

    let input = Fingered {
        input: LeadingEdge::new(Pin(&chips, Line::Load), LoadLevel::High, NoDelay),
        chips: &chips,
        fingers: &fingers,
    };
    let output = Latched::new(Pin(&chips, Line::Latch), NoDelay);
    let hardware = Hardware {
        chains: Chains::new(size, Spi::new(&chips), input, output),
        link: Counted(cable, &traffic),
        dimmer: Dimmer::new(OutputEnable),
        watchdog: NoWatchdog,
        slots: Some(slots),
    };
    // What the bench says is the default of a new board.
    let mode = if go.stable { Mode::Stable } else { Mode::Eager };
    let window = Duration::from_millis(go.window_ms);
    let config = board::Config {
        announce_after: Duration::from_millis(go.announce_ms),
        scan,
        debounce: debounce::Config::new(mode, window, scan).unwrap_or_default(),
        ..board::Config::new(Wiring::new(size), clock::boot_id())
    };
    let config = kept.iter().fold(config, board::Config::with_settings);
    let begun = match clock {
        Clock::Running => clock::now(),
        Clock::ByHand { next, .. } => next,
    };
    let mut rig = Rig {
        panel: Panel::new(begun, config, hardware),
        chips: &chips,
        fingers: &fingers,
        traffic: &traffic,
        clock,
        scan,
        heard: None,
    };
    loop {
        let wake = rig.step();
        if let Some(bench) = &mut bench {
            rig.serve(bench);
        }
        clock::sleep_until(wake);
    }
}

fn wait_for_go(bench: &mut Bench) -> Go {
    let _ = writeln!(bench, "boot");
    loop {
        if let Some(line) = bench.line()
            && let Ok(line) = core::str::from_utf8(&line)
            && let Some(Command::Go(go)) = Command::parse(line)
        {
            let _ = writeln!(bench, "ok 0");
            return go;
        }
        clock::sleep_until(clock::now() + Duration::from_millis(1));
    }
}

/// Who moves the clock.
enum Clock {
    Running,
    ByHand {
        /// `None` before the first scan.
        now: Option<Instant>,
        /// When the next scan will be.
        next: Instant,
    },
}

struct Rig<'a> {
    panel: VirtPanel<'a>,
    chips: &'a Chips,
    fingers: &'a RefCell<Fingers>,
    traffic: &'a Traffic,
    clock: Clock,
    scan: Duration,
    /// The bench waits until so many bytes were heard.
    heard: Option<u32>,
}

impl Rig<'_> {
    /// One step of the application; returns when the next is due.
    fn step(&mut self) -> Instant {
        match self.clock {
            Clock::Running => self.panel.step(clock::now()),
            Clock::ByHand { now, .. } => {
                if let Some(now) = now {
                    self.panel.step(now);
                }
                clock::now() + Duration::from_millis(1)
            }
        }
    }

    fn serve(&mut self, bench: &mut Bench) {
        if self
            .heard
            .is_some_and(|wanted| self.traffic.heard.get() >= wanted)
        {
            self.heard = None;
            self.settle();
            self.answer(bench, "ok");
        }
        while self.heard.is_none()
            && let Some(line) = bench.line()
        {
            let command = core::str::from_utf8(&line).ok().and_then(Command::parse);
            match command {
                Some(command) => self.obey(bench, command),
                None => self.answer(bench, "what"),
            }
        }
    }

    fn obey(&mut self, bench: &mut Bench, command: Command<'_>) {
        match command {
            Command::Go(_) => return self.answer(bench, "running"),
            Command::Hold(held) => {
                self.fingers.borrow_mut().hold(held);
                self.chips.hold(held);
            }
            Command::Tap(words) => {
                let mut fingers = self.fingers.borrow_mut();
                let full = words.filter_map(id).any(|id| !fingers.tap(id));
                drop(fingers);
                if full {
                    return self.answer(bench, "full");
                }
            }
            Command::Idle if !self.fingers.borrow().are_idle() => {
                return self.answer(bench, "busy");
            }
            Command::Idle => {}
            Command::FarEnd(high) => self.chips.set_far_end(high),
            Command::Ground(position) => self.chips.ground(position),
            Command::Scan(count) => (0..count).for_each(|_| self.scan_by_hand()),
            Command::Heard(count) => {
                self.heard = Some(count);
                return;
            }
            Command::Chain => survey::tell(self.chips, bench),
            Command::Leds => {
                let _ = write!(bench, "{:x} {} ", self.chips.latched(), output_enable());
            }
            Command::Stack => {
                let _ = write!(bench, "{} ", stack::deepest());
            }
            Command::Panic => panic!("as the bench asked"),
            Command::Reset => power::reset(),
        }
        self.answer(bench, "ok");
    }

    fn scan_by_hand(&mut self) {
        if let Clock::ByHand { now, next } = &mut self.clock {
            let due = *next;
            *now = Some(due);
            *next = due + self.scan;
            self.panel.step(due);
            self.settle();
        }
    }

    /// Lets all that waits for the cable out, so that the count is final for this instant.
    fn settle(&mut self) {
        if let Clock::ByHand { now: Some(now), .. } = self.clock {
            let mut before = None;
            while before != Some(self.traffic.told.get())
                || !self.panel.board().outgoing().is_empty()
            {
                before = Some(self.traffic.told.get());
                self.panel.step(now);
            }
        }
    }

    fn answer(&self, bench: &mut Bench, word: &str) {
        let _ = writeln!(bench, "{word} {}", self.traffic.told.get());
    }
}
