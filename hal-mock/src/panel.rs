//! # A virtual panel board
//!
//! The real device application of `leitstand-core` on simulated shift registers, or a board of the original
//! system, behind a pseudo-terminal. [`VirtualBoard`] is the board alone, in whatever time its caller keeps;
//! [`BoardThread`] runs one at a scan every 5 ms behind a device name that stays.
//!
//! A press goes the whole way: a line of the chip model is pulled low, the chain driver clocks it in, the
//! debouncer accepts it. What [`VirtualBoard::lit`] tells is what the chips' outputs show.

pub mod chips;
mod original;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant as WallInstant;

use leitstand_core::panel::board::{Board, Config};
use leitstand_core::panel::chain::{
    Latched, LeadingEdge, LoadLevel, ReadChain, Wiring, WriteChain,
};
use leitstand_core::panel::{ButtonId, ButtonSet, PanelSize};
use leitstand_core::time::{Duration, Instant};

use self::chips::{Chips, Line, NoDelay, Pin, Spi};
pub use self::original::Generation;
use self::original::Original;
use crate::pty::{self, Pty};

/// How often a board scans.
pub const SCAN: Duration = Duration::from_millis(5);

/// Which board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many buttons and LEDs.
    pub size: PanelSize,
    /// Whose firmware.
    pub kind: Kind,
    /// From power-on until READY. A real board takes 1.6 s.
    pub announce_after: Duration,
    /// The first boot id; each start adds one.
    pub boot_id: u32,
}

/// Whose firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours: text v1 and binary v2.
    Leitstand,
    /// A generation of the original: text only.
    Original(Generation),
}

impl Options {
    /// Our firmware, ready after 100 ms.
    #[must_use]
    pub const fn new(size: PanelSize) -> Self {
        Self {
            size,
            kind: Kind::Leitstand,
            announce_after: Duration::from_millis(100),
            boot_id: 1,
        }
    }
}

enum Firmware {
    Leitstand(Box<Board>),
    Original(Box<Original>),
}

/// A board without a thread and without a clock: tell it the time, scan it, carry its bytes.
pub struct VirtualBoard {
    options: Options,
    starts: u32,
    firmware: Firmware,
    chips: Chips,
    bus: Spi,
    input: LeadingEdge<Spi, Pin, NoDelay>,
    output: Latched<Spi, Pin, NoDelay>,
    /// Held by a finger.
    held: ButtonSet,
    /// Held for so many more scans, then let go.
    taps: Vec<(ButtonId, u32)>,
    /// Taps that wait for their button to be armed again, in order.
    waiting: VecDeque<ButtonId>,
    /// Scans until a button may be tapped again.
    resting: Vec<(ButtonId, u32)>,
    /// Neither hears nor speaks.
    silent: bool,
    /// So many bytes to the host vanish.
    lose: usize,
}

impl VirtualBoard {
    /// Switched on at `now`.
    #[must_use]
    pub fn new(now: Instant, options: Options) -> Self {
        let chips = Chips::new(options.size);
        Self {
            firmware: firmware(now, options, 0),
            bus: chips.spi(false),
            input: LeadingEdge::new(chips.line(Line::Load), LoadLevel::High, NoDelay),
            output: Latched::new(chips.line(Line::Latch), NoDelay),
            chips,
            options,
            starts: 0,
            held: ButtonSet::EMPTY,
            taps: Vec::new(),
            waiting: VecDeque::new(),
            resting: Vec::new(),
            silent: false,
            lose: 0,
        }
    }

    /// Off and on again: LEDs dark, READY after a while. Fingers stay where they are.
    pub fn reboot(&mut self, now: Instant) {
        self.starts += 1;
        self.chips.power_cycle();
        self.firmware = firmware(now, self.options, self.starts);
    }

    /// Puts a finger on a button and leaves it there. Buttons the board does not have are ignored.
    pub fn press(&mut self, id: ButtonId) {
        self.held.insert(id);
    }

    /// Takes the finger away.
    pub fn release(&mut self, id: ButtonId) {
        self.held.remove(id);
    }

    /// Presses and lets go, long enough for any debouncing. Taps of one button follow each other; taps of
    /// several overlap.
    pub fn tap(&mut self, id: ButtonId) {
        self.waiting.push_back(id);
    }

