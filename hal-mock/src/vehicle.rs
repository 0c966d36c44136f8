//! A simulated vehicle: the side of the protocol that the gateway in a vehicle has.
//!
//! It is as strict as the original: it counts responses and commands, wants command numbers without a gap, and drops
//! the link over anything it does not expect. It shares no code with the server; its protobuf is written by hand in
//! [`wire`], so that the two are checked against each other. No IO: bytes in, bytes out; the transport is the caller's.
//!
//! ```text
//!  Offline ► Pause ► AwaitConnectResponse ► AwaitStatusResponses ► AwaitCommands ► Running
//!              ▲            └──────────────── 5 s each, anything unexpected ──┘        │
//!              └────────────────── 10 s; at once after a hint ◄────────────────────────┘ 30 s without a response
//! ```

pub mod drive;
pub mod wire;

use std::{collections::VecDeque, time::Duration};

use leitstand_core::{machine::Machine, time::Instant};

pub use wire::{Device, FromServer};

/// Waiting times of the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For each awaited message of the connect sequence.
    pub sequence: Duration,
    /// Before the next try.
    pub pause: Duration,
    /// For the response to a status.
    pub response: Duration,
    /// A status is repeated after this silence.
    pub repeat: Duration,
    /// Whether a hint is understood; gateways before 1.4 do not subscribe to it.
    pub hints: bool,
}

impl Timing {
    /// Those of the gateway.
    pub const GATEWAY: Self = Self {
        sequence: Duration::from_secs(5),
        pause: Duration::from_secs(10),
        response: Duration::from_secs(30),
        repeat: Duration::from_secs(15),
        hints: true,
    };
}

/// What can happen to it.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Connected to the broker and subscribed.
    Online,
    /// Not any more.
    Offline,
    /// From `<company>/<car>/external_server`.
    Payload(&'a [u8]),
    /// From `<company>/<car>/external_server_disconnect`.
    Hint,
    /// A device has a new status.
    Status {
        /// Its place in the list of devices.
        device: usize,
        /// Its bytes.
        data: &'a [u8],
    },
    /// A device fails: the text goes out with its next status.
    Error {
        /// Its place in the list of devices.
        device: usize,
        /// The text.
        text: &'a str,
    },
    /// A device leaves.
    Leave {
        /// Its place in the list of devices.
        device: usize,
    },
    /// The next answers to commands are of this kind (0 = OK).
    Refuse(u32),
}

/// What it asks for and tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Publish on `<company>/<car>/module_gateway`.
    Publish(Vec<u8>),
    /// The connect sequence is over.
    Connected,
    /// A command arrived and was answered. Empty data means nothing to do.
    Command {
        /// For which device.
        device: Device,
        /// Its bytes.
        data: Vec<u8>,
        /// Its number.
        counter: u32,
    },
    /// The response to a status.
    Answered(u32),
    /// The link was given up.
    Dropped(Why),
}

/// Why a link was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The server said so.
    Hint,
    /// No answer in time: in the sequence, or to a status.
    Timeout,
    /// Something came that the protocol does not allow here. A server must never cause it.
    Unexpected,
    /// A response to another status than the oldest.
    WrongResponse,
    /// A command number left a gap.
    CommandGap,
    /// Not a message.
    Undecodable,
    /// The server knows this session already.
    AlreadyLogged,
    /// The broker is gone.
    Broker,
    /// The last device left.
    NoDevice,
}

impl Why {
    /// Whether a correct server never causes it.
    #[must_use]
    pub const fn is_violation(self) -> bool {
        !matches!(
            self,
            Self::Hint | Self::Timeout | Self::Broker | Self::NoDevice
        )
    }
}

#[derive(Debug)]
struct Unit {
    device: Device,
    status: Vec<u8>,
    /// Folded while the link is down.
    error: Option<Vec<u8>>,
    here: bool,
    /// Part of the running session.
    connected: bool,
    repeat_at: Instant,
}

#[derive(Debug)]
enum State {
    Offline,
    Pause { until: Instant },
    AwaitConnectResponse { until: Instant },
    AwaitStatusResponses { until: Instant, left: usize },
    AwaitCommands { until: Instant, left: usize },
    Running,
}

/// The machine of one vehicle.
#[derive(Debug)]
pub struct Vehicle {
    timing: Timing,
    units: Vec<Unit>,
    state: State,
    session: String,
    sessions: u32,
    seed: u64,
    counter: u32,
    unanswered: VecDeque<(u32, Instant)>,
    last_command: Option<u32>,
    refuse: u32,
    /// Statuses that came while the sequence was under way.
    pending: VecDeque<usize>,
    out: VecDeque<Output>,
}

