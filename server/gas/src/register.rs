//! # Output boards on shift registers
//! One OS thread a board: reads the image that the evaluation wrote and shows it, on change and once a second.
//! Entry: [`spawn`].
//!
//! It never waits for anyone and nobody waits for it. Lines are behind [`OutputRegister`], which the binary
//! provides; when a pulse comes is [`Pace`]'s business, and that outputs are held off until the first image the
//! board's own.

use crate::seam::{Images, Inbox};
use leitstand_core::gas::{BoardIndex, Input, OutputIndex};
use leitstand_core::limits::OUTPUT_MISMATCHES_MAX;
use leitstand_core::shift::Pace;
use leitstand_kit::{Clock, Heartbeat};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a look at the image and at the stop flag may be put off. Reasoning: a tenth of the 200 ms that a
/// relay may take to follow a reading.
const LOOK: Duration = Duration::from_millis(20);
/// Pauses between attempts to open a board: the first, and the longest.
const REOPEN_FIRST: Duration = Duration::from_millis(100);
const REOPEN_MAX: Duration = Duration::from_secs(2);

/// A board and where it is wired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterSpec {
    /// Its image in [`Images`].
    pub board: BoardIndex,
    /// Id in the configuration.
    pub id: String,
    /// Label of the GPIO chip, or its path.
    pub chip: String,
    /// Line of output-enable, active low.
    pub oe: u32,
    /// Line of the latch.
    pub latch: u32,
    /// How the bits get in.
    pub bits: Bits,
    /// The outputs on it.
    pub outputs: Vec<OutputIndex>,
}

impl RegisterSpec {
    /// The GPIO lines that it takes.
    pub fn lines(&self) -> impl Iterator<Item = (&str, u32)> {
        let bits = match self.bits {
            Bits::Lines { ds, clock } => [Some(ds), Some(clock)],
            Bits::Spi { .. } => [None; 2],
        };
        let all = [Some(self.oe), Some(self.latch)].into_iter().chain(bits);
        all.flatten().map(|line| (self.chip.as_str(), line))
    }
}

/// How the bits get into the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bits {
    /// By two lines of the same chip.
    Lines {
        /// Data.
        ds: u32,
        /// Clock.
        clock: u32,
    },
    /// By an SPI bus.
    Spi {
        /// As `/dev/spidev0.0`.
        device: String,
        /// Bits per second.
        clock_hz: u32,
    },
}

/// Why a board cannot be opened or written: cause and remedy, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WiringFault(pub String);

impl fmt::Display for WiringFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The far side of a board's lines. Its outputs are held off until the first [`show`](Self::show).
pub trait OutputRegister: Send {
    /// Shows `image`, output n (from 1) at bit n - 1, without a state in between.
    ///
    /// # Errors
    /// All outputs are held off then; the owner drops the board and opens it anew.
    fn show(&mut self, image: u64) -> Result<(), WiringFault>;

    /// Holds all outputs off at once, as far as the lines obey.
    fn hold_off(&mut self);
}

/// Opens a board, again and again after a loss.
pub type OpenRegister = Box<dyn FnMut() -> Result<Box<dyn OutputRegister>, WiringFault> + Send>;

/// Finds a board, for every configuration of a run. `None` = there is no such thing here.
pub type FindRegister = Arc<dyn Fn(&RegisterSpec) -> Option<OpenRegister> + Send + Sync>;

/// What a board's thread is given.
pub struct RegisterLink {
    /// Where it reports whether the outputs follow.
    pub inbox: Inbox,
    /// What the board shall show.
    pub images: Images,
    /// The process's clock.
    pub clock: Clock,
    /// Beaten at every look, degraded while the board cannot be written, finished on stop.
    pub heartbeat: Heartbeat,
    /// Set when the thread shall write the image once more and end.
    pub stop: Arc<AtomicBool>,
}

/// Starts the thread of one board.
///
/// # Errors
/// The system has no thread left.
pub fn spawn(
    spec: RegisterSpec,
    open: OpenRegister,
    link: RegisterLink,
) -> std::io::Result<JoinHandle<()>> {
    let name: String = format!("board-{}", spec.id).chars().take(15).collect();
    let runner = Runner {
        spec,
        link,
        orphaned: false,
    };
    std::thread::Builder::new()
        .name(name)
        .spawn(move || runner.run(open))
}

/// A board whose thread has a defect must not go on acting.
struct Held(Box<dyn OutputRegister>);

impl Drop for Held {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.hold_off();
        }
    }
}

struct Runner {
    spec: RegisterSpec,
    link: RegisterLink,
    /// Nobody listens any more.
    orphaned: bool,
}

impl Runner {
    fn run(mut self, mut open: OpenRegister) {
        let mut pause = REOPEN_FIRST;
        let mut complained: Option<WiringFault> = None;
        while !self.is_over() {
            let fault = match open().map(Held) {
                Ok(board) => {
                    let opened = Instant::now();
                    let fault = self.serve(board);
                    if opened.elapsed() > REOPEN_MAX {
                        pause = REOPEN_FIRST;
                    }
                    fault
                }
                Err(fault) => Some(fault),
            };
            let Some(fault) = fault else { break };
            if complained.as_ref() != Some(&fault) {
                tracing::warn!(board = %self.spec.id, %fault, "outputs are held off");
            }
            self.link.heartbeat.degrade(fault.to_string());
            complained = Some(fault);
            // Nothing can be read back, so that one failure is all there is to know.
            for _ in 0..OUTPUT_MISMATCHES_MAX {
                self.report(false);
            }
            self.pause(pause);
            pause = (pause * 2).min(REOPEN_MAX);
        }
        self.link.heartbeat.finish();
    }

    /// Shows images until the board fails or all is over; then `None`.
    fn serve(&mut self, mut board: Held) -> Option<WiringFault> {
        let mut pace = Pace::default();
        loop {
            // The order matters: what was decided before the end is still shown.
            let over = self.is_over();
            let image = self.link.images.get(self.spec.board);
            let now = self.link.clock.now();
            if pace.is_due(now, image) {
                if let Err(fault) = board.0.show(image) {
                    return Some(fault);
                }
                pace.wrote(now, image);
                self.link.heartbeat.clear();
                self.report(true);
            }
            self.link.heartbeat.beat();
            if over {
                return None;
            }
            std::thread::park_timeout(LOOK);
        }
    }

    fn is_over(&self) -> bool {
        self.orphaned || self.link.stop.load(Ordering::Acquire)
    }

    fn report(&mut self, agrees: bool) {
        let at = self.link.clock.now();
        for output in &self.spec.outputs {
            let report = Input::OutputReport {
                output: *output,
                agrees,
                hand: false,
            };
            self.orphaned |= !self.link.inbox.send(at, report);
        }
    }

    /// Sleeps in pieces, so that an end is noticed.
    fn pause(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        while !self.is_over() && Instant::now() < end {
            std::thread::park_timeout(LOOK);
            self.link.heartbeat.beat();
        }
    }
}

#[cfg(test)]
mod tests;
