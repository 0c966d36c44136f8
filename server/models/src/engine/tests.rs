//! The cases of the specification that are about order, on a script: what runs is ended by hand.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::plugin::Traits;

/// An engine with models 1 and 2, and everything it said.
struct Bench {
    engine: Engine,
    now: Instant,
    calls: u64,
    running: Vec<(TaskId, Work)>,
    stores: Vec<(Ticket, Store)>,
    answers: BTreeMap<CallId, Result<Answer, CallError>>,
    stopped: Vec<TaskId>,
    /// Of the newest action: phase and progress, without repetitions.
    seen: Vec<String>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let mut catalogue = Catalogue::default();
        for role in [Role::Instantiate, Role::Fit, Role::Predict] {
            catalogue.add(role, "T", Traits::default());
        }
        for name in ["seq", "a", "b"] {
            catalogue.add(Role::DataAccess, name, Traits::default());
        }
        let stored = |id| Stored {
            id,
            model_type: "T".into(),
            bytes: b"old".as_slice().into(),
        };
        Self {
            engine: Engine::new(limits, 0, vec![stored(1), stored(2)], catalogue),
            now: Instant::ZERO,
            calls: 0,
            running: Vec::new(),
            stores: Vec::new(),
            answers: BTreeMap::new(),
            stopped: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn feed(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Run(task, work) => self.running.push((task, work)),
                Output::Stop(task) => self.stopped.push(task),
                Output::Store(ticket, store) => self.stores.push((ticket, store)),
                Output::Answer(call, result) => {
                    assert!(self.answers.insert(call, result).is_none())
                }
                Output::Publish(state) => {
                    let Some((_, action)) = state.actions.last_key_value() else {
                        continue;
                    };
                    let phase = serde_json::to_value(action.progress).unwrap();
                    let line = format!(
                        "{} {:?} {:?}",
                        phase.as_str().unwrap(),
                        action.data_access,
                        action.action
                    );
                    if self.seen.last() != Some(&line) {
                        self.seen.push(line);
                    }
                }
            }
        }
    }

    fn call(&mut self, request: Request) -> CallId {
        self.calls += 1;
        let id = CallId(self.calls);
        self.feed(Input::Call {
            id,
            user: "u".into(),
            request,
        });
        id
    }

    fn predict(&mut self, id: u64) -> CallId {
        self.call(Request::Predict {
            id,
            arguments: Arguments::default(),
        })
    }

    fn fit(&mut self, id: u64, args: Vec<Value>, kwargs: Value) -> CallId {
        let Value::Object(kwargs) = kwargs else {
            panic!("kwargs are an object")
        };
        self.call(Request::Fit {
            id,
            arguments: Arguments { args, kwargs },
        })
    }

    /// Ends the task at `index` of those that run.
    fn end(&mut self, index: usize, value: Value, instance: Option<&[u8]>) {
        let (task, _) = self.running.remove(index);
        let outcome = Outcome {
            value,
            instance: instance.map(Into::into),
        };
        self.feed(Input::Ended(task, Ok(outcome)));
    }

    fn gone(&mut self, index: usize) {
        let (task, _) = self.running.remove(index);
        self.feed(Input::Ended(
            task,
            Err(CallError::new(Kind::WorkerLost, "killed")),
        ));
    }

    fn stored(&mut self) {
        let (ticket, store) = self.stores.remove(0);
        let number = match store {
            Store::Create { .. } => 3,
            Store::Update { id, .. } | Store::Remove { id } => id,
        };
        self.feed(Input::Stored(ticket, Ok(number)));
    }

    fn action(&self, id: u64) -> &ActionState {
        &self.engine.state().actions[&id]
    }

    fn failure(&self, call: CallId) -> (Kind, &str) {
        let error = self.answers[&call].as_ref().unwrap_err();
        (error.kind, error.message.as_str())
    }
}

fn reference(name: &str, args: Value) -> Value {
    json!({"type": "data_access", "name": name, "args": args, "kwargs": {}})
}