    /// Whether all taps are done and let go.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.taps.is_empty() && self.resting.is_empty()
    }

    /// Neither hears nor speaks from now on, or again.
    pub const fn silence(&mut self, silent: bool) {
        self.silent = silent;
    }

    /// The next `count` bytes to the host vanish on the way.
    pub const fn lose_bytes(&mut self, count: usize) {
        self.lose = count;
    }

    /// The LEDs that are lit, as the chips show it.
    #[must_use]
    pub fn lit(&self) -> ButtonSet {
        self.chips.lit()
    }

    /// Our application, if it runs on this board.
    #[must_use]
    pub fn application(&self) -> Option<&Board> {
        match &self.firmware {
            Firmware::Leitstand(board) => Some(board),
            Firmware::Original(_) => None,
        }
    }

    /// One scan of the chains; call it every [`SCAN`].
    pub fn scan(&mut self, now: Instant) {
        self.move_fingers();
        let mut normal = [0; 13];
        let normal = &mut normal[..self.options.size.chips()];
        let read = self.input.read(&mut self.bus, normal).is_ok();
        let lit = match &mut self.firmware {
            Firmware::Leitstand(board) => {
                board.scan(now, read.then_some(normal));
                board.led_bytes(now)
            }
            Firmware::Original(board) => {
                let wiring = Wiring::new(self.options.size);
                board.scan(now, wiring.pressed(normal));
                wiring.led_bytes(board.lit())
            }
        };
        // Simulated chips never fail.
        let _ = self.output.write(&mut self.bus, &lit);
    }

    /// One tap begins a scan, so that each has its own place in the order.
    fn move_fingers(&mut self) {
        self.resting.retain_mut(|(_, scans)| {
            *scans -= 1;
            *scans > 0
        });
        let held_scans = self.held_scans();
        let resting = &mut self.resting;
        self.taps.retain_mut(|(id, scans)| {
            *scans -= 1;
            if *scans == 0 {
                resting.push((*id, held_scans + 2));
            }
            *scans > 0
        });
        if let Some(id) = self.waiting.front().copied() {
            let busy = |list: &[(ButtonId, u32)]| list.iter().any(|(other, _)| *other == id);
            if !busy(&self.taps) && !busy(&self.resting) {
                self.waiting.pop_front();
                self.taps.push((id, held_scans));
            }
        }
        let tapped = self.taps.iter().map(|(id, _)| *id).collect();
        self.chips.hold(self.held.union(tapped));
    }

    /// Scans a tap is held; a little more than the longest window of this firmware.
    const fn held_scans(&self) -> u32 {
        match self.options.kind {
            Kind::Leitstand => 8,
            Kind::Original(_) => 12,
        }
    }

    /// Takes bytes from the host.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) {
        match &mut self.firmware {
            _ if self.silent => {}
            Firmware::Leitstand(board) => board.receive(now, bytes),
            Firmware::Original(board) => board.receive(bytes),
        }
    }

    /// Hands waiting bytes to `take`, which tells how many it took, until it takes no more.
    pub fn transmit(&mut self, mut take: impl FnMut(&[u8]) -> usize) {
        loop {
            let bytes = match &mut self.firmware {
                Firmware::Leitstand(board) => board.outgoing(),
                Firmware::Original(board) => board.outgoing(),
            };
            let lost = self.lose.min(bytes.len());
            let count = if bytes.is_empty() {
                return;
            } else if self.silent {
                bytes.len()
            } else if lost > 0 {
                self.lose -= lost;
                lost
            } else {
                take(bytes).min(bytes.len())
            };
            match &mut self.firmware {
                Firmware::Leitstand(board) => board.sent(count),
                Firmware::Original(board) => board.sent(count),
            }
            if count == 0 {
                return;
            }
        }
    }
}

fn firmware(now: Instant, options: Options, starts: u32) -> Firmware {
    match options.kind {
        Kind::Leitstand => {
            let config = Config {
                announce_after: options.announce_after,
                ..Config::new(
                    Wiring::new(options.size),
                    options.boot_id.wrapping_add(starts),
                )
            };
            Firmware::Leitstand(Box::new(Board::new(now, config)))
        }
        Kind::Original(generation) => Firmware::Original(Box::new(Original::new(
            now,
            generation,
            options.size,
            options.announce_after,
        ))),
    }
}

/// A board that runs on a thread of its own until dropped.
#[derive(Debug)]
pub struct BoardThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    board: Mutex<VirtualBoard>,
    /// The stable name of the device file.
    link: PathBuf,
    begun: WallInstant,
    plugged: AtomicBool,
    stop: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shared")
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

