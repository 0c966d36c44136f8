//! The panel's super-loop: one `step`, called again and again.
//!
//! ```text
//! every step          cable -> Board -> cable, watchdog
//! every scan period   input chain -> Board -> output chain, brightness
//! ```
//!
//! The scan is paced absolutely: a late step does not shift the next one, and a stall is not made up for.

#[cfg(test)]
#[path = "panel/tests.rs"]
mod tests;

use embedded_hal::pwm::SetDutyCycle;
use embedded_storage::nor_flash::NorFlash;
use leitstand_core::panel::board::{self, Board};
use leitstand_core::panel::chain::{ReadChain, WriteChain};
use leitstand_core::time::{Duration, Instant};

use crate::chains::Chains;
use crate::dimmer::Dimmer;
use crate::link::Link;
use crate::settings::Slots;
use crate::watchdog::Watchdog;

/// Bytes taken from the cable in one step. Reasoning: at 115 200 baud 6 bytes come in a scan of 5 ms, over USB
/// one packet of 64; twice that never delays the next scan by more than the bytes cost to parse.
const BYTES_PER_STEP: usize = 128;
/// How often the cable is looked at between scans.
const POLL: Duration = Duration::from_millis(1);

/// What a panel board is made of.
pub struct Hardware<I: ReadChain, O, L, P, W, F> {
    /// Buttons and LEDs.
    pub chains: Chains<I, O>,
    /// The cable to the host.
    pub link: L,
    /// The output-enable line.
    pub dimmer: Dimmer<P>,
    /// What resets a board that hangs.
    pub watchdog: W,
    /// Where settings survive a reset; `None` = nowhere, and SAVE is refused.
    pub slots: Option<Slots<F>>,
}

/// A running panel.
pub struct Panel<I: ReadChain, O, L, P, W, F> {
    board: Board,
    hardware: Hardware<I, O, L, P, W, F>,
    scan: Duration,
    next_scan: Instant,
}

impl<I, O, L, P, W, F> Panel<I, O, L, P, W, F>
where
    I: ReadChain,
    O: WriteChain<Bus = I::Bus>,
    L: Link,
    P: SetDutyCycle,
    W: Watchdog,
    F: NorFlash,
{
    /// A panel that starts at `now`. LEDs stay dark until the first scan.
    pub fn new(now: Instant, config: board::Config, hardware: Hardware<I, O, L, P, W, F>) -> Self {
        let config = board::Config {
            keeps_settings: hardware.slots.is_some(),
            ..config
        };
        Self {
            scan: config.scan,
            board: Board::new(now, config),
            hardware,
            next_scan: now,
        }
    }

    /// Does what is due at `now` and returns when to come back; earlier is harmless.
    pub fn step(&mut self, now: Instant) -> Instant {
        self.listen(now);
        if now >= self.next_scan {
            self.scan(now);
            let next = self.next_scan + self.scan;
            self.next_scan = if next <= now { now + self.scan } else { next };
        }
        self.speak();
        self.hardware.watchdog.feed();
        self.next_scan.min(now + POLL)
    }

    /// The application, for its status.
    pub fn board(&mut self) -> &mut Board {
        &mut self.board
    }

    /// The parts, for whoever owns the loop.
    pub fn hardware(&mut self) -> &mut Hardware<I, O, L, P, W, F> {
        &mut self.hardware
    }

    fn listen(&mut self, now: Instant) {
        for _ in 0..BYTES_PER_STEP {
            let Some(byte) = self.hardware.link.poll_read() else {
                break;
            };
            self.board.receive(now, &[byte]);
            self.keep_settings();
        }
    }

    /// After every byte, so that the answer stays in the order of the commands.
    fn keep_settings(&mut self) {
        let Some(settings) = self.board.wants_save() else {
            return;
        };
        // An erase takes longer than a scan; the watchdog knows nothing of that.
        self.hardware.watchdog.feed();
        let slots = self.hardware.slots.as_mut();
        let kept = slots.is_some_and(|slots| slots.save(&settings).is_ok());
        self.board.saved(kept);
    }

    fn scan(&mut self, now: Instant) {
        let chains = &mut self.hardware.chains;
        match chains.read() {
            Ok(normal) => self.board.scan(now, Some(&normal)),
            Err(fault) => {
                self.board.scan(now, None);
                self.board.chain_failed(fault.argument());
            }
        }
        // An image that did not get through is repeated at the next scan; only one that stands is lit.
        if chains.write(&self.board.led_bytes(now)).is_ok() {
            self.hardware.dimmer.show(self.board.brightness());
        }
    }

    fn speak(&mut self) {
        loop {
            let bytes = self.board.outgoing();
            if bytes.is_empty() {
                return;
            }
            let taken = self.hardware.link.try_write(bytes);
            if taken == 0 {
                return;
            }
            self.board.sent(taken);
        }
    }
}
