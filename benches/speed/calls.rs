//! Calls: a raw client asks one node for its own identifier, compared with the floor of the same run.

use std::io::{self, BufRead, BufReader, Read, Write, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chord::net::pool::ConnectionPool;
use chord::{Config, Node, Peer};
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::floor::{FRAME, echo};
use super::line::{self, Line};
use super::{Median, RUNS};

/// How long each measurement takes.
const TIME: Duration = Duration::from_millis(700);

/// The callee.
#[derive(Clone, Copy)]
enum Callee {
    Floor,
    Node,
}

impl Callee {
    const BOTH: [Callee; 2] = [Callee::Floor, Callee::Node];

    fn name(self) -> &'static str {
        match self {
            Callee::Floor => "floor",
            Callee::Node => "node",
        }
    }

    /// Starts it on this thread. Returns its address, and the nodes that have to be kept.
    async fn start(self) -> io::Result<(Served, Option<(Node, Node)>)> {
        match self {
            Callee::Floor => {
                let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let addr = socket.local_addr()?;
                actix_rt::spawn(async move { drop(echo(socket).await) });
                Ok((Served { addr, owner: None }, None))
            }
            Callee::Node => {
                let first = Node::start_sharing(Config::new(Ipv4Addr::LOCALHOST), ConnectionPool::default())
                    .await
                    .map_err(io::Error::other)?;
                let seeds = vec![first.me().addr.into()];
                let config = Config { seeds, ..Config::new(Ipv4Addr::LOCALHOST) };
                let second = Node::start_sharing(config, ConnectionPool::default()).await.map_err(io::Error::other)?;
                let me = first.me();
                Ok((Served { addr: me.addr.into(), owner: Some(me) }, Some((first, second))))
            }
        }
    }
}

/// A callee that can be called.
#[derive(Clone, Copy)]
struct Served {
    addr: SocketAddr,
    /// The node that is asked for its own identifier; `None` for the floor.
    owner: Option<Peer>,
}

impl Served {
    /// The bytes of a call; a plain call ends its connection.
    fn call(self, plain: bool) -> Vec<u8> {
        self.owner.map_or(vec![0; FRAME], |me| line::call(me, plain))
    }

    /// The length of the replies to such calls.
    async fn reply(self, plain: bool) -> io::Result<usize> {
        match self.owner {
            Some(_) => line::reply(self.addr, &self.call(plain)).await,
            None => Ok(FRAME),
        }
    }

    async fn line(self) -> io::Result<Line> {
        Line::to(self.addr, &self.call(false), self.reply(false).await?).await
    }
}

/// How calls are made.
#[derive(Clone, Copy)]
enum Load {
    /// One after the other.
    One,
    /// This many in flight on one connection.
    Pipelined(usize),
    /// One in flight on each of this many connections.
    Connections(usize),
    /// A new connection for each.
    OnePerConnection,
}

impl Load {
    /// Calls per second.
    async fn rate(self, served: Served) -> io::Result<f64> {
        let begin = Instant::now();
        let on = move || begin.elapsed() < TIME;
        let mut calls = 0;
        match self {
            Load::One => {
                let mut line = served.line().await?;
                while on() {
                    line.call(1).await?;
                    calls += 1;
                }
            }
            Load::Pipelined(n) => {
                let Line { mut stream, call, reply, .. } = served.line().await?;
                let mut buffer = vec![0; 64 * 1024];
                let (mut left, mut answered) = (0, n);
                while on() {
                    // One more call for each answer that has arrived.
                    stream.write_all(&call.repeat(answered)).await?;
                    let count = stream.read(&mut buffer).await?;
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    left += count;
                    (answered, left) = (left / reply, left % reply);
                    calls += answered;
                }
            }
            Load::Connections(n) => {
                let lines = try_join_all((0..n).map(|_| served.line())).await?;
                let each = lines.into_iter().map(|mut line| async move {
                    let mut calls = 0;
                    while on() {
                        line.call(1).await?;
                        calls += 1;
                    }
                    io::Result::Ok(calls)
                });
                let tasks = each.map(actix_rt::spawn);
                calls = try_join_all(tasks).await?.into_iter().sum::<io::Result<usize>>()?;
            }
            Load::OnePerConnection => {
                let (call, reply) = (served.call(true), served.reply(true).await?);
                while on() {
                    Line::to(served.addr, &call, reply).await?.call(1).await?;
                    calls += 1;
                }
            }
        }
        Ok(calls as f64 / begin.elapsed().as_secs_f64())
    }
}

/// Another process that is called; it ends with its standard input.
struct Other {
    child: Child,
    served: Served,
}

impl Other {
    fn start(callee: Callee) -> io::Result<Other> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(["serve", callee.name()]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let printed = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        BufReader::new(printed).read_line(&mut line)?;
        let addr = line.trim().parse().map_err(io::Error::other)?;
        let owner = matches!(callee, Callee::Node).then(|| Peer::at(addr, chord::protocol::id::Bits::FULL));
        Ok(Other { child, served: Served { addr: addr.into(), owner } })
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // An error means that it has ended already.
        let _ = self.child.wait();
    }
}

/// The main function of the other process: answers until its input ends.
pub fn serve(name: &str) -> io::Result<()> {
    let callee = Callee::BOTH.into_iter().find(|callee| callee.name() == name).ok_or(io::ErrorKind::InvalidInput)?;
    actix_rt::System::new().block_on(async {
        let (served, running) = callee.start().await?;
        println!("{}", served.addr);
        stdout().flush()?;
        let end = tokio::task::spawn_blocking(|| stdin().read_to_end(&mut Vec::new()));
        end.await.map_err(io::Error::other)??;
        drop(running);
        Ok(())
    })
}

/// Round trips per second of bare tasks over this many connections to another process.
pub fn floor(connections: usize) -> io::Result<f64> {
    let other = Other::start(Callee::Floor)?;
    actix_rt::System::new().block_on(Load::Connections(connections).rate(other.served))
}

/// Measures all kinds of calls and prints a line for each.
pub fn measure() -> io::Result<()> {
    println!("{:<44}{:>20}{:>20}{:>8}{:>8}", "calls", "floor /s", "node /s", "ratio", "must");
    let kinds = [
        ("one in flight, two processes", Load::One, true, 0.9),
        ("one in flight, one thread", Load::One, false, 0.6),
        ("64 in flight on one connection", Load::Pipelined(64), true, 0.3),
        ("32 connections", Load::Connections(32), true, 0.5),
        ("a connection for each (plain peers)", Load::OnePerConnection, true, 0.7),
    ];
    for (name, load, elsewhere, must) in kinds {
        let mut rates: [Median; 2] = Default::default();
        let mut ratios = Median::default();
        for _ in 0..RUNS {
            let mut both = [0.0; 2];
            for (rate, callee) in both.iter_mut().zip(Callee::BOTH) {
                *rate = actix_rt::System::new().block_on(async {
                    if elsewhere {
                        let other = Other::start(callee)?;
                        load.rate(other.served).await
                    } else {
                        let (served, _running) = callee.start().await?;
                        load.rate(served).await
                    }
                })?;
            }
            rates.iter_mut().zip(both).for_each(|(rates, rate)| rates.add(rate));
            ratios.add(both[1] / both[0]);
        }
        let [floor, node] = rates;
        println!("{name:<44}{:>20}{:>20}{:>8.2}{must:>8}", floor.spread(), node.spread(), ratios.middle());
    }
    Ok(())
}
