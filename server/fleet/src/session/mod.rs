//! One car: the protocol's state machine, without sockets, modules and clock.
//!
//! ```text
//!             online                     Connect                all statuses in              all answered
//!  Offline ──────────► AwaitConnect ──────────────► FirstStatuses ────────────► FirstResponses ───────► Running
//!     ▲                  ▲   ▲  │                    │        ▲                   │      │               │   │
//!     │                  │   │  └ anything else:     │        └── other Connect ──┘      │               │   │
//!     │ broker lost      │   │    dropped, counted   │           (no hint)              │               │   │
//!     └── from any       │   └── end of session ─────┴──────────────────────────────────┘               │   │
//!                        └────── hint: silence, missing status, no answer, last device gone ◄────────────┘   │
//!                                          FirstStatuses ◄── other Connect, no hint ─────────────────────────┘
//! ```
//!
//! Entry: [`Car`], a [`Machine`]. Each state owns what is true only in it. Statuses are sorted in [`order`],
//! commands are kept in [`ledger`]. The car answers its vehicle at once and never waits for a module: what modules
//! are to be told leaves as [`Call`]s, in order, and what they answer comes back as an input.
//!
//! Deliberately absent: bytes of a status or a command (opaque), topics, the wall clock, how modules run.

mod fact;
mod ledger;
mod order;
mod running;
mod sequence;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use leitstand_core::{machine::Machine, time::Instant};

pub use fact::{Call, Dropped, Ended, Fact, Ignored, Leave, Output, Refused};
pub use ledger::{UNDER_WAY_MAX, WAITING_MAX};
pub use order::GAP_MAX;

use crate::wire::{self, Answer, Device, FromCar, Status, ToCar, Unreadable};
use ledger::Ledger;
use order::StatusOrder;
use sequence::{FirstResponses, FirstStatuses};

/// Devices of one Connect. Reasoning: the gateway sends all their statuses at once; a real car has a dozen.
pub const DEVICES_MAX: usize = 256;

/// What tells devices apart: module, type and role. Name and priority do not count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Number of the module.
    pub module: i32,
    /// What it means is the module's business.
    pub device_type: u32,
    /// Place in the vehicle.
    pub role: String,
}

impl Key {
    /// Of `device`.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        Self {
            module: device.module,
            device_type: device.device_type,
            role: device.device_role.clone(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.module, self.device_type, self.role)
    }
}

/// Number of a command, unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// A command that a module has for a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// For the people who follow it.
    pub id: CommandId,
    /// Who offered it; the acknowledgement goes there.
    pub module: i32,
    /// For whom.
    pub device: Device,
    /// Opaque.
    pub data: Vec<u8>,
}

/// Which number the first status after the connect sequence must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Baseline {
    /// One more than the highest of the sequence: a gap right after it is seen.
    #[default]
    Sequence,
    /// Whatever comes first, as the original does it.
    FirstSeen,
}

/// The rules of one car.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Patience for one awaited message, a missing status, the answer to a command.
    pub timeout: Duration,
    /// Longest silence of the vehicle in normal communication.
    pub inactivity: Duration,
    /// Whether a module may command devices of another module.
    pub send_invalid_command: bool,
    /// See there.
    pub baseline: Baseline,
    /// Modules that this car has.
    pub modules: BTreeSet<i32>,
    /// The company of its topics; a Connect may leave it empty but must not name another one.
    pub company: String,
    /// Its own name; the same.
    pub name: String,
}

/// What can happen to a car.
#[derive(Debug)]
pub enum Input<'a> {
    /// The broker is there and the car's topic is subscribed.
    Online,
    /// The broker is gone.
    Offline,
    /// The vehicle published this.
    Payload {
        /// The message.
        bytes: &'a [u8],
        /// It came with the retain flag: somebody's leftover, never the vehicle of this moment.
        retained: bool,
    },
    /// A module answered [`Call::Connected`].
    Admitted(&'a Key, Result<(), Refused>),
    /// A module has a command.
    Offer {
        /// It.
        command: Command,
        /// How long it may wait; `None` = for ever.
        time_to_live: Option<Duration>,
    },
    /// The gateway stops, or the car is taken out of the configuration.
    Stop,
}

/// A device of the running session.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// As it named itself last.
    pub device: Device,
    /// Why its module does not want it. Its statuses are answered and go no further.
    pub refused: Option<Refused>,
    /// Told to its module as connected.
    told: bool,
}

/// A session: from a Connect to whatever ends it.
#[derive(Debug)]
struct Session {
    id: String,
    since: Instant,
    members: Vec<Member>,
}

