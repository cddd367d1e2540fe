//! What was given for an address that is none, in words.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};
use std::path::Path;

/// What this text is instead of an IPv4 address that others can call.
pub fn instead_of_address(text: &str) -> &'static str {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return match ip {
            Ipv4Addr::UNSPECIFIED => "all addresses of a machine, and none that others can call",
            Ipv4Addr::BROADCAST => "the broadcast address",
            ip if ip.is_multicast() => "a multicast address",
            _ => "an address that others can't call",
        };
    }
    let bare = text.trim_start_matches('[').split(['%', ']']).next().unwrap_or_default();
    if text.is_empty() {
        "nothing"
    } else if bare.parse::<Ipv6Addr>().is_ok() {
        "an IPv6 address"
    } else if text.parse::<SocketAddrV4>().is_ok() {
        "an address with a port, which has a flag of its own"
    } else if text.contains("://") {
        "a URL"
    } else if is_interface(text) {
        "a network interface, and not its address"
    } else if looks_like_number(text) {
        "not four numbers from 0 to 255"
    } else {
        "a name, and not its address"
    }
}

fn is_interface(text: &str) -> bool {
    !text.contains('/') && Path::new("/sys/class/net").join(text).exists() || looks_like_interface(text)
}

/// Also one of another machine, or that is not there: a usual kind, and a number.
fn looks_like_interface(text: &str) -> bool {
    let kind = text.trim_end_matches(|char: char| char.is_ascii_digit());
    kind.len() < text.len()
        && ["eth", "wlan", "en", "wlp", "enp", "eno", "ens", "em", "tun", "tap", "docker"].contains(&kind)
}

fn looks_like_number(text: &str) -> bool {
    text.chars().all(|char| char.is_ascii_digit() || char == '.')
}

/// Why nobody of the ring that is joined can call this node, if that is so: it is at an address of this machine only, and
/// the seed is another machine.
pub fn unreachable(address: Ipv4Addr, seed: Option<SocketAddrV4>) -> Option<String> {
    let seed = seed.filter(|seed| address.is_loopback() && !is_own(*seed.ip()))?;
    Some(format!(
        "-a {address} can be called from this machine only, but {seed} is another machine: nobody there can call this \
         node; give -a the address that others call"
    ))
}

/// Whether an address is one of this machine: only then something can be bound to it.
fn is_own(ip: Ipv4Addr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_named() {
        for (text, expected) in [
            ("localhost", "a name"),
            ("www.example.org", "a name"),
            ("eth0", "a network interface"),
            ("enp3", "a network interface"),
            ("lo", "a network interface"),
            ("::1", "an IPv6 address"),
            ("fe80::1%eth0", "an IPv6 address"),
            ("[::1]", "an IPv6 address"),
            ("0.0.0.0", "all addresses"),
            ("255.255.255.255", "the broadcast address"),
            ("224.0.0.1", "a multicast address"),
            ("127.0.0.1:4170", "an address with a port"),
            ("http://127.0.0.1", "a URL"),
            ("127.1", "not four numbers"),
            ("127.0.0.256", "not four numbers"),
            ("", "nothing"),
        ] {
            let said = instead_of_address(text);
            // An interface is known where there is one.
            assert!(said.starts_with(expected) || text == "lo" && said.starts_with("a name"), "{text}: {said}");
        }
    }

    #[test]
    fn node_at_loopback_can_not_be_called_from_another_machine() {
        let at = |text: &str| Some(text.parse().unwrap());
        let warns = |ip: [u8; 4], seed| unreachable(ip.into(), seed).is_some();
        assert!(warns([127, 0, 0, 1], at("192.0.2.1:4170")));
        assert!(!warns([127, 0, 0, 1], at("127.0.0.2:4170")));
        assert!(!warns([127, 0, 0, 1], None));
        assert!(!warns([192, 0, 2, 7], at("192.0.2.1:4170")));
    }
}