impl BoardThread {
    /// Plugs a board in behind the stable device name `link`, whose folder must exist.
    ///
    /// # Errors
    /// The system has no pseudo-terminal or thread left, or the name cannot be made.
    pub fn start(options: Options, link: &Path) -> io::Result<Self> {
        let port = Pty::open()?;
        pty::link(port.path(), link)?;
        let shared = Arc::new(Shared {
            board: Mutex::new(VirtualBoard::new(Instant::ZERO, options)),
            link: link.to_path_buf(),
            begun: WallInstant::now(),
            plugged: AtomicBool::new(true),
            stop: AtomicBool::new(false),
        });
        let run = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("sim-panel".into())
            .stack_size(256 * 1024)
            .spawn(move || run.run(port))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// A handle that outlives this value, for whoever presses the buttons.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
    }
}

impl Drop for BoardThread {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.shared.link);
    }
}

/// Access to a running board. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

impl Handle {
    /// The board, for several actions within one scan. It stands still meanwhile.
    pub fn board(&self) -> MutexGuard<'_, VirtualBoard> {
        self.0.lock()
    }

    /// Puts a finger on a button.
    pub fn press(&self, id: ButtonId) {
        self.board().press(id);
    }

    /// Takes the finger away.
    pub fn release(&self, id: ButtonId) {
        self.board().release(id);
    }

    /// Presses and lets go; returns at once.
    pub fn tap(&self, id: ButtonId) {
        self.board().tap(id);
    }

    /// Puts two fingers down within one scan.
    pub fn press_both(&self, one: ButtonId, other: ButtonId) {
        let mut board = self.board();
        board.press(one);
        board.press(other);
    }

    /// Whether all taps are done.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.board().is_idle()
    }

    /// Off and on again, cable in.
    pub fn reboot(&self) {
        let now = self.0.now();
        self.board().reboot(now);
    }

    /// Pulls the plug (`false`) or puts it back. The board is fed by its cable: it starts anew, behind the
    /// same name.
    pub fn plug(&self, plugged: bool) {
        self.0.plugged.store(plugged, Ordering::Relaxed);
    }

    /// Whether the plug is in.
    #[must_use]
    pub fn is_plugged(&self) -> bool {
        self.0.plugged.load(Ordering::Relaxed)
    }

    /// Neither hears nor speaks from now on, or again.
    pub fn silence(&self, silent: bool) {
        self.board().silence(silent);
    }

    /// The next byte to the host vanishes.
    pub fn lose_byte(&self) {
        self.board().lose_bytes(1);
    }

    /// The LEDs that are lit.
    #[must_use]
    pub fn lit(&self) -> ButtonSet {
        self.board().lit()
    }
}

impl Shared {
    fn now(&self) -> Instant {
        Instant::from_millis(self.begun.elapsed().as_millis() as u64)
    }

    fn lock(&self) -> MutexGuard<'_, VirtualBoard> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, port: Pty) {
        let mut port = Some(port);
        let mut next_scan = self.now();
        let mut buffer = [0; 512];
        while !self.stop.load(Ordering::Relaxed) {
            if !self.plugged.load(Ordering::Relaxed) {
                if port.take().is_some() {
                    let _ = std::fs::remove_file(&self.link);
                    self.lock().chips.power_cycle();
                }
                std::thread::sleep(SCAN);
                continue;
            }
            let Some(open) = &port else {
                port = self.power_on();
                next_scan = self.now();
                continue;
            };
            let Ok(count) = open.read(&mut buffer, next_scan.since(self.now())) else {
                port = None;
                continue;
            };
            let now = self.now();
            let mut board = self.lock();
            board.receive(now, &buffer[..count]);
            if now >= next_scan {
                board.scan(now);
                // Absolute pacing; after a stall of the machine the missed scans are not made up for.
                let next = next_scan + SCAN;
                next_scan = if next < now { now + SCAN } else { next };
            }
            board.transmit(|bytes| open.try_write(bytes).unwrap_or(0));
        }
    }

    fn power_on(&self) -> Option<Pty> {
        let port = Pty::open()
            .ok()
            .filter(|port| pty::link(port.path(), &self.link).is_ok());
        match port {
            Some(_) => self.lock().reboot(self.now()),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
        port
    }
}

#[cfg(test)]
#[path = "panel/tests.rs"]
mod tests;
