//! kill -9 at any moment, two hundred times, with alarms and acknowledgements in flight.
//!
//! What must hold after each restart: every acknowledgement and reset that was answered with 200 is in the journal;
//! the alarms are as the journal's last entries say; and the journal itself tells a story that the alarm machine can
//! tell (a lost acknowledgement would show as an alarm that is acknowledged twice).

use crate::garage::Garage;
use leitstand_tests::{Server, binary, leitstand};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const KILLS: u32 = 200;
/// Combi sensors, each a zone with three set points.
const ZONES: u8 = 3;
const SNAPSHOT: &str = "/api/v1/gas/snapshot";

/// Splitmix64, so that a failing run can be told by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (z ^ (z >> 27)) % sides
    }
}

/// What the operator was promised, by alarm: acknowledgements and resets.
#[derive(Default)]
struct Promises(BTreeMap<String, [usize; 2]>);

/// What the journal says, by alarm.
#[derive(Default)]
struct Story {
    state: BTreeMap<String, String>,
    told: BTreeMap<String, [usize; 2]>,
    /// Read so far.
    seq: u64,
}

impl Story {
    /// Reads on, checking each transition.
    fn read(&mut self, server: &Server) {
        loop {
            let path = format!(
                "/api/v1/events?service=gas&limit=1000&order=oldest&since={}",
                self.seq
            );
            let page = server.get(&path).json();
            let items = page["items"].as_array().unwrap();
            for entry in items {
                self.seq = entry["seq"].as_u64().unwrap();
                self.entry(entry);
            }
            if items.is_empty() || page["next"].is_null() {
                return;
            }
        }
    }

    fn entry(&mut self, entry: &Value) {
        let (Some(alarm), Some(after)) = (
            entry["data"]["alarm"].as_str(),
            entry["data"]["state"].as_str(),
        ) else {
            return;
        };
        let kind = entry["kind"].as_str().unwrap();
        let before = self.state.get(alarm).map_or("normal", String::as_str);
        let legal = match kind {
            "AlarmRaised" => after == "active_unack" && !before.starts_with("active"),
            "AlarmAcknowledged" => matches!(
                (before, after),
                ("active_unack", "active_ack")
                    | ("rtn_unack", "normal")
                    | ("latched_unack", "latched_ack")
            ),
            "AlarmReturned" => (before, after) == ("active_unack", "rtn_unack"),
            "AlarmLatched" => {
                matches!(
                    (before, after),
                    ("active_unack", "latched_unack") | ("active_ack", "latched_ack")
                )
            }
            "AlarmCleared" => matches!((before, after), ("active_ack" | "latched_ack", "normal")),
            _ => return,
        };
        assert!(legal, "{alarm} was {before}: {entry}");
        let told = self.told.entry(alarm.to_owned()).or_default();
        match kind {
            "AlarmAcknowledged" => told[0] += 1,
            "AlarmCleared" if before == "latched_ack" => told[1] += 1,
            _ => {}
        }
        self.state.insert(alarm.to_owned(), after.to_owned());
    }

    fn holds(&self, promises: &Promises) {
        for (alarm, promised) in &promises.0 {
            let told = self.told.get(alarm).copied().unwrap_or_default();
            assert!(
                told[0] >= promised[0] && told[1] >= promised[1],
                "{alarm}: promised {promised:?}, in the journal {told:?}"
            );
        }
    }

    /// The first alarm whose state is not what the journal says.
    fn contradiction(&self, snapshot: &Value) -> Option<String> {
        snapshot["set_points"]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|point| {
                let (alarm, state) = (
                    point["alarm"].as_str().unwrap(),
                    point["state"].as_str().unwrap(),
                );
                let told = self.state.get(alarm).map_or("normal", String::as_str);
                (told != state).then(|| format!("{alarm} is {state}, the journal says {told}"))
            })
    }
}

/// One connection a request, and none of them matters after the kill.
fn request(server: &Server, method: &str, path: &str) -> Option<(u16, Value)> {
    let headers = [("Content-Type", "application/json")];
    let body = (method == "POST").then_some(b"{}".as_slice());
    let reply = leitstand_tests::http::request(server.addr(), method, path, &headers, body).ok()?;
    let json = serde_json::from_slice(&reply.body).ok()?;
    Some((reply.status, json))
}

