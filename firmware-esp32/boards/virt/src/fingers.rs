//! Fingers on the buttons: what the bench holds, and taps that follow the scan.

use core::cell::RefCell;

use heapless::{Deque, Vec};
use leitstand_core::panel::chain::{ChainError, ReadChain};
use leitstand_core::panel::{ButtonId, ButtonSet};

use crate::chips::Chips;

/// Scans that a tap is held. Reasoning: the longest window in use is 30 ms, 6 scans; two to spare.
const HELD: u8 = 8;
/// Scans until the same button is tapped again.
const RESTING: u8 = HELD + 2;
/// Taps that wait.
const WAITING_MAX: usize = 256;

/// All fingers.
#[derive(Debug, Default)]
pub struct Fingers {
    /// Held until told otherwise.
    held: ButtonSet,
    /// Taps under way, with the scans that remain.
    taps: Vec<(ButtonId, u8), 16>,
    /// Buttons that were just let go.
    resting: Vec<(ButtonId, u8), 16>,
    waiting: Deque<ButtonId, WAITING_MAX>,
}

impl Fingers {
    /// Holds exactly these from the next scan on.
    pub fn hold(&mut self, held: ButtonSet) {
        self.held = held;
    }

    /// Presses and lets go, in order, one begun a scan. Tells whether there was room.
    pub fn tap(&mut self, id: ButtonId) -> bool {
        self.waiting.push_back(id).is_ok()
    }

    /// Whether all taps are done.
    #[must_use]
    pub fn are_idle(&self) -> bool {
        self.waiting.is_empty() && self.taps.is_empty() && self.resting.is_empty()
    }

    /// One scan later: what is pressed now.
    fn next(&mut self) -> ButtonSet {
        fade(&mut self.resting, |_| {});
        let resting = &mut self.resting;
        fade(&mut self.taps, |id| {
            let _ = resting.push((id, RESTING));
        });
        let busy = |list: &[(ButtonId, u8)], id| list.iter().any(|(other, _)| *other == id);
        if let Some(&id) = self.waiting.front()
            && !busy(&self.taps, id)
            && !busy(&self.resting, id)
            && self.resting.len() + self.taps.len() < self.resting.capacity()
            && self.taps.push((id, HELD)).is_ok()
        {
            self.waiting.pop_front();
        }
        self.taps
            .iter()
            .map(|(id, _)| *id)
            .collect::<ButtonSet>()
            .union(self.held)
    }
}

/// Counts all down and tells whose time is over.
fn fade(list: &mut Vec<(ButtonId, u8), 16>, mut over: impl FnMut(ButtonId)) {
    list.retain_mut(|(id, scans)| {
        *scans -= 1;
        if *scans == 0 {
            over(*id);
        }
        *scans > 0
    });
}

/// A reader that moves the fingers before it reads.
pub struct Fingered<'a, I> {
    /// The reader itself.
    pub input: I,
    /// The chips whose buttons they press.
    pub chips: &'a Chips,
    /// The fingers.
    pub fingers: &'a RefCell<Fingers>,
}

impl<I: ReadChain> ReadChain for Fingered<'_, I> {
    type Bus = I::Bus;

    fn read(&mut self, bus: &mut I::Bus, normal: &mut [u8]) -> Result<(), ChainError> {
        self.chips.hold(self.fingers.borrow_mut().next());
        self.input.read(bus, normal)
    }
}
