//! What a vehicle publishes: any bytes at any moment leave a car that works, and both readers of the protocol agree.

use leitstand_core::machine::Machine as _;
use leitstand_core::time::{Duration, Instant};
use leitstand_fleet::session::{Baseline, Car, Input, Output, Policy};
use leitstand_fleet::wire::{FromCar, PAYLOAD_BYTES_MAX, read};

pub(crate) fn run(data: &[u8]) {
    let mut car = Car::new(
        Policy {
            timeout: Duration::from_secs(3),
            inactivity: Duration::from_secs(6),
            send_invalid_command: false,
            baseline: Baseline::Sequence,
            modules: [1000].into(),
            company: "acme".into(),
            name: "a".into(),
        },
        0,
    );
    let mut now = Instant::ZERO;
    car.handle(now, Input::Online);
    while car.poll_output().is_some() {}
    // Payloads are told apart by a length of one byte, so that a sequence can be found.
    let mut rest = data;
    while let Some((length, after)) = rest.split_first() {
        let (bytes, next) = after.split_at(usize::from(*length).min(after.len()));
        rest = next;
        if let Ok(FromCar::Connect(connect)) = read(bytes) {
            assert!(connect.devices.len() <= bytes.len());
        }
        now += Duration::from_millis(100);
        car.handle(
            now,
            Input::Payload {
                bytes,
                retained: false,
            },
        );
        while let Some(output) = car.poll_output() {
            if let Output::Publish(bytes) = output {
                assert!(!bytes.is_empty() && bytes.len() <= 2 * PAYLOAD_BYTES_MAX);
            }
        }
        if let Some(at) = car.poll_timeout() {
            assert!(at >= Instant::ZERO);
        }
    }
    now += Duration::from_secs(60);
    car.handle_timeout(now);
    while car.poll_output().is_some() {}
    assert!(
        car.snapshot().session.is_none(),
        "silence ends every session"
    );
}
