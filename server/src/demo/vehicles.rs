//! The two vehicles of the demonstration. They reach the gateway as real ones do: by MQTT.

use leitstand_core::machine::Machine as _;
use leitstand_fleet::mqtt::client::Client;
use leitstand_fleet::mqtt::{Endpoint, Event, Link as _};
use leitstand_hal_mock::vehicle::drive::Tour;
use leitstand_hal_mock::vehicle::{Input, Output, Timing, Vehicle};
use leitstand_kit::Clock;
use std::time::Duration;

/// As in the demo's configuration.
const COMPANY: &str = "acme";
const CARS: [&str; 2] = ["car_a", "car_b"];

/// A port that is free now, for the demo's broker; another program's broker may have the usual one.
pub(super) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0));
    let addr = listener.and_then(|l| l.local_addr());
    addr.map_or(1883, |addr| addr.port())
}

/// Lets both drive, as long as the runtime lives.
pub(super) fn start(port: u16, seed: u64) {
    for (number, car) in (0..).zip(CARS) {
        tokio::spawn(drive(car, number, port, seed));
    }
}

async fn drive(car: &'static str, number: u32, port: u16, seed: u64) {
    let topic = |level: &str| format!("{COMPANY}/{car}/{level}");
    let (to_server, from_server) = (topic("module_gateway"), topic("external_server"));
    let hint = topic("external_server_disconnect");
    let id = format!("{COMPANY}/{car}");
    let mut client = Client::new(Endpoint::plain("127.0.0.1", port, &id));
    client.subscribe(vec![from_server.clone(), hint.clone()]);
    let publisher = client.publisher();
    let clock = Clock::real();
    let timing = Timing {
        pause: Duration::from_secs(2),
        ..Timing::GATEWAY
    };
    let mut vehicle = Vehicle::new(Tour::devices(), timing, seed ^ u64::from(number));
    let mut tour = Tour::new(number);
    loop {
        while let Some(output) = vehicle.poll_output() {
            match output {
                Output::Publish(bytes) => {
                    // What cannot be sent is lost; the protocol's own timers notice.
                    let _ = publisher.publish(&to_server, bytes, false);
                }
                Output::Command { device, data, .. } => tour.command(device.module, &data),
                Output::Dropped(why) => {
                    tracing::debug!(car, ?why, "a simulated vehicle dropped its link")
                }
                Output::Connected | Output::Answered(_) => {}
            }
        }
        let next = vehicle
            .poll_timeout()
            .map_or(tour.next(), |at| at.min(tour.next()));
        tokio::select! {
            event = client.next() => match event {
                Event::Subscribed(_) => vehicle.handle(clock.now(), Input::Online),
                Event::Down { .. } => vehicle.handle(clock.now(), Input::Offline),
                Event::Message { topic, payload, .. } if topic == hint && payload.is_empty() => {
                    vehicle.handle(clock.now(), Input::Hint);
                }
                Event::Message { payload, .. } => {
                    vehicle.handle(clock.now(), Input::Payload(&payload));
                }
                Event::Up => {}
            },
            () = clock.sleep_until(Some(next)) => {
                vehicle.handle_timeout(clock.now());
                if let Some((device, status)) = tour.poll(clock.now()) {
                    let data = status.as_bytes();
                    vehicle.handle(clock.now(), Input::Status { device, data });
                }
            }
        }
    }
}
