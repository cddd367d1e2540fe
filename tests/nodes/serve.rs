//! `chord serve`: nodes as services, and people at terminals.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use chord::Addr;
use chord::protocol::id::Bits;
use chord::protocol::rpc::{Request, Response};
use chord::{Id, Peer};
use rustix::process::Signal;

use crate::support::alone;
use crate::support::process::{CHORD, ask, eventually, free_addrs, free_range};
use crate::support::service::Service;
use crate::support::shell::{Shell, scratch};

const LIMIT: Duration = Duration::from_secs(30);

fn peer(addr: Addr) -> Peer {
    Peer::at(addr, Bits::FULL)
}

/// The addresses of a node's successors, each once.
fn successors(of: Addr) -> Result<Vec<Addr>, String> {
    match ask(peer(of), &Request::GetSuccessorList { joiner: None }, LIMIT) {
        Ok(Ok(Response::SuccessorList { successors, .. })) => {
            let mut addrs: Vec<_> = successors.iter().map(|peer| peer.addr).filter(|addr| *addr != of).collect();
            addrs.dedup();
            Ok(addrs)
        }
        other => Err(format!("{of}: {other:?}")),
    }
}

/// Waits until each of these nodes has all others in the order of the circle.
fn await_ring(addrs: &[Addr]) {
    eventually(LIMIT, || {
        for addr in addrs {
            let mut others: Vec<_> = addrs.iter().copied().filter(|other| other != addr).collect();
            others.sort_by_key(|other| peer(*other).id.clockwise_from(peer(*addr).id));
            let listed = successors(*addr)?;
            if listed.iter().take(others.len()).ne(&others) {
                return Err(format!("{addr} has {listed:?}, not {others:?}"));
            }
        }
        Ok(())
    });
}

/// Three people, each at a terminal, with nothing but their answers.
#[test]
fn three_people_make_a_ring_by_answering_questions() {
    let _alone = alone();
    let first = free_range(3);
    let addrs: Vec<Addr> = (0..3).map(|k| first.with_port(first.port() + k)).collect();
    let mut people: Vec<_> = (0..3).map(|k| Shell::start(&format!("person{k}"))).collect();
    for (k, person) in people.iter_mut().enumerate() {
        person.enter(&format!("env -u CHORD_LISTEN {CHORD} serve --profile test\r"));
        person.until("Address of this node [");
        person.enter("127.0.0.1\r");
        person.until("Port of this node [9000]: ");
        if k == 1 {
            // The port of the first is taken; the next free one is offered.
            person.enter(&format!("{}\r", addrs[0].port()));
            person.until(&format!("port {} is taken; {} is free", addrs[0].port(), addrs[1].port()));
            person.until(&format!("[{}]: ", addrs[1].port()));
            person.enter("\r");
        } else {
            person.enter(&format!("{}\r", addrs[k].port()));
        }
        person.until("Address of a node to join, empty to create a ring: ");
        if k == 0 {
            person.enter("\r");
            person.until("has created a ring");
        } else {
            person.enter("127.0.0.1\r");
            person.until("Port of that node [9000]: ");
            person.enter(&format!("{}\r", addrs[k - 1].port()));
            person.until("is a member of the ring");
        }
        person.until("> ");
    }
    await_ring(&addrs);
    let person = &mut people[2];
    person.enter("chec\t\r");
    person.until("< healthy: 3 nodes visited");
    person.until("> ");
    person.enter("ring\r");
    person.until("< 3 nodes in ");
    person.until("> ");
    person.enter("peers\r");
    person.until(&format!("< predecessor {}", peer(addrs[2]).id).split(' ').take(2).collect::<Vec<_>>().join(" "));
    person.until("> ");
    person.enter("trace Hello\r");
    person.until("< owner ");
    person.until("> ");
    person.enter("Lookup Hello\r");
    person.until(&format!("< Hello {}", Id::of_key(b"Hello", Bits::FULL)));
    person.until("> ");
    person.enter("help\r");
    person.until("< Leave ");
    person.until("> ");
    person.enter("leave\r");
    person.until("shell$ ");
    await_ring(&addrs[..2]);
    for person in &mut people[..2] {
        person.enter("Quit\r");
        person.until("shell$ ");
    }
    (0..3).for_each(|k| _ = fs::remove_dir_all(scratch(&format!("person{k}"))));
}

