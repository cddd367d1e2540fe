//! The commands that question a running ring, against real processes and plain peers.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use chord::protocol::id::Bits;
use chord::{Addr, Id, Peer};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::alone;
use crate::support::ideal::{Ideal, await_ideal};
use crate::support::plain::{Manner, Plain, Setup};
use crate::support::process::{CHORD, Process, addresses, eventually, free_addrs, free_addrs_at};

const R: usize = 3;
const LIMIT: Duration = Duration::from_secs(20);

fn ring(n: usize) -> Vec<Process> {
    let addrs = free_addrs_at(addresses(n));
    let seeds = std::iter::once(None).chain(std::iter::repeat(Some(addrs[0])));
    let mut ring: Vec<_> = addrs.iter().zip(seeds).map(|(addr, seed)| Process::start(*addr, seed, R)).collect();
    await_ideal(&mut ring, R, LIMIT);
    ring
}

fn ask(line: &[&str], at: Addr) -> Output {
    ask_with(line, at, "")
}

fn ask_with(line: &[&str], at: Addr, input: &str) -> Output {
    let mut command = Command::new(CHORD);
    command.args(line).args(["--at", &at.to_string()]).env_remove("CHORD_AT");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    // It answers before it has read everything. An error means that it does not read its input.
    let writing = thread::spawn(move || _ = stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

fn text(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn lines(output: &Output, status: i32) -> Vec<Value> {
    text(output, status).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn data(output: &Output, status: i32) -> Value {
    serde_json::from_str(&text(output, status)).unwrap()
}

fn peer(value: &Value) -> Peer {
    let word = |name: &str| value[name].as_str().unwrap().to_owned();
    Peer { id: word("id").parse().unwrap(), addr: word("addr").parse().unwrap() }
}

#[test]
fn owners_are_looked_up_in_the_order_of_their_keys() {
    let _alone = alone();
    let ring = ring(5);
    let (at, ideal) = (ring[2].peer.addr, Ideal::of(&ring));
    let keys: Vec<String> = (0..1000).map(|i| format!("key {i}")).collect();
    let line = |key: &str, owner: Peer| format!("{} {} {key}", owner.id, owner.addr);

    let printed = text(&ask_with(&["lookup", "-"], at, &keys.join("\n")), 0);
    assert_eq!(
        printed.lines().collect::<Vec<_>>(),
        keys.iter().map(|key| line(key, ideal.owner(key))).collect::<Vec<_>>()
    );
    // More at once than fit into a pipe.
    let more: Vec<String> = (0..20_000).map(|i| format!("key {i}")).collect();
    let printed = text(&ask_with(&["lookup", "-", "--in-flight", "4096"], at, &more.join("\n")), 0);
    assert!(printed.lines().zip(&more).all(|(printed, key)| printed == line(key, ideal.owner(key))));
    assert_eq!(printed.lines().count(), more.len());
    let printed = text(&ask(&["lookup", "Hello", "key 7"], at), 0);
    assert_eq!(printed, format!("{}\n{}\n", line("Hello", ideal.owner("Hello")), line("key 7", ideal.owner("key 7"))));

    let id = Id::of_key(b"Hello", Bits::FULL).to_string();
    let printed = data(&ask(&["lookup", "--id", &id, "--json"], at), 0);
    assert_eq!((peer(&printed["owner"]), printed["id"].as_str()), (ideal.owner("Hello"), Some(&*id)));
    assert!(printed["millis"].as_f64().unwrap() > 0.0);

    // What is no identifier is told of, and the others are looked up.
    let printed = lines(&ask_with(&["lookup", "--id", "-", "--json"], at, &format!("{id}\nx\n{id}\n")), 1);
    assert_eq!(printed.len(), 3);
    assert!(printed[1]["error"].as_str().unwrap().contains("40 hexadecimal digits"), "{printed:?}");
    assert_eq!(peer(&printed[2]["owner"]), ideal.owner("Hello"));
}

#[test]
fn trace_names_each_node_and_why_it_was_asked() {
    let _alone = alone();
    let ring = ring(8);
    let ideal = Ideal::of(&ring);
    let mut hops = 0;
    for (i, process) in ring.iter().enumerate() {
        let key = format!("key {i}");
        let traced = data(&ask(&["trace", &key, "--json"], process.peer.addr), 0);
        assert_eq!(peer(&traced["owner"]), ideal.owner(&key));
        let steps = traced["steps"].as_array().unwrap();
        assert_eq!((peer(&steps[0]["node"]), &steps[0]["why"]["begin"]), (process.peer, &Value::Bool(true)));
        assert_eq!(traced["hops"].as_u64().unwrap() as usize, steps.len() - 1);
        for pair in steps.windows(2) {
            let [from, to] = [&pair[0], &pair[1]].map(|step| peer(&step["node"]));
            let why = &pair[1]["why"];
            if let Some(finger) = why["finger"].as_u64() {
                assert_eq!(ideal.successor(from.id.finger_start(finger as u8, Bits::FULL)), to);
            } else {
                let successor = why["successor"].as_u64().unwrap_or_else(|| panic!("{why}"));
                assert_eq!(ideal.clockwise(from.id).nth(successor as usize), Some(to));
            }
            assert!(pair[0]["left"].as_f64() > pair[1]["left"].as_f64(), "{steps:?}");
        }
        hops += steps.len() - 1;
    }
    assert!(hops > 0, "some of eight keys are farther away");
    let printed = text(&ask(&["trace", "Hello"], ring[0].peer.addr), 0);
    let owner = ideal.owner("Hello");
    assert!(printed.contains(&format!("owner {} {}", owner.id, owner.addr)), "{printed}");
}

#[test]
fn trace_tells_of_nodes_that_did_not_answer() {
    let _alone = alone();
    let ring = ring(6);
    let ideal = Ideal::of(&ring);
    // A node that another one will name, for some key, and that no longer answers then.
    let from = &ring[0];
    let stopped = ring[1..].iter().find(|process| ideal.clockwise(from.peer.id).nth(2) == Some(process.peer)).unwrap();
    let key = stopped.peer.id.next(Bits::FULL).to_string();
    stopped.signal(Signal::STOP);
    let traced = data(&ask(&["trace", "--id", &key, "--json", "--timeout", "3s"], from.peer.addr), 0);
    stopped.signal(Signal::CONT);
    let failed: Vec<_> =
        traced["steps"].as_array().unwrap().iter().flat_map(|step| step["failed"].as_array().unwrap()).collect();
    assert!(failed.iter().any(|failed| peer(&failed["node"]) == stopped.peer), "{traced}");
    assert!(failed[0]["error"].as_str().unwrap().contains("did not answer within 3s"), "{failed:?}");
}

#[test]
fn state_is_what_the_console_prints() {
    let _alone = alone();
    let mut ring = ring(4);
    let process = &mut ring[1];
    let (state, at) = (process.state(R), process.peer.addr);
    let told = data(&ask(&["state", "--json"], at), 0);
    let peers = |value: &Value| value.as_array().unwrap().iter().map(peer).collect::<Vec<_>>();
    assert_eq!((peer(&told["node"]), peers(&told["successors"])), (process.peer, state.successors));
    let mut fingers = Vec::new();
    for run in told["fingers"].as_array().unwrap() {
        assert_eq!(run["first"].as_u64(), Some(fingers.len() as u64 + 1));
        fingers.resize(run["last"].as_u64().unwrap() as usize, peer(&run["node"]));
    }
    assert_eq!(fingers, state.fingers);
    assert_eq!((told["r"].as_u64(), told["version"].as_str()), (Some(R as u64), Some(env!("CARGO_PKG_VERSION"))));
    assert!(told["traffic"]["asked"].as_u64() > Some(0) && told["uptime_seconds"].as_f64() > Some(0.0), "{told}");
    let printed = text(&ask(&["state"], at), 0);
    assert!(printed.contains("predecessor") && printed.contains("fingers 1 to "), "{printed}");
}

#[test]
fn ring_is_walked_as_a_whole() {
    let _alone = alone();
    let ring = ring(7);
    let (at, ideal) = (ring[3].peer.addr, Ideal::of(&ring));
    let told = lines(&ask(&["ring", "--json"], at), 0);
    assert_eq!(told.iter().map(peer).collect::<Vec<_>>(), ideal.peers().collect::<Vec<_>>());
    let shares: f64 = told.iter().map(|node| node["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    assert!(told.iter().all(|node| node["version"] == env!("CARGO_PKG_VERSION") && node["plain"] == false));

    let table = text(&ask(&["ring"], at), 0);
    assert!(table.lines().count() == 9 && table.contains("7 nodes in "), "{table}");
    let dot = text(&ask(&["ring", "--dot"], at), 0);
    assert!(ring.iter().all(|process| dot.contains(&format!("\"{}\" -> ", process.peer.addr))), "{dot}");
    let file = std::env::temp_dir().join(format!("chord-ring-{}.svg", std::process::id()));
    text(&ask(&["ring", "--draw", file.to_str().unwrap()], at), 0);
    let svg = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(ring.iter().all(|process| svg.contains(&process.peer.addr.to_string())), "{svg}");
    assert!(!svg.contains("not the next node"), "{svg}");

    let unwritten = ask(&["ring", "--draw", "/nowhere/ring.svg"], at);
    let why = String::from_utf8_lossy(&unwritten.stderr);
    assert_eq!((unwritten.status.code(), why.contains("can't write /nowhere/ring.svg")), (Some(1), true), "{why}");
}

/// Like `chord lookup - | head -1`, which blamed the node.
#[test]
fn command_whose_output_nobody_reads_ends_without_a_word() {
    let _alone = alone();
    let addr = free_addrs(1)[0];
    let mut process = Process::start(addr, None, R);
    assert_eq!(process.lookup("x"), Ok(process.peer), "it listens");
    let mut command = Command::new(CHORD);
    command.args(["lookup", "-", "--at", &addr.to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // An error means that it has ended.
    let _ = stdin.write_all(b"Hello\n");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn check_finds_a_silent_node_and_says_when_the_ring_has_healed() {
    let _alone = alone();
    let mut ring = ring(6);
    let at = ring[0].peer.addr;
    let healthy = data(&ask(&["check", "--thorough", "--json"], at), 0);
    assert_eq!((healthy["health"].as_str(), healthy["nodes"].as_u64()), (Some("healthy"), Some(6)), "{healthy}");
    assert_eq!((healthy["fingers"].as_u64(), healthy["lookups"].as_u64()), (Some(6 * 160), Some(6)));
    assert!(text(&ask(&["check"], at), 0).starts_with("healthy: 6 nodes visited in "));

    // Nobody notices within some milliseconds; the check does.
    let stopped = ring.pop().unwrap();
    stopped.signal(Signal::STOP);
    let ill = data(&ask(&["check", "--json", "--timeout", "200ms"], at), 1);
    let kinds: BTreeSet<_> =
        ill["findings"].as_array().unwrap().iter().map(|found| found["kind"].as_str().unwrap()).collect();
    assert!(ill["health"] == "degraded" && kinds.contains("unreached"), "{ill}");
    stopped.kill();
    let missing = data(&ask(&["check", "--nodes", "6", "--json"], at), 1);
    assert_eq!((missing["health"].as_str(), missing["nodes"].as_u64()), (Some("degraded"), Some(5)), "{missing}");
    let healed = data(&ask(&["check", "--wait", "30", "--json", "--timeout", "500ms"], at), 0);
    assert_eq!((healed["health"].as_str(), healed["nodes"].as_u64()), (Some("healthy"), Some(5)), "{healed}");
}

#[test]
fn two_rings_that_are_asked_together_are_broken() {
    let _alone = alone();
    let addrs = free_addrs_at(addresses(4));
    let seeds = [None, Some(addrs[0]), None, Some(addrs[2])];
    let mut nodes: Vec<_> = addrs.iter().zip(seeds).map(|(addr, seed)| Process::start(*addr, seed, R)).collect();
    await_ideal(&mut nodes[..2], R, LIMIT);
    await_ideal(&mut nodes[2..], R, LIMIT);
    let told = data(&ask(&["check", "--json", "--at", &addrs[2].to_string()], addrs[0]), 2);
    let rings: Vec<_> = told["findings"].as_array().unwrap().iter().filter(|found| found["kind"] == "rings").collect();
    assert!(told["health"] == "broken" && rings.len() == 1, "{told}");
}

#[test]
fn plain_peers_are_asked_as_far_as_they_answer() {
    let _alone = alone();
    let peer_of_theirs = Plain::alive(Setup { r: R, ..Setup::default() });
    let at = free_addrs(1)[0];
    let mut process = Process::start(at, Some(peer_of_theirs.me().addr), R);
    let both = Ideal::of_peers([process.peer, peer_of_theirs.me()]);
    eventually(LIMIT, || {
        let (ours, theirs) = (process.state(R).successors[0], peer_of_theirs.predecessor());
        let is_ring = ours == peer_of_theirs.me() && theirs == Some(process.peer);
        if is_ring { Ok(()) } else { Err(format!("{ours:?}, {theirs:?}")) }
    });
    for from in [at, peer_of_theirs.me().addr] {
        let told = lines(&ask(&["ring", "--json"], from), 0);
        let plain: Vec<_> = told.iter().map(|node| (peer(node), node["plain"].as_bool().unwrap())).collect();
        let expected: Vec<_> = both.peers().map(|peer| (peer, peer == peer_of_theirs.me())).collect();
        assert_eq!(plain, expected, "from {from}");
    }
    let told = text(&ask(&["state"], peer_of_theirs.me().addr), 0);
    assert!(told.contains("a plain peer: it tells no more"), "{told}");
    let traced = data(&ask(&["trace", "Hello", "--json"], peer_of_theirs.me().addr), 0);
    assert!(traced["steps"][0]["plain"] == true, "{traced}");
    assert_eq!(peer_of_theirs.complaints(), [""; 0], "it was sent what its kind does not know");
}

#[test]
fn node_that_dies_while_it_is_walked_is_no_ring_without_members() {
    let peer_of_theirs = Plain::alive(Setup { r: R, ..Setup::default() });
    // It is asked for its predecessor before.
    peer_of_theirs.behaves_in("get_successor_list", Manner::ClosesOnTheCall);
    for command in ["ring", "check", "watch"] {
        let output = ask(&[command, "--json"], peer_of_theirs.me().addr);
        let why = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout), (Some(3), Vec::new()), "{command}: {why}");
        assert!(why.contains("closed the connection without an answer"), "{command}: {why}");
    }
}

#[test]
fn node_that_can_not_be_reached_is_said_with_what_was_tried() {
    let _alone = alone();
    let [nobody, at] = free_addrs(2)[..] else { unreachable!("two") };
    for command in [&["lookup", "x"][..], &["trace", "x"], &["state"], &["ring"], &["check"], &["watch", "--json"]] {
        let output = ask(command, nobody);
        let why = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), why.lines().count()), (Some(3), 1), "{command:?}: {why}");
        assert!(why.contains(&nobody.to_string()) && why.contains("--at HOST:PORT"), "{command:?}: {why}");
    }
    let mut process = Process::start(at, None, R);
    assert_eq!(process.lookup("x"), Ok(process.peer), "it listens");
    let mut command = Command::new(CHORD);
    command.args(["lookup", "x"]).env("CHORD_AT", format!("{nobody},localhost:{}", at.port()));
    assert!(text(&command.output().unwrap(), 0).contains(&at.to_string()), "the next that is named is asked");
    let unresolved = Command::new(CHORD).args(["state", "--at", "nobody.invalid:9000"]).output().unwrap();
    assert_eq!(unresolved.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&unresolved.stderr).contains("nobody.invalid"), "{unresolved:?}");
}

#[test]
fn arguments_of_questions_are_refused_in_one_line() {
    for (line, names) in [
        ("lookup", "KEY"),
        ("lookup --id xyz", "40 hexadecimal digits"),
        ("trace --id xyz", "40 hexadecimal digits"),
        ("state --at 127.0.0.1", "--at"),
        ("ring --timeout 0", "--timeout"),
        ("check --wait 0", "--wait"),
        ("check --nodes 0", "--nodes"),
        ("lookup x --in-flight 0", "--in-flight"),
        ("watch --every 100ms", "--every"),
        ("watch --seconds 0", "--seconds"),
        ("completions tcsh", "zsh"),
    ] {
        let output = Command::new(CHORD).args(line.split(' ')).output().unwrap();
        let why = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), why.lines().count()), (Some(2), 1), "{line}: {why}");
        let command = line.split(' ').next().unwrap();
        assert!(why.contains(names) && why.contains(&format!("chord {command} --help")), "{line}: {why}");
    }
}

#[test]
fn completions_and_manual_name_all_commands() {
    for line in ["completions bash", "completions zsh", "completions fish", "man"] {
        let output = Command::new(CHORD).args(line.split(' ')).output().unwrap();
        let printed = text(&output, 0);
        for command in ["lookup", "trace", "state", "ring", "check", "watch", "swarm", "sim"] {
            assert!(printed.contains(command), "{line}: {command}");
        }
    }
}
