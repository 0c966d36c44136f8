#![allow(clippy::unwrap_used)]
use super::*;
use crate::serve::serve;
use axum::routing::get;
use leitstand_kit::CancellationToken;
use leitstand_kit::tls::{Keeper, Source};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, version};

struct Site {
    dir: tempfile::TempDir,
    keeper: Keeper,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::Site {
            dir: dir.path().to_owned(),
            names: Vec::new(),
            bind: [127, 0, 0, 1].into(),
        };
        let keeper = Keeper::open(source, 0).unwrap();
        Self { dir, keeper }
    }

    fn door(&self) -> Door {
        Door::Locked(self.keeper.server_config().unwrap().into())
    }

    /// A client that trusts this site's certificate alone.
    fn client(&self) -> TlsConnector {
        let pem = std::fs::read(self.dir.path().join("site.pem")).unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&pem).unwrap())
            .unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS12, &version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    /// The whole accept loop behind this door.
    async fn serve(&self) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let app = Router::new().route("/", get(async || "inside"));
        tokio::spawn(serve(listener, self.door(), app, stop.clone()));
        (addr, stop)
    }
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    (client, listener.accept().await.unwrap().0)
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut is an answer too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn who_shakes_hands_is_let_in() {
    let site = Site::new();
    let (addr, _stop) = site.serve().await;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(addr).await.unwrap();
    let stream = site.client().connect(name, stream).await.unwrap();
    let answer = ask(stream, GET).await;
    assert!(answer.ends_with("inside"), "{answer}");
}

#[tokio::test]
async fn who_speaks_http_in_the_clear_is_told_the_way_and_sees_nothing() {
    let site = Site::new();
    let (addr, _stop) = site.serve().await;
    let answer = async |request: &str| ask(TcpStream::connect(addr).await.unwrap(), request).await;

    let told = answer("GET /gas?x=1 HTTP/1.1\r\nHost: pi.local:8080\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 307 "), "{told}");
    assert!(
        told.contains("location: https://pi.local:8080/gas?x=1\r\n"),
        "{told}"
    );
    assert!(!told.contains("inside"), "{told}");
    // A change is not repeated by itself: its secrets have travelled in the clear.
    let told = answer("POST /login HTTP/1.1\r\nHost: pi.local\r\nContent-Length: 0\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
    assert!(told.contains("tls_needed"), "{told}");
    // Without a name there is no address to go to.
    let told = answer("GET / HTTP/1.0\r\n\r\n").await;
    assert!(told.contains("tls_needed"), "{told}");
}

#[tokio::test]
async fn other_protocols_end_their_own_connection_only() {
    let site = Site::new();
    let (addr, _stop) = site.serve().await;
    for bytes in [
        // TLS record headers around nonsense, SSL 2, SSH, an MQTT connect, nothing sensible.
        &b"\x16\x03\x01\x00\x05hello"[..],
        b"\x16\xff\xff\xff\xff",
        b"\x80\x2e\x01\x00\x02",
        b"SSH-2.0-OpenSSH_10.0\r\n",
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00",
        b"\0\0\0\0",
    ] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!String::from_utf8_lossy(&answer).contains("inside"));
    }
    who_shakes_hands(&site, addr).await;
}

async fn who_shakes_hands(site: &Site, addr: SocketAddr) {
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(addr).await.unwrap();
    let stream = site.client().connect(name, stream).await.unwrap();
    assert!(ask(stream, GET).await.ends_with("inside"));
}

#[tokio::test]
async fn a_handshake_that_does_not_come_or_not_go_on_ends_at_its_deadline() {
    let site = Site::new();
    let limit = Duration::from_millis(20);
    for first in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let (mut client, server) = pair().await;
        client.write_all(first).await.unwrap();
        let refused = site.door().receive_within(server, limit).await;
        let kind = refused.err().map(|e| e.kind());
        assert_eq!(kind, Some(io::ErrorKind::TimedOut), "{first:?}");
    }
    let (client, server) = pair().await;
    drop(client);
    let refused = site.door().receive(server).await;
    let kind = refused.err().map(|e| e.kind());
    assert_eq!(kind, Some(io::ErrorKind::UnexpectedEof));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_handshakes() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, site.door(), Router::new(), stop.clone()));
    let mut idle = TcpStream::connect(addr).await.unwrap();
    idle.write_all(b"\x16").await.unwrap();
    who_is_refused_for_its_name(&site, addr).await;
    stop.cancel();
    serving.await.unwrap();
}

/// A client that expects another name ends the handshake itself.
async fn who_is_refused_for_its_name(site: &Site, addr: SocketAddr) {
    let name = ServerName::try_from("evil.example").unwrap();
    let stream = TcpStream::connect(addr).await.unwrap();
    assert!(site.client().connect(name, stream).await.is_err());
}
