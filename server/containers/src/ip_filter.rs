//! Who may connect (`specs/containers.md` 6.1), with prefixes and IPv6.

use std::{net::IpAddr, str::FromStr};

/// `any`, an address, or an address with a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Everybody.
    Any,
    /// Addresses that share the first `bits` with `ip`.
    Net {
        /// The network.
        ip: IpAddr,
        /// 0 to 32, or to 128.
        bits: u8,
    },
}

/// Not `any`, an address or a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPrefix;

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits.parse().map_err(|_| NotAPrefix)?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| NotAPrefix)?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most {
            Err(NotAPrefix)
        } else {
            Ok(Self::Net { ip, bits })
        }
    }
}

impl Prefix {
    fn holds(self, peer: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Net {
                ip: IpAddr::V4(net),
                bits,
            } => match peer {
                IpAddr::V4(peer) => (net.to_bits() ^ peer.to_bits()).leading_zeros() >= bits.into(),
                IpAddr::V6(_) => false,
            },
            Self::Net {
                ip: IpAddr::V6(net),
                bits,
            } => match peer {
                IpAddr::V6(peer) => (net.to_bits() ^ peer.to_bits()).leading_zeros() >= bits.into(),
                IpAddr::V4(_) => false,
            },
        }
    }
}

/// Two lists. `any` in `deny` turns `allow` into the list of all who may; else only who is in `deny` may not.
#[derive(Clone, Debug, Default)]
pub struct IpFilter {
    /// Who may although `deny` says `any`.
    pub allow: Vec<Prefix>,
    /// Who may not.
    pub deny: Vec<Prefix>,
}

impl IpFilter {
    /// Whether `peer` may connect. An IPv4 address inside IPv6 counts as IPv4.
    #[must_use]
    pub fn allows(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        if self.deny.contains(&Prefix::Any) {
            return self.allow.iter().any(|p| p.holds(peer));
        }
        !self.deny.iter().any(|p| p.holds(peer))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn filter(allow: &[&str], deny: &[&str]) -> IpFilter {
        let list = |l: &[&str]| l.iter().map(|p| p.parse().unwrap()).collect();
        IpFilter {
            allow: list(allow),
            deny: list(deny),
        }
    }

    #[test]
    fn golden_c23_denied_deny_any_and_ipv6_prefix() {
        let ip = |t: &str| t.parse::<IpAddr>().unwrap();
        let f = filter(&["any"], &["192.0.2.7", "fd00::/8"]);
        assert!(f.allows(ip("192.0.2.8")));
        assert!(!f.allows(ip("192.0.2.7")));
        assert!(!f.allows(ip("::ffff:192.0.2.7")));
        assert!(!f.allows(ip("fdaa::1")));
        assert!(f.allows(ip("fe80::1")));
        let f = filter(&["10.0.0.0/8"], &["any"]);
        assert!(f.allows(ip("10.200.1.1")) && !f.allows(ip("11.0.0.1")) && !f.allows(ip("::1")));
        // As shipped by the original: `any` in both lists lets everybody in.
        assert!(filter(&["any"], &["any"]).allows(ip("::1")));
        assert!(!filter(&[], &["any"]).allows(ip("127.0.0.1")));
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0", "Any", "10.0.0.0/-1"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }
}
