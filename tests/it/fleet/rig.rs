//! A gateway with a broker, and vehicles whose messages the test writes one by one.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use leitstand_fleet::mqtt::{Endpoint, Event, Link as _, client::Client};
use leitstand_hal_mock::vehicle::wire::{self, Device, FromServer};
use leitstand_tests::{peer, server::Server, wait};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Patience for what must come. A busy machine is slow.
pub(super) const WITHIN: Duration = Duration::from_secs(20);

/// Which broker is between vehicle and gateway.
pub(super) enum Broker {
    Embedded,
    Mosquitto(Mosquitto),
}

/// mosquitto on a port of its own, without a configuration of the system.
pub(super) struct Mosquitto {
    program: PathBuf,
    pub(super) port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    fn find() -> Option<Self> {
        let program = peer::find("mosquitto", &["mosquitto", "/usr/sbin/mosquitto"])?;
        let mut found = Self {
            program,
            port: free_port(),
            child: None,
        };
        found.start();
        Some(found)
    }

    pub(super) fn start(&mut self) {
        let child = Command::new(&self.program)
            .args(["-p", &self.port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        wait::until("mosquitto listens", || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    pub(super) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(super) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Runs `test` with the embedded broker, and with mosquitto where it is installed.
pub(super) fn with_each_broker(test: impl Fn(Broker)) {
    test(Broker::Embedded);
    if let Some(mosquitto) = Mosquitto::find() {
        test(Broker::Mosquitto(mosquitto));
    }
}

/// Compiles the test module; `None` without a compiler. `defines` choose what is wrong with it.
pub(super) fn module(dir: &Path, defines: &[&str]) -> Option<PathBuf> {
    let cc = peer::find("a C compiler", &["gcc", "cc"])?;
    let out = dir.join(format!("module{}.so", defines.join("")));
    let done = Command::new(cc)
        .args(["-shared", "-fPIC", "-O1", "-pthread", "-o"])
        .arg(&out)
        .args(defines)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/it/fleet/module.c"))
        .status();
    assert!(done.unwrap().success());
    Some(out)
}

/// A running gateway.
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) broker: Broker,
    pub(super) port: u16,
}

/// Short waiting times, as in the acceptance cases.
pub(super) fn config(broker: &Broker, cars: &[&str], modules: &str) -> String {
    let (embedded, port) = match broker {
        Broker::Embedded => (true, 0),
        Broker::Mosquitto(mosquitto) => (false, mosquitto.port),
    };
    let mut text = format!(
        "site = \"Depot\"\n[fleet]\ncompany = \"acme\"\ntimeout_s = 3\ninactivity_s = 6\n\
         [fleet.broker]\nembedded = {embedded}\naddress = \"127.0.0.1:{port}\"\n"
    );
    for car in cars {
        text += &format!("[[fleet.cars]]\nname = \"{car}\"\n");
    }
    text + modules
}

pub(super) const TRANSPARENT: &str = "[[fleet.modules]]\nid = 1000\nbuiltin = \"transparent\"\n";

impl Site {
    pub(super) fn start(broker: Broker, cars: &[&str], modules: &str) -> Self {
        let text = config(&broker, cars, modules);
        Self::start_with(broker, &text)
    }

    pub(super) fn start_with(broker: Broker, text: &str) -> Self {
        let server = Server::run(text);
        let up = |view: &Value| {
            let offline = |car: &Value| car["state"] == "offline";
            view["broker"]["up"] == true && !view["cars"].as_array().unwrap().iter().any(offline)
        };
        let view = server.wait_for("the fleet is online", "/api/v1/fleet", |view| {
            up(view).then(|| view.clone())
        });
        let address = view["broker"]["address"].as_str().unwrap();
        let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        Self {
            server,
            broker,
            port,
        }
    }

    pub(super) fn car(&self, name: &str) -> Car {
        Car::connect("acme", name, self.port)
    }

    /// Waits until the car's view satisfies `test`.
    pub(super) fn wait_car(&self, name: &str, what: &str, test: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/fleet/cars/acme/{name}");
        self.server
            .wait_for(what, &path, |view| test(view).then(|| view.clone()))
    }
}

/// What arrived at a vehicle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    Message(FromServer),
    Hint,
}

/// The vehicle's side, in the hand of the test.
pub(super) struct Car {
    send: UnboundedSender<(Vec<u8>, bool)>,
    arrived: mpsc::Receiver<(Instant, Arrived)>,
    _thread: JoinHandle<()>,
}

impl Car {
    pub(super) fn connect(company: &str, name: &str, port: u16) -> Self {
        let id = format!("{company}/{name}");
        Self::connect_to(Endpoint::plain("127.0.0.1", port, &id), company, name)
    }

    pub(super) fn connect_to(endpoint: Endpoint, company: &str, name: &str) -> Self {
        let (send, mut sent) = unbounded_channel::<(Vec<u8>, bool)>();
        let (tell, arrived) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let topic = |level: &str| format!("{company}/{name}/{level}");
        let (up, down) = (topic("module_gateway"), topic("external_server"));
        let hint = topic("external_server_disconnect");
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async move {
                let mut client = Client::new(endpoint);
                let publisher = client.publisher();
                client.subscribe(vec![down, hint.clone()]);
                loop {
                    tokio::select! {
                        biased;
                        event = client.next() => match event {
                            Event::Subscribed(_) => { let _ = ready.send(()); }
                            Event::Message { topic, .. } if topic == hint => {
                                let _ = tell.send((Instant::now(), Arrived::Hint));
                            }
                            Event::Message { payload, .. } => {
                                let message = wire::read(&payload).expect("a message");
                                let _ = tell.send((Instant::now(), Arrived::Message(message)));
                            }
                            Event::Up | Event::Down { .. } => {}
                        },
                        message = sent.recv() => match message {
                            Some((bytes, retain)) => { let _ = publisher.publish(&up, bytes, retain); }
                            None => return,
                        },
                    }
                }
            });
        });
        is_ready.recv_timeout(WITHIN).expect("subscribed");
        Self {
            send,
            arrived,
            _thread: thread,
        }
    }

    pub(super) fn raw(&self, bytes: Vec<u8>) {
        self.send.send((bytes, false)).unwrap();
    }

    pub(super) fn retained(&self, bytes: Vec<u8>) {
        self.send.send((bytes, true)).unwrap();
    }

    pub(super) fn hello(&self, session: &str, devices: &[Device]) {
        self.raw(wire::connect(session, "", "", devices));
    }

    pub(super) fn status(
        &self,
        session: &str,
        state: u32,
        counter: u32,
        device: &Device,
        data: &str,
    ) {
        self.raw(wire::status(
            session,
            state,
            counter,
            device,
            data.as_bytes(),
            None,
        ));
    }

    pub(super) fn answer(&self, session: &str, kind: u32, counter: u32) {
        self.raw(wire::command_response(session, kind, counter));
    }

    /// The next arrival.
    pub(super) fn next(&self) -> (Instant, Arrived) {
        self.arrived
            .recv_timeout(WITHIN)
            .expect("something from the server")
    }

    pub(super) fn message(&self) -> FromServer {
        match self.next().1 {
            Arrived::Message(message) => message,
            Arrived::Hint => panic!("a hint instead of a message"),
        }
    }

    pub(super) fn expect_response(&self, counter: u32) {
        match self.message() {
            FromServer::StatusResponse { counter: got, .. } => assert_eq!(got, counter),
            other => panic!("{other:?} instead of the response to #{counter}"),
        }
    }

    pub(super) fn expect_connected(&self) {
        let message = self.message();
        assert!(
            matches!(
                message,
                FromServer::ConnectResponse {
                    already_logged: false,
                    ..
                }
            ),
            "{message:?}"
        );
    }

    /// The next command: its number and bytes.
    pub(super) fn command(&self) -> (u32, String) {
        match self.message() {
            FromServer::Command { counter, data, .. } => {
                (counter, String::from_utf8(data).unwrap())
            }
            other => panic!("{other:?} instead of a command"),
        }
    }

    pub(super) fn expect_hint(&self) -> Instant {
        let (at, arrived) = self.next();
        assert_eq!(arrived, Arrived::Hint);
        at
    }

    /// Nothing arrives for so long.
    pub(super) fn expect_silence(&self, span: Duration) {
        if let Ok((_, arrived)) = self.arrived.recv_timeout(span) {
            panic!("{arrived:?} where silence was expected");
        }
    }

    /// The whole connect sequence with first statuses #0...; the number of the last command.
    pub(super) fn sequence(&self, session: &str, devices: &[Device]) -> u32 {
        self.hello(session, devices);
        self.expect_connected();
        for (n, device) in (0..).zip(devices) {
            self.status(session, wire::CONNECTING, n, device, "first");
            self.expect_response(n);
        }
        let mut last = 0;
        for _ in devices {
            last = self.command().0;
            self.answer(session, 0, last);
        }
        last
    }
}

pub(super) fn device(module: u32, role: &str) -> Device {
    Device {
        module,
        role: role.into(),
        name: format!("{role}1"),
        ..Device::default()
    }
}

/// Lines of the test module's log, without the car's name.
pub(super) fn calls(log: &Path, car: &str) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let prefix = format!("{car} ");
    let lines = text.lines().filter_map(|l| l.strip_prefix(&prefix));
    lines.map(|l| l.trim().to_owned()).collect()
}

/// Payloads on a topic, as text.
pub(super) fn listen(port: u16, topic: &str) -> mpsc::Receiver<String> {
    let (tell, heard) = mpsc::channel();
    let topic = topic.to_owned();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async move {
            let mut client = Client::new(Endpoint::plain("127.0.0.1", port, "listener"));
            client.subscribe(vec![topic]);
            loop {
                if let Event::Message { payload, .. } = client.next().await
                    && tell
                        .send(String::from_utf8_lossy(&payload).into_owned())
                        .is_err()
                {
                    return;
                }
            }
        });
    });
    heard
}