impl Session {
    fn member(&mut self, key: &Key) -> Option<&mut Member> {
        self.members.iter_mut().find(|m| Key::of(&m.device) == *key)
    }

    fn is_connected(&self, key: &Key) -> bool {
        let mut members = self.members.iter();
        members.any(|m| m.refused.is_none() && Key::of(&m.device) == *key)
    }
}

/// Normal communication.
#[derive(Debug)]
struct Running {
    session: Session,
    order: StatusOrder,
    silent_at: Instant,
}

#[derive(Debug)]
enum State {
    /// No broker.
    Offline,
    /// Subscribed; nobody is there.
    AwaitConnect,
    /// ConnectResponse is out, statuses of all devices are awaited.
    FirstStatuses(FirstStatuses),
    /// The first commands are out, their responses are awaited.
    FirstResponses(FirstResponses),
    /// See [`Running`].
    Running(Running),
    /// For good.
    Stopped,
}

/// The phase of a car, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No broker.
    Offline,
    /// Waiting for the vehicle.
    AwaitConnect,
    /// First half of the connect sequence.
    FirstStatuses,
    /// Second half of the connect sequence.
    FirstResponses,
    /// Normal communication.
    Running,
    /// Taken out.
    Stopped,
}

/// What a car looks like right now.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// Its state.
    pub phase: Phase,
    /// Id and start of the session.
    pub session: Option<(&'a str, Instant)>,
    /// Its devices.
    pub members: &'a [Member],
    /// Commands that wait, and that are under way.
    pub commands: (usize, usize),
    /// Statuses that wait for an earlier one, and the numbers that are missing.
    pub held: (usize, u64),
}

/// The machine of one car.
#[derive(Debug)]
pub struct Car {
    policy: Policy,
    state: State,
    ledger: Ledger,
    out: VecDeque<Output>,
}

impl Car {
    /// Offline. `first_command` is the number of the first command it will ever send: 0 in a new process.
    #[must_use]
    pub fn new(policy: Policy, first_command: u32) -> Self {
        Self {
            policy,
            state: State::Offline,
            ledger: Ledger::starting_at(first_command),
            out: VecDeque::new(),
        }
    }

