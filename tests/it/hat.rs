//! A component in a real Hat: hat-monitor and hat-event-server from PyPI.

use leitstand_kit::{CancellationToken, Clock};
use leitstand_models::hat::eventer::{EventType, Payload, Query, RegisterEvent, Status};
use leitstand_models::hat::link::{Link, LinkError, ProxyClient, Settings, State, Via};
use leitstand_models::hat::monitor::Address;
use leitstand_tests::peer;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::sync::watch;

/// Far above what a busy machine needs; a wait that long is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn local(port: u16) -> Address {
    Address {
        host: "127.0.0.1".into(),
        port,
    }
}

/// A Hat on ports of its own; its programs are started by the test.
struct Hat {
    dir: tempfile::TempDir,
    monitor_program: PathBuf,
    event_program: PathBuf,
    monitor: u16,
    eventer: u16,
}

impl Hat {
    fn find(what: &str) -> Option<Self> {
        Some(Self {
            monitor_program: peer::python_tool(what, "hat-monitor")?,
            event_program: peer::python_tool(what, "hat-event-server")?,
            dir: tempfile::tempdir().unwrap(),
            monitor: free_port(),
            eventer: free_port(),
        })
    }

    fn start(&self, program: &Path, name: &str, config: &serde_json::Value) -> Program {
        let file = self.dir.path().join(name);
        std::fs::write(&file, config.to_string()).unwrap();
        let child = Command::new(program)
            .arg("--conf")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Program(child.unwrap())
    }

    fn start_monitor(&self) -> Program {
        let config = json!({
            "default_algorithm": "BLESS_ONE",
            "group_algorithms": { "event": "BLESS_ALL" },
            "server": { "host": "127.0.0.1", "port": self.monitor, "default_rank": 1 },
            "master": { "host": "127.0.0.1", "port": free_port() },
            "slave": { "parents": [], "connect_timeout": 1, "connect_retry_count": 1, "connect_retry_delay": 0.1 },
        });
        let program = self.start(&self.monitor_program, "monitor.json", &config);
        // hat-event-server gives up when there is no monitor yet.
        leitstand_tests::wait::until("the monitor server listens", || {
            std::net::TcpStream::connect(("127.0.0.1", self.monitor)).ok()
        });
        program
    }

    fn start_event_server(&self) -> Program {
        let config = json!({
            "name": "es1", "server_id": 1, "modules": [],
            "backend": { "module": "hat.event.backends.memory" },
            "eventer_server": { "host": "127.0.0.1", "port": self.eventer },
            "monitor_component": { "host": "127.0.0.1", "port": self.monitor, "group": "event" },
        });
        self.start(&self.event_program, "event.json", &config)
    }

    fn component(&self, name: &str, subscriptions: &[&str]) -> Component {
        let via = Via::Monitor {
            address: local(self.monitor),
            group: "aimm".into(),
            event_group: Some("event".into()),
        };
        Component::start(name, via, subscriptions)
    }
}

/// One of ours, running until it is dropped.
struct Component {
    client: ProxyClient,
    state: watch::Receiver<State>,
    _ready: watch::Sender<bool>,
    stop: CancellationToken,
}

impl Component {
    fn start(name: &str, via: Via, subscriptions: &[&str]) -> Self {
        let settings = Settings {
            name: name.into(),
            via,
        };
        let mut link = Link::new(settings, Clock::real());
        let client = link.proxy(subscriptions.iter().map(|s| kind(s)).collect());
        let state = link.state();
        let (to_ready, ready) = watch::channel(true);
        let stop = CancellationToken::new();
        tokio::spawn(link.run(ready, stop.clone()));
        Self {
            client,
            state,
            _ready: to_ready,
            stop,
        }
    }

    async fn until(&mut self, what: &str, condition: impl Fn(&State) -> bool) {
        let reached = tokio::time::timeout(PATIENCE, self.state.wait_for(|s| condition(s))).await;
        if !matches!(reached, Ok(Ok(_))) {
            panic!("waited in vain for: {what}");
        }
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn kind(text: &str) -> EventType {
    text.split('/').map(str::to_owned).collect()
}

fn event(name: &str, json: &str) -> RegisterEvent {
    RegisterEvent {
        kind: kind(name),
        source_timestamp: None,
        payload: Some(Payload::Json(json.into())),
    }
}

fn operational(state: &State) -> bool {
    state.active && state.events == Some(Status::Operational)
}

#[tokio::test]
async fn h3_of_two_only_one_is_active_and_the_other_takes_over() {
    let Some(hat) = Hat::find("hat: blessing") else {
        return;
    };
    let _monitor = hat.start_monitor();
    let mut one = hat.component("one", &[]);
    one.until("the first is active", |s| s.active).await;
    let mut two = hat.component("two", &[]);
    two.until("the second is seen", |s| s.monitor).await;
    assert!(!two.state.borrow().active, "never two at once");
    drop(one);
    two.until("the second takes over", |s| s.active).await;
}

#[tokio::test]
async fn h4_it_waits_for_servers_that_do_not_exist_yet() {
    let Some(hat) = Hat::find("hat: start order") else {
        return;
    };
    let mut ours = hat.component("early", &["a/*"]);
    assert_eq!(*ours.state.borrow(), State::default());
    assert_eq!(
        ours.client.register(vec![event("a/b", "1")]).await,
        Err(LinkError::Away),
        "a question to nobody is answered at once"
    );
    let _monitor = hat.start_monitor();
    let _events = hat.start_event_server();
    ours.until("active with events", operational).await;
    let events = ours.client.register(vec![event("a/b", "1")]).await.unwrap();
    assert_eq!(ours.client.next().await.unwrap(), events[0]);
}

#[tokio::test]
async fn h5_after_a_restart_of_the_event_server_events_flow_again() {
    let Some(hat) = Hat::find("hat: event server restart") else {
        return;
    };
    let _monitor = hat.start_monitor();
    let first = hat.start_event_server();
    let mut ours = hat.component("ours", &["a/*"]);
    ours.until("active with events", operational).await;
    drop(first);
    ours.until("the loss is seen", |s| s.events.is_none()).await;
    let _second = hat.start_event_server();
    ours.until("connected again", operational).await;
    ours.client.register(vec![event("a/b", "2")]).await.unwrap();
    let got = ours.client.next().await.unwrap();
    assert_eq!(got.payload, Some(Payload::Json("2".into())));
}

#[tokio::test]
async fn each_user_of_the_link_gets_what_it_asked_for_and_queries_are_answered() {
    let Some(hat) = Hat::find("hat: events") else {
        return;
    };
    let _monitor = hat.start_monitor();
    let _events = hat.start_event_server();
    let mut ours = hat.component("ours", &["aimm/?/x"]);
    let mut other = hat.component("other", &["b/*"]);
    ours.until("active with events", operational).await;
    other
        .until("connected", |s| s.events == Some(Status::Operational))
        .await;
    let made = ours
        .client
        .register(vec![
            event("aimm/1/x", "{}"),
            event("b/c", "[1, 2.50]"),
            event("aimm/1/y", "0"),
        ])
        .await
        .unwrap();
    assert_eq!(made.len(), 3);
    assert_eq!(ours.client.next().await.unwrap(), made[0]);
    assert_eq!(other.client.next().await.unwrap(), made[1]);
    let kinds = Some(vec![kind("b/*")]);
    let found = ours.client.query(Query::Latest { kinds }).await.unwrap();
    assert_eq!(found.events, [made[1].clone()]);
    assert!(!found.more_follows);
}
