//! The running service: backends, Python workers, the repl with a small client of each dialect, and the real
//! client of AIMM where `LEITSTAND_PYTHON` names an interpreter that has it.
#![allow(clippy::unwrap_used)]

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use leitstand_kit::{CancellationToken, Context, config::Document};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tungstenite::Message;

use crate::{
    Models, ModelsSection,
    engine::{Answer, Arguments, Phase, Request},
    error::{CallError, Kind},
    repl::{frame::Dialect, users::digest},
    series::NoSeries,
};

const PLUGIN: &str = r#"
import json, os, signal, sys, time
from aimm import plugins

@plugins.instantiate("T")
def make(**kwargs):
    print("plugins may print")
    return {"n": 0}

@plugins.serialize(["T"])
def save(instance):
    return json.dumps(instance).encode()

@plugins.deserialize(["T"])
def load(data):
    return json.loads(data)

@plugins.fit(["T"], state_cb_arg_name="cb")
def fit(instance, *args, cb, **kwargs):
    cb({"half": True})
    return {"n": instance["n"] + 1}

@plugins.predict(["T"])
def predict(instance, *args, **kwargs):
    what = args[0] if args else None
    if what == "sleep":
        if kwargs.get("deaf"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(kwargs["mark"], "w").write(str(os.getpid()))
        time.sleep(60)
    if what == "exit":
        os._exit(9)
    if what == "nan":
        return [float("nan")]
    if what == "raise":
        raise ValueError("boom")
    if what == "count":
        instance["n"] += 1
    return [list(args), kwargs, instance["n"]]

@plugins.data_access("seq")
def seq(n):
    return list(range(n))
"#;

/// A service that runs in a directory of its own.
struct Running {
    models: Models,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn settings(text: &str) -> crate::Settings {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct File {
        models: ModelsSection,
    }
    let document = Document::parse(text, "test.toml");
    let (file, mut diagnostics) = document.check::<File>();
    let at = leitstand_kit::config::Path::root().key("models");
    let settings = file.and_then(|file| crate::config::check(&file.models, &at, &mut diagnostics));
    settings.unwrap_or_else(|| panic!("{}", diagnostics.report(false)))
}

impl Running {
    async fn start(dir: &Path, text: &str) -> Self {
        std::fs::write(dir.join("plug.py"), PLUGIN).unwrap();
        let stop = CancellationToken::new();
        let mut cx = Context::for_tests(dir).with_stop(stop.clone());
        cx.paths.config_dir = dir.to_owned();
        let models = Models::open(&cx, settings(text), Arc::new(NoSeries), None).unwrap();
        let instance = models.instance();
        let task = tokio::spawn(async move { instance.run(cx).await.unwrap() });
        let running = Self { models, stop, task };
        // The first answer tells that it runs, plugins loaded.
        let _ = running.models.model(0).await;
        running
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    async fn create(&self, model_type: &str, kwargs: Value) -> u64 {
        let arguments = Arguments {
            args: vec![],
            kwargs: kwargs.as_object().cloned().unwrap(),
        };
        match self
            .models
            .call(
                "t",
                Request::Create {
                    model_type: model_type.into(),
                    arguments,
                },
            )
            .await
            .unwrap()
        {
            Answer::Model { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    async fn predict(&self, id: u64, args: Value, kwargs: Value) -> Result<Value, CallError> {
        let arguments = Arguments {
            args: args.as_array().cloned().unwrap(),
            kwargs: kwargs.as_object().cloned().unwrap(),
        };
        match self
            .models
            .call("t", Request::Predict { id, arguments })
            .await?
        {
            Answer::Value(value) => Ok(value),
            other => panic!("{other:?}"),
        }
    }
}

const BUILTIN: &str = "[models]\n";
const PYTHON: &str = "[models]\n[models.engine]\nmax_children = 3\nsigterm_timeout_s = 0.3\n[models.plugins]\npython = [\"plug\"]\n";

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_b1_b6_models_survive_a_restart_and_pure_predictions_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = Running::start(dir.path(), BUILTIN).await;
    let id = first.create("builtin.ewma", json!({"alpha": 0.5})).await;
    let answer = first
        .predict(id, json!([[10, 20, 20]]), json!({}))
        .await
        .unwrap();
    assert_eq!(answer["value"], json!([10.0, 15.0, 17.5]), "N1");
    assert_eq!(answer["score"][0], Value::Null);
    for _ in 0..1000 {
        first.predict(id, json!([[1]]), json!({})).await.unwrap();
    }
    assert_eq!(
        first.models.versions(id).await.unwrap().len(),
        1,
        "no write but the creation"
    );
    first
        .predict(id, json!([[10, 20]]), json!({"learn": true}))
        .await
        .unwrap();
    assert_eq!(first.models.versions(id).await.unwrap().len(), 2);
    let before = first.predict(id, json!([[20]]), json!({})).await.unwrap();
    first.end().await;
    let second = Running::start(dir.path(), BUILTIN).await;
    assert_eq!(
        second.predict(id, json!([[20]]), json!({})).await.unwrap(),
        before
    );
    assert_eq!(before["value"], json!([17.5]));
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_b3_a_model_without_its_plugin_is_kept_and_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), BUILTIN).await;
    let bytes: Arc<[u8]> = b"\x80\x04K\x01.".as_slice().into();
    let add = |model_type: &str| Request::Add {
        model_type: model_type.into(),
        bytes: bytes.clone(),
    };
    running.models.call("t", add("plug.Gone")).await.unwrap();
    assert_eq!(
        running
            .models
            .call("t", add("builtin.ewma"))
            .await
            .unwrap_err()
            .kind,
        Kind::BadArgument,
        "a pickle"
    );
    let error = running.predict(1, json!([]), json!({})).await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (Kind::NotFound, "no predict plugin for model type plug.Gone")
    );
    running.end().await;
    let again = Running::start(dir.path(), BUILTIN).await;
    assert!(!again.models.follow().borrow().models[&1].available);
    assert_eq!(again.models.model(1).await.unwrap().1, bytes);
    again.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_plugins_are_called_with_references_progress_and_their_own_errors() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), PYTHON).await;
    let id = running.create("T", json!({})).await;
    let reference = json!({"type": "data_access", "name": "seq", "args": [3]});
    let answer = running
        .predict(id, json!([reference]), json!({"x": {"type": "foo"}}))
        .await
        .unwrap();
    assert_eq!(
        answer,
        json!([[[0, 1, 2]], {"x": {"type": "foo"}}, 0]),
        "A1, A5"
    );
    let fit = Request::Fit {
        id,
        arguments: Arguments::default(),
    };
    running.models.call("t", fit).await.unwrap();
    let state = running.models.follow().borrow().clone();
    assert_eq!(
        state.actions.last_key_value().unwrap().1.action,
        Some(json!({"half": true}))
    );
    assert_eq!(
        running
            .predict(id, json!(["count"]), json!({}))
            .await
            .unwrap()[2],
        2,
        "fitted, then counted"
    );
    assert_eq!(
        running.predict(id, json!([]), json!({})).await.unwrap()[2],
        2,
        "a change by predict is kept"
    );
    let error = running
        .predict(id, json!(["raise"]), json!({}))
        .await
        .unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (Kind::Plugin, "boom"));
    assert_eq!(
        running
            .predict(id, json!(["nan"]), json!({}))
            .await
            .unwrap_err()
            .kind,
        Kind::NonFinite,
        "N4"
    );
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c5_a_lost_worker_fails_its_call_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), PYTHON).await;
    let id = running.create("T", json!({})).await;
    let error = running
        .predict(id, json!(["exit"]), json!({}))
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::WorkerLost);
    assert!(error.message.contains('9'), "{}", error.message);
    assert!(running.predict(id, json!([]), json!({})).await.is_ok());
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c1_c2_a_cancelled_plugin_is_gone_also_when_it_ignores_the_signal() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), PYTHON).await;
    let id = running.create("T", json!({})).await;
    for deaf in [false, true] {
        let mark = dir.path().join(format!("pid{deaf}"));
        let arguments = Arguments {
            args: vec![json!("sleep")],
            kwargs: json!({"deaf": deaf, "mark": mark})
                .as_object()
                .cloned()
                .unwrap(),
        };
        let call = running.models.new_call();
        let (models, request) = (running.models.clone(), Request::Predict { id, arguments });
        let asked = tokio::spawn(async move { models.call_as(call, "t", request).await });
        until("the plugin runs", || {
            std::fs::read_to_string(&mark).is_ok_and(|pid| !pid.is_empty())
        })
        .await;
        let took = running
            .models
            .call("t", Request::CancelCall(call))
            .await
            .unwrap();
        assert_eq!(took, Answer::Took(true));
        assert_eq!(asked.await.unwrap().unwrap_err().kind, Kind::Cancelled);
        let pid = std::fs::read_to_string(&mark).unwrap();
        assert!(
            !Path::new("/proc").join(pid.trim()).exists(),
            "the process is gone (deaf: {deaf})"
        );
        let state = running.models.follow().borrow().clone();
        assert_eq!(
            state.actions.last_key_value().unwrap().1.progress,
            Phase::Cancelled
        );
        assert!(
            running.predict(id, json!([]), json!({})).await.is_ok(),
            "the next call works"
        );
    }
    running.end().await;
}