fn kill_now(server: &Server) {
    let pid = i32::try_from(server.pid()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    // The other thread may have been faster.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Acknowledges and resets whatever can be, as fast as it goes, until the server is gone. With `deadly`, the server
/// dies in the very moment in which that many orders were answered: what was promised last must be durable by then.
fn operate(server: &Server, gone: &AtomicBool, deadly: Option<u64>, promises: &mut Promises) {
    let mut answered = 0;
    while !gone.load(Ordering::Relaxed) {
        let Some((200, page)) = request(server, "GET", "/api/v1/gas/alarms") else {
            continue;
        };
        for alarm in page["items"].as_array().unwrap() {
            let id = alarm["id"].as_str().unwrap();
            let (what, promise) = match alarm["state"].as_str().unwrap() {
                "active_unack" | "rtn_unack" | "latched_unack" => ("ack", 0),
                "latched_ack" => ("reset", 1),
                _ => continue,
            };
            let path = format!("/api/v1/gas/alarms/{id}/{what}");
            match request(server, "POST", &path) {
                // Nobody else acknowledges, so an alarm that was seen unacknowledged was acknowledged by this.
                Some((200, _)) => {
                    answered += 1;
                    if deadly == Some(answered) {
                        kill_now(server);
                        gone.store(true, Ordering::Relaxed);
                    }
                    promises.0.entry(id.to_owned()).or_default()[promise] += 1;
                }
                // The alarm went on meanwhile: returned and normal, or raised again before the reset.
                Some((409, _)) | None => {}
                Some((status, answer)) => panic!("{what} {id}: {status} {answer}"),
            }
            if gone.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

#[test]
fn nothing_that_was_answered_is_lost_in_200_kills() {
    let seed = std::env::var("LEITSTAND_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(2);
    let mut dice = Dice(seed);
    let garage = Garage::new(ZONES);
    let mut server = Server::run(&garage.config("retries = 0\ntimeout_ms = 100"));
    let (mut promises, mut story) = (Promises::default(), Story::default());
    for kill in 0..KILLS {
        for sensor in 1..=ZONES {
            let ppm = [0.0, 10.0, 45.0, 160.0, 200.0][dice.roll(5) as usize];
            garage.co(sensor, ppm);
        }
        // Mostly short lives, in which the first scan raises and ends alarms; now and then two scans.
        let life = if dice.roll(16) == 0 { 1_500 } else { 150 };
        let mut life = Duration::from_millis(dice.roll(life));
        // Half of them end with an answer.
        let deadly = (dice.roll(2) == 0).then(|| 1 + dice.roll(4));
        if deadly.is_some() {
            life += Duration::from_millis(150);
        }
        let gone = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let operator = scope.spawn(|| operate(&server, &gone, deadly, &mut promises));
            // The moment itself is what is tested: any is right.
            let end = Instant::now() + life;
            while Instant::now() < end && !gone.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(2));
            }
            kill_now(&server);
            gone.store(true, Ordering::Relaxed);
            operator.join().unwrap();
        });
        server.kill_9();
        if dice.roll(4) == 0 {
            kill_while_starting(&server, Duration::from_millis(dice.roll(120)));
        }
        server.restart();
        story.read(&server);
        story.holds(&promises);
        // A transition between the two reads is no contradiction: read again.
        server.wait_for(
            &format!("kill {kill}, seed {seed}: state and journal agree"),
            SNAPSHOT,
            |snapshot| {
                story.read(&server);
                story.contradiction(snapshot).is_none().then_some(())
            },
        );
    }
    let [acks, resets] = promises
        .0
        .values()
        .fold([0, 0], |sum, p| [sum[0] + p[0], sum[1] + p[1]]);
    assert!(
        acks >= 50 && resets >= 10,
        "too little happened: {acks} acknowledgements, {resets} resets"
    );
    assert!(server.stop().success());
    let state = server.state_dir().display().to_string();
    let output = leitstand(&["check", "--journal", &state]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    damaged_files(&mut server, &mut dice);
}

/// A start that does not get far, on the same state.
fn kill_while_starting(server: &Server, after: Duration) {
    let (config, state) = (server.dir().join("leitstand.toml"), server.state_dir());
    let mut child = Command::new(binary())
        .args(["run", "--bind", "127.0.0.1:0", "--config"])
        .arg(config)
        .arg("--state")
        .arg(state)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    let _ = child.kill();
    let _ = child.wait();
}

/// Cut anywhere or with a flipped byte, the newest generation gives way to the one before; never a panic.
fn damaged_files(server: &mut Server, dice: &mut Dice) {
    for name in ["gas.status", "status"] {
        for _ in 0..4 {
            let path = server.state_dir().join(name);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = dice.roll(bytes.len() as u64) as usize;
            if dice.roll(2) == 0 {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << dice.roll(8);
            }
            std::fs::write(&path, &bytes).unwrap();
            server.restart();
            let _ = server.wait_for("a snapshot", SNAPSHOT, |s| Some(s.clone()));
            assert!(server.stop().success());
        }
    }
}
