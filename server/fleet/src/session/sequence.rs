//! The connect sequence: Connect, one status and one command for each of its devices, answers to those commands.
//!
//! A gateway counts strictly: one ConnectResponse, then as many StatusResponses and as many Commands as its Connect
//! had devices. So every device is answered, also one that no module wants; such a device is *refused*.

use super::{
    Answer, Car, Ended, Fact, Ignored, Instant, Key, Running, Session, State, Status, StatusOrder,
    ToCar, ledger::Fits, order::HELD_BYTES_MAX,
};
use crate::{
    session::{Baseline, DEVICES_MAX, Leave, fact::Call},
    wire::{Connect, DeviceState, SESSION_ID_BYTES_MAX},
};

/// Statuses of normal communication that came before the sequence was over. Reasoning: a gateway waits for the
/// commands before it goes on, so there are a few at most.
const KEPT_MAX: usize = 256;

/// Statuses of the devices are awaited.
#[derive(Debug)]
pub(super) struct FirstStatuses {
    pub(super) session: Session,
    pub(super) until: Instant,
    /// By arrival; one a device.
    statuses: Vec<Status>,
    /// The ConnectResponse was repeated once; more would be a loop.
    repeated: bool,
}

/// Answers to the first commands are awaited.
#[derive(Debug)]
pub(super) struct FirstResponses {
    pub(super) session: Session,
    pub(super) until: Instant,
    /// The number of the next status.
    expected: Option<u32>,
    /// Statuses that are not of the sequence any more.
    kept: Vec<Status>,
}

impl Car {
    pub(super) fn connect(&mut self, now: Instant, mut connect: Connect) {
        if connect.session_id.is_empty() {
            return self.ignore(Ignored::NoSessionId);
        }
        if connect.session_id.len() > SESSION_ID_BYTES_MAX {
            return self.ignore(Ignored::LongSessionId);
        }
        let foreign = |claimed: &str, ours: &str| !claimed.is_empty() && claimed != ours;
        if foreign(&connect.company, &self.policy.company)
            || foreign(&connect.vehicle_name, &self.policy.name)
        {
            return self.ignore(Ignored::ForeignConnect);
        }
        let same = self.session().is_some_and(|s| s.id == connect.session_id);
        let id = connect.session_id.clone();
        match &mut self.state {
            State::Running(_) if same => {
                return self.publish(&ToCar::ConnectResponse {
                    session: &id,
                    already_logged: true,
                });
            }
            State::FirstStatuses(s) if same => {
                if !std::mem::replace(&mut s.repeated, true) {
                    self.publish(&ToCar::ConnectResponse {
                        session: &id,
                        already_logged: false,
                    });
                }
                return;
            }
            State::Running(_)
            | State::FirstStatuses(_)
            | State::FirstResponses(_)
            | State::AwaitConnect
            | State::Offline
            | State::Stopped => {}
        }
        let mut seen = std::collections::BTreeSet::new();
        connect.devices.retain(|d| seen.insert(Key::of(d)));
        if connect.devices.is_empty() {
            return self.ignore(Ignored::NoDevices);
        }
        if connect.devices.len() > DEVICES_MAX {
            return self.ignore(Ignored::TooManyDevices);
        }
        self.end(Ended::Replaced, false, State::AwaitConnect);
        self.begin(now, connect);
    }

    fn begin(&mut self, now: Instant, connect: Connect) {
        let id = connect.session_id;
        self.state = State::FirstStatuses(FirstStatuses {
            session: Session {
                id: id.clone(),
                since: now,
                members: Vec::with_capacity(connect.devices.len()),
            },
            until: now + self.policy.timeout,
            statuses: Vec::new(),
            repeated: false,
        });
        self.fact(Fact::SessionStarted {
            id: id.clone(),
            devices: connect.devices.clone(),
        });
        for device in &connect.devices {
            self.admit(device);
        }
        self.alarm();
        self.publish(&ToCar::ConnectResponse {
            session: &id,
            already_logged: false,
        });
    }

