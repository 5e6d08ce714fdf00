//! Addresses that no geographic table can know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the plain address: IPv4-mapped IPv6 (`::ffff:0:0/96`) and NAT64 (`64:ff9b::/96`, RFC
/// 6052) become IPv4.
pub fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => address.to_canonical(),
    }
}

/// Returns true if an address has a meaning only on a local network or this machine: private (RFC
/// 1918), loopback, link-local, carrier-grade NAT (100.64.0.0/10, RFC 6598), unique local
/// (fc00::/7, RFC 4193) or unspecified.
pub fn is_local(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(v4) => is_local_v4(v4),
        IpAddr::V6(v6) => is_local_v6(v6),
    }
}

fn is_local_v4(v4: Ipv4Addr) -> bool {
    let [a, b, ..] = v4.octets();
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || a == 0
        || (a == 100 && b & 0b1100_0000 == 64)
}

fn is_local_v6(v6: Ipv6Addr) -> bool {
    // fec0::/10 preceded fc00::/7, and some networks still use it.
    let site_local = v6
        .segments()
        .first()
        .is_some_and(|first| first & 0xffc0 == 0xfec0);
    v6.is_loopback()
        || v6.is_unspecified()
        || v6.is_unicast_link_local()
        || v6.is_unique_local()
        || site_local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_local_is_told_from_what_is_public() {
        let local = [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.9.9",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "fec0::1",
            "::ffff:192.168.0.1",
            "64:ff9b::a00:1",
        ];
        let public = [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "100.63.255.255",
            "192.0.2.1",
            "2001:db8::1",
            "2600::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ];
        let is_local = |text: &str| is_local(text.parse().unwrap());
        assert!(local.iter().all(|text| is_local(text)));
        assert!(!public.iter().any(|text| is_local(text)));
        assert_eq!(
            plain("64:ff9b::808:808".parse().unwrap()),
            "8.8.8.8".parse::<IpAddr>().unwrap()
        );
    }
}
