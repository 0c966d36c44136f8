//! H1: frames seen between the real programs, byte for byte both ways.
#![allow(clippy::unwrap_used)]

use super::chatter::{Deframer, Msg};
use super::eventer::{Event, EventId, Found, Payload, Query, RegisterEvent, Status, Timestamp};
use super::monitor::{BlessingReq, BlessingRes, ComponentInfo, MsgClient, MsgServer};
use super::sbs::{Reader, Sbs, Writer};

const M1: &str = "012e8181010101954861744f627365727665722e4d7367436c69656e74928561696d6d318461696d6d846e756c6c8001";
const M2: &str = concat!(
    "019d8181010101954861744f627365727665722e4d736753657276657201808280818180818365733181856576656e7400de",
    "7b227365727665725f6964223a20312c20226576656e7465725f736572766572223a207b22686f7374223a20223132372e30",
    "2e302e31222c2022706f7274223a2032333031327d2c20227365727665725f746f6b656e223a206e756c6c7d8181818141da",
    "c0520a4d35cb818101",
);
const M3: &str = "012f8383010101954861744f627365727665722e4d7367436c69656e74938561696d6d318461696d6d846e756c6c818201";
const M4: &str = concat!(
    "01c08686010101954861744f627365727665722e4d736753657276657201a38280828180818365733181856576656e7400de",
    "7b227365727665725f6964223a20312c20226576656e7465725f736572766572223a207b22686f7374223a20223132372e30",
    "2e302e31222c2022706f7274223a2032333031327d2c20227365727665725f746f6b656e223a206e756c6c7d8181818141da",
    "c0520a4d35cb8181018280818561696d6d31818461696d6d846e756c6c8181828141dac052121d44c5818201",
);
const P1: &str = "011687870101008f486174436861747465722e50696e6780";
const P2: &str = "011684870001018f486174436861747465722e506f6e6780";
const E1: &str = concat!(
    "01548181010100954861744576656e7465722e4d7367496e6974526571b8866472697665728083828461696d6d8573746174",
    "65828461696d6d8c616374696f6e5f7374617465838461696d6d856d6f64656c812a8000",
);
const E2: &str = "011e8181000101954861744576656e7465722e4d7367496e6974526573828082";
const E3: &str = concat!(
    "019c8282010100994861744576656e7465722e4d7367526567697374657252657100fb81828461696d6d8f6372656174655f",
    "696e7374616e636580818100df7b22726571756573745f6964223a20227231222c20226d6f64656c5f74797065223a202270",
    "6c75672e62617369632e4d222c202261726773223a205b312c202261225d2c20226b7761726773223a207b226b223a207b22",
    "78223a20317d7d7d",
);
const E4: &str = concat!(
    "01a88282000101994861744576656e7465722e4d7367526567697374657252657301878081818581828461696d6d8f637265",
    "6174655f696e7374616e636506580510eb03288b80818100df7b22726571756573745f6964223a20227231222c20226d6f64",
    "656c5f74797065223a2022706c75672e62617369632e4d222c202261726773223a205b312c202261225d2c20226b77617267",
    "73223a207b226b223a207b2278223a20317d7d7d",
);
const E5: &str = concat!(
    "018283830101019a4861744576656e7465722e4d73674576656e74734e6f7469667900e081818681828461696d6d8c616374",
    "696f6e5f737461746506580510eb057adf808181bd7b22726571756573745f6964223a20227231222c202273746174757322",
    "3a2022494e5f50524f4752455353222c2022726573756c74223a206e756c6c7d",
);
const E6: &str = "012e8e8e010100964861744576656e7465722e4d7367517565727952657191808181838461696d6d856d6f64656c812a";

/// The one message of a frame; the frame written again must be the same bytes.
fn frame(hex: &str) -> Msg {
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect();
    let mut deframer = Deframer::default();
    deframer.feed(&bytes);
    let message = deframer.next_message().unwrap().unwrap();
    assert!(deframer.next_message().unwrap().is_none());
    assert_eq!(message.to_frame(), bytes);
    message
}

/// The body of a frame as a `T`, which must be written as the same bytes.
fn body<T: Sbs>(hex: &str, kind: &str) -> T {
    let message = frame(hex);
    assert_eq!(message.kind, kind);
    let value = T::from_bytes(&message.data).unwrap();
    assert_eq!(value.to_bytes(), message.data);
    value
}

fn kind(text: &str) -> Vec<String> {
    text.split('/').map(str::to_owned).collect()
}

fn client(token: Option<i64>) -> MsgClient {
    MsgClient {
        name: "aimm1".into(),
        group: "aimm".into(),
        data: "null".into(),
        res: BlessingRes { token, ready: true },
    }
}

