//! What waits for the host to read. Presses go last.

use heapless::Deque;

use crate::limits::PANEL_BOARD_QUEUE_MAX;
use crate::panel::frame;
use crate::panel::message::FromDevice;

/// A message, not yet written: a third of the memory, and the language of each is fixed when it is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    Text(FromDevice<'static>),
    /// The `FW` line; its text is the board's.
    Firmware,
    V2(frame::FromDevice),
}

/// What is dropped first when nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Status,
    Answer,
    Release,
    Press,
}

impl Out {
    fn worth(&self) -> Worth {
        use frame::FromDevice as V2;
        match self {
            Self::Text(message) => match message {
                FromDevice::Curled(_)
                | FromDevice::Buttons(_)
                | FromDevice::Leds(_)
                | FromDevice::Heap(_)
                | FromDevice::Production(_)
                | FromDevice::Info(_) => Worth::Status,
                FromDevice::Ready
                | FromDevice::Hello(_)
                | FromDevice::Pong
                | FromDevice::Ok
                | FromDevice::Error(_)
                | FromDevice::Firmware(_) => Worth::Answer,
                FromDevice::Release(_) => Worth::Release,
                FromDevice::Press(_) => Worth::Press,
            },
            Self::Firmware => Worth::Answer,
            Self::V2(message) => match message {
                V2::Status { .. } => Worth::Status,
                V2::Ack { .. }
                | V2::Nak { .. }
                | V2::Pong { .. }
                | V2::Hello { .. }
                | V2::Fault { .. } => Worth::Answer,
                V2::Release { .. } => Worth::Release,
                V2::Press { .. } => Worth::Press,
            },
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Deque<Out, PANEL_BOARD_QUEUE_MAX>,
}

impl Queue {
    pub(super) fn pop(&mut self) -> Option<Out> {
        self.waiting.pop_front()
    }

    pub(super) fn is_half_empty(&self) -> bool {
        self.waiting.len() <= PANEL_BOARD_QUEUE_MAX / 2
    }

    /// Adds a message. When there is no room, the oldest of the least worth goes, which may be this one.
    /// Tells whether a press or release was dropped.
    pub(super) fn push(&mut self, out: Out) -> bool {
        let Err(out) = self.waiting.push_back(out) else {
            return false;
        };
        let least = self
            .waiting
            .iter()
            .map(Out::worth)
            .min()
            .unwrap_or(Worth::Press);
        if out.worth() < least {
            return out.worth() >= Worth::Release;
        }
        let mut dropped = false;
        for _ in 0..self.waiting.len() {
            let Some(old) = self.waiting.pop_front() else {
                break;
            };
            if !dropped && old.worth() == least {
                dropped = true;
            } else {
                // Never fails: it was just taken out.
                let _ = self.waiting.push_back(old);
            }
        }
        // Never fails: one went.
        let _ = self.waiting.push_back(out);
        (Worth::Release..=Worth::Press).contains(&least)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::panel::ButtonId;
    use std::vec::Vec;

    fn press(number: u8) -> Out {
        Out::Text(FromDevice::Press(ButtonId::new(number).unwrap()))
    }

    fn release(number: u8) -> Out {
        Out::Text(FromDevice::Release(ButtonId::new(number).unwrap()))
    }

    #[test]
    fn status_goes_first_then_answers_then_releases_then_the_oldest_press() {
        let mut queue = Queue::default();
        assert!(!queue.push(press(1)));
        for number in 0..20 {
            assert!(!queue.push(Out::Text(FromDevice::Curled(number))));
            assert!(!queue.push(Out::Text(FromDevice::Ok)));
            assert!(!queue.push(release(1)));
        }
        let events_lost = (2..=64).filter(|number| queue.push(press(*number))).count();
        assert_eq!(
            events_lost, 20,
            "the releases, after 20 status texts and 20 answers"
        );
        assert!(
            !queue.push(Out::Text(FromDevice::Ok)),
            "no room, no event lost"
        );
        assert!(queue.push(release(1)), "a release is an event");
        assert!(
            queue.push(press(65)),
            "only presses are left: the oldest goes"
        );
        let left: Vec<Out> = core::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(left, (2..=65).map(press).collect::<Vec<_>>());
    }
}
