#![allow(clippy::unwrap_used)]
use std::sync::LazyLock;

use super::*;
use crate::{
    id::random,
    wire::crypto::{OwnKey, SECRET_BYTES},
};

static SERVER: LazyLock<OwnKey> = LazyLock::new(|| OwnKey::generate(4096).unwrap());
static CLIENT: LazyLock<OwnKey> = LazyLock::new(|| OwnKey::generate(4096).unwrap());

/// A session with a client's state beside it.
struct Talk {
    session: Session,
    now: Instant,
    /// Bytes and other outputs, in order.
    sent: Vec<u8>,
    other: Vec<Output>,
    chunk: usize,
    secret: Secret,
}

impl Talk {
    fn new(legacy: bool) -> Self {
        let setup = Setup {
            public_pem: SERVER.public_pem().to_vec(),
            sealed_bytes: SERVER.size(),
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(10),
            legacy,
        };
        Self {
            session: Session::new(Instant::ZERO, setup),
            now: Instant::ZERO,
            sent: Vec::new(),
            other: Vec::new(),
            chunk: usize::MAX,
            secret: Secret::from_bytes(&random::<SECRET_BYTES>()).unwrap(),
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input);
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(bytes) => self.sent.extend(bytes),
                Output::Unseal(sealed) => {
                    let secret = SERVER.unseal(&sealed).ok();
                    self.feed(Input::Unsealed(secret));
                }
                other => self.other.push(other),
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.chunk.min(bytes.len().max(1))) {
            self.feed(Input::Bytes(piece));
        }
    }

    /// Lets time run to the next deadline.
    fn wait(&mut self) {
        self.now = self.session.poll_timeout().expect("a deadline");
        self.session.handle_timeout(self.now);
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(bytes) => self.sent.extend(bytes),
                other => self.other.push(other),
            }
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }

    /// What the client sends up to its request, without waiting for anything.
    fn exchange(&mut self) {
        let pem = CLIENT.public_pem().to_vec();
        self.bytes(&clear_header(pem.len()));
        self.bytes(&pem);
        self.bytes(b"11");
        let sealed = PeerKey::from_pem(SERVER.public_pem())
            .unwrap()
            .seal(&self.secret)
            .unwrap();
        self.bytes(&sealed);
        self.bytes(b"1");
        assert_eq!(self.other, [Output::Initialized]);
        self.other.clear();
        self.take();
    }

    fn end(&self) -> Option<End> {
        match self.other.last() {
            Some(Output::Close(end)) => Some(*end),
            _ => None,
        }
    }
}

const STAT: &[u8] = br#"{"verb": "STAT", "parameters": {}}"#;

#[test]
fn golden_c1_handshake_bytes_in_their_order() {
    let mut t = Talk::new(false);
    t.bytes(b"800=====");
    assert_eq!(t.take(), b"1");
    let pem = CLIENT.public_pem().to_vec();
    assert_eq!(pem.len(), 800);
    t.bytes(&pem);
    assert_eq!(t.take(), b"1800=====");
    t.bytes(b"1");
    assert_eq!(t.take(), SERVER.public_pem());
    t.bytes(b"1");
    assert_eq!(t.take(), b"");
    let sealed = PeerKey::from_pem(SERVER.public_pem())
        .unwrap()
        .seal(&t.secret)
        .unwrap();
    assert_eq!(sealed.len(), 512);
    t.bytes(&sealed);
    let answer = t.take();
    assert_eq!((answer.len(), answer[0]), (513, b'1'));
    assert_eq!(
        CLIENT.unseal(&answer[1..]).unwrap().to_bytes(),
        t.secret.to_bytes()
    );
    t.bytes(b"1");
    assert_eq!(t.other, [Output::Initialized]);
}

/// Request and response of W3, with the vector switching after each.
fn stat_w3(t: &mut Talk) {
    t.exchange();
    let mut body = t.secret.encrypt(STAT).unwrap();
    let next: [u8; 16] = random();
    body.extend(next);
    let header = t.secret.encrypt(body.len().to_string().as_bytes()).unwrap();
    t.bytes(&header);
    assert_eq!(t.take(), b"1");
    t.bytes(&body);
    assert_eq!(t.other, [Output::Request(STAT.to_vec())]);
    t.secret.set_iv(next);
    t.feed(Input::Reply(b"answer".to_vec()));
    let header = t.take();
    assert_eq!(t.secret.decrypt(&header).unwrap(), b"32");
    t.bytes(b"1");
    let body = t.take();
    assert_eq!(t.secret.decrypt(&body[..16]).unwrap(), b"answer");
    assert_eq!(t.end(), Some(End::Answered));
}

