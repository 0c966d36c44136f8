//! By which names and addresses this machine is reached.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

/// All names of a site certificate, sorted: the machine's own and the configured ones.
pub(super) fn names(configured: &[String], bind: IpAddr) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = configured.iter().map(|n| n.to_ascii_lowercase()).collect();
    all.insert("localhost".into());
    all.insert(Ipv4Addr::LOCALHOST.to_string());
    all.insert(Ipv6Addr::LOCALHOST.to_string());
    if let Some(host) = host_name() {
        // What a browser in the same network finds by mDNS.
        all.insert(format!("{host}.local"));
        all.insert(host);
    }
    if bind.is_unspecified() {
        all.extend(outward().map(|ip| ip.to_string()));
    } else {
        all.insert(bind.to_string());
    }
    all
}

fn host_name() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    // A machine that calls itself `pi.example` is `pi` in its own network.
    let host = text.trim().split('.').next()?.to_ascii_lowercase();
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (!host.is_empty() && host.len() <= 63 && host.bytes().all(fine)).then_some(host)
}

/// The addresses from which this machine would speak to the outside. No packet is sent: connecting a UDP socket only
/// asks the routing table. The targets are reserved for documentation (RFC 5737, RFC 3849).
fn outward() -> impl Iterator<Item = IpAddr> {
    let v4 = (
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9)),
    );
    let v6 = (
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9)),
    );
    [v4, v6].into_iter().filter_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
    })
}
