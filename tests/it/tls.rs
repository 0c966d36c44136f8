//! Off loopback the gateway encrypts: the certificate it makes, its pages and sockets inside TLS, and what it says to
//! those who come in the clear or bring files that do not do.

use leitstand_tests::{Server, http, leitstand, tls, wait};
use serde_json::{Value, json};
use tungstenite::{Message, client::IntoClientRequest as _};

const SITE: &str = "site = 'Tls'\n[panel]\nbuttons = 10\nmedia_dir = 'media'\n";

fn off_loopback(api: &str) -> Server {
    Server::run_with(&format!("{SITE}[api]\n{api}"), &["--bind", "0.0.0.0:0"])
}

fn token(server: &Server, role: &str) -> String {
    let state = server.state_dir().display().to_string();
    let made = leitstand(&[
        "token", "new", "--name", role, "--role", role, "--state", &state,
    ]);
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn printed_fingerprint(server: &Server) -> String {
    wait::until("the fingerprint is printed", || {
        let lines = server.stdout_lines();
        let line = lines.iter().find(|l| l.starts_with("Certificate"))?;
        Some(line.rsplit(' ').next()?.to_owned())
    })
}

#[test]
fn off_loopback_everything_is_inside_tls_without_a_word_in_the_configuration() {
    let mut server = off_loopback("names = ['gateway.example']");
    assert!(server.base_url().starts_with("https://"));
    let fingerprint = printed_fingerprint(&server);
    assert_eq!(fingerprint.len(), 32 * 3 - 1, "{fingerprint}");
    // The claim page shows the same, before anybody has a login.
    let shown = server.get("/ui/certificate.json").ok();
    assert_eq!(shown, json!({"sha256": fingerprint, "self_made": true}));

    let viewer = token(&server, "viewer");
    server.use_token(Some(viewer.clone()));
    let site = server.get("/api/v1/site");
    assert_eq!(site.ok()["site"], "Tls");
    // It would lock people out of a gateway whose certificate no browser knows.
    assert_eq!(site.header("strict-transport-security"), None);

    // A screen: cookie by token, then the socket.
    server.use_token(None);
    let page = server.request(
        "GET",
        &format!("/panel?token={viewer}"),
        &[("Accept", "text/html")],
        None,
    );
    let cookie = page.header("set-cookie").unwrap().to_owned();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let mut request = format!("wss://{}/ws", server.addr())
        .into_client_request()
        .unwrap();
    let cookie = cookie.split(';').next().unwrap().parse().unwrap();
    request.headers_mut().insert("cookie", cookie);
    let (mut socket, _) = tungstenite::client(request, server.connect().unwrap()).unwrap();
    let Message::Text(hello) = socket.read().unwrap() else {
        panic!("no hello");
    };
    let hello: Value = serde_json::from_str(&hello).unwrap();
    assert_eq!(hello["type"], "hello");
    server.use_token(Some(viewer));
    // And back: what the screen says arrives.
    socket
        .send(Message::text(r#"{"type":"nonsense"}"#))
        .unwrap();
    let counted = "leitstand_panel_messages_dropped_total{reason=\"unknown_type\"} 1";
    wait::until("the screen was heard", || {
        server
            .get("/metrics")
            .text()
            .contains(counted)
            .then_some(())
    });

    let mut stream = server.stream("/api/v1/stream?since=0", None);
    assert!(stream.next_event().is_some());
}

#[test]
fn the_site_certificate_is_for_the_configured_names_and_stays_over_a_restart() {
    let mut server = off_loopback("names = ['gateway.example']");
    let fingerprint = printed_fingerprint(&server);
    let shake = |server: &Server, name: &str| {
        let stream = http::connect(server.addr()).unwrap();
        tls::client(stream, name, &server.certificate()).map(|_| ())
    };
    shake(&server, "gateway.example").unwrap();
    shake(&server, "localhost").unwrap();
    assert!(shake(&server, "evil.example").is_err());
    assert_eq!(server.stop().code(), Some(0));
    server.restart();
    assert_eq!(printed_fingerprint(&server), fingerprint);
    shake(&server, "gateway.example").unwrap();
}

#[test]
fn who_comes_in_the_clear_is_told_the_way_and_nothing_else() {
    let server = off_loopback("");
    let reply = http::request(server.addr(), "GET", "/panel?kiosk=1", &[], None).unwrap();
    assert_eq!(reply.status, 307);
    let to = format!("https://{}/panel?kiosk=1", server.addr());
    assert_eq!(reply.header("location"), Some(to.as_str()));
    let reply = http::request(server.addr(), "POST", "/login", &[], Some(b"{}")).unwrap();
    assert_eq!(reply.problem(400), "tls_needed");
}

#[test]
fn in_the_clear_off_loopback_is_possible_and_warned_of() {
    let server = off_loopback("tls = 'off'");
    assert!(server.base_url().starts_with("http://"));
    wait::until("a warning", || {
        server.printed().contains("unencrypted").then_some(())
    });
    assert_eq!(
        server.get("/ui/certificate.json").ok(),
        json!({"sha256": "", "self_made": false})
    );
}

#[test]
fn own_files_are_shown_and_files_that_do_not_do_refuse_the_start() {
    // The site certificate of one gateway is as good as any for another.
    let other = off_loopback("");
    let dir = tempfile::tempdir().unwrap();
    for (from, to) in [("site.pem", "cert.pem"), ("site.key", "key.pem")] {
        let from = other.certificate().with_file_name(from);
        std::fs::copy(from, dir.path().join(to)).unwrap();
    }
    let config = dir.path().join("leitstand.toml");
    let start = |cert: &str, key: &str| {
        let text = format!("{SITE}[api.tls]\ncert = '{cert}'\nkey = '{key}'\n");
        std::fs::write(&config, text).unwrap();
        let (config, state) = (config.display().to_string(), dir.path().join("first"));
        leitstand(&[
            "run",
            "--config",
            &config,
            "--bind",
            "127.0.0.1:0",
            "--state",
            &state.display().to_string(),
        ])
    };
    for (cert, key, said) in [
        ("missing.pem", "key.pem", "missing.pem"),
        ("key.pem", "key.pem", "no certificate in PEM"),
        ("cert.pem", "cert.pem", "no unencrypted private key"),
    ] {
        let ended = start(cert, key);
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{error}");
        assert!(error.contains(said), "{said} is not in: {error}");
    }
    let text = format!("{SITE}[api.tls]\ncert = 'cert.pem'\nkey = 'key.pem'\n");
    std::fs::write(&config, text).unwrap();
    let shown = printed_fingerprint(&Server::run_in(dir, &[]));
    assert_eq!(shown, printed_fingerprint(&other));
}
