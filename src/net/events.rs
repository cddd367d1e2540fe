//! Connections: their numbers, their origins, and the messages to and from them.

use std::net::IpAddr;

use crate::protocol::addr::Addr;

/// The number of a connection, among those of a pool.
pub type LinkId = u64;

/// What a connection learned about its other end.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "()")]
pub enum LinkEvent {
    /// The node at this address, which was dialled, knows the extensions; its incarnation, and its front if it has one.
    Ours { link: LinkId, addr: Addr, incarnation: u64, front: Option<u16> },
    /// The node at this address is a plain peer.
    Plain { link: LinkId, addr: Addr },
    /// The caller on an accepted connection claims to be the node at this address.
    Introduced { link: LinkId, addr: Addr, incarnation: u64 },
    /// The connection takes no more calls.
    Closing { link: LinkId, addr: Option<Addr> },
    /// The process has too many accepted connections, and this node has the most of them.
    TooMany,
    /// The connection is closed.
    Closed { link: LinkId, addr: Option<Addr> },
}

/// Check whether the other end is still there: a caller doubts it.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "()")]
pub struct Doubt;

/// No more calls are made on this connection: close it once the calls already made are answered.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "()")]
pub struct Retire;

/// A connection, as its users see it.
pub trait LinkControl {
    /// No more calls are made on it: it closes once the calls already made are answered.
    fn retire(&self);

    /// Checks whether the other end is still there.
    fn doubt(&self);

    /// Closes it.
    fn stop(&self);
}

/// How a connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Dialled; kept if the other end is of our own kind.
    Dialed(Addr),
    /// Dialled for one call.
    DialedOnce(Addr),
    /// Dialled for one call to a peer that is known to be plain: no extension is sent.
    DialedPlain(Addr),
    Accepted(IpAddr),
}

impl Origin {
    /// The address that was dialled, if this end dialled.
    pub fn addr(self) -> Option<Addr> {
        match self {
            Origin::Dialed(addr) | Origin::DialedOnce(addr) | Origin::DialedPlain(addr) => Some(addr),
            Origin::Accepted(_) => None,
        }
    }
}
