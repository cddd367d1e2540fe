//! A thread on which nodes live.

use std::fs::File;
use std::io;
use std::thread;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

use crate::net::pool::ConnectionPool;

/// A thread on which nodes live and share their connections. When this is dropped, the thread ends with all that it
/// runs.
pub struct Worker {
    tasks: mpsc::Sender<Task>,
}

/// Makes its future on the thread where that runs, so the future need not be `Send`.
type Task = Box<dyn FnOnce(ConnectionPool) -> LocalBoxFuture<'static, ()> + Send>;

/// How many tasks may wait to begin: callers wait for theirs, so there are rarely more than a few.
const WAITING: usize = 16;

/// The thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a thread of nodes has ended")]
pub struct Ended;

impl Worker {
    /// Starts a thread of this name.
    ///
    /// # Errors
    ///
    /// No thread can be started, or there are too few files for it: retry when there are more.
    pub fn start(name: impl Into<String>) -> io::Result<Worker> {
        let (tasks, mut given) = mpsc::channel::<Task>(WAITING);
        let runtime = runtime()?;
        thread::Builder::new().name(name.into()).spawn(move || {
            let nodes = LocalSet::new();
            nodes.block_on(&runtime, async move {
                let pool = ConnectionPool::default();
                while let Some(task) = given.recv().await {
                    spawn_local(task(pool.clone()));
                }
            });
            // An actor that is dropped before its first run starts during the drop and sets timers, which needs this
            // context.
            let _context = runtime.enter();
            drop(nodes);
        })?;
        Ok(Worker { tasks })
    }

    /// Runs a future on this thread and returns its output. `make` gets the pool through which the nodes of the thread
    /// may share connections.
    pub(crate) async fn run<F>(
        &self,
        make: impl FnOnce(ConnectionPool) -> F + Send + 'static,
    ) -> Result<F::Output, Ended>
    where
        F: Future<Output: Send + 'static> + 'static,
    {
        let (tell, told) = oneshot::channel();
        let task = move |pool| {
            let work = make(pool);
            // An error means that the caller no longer waits.
            async move { drop(tell.send(work.await)) }.boxed_local()
        };
        self.tasks.send(Box::new(task)).await.map_err(|_| Ended)?;
        told.await.map_err(|_| Ended)
    }
}

/// A runtime opens at most this many files of its own: to wait for events and for signals.
const FILES_OF_A_RUNTIME: usize = 8;

/// A runtime for one thread. The first runtime of a process sets up signal handling, which panics if there are too few
/// files; so this checks first that files can be opened.
pub fn runtime() -> io::Result<Runtime> {
    let spare = (0..FILES_OF_A_RUNTIME).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<_>>>()?;
    drop(spare);
    Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[actix_rt::test]
    async fn what_never_leaves_the_thread_is_made_there() {
        let worker = Worker::start("nodes 7").unwrap();
        let name = worker.run(|_| {
            let name = Rc::new(thread::current().name().map(String::from));
            async move { (*name).clone() }
        });
        assert_eq!(name.await, Ok(Some("nodes 7".into())));
    }

    #[actix_rt::test]
    async fn what_it_runs_ends_with_it() {
        let worker = Worker::start("nodes").unwrap();
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