// --- the repl ------------------------------------------------------------------------------------------------

fn repl() -> String {
    let password = digest("pass");
    format!(
        "{BUILTIN}[[models.control]]\nkind = \"repl\"\nbind = \"127.0.0.1:0\"\nautoflush_delay_s = 0.02\n\
        users = [{{ username = \"user\", password = \"{password}\", role = \"admin\" }}]\n"
    )
}

/// A client as small as can be.
struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    dialect: Dialect,
    next: u64,
    states: Vec<Value>,
}

impl Client {
    async fn connect(models: &Models, path: &str, dialect: Dialect) -> Self {
        let url = format!("ws://{}{path}", models.repl_addresses()[0]);
        Self {
            socket: connect_async(url).await.unwrap().0,
            dialect,
            next: 1,
            states: Vec::new(),
        }
    }

    async fn say(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next message; `None` at the close.
    async fn hear(&mut self) -> Option<Value> {
        let mut text = String::new();
        loop {
            let frame = match self.socket.next().await?.ok()? {
                Message::Text(frame) => frame.to_string(),
                Message::Close(_) => return None,
                _ => continue,
            };
            if self.dialect == Dialect::V06 {
                return serde_json::from_str(&frame).ok();
            }
            assert!(frame.chars().count() <= 65_537, "a part is too long");
            text.push_str(&frame[1..]);
            if frame.starts_with('0') {
                return serde_json::from_str(&text).ok();
            }
        }
    }

    async fn ask(&mut self, name: &str, data: Value) -> Value {
        let id = self.next;
        self.next += 1;
        let request = json!({"type": "request", "id": id, "name": name, "data": data}).to_string();
        for frame in self.dialect.encode(request) {
            self.say(frame).await;
        }
        loop {
            let message = self.hear().await.expect("an answer");
            if message["type"] == "state" {
                self.states.push(message["diff"].clone());
            } else if message["id"] == id {
                return message;
            }
        }
    }

    async fn login(&mut self) {
        let answer = self
            .ask(
                "login",
                json!({"username": "user", "password": digest("pass")}),
            )
            .await;
        assert_eq!(answer["data"], json!({"success": true}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_r1_to_r5_and_r8_to_r12_with_a_small_client_of_each_dialect() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), &repl()).await;
    for (dialect, path) in [(Dialect::V06, "/"), (Dialect::V07, "/ws")] {
        let mut client = Client::connect(&running.models, path, dialect).await;
        let refused = client.ask("predict", json!({"instance_id": 1})).await;
        assert_eq!(
            (&refused["success"], &refused["data"]),
            (&json!(false), &json!("unauthorized action")),
            "R3"
        );
        client.login().await;
        let long = "ö".repeat(30_000) + &"x".repeat(140_000);
        assert_eq!(client.ask("", json!(long)).await["data"], json!(long), "R4");
        let created = client
            .ask(
                "create_instance",
                json!({"model_type": "builtin.ewma", "args": [], "kwargs": {}}),
            )
            .await;
        let id = created["data"]["instance_id"].clone();
        assert!(
            id.is_u64() && created["data"]["instance"].is_string(),
            "{created}"
        );
        let first = &client.states[0][0];
        assert_eq!(
            (&first["op"], &first["path"]),
            (&json!("replace"), &json!("")),
            "R1"
        );
        assert!(first["value"]["models"].is_object() && first["value"]["actions"].is_object());
        let error = |answer: Value| answer["data"].as_str().unwrap_or_default().to_owned();
        let none = client
            .ask(
                "create_instance",
                json!({"model_type": "no.such", "args": [], "kwargs": {}}),
            )
            .await;
        assert_eq!(
            error(none),
            "no instantiation plugin for model type no.such",
            "R8"
        );
        assert_eq!(
            error(client.ask("fit", json!({"instance_id": 99})).await),
            "instance 99 not found",
            "R9"
        );
        assert_eq!(
            error(client.ask("predict", json!({})).await),
            "missing field instance_id",
            "R10"
        );
        assert_eq!(
            error(client.ask("dance", json!({})).await),
            "unknown call dance"
        );
        let ragged = json!({"type": "numpy_array", "dtype": "float64", "data": [[1], [1, 2]]});
        let ragged = client
            .ask("predict", json!({"instance_id": id, "args": [ragged]}))
            .await;
        assert_eq!(ragged["success"], false);
        assert_eq!(
            client.ask("logout", Value::Null).await["data"],
            Value::Null,
            "R11"
        );
        assert_eq!(
            error(client.ask("predict", json!({"instance_id": id})).await),
            "unauthorized action"
        );
    }
    let state = running.models.follow().borrow().clone();
    assert!(
        state
            .actions
            .values()
            .all(|action| action.progress.is_terminal()),
        "R8, R9"
    );
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_r2_r5_r12_wrong_digests_pings_and_nonsense() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), &repl()).await;
    let mut good = Client::connect(&running.models, "/", Dialect::V07).await;
    good.login().await;
    good.say("2abc".into()).await;
    let pong = loop {
        match good.socket.next().await.unwrap().unwrap() {
            Message::Text(text) if text.starts_with('3') => break text.to_string(),
            _ => {}
        }
    };
    assert_eq!(pong, "3abc", "R5");
    let mut wrong = Client::connect(&running.models, "/", Dialect::V07).await;
    let answer = wrong
        .ask(
            "login",
            json!({"username": "user", "password": digest("no")}),
        )
        .await;
    assert_eq!(answer["data"], json!({"success": false}), "R2");
    while wrong.hear().await.is_some() {}
    for nonsense in [
        Message::binary(vec![0_u8; 3]),
        Message::text("0{\"type\":\"x\"}"),
        Message::text("0{"),
        Message::text("hello"),
        Message::text(format!("0{}", "x".repeat(65 << 20))),
    ] {
        let mut client = Client::connect(&running.models, "/", Dialect::V07).await;
        // A server that closes while a long message is still being sent is as good as a close frame.
        if client.socket.send(nonsense).await.is_ok() {
            while client.hear().await.is_some() {}
        }
    }
    assert_eq!(
        good.ask("", json!(1)).await["data"],
        1,
        "other connections are unaffected"
    );
    running.end().await;
}

