//! Off loopback: certificates and passwords, and each car's own topics. Certificates are made by the test.

use std::{path::Path, sync::mpsc::RecvTimeoutError, time::Duration};

use leitstand_fleet::mqtt::{Endpoint, Event, Link as _, Tls, client::Client};
use leitstand_tests::{peer, server::Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::rig::{self, Car, TRANSPARENT, WITHIN, device};

/// An authority that signs certificates into `dir`.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), ca.pem()).unwrap();
        Self(ca)
    }

    fn sign(&self, dir: &Path, file: &str, name: &str) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        std::fs::write(dir.join(format!("{file}.pem")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}

fn tls(dir: &Path, ca: &str, identity: Option<&str>) -> Tls {
    let file = |name: &str, end: &str| dir.join(format!("{name}.{end}"));
    Tls {
        ca: file(ca, "pem"),
        identity: identity.map(|name| (file(name, "pem"), file(name, "key"))),
    }
}

/// What the client is told first.
fn first_event(endpoint: Endpoint) -> Event {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let event = runtime
            .unwrap()
            .block_on(async move { Client::new(endpoint).next().await });
        let _ = tell.send(event);
    });
    told.recv_timeout(WITHIN).expect("an event")
}

fn port_of(server: &Server) -> u16 {
    server.wait_for("the broker listens", "/api/v1/fleet", |view| {
        if view["broker"]["up"] != true {
            return None;
        }
        view["broker"]["address"]
            .as_str()?
            .rsplit_once(':')?
            .1
            .parse()
            .ok()
    })
}

#[test]
fn a25_certificates_of_vehicles_are_checked_and_tied_to_their_car() {
    let dir = TempDir::new().unwrap();
    let (ours, other) = (
        Authority::new(dir.path(), "ca"),
        Authority::new(dir.path(), "other"),
    );
    ours.sign(dir.path(), "server", "leitstand");
    ours.sign(dir.path(), "car_a", "acme/car_a");
    other.sign(dir.path(), "fake", "acme/car_a");
    let broker = format!(
        "[fleet.broker]\naddress = \"127.0.0.1:0\"\nca = \"{0}/ca.pem\"\ncert = \"{0}/server.pem\"\nkey = \"{0}/server.key\"\n",
        dir.path().display()
    );
    let cars = "[[fleet.cars]]\nname = \"car_a\"\n[[fleet.cars]]\nname = \"car_b\"\n";
    let server = Server::run(&format!(
        "site = \"x\"\n[fleet]\ncompany = \"acme\"\n{broker}{cars}{TRANSPARENT}"
    ));
    let port = port_of(&server);
    let as_car = |id: &str, tls: Tls| Endpoint {
        tls: Some(tls),
        ..Endpoint::plain("127.0.0.1", port, id)
    };
    let up = |endpoint| matches!(first_event(endpoint), Event::Up);
    assert!(up(as_car(
        "acme/car_a",
        tls(dir.path(), "ca", Some("car_a"))
    )));
    assert!(
        !up(as_car("acme/car_a", tls(dir.path(), "ca", None))),
        "no certificate"
    );
    assert!(
        !up(as_car("acme/car_a", tls(dir.path(), "ca", Some("fake")))),
        "another authority"
    );
    assert!(
        !up(as_car(
            "acme/car_a",
            tls(dir.path(), "other", Some("car_a"))
        )),
        "a wrong server"
    );
    assert!(
        !up(as_car("acme/car_b", tls(dir.path(), "ca", Some("car_a")))),
        "another car's id"
    );
    assert!(
        !up(Endpoint::plain("127.0.0.1", port, "acme/car_a")),
        "no TLS at all"
    );
    let endpoint = as_car("acme/car_a", tls(dir.path(), "ca", Some("car_a")));
    let car = Car::connect_to(endpoint, "acme", "car_a");
    car.sequence("s1", &[device(1000, "test")]);
    assert!(
        server.printed().contains("a client was turned away"),
        "{}",
        server.printed()
    );
}

