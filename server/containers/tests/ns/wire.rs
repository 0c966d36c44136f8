//! The whole life over the wire, by a client in Python with `cryptography`, and a login in between.

use std::{process::Command, sync::Arc};

use leitstand_containers::{tcp::Door, verbs::Verbs, wire::crypto::OwnKey};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{lab::ci, login::Gateway};

/// A Python that has `cryptography`: of `.ci/run`, or the machine's.
fn python() -> Option<String> {
    let candidates = [
        std::env::var("LEITSTAND_PYTHON").unwrap_or_default(),
        "python3".into(),
    ];
    candidates.into_iter().find(|p| {
        let found = Command::new(p).args(["-c", "import cryptography"]).output();
        found.is_ok_and(|o| o.status.success())
    })
}

async fn ask(python: &str, port: u16, verb: &str, parameters: Value) -> Value {
    let mut command = Command::new(python);
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ns/client.py"))
        .args([&port.to_string(), verb, &parameters.to_string()]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let trouble = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{verb}: {trouble}"))
}

pub(crate) async fn golden_p_a_client_in_python_drives_the_whole_life() {
    let Some(python) = python() else {
        println!("SKIPPED: no Python with cryptography");
        assert!(!ci(), "cryptography is installed by .ci/run");
        return;
    };
    let gateway = Gateway::new().await;
    let verbs = Verbs::new(gateway.engine.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = tokio::task::spawn_blocking(|| OwnKey::generate(4096).unwrap())
        .await
        .unwrap();
    let door = Door::new(verbs, Arc::new(key));
    tokio::spawn(async move { door.serve(&listener).await });

    assert_eq!(
        ask(&python, port, "STAT", json!({})).await["data"]["available"],
        8
    );
    let made = ask(&python, port, "CREATE", json!({})).await;
    assert_eq!(made["message"], "OK");
    let data = &made["data"];
    let banner = {
        let port = data["container_listen_port"].as_u64().unwrap() as u16;
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
        let mut bytes = [0; 8];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut bytes)
            .await
            .unwrap();
        bytes
    };
    assert_eq!(&banner, b"SSH-2.0-");
    assert_eq!(
        ask(&python, port, "STAT", json!({})).await["data"]["available"],
        7
    );
    assert_eq!(
        ask(&python, port, "FOO", json!({})).await["message"],
        "Bad request (Unhandled verb)"
    );
    let wrong = json!({"container_uuid": data["container_uuid"], "client_token": "A".repeat(255)});
    assert_eq!(
        ask(&python, port, "DESTROY", wrong).await["message"],
        "Bad authentication"
    );
    let right =
        json!({"container_uuid": data["container_uuid"], "client_token": data["client_token"]});
    assert_eq!(
        ask(&python, port, "DESTROY", right.clone()).await["message"],
        "OK"
    );
    assert_eq!(
        ask(&python, port, "DESTROY", right).await["message"],
        "Bad authentication"
    );
    // Thirty-two at once.
    let many = (0..32).map(|_| ask(&python, port, "STAT", json!({})));
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer["data"]["available"], 8);
    }
    gateway.engine.stop().await;
}
