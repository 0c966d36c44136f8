//! The command line as a user meets it: first line, exit codes, help.

use leitstand_tests::{Server, leitstand};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const COMMANDS: [&[&str]; 11] = [
    &["demo"],
    &["run"],
    &["check"],
    &["replay"],
    &["scan"],
    &["import"],
    &["token", "new"],
    &["token", "list"],
    &["token", "revoke"],
    &["user", "add"],
    &[],
];

#[test]
fn every_help_has_an_example() {
    for command in COMMANDS {
        let mut args = command.to_vec();
        args.push("--help");
        let output = leitstand(&args);
        let text = stdout(&output);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{command:?}: {}",
            stderr(&output)
        );
        assert!(
            text.contains("leitstand "),
            "{command:?} shows no example:\n{text}"
        );
        assert!(text.contains("Usage:"), "{command:?}:\n{text}");
    }
}

#[test]
fn a_wrong_command_line_is_exit_2_on_stderr() {
    for args in [
        &["fly"] as &[&str],
        &["demo", "--bind", "nowhere"],
        &["demo", "--speed", "0"],
        &["replay", "--config", "x.toml"],
        &["token", "new", "--name", "x", "--role", "king"],
        &["check"],
    ] {
        let output = leitstand(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            stdout(&output).is_empty(),
            "{args:?} wrote to STDOUT: {}",
            stdout(&output)
        );
        assert!(!stderr(&output).is_empty(), "{args:?} said nothing");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = leitstand(&["--version"]);
    assert_eq!(
        stdout(&output).trim(),
        format!("leitstand {}", env!("CARGO_PKG_VERSION"))
    );
}

/// A site that starts anywhere and does nothing.
const BARE: &str = "site = \"Bare\"\n";

fn path(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn without_a_configuration_it_refuses_to_start() {
    let dir = tempfile::tempdir().unwrap();
    let (config, state) = (
        path(&dir.path().join("none.toml")),
        path(&dir.path().join("state")),
    );
    let output = leitstand(&["run", "--config", &config, "--state", &state]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stdout(&output),
        format!("leitstand: {}\n", env!("CARGO_PKG_VERSION"))
    );
    let said = stderr(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains(&config) && said.contains(&format!("{state}/status")),
        "{said}"
    );
    assert!(
        !dir.path().join("state").exists(),
        "a refused start leaves something behind"
    );
}

#[test]
fn a_mistake_in_the_configuration_is_exit_2_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("leitstand.toml");
    std::fs::write(&config, "site = \"x\"\nlanguege = \"en\"\n").unwrap();
    let state = path(&dir.path().join("state"));
    let output = leitstand(&["run", "--config", &path(&config), "--state", &state]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("languege"), "{}", stderr(&output));

    let output = leitstand(&["check", &path(&config), "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let first = &found[0];
    assert_eq!(
        (first["line"].as_u64(), first["key"].as_str()),
        (Some(2), Some("languege")),
        "{found}"
    );
    assert_eq!(first["suggestion"], "language", "{found}");
    assert_eq!(first["severity"], "error");
}

#[test]
fn the_first_line_of_run_names_program_and_version() {
    let mut server = Server::run(BARE);
    assert_eq!(
        server.stdout_lines()[0],
        format!("leitstand: {}", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_taken_address_is_exit_5() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("leitstand.toml");
    std::fs::write(&config, BARE).unwrap();
    let state = path(&dir.path().join("state"));
    let output = leitstand(&[
        "run",
        "--config",
        &path(&config),
        "--state",
        &state,
        "--bind",
        &bind,
    ]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert!(stderr(&output).contains(&bind), "{}", stderr(&output));
}

#[test]
fn a_state_directory_has_one_gateway() {
    let server = Server::run(BARE);
    let state = path(&server.state_dir());
    let config = path(&server.dir().join("leitstand.toml"));
    let output = leitstand(&[
        "run",
        "--config",
        &config,
        "--state",
        &state,
        "--bind",
        "127.0.0.1:0",
    ]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains(&state), "{}", stderr(&output));
    let _ = server.get("/api/v1/site").ok();
}

fn truncate(file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
}

fn kinds(server: &Server) -> Vec<String> {
    let page = server.get("/api/v1/events?service=gateway").ok();
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn runtime_information_wins_over_the_file_and_survives_damage() {
    let mut server = Server::run(BARE);
    let config = server.dir().join("leitstand.toml");
    let site = |server: &Server| {
        server.get("/api/v1/site").ok()["site"]
            .as_str()
            .unwrap()
            .to_owned()
    };

    // The file is gone: the copy is in force.
    server.kill_9();
    std::fs::remove_file(&config).unwrap();
    server.restart();
    assert_eq!(site(&server), "Bare");

    // The file says something else: shown, not applied.
    server.kill_9();
    std::fs::write(&config, "site = \"Other\"\n").unwrap();
    server.restart();
    assert_eq!(site(&server), "Bare");
    server.wait_for(
        "the drift is in the journal",
        "/api/v1/events?kind=ConfigurationDrifted",
        |page| (!page["items"].as_array()?.is_empty()).then_some(()),
    );

    // The newest copy is damaged: the one before, and an event.
    server.kill_9();
    truncate(&server.state_dir().join("status"));
    server.restart();
    assert_eq!(site(&server), "Bare");
    leitstand_tests::wait::until("the recovery is in the journal", || {
        kinds(&server)
            .contains(&"RuntimeInformationRecovered".to_owned())
            .then_some(())
    });

    // Both are damaged: a person must decide.
    server.kill_9();
    truncate(&server.state_dir().join("status"));
    truncate(&server.state_dir().join("status.1"));
    let state = path(&server.state_dir());
    let run = [
        "run",
        "--config",
        &path(&config),
        "--state",
        &state,
        "--bind",
        "127.0.0.1:0",
    ];
    let output = leitstand(&run);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("--rebootstrap"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_journal_of_a_stopped_site_is_vouched_for_and_an_edit_is_found() {
    let mut server = Server::run(BARE);
    let _ = server.get("/api/v1/site").ok();
    assert_eq!(server.stop().code(), Some(0));
    let state = path(&server.state_dir());
    let output = leitstand(&["check", "--journal", &state]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("entries"), "{}", stdout(&output));
    // One letter of one entry, wherever the database keeps it.
    for name in ["leitstand.db", "leitstand.db-wal"] {
        let file = server.state_dir().join(name);
        let Ok(mut bytes) = std::fs::read(&file) else {
            continue;
        };
        let text = b"The gateway started";
        let places: Vec<_> = (0..bytes.len().saturating_sub(text.len()))
            .filter(|at| &bytes[*at..at + text.len()] == text)
            .collect();
        for at in places {
            bytes[at] = b'X';
        }
        std::fs::write(&file, bytes).unwrap();
    }
    let output = leitstand(&["check", "--journal", &state]);
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
    assert!(stderr(&output).contains("entry 1"), "{}", stderr(&output));
    assert_eq!(
        leitstand(&["check", "--journal", "/nowhere/at/all"])
            .status
            .code(),
        Some(3)
    );
}

#[test]
fn the_schema_is_a_json_schema_of_the_whole_file() {
    let output = leitstand(&["check", "--schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["site", "api", "gas", "panel", "power"] {
        assert!(schema["properties"][key].is_object(), "{key} is missing");
    }
}

#[test]
fn the_sample_recording_replays_as_documented() {
    let sample = |name: &str| format!("{}/../server/deploy/{name}", env!("CARGO_MANIFEST_DIR"));
    let (config, readings) = (sample("garage.toml"), sample("garage-readings.csv"));
    let args = [
        "replay",
        "--config",
        &config,
        "--readings",
        &readings,
        "--json",
    ];
    let output = leitstand(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<Value> = stdout(&output)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let find = |event: &str| {
        lines
            .iter()
            .find(|l| l["event"] == event)
            .unwrap_or_else(|| panic!("no {event}"))
    };
    assert_eq!(
        (
            find("AlarmRaised")["t_s"].as_f64(),
            &find("AlarmRaised")["setpoint"]
        ),
        (Some(10.0), &"co_ap3".into())
    );
    assert_eq!(find("AlarmLatched")["state"], "LatchedUnack");
    assert_eq!(lines.last().unwrap()["event"], "Summary");

    let mut acked = args.to_vec();
    acked.extend([
        "--ack",
        "co_ap3@12",
        "--reset",
        "garage.co_ap3@25",
        "--until",
        "30",
    ]);
    let output = leitstand(&acked);
    let last = stdout(&output).lines().last().unwrap().to_owned();
    let summary: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(summary["alarms"]["co_ap3"], "Normal", "{}", stdout(&output));

    let mut wrong = args.to_vec();
    wrong.extend(["--ack", "co_ap9@12"]);
    assert_eq!(leitstand(&wrong).status.code(), Some(2));
}

#[test]
fn a_scan_finds_what_is_on_the_line() {
    use leitstand_core::modbus::{Address, line::Line};
    use leitstand_hal_mock::bus::Bus;
    use leitstand_hal_mock::mr_do4::MrDo4;
    use leitstand_hal_mock::ra_gas::RaGas;
    use leitstand_hal_mock::rs485::{Device, Rs485};
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("rs485");
    let address = |n| Address::new(n).unwrap();
    let devices = vec![
        Device::RaGas(RaGas::new(address(3))),
        Device::MrDo4(MrDo4::new(address(34))),
    ];
    let _bus = Bus::start(Rs485::new(Line::RA_GAS, devices), &link).unwrap();
    let device = path(&link);
    let output = leitstand(&[
        "scan",
        &device,
        "--baud",
        "9600",
        "--addresses",
        "2-4,34",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let found: Vec<Value> = stdout(&output)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let at: Vec<_> = found
        .iter()
        .map(|f| f["address"].as_u64().unwrap())
        .collect();
    assert_eq!(at, [3, 34], "{found:?}");
    assert!(
        found[0]["device"].as_str().unwrap().contains("RA-GAS"),
        "{found:?}"
    );

    let output = leitstand(&["scan", &device, "--baud", "9600", "--addresses", "5"]);
    assert_eq!(output.status.code(), Some(4), "nobody answers");
    let output = leitstand(&["scan", &path(&dir.path().join("none"))]);
    assert_eq!(output.status.code(), Some(4), "no such line");
    assert!(
        stderr(&output).contains("does not exist"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn systemd_is_told_ready_alive_and_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("notify");
    let listener = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    listener
        .set_read_timeout(Some(leitstand_tests::wait::PATIENCE))
        .unwrap();
    let hear = |wanted: &str| {
        let mut buffer = [0; 512];
        loop {
            let n = listener
                .recv(&mut buffer)
                .unwrap_or_else(|e| panic!("waiting for {wanted}: {e}"));
            if String::from_utf8_lossy(&buffer[..n]).contains(wanted) {
                break;
            }
        }
    };
    let env = [
        ("NOTIFY_SOCKET", path(&socket)),
        ("WATCHDOG_USEC", "1000000".to_owned()),
    ];
    let mut server = Server::demo_with_env(&env);
    hear("READY=1");
    // It says so after the first full poll, not before.
    let snapshot = server.get("/api/v1/gas/snapshot").ok();
    let special = snapshot["status"]["special"].as_array().unwrap();
    assert!(!special.contains(&"starting".into()), "{special:?}");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    server.signal(rustix::process::Signal::TERM);
    hear("STOPPING=1");
    assert_eq!(server.wait_exit().code(), Some(0));
}
