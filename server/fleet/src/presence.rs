//! Presence: a retained word for each car that says whether the server is there.
//!
//! MQTT has one last will a connection, and each car has a topic of its own; so each car has a small connection of its
//! own, which does nothing else. Off by default: gateways in the field do not look at it.

use std::{collections::BTreeMap, time::Duration};

use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    mqtt::{Endpoint, Event, Link as _, client::Client},
    name::{CarName, Way},
};

/// The words, as VDA 5050 has them.
const ONLINE: &str = "ONLINE";
const OFFLINE: &str = "OFFLINE";
const BROKEN: &str = "CONNECTIONBROKEN";

/// The connections; none when it is off.
pub(crate) struct Presence {
    endpoint: Option<Endpoint>,
    cars: BTreeMap<CarName, (oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Presence {
    pub(crate) fn new(on: bool, endpoint: Endpoint) -> Self {
        Self {
            endpoint: on.then_some(endpoint),
            cars: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, car: &CarName) {
        let Some(endpoint) = &self.endpoint else {
            return;
        };
        let topic = car.topic(Way::Presence);
        let mut endpoint = endpoint.clone();
        endpoint.client_id = format!("{}-{}-{}", endpoint.client_id, car.company(), car.name());
        endpoint.will = Some((topic.clone(), BROKEN.into()));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(announce(Client::new(endpoint), topic, stopped));
        self.cars.insert(car.clone(), (stop, task));
    }

    pub(crate) fn remove(&mut self, car: &CarName) {
        if let Some((stop, _)) = self.cars.remove(car) {
            let _ = stop.send(());
        }
    }

    pub(crate) async fn stop(&mut self) {
        let (stops, tasks): (Vec<_>, Vec<_>) = std::mem::take(&mut self.cars).into_values().unzip();
        for stop in stops {
            let _ = stop.send(());
        }
        for task in tasks {
            let _ = task.await;
        }
    }
}

async fn announce(mut client: Client, topic: String, mut stopped: oneshot::Receiver<()>) {
    let publisher = client.publisher();
    loop {
        tokio::select! {
            event = client.next() => if let Event::Up = event {
                let _ = publisher.publish(&topic, ONLINE.into(), true);
            },
            _ = &mut stopped => break,
        }
    }
    // The connection is simply closed afterwards; the broker then tells the last will, unless it is outdated by this.
    let Ok(delivered) = publisher.publish_tracked(&topic, OFFLINE.into(), true) else {
        return;
    };
    let end = async {
        tokio::select! {
            () = delivered => {}
            () = async { loop { client.next().await; } } => {}
        }
        client.disconnect().await;
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), end).await;
}
