//! The values that flags take, as text.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use chord::Id;
use chord::net::seed;
use chord::node::config::{PERIOD, R};
use chord::protocol::addr::{Addr, callable};

/// A value that the flag does not accept; which values it does stands in the `ACCEPTED` of its command.
#[derive(Debug, thiserror::Error)]
#[error("not accepted")]
pub struct NotAccepted;

pub fn address(text: &str) -> Result<IpAddr, NotAccepted> {
    text.parse().ok().and_then(|ip| callable(ip).ok()).ok_or(NotAccepted)
}

pub fn seed_host(text: &str) -> Result<seed::Host, NotAccepted> {
    text.parse().map_err(|_| NotAccepted)
}

/// The address to listen at.
#[derive(Clone, Copy, Debug)]
pub struct Bind {
    pub ip: IpAddr,
    /// The port of `-p`, if none is given.
    pub port: Option<u16>,
}

/// An address of one machine or all of its addresses, in brackets or not, with or without a port.
pub fn bind(text: &str) -> Result<Bind, NotAccepted> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).filter(|bare| bare.contains(':'));
    let (ip, port) = match (bare.unwrap_or(text).parse::<IpAddr>(), text.parse::<Addr>()) {
        (Ok(ip), _) => (ip, None),
        (_, Ok(addr)) => (addr.ip(), Some(addr.port()).filter(|port| *port != 0)),
        _ => return Err(NotAccepted),
    };
    Ok(Bind { ip, port })
}

pub fn number<T: std::str::FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Result<T, NotAccepted> {
    text.parse().ok().filter(|number| range.contains(number)).ok_or(NotAccepted)
}

pub fn port(text: &str) -> Result<u16, NotAccepted> {
    number(text, 1..=u16::MAX)
}

pub fn successors(text: &str) -> Result<usize, NotAccepted> {
    number(text, R)
}

pub fn period(text: &str) -> Result<Duration, NotAccepted> {
    let millis = number(text, 1..=u64::MAX)?;
    Some(Duration::from_millis(millis)).filter(|period| PERIOD.contains(period)).ok_or(NotAccepted)
}

pub fn timeout(text: &str) -> Result<Duration, NotAccepted> {
    humantime::parse_duration(text).ok().filter(|time| PERIOD.contains(time)).ok_or(NotAccepted)
}

pub fn virtual_nodes(text: &str) -> Result<u16, NotAccepted> {
    number(text, 1..=1024)
}

pub fn truth(text: &str) -> Result<bool, NotAccepted> {
    text.parse().map_err(|_| NotAccepted)
}

pub fn identifier(text: &str) -> Result<Id, NotAccepted> {
    text.parse().map_err(|_| NotAccepted)
}

/// Where to answer over HTTP: on this machine only, unless an address is given.
pub fn http(text: &str) -> Result<SocketAddr, NotAccepted> {
    let port = || number(text, 0..=u16::MAX).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    text.parse().or_else(|_| port())
}