impl Vehicle {
    /// Off the air. `seed` makes its session ids.
    #[must_use]
    pub fn new(devices: Vec<Device>, timing: Timing, seed: u64) -> Self {
        let units = devices.into_iter().map(|device| Unit {
            device,
            status: b"{}".to_vec(),
            error: None,
            here: true,
            connected: false,
            repeat_at: Instant::ZERO,
        });
        Self {
            timing,
            units: units.collect(),
            state: State::Offline,
            session: String::new(),
            sessions: 0,
            seed,
            counter: 0,
            unanswered: VecDeque::new(),
            last_command: None,
            refuse: 0,
            pending: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// Whether the connect sequence is over.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running)
    }

    /// Tries to connect so far.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.sessions
    }

    fn connect(&mut self, now: Instant) {
        self.sessions += 1;
        self.session = session_id(self.seed, self.sessions);
        self.counter = 0;
        self.last_command = None;
        self.unanswered.clear();
        self.pending.clear();
        let mut devices = Vec::new();
        for unit in &mut self.units {
            unit.connected = unit.here;
            if unit.here {
                devices.push(unit.device.clone());
            }
        }
        if devices.is_empty() {
            self.state = State::Pause {
                until: now + self.timing.pause,
            };
            return;
        }
        // Company and vehicle stay empty, as gateways up to 1.3.5 leave them.
        let bytes = wire::connect(&self.session, "", "", &devices);
        self.out.push_back(Output::Publish(bytes));
        self.state = State::AwaitConnectResponse {
            until: now + self.timing.sequence,
        };
    }

    fn send_status(&mut self, now: Instant, index: usize, state: u32) {
        self.counter = self.counter.wrapping_add(1);
        let unit = &mut self.units[index];
        unit.repeat_at = now + self.timing.repeat;
        let error = unit.error.take();
        let bytes = wire::status(
            &self.session,
            state,
            self.counter,
            &unit.device,
            &unit.status,
            error.as_deref(),
        );
        self.unanswered
            .push_back((self.counter, now + self.timing.response));
        self.out.push_back(Output::Publish(bytes));
    }

    fn drop_link(&mut self, now: Instant, why: Why) {
        let pause = match why {
            Why::Hint => Duration::ZERO,
            _ => self.timing.pause,
        };
        // What the server may not have seen goes out as one error of the outage.
        if self.is_running() && !self.unanswered.is_empty() {
            for unit in self.units.iter_mut().filter(|u| u.connected) {
                unit.error
                    .get_or_insert_with(|| b"statuses folded".to_vec());
            }
        }
        self.unanswered.clear();
        self.state = if why == Why::Broker {
            State::Offline
        } else {
            State::Pause { until: now + pause }
        };
        self.out.push_back(Output::Dropped(why));
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        if matches!(self.state, State::Offline | State::Pause { .. }) {
            return;
        }
        let Some(message) = wire::read(bytes) else {
            return self.drop_link(now, Why::Undecodable);
        };
        if message.session() != self.session {
            return;
        }
        let until = now + self.timing.sequence;
        match (&mut self.state, message) {
            (
                State::AwaitConnectResponse { .. },
                FromServer::ConnectResponse {
                    already_logged: true,
                    ..
                },
            ) => self.drop_link(now, Why::AlreadyLogged),
            (State::AwaitConnectResponse { .. }, FromServer::ConnectResponse { .. }) => {
                let all: Vec<usize> = (0..self.units.len())
                    .filter(|n| self.units[*n].connected)
                    .collect();
                self.state = State::AwaitStatusResponses {
                    until,
                    left: all.len(),
                };
                for index in all {
                    self.send_status(now, index, wire::CONNECTING);
                }
            }
            (
                State::AwaitStatusResponses { until: at, left },
                FromServer::StatusResponse { counter, .. },
            ) => {
                *at = until;
                *left -= 1;
                let left = *left;
                if !self.answered(now, counter) {
                    return;
                }
                if left == 0 {
                    let left = self.units.iter().filter(|u| u.connected).count();
                    self.state = State::AwaitCommands { until, left };
                }
            }
            (
                State::AwaitCommands { until: at, left },
                FromServer::Command {
                    counter,
                    device,
                    data,
                    ..
                },
            ) => {
                *at = until;
                *left -= 1;
                let left = *left;
                if !self.command(now, counter, device, data) {
                    return;
                }
                if left == 0 {
                    self.state = State::Running;
                    self.out.push_back(Output::Connected);
                    while let Some(index) = self.pending.pop_front() {
                        self.send_status(now, index, wire::RUNNING);
                    }
                }
            }
            (State::Running, FromServer::StatusResponse { counter, .. }) => {
                self.answered(now, counter);
            }
            (
                State::Running,
                FromServer::Command {
                    counter,
                    device,
                    data,
                    ..
                },
            ) => {
                self.command(now, counter, device, data);
            }
            _ => self.drop_link(now, Why::Unexpected),
        }
    }