#[test]
fn wrong_answers_are_asked_for_again_in_words() {
    let mut person = Shell::start("wrong");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port();
    person.enter(&format!("{CHORD} serve --join-timeout 1s --profile test\r"));
    for (question, answer, said) in [
        ("Address of this node [", "eth0", "is a network interface, and not its address"),
        ("Address of this node [", "192.0.2.77", "is not an address of this machine"),
        ("Address of this node [", "0.0.0.0", "others can't call 0.0.0.0"),
        ("Address of this node [", "127.0.0.1", "Port of this node"),
        ("[9000]: ", "http", "is not a number from 1 to 65535"),
        ("[9000]: ", &taken.to_string(), "is taken"),
    ] {
        person.until(question);
        person.enter(&format!("{answer}\r"));
        person.until(said);
    }
    let (me, nobody) = (free_addrs(1)[0], free_range(1));
    person.until("]: ");
    person.enter(&format!("{}\r", me.port()));
    for (question, answer, said) in [
        ("to create a ring: ", "a/b".to_string(), "is no name of a host"),
        ("to create a ring: ", "127.0.0.1".to_string(), "Port of that node"),
        ("[9000]: ", me.port().to_string(), "is this node itself"),
        ("to create a ring: ", "127.0.0.1".to_string(), "Port of that node"),
        ("[9000]: ", nobody.port().to_string(), "joining 127.0.0.1:"),
    ] {
        person.until(question);
        person.enter(&format!("{answer}\r"));
        person.until(said);
    }
    // Nobody is there: it says so, in one line, and becomes one with the ring that appears later.
    person.until("s, then this node creates a ring");
    person.until("no member of a ring has answered: this node has created one, and goes on asking");
    person.until("> ");
    let _late = Service::start(nobody, &[]);
    await_ring(&[me, nobody]);
    let third = free_addrs(1)[0];
    let _other = Service::start(third, &[]);
    eventually(LIMIT, || successors(third).map(drop));
    person.enter(&format!("Join 127.0.0.1 {}\r", third.port()));
    person.until(&format!("asking {third}: when it answers, the two rings become one"));
    await_ring(&[me, nobody, third]);
    person.enter(&format!("Join {me}\r"));
    person.until("< Error: that is this node itself");
    // Ctrl-C at a question ends the program.
    person.enter("Quit\r");
    person.until("shell$ ");
    person.enter(&format!("{CHORD} serve; echo status=$?\r"));
    person.until("Address of this node [");
    person.enter("\x03");
    person.until("status=0");
    _ = fs::remove_dir_all(scratch("wrong"));
}

#[test]
fn node_finds_its_ring_though_its_seeds_are_gone() {
    let _alone = alone();
    let addrs = free_addrs(3);
    let memory = scratch("memory");
    let remember = ["--remember", memory.to_str().unwrap()];
    let mut seed = Service::start(addrs[0], &[]);
    let join = ["--join", &addrs[0].to_string()];
    let _other = Service::start(addrs[1], &join);
    let mut third = Service::start(addrs[2], &[&join[..], &remember].concat());
    await_ring(&addrs);
    third.signal(Signal::TERM);
    assert_eq!(third.end().0, Some(0));
    let kept = fs::read_to_string(memory.join("peers")).unwrap();
    assert!(kept.contains(&addrs[1].to_string()) && !kept.contains(&addrs[2].to_string()), "{kept}");
    seed.signal(Signal::TERM);
    assert_eq!(seed.end().0, Some(0));
    let again = Service::start(addrs[2], &[&join[..], &remember].concat());
    await_ring(&addrs[1..]);
    // It writes there as long as it runs.
    drop(again);
    fs::remove_dir_all(memory).unwrap();
}

/// The socket of a service manager, and what it has been told.
fn told(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    let n = socket.recv(&mut buffer).expect("it is told");
    String::from_utf8_lossy(&buffer[..n]).trim().into()
}

