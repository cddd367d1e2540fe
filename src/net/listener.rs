//! Accepts connections and hands them to the peers actor.

use std::io;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, MessageResult, Recipient, WrapFuture};

use crate::actors::messages::Stop;
use crate::net::frames::Stream;
use crate::net::transport::Socket;
use crate::protocol::addr::Addr;

/// A new connection, or an error of `accept`.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct Accepted(pub io::Result<(Stream, Addr)>);

/// The listening socket.
pub struct Listener {
    socket: Option<Socket>,
    peers: Recipient<Accepted>,
}

/// The pause after an error of `accept`: most likely there are no free files, which takes a while to pass.
const PAUSE: Duration = Duration::from_millis(100);

impl Listener {
    pub fn new(socket: Socket, peers: Recipient<Accepted>) -> Listener {
        Listener { socket: Some(socket), peers }
    }
}

impl Actor for Listener {
    type Context = Context<Listener>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(socket) = self.socket.take() {
            let accepting = accept(socket, self.peers.clone());
            ctx.spawn(accepting.into_actor(self).map(|(), _, _| ()));
        }
    }
}

/// Accepts one connection after the other. It waits until each is taken in, so that a flood of connections stays in the
/// kernel's queue.
async fn accept(mut socket: Socket, peers: Recipient<Accepted>) {
    loop {
        let accepted = socket.accept().await;
        let failed = accepted.is_err();
        if peers.send(Accepted(accepted)).await.is_err() {
            return;
        }
        if failed {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Handler<Stop> for Listener {
    type Result = MessageResult<Stop>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        actix::ActorContext::stop(ctx);
        MessageResult(())
    }
}
