//! The table of networks that deliveries don't go to, with the reason for each: what IANA's registries of
//! special-purpose addresses list, and what clouds put on addresses that look public.
//!
//! An address is judged by the narrowest row that holds it. What stands in no row is public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Which addresses.
    pub(super) network: IpNet,
    /// Why they are not for deliveries; fits "… is …".
    pub(super) reason: &'static str,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8, reason: &'static str) -> Row {
    Row { network: IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits), reason }
}

const fn v6(segments: [u16; 8], bits: u8, reason: &'static str) -> Row {
    let [a, b, c, d, e, f, g, h] = segments;
    Row { network: IpNet::new_assert(IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), bits), reason }
}

/// The table. IPv4-mapped addresses (`::ffff:0:0/96`) and those of NAT64 (`64:ff9b::/96`) are not in it:
/// they are other spellings of an IPv4 address, and judged as that one.
pub(super) const NOT_PUBLIC: [Row; 39] = [
    v4(0, 0, 0, 0, 8, "this network (RFC 791); it often means this machine"),
    v4(10, 0, 0, 0, 8, "private (RFC 1918)"),
    v4(100, 64, 0, 0, 10, "shared by carriers and clouds behind NAT (RFC 6598)"),
    v4(127, 0, 0, 0, 8, "loopback (RFC 1122)"),
    v4(168, 63, 129, 16, 32, "Azure's host, which serves every machine its configuration"),
    v4(169, 254, 0, 0, 16, "link-local (RFC 3927); clouds serve credentials there"),
    v4(172, 16, 0, 0, 12, "private (RFC 1918)"),
    v4(192, 0, 0, 0, 24, "for protocols (RFC 6890); clouds serve metadata there"),
    v4(192, 0, 2, 0, 24, "for documentation (RFC 5737)"),
    v4(192, 31, 196, 0, 24, "a sink for reverse names, AS112 (RFC 7535)"),
    v4(192, 52, 193, 0, 24, "a relay of multicast, AMT (RFC 7450)"),
    v4(192, 88, 99, 0, 24, "a 6to4 relay (RFC 7526)"),
    v4(192, 168, 0, 0, 16, "private (RFC 1918)"),
    v4(192, 175, 48, 0, 24, "a sink for reverse names, AS112 (RFC 7534)"),
    v4(198, 18, 0, 0, 15, "for benchmarks (RFC 2544)"),
    v4(198, 51, 100, 0, 24, "for documentation (RFC 5737)"),
    v4(203, 0, 113, 0, 24, "for documentation (RFC 5737)"),
    v4(224, 0, 0, 0, 4, "multicast (RFC 1112)"),
    v4(240, 0, 0, 0, 4, "reserved, or broadcast (RFC 1112)"),
    // Only 2000::/3 is given out. These three are the rest; the rows after them give a better reason for some.
    v6([0, 0, 0, 0, 0, 0, 0, 0], 3, "not given out to anybody (RFC 4291)"),
    v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2, "not given out to anybody (RFC 4291)"),
    v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 1, "not given out to anybody (RFC 4291)"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "an IPv4-compatible address (RFC 4291)"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "no address; it often means this machine"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback (RFC 4291)"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "NAT64 within a site (RFC 8215)"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "for discarding (RFC 6666)"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "for protocols (RFC 2928)"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo, a tunnel to an IPv4 address (RFC 4380)"),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "for benchmarks (RFC 5180)"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "for documentation (RFC 3849)"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4, a tunnel to an IPv4 address (RFC 3056)"),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "a sink for reverse names, AS112 (RFC 7534)"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "for documentation (RFC 9637)"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "for segment routing within a site (RFC 9602)"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local (RFC 4193); clouds serve credentials there"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local (RFC 4291)"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local (RFC 3879)"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast (RFC 4291)"),
];

/// The narrowest row that holds `address`; `None` for a public one.
pub(super) fn row_of(address: IpAddr) -> Option<Row> {
    let holding = NOT_PUBLIC.iter().filter(|row| row.network.contains(&address));
    holding.max_by_key(|row| row.network.prefix_len()).copied()
}

/// The IPv4 address that `address` is another spelling of, as far as a router sees it: IPv4-mapped, or
/// behind the well-known prefix of NAT64 (RFC 6052), which DNS64 gives to machines without IPv4.
pub(super) fn plain(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => IpAddr::V4(ipv4(high, low)),
            _ => IpAddr::V6(v6),
        },
        v4 => v4,
    }
}

/// The IPv4 address at the end of an ISATAP address (RFC 5214), which may have any prefix.
pub(super) fn isatap(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        // The bit that says "globally unique" may be set or not, and so may the one for groups.
        [_, _, _, _, flags, 0x5efe, high, low] if flags & !0x0300 == 0 => Some(ipv4(high, low)),
        _ => None,
    }
}

fn ipv4(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::{NOT_PUBLIC, row_of};

    #[test]
    fn both_ends_of_every_row_are_refused_and_no_row_stands_twice() {
        for (index, row) in NOT_PUBLIC.iter().enumerate() {
            assert_eq!(row.network, row.network.trunc(), "a network is written by its first address");
            assert!(row_of(row.network.network()).is_some(), "{row:?}");
            assert!(row_of(row.network.broadcast()).is_some(), "{row:?}");
            assert!(NOT_PUBLIC[index + 1..].iter().all(|other| other.network != row.network), "{row:?}");
        }
    }

    #[test]
    fn the_narrowest_row_gives_the_reason() {
        let reason = |address: &str| row_of(address.parse().expect("an address")).expect("a row").reason;
        assert!(reason("2001::1").starts_with("Teredo"));
        assert!(reason("2001:30::1").starts_with("for protocols"));
        assert!(reason("::1").starts_with("loopback"));
        assert!(reason("::1.2.3.4").starts_with("an IPv4-compatible"));
        assert!(reason("1000::1").starts_with("not given out"));
    }
}
