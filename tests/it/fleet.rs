//! The fleet service as a vehicle sees it: the acceptance cases of `specs/fleet.md` section 10 that need sockets,
//! named after the case. Those that are the machine's alone are in `server/fleet`.

mod modules;
mod rig;
mod secure;

use std::time::{Duration, Instant};

use leitstand_hal_mock::vehicle::wire::{CONNECTING, DISCONNECT, FromServer, RUNNING};
use rig::{Arrived, Broker, Site, TRANSPARENT, device, with_each_broker};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn a1_a_whole_session_and_the_hint_at_its_end() {
    with_each_broker(|broker| {
        let site = Site::start(broker, &["car_a"], TRANSPARENT);
        let car = site.car("car_a");
        let button = device(1000, "test");
        assert_eq!(car.sequence("s1", std::slice::from_ref(&button)), 0);
        for n in 1..=4 {
            car.status("s1", RUNNING, n, &button, "pressed");
            car.expect_response(n);
        }
        car.status("s1", DISCONNECT, 5, &button, "bye");
        car.expect_response(5);
        car.expect_hint();
        let view = site.wait_car("car_a", "the session is over", |v| v["state"] == "waiting");
        assert_eq!(view["history"][0]["ended"], "last_device_gone");
        assert_eq!(view["statuses"], 6);
    });
}

#[test]
fn a3_a_status_right_after_the_sequence_is_answered_200_times_in_a_row() {
    with_each_broker(|broker| {
        let site = Site::start(broker, &["car_a"], TRANSPARENT);
        let car = site.car("car_a");
        let button = device(1000, "test");
        for round in 0..200 {
            let session = format!("s{round}");
            car.sequence(&session, std::slice::from_ref(&button));
            car.status(&session, RUNNING, 1, &button, "at once");
            // No other traffic: what is not answered now would never be.
            car.expect_response(1);
        }
    });
}

#[test]
fn a7_a_gap_that_stays_ends_the_session_after_the_timeout() {
    let site = Site::start(Broker::Embedded, &["car_a"], TRANSPARENT);
    let car = site.car("car_a");
    let button = device(1000, "test");
    car.sequence("s1", std::slice::from_ref(&button));
    car.status("s1", RUNNING, 1, &button, "x");
    car.expect_response(1);
    let sent = Instant::now();
    car.status("s1", RUNNING, 6, &button, "x");
    let after = car.expect_hint() - sent;
    assert!(after >= Duration::from_millis(2900), "{after:?}");
    // A Connect right after the hint is served, not lost.
    car.sequence("s2", std::slice::from_ref(&button));
}

#[test]
fn a9_silence_ends_the_session_and_waiting_does_not() {
    let site = Site::start(Broker::Embedded, &["car_a"], TRANSPARENT);
    let car = site.car("car_a");
    let button = device(1000, "test");
    let asked = Instant::now();
    car.hello("s1", std::slice::from_ref(&button));
    car.expect_connected();
    let after = car.expect_hint() - asked;
    assert!(
        after >= Duration::from_millis(2900),
        "no first status: {after:?}"
    );
    // Waiting for a Connect has no timer and gives no hint.
    car.expect_silence(Duration::from_secs(4));
    let last = Instant::now();
    car.sequence("s2", std::slice::from_ref(&button));
    let after = car.expect_hint() - last;
    assert!(after >= Duration::from_millis(5900), "silence: {after:?}");
}

#[test]
fn a10_a_vehicle_with_a_device_of_an_unknown_module_connects() {
    with_each_broker(|broker| {
        let site = Site::start(broker, &["car_a"], TRANSPARENT);
        let car = site.car("car_a");
        let devices = [device(1000, "test"), device(2, "io")];
        car.sequence("s1", &devices);
        car.status("s1", RUNNING, 2, &devices[1], "answered all the same");
        car.expect_response(2);
        let view = site.wait_car("car_a", "it runs", |v| v["state"] == "running");
        let states: Vec<_> = view["devices"].as_array().unwrap().iter().collect();
        assert_eq!(states[0]["state"], "refused");
        assert_eq!(states[1]["state"], "connected");
        assert_eq!(view["no_supported_device"], false);
    });
}

#[test]
fn a13_the_embedded_broker_takes_a_client_id_with_a_slash() {
    // Every car of these tests has one; here it is said.
    let site = Site::start(Broker::Embedded, &["car_a"], TRANSPARENT);
    let car = site.car("car_a");
    car.sequence("s1", &[device(1000, "test")]);
}

