//! The engine under random calls, cancels, crashes, failing disks and restarts, on virtual time.
//!
//! `LEITSTAND_SEED=n` replays one seed; `LEITSTAND_SEEDS=n` runs more than the default.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use leitstand_core::time::{Duration, Instant};
use serde_json::json;

use super::*;
use crate::plugin::Traits;

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[derive(Debug)]
enum Due {
    Ended(TaskId, Work),
    Stored(Ticket, Store),
}

/// The world around the engine: plugins that take time, a disk that may refuse.
struct World {
    seed: u64,
    rng: Rng,
    now: Instant,
    engine: Engine,
    due: BTreeMap<(u64, u64), Due>,
    stopped: BTreeSet<TaskId>,
    order: u64,
    /// What is on the disk: by id, bytes.
    disk: BTreeMap<u64, Arc<[u8]>>,
    next_id: u64,
    unanswered: BTreeSet<CallId>,
    terminal: BTreeMap<u64, Phase>,
    running: BTreeMap<u64, BTreeSet<TaskId>>,
    exclusive: BTreeMap<TaskId, (u64, bool)>,
    next_call: u64,
    ends: BTreeMap<&'static str, u64>,
}

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    for role in [Role::Instantiate, Role::Fit, Role::Predict] {
        catalogue.add(role, "t", Traits::default());
        catalogue.add(role, "pure", Traits { pure: true });
    }
    catalogue.add(Role::DataAccess, "seq", Traits::default());
    catalogue
}

