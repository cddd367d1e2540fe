//! What a value is that was given for an address but is none, in words.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::path::Path;

use chord::Seed;
use chord::protocol::addr::{Addr, callable};

/// What this text is instead of an address that others can call, or of the name of a host if `or_name`.
pub fn instead_of_address(text: &str, or_name: bool) -> String {
    if let Ok(Err(why)) = text.parse().map(callable) {
        return why.to_string();
    }
    let (bare, zone) = text.split_once('%').unwrap_or((text, ""));
    let what = if text.is_empty() {
        "nothing"
    } else if !zone.is_empty() && bare.parse::<Ipv6Addr>().is_ok() {
        "an IPv6 address with a zone, which means something on one machine only"
    } else if text.starts_with('[') && text.ends_with(']') {
        "an address in brackets, which are for one with a port"
    } else if text.parse::<Addr>().is_ok() {
        "an address with a port, which has a flag of its own"
    } else if text.contains("://") {
        "a URL"
    } else if is_interface(text) {
        "a network interface, and not its address"
    } else if looks_like_number(text) {
        "not four numbers from 0 to 255"
    } else if or_name {
        "no name of a host"
    } else {
        "a name, and not its address"
    };
    what.into()
}

fn is_interface(text: &str) -> bool {
    !text.contains('/') && Path::new("/sys/class/net").join(text).exists() || looks_like_interface(text)
}

/// Matches interfaces of other machines, too: a usual kind and a number.
fn looks_like_interface(text: &str) -> bool {
    let kind = text.trim_end_matches(|char: char| char.is_ascii_digit());
    kind.len() < text.len()
        && ["eth", "wlan", "en", "wlp", "enp", "eno", "ens", "em", "tun", "tap", "docker"].contains(&kind)
}

fn looks_like_number(text: &str) -> bool {
    text.chars().all(|char| char.is_ascii_digit() || char == '.')
}

/// A warning if no node of the ring can call this node: its address is of this machine only, and the seed is another
/// machine. `flag` gives the address.
pub fn unreachable(flag: &str, address: IpAddr, seed: Option<&Seed>) -> Option<String> {
    let seed = seed.and_then(Seed::addr).filter(|seed| address.is_loopback() && !is_own(seed.ip()))?;
    Some(format!(
        "{flag} {address} can be called from this machine only, but {seed} is another machine: nobody there can call \
         this node; give {flag} the address that others call"
    ))
}

/// Whether an address is one of this machine: only such an address can be bound.
fn is_own(ip: IpAddr) -> bool {
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
            ("fe80::1%eth0", "an IPv6 address with a zone"),
            ("fe80::1", "a link-local IPv6 address"),
            ("[::1]", "an address in brackets"),
            ("::", "all addresses"),
            ("[::1]:4170", "an address with a port"),
            ("0.0.0.0", "all addresses"),
            ("255.255.255.255", "the broadcast address"),
            ("224.0.0.1", "a multicast address"),
            ("127.0.0.1:4170", "an address with a port"),
            ("http://127.0.0.1", "a URL"),
            ("127.1", "not four numbers"),
            ("127.0.0.256", "not four numbers"),
            ("", "nothing"),
        ] {
            let said = instead_of_address(text, false);
            // An interface is recognised only where it exists.
            assert!(said.starts_with(expected) || text == "lo" && said.starts_with("a name"), "{text}: {said}");
        }
    }

    #[test]
    fn node_at_loopback_can_not_be_called_from_another_machine() {
        let at = |text: &str| Some(text.parse::<Seed>().unwrap());
        let warns = |ip: [u8; 4], seed: Option<Seed>| unreachable("-a", ip.into(), seed.as_ref()).is_some();
        assert!(warns([127, 0, 0, 1], at("192.0.2.1:4170")));
        assert!(!warns([127, 0, 0, 1], at("127.0.0.2:4170")));
        assert!(!warns([127, 0, 0, 1], None));
        assert!(!warns([192, 0, 2, 7], at("192.0.2.1:4170")));
    }
}