#[test]
fn golden_a1_phases_and_progress_in_order() {
    let mut bench = Bench::new(Limits::default());
    bench.fit(1, vec![reference("seq", json!([3]))], json!({}));
    let fetch = bench.running[0].0;
    assert_eq!(bench.running[0].1.args, [json!(3)]);
    for i in 0..3 {
        bench.feed(Input::Progress(fetch, json!({"i": i})));
    }
    bench.end(0, json!([0, 1, 2]), None);
    assert_eq!(
        bench.running[0].1.args,
        [json!([0, 1, 2])],
        "the plugin sees the data"
    );
    assert_eq!(
        bench.action(1).meta.args,
        ["DataAccess(name='seq', args=[3], kwargs={})"]
    );
    bench.end(0, Value::Null, Some(b"new"));
    bench.stored();
    let fetched = r#"{"0": Object {"i": Number(2)}}"#;
    let expected = [
        "accessing_data {} None".to_owned(),
        r#"accessing_data {"0": Object {"i": Number(0)}} None"#.to_owned(),
        r#"accessing_data {"0": Object {"i": Number(1)}} None"#.to_owned(),
        format!("accessing_data {fetched} None"),
        format!("executing {fetched} None"),
        format!("storing {fetched} None"),
        format!("complete {fetched} None"),
    ];
    assert_eq!(bench.seen, expected);
}

#[test]
fn golden_a2_each_parameter_gets_its_own_data() {
    let mut bench = Bench::new(Limits::default());
    bench.fit(
        1,
        vec![reference("a", json!([]))],
        json!({"y": reference("b", json!([]))}),
    );
    let (first, second) = (bench.running[0].0, bench.running[1].0);
    bench.feed(Input::Progress(first, json!(1)));
    bench.feed(Input::Progress(second, json!(2)));
    bench.end(1, json!("of b"), None);
    bench.end(0, json!("of a"), None);
    let work = &bench.running[0].1;
    assert_eq!(
        (&work.args[0], &work.kwargs["y"]),
        (&json!("of a"), &json!("of b"))
    );
    let keys: Vec<_> = bench
        .action(1)
        .data_access
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(keys, ["0", "y"]);
}

#[test]
fn golden_a3_an_unknown_reference_stops_the_others() {
    let mut bench = Bench::new(Limits::default());
    let call = bench.fit(
        1,
        vec![reference("a", json!([])), reference("N", json!([]))],
        json!({}),
    );
    assert_eq!(
        bench.failure(call),
        (Kind::NotFound, "no data access plugin for name N")
    );
    assert!(bench.running.is_empty(), "nothing ran");
    // One that fails while it runs stops the other, and the lock was never taken.
    let call = bench.fit(
        1,
        vec![reference("a", json!([])), reference("b", json!([]))],
        json!({}),
    );
    let other = bench.running[1].0;
    bench.gone(0);
    assert_eq!(bench.failure(call).0, Kind::WorkerLost);
    assert_eq!(bench.stopped, [other]);
    bench.predict(1);
    assert_eq!(bench.running.last().unwrap().1.role, Role::Predict);
}

#[test]
fn golden_a4_inner_references_first_and_not_too_deep() {
    let mut bench = Bench::new(Limits::default());
    bench.fit(
        1,
        vec![reference("a", json!([0, reference("b", json!([]))]))],
        json!({}),
    );
    assert_eq!(
        (bench.running.len(), bench.running[0].1.key.as_str()),
        (1, "b")
    );
    bench.feed(Input::Progress(bench.running[0].0, json!(1)));
    assert!(bench.action(1).data_access.contains_key("0.args.1"));
    bench.end(0, json!("inner"), None);
    assert_eq!(bench.running[0].1.args, [json!(0), json!("inner")]);
    let nest = |depth: usize| (0..depth).fold(json!(1), |inner, _| reference("a", json!([inner])));
    let call = bench.fit(2, vec![nest(9)], json!({}));
    assert_eq!(bench.failure(call).0, Kind::BadArgument);
    bench.fit(2, vec![nest(8)], json!({}));
    assert_eq!(
        bench.running.last().unwrap().1.args,
        [json!(1)],
        "eight are allowed"
    );
}