fn limits() -> Limits {
    Limits {
        slots: 3,
        queue: 12,
        keep: 20,
        timeout: Some(Duration::from_secs(4)),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now: Instant::from_millis(0),
            engine: Engine::new(limits(), 0, Vec::new(), catalogue()),
            due: BTreeMap::new(),
            stopped: BTreeSet::new(),
            order: 0,
            disk: BTreeMap::new(),
            next_id: 1,
            unanswered: BTreeSet::new(),
            terminal: BTreeMap::new(),
            running: BTreeMap::new(),
            exclusive: BTreeMap::new(),
            next_call: 1,
            ends: BTreeMap::new(),
        }
    }

    fn plan(&mut self, after_ms: u64, due: Due) {
        self.order += 1;
        self.due
            .insert((self.now.as_millis() + after_ms, self.order), due);
    }

    fn feed(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Run(task, work) => {
                    if let Some(instance) = &work.instance {
                        self.enter(task, instance, &work);
                    }
                    let span = 1 + self.rng.below(6_000);
                    self.plan(span, Due::Ended(task, work));
                    assert!(
                        self.engine.tasks.len() <= 3,
                        "seed {}: more tasks than slots",
                        self.seed
                    );
                }
                Output::Stop(task) => {
                    // What was told to stop is gone soon, whatever it had planned.
                    let key = self
                        .due
                        .iter()
                        .find(|(_, d)| matches!(d, Due::Ended(t, _) if *t == task));
                    let key = *key.expect("only what runs is stopped").0;
                    let due = self.due.remove(&key).unwrap();
                    self.stopped.insert(task);
                    let span = self.rng.below(50);
                    self.plan(span, due);
                }
                Output::Store(ticket, store) => {
                    let span = self.rng.below(20);
                    self.plan(span, Due::Stored(ticket, store));
                }
                Output::Answer(call, result) => {
                    assert!(
                        self.unanswered.remove(&call),
                        "seed {}: {call:?} answered twice",
                        self.seed
                    );
                    let name = result.map_or_else(|e| e.kind.name(), |_| "ok");
                    *self.ends.entry(name).or_default() += 1;
                }
                Output::Publish(state) => self.watch(&state),
            }
        }
    }

    /// An instance is used by one exclusive call, or by shared ones.
    fn enter(&mut self, task: TaskId, instance: &Instance, work: &Work) {
        let shared = work.role == Role::Predict && work.key == "pure";
        let users = self.running.entry(instance.id).or_default();
        let alone = users.iter().all(|t| shared && self.exclusive[t].1);
        assert!(
            alone,
            "seed {}: instance {} used twice",
            self.seed, instance.id
        );
        users.insert(task);
        self.exclusive.insert(task, (instance.id, shared));
        let on_disk = &self.disk[&instance.id];
        assert_eq!(
            on_disk, &instance.bytes,
            "seed {}: runs on bytes that are not stored",
            self.seed
        );
    }

    fn watch(&mut self, state: &State) {
        for (id, action) in &state.actions {
            match self.terminal.get(id) {
                Some(end) => assert_eq!(
                    *end, action.progress,
                    "seed {}: action {id} ended twice",
                    self.seed
                ),
                None if action.progress.is_terminal() => {
                    self.terminal.insert(*id, action.progress);
                }
                None => {}
            }
        }
        for (id, model) in &state.models {
            assert_eq!(
                self.disk[id].len(),
                model.bytes,
                "seed {}: shown before it was stored",
                self.seed
            );
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Ended(task, work) => {
                if let Some((id, _)) = self.exclusive.remove(&task) {
                    self.running.get_mut(&id).unwrap().remove(&task);
                }
                let stopped = self.stopped.remove(&task);
                let result = match self.rng.below(10) {
                    _ if stopped => Err(CallError::new(Kind::Cancelled, "stopped")),
                    0 => Err(CallError::new(Kind::WorkerLost, "exit 9")),
                    1 => Err(CallError::new(Kind::Plugin, "boom")),
                    _ => Ok(Outcome {
                        value: json!(1),
                        instance: (work.role != Role::DataAccess).then(|| {
                            let n = self.rng.below(100) as usize;
                            vec![n as u8; n].into()
                        }),
                    }),
                };
                self.feed(Input::Ended(task, result));
            }
            Due::Stored(ticket, store) => {
                let result = if self.rng.below(12) == 0 {
                    Err("the disk is full".to_owned())
                } else {
                    Ok(match store {
                        Store::Create { bytes, .. } => {
                            self.disk.insert(self.next_id, bytes);
                            self.next_id += 1;
                            self.next_id - 1
                        }
                        Store::Update { id, bytes, .. } => {
                            assert!(
                                self.disk.insert(id, bytes).is_some(),
                                "updated what is not there"
                            );
                            id
                        }
                        Store::Remove { id } => {
                            self.disk.remove(&id);
                            id
                        }
                    })
                };
                self.feed(Input::Stored(ticket, result));
            }
        }
    }

    fn act(&mut self) {
        let id = 1 + self.rng.below(self.next_id + 1);
        let deep = json!({"type": "data_access", "name": "seq", "args": [{"type": "data_access", "name": "seq"}]});
        let argument = [json!(1), deep, json!({"type": "data_access", "name": "no"})];
        let argument = argument[[0, 0, 0, 1, 1, 2][self.rng.below(6) as usize]].clone();
        let arguments = Arguments {
            args: vec![argument],
            ..Arguments::default()
        };
        let model_type =
            ["t", "pure", "none"][[0, 0, 1, 1, 2][self.rng.below(5) as usize]].to_owned();
        let bytes: Arc<[u8]> = vec![7; self.rng.below(30) as usize].into();
        let request = match self.rng.below(12) {
            0 | 1 => Request::Create {
                model_type,
                arguments,
            },
            2 => Request::Add { model_type, bytes },
            3 => Request::Update {
                id,
                model_type,
                bytes,
            },
            4 | 5 => Request::Fit { id, arguments },
            6..=8 => Request::Predict { id, arguments },
            9 if self.rng.below(4) == 0 => Request::Remove { id },
            _ => Request::Cancel {
                action: self.rng.below(self.engine.next_action + 1),
            },
        };
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.unanswered.insert(call);
        self.feed(Input::Call {
            id: call,
            user: "sim".into(),
            request,
        });
    }

    /// To the next thing that happens, in time order.
    fn step(&mut self) {
        let next = self.due.keys().next().copied();
        let timeout = self.engine.poll_timeout().map(|at| at.as_millis());
        match (next, timeout) {
            (Some(key), timeout) if timeout.is_none_or(|at| key.0 <= at) => {
                self.now = Instant::from_millis(key.0.max(self.now.as_millis()));
                let due = self.due.remove(&key).unwrap();
                self.happen(due);
            }
            (_, Some(at)) => {
                self.now = Instant::from_millis(at.max(self.now.as_millis()));
                self.engine.handle_timeout(self.now);
                self.drain();
            }
            (_, None) => {}
        }
    }

    /// Everything in flight is lost, as by a power cut; what was stored is there again.
    fn restart(&mut self) {
        let types = &self.engine.models;
        let stored = self.disk.iter().map(|(id, bytes)| Stored {
            id: *id,
            model_type: types
                .get(id)
                .map_or_else(|| "t".to_owned(), |m| m.model_type.clone()),
            bytes: bytes.clone(),
        });
        self.engine = Engine::new(limits(), 0, stored.collect(), catalogue());
        self.due.clear();
        self.stopped.clear();
        self.unanswered.clear();
        self.terminal.clear();
        self.running.clear();
        self.exclusive.clear();
    }

    fn settle(&mut self) {
        let mut steps = 0;
        while !(self.due.is_empty() && self.engine.poll_timeout().is_none()) {
            self.step();
            steps += 1;
            assert!(steps < 100_000, "seed {}: does not come to rest", self.seed);
        }
        let (seed, engine) = (self.seed, &self.engine);
        assert!(
            self.unanswered.is_empty(),
            "seed {seed}: calls without an answer: {:?}",
            self.unanswered
        );
        assert!(
            engine.jobs.is_empty() && engine.tasks.is_empty() && engine.tickets.is_empty(),
            "seed {seed}"
        );
        assert!(
            engine.slot_queue.is_empty() && engine.calls.is_empty() && engine.actions.is_empty(),
            "seed {seed}"
        );
        for (id, model) in &engine.models {
            assert_eq!(
                model.lock.people().count(),
                0,
                "seed {seed}: the lock of {id} leaked"
            );
            assert_eq!(
                self.disk.get(id),
                Some(&model.bytes),
                "seed {seed}: memory and disk differ on {id}"
            );
        }
        assert_eq!(
            engine.models.len(),
            self.disk.len(),
            "seed {seed}: a stored model is lost"
        );
        assert!(
            engine
                .state
                .actions
                .values()
                .all(|a| a.progress.is_terminal()),
            "seed {seed}"
        );
        assert!(
            engine.state.actions.len() <= 20,
            "seed {seed}: actions pile up"
        );
    }
}

#[test]
fn whatever_happens_every_action_ends_once_and_no_stored_model_is_lost() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let seeds = match number("LEITSTAND_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("LEITSTAND_SEEDS").unwrap_or(150),
    };
    let mut ends = BTreeMap::new();
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..400 {
            match world.rng.below(100) {
                0 => world.restart(),
                1 => world.settle(),
                2..=4 => (0..12).for_each(|_| world.act()),
                5..=40 => world.act(),
                _ => world.step(),
            }
        }
        world.settle();
        for (end, n) in world.ends {
            *ends.entry(end).or_insert(0) += n;
        }
    }
    // A simulation that never reaches an end does not test it.
    for end in [
        "ok",
        "busy",
        "plugin",
        "worker_lost",
        "timeout",
        "cancelled",
        "storage",
        "not_found",
    ] {
        assert!(
            std::env::var("LEITSTAND_SEED").is_ok() || ends.contains_key(end),
            "never: {end} in {ends:?}"
        );
    }
}
