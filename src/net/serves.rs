//! Answers the questions of other nodes: what connections want of the rest of a node.

use actix::Recipient;
use futures::future::LocalBoxFuture;

use crate::actors::messages::{CallRefusal, Serve, Severed};
use crate::protocol::rpc::{Code, Response};

/// Answers the questions of other nodes.
pub trait Serves {
    fn serve(&self, serve: Serve) -> Answered;

    /// The nodes at these addresses may have died. A message that says so is on its way; this call comes first, so that
    /// no question read from now on is answered as if they certainly lived.
    fn doubt(&self, severed: &Severed);

    /// The thread has slept. A message that says so is on its way, too.
    fn slept(&self);
}

/// The result of asking [`Serves`].
pub enum Answered {
    /// The answer.
    Now(Result<Response, CallRefusal>),
    Later(LocalBoxFuture<'static, Result<Response, CallRefusal>>),
}

/// An actor that answers by message.
impl Serves for Recipient<Serve> {
    fn serve(&self, serve: Serve) -> Answered {
        let answer = self.send(serve);
        Answered::Later(Box::pin(async move {
            answer
                .await
                .unwrap_or_else(|_| Err(CallRefusal { code: Code::NotJoined, why: "the node is stopping".into() }))
        }))
    }

    /// The actor reads its messages in order, so the message suffices.
    fn doubt(&self, _: &Severed) {}

    fn slept(&self) {}
}
