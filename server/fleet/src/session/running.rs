//! Normal communication.

use super::{
    Answer, Car, Ended, Fact, Ignored, Instant, Key, State, Status,
    fact::{Call, Leave},
    ledger::Fits,
    order::Taken,
    sequence::key_of,
};
use crate::wire::DeviceState;

impl Car {
    pub(super) fn running_status(&mut self, now: Instant, status: Status) {
        let State::Running(running) = &mut self.state else {
            return;
        };
        // Also an old one shows that the vehicle is there.
        running.silent_at = now + self.policy.inactivity;
        let late = running.order.came_late;
        match running.order.take(now, self.policy.timeout, status) {
            Taken::Ready(status) => {
                let late = running.order.came_late > late;
                self.fact(Fact::Status { late });
                self.process(status);
                self.process_ready();
            }
            Taken::Held => {
                let late = running.order.came_late > late;
                self.fact(Fact::Status { late });
            }
            Taken::Old => self.ignore(Ignored::OldStatus),
            Taken::TooFar => self.end(Ended::GapTooLarge, true, State::AwaitConnect),
        }
    }

    fn process_ready(&mut self) {
        while let State::Running(running) = &mut self.state {
            let Some(status) = running.order.next_ready() else {
                return;
            };
            self.process(status);
        }
    }

    /// A status in its turn: forwarded if somebody wants it, answered in any case.
    fn process(&mut self, status: Status) {
        let State::Running(running) = &mut self.state else {
            return;
        };
        let key = key_of(&status);
        let counter = status.message_counter;
        let id = running.session.id.clone();
        let device = status.device_status.as_ref().and_then(|s| s.device.clone());
        let device = device.unwrap_or_default();
        let state = DeviceState::try_from(status.device_state);
        let member = running.session.member(&key);
        let known = member.is_some();
        let connected = member.is_some_and(|m| {
            // The newest name is the one that modules are given.
            m.device = device.clone();
            m.refused.is_none()
        });
        match state {
            Ok(DeviceState::Connecting) if !known => {
                self.admit(&device);
                if self.session().is_some_and(|s| s.is_connected(&key)) {
                    self.forward(status);
                }
                self.respond(&id, counter);
            }
            Ok(DeviceState::Connecting | DeviceState::Running) => {
                if connected {
                    self.forward(status);
                } else {
                    self.ignore(Ignored::NotForwarded);
                }
                self.respond(&id, counter);
            }
            Ok(DeviceState::Error) => {
                if connected {
                    self.forward(status);
                } else {
                    self.ignore(Ignored::NotForwarded);
                }
                self.respond(&id, counter);
            }
            Ok(DeviceState::Disconnect) => {
                if connected {
                    self.forward(status);
                } else {
                    self.ignore(Ignored::NotForwarded);
                }
                self.respond(&id, counter);
                self.leave(&key);
                self.end_when_empty();
            }
            Err(_) => {
                self.ignore(Ignored::NotForwarded);
                self.respond(&id, counter);
            }
        }
    }

    /// The vehicle says that a device is gone.
    fn leave(&mut self, key: &Key) {
        let Some(session) = self.session() else {
            return;
        };
        let at = session
            .members
            .iter()
            .position(|m| Key::of(&m.device) == *key);
        let Some(member) = at.map(|at| session.members.remove(at)) else {
            return;
        };
        if member.told {
            self.call(Call::Disconnected(member.device.clone(), Leave::Announced));
        }
        self.fact(Fact::DeviceDisconnected(member.device));
    }

    pub(super) fn end_when_empty(&mut self) -> bool {
        let empty = self.session().is_some_and(|s| s.members.is_empty());
        if empty {
            self.end(Ended::LastDeviceGone, true, State::AwaitConnect);
        }
        empty
    }

    pub(super) fn running_response(&mut self, counter: u32, answer: Answer) {
        match self.ledger.answered(counter, answer) {
            Fits::No => return self.ignore(Ignored::UnknownCommand),
            Fits::Again => return self.ignore(Ignored::AnsweredAgain),
            Fits::Yes(key) => {
                if answer == Answer::DeviceNotConnected {
                    // At once: what else waits for it must not be sent.
                    self.leave(&key);
                }
            }
        }
        self.settle();
        self.end_when_empty();
    }
}
