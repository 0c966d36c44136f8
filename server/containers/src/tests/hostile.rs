//! Cases 15, 16, 20 and the bad-input row of issue 7: others are served meanwhile, memory stays bounded.

use std::io::{Read as _, Write as _};

use super::*;
use crate::wire::session::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn golden_c15_silent_and_slow_clients_hold_nobody_up() {
    let lab = Lab::new("client_timeout_s = 2").await;
    let address = lab.address;
    let mut silent: Vec<_> = (0..8)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    silent[0].write_all(b"8").unwrap();
    assert_eq!(lab.ask("STAT", json!({})).await["message"], "OK");
    let closed = tokio::task::spawn_blocking(move || {
        for mut stream in silent {
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    closed.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c16_bad_headers_are_refused_and_counted() {
    let lab = Lab::new("").await;
    for header in [
        &b"0======="[..],
        b"-5======",
        b"99999999",
        b"1e3=====",
        b"        ",
    ] {
        let mut stream = TcpStream::connect(lab.address).unwrap();
        stream.write_all(header).unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes);
            bytes
        });
        assert_eq!(read.await.unwrap(), b"0");
    }
    let text = lab.engine.context().metrics.render();
    assert!(
        text.contains("leitstand_containers_connections_total{result=\"protocol\"} 5"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c20_two_hundred_at_once() {
    let lab = Lab::new("").await;
    let asks = (0..200).map(|_| lab.ask("STAT", json!({})));
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer["message"], "OK");
    }
}

/// A thousand half-open connections (the descriptors of a test process do not allow more): the listener takes what
/// its places allow, the rest waits in the kernel's queue, and a filtered-out deadline frees them.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_half_open_connections_passes() {
    let lab =
        Lab::new("client_timeout_s = 1\nmax_handshakes = 16\nmax_handshakes_per_ip = 8").await;
    let address = lab.address;
    let flood = tokio::task::spawn_blocking(move || {
        (0..300)
            .filter_map(|_| TcpStream::connect(address).ok())
            .collect::<Vec<_>>()
    });
    let flood = flood.await.unwrap();
    assert!(flood.len() >= 100, "only {} connections", flood.len());
    drop(flood);
    assert_eq!(lab.ask("STAT", json!({})).await["message"], "OK");
}

#[test]
fn a_session_is_small() {
    // What a stranger costs before the first byte.
    assert!(size_of::<crate::wire::session::Session>() + size_of::<Setup>() < 2048);
}
