//! What a node reports to those that ask from outside, and how that travels.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::config::R;
use super::state::State;
use crate::net::traffic::Traffic;
use crate::protocol::id::Bits;
use crate::protocol::peer::Peer;
use crate::wire::WireError;

/// The types that prost generates from `proto/report.proto`.
#[allow(missing_docs, unreachable_pub)]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/report.rs"));
}

/// The service that answers with the report; reserved for it.
pub const SERVICE: &str = "chord.report";

/// A report is told again for this long: however often it is asked for, it takes little time of the node.
pub const FRESH: Duration = Duration::from_millis(50);

/// The longest version that is read, in bytes.
const MAX_VERSION: usize = 64;

/// What a node knows, and what it has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it knows of its ring.
    pub state: State,
    /// The version of its program.
    pub version: String,
    /// Since when it runs; in whole milliseconds as it travels.
    pub uptime: Duration,
    /// A number that identifies this run of its program.
    pub run: u64,
    /// What it has done on the network.
    pub traffic: Traffic,
}

impl Report {
    /// The report as it travels.
    pub fn to_bytes(&self) -> Bytes {
        let Report { state, version, uptime, run, traffic } = self;
        let fingers = state.fingers.chunk_by(|one, next| one == next);
        let fingers = fingers.map(|equal| proto::FingerRun { node: equal[0].to_string(), count: equal.len() as u32 });
        let Traffic { asked, answered, written, read, lookups, dialed, open, dead, called, served } = *traffic;
        let message = proto::Report {
            me: state.me.to_string(),
            r: state.r as u32,
            successors: state.successors.iter().map(Peer::to_string).collect(),
            predecessor: state.predecessor.map(|peer| peer.to_string()),
            fingers: fingers.collect(),
            version: version.clone(),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            run: *run,
            traffic: proto::Traffic {
                asked: Some(asked),
                answered: Some(answered),
                written: Some(written),
                read: Some(read),
                lookups: Some(lookups),
                dialed: Some(dialed),
                open: Some(open),
                dead: Some(dead),
                called: Some(called),
                served: Some(served),
            },
        };
        message.encode_to_vec().into()
    }

    /// A received report.
    ///
    /// # Errors
    ///
    /// The bytes are none, or name a node that can't be called.
    pub fn from_bytes(bytes: Bytes) -> Result<Report, WireError> {
        let message = proto::Report::decode(bytes)?;
        let mut fingers = Vec::new();
        for run in &message.fingers {
            let count = usize::try_from(run.count).ok();
            let count = count.filter(|count| *count <= usize::from(Bits::FULL.count()) - fingers.len());
            fingers.extend(std::iter::repeat_n(peer(&run.node)?, count.ok_or(WireError::Length)?));
        }
        let r = usize::try_from(message.r).ok().filter(|r| R.contains(r)).ok_or(WireError::Length)?;
        if message.successors.len() > r || message.version.len() > MAX_VERSION {
            return Err(WireError::Length);
        }
        let traffic = message.traffic;
        Ok(Report {
            state: State {
                me: peer(&message.me)?,
                r,
                successors: message.successors.iter().map(|node| peer(node)).collect::<Result<_, _>>()?,
                predecessor: message.predecessor.as_deref().map(peer).transpose()?,
                fingers,
            },
            version: message.version,
            uptime: Duration::from_millis(message.uptime_ms),
            run: message.run,
            traffic: Traffic {
                asked: traffic.asked(),
                answered: traffic.answered(),
                written: traffic.written(),
                read: traffic.read(),
                lookups: traffic.lookups(),
                dialed: traffic.dialed(),
                open: traffic.open(),
                dead: traffic.dead(),
                called: traffic.called(),
                served: traffic.served(),
            },
        })
    }
}

/// A node that can be called.
fn peer(text: &str) -> Result<Peer, WireError> {
    let peer: Option<Peer> = text.parse().ok();
    let callable = peer.filter(|peer| peer.addr.check().is_ok());
    callable.ok_or_else(|| WireError::Address(text.chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::addr::Addr;

    fn back(report: &Report) -> Result<Report, WireError> {
        Report::from_bytes(report.to_bytes())
    }

    fn peer(n: u16) -> Peer {
        Peer::at(Addr::new([10, 0, 0, 7], n), Bits::FULL)
    }

    fn report() -> Report {
        let fingers = std::iter::repeat_n(peer(2), 150).chain(std::iter::repeat_n(peer(3), 10)).collect();
        Report {
            state: State { me: peer(1), r: 4, successors: vec![peer(2), peer(3)], predecessor: Some(peer(3)), fingers },
            version: "1.2.3".into(),
            uptime: Duration::from_millis(1234),
            run: u64::MAX,
            traffic: Traffic {
                asked: 1,
                answered: 2,
                written: 3,
                read: 9,
                lookups: 10,
                dialed: 4,
                open: 5,
                dead: 6,
                called: 7,
                served: 8,
            },
        }
    }

    #[test]
    fn report_comes_as_it_was_sent() {
        assert_eq!(back(&report()).unwrap(), report());
        let alone = State { successors: vec![], predecessor: None, ..report().state };
        let alone = Report { state: alone, ..report() };
        assert_eq!(back(&alone).unwrap(), alone);
    }

    #[test]
    fn report_beyond_the_limits_is_refused() {
        for (count, r, version) in [(u32::MAX, 4, "1"), (161, 4, "1"), (160, 33, "1"), (160, 0, "1"), (160, 4, "long")]
        {
            let mut message = proto::Report::decode(report().to_bytes()).unwrap();
            message.fingers = vec![proto::FingerRun { node: peer(2).to_string(), count }];
            message.r = r;
            message.version = if version == "long" { "x".repeat(MAX_VERSION + 1) } else { version.into() };
            assert!(
                matches!(Report::from_bytes(message.encode_to_vec().into()), Err(WireError::Length)),
                "{count} {r} {version}"
            );
        }
        assert!(Report::from_bytes(Bytes::from_static(b"\xff\xff")).is_err());
        for node in
            ["", "@", "7@127.0.0.1:1", &format!("{}@0.0.0.0:4170", peer(1).id), &format!("{}@127.0.0.1", peer(1).id)]
        {
            let mut message = proto::Report::decode(report().to_bytes()).unwrap();
            message.predecessor = Some(node.into());
            let read = Report::from_bytes(message.encode_to_vec().into());
            assert!(matches!(read, Err(WireError::Address(_))), "{node}");
        }
    }
}
