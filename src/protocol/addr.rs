//! Where a node is called.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

/// Where a node is called: an IPv4 or IPv6 address and a port, as text `1.2.3.4:4170` or `[2001:db8::1]:4170` (RFC
/// 5952).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Addr {
    /// An IPv4 address as the IPv6 address that stands for it (RFC 4291, section 2.5.5.2), so that each has one form.
    ip: [u8; 16],
    port: u16,
}

const _: () = assert!(size_of::<Addr>() == 18);

/// Why others can't call an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCallable {
    /// `0.0.0.0` or `::`. A node may listen there, and then has to advertise another address.
    #[error("all addresses of a machine, and none that others can call")]
    Unspecified,
    /// An address of a group of hosts: 224.0.0.0/4 or ff00::/8.
    #[error("a multicast address")]
    Multicast,
    /// `255.255.255.255`: all hosts of a network.
    #[error("the broadcast address")]
    Broadcast,
    /// fe80::/10: the same address exists on every link.
    #[error("a link-local IPv6 address, which means something on one link only")]
    LinkLocal,
    /// The port is 0. In an address to listen on, 0 stands for any free port.
    #[error("port 0, which nobody listens on")]
    Port,
}

impl Addr {
    /// This port of this address. An IPv4 address that is written as an IPv6 one (`::ffff:1.2.3.4`) is the IPv4
    /// address.
    pub fn new(ip: impl Into<IpAddr>, port: u16) -> Addr {
        let ip = match ip.into() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Addr { ip: ip.octets(), port }
    }

    /// The address without its port.
    pub fn ip(self) -> IpAddr {
        Ipv6Addr::from(self.ip).to_canonical()
    }

    /// The port.
    pub fn port(self) -> u16 {
        self.port
    }

    /// The same as the sockets of the standard library and of tokio take it.
    pub fn socket(self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.port)
    }

    /// Another port of the same address.
    pub fn with_port(self, port: u16) -> Addr {
        Addr { port, ..self }
    }

    /// Whether others can call it.
    ///
    /// # Errors
    ///
    /// Why not: it is not that of a single host, or means something on one link only, or has no port.
    pub fn check(self) -> Result<Addr, NotCallable> {
        callable(self.ip())?;
        if self.port == 0 { Err(NotCallable::Port) } else { Ok(self) }
    }
}

/// Whether others can call an address, with any port.
///
/// # Errors
///
/// Why not: it is not that of a single host, or means something on one link only.
pub fn callable(ip: IpAddr) -> Result<IpAddr, NotCallable> {
    let ip = ip.to_canonical();
    if ip.is_unspecified() {
        Err(NotCallable::Unspecified)
    } else if ip.is_multicast() {
        Err(NotCallable::Multicast)
    } else if ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Err(NotCallable::Broadcast)
    } else if matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
        Err(NotCallable::LinkLocal)
    } else {
        Ok(ip)
    }
}

/// The unit that limits per address count: an IPv4 address, or the 64 bits of an IPv6 network, all of whose addresses
/// one host may use (RFC 4862).
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Addr {
        Addr::new(addr.ip(), addr.port())
    }
}

impl From<SocketAddrV4> for Addr {
    fn from(addr: SocketAddrV4) -> Addr {
        SocketAddr::V4(addr).into()
    }
}

impl From<SocketAddrV6> for Addr {
    fn from(addr: SocketAddrV6) -> Addr {
        SocketAddr::V6(addr).into()
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for Addr {
    fn from((ip, port): (I, u16)) -> Addr {
        Addr::new(ip, port)
    }
}

impl From<Addr> for SocketAddr {
    fn from(addr: Addr) -> SocketAddr {
        addr.socket()
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket().fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not an address with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address with a port, as 1.2.3.4:4170 or [2001:db8::1]:4170")]
pub struct NotAnAddr;

/// Reads what [`Display`](fmt::Display) writes. A zone (`%eth0`) means nothing to others, and is refused.
impl FromStr for Addr {
    type Err = NotAnAddr;

    fn from_str(text: &str) -> Result<Addr, NotAnAddr> {
        match text.parse().map_err(|_| NotAnAddr)? {
            SocketAddr::V6(addr) if addr.scope_id() != 0 => Err(NotAnAddr),
            addr => Ok(addr.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_is_read_as_it_is_written(ip: [u8; 16], v4: [u8; 4], port: u16) {
            for addr in [Addr::new(ip, port), Addr::new(v4, port)] {
                prop_assert_eq!(addr.to_string().parse(), Ok(addr));
                prop_assert_eq!(Addr::from(addr.socket()), addr);
            }
        }

        #[test]
        fn addresses_of_one_kind_lie_in_the_order_of_their_numbers(one: [u8; 4], other: [u8; 4], ports: (u16, u16)) {
            let addrs = (Addr::new(one, ports.0), Addr::new(other, ports.1));
            prop_assert_eq!(addrs.0.cmp(&addrs.1), (one, ports.0).cmp(&(other, ports.1)));
        }
    }

    #[test]
    fn an_address_is_written_as_rfc_5952_has_it() {
        let text = |ip: &str| Addr::new(ip.parse::<IpAddr>().unwrap(), 4170).to_string();
        assert_eq!(text("1.2.3.4"), "1.2.3.4:4170");
        assert_eq!(text("::ffff:1.2.3.4"), "1.2.3.4:4170", "one address has one text");
        assert_eq!(text("2001:DB8:0:0:0:0:0:1"), "[2001:db8::1]:4170");
        assert_eq!(text("2001:db8:0:1:1:1:1:1"), "[2001:db8:0:1:1:1:1:1]:4170", "a single zero is written out");
        assert_eq!(text("2001:0:0:1:0:0:0:1"), "[2001:0:0:1::1]:4170", "the longest row of zeros");
        assert_eq!(text("2001:db8:0:0:1:0:0:1"), "[2001:db8::1:0:0:1]:4170", "the first of two");
    }

    #[test]
    fn what_others_can_not_call_is_refused_in_words() {
        use NotCallable::*;
        let check = |text: &str| text.parse::<Addr>().unwrap().check();
        for (text, why) in [
            ("0.0.0.0:1", Unspecified),
            ("[::]:1", Unspecified),
            ("[::ffff:0.0.0.0]:1", Unspecified),
            ("224.0.0.1:1", Multicast),
            ("[ff02::1]:1", Multicast),
            ("[::ffff:224.0.0.1]:1", Multicast),
            ("255.255.255.255:1", Broadcast),
            ("[fe80::1]:1", LinkLocal),
            ("[febf::1]:1", LinkLocal),
            ("10.0.0.1:0", Port),
        ] {
            assert_eq!(check(text), Err(why), "{text}");
        }
        for text in ["127.0.0.1:1", "[::1]:1", "[2001:db8::1]:65535", "[fec0::1]:1", "169.254.0.1:1"] {
            assert!(check(text).is_ok(), "{text}");
        }
        for text in
            ["", "1.2.3.4", "1.2.3.4:", "::1", "::1:4170", "[::1]", "[fe80::1%2]:1", "localhost:1", "1.2.3.4:65536"]
        {
            assert_eq!(text.parse::<Addr>(), Err(NotAnAddr), "{text}");
        }
    }
}
