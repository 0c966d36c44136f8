//! Transcripts: what a vehicle does, and all that the car does about it. Seconds on the left.
#![allow(clippy::unwrap_used)]

mod acceptance;
mod property;

use std::fmt::Write as _;

use prost::Message as _;

use super::*;
use crate::wire::{
    CommandResponse, Connect, DeviceState, external, external_client, internal::DeviceStatus,
};

pub(super) fn policy() -> Policy {
    Policy {
        timeout: Duration::from_secs(3),
        inactivity: Duration::from_secs(6),
        send_invalid_command: false,
        baseline: Baseline::Sequence,
        modules: [1000].into(),
        company: "acme".into(),
        name: "car_a".into(),
    }
}

pub(super) fn device(module: i32, role: &str) -> Device {
    Device {
        module,
        device_type: 0,
        device_role: role.into(),
        device_name: format!("{role}1"),
        priority: 0,
    }
}

/// A car with its vehicle's side in hand.
pub(super) struct Bench {
    pub(super) car: Car,
    pub(super) now: Instant,
    pub(super) log: String,
    next_id: u64,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(policy(), 0)
    }

    pub(super) fn with(policy: Policy, first_command: u32) -> Self {
        let mut bench = Self {
            car: Car::new(policy, first_command),
            now: Instant::ZERO,
            log: String::new(),
            next_id: 1,
        };
        bench.feed(Input::Online);
        bench
    }

    /// A car in normal communication with the devices, after first statuses #0...
    pub(super) fn running(devices: &[Device]) -> Self {
        let mut bench = Self::new();
        bench.sequence("s1", devices, 0);
        bench.log.clear();
        bench
    }

    /// The whole connect sequence; first statuses are numbered from `counter`.
    pub(super) fn sequence(&mut self, id: &str, devices: &[Device], counter: u32) {
        self.connect(id, devices);
        for (n, device) in (counter..).zip(devices) {
            self.status_of(id, DeviceState::Connecting, n, device, None);
        }
        let (_, under_way) = self.car.ledger.len();
        let last = self.car.ledger.unanswered().map_or(0, |(first, _)| first);
        for n in 0..under_way as u32 {
            self.answer(id, last.wrapping_add(n), Answer::Ok);
        }
    }

    pub(super) fn feed(&mut self, input: Input<'_>) {
        self.car.handle(self.now, input);
        self.drain();
    }

    /// Lets time run, from deadline to deadline.
    pub(super) fn wait(&mut self, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        while let Some(at) = self.car.poll_timeout().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.car.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    pub(super) fn raw(&mut self, bytes: &[u8], retained: bool) {
        self.feed(Input::Payload { bytes, retained });
    }

    pub(super) fn send(&mut self, message: external_client::Message) {
        let message = external::ExternalClient {
            message: Some(message),
        };
        self.raw(&message.encode_to_vec(), false);
    }

    pub(super) fn connect(&mut self, id: &str, devices: &[Device]) {
        self.send(external_client::Message::Connect(Connect {
            session_id: id.into(),
            devices: devices.to_vec(),
            ..Connect::default()
        }));
    }

    pub(super) fn status_of(
        &mut self,
        id: &str,
        state: DeviceState,
        counter: u32,
        device: &Device,
        error: Option<&str>,
    ) {
        self.send(external_client::Message::Status(Status {
            session_id: id.into(),
            device_state: state as i32,
            message_counter: counter,
            device_status: Some(DeviceStatus {
                device: Some(device.clone()),
                status_data: format!("d{counter}").into(),
            }),
            error_message: error.map(Into::into),
        }));
    }

    /// A RUNNING status of the session s1.
    pub(super) fn status(&mut self, counter: u32, device: &Device) {
        self.status_of("s1", DeviceState::Running, counter, device, None);
    }

    pub(super) fn answer(&mut self, id: &str, counter: u32, answer: Answer) {
        self.send(external_client::Message::CommandResponse(CommandResponse {
            session_id: id.into(),
            r#type: answer as i32,
            message_counter: counter,
        }));
    }

    pub(super) fn offer(&mut self, module: i32, device: &Device, data: &str) {
        self.offer_for(module, device, data, None);
    }

    pub(super) fn offer_for(
        &mut self,
        module: i32,
        device: &Device,
        data: &str,
        time_to_live: Option<Duration>,
    ) {
        let command = Command {
            id: CommandId(self.next_id),
            module,
            device: device.clone(),
            data: data.into(),
        };
        self.next_id += 1;
        self.feed(Input::Offer {
            command,
            time_to_live,
        });
    }

    pub(super) fn phase(&self) -> Phase {
        self.car.snapshot().phase
    }

    fn drain(&mut self) {
        while let Some(output) = self.car.poll_output() {
            let at = self.now.as_millis() as f64 / 1000.0;
            writeln!(self.log, "{at} {}", line(&output)).unwrap();
        }
    }

    pub(super) fn take_log(&mut self) -> String {
        std::mem::take(&mut self.log)
    }
}