#[test]
fn golden_c2_the_vector_switches_after_each_packet() {
    stat_w3(&mut Talk::new(false));
}

#[test]
fn golden_c19_one_byte_segments_and_coalesced_acknowledges() {
    let mut t = Talk::new(false);
    t.chunk = 1;
    stat_w3(&mut t);
}

#[test]
fn golden_c15_the_exchange_has_one_total_deadline() {
    let mut t = Talk::new(false);
    for second in [9, 18] {
        t.now = Instant::from_secs(second);
        t.session.handle_timeout(t.now);
        t.feed(Input::Bytes(b"8"));
    }
    // A byte every nine seconds moved nothing.
    assert_eq!(t.end(), Some(End::Timeout("key exchange")));

    let mut t = Talk::new(false);
    t.exchange();
    t.wait();
    assert_eq!(
        (t.now, t.end()),
        (Instant::from_secs(10), Some(End::Timeout("request")))
    );
    assert_eq!(t.take(), b"");
}

#[test]
fn a_client_that_never_reads_is_closed() {
    let mut t = Talk::new(false);
    t.exchange();
    let mut body = t.secret.encrypt(STAT).unwrap();
    body.extend([0; 16]);
    let header = t.secret.encrypt(body.len().to_string().as_bytes()).unwrap();
    t.bytes(&[header, body].concat());
    assert_eq!(t.session.poll_timeout(), None);
    t.feed(Input::Reply(b"answer".to_vec()));
    t.wait();
    assert_eq!(t.end(), Some(End::Timeout("response")));
}

#[test]
fn golden_c16_bad_length_headers_are_refused_before_allocating() {
    for header in [
        b"0=======",
        b"-5======",
        b"99999999",
        b"1e3=====",
        b"        ",
        b"16385===",
    ] {
        let mut t = Talk::new(false);
        t.bytes(header);
        assert_eq!(t.take(), b"0", "{header:?}");
        assert_eq!(t.end(), Some(End::Protocol("length of the key")));
        t.bytes(&[b'x'; 100_000]);
        assert!(t.session.buffer.capacity() < 16_384);
    }
    let mut t = Talk::new(false);
    t.bytes(b"800====");
    t.feed(Input::Eof);
    assert_eq!((t.take(), t.end()), (vec![], Some(End::Gone)));
}

#[test]
fn golden_c17_unreadable_requests_end_alike_and_at_one_time() {
    let block = |t: &Talk, text: &str| t.secret.encrypt(text.as_bytes()).unwrap();
    let mut ends = Vec::new();
    for text in [
        "0",
        "-1",
        "16",
        "65537",
        "999999999999999",
        "abc",
        "+40",
        "",
    ] {
        let mut t = Talk::new(false);
        t.exchange();
        let header = block(&t, text);
        t.bytes(&header);
        assert_eq!((t.take(), t.end()), (vec![], None), "{text}: told at once");
        t.wait();
        ends.push((t.now, t.take(), t.end()));
    }
    let mut t = Talk::new(false);
    t.exchange();
    t.bytes(&[0x5a; 16]);
    t.wait();
    ends.push((t.now, t.take(), t.end()));
    ends.dedup();
    assert_eq!(
        ends,
        [(
            Instant::ZERO + PENALTY,
            b"0".to_vec(),
            Some(End::Protocol("unreadable request"))
        )]
    );

    // A body that does not decrypt: closed without a byte, at the same time.
    let mut t = Talk::new(false);
    t.exchange();
    let header = block(&t, "64");
    t.bytes(&header);
    t.take();
    t.bytes(&[0x5a; 64]);
    assert_eq!(t.end(), None);
    t.wait();
    assert_eq!((t.now, t.take()), (Instant::ZERO + PENALTY, vec![]));
}

