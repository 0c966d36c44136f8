//! What no proper client sends: a clear refusal, and the next proper client is served.

use leitstand_tests::{Server, http, wait};
use std::io::{BufReader, Read as _, Write as _};

fn alive(server: &Server) {
    let _ = server.get("/api/v1/site").ok();
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let server = Server::demo();
    let post = "/api/v1/gas/outputs/lamp-test";
    let json = [("Content-Type", "application/json")];

    assert_eq!(server.get("/nothing/here").problem(404), "not_found");
    let reply = server.request("DELETE", "/api/v1/site", &[], None);
    assert_eq!(reply.problem(405), "method_not_allowed");
    assert!(
        reply.header("allow").is_some_and(|a| a.contains("GET")),
        "{:?}",
        reply.headers
    );

    let _ = server
        .request("POST", post, &[("Content-Type", "text/plain")], Some(b"{}"))
        .problem(415);
    let _ = server
        .request("POST", post, &json, Some(b"{\"seconds\":"))
        .problem(400);
    let _ = server
        .request("POST", post, &json, Some(b"{\"seconds\":\"many\"}"))
        .problem(422);
    let _ = server
        .request("POST", post, &json, Some(b"\xff\xfe{}"))
        .problem(400);
    let deep = vec![b'['; 50_000];
    let reply = server.request("POST", post, &json, Some(&deep));
    assert!(
        [400, 422].contains(&reply.status),
        "{}: {}",
        reply.status,
        reply.text()
    );
    let huge = vec![b' '; 8 * 1024 * 1024];
    let _ = server
        .request("POST", post, &json, Some(&huge))
        .problem(413);

    for path in [
        "/api/v1/gas/alarms/%00/ack",
        "/media/..%2f..%2fetc%2fpasswd",
        "/ui/../../Cargo.toml",
        "/%ff",
    ] {
        let reply = server.get(path);
        assert!(
            (400..500).contains(&reply.status),
            "{path}: {}",
            reply.status
        );
    }
    alive(&server);
}

#[test]
fn every_answer_carries_the_protecting_headers() {
    let server = Server::demo();
    for path in [
        "/",
        "/api/v1/site",
        "/nothing",
        "/media/001.svg",
        "/metrics",
    ] {
        let reply = server.get(path);
        assert_eq!(
            reply.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert!(reply.header("content-security-policy").is_some(), "{path}");
        assert!(reply.header("referrer-policy").is_some(), "{path}");
    }
}

#[test]
fn bytes_that_are_no_http_end_the_connection_only() {
    let server = Server::demo();
    let long_line = vec![b'A'; 1024 * 1024];
    let mut many_headers = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n".to_vec();
    for n in 0..2_000 {
        many_headers.extend_from_slice(format!("X-{n}: {n}\r\n").as_bytes());
    }
    many_headers.extend_from_slice(b"\r\n");
    let cases: [&[u8]; 6] = [
        b"\x00\x01\x02\x03\x04\x05\x06\x07\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        &long_line,
        &many_headers,
    ];
    for bytes in cases {
        let mut stream = http::connect(server.addr()).unwrap();
        // The server may close before it has read all of it.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        match http::read_reply(&mut BufReader::new(stream), false) {
            Ok(reply) => assert!((400..600).contains(&reply.status), "{}", reply.status),
            Err(e) => assert_ne!(
                e.kind(),
                std::io::ErrorKind::WouldBlock,
                "the server kept it open"
            ),
        }
        alive(&server);
    }
}

#[test]
fn slow_peers_do_not_lock_others_out_and_are_dropped() {
    let server = Server::demo();
    let mut slow: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = http::connect(server.addr()).unwrap();
            stream
                .write_all(b"GET /api/v1/site HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
                .unwrap();
            stream
        })
        .collect();
    alive(&server);
    // The last one to come is dropped in bounded time, though it goes on sending a byte now and then.
    let last = slow.last_mut().unwrap();
    last.set_nonblocking(true).unwrap();
    wait::until("the slow peer is dropped", || {
        let mut buffer = [0; 512];
        let sent = last.write(b"a");
        match last.read(&mut buffer) {
            Ok(0) => Some(()),
            Ok(_) => None,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => sent.is_err().then_some(()),
            Err(_) => Some(()),
        }
    });
    alive(&server);
}

#[test]
fn a_body_that_never_comes_is_not_waited_for_for_ever() {
    let server = Server::demo();
    let mut stream = http::connect(server.addr()).unwrap();
    let head = "POST /api/v1/gas/outputs/lamp-test HTTP/1.1\r\nHost: 127.0.0.1\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    alive(&server);
    let reply = http::read_reply(&mut BufReader::new(stream), false).unwrap();
    assert_eq!(reply.problem(408), "too_slow");
}