fn line(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output {
        Output::Publish(bytes) => {
            let message = external::ExternalServer::decode(&bytes[..]).unwrap();
            match message.message.unwrap() {
                external::external_server::Message::ConnectResponse(m) => {
                    let kind = ["OK", "ALREADY_LOGGED"][m.r#type as usize];
                    format!("> connectResponse {} {kind}", m.session_id)
                }
                external::external_server::Message::StatusResponse(m) => {
                    format!("> statusResponse #{}", m.message_counter)
                }
                external::external_server::Message::Command(m) => {
                    let content = m.device_command.unwrap();
                    let device = Key::of(&content.device.unwrap());
                    let data = text(&content.command_data);
                    format!("> command #{} {device} {data:?}", m.message_counter)
                }
            }
        }
        Output::Hint => "> hint".into(),
        Output::Call(call) => {
            let device = call.device();
            let name = format!("{} {}", Key::of(device), device.device_name);
            match call {
                Call::Connected(_) => format!("module: connected {name}"),
                Call::Status(_, data) => format!("module: status {name} {:?}", text(data)),
                Call::Error(_, data) => format!("module: error {name} {:?}", text(data)),
                Call::Disconnected(_, why) => {
                    format!("module: disconnected {name} {}", *why as i32)
                }
                Call::Acknowledged(c) => format!("module: ack {name} {:?}", text(&c.data)),
            }
        }
        Output::Fact(fact) => match fact {
            Fact::Sent(c, n) => format!("fact: sent {} as #{n}", c.id.0),
            Fact::Acked(c) => format!("fact: acked {}", c.id.0),
            Fact::RefusedByVehicle(c, why) => format!("fact: refused {} {why:?}", c.id.0),
            Fact::Unanswered(c) => format!("fact: unanswered {}", c.id.0),
            Fact::Expired(c) => format!("fact: expired {}", c.id.0),
            Fact::Dropped(c, why) => format!("fact: dropped {} {why:?}", c.id.0),
            Fact::SessionStarted { id, devices } => {
                format!("fact: session {id} with {}", devices.len())
            }
            Fact::SessionEnded { why, .. } => format!("fact: ended {why:?}"),
            Fact::Status { late } => format!("fact: status{}", if *late { " late" } else { "" }),
            Fact::Ignored(why) => format!("fact: ignored {}", why.name()),
            Fact::DeviceRefused(d, why) => format!("fact: refused {} {why}", Key::of(d)),
            Fact::DeviceConnected(d) => format!("fact: connected {}", Key::of(d)),
            Fact::DeviceDisconnected(d) => format!("fact: disconnected {}", Key::of(d)),
            other => format!("fact: {other:?}"),
        },
    }
}

/// The transcript without the facts: what vehicle and modules notice.
pub(super) fn effects(log: &str) -> String {
    let lines = log.lines().filter(|l| !l.contains(" fact: "));
    lines.map(|l| format!("{l}\n")).collect()
}