    /// Other rules from now on. The session goes on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// For views.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<'_> {
        let (phase, session) = match &self.state {
            State::Offline => (Phase::Offline, None),
            State::AwaitConnect => (Phase::AwaitConnect, None),
            State::FirstStatuses(s) => (Phase::FirstStatuses, Some(&s.session)),
            State::FirstResponses(s) => (Phase::FirstResponses, Some(&s.session)),
            State::Running(s) => (Phase::Running, Some(&s.session)),
            State::Stopped => (Phase::Stopped, None),
        };
        let held = match &self.state {
            State::Running(s) => (s.order.held(), s.order.still_missing()),
            _ => (0, 0),
        };
        Snapshot {
            phase,
            session: session.map(|s| (s.id.as_str(), s.since)),
            members: session.map_or(&[], |s| &s.members),
            commands: self.ledger.len(),
            held,
        }
    }

    /// Ends the session with a hint, so that the vehicle connects again.
    pub fn restart(&mut self) {
        self.end(Ended::Restarted, true, State::AwaitConnect);
    }

    fn fact(&mut self, fact: Fact) {
        self.out.push_back(Output::Fact(fact));
    }

    fn ignore(&mut self, why: Ignored) {
        self.fact(Fact::Ignored(why));
    }

    fn call(&mut self, call: Call) {
        self.out.push_back(Output::Call(call));
    }

    fn publish(&mut self, message: &ToCar<'_>) {
        self.out.push_back(Output::Publish(message.write()));
    }

    fn session(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::FirstStatuses(s) => Some(&mut s.session),
            State::FirstResponses(s) => Some(&mut s.session),
            State::Running(s) => Some(&mut s.session),
            State::Offline | State::AwaitConnect | State::Stopped => None,
        }
    }

    /// Ends the session, if there is one, and goes to `next`. The hint tells the vehicle to connect again.
    fn end(&mut self, why: Ended, hint: bool, next: State) {
        if self.session().is_none() {
            return;
        }
        let (mut session, missing) = match std::mem::replace(&mut self.state, next) {
            State::FirstStatuses(s) => (s.session, None),
            State::FirstResponses(s) => (s.session, None),
            State::Running(s) => {
                let lost = s.order.ever_missing - s.order.came_late;
                (s.session, Some((s.order.ever_missing, lost)))
            }
            State::Offline | State::AwaitConnect | State::Stopped => return,
        };
        if hint {
            self.out.push_back(Output::Hint);
        }
        for command in self.ledger.abandon() {
            self.fact(Fact::Unanswered(command));
        }
        for member in session.members.drain(..).filter(|m| m.told) {
            self.call(Call::Disconnected(member.device, Leave::Timeout));
        }
        let (missing, lost) = missing.unwrap_or_default();
        self.fact(Fact::SessionEnded {
            id: session.id,
            why,
            missing,
            lost,
        });
    }

    /// Puts `device` into the session and tells its module, if it has one.
    fn admit(&mut self, device: &Device) {
        let key = Key::of(device);
        let known = self.policy.modules.contains(&key.module);
        let refused = (!known).then_some(Refused::NoSuchModule);
        let first = !self.session().is_some_and(|s| {
            let mut told = s.members.iter().filter(|m| m.told);
            told.any(|m| m.device.module == key.module)
        });
        if let Some(session) = self.session() {
            session.members.retain(|m| Key::of(&m.device) != key);
            session.members.push(Member {
                device: device.clone(),
                refused,
                told: known,
            });
        }
        if let Some(why) = refused {
            self.fact(Fact::DeviceRefused(device.clone(), why));
            return;
        }
        if first {
            for command in self.ledger.stale(key.module) {
                self.fact(Fact::Dropped(command, Dropped::Stale));
            }
        }
        self.call(Call::Connected(device.clone()));
    }

    fn admitted(&mut self, key: &Key, answer: Result<(), Refused>) {
        let Some(member) = self.session().and_then(|s| s.member(key)) else {
            return;
        };
        let device = member.device.clone();
        match answer {
            Ok(()) if member.told => self.fact(Fact::DeviceConnected(device)),
            Ok(()) => {}
            Err(why) => {
                member.refused = Some(why);
                member.told = false;
                self.fact(Fact::DeviceRefused(device, why));
            }
        }
        self.alarm();
    }

    /// Raised when the module or modules want none of the devices.
    fn alarm(&mut self) {
        let none = self
            .session()
            .is_some_and(|s| s.members.iter().all(|m| m.refused.is_some()));
        if none {
            self.fact(Fact::NoSupportedDevice);
        }
    }

    /// Hands the content of a status to its module: data first, then the error.
    fn forward(&mut self, status: Status) {
        let content = status.device_status.unwrap_or_default();
        let device = content.device.unwrap_or_default();
        let error = status.error_message.filter(|e| !e.is_empty());
        self.call(Call::Status(device.clone(), content.status_data));
        if let Some(error) = error {
            self.call(Call::Error(device, error));
        }
    }

    fn respond(&mut self, session: &str, counter: u32) {
        self.publish(&ToCar::StatusResponse { session, counter });
    }

    fn payload(&mut self, now: Instant, bytes: &[u8], retained: bool) {
        if matches!(self.state, State::Offline | State::Stopped) {
            return;
        }
        if retained {
            return self.ignore(Ignored::Retained);
        }
        match wire::read(bytes) {
            Err(Unreadable::TooLong) => self.ignore(Ignored::TooLong),
            Err(Unreadable::Undecodable) => self.ignore(Ignored::Undecodable),
            Err(Unreadable::Empty) => self.ignore(Ignored::Empty),
            Ok(FromCar::Connect(connect)) => self.connect(now, connect),
            Ok(FromCar::Status(status)) => self.status(now, status),
            Ok(FromCar::Response(response)) => {
                if !self.is_session(&response.session_id) {
                    return;
                }
                let answer = Answer::try_from(response.r#type).unwrap_or(Answer::InvalidCommand);
                self.response(now, response.message_counter, answer);
            }
        }
    }

    /// Whether `id` is the session's; counts when it is not.
    fn is_session(&mut self, id: &str) -> bool {
        match self.session().map(|s| s.id == id) {
            Some(true) => true,
            Some(false) => {
                self.ignore(Ignored::WrongSession);
                false
            }
            None => {
                self.ignore(Ignored::NoSession);
                false
            }
        }
    }

    fn status(&mut self, now: Instant, status: Status) {
        if !self.is_session(&status.session_id) {
            return;
        }
        match self.state {
            State::FirstStatuses(_) => self.first_status(now, status),
            State::FirstResponses(_) => self.keep_status(status),
            State::Running(_) => self.running_status(now, status),
            State::Offline | State::AwaitConnect | State::Stopped => {}
        }
    }

    fn response(&mut self, now: Instant, counter: u32, answer: Answer) {
        match &mut self.state {
            State::FirstResponses(_) => self.first_response(now, counter, answer),
            State::Running(running) => {
                running.silent_at = now + self.policy.inactivity;
                self.running_response(counter, answer);
            }
            State::FirstStatuses(_) => self.ignore(Ignored::OutOfPhase),
            State::Offline | State::AwaitConnect | State::Stopped => {}
        }
    }

    fn offer(&mut self, now: Instant, command: Command, time_to_live: Option<Duration>) {
        let foreign = command.module != command.device.module;
        if foreign && !self.policy.send_invalid_command {
            return self.fact(Fact::Dropped(command, Dropped::WrongModule));
        }
        if matches!(self.state, State::Stopped) {
            return self.fact(Fact::Dropped(command, Dropped::Stopped));
        }
        if let Some((pushed, why)) = self.ledger.offer(now, command, time_to_live) {
            self.fact(Fact::Dropped(pushed, why));
        }
    }

    /// Settles what is answered, expires what is too old, sends what may go.
    fn turn_ledger(&mut self, now: Instant) {
        for command in self.ledger.expired(now) {
            self.fact(Fact::Expired(command));
        }
        while let State::Running(running) = &self.state {
            let Some(command) = self.ledger.next(|key| running.session.is_connected(key)) else {
                break;
            };
            let id = running.session.id.clone();
            self.send(now, &id, Key::of(&command.device), Some(command));
        }
    }

    /// Sends `command`, or an empty one to the device of `key`.
    fn send(&mut self, now: Instant, session: &str, key: Key, command: Option<Command>) {
        let empty = Device::default();
        let member = self.session().and_then(|s| s.member(&key));
        let device = member.map(|m| m.device.clone());
        let device = command
            .as_ref()
            .map(|c| c.device.clone())
            .or(device)
            .unwrap_or(empty);
        let data = command.as_ref().map_or(&[][..], |c| &c.data);
        let until = now + self.policy.timeout;
        let counter = self.ledger.send(key, command.clone(), until);
        let data = data.to_vec();
        self.publish(&ToCar::Command {
            session,
            counter,
            device: &device,
            data: &data,
        });
        if let Some(command) = command {
            self.fact(Fact::Sent(command, counter));
        }
    }

    /// Tells what became of commands whose turn it is.
    fn settle(&mut self) {
        while let Some((open, answer)) = self.ledger.settled() {
            let Some(command) = open.command else {
                if answer != Answer::Ok {
                    self.ignore(Ignored::EmptyCommandRefused);
                }
                continue;
            };
            if answer == Answer::Ok {
                self.call(Call::Acknowledged(command.clone()));
                self.fact(Fact::Acked(command));
            } else {
                self.fact(Fact::RefusedByVehicle(command, answer));
            }
        }
    }
}