    pub(super) fn first_status(&mut self, now: Instant, status: Status) {
        let State::FirstStatuses(first) = &mut self.state else {
            return;
        };
        if status.device_state != DeviceState::Connecting as i32 {
            return self.end(Ended::WrongFirstStatus, true, State::AwaitConnect);
        }
        let key = key_of(&status);
        if first.session.member(&key).is_none() {
            return self.ignore(Ignored::UnknownDevice);
        }
        if first.statuses.iter().any(|s| key_of(s) == key) {
            return self.ignore(Ignored::SameDeviceAgain);
        }
        let (id, counter) = (status.session_id.clone(), status.message_counter);
        first.until = now + self.policy.timeout;
        first.statuses.push(status);
        let all_in = first.statuses.len() == first.session.members.len();
        self.fact(Fact::Status { late: false });
        self.respond(&id, counter);
        if all_in {
            self.first_commands(now, &id);
        }
    }

    fn first_commands(&mut self, now: Instant, id: &str) {
        let State::FirstStatuses(first) = std::mem::replace(&mut self.state, State::AwaitConnect)
        else {
            return;
        };
        let highest = highest(first.statuses.iter().map(|s| s.message_counter));
        let expected = match self.policy.baseline {
            Baseline::Sequence => highest.map(|n| n.wrapping_add(1)),
            Baseline::FirstSeen => None,
        };
        let members: Vec<(Key, bool)> = first
            .session
            .members
            .iter()
            .map(|m| (Key::of(&m.device), m.refused.is_none()))
            .collect();
        self.state = State::FirstResponses(FirstResponses {
            session: first.session,
            until: now + self.policy.timeout,
            expected,
            kept: Vec::new(),
        });
        for status in first.statuses {
            let key = key_of(&status);
            if members.contains(&(key, true)) {
                self.forward(status);
            }
        }
        for (key, wanted) in members {
            let command = wanted.then(|| self.ledger.oldest_for(&key)).flatten();
            self.send(now, id, key, command);
        }
    }

    /// A status of normal communication is early: it is kept, never lost.
    pub(super) fn keep_status(&mut self, status: Status) {
        let State::FirstResponses(first) = &mut self.state else {
            return;
        };
        let data = |s: &Status| s.device_status.as_ref().map_or(0, |d| d.status_data.len());
        let bytes: usize = first.kept.iter().map(data).sum();
        if first.kept.len() < KEPT_MAX && bytes + data(&status) < HELD_BYTES_MAX {
            first.kept.push(status);
        } else {
            self.ignore(Ignored::OutOfPhase);
        }
    }

    pub(super) fn first_response(&mut self, now: Instant, counter: u32, answer: Answer) {
        let fits = self.ledger.answered(counter, answer);
        let State::FirstResponses(first) = &mut self.state else {
            return;
        };
        let Fits::Yes(key) = fits else {
            return self.ignore(Ignored::UnknownCommand);
        };
        first.until = now + self.policy.timeout;
        if answer == Answer::DeviceNotConnected {
            let at = first.session.members.iter();
            let at = at.map(|m| Key::of(&m.device)).position(|k| k == key);
            let gone = at.map(|at| first.session.members.remove(at));
            if let Some(gone) = gone.filter(|m| m.told) {
                self.call(Call::Disconnected(gone.device, Leave::Announced));
            }
        }
        self.settle();
        if self.ledger.len().1 == 0 {
            self.run(now);
        }
    }

    fn run(&mut self, now: Instant) {
        let State::FirstResponses(first) = std::mem::replace(&mut self.state, State::AwaitConnect)
        else {
            return;
        };
        self.state = State::Running(Running {
            session: first.session,
            order: StatusOrder::new(first.expected),
            silent_at: now + self.policy.inactivity,
        });
        self.fact(Fact::Running);
        if self.end_when_empty() {
            return;
        }
        for status in first.kept {
            self.running_status(now, status);
        }
    }
}

/// The device of a status.
pub(super) fn key_of(status: &Status) -> Key {
    let device = status.device_status.as_ref();
    device
        .and_then(|s| s.device.as_ref())
        .map_or_else(|| Key::of(&Default::default()), Key::of)
}

/// The highest of `counters`, modulo 2^32: as seen from the first.
fn highest(mut counters: impl Iterator<Item = u32>) -> Option<u32> {
    let first = counters.next()?;
    let ahead = counters.map(|n| n.wrapping_sub(first) as i32).max();
    Some(first.wrapping_add(ahead.unwrap_or(0).max(0) as u32))
}
