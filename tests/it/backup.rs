//! A backup of a running site, a wiped disk, and the site as it was.

use leitstand_tests::{Server, leitstand};
use serde_json::json;
use std::path::Path;

/// A cell that is over its threshold from the start, and one picture beside the configuration.
const CONFIG: &str = r#"
site = "Tower"

[panel]
buttons = 2
media_dir = "pictures"

[gas]
production = false

[[gas.sensors]]
id = "s"
kind = "simulated"
profile = "constant"
low = 200
high = 200
period_s = 60

[[gas.cells]]
id = "co"
sensor = "s"
channel = 1
gas = "co"
unit = "ppm"
range_lo = 0
range_hi = 300
warmup_s = 0

[[gas.zones]]
id = "hall"
name = "Hall"
cells = ["co"]

  [[gas.zones.setpoints]]
  id = "co_ap3"
  stage = 3
  cells = ["co"]
  quantity = "direct"
  direction = "rising"
  on = 150.0
  hysteresis = 5.0
  latching = true
"#;
const ALARM: &str = "/api/v1/gas/alarms/hall.co_ap3";

fn said(file: &Path, args: &[&str]) -> String {
    let mut all = vec![args[0], file.to_str().unwrap()];
    all.extend(&args[1..]);
    let out = leitstand(&all);
    assert!(
        out.status.success(),
        "{all:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn hash(text: &str) -> &str {
    let line = text.lines().find_map(|l| l.strip_prefix("State hash  "));
    line.expect("a state hash")
}

#[test]
fn a_wiped_site_comes_back_with_its_alarm_latched_and_acknowledged() {
    let mut server = Server::run(CONFIG);
    let pictures = server.dir().join("pictures");
    std::fs::create_dir_all(&pictures).unwrap();
    std::fs::write(pictures.join("001.svg"), "<svg/>").unwrap();
    server.wait_for("the alarm", ALARM, |alarm| {
        (alarm["state"] == "active_unack").then_some(())
    });
    let ack = server.post(&format!("{ALARM}/ack"), &json!({ "reason": "seen" }));
    assert_eq!(ack.status, 200, "{}", ack.text());

    let state = server.state_dir();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("tower.tar");
    let made = said(&file, &["backup", "--state", state.to_str().unwrap()]);
    server.kill_9();
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::remove_dir_all(&pictures).unwrap();
    std::fs::remove_file(server.dir().join("leitstand.toml")).unwrap();

    assert!(said(&file, &["restore", "--check"]).contains("A whole backup of `Tower`"));
    let restored = said(&file, &["restore", "--state", state.to_str().unwrap()]);
    assert_eq!(hash(&restored), hash(&made));
    assert!(server.dir().join("leitstand.toml").is_file());
    assert_eq!(std::fs::read(pictures.join("001.svg")).unwrap(), b"<svg/>");

    server.restart();
    server.wait_for("the acknowledged alarm", ALARM, |alarm| {
        (alarm["state"] == "active_ack").then_some(())
    });
    server.stop();
    let journal = leitstand(&["check", "--journal", state.to_str().unwrap()]);
    assert!(journal.status.success(), "{journal:?}");
}

#[test]
fn a_backup_is_for_its_owner_only_and_never_overwrites_a_site() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::run(CONFIG);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("tower.tar");
    let state = server.state_dir();
    said(&file, &["backup", "--state", state.to_str().unwrap()]);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    let refused = leitstand(&[
        "restore",
        file.to_str().unwrap(),
        "--state",
        state.to_str().unwrap(),
    ]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3));
    assert!(text.contains("is not empty; move it away first"), "{text}");
}

#[test]
fn backups_are_made_on_request_listed_and_fetched() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("backups");
    let config = format!(
        "{CONFIG}\n[backup]\ndir = {:?}\nkeep = 1\n",
        dir.display().to_string()
    );
    // Loopback is engineer; a backup needs an admin.
    let mut server = Server::run(&config);
    assert_eq!(server.post("/api/v1/backups", &json!({})).status, 403);
    let token = leitstand(&[
        "token",
        "new",
        "--name",
        "boss",
        "--role",
        "admin",
        "--state",
        server.state_dir().to_str().unwrap(),
    ]);
    server.use_token(Some(
        String::from_utf8_lossy(&token.stdout).trim().to_owned(),
    ));
    assert_eq!(server.post("/api/v1/backups", &json!({})).status, 202);
    let name = server.wait_for("a backup", "/api/v1/backups", |list| {
        list["items"][0]["name"].as_str().map(str::to_owned)
    });
    let fetched = server.get(&format!("/api/v1/backups/{name}"));
    assert_eq!(fetched.status, 200);
    let copy = place.path().join("copy.tar");
    std::fs::write(&copy, &fetched.body).unwrap();
    assert!(said(&copy, &["restore", "--check"]).contains("A whole backup of `Tower`"));
    for stranger in ["status", "..%2Fstatus", "%2Fetc%2Fpasswd"] {
        assert_eq!(
            server.get(&format!("/api/v1/backups/{stranger}")).status,
            404,
            "{stranger}"
        );
    }

    // The folder is gone and cannot come back: an event says so, and nothing else suffers.
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::write(&dir, "in the way").unwrap();
    assert_eq!(server.post("/api/v1/backups", &json!({})).status, 202);
    server.wait_for("the failure", "/api/v1/backups", |list| {
        list["last_error"].is_string().then_some(())
    });
    server.wait_for("the event", "/api/v1/events?service=backup", |page| {
        (page["items"][0]["kind"] == "BackupFailed").then_some(())
    });
}