impl Machine for Car {
    type Input<'a> = Input<'a>;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        debug_assert!(self.out.is_empty(), "drained before the next input");
        match input {
            Input::Online => {
                if matches!(self.state, State::Offline) {
                    self.state = State::AwaitConnect;
                }
            }
            Input::Offline => {
                if !matches!(self.state, State::Stopped) {
                    self.end(Ended::BrokerLost, false, State::Offline);
                    self.state = State::Offline;
                }
            }
            Input::Payload { bytes, retained } => self.payload(now, bytes, retained),
            Input::Admitted(key, answer) => self.admitted(key, answer),
            Input::Offer {
                command,
                time_to_live,
            } => self.offer(now, command, time_to_live),
            Input::Stop => {
                self.end(Ended::Stopped, true, State::Stopped);
                self.state = State::Stopped;
            }
        }
        self.turn_ledger(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let why = match &self.state {
            State::FirstStatuses(s) => (s.until <= now).then_some(Ended::NoFirstStatus),
            State::FirstResponses(s) => (s.until <= now).then_some(Ended::NoFirstResponse),
            State::Running(s) => {
                if due(s.order.deadline()) {
                    Some(Ended::StatusMissing(s.order.expected().unwrap_or_default()))
                } else if let Some((counter, _)) =
                    self.ledger.unanswered().filter(|(_, at)| *at <= now)
                {
                    Some(Ended::CommandUnanswered(counter))
                } else {
                    (s.silent_at <= now).then_some(Ended::Silent)
                }
            }
            State::Offline | State::AwaitConnect | State::Stopped => None,
        };
        if let Some(why) = why {
            self.end(why, true, State::AwaitConnect);
        }
        self.turn_ledger(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let state = match &self.state {
            State::FirstStatuses(s) => Some(s.until),
            State::FirstResponses(s) => Some(s.until),
            State::Running(s) => {
                let unanswered = self.ledger.unanswered().map(|(_, at)| at);
                let all = [Some(s.silent_at), s.order.deadline(), unanswered];
                all.into_iter().flatten().min()
            }
            State::Offline | State::AwaitConnect | State::Stopped => None,
        };
        [state, self.ledger.next_expiry()]
            .into_iter()
            .flatten()
            .min()
    }
}
