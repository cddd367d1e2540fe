//! Where the news come from: walks, checks, and lookups of the watch itself, all from outside the ring.

use std::sync::Arc;
use std::time::Duration;

use chord::client::check::check;
use chord::client::walk::{Reports, Walk, walk};
use chord::client::{AskError, Client};
use chord::protocol::rpc::Request;
use chord::{Addr, Id, Peer};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use rand::RngExt;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::model::News;
use crate::commands::ask::bench::reason;

/// Walks take this long at least for each member: a walk costs each member two connections and three calls, and with
/// this a big ring no more than about a hundred visits a second in all.
const EACH: Duration = Duration::from_millis(10);

/// A check is a walk, or two, and some lookups.
const CHECKS: Duration = Duration::from_secs(2);

/// Lookups of random keys, of random members: enough for percentiles of a minute, and nothing to a ring.
pub const PROBES_A_SECOND: u32 = 4;

/// At most this many lookups wait for their answers.
const PROBES_AT_ONCE: usize = 64;

/// News that wait to be taken in; beyond, their sources wait.
const QUEUE: usize = 64;

/// Connections for lookups are kept in rings of up to this many members: each takes an open file.
const KEPT: usize = 64;

/// How long the nodes that were named to be asked may take, before the ring is looked for through others.
const ASKED: Duration = Duration::from_secs(1);

/// When no node that was named answers, this many members are asked at the same time.
const OTHERS: usize = 64;

/// What the sources know of the ring together.
#[derive(Clone, Debug)]
struct Known {
    members: Arc<Vec<Peer>>,
    /// Nodes that members name, and that did not answer.
    silent: Arc<Vec<Peer>>,
    /// Where walks and checks begin; empty if nobody answers.
    from: Vec<Addr>,
}

impl Known {
    fn from_walk(walk: &Walk, from: Vec<Addr>) -> Known {
        let members = Arc::new(walk.nodes.iter().map(|node| node.peer).collect());
        let silent = Arc::new(walk.unreached.iter().map(|unreached| unreached.peer).collect());
        Known { members, silent, from }
    }
}

/// What is watched, and how.
pub struct Setting {
    /// The nodes to ask, of which there is one.
    pub asked: Vec<Addr>,
    /// How long to wait for each answer.
    pub patience: Duration,
    pub every: Duration,
    pub began: Instant,
}