/// The published client, unchanged but for its two questions.
const REAL_CLIENT: &str = r#"
import asyncio, builtins, sys
import numpy
from sklearn import datasets
import aimm.client.repl as repl
builtins.input = lambda prompt: "user"
repl.getpass = lambda prompt: "pass"

async def main():
    client = repl.AIMM()
    await client.connect(sys.argv[1])
    model = await client.create_instance("iris.SVC", C=10.0, gamma=0.001)
    x, y = datasets.load_iris(return_X_y=True)
    await model.fit(x, y)
    two = await model.predict(numpy.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]))
    assert list(two) == [0, 2], two
    whole = await model.predict(x)
    right = [int(((whole == k) & (y == k)).sum()) for k in range(3)]
    assert right == [50, 47, 45], right
    wrong = {int(i): int(whole[i]) for i in numpy.nonzero(whole != y)[0]}
    assert wrong == {52: 2, 77: 2, 83: 2, 106: 1, 119: 1, 121: 1, 126: 1, 138: 1}, wrong
    try:
        await client.create_instance("no.such")
        raise SystemExit("no error")
    except Exception as error:
        assert "no instantiation plugin for model type no.such" in str(error), error
    for _ in range(100):
        state = client.state
        if state and all(a["progress"] != "executing" for a in state["actions"].values()) and len(state["actions"]) == 5:
            break
        await asyncio.sleep(0.1)
    assert [state["actions"][k]["progress"] for k in sorted(state["actions"])][:4] == ["complete"] * 4, state
    print("conform")

