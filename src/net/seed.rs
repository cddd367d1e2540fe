//! Nodes of the ring to join, as an operator names them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::protocol::addr::{Addr, NotCallable, callable};

/// A node of the ring to join: an address, or a name that is resolved anew at each try. Its text is `example.org:4170`,
/// `1.2.3.4:4170` or `[2001:db8::1]:4170`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seed {
    pub host: Host,
    pub port: u16,
}

/// Where a seed runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    Ip(IpAddr),
    Name(Name),
}

/// The name of a host; it may resolve to other addresses the next time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

/// A text is not a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotASeed {
    #[error("that is {0}")]
    NotCallable(#[from] NotCallable),
    #[error("not an address or a name, as 128.8.126.63, 2001:db8::1 or example.org")]
    Host,
    #[error("not host:port, as example.org:4170, 128.8.126.63:4170 or [2001:db8::1]:4170")]
    Text,
}

/// The longest name and the longest part of one, in bytes (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

impl Name {
    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Seed {
    /// Its address, if it was given by one.
    pub fn addr(&self) -> Option<Addr> {
        match self.host {
            Host::Ip(ip) => Some(Addr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}

impl From<Addr> for Seed {
    fn from(addr: Addr) -> Seed {
        Seed { host: Host::Ip(addr.ip()), port: addr.port() }
    }
}

/// Reads an address without brackets, or a name: letters, digits, hyphens and underscores between dots. A text whose
/// last part is a number must be an address: resolvers take `127.1` for one address, and people for another.
impl FromStr for Host {
    type Err = NotASeed;

    fn from_str(text: &str) -> Result<Host, NotASeed> {
        if let Ok(ip) = text.parse() {
            return Ok(Host::Ip(callable(ip)?));
        }
        let label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let bare = text.strip_suffix('.').unwrap_or(text);
        let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let good =
            bare.len() <= MAX_NAME && bare.split('.').all(label) && !bare.rsplit('.').next().is_none_or(is_number);
        if good { Ok(Host::Name(Name(text.into()))) } else { Err(NotASeed::Host) }
    }
}

/// Reads `host:port`, an IPv6 address in brackets.
impl FromStr for Seed {
    type Err = NotASeed;

    fn from_str(text: &str) -> Result<Seed, NotASeed> {
        if let Ok(addr) = text.parse::<Addr>() {
            return Ok(addr.check()?.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotASeed::Text)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(NotASeed::Text)?;
        match host.parse().map_err(|_| NotASeed::Text)? {
            Host::Ip(_) => Err(NotASeed::Text),
            host => Ok(Seed { host, port }),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(ip) => ip.fmt(f),
            Host::Name(name) => f.write_str(name.as_str()),
        }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr() {
            Some(addr) => addr.fmt(f),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_as_they_are_written() {
        for text in
            ["1.2.3.4:4170", "[2001:db8::1]:4170", "localhost:1", "seed-1.example.org:65535", "example.org.:7", "a_b:7"]
        {
            assert_eq!(text.parse::<Seed>().map(|seed| seed.to_string()), Ok(text.into()));
        }
        assert_eq!("[::ffff:1.2.3.4]:7".parse::<Seed>().map(|seed| seed.to_string()), Ok("1.2.3.4:7".into()));
    }

    #[test]
    fn what_is_no_seed_is_refused() {
        for text in [
            "",
            ":",
            "localhost",
            ":4170",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:http",
            "::1:4170",
            "127.1:4170",
            "1.2.3:4170",
            "a..b:1",
            ".a:1",
            "a b:1",
            "a/b:1",
            "http://a:1",
            "bücher.example:1",
        ] {
            assert_eq!(text.parse::<Seed>(), Err(NotASeed::Text), "{text}");
        }
        assert_eq!("0.0.0.0:1".parse::<Seed>(), Err(NotASeed::NotCallable(NotCallable::Unspecified)));
        assert_eq!("[fe80::1]:1".parse::<Seed>(), Err(NotASeed::NotCallable(NotCallable::LinkLocal)));
        assert_eq!("10.0.0.1:0".parse::<Seed>(), Err(NotASeed::NotCallable(NotCallable::Port)));
        let label = "a".repeat(64);
        assert_eq!(label.parse::<Host>(), Err(NotASeed::Host));
        assert!(label[1..].parse::<Host>().is_ok());
        assert_eq!(format!("{}a", "a.".repeat(127)).parse::<Host>(), Err(NotASeed::Host));
    }
}
