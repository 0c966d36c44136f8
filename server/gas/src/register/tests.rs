//! The thread against a model of the chips.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::seam::Outbox;
use leitstand_core::shift::{BitBang, REFRESH_EVERY, Register};
use leitstand_hal_mock::digital::{Bench, Line};
use leitstand_kit::clock::ManualClock;
use leitstand_kit::health::Health;

const BOARD: BoardIndex = BoardIndex(0);
const PATIENCE: Duration = Duration::from_secs(20);

struct Mock(Register<BitBang<Line, Line, Line>, Line>);

impl OutputRegister for Mock {
    fn show(&mut self, image: u64) -> Result<(), WiringFault> {
        let told = |_| WiringFault("the clock line does not obey; look at the cable".into());
        self.0.show(image).map_err(told)
    }

    fn hold_off(&mut self) {
        let _ = self.0.hold_off();
    }
}

struct Running {
    bench: Bench,
    images: Images,
    reports: Outbox,
    time: ManualClock,
    health: Health,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Running {
    /// A board that is not there for the first `missing` attempts.
    fn start(image: u64, mut missing: u32) -> Self {
        let bench = Bench::default();
        let images = Images::new(1);
        images.set(BOARD, image);
        let (clock, time) = Clock::manual();
        let health = Health::new(clock.clone());
        let (inbox, reports) = Inbox::channel(512);
        let stop = Arc::new(AtomicBool::new(false));
        let link = RegisterLink {
            inbox,
            images: images.clone(),
            clock,
            heartbeat: health.watch("gas", "board", Duration::from_secs(5)),
            stop: Arc::clone(&stop),
        };
        let spec = RegisterSpec {
            board: BOARD,
            id: "relays".into(),
            chip: "pinctrl-rp1".into(),
            oe: 1,
            latch: 4,
            bits: Bits::Lines { ds: 2, clock: 3 },
            outputs: vec![OutputIndex(0)],
        };
        let lines = bench.clone();
        let open: OpenRegister = Box::new(move || {
            if missing > 0 {
                missing -= 1;
                return Err(WiringFault("line 3 is in use by `w1`; wire another".into()));
            }
            let chain = BitBang {
                data: lines.line("ds"),
                clock: lines.line("clock"),
                latch: lines.line("latch"),
            };
            let register = Register::new(chain, lines.line("oe")).unwrap();
            Ok(Box::new(Mock(register)))
        });
        Self {
            thread: spawn(spec, open, link).unwrap(),
            bench,
            images,
            reports,
            time,
            health,
            stop,
        }
    }

    fn until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !wanted(self) {
            assert!(Instant::now() < end, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn shows(&self, image: Option<u64>) {
        let what = format!("{image:?}, not {:?}", self.bench.seen(9));
        self.until(&what, |r| r.bench.seen(9).last() == Some(&image));
    }

    fn latches(&self) -> usize {
        let edges = self.bench.edges();
        edges.iter().filter(|e| e.line == "latch" && e.high).count()
    }

    fn agrees(&self) -> bool {
        match self.reports.next(PATIENCE) {
            Some((
                _,
                Input::OutputReport {
                    agrees,
                    hand: false,
                    ..
                },
            )) => agrees,
            other => panic!("{other:?}"),
        }
    }

    fn end(self) -> Bench {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap();
        self.bench
    }
}

#[test]
fn a_restart_with_a_latched_relay_never_lets_it_drop() {
    let running = Running::start(0b1001, 0);
    running.shows(Some(0b1001));
    assert!(running.agrees());
    let seen = running.end().seen(9);
    assert_eq!(seen, [None, Some(0b1001)], "held off, then the whole image");
}

#[test]
fn a_change_is_shown_and_the_same_image_again_every_second() {
    let running = Running::start(0, 0);
    running.shows(Some(0));
    running.images.set(BOARD, 0b10);
    running.shows(Some(0b10));
    assert_eq!(running.latches(), 2, "nothing is written without a reason");
    running.time.advance(REFRESH_EVERY);
    running.until("the refresh", |r| r.latches() == 3);
    assert_eq!(running.end().seen(9), [None, Some(0), Some(0b10)]);
}

#[test]
fn what_was_decided_before_the_end_is_still_shown() {
    let running = Running::start(0b11, 0);
    running.shows(Some(0b11));
    running.images.set(BOARD, 0b10);
    assert_eq!(running.end().seen(9).last(), Some(&Some(0b10)));
}

#[test]
fn a_write_error_is_an_output_fault_at_once_and_the_outputs_drop() {
    let running = Running::start(0b1, 0);
    running.shows(Some(0b1));
    assert!(running.agrees());
    running.bench.break_after("clock", 20);
    running.images.set(BOARD, 0b11);
    running.shows(None);
    let faults = (0..OUTPUT_MISMATCHES_MAX).map(|_| running.agrees());
    assert!(faults.eq([false; OUTPUT_MISMATCHES_MAX as usize]));
    let note = format!("{:?}", running.health.report());
    assert!(note.contains("look at the cable"), "{note}");
    running.bench.heal();
    running.shows(Some(0b11));
    running.until("a clean health report", |r| {
        !format!("{:?}", r.health.report()).contains("look at the cable")
    });
}

#[test]
fn a_board_that_cannot_be_opened_is_a_fault_until_it_can() {
    let running = Running::start(0b1, 2);
    assert!(!running.agrees());
    running.until("the reason in the health report", |r| {
        format!("{:?}", r.health.report()).contains("in use by `w1`")
    });
    running.shows(Some(0b1));
    running.end();
}
