//! What nodes say to each other: the manual of the protocol.

use std::time::Duration;

use super::id::Id;
use super::peer::Peer;

/// A question from one node to another. Who asks, when, and what comes back:
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Who owns `key`? Asked by a lookup of the closest node before the key that it knows, and by
    /// a joiner of its seed. The callee passes the question on until a node can name the owner.
    /// Comes back: [`Response::Successor`].
    FindSuccessor {
        /// The point whose owner is sought.
        key: Id,
        /// Hops that the question has made so far; no more than [`MAX_HOPS`].
        hops: u32,
        /// Whether the answer is to list the nodes that were asked.
        want_path: bool,
    },
    /// Who owns `key`, or who are the closest nodes before it that you know? Asked by an iterative
    /// lookup, of each node on its way. The callee passes nothing on; it only pings the node that it would name, if
    /// that node is in doubt. Comes back: [`Response::Successor`] if it can name the owner, else
    /// [`Response::Preceding`]. A plain peer does not know the difference, and passes the question on.
    ClosestPrecedingNode {
        /// The same as for [`FindSuccessor`](Request::FindSuccessor).
        key: Id,
        /// Nodes that the asker could not reach: the callee pings them before it names them.
        doubted: Vec<Peer>,
        /// Whether to tell how long it took.
        want_path: bool,
    },
    /// I might be your predecessor. Said by every completed stabilize to the first successor.
    /// Comes back at once: [`Response::Done`]; the callee decides afterwards.
    Notify {
        /// The caller, which has to answer a probe at this address before it is believed.
        me: Peer,
    },
    /// Are you alive? Asked of the predecessor now and then, of a successor before it is named as an owner, and of any
    /// node that stays silent. Comes back: [`Response::Alive`].
    CheckPredecessor,
    /// Who comes before you, and after? Asked by stabilize of the first successor. Comes back:
    /// [`Response::Predecessor`].
    GetPredecessor,
    /// Who comes after you? Asked by stabilize of a candidate, and by a joiner, which says who it
    /// is, of its successor to be. Comes back: [`Response::SuccessorList`].
    GetSuccessorList {
        /// The caller if it is about to join; `None` from members and from plain peers, which never say.
        joiner: Option<Peer>,
    },
    /// Your first successor has changed: stabilize now. Said by that successor if its predecessor or its list is another,
    /// to its predecessor and to the one that it has replaced; and by a node that has found that successor dead, and
    /// then found it in a list again. Comes back: [`Response::Done`].
    Nudge {
        /// That successor. The callee ignores the call unless this is its first successor.
        of: Peer,
    },
    /// You are alone, and I belong to a ring that does not know you: join it through me. Said by a node that finds a
    /// ring of one. Comes back: [`Response::Done`].
    Invite {
        /// The caller, which will be the callee's seed.
        me: Peer,
    },
    /// There is another ring, to which this node belongs. Said by a node that has found it. Comes back:
    /// [`Response::Done`]; the callee asks that node before it believes anything.
    Meet {
        /// A member of the other ring; or the caller itself, which is back after it was away.
        node: Peer,
        /// Tell all members of your ring between yourself and this identifier, and look for your own place in the other
        /// ring. If it is absent, tell no other member: `node` seems to belong right behind you.
        until: Option<Id>,
    },
    /// I leave, and `predecessor` came before me. Said to the first successor and to the predecessor by a member that
    /// has just left, and answers only [`Code::NotJoined`] from now on. Comes back: [`Response::Done`]; the callee
    /// finds out by itself whether it is true.
    Leave {
        /// The caller, which the callee asks at once whether it lives, if it is a neighbour.
        me: Peer,
        /// `None` if the leaver knew none. The callee judges it like a notifier if the leaver was its own predecessor.
        predecessor: Option<Peer>,
    },
    /// From now on this connection carries the calls of applications, and nothing else. Asked on a connection that was
    /// made for it. Comes back: [`Response::Done`], or [`Code::UnknownCall`] where no service is offered.
    OpenChannel,
}

impl Request {
    /// Whether the answer may depend on nodes other than the callee.
    pub fn depends_on_others(&self) -> bool {
        matches!(self, Request::FindSuccessor { .. } | Request::ClosestPrecedingNode { .. })
    }