/// The sources of news, which end with this.
pub struct Sources {
    news: mpsc::Receiver<News>,
    check: Arc<Notify>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Sources {
    /// Of a ring that was just walked, from the first of the asked nodes.
    pub fn start(client: Client, setting: Setting, walk: &Walk) -> Sources {
        let (tell, news) = mpsc::channel(QUEUE);
        let check = Arc::new(Notify::new());
        let (known, knows) = watch::channel(Known::from_walk(walk, vec![setting.asked[0]]));
        let probes = probe(Client::new(setting.patience), knows.clone(), tell.clone());
        let walks = Walks { client: client.clone(), setting, known, tell: tell.clone() };
        let tasks = vec![
            tokio::spawn(walks.run()),
            tokio::spawn(checks(client, knows, check.clone(), tell)),
            tokio::spawn(probes),
        ];
        Sources { news, check, tasks }
    }

    /// The next news.
    pub async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // The tasks run until this is dropped.
            None => std::future::pending().await,
        }
    }

    /// Has the ring checked as soon as no check is under way.
    pub fn check(&self) {
        self.check.notify_one();
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// The time from the beginning of a walk to that of the next, in a ring of this many members.
fn pace(every: Duration, members: usize) -> Duration {
    every.max(EACH * u32::try_from(members).unwrap_or(u32::MAX))
}

struct Walks {
    client: Client,
    setting: Setting,
    known: watch::Sender<Known>,
    tell: mpsc::Sender<News>,
}

impl Walks {
    async fn run(self) {
        let mut begin = self.setting.began;
        loop {
            let members = self.known.borrow().members.len();
            sleep_until(begin + pace(self.setting.every, members)).await;
            begin = Instant::now();
            let news = match self.walk().await {
                Ok((through, walk)) => News::Walked { began: begin - self.setting.began, through, walk },
                Err(why) => {
                    self.known.send_modify(|known| known.from.clear());
                    News::Lost(why.to_string())
                }
            };
            // An error means that nobody listens, and that this ends soon.
            let _ = self.tell.send(news).await;
        }
    }

    /// Through the nodes that were named to be asked, or else through a member.
    async fn walk(&self) -> Result<(Addr, Walk), AskError> {
        let mut from = self.answering(&self.setting.asked).await;
        let walked = match from[..] {
            [] => None,
            _ => walk(&self.client, &from, Reports::All, |_, _| {}).await.ok(),
        };
        let walked = match walked {
            Some(walked) => walked,
            None => {
                from = vec![self.other().await?];
                walk(&self.client, &from, Reports::All, |_, _| {}).await?
            }
        };
        let through = from[0];
        self.known.send_replace(Known::from_walk(&walked, from));
        Ok((through, walked))
    }

    /// Those of the nodes that answer soon, in their order.
    async fn answering(&self, addrs: &[Addr]) -> Vec<Addr> {
        let asked = addrs.iter().map(|addr| async {
            let answer = timeout(ASKED, self.client.ask(*addr, None, Request::CheckPredecessor)).await;
            answer.is_ok_and(|answer| answer.is_ok()).then_some(*addr)
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Where the last walk began, or the first member that answers, of some, be it one that was silent then; or what
    /// happened with a node that was named.
    async fn other(&self) -> Result<Addr, AskError> {
        let Known { members, silent, from } = self.known.borrow().clone();
        let others: Vec<_> = from.into_iter().filter(|addr| !self.setting.asked.contains(addr)).collect();
        if let Some(addr) = self.answering(&others).await.first() {
            return Ok(*addr);
        }
        let first = rand::rng().random_range(0..members.len().max(1));
        let some = members.iter().cycle().skip(first).take(members.len());
        let mut asked: FuturesUnordered<_> = some
            .chain(&*silent)
            .take(OTHERS)
            .map(|peer| async { self.client.ask(peer.addr, None, Request::CheckPredecessor).await.map(|_| peer.addr) })
            .collect();
        while let Some(answer) = asked.next().await {
            if let Ok(addr) = answer {
                return Ok(addr);
            }
        }
        self.client.ask(self.setting.asked[0], None, Request::CheckPredecessor).await.map(|_| self.setting.asked[0])
    }
}

/// Checks the ring, one check after the other.
async fn checks(client: Client, known: watch::Receiver<Known>, now: Arc<Notify>, tell: mpsc::Sender<News>) {
    loop {
        let Known { from, members, .. } = known.borrow().clone();
        if !from.is_empty() {
            let _ = tell.send(News::Checking).await;
            let checked = check(&client, &from, false, |_, _| {}).await.ok();
            let _ = tell.send(News::Checked(checked)).await;
        }
        let rest = pace(CHECKS, members.len() * 2);
        tokio::select! { () = sleep(rest) => {}, () = now.notified() => {} }
    }
}

/// Looks up random keys, all the time.
async fn probe(client: Client, known: watch::Receiver<Known>, tell: mpsc::Sender<News>) {
    let mut due = interval(Duration::from_secs(1) / PROBES_A_SECOND);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(result) = under_way.next() => { _ = tell.send(News::Probed(result)).await; }
            _ = due.tick(), if under_way.len() < PROBES_AT_ONCE => {
                let members = known.borrow().members.clone();
                if !members.is_empty() {
                    let member = members[rand::rng().random_range(0..members.len())];
                    under_way.push(look_up(&client, member, members.len() <= KEPT));
                }
            }
        }
    }
}

/// The time of a lookup, without connecting: a call before it does that. Plain peers need a connection for each call.
async fn look_up(client: &Client, member: Peer, keep: bool) -> Result<Duration, String> {
    let key = Id::from_bytes(rand::random());
    let found = async {
        client.ask(member.addr, Some(member.id), Request::CheckPredecessor).await?;
        let began = Instant::now();
        client.lookup(member.addr, key).await?;
        Ok(began.elapsed())
    };
    let found = found.await.map_err(|why| reason(&why));
    if !keep {
        client.forget(member);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_rings_are_walked_less_often() {
        let second = Duration::from_secs(1);
        assert_eq!(pace(second, 100), second);
        assert_eq!(pace(second, 1000), 10 * second);
    }
}
