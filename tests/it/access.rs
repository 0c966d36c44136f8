//! Off loopback nothing is reachable without a login, tested from the list of routes itself.

use leitstand_tests::{Server, leitstand};
use serde_json::{Value, json};

/// A site without hardware, so that it starts anywhere.
const SITE: &str = r#"
site = "Access"
[gas]
production = false
[[gas.sensors]]
id = "s"
kind = "simulated"
profile = "constant"
low = 1
[[gas.cells]]
id = "co"
sensor = "s"
channel = 1
gas = "co"
unit = "ppm"
range_lo = 0
range_hi = 300
[[gas.zones]]
id = "z"
name = "Zone"
cells = ["co"]
[[gas.zones.setpoints]]
id = "co_ap1"
stage = 1
cells = ["co"]
quantity = "direct"
on = 30.0
hysteresis = 5.0
actions = []
[panel]
buttons = 10
media_dir = "media"
[fleet]
company = "acme"
[fleet.broker]
address = "127.0.0.1:0"
[[fleet.cars]]
name = "car_a"
[[fleet.modules]]
id = 3
builtin = "transparent"
[models]
[[models.control]]
kind = "oip"
[containers]
bind = "127.0.0.1:0"
backend = "mock"
[[containers.profiles]]
name = "host-userland"
kind = "host"
memory_mib = 64
cpus = 0.5
pids = 64
[backup]
dir = "/var/empty/leitstand-backups"
"#;

/// Open to everybody: how to get in, and whether the gateway lives.
const OPEN: [&str; 4] = ["/login", "/claim", "/healthz", "/health"];

fn off_loopback() -> Server {
    Server::run_with(SITE, &["--bind", "0.0.0.0:0"])
}