asyncio.run(main())
"#;

const IRIS: &str = r#"
import pickle
from sklearn import svm
from aimm import plugins

@plugins.model
class SVC(plugins.Model):
    def __init__(self, **kwargs):
        self.svc = svm.SVC(**kwargs)
    def fit(self, x, y):
        self.svc.fit(x, y)
        return self
    def predict(self, x):
        return self.svc.predict(x)
    def serialize(self):
        return pickle.dumps(self.svc)
    @classmethod
    def deserialize(cls, data):
        model = cls()
        model.svc = pickle.loads(data)
        return model
"#;

#[tokio::test(flavor = "multi_thread")]
async fn golden_r6_r7_the_real_client_trains_iris_with_scikit_learn() {
    let Some(python) = std::env::var_os("LEITSTAND_PYTHON") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "LEITSTAND_PYTHON names no interpreter"
        );
        eprintln!("skipped: LEITSTAND_PYTHON names no interpreter with aimm and scikit-learn");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("iris.py"), IRIS).unwrap();
    std::fs::write(dir.path().join("client.py"), REAL_CLIENT).unwrap();
    let plugins = format!("[models.plugins]\npython = [\"iris\"]\npython_command = [{python:?}]\n");
    let running = Running::start(dir.path(), &format!("{}{plugins}", repl())).await;
    let url = format!("ws://{}/", running.models.repl_addresses()[0]);
    let script = dir.path().join("client.py");
    let done = tokio::task::spawn_blocking(move || {
        std::process::Command::new(python)
            .arg(script)
            .arg(url)
            .output()
    });
    let output = done.await.unwrap().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && printed.contains("conform"),
        "{printed}"
    );
    running.end().await;
}
