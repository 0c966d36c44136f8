//! The embedded broker with our own client, over real sockets.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::mqtt::{Event, Link, client::Client};

async fn start(port: u16) -> Broker {
    let options = Options {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        tls: None,
    };
    Broker::start(&options, Rights::default(), Arc::default())
        .await
        .unwrap()
}

async fn until_subscribed(client: &mut Client) {
    while !matches!(client.next().await, Event::Subscribed(_)) {}
}

/// A client with a slash in its id that publishes to itself.
async fn round_trip(endpoint: &Endpoint, id: &str) {
    let mut endpoint = endpoint.clone();
    endpoint.client_id = id.into();
    let mut client = Client::new(endpoint);
    client.subscribe(vec!["acme/a/module_gateway".into()]);
    until_subscribed(&mut client).await;
    let publisher = client.publisher();
    publisher
        .publish("acme/a/module_gateway", b"x".to_vec(), false)
        .unwrap();
    loop {
        if let Event::Message { payload, .. } = client.next().await {
            assert_eq!(payload, b"x");
            return;
        }
    }
}

/// Threads, descriptors, and kilobytes in memory of this process.
fn usage() -> (usize, usize, usize) {
    let count = |path: &str| std::fs::read_dir(path).unwrap().count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let rss = rss.unwrap().trim().trim_end_matches(" kB").trim();
    let (threads, files) = (count("/proc/self/task"), count("/proc/self/fd"));
    (threads, files, rss.parse().unwrap())
}

#[tokio::test]
async fn a22_a_hundred_restarts_leave_no_thread_and_no_descriptor_behind() {
    let first = start(0).await;
    let port = first.address().port();
    round_trip(&first.inside(), "acme/a").await;
    first.stop().await;
    let mut after_ten = None;
    for round in 1..=100 {
        // The same port at once: the address is free again.
        let broker = start(port).await;
        round_trip(&broker.inside(), "acme/a").await;
        broker.stop().await;
        if round == 10 {
            after_ten = Some(usage());
        }
    }
    let (threads, files, kb) = after_ten.unwrap();
    let (threads_now, files_now, kb_now) = usage();
    assert!(
        threads_now <= threads + 2,
        "{threads} to {threads_now} threads"
    );
    assert!(files_now <= files + 4, "{files} to {files_now} descriptors");
    // The library keeps some of each context (0.6 MiB each, measured); this is so that it does not become more.
    assert!(kb_now <= kb + 90 * 1024, "{kb} to {kb_now} kB");
}

#[tokio::test]
async fn retained_messages_are_kept_and_bounded() {
    let broker = start(0).await;
    let mut client = Client::new(broker.inside());
    client.subscribe(vec!["end".into()]);
    until_subscribed(&mut client).await;
    let publisher = client.publisher();
    publisher
        .publish("acme/a/external_server_state", b"ONLINE".to_vec(), true)
        .unwrap();
    publisher
        .publish("acme/a/big", vec![0; RETAINED_BYTES_MAX + 1], true)
        .unwrap();
    publisher.publish("end", b"x".to_vec(), false).unwrap();
    while !matches!(client.next().await, Event::Message { .. }) {}
    let mut late = Client::new(Endpoint {
        client_id: "late".into(),
        ..broker.inside()
    });
    late.subscribe(vec!["acme/#".into()]);
    loop {
        if let Event::Message {
            topic,
            payload,
            retained,
        } = late.next().await
        {
            assert_eq!(
                (topic.as_str(), &payload[..], retained),
                ("acme/a/external_server_state", &b"ONLINE"[..], true)
            );
            break;
        }
    }
    broker.stop().await;
}

#[test]
fn filters_mean_what_mqtt_says() {
    for (filter, topic, fits) in [
        ("a/b", "a/b", true),
        ("a/b", "a/b/c", false),
        ("a/+", "a/b", true),
        ("a/+", "a/b/c", false),
        ("a/#", "a/b/c", true),
        ("a/#", "a", true),
        ("#", "a", true),
        ("#", "$SYS/x", false),
        ("+/b", "$SYS/b", false),
        ("+/b", "a/b", true),
    ] {
        assert_eq!(matches(filter, topic), fits, "{filter} {topic}");
    }
}