fn token(server: &Server, name: &str, role: &str) -> String {
    let state = server.state_dir().display().to_string();
    let output = leitstand(&[
        "token", "new", "--name", name, "--role", role, "--state", &state,
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn routes(openapi: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        // A parameter is filled with something of its shape; the guard must not care.
        let mut concrete = String::new();
        let mut rest = path.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            concrete.push_str(before);
            concrete.push('1');
            rest = after.split_once('}').unwrap().1;
        }
        concrete.push_str(rest);
        for method in item.as_object().unwrap().keys() {
            if ["get", "put", "post", "delete", "patch", "head"].contains(&method.as_str()) {
                all.push((method.to_uppercase(), concrete.clone()));
            }
        }
    }
    assert!(all.len() > 40, "only {} routes are described", all.len());
    all
}

/// A section that this site lacks would bring routes that nobody looks at.
#[test]
fn the_site_of_these_tests_has_every_section() {
    let schema = leitstand(&["check", "--schema"]);
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    for section in schema["properties"].as_object().unwrap().keys() {
        // Without routes of their own.
        let bare = ["site", "language", "api", "power"];
        assert!(
            bare.contains(&section.as_str()) || SITE.contains(&format!("[{section}]")),
            "[{section}] is new: configure it in SITE, so that its routes are tried without a login"
        );
    }
}

#[test]
fn off_loopback_every_route_but_login_claim_and_health_needs_a_login() {
    let mut server = off_loopback();
    let admin = token(&server, "list", "admin");
    server.use_token(Some(admin));
    let openapi = server.get("/openapi.json").ok();
    let all = routes(&openapi);
    server.use_token(None);

    let mut open = Vec::new();
    for (method, path) in &all {
        let body = (method != "GET").then_some(b"{}".as_slice());
        let reply = server.request(method, path, &[("Content-Type", "application/json")], body);
        if OPEN.contains(&path.as_str()) {
            continue;
        }
        if reply.status != 401 {
            open.push(format!("{method} {path}: {}", reply.status));
        } else {
            assert_eq!(reply.problem(401), "login_required", "{method} {path}");
        }
    }
    assert!(open.is_empty(), "reachable without a login: {open:#?}");

    // What is no part of the description: pages, their assets, media, the sockets, unknown paths.
    for path in [
        "/",
        "/gas",
        "/panel",
        "/fleet",
        "/models",
        "/containers",
        "/events",
        "/openapi.json",
        "/metrics",
        "/ws",
        "/media/001.jpg",
        "/nothing",
    ] {
        let reply = server.get(path);
        let to_login = reply.status == 303
            && reply
                .header("location")
                .is_some_and(|l| l.starts_with("/login"));
        assert!(reply.status == 401 || to_login, "{path}: {}", reply.status);
        assert!(
            !reply.text().contains("Access"),
            "{path} tells the name of the site"
        );
    }
    for path in OPEN {
        assert_ne!(server.get(path).status, 401, "{path}");
    }
}

#[test]
fn a_viewer_looks_and_changes_nothing() {
    let mut server = off_loopback();
    let viewer = token(&server, "screen", "viewer");
    server.use_token(Some(viewer));
    server.wait_for("a viewer sees the zone", "/api/v1/gas/snapshot", |s| {
        (s["zones"][0]["id"] == "z").then_some(())
    });
    let refused = server.post("/api/v1/gas/alarms/ack-all", &json!({}));
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(
        server
            .put(
                "/api/v1/gas/outputs/x",
                &json!({"mode": "on", "reason": "r"})
            )
            .status,
        403
    );
}

#[test]
fn a_revoked_token_is_worth_nothing() {
    let mut server = off_loopback();
    let state = server.state_dir().display().to_string();
    let text = token(&server, "guest", "operator");
    server.use_token(Some(text.clone()));
    let _ = server.get("/api/v1/site").ok();
    let listed = leitstand(&["token", "list", "--state", &state]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("guest") && listed.contains("operator"),
        "{listed}"
    );
    assert!(!listed.contains(&text), "the secret is listed");
    assert!(
        leitstand(&["token", "revoke", "guest", "--state", &state])
            .status
            .success()
    );
    assert_eq!(server.get("/api/v1/site").status, 401);
    assert_eq!(
        leitstand(&["token", "revoke", "guest", "--state", &state])
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn a_revoked_token_ends_what_it_has_open() {
    let mut server = off_loopback();
    let state = server.state_dir().display().to_string();
    let screen = token(&server, "screen", "viewer");
    let admin = token(&server, "admin", "admin");
    server.use_token(Some(screen.clone()));
    let mut stream = server.stream("/api/v1/stream?since=0", None);
    assert!(stream.next_event().is_some());
    let url = format!("wss://{}/ws?token={screen}", server.addr());
    let (mut socket, _) = tungstenite::client(url, server.connect().unwrap()).unwrap();
    assert!(socket.read().unwrap().is_text());

    let revoked = leitstand(&["token", "revoke", "screen", "--state", &state]);
    assert!(revoked.status.success());
    while stream.next_event().is_some() {}
    let code = loop {
        let message = socket.read().expect("a close frame before the end");
        if let tungstenite::Message::Close(frame) = message {
            break frame.map(|f| u16::from(f.code));
        }
    };
    assert_eq!(code, Some(1008));

    let listed = leitstand(&["token", "list", "--state", &state]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("never used"), "{listed}");
    server.use_token(Some(admin));
    let _ = server.get("/api/v1/site").ok();
    leitstand_tests::wait::until("the use of the token is known", || {
        let listed = leitstand(&["token", "list", "--state", &state]);
        let listed = String::from_utf8(listed.stdout).unwrap();
        listed.contains("last used 20").then_some(())
    });
    let metrics = server.get("/metrics").text();
    let counted = "leitstand_panel_clients_left_total{reason=\"logged_out\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn the_claim_code_is_printed_once_and_makes_the_first_admin() {
    let mut server = off_loopback();
    let line = leitstand_tests::wait::until("the claim code is printed", || {
        server
            .stdout_lines()
            .into_iter()
            .find(|l| l.contains("/claim"))
    });
    let code = line.split_whitespace().last().unwrap().to_owned();
    let wrong = server.post(
        "/claim",
        &json!({"code": "nonsense", "name": "eve", "password": "a long password"}),
    );
    assert!((400..500).contains(&wrong.status), "{}", wrong.text());
    let body = json!({"code": code, "name": "anna", "password": "a long password"});
    let claimed = server.post("/claim", &body);
    assert!(
        claimed.status < 300,
        "{}: {}",
        claimed.status,
        claimed.text()
    );
    let again = server.post("/claim", &body);
    assert!((400..500).contains(&again.status), "the code worked twice");

    assert_eq!(server.stop().code(), Some(0));
    server.restart();
    assert!(
        !server.stdout_lines().iter().any(|l| l.contains("/claim")),
        "a site with an owner offers a claim"
    );
}

#[test]
fn on_loopback_foreign_names_and_foreign_pages_stay_out() {
    let server = Server::run(SITE);
    let _ = server.get("/api/v1/site").ok();
    // A page of another site that pointed its own name at this machine.
    let mut stream = leitstand_tests::http::connect(server.addr()).unwrap();
    use std::io::Write as _;
    stream
        .write_all(b"GET /api/v1/site HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        .unwrap();
    let reply =
        leitstand_tests::http::read_reply(&mut std::io::BufReader::new(stream), false).unwrap();
    assert_eq!(reply.problem(421), "foreign_host");
    // A page of another site that sends a form to this machine.
    let headers = [
        ("Origin", "http://evil.example"),
        ("Content-Type", "application/json"),
    ];
    let reply = server.request("POST", "/api/v1/gas/alarms/ack-all", &headers, Some(b"{}"));
    assert_eq!(reply.status, 403, "{}", reply.text());
}