#[test]
fn golden_a5_objects_of_other_types_are_plain_data() {
    let mut bench = Bench::new(Limits::default());
    let foo = json!({"type": "foo", "name": "seq"});
    bench.fit(1, vec![foo.clone()], json!({}));
    assert_eq!(bench.running[0].1.args, [foo]);
}

#[test]
fn golden_l1_a_fit_waits_until_the_prediction_is_stored() {
    let mut bench = Bench::new(Limits::default());
    bench.predict(1);
    bench.fit(1, vec![], json!({}));
    assert_eq!(
        (bench.running.len(), bench.action(2).progress),
        (1, Phase::Queued)
    );
    bench.end(0, json!(1), Some(b"learned"));
    assert!(bench.running.is_empty(), "not before it is stored");
    bench.stored();
    let instance = bench.running[0].1.instance.clone().unwrap();
    assert_eq!(
        (&*instance.bytes, instance.version),
        (b"learned".as_slice(), 2),
        "and it sees the new one"
    );
}

#[test]
fn golden_l2_an_update_during_a_fit_wins() {
    let mut bench = Bench::new(Limits::default());
    bench.fit(1, vec![], json!({}));
    bench.call(Request::Update {
        id: 1,
        model_type: "T".into(),
        bytes: b"update".as_slice().into(),
    });
    assert!(bench.stores.is_empty());
    bench.end(0, Value::Null, Some(b"fitted"));
    bench.stored();
    bench.stored();
    assert_eq!(&**bench.engine.model(1).unwrap().1, b"update");
}

#[test]
fn golden_l3_different_instances_run_side_by_side() {
    let mut bench = Bench::new(Limits {
        slots: 2,
        ..Limits::default()
    });
    let calls = [
        bench.predict(1),
        bench.predict(2),
        bench.call(Request::Create {
            model_type: "T".into(),
            arguments: Arguments::default(),
        }),
    ];
    assert_eq!(
        (bench.running.len(), bench.action(3).progress),
        (2, Phase::Queued),
        "two slots"
    );
    bench.end(0, json!(1), None);
    assert_eq!(bench.running.len(), 2, "the third takes the free slot");
    assert!(bench.answers.contains_key(&calls[0]));
}

#[test]
fn golden_c1_c2_a_cancelled_execution_ends_when_it_is_gone() {
    let mut bench = Bench::new(Limits::default());
    let call = bench.fit(1, vec![], json!({}));
    let cancel = bench.call(Request::Cancel { action: 1 });
    assert_eq!(bench.answers[&cancel], Ok(Answer::Took(true)));
    assert_eq!(bench.stopped, [bench.running[0].0]);
    assert!(!bench.answers.contains_key(&call), "it may still run");
    bench.predict(1);
    assert_eq!(bench.running.len(), 1, "and so the instance is still taken");
    bench.end(0, json!(1), Some(b"too late"));
    assert_eq!(bench.failure(call).0, Kind::Cancelled);
    assert_eq!(bench.action(1).progress, Phase::Cancelled);
    assert_eq!(
        &*bench.running[0].1.instance.as_ref().unwrap().bytes,
        b"old",
        "unchanged"
    );
}

#[test]
fn golden_c3_what_does_not_execute_yet_is_cancelled_at_once() {
    let mut bench = Bench::new(Limits::default());
    bench.predict(1);
    let waiting = bench.predict(1);
    bench.call(Request::CancelCall(waiting));
    assert_eq!(bench.failure(waiting).0, Kind::Cancelled);
    let fetching = bench.fit(
        2,
        vec![reference("a", json!([])), reference("b", json!([]))],
        json!({}),
    );
    let tasks = [bench.running[1].0, bench.running[2].0];
    bench.call(Request::CancelCall(fetching));
    assert_eq!(bench.failure(fetching).0, Kind::Cancelled);
    assert_eq!(bench.stopped, tasks, "their processes end too");
}

