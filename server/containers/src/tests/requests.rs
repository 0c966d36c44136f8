//! Cases 3, 5, 8 to 14, 22 and 31 of `specs/containers.md` 11.

use super::*;
use crate::{
    facts::{Kind, Verdict},
    wire::response::Response,
};

fn wrong() -> Value {
    json!("A".repeat(255))
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c3_stat() {
    let lab = Lab::new("max_running = 3").await;
    let answer = lab.ask("STAT", json!({})).await;
    assert_eq!(
        (&answer["success"], &answer["message"]),
        (&json!(true), &json!("OK"))
    );
    assert!(answer["data"]["uptime"].is_u64());
    assert!(!answer["data"]["version"].as_str().unwrap().is_empty());
    assert_eq!(answer["data"]["available"], 3);
    lab.ask("CREATE", json!({})).await;
    assert_eq!(lab.ask("STAT", json!({})).await["data"]["available"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c4_the_six_fields() {
    let lab = Lab::new("").await;
    let data = lab.ask("CREATE", json!({})).await["data"].clone();
    let text = |key: &str| data[key].as_str().unwrap().to_owned();
    assert!(
        text("container_uuid")
            .parse::<crate::id::ContainerId>()
            .is_ok()
    );
    assert_eq!(text("client_token").len(), 255);
    assert_eq!(text("container_iso_sha256").len(), 64);
    assert!(text("container_username").starts_with("user_"));
    assert_eq!(text("container_password").len(), 120);
    assert!((20_000..30_000).contains(&data["container_listen_port"].as_u64().unwrap()));
    assert!(text("ssh_host_key").starts_with("SHA256:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c5_full_without_asking_the_backend() {
    let lab = Lab::new("max_running = 1").await;
    assert_eq!(lab.ask("CREATE", json!({})).await["success"], true);
    let asked = lab.mock.creates();
    let answer = lab.ask("CREATE", json!({})).await;
    assert_eq!(
        answer["message"],
        "Unavailable (The maximum allowed amount of running containers has been reached on the server)"
    );
    assert_eq!(lab.mock.creates(), asked);
    assert_eq!(lab.engine.available(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c7_c8_c9_c10_destroy() {
    let lab = Lab::new("").await;
    let made = lab.ask("CREATE", json!({})).await["data"].clone();
    let port = made["container_listen_port"].as_u64().unwrap() as u16;
    let uuid = &made["container_uuid"];
    let zero = "00000000-0000-4000-8000-000000000000";

    let answer = lab
        .ask(
            "DESTROY",
            json!({"container_uuid": uuid, "client_token": wrong()}),
        )
        .await;
    assert_eq!(
        (&answer["success"], &answer["message"]),
        (&json!(false), &json!("Bad authentication"))
    );
    assert_eq!(lab.mock.running(), 1, "the wrong token ended it");
    let unknown = lab
        .ask(
            "DESTROY",
            json!({"container_uuid": zero, "client_token": wrong()}),
        )
        .await;
    assert_eq!(unknown, answer);
    for half in [
        json!({}),
        json!({"container_uuid": uuid}),
        json!({"client_token": wrong()}),
    ] {
        assert_eq!(
            lab.ask("DESTROY", half).await["message"],
            "Bad request (Malformed request)"
        );
    }

    let right = json!({"container_uuid": uuid, "client_token": made["client_token"]});
    let before = lab.engine.available();
    let live = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let done = lab.ask("DESTROY", right.clone()).await;
    assert_eq!(
        (&done["message"], &done["data"]),
        (&json!("OK"), &json!({}))
    );
    assert_eq!(
        (lab.mock.running(), lab.engine.available()),
        (0, before + 1)
    );
    assert!(lab.engine.ledger().rows().await.unwrap().is_empty());
    until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_err()).await;
    // The live connection is cut: what it reads comes to its end.
    let mut bytes = Vec::new();
    let mut live = live;
    let cut = tokio::io::AsyncReadExt::read_to_end(&mut live, &mut bytes);
    drop(
        tokio::time::timeout(Duration::from_secs(30), cut)
            .await
            .unwrap(),
    );
    assert_eq!(
        lab.ask("DESTROY", right).await["message"],
        "Bad authentication"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c11_c12_malformed_and_unknown_verbs_are_told_and_recorded() {
    let lab = Lab::new("").await;
    let bad = [
        json!([1, 2]),
        json!({"verb": "stat", "parameters": {}}),
        json!({"verb": "STAT"}),
    ];
    for request in bad {
        let answer = lab.ask_framed(Framing::W3, &request).await.unwrap();
        assert_eq!(answer["message"], "Bad request (Malformed request)");
    }
    let mut seen = lab.engine.facts().observe();
    assert_eq!(
        lab.ask("FOO", json!({})).await["message"],
        "Bad request (Unhandled verb)"
    );
    let mut kinds = Vec::new();
    while let Ok(fact) = seen.try_recv() {
        kinds.push(fact.kind);
    }
    assert!(kinds.contains(&Kind::VerbUnhandled), "{kinds:?}");
    let journal = lab.kinds().await;
    assert_eq!(
        journal.iter().filter(|k| *k == "RequestMalformed").count(),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c13_a_custom_verb_and_its_end() {
    let lab = Lab::new("").await;
    lab.verbs
        .set_handler("PING", async |cx: crate::verbs::RequestCx| {
            Response::ok(json!({"n": cx.request.raw.len()}))
        });
    assert_eq!(lab.ask("PING", json!({"x": 1})).await["data"]["n"], 1);
    lab.verbs
        .set_handler("PING", async |_| panic!("somebody else's defect"));
    assert_eq!(
        lab.ask("PING", json!({})).await["message"],
        "Internal error"
    );
    lab.verbs.remove_handler("PING");
    assert_eq!(
        lab.ask("PING", json!({})).await["message"],
        "Bad request (Unhandled verb)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c22_access_tokens() {
    let lab = Lab::new("access_tokens = true\nquota_per_token = 1").await;
    let ledger = lab.engine.ledger().clone();
    let (id, good) = tokio::task::spawn_blocking(move || ledger.new_token(0))
        .await
        .unwrap()
        .unwrap();
    let stat = async |token: Value| {
        lab.ask("STAT", json!({"access_token": token})).await["message"].clone()
    };
    assert_eq!(
        lab.ask("STAT", json!({})).await["message"],
        "Bad request (Access token is required)"
    );
    assert_eq!(
        stat(json!("wrong")).await,
        "Bad authentication (Invalid access token)"
    );
    assert_eq!(stat(json!(7)).await, "Bad request (Malformed request)");
    assert_eq!(stat(json!(good)).await, "OK");
    let create = async || lab.ask("CREATE", json!({"access_token": good})).await["message"].clone();
    assert_eq!(create().await, "OK");
    assert_eq!(
        create().await,
        "Unavailable (All containers of this access token are running)"
    );
    let ledger = lab.engine.ledger().clone();
    assert!(
        tokio::task::spawn_blocking(move || ledger.enable_token(id, false))
            .await
            .unwrap()
            .unwrap()
    );
    assert_eq!(
        stat(json!(good)).await,
        "Bad authentication (Invalid access token)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c23_a_filtered_address_sees_no_byte() {
    let lab = Lab::new("deny = ['127.0.0.0/8']").await;
    let address = lab.address;
    let read = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut bytes = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut bytes);
        bytes
    });
    assert!(read.await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c26_a_handler_that_closes_ends_that_request_only() {
    let lab = Lab::new("max_running = 2").await;
    let kinds = [
        Kind::ConnectionAccepted,
        Kind::ClientInitialized,
        Kind::RequestReceived,
        Kind::ContainerCreated,
        Kind::ContainerStarted,
        Kind::EndpointShellCreated,
        Kind::EndpointShellOpened,
        Kind::EndpointShellClosed,
        Kind::ForwarderCreated,
        Kind::ForwarderStarted,
    ];
    for kind in kinds {
        lab.engine.facts().handle(kind, |_| Verdict::Close);
        let mut seen = lab.engine.facts().observe();
        let asked = lab
            .ask_framed(Framing::W3, &json!({"verb": "CREATE", "parameters": {}}))
            .await;
        assert!(asked.is_err(), "{kind:?} was answered: {asked:?}");
        lab.engine.facts().forget_handlers();
        until(|| lab.engine.available() == 2 && lab.mock.running() == 0).await;
        if kind != Kind::ConnectionAccepted {
            until(|| matches!(seen.try_recv(), Ok(fact) if fact.kind == Kind::ClientClosed)).await;
        }
        assert_eq!(
            lab.ask("STAT", json!({})).await["message"],
            "OK",
            "after {kind:?}"
        );
    }
    lab.engine.facts().handle(Kind::ContainerCreated, |_| {
        Verdict::Respond(Response::unavailable("maintenance"))
    });
    assert_eq!(
        lab.ask("CREATE", json!({})).await["message"],
        "Unavailable (maintenance)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c31_old_clients_with_the_switch_on_and_off() {
    let request = json!({"verb": "STAT", "parameters": {}});
    let on = Lab::new("legacy_framing = true").await;
    let off = Lab::new("").await;
    for framing in [Framing::W1, Framing::W2] {
        assert_eq!(
            on.ask_framed(framing, &request).await.unwrap()["message"],
            "OK",
            "{framing:?}"
        );
        assert!(
            off.ask_framed(framing, &request).await.is_err(),
            "{framing:?}"
        );
    }
}