const EVENT_SERVER: &str = r#"{"server_id": 1, "eventer_server": {"host": "127.0.0.1", "port": 23012}, "server_token": null}"#;

#[test]
fn h1_monitor_frames() {
    assert_eq!(body::<MsgClient>(M1, "HatObserver.MsgClient"), client(None));
    assert_eq!(
        body::<MsgClient>(M3, "HatObserver.MsgClient"),
        client(Some(2))
    );
    let event = ComponentInfo {
        cid: 1,
        mid: 0,
        name: Some("es1".into()),
        group: Some("event".into()),
        data: EVENT_SERVER.into(),
        rank: 1,
        req: BlessingReq {
            token: Some(1),
            timestamp: Some(1_795_246_121.206_408_3),
        },
        res: BlessingRes {
            token: Some(1),
            ready: true,
        },
    };
    let m2: MsgServer = body(M2, "HatObserver.MsgServer");
    assert_eq!(
        (m2.cid, m2.mid, &m2.components),
        (2, 0, &vec![event.clone()])
    );
    let server = m2.event_server("event").unwrap();
    assert_eq!(
        (
            server.server_id,
            server.eventer_server.port,
            server.server_token
        ),
        (1, 23012, None)
    );
    let m4: MsgServer = body(M4, "HatObserver.MsgServer");
    let own = &m4.components[1];
    assert_eq!((m4.components.len(), &m4.components[0]), (2, &event));
    assert_eq!(
        (own.cid, own.req.token, own.res.token),
        (2, Some(2), Some(2))
    );
}

#[test]
fn h1_keep_alive_frames() {
    let (ping, pong) = (frame(P1), frame(P2));
    assert_eq!(
        (ping.id, ping.first, ping.owner, ping.last),
        (7, 7, true, false)
    );
    assert_eq!(
        (pong.id, pong.first, pong.owner, pong.last),
        (4, 7, false, true)
    );
    assert!(ping.data.is_empty() && pong.data.is_empty());
}

#[test]
fn h1_the_introduction_is_written_as_the_peer_writes_it() {
    let subscriptions = [
        kind("aimm/state"),
        kind("aimm/action_state"),
        kind("aimm/model/*"),
    ];
    let mut eventer = super::eventer::Eventer::new("driver", None, &subscriptions, None);
    let Some(super::eventer::Output::Open {
        kind, data, last, ..
    }) = eventer.poll_output()
    else {
        panic!("it introduces itself first");
    };
    let e1 = frame(E1);
    assert_eq!((kind, data, last), (e1.kind.as_str(), e1.data, e1.last));
}

#[test]
fn h1_event_frames() {
    let e2 = frame(E2);
    let mut from = Reader::new(&e2.data);
    assert_eq!(
        (from.choice(2), Status::read(&mut from)),
        (Ok(0), Ok(Status::Operational))
    );

    let call = r#"{"request_id": "r1", "model_type": "plug.basic.M", "args": [1, "a"], "kwargs": {"k": {"x": 1}}}"#;
    let register = RegisterEvent {
        kind: kind("aimm/create_instance"),
        source_timestamp: None,
        payload: Some(Payload::Json(call.into())),
    };
    assert_eq!(
        body::<Vec<RegisterEvent>>(E3, "HatEventer.MsgRegisterReq"),
        [register]
    );

    let e4 = frame(E4);
    let mut from = Reader::new(&e4.data);
    assert_eq!(from.choice(2), Ok(0));
    let events: Vec<Event> = from.array().unwrap();
    let taken = Event {
        id: EventId {
            server: 1,
            session: 5,
            instance: 1,
        },
        kind: kind("aimm/create_instance"),
        timestamp: Timestamp {
            s: 1_795_246_187,
            us: 54_283,
        },
        source_timestamp: None,
        payload: Some(Payload::Json(call.into())),
    };
    assert_eq!((events.as_slice(), from.left()), ([taken].as_slice(), 0));
    let mut again = Writer::default();
    again.choice(0);
    again.array(&events);
    assert_eq!(again.into_bytes(), e4.data);

    let e5: Vec<Event> = body(E5, "HatEventer.MsgEventsNotify");
    assert_eq!(e5[0].kind, kind("aimm/action_state"));

    let query = Query::Latest {
        kinds: Some(vec![kind("aimm/model/*")]),
    };
    assert_eq!(body::<Query>(E6, "HatEventer.MsgQueryReq"), query);
    let nothing = Found {
        events: Vec::new(),
        more_follows: false,
    };
    assert_eq!(Found::from_bytes(&nothing.to_bytes()), Ok(nothing));
}
