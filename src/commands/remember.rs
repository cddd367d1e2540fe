//! Members of the ring, remembered from one run to the next.

use std::collections::BTreeSet;
use std::fs::{self, File, create_dir_all};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chord::node::State;
use chord::{Addr, Seed};
use tokio::task::spawn_blocking;

/// The file in the directory: an address per line.
const FILE: &str = "peers";

/// At most this many are kept; those next to this node first, then its fingers.
const MAX_PEERS: usize = 64;

/// The longest file that is read, in bytes: more than these peers take.
const MAX_FILE: u64 = 64 * 1024;

/// The file.
pub struct Memory {
    path: PathBuf,
    /// What it has.
    kept: Vec<Addr>,
}

impl Memory {
    /// The memory in this directory, which is made if there is none. Lines that are no address are ignored: the file is
    /// a hint.
    pub fn open(directory: &Path) -> Result<Memory> {
        create_dir_all(directory).with_context(|| format!("can't make {}", directory.display()))?;
        let path = directory.join(FILE);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text)) {
            Err(why) if why.kind() != ErrorKind::NotFound && why.kind() != ErrorKind::InvalidData => {
                return Err(why).with_context(|| format!("can't read {}", path.display()));
            }
            _ => {}
        }
        let addrs = text.lines().filter_map(|line| line.trim().parse::<Addr>().ok());
        let kept = addrs.filter(|addr| addr.check().is_ok()).take(MAX_PEERS).collect();
        Ok(Memory { path, kept })
    }

    /// The members that were known last, but those at these addresses.
    pub fn seeds(&self, but: &[Seed]) -> Vec<Seed> {
        self.kept.iter().map(|addr| Seed::from(*addr)).filter(|seed| !but.contains(seed)).collect()
    }

    /// Keeps the members that this node knows, unless it knows none but those of its own process, whose addresses `own`
    /// tells: then it remembers the old ones. The file is replaced as a whole, on a thread that may wait for the disk:
    /// those of the nodes may not.
    pub async fn keep(&mut self, state: &State, own: impl Fn(Addr) -> bool) -> io::Result<()> {
        let near = state.successors.iter().chain(&state.predecessor).chain(&state.fingers);
        let mut known = BTreeSet::new();
        let others = near.map(|peer| peer.addr).filter(|addr| !own(*addr) && known.insert(*addr));
        let peers: Vec<Addr> = others.take(MAX_PEERS).collect();
        if peers.is_empty() || peers == self.kept {
            return Ok(());
        }
        let text: String = peers.iter().map(|addr| format!("{addr}\n")).collect();
        let path = self.path.clone();
        spawn_blocking(move || replace(&path, &text)).await??;
        self.kept = peers;
        Ok(())
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    // A machine that loses power would have neither the old nor the new one.
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use chord::Peer;
    use chord::protocol::id::Bits;

    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let path = std::env::temp_dir().join(format!("chord-remember-{}-{name}", std::process::id()));
            Directory(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn peer(port: u16) -> Peer {
        Peer::at(format!("127.0.0.1:{port}").parse().unwrap(), Bits::FULL)
    }

    fn state(successors: &[u16], predecessor: Option<u16>, fingers: &[u16]) -> State {
        let peers = |ports: &[u16]| ports.iter().copied().map(peer).collect();
        State {
            me: peer(1),
            r: 4,
            successors: peers(successors),
            predecessor: predecessor.map(peer),
            fingers: peers(fingers),
        }
    }

    fn ports(memory: &Memory) -> Vec<u16> {
        memory.seeds(&[]).iter().map(|seed| seed.port).collect()
    }

    #[tokio::test]
    async fn members_are_there_after_a_restart_but_not_the_node_itself() {
        let directory = Directory::new("restart");
        let mut memory = Memory::open(&directory.0).unwrap();
        assert_eq!(ports(&memory), [0; 0]);
        let own = |addr: Addr| addr == peer(1).addr;
        memory.keep(&state(&[3, 2], Some(9), &[3, 1, 7, 7]), own).await.unwrap();
        let again = Memory::open(&directory.0).unwrap();
        assert_eq!(ports(&again), [3, 2, 9, 7]);
        assert_eq!(again.seeds(&[peer(3).addr.into()]).len(), 3);
    }

    #[tokio::test]
    async fn node_that_is_alone_does_not_forget_the_others() {
        let directory = Directory::new("alone");
        let mut memory = Memory::open(&directory.0).unwrap();
        let own = |addr: Addr| addr == peer(1).addr;
        memory.keep(&state(&[2], None, &[1]), own).await.unwrap();
        memory.keep(&state(&[], None, &[1, 1]), own).await.unwrap();
        assert_eq!(ports(&Memory::open(&directory.0).unwrap()), [2]);
    }

    #[test]
    fn file_that_somebody_else_wrote_is_a_hint() {
        let directory = Directory::new("hint");
        create_dir_all(&directory.0).unwrap();
        fs::write(directory.0.join(FILE), b"127.0.0.1:2\n0.0.0.0:3\nnobody\n\n127.0.0.1:0\n [::1]:4 \n").unwrap();
        assert_eq!(ports(&Memory::open(&directory.0).unwrap()), [2, 4]);
        fs::write(directory.0.join(FILE), b"\xff\xfe").unwrap();
        assert_eq!(ports(&Memory::open(&directory.0).unwrap()), [0; 0]);
        fs::remove_file(directory.0.join(FILE)).unwrap();
        fs::create_dir(directory.0.join(FILE)).unwrap();
        assert!(Memory::open(&directory.0).is_err(), "it could not be replaced");
    }
}
