//! What may be wrong with a ring, how serious that is, and what to do about it.

use std::fmt;

use crate::protocol::peer::Peer;

/// How serious a finding is; for a ring, how serious its worst one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing is wrong now.
    Note,
    /// Answers may be slow or fail; the ring heals by itself.
    Degraded,
    /// Answers may be wrong, or it does not heal by itself.
    Broken,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Degraded => "degraded",
            Severity::Broken => "broken",
        })
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Some nodes are in a ring of their own.
    Rings,
    /// Two nodes have the same identifier.
    Identifier,
    /// A node knows no living successor.
    Alone,
    /// A node has named a wrong owner.
    WrongOwner,
    /// A node could not name an owner, or has named a node that does not answer.
    Lookup,
    /// There are fewer members than were expected.
    Missing,
    /// A node that others name does not answer.
    Unreached,
    /// A node's first living successor is not the next member.
    Successor,
    /// The rest of a node's successor list is not the next members.
    SuccessorList,
    /// A node's predecessor is not the member before it.
    Predecessor,
    /// Some fingers of a node are not as defined.
    Fingers,
    /// There are fewer members than a node's list needs.
    Members,
    /// Nodes have lists of different lengths.
    Lengths,
    /// More nodes were named than are visited.
    Cut,
}

impl Kind {
    /// A word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Rings => "rings",
            Kind::Identifier => "identifier",
            Kind::Alone => "alone",
            Kind::WrongOwner => "wrong_owner",
            Kind::Lookup => "lookup",
            Kind::Missing => "missing",
            Kind::Unreached => "unreached",
            Kind::Successor => "successor",
            Kind::SuccessorList => "successor_list",
            Kind::Predecessor => "predecessor",
            Kind::Fingers => "fingers",
            Kind::Members => "members",
            Kind::Lengths => "lengths",
            Kind::Cut => "cut",
        }
    }

    /// How serious it is.
    pub fn severity(self) -> Severity {
        match self {
            Kind::Rings | Kind::Identifier | Kind::Alone | Kind::WrongOwner => Severity::Broken,
            Kind::Members | Kind::Lengths | Kind::Cut => Severity::Note,
            _ => Severity::Degraded,
        }
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Kind::Rings => {
                "rings that know of each other become one within a minute; if these don't, start a node of one with a \
                 node of the other to join"
            }
            Kind::Identifier => "stop one of them, and start it without an identifier of its own",
            Kind::Alone => {
                "it goes on trying the nodes that it knew; if it stays alone, start it again with a node to join"
            }
            Kind::WrongOwner => "wait for the ring to heal; if it stays so, a node lies or runs another program",
            Kind::Lookup => "try again; if it stays so, look at the load of that node",
            Kind::Missing => "wait for them to join, or start them",
            Kind::Unreached => {
                "if it has died, the others drop it within some periods; if it lives, its address can't be called from here"
            }
            Kind::Successor => "stabilize mends it within some periods",
            Kind::SuccessorList => "stabilize mends it within one period for each entry",
            Kind::Predecessor => "the next notification mends it",
            Kind::Fingers => {
                "fix fingers mends it within its period for each finger; lookups are right meanwhile, but may take more hops"
            }
            Kind::Members => "start more nodes, or all with a smaller successor list",
            Kind::Lengths => "give all nodes the same length of the successor list",
            Kind::Cut => "check a part of the ring from another node",
        }
    }
}

/// One thing that is wrong, of one node if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The node that it is about.
    pub node: Option<Peer>,
    /// A sentence for people, without its full stop.
    pub what: String,
}