#[test]
fn service_manager_hears_when_it_is_ready_that_it_lives_and_when_it_stops() {
    let _alone = alone();
    let addr = free_addrs(1)[0];
    let path = scratch("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let path_text = path.to_str().unwrap();
    let environment = [("NOTIFY_SOCKET", path_text), ("WATCHDOG_USEC", "200000")];
    let mut service = Service::start_with(addr, &[], &environment);
    let (mut ready, mut alive) = (false, 0);
    while !ready || alive < 3 {
        match &*told(&socket) {
            "READY=1" => {
                ready = true;
                assert_eq!(ask(peer(addr), &Request::CheckPredecessor, LIMIT).unwrap().map(drop), Ok(()));
            }
            "WATCHDOG=1" => alive += 1,
            other => panic!("{other}"),
        }
    }
    // It has no terminal that could hang up.
    service.signal(Signal::HUP);
    alive = 0;
    while alive < 3 {
        alive += usize::from(told(&socket) == "WATCHDOG=1");
    }
    service.signal(Signal::TERM);
    while told(&socket) != "STOPPING=1" {}
    assert_eq!(service.end().0, Some(0));
    fs::remove_file(path).unwrap();
}

#[test]
fn joiner_without_an_answer_exits_or_waits_as_it_is_told() {
    let _alone = alone();
    let (nobody, addrs) = (free_range(1), free_addrs(2));
    let (first, second) = (addrs[0], addrs[1]);
    let seed = nobody.to_string();
    let mut exits = Service::start(first, &["--join", &seed, "--join-timeout", "200ms", "--if-alone", "exit"]);
    let (status, said) = exits.end();
    assert_eq!(status, Some(1));
    assert!(said.contains(&format!("no answer from {seed}: is a node running there?")), "{said}");
    let mut waits = Service::start(second, &["--join", &seed, "--join-timeout", "200ms"]);
    waits.says("no member of the ring has answered: waiting for one");
    let _seed = Service::start(nobody, &[]);
    await_ring(&[second, nobody]);
}

#[test]
fn settings_are_printed_with_their_sources() {
    let mut command = Command::new(CHORD);
    command.args(["serve", "--profile", "wan", "--print-config"]).env("CHORD_SUCCESSORS", "5");
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let stands =
        |setting: &str, source: &str| said.lines().any(|line| line.starts_with(setting) && line.ends_with(source));
    assert!(stands("successors = 5", "# CHORD_SUCCESSORS") && stands("stabilize = \"3s\"", "# profile wan"), "{said}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn both_ends_say_that_they_are_of_different_rings_and_anybody_may_ask_either() {
    let _alone = alone();
    let addrs = free_addrs(2);
    let mut one = Service::start(addrs[0], &["--ring", "a"]);
    eventually(LIMIT, || successors(addrs[0]).map(drop));
    let join = ["--ring", "b", "--join", &addrs[0].to_string(), "--join-timeout", "100ms", "--if-alone", "create"];
    let mut other = Service::start(addrs[1], &join);
    one.says("it is of the ring \"b\", and this node of the ring \"a\"");
    other.says("it is of the ring \"a\", and this node of the ring \"b\"");
    other.says("this node has created one");
    for addr in &addrs {
        let line = ["check", "--thorough", "--wait", "30", "--json", "--at", &addr.to_string()];
        let output = Command::new(CHORD).args(line).output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((said["health"].as_str(), said["nodes"].as_u64()), (Some("healthy"), Some(1)), "{said}");
    }
}

#[test]
fn log_in_json_is_an_object_a_line_with_what_happens_as_fields() {
    let addrs = free_addrs(2);
    let mut node = Service::start_with(addrs[0], &["--log-format", "json"], &[("RUST_LOG", "info")]);
    eventually(LIMIT, || successors(addrs[0]).map(drop));
    let other = Service::start(addrs[1], &["--join", &addrs[0].to_string()]);
    node.says("successors_changed");
    drop(other);
    node.says("\"alone\"");
    node.signal(Signal::TERM);
    let (status, said) = node.end();
    assert_eq!(status, Some(0), "{said}");
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let is_whole = |line: &serde_json::Value| {
        ["timestamp", "level", "target"].iter().all(|field| line[field].is_string())
            && line["timestamp"].as_str().unwrap().ends_with('Z')
    };
    assert!(lines.iter().all(is_whole), "{said}");
    let changed = lines.iter().find(|line| line["event"] == "successors_changed").unwrap();
    assert_eq!(
        (changed["successors"].as_str(), changed["node"].as_str()),
        (Some(&*peer(addrs[1]).to_string()), Some(&*addrs[0].to_string()))
    );
}