#[test]
fn golden_c4_what_is_over_cannot_be_cancelled() {
    let mut bench = Bench::new(Limits::default());
    bench.predict(1);
    bench.end(0, json!(1), None);
    let cancel = bench.call(Request::Cancel { action: 1 });
    let unknown = bench.call(Request::Cancel { action: 99 });
    assert_eq!(bench.answers[&cancel], Ok(Answer::Took(false)));
    assert_eq!(bench.answers[&unknown], Ok(Answer::Took(false)));
    assert_eq!(bench.action(1).progress, Phase::Complete);
    // Nor what is being stored.
    let call = bench.fit(1, vec![], json!({}));
    bench.end(0, Value::Null, Some(b"new"));
    let cancel = bench.call(Request::Cancel { action: 2 });
    assert_eq!(bench.answers[&cancel], Ok(Answer::Took(false)));
    bench.stored();
    assert!(bench.answers[&call].is_ok());
}

#[test]
fn golden_c6_the_time_of_an_action_ends() {
    let timeout = Some(Duration::from_secs(1));
    let mut bench = Bench::new(Limits {
        timeout,
        ..Limits::default()
    });
    let call = bench.predict(1);
    bench.now = bench.engine.poll_timeout().unwrap();
    assert_eq!(bench.now, Instant::from_secs(1));
    bench.engine.handle_timeout(bench.now);
    bench.drain();
    assert_eq!(bench.stopped.len(), 1);
    bench.gone(0);
    assert_eq!(
        bench.failure(call),
        (Kind::Timeout, "not complete within 1 s")
    );
    assert_eq!(bench.action(1).error.as_ref().unwrap().kind, "timeout");
}

#[test]
fn golden_b4_r9_unknown_instances_are_refused_before_any_work() {
    let mut bench = Bench::new(Limits::default());
    let bytes: Arc<[u8]> = b"x".as_slice().into();
    let update = bench.call(Request::Update {
        id: 99,
        model_type: "T".into(),
        bytes: bytes.clone(),
    });
    let fit = bench.fit(99, vec![], json!({}));
    let other = bench.call(Request::Update {
        id: 1,
        model_type: "U".into(),
        bytes,
    });
    assert_eq!(
        bench.failure(update),
        (Kind::NotFound, "instance 99 not found")
    );
    assert_eq!(
        bench.failure(fit),
        (Kind::NotFound, "instance 99 not found")
    );
    assert_eq!(bench.failure(other).0, Kind::BadArgument);
    assert!(bench.engine.state().actions.is_empty() && bench.stores.is_empty());
}

#[test]
fn golden_r8_a_create_without_a_plugin_ends_failed() {
    let mut bench = Bench::new(Limits::default());
    let arguments = Arguments::default();
    let call = bench.call(Request::Create {
        model_type: "no.such".into(),
        arguments,
    });
    assert_eq!(
        bench.failure(call).1,
        "no instantiation plugin for model type no.such"
    );
    assert_eq!(bench.action(1).progress, Phase::Failed);
}

#[test]
fn golden_s3_one_more_than_the_queue_is_busy_at_once() {
    let mut bench = Bench::new(Limits {
        slots: 1,
        queue: 256,
        ..Limits::default()
    });
    for _ in 0..257 {
        bench.predict(1);
    }
    let call = bench.predict(2);
    assert_eq!(bench.failure(call).0, Kind::Busy);
    assert_eq!(bench.answers.len(), 1, "the others wait");
}

#[test]
fn progress_is_published_ten_times_a_second_and_the_last_arrives() {
    let mut bench = Bench::new(Limits::default());
    bench.predict(1);
    let task = bench.running[0].0;
    for i in 0..100 {
        bench.feed(Input::Progress(task, json!(i)));
    }
    assert_eq!(bench.seen.len(), 11, "executing and ten values");
    bench.now = bench.engine.poll_timeout().unwrap();
    bench.engine.handle_timeout(bench.now);
    bench.drain();
    assert_eq!(bench.seen.last().unwrap(), "executing {} Some(Number(99))");
}

#[test]
fn finished_actions_are_kept_up_to_the_limit() {
    let mut bench = Bench::new(Limits {
        keep: 3,
        ..Limits::default()
    });
    for _ in 0..10 {
        bench.predict(1);
        bench.end(0, json!(1), None);
    }
    assert_eq!(
        bench
            .engine
            .state()
            .actions
            .keys()
            .copied()
            .collect::<Vec<_>>(),
        [8, 9, 10]
    );
}
