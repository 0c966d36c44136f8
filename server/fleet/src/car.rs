//! The task around the machine of one car: feeds it, carries out what it asks for, keeps the record.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use leitstand_core::machine::Machine as _;
use leitstand_kit::{BoxFuture, NewEvent, Severity, drive::drive};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::{
    SERVICE,
    module::{
        lane::{Admission, Lane},
        runner::lock,
    },
    mqtt::{NotSent, Publish},
    name::{CarName, Way},
    record::{Moment, Record, Stage},
    service::Shared,
    session::{Call, Car, Command, CommandId, Fact, Input, Key, Output, Policy},
};

/// Inputs that wait for a car. Reasoning: a vehicle has 20 messages in flight; a minute of ten a second and room.
pub(crate) const INPUTS_MAX: usize = 512;
/// How long the end of a session waits until the broker has the hint.
const HINT_WITHIN: Duration = Duration::from_secs(2);

/// What reaches a car's task.
pub(crate) enum Note {
    Online,
    Offline,
    Message {
        payload: Vec<u8>,
        retained: bool,
    },
    Admission(Admission),
    Offer(Command, Option<Duration>),
    Policy(Policy),
    /// Ends the session and the task.
    Stop,
    /// Ends the session; the vehicle connects again.
    Restart,
}

/// Handles of a car, for routes and for the other tasks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct CarHandle {
    pub(crate) name: CarName,
    pub(crate) number: u32,
    pub(crate) inputs: mpsc::Sender<Note>,
    pub(crate) record: Arc<Mutex<Record>>,
    pub(crate) lanes: Arc<BTreeMap<i32, Lane>>,
}

/// The task of one car.
pub(crate) struct CarTask {
    pub(crate) handle: CarHandle,
    pub(crate) inputs: mpsc::Receiver<Note>,
    pub(crate) policy: Policy,
    pub(crate) first_command: u32,
    pub(crate) publisher: Arc<dyn Publish>,
    pub(crate) shared: Arc<Shared>,
    /// The number of the next command when the task ended, for its successor.
    pub(crate) done: Option<oneshot::Sender<()>>,
}

impl CarTask {
    pub(crate) async fn run(mut self) {
        let mut machine = Car::new(self.policy.clone(), self.first_command);
        let clock = self.shared.cx.clock.clone();
        let shell = Mutex::new(Shell {
            handle: self.handle.clone(),
            topics: [Way::ToCar, Way::Hint].map(|way| self.handle.name.topic(way)),
            publisher: self.publisher.clone(),
            shared: self.shared.clone(),
            hint: None,
        });
        let (stop, mut stopped) = mpsc::channel::<()>(1);
        let driven = drive(
            &mut machine,
            &mut self.inputs,
            &clock,
            |machine, now, note| {
                let shell = lock(&shell);
                match note {
                    Note::Online => machine.handle(now, Input::Online),
                    Note::Offline => machine.handle(now, Input::Offline),
                    Note::Message { payload, retained } => {
                        let bytes = &payload[..];
                        shell.heard();
                        machine.handle(now, Input::Payload { bytes, retained });
                    }
                    Note::Admission(a) => machine.handle(now, Input::Admitted(&a.key, a.answer)),
                    Note::Offer(command, time_to_live) => machine.handle(
                        now,
                        Input::Offer {
                            command,
                            time_to_live,
                        },
                    ),
                    Note::Policy(policy) => machine.set_policy(policy),
                    Note::Restart => machine.restart(),
                    Note::Stop => {
                        machine.handle(now, Input::Stop);
                        let _ = stop.try_send(());
                    }
                }
                shell.look(machine);
            },
            |output| {
                lock(&shell).emit(output);
                std::future::ready(Ok::<(), ()>(()))
            },
        );
        tokio::select! {
            biased;
            _ = driven => {}
            // Polled after the outputs of the stop are drained: `drive` only waits with nothing left to do.
            _ = stopped.recv() => {}
        }
        let hint = lock(&shell).hint.take();
        if let Some(hint) = hint {
            let _ = tokio::time::timeout(HINT_WITHIN, hint).await;
        }
        for lane in self.handle.lanes.values() {
            lane.close();
        }
        drop(self.done.take());
    }
}

/// Where outputs go.
struct Shell {
    handle: CarHandle,
    topics: [String; 2],
    publisher: Arc<dyn Publish>,
    shared: Arc<Shared>,
    /// The last hint, until the broker has it.
    hint: Option<BoxFuture<'static, ()>>,
}

impl Shell {
    fn now(&self) -> Moment {
        self.shared.now()
    }

    fn heard(&self) {
        let now = self.now();
        lock(&self.handle.record).last_message = Some(now);
    }

    fn look(&self, car: &Car) {
        lock(&self.handle.record).look(&car.snapshot());
    }

