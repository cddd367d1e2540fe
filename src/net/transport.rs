//! What connections run over: TCP, or memory between nodes of one process.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::option;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use crate::net::frames::Stream;
use crate::protocol::addr::Addr;

/// What connections run over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    #[default]
    Tcp,
    /// Only nodes with the same switchboard reach each other; they can't be reached from outside.
    Memory(Switchboard),
}

/// Connects the nodes of one process without the network. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Switchboard(Arc<Mutex<HashMap<Addr, mpsc::Sender<Incoming>>>>);

/// A connection, and the address of its maker.
type Incoming = (DuplexStream, Addr);

/// A listening socket.
pub enum Socket {
    Tcp(TcpListener),
    Memory(Place),
}

/// An address on a switchboard, taken until this is dropped.
pub struct Place {
    addr: Addr,
    switchboard: Switchboard,
    incoming: mpsc::Receiver<Incoming>,
}

/// At most this many bytes are on their way in each direction of a connection, as in a socket's buffers.
const ON_THE_WAY: usize = 64 * 1024;

/// At most this many connections wait to be accepted; `connect` waits while the queue is full.
const BACKLOG: usize = 128;

/// The first port given to a listener that asks for any port, as in the kernel.
const FIRST_FREE: u16 = 32_768;

/// Lets the standard library's sockets take an `Addr` like its own addresses.
impl ToSocketAddrs for Addr {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(Some(self.socket()).into_iter())
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "tcp",
            Transport::Memory(_) => "memory",
        })
    }
}

impl Transport {
    /// Listens at that address; port 0 takes any free port.
    pub async fn listen(&self, addr: Addr) -> io::Result<Socket> {
        match self {
            Transport::Tcp => bind(addr.into()).map(Socket::Tcp),
            Transport::Memory(switchboard) => switchboard.take(addr).map(Socket::Memory),
        }
    }

    /// Connects to `to`; `from` is the caller's listening address.
    pub async fn connect(&self, from: Addr, to: Addr) -> io::Result<Stream> {
        match self {
            Transport::Tcp => {
                let stream = TcpStream::connect(to.socket()).await.map_err(|error| of_target(error, to))?;
                others_only(stream).map(Stream::from)
            }
            Transport::Memory(switchboard) => switchboard.connect(from, to).await.map(Stream::new),
        }
    }
}

/// The length of the kernel's queue of connections that are not accepted yet.
const WAITING: u32 = 1024;

/// Listens at an address. The unspecified IPv6 address also listens on all of IPv4, whatever the system's default is.
fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    // The kernel may still remember connections of an earlier program on this port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    #[cfg(unix)]
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.bind(addr)?;
    socket.listen(WAITING)
}

/// The kernel reports "address not available" in two cases. Either this machine has no free local port, which is a
/// shortage here; or no local address can reach the target, as for every IPv6 address where IPv6 is off. The second
/// case means that no node can be reached there.
fn of_target(error: io::Error, to: Addr) -> io::Error {
    if error.kind() == ErrorKind::AddrNotAvailable && !can_call_from(to) {
        ErrorKind::NetworkUnreachable.into()
    } else {
        error
    }
}

/// Whether this machine has an address from which it can call `to`. Nothing is sent.
fn can_call_from(to: Addr) -> bool {
    let any: IpAddr = if to.ip().is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Any other error does not concern the address.
    let called = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(to));
    called.err().is_none_or(|error| error.kind() != ErrorKind::AddrNotAvailable)
}

/// Refuses a connection to itself. The kernel can make one when no program listens at `to`, `to` is a port of the
/// ephemeral range, and the kernel picks that very port for this end. Such a connection would hold the port, so that
/// the node that belongs there could not start.
fn others_only(stream: TcpStream) -> io::Result<TcpStream> {
    if stream.local_addr()? != stream.peer_addr()? {
        return Ok(stream);
    }
    // Closes at once, so that the kernel does not remember the connection for a minute. An error means that it is
    // closed.
    let _ = stream.set_zero_linger();
    Err(ErrorKind::ConnectionRefused.into())
}

impl Socket {
    /// The listening port.
    pub fn port(&self) -> io::Result<u16> {
        match self {
            Socket::Tcp(socket) => Ok(socket.local_addr()?.port()),
            Socket::Memory(place) => Ok(place.addr.port()),
        }
    }

    /// The next connection and the address it comes from.
    pub async fn accept(&mut self) -> io::Result<(Stream, Addr)> {
        match self {
            Socket::Tcp(socket) => socket.accept().await.map(|(stream, from)| (stream.into(), from.into())),
            Socket::Memory(place) => {
                let (stream, from) = place.incoming.recv().await.ok_or(ErrorKind::BrokenPipe)?;
                Ok((Stream::new(stream), from))
            }
        }
    }
}