#[test]
fn golden_c18_bad_keys_are_refused() {
    const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCfyhRPMmAeDbZ/wtFlKr5ODn3D\n7kx3FjzoAKWvVQnFCUdKx5HNdzdKTNpXAKUqqLWNYQfbB4NQIJbPXz1Z3ckwt8gl\nG4fEO6hDtR8L1RZW0tNvz5RpHxQFLKqLWVYk/5kBn7gXvHkLHrPDzWHFI1ZDNBhS\nmBSdVNtLvfKkFQIDAQAB\n-----END PUBLIC KEY-----\n";
    const EC: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n";
    let trailing = [CLIENT.public_pem(), b"junk"].concat();
    for pem in [RSA_1024.as_bytes(), EC.as_bytes(), &trailing, b"hello"] {
        let mut t = Talk::new(false);
        t.bytes(&clear_header(pem.len()));
        assert_eq!(t.take(), b"1");
        t.bytes(pem);
        assert_eq!(
            (t.take(), t.end()),
            (b"0".to_vec(), Some(End::Protocol("public key")))
        );
    }

    // A flipped ciphertext, and an AES-128 key that is sealed properly.
    let mut flipped = PeerKey::from_pem(SERVER.public_pem())
        .unwrap()
        .seal(&Talk::new(false).secret)
        .unwrap();
    flipped[100] ^= 1;
    let mut t = Talk::new(false);
    t.bytes(&clear_header(800));
    t.bytes(CLIENT.public_pem());
    t.bytes(b"11");
    t.take();
    t.bytes(&flipped);
    assert_eq!(
        (t.take(), t.end()),
        (b"0".to_vec(), Some(End::Protocol("sealed key")))
    );
    assert!(
        Secret::from_bytes(&[0; 32]).is_err(),
        "AES-128: 16 + 16 bytes"
    );
}

#[test]
fn golden_c31_old_framings_are_served_only_when_switched_on() {
    for framing in [Framing::W1, Framing::W2] {
        let mut t = Talk::new(true);
        t.exchange();
        let mut body = t.secret.encrypt(STAT).unwrap();
        let next: [u8; 16] = random();
        if framing == Framing::W2 {
            body.extend(next);
        }
        t.bytes(&clear_header(body.len()));
        assert_eq!(t.take(), b"1");
        t.bytes(&body);
        assert_eq!(t.other, [Output::Request(STAT.to_vec())], "{framing:?}");
        if framing == Framing::W2 {
            t.secret.set_iv(next);
        }
        t.feed(Input::Reply(b"answer".to_vec()));
        assert_eq!(
            t.take(),
            if framing == Framing::W1 {
                b"16======"
            } else {
                b"32======"
            }
        );
        t.bytes(b"1");
        let body = t.take();
        assert_eq!(t.secret.decrypt(&body[..16]).unwrap(), b"answer");

        let mut t = Talk::new(false);
        t.exchange();
        t.bytes(&clear_header(48));
        assert!(matches!(t.end(), Some(End::Protocol(_))));
    }
}

#[test]
fn a_flood_is_cut_off() {
    let mut t = Talk::new(false);
    t.bytes(b"800=====");
    for _ in 0..100 {
        t.feed(Input::Bytes(&[b'x'; 10_000]));
    }
    assert!(t.end().is_some());
    assert!(t.session.buffer.capacity() <= 2 * REQUEST_BYTES_MAX);
}

mod any_bytes {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::request::Request;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever a peer sends after a proper key exchange: no panic, one end, and bounded memory.
        #[test]
        fn end_in_an_end(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..12), exchanged in any::<bool>(), legacy in any::<bool>()) {
            let mut t = Talk::new(legacy);
            if exchanged {
                t.exchange();
            }
            for piece in &pieces {
                t.feed(Input::Bytes(piece));
            }
            t.feed(Input::Eof);
            let ends = t.other.iter().filter(|o| matches!(o, Output::Close(_))).count();
            prop_assert_eq!(ends, 1);
            prop_assert!(t.session.poll_timeout().is_none());
        }

        /// The decoder of requests takes or names faults, and never gives up otherwise.
        #[test]
        fn are_a_request_or_faults(text in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Err(faults) = Request::parse(&text) {
                prop_assert!(!faults.0.is_empty());
            }
        }
    }
}