    fn answered(&mut self, now: Instant, counter: u32) -> bool {
        match self.unanswered.pop_front() {
            Some((oldest, _)) if oldest == counter => {
                self.out.push_back(Output::Answered(counter));
                true
            }
            _ => {
                self.drop_link(now, Why::WrongResponse);
                false
            }
        }
    }

    fn command(&mut self, now: Instant, counter: u32, device: Device, data: Vec<u8>) -> bool {
        // Checked once a number other than zero was seen.
        let gap = self
            .last_command
            .is_some_and(|last| last != 0 && counter != last.wrapping_add(1));
        if gap {
            self.drop_link(now, Why::CommandGap);
            return false;
        }
        self.last_command = Some(counter);
        let bytes = wire::command_response(&self.session, self.refuse, counter);
        self.out.push_back(Output::Publish(bytes));
        self.out.push_back(Output::Command {
            device,
            data,
            counter,
        });
        true
    }

    fn leave(&mut self, now: Instant, index: usize) {
        let Some(unit) = self.units.get_mut(index) else {
            return;
        };
        unit.here = false;
        let connected = std::mem::replace(&mut unit.connected, false);
        if connected && matches!(self.state, State::Running) {
            self.send_status(now, index, wire::DISCONNECT);
            if self.units.iter().all(|u| !u.connected) {
                self.drop_link(now, Why::NoDevice);
            }
        }
    }
}

impl Machine for Vehicle {
    type Input<'a> = Input<'a>;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Online => {
                if matches!(self.state, State::Offline) {
                    self.connect(now);
                }
            }
            Input::Offline => {
                if !matches!(self.state, State::Offline) {
                    self.drop_link(now, Why::Broker);
                }
            }
            Input::Payload(bytes) => self.receive(now, bytes),
            Input::Hint => {
                let idle = matches!(self.state, State::Offline | State::Pause { .. });
                if self.timing.hints && !idle {
                    self.drop_link(now, Why::Hint);
                }
            }
            Input::Status { device, data } => {
                let Some(unit) = self.units.get_mut(device) else {
                    return;
                };
                unit.status = data.to_vec();
                let connected = unit.connected;
                unit.here = true;
                match self.state {
                    State::Running => {
                        self.units[device].connected = true;
                        let state = if connected {
                            wire::RUNNING
                        } else {
                            wire::CONNECTING
                        };
                        self.send_status(now, device, state);
                    }
                    State::AwaitStatusResponses { .. } | State::AwaitCommands { .. } => {
                        if connected && !self.pending.contains(&device) {
                            self.pending.push_back(device);
                        }
                    }
                    State::Offline | State::Pause { .. } | State::AwaitConnectResponse { .. } => {}
                }
            }
            Input::Error { device, text } => {
                if let Some(unit) = self.units.get_mut(device) {
                    unit.error = Some(text.as_bytes().to_vec());
                }
            }
            Input::Leave { device } => self.leave(now, device),
            Input::Refuse(kind) => self.refuse = kind,
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Offline => {}
            State::Pause { until } => {
                if until <= now {
                    self.connect(now);
                }
            }
            State::AwaitConnectResponse { until }
            | State::AwaitStatusResponses { until, .. }
            | State::AwaitCommands { until, .. } => {
                if until <= now {
                    self.drop_link(now, Why::Timeout);
                }
            }
            State::Running => {
                if self.unanswered.front().is_some_and(|(_, at)| *at <= now) {
                    return self.drop_link(now, Why::Timeout);
                }
                for index in 0..self.units.len() {
                    if self.units[index].connected && self.units[index].repeat_at <= now {
                        self.send_status(now, index, wire::RUNNING);
                    }
                }
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Offline => None,
            State::Pause { until }
            | State::AwaitConnectResponse { until }
            | State::AwaitStatusResponses { until, .. }
            | State::AwaitCommands { until, .. } => Some(*until),
            State::Running => {
                let response = self.unanswered.front().map(|(_, at)| *at);
                let repeats = self.units.iter().filter(|u| u.connected);
                let repeats = repeats.map(|u| u.repeat_at);
                repeats.chain(response).min()
            }
        }
    }
}

/// Eight letters and digits.
fn session_id(seed: u64, session: u32) -> String {
    let mut state = seed ^ (u64::from(session) << 32 | 0x9e37_79b9);
    (0..8)
        .map(|_| {
            // SplitMix64
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let n = ((z ^ (z >> 31)) % 36) as u8;
            char::from(if n < 10 { b'0' + n } else { b'a' + n - 10 })
        })
        .collect()
}
