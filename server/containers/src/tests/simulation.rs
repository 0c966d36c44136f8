//! A seeded day of many clients: creates, ends, failures, vanishing, time passing. What must hold after every step:
//! permits never leak, nothing runs that nobody holds, an undelivered answer ends its container.

use super::*;
use crate::{
    engine::{Why, Wish},
    id::ContainerId,
};

/// A small generator: the same seed is the same day.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seeded_day_keeps_its_invariants() {
    let replay = std::env::var("LEITSTAND_SEED")
        .ok()
        .and_then(|s| s.parse().ok());
    let seeds: Vec<u64> = replay.map_or((1..=12).collect(), |seed| vec![seed]);
    for seed in seeds {
        day(seed).await;
    }
}

async fn day(seed: u64) {
    let replay = format!("LEITSTAND_SEED={seed} cargo test -p leitstand-containers a_seeded_day");
    let (clock, hand) = Clock::manual();
    let places = 1 + (seed % 5) as u32;
    let lab = Lab::with_clock(&format!("max_running = {places}\nttl_s = 600"), clock).await;
    let mut rng = Rng(seed);
    let mut held: Vec<ContainerId> = Vec::new();
    for _ in 0..150 {
        match rng.below(8) {
            0..=2 => {
                let burst = 1 + rng.below(6);
                let all = (0..burst).map(|_| lab.engine.create(Wish::default()));
                for made in futures_util::future::join_all(all)
                    .await
                    .into_iter()
                    .flatten()
                {
                    held.push(made.id);
                }
            }
            3 if !held.is_empty() => {
                let id = held.swap_remove(rng.below(held.len() as u64) as usize);
                // Two at once: one of them ends it.
                let (a, b) = tokio::join!(
                    lab.engine.destroy(id, Why::Client, None),
                    lab.engine.destroy(id, Why::Undelivered, None)
                );
                assert!(a ^ b, "{replay}: ended by {a} and {b}");
            }
            4 if !held.is_empty() => {
                let id = held.swap_remove(rng.below(held.len() as u64) as usize);
                lab.mock.power_off(id);
                until(|| lab.engine.get(id).is_none()).await;
            }
            5 => lab
                .mock
                .fail_next(["create", "ready"][rng.below(2) as usize]),
            6 => hand.advance(Duration::from_secs(rng.below(200))),
            _ => {
                // A client that asks and leaves.
                let address = lab.address;
                let vanish = tokio::task::spawn_blocking(move || {
                    if let Ok(mut client) = connect(address, Framing::W3) {
                        let _ = client.send(br#"{"verb": "CREATE", "parameters": {}}"#);
                    }
                });
                // The clock of the connections is real, and their time is their own.
                vanish.await.unwrap();
            }
        }
        assert!(lab.engine.available() <= places, "{replay}");
        held.retain(|id| lab.engine.get(*id).is_some());
    }
    lab.mock.fail_next("");
    for id in held {
        lab.engine.destroy(id, Why::Operator, None).await;
    }
    until(|| lab.engine.available() == places && lab.mock.running() == 0).await;
    assert!(
        lab.engine.ledger().rows().await.unwrap().is_empty(),
        "{replay}"
    );
}
