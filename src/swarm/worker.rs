//! A thread on which nodes live.

use std::io;
use std::thread;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

use super::process::runtime;
use crate::actors::exchange::Exchange;

/// A thread that runs what it is given, all at once. It ends, with all that it runs, when this is dropped.
pub struct Worker {
    tasks: mpsc::Sender<Task>,
}

/// Made on the thread where it runs: what it makes need not be able to leave it.
type Task = Box<dyn FnOnce(Exchange) -> LocalBoxFuture<'static, ()> + Send>;

/// Whoever gives a task waits until it has begun: more than a few never wait.
const WAITING: usize = 16;

/// The thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a thread of nodes has ended")]
pub struct Ended;

impl Worker {
    /// Starts a thread; they are told apart by their numbers.
    pub fn start(number: u16) -> io::Result<Worker> {
        let (tasks, mut given) = mpsc::channel::<Task>(WAITING);
        let runtime = runtime()?;
        thread::Builder::new().name(format!("nodes {number}")).spawn(move || {
            let nodes = LocalSet::new();
            nodes.block_on(&runtime, async move {
                let exchange = Exchange::default();
                while let Some(task) = given.recv().await {
                    spawn_local(task(exchange.clone()));
                }
            });
            // Actors that are dropped before they have run do so then, and set timers.
            let _context = runtime.enter();
            drop(nodes);
        })?;
        Ok(Worker { tasks })
    }

    /// What comes of this there, where all nodes may share the connections of this exchange.
    pub async fn run<F>(&self, make: impl FnOnce(Exchange) -> F + Send + 'static) -> Result<F::Output, Ended>
    where
        F: Future<Output: Send + 'static> + 'static,
    {
        let (tell, told) = oneshot::channel();
        let task = move |exchange| {
            let work = make(exchange);
            // An error means that nobody waits any more.
            async move { drop(tell.send(work.await)) }.boxed_local()
        };
        self.tasks.send(Box::new(task)).await.map_err(|_| Ended)?;
        told.await.map_err(|_| Ended)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[actix_rt::test]
    async fn what_never_leaves_the_thread_is_made_there() {
        let worker = Worker::start(7).unwrap();
        let name = worker.run(|_| {
            let name = Rc::new(thread::current().name().map(String::from));
            async move { (*name).clone() }
        });
        assert_eq!(name.await, Ok(Some("nodes 7".into())));
    }

    #[actix_rt::test]
    async fn what_it_runs_ends_with_it() {
        let worker = Worker::start(0).unwrap();
        let (held, dropped) = oneshot::channel::<()>();
        let begun = worker.run(move |_| async move {
            spawn_local(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
        });
        assert_eq!(begun.await, Ok(()));
        drop(worker);
        assert!(dropped.await.is_err());
    }
}