    fn emit(&mut self, output: Output) {
        match output {
            Output::Publish(bytes) => {
                let sent = self.publisher.publish(&self.topics[0], bytes, false);
                self.sent(sent);
            }
            Output::Hint => {
                let sent = self
                    .publisher
                    .publish_tracked(&self.topics[1], Vec::new(), false);
                self.sent(sent.as_ref().map(|_| ()).map_err(|e| *e));
                self.hint = sent.ok();
            }
            Output::Call(call) => self.call(call),
            Output::Fact(fact) => self.fact(&fact),
        }
    }

    fn sent(&self, sent: Result<(), NotSent>) {
        let metrics = &self.shared.metrics;
        match sent {
            Ok(()) => metrics.responses.inc(),
            Err(NotSent) => {
                metrics.not_sent.inc();
                lock(&self.handle.record).not_sent += 1;
            }
        }
    }

    fn call(&self, call: Call) {
        match &call {
            Call::Status(device, data) => {
                lock(&self.handle.record).status(device, data, self.now());
            }
            Call::Error(device, data) => lock(&self.handle.record).error(device, data, self.now()),
            Call::Connected(_) | Call::Disconnected(..) | Call::Acknowledged(_) => {}
        }
        if let Some(lane) = self.handle.lanes.get(&call.module()) {
            lane.push(call);
        }
    }

    fn fact(&self, fact: &Fact) {
        let now = self.now();
        lock(&self.handle.record).fact(fact, now);
        let metrics = &self.shared.metrics;
        let car = self.handle.name.to_string();
        match fact {
            Fact::Status { .. } => metrics.statuses.inc(),
            Fact::SessionStarted { .. } => metrics.sessions.inc(),
            Fact::Ignored(why) => {
                metrics.ignored(*why);
                if let Some(unlogged) = lock(&self.handle.record).may_log(*why, now.at) {
                    tracing::info!(%car, why = why.name(), unlogged, "a message was ignored");
                }
            }
            Fact::Running => self.event(
                NewEvent::new(SERVICE, "VehicleConnected").text(format!("{car} connected")),
                json!({ "car": car }),
            ),
            Fact::SessionEnded {
                id,
                why,
                missing,
                lost,
            } => {
                metrics.ended(*why);
                let trouble = why.is_trouble();
                if trouble {
                    tracing::warn!(%car, session = %id, ?why, "a session ended");
                }
                let severity = if trouble { Severity::Warning } else { Severity::Info };
                self.event(
                    NewEvent::new(SERVICE, "VehicleDisconnected")
                        .severity(severity)
                        .text(format!("{car} disconnected: {}", why.name())),
                    json!({ "car": car, "session": id, "cause": why.name(), "missing": missing, "lost": lost }),
                );
            }
            Fact::DeviceRefused(device, why) => self.event(
                NewEvent::new(SERVICE, "DeviceRefused")
                    .severity(Severity::Warning)
                    .text(format!("{car}: {} is not served: {why}", Key::of(device))),
                json!({ "car": car, "device": Key::of(device).to_string(), "reason": why.to_string() }),
            ),
            Fact::NoSupportedDevice => self.event(
                NewEvent::new(SERVICE, "NoSupportedDevice")
                    .severity(Severity::Warning)
                    .text(format!("{car}: no module serves any of its devices")),
                json!({ "car": car }),
            ),
            Fact::DeviceConnected(_) | Fact::DeviceDisconnected(_) => {}
            Fact::Sent(..)
            | Fact::Acked(_)
            | Fact::RefusedByVehicle(..)
            | Fact::Unanswered(_)
            | Fact::Expired(_)
            | Fact::Dropped(..) => {
                if let Some((command, stage)) = Stage::of(fact) {
                    self.shared.stage(command.id, stage);
                }
            }
        }
    }

    fn event(&self, event: NewEvent, data: serde_json::Value) {
        // The journal counts what it cannot take.
        drop(self.shared.cx.events.record(event.data(data)));
    }
}

/// Makes the offers of one module for one car.
pub(crate) fn offers(
    shared: &Arc<Shared>,
    car: &CarName,
    module: i32,
    time_to_live: Option<Duration>,
    inputs: mpsc::WeakSender<Note>,
) -> crate::module::Offers {
    let (shared, car) = (shared.clone(), car.to_string());
    crate::module::Offers::new(shared.ids.clone(), {
        move |id: CommandId, device, data| {
            let command = Command {
                id,
                module,
                device,
                data,
            };
            shared.queued(&car, &command, None);
            let note = Note::Offer(command, time_to_live);
            let sent = inputs.upgrade();
            if sent.is_none_or(|inputs| inputs.try_send(note).is_err()) {
                shared.stage(id, Stage::Dropped(crate::session::Dropped::PushedOut));
            }
        }
    })
}
