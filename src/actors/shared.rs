//! What all connections of a node share.

use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use tokio::sync::Semaphore;

use super::crowd::Limits;
use super::link::News;
use super::outbox::Outbox;
use super::routes::Routes;
use super::serving::{Leave, Serves};
use super::tally::Tally;
use super::traffic::Counters;
use super::transport::Transport;
use super::{Refusal, Severed};
use crate::protocol::peer::Peer;
use crate::protocol::rpc::Response;
use crate::wire::{Frame, Ids, Reply};

/// What all connections of a node share.
pub struct Shared {
    pub me: Peer,
    /// The length of the successor lists that are served.
    pub r: usize,
    /// This run of the program.
    pub incarnation: u64,
    /// How long a connection may stay silent when asked.
    pub rpc_timeout: Duration,
    /// Connections that others may have open.
    pub limits: Limits,
    /// What connections are made of.
    pub transport: Transport,
    /// Which nodes are believed to exist.
    pub ids: Ids,
    pub serves: Box<dyn Serves>,
    pub severed: Recipient<Severed>,
    /// Where connections are kept.
    pub routes: Routes,
    pub news: Recipient<News>,
    /// One permit per question that is being answered on any of them.
    pub serving: Arc<Semaphore>,
    pub tally: Tally,
    pub counters: Arc<Counters>,
}

/// The way back to whoever asked.
pub(super) struct Back {
    pub outbox: Outbox,
    /// The number of the call.
    pub call_id: Option<u64>,
    /// What is to be said of the front of the node that answers.
    pub front: Option<u16>,
    pub leave: Leave,
}

impl Shared {
    /// Answers a question of the other end of a connection.
    pub(super) fn answer(&self, back: Back, answer: Result<Response, Refusal>) {
        let reply = match answer {
            Ok(response) => Reply::to(&response, self.me, self.r),
            Err(refusal) => Reply::refuse(refusal.code, refusal.why),
        };
        self.reply(back, reply);
    }

    /// The same, with whatever is to be said.
    pub(super) fn reply(&self, Back { outbox, call_id, front, leave }: Back, mut reply: Reply) {
        self.counters.answered.add(1);
        reply.call_id = call_id;
        reply.responder = call_id.map(|_| (self.me.id, self.incarnation));
        reply.front = call_id.and(front);
        if let Err(error) = outbox.put(Frame::Return(reply), Some(leave.here)) {
            // Its caller will wonder, and ask again.
            tracing::error!(%error, "an answer that does not fit into a frame");
        }
    }
}