    /// Whether plain peers don't know the call. They are never sent such a call: it kills some of them.
    pub fn is_extension(&self) -> bool {
        matches!(
            self,
            Request::Nudge { .. }
                | Request::Invite { .. }
                | Request::Meet { .. }
                | Request::Leave { .. }
                | Request::OpenChannel
        )
    }
}

/// The time that is passed on with a question where the caller has this much left: the callee gives up before its
/// caller does, so that the caller learns why.
pub fn passed_on(left: Duration) -> Duration {
    left * 3 / 4
}

/// The time that the caller has left that passed this much on.
pub fn whole_of(passed_on: Duration) -> Duration {
    passed_on * 4 / 3
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Response {
    /// The owner of the key, and the nodes that were asked for it (empty unless wanted).
    Successor {
        /// The first member at or after the key, as far as the callee knows; at times the callee itself.
        owner: Peer,
        /// The callee first, then each node that was asked after it, in order.
        path: Vec<Hop>,
    },
    /// The closest nodes before the key, the closest first; and the callee as a hop, if wanted.
    Preceding {
        /// Not empty; strictly between the callee and the key, which the caller checks.
        nodes: Vec<Peer>,
        /// Empty, or one hop.
        path: Vec<Hop>,
    },
    /// The callee has taken note.
    Done,
    /// Alive.
    Alive {
        /// Whether the responder is a plain peer (one call per connection, no extensions).
        plain: bool,
        /// Whether the responder is a ring of one, and so no other node's predecessor. Plain peers don't say.
        alone: bool,
    },
    /// The predecessor, and the successor list of the same moment; plain peers give no list.
    Predecessor {
        /// `None` while the callee knows none.
        predecessor: Option<Peer>,
        /// Nearest first; empty in a ring of one. `None` from a plain peer, and to one.
        successors: Option<Vec<Peer>>,
        /// Empty from a plain peer, and to one.
        memory: Memory,
    },
    /// The successor list, without padding.
    SuccessorList {
        /// Nearest first, at most r, without the callee itself; empty in a ring of one.
        successors: Vec<Peer>,
        /// To a joiner: the predecessor of the same moment. Plain peers don't say.
        predecessor: Option<Option<Peer>>,
        /// As sent, the form that the caller expects; as read, how the callee speaks.
        dialect: Dialect,
    },
}

/// What a node remembers, for nodes that were asleep and look for their place in the ring ([`awaken`](super::awaken)).
/// Plain peers remember nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Memory {
    /// The predecessor that it has lost, until it has another.
    pub former: Option<Peer>,
    /// Whether it was asleep itself, and no node that was awake has confirmed its place since.
    pub slept: bool,
}

/// How a node speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Like this program: connections are kept.
    Ours,
    /// A plain peer: one call per connection, no extensions.
    Plain,
    /// A plain peer whose successor list begins with itself, and which expects the same of ours.
    PlainItselfFirst,
}

/// One node that a lookup asked, and the time that it took from reading the question to answering it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// The node that read the question and answered it, after the hops behind it if it passed the question on.
    pub node: Peer,
    /// Includes the time of the hops behind it; in whole microseconds on the wire.
    pub took: Duration,
}

/// Why a question was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Code {
    /// For no reason that is known; plain peers never give one.
    #[error("refused")]
    Unspecified,
    /// The callee is not a member of the ring, or not any more: to the ring it is dead.
    #[error("not a member")]
    NotJoined,
    /// Not now; ask again in a little while.
    #[error("not now")]
    Retry,
    /// The callee is overloaded.
    #[error("busy")]
    Busy,
    /// The caller's time limit passed on the way.
    #[error("out of time")]
    Timeout,
    /// Another member has the identifier of the joiner.
    #[error("identifier taken")]
    IdTaken,
    /// The call could not be understood.
    #[error("bad request")]
    BadRequest,
    /// There is no call of that name.
    #[error("unknown call")]
    UnknownCall,
    /// None of the nodes that the callee has asked in turn could answer.
    #[error("no route")]
    NoRoute,
    /// The node that is asked is not behind the connection that the question came on.
    #[error("not here")]
    NotHere,
}

/// The most hops that a question makes. With fingers log2 N are enough; a ring without any
/// fingers needs N / r.
pub const MAX_HOPS: u32 = 1024;
