//! What a connection is, and what it is told and tells.

use std::net::IpAddr;

use crate::protocol::addr::Addr;

/// The number of a connection, among those of a pool.
pub type LinkId = u64;

/// What a connection learned about its other end.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "()")]
pub enum LinkEvent {
    /// The node at this address, which was dialled, knows the extensions, and runs as this.
    Ours { link: LinkId, addr: Addr, incarnation: u64, front: Option<u16> },
    /// The node at this address is a plain peer.
    Plain { link: LinkId, addr: Addr },
    /// The caller on an accepted connection says that it is the node at this address.
    Introduced { link: LinkId, addr: Addr, incarnation: u64 },
    /// The connection takes no more calls.
    Closing { link: LinkId, addr: Option<Addr> },
    /// The process has too many connections that others have made, and this node most of them.
    TooMany,
    /// The connection is closed.
    Closed { link: LinkId, addr: Option<Addr> },
}

/// Find out whether the other end is still there: somebody doubts it.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "()")]
pub struct Doubt;

/// No more calls are made on it: close when those are answered that were made.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "()")]
pub struct Retire;

/// How a connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Dialled, to be kept if the other end can.
    Dialed(Addr),
    /// Dialled for one call.
    DialedOnce(Addr),
    /// Dialled for one call to a peer that is known to be plain: no extension is sent.
    DialedPlain(Addr),
    Accepted(IpAddr),
}

impl Origin {
    /// Who was dialled.
    pub fn addr(self) -> Option<Addr> {
        match self {
            Origin::Dialed(addr) | Origin::DialedOnce(addr) | Origin::DialedPlain(addr) => Some(addr),
            Origin::Accepted(_) => None,
        }
    }
}
