//! Which addresses a service may reach: the public internet, and what the operator opened.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 3], prefix: u8) -> Ipv6Net {
    let [a, b, c] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// IPv4 that is not the public internet: IANA's special-purpose registry, and multicast.
const SPECIAL_V4: [(Ipv4Net, &str); 18] = [
    (v4(0, 0, 0, 0, 8), "unspecified"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "shared by carriers"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    // Azure's own services for a machine; public by its number only.
    (v4(168, 63, 129, 16, 32), "cloud metadata"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "reserved for protocols"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 31, 196, 0, 24), "reserved for protocols"),
    (v4(192, 52, 193, 0, 24), "reserved for protocols"),
    (v4(192, 88, 99, 0, 24), "6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// All that is handed out to networks. Everything else (loopback, link-local, unique local, multicast,
/// mapped and translated IPv4) lies outside of it.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0], 3);
/// What is not the public internet inside of it.
const SPECIAL_V6: [(Ipv6Net, &str); 5] = [
    // Teredo, benchmarking, ORCHID and other protocols.
    (v6([0x2001, 0, 0], 23), "reserved for protocols"),
    (v6([0x2001, 0xdb8, 0], 32), "documentation"),
    (v6([0x2002, 0, 0], 16), "6to4, which holds an IPv4 address"),
    (v6([0x2620, 0x4f, 0x8000], 48), "reserved for protocols"),
    (v6([0x3fff, 0, 0], 20), "documentation"),
];

/// The address as a network sees it: an IPv4 address that is written as IPv6 is IPv4.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Why a service may not reach the address. None if it may.
///
/// `open` are ranges that the operator opened. An IPv4 address inside of an IPv6 one is never reached
/// by the way of the IPv6 one: what is opened as IPv6 opens no IPv4.
pub(crate) fn denied(address: IpAddr, open: &[IpNet]) -> Option<&'static str> {
    let is_open = open.iter().any(|range| range.contains(&address));
    match address {
        IpAddr::V4(_) if is_open => None,
        IpAddr::V4(address) => {
            let special = SPECIAL_V4.iter().find(|(range, _)| range.contains(&address));
            special.map(|(_, what)| *what)
        }
        IpAddr::V6(address) => {
            if let Some(inner) = embedded(address)
                && let Some(what) = denied(IpAddr::V4(inner), open)
            {
                return Some(what);
            }
            if is_open {
                return None;
            }
            if !GLOBAL_V6.contains(&address) {
                return Some("not public IPv6");
            }
            let special = SPECIAL_V6.iter().find(|(range, _)| range.contains(&address));
            special.map(|(_, what)| *what)
        }
    }
}

/// The IPv4 address inside of an IPv6 address: mapped, compatible, translated, NAT64
/// (by a prefix of /96), 6to4, ISATAP.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match (a, b) {
        (0, 0) if (c, d, e, f) == (0, 0, 0, 0xffff) => Some(of(g, h)),
        // Compatible; `::` and `::1` are none.
        (0, 0) if (c, d, e, f) == (0, 0, 0, 0) && g != 0 => Some(of(g, h)),
        // Translated (RFC 2765).
        (0, 0) if (c, d, e, f) == (0, 0, 0xffff, 0) => Some(of(g, h)),
        (0x64, 0xff9b) => Some(of(g, h)),
        (0x2002, _) => Some(of(b, c)),
        _ if matches!(e, 0 | 0x200) && f == 0x5efe => Some(of(g, h)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(text: &str, open: &[&str]) -> bool {
        let open: Vec<IpNet> = open.iter().map(|range| range.parse().unwrap()).collect();
        denied(canonical(text.parse().unwrap()), &open).is_none()
    }

    #[test]
    fn the_public_internet_may_be_reached() {
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
        ] {
            assert!(may(public, &[]), "{public}");
        }
        for public in [
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
        ] {
            assert!(may(public, &[]), "{public}");
        }
    }

    #[test]
    fn an_opened_range_opens_nothing_else() {
        assert!(may("10.1.2.3", &["10.1.0.0/16"]));
        assert!(!may("10.2.0.1", &["10.1.0.0/16"]));
        assert!(may("::1", &["::1/128"]));
        assert!(!may("::2", &["::1/128"]));
        // A network with NAT64 opens its prefix, and reaches public IPv4 by it, not private.
        assert!(may("64:ff9b::808:808", &["64:ff9b::/96"]));
        assert!(!may("64:ff9b::a00:1", &["64:ff9b::/96"]));
        assert!(!may("::ffff:127.0.0.1", &["::/0"]));
    }
}
