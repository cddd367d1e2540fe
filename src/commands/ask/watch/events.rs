//! What happens in a ring, as far as two walks, one after the other, show it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use chord::client::walk::Unreached;
use chord::{Addr, Peer};

use super::member::Member;
use super::model::Health;

/// Something that happened, and when it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Since the watch began.
    pub at: Duration,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The first walk found this many members.
    Found(usize),
    /// A node answers that was not known, or that was gone.
    Appeared(Peer),
    /// A silent node answers again.
    Returned(Peer),
    /// Another run of a program answers at that address.
    Restarted(Peer),
    /// Members name it, and it does not answer: what happened instead.
    Silent(Peer, String),
    /// Nobody names it any more. A walk does not show whether it left or died.
    Gone(Peer),
    /// A member has another predecessor.
    Predecessor(Peer, Option<Peer>),
    /// A member has another first successor.
    Successor(Peer, Option<Peer>),
    /// The rest of this many successor lists has changed. One join changes r of them.
    Lists(usize),
    /// The word of the check is another.
    Health(Health),
    /// The ring is found through another node.
    Asking(Addr),
    /// No known member answers.
    Lost(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Found(1) => f.write_str("1 member found"),
            What::Found(n) => write!(f, "{n} members found"),
            What::Appeared(peer) => write!(f, "{} has appeared", peer.addr),
            What::Returned(peer) => write!(f, "{} answers again", peer.addr),
            What::Restarted(peer) => write!(f, "{} has restarted", peer.addr),
            // The reason names the address.
            What::Silent(_, why) => write!(f, "{why}; others still name it"),
            What::Gone(peer) => write!(f, "{} is gone: nobody names it any more", peer.addr),
            What::Predecessor(peer, Some(other)) => write!(f, "{} has the predecessor {}", peer.addr, other.addr),
            What::Predecessor(peer, None) => write!(f, "{} has no predecessor", peer.addr),
            What::Successor(peer, Some(other)) => write!(f, "{} has the successor {}", peer.addr, other.addr),
            What::Successor(peer, None) => write!(f, "{} has no successor", peer.addr),
            What::Lists(1) => f.write_str("1 other successor list has changed"),
            What::Lists(n) => write!(f, "{n} other successor lists have changed"),
            What::Health(health) => write!(f, "the ring is {}", health.word()),
            What::Asking(addr) => write!(f, "the ring is found through {addr} now"),
            What::Lost(why) => write!(f, "no member answers: {why}"),
        }
    }
}

impl What {
    /// Whether the ring may be another than the one that was checked.
    pub fn is_change(&self) -> bool {
        !matches!(self, What::Found(_) | What::Health(_) | What::Asking(_) | What::Lost(_))
    }
}

/// What happened between two walks: members by identifier, and nodes that are named and did not answer. Who comes and
/// goes stands before what that changes.
pub fn differences(before: (&[Member], &[Unreached]), after: (&[Member], &[Unreached])) -> Vec<What> {
    let was: BTreeMap<Peer, &Member> = before.0.iter().map(|member| (member.peer, member)).collect();
    let is: BTreeSet<Peer> = after.0.iter().map(|member| member.peer).collect();
    let was_silent: BTreeSet<Peer> = before.1.iter().map(|silent| silent.peer).collect();
    let is_silent: BTreeSet<Peer> = after.1.iter().map(|silent| silent.peer).collect();
    let (mut happened, mut tables, mut lists) = (Vec::new(), Vec::new(), 0);
    let before = was.keys().chain(&was_silent);
    happened.extend(before.filter(|peer| !is.contains(peer) && !is_silent.contains(peer)).copied().map(What::Gone));
    let silent = after.1.iter().filter(|silent| !was_silent.contains(&silent.peer));
    happened.extend(silent.map(|silent| What::Silent(silent.peer, silent.why.clone())));
    for member in after.0 {
        let peer = member.peer;
        let Some(was) = was.get(&peer) else {
            let returned = was_silent.contains(&peer);
            happened.push(if returned { What::Returned(peer) } else { What::Appeared(peer) });
            continue;
        };
        if was.run != member.run {
            happened.push(What::Restarted(peer));
        }
        if was.predecessor != member.predecessor {
            tables.push(What::Predecessor(peer, member.predecessor));
        }
        if was.successors.first() != member.successors.first() {
            tables.push(What::Successor(peer, member.successors.first().copied()));
        } else if was.successors != member.successors {
            lists += 1;
        }
    }
    happened.extend(tables);
    happened.extend((lists > 0).then_some(What::Lists(lists)));
    happened
}
