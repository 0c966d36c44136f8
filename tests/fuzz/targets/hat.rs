//! Both ends of a Hat connection and arbitrary bytes: chatter cut anywhere, and what its messages carry.
//!
//! Nothing panics; what is understood is written again as the same value; nothing is said after a close.

use leitstand_core::machine::Machine;
use leitstand_core::time::Instant;
use leitstand_models::hat::chatter::{Chatter, Conversation, Deframer, Msg, Output};
use leitstand_models::hat::eventer::{Event, Eventer, Found, Query, RegisterEvent};
use leitstand_models::hat::monitor::{Monitor, MsgClient, MsgServer};
use leitstand_models::hat::sbs::Sbs;

/// The first byte is the length of the pieces that the rest comes in.
pub(crate) fn run(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else {
        return;
    };
    let mut chatter = Chatter::new(Instant::from_secs(0));
    let mut eventer = Eventer::new("fuzz", None, &[], None);
    let mut monitor = Monitor::new("fuzz", "fuzz", Some("event"));
    monitor.set_ready(true);
    monitor.connected();
    let mut closed = false;
    for bytes in stream.chunks(usize::from(*piece).max(1)) {
        chatter.handle(Instant::from_secs(1), bytes);
        while let Some(output) = chatter.poll_output() {
            assert!(!closed, "{output:?} after a close");
            match output {
                Output::Bytes(bytes) => assert!(is_one_frame(&bytes)),
                Output::Close(_) => closed = true,
                Output::Message {
                    conversation,
                    kind,
                    data,
                    last,
                } => {
                    eventer.message(conversation, &kind, &data, last);
                    if let Ok(message) = MsgServer::from_bytes(&data) {
                        monitor.heard(message);
                    }
                    shapes(&data);
                }
            }
        }
        while let Some(output) = eventer.poll_output() {
            if let leitstand_models::hat::eventer::Output::Open {
                request: Some(request),
                ..
            } = output
            {
                let first = 1;
                eventer.opened(request, Conversation { ours: true, first });
            }
        }
        while monitor.poll_output().is_some() {}
    }
}

fn is_one_frame(bytes: &[u8]) -> bool {
    let mut deframer = Deframer::default();
    deframer.feed(bytes);
    let one = matches!(deframer.next_message(), Ok(Some(_)));
    one && matches!(deframer.next_message(), Ok(None))
}

fn shapes(data: &[u8]) {
    identity::<Msg>(data);
    identity::<MsgClient>(data);
    identity::<MsgServer>(data);
    identity::<Query>(data);
    identity::<Found>(data);
    identity::<Vec<Event>>(data);
    identity::<Vec<RegisterEvent>>(data);
}

/// Encodings longer than needed are understood, so bytes may differ once; after that they are the shortest.
fn identity<T: Sbs>(data: &[u8]) {
    if let Ok(value) = T::from_bytes(data) {
        let bytes = value.to_bytes();
        assert!(bytes.len() <= data.len(), "written longer than read");
        let again = T::from_bytes(&bytes).map(|v| v.to_bytes());
        assert_eq!(again, Ok(bytes));
    }
}