impl Switchboard {
    fn places(&self) -> MutexGuard<'_, HashMap<Addr, mpsc::Sender<Incoming>>> {
        // A panic can't leave the table half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, addr: Addr) -> io::Result<Place> {
        let mut places = self.places();
        let addr = if addr.port() == 0 {
            let mut any = (FIRST_FREE..=u16::MAX).map(|port| addr.with_port(port));
            any.find(|addr| !places.contains_key(addr)).ok_or(ErrorKind::AddrInUse)?
        } else {
            addr
        };
        if places.contains_key(&addr) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let (sender, incoming) = mpsc::channel(BACKLOG);
        places.insert(addr, sender);
        drop(places);
        Ok(Place { addr, switchboard: self.clone(), incoming })
    }

    async fn connect(&self, from: Addr, to: Addr) -> io::Result<DuplexStream> {
        let place = self.places().get(&to).cloned().ok_or(ErrorKind::ConnectionRefused)?;
        let (ours, theirs) = duplex(ON_THE_WAY);
        place.send((theirs, from)).await.map_err(|_| ErrorKind::ConnectionRefused)?;
        Ok(ours)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.switchboard.places().remove(&self.addr);
    }
}

/// Equal means the same switchboard, not two with the same nodes.
impl PartialEq for Switchboard {
    fn eq(&self, other: &Switchboard) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Switchboard {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Addr {
        Addr::new(Ipv4Addr::LOCALHOST, port)
    }

    #[actix_rt::test]
    async fn who_has_left_is_not_reached_and_leaves_a_free_place() {
        let transport = Transport::Memory(Switchboard::default());
        let socket = transport.listen(at(7)).await.unwrap();
        assert_eq!(transport.listen(at(7)).await.err().unwrap().kind(), ErrorKind::AddrInUse);
        assert!(transport.connect(at(8), at(7)).await.is_ok());
        drop(socket);
        assert_eq!(transport.connect(at(8), at(7)).await.err().unwrap().kind(), ErrorKind::ConnectionRefused);
        assert!(transport.listen(at(7)).await.is_ok());
    }

    #[actix_rt::test]
    async fn whoever_wants_any_place_gets_one_that_is_free() {
        let transport = Transport::Memory(Switchboard::default());
        let (one, other) = (transport.listen(at(0)).await.unwrap(), transport.listen(at(0)).await.unwrap());
        assert_eq!((one.port().unwrap(), other.port().unwrap()), (FIRST_FREE, FIRST_FREE + 1));
    }

    #[actix_rt::test]
    async fn connection_tells_who_has_made_it() {
        let transport = Transport::Memory(Switchboard::default());
        let mut socket = transport.listen(at(7)).await.unwrap();
        let _stream = transport.connect(at(8), at(7)).await.unwrap();
        assert_eq!(socket.accept().await.unwrap().1, at(8));
    }

    /// Set for a child process in a network namespace of its own, which has no addresses yet.
    const APART: &str = "CHORD_TEST_APART";

    /// On a machine without IPv6, a node took an unreachable IPv6 peer for a shortage of local ports, and never gave
    /// the peer up.
    #[actix_rt::test]
    async fn address_that_can_not_be_called_from_here_is_no_want_of_ports() {
        if std::env::var_os(APART).is_some() {
            let connected = Transport::Tcp.connect(at(1), Addr::new(Ipv6Addr::LOCALHOST, 9)).await;
            assert_eq!(connected.err().map(|error| error.kind()), Some(ErrorKind::NetworkUnreachable));
            return;
        }
        let in_use = || io::Error::from(ErrorKind::AddrNotAvailable);
        assert_eq!(of_target(in_use(), at(9)).kind(), ErrorKind::AddrNotAvailable, "there is an address to call from");
        let this = "net::transport::tests::address_that_can_not_be_called_from_here_is_no_want_of_ports";
        let mut apart = std::process::Command::new("unshare");
        apart.args(["--user", "--map-root-user", "--net"]);
        if !apart.arg("true").output().is_ok_and(|output| output.status.success()) {
            return eprintln!(
                "transport: no network of one's own here: addresses that can't be called from are not tested"
            );
        }
        let mut apart = std::process::Command::new("unshare");
        apart.args(["--user", "--map-root-user", "--net"]).arg(std::env::current_exe().unwrap());
        let output = apart.args(["--exact", this]).env(APART, "").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    }

    #[actix_rt::test]
    async fn nobody_is_connected_to_himself() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let range: Vec<u16> = range.split_whitespace().map(|port| port.parse().unwrap()).collect();
        // The kernel gives connections ports of the same parity as the first of the range.
        let mut ports = (range[0]..=range[1]).rev().step_by(2).map(|port| port - (range[1] - range[0]) % 2);
        let to = at(ports.find(|port| std::net::TcpListener::bind(at(*port)).is_ok()).unwrap());
        for _ in 0..=2 * (range[1] - range[0]) {
            let connected = Transport::Tcp.connect(at(1), to).await;
            assert_eq!(connected.err().map(|error| error.kind()), Some(ErrorKind::ConnectionRefused), "{to}");
        }
    }
}
