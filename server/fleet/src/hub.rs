//! The link to the broker, shared by all cars: subscribes for them and hands them their messages.

use std::{collections::BTreeMap, sync::Arc};

use leitstand_kit::{Heartbeat, NewEvent, Severity};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    SERVICE,
    car::{CarHandle, Note},
    module::runner::lock,
    mqtt::{Event, Link},
    name::{Way, parse_topic},
    service::Shared,
};

/// What the hub is asked for.
pub(crate) enum Ask {
    /// A car is there from now on.
    Add(CarHandle),
    /// It is not.
    Remove(CarHandle),
}

/// The hub of one instance of the service.
pub(crate) struct Hub {
    pub(crate) link: Box<dyn Link>,
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) cars: BTreeMap<String, CarHandle>,
    pub(crate) was_up: Option<bool>,
}

impl Hub {
    pub(crate) async fn run(mut self) {
        let mut beat = tokio::time::interval(std::time::Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.ask(ask),
                    None => return self.heartbeat.finish(),
                },
                event = self.link.next() => self.event(event).await,
                _ = beat.tick() => self.heartbeat.beat(),
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Add(car) => {
                let topic = car.name.topic(Way::ToServer);
                self.link.subscribe(vec![topic.clone()]);
                self.cars.insert(topic, car);
            }
            Ask::Remove(car) => {
                let topic = car.name.topic(Way::ToServer);
                self.link.unsubscribe(&topic);
                self.cars.remove(&topic);
            }
        }
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Message {
                topic,
                payload,
                retained,
            } => self.message(&topic, payload, retained),
            Event::Up => self.tell(true, String::new()),
            Event::Subscribed(topics) => {
                for car in topics.iter().filter_map(|topic| self.cars.get(topic)) {
                    let _ = car.inputs.send(Note::Online).await;
                }
            }
            Event::Down { reason, .. } => {
                self.shared.metrics.broker_lost.inc();
                self.tell(false, reason);
                for car in self.cars.values() {
                    let _ = car.inputs.send(Note::Offline).await;
                }
            }
        }
    }

    fn message(&mut self, topic: &str, payload: Vec<u8>, retained: bool) {
        let Some(car) = self.cars.get(topic) else {
            let known = parse_topic(topic).is_some();
            tracing::debug!(known, "a message for nobody");
            return;
        };
        self.link.heard();
        // A car that does not keep up loses its own messages and nobody else's.
        let note = Note::Message { payload, retained };
        if car.inputs.try_send(note).is_err() {
            self.shared.metrics.overruns.inc();
            lock(&car.record).overrun += 1;
        }
    }

    fn tell(&mut self, up: bool, reason: String) {
        self.shared.metrics.broker_up.set(f64::from(u8::from(up)));
        self.shared.set_broker(up, &reason);
        if self.was_up.replace(up) == Some(up) {
            return;
        }
        let event = if up {
            NewEvent::new(SERVICE, "BrokerConnected").text("The MQTT broker is connected")
        } else {
            tracing::warn!(%reason, "the broker is gone");
            NewEvent::new(SERVICE, "BrokerLost")
                .severity(Severity::Warning)
                .text("The MQTT broker is not connected")
        };
        drop(
            self.shared
                .cx
                .events
                .record(event.data(json!({ "reason": reason }))),
        );
    }
}