#[test]
fn a25_an_external_broker_over_tls() {
    let Some(mosquitto) = peer::find("mosquitto", &["mosquitto", "/usr/sbin/mosquitto"]) else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let ours = Authority::new(dir.path(), "ca");
    ours.sign(dir.path(), "server", "mosquitto");
    ours.sign(dir.path(), "gateway", "leitstand");
    let (port, at) = (rig::free_port(), dir.path().display());
    let conf = dir.path().join("mosquitto.conf");
    std::fs::write(&conf, format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nrequire_certificate true\ncafile {at}/ca.pem\n\
         certfile {at}/server.pem\nkeyfile {at}/server.key\n",
    )).unwrap();
    let mut child = std::process::Command::new(mosquitto)
        .arg("-c")
        .arg(&conf)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let broker = format!(
        "[fleet.broker]\nembedded = false\naddress = \"127.0.0.1:{port}\"\nca = \"{at}/ca.pem\"\n\
         cert = \"{at}/gateway.pem\"\nkey = \"{at}/gateway.key\"\n",
    );
    let cars = "[[fleet.cars]]\nname = \"car_a\"\n";
    let server = Server::run(&format!(
        "site = \"x\"\n[fleet]\ncompany = \"acme\"\n{broker}{cars}{TRANSPARENT}"
    ));
    assert_eq!(port_of(&server), port);
    let endpoint = Endpoint {
        tls: Some(tls(dir.path(), "ca", Some("gateway"))),
        ..Endpoint::plain("127.0.0.1", port, "acme/car_a")
    };
    Car::connect_to(endpoint, "acme", "car_a").sequence("s1", &[device(1000, "test")]);
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn off_loopback_a_password_is_asked_for_and_each_car_has_its_own_topics() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("a"), "secret-a\n").unwrap();
    std::fs::write(dir.path().join("b"), "secret-b\n").unwrap();
    let at = dir.path().display();
    let server = Server::run(&format!(
        "site = \"x\"\n[fleet]\ncompany = \"acme\"\n[fleet.broker]\naddress = \"0.0.0.0:0\"\n\
         [[fleet.cars]]\nname = \"a\"\npassword_file = \"{at}/a\"\n\
         [[fleet.cars]]\nname = \"b\"\npassword_file = \"{at}/b\"\n{TRANSPARENT}"
    ));
    let port = port_of(&server);
    let as_car = |name: &str, password: &str| Endpoint {
        login: Some((format!("acme/{name}"), password.into())),
        ..Endpoint::plain("127.0.0.1", port, &format!("acme/{name}"))
    };
    let up = |endpoint| matches!(first_event(endpoint), Event::Up);
    assert!(
        !up(Endpoint::plain("127.0.0.1", port, "acme/a")),
        "nobody without a login"
    );
    assert!(!up(as_car("a", "secret-b")));
    assert!(!up(as_car("c", "secret-a")), "no such car");
    let mut willing = as_car("a", "secret-a");
    willing.will = Some(("acme/b/external_server".into(), b"x".to_vec()));
    assert!(!up(willing), "a last will for another car");
    let a = Car::connect_to(as_car("a", "secret-a"), "acme", "a");
    let b = Car::connect_to(as_car("b", "secret-b"), "acme", "b");
    a.sequence("s1", &[device(1000, "test")]);
    b.sequence("s1", &[device(1000, "test")]);

    // As car a, car b's commands are not heard, and nothing can be said in its name.
    let (tell, told) = std::sync::mpsc::channel();
    let endpoint = Endpoint {
        client_id: "acme/a".into(),
        ..as_car("a", "secret-a")
    };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async move {
            let mut client = Client::new(endpoint);
            client.subscribe(vec!["acme/b/external_server".into(), "#".into()]);
            let publisher = client.publisher();
            loop {
                match client.next().await {
                    Event::Subscribed(_) => {
                        let bytes = leitstand_hal_mock::vehicle::wire::connect(
                            "stolen",
                            "",
                            "",
                            &[device(1000, "test")],
                        );
                        let _ = publisher.publish("acme/b/module_gateway", bytes, false);
                    }
                    Event::Message { topic, .. } => {
                        let _ = tell.send(topic);
                    }
                    _ => {}
                }
            }
        });
    });
    assert_eq!(
        told.recv_timeout(Duration::from_secs(2)),
        Err(RecvTimeoutError::Timeout)
    );
    let view = server.get("/api/v1/fleet/cars/acme/b").ok();
    assert_eq!(view["session"], "s1", "car b keeps its session");
    server.wait_for("it was counted", "/api/v1/fleet", |v| {
        (v["broker"]["forbidden"].as_u64()? > 0).then_some(())
    });
}