#[test]
fn a14_another_connect_replaces_the_session_without_a_hint() {
    let site = Site::start(Broker::Embedded, &["car_a"], TRANSPARENT);
    let car = site.car("car_a");
    let devices = [device(1000, "test")];
    car.sequence("s1", &devices);
    car.hello("s1", &devices);
    assert!(matches!(
        car.message(),
        FromServer::ConnectResponse {
            already_logged: true,
            ..
        }
    ));
    assert_eq!(car.sequence("s2", &devices), 1, "commands are numbered on");
}

#[test]
fn a20_a_car_that_does_not_answer_disturbs_no_other() {
    let site = Site::start(Broker::Embedded, &["car_a", "car_b"], TRANSPARENT);
    let (stuck, good) = (site.car("car_a"), site.car("car_b"));
    let devices = [device(1000, "test")];
    stuck.hello("s1", &devices);
    stuck.expect_connected();
    stuck.status("s1", CONNECTING, 0, &devices[0], "x");
    stuck.expect_response(0);
    stuck.command();
    good.sequence("s1", &devices);
    for n in 1..=20 {
        good.status("s1", RUNNING, n, &devices[0], "x");
        good.expect_response(n);
    }
    stuck.expect_hint();
}

#[test]
fn a21_sigterm_gives_the_hint_and_ends_in_time() {
    with_each_broker(|broker| {
        let mut site = Site::start(broker, &["car_a"], TRANSPARENT);
        let car = site.car("car_a");
        car.sequence("s1", &[device(1000, "test")]);
        site.server.signal(Signal::TERM);
        car.expect_hint();
        assert_eq!(site.server.wait_exit().code(), Some(0));
    });
}

#[test]
fn a22_a_broker_that_restarts_is_found_again() {
    with_each_broker(|broker| {
        let Broker::Mosquitto(_) = &broker else {
            return;
        };
        let mut site = Site::start(broker, &["car_a"], TRANSPARENT);
        for round in 0..3 {
            let car = site.car("car_a");
            car.sequence(&format!("s{round}"), &[device(1000, "test")]);
            drop(car);
            let Broker::Mosquitto(mosquitto) = &mut site.broker else {
                return;
            };
            mosquitto.stop();
            site.wait_car("car_a", "it is offline", |v| v["state"] == "offline");
            let Broker::Mosquitto(mosquitto) = &mut site.broker else {
                return;
            };
            mosquitto.start();
            site.wait_car("car_a", "it is online", |v| v["state"] == "waiting");
        }
        let view = site.wait_car("car_a", "three sessions", |v| v["sessions"] == 3);
        assert_eq!(view["ended"]["broker_lost"], 3);
    });
}

#[test]
fn a23_what_is_no_message_has_no_effect() {
    with_each_broker(|broker| {
        let site = Site::start(broker, &["car_a"], TRANSPARENT);
        let car = site.car("car_a");
        let button = device(1000, "test");
        car.sequence("s1", std::slice::from_ref(&button));
        car.raw(b"\xff garbage".to_vec());
        car.raw(vec![0x0a; 256 * 1024]);
        car.raw(vec![0; 300 * 1024]);
        car.raw(Vec::new());
        car.status("s1", RUNNING, 1, &button, "still here");
        car.expect_response(1);
        let view = site.wait_car("car_a", "all are counted", |v| {
            v["ignored"]["undecodable"] == 2
                && v["ignored"]["too_long"] == 1
                && v["ignored"]["empty"] == 1
        });
        assert_eq!(view["state"], "running");
        let metrics = site.server.get("/metrics").text();
        assert!(
            metrics.contains("leitstand_fleet_ignored_total{reason=\"too_long\"} 1"),
            "{metrics}"
        );
    });
}

#[test]
fn a23_a_retained_connect_is_not_taken() {
    with_each_broker(|broker| {
        let mut site = Site::start(broker, &["car_a"], TRANSPARENT);
        let car = site.car("car_a");
        let button = device(1000, "test");
        // A live publish that also asks for retention is served ...
        let connect = leitstand_hal_mock::vehicle::wire::connect;
        car.retained(connect("s1", "", "", std::slice::from_ref(&button)));
        car.expect_connected();
        let Broker::Mosquitto(_) = &site.broker else {
            return;
        };
        // ... but not what the broker kept, when the gateway comes back.
        car.expect_hint();
        site.server.stop();
        site.server.restart();
        car.expect_silence(Duration::from_secs(2));
        site.wait_car("car_a", "it was seen", |v| v["ignored"]["retained"] == 1);
    });
}

#[test]
fn a_command_by_curl_goes_its_way() {
    with_each_broker(|broker| {
        let site = Site::start(broker, &["car_a"], TRANSPARENT);
        let path = "/api/v1/fleet/cars/acme/car_a/commands";
        let body = json!({ "module": 1000, "role": "test", "text": "go" });
        // The device is not there yet: it waits, and becomes the first command.
        let early = site.server.post(path, &body).json()["id"].as_u64().unwrap();
        let car = site.car("car_a");
        let button = device(1000, "test");
        car.hello("s1", std::slice::from_ref(&button));
        car.expect_connected();
        site.wait_car("car_a", "the module has it", |v| v["commands_waiting"] == 1);
        car.status("s1", CONNECTING, 0, &button, "x");
        car.expect_response(0);
        assert_eq!(car.command(), (0, "go".into()));
        car.answer("s1", 0, 0);
        let state = |id: u64, state: &str| {
            let path = format!("/api/v1/fleet/commands/{id}");
            site.server
                .wait_for(state, &path, |v| (v["state"] == state).then_some(()));
        };
        state(early, "acked");
        let id = site.server.post(path, &body).json()["id"].as_u64().unwrap();
        assert_eq!(car.command(), (1, "go".into()));
        state(id, "sent");
        car.answer("s1", 3, 1);
        state(id, "refused");
        let expiring = json!({ "module": 1000, "role": "nobody", "text": "x", "ttl_s": 0.5 });
        let id = site.server.post(path, &expiring).json()["id"]
            .as_u64()
            .unwrap();
        state(id, "expired");
        let nobody = json!({ "module": 7, "role": "test", "text": "x" });
        assert_eq!(
            site.server.post(path, &nobody).problem(422),
            "no_such_module"
        );
        let nothing = json!({ "module": 1000, "role": "test" });
        assert_eq!(site.server.post(path, &nothing).problem(422), "no_data");
    });
}

#[test]
fn a_car_comes_and_goes_while_the_others_run() {
    let site = Site::start(Broker::Embedded, &["car_a"], TRANSPARENT);
    let steady = site.car("car_a");
    let devices = [device(1000, "test")];
    steady.sequence("s1", &devices);
    let reply = site
        .server
        .post("/api/v1/fleet/cars", &json!({ "name": "late" }));
    assert_eq!(reply.status, 201);
    assert_eq!(
        site.server
            .post("/api/v1/fleet/cars", &json!({ "name": "late" }))
            .problem(409),
        "exists"
    );
    assert_eq!(
        site.server
            .post("/api/v1/fleet/cars", &json!({ "name": "a/+" }))
            .problem(422),
        "bad_name"
    );
    site.wait_car("late", "it is online", |v| v["state"] == "waiting");
    let late = site.car("late");
    late.sequence("s1", &devices);
    let reloaded = site
        .server
        .post("/api/v1/fleet/cars/acme/late/reload", &json!({}));
    assert_eq!(reloaded.status, 204);
    late.expect_hint();
    late.sequence("s2", &devices);
    let gone = site
        .server
        .request("DELETE", "/api/v1/fleet/cars/acme/late", &[], None);
    assert_eq!(gone.status, 204);
    late.expect_hint();
    late.hello("s3", &devices);
    late.expect_silence(Duration::from_millis(500));
    steady.status("s1", RUNNING, 1, &devices[0], "undisturbed");
    steady.expect_response(1);
}

#[test]
fn presence_is_told_and_withdrawn() {
    with_each_broker(|broker| {
        let text = rig::config(&broker, &["car_a"], TRANSPARENT)
            .replace("company = \"acme\"", "company = \"acme\"\npresence = true");
        let site = Site::start_with(broker, &text);
        let words = rig::listen(site.port, "acme/car_a/external_server_state");
        assert_eq!(words.recv_timeout(rig::WITHIN).unwrap(), "ONLINE");
        site.server.signal(Signal::TERM);
        assert_eq!(words.recv_timeout(rig::WITHIN).unwrap(), "OFFLINE");
    });
}

#[test]
fn a_car_hears_nothing_of_another() {
    let site = Site::start(Broker::Embedded, &["car_a", "car_b"], TRANSPARENT);
    let (a, b) = (site.car("car_a"), site.car("car_b"));
    a.sequence("s1", &[device(1000, "test")]);
    b.expect_silence(Duration::from_millis(300));
    let (_, arrived) = {
        a.status("s1", DISCONNECT, 1, &device(1000, "test"), "x");
        a.next()
    };
    assert!(matches!(
        arrived,
        Arrived::Message(FromServer::StatusResponse { counter: 1, .. })
    ));
}
